// SPDX-License-Identifier: Apache-2.0
// A session hops between workers while numbered messages run towards it, in thousands of
// random orders of mails, turns, answers and connections. What the subscriber keeps is what a
// client would: the numbers it has, and the QoS 2 ids that it has received and not completed.
#include "harness.h"

#define PUBLISHERS 3
#define LINKS 24
#define SENT_MAX 4000

typedef struct seen {
    int last; // highest number so far
    int sent;
    bool had[SENT_MAX];
    uint8_t qos[SENT_MAX];
} seen;

static world w;
static seen from[PUBLISHERS];
static client links[LINKS];
static client pubs[PUBLISHERS];

typedef struct out {
    uint16_t id;
    uint8_t qos;
    bool released;
} out;

// Of the client, whatever link it has: MQTT keeps it across connections.
static bool held[65536];
static out outs[LINKS][8192];
static unsigned nouts[LINKS];

static void check_number(client *c, const tg_delivery *d)
{
    int p = -1, n = -1;
    char text[32];
    snprintf(text, sizeof(text), "%.*s", (int)d->msg->payload.len, d->msg->payload.at);
    assert_int_equal(sscanf(text, "%d:%d", &p, &n), 2);
    seen *s = &from[p];
    unsigned link = (unsigned)(c - links);
    c->len = 0;
    if (d->qos > 0)
        outs[link][nouts[link]++] = (out){d->packet_id, d->qos, d->released};
    if (d->released)
        return; // it has it: only the completion is due
    bool again = d->qos == 2 && held[d->packet_id];
    if (again || s->had[n]) {
        if (d->qos == 2)
            assert_true(again); // received, completed, and come again would be a double
        assert_true(d->dup);
        return;
    }
    if (n <= s->last)
        fail_msg("publisher %d: %d after %d (seed %lu)", p, n, s->last,
                 (unsigned long)w.seed);
    s->last = n;
    s->had[n] = true;
    if (d->qos == 2)
        held[d->packet_id] = true;
}

static bool is_free(const client *c)
{
    return c->opened != 1 && c->s.id == 0;
}

static void open_one(void)
{
    client *c = &links[rnd(&w, LINKS)];
    if (!is_free(c))
        return;
    client_init(c, &w, rnd(&w, w.workers));
    c->ack = false;
    c->on_deliver = check_number;
    nouts[c - links] = 0;
    tg_session_spec spec = spec_of("hopper", 1000, false);
    client_open_spec(c, &spec);
}

static client *live(void)
{
    for (unsigned i = 0; i < LINKS; i++)
        if (links[i].opened == 0 && links[i].s.id != 0)
            return &links[i];
    return NULL;
}

static void answer_one(client *c)
{
    unsigned l = (unsigned)(c - links);
    if (nouts[l] == 0)
        return;
    out o = outs[l][0];
    w.here = c->worker;
    tg_shard *sh = w.shard[c->worker];
    if (o.qos == 2 && !o.released) {
        outs[l][0].released = true;
        assert_int_equal(tg_session_ack(sh, c->s, o.id, TG_ACK_RECEIVED), 0);
        return;
    }
    memmove(outs[l], outs[l] + 1, --nouts[l] * sizeof(out));
    held[o.id] = false; // before what the answer lets out
    assert_int_equal(tg_session_ack(sh, c->s, o.id, TG_ACK_DONE), 0);
}

static void publish_one(void)
{
    unsigned p = rnd(&w, PUBLISHERS);
    seen *s = &from[p];
    char text[32];
    if (s->sent + 1 >= SENT_MAX)
        return;
    s->sent++;
    s->qos[s->sent] = (uint8_t)rnd(&w, 3);
    snprintf(text, sizeof(text), "%u:%d", p, s->sent);
    client_pub(&pubs[p], "t", text, s->qos[s->sent]);
}

static void do_something(unsigned hops)
{
    client *c = live();
    unsigned what = rnd(&w, 100);
    if (what < hops)
        open_one();
    else if (what < hops + 1 && c != NULL)
        client_close(c, 0);
    else if (what < 30)
        publish_one();
    else if (what < 45 && c != NULL)
        answer_one(c);
    else if (what < 47 && c != NULL)
        c->full = !c->full;
    else if (what < 49 && c != NULL && !c->full) {
        w.here = c->worker;
        assert_int_equal(tg_session_resume(w.shard[c->worker], c->s), 0);
    } else
        world_random(&w);
}

static void reset(uint32_t workers)
{
    tg_hub_limits limits = {.inflight = 16,
                            .queue_messages = 1000000,
                            .queue_bytes = UINT32_MAX,
                            .queue_qos0 = true};
    memset(from, 0, sizeof(from));
    memset(links, 0, sizeof(links));
    memset(held, 0, sizeof(held));
    memset(nouts, 0, sizeof(nouts));
    world_open(&w, workers, &limits);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        client_open(&pubs[i], &w, i % workers, (char[]){'p', (char)('0' + i), 0}, 0);
}

