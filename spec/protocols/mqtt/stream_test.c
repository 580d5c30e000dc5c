// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

// Everything that a client may say, as one stream.
static const char *const TALK_5[] = {
    "10 0f <MQTT> 05 02 003c 00 <id>",
    "82 0e 0001 [0b 07] <a/b/c> 02",
    "32 0d <a/b/c> 0002 00 'hi' ",
    "34 0d <a/b/c> 0003 00 'hi' ",
    "62 02 0003",
    "30 13 <a/b> [26 <k> <v> 23 0001] 'x'",
    "30 08 <> [23 0001] 'yz'",
    "40 02 0009",
    "50 02 0009",
    "70 02 0009",
    "c0 00",
    "a2 0a 0004 00 <a/b/c>",
    "e0 02 00 00",
};

static wire whole_stream(void)
{
    wire all = {0};
    for (size_t i = 0; i < sizeof(TALK_5) / sizeof(TALK_5[0]); i++) {
        wire w = hex(TALK_5[i]);
        w.at[1] = (uint8_t)(w.len - 2);
        memcpy(all.at + all.len, w.at, w.len);
        all.len += w.len;
    }
    return all;
}

// Feeds `len` bytes at a time, keeping what was not used, as the host does.
static void feed_in_pieces(tg_conn c, const wire *all, size_t len)
{
    static uint8_t kept[4096];
    size_t nkept = 0;
    for (size_t at = 0; at < all->len; at += len) {
        size_t n = all->len - at < len ? all->len - at : len;
        memcpy(kept + nkept, all->at + at, n);
        nkept += n;
        int64_t used = fake_bytes(c, kept, nkept);
        assert_in_range(used, 0, nkept);
        nkept -= (size_t)used;
        memmove(kept, kept + used, nkept);
    }
    assert_int_equal(nkept, 0);
}

static void every_cut_of_a_stream_gives_the_same_answers(void **state)
{
    (void)state;
    static uint8_t want[FAKE_OUT];
    const wire all = whole_stream();
    for (size_t len = all.len; len > 0; len--) {
        fake_stop();
        fake_start(NULL);
        tg_conn c = fake_connect(NULL);
        feed_in_pieces(c, &all, len);
        if (len == all.len)
            memcpy(want, conn_of(c)->out, conn_of(c)->out_len);
        assert_memory_equal(conn_of(c)->out, want, conn_of(c)->out_len);
        assert_int_equal(fake.npublished, 4);
        assert_int_equal(fake.nacks, 3);
        closed_with(c, 0);
        assert_int_equal(fake.close_flags, 0); // a good end: no will
    }
}

// [5.0: 3.14.4-1]
static void nothing_is_read_after_the_end(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "e000 30 05 <t> 00 'x'");
    assert_int_equal(fake.npublished, 0);
    closed_with(c, 0);
    feed(c, "3005");
}

static void disconnects_of_a_client(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    feed(c, "e0 * 04");
    assert_int_equal(fake.close_flags, TG_CLOSE_KEEP_WILL);
    sent(c, "");
    closed_with(c, 0);
    c = client("10 * <MQTT> 05 02 0000 [11 00000005] <id>");
    feed(c, "e0 * 00 [11 0000003c]");
    assert_int_equal(fake.expiry_s, 60);
    c = client(CONNECT_5);
    feed(c, "e0 * 00 [11 00000000]"); // 0 stays 0
    closed_with(c, 0);
    c = client(CONNECT_5);
    feed(c, "e0 * 00 [11 0000003c]");
    dismissed(c, MQTT_PROTOCOL);
    c = client(CONNECT_5);
    feed(c, "e0 * 8b"); // only a server shuts down
    dismissed(c, MQTT_PROTOCOL);
    c = client(CONNECT_311);
    feed(c, "e0 00");
    closed_with(c, 0);
    assert_int_equal(fake.close_flags, 0);
}

static void what_only_a_server_sends(void **state)
{
    (void)state;
    static const char *const PACKETS[] = {"20 * 00 00 00", "90 * 0001 00 00",
                                          "b0 * 0001 00 00", "d0 00"};
    for (size_t i = 0; i < 4; i++) {
        tg_conn c = client(CONNECT_5);
        feed(c, PACKETS[i]);
        dismissed(c, MQTT_PROTOCOL);
    }
    assert_int_equal(fake.counters[MQTT_N_protocol_errors], 4);
}

