// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

static void published(const char *topic, const char *payload)
{
    const tg_message *m = &fake.published->m;
    assert_int_equal(m->topic.len, strlen(topic));
    assert_memory_equal(m->topic.at, topic, m->topic.len);
    assert_int_equal(m->payload.len, strlen(payload));
    assert_memory_equal(m->payload.at, payload, m->payload.len);
}

static void qos_0_is_routed_and_not_answered(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    feed(c, "31 * <a/b> 'hello'");
    sent(c, "");
    published("a/b", "hello");
    assert_int_equal(fake.published->m.retain, 1);
    assert_int_equal(fake.published->m.qos, 0);
    assert_int_equal(fake.published->m.props.len, 0);
}

static void qos_1_is_acknowledged_when_it_was_kept(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    feed(c, "32 * <a> 0007 'x'");
    sent(c, "40 02 0007");
    fake.receivers = 0;
    feed(c, "32 * <a> 0008 'x'");
    sent(c, "40 02 0008");
    c = client(CONNECT_5);
    feed(c, "32 * <a> 0008 00 'x'");
    sent(c, "40 * 0008 10"); // nobody was there
    assert_int_equal(state_of(c)->in_flight, 0);
}

static void qos_2_is_routed_once_per_identifier(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "34 * <a> 0007 00 'x'");
    sent(c, "50 02 0007");
    feed(c, "3c * <a> 0007 00 'x'"); // sent again: only answered
    sent(c, "50 02 0007");
    assert_int_equal(fake.npublished, 1);
    assert_int_equal(state_of(c)->in_flight, 1);
    feed(c, "62 * 0007");
    sent(c, "70 02 0007");
    assert_int_equal(state_of(c)->in_flight, 0);
    feed(c, "62 * 0007"); // unknown by now
    sent(c, "70 * 0007 92");
    feed(c, "34 * <a> 0007 00 'y'"); // a new message
    assert_int_equal(fake.npublished, 2);
    assert_int_equal(fake.counters[MQTT_N_unknown_acks], 1);
}

static void properties_travel_but_for_what_is_the_links_own(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "30 * <a> [02 0000003c 26 <k> <v> 23 0002 01 01] 'x'");
    const wire want = hex("26 <k> <v> 01 01");
    const tg_message *m = &fake.published->m;
    assert_int_equal(m->props.len, want.len);
    assert_memory_equal(m->props.at, want.at, want.len);
    assert_int_equal(m->expires, 60); // the fake host keeps the seconds there
    feed(c, "30 * <> [23 0002] 'y'");
    published("a", "y");
    feed(c, "30 * <a> [02 00000000] 'x'");
    assert_int_equal(fake.published->m.expires, 1);
}

static void large_properties_travel_too(void **state)
{
    (void)state;
    static uint8_t packet[2048];
    tg_conn c = client(CONNECT_5);
    size_t len = 0;
    const wire head = hex("30 8e 08 <a> 88 08 02 0000003c 26 <k> 03fb");
    memcpy(packet, head.at, head.len);
    len = head.len + 0x3fb;
    memset(packet + head.len, 'v', 0x3fb);
    packet[1] = (uint8_t)((len - 3) & 0x7f) | 0x80;
    packet[2] = (uint8_t)((len - 3) >> 7);
    size_t props = len - 3 - 3 - 2;
    packet[6] = (uint8_t)(props & 0x7f) | 0x80;
    packet[7] = (uint8_t)(props >> 7);
    assert_int_equal(fake_bytes(c, packet, len), len);
    assert_int_equal(fake.npublished, 1);
    assert_int_equal(fake.published->m.props.len, props - 5);
}

static void acknowledgements_keep_the_order_of_their_publishes(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "32 * <a> 0001 00 'x'");
    feed(c, "34 * <a> 0002 00 'x'");
    feed(c, "32 * <a> 0003 00 'x'");
    sent(c, "");
    fake_answer_one(2); // the last one first
    sent(c, "");
    fake_answer_one(0);
    sent(c, "40 02 0001");
    fake_answer_one(0);
    sent(c, "50 02 0002 40 02 0003");
    assert_int_equal(state_of(c)->waiting, 0);
}

