// SPDX-License-Identifier: Apache-2.0
// The hub on real threads and real mailboxes, for ThreadSanitizer. One session hops between the
// workers while all of them publish to it, subscribe, unsubscribe and keep messages. What its
// links note is not locked: only the session's owner may touch it, so a handover without a
// happens-before is a race that is seen.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/metric.h"
#include "hub/hub.h"

#include "../../support/check.h"

#define WORKERS 3
#define ROUNDS 3000
#define NUMBERS (ROUNDS + 1)
#define PER_HOP 30
#define PATIENCE_S 120 // of a machine that has much else to do, under a sanitizer

typedef struct link {
    struct worker *at;
    tg_session s;
    bool free;
} link;

typedef struct worker {
    uint32_t index;
    tg_mailbox *box;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
    tg_wheel *wheel;
    tg_shard *shard;
    pthread_t thread;
    uint64_t seed;
    tg_session me; // publishes, and churns subscriptions
    link links[4];
    int sent;
    unsigned churned;
} worker;

static struct {
    tg_hub *hub;
    worker workers[WORKERS];
    pthread_barrier_t all;
    atomic_uint taken; // numbers that have arrived
    atomic_uint hops; // nobody publishes far ahead of them
    atomic_uint opening; // under way: with too many, none would ever have the session
} run;

// The hopper's own: touched by its owner alone.
static int last[WORKERS];
static bool had[WORKERS][NUMBERS];
static unsigned doubles;

static unsigned rnd(worker *w, unsigned n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(w->seed >> 33) % n;
}

static void wake(void *ctx)
{
    worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->wake = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

static bool send_mail(void *net, uint32_t to, tg_mail *m, bool control)
{
    (void)net;
    if (!control)
        return tg_mailbox_data(run.workers[to].box, m);
    tg_mailbox_control(run.workers[to].box, m);
    return true;
}

static void note(int from, int n, bool dup)
{
    if (had[from][n]) {
        doubles++;
        assert_true(dup);
        return;
    }
    if (n <= last[from])
        fail_msg("worker %d: %d after %d", from, n, last[from]);
    last[from] = n;
    had[from][n] = true;
}

static int on_deliver(void *ctx, tg_session s, const tg_delivery *d)
{
    link *l = ctx;
    char text[32];
    int from, n;
    assert_true(l->s.id == s.id);
    snprintf(text, sizeof(text), "%.*s", (int)d->msg->payload.len, d->msg->payload.at);
    if (sscanf(text, "%d:%d", &from, &n) == 2)
        note(from, n, d->dup);
    if (d->qos > 0)
        assert_int_equal(tg_session_ack(l->at->shard, s, d->packet_id, TG_ACK_DONE), 0);
    return 0;
}

static void on_ended(void *ctx, tg_session s, uint16_t number, int reason)
{
    (void)number;
    link *l = ctx;
    (void)s;
    assert_true(reason == TG_E_TAKENOVER || reason == TG_E_SHUTDOWN);
    l->s.id = 0;
    l->free = true;
}

static const tg_link ops = {on_deliver, on_ended};

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    link *l = ctx;
    (void)present;
    assert_true(code == 0 || code == TG_E_TAKENOVER || code == TG_E_SHUTDOWN);
    l->s = s;
    l->free = code != 0;
    atomic_fetch_add(&run.hops, code == 0);
    atomic_fetch_sub(&run.opening, 1);
}

static int on_nothing(void *ctx, tg_session s, const tg_delivery *d)
{
    (void)ctx;
    (void)s;
    return d->qos > 0 ? TG_E_TOOBIG : 0;
}

static void ended_nothing(void *ctx, tg_session s, uint16_t number, int reason)
{
    (void)number;
    (void)ctx;
    (void)s;
    (void)reason;
}

static const tg_link own_ops = {on_nothing, ended_nothing};

static void own_opened(void *ctx, int code, tg_session s, bool present)
{
    (void)present;
    assert_int_equal(code, 0);
    ((worker *)ctx)->me = s;
}

static void done(void *ctx, int code, const tg_value *value)
{
    (void)code;
    (void)value;
    ((worker *)ctx)->churned++;
}

static void open_link(worker *w)
{
    for (unsigned i = 0; i < 4; i++) {
        link *l = &w->links[i];
        if (!l->free)
            continue;
        l->free = false;
        l->at = w;
        atomic_fetch_add(&run.opening, 1);
        tg_session_spec spec = {
            .size = sizeof(spec), .client_id = TG_LIT("hopper"), .expiry_s = 1000};
        assert_int_equal(tg_session_open(w->shard, &ops, l, &spec, on_opened, l), 0);
        return;
    }
}

static void subscribe_hopper(worker *w)
{
    for (unsigned i = 0; i < 4; i++) {
        tg_sub sub = {.size = sizeof(sub), .qos = 1};
        if (w->links[i].s.id != 0)
            tg_session_subscribe(w->shard, w->links[i].s, TG_LIT("n/+"), &sub, done, w);
    }
}

static void publish(worker *w, const char *topic, const char *text, uint8_t retain)
{
    tg_msg_spec spec = {.size = sizeof(spec),
                        .topic = tg_str(topic),
                        .payload = tg_str(text),
                        .qos = 1,
                        .retain = retain};
    tg_msg m = tg_msg_new(&spec);
    assert_int_equal(tg_session_publish(w->shard, w->me, m, NULL, NULL), 0);
    tg_msg_unref(m);
}

static void publish_number(worker *w)
{
    char text[32];
    snprintf(text, sizeof(text), "%u:%d", w->index, ++w->sent);
    publish(w, "n/x", text, 0);
}

