// SPDX-License-Identifier: Apache-2.0
// QoS 2 end to end through crashes, with a store whose commits of several workers take effect in
// any order: every numbered message reaches every subscriber once, whatever was lost between.
#include "slow_store.h"

static world w;
static client a, b, p;

static void start(void)
{
    fail_with = 0;
    world_open_with(&w, 3, NULL, &slow, op_new);
}

static void open_durable(client *c, uint32_t worker, const char *id)
{
    client_init(c, &w, worker);
    tg_session_spec spec = spec_of(id, 1000, false);
    client_open_spec(c, &spec);
    settle_all(&w);
    assert_int_equal(c->opened, 0);
}

static void sub(client *c, const char *filter)
{
    assert_int_equal(client_sub_with(c, filter, (tg_sub){.qos = 2}), 0);
    settle_all(&w);
    assert_int_equal(c->done, 0);
}

/// PUBLISH as an adapter takes it. @return what rx_add said.
static int publish(client *c, const char *id, uint16_t packet_id, const char *payload,
                   tg_published_fn *done, void *ctx)
{
    w.here = c->worker;
    tg_shard *sh = w.shard[c->worker];
    int rc = tg_session_rx_add(sh, c->s, packet_id);
    tg_msg_spec spec = {.size = sizeof(spec),
                        .topic = tg_str("t"),
                        .payload = tg_str(payload),
                        .publisher = tg_str(id),
                        .qos = 2};
    tg_msg m = rc == 0 ? tg_msg_new(&spec) : NULL;
    assert_true(rc == 0 || rc == TG_E_EXISTS);
    assert_int_equal(tg_session_publish_once(sh, c->s, packet_id, m, done, ctx), 0);
    tg_msg_unref(m);
    return rc;
}

static int send_1(void)
{
    p.done = 1;
    return publish(&p, "p", 7, "1", client_published, &p);
}

static bool commits_of(uint32_t worker)
{
    for (unsigned i = 0; i < ncommits; i++)
        if (commits[i].worker == worker)
            return true;
    return false;
}

static void finish_all_of(uint32_t worker)
{
    for (unsigned i = 0; i < ncommits;) {
        if (commits[i].worker != worker) {
            i++;
            continue;
        }
        finish(&w, i);
        world_settle(&w);
        i = 0;
    }
}

static unsigned records(const char *kind)
{
    unsigned n = 0;
    for (unsigned i = place(tg_str(kind)); begins(i, tg_str(kind)); i++)
        n++;
    return n;
}

// p on worker 0, its subscribers on 1 and 2.
static void three(void)
{
    start();
    open_durable(&a, 1, "a");
    open_durable(&b, 2, "b");
    sub(&a, "t");
    sub(&b, "t");
    open_durable(&p, 0, "p");
}

// All come back after a crash, to the same workers.
static void three_again(void)
{
    start();
    open_durable(&p, 0, "p");
    open_durable(&a, 1, "a");
    open_durable(&b, 2, "b");
    assert_true(a.present && b.present && p.present);
}

static void three_end(void)
{
    world_close(&w);
    forget_all();
}

static void an_id_is_kept_behind_the_entries_of_all_workers(void **state)
{
    (void)state;
    three();
    assert_int_equal(send_1(), 0);
    world_settle(&w);
    assert_false(commits_of(0));
    finish_all_of(1);
    assert_false(commits_of(0));
    assert_int_equal(p.done, 1);
    finish_all_of(2);
    assert_true(commits_of(0));
    assert_int_equal(p.done, 1);
    settle_all(&w);
    assert_int_equal(p.done, 0);
    assert_int_equal(p.receivers, 2);
    crash(&w);
    three_again();
    assert_int_equal(send_1(), TG_E_EXISTS);
    settle_all(&w);
    assert_int_equal(p.done, 0);
    assert_int_equal(a.count + b.count, 0);
    three_end();
}

// The crash that the order is for: one worker's entry is there, the other's and the id are not.
static void who_has_an_entry_does_not_get_a_second(void **state)
{
    (void)state;
    for (int first = 1; first <= 2; first++) {
        three();
        a.ack = b.ack = false;
        assert_int_equal(send_1(), 0);
        world_settle(&w);
        finish_all_of((uint32_t)first);
        crash(&w);
        three_again();
        client *has = first == 1 ? &a : &b, *lacks = first == 1 ? &b : &a;
        assert_int_equal(has->count, 2); // and its release
        assert_int_equal(lacks->count, 0);
        assert_int_equal(send_1(), 0);
        settle_all(&w);
        assert_int_equal(p.done, 0);
        assert_int_equal(has->count, 2);
        assert_int_equal(lacks->count, 2);
        assert_int_equal(send_1(), TG_E_EXISTS);
        assert_int_equal(records("h"), 0);
        three_end();
    }
}