static void a_refusal_does_not_overtake_what_waits(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "32 * <a> 0001 00 'x'");
    feed(c, "32 * <$SYS/x> 0002 00 'x'");
    feed(c, "3c * <a> 0003 00 'x'");
    feed(c, "3c * <a> 0003 00 'x'"); // a duplicate while the first one is under way
    sent(c, "");
    fake_answer();
    sent(c, "40 02 0001 40 03 0002 87 50 02 0003 50 02 0003");
}

// Its identifier is free for another message once the client hears of it.
static void a_refused_qos_2_waits_until_the_store_forgot_its_identifier(void **state)
{
    (void)state;
    fake.rx_del_rc = 1;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "34 * <$SYS/x> 0001 00 'x'");
    feed(c, "32 * <a> 0002 00 'x'");
    feed(c, "34 * <a> 0003 00 'x'");
    sent(c, "");
    fake_answer_one(1); // what is behind it waits as well
    sent(c, "");
    fake_answer_one(0);
    sent(c, "50 03 0001 87 40 02 0002");
    fake.publish_code = TG_E_FULL;
    fake_answer_one(0);
    sent(c, "");
    assert_int_equal(fake.nwaiting, 1);
    fake_answer();
    sent(c, "50 03 0003 97");
    assert_int_equal(state_of(c)->in_flight, 0);
}

static void an_identifier_that_the_store_may_know_is_not_let_go(void **state)
{
    (void)state;
    fake.rx_del_rc = 1;
    fake.sync_code = TG_E_IO;
    tg_conn c = client(CONNECT_5);
    feed(c, "34 * <$SYS/x> 0001 00 'x'");
    dismissed(c, MQTT_UNSPECIFIED);
    c = client(CONNECT_5);
    feed(c, "34 * <a> 0001 00 'x'");
    forget(c);
    feed(c, "62 02 0001");
    dismissed(c, MQTT_UNSPECIFIED);
    fake.sync_code = TG_E_NOSPACE; // but a full one forgets
    c = client(CONNECT_311);
    feed(c, "34 * <$SYS/x> 0001 'x'");
    feed(c, "62 02 0001");
    sent(c, "50 02 0001 70 02 0001");
}

static void a_refused_qos_2_may_outlive_its_connection(void **state)
{
    (void)state;
    fake.rx_del_rc = 1;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "34 * <$SYS/x> 0001 00 'x'");
    fake_hang_up(c);
    fake_answer(); // stop() sees what is left
}

static void payloads_that_say_they_are_text_must_be_where_it_is_checked(void **state)
{
    (void)state;
    const tg_pair pair = BOOL_OPTION("check_payload_format", true);
    const tg_value config = map_of(&pair, 1);
    tg_conn c = client(CONNECT_5); // as it is by default
    feed(c, "32 * <a> 0001 [0101] ff");
    sent(c, "40 02 0001");
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    c = client(CONNECT_5);
    fake.npublished = 0;
    feed(c, "32 * <a> 0001 [0101] 'x' 00 c3a4");
    feed(c, "32 * <a> 0002 [0100] ff");
    feed(c, "32 * <a> 0003 00 ff");
    sent(c, "40 02 0001 40 02 0002 40 02 0003");
    assert_int_equal(fake.npublished, 3);
    feed(c, "32 * <a> 0004 [0101] c3");
    feed(c, "34 * <a> 0005 [0101] 00c3");
    feed(c, "34 * <a> 0005 [0101] 'x'");
    sent(c, "40 03 0004 99 50 03 0005 99 50 02 0005");
    assert_int_equal(fake.npublished, 4);
    assert_int_equal(state_of(c)->in_flight, 1);
    feed(c, "30 * <a> [0101] 'x'");
    feed(c, "30 * <a> [0101] eda080");
    assert_int_equal(fake.npublished, 5);
    dismissed(c, MQTT_BAD_PAYLOAD);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 06 003c 00 <id> [0101] <w> 0001 ff");
    sent_reason(c, 0x20, 3, MQTT_BAD_PAYLOAD);
}

static void what_a_lost_session_cancels_is_not_answered(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "32 * <a> 0001 00 'x'");
    feed(c, "34 * <a> 0002 00 'x'");
    fake.publish_code = TG_E_CANCELLED; // as the host does before on_session_end
    fake_answer();
    sent(c, "");
    assert_int_equal(state_of(c)->waiting, 0);
    fake.later = false;
    c = client(CONNECT_311);
    fake.later = true;
    feed(c, "32 * <a> 0001 'x'");
    fake_answer();
    sent(c, "");
    assert_false(conn_of(c)->closed);
}

