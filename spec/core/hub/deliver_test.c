// SPDX-License-Identifier: Apache-2.0
// From a publish to its subscribers: in order, within the window and the queue of each, whatever
// the links do with it.
#include "harness.h"

static void a_publish_reaches_subscribers_on_every_worker(void **state)
{
    (void)state;
    world w;
    static client a, b, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "a", 0);
    client_open(&b, &w, 1, "b", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "x/+", 1);
    client_sub(&b, "x/#", 2);
    client_pub(&p, "x/1", "hi", 1);
    assert_int_equal(p.done, 0); // in memory: before publish() returned
    assert_int_equal(p.receivers, 2);
    got(&a, "x/1=hi/1 ");
    got(&b, "x/1=hi/1 ");
    client_unsub(&b, "x/#");
    assert_int_equal(b.done, 0);
    client_unsub(&b, "x/#");
    assert_int_equal(b.done, TG_E_NOTFOUND);
    client_pub(&p, "x/2", "ho", 0);
    got(&a, "x/2=ho ");
    got(&b, "");
    world_close(&w);
}

static void overlapping_subscriptions_give_one_delivery_with_all_identifiers(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 1, "a", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub_with(&a, "#", (tg_sub){.qos = 0, .sub_id = 1});
    client_sub_with(&a, "t/+", (tg_sub){.qos = 2, .sub_id = 2});
    client_sub_with(&a, "+/x", (tg_sub){.qos = 1});
    client_sub_with(&a, "t/x", (tg_sub){.qos = 1, .sub_id = 3});
    world_settle(&w);
    client_pub(&p, "t/x", "1", 2);
    assert_int_equal(p.receivers, 1);
    world_settle(&w);
    a.log[a.len] = '\0';
    assert_non_null(strstr(a.log, "t/x=1/2"));
    assert_non_null(strstr(a.log, "#1"));
    assert_non_null(strstr(a.log, "#2"));
    assert_non_null(strstr(a.log, "#3"));
    assert_int_equal(a.count, 1);
    world_close(&w);
}

static void no_local_and_retain_as_published_are_kept(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "a", 0);
    client_open(&p, &w, 1, "p", 0);
    client_sub_with(&a, "t",
                    (tg_sub){.flags = TG_SUB_NO_LOCAL | TG_SUB_RETAIN_AS_PUBLISHED});
    world_settle(&w);
    client_pub(&a, "t", "own", 0);
    tg_msg_spec kept = {.topic = tg_str("t"), .payload = tg_str("k"), .retain = 1};
    client_pub_msg(&p, kept);
    got(&a, "t=k/r ");
    client_sub_with(&a, "t",
                    (tg_sub){.flags = TG_SUB_RETAIN_NEVER}); // replaces the options
    client_pub(&a, "t", "own", 0);
    client_pub_msg(&p, kept);
    got(&a, "t=own t=k ");
    world_close(&w);
}

static void the_window_bounds_what_is_out_and_redelivery_says_so(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 1, NULL);
    client_init(&a, &w, 0);
    a.ack = false;
    tg_session_spec spec = spec_of("a", 100, false);
    spec.receive_max = 2;
    client_open_spec(&a, &spec);
    world_settle(&w);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "t", 2);
    for (int i = 0; i < 4; i++)
        client_pub(&p, "t", (char[]){(char)('1' + i), 0}, i == 1 ? 2 : 1);
    got(&a, "t=1/1 t=2/2 ");
    tg_shard *sh = w.shard[0];
    assert_int_equal(tg_session_ack(sh, a.s, 999, TG_ACK_DONE), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[1], TG_ACK_DONE), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[0], TG_ACK_RECEIVED), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[0], TG_ACK_DONE_2), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[1], TG_ACK_DONE_2), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[1], TG_ACK_RECEIVED), 0);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[1], TG_ACK_DONE_1), TG_E_NOTFOUND);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[0], TG_ACK_DONE_1), 0);
    assert_int_equal(tg_session_ack(sh, a.s, a.ids[0], TG_ACK_DONE), TG_E_NOTFOUND);
    got(&a, "t=3/1 ");
    uint16_t second = a.ids[1], third = a.ids[2];
    client_close(&a, 0);
    client_init(&a, &w, 0);
    a.ack = false;
    client_open_spec(&a, &spec);
    got(&a, "t=2/2/d/R t=3/1/d ");
    assert_int_equal(a.ids[0], second);
    assert_int_equal(a.ids[1], third);
    assert_int_equal(tg_session_ack(sh, a.s, second, TG_ACK_DONE_2), 0);
    got(&a, "t=4/1 ");
    assert_int_equal(tg_session_ack(sh, a.s, third, TG_ACK_REFUSED), 0);
    assert_int_equal(dropped("refused"), 1);
    world_close(&w);
}

static void packet_ids_stay_apart_for_a_hundred_thousand_messages(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 1, NULL);
    client_open(&a, &w, 0, "a", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "t", 1);
    for (int i = 0; i < 100000; i++) {
        a.nids = 0;
        client_pub(&p, "t", "", 1);
        assert_int_equal(a.nids, 1);
        assert_int_not_equal(a.ids[0], 0);
    }
    assert_int_equal(a.count, 100000);
    world_close(&w);
}

