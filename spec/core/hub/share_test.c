// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

static world w;
static client m[4], p;

static void open_group(uint8_t strategy, unsigned members, uint32_t expiry_s)
{
    tg_hub_limits limits = {.share = strategy};
    world_open(&w, 2, &limits);
    client_open(&p, &w, 0, "p", 0);
    for (unsigned i = 0; i < members; i++) {
        client_open(&m[i], &w, i % 2, (char[]){'m', (char)('0' + i), 0}, expiry_s);
        client_sub(&m[i], "$share/g/t/#", 1);
    }
}

static unsigned total(unsigned members)
{
    unsigned n = 0;
    for (unsigned i = 0; i < members; i++)
        n += m[i].count;
    return n;
}

static void publish(unsigned n, const char *topic)
{
    for (unsigned i = 0; i < n; i++) {
        client_pub(&p, topic, "x", 1);
        assert_int_equal(p.receivers, 1);
    }
    world_settle(&w);
}

static void round_robin_goes_round(void **state)
{
    (void)state;
    open_group(TG_SHARE_ROUND_ROBIN, 3, 0);
    publish(30, "t/1");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(m[i].count, 10);
    client_unsub(&m[1], "$share/g/t/#");
    publish(30, "t/1");
    assert_int_equal(m[0].count, 25);
    assert_int_equal(m[1].count, 10);
    assert_int_equal(m[2].count, 25);
    world_close(&w);
}

static void the_other_strategies_choose_as_they_say(void **state)
{
    (void)state;
    open_group(TG_SHARE_RANDOM, 3, 0);
    publish(300, "t/1");
    assert_int_equal(total(3), 300);
    for (unsigned i = 0; i < 3; i++)
        assert_true(m[i].count > 30);
    world_close(&w);
    const uint8_t same[] = {TG_SHARE_STICKY, TG_SHARE_HASH_TOPIC, TG_SHARE_HASH_CLIENT};
    for (unsigned i = 0; i < 3; i++) {
        open_group(same[i], 3, 0);
        publish(20, "t/1");
        unsigned with = 0;
        for (unsigned k = 0; k < 3; k++)
            with += m[k].count != 0;
        assert_int_equal(with, 1);
        assert_int_equal(total(3), 20);
        world_close(&w);
    }
    open_group(TG_SHARE_HASH_TOPIC, 3, 0);
    for (unsigned i = 0; i < 60; i++) {
        char topic[8];
        snprintf(topic, sizeof(topic), "t/%u", i);
        publish(1, topic);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(m[i].count > 5);
    world_close(&w);
}

static void a_group_and_its_members_own_subscriptions_are_apart(void **state)
{
    (void)state;
    open_group(TG_SHARE_ROUND_ROBIN, 2, 0);
    client_sub(&m[0], "t/1", 0);
    client_sub(&m[1], "$share/h/t/#", 0);
    client_pub(&p, "t/1", "x", 1);
    world_settle(&w);
    assert_int_equal(p.receivers, 3);
    assert_int_equal(total(2), 3);
    world_close(&w);
}

static void who_is_connected_is_preferred(void **state)
{
    (void)state;
    open_group(TG_SHARE_ROUND_ROBIN, 3, 100);
    client_close(&m[0], 0);
    client_close(&m[2], 0);
    publish(9, "t/1");
    assert_int_equal(m[1].count, 9);
    client_close(&m[1], 0);
    publish(9, "t/1"); // all away: the queues keep them
    for (unsigned i = 0; i < 3; i++)
        client_open(&m[i], &w, i % 2, (char[]){'m', (char)('0' + i), 0}, 100);
    world_settle(&w);
    assert_int_equal(total(3), 9);
    world_close(&w);
}

static void what_an_ended_member_did_not_finish_goes_to_another(void **state)
{
    (void)state;
    for (uint8_t qos = 1; qos <= 2; qos++) {
        open_group(TG_SHARE_STICKY, 1, 100);
        client_close(&m[0], TG_CLOSE_END_SESSION);
        client_open(&m[0], &w, 0, "m0", 100);
        client_sub(&m[0], "$share/g/t/#", 2);
        client_open(&m[1], &w, 1, "m1", 100);
        client_sub(&m[1], "$share/g/t/#", 2);
        m[0].ack = false;
        client_pub(&p, "t/1", "sent", qos);
        m[0].full = true;
        client_pub(&p, "t/1", "waits", qos);
        world_settle(&w);
        assert_int_equal(m[0].count, 1);
        client_close(&m[0], TG_CLOSE_END_SESSION);
        // QoS 2 that the other side has seen must not be given to anybody else.
        got(&m[1], qos == 1 ? "t/1=sent/1 t/1=waits/1 " : "t/1=waits/2 ");
        world_close(&w);
    }
}

// Matched on worker 0, and gone by the time the mail arrives on worker 1.
static void a_member_that_ends_while_a_message_comes_loses_nothing(void **state)
{
    (void)state;
    static client other;
    for (uint8_t qos = 0; qos <= 2; qos++) {
        open_group(TG_SHARE_ROUND_ROBIN, 2, 100);
        client_open(&other, &w, 1, "other", 0);
        client_sub(&other, "$share/h/t/#", 2); // of another group: it gets its own only
        client_pub(&p, "t/1", "a", qos);
        client_pub(&p, "t/1", "b", qos);
        client_close(&m[1], TG_CLOSE_END_SESSION);
        world_settle(&w);
        assert_int_equal(m[0].count + m[1].count, 2);
        assert_int_equal(m[0].count, 2);
        assert_int_equal(other.count, 2);
        world_close(&w);
    }
}

static void a_member_that_begins_anew_passes_on_what_was_held_for_it(void **state)
{
    (void)state;
    static client fresh;
    open_group(TG_SHARE_ROUND_ROBIN, 2, 100);
    client_init(&fresh, &w, 0);
    tg_session_spec spec = spec_of("m1", 100, true);
    client_open_spec(&fresh, &spec); // takes m[1] over from worker 1, and clean
    assert_true(world_step(&w, 1, 0, true)); // frozen there: what comes is held on worker 0
    for (int i = 0; i < 4; i++)
        client_pub(&p, "t/1", "x", 1);
    world_settle(&w);
    assert_int_equal(fresh.opened, 0);
    assert_int_equal(fresh.count, 0);
    assert_int_equal(m[0].count, 4);
    world_close(&w);
}

static void the_last_member_takes_the_message_along(void **state)
{
    (void)state;
    open_group(TG_SHARE_ROUND_ROBIN, 2, 100);
    client_close(&m[0], TG_CLOSE_END_SESSION);
    world_settle(&w);
    client_pub(&p, "t/1", "x", 1);
    client_close(&m[1], TG_CLOSE_END_SESSION);
    world_settle(&w);
    assert_int_equal(dropped("session_end"), 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_goes_round),
        cmocka_unit_test(the_other_strategies_choose_as_they_say),
        cmocka_unit_test(a_group_and_its_members_own_subscriptions_are_apart),
        cmocka_unit_test(who_is_connected_is_preferred),
        cmocka_unit_test(what_an_ended_member_did_not_finish_goes_to_another),
        cmocka_unit_test(a_member_that_ends_while_a_message_comes_loses_nothing),
        cmocka_unit_test(a_member_that_begins_anew_passes_on_what_was_held_for_it),
        cmocka_unit_test(the_last_member_takes_the_message_along),
    };
    return RUN(tests);
}