static void pings_are_answered_while_a_slow_store_works(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    fake.later = true;
    feed(c, "32 * <a> 0001 'x' ");
    feed(c, "c000");
    sent(c, "d000");
}

static void too_many_unanswered_publishes_stop_the_reading(void **state)
{
    (void)state;
    const tg_pair pair = INT_OPTION("receive_maximum", 2);
    const tg_value config = map_of(&pair, 1);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    tg_conn c = client(CONNECT_311);
    fake.later = true;
    const wire w = hex("32 06 <a> 0001 'x' 32 06 <a> 0002 'x' 32 06 <a> 0003 'x'");
    assert_int_equal(fake_bytes(c, w.at, w.len), 16);
    assert_true(conn_of(c)->paused);
    fake_answer_one(0);
    assert_false(conn_of(c)->paused);
    assert_int_equal(fake_bytes(c, w.at + 16, 8), 8);
    mqtt_on_idle(c, conn_of(c)->state); // who is not read cannot be heard
    assert_false(conn_of(c)->closed);
}

static void receive_maximum_is_enforced(void **state)
{
    (void)state;
    const tg_pair pair = INT_OPTION("receive_maximum", 2);
    const tg_value config = map_of(&pair, 1);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    tg_conn c = client(CONNECT_5);
    feed(c, "34 * <a> 0001 00 'x'");
    feed(c, "34 * <a> 0002 00 'x'");
    forget(c);
    feed(c, "34 * <a> 0003 00 'x'");
    dismissed(c, MQTT_RECEIVE_MAX);
    // The host's own limit, for clients that know none.
    c = client(CONNECT_311);
    fake.rx_rc = TG_E_LIMIT;
    feed(c, "34 * <a> 0001 'x'");
    closed_with(c, TG_E_LIMIT);
}

static void denied_publishes(void **state)
{
    (void)state;
    const tg_pair acl = {TG_LIT("acl"), {.kind = TG_MAP}};
    const tg_value attributes = map_of(&acl, 1);
    fake.attributes = &attributes;
    tg_conn c3 = client("10 * <MQTT> 04 82 0000 <id> <user>");
    tg_conn c5 = client(CONNECT_5);
    fake.may = false;
    feed(c3, "30 * <a> 'x'");
    feed(c3, "32 * <a> 0001 'x'");
    feed(c3, "34 * <a> 0002 'x'");
    sent(c3, "40 02 0001 50 02 0002"); // MQTT 3 cannot say no
    feed(c3, "62 * 0002");
    sent(c3, "70 02 0002");
    feed(c5, "30 * <a> 00 'x'");
    sent(c5, "");
    feed(c5, "32 * <a> 0001 00 'x'");
    sent_reason(c5, 0x40, 4, MQTT_NOT_AUTHORIZED);
    feed(c5, "34 * <a> 0002 00 'x'");
    sent_reason(c5, 0x50, 4, MQTT_NOT_AUTHORIZED);
    assert_int_equal(state_of(c5)->in_flight, 0);
    assert_int_equal(fake.npublished, 0);
    assert_int_equal(fake.counters[MQTT_N_publish_denied], 6);
    fake.may = true;
    feed(c5, "34 * <a> 0002 00 'x'"); // its identifier is free again
    sent(c5, "50 02 0002");
}

static void a_failed_store_is_not_acknowledged(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.publish_code = TG_E_IO;
    feed(c, "32 * <a> 0001 00 'x'");
    sent_reason(c, 0x40, 4, MQTT_UNSPECIFIED);
    c = client(CONNECT_311);
    feed(c, "32 * <a> 0001 'x'"); // it will send again when it is back
    sent(c, "");
    closed_with(c, TG_E_IO);
}

static void a_full_queue_of_the_only_receiver_is_told(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.publish_code = TG_E_FULL;
    feed(c, "32 * <a> 0001 00 'x'");
    sent_reason(c, 0x40, 4, MQTT_QUOTA);
    fake.receivers = 2;
    feed(c, "32 * <a> 0002 00 'x'");
    sent(c, "40 02 0002");
}

