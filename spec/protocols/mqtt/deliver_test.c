// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

static tg_msg message(const char *topic, tg_slice payload, tg_slice props)
{
    const tg_msg_spec spec = {
        .size = sizeof(spec), .topic = tg_str(topic), .payload = payload, .props = props};
    return tg.msg->new (&spec);
}

static int deliver(tg_conn c, const tg_delivery *d)
{
    return mqtt_on_deliver(c, conn_of(c)->state, (tg_session){c.id}, d);
}

static void a_message_in_each_version_and_qos(void **state)
{
    (void)state;
    const wire props = hex("26 <k> <v>");
    tg_conn c3 = client(CONNECT_311), c5 = client(CONNECT_5);
    tg_msg m = message("a/b", TG_LIT("x"), (tg_slice){(const char *)props.at, props.len});
    tg_delivery d = {.size = sizeof(d), .msg = m};
    assert_int_equal(deliver(c3, &d), 0);
    sent(c3, "30 * <a/b> 'x'");
    assert_int_equal(deliver(c5, &d), 0);
    sent(c5, "30 * <a/b> [26 <k> <v>] 'x'");
    d = (tg_delivery){.size = sizeof(d), .msg = m, .qos = 1, .packet_id = 0x102};
    deliver(c3, &d);
    sent(c3, "32 * <a/b> 0102 'x'");
    deliver(c5, &d);
    sent(c5, "32 * <a/b> 0102 [26 <k> <v>] 'x'");
    d.qos = 2;
    d.dup = 1;
    d.retain = 1;
    d.packet_id = 0xfffe;
    deliver(c3, &d);
    sent(c3, "3d * <a/b> fffe 'x'");
    deliver(c5, &d);
    sent(c5, "3d * <a/b> fffe [26 <k> <v>] 'x'");
    tg.msg->unref(m);
    assert_int_equal(fake.counters[MQTT_N_sent + MQTT_PUBLISH], 6);
}

static void identifiers_and_expiry_are_each_receivers_own(void **state)
{
    (void)state;
    static const uint32_t IDS[] = {1, 200};
    tg_conn c = client(CONNECT_5), other = client(CONNECT_5);
    tg_msg m = message("t", TG_LIT("x"), (tg_slice){0});
    tg_delivery d = {
        .size = sizeof(d), .msg = m, .nsub_ids = 2, .sub_ids = IDS, .expiry_s = 9};
    deliver(c, &d);
    sent(c, "30 * <t> [02 00000009 0b 01 0b c801] 'x'");
    d.nsub_ids = 0;
    d.expiry_s = 0;
    deliver(other, &d);
    sent(other, "30 * <t> 00 'x'");
    d.nsub_ids = 1;
    deliver(c, &d);
    sent(c, "30 * <t> [0b 01] 'x'");
    deliver(other, &(tg_delivery){.size = sizeof(d), .msg = m});
    sent(other, "30 * <t> 00 'x'");
    tg.msg->unref(m);
}

static void a_fan_out_sends_the_same_bytes_with_own_identifiers(void **state)
{
    (void)state;
    tg_conn c[4];
    for (size_t i = 0; i < 4; i++)
        c[i] = client(CONNECT_5);
    tg_msg m = message("fan", TG_LIT("out"), (tg_slice){0});
    for (uint16_t i = 0; i < 4; i++) {
        tg_delivery d = {.size = sizeof(d),
                         .msg = m,
                         .qos = (uint8_t)(1 + i % 2),
                         .packet_id = (uint16_t)(i + 1)};
        deliver(c[i], &d);
    }
    sent(c[0], "32 * <fan> 0001 00 'out'");
    sent(c[1], "34 * <fan> 0002 00 'out'");
    sent(c[2], "32 * <fan> 0003 00 'out'");
    sent(c[3], "34 * <fan> 0004 00 'out'");
    tg.msg->unref(m);
    m = message("other", TG_LIT("o"), (tg_slice){0}); // maybe at the same address
    deliver(c[0], &(tg_delivery){.size = sizeof(tg_delivery), .msg = m});
    sent(c[0], "30 * <other> 00 'o'");
    tg.msg->unref(m);
}

static void large_payloads_and_heads_arrive_whole(void **state)
{
    (void)state;
    static char payload[5000], topic[3000];
    memset(payload, 'p', sizeof(payload));
    memset(topic, 't', sizeof(topic) - 1);
    tg_conn c = client(CONNECT_311);
    static const size_t SIZES[] = {1023, 1024, 1500, 5000};
    for (size_t i = 0; i < 4; i++) {
        for (int wide = 0; wide < 2; wide++) {
            tg_slice body = {payload, SIZES[i]};
            tg_msg m = message(wide ? topic : "t", body, (tg_slice){0});
            tg_delivery d = {.size = sizeof(d), .msg = m, .qos = 1, .packet_id = 5};
            assert_int_equal(deliver(c, &d), 0);
            mqtt_head head;
            mqtt_packet p;
            tg_slice out = {(char *)conn_of(c)->out, conn_of(c)->out_len};
            assert_int_equal(mqtt_head_parse(out, &head), 1);
            assert_int_equal(head.size, out.len);
            assert_int_equal(mqtt_parse(MQTT_V311, &head, out, &p), 0);
            assert_int_equal(p.payload.len, SIZES[i]);
            assert_int_equal(p.topic.len, wide ? sizeof(topic) - 1 : 1);
            assert_int_equal(p.packet_id, 5);
            forget(c);
            tg.msg->unref(m);
        }
    }
}