// As before, but the one has answered it, and its entry is gone from the store.
static void who_is_done_with_it_does_not_get_it_again(void **state)
{
    (void)state;
    three();
    assert_int_equal(send_1(), 0);
    world_settle(&w);
    finish_all_of(1);
    assert_int_equal(a.count, 2); // and its release
    assert_int_equal(records("q"), 0);
    assert_int_equal(records("h"), 1);
    for (int crashes = 0; crashes < 2; crashes++) {
        crash(&w);
        three_again();
        assert_int_equal(records("h"), 1);
    }
    assert_int_equal(send_1(), 0);
    settle_all(&w);
    world_advance(&w, 1000);
    settle_all(&w);
    assert_int_equal(p.done, 0);
    assert_int_equal(a.count, 0);
    assert_int_equal(b.count, 2);
    assert_int_equal(records("h"), 0);
    three_end();
}

// A record that nobody will ask for goes with the publisher's session, or at the next start.
static void what_will_not_come_again_is_forgotten(void **state)
{
    (void)state;
    for (int later = 0; later < 2; later++) {
        three();
        assert_int_equal(send_1(), 0);
        world_settle(&w);
        finish_all_of(1);
        crash(&w);
        three_again();
        assert_int_equal(records("h"), 1);
        if (later != 0) {
            client_close(&a, 0);
            settle_all(&w);
        }
        client_close(&p, TG_CLOSE_END_SESSION);
        settle_all(&w);
        world_advance(&w, 1000);
        settle_all(&w);
        assert_int_equal(records("h"), 0);
        three_end();
    }
}

// A publisher that begins anew uses the id for another message, while the old one waits.
static void a_new_session_of_the_name_has_other_numbers(void **state)
{
    (void)state;
    three();
    client_close(&a, 0);
    assert_int_equal(send_1(), 0);
    settle_all(&w);
    client_close(&p, TG_CLOSE_END_SESSION);
    settle_all(&w);
    world_advance(&w, 1000);
    open_durable(&p, 0, "p");
    assert_false(p.present);
    assert_int_equal(publish(&p, "p", 7, "2", client_published, &p), 0);
    world_settle(&w); // nothing of it is stored
    crash(&w);
    three_again();
    assert_int_equal(publish(&p, "p", 7, "2", client_published, &p), 0);
    settle_all(&w);
    assert_int_equal(a.count, 4); // both, and their releases
    got(&a, "t=1/2 t=1/2/R t=2/2 t=2/2/R ");
    three_end();
}

// Who asks again on a new connection is answered when the first would have been.
static void a_publisher_that_comes_back_waits_as_well(void **state)
{
    (void)state;
    for (uint32_t worker = 0; worker < 2; worker++) {
        for (int fails = 0; fails < 2; fails++) {
            three();
            tg_log_set_level("hub", fails != 0 ? -1 : TG_LOG_ERROR);
            assert_int_equal(send_1(), 0);
            world_settle(&w);
            client_close(&p, 0);
            client_init(&p, &w, worker);
            tg_session_spec spec = spec_of("p", 1000, false);
            client_open_spec(&p, &spec);
            world_settle(&w);
            finish_all_of(0);
            finish_all_of(1);
            world_advance(&w, 1000);
            finish_all_of(0);
            finish_all_of(1);
            assert_int_equal(p.opened, 0);
            assert_int_equal(send_1(), TG_E_EXISTS);
            world_advance(&w, 1000);
            finish_all_of(0);
            finish_all_of(1);
            world_advance(&w, 1000);
            assert_int_equal(p.done, 1);
            fail_with = fails != 0 ? TG_E_IO : 0;
            finish_all_of(2);
            fail_with = 0;
            world_advance(&w, 1000);
            settle_all(&w);
            assert_int_equal(p.done, fails != 0 ? TG_E_IO : 0);
            world_close(&w);
            forget_all();
        }
    }
    tg_log_set_level("hub", TG_LOG_ERROR);
}

