// SPDX-License-Identifier: Apache-2.0
// What was acknowledged must be there after a crash; and who waits for a commit is answered
// once it is made, whoever left meanwhile.
#include "durable.h"

static void answers_wait_for_the_commit_and_stall_nobody_else(void **state)
{
    (void)state;
    start(NULL);
    client_init(&a, &w, 1);
    tg_session_spec spec = spec_of("a", 100, false);
    client_open_spec(&a, &spec);
    world_settle(&w);
    assert_int_equal(a.opened, 1); // not yet
    settle_all(&w);
    assert_int_equal(a.opened, 0);
    client_sub_with(&a, "t", (tg_sub){.qos = 1});
    world_settle(&w);
    assert_int_equal(a.done, 1);
    settle_all(&w);
    assert_int_equal(a.done, 0);
    open_durable(&p, 0, "p", 0);
    open_durable(&q, 0, "q", 0);
    sub(&q, "brief", 1);
    client_pub(&p, "t", "1", 1);
    world_settle(&w);
    assert_int_equal(p.ndone, 0);
    assert_int_equal(a.count, 1); // it is delivered all the same
    client_pub(&q, "brief", "x", 1); // no durable receiver
    assert_int_equal(q.done, 0);
    client_pub(&p, "brief", "2", 1); // its answer must not overtake the first one's
    assert_int_equal(p.ndone, 0);
    settle_all(&w);
    assert_int_equal(p.ndone, 2);
    assert_int_equal(p.done, 0);
    world_close(&w);
    forget_all();
}

static void close_itself(client *c, const tg_delivery *d)
{
    (void)d;
    c->on_deliver = NULL;
    client_close(c, 0);
}

static void a_publisher_that_closes_within_its_publish_is_answered_once(void **state)
{
    (void)state;
    start(NULL);
    open_durable(&p, 0, "p", 0);
    sub(&p, "t", 0);
    p.on_deliver = close_itself;
    p.ndone = 0;
    client_pub(&p, "t", "1", 1);
    assert_int_equal(p.done, TG_E_CANCELLED);
    settle_all(&w);
    assert_int_equal(p.ndone, 1);
    world_close(&w);
    forget_all();
}

static void open_again(void *ctx, int code, uint32_t receivers)
{
    (void)ctx;
    (void)receivers;
    assert_int_equal(code, TG_E_CANCELLED);
    client_init(&q, &w, 0);
    tg_session_spec spec = spec_of("p", 0, false);
    client_open_spec(&q, &spec);
}

static void publish_and_wait(void)
{
    start(NULL);
    open_durable(&a, 1, "a", 100);
    sub(&a, "t", 1);
    open_durable(&p, 0, "p", 0);
    tg_msg_spec spec = {.size = sizeof(spec), .topic = tg_str("t"), .qos = 1};
    tg_msg m = tg_msg_new(&spec);
    w.here = 0;
    assert_int_equal(tg_session_publish(w.shard[0], p.s, m, open_again, NULL), 0);
    tg_msg_unref(m);
    world_settle(&w);
}

static void who_opens_again_when_told_of_the_end_keeps_the_session(void **state)
{
    (void)state;
    publish_and_wait();
    assert_int_equal(tg_hub_kick(w.hub, tg_str("p"), true), 0);
    settle_all(&w);
    assert_int_equal(p.ended, TG_E_KICKED);
    assert_int_equal(q.opened, 0);
    assert_int_equal(tg_session_close(w.shard[0], q.s, 0), 0);
    settle_all(&w);
    world_close(&w);
    forget_all();
    publish_and_wait();
    client_close(&p, 0);
    settle_all(&w);
    assert_int_equal(q.opened, 0);
    assert_int_equal(tg_session_close(w.shard[0], q.s, 0), 0);
    settle_all(&w);
    world_close(&w);
    forget_all();
}

