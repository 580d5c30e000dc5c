// SPDX-License-Identifier: Apache-2.0
// A turn of a worker: alarms, a wait for I/O and mails, then the rooms' turn callbacks and the
// connections' writes. Alarms run right before the worker may sleep and end with the same last
// step, so nothing that they produced waits for the next event. The wheel's next due bounds
// the sleep. libuv's loop is run only while a lookup is under way.
#include "net/worker_impl.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "net/conn_impl.h"
#include "net/listener_impl.h"

#define WORKER_MAGIC 0x3a9e1c0du
#define MAIL_BUDGET 512 // data mails of one turn
#define ROUNDS 4 // last steps in a row, while each makes work for another

static _Thread_local tg_worker *here;

static tg_worker *check(const tg_worker *w)
{
    assert(w != NULL && w->magic == WORKER_MAGIC);
    return (tg_worker *)w;
}

tg_worker *tg_worker_here(void)
{
    return here;
}

void tg_worker_stand_in(tg_worker *w)
{
    here = w;
}

uint32_t tg_worker_index(const tg_worker *w)
{
    return check(w)->index;
}

tg_workers *tg_worker_all(const tg_worker *w)
{
    return check(w)->all;
}

tg_wheel *tg_worker_wheel(tg_worker *w)
{
    tg_worker_enter(check(w));
    return w->wheel;
}

tg_mailbox *tg_worker_mailbox(tg_worker *w)
{
    return check(w)->mailbox;
}

uint64_t tg_worker_now(const tg_worker *w)
{
    return uv_now(&check(w)->loop);
}

pthread_t tg_worker_thread(const tg_worker *w)
{
    return check(w)->thread;
}

clockid_t tg_worker_cpu_clock(const tg_worker *w)
{
    clockid_t clock;
    bool known = check(w)->all->started && pthread_getcpuclockid(w->thread, &clock) == 0;
    return known ? clock : CLOCK_MONOTONIC;
}

void tg_worker_set(tg_worker *w, tg_place place, void *state)
{
    assert(place < TG_PLACE_COUNT);
    check(w)->place[place] = state;
}

void *tg_worker_get(const tg_worker *w, tg_place place)
{
    assert(place < TG_PLACE_COUNT);
    return check(w)->place[place];
}

void *tg_worker_get_here(tg_place place)
{
    assert(place < TG_PLACE_COUNT);
    return here != NULL ? here->place[place] : NULL;
}

void tg_worker_enter(tg_worker *w)
{
    uint64_t now = uv_now(&w->loop);
    if (now == w->seen || w->in_wheel)
        return;
    w->seen = now;
    uint64_t at = tg_wheel_now(w->wheel), wait = tg_wheel_wait(w->wheel);
    if (wait == 0)
        return;
    uint64_t most = wait == UINT64_MAX ? now : at + wait - 1; // runs nothing up to there
    tg_wheel_run(w->wheel, now < most ? now : most);
}

static bool run_wheel(tg_worker *w)
{
    uint64_t now = uv_now(&w->loop), at = tg_wheel_now(w->wheel);
    bool due = now - at >= tg_wheel_wait(w->wheel);
    w->in_wheel = true;
    tg_wheel_run(w->wheel, now);
    w->in_wheel = false;
    w->seen = now;
    return due;
}

static void drain(tg_worker *w)
{
    tg_worker_enter(w);
    w->more_mail = tg_mailbox_drain(w->mailbox, w, MAIL_BUDGET);
}

static void on_bell(tg_io *io, unsigned events)
{
    (void)events;
    drain(TG_OWNER(io, tg_worker, bell));
}

static void count_turn(tg_worker *w)
{
    const tg_net_metrics *m = &w->all->metrics;
    if (w->bytes_in != 0)
        tg_metric_add(m->bytes_in, (int64_t)w->bytes_in);
    if (w->writes != 0) {
        tg_metric_add(m->bytes_out, (int64_t)w->bytes_out);
        tg_metric_add(m->writes, (int64_t)w->writes);
    }
    w->bytes_in = w->bytes_out = w->writes = 0;
}

static bool finish_once(tg_worker *w)
{
    w->called = false;
    for (uint32_t i = 0; i < w->all->nturns; i++)
        w->all->turns[i].fn(w, w->all->turns[i].ctx);
    tg_conns_run(w);
    return tg_io_done(w) || w->called || w->todo != NULL;
}

