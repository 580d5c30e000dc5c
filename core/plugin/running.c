// SPDX-License-Identifier: Apache-2.0
// Whose code runs on a thread, kept as a stack that costs two stores, and a coarse clock (it is
// read from a shared page, without a system call) where the code of another version begins and
// ends. It tells tables without a `self` for whom they act, finds slow callbacks, and is what a
// crash note is written from.
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "plugin/version.h"

// Threads that are no worker (control, pool) have a stack, too.
static _Thread_local tg_running aside;
static _Thread_local tg_log_gate slow_gate;

static uint64_t clock_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t tg_clock_ms(void)
{
    return clock_of(CLOCK_REALTIME);
}

tg_running *tg_running_here(void)
{
    tg_local *here = tg_here();
    return here != NULL ? &here->running : &aside;
}

tg_version *tg_current(void)
{
    const tg_running *r = tg_running_here();
    return r->depth > 0 && r->depth <= TG_CALL_DEPTH ? r->stack[r->depth - 1].self : NULL;
}

/// The callback at `d` runs within one of its own version, whose time is taken.
static bool within_own(const tg_running *r, uint32_t d)
{
    return d > 0 && r->stack[d - 1].self == r->stack[d].self;
}

void tg_call_begin(tg_version *v, const char *callback)
{
    tg_running *r = tg_running_here();
    uint32_t d = r->depth;
    if (d < TG_CALL_DEPTH) {
        r->stack[d].self = v;
        r->stack[d].callback = callback;
        r->stack[d].since =
            within_own(r, d) ? r->stack[d - 1].since : clock_of(CLOCK_MONOTONIC_COARSE);
    }
    atomic_signal_fence(memory_order_release); // a crash in between sees the entry whole
    r->depth = d + 1;
}

static void report_slow(const tg_version *v, const char *callback, uint64_t now,
                        uint64_t ms)
{
    uint32_t held;
    if (!tg_log_gate_pass(&slow_gate, now, 10, &held))
        return;
    tg_field fields[] = {TG_F("plugin", v->plug->id),       TG_F("version", v->version),
                         TG_F("callback", callback),        TG_FN("ms", ms),
                         TG_FN("worker", tg_here()->index), TG_FN("held_back", held)};
    tg_log_with(PLUGIN, WARN, fields, sizeof(fields) / sizeof(fields[0]),
                "slow callback: everything else on this worker waited for it");
}

void tg_call_end(void)
{
    tg_local *here = tg_here();
    tg_running *r = here != NULL ? &here->running : &aside;
    assert(r->depth > 0);
    uint32_t d = --r->depth;
    if (d >= TG_CALL_DEPTH || r->stack[d].self == NULL || within_own(r, d) || here == NULL)
        return;
    const tg_version *v = r->stack[d].self;
    uint64_t now = clock_of(CLOCK_MONOTONIC_COARSE), ms = now - r->stack[d].since;
    if (v->rt->slow_ms == 0 || ms < v->rt->slow_ms)
        return;
    report_slow(v, r->stack[d].callback, now, ms);
    if (d > 0)
        r->stack[d - 1].since = now; // the caller is not to blame for the same time again
}

// A signal handler has no context: this is the one runtime whose workers it describes.
static _Atomic(tg_runtime *) crash_runtime;
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static size_t put(char *at, size_t size, size_t len, const char *text)
{
    while (len < size && *text != '\0')
        at[len++] = *text++;
    return len;
}

// Async-signal-safe: write(2) and the stack's memory, nothing else.
static void note(const char *thread, uint32_t index, bool numbered, const tg_running *r)
{
    char line[256], digits[2] = {(char)('0' + index / 10 % 10), (char)('0' + index % 10)};
    uint32_t depth = r->depth < TG_CALL_DEPTH ? r->depth : TG_CALL_DEPTH;
    size_t n = put(line, sizeof(line), 0, "crash: ");
    n = put(line, sizeof(line), n, thread);
    if (numbered && n + 2 < sizeof(line)) {
        line[n++] = digits[0];
        line[n++] = digits[1];
    }
    if (depth == 0) {
        n = put(line, sizeof(line), n, ": no plugin's code ran\n");
    } else {
        const tg_version *v = r->stack[depth - 1].self;
        n = put(line, sizeof(line), n, ": plugin ");
        n = put(line, sizeof(line), n, v != NULL ? v->plug->id : "?");
        n = put(line, sizeof(line), n, " ");
        n = put(line, sizeof(line), n, v != NULL ? v->version : "?");
        n = put(line, sizeof(line), n, " in ");
        n = put(line, sizeof(line), n, r->stack[depth - 1].callback);
        n = put(line, sizeof(line), n, "\n");
    }
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

static void on_crash(int sig)
{
    tg_runtime *rt = atomic_load(&crash_runtime);
    const tg_local *here = tg_here();
    note(here != NULL ? "this thread is worker " : "this thread is no worker",
         here != NULL ? here->index : 0, here != NULL, tg_running_here());
    for (uint32_t i = 0; rt != NULL && i < rt->nworkers; i++)
        if (rt->locals[i] != NULL && rt->locals[i] != here)
            note("worker ", i, true, &rt->locals[i]->running);
    raise(sig); // the handler is gone (SA_RESETHAND): the default ends the process
}

void tg_crash_open(tg_runtime *rt)
{
    atomic_store(&crash_runtime, rt);
#ifndef TG_SANITIZED // a sanitizer's own report says more
    struct sigaction act = {.sa_handler = on_crash,
                            .sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof(crash_signals) / sizeof(crash_signals[0]); i++)
        sigaction(crash_signals[i], &act, NULL);
#else
    (void)on_crash;
    (void)crash_signals;
#endif
}

#define ALT_STACK (64u << 10)

void tg_crash_stack(tg_local *here)
{
#ifndef TG_SANITIZED // a sanitizer has one of its own
    here->alt_stack = malloc(ALT_STACK);
    stack_t alt = {.ss_sp = here->alt_stack, .ss_size = ALT_STACK};
    if (here->alt_stack != NULL)
        sigaltstack(&alt, NULL);
#else
    (void)here;
#endif
}

void tg_crash_close(tg_runtime *rt)
{
    tg_runtime *mine = rt;
    if (!atomic_compare_exchange_strong(&crash_runtime, &mine, NULL))
        return;
#ifndef TG_SANITIZED
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof(crash_signals) / sizeof(crash_signals[0]); i++)
        sigaction(crash_signals[i], &act, NULL);
#endif
}
