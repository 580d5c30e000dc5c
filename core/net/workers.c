// SPDX-License-Identifier: Apache-2.0
// All workers of a process. A worker without a thread, not started yet or ended already, is
// stood in for by the control thread: so calls work at any time, and a mail that came too
// late for its worker's loop still runs, where it can free what it carries.
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "net/listener_impl.h"
#include "net/worker_impl.h"

#define WORKERS_MAGIC 0x3a9e1c5eu
#define LAST_DRAINS 64 // rounds of mails that answer mails after the threads have ended

static tg_workers *check(const tg_workers *ws)
{
    assert(ws != NULL && ws->magic == WORKERS_MAGIC);
    return (tg_workers *)ws;
}

static void define_metrics(tg_net_metrics *m)
{
    const char *bytes = "Bytes of all connections.", *dials = "Outgoing connections.";
    m->bytes_in = tg_metric_add_def(TG_COUNTER, "tidegate_net_bytes_total",
                                    "direction=\"in\"", bytes);
    m->bytes_out = tg_metric_add_def(TG_COUNTER, "tidegate_net_bytes_total",
                                     "direction=\"out\"", bytes);
    m->writes = tg_metric_add_def(TG_COUNTER, "tidegate_net_writes_total", "",
                                  "Writes to sockets.");
    m->fd_pauses =
        tg_metric_add_def(TG_COUNTER, "tidegate_net_descriptor_pauses_total", "",
                          "Times that accepting paused for want of descriptors.");
    m->connections = tg_metric_add_def(TG_GAUGE, "tidegate_net_connections", "",
                                       "Open connections, accepted and dialed.");
    m->dials_open =
        tg_metric_add_def(TG_COUNTER, "tidegate_net_dials_total", "result=\"open\"", dials);
    m->dials_failed = tg_metric_add_def(TG_COUNTER, "tidegate_net_dials_total",
                                        "result=\"failed\"", dials);
    m->dials_retried = tg_metric_add_def(TG_COUNTER, "tidegate_net_dials_total",
                                         "result=\"retried\"", dials);
}

static void free_from(tg_workers *ws, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tg_worker_free(&ws->at[i]);
    tg_pool_free(ws->pool);
    tg_control_free(ws);
    pthread_mutex_destroy(&ws->stand_in);
    pthread_mutex_destroy(&ws->lock);
    ws->magic = 0;
    free(ws);
}

int tg_workers_new(uint32_t count, size_t mailbox_bytes, tg_workers **out, tg_error *e)
{
    if (count == 0 || count > TG_WORKERS_MAX)
        return tg_error_set(e, TG_E_INVAL, "workers: %u is not within 1 and %d", count,
                            TG_WORKERS_MAX);
    tg_workers *ws = calloc(1, sizeof(*ws) + count * sizeof(tg_worker));
    if (ws == NULL)
        return tg_error_set(e, TG_E_NOMEM, "workers: out of memory");
    ws->magic = WORKERS_MAGIC;
    ws->count = count;
    pthread_mutex_init(&ws->lock, NULL);
    pthread_mutex_init(&ws->stand_in, NULL);
    tg_list_init(&ws->listeners);
    define_metrics(&ws->metrics);
    if (tg_control_init(ws) != 0) {
        pthread_mutex_destroy(&ws->stand_in);
        pthread_mutex_destroy(&ws->lock);
        free(ws);
        return tg_error_set(e, TG_E_IO, "workers: cannot make the control loop");
    }
    uint32_t made = 0;
    int rc = tg_pool_new(&ws->pool);
    while (rc == 0 && made < count)
        if ((rc = tg_worker_init(&ws->at[made], ws, made, mailbox_bytes)) == 0)
            made++;
    if (rc != 0) {
        free_from(ws, made);
        return tg_error_set(e, rc, "workers: cannot make worker %u", made);
    }
    *out = ws;
    return 0;
}

// Mails that arrive while the thread ends find `running` cleared under the lock, or are
// seen by this last drain: a caller that waits for an answer gets one. Who finds it cleared
// stands in for this worker, and waits until the drain is over.
static void *thread_main(void *arg)
{
    tg_worker *w = arg;
    tg_worker_main(w);
    pthread_mutex_lock(&w->all->stand_in);
    pthread_mutex_lock(&w->all->lock);
    w->all->running[w->index] = false;
    pthread_mutex_unlock(&w->all->lock);
    while (tg_mailbox_drain(w->mailbox, w, UINT32_MAX))
        ;
    pthread_mutex_unlock(&w->all->stand_in);
    return NULL;
}

typedef struct task {
    tg_mail mail;
    void (*fn)(void *ctx);
    void *ctx;
} task;

static void run_task(tg_mail *m, void *receiver)
{
    (void)receiver;
    task *t = TG_OWNER(m, task, mail);
    void (*fn)(void *ctx) = t->fn;
    void *ctx = t->ctx;
    free(t);
    fn(ctx);
}

static int send_task(tg_mailbox *b, void (*fn)(void *ctx), void *ctx)
{
    task *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return TG_E_NOMEM;
    t->mail.run = run_task;
    t->fn = fn;
    t->ctx = ctx;
    tg_mailbox_control(b, &t->mail);
    return 0;
}

int tg_worker_run(tg_worker *w, void (*fn)(void *ctx), void *ctx)
{
    return send_task(w->mailbox, fn, ctx);
}

int tg_control_run(tg_workers *ws, void (*fn)(void *ctx), void *ctx)
{
    return send_task(check(ws)->control_box, fn, ctx);
}

