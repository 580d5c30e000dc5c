// SPDX-License-Identifier: Apache-2.0
// The thread that leads a run: it opens one phase after the other, watches what comes, and
// knows when it is over. It is the only one that waits for signals.
#include "load/load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "load/engine.h"

#define MS UINT64_C(1000000)

typedef struct progress {
    uint64_t connected, returned, failed, open, subscribed, sent, counted, asked, acked,
        received, fresh;
} progress;

static progress look(const tg_run *r)
{
    progress p = {0};
    for (unsigned t = 0; t < r->o.threads; t++) {
        const tg_crew *c = &r->crews[t];
        p.connected += tg_peek(&c->connected);
        p.returned += tg_peek(&c->returned);
        p.failed += tg_peek(&c->failed);
        p.open += tg_peek(&c->open);
        p.subscribed += tg_peek(&c->subscribed);
        p.acked += tg_peek(&c->acked);
        p.fresh += tg_peek(&c->fresh);
        p.received += tg_peek(&c->received);
        p.asked += tg_peek(&c->asked);
        p.counted += tg_peek(&c->counted);
        p.sent += tg_peek(&c->sent);
    }
    return p;
}

tg_phase tg_gate_pass(tg_run *r, tg_phase done)
{
    pthread_mutex_lock(&r->lock);
    r->waiting += r->phase == done; // a thread may have started behind the first phase
    while (r->phase == done)
        pthread_cond_wait(&r->opened, &r->lock);
    tg_phase next = r->phase;
    pthread_mutex_unlock(&r->lock);
    return next;
}

static void open_gate(tg_run *r, tg_phase phase)
{
    pthread_mutex_lock(&r->lock);
    r->phase = phase;
    r->waiting = 0;
    pthread_cond_broadcast(&r->opened);
    pthread_mutex_unlock(&r->lock);
}

static bool all_wait(tg_run *r)
{
    pthread_mutex_lock(&r->lock);
    bool all = r->waiting == r->started;
    pthread_mutex_unlock(&r->lock);
    return all;
}

static void block_signals(sigset_t *set, sigset_t *before)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, set, before);
    sigdelset(set, SIGPIPE);
}

// A nap that a signal ends, and with it the run.
static void nap(tg_run *r, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    if (sigtimedwait(&r->signals, NULL, &t) < 0)
        return;
    r->interrupted = true;
    atomic_store(&r->stop, true);
}

static void phase(tg_run *r, tg_phase p)
{
    open_gate(r, p);
    while (!all_wait(r))
        nap(r, MS);
}

static bool arrived(const tg_run *r, const progress *p)
{
    return p->fresh >= p->counted * r->copies && p->acked >= p->asked;
}

// The whole count is sent, or the time is up, and what was sent has arrived.
static bool finished(const tg_run *r, const progress *p)
{
    if (r->o.scenario == TG_LOAD_IDLE)
        return atomic_load(&r->hold);
    bool sent = (r->o.count > 0 && p->sent >= r->o.count) || atomic_load(&r->hold);
    return sent && arrived(r, p);
}

static bool moved(const progress *a, const progress *b)
{
    return a->received != b->received || a->acked != b->acked || a->returned != b->returned;
}

/// Until the last delivery; or until nothing came for so long that nothing will.
static void watch(tg_run *r)
{
    uint64_t began = tg_now_ns(), last = began;
    progress before = look(r);
    while (!r->interrupted) {
        nap(r, MS);
        uint64_t now = tg_now_ns();
        progress p = look(r);
        if (r->o.duration_ms > 0 && now - began > r->o.duration_ms * MS)
            atomic_store(&r->hold, true);
        if (finished(r, &p))
            break;
        if (moved(&before, &p) || arrived(r, &p))
            last = now;
        before = p;
        bool nobody = p.open == 0 && r->o.scenario != TG_LOAD_CHURN;
        if (nobody || now - last > r->o.timeout_ms * MS)
            break;
    }
}

