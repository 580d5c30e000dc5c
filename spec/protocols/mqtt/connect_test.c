// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

static void a_client_of_each_version_comes_in(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQIsdp> 03 02 000a <id3>");
    sent(c, "20 02 00 00");
    assert_string_equal(fake.client_id, "id3");
    assert_int_equal(conn_of(c)->idle_ms, 15000);
    assert_true(conn_of(c)->ready);

    c = fake_connect(NULL);
    fake.present = true;
    feed(c, "10 * <MQTT> 04 00 0000 <id4>");
    sent(c, "20 02 01 00");
    assert_false(fake.opened.clean_start);
    assert_int_equal(fake.opened.expiry_s, 7 * 86400);
    assert_int_equal(fake.opened.receive_max, 0);
    assert_int_equal(conn_of(c)->idle_ms, 0);

    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0001 [21 0007 11 0000000a] <id5>");
    sent(c, "20 * 01 00 [21 0100 27 00100000 22 0010]");
    assert_true(fake.opened.clean_start);
    assert_int_equal(fake.opened.expiry_s, 10);
    assert_int_equal(fake.opened.receive_max, 7);
    assert_false(conn_of(c)->paused);
}

static void mqtt_3_clean_sessions_end_with_the_connection(void **state)
{
    (void)state;
    client(CONNECT_311);
    assert_true(fake.opened.clean_start);
    assert_int_equal(fake.opened.expiry_s, 0);
}

static void packets_may_follow_connect_in_the_same_bytes(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    const wire w = hex("10 10 <MQTT> 04 02 003c 0004 'glue' c000 30 04 <t> 'x'");
    assert_int_equal(fake_bytes(c, w.at, w.len), w.len);
    sent(c, "20020000 d000");
    assert_int_equal(fake.npublished, 1);
}

static void bytes_that_follow_wait_for_the_answers(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    fake.later = true;
    const wire w = hex("10 10 <MQTT> 04 02 003c 0004 'glue' c000");
    assert_int_equal(fake_bytes(c, w.at, w.len), 18);
    assert_true(conn_of(c)->paused);
    fake_answer_one(0); // auth
    assert_int_equal(fake.nopened, 1);
    assert_true(conn_of(c)->paused);
    fake_answer_one(0); // the session
    assert_false(conn_of(c)->paused);
    sent(c, "20020000");
    assert_int_equal(fake_bytes(c, w.at + 18, 2), 2);
    sent(c, "d000");
}

static void user_and_password_reach_auth(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 c2 0000 <id> <user> <pass>");
    assert_string_equal(fake.auth_user, "user");
    assert_string_equal(fake.auth_password, "pass");
    assert_true(fake.auth.has_password);
    assert_int_equal(state_of(c)->state, MQTT_CONNECTED);
}

static void auth_fails_closed(void **state)
{
    (void)state;
    static const struct {
        int code;
        uint8_t v3, v5;
    } CASES[] = {
        {TG_AUTH_DENY, 5, MQTT_NOT_AUTHORIZED},
        {TG_AUTH_NEXT, 5, MQTT_NOT_AUTHORIZED},
        {TG_E_TIMEOUT, 3, MQTT_UNAVAILABLE},
        {TG_E_BUSY, 3, MQTT_BUSY},
    };
    for (size_t i = 0; i < 4; i++) {
        fake.auth_code = CASES[i].code;
        tg_conn c = fake_connect(NULL);
        feed(c, CONNECT_311);
        sent_reason(c, 0x20, 3, CASES[i].v3);
        assert_true(conn_of(c)->closed);
        c = fake_connect(NULL);
        feed(c, CONNECT_5);
        sent_reason(c, 0x20, 3, CASES[i].v5);
        assert_true(conn_of(c)->closed);
    }
    assert_int_equal(fake.nopened, 0);
    assert_int_equal(counted("connacks_total main not_authorized"), 4);
    assert_int_equal(counted("connacks_total main server_unavailable"), 2);
    assert_int_equal(counted("connacks_total main server_busy"), 2);
    assert_int_equal(fake.counters[MQTT_N_sent + MQTT_CONNACK], 8);
    assert_int_equal(fake.counters[MQTT_N_connections], 0);
}