// One worker's store took a message that the other's did not: its publisher was told so, let go
// of the id, and uses it for the next one. Who had the first is not taken to have had that.
static void an_id_that_was_let_go_says_nothing_of_the_next_message(void **state)
{
    (void)state;
    three();
    tg_log_set_level("hub", -1);
    a.ack = false;
    assert_int_equal(send_1(), 0);
    world_settle(&w);
    finish_all_of(1);
    fail_with = TG_E_IO;
    finish_all_of(2);
    fail_with = 0;
    tg_log_set_level("hub", TG_LOG_ERROR);
    assert_int_equal(p.done, TG_E_IO);
    w.here = 0;
    assert_int_equal(tg_session_rx_del(w.shard[0], p.s, 7), 1);
    settle_all(&w);
    crash(&w);
    three_again();
    assert_int_equal(publish(&p, "p", 7, "2", client_published, &p), 0);
    settle_all(&w);
    assert_int_equal(p.done, 0);
    got(&b, "t=2/2 t=2/2/R ");
    assert_true(strstr(a.log, "t=2/2 ") != NULL);
    three_end();
}

// As many under way as make a search through all of them slow; their ids end alike by hundreds.
#define MANY 3000

static uint16_t nth_id(int i)
{
    return (uint16_t)(i % 100 * 640 + i / 100 + 1);
}

static void publish_many(int expected)
{
    char text[16];
    p.ndone = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(publish(&p, "p", nth_id(i), text, client_published, &p), expected);
    }
}

static void many_start(void)
{
    static const tg_hub_limits limits = {.queue_messages = MANY, .inflight = 65535};
    fail_with = 0;
    world_open_with(&w, 3, &limits, &slow, op_new);
    open_durable(&a, 1, "a");
    open_durable(&b, 2, "b");
    open_durable(&p, 0, "p");
}

static void many_under_way_are_told_apart(void **state)
{
    (void)state;
    many_start();
    sub(&a, "t");
    sub(&b, "t");
    publish_many(0);
    world_settle(&w);
    publish_many(TG_E_EXISTS); // each is asked for again, and waits
    finish_all_of(1);
    assert_int_equal(p.ndone, 0);
    crash(&w);
    many_start();
    assert_int_equal(b.count, 0);
    publish_many(0);
    settle_all(&w);
    assert_int_equal(p.ndone, MANY);
    assert_int_equal(b.count, 2 * MANY); // and its releases
    assert_int_equal(a.count, 0);
    publish_many(TG_E_EXISTS);
    for (int i = MANY - 1; i >= 0; i--)
        assert_int_equal(tg_session_rx_del(w.shard[0], p.s, nth_id(i)), 1);
    publish_many(0);
    settle_all(&w);
    assert_int_equal(p.ndone, MANY);
    assert_int_equal(b.count, 4 * MANY);
    three_end();
}

// Somebody who never comes back is no reason to wake up all the time.
static void a_publisher_that_stays_away_costs_a_look_a_second(void **state)
{
    (void)state;
    three();
    assert_int_equal(send_1(), 0);
    world_settle(&w);
    finish_all_of(1);
    client_close(&p, 0);
    world_advance(&w, 1000);
    assert_int_equal(records("h"), 1);
    assert_true(tg_wheel_wait(w.wheel[1]) >= 500);
    three_end();
}

// ---- at random -------------------------------------------------------------------------

#define PUBLISHERS 2
#define SUBSCRIBERS 3
#define WINDOW 6
#define NUMBERS 2000
#define RUNS 60

typedef struct flight {
    int number; // 0: the id is free
    bool received; // PUBREC came
    bool releasing; // PUBREL went
    unsigned life; // in which it was sent last
} flight;

typedef struct publisher {
    client c;
    char id[8];
    flight at[WINDOW];
    int order[WINDOW]; // of those under way, as sent
    int n, last;
} publisher;

typedef struct subscriber {
    client c;
    char id[8];
    bool online;
    bool holds[65536]; // packet ids not released
    uint16_t due[4096]; // packet ids whose delivery is to be answered
    bool due_released[4096];
    unsigned ndue;
    int count[PUBLISHERS][NUMBERS];
} subscriber;

static publisher pubs[PUBLISHERS];
static subscriber subs[SUBSCRIBERS];
static unsigned life; // one between two crashes or reconnects
static bool closing;

typedef struct ticket {
    publisher *p;
    int i, number;
    unsigned life;
} ticket;