static void sum_errors(const tg_run *r, tg_load_result *out)
{
    for (unsigned t = 0; t < r->o.threads; t++) {
        const tg_load_errors *e = &r->crews[t].errors;
        for (unsigned i = 0; i < TG_LOAD_KINDS; i++)
            if (e->kinds[i].count > 0)
                tg_load_errors_add(&out->errors, e->kinds[i].text, e->kinds[i].count);
    }
}

static void sum_crews(const tg_run *r, tg_load_result *out, uint64_t *last, uint64_t *late)
{
    for (unsigned t = 0; t < r->o.threads; t++) {
        const tg_crew *c = &r->crews[t];
        out->doubled += c->doubled;
        out->repeated += c->repeated;
        out->reordered += c->reordered;
        out->strange += c->strange;
        out->resumed += c->resumed;
        out->tls_resumed += c->tls_resumed;
        out->left += c->left;
        out->cut += c->cut;
        *late += c->late;
        *last = c->last > *last ? c->last : *last;
        tg_hist_merge(&out->latency, &c->latency);
        tg_hist_merge(&out->connect, &c->connect);
    }
}

/// The crews wait at the gate: what is theirs alone may be read.
static void sum(const tg_run *r, uint64_t began, tg_load_result *out)
{
    uint64_t last = began + 1, late = 0;
    progress p = look(r);
    bool connections = r->o.scenario == TG_LOAD_CONNECT || r->o.scenario == TG_LOAD_IDLE;
    sum_crews(r, out, &last, &late);
    out->publishers = r->npubs;
    out->subscribers = r->nsubs;
    out->connections = p.connected + p.returned;
    out->sent = p.sent;
    out->received = p.received;
    out->expected = p.sent * r->copies;
    out->lost = p.counted * r->copies > p.fresh ? p.counted * r->copies - p.fresh : 0;
    uint64_t uncounted = (p.sent - p.counted) * r->copies;
    out->missed = uncounted > late ? uncounted - late : 0;
    out->seconds = (double)(last - began) / 1e9;
    out->rate = (double)(connections ? p.connected : p.received) / out->seconds;
    out->interrupted = r->interrupted;
}

static int check_connected(const tg_run *r, const tg_load_result *out, tg_error *e)
{
    progress p = look(r);
    bool some = r->o.scenario == TG_LOAD_CONNECT || r->o.scenario == TG_LOAD_IDLE;
    const char *why = out->errors.count > 0 ? out->errors.kinds[0].text : "interrupted";
    if (p.connected == r->npeers || (some && p.connected > 0) || r->interrupted)
        return 0;
    if (p.connected == 0)
        return tg_error_set(e, TG_E_REFUSED, "no client got in at %s port %u: %s",
                            r->o.host, r->o.port, why);
    return tg_error_set(e, TG_E_LIMIT, "only %llu of %u clients got in: %s",
                        (unsigned long long)p.connected, r->npeers, why);
}

static int check_prepared(const tg_run *r, const tg_load_result *out, tg_error *e)
{
    const char *why = out->errors.kinds[0].text;
    if (out->errors.count == 0 || r->o.scenario == TG_LOAD_IDLE || r->interrupted)
        return 0;
    return tg_error_set(e, TG_E_LIMIT, "not everything could be prepared: %s", why);
}

static void measure_connections(tg_run *r, tg_load_result *out, uint64_t *began)
{
    out->rss_start = tg_process_rss(r->o.server_pid);
    out->cpu_ns = tg_process_cpu_ns(r->o.server_pid);
    *began = tg_now_ns();
    phase(r, TG_PHASE_CONNECT);
    out->cpu_ns = tg_process_cpu_ns(r->o.server_pid) - out->cpu_ns;
    if (r->o.server_pid > 0)
        nap(r, TG_SETTLE_NS); // it may still set up what it has accepted
    out->rss_connected = tg_process_rss(r->o.server_pid);
}