// The member that the message was meant for has gone when it arrives: the publisher waits for
// the store of the one that gets it instead, which is on a third worker.
static void who_waits_for_a_member_that_ended_waits_for_the_next(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        start(NULL);
        tg_log_set_level("hub", fails != 0 ? -1 : TG_LOG_ERROR);
        open_durable(&a, 1, "a", 0);
        sub(&a, "$share/g/t", 1);
        open_durable(&p, 0, "p", 0);
        client_pub(&p, "t", "1", 1);
        open_durable(&b, 2, "b", 100);
        w.here = 1; // the mail is still on its way to worker 1
        sub(&b, "$share/g/t", 1);
        settle_all(&w);
        assert_int_equal(a.count, 1);
        p.ndone = 0;
        for (int i = 0; i < 2; i++) // one of them is b's
            client_pub(&p, "t", "2", 1);
        client_close(&a, TG_CLOSE_END_SESSION);
        world_settle(&w);
        assert_int_equal(b.count, 2);
        assert_int_equal(p.ndone, 0);
        fail_with = fails != 0 ? TG_E_IO : 0;
        settle_all(&w);
        assert_int_equal(p.ndone, 2);
        assert_int_equal(p.done, fail_with);
        fail_with = 0;
        world_close(&w);
        forget_all();
    }
    tg_log_set_level("hub", TG_LOG_ERROR);
}

static void a_kick_waits_for_a_session_that_a_slow_store_holds(void **state)
{
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        start(NULL);
        open_durable(&a, 1, "a", 100);
        sub(&a, "t", 1);
        open_durable(&p, 0, "p", 0);
        a.ack = false;
        client_pub(&p, "t", "1", 1); // its commit is what the hand-over waits for
        client_init(&b, &w, 2);
        tg_session_spec spec = spec_of("a", 100, false);
        client_open_spec(&b, &spec);
        world_settle(&w);
        assert_int_equal(a.ended, TG_E_TAKENOVER);
        assert_int_equal(b.opened, 1);
        w.here = 0;
        assert_int_equal(tg_hub_kick(w.hub, tg_str("a"), forget != 0), 0);
        settle_all(&w);
        assert_int_equal(b.opened, TG_E_KICKED);
        open_durable(&q, 0, "a", 100);
        assert_int_equal(q.present, forget == 0);
        assert_int_equal(q.count, forget == 0);
        world_close(&w);
        forget_all();
    }
}

static void a_failed_commit_is_told(void **state)
{
    (void)state;
    start(NULL);
    tg_log_set_level("hub", -1);
    open_durable(&a, 1, "a", 100);
    sub(&a, "t", 1);
    open_durable(&p, 0, "p", 0);
    client_pub(&p, "t", "1", 1);
    fail_with = TG_E_IO;
    settle_all(&w);
    assert_int_equal(p.done, TG_E_IO);
    client_init(&b, &w, 2);
    tg_session_spec spec = spec_of("b", 100, false);
    client_open_spec(&b, &spec);
    settle_all(&w);
    assert_int_equal(b.opened, TG_E_IO);
    fail_with = 0;
    settle_all(&w);
    tg_log_set_level("hub", TG_LOG_ERROR);
    world_close(&w);
    forget_all();
}

static char heard[256];

// It publishes from within, as an adapter does.
static void hear(void *ctx, tg_slice id, const tg_value *attributes, tg_msg m, int reason)
{
    world *at = ctx;
    assert_non_null(attributes);
    size_t len = strlen(heard);
    snprintf(heard + len, sizeof(heard) - len, "%.*s:%.*s:%d ", (int)id.len, id.at,
             (int)m->payload.len, m->payload.at, reason);
    tg_msg_spec spec = {
        .size = sizeof(spec), .topic = tg_str("fate"), .payload = m->payload};
    tg_msg fate = tg_msg_new(&spec);
    tg_session_publish(at->shard[at->here], (tg_session){0}, fate, NULL, NULL);
    tg_msg_unref(fate);
}

