// SPDX-License-Identifier: Apache-2.0
#include "../../../protocols/mqtt/encode.h"

#include "../../support/check.h"
#include "wire.h"

tg_env tg;

static void same(const mqtt_small *got, const char *want)
{
    const wire w = hex(want);
    assert_int_equal(got->len, w.len);
    assert_memory_equal(got->bytes, w.at, w.len);
}

static void parse(uint8_t version, const void *at, size_t len, mqtt_packet *p)
{
    mqtt_head head;
    tg_slice all = {(const char *)at, len};
    assert_int_equal(mqtt_head_parse(all, &head), 1);
    assert_int_equal(head.size, len);
    assert_int_equal(mqtt_parse(version, &head, all, p), 0);
}

static void connack_in_each_version(void **state)
{
    (void)state;
    mqtt_small out;
    mqtt_connack c = {.present = true, .max_qos = 2};
    mqtt_encode_connack(MQTT_V31, &c, &out);
    same(&out, "20 02 00 00"); // MQTT 3.1 has no session present
    mqtt_encode_connack(MQTT_V311, &c, &out);
    same(&out, "20 02 01 00");
    mqtt_encode_connack(MQTT_V5, &c, &out);
    same(&out, "20 03 01 00 00");
    c = (mqtt_connack){.reason = MQTT_BAD_USER, .max_qos = 2};
    mqtt_encode_connack(MQTT_V311, &c, &out);
    same(&out, "20 02 00 04");
    mqtt_encode_connack(MQTT_V5, &c, &out);
    same(&out, "20 03 00 86 00");
}

static void mqtt_3_has_five_words_for_a_refusal(void **state)
{
    (void)state;
    assert_int_equal(mqtt_reason_v3(MQTT_BAD_VERSION), 1);
    assert_int_equal(mqtt_reason_v3(MQTT_BAD_CLIENT_ID), 2);
    assert_int_equal(mqtt_reason_v3(MQTT_UNAVAILABLE), 3);
    assert_int_equal(mqtt_reason_v3(MQTT_BAD_USER), 4);
    assert_int_equal(mqtt_reason_v3(MQTT_NOT_AUTHORIZED), 5);
    assert_int_equal(mqtt_reason_v3(MQTT_MALFORMED), 0); // none
    assert_int_equal(mqtt_reason_v3(0xfe), 3);
    assert_string_equal(mqtt_reason_text(0xfe), "unknown reason");
    assert_int_equal(mqtt_reason_error(0xfe), TG_E_PROTOCOL);
    assert_int_equal(mqtt_reason_error(MQTT_TAKEN_OVER), TG_E_TAKENOVER);
}

static void connack_announces_every_limit(void **state)
{
    (void)state;
    mqtt_small out;
    mqtt_packet p;
    mqtt_connack c = {.expiry_set = true,
                      .session_expiry = 3600,
                      .max_packet = 65536,
                      .receive_max = 20,
                      .alias_max = 10,
                      .max_qos = 1,
                      .no_retain = true,
                      .no_wildcards = true,
                      .no_sub_ids = true,
                      .no_shared = true,
                      .keepalive_set = true,
                      .keepalive = 30,
                      .assigned_id = TG_LIT("auto-1"),
                      .response_info = TG_LIT("reply/"),
                      .text = TG_LIT("words")};
    mqtt_encode_connack(MQTT_V5, &c, &out);
    parse(MQTT_V5, out.bytes, out.len, &p);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SESSION_EXPIRY, 0), 3600);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_MAX_PACKET, 0), 65536);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_RECEIVE_MAX, 0), 20);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_ALIAS_MAX, 0), 10);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_MAX_QOS, 2), 1);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_RETAIN_AVAILABLE, 1), 0);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_WILDCARD_AVAILABLE, 1), 0);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SUB_IDS_AVAILABLE, 1), 0);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SHARED_AVAILABLE, 1), 0);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SERVER_KEEPALIVE, 0), 30);
    assert_int_equal(mqtt_bytes(&p.props, MQTT_P_ASSIGNED_ID).len, 6);
    assert_int_equal(mqtt_bytes(&p.props, MQTT_P_RESPONSE_INFO).len, 6);
    assert_int_equal(mqtt_bytes(&p.props, MQTT_P_REASON).len, 5);
}

