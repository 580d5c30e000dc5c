// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

static void codes_for_every_filter(void **state)
{
    (void)state;
    tg_conn c3 = client(CONNECT_311), c5 = client(CONNECT_5);
    feed(c3, "82 * 0001 <a> 00 <b/#> 02 <bad/#/filter> 01");
    sent(c3, "90 * 0001 00 02 80");
    feed(c5, "82 * 0001 00 <a> 00 <b/#> 02 <bad/#/filter> 01 <> 00");
    sent(c5, "90 * 0001 00 00 02 8f 8f");
    assert_int_equal(fake.nsubscribed, 4);
    feed(c5, "82 * 0002 00 <a> 01");
    sent(c5, "90 * 0002 00 01");
}

static void options_reach_the_session(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "82 * 0001 [0b 8001] <a> 1d");
    assert_int_equal(fake.sub.qos, 1);
    assert_int_equal(fake.sub.sub_id, 128);
    assert_int_equal(fake.sub.flags,
                     TG_SUB_NO_LOCAL | TG_SUB_RETAIN_AS_PUBLISHED | TG_SUB_RETAIN_IF_NEW);
    feed(c, "82 * 0002 00 <a> 20");
    assert_int_equal(fake.sub.flags, TG_SUB_RETAIN_NEVER);
    assert_int_equal(fake.sub.sub_id, 0);
}

static void shared_filters(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "82 * 0001 00 <$share/g/a/+> 01");
    sent(c, "90 * 0001 00 01");
    assert_string_equal(fake.filter, "$share/g/a/+");
    feed(c, "82 * 0002 00 <$share/g> 01 <$share//a> 01 <$share/g/> 01 <$share/+/a> 01");
    sent(c, "90 * 0002 00 8f 8f 8f 8f");
}

static void what_was_announced_as_missing_is_refused(void **state)
{
    (void)state;
    const tg_pair pairs[] = {BOOL_OPTION("shared_subscriptions", false),
                             BOOL_OPTION("wildcard_subscriptions", false),
                             BOOL_OPTION("subscription_ids", false),
                             BOOL_OPTION("retain", false), INT_OPTION("max_qos", 1)};
    const tg_value config = map_of(pairs, 5);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    tg_conn c = client(CONNECT_5);
    feed(c, "82 * 0001 00 <$share/g/a> 01 <a/+> 01 <a> 02");
    sent(c, "90 * 0001 00 9e a2 01");
    assert_int_equal(fake.sub.flags, TG_SUB_RETAIN_NEVER);
    feed(c, "82 * 0002 [0b 01] <a> 01");
    sent(c, "90 * 0002 00 a1");
    tg_conn c3 = client(CONNECT_311);
    feed(c3, "82 * 0001 <a/+> 01");
    sent(c3, "90 * 0001 80");
}

static void denied_filters(void **state)
{
    (void)state;
    const tg_pair acl = {TG_LIT("acl"), {.kind = TG_MAP}};
    const tg_value attributes = map_of(&acl, 1);
    fake.attributes = &attributes;
    tg_conn c = client(CONNECT_5);
    fake.may = false;
    feed(c, "82 * 0001 00 <a> 01");
    sent(c, "90 * 0001 00 87");
    assert_int_equal(fake.nsubscribed, 0);
    assert_int_equal(fake.counters[MQTT_N_subscribe_denied], 1);
}

static void limits_of_the_host(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.subscribe_code = TG_E_LIMIT;
    feed(c, "82 * 0001 00 <a> 01");
    sent(c, "90 * 0001 00 97");
    fake.subscribe_code = TG_E_IO;
    feed(c, "82 * 0002 00 <a> 01");
    sent(c, "90 * 0002 00 80");
}