static void leave_for_a(const char *payload, uint32_t expiry_s)
{
    tg_msg_spec spec = {
        .topic = tg_str("t"), .payload = tg_str(payload), .qos = 1, .expiry_s = expiry_s};
    assert_int_equal(client_pub_msg(&p, spec), 0);
    settle_all(&w);
}

#define HEARD(want)                                                                        \
    do {                                                                                   \
        assert_string_equal(heard, want);                                                  \
        heard[0] = '\0';                                                                   \
    } while (0)

// What is kept for somebody who is away is told, and what is outlived by then, also when the
// host began anew in between.
static void what_waits_for_who_is_away_is_told(void **state)
{
    (void)state;
    tg_value map = {.kind = TG_MAP};
    tg_hub_limits limits = {.queue_messages = 3};
    world_away = hear;
    start(&limits);
    client_init(&a, &w, 1);
    tg_session_spec spec = spec_of("a", 1000, false);
    spec.attributes = &map;
    client_open_spec(&a, &spec);
    settle_all(&w);
    sub(&a, "t", 1);
    open_durable(&p, 0, "p", 0);
    sub(&p, "fate", 0);
    leave_for_a("0", 5);
    HEARD(""); // it is here
    client_close(&a, 0);
    settle_all(&w);
    leave_for_a("1", 5);
    leave_for_a("2", 100);
    leave_for_a("3", 0);
    leave_for_a("4", 0);
    HEARD("a:1:0 a:2:0 a:3:0 a:4:-3 ");
    got(&p, "fate=1 fate=2 fate=3 fate=4 ");
    world_advance(&w, 7000);
    HEARD("a:1:-7 ");
    settle_all(&w);
    crash(&w);
    start(&limits);
    open_durable(&p, 0, "p", 0);
    world_advance(&w, 100000);
    HEARD("a:2:-7 ");
    settle_all(&w);
    client_open_spec(&a, &spec);
    settle_all(&w);
    world_advance(&w, 2000);
    HEARD("");
    world_away = NULL;
    world_close(&w);
    forget_all();
}

// The crash test: acknowledged numbers must come, in order, whatever was lost with the host.
#define NUMBERS 3000
static bool acked[NUMBERS], had[NUMBERS];
static int sent, last_done, last_had;
static bool held[65536];
static struct {
    uint16_t id;
    uint8_t qos;
    bool released;
} outs[8192];
static unsigned nouts;

static void on_number(client *c, const tg_delivery *d)
{
    char text[16];
    snprintf(text, sizeof(text), "%.*s", (int)d->msg->payload.len, d->msg->payload.at);
    int n = atoi(text);
    c->len = 0;
    outs[nouts].id = d->packet_id;
    outs[nouts].qos = d->qos;
    outs[nouts++].released = d->released;
    if (d->released)
        return;
    if (d->qos == 2 && held[d->packet_id]) {
        assert_true(d->dup);
        return;
    }
    if (d->qos == 2)
        assert_false(had[n]);
    if (!had[n] && n < last_had)
        fail_msg("%d after %d (seed %lu)", n, last_had, (unsigned long)w.seed);
    had[n] = true;
    if (n > last_had)
        last_had = n;
    if (d->qos == 2)
        held[d->packet_id] = true;
}

static void number_done(void *ctx, int code, uint32_t receivers)
{
    (void)receivers;
    int n = (int)(intptr_t)ctx;
    if (code == TG_E_CANCELLED)
        return; // its connection went first
    assert_int_equal(code, 0);
    assert_true(n > last_done); // in order
    last_done = n;
    acked[n] = true;
}

static void publish_number(void)
{
    char text[16];
    if (sent + 1 >= NUMBERS)
        return;
    snprintf(text, sizeof(text), "%d", ++sent);
    tg_msg_spec spec = {.size = sizeof(spec),
                        .topic = tg_str("n"),
                        .payload = tg_str(text),
                        .qos = (uint8_t)(1 + rnd(&w, 2))};
    tg_msg m = tg_msg_new(&spec);
    w.here = p.worker;
    assert_int_equal(
        tg_session_publish(w.shard[p.worker], p.s, m, number_done, (void *)(intptr_t)sent),
        0);
    tg_msg_unref(m);
}