static void malformed_packets_get_their_reason(void **state)
{
    (void)state;
    static const struct {
        uint8_t reason;
        const char *bytes;
    } CASES[] = {
        {MQTT_MALFORMED, "00 00"},           {MQTT_MALFORMED, "c1 00"},
        {MQTT_MALFORMED, "c0 ff ff ff ff"},  {MQTT_MALFORMED, "36 * <t> 0001 00"},
        {MQTT_PROTOCOL, "32 * <t> 0000 00"}, {MQTT_BAD_TOPIC, "30 * <a/#> 00"},
        {MQTT_MALFORMED, "30 * 0001 ff 00"},
    };
    for (size_t i = 0; i < 7; i++) {
        tg_conn c = client(CONNECT_5);
        feed(c, CASES[i].bytes);
        dismissed(c, CASES[i].reason);
    }
    tg_conn c = client(CONNECT_311);
    feed(c, "c1 00");
    sent(c, "");
    closed_with(c, TG_E_MALFORMED);
}

static void ends_that_the_host_decides(void **state)
{
    (void)state;
    static const struct {
        int reason;
        uint8_t code;
    } CASES[] = {
        {TG_E_TAKENOVER, MQTT_TAKEN_OVER}, {TG_E_SHUTDOWN, MQTT_SHUTDOWN},
        {TG_E_KICKED, MQTT_ADMIN},         {TG_E_TIMEOUT, MQTT_QUOTA},
        {TG_E_IO, MQTT_UNSPECIFIED},
    };
    for (size_t i = 0; i < 5; i++) {
        tg_conn c = client(CONNECT_5);
        uint32_t before = fake.nclosed;
        mqtt_on_session_end(c, conn_of(c)->state, (tg_session){c.id}, CASES[i].reason);
        dismissed(c, CASES[i].code);
        assert_int_equal(fake.nclosed, before); // the host had unbound it
    }
    tg_conn c = client(CONNECT_311);
    mqtt_on_session_end(c, conn_of(c)->state, (tg_session){c.id}, TG_E_TAKENOVER);
    sent(c, "");
    closed_with(c, TG_E_TAKENOVER);
    assert_int_equal(counted("disconnects_total main session_taken_over server"), 2);
    assert_int_equal(counted("disconnects_total main administrative_action server"), 1);
    assert_int_equal(fake.counters[MQTT_N_connections], 0);
}

// Each listener's connections, packets and messages, and what became of them.
static void traffic_is_counted(void **state)
{
    (void)state;
    tg_conn a = client(CONNECT_5), b = client(CONNECT_311);
    assert_int_equal(fake.counters[MQTT_N_connections], 2);
    assert_int_equal(counted("connacks_total main success"), 2);
    feed(a, "30 * <a> 00 'xyz'");
    feed(a, "32 * <a> 0001 00 'x'");
    feed(a, "34 * <a> 0002 00 'x'");
    feed(a, "62 02 0002");
    feed(b, "c000");
    assert_int_equal(fake_bytes(b, "\xc0", 1), 0); // half a packet is none
    assert_int_equal(counted("packets_received_total main publish"), 3);
    assert_int_equal(counted("packets_received_total main pingreq"), 1);
    assert_int_equal(counted("packets_received_total main connect"), 2);
    assert_int_equal(counted("packets_sent_total main puback"), 1);
    assert_int_equal(counted("packets_sent_total main pubcomp"), 1);
    assert_int_equal(counted("packets_sent_total main pingresp"), 1);
    for (int qos = 0; qos < 3; qos++)
        assert_int_equal(fake.counters[MQTT_N_qos_received + qos], 1);
    assert_int_equal(counted("payload_bytes_received_total main"), 5);
    feed(a, "e0 00");
    assert_int_equal(counted("disconnects_total main success client"), 1);
    fake_hang_up(b);
    assert_int_equal(counted("disconnects_total main connection_lost network"), 1);
    assert_int_equal(fake.counters[MQTT_N_connections], 0);
}

static void silence_ends_a_connection(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_5);
    mqtt_on_idle(c, conn_of(c)->state);
    dismissed(c, MQTT_KEEPALIVE);
    assert_int_equal(fake.close_flags, TG_CLOSE_KEEP_WILL);
    assert_int_equal(counted("disconnects_total main keep_alive_timeout server"), 1);
}

static void answers_wait_in_the_outbox_of_a_slow_reader(void **state)
{
    (void)state;
    tg_conn c = client(CONNECT_311);
    conn_of(c)->write_max = 3;
    const wire w = hex("c000 c000 c000");
    assert_int_equal(fake_bytes(c, w.at, w.len), 4); // one was sent, one was put by
    assert_true(conn_of(c)->paused);
    const tg_msg_spec spec = {.size = sizeof(spec), .topic = TG_LIT("t")};
    tg_msg m = tg.msg->new (&spec);
    const tg_delivery d = {.size = sizeof(d), .msg = m};
    assert_int_equal(mqtt_on_deliver(c, conn_of(c)->state, (tg_session){1}, &d), TG_E_FULL);
    tg.msg->unref(m);
    mqtt_on_writable(c, conn_of(c)->state); // still no room
    assert_true(conn_of(c)->paused);
    sent(c, "d000");
    mqtt_on_writable(c, conn_of(c)->state);
    sent(c, "d000");
    assert_false(conn_of(c)->paused);
    assert_int_equal(fake.nresumed, 1);
    assert_int_equal(fake_bytes(c, w.at + 4, 2), 2);
    sent(c, "d000");
}