void tg_worker_finish(tg_worker *w)
{
    bool again = true;
    for (int round = 0; again && round < ROUNDS; round++)
        again = finish_once(w);
    count_turn(w);
    w->hurry = again || w->more_mail;
    if (w->stopping && tg_list_empty(&w->conns) && tg_list_empty(&w->acceptors))
        w->ended = true;
}

static void before(tg_worker *w)
{
    uv_update_time(&w->loop);
    bool alarms = run_wheel(w);
    if (w->more_mail)
        drain(w);
    if (alarms || w->todo != NULL || w->hurry || w->stopping)
        tg_worker_finish(w);
}

static void run_uv(tg_worker *w)
{
    if (uv_loop_alive(&w->loop))
        uv_run(&w->loop, UV_RUN_NOWAIT);
}

static int sleep_ms(const tg_worker *w)
{
    if (w->hurry || w->ended || w->called || w->todo != NULL)
        return 0;
    uint64_t wait = tg_wheel_wait(w->wheel);
    return wait == UINT64_MAX ? -1 : wait < INT32_MAX ? (int)wait : INT32_MAX;
}

static void turn(tg_worker *w)
{
    before(w);
    run_uv(w);
    tg_io_wait(w, sleep_ms(w));
    tg_worker_finish(w);
}

static void ring(void *ctx)
{
    tg_io_ring(ctx);
}

int tg_worker_init(tg_worker *w, tg_workers *all, uint32_t index, size_t mailbox_bytes)
{
    w->index = index;
    w->all = all;
    tg_list_init(&w->conns);
    w->todo_end = &w->todo;
    tg_list_init(&w->acceptors);
    tg_list_init(&w->watches);
    if (uv_loop_init(&w->loop) != 0)
        return TG_E_NOMEM;
    if (tg_io_open(w, on_bell) != 0) {
        uv_loop_close(&w->loop);
        return TG_E_IO;
    }
    w->wheel = tg_wheel_new(uv_now(&w->loop));
    w->mailbox = tg_mailbox_new(mailbox_bytes, ring, w);
    w->in = malloc(TG_READ_HEAD + TG_READ_MAX);
    if (w->wheel == NULL || w->mailbox == NULL || w->in == NULL)
        goto fail;
    w->magic = WORKER_MAGIC;
    return 0;

fail:
    tg_wheel_free(w->wheel);
    tg_mailbox_free(w->mailbox);
    free(w->in);
    tg_io_end(w);
    uv_loop_close(&w->loop);
    return TG_E_NOMEM;
}

static void on_deadline(tg_alarm *a)
{
    tg_worker *w = TG_OWNER(a, tg_worker, deadline);
    if (w->nconns > 0)
        tg_log(NET, WARN, "worker %u: %u connections were still open at the deadline",
               w->index, w->nconns);
    tg_conns_abort(w, TG_E_SHUTDOWN);
    tg_acceptors_close(w);
}

void tg_worker_stop(tg_worker *w, uint32_t deadline_ms)
{
    if (w->stopping)
        return;
    w->stopping = true;
    tg_acceptors_stop(w);
    tg_dials_abort(w);
    tg_wheel_add(tg_worker_wheel(w), &w->deadline, deadline_ms, on_deadline);
}

// Signals of the process are the control thread's business.
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void tg_worker_main(tg_worker *w)
{
    char name[16];
    snprintf(name, sizeof(name), "tg-worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    block_signals();
    tg_metrics_thread(w->index + 1);
    here = w;
    w->thread = pthread_self();
    while (!w->ended)
        turn(w);
}

// On the thread that frees all workers: this one has no thread any more, or never had one.
// Lookups may still run on libuv's threads: running the loop waits for their memory.
void tg_worker_free(tg_worker *w)
{
    here = check(w);
    tg_conns_abort(w, TG_E_SHUTDOWN);
    tg_acceptors_close(w);
    tg_conns_run(w);
    tg_wheel_del(w->wheel, &w->deadline);
    tg_watches_close(w);
    tg_io_done(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    here = NULL;
    int rc = uv_loop_close(&w->loop);
    assert(rc == 0 && w->nconns == 0); // a room above left a handle of its own open
    (void)rc;
    tg_io_end(w);
    tg_conns_free(w);
    tg_dial_tls_free(w);
    tg_wheel_free(w->wheel);
    tg_mailbox_free(w->mailbox);
    tg_buf_free(&w->cipher);
    BIO_free(w->bio);
    BIO_meth_free(w->bio_method);
    free(w->in);
    free(w->plain);
    free(w->datagrams);
    w->magic = 0;
}