static void answer_number(void)
{
    if (nouts == 0 || a.s.id == 0)
        return;
    tg_shard *sh = w.shard[a.worker];
    w.here = a.worker;
    if (outs[0].qos == 2 && !outs[0].released) {
        uint16_t received = outs[0].id;
        memmove(outs, outs + 1, --nouts * sizeof(outs[0]));
        assert_int_equal(tg_session_ack(sh, a.s, received, TG_ACK_RECEIVED), 1);
        return; // the release comes when it is stored
    }
    uint16_t id = outs[0].id;
    memmove(outs, outs + 1, --nouts * sizeof(outs[0]));
    held[id] = false;
    int rc = tg_session_ack(sh, a.s, id, TG_ACK_DONE);
    assert_true(rc == 0 || rc == TG_E_NOTFOUND); // released twice, completed twice
}

static void open_reader(void)
{
    client_init(&a, &w, rnd(&w, 3));
    a.ack = false;
    a.on_deliver = on_number;
    nouts = 0;
    tg_session_spec spec = spec_of("a", 1000, false);
    client_open_spec(&a, &spec);
}

static void crash_and_start(void)
{
    uint64_t seed = w.seed;
    tg_hub_limits limits = {.inflight = 20, .queue_messages = 100000};
    crash(&w);
    start(&limits);
    w.seed = seed;
    open_durable(&p, rnd(&w, 3), "p", 0);
    open_reader();
}

static void random_step(void)
{
    unsigned what = rnd(&w, 100);
    if (what < 25)
        publish_number();
    else if (what < 40)
        answer_number();
    else if (what < 50 && ncommits > 0)
        finish(&w, rnd(&w, ncommits));
    else if (what < 51 && a.opened == 0 && a.s.id != 0)
        client_close(&a, 0);
    else if (what < 53 && a.opened != 1 && a.s.id == 0)
        open_reader();
    else
        world_random(&w);
}

static void nothing_acknowledged_is_lost_in_a_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        memset(acked, 0, sizeof(acked));
        memset(had, 0, sizeof(had));
        memset(held, 0, sizeof(held));
        sent = last_done = last_had = 0;
        start(NULL);
        w.seed = seed;
        open_durable(&p, 0, "p", 0);
        open_reader();
        settle_all(&w);
        sub(&a, "n", 2);
        for (unsigned round = 0; round < 4; round++) {
            for (unsigned i = 0; i < 1000; i++)
                random_step();
            crash_and_start();
        }
        for (int quiet = 0; quiet < 3; quiet++) {
            settle_all(&w);
            if (a.s.id == 0 && a.opened != 1)
                open_reader();
            while (nouts > 0) {
                answer_number();
                quiet = 0;
            }
        }
        for (int n = 1; n <= sent; n++)
            if (acked[n] && !had[n])
                fail_msg("%d was acknowledged and lost (seed %lu)", n, (unsigned long)seed);
        crash(&w);
        forget_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_wait_for_the_commit_and_stall_nobody_else),
        cmocka_unit_test(a_publisher_that_closes_within_its_publish_is_answered_once),
        cmocka_unit_test(who_opens_again_when_told_of_the_end_keeps_the_session),
        cmocka_unit_test(who_waits_for_a_member_that_ended_waits_for_the_next),
        cmocka_unit_test(a_kick_waits_for_a_session_that_a_slow_store_holds),
        cmocka_unit_test(a_failed_commit_is_told),
        cmocka_unit_test(what_waits_for_who_is_away_is_told),
        cmocka_unit_test(nothing_acknowledged_is_lost_in_a_crash),
    };
    return RUN(tests);
}