static void acknowledgements_are_as_short_as_may_be(void **state)
{
    (void)state;
    mqtt_small out;
    mqtt_encode_ack(MQTT_V311, MQTT_PUBACK, 0x102, MQTT_NOT_AUTHORIZED, &out);
    same(&out, "40 02 0102");
    mqtt_encode_ack(MQTT_V5, MQTT_PUBREC, 0x102, MQTT_SUCCESS, &out);
    same(&out, "50 02 0102");
    mqtt_encode_ack(MQTT_V5, MQTT_PUBREL, 0x102, MQTT_NO_SUCH_ID, &out);
    same(&out, "62 03 0102 92");
    mqtt_encode_ack(MQTT_V5, MQTT_PUBACK, 0x102, MQTT_NOT_AUTHORIZED, &out);
    same(&out, "40 03 0102 87");
    mqtt_encode_disconnect(MQTT_TAKEN_OVER, (tg_slice){0}, &out);
    same(&out, "e0 01 8e");
    mqtt_encode_disconnect(MQTT_TAKEN_OVER, TG_LIT("why"), &out);
    same(&out, "e0 * 8e [1f <why>]");
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    (void)state;
    char text[401];
    mqtt_small out;
    mqtt_packet p;
    for (size_t i = 0; i < 400; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    mqtt_encode_disconnect(MQTT_PROTOCOL, (tg_slice){text, 400}, &out);
    parse(MQTT_V5, out.bytes, out.len, &p);
    assert_int_equal(mqtt_bytes(&p.props, MQTT_P_REASON).len, 254);
}

static void code_lists_of_any_length(void **state)
{
    (void)state;
    static uint8_t packet[40000];
    static const size_t SIZES[] = {1, 2, 123, 124, 125, 126, 16380, 16381, 30000};
    for (uint8_t version = MQTT_V311; version <= MQTT_V5; version++) {
        for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
            size_t size = mqtt_codes_size(version, MQTT_SUBACK, SIZES[i]);
            uint8_t *codes = mqtt_encode_codes(version, MQTT_SUBACK, 7, SIZES[i], packet);
            memset(codes, 2, SIZES[i]);
            assert_ptr_equal(codes + SIZES[i], packet + size);
            mqtt_packet p;
            parse(version, packet, size, &p);
            assert_int_equal(p.packet_id, 7);
            assert_int_equal(p.list.len, SIZES[i]);
        }
    }
    size_t size = mqtt_codes_size(MQTT_V311, MQTT_UNSUBACK, 3);
    mqtt_encode_codes(MQTT_V311, MQTT_UNSUBACK, 7, 3, packet);
    assert_int_equal(size, 4);
}

static void publish_round_trip(void **state)
{
    (void)state;
    static uint8_t packet[70000];
    static char payload[66000];
    static const uint32_t IDS[] = {1, 128, 268435455};
    static const size_t SIZES[] = {0, 1, 100, 127, 128, 16383, 16384, 66000};
    const wire props = hex("26 <k> <v> 03 <json>");
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        for (uint8_t qos = 0; qos <= 2; qos++) {
            for (uint8_t version = MQTT_V311; version <= MQTT_V5; version++) {
                mqtt_publish out = {.version = version,
                                    .qos = qos,
                                    .retain = 1,
                                    .dup = qos > 0,
                                    .packet_id = 0x1234,
                                    .alias = 5,
                                    .nsub_ids = 3,
                                    .sub_ids = IDS,
                                    .expiry_s = 60,
                                    .topic = TG_LIT("a/topic"),
                                    .props = {(const char *)props.at, props.len},
                                    .payload_len = SIZES[i]};
                size_t size = mqtt_publish_measure(&out);
                assert_int_equal(size, out.head + SIZES[i]);
                mqtt_encode_publish(&out, packet);
                memcpy(packet + out.head, payload, SIZES[i]);
                mqtt_packet p;
                parse(version, packet, size, &p);
                assert_int_equal(p.qos, qos);
                assert_int_equal(p.payload.len, SIZES[i]);
                assert_int_equal(p.topic.len, 7);
                if (qos > 0) {
                    assert_int_equal(p.packet_id, 0x1234);
                    assert_int_equal(packet[out.id_at] << 8 | packet[out.id_at + 1],
                                     0x1234);
                }
                if (version < MQTT_V5)
                    continue;
                assert_int_equal(mqtt_number(&p.props, MQTT_P_MESSAGE_EXPIRY, 0), 60);
                assert_int_equal(mqtt_number(&p.props, MQTT_P_ALIAS, 0), 5);
                assert_int_equal(mqtt_number(&p.props, MQTT_P_SUB_ID, 0), 268435455);
                assert_int_equal(mqtt_bytes(&p.props, MQTT_P_CONTENT_TYPE).len, 4);
            }
        }
    }
}

static void what_no_header_can_announce_is_refused(void **state)
{
    (void)state;
    mqtt_publish out = {
        .version = MQTT_V5, .topic = TG_LIT("t"), .payload_len = MQTT_PACKET_MAX};
    assert_int_equal(mqtt_publish_measure(&out), 0);
    out.payload_len = MQTT_PACKET_MAX - 9;
    assert_int_equal(mqtt_publish_measure(&out), MQTT_PACKET_MAX);
    out.props = (tg_slice){"", MQTT_PACKET_MAX + 1u};
    assert_int_equal(mqtt_publish_measure(&out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connack_in_each_version),
        cmocka_unit_test(mqtt_3_has_five_words_for_a_refusal),
        cmocka_unit_test(connack_announces_every_limit),
        cmocka_unit_test(acknowledgements_are_as_short_as_may_be),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(code_lists_of_any_length),
        cmocka_unit_test(publish_round_trip),
        cmocka_unit_test(what_no_header_can_announce_is_refused),
    };
    return RUN(tests);
}
