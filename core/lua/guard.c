// SPDX-License-Identifier: Apache-2.0
// A count hook that is always set slows tight loops down by more than half, so no hook is
// set until a callback is over its budget. The monitor only reads clocks and sends a
// signal; all that touches Lua happens on the script's own thread: the handler compares the
// epoch that was judged with the one that runs, and arms a hook on the coroutine that runs
// now (lua_sethook may be called from a signal handler). The hook yields where it can,
// because an error can be caught by the script, and raises where it cannot; it stays armed.
//
// An arming can be lost: the interpreter may have just read that there is no hook. So the
// signal comes again, but only after the thread has had time of its own, twice as much each
// time. lua_sethook walks all frames, a million places deep: on a machine that gives the
// thread little, signals by the clock would leave no time for anything but their handler.
#include "lua/guard.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define GUARD_MAGIC 0x6a2d0001u
#define SAMPLE_NS 8000000L

struct tg_monitor {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    tg_list guards;
    bool stop;
};

static _Thread_local tg_guard *here;

tg_guard *tg_guard_here(void)
{
    return here;
}

void tg_guard_note(lua_State *L)
{
    tg_guard *g = here;
    lua_Debug ar;
    if (g == NULL || atomic_load_explicit(&g->spent, memory_order_relaxed))
        return;
    for (int level = 0; level < 16 && lua_getstack(L, level, &ar); level++) {
        if (lua_getinfo(L, "Sl", &ar) == 0 || ar.currentline <= 0)
            continue; // a C function
        atomic_store_explicit(&g->spent, true, memory_order_relaxed);
        snprintf(g->where, sizeof(g->where), "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    tg_guard *g = here;
    if (g == NULL || !tg_guard_killed(g)) { // armed for a callback that has ended meanwhile
        lua_sethook(L, NULL, 0, 0);
        tg_guard_prepare(L);
        return;
    }
    (void)ar;
    tg_guard_note(L);
#ifdef TG_GUARD_POLLS
    tg_guard_arm(L);
#endif
    if (lua_isyieldable(L)) {
        lua_yield(L, 0);
        return;
    }
    luaL_error(L, "over its CPU budget");
}

void tg_guard_arm(lua_State *L)
{
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
}

void tg_guard_prepare(lua_State *L)
{
#ifdef TG_GUARD_POLLS
    lua_sethook(L, on_count, LUA_MASKCOUNT, 10);
#else
    (void)L;
#endif
}

static void on_signal(int number)
{
    (void)number;
    tg_guard *g = here;
    if (g == NULL || g->magic != GUARD_MAGIC)
        return;
    if (atomic_load(&g->judged) != atomic_load(&g->epoch))
        return; // it has ended by itself; what runs now is another one
    atomic_store(&g->kill, 1);
    lua_State *L = atomic_load(&g->running);
    if (L != NULL)
        lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
}

static uint64_t cpu_ns(const tg_guard *g)
{
    struct timespec t;
    if (clock_gettime(g->clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void judge(tg_guard *g)
{
    uint64_t e = atomic_load_explicit(&g->epoch, memory_order_acquire);
    if ((e & 1) == 0)
        return;
    uint64_t now = cpu_ns(g);
    if (e != g->seen_epoch) {
        uint64_t budget =
            atomic_load_explicit(&g->budget_us, memory_order_relaxed) + TG_GUARD_GRACE_US;
        g->seen_epoch = e;
        g->due_ns = now + budget * 1000u;
        g->again_ns = SAMPLE_NS;
        return;
    }
    if (now <= g->due_ns)
        return;
    g->due_ns = now + g->again_ns;
    g->again_ns *= 2;
    atomic_store(&g->judged, e);
#ifndef TG_GUARD_POLLS
    pthread_kill(g->thread, TG_GUARD_SIGNAL);
#endif
}

static void *run_monitor(void *arg)
{
    tg_monitor *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        for (tg_list *n = m->guards.next; n != &m->guards; n = n->next)
            judge(TG_OWNER(n, tg_guard, node));
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += SAMPLE_NS;
        if (t.tv_nsec >= 1000000000L) {
            t.tv_nsec -= 1000000000L;
            t.tv_sec++;
        }
        pthread_cond_timedwait(&m->wake, &m->lock, &t);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static int start_thread(tg_monitor *m)
{
    // The monitor takes no signals: the host's own handlers run where they are waited for.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&m->thread, NULL, run_monitor, m);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

tg_monitor *tg_monitor_new(void)
{
    tg_monitor *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    tg_list_init(&m->guards);
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attr);
    pthread_condattr_destroy(&attr);
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    sigaction(TG_GUARD_SIGNAL, &sa, NULL);
    if (start_thread(m) == 0)
        return m;
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
    return NULL;
}

void tg_monitor_free(tg_monitor *m)
{
    if (m == NULL)
        return;
    pthread_mutex_lock(&m->lock);
    assert(tg_list_empty(&m->guards));
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int tg_guard_attach(tg_guard *g, tg_monitor *m)
{
    assert(here == NULL);
    memset(g, 0, sizeof(*g));
    g->magic = GUARD_MAGIC;
    g->thread = pthread_self();
    if (pthread_getcpuclockid(g->thread, &g->clock) != 0)
        return TG_E_IO;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, TG_GUARD_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    g->monitor = m;
    here = g;
    pthread_mutex_lock(&m->lock);
    tg_list_add(&m->guards, &g->node);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

void tg_guard_detach(tg_guard *g)
{
    assert(g->magic == GUARD_MAGIC && here == g);
    pthread_mutex_lock(&g->monitor->lock);
    tg_list_del(&g->node);
    pthread_mutex_unlock(&g->monitor->lock);
    here = NULL;
    g->magic = 0;
}

int tg_guard_replace(tg_guard *outer, tg_guard *inner, tg_monitor *m)
{
    assert(here == outer);
    here = NULL;
    int rc = tg_guard_attach(inner, m);
    if (rc != 0)
        here = outer;
    return rc;
}

void tg_guard_restore(tg_guard *outer)
{
    assert(here == NULL && outer->magic == GUARD_MAGIC);
    here = outer;
}