static void a_slow_link_costs_its_own_queue_alone(void **state)
{
    (void)state;
    world w;
    static client slow, fast, p;
    tg_hub_limits limits = {.queue_messages = 3};
    world_open(&w, 1, &limits);
    client_open(&slow, &w, 0, "slow", 0);
    client_open(&fast, &w, 0, "fast", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&slow, "t", 1);
    client_sub(&fast, "t", 1);
    slow.full = true;
    for (int i = 0; i < 5; i++)
        client_pub(&p, "t", (char[]){(char)('1' + i), 0}, i % 2 == 0 ? 0 : 1);
    assert_int_equal(p.done, TG_E_FULL);
    assert_int_equal(dropped("queue_full"), 2);
    got(&fast, "t=1 t=2/1 t=3 t=4/1 t=5 ");
    slow.full = false;
    got(&slow, "");
    assert_int_equal(tg_session_resume(w.shard[0], slow.s), 0);
    got(&slow, "t=1 t=2/1 t=3 ");
    client_pub(&p, "t", "6", 0);
    got(&slow, "t=6 ");
    world_close(&w);
}

static void a_link_that_refuses_drops_and_one_that_closes_keeps(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 1, NULL);
    client_open(&a, &w, 0, "a", 60);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "t", 1);
    a.refuse = TG_E_TOOBIG;
    client_pub(&p, "t", "big", 1);
    client_pub(&p, "t", "big0", 0);
    assert_int_equal(dropped("link"), 2);
    a.refuse = TG_E_CLOSED;
    client_pub(&p, "t", "kept", 1);
    a.refuse = 0;
    got(&a, "");
    client_close(&a, 0);
    client_open(&a, &w, 0, "a", 60);
    got(&a, "t=kept/1/d ");
    world_close(&w);
}

static void queues_are_bounded_by_count_bytes_and_age(void **state)
{
    (void)state;
    world w;
    static client a, p;
    tg_hub_limits limits = {.queue_messages = 4, .queue_bytes = 30, .queue_age_s = 10};
    world_open(&w, 1, &limits);
    client_open(&a, &w, 0, "a", 1000);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "t", 1);
    client_close(&a, 0);
    client_pub(&p, "t", "12345678901234567890", 1);
    client_pub(&p, "t", "12345678901234567890", 1);
    assert_int_equal(p.done, TG_E_FULL);
    assert_int_equal(dropped("queue_bytes"), 1);
    for (int i = 0; i < 4; i++)
        client_pub(&p, "t", "x", 1);
    assert_int_equal(dropped("queue_full"), 1);
    world_advance(&w, 11000);
    client_pub(&p, "t", "new", 1); // what is too old makes room
    assert_int_equal(p.done, 0);
    assert_int_equal(dropped("queue_age"), 4);
    client_open(&a, &w, 0, "a", 1000);
    got(&a, "t=new/1 ");
    world_close(&w);
}

// Answers a message with the next, up to a number: without a bound on the stack or the order.
static void answer(client *c, const tg_delivery *d)
{
    char text[16];
    snprintf(text, sizeof(text), "%.*s", (int)d->msg->payload.len, d->msg->payload.at);
    int n = atoi(text);
    snprintf(text, sizeof(text), "%d", n + 1);
    if (n < 2000)
        client_pub(c, "t", text, 0);
}

static void an_answer_from_within_a_delivery_neither_recurses_nor_overtakes(void **state)
{
    (void)state;
    world w;
    static client a, b;
    world_open(&w, 1, NULL);
    client_open(&a, &w, 0, "a", 0);
    client_open(&b, &w, 0, "b", 0);
    client_sub(&a, "t", 0);
    client_sub(&b, "t", 0);
    a.on_deliver = answer;
    client_pub(&b, "t", "0000", 0);
    client_pub(&b, "t", "3000", 0);
    world_settle(&w);
    assert_int_equal(a.count, 2002);
    b.log[b.len] = '\0';
    assert_memory_equal(b.log, "t=0000 t=1 t=3000 t=2 t=3 ", 26);
    world_close(&w);
}

static unsigned cleared;
static void on_clear(void *ctx)
{
    (void)ctx;
    cleared++;
}

static void a_full_lane_holds_its_publishers_until_it_is_worked_off(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 1, "a", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "t", 0);
    tg_shard_on_clear(w.shard[0], on_clear, NULL);
    w.data_limit = 1;
    cleared = 0;
    for (int i = 0; i < 3; i++) {
        client_pub(&p, "t", "x", 0);
        world_turn(&w, 0);
    }
    assert_true(tg_shard_congested(w.shard[0]));
    assert_int_equal(cleared, 0);
    world_settle(&w);
    assert_false(tg_shard_congested(w.shard[0]));
    assert_int_equal(cleared, 1);
    assert_int_equal(a.count, 3);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_reaches_subscribers_on_every_worker),
        cmocka_unit_test(overlapping_subscriptions_give_one_delivery_with_all_identifiers),
        cmocka_unit_test(no_local_and_retain_as_published_are_kept),
        cmocka_unit_test(the_window_bounds_what_is_out_and_redelivery_says_so),
        cmocka_unit_test(packet_ids_stay_apart_for_a_hundred_thousand_messages),
        cmocka_unit_test(a_slow_link_costs_its_own_queue_alone),
        cmocka_unit_test(a_link_that_refuses_drops_and_one_that_closes_keeps),
        cmocka_unit_test(queues_are_bounded_by_count_bytes_and_age),
        cmocka_unit_test(an_answer_from_within_a_delivery_neither_recurses_nor_overtakes),
        cmocka_unit_test(a_full_lane_holds_its_publishers_until_it_is_worked_off),
    };
    return RUN(tests);
}