// The last link drains all that is left; then nothing may be missing.
static void drain(void)
{
    world_settle(&w);
    client *c;
    while ((c = live()) == NULL) {
        open_one();
        world_settle(&w);
    }
    c->full = false;
    for (int quiet = 0; quiet < 3;) {
        w.here = c->worker;
        tg_session_resume(w.shard[c->worker], c->s);
        quiet = nouts[c - links] == 0 ? quiet + 1 : 0;
        while (nouts[c - links] > 0)
            answer_one(c);
        world_settle(&w);
    }
    for (unsigned p = 0; p < PUBLISHERS; p++)
        for (int n = 1; n <= from[p].sent; n++)
            if (!from[p].had[n])
                fail_msg("publisher %u: %d with QoS %u was lost", p, n, from[p].qos[n]);
    const char *const held_now[] = {"tidegate_queued_messages", "tidegate_queued_bytes",
                                    "tidegate_inflight_messages"};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tg_metric_sum(tg_metric_find(held_now[i], "")), 0);
}

static void run(uint64_t seed, uint32_t workers, unsigned hops, unsigned steps)
{
    reset(workers);
    w.seed = seed;
    open_one();
    world_settle(&w);
    client *c = live();
    assert_non_null(c);
    client_sub(c, "t", 2);
    for (unsigned i = 0; i < steps; i++)
        do_something(hops);
    drain();
    world_close(&w);
}

static void nothing_is_lost_doubled_or_turned_round(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        run(seed, 1 + (uint32_t)(seed % 4), (unsigned)(1 + seed % 7), 3000);
}

static void the_later_open_wins_when_two_arrive_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        static client a, b, c, d;
        world_open(&w, 4, NULL);
        w.seed = seed;
        client_open(&a, &w, rnd(&w, 4), "x", 50);
        client_sub(&a, "t", 1);
        tg_session_spec spec = spec_of("x", 50, false);
        client *all[] = {&b, &c, &d};
        for (unsigned i = 0; i < 3; i++) {
            client_init(all[i], &w, rnd(&w, 4));
            client_open_spec(all[i], &spec);
            for (unsigned k = rnd(&w, 10); k > 0; k--)
                world_random(&w);
        }
        world_settle(&w);
        assert_int_equal(a.ended, TG_E_TAKENOVER);
        assert_int_equal(d.opened, 0);
        assert_true(d.present);
        assert_int_equal(d.ended, 0);
        for (unsigned i = 0; i < 2; i++)
            assert_true(all[i]->opened == TG_E_TAKENOVER ||
                        all[i]->ended == TG_E_TAKENOVER);
        client_pub(&d, "t", "1", 1);
        got(&d, "t=1/1 ");
        world_close(&w);
    }
}

static void a_clean_start_elsewhere_leaves_nothing_of_the_old_session(void **state)
{
    (void)state;
    static client a, b, p;
    for (int expiry = 0; expiry < 2; expiry++) {
        world_open(&w, 2, NULL);
        client_open(&p, &w, 0, "p", 0);
        client_open(&a, &w, 0, "x", expiry == 0 ? 0 : 100);
        client_sub(&a, "t", 1);
        client_init(&b, &w, 1);
        tg_session_spec spec = spec_of("x", 100, expiry != 0);
        client_open_spec(&b, &spec);
        client_pub(&p, "t", "early", 1);
        world_settle(&w);
        assert_int_equal(b.opened, 0);
        assert_false(b.present); // without an expiry it ended with its connection
        client_pub(&p, "t", "late", 1);
        assert_int_equal(p.receivers, 0);
        world_settle(&w);
        assert_int_equal(b.count, 0);
        world_close(&w);
    }
}

static void a_session_that_ends_while_it_is_claimed_begins_anew(void **state)
{
    (void)state;
    static client a, b;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "x", 100);
    client_sub(&a, "t", 1);
    client_init(&b, &w, 1);
    tg_session_spec spec = spec_of("x", 100, false);
    client_open_spec(&b, &spec);
    client_close(&a, TG_CLOSE_END_SESSION); // before worker 0 hears of the claim
    world_settle(&w);
    assert_int_equal(b.opened, 0);
    assert_false(b.present);
    client_pub(&b, "t", "1", 1);
    assert_int_equal(b.receivers, 0);
    world_close(&w);
}

// Shards close one after the other while mails of every kind are on their way; what arrives at
// a closed one is put away. Run with a leak check, this says that nothing is forgotten either.
static void shards_may_close_in_the_middle_of_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        reset(3);
        w.data_limit = 2;
        w.seed = seed;
        open_one();
        world_settle(&w);
        client_sub(live(), "t", 2);
        for (unsigned i = 0; i < 300; i++)
            do_something(10);
        tg_hub_kick(w.hub, tg_str("hopper"), true);
        uint32_t first = rnd(&w, 3);
        for (uint32_t i = 0; i < 3; i++) {
            w.here = (first + i) % 3;
            tg_shard_close(w.shard[w.here]);
            for (unsigned k = 0; k < 20; k++)
                world_step(&w, rnd(&w, 3), rnd(&w, 3), rnd(&w, 2) != 0);
        }
        while (!world_idle(&w))
            world_step(&w, rnd(&w, 3), rnd(&w, 3), rnd(&w, 2) != 0);
        for (uint32_t i = 0; i < 3; i++)
            tg_wheel_free(w.wheel[i]);
        tg_hub_free(w.hub);
        tg_metrics_close();
    }
}