static void a_wrong_password_is_told_apart_from_no_name(void **state)
{
    (void)state;
    fake.auth_code = TG_AUTH_DENY;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 c2 0000 00 <id> <user> <pass>");
    sent_reason(c, 0x20, 3, MQTT_BAD_USER);
    closed_with(c, TG_E_DENIED);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 c2 0000 <id> <user> <pass>");
    sent_reason(c, 0x20, 3, 4);
}

static void a_session_that_cannot_be_opened_refuses_the_client(void **state)
{
    (void)state;
    static const struct {
        int code;
        uint8_t reason;
    } CASES[] = {
        {TG_E_BUSY, MQTT_BUSY},
        {TG_E_LIMIT, MQTT_QUOTA},
        {TG_E_IO, MQTT_UNAVAILABLE},
        {TG_E_MALFORMED, MQTT_BAD_CLIENT_ID},
    };
    for (size_t i = 0; i < 4; i++) {
        fake.open_code = CASES[i].code;
        tg_conn c = fake_connect(NULL);
        feed(c, CONNECT_5);
        sent_reason(c, 0x20, 3, CASES[i].reason);
        assert_true(conn_of(c)->closed);
    }
}

static void the_client_may_go_while_answers_are_due(void **state)
{
    (void)state;
    fake.later = true;
    tg_conn c = fake_connect(NULL);
    feed(c, CONNECT_311);
    fake_hang_up(c);
    fake_answer(); // auth answers nobody
    assert_int_equal(fake.nopened, 0);

    c = fake_connect(NULL);
    feed(c, CONNECT_311);
    fake_answer_one(0);
    fake_hang_up(c);
    fake_answer(); // the session is there for nobody
    assert_int_equal(fake.nopened, 1);
    assert_int_equal(fake.nclosed, 1);
}

static void a_missing_client_id_is_assigned_where_it_may_be(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 02 0000 <>");
    sent(c, "20020000");
    assert_int_equal(strlen(fake.client_id), 37);

    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 00 0000 00 <>");
    mqtt_packet p;
    mqtt_head head;
    tg_slice out = {(char *)conn_of(c)->out, conn_of(c)->out_len};
    assert_int_equal(mqtt_head_parse(out, &head), 1);
    assert_int_equal(mqtt_parse(MQTT_V5, &head, out, &p), 0);
    tg_slice assigned = mqtt_bytes(&p.props, MQTT_P_ASSIGNED_ID);
    assert_int_equal(assigned.len, 37);
    assert_memory_equal(assigned.at, fake.client_id, 37);

    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 00 0000 <>"); // a session without a name cannot be kept
    sent(c, "20020002");
    c = fake_connect(NULL);
    feed(c, "10 * <MQIsdp> 03 02 0000 <>");
    sent(c, "20020002");
    assert_true(conn_of(c)->closed);
}

static void the_will_goes_to_the_session_whole(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 36 0000 00 <id>"
            " [18 00000005 26 <k> <v> 02 0000003c 03 <j>] <will/t> <bye>");
    assert_int_equal(state_of(c)->state, MQTT_CONNECTED);
    assert_string_equal(fake.will_topic, "will/t");
    assert_string_equal(fake.will_payload, "bye");
    assert_int_equal(fake.will.delay_s, 5);
    assert_int_equal(fake.will.message.expiry_s, 60);
    assert_int_equal(fake.will.message.qos, 2);
    assert_int_equal(fake.will.message.retain, 1);
    const wire want = hex("26 <k> <v> 03 <j>");
    assert_int_equal(fake.will.message.props.len, want.len);
    assert_memory_equal(fake.will_props, want.at, want.len);
}

static void enhanced_authentication_is_refused(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [15 <SCRAM>] <id>");
    sent_reason(c, 0x20, 3, MQTT_BAD_METHOD);
    closed_with(c, TG_E_UNSUPPORTED);
    c = client(CONNECT_5);
    feed(c, "f0 * 19 [15 <SCRAM>]");
    dismissed(c, MQTT_PROTOCOL);
}