// The host cancels what was under way before it says why the session ends: a SUBACK with 0x80
// would claim that the filters were refused.
static void what_a_lost_session_cancels_is_not_answered(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "82 * 0001 00 <a> 01 <b> 01");
    feed(c, "a2 * 0002 00 <c>");
    fake.subscribe_code = TG_E_CANCELLED;
    fake_answer();
    sent(c, "");
    assert_int_equal(state_of(c)->requests, 0);
    assert_int_equal(state_of(c)->lists, 0);
    mqtt_on_session_end(c, state_of(c), (tg_session){c.id}, TG_E_TAKENOVER);
    dismissed(c, MQTT_TAKEN_OVER);
}

static void unsubscribe_answers_by_filter(void **state)
{
    (void)state;
    tg_conn c3 = client(CONNECT_311), c5 = client(CONNECT_5);
    feed(c3, "a2 * 0001 <a> <b>");
    sent(c3, "b0 02 0001");
    feed(c5, "a2 * 0001 00 <a> <b>");
    sent(c5, "b0 * 0001 00 00 00");
    fake.subscribe_code = TG_E_NOTFOUND;
    feed(c5, "a2 * 0002 00 <a>");
    sent(c5, "b0 * 0002 00 11");
    assert_int_equal(fake.nunsubscribed, 5);
}

static int retained(tg_conn c)
{
    const tg_msg_spec spec = {.size = sizeof(spec), .topic = TG_LIT("r")};
    tg_msg m = tg.msg->new (&spec);
    const tg_delivery d = {.size = sizeof(d), .msg = m, .retain = 1};
    int rc = mqtt_on_deliver(c, conn_of(c)->state, (tg_session){c.id}, &d);
    tg.msg->unref(m);
    return rc;
}

static void suback_goes_before_retained_messages(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    fake.later = true;
    feed(c, "82 * 0001 <a> 00 <b> 00");
    fake_answer_one(0);
    assert_int_equal(retained(c), TG_E_FULL);
    sent(c, "");
    fake_answer_one(0);
    assert_int_equal(fake.nresumed, 1);
    assert_int_equal(retained(c), 0);
    sent(c, "90 04 0001 00 00 31 03 <r>");
}

static void live_messages_do_not_wait_for_a_suback(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    fake.later = true;
    feed(c, "82 * 0001 <a> 00 <b> 00");
    const tg_msg_spec spec = {.size = sizeof(spec), .topic = TG_LIT("live")};
    tg_msg m = tg.msg->new (&spec);
    const tg_delivery d = {.size = sizeof(d), .msg = m};
    assert_int_equal(mqtt_on_deliver(c, conn_of(c)->state, (tg_session){c.id}, &d), 0);
    sent(c, "30 * <live>");
    tg.msg->unref(m);
}

static void too_many_requests_stop_the_reading(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    fake.later = true;
    const wire w = hex("82 06 0001 <a> 00");
    for (int i = 0; i < MQTT_REQUESTS_MAX; i++)
        assert_int_equal(fake_bytes(c, w.at, w.len), w.len);
    assert_true(conn_of(c)->paused);
    fake_answer_one(0);
    assert_false(conn_of(c)->paused);
    fake_answer();
    assert_int_equal(conn_of(c)->out_len, MQTT_REQUESTS_MAX * 5);
}

static void the_connection_may_go_before_its_suback(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "82 * 0001 00 <a> 01 <b> 01");
    feed(c, "a2 * 0002 00 <a>");
    fake_answer_one(0);
    fake_hang_up(c);
    fake_answer(); // stop() sees what is left
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(codes_for_every_filter),
        TEST(options_reach_the_session),
        TEST(shared_filters),
        TEST(what_was_announced_as_missing_is_refused),
        TEST(denied_filters),
        TEST(limits_of_the_host),
        TEST(what_a_lost_session_cancels_is_not_answered),
        TEST(unsubscribe_answers_by_filter),
        TEST(suback_goes_before_retained_messages),
        TEST(live_messages_do_not_wait_for_a_suback),
        TEST(too_many_requests_stop_the_reading),
        TEST(the_connection_may_go_before_its_suback),
    };
    return RUN(tests);
}