static void free_flight(publisher *x, int i)
{
    int k = 0;
    while (x->order[k] != i)
        k++;
    memmove(&x->order[k], &x->order[k + 1], (size_t)(--x->n - k) * sizeof(int));
    x->at[i] = (flight){0};
}

static void answered(void *ctx, int code, uint32_t receivers)
{
    ticket t = *(ticket *)ctx;
    (void)receivers;
    free(ctx);
    if (code != 0 || closing || t.life != t.p->at[t.i].life ||
        t.p->at[t.i].number != t.number)
        return;
    t.p->at[t.i].received = true;
}

static void send(publisher *x, int i)
{
    char text[32];
    snprintf(text, sizeof(text), "%d %d", (int)(x - pubs), x->at[i].number);
    ticket *t = malloc(sizeof(*t));
    x->at[i].life = life;
    *t = (ticket){x, i, x->at[i].number, life};
    publish(&x->c, x->id, (uint16_t)(i + 1), text, answered, t);
}

static void released(void *ctx, int code, const tg_value *value)
{
    ticket t = *(ticket *)ctx;
    (void)value;
    free(ctx);
    if (code == 0 && !closing && t.life == t.p->at[t.i].life)
        free_flight(t.p, t.i);
}

static void release(publisher *x, int i)
{
    w.here = x->c.worker;
    tg_shard *sh = w.shard[x->c.worker];
    int rc = tg_session_rx_del(sh, x->c.s, (uint16_t)(i + 1));
    x->at[i].life = life;
    x->at[i].releasing = true;
    if (rc == TG_E_NOTFOUND) {
        free_flight(x, i);
        return;
    }
    assert_int_equal(rc, 1);
    ticket *t = malloc(sizeof(*t));
    *t = (ticket){x, i, x->at[i].number, life};
    assert_int_equal(tg_session_sync(sh, x->c.s, released, t), 0);
}

static void publish_or_release(publisher *x)
{
    int i = (int)rnd(&w, WINDOW);
    if (x->at[i].number != 0 && x->at[i].received && !x->at[i].releasing)
        release(x, i);
    else if (x->at[i].number == 0 && x->last + 1 < NUMBERS) {
        x->at[i] = (flight){.number = ++x->last};
        x->order[x->n++] = i;
        send(x, i);
    }
}

static void took(client *c, const tg_delivery *d)
{
    subscriber *s = TG_OWNER(c, subscriber, c);
    assert_true(s->ndue < 4096);
    s->due[s->ndue] = d->packet_id;
    s->due_released[s->ndue++] = d->released;
    if (d->released || s->holds[d->packet_id])
        return;
    s->holds[d->packet_id] = true;
    int who, number;
    char text[32] = {0};
    memcpy(text, d->msg->payload.at, d->msg->payload.len);
    assert_int_equal(sscanf(text, "%d %d", &who, &number), 2);
    s->count[who][number]++;
    assert_int_equal(s->count[who][number], 1);
}

static void answer_one(subscriber *s)
{
    if (s->ndue == 0)
        return;
    uint16_t id = s->due[0];
    bool released = s->due_released[0];
    s->ndue--;
    memmove(s->due, s->due + 1, s->ndue * sizeof(s->due[0]));
    memmove(s->due_released, s->due_released + 1, s->ndue * sizeof(bool));
    w.here = s->c.worker;
    tg_shard *sh = w.shard[s->c.worker];
    int rc = released ? 0 : tg_session_ack(sh, s->c.s, id, TG_ACK_RECEIVED);
    if (rc != 0)
        return; // its release comes by itself
    s->holds[id] = false;
    tg_session_ack(sh, s->c.s, id, TG_ACK_DONE);
}

static void open_again(client *c, const char *id)
{
    client_init(c, &w, rnd(&w, 3));
    c->ack = false;
    tg_session_spec spec = spec_of(id, 1000, false);
    client_open_spec(c, &spec);
    settle_all(&w);
    assert_int_equal(c->opened, 0);
}

static void subscriber_comes(subscriber *s)
{
    s->ndue = 0;
    s->online = true;
    client_init(&s->c, &w, rnd(&w, 3));
    s->c.ack = false;
    s->c.on_deliver = took;
    tg_session_spec spec = spec_of(s->id, 1000, false);
    client_open_spec(&s->c, &spec);
    settle_all(&w);
    assert_int_equal(s->c.opened, 0);
}