static void versions_that_are_not_spoken(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 03 02 0000 <id>");
    sent(c, "20020001");
    closed_with(c, TG_E_VERSION);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 06 02 0000 00 <id>");
    sent_reason(c, 0x20, 3, MQTT_BAD_VERSION);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 84 02 0000 <id>"); // a bridge that speaks 3.1.1
    sent(c, "20020001");
    closed_with(c, TG_E_VERSION);
    c = fake_connect(NULL);
    feed(c, "10 * <HTTP> 04 02 0000 <id>");
    sent(c, "");
    closed_with(c, TG_E_VERSION);
}

static void malformed_connects_get_what_they_can_read(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 03 0000 00 <id>");
    sent_reason(c, 0x20, 3, MQTT_MALFORMED);
    closed_with(c, TG_E_MALFORMED);
    c = fake_connect(NULL);
    feed(c, "11 * <MQTT> 04 02 0000 <id>");
    sent(c, "");
    closed_with(c, TG_E_MALFORMED);
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 04 03 0000 <id>"); // MQTT 3 has no return code for it
    sent(c, "");
    closed_with(c, TG_E_MALFORMED);
}

static void the_first_packet_is_connect_and_the_second_is_not(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "c0"); // one byte is enough to know
    sent(c, "");
    closed_with(c, TG_E_PROTOCOL);
    c = client(CONNECT_5);
    feed(c, CONNECT_5);
    dismissed(c, MQTT_PROTOCOL);
    c = client(CONNECT_311);
    feed(c, CONNECT_311);
    sent(c, "");
    closed_with(c, TG_E_PROTOCOL);
    assert_int_equal(fake.close_flags, TG_CLOSE_KEEP_WILL);
}

static void a_connect_of_a_stranger_is_bounded(void **state)
{
    (void)state;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 ff ff 7f"); // 2 MiB
    closed_with(c, TG_E_TOOBIG);
    c = fake_connect(NULL);
    feed(c, "10 ff ff ff ff");
    closed_with(c, TG_E_MALFORMED);
}

// [5.0: 3.1.2-28]
static void response_information_for_who_asks(void **state)
{
    (void)state;
    const tg_pair pair = STR_OPTION("response_information", "reply/");
    const tg_value config = map_of(&pair, 1);
    assert_int_equal(mqtt_adapter_reconfigure(fake.adapter, &config), 0);
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [19 01] <id>");
    sent(c, "20 * 00 00 [21 0100 27 00100000 22 0010 1a <reply/>]");
    c = fake_connect(NULL);
    feed(c, CONNECT_5);
    sent(c, "20 * 00 00 [21 0100 27 00100000 22 0010]");
}

// [5.0: 3.2.2-19, 3.2.2-20]
static void a_connack_respects_the_clients_packet_size(void **state)
{
    (void)state;
    fake.auth_code = TG_AUTH_DENY;
    tg_conn c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [27 0000000a] <id>");
    sent(c, "20 * 00 87 00"); // the reason string had no room
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [27 00000004] <id>");
    sent(c, "");
    assert_true(conn_of(c)->closed);
    fake.auth_code = 0;
    c = fake_connect(NULL);
    feed(c, "10 * <MQTT> 05 02 0000 [27 0000000a] <id>");
    sent(c, "");
    closed_with(c, TG_E_TOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_of_each_version_comes_in),
        TEST(mqtt_3_clean_sessions_end_with_the_connection),
        TEST(packets_may_follow_connect_in_the_same_bytes),
        TEST(bytes_that_follow_wait_for_the_answers),
        TEST(user_and_password_reach_auth),
        TEST(auth_fails_closed),
        TEST(a_wrong_password_is_told_apart_from_no_name),
        TEST(a_session_that_cannot_be_opened_refuses_the_client),
        TEST(the_client_may_go_while_answers_are_due),
        TEST(a_missing_client_id_is_assigned_where_it_may_be),
        TEST(the_will_goes_to_the_session_whole),
        TEST(enhanced_authentication_is_refused),
        TEST(versions_that_are_not_spoken),
        TEST(malformed_connects_get_what_they_can_read),
        TEST(the_first_packet_is_connect_and_the_second_is_not),
        TEST(a_connect_of_a_stranger_is_bounded),
        TEST(response_information_for_who_asks),
        TEST(a_connack_respects_the_clients_packet_size),
    };
    return RUN(tests);
}