typedef struct stop {
    tg_mail mail;
    uint32_t deadline_ms;
} stop;

static void run_stop(tg_mail *m, void *receiver)
{
    stop *s = TG_OWNER(m, stop, mail);
    tg_worker_stop(receiver, s->deadline_ms);
    free(s);
}

void tg_workers_stop(tg_workers *ws, uint32_t deadline_ms)
{
    for (uint32_t i = 0; i < check(ws)->count; i++) {
        stop *s = calloc(1, sizeof(*s));
        if (s == NULL)
            abort(); // it cannot be told that the process ends
        s->mail.run = run_stop;
        s->deadline_ms = deadline_ms;
        tg_mailbox_control(ws->at[i].mailbox, &s->mail);
    }
}

static void drain_rest(tg_workers *ws)
{
    for (int round = 0; round < LAST_DRAINS; round++) {
        for (uint32_t i = 0; i < ws->count; i++) {
            tg_worker_stand_in(&ws->at[i]);
            tg_mailbox_drain(ws->at[i].mailbox, &ws->at[i], UINT32_MAX);
        }
        tg_worker_stand_in(NULL);
    }
}

void tg_workers_join(tg_workers *ws)
{
    if (!check(ws)->started || ws->joined)
        return;
    for (uint32_t i = 0; i < ws->count; i++)
        pthread_join(ws->threads[i], NULL);
    ws->joined = true;
    tg_pool_stop(ws->pool);
    drain_rest(ws);
}

void tg_workers_free(tg_workers *ws)
{
    if (ws == NULL)
        return;
    assert(!check(ws)->started || ws->joined);
    tg_listeners_free(ws);
    tg_pool_stop(ws->pool);
    tg_mailbox_drain(ws->control_box, ws, UINT32_MAX); // it may send to a worker
    drain_rest(ws);
    free_from(ws, ws->count);
}

uint32_t tg_workers_count(const tg_workers *ws)
{
    return check(ws)->count;
}

tg_worker *tg_workers_at(tg_workers *ws, uint32_t index)
{
    return index < check(ws)->count ? &ws->at[index] : NULL;
}

void tg_workers_on_turn(tg_workers *ws, tg_turn_fn *fn, void *ctx)
{
    assert(!check(ws)->started && ws->nturns < TG_TURN_FNS);
    ws->turns[ws->nturns].fn = fn;
    ws->turns[ws->nturns++].ctx = ctx;
}

typedef struct call {
    int (*fn)(tg_worker *w, void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t waiting;
    int result[TG_WORKERS_MAX];
} call;

typedef struct call_mail {
    tg_mail mail;
    call *call;
} call_mail;

static void run_call(tg_mail *m, void *receiver)
{
    tg_worker *w = receiver;
    call *c = TG_OWNER(m, call_mail, mail)->call; // on the caller's stack until it is told
    int rc = c->fn(w, c->ctx);
    pthread_mutex_lock(&c->lock);
    c->result[w->index] = rc;
    if (--c->waiting == 0)
        pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->lock);
}

static bool send_call(tg_workers *ws, uint32_t i, call_mail *m)
{
    pthread_mutex_lock(&ws->lock);
    bool running = ws->running[i];
    if (running) {
        pthread_mutex_lock(&m->call->lock);
        m->call->waiting++;
        pthread_mutex_unlock(&m->call->lock);
        tg_mailbox_control(ws->at[i].mailbox, &m->mail);
    }
    pthread_mutex_unlock(&ws->lock);
    return running;
}

int tg_workers_call(tg_workers *ws, int (*fn)(tg_worker *w, void *ctx), void *ctx)
{
    assert(tg_worker_here() == NULL);
    call c = {.fn = fn, .ctx = ctx};
    call_mail mails[TG_WORKERS_MAX];
    memset(mails, 0, sizeof(mails));
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.done, NULL);
    for (uint32_t i = 0; i < check(ws)->count; i++) {
        mails[i].call = &c;
        mails[i].mail.run = run_call;
        if (send_call(ws, i, &mails[i]))
            continue;
        pthread_mutex_lock(&ws->stand_in);
        tg_worker_stand_in(&ws->at[i]);
        c.result[i] = fn(&ws->at[i], ctx);
        tg_worker_stand_in(NULL);
        pthread_mutex_unlock(&ws->stand_in);
    }
    pthread_mutex_lock(&c.lock);
    while (c.waiting > 0)
        pthread_cond_wait(&c.done, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.done);
    pthread_mutex_destroy(&c.lock);
    for (uint32_t i = 0; i < ws->count; i++)
        if (c.result[i] != 0)
            return c.result[i];
    return 0;
}

static int nothing(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    return 0;
}

int tg_workers_start(tg_workers *ws, tg_error *e)
{
    assert(!check(ws)->started);
    for (uint32_t i = 0; i < ws->count; i++) {
        ws->running[i] = true;
        int rc = pthread_create(&ws->threads[i], NULL, thread_main, &ws->at[i]);
        if (rc == 0)
            continue;
        ws->running[i] = false;
        tg_workers_stop(ws, 0);
        for (uint32_t j = 0; j < i; j++)
            pthread_join(ws->threads[j], NULL);
        return tg_error_set(e, TG_E_IO, "cannot start worker %u: %s", i, strerror(rc));
    }
    tg_workers_call(ws, nothing, NULL); // now each has said who it is
    ws->started = true;
    return 0;
}