// The session was on its old shard's list of those that have retained messages to come.
static void retained_messages_go_on_behind_a_takeover(void **state)
{
    (void)state;
    static client a, b, p;
    char topic[16];
    world_open(&w, 2, NULL);
    client_open(&p, &w, 0, "p", 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(topic, sizeof(topic), "r/%d", i);
        tg_msg_spec spec = {.topic = tg_str(topic), .payload = tg_str("x"), .retain = 1};
        client_pub_msg(&p, spec);
    }
    client_open(&a, &w, 0, "s", 100);
    assert_int_equal(client_sub_with(&a, "r/#", (tg_sub){0}), 0);
    world_turn(&w, 0);
    assert_in_range(a.count, 1, 999);
    client_init(&b, &w, 1);
    tg_session_spec spec = spec_of("s", 100, false);
    client_open_spec(&b, &spec);
    while (!world_idle(&w)) // no turn ends meanwhile
        for (uint32_t to = 0; to < 2; to++)
            for (uint32_t who = 0; who < 2; who++)
                while (world_step(&w, to, who, true) || world_step(&w, to, who, false))
                    continue;
    world_settle(&w);
    assert_true(b.present);
    assert_int_equal(a.count + b.count, 1000);
    world_close(&w);
}

// What arrives before the session does is bounded as its queue is.
static void what_is_held_for_a_session_on_its_way_is_bounded_by_bytes(void **state)
{
    (void)state;
    static client a, b, p;
    static char big[4001];
    memset(big, 'x', sizeof(big) - 1);
    tg_hub_limits limits = {.queue_messages = 1000, .queue_bytes = 10000};
    world_open(&w, 2, &limits);
    client_open(&p, &w, 1, "p", 0);
    client_open(&a, &w, 0, "x", 100);
    client_sub(&a, "t", 1);
    client_init(&b, &w, 1);
    tg_session_spec spec = spec_of("x", 100, false);
    client_open_spec(&b, &spec);
    assert_true(world_step(&w, 0, 1, true)); // frozen: its route leads to worker 1
    for (int i = 0; i < 5; i++)
        client_pub(&p, "t", big, 1);
    assert_int_equal(p.done, TG_E_FULL);
    assert_int_equal(dropped("queue_bytes"), 3);
    world_settle(&w);
    assert_int_equal(b.count, 2);
    world_close(&w);
}

// A later open of the same worker takes the claim over: the kick was not meant for it.
static void a_kick_before_a_later_open_forgets_and_does_not_refuse(void **state)
{
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        static client a, b, c;
        world_open(&w, 2, NULL);
        client_open(&a, &w, 0, "x", 100);
        tg_session_spec spec = spec_of("x", 100, false);
        client_init(&b, &w, 1);
        client_open_spec(&b, &spec);
        assert_int_equal(tg_hub_kick(w.hub, tg_str("x"), forget != 0), 0);
        client_init(&c, &w, 1);
        client_open_spec(&c, &spec);
        world_settle(&w);
        assert_int_equal(b.opened, TG_E_TAKENOVER);
        assert_int_equal(c.opened, 0);
        assert_int_equal(c.present, forget == 0);
        world_close(&w);
    }
}

// Nobody comes after it: the session stays without a connection, or is gone.
static void a_kick_in_the_middle_refuses_the_open_and_may_forget(void **state)
{
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        static client a, b;
        world_open(&w, 2, NULL);
        client_open(&a, &w, 0, "x", 100);
        tg_session_spec spec = spec_of("x", 100, false);
        client_init(&b, &w, 1);
        client_open_spec(&b, &spec);
        assert_int_equal(tg_hub_kick(w.hub, tg_str("x"), forget != 0), 0);
        world_settle(&w);
        assert_int_equal(b.opened, TG_E_KICKED);
        assert_int_equal(tg_hub_where(w.hub, tg_str("x")), forget ? TG_E_NOTFOUND : 1);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_doubled_or_turned_round),
        cmocka_unit_test(the_later_open_wins_when_two_arrive_at_once),
        cmocka_unit_test(a_clean_start_elsewhere_leaves_nothing_of_the_old_session),
        cmocka_unit_test(a_session_that_ends_while_it_is_claimed_begins_anew),
        cmocka_unit_test(retained_messages_go_on_behind_a_takeover),
        cmocka_unit_test(what_is_held_for_a_session_on_its_way_is_bounded_by_bytes),
        cmocka_unit_test(a_kick_before_a_later_open_forgets_and_does_not_refuse),
        cmocka_unit_test(a_kick_in_the_middle_refuses_the_open_and_may_forget),
        cmocka_unit_test(shards_may_close_in_the_middle_of_everything),
    };
    return RUN(tests);
}