static void measure_messages(tg_run *r, tg_load_result *out, uint64_t *began)
{
    uint64_t cpu = tg_process_cpu_ns(r->o.server_pid);
    uint64_t start = tg_now_ns();
    open_gate(r, TG_PHASE_RUN);
    watch(r);
    if (r->o.scenario != TG_LOAD_IDLE) {
        out->cpu_ns = tg_process_cpu_ns(r->o.server_pid) - cpu;
        *began = start;
        nap(r, TG_SETTLE_NS);
    }
    atomic_store(&r->stop, true);
    while (!all_wait(r))
        nap(r, MS);
}

static int lead(tg_run *r, tg_load_result *out, tg_error *e)
{
    uint64_t began;
    measure_connections(r, out, &began);
    sum_errors(r, out);
    int rc = check_connected(r, out, e);
    if (rc == 0 && r->o.scenario != TG_LOAD_CONNECT && !r->interrupted) {
        memset(&out->errors, 0, sizeof(out->errors));
        phase(r, TG_PHASE_PREPARE);
        out->rss_subscribed = tg_process_rss(r->o.server_pid);
        sum_errors(r, out);
        rc = check_prepared(r, out, e);
    }
    if (rc == 0 && r->o.scenario != TG_LOAD_CONNECT && !r->interrupted)
        measure_messages(r, out, &began);
    memset(&out->errors, 0, sizeof(out->errors));
    sum(r, began, out);
    out->rss_end = tg_process_rss(r->o.server_pid);
    atomic_store(&r->stop, true);
    phase(r, TG_PHASE_CLEAN);
    sum_errors(r, out);
    return rc;
}

static int start(tg_run *r, tg_error *e)
{
    for (; r->started < r->o.threads; r->started++) {
        tg_crew *c = &r->crews[r->started];
        int rc = pthread_create(&c->thread, NULL, tg_crew_main, c);
        if (rc != 0)
            return tg_error_set(e, TG_E_LIMIT, "--threads: %s", strerror(rc));
    }
    return 0;
}

static void finish(tg_run *r)
{
    open_gate(r, TG_PHASE_OVER);
    for (unsigned t = 0; t < r->started; t++)
        pthread_join(r->crews[t].thread, NULL);
}

static int open_crews(tg_run *r, tg_error *e)
{
    r->crews = tg_arena_alloc(&r->arena, r->o.threads * sizeof(*r->crews));
    if (r->crews == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    for (unsigned t = 0; t < r->o.threads; t++)
        r->crews[t].ep = -1;
    int rc = 0;
    for (unsigned t = 0; t < r->o.threads && rc == 0; t++)
        rc = tg_crew_open(r, &r->crews[t], t, e);
    return rc;
}

int tg_load_run(const tg_load_options *o, tg_load_result *out, tg_error *e)
{
    sigset_t before;
    tg_run *r = calloc(1, sizeof(*r));
    memset(out, 0, sizeof(*out));
    if (r == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    r->o = *o;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->opened, NULL);
    prctl(PR_SET_TIMERSLACK,
          1UL); // a pace of 20,000 a second has 50 µs between two; threads inherit it
    block_signals(&r->signals, &before);
    int rc = tg_target_find(o->host, o->port, &r->to, e);
    if (rc == 0)
        rc = tg_cast_open(r, e);
    if (rc == 0)
        rc = open_crews(r, e);
    if (rc == 0)
        rc = start(r, e);
    if (rc == 0)
        rc = lead(r, out, e);
    finish(r);
    for (unsigned t = 0; r->crews != NULL && t < o->threads; t++)
        tg_crew_close(&r->crews[t]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_cond_destroy(&r->opened);
    pthread_mutex_destroy(&r->lock);
    tg_arena_free(&r->arena);
    free(r);
    return rc;
}