static void what_the_client_cannot_take_is_dropped(void **state)
{
    (void)state;
    tg_conn c = client("10 * <MQTT> 05 02 0000 [27 00000010] <id>");
    tg_conn wide = client(CONNECT_5);
    tg_msg fits = message("t", TG_LIT("1234567890"), (tg_slice){0});
    tg_msg big = message("t", TG_LIT("1234567890a"), (tg_slice){0});
    tg_delivery d = {.size = sizeof(d), .msg = fits};
    assert_int_equal(deliver(c, &d), 0);
    d.msg = big;
    assert_int_equal(deliver(c, &d), TG_E_TOOBIG);
    assert_int_equal(deliver(wide, &d), 0);
    assert_int_equal(deliver(c, &d), TG_E_TOOBIG); // also when it was encoded for another
    sent(c, "30 * <t> 00 '1234567890'");
    assert_int_equal(fake.counters[MQTT_N_dropped_too_large], 2);
    tg.msg->unref(fits);
    tg.msg->unref(big);
}

static void the_session_keeps_what_finds_the_queue_full(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    conn_of(c)->write_max = 10;
    tg_msg m = message("topic", TG_LIT("payload"), (tg_slice){0});
    tg_delivery d = {.size = sizeof(d), .msg = m};
    assert_int_equal(deliver(c, &d), TG_E_FULL);
    conn_of(c)->write_max = 0;
    assert_int_equal(deliver(c, &d), 0);
    sent(c, "30 * <topic> 'payload'");
    tg.msg->unref(m);
}

static void topic_aliases_for_clients_that_allow_them(void **state)
{
    (void)state;
    tg_conn c = client("10 * <MQTT> 05 02 0000 [22 0001] <id>");
    tg_msg one = message("topic/one", TG_LIT("1"), (tg_slice){0});
    tg_msg two = message("topic/two", TG_LIT("2"), (tg_slice){0});
    tg_delivery d = {.size = sizeof(d), .msg = one};
    conn_of(c)->write_max = 5;
    assert_int_equal(deliver(c, &d), TG_E_FULL); // the client did not hear of the alias
    conn_of(c)->write_max = 0;
    deliver(c, &d);
    sent(c, "30 * <topic/one> [23 0001] '1'");
    deliver(c, &d);
    sent(c, "30 * <> [23 0001] '1'");
    d.msg = two; // the client allows one
    deliver(c, &d);
    sent(c, "30 * <topic/two> 00 '2'");
    tg.msg->unref(one);
    tg.msg->unref(two);
}

static void acknowledgements_reach_the_window(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "40 * 0007");
    assert_int_equal(fake.acked, 7);
    assert_int_equal(fake.how, TG_ACK_DONE_1);
    feed(c, "40 * 0008 87");
    assert_int_equal(fake.how, TG_ACK_REFUSED_1);
    feed(c, "50 * 0009 10");
    assert_int_equal(fake.how, TG_ACK_RECEIVED);
    sent(c, "62 02 0009");
    feed(c, "70 * 0009");
    assert_int_equal(fake.how, TG_ACK_DONE_2);
    feed(c, "50 * 000a 97");
    assert_int_equal(fake.how, TG_ACK_REFUSED_2);
    sent(c, ""); // no PUBREL after an error
    feed(c, "70 * 000b 92");
    assert_int_equal(fake.how, TG_ACK_DONE_2);
}

static void acknowledgements_of_what_was_not_sent(void **state)
{
    (void)state;
    tg_conn c5 = client(CONNECT_5), c3 = client(CONNECT_311);
    fake.ack_rc = TG_E_NOTFOUND;
    feed(c5, "40 * 0007");
    feed(c5, "50 * 0007");
    sent_reason(c5, 0x62, 4, MQTT_NO_SUCH_ID);
    feed(c3, "50 * 0007");
    sent(c3, "62 02 0007");
    feed(c3, "70 * 0007");
    assert_int_equal(fake.counters[MQTT_N_unknown_acks], 4);
    assert_false(conn_of(c5)->closed);
}

static void a_release_waits_for_the_store(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    fake.ack_rc = 1;
    feed(c, "50 * 0007");
    sent(c, "");
    assert_int_equal(fake.ncomplaints, 0);
}

static void a_release_is_sent_again_without_the_message(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    tg_msg m = message("t", TG_LIT("x"), (tg_slice){0});
    tg_delivery d = {
        .size = sizeof(d), .msg = m, .qos = 2, .packet_id = 3, .released = 1, .dup = 1};
    assert_int_equal(deliver(c, &d), 0);
    sent(c, "62 02 0003");
    conn_of(c)->write_max = 3; // even when there is no room: the host says it once
    assert_int_equal(deliver(c, &d), 0);
    sent(c, "");
    conn_of(c)->write_max = 0;
    mqtt_on_writable(c, conn_of(c)->state);
    sent(c, "62 02 0003");
    tg.msg->unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_in_each_version_and_qos),
        TEST(identifiers_and_expiry_are_each_receivers_own),
        TEST(a_fan_out_sends_the_same_bytes_with_own_identifiers),
        TEST(large_payloads_and_heads_arrive_whole),
        TEST(what_the_client_cannot_take_is_dropped),
        TEST(the_session_keeps_what_finds_the_queue_full),
        TEST(topic_aliases_for_clients_that_allow_them),
        TEST(acknowledgements_reach_the_window),
        TEST(acknowledgements_of_what_was_not_sent),
        TEST(a_release_waits_for_the_store),
        TEST(a_release_is_sent_again_without_the_message),
    };
    return RUN(tests);
}
