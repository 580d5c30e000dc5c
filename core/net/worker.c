// SPDX-License-Identifier: Apache-2.0
// A turn of a worker: mails and I/O in libuv's poll phase, then in the check phase the
// rooms' turn callbacks, then the connections' writes. Alarms run in the prepare phase,
// right before the loop may sleep, and end with the same last step, so nothing that they
// produced waits for the next event. libuv's own timer only bounds the sleep by the wheel's
// next due.
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

uv_loop_t *tg_worker_loop(tg_worker *w)
{
    return &check(w)->loop;
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

static void on_clock(uv_timer_t *t)
{
    ((tg_worker *)t->data)->clock_at = 0;
}

static void arm_clock(tg_worker *w)
{
    uint64_t wait = tg_wheel_wait(w->wheel);
    uint64_t at = wait == UINT64_MAX ? 0 : tg_wheel_now(w->wheel) + wait;
    if (at == w->clock_at)
        return;
    w->clock_at = at;
    if (at == 0) {
        uv_timer_stop(&w->clock);
        return;
    }
    uint64_t now = uv_now(&w->loop);
    uv_timer_start(&w->clock, on_clock, at > now ? at - now : 0, 0);
}

static void drain(tg_worker *w)
{
    tg_worker_enter(w);
    w->more_mail = tg_mailbox_drain(w->mailbox, w, MAIL_BUDGET);
}

static void on_bell(uv_async_t *a)
{
    drain(a->data);
}

static void on_hurry(uv_idle_t *i)
{
    tg_worker *w = i->data;
    if (w->more_mail)
        drain(w);
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
    return w->called || w->todo != NULL;
}

void tg_worker_finish(tg_worker *w)
{
    bool again = true;
    for (int round = 0; again && round < ROUNDS; round++)
        again = finish_once(w);
    count_turn(w);
    if (again || w->more_mail)
        uv_idle_start(&w->hurry, on_hurry);
    else
        uv_idle_stop(&w->hurry);
    if (w->stopping && tg_list_empty(&w->conns) && tg_list_empty(&w->acceptors)) {
        w->ended = true;
        uv_stop(&w->loop);
    }
}

static void on_before(uv_prepare_t *p)
{
    tg_worker *w = p->data;
    bool alarms = run_wheel(w);
    if (alarms || w->todo != NULL || uv_is_active((uv_handle_t *)&w->hurry) || w->stopping)
        tg_worker_finish(w);
    arm_clock(w);
}

static void on_after(uv_check_t *c)
{
    tg_worker *w = c->data;
    tg_worker_enter(w);
    tg_worker_finish(w);
}

static void ring(void *ctx)
{
    uv_async_send(&((tg_worker *)ctx)->bell);
}

static void init_handles(tg_worker *w)
{
    uv_timer_init(&w->loop, &w->clock);
    uv_prepare_init(&w->loop, &w->before);
    uv_check_init(&w->loop, &w->after);
    uv_idle_init(&w->loop, &w->hurry);
    w->bell.data = w->clock.data = w->before.data = w->after.data = w->hurry.data = w;
    uv_prepare_start(&w->before, on_before);
    uv_check_start(&w->after, on_after);
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
    w->wheel = tg_wheel_new(uv_now(&w->loop));
    w->mailbox = tg_mailbox_new(mailbox_bytes, ring, w);
    w->in = malloc(TG_READ_HEAD + TG_READ_MAX);
    if (w->wheel == NULL || w->mailbox == NULL || w->in == NULL ||
        uv_async_init(&w->loop, &w->bell, on_bell) != 0)
        goto fail;
    init_handles(w);
    w->magic = WORKER_MAGIC;
    return 0;

fail:
    tg_wheel_free(w->wheel);
    tg_mailbox_free(w->mailbox);
    free(w->in);
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
        uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void close_handles(tg_worker *w)
{
    tg_wheel_del(w->wheel, &w->deadline);
    tg_watches_close(w);
    uv_close((uv_handle_t *)&w->bell, NULL);
    uv_close((uv_handle_t *)&w->clock, NULL);
    uv_close((uv_handle_t *)&w->before, NULL);
    uv_close((uv_handle_t *)&w->after, NULL);
    uv_close((uv_handle_t *)&w->hurry, NULL);
}

// On the thread that frees all workers: this one has no thread any more, or never had one.
// Lookups may still run on libuv's threads: running the loop waits for their memory.
void tg_worker_free(tg_worker *w)
{
    here = check(w);
    tg_conns_abort(w, TG_E_SHUTDOWN);
    tg_acceptors_close(w);
    tg_conns_run(w);
    close_handles(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    here = NULL;
    int rc = uv_loop_close(&w->loop);
    assert(rc == 0 && w->nconns == 0); // a room above left a handle of its own open
    (void)rc;
    tg_conns_free(w);
    tg_dial_tls_free(w);
    tg_wheel_free(w->wheel);
    tg_mailbox_free(w->mailbox);
    tg_buf_free(&w->cipher);
    BIO_meth_free(w->bio);
    free(w->in);
    free(w->plain);
    free(w->datagrams);
    w->magic = 0;
}