static void a_topic_that_the_hub_refuses(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.publish_rc = TG_E_MALFORMED;
    feed(c, "30 * <a> 00 'x'");
    sent(c, "");
    assert_int_equal(fake.ncomplaints, 1);
    feed(c, "32 * <a> 0001 00 'x'");
    sent_reason(c, 0x40, 4, MQTT_BAD_TOPIC);
    assert_false(conn_of(c)->closed);
}

static void topic_aliases_are_checked(void **state)
{
    (void)state;
    static const struct {
        uint8_t reason;
        const char *bytes;
    } CASES[] = {
        {MQTT_BAD_ALIAS, "30 * <a> [23 0000] 'x'"},
        {MQTT_BAD_ALIAS, "30 * <a> [23 0011] 'x'"}, // the limit is 16
        {MQTT_PROTOCOL, "30 * <> [23 0003] 'x'"}, // not set before
    };
    for (size_t i = 0; i < 3; i++) {
        tg_conn c = client(CONNECT_5);
        feed(c, CASES[i].bytes);
        dismissed(c, CASES[i].reason);
    }
    tg_conn c = client(CONNECT_5);
    feed(c, "30 * <one> [23 0010] 'x'");
    feed(c, "30 * <two> [23 0010] 'x'"); // set anew
    feed(c, "30 * <> [23 0010] 'y'");
    published("two", "y");
}

static void announced_limits_are_enforced(void **state)
{
    (void)state;
    const tg_pair pairs[] = {INT_OPTION("max_qos", 1), BOOL_OPTION("retain", false),
                             INT_OPTION("max_packet_size", 128)};
    const tg_value config = map_of(pairs, 3);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    static const struct {
        uint8_t reason;
        const char *bytes;
    } CASES[] = {
        {MQTT_NO_QOS, "34 * <a> 0001 00 'x'"},
        {MQTT_NO_RETAIN, "31 * <a> 00 'x'"},
        {MQTT_TOO_LARGE, "30 80 01"}, // before its bytes have come
        {MQTT_PROTOCOL, "30 * <a> [0b 01] 'x'"},
    };
    for (size_t i = 0; i < 4; i++) {
        tg_conn c = client(CONNECT_5);
        feed(c, CASES[i].bytes);
        dismissed(c, CASES[i].reason);
    }
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 16 0000 00 <id> 00 <w> <x>"); // a will with QoS 2
    sent_reason(c, 0x20, 3, MQTT_NO_QOS);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 26 0000 00 <id> 00 <w> <x>");
    sent_reason(c, 0x20, 3, MQTT_NO_RETAIN);
}

static void the_connection_may_go_before_its_acknowledgements(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.later = true;
    feed(c, "32 * <a> 0001 00 'x'");
    feed(c, "32 * <a> 0002 00 'x'");
    fake_answer_one(1); // done, but behind the first
    fake_hang_up(c);
    assert_int_equal(fake.close_flags, TG_CLOSE_KEEP_WILL);
    fake_answer(); // stop() sees what is left
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(qos_0_is_routed_and_not_answered),
        TEST(qos_1_is_acknowledged_when_it_was_kept),
        TEST(qos_2_is_routed_once_per_identifier),
        TEST(properties_travel_but_for_what_is_the_links_own),
        TEST(large_properties_travel_too),
        TEST(acknowledgements_keep_the_order_of_their_publishes),
        TEST(a_refusal_does_not_overtake_what_waits),
        TEST(a_refused_qos_2_waits_until_the_store_forgot_its_identifier),
        TEST(an_identifier_that_the_store_may_know_is_not_let_go),
        TEST(a_refused_qos_2_may_outlive_its_connection),
        TEST(payloads_that_say_they_are_text_must_be_where_it_is_checked),
        TEST(what_a_lost_session_cancels_is_not_answered),
        TEST(pings_are_answered_while_a_slow_store_works),
        TEST(too_many_unanswered_publishes_stop_the_reading),
        TEST(receive_maximum_is_enforced),
        TEST(denied_publishes),
        TEST(a_failed_store_is_not_acknowledged),
        TEST(a_full_queue_of_the_only_receiver_is_told),
        TEST(a_topic_that_the_hub_refuses),
        TEST(topic_aliases_are_checked),
        TEST(announced_limits_are_enforced),
        TEST(the_connection_may_go_before_its_acknowledgements),
    };
    return RUN(tests);
}