static void churn(worker *w)
{
    char filter[32];
    tg_sub sub = {.size = sizeof(sub), .qos = 1, .flags = (uint8_t)rnd(w, 16)};
    static const char *const forms[][2] = {
        {"n/", ""}, {"a/", "/+"}, {"", "/#"}, {"$share/g/n/", ""}, {"+/", "/b"}};
    const char *const *form = forms[rnd(w, 5)];
    snprintf(filter, sizeof(filter), "%s%u%s", form[0], rnd(w, 50), form[1]);
    if (rnd(w, 2) == 0)
        assert_int_equal(
            tg_session_subscribe(w->shard, w->me, tg_str(filter), &sub, done, w), 0);
    else
        assert_int_equal(tg_session_unsubscribe(w->shard, w->me, tg_str(filter), done, w),
                         0);
}

static void keep(worker *w)
{
    char topic[32];
    snprintf(topic, sizeof(topic), "a/%u/b", rnd(w, 50));
    publish(w, topic, rnd(w, 4) == 0 ? "" : "kept", 1);
}

static void turn(worker *w)
{
    tg_mailbox_drain(w->box, w->shard, 64);
    tg_shard_turn(w->shard);
}

static void wait_a_little(worker *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 2000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&w->lock);
    if (!w->wake)
        pthread_cond_clockwait(&w->woken, &w->lock, CLOCK_MONOTONIC, &until);
    w->wake = false;
    pthread_mutex_unlock(&w->lock);
}

static void rest(worker *w)
{
    turn(w);
    wait_a_little(w);
}

static void act(worker *w)
{
    unsigned what = rnd(w, 100);
    bool may = w->sent < (int)atomic_load(&run.hops) * PER_HOP;
    if (what < 40 && may)
        publish_number(w);
    else if (what < 40)
        rest(w); // the session is on its way: others need the processor for it
    else if (what < 80)
        churn(w);
    else if (what < 90)
        keep(w);
    else if (what < 96 && atomic_load(&run.opening) < 2)
        open_link(w);
    else
        turn(w);
}

static time_t seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

// Until every number has arrived, which is when nothing is under way any more.
static void drain(worker *w, unsigned want)
{
    time_t end = seconds() + PATIENCE_S;
    while (atomic_load(&run.taken) < want && seconds() < end) {
        turn(w);
        for (unsigned k = 0; k < 4; k++) {
            if (w->links[k].s.id == 0)
                continue;
            unsigned n = 0;
            for (unsigned p = 0; p < WORKERS; p++)
                for (unsigned j = 1; j < NUMBERS; j++)
                    n += had[p][j];
            atomic_store(&run.taken, n);
        }
        wait_a_little(w);
    }
}

static void *main_of(void *ctx)
{
    worker *w = ctx;
    tg_metrics_thread(w->index + 1);
    assert_int_equal(tg_shard_open(run.hub, w->index, w->wheel, &w->shard), 0);
    char id[8];
    snprintf(id, sizeof(id), "w%u", w->index);
    tg_session_spec spec = {.size = sizeof(spec), .client_id = tg_str(id)};
    pthread_barrier_wait(&run.all);
    assert_int_equal(tg_session_open(w->shard, &own_ops, w, &spec, own_opened, w), 0);
    turn(w);
    if (w->index == 0) {
        open_link(w);
        turn(w);
        subscribe_hopper(w);
        turn(w);
    }
    pthread_barrier_wait(&run.all);
    while (w->sent < ROUNDS) {
        act(w);
        if (rnd(w, 4) == 0)
            turn(w);
    }
    turn(w);
    drain(w, WORKERS * ROUNDS);
    pthread_barrier_wait(&run.all);
    turn(w);
    pthread_barrier_wait(&run.all);
    turn(w);
    pthread_barrier_wait(&run.all);
    tg_shard_close(w->shard);
    return NULL;
}

static void start(worker *w, uint32_t index)
{
    *w = (worker){.index = index, .seed = index + 1, .wheel = tg_wheel_new(1)};
    w->box = tg_mailbox_new(1 << 20, wake, w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->woken, NULL);
    for (unsigned i = 0; i < 4; i++)
        w->links[i].free = true;
    pthread_create(&w->thread, NULL, main_of, w);
}

static void workers_share_the_hub_without_a_race(void **state)
{
    (void)state;
    tg_hash_seed();
    tg_metrics_open(WORKERS + 1);
    tg_hub_config c = {.workers = WORKERS,
                       .send = send_mail,
                       .limits = {.queue_messages = 1000000, .queue_bytes = UINT32_MAX}};
    tg_error e;
    assert_int_equal(tg_hub_new(&c, &run.hub, &e), 0);
    pthread_barrier_init(&run.all, NULL, WORKERS);
    for (uint32_t i = 0; i < WORKERS; i++)
        start(&run.workers[i], i);
    for (uint32_t i = 0; i < WORKERS; i++)
        pthread_join(run.workers[i].thread, NULL);
    for (uint32_t p = 0; p < WORKERS; p++)
        for (int n = 1; n <= ROUNDS; n++)
            if (!had[p][n])
                fail_msg("worker %u: %d was lost", p, n);
    assert_true(atomic_load(&run.hops) >= ROUNDS / PER_HOP);
    tg_hub_free(run.hub);
    for (uint32_t i = 0; i < WORKERS; i++) {
        tg_mailbox_free(run.workers[i].box);
        tg_wheel_free(run.workers[i].wheel);
    }
    pthread_barrier_destroy(&run.all);
    tg_metrics_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_share_the_hub_without_a_race),
    };
    return RUN(tests);
}