static void publisher_comes(publisher *x)
{
    open_again(&x->c, x->id);
    life++;
    int order[WINDOW], n = x->n;
    memcpy(order, x->order, sizeof(order));
    for (int k = 0; k < n; k++) {
        if (!x->at[order[k]].received)
            send(x, order[k]);
        else if (x->at[order[k]].releasing)
            release(x, order[k]);
    }
}

static void all_come(void)
{
    for (int i = 0; i < PUBLISHERS; i++)
        publisher_comes(&pubs[i]);
    for (int i = 0; i < SUBSCRIBERS; i++)
        subscriber_comes(&subs[i]);
}

static void one_step(void)
{
    uint32_t what = rnd(&w, 12);
    subscriber *s = &subs[rnd(&w, SUBSCRIBERS)];
    if (what < 6)
        world_random(&w);
    else if (what < 8)
        publish_or_release(&pubs[rnd(&w, PUBLISHERS)]);
    else if (what < 10 && s->online && s->c.ended == 0)
        answer_one(s);
    else if (what == 10 && ncommits > 0)
        finish(&w, rnd(&w, ncommits));
    else if (what == 11 && rnd(&w, 60) == 0 && s->online) {
        client_close(&s->c, 0);
        s->online = false;
        s->ndue = 0;
    }
}

static void crash_and_return(void)
{
    closing = true;
    uint64_t seed = w.seed;
    for (int i = 0; i < SUBSCRIBERS; i++)
        subs[i].c.full = true; // takes nothing while the host goes
    crash(&w);
    closing = false;
    start();
    w.seed = seed;
    all_come();
}

static bool all_answered(void)
{
    bool done = true;
    for (int i = 0; i < PUBLISHERS; i++)
        for (int k = 0; k < WINDOW; k++)
            done = done && (pubs[i].at[k].number == 0 || pubs[i].at[k].received);
    for (int i = 0; i < SUBSCRIBERS; i++)
        done = done && subs[i].ndue == 0;
    return done;
}

static void to_the_end(void)
{
    for (int i = 0; i < SUBSCRIBERS; i++)
        if (!subs[i].online)
            subscriber_comes(&subs[i]);
    do {
        settle_all(&w);
        for (int i = 0; i < SUBSCRIBERS; i++)
            while (subs[i].ndue > 0)
                answer_one(&subs[i]);
        settle_all(&w);
        world_advance(&w, 100);
    } while (!all_answered());
    settle_all(&w);
    for (int i = 0; i < SUBSCRIBERS; i++)
        for (int who = 0; who < PUBLISHERS; who++)
            for (int n = 1; n <= pubs[who].last; n++)
                assert_int_equal(subs[i].count[who][n], 1);
}

static void a_run(uint64_t seed)
{
    memset(pubs, 0, sizeof(pubs));
    memset(subs, 0, sizeof(subs));
    start();
    w.seed = seed;
    for (int i = 0; i < PUBLISHERS; i++)
        snprintf(pubs[i].id, sizeof(pubs[i].id), "p%d", i);
    for (int i = 0; i < SUBSCRIBERS; i++)
        snprintf(subs[i].id, sizeof(subs[i].id), "s%d", i);
    all_come();
    for (int i = 0; i < SUBSCRIBERS; i++)
        sub(&subs[i].c, "t");
    for (int crashes = 0; crashes < 5; crashes++) {
        for (uint32_t i = 50 + rnd(&w, 300); i > 0; i--)
            one_step();
        crash_and_return();
    }
    to_the_end();
    world_advance(&w, 1000);
    settle_all(&w);
    assert_int_equal(records("h"), 0);
    world_close(&w);
    forget_all();
}

static void nothing_is_lost_or_doubled_whatever_was_committed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        a_run(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_kept_behind_the_entries_of_all_workers),
        cmocka_unit_test(who_has_an_entry_does_not_get_a_second),
        cmocka_unit_test(who_is_done_with_it_does_not_get_it_again),
        cmocka_unit_test(what_will_not_come_again_is_forgotten),
        cmocka_unit_test(a_new_session_of_the_name_has_other_numbers),
        cmocka_unit_test(a_publisher_that_comes_back_waits_as_well),
        cmocka_unit_test(an_id_that_was_let_go_says_nothing_of_the_next_message),
        cmocka_unit_test(many_under_way_are_told_apart),
        cmocka_unit_test(a_publisher_that_stays_away_costs_a_look_a_second),
        cmocka_unit_test(nothing_is_lost_or_doubled_whatever_was_committed),
    };
    return RUN(tests);
}