static void the_hosts_limit_of_session_expiry_is_told(void **state)
{
    (void)state;
    fake.expiry_most = 60;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 003c [11 00000e10] <id>");
    const fake_conn *f = conn_of(c);
    static const uint8_t told[] = {0x11, 0, 0, 0, 60};
    assert_non_null(memmem(f->out, f->out_len, told, sizeof(told)));
    c = fake_connect(NULL); // no more than it asked for: nothing to say
    feed(c, "10 * <MQTT> 05 02 003c [11 0000003c] <id>");
    f = conn_of(c);
    assert_null(memmem(f->out, f->out_len, told, sizeof(told)));
}

static void server_keepalive_and_session_expiry_are_imposed(void **state)
{
    (void)state;
    const tg_pair pairs[] = {INT_OPTION("keepalive_max", 30000),
                             INT_OPTION("session_expiry_max", 3600000)};
    const tg_value config = map_of(pairs, 2);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [11 ffffffff] <id>");
    sent(c, "20 * 00 00 [11 00000e10 21 0100 27 00100000 22 0010 13 001e]");
    assert_int_equal(conn_of(c)->idle_ms, 45000);
    assert_int_equal(fake.opened.expiry_s, 3600);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 00 0000 <id>"); // cannot be told
    assert_int_equal(conn_of(c)->idle_ms, 0);
    assert_int_equal(fake.opened.expiry_s, 3600);
}

static void a_listener_may_differ_from_the_plugin(void **state)
{
    (void)state;
    const tg_pair pairs[] = {STR_OPTION("max_packet_size", "64KiB"),
                             STR_OPTION("keepalive_max", "2m"),
                             INT_OPTION("receive_maximum", 5)};
    const tg_value options = map_of(pairs, 3);
    tg_conn c = fake_connect(&options), same = fake_connect(&options);
    assert_int_equal(state_of(c)->port->config->max_packet, 65536);
    assert_int_equal(state_of(c)->port->config->keepalive_max, 120);
    assert_int_equal(state_of(c)->port->config->receive_max, 5);
    assert_ptr_equal(state_of(c)->port->config, state_of(same)->port->config);
    tg_conn plain = fake_connect(NULL);
    assert_int_equal(state_of(plain)->port->config->max_packet, 1 << 20);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    const tg_pair pairs[][1] = {
        {INT_OPTION("receive_maximun", 5)},
        {INT_OPTION("receive_maximum", 0)},
        {STR_OPTION("max_packet_size", "64Kib")},
        {STR_OPTION("max_packet_size", "17179869185GiB")},
        {STR_OPTION("keepalive_max", "2x")},
        {INT_OPTION("retain", 1)},
        {BOOL_OPTION("max_qos", true)},
        {STR_OPTION("response_information", "\xff")},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const tg_value options = map_of(pairs[i], 1);
        char why[128];
        mqtt_config config;
        mqtt_config_default(&config);
        assert_int_equal(mqtt_config_read(&config, &options, false, why, sizeof(why)),
                         TG_E_INVAL);
        assert_memory_equal(why, pairs[i][0].key.at, pairs[i][0].key.len);
    }
    const tg_value options = map_of(pairs[0], 1);
    tg_conn c = fake_connect(&options);
    assert_true(conn_of(c)->closed);
    assert_int_equal(fake.ncomplaints, 1);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &options), TG_E_INVAL);
}

static void a_connections_state_is_small(void **state)
{
    (void)state;
    assert_in_range(sizeof(mqtt_conn), 1, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_cut_of_a_stream_gives_the_same_answers),
        TEST(nothing_is_read_after_the_end),
        TEST(disconnects_of_a_client),
        TEST(what_only_a_server_sends),
        TEST(malformed_packets_get_their_reason),
        TEST(ends_that_the_host_decides),
        TEST(traffic_is_counted),
        TEST(silence_ends_a_connection),
        TEST(answers_wait_in_the_outbox_of_a_slow_reader),
        TEST(the_hosts_limit_of_session_expiry_is_told),
        TEST(server_keepalive_and_session_expiry_are_imposed),
        TEST(a_listener_may_differ_from_the_plugin),
        TEST(wrong_options_are_named),
        TEST(a_connections_state_is_small),
    };
    return RUN(tests);
}
