// SPDX-License-Identifier: Apache-2.0
/// CPU budgets of scripts. A thread that runs scripts owns one guard; a monitor samples the
/// CPU clocks of all guards and signals the thread whose callback ran too long.
#ifndef TG_LUA_GUARD_H
#define TG_LUA_GUARD_H

#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/list.h"

// ThreadSanitizer holds asynchronous signals back until the next call that it knows, which
// a loop inside the interpreter never makes. Under it, and only there, a standing hook
// looks.
#if defined(__SANITIZE_THREAD__)
#define TG_GUARD_POLLS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TG_GUARD_POLLS 1
#endif
#endif

/// To the thread whose callback is over its budget; nothing else may use it.
#define TG_GUARD_SIGNAL (SIGRTMIN + 5)

typedef struct tg_monitor tg_monitor;

/// What every budget has on top.
#ifdef TG_SANITIZED // the same script takes many times as long there, and is no worse for it
#define TG_GUARD_GRACE_US 200000u
#else
#define TG_GUARD_GRACE_US 0u
#endif

typedef struct tg_guard {
    uint32_t magic;
    atomic_uint kill; ///< raised by the handler on this thread; ends the callback
    _Atomic(uint64_t) epoch; ///< odd while a callback runs
    _Atomic(uint64_t) judged; ///< the epoch that the monitor found over its budget
    _Atomic(lua_State *) running; ///< the coroutine to arm
    _Atomic(uint32_t) budget_us; ///< CPU time of the running callback
    atomic_bool spent; ///< the hook has named the place
    const char *what; ///< "decode", "on_message", … for the error
    pthread_t thread;
    clockid_t clock;
    tg_list node; // the monitor's, under its lock
    uint64_t seen_epoch; // the monitor's
    uint64_t due_ns; // the monitor's: CPU time at which this epoch is over its budget
    uint64_t again_ns; // the monitor's: CPU time until it is told once more
    tg_monitor *monitor;
    char where[160]; ///< "gt06/init.lua:12" of the last one that was ended
} tg_guard;

/// @return NULL when no thread could be had.
tg_monitor *tg_monitor_new(void);
/// After every guard has been detached.
void tg_monitor_free(tg_monitor *m);

/// Puts the calling thread under the monitor. @return TG_E_IO: it has no CPU clock.
int tg_guard_attach(tg_guard *g, tg_monitor *m);
void tg_guard_detach(tg_guard *g); ///< on the thread of attach
tg_guard *tg_guard_here(void); ///< the calling thread's; NULL none
/// Sets the thread's guard, which runs nothing, aside for `inner` until that is detached.
int tg_guard_replace(tg_guard *outer, tg_guard *inner, tg_monitor *m);
void tg_guard_restore(tg_guard *outer);

/// The hook that ends a callback. Re-arms `L` when the callback that runs is to be ended.
void tg_guard_arm(lua_State *L);
/// Remembers where the callback that is to be ended was, once, for the error.
void tg_guard_note(lua_State *L);
/// Before a run of `L`; nothing but under ThreadSanitizer.
void tg_guard_prepare(lua_State *L);

/// A callback begins: stores alone, no call into the kernel.
static inline void tg_guard_enter(tg_guard *g, lua_State *L, const char *what, uint32_t us)
{
    uint64_t e = atomic_load_explicit(&g->epoch, memory_order_relaxed);
    g->what = what;
    atomic_store_explicit(&g->budget_us, us, memory_order_relaxed);
    atomic_store_explicit(&g->running, L, memory_order_relaxed);
    atomic_store_explicit(&g->epoch, (e | 1) + ((e & 1) ? 2 : 0), memory_order_release);
}

/// @return the callback was to be ended.
static inline bool tg_guard_leave(tg_guard *g)
{
    uint64_t e = atomic_load_explicit(&g->epoch, memory_order_relaxed);
    atomic_store_explicit(&g->epoch, e + 1, memory_order_release);
    atomic_store_explicit(&g->running, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    bool killed = atomic_load_explicit(&g->kill, memory_order_relaxed) != 0;
    if (killed)
        atomic_store_explicit(&g->kill, 0, memory_order_relaxed);
    return killed;
}

static inline bool tg_guard_killed(tg_guard *g)
{
#ifdef TG_GUARD_POLLS
    if (atomic_load(&g->judged) == atomic_load(&g->epoch))
        atomic_store(&g->kill, 1);
#endif
    return atomic_load_explicit(&g->kill, memory_order_relaxed) != 0;
}

/// Another coroutine runs from here on, within the same callback.
static inline void tg_guard_switch(tg_guard *g, lua_State *L)
{
    atomic_store_explicit(&g->running, L, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); // the handler sees it, or we see its flag
    if (tg_guard_killed(g))
        tg_guard_arm(L);
}

#endif
