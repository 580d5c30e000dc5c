// SPDX-License-Identifier: Apache-2.0
#include "../../../protocols/mqtt/packet.h"

#include <stdlib.h>

#include "../../support/check.h"
#include "wire.h"

tg_env tg;

static uint8_t parse_bytes(uint8_t version, const uint8_t *at, size_t len, mqtt_packet *p)
{
    mqtt_head head;
    tg_slice all = {(const char *)at, len};
    assert_int_equal(mqtt_head_parse(all, &head), 1);
    assert_int_equal(head.size, len);
    return mqtt_parse(version, &head, all, p);
}

// The slices of `p` point into `w`, which must outlive it.
static uint8_t parse(uint8_t version, const wire *w, mqtt_packet *p)
{
    return parse_bytes(version, w->at, w->len, p);
}

static void is(tg_slice s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.at, want, s.len);
}

static void a_fixed_header_waits_until_it_is_whole(void **state)
{
    (void)state;
    mqtt_head head;
    const wire w = hex("30 ff ff ff 7f");
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_equal(mqtt_head_parse((tg_slice){(const char *)w.at, cut}, &head), 0);
    assert_int_equal(mqtt_head_parse((tg_slice){(const char *)w.at, w.len}, &head), 1);
    assert_int_equal(head.size, MQTT_PACKET_MAX);
    assert_int_equal(head.len, 5);
    const wire endless = hex("30 ff ff ff ff 01");
    assert_int_equal(mqtt_head_parse((tg_slice){(const char *)endless.at, 5}, &head), -1);
}

static void connect_of_each_version(void **state)
{
    (void)state;
    mqtt_packet p;
    const wire v31 = hex("10 * <MQIsdp> 03 02 003c <id>");
    assert_int_equal(parse(0, &v31, &p), 0);
    assert_int_equal(p.version, MQTT_V31);
    is(p.connect.client_id, "id");
    assert_int_equal(p.connect.keepalive, 60);

    const wire v311 = hex("10 * <MQTT> 04 ee 000a <id> <will/topic> <bye> <user> <pass>");
    assert_int_equal(parse(0, &v311, &p), 0);
    assert_int_equal(p.version, MQTT_V311);
    is(p.connect.will_topic, "will/topic");
    is(p.connect.will_payload, "bye");
    is(p.connect.user, "user");
    is(p.connect.password, "pass");

    const wire v5 = hex("10 * <MQTT> 05 ce 000a"
                        " [11 00000078 21 0014 27 00010000 22 000a 17 00] <id>"
                        " [18 00000005 02 0000003c 01 01] <w> <bye> <user> <pass>");
    assert_int_equal(parse(0, &v5, &p), 0);
    assert_int_equal(p.version, MQTT_V5);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SESSION_EXPIRY, 0), 120);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_RECEIVE_MAX, 0), 20);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_MAX_PACKET, 0), 65536);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_ALIAS_MAX, 0), 10);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_WANT_PROBLEM, 1), 0);
    assert_int_equal(mqtt_number(&p.connect.will_props, MQTT_P_WILL_DELAY, 0), 5);
    assert_int_equal(mqtt_number(&p.connect.will_props, MQTT_P_MESSAGE_EXPIRY, 0), 60);
    is(p.connect.user, "user");
}

static void publish_with_every_property(void **state)
{
    (void)state;
    mqtt_packet p;
    const wire w = hex("3d * <a/b> 0102"
                       " [01 01 02 00000009 03 <json> 08 <re> 09 <corr> 23 0003 26 <k> <v>]"
                       " 'payload'");
    assert_int_equal(parse(MQTT_V5, &w, &p), 0);
    is(p.topic, "a/b");
    is(p.payload, "payload");
    assert_int_equal(p.qos, 2);
    assert_true(p.retain && p.dup);
    assert_int_equal(p.packet_id, 0x102);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_MESSAGE_EXPIRY, 0), 9);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_ALIAS, 0), 3);
    is(mqtt_bytes(&p.props, MQTT_P_CONTENT_TYPE), "json");
    is(mqtt_bytes(&p.props, MQTT_P_RESPONSE_TOPIC), "re");
    is(mqtt_bytes(&p.props, MQTT_P_CORRELATION), "corr");
}

static void only_what_travels_is_carried(void **state)
{
    (void)state;
    mqtt_packet p;
    char room[64];
    const wire w = hex("30 * <t> [01 01 02 00000009 26 <k> <v> 23 0001 03 <j>]");
    assert_int_equal(parse(MQTT_V5, &w, &p), 0);
    assert_false(mqtt_props_all_carried(&p.props));
    tg_slice carried = mqtt_props_carried(&p.props, room);
    const wire want = hex("01 01 26 <k> <v> 03 <j>");
    assert_int_equal(carried.len, want.len);
    assert_memory_equal(carried.at, want.at, want.len);

    const wire plain = hex("30 * <t> [26 <k> <v>] 'x'");
    assert_int_equal(parse(MQTT_V5, &plain, &p), 0);
    assert_ptr_equal(mqtt_props_carried(&p.props, NULL).at, p.props.raw.at);
    mqtt_in in = mqtt_in_of(p.props.raw);
    tg_slice name, value;
    assert_true(mqtt_user_next(&in, &name, &value));
    is(name, "k");
    is(value, "v");
    assert_false(mqtt_user_next(&in, &name, &value));
}

static void filters_come_one_by_one(void **state)
{
    (void)state;
    mqtt_packet p;
    const wire w = hex("82 * 000a 03 0b 80 01 <a/+> 01 <$share/g/b> 2a");
    assert_int_equal(parse(MQTT_V5, &w, &p), 0);
    assert_int_equal(mqtt_number(&p.props, MQTT_P_SUB_ID, 0), 128);
    mqtt_in in = mqtt_in_of(p.list);
    tg_slice filter;
    uint8_t options;
    assert_true(mqtt_filter_next(&in, &filter, &options));
    is(filter, "a/+");
    assert_int_equal(options, 1);
    assert_true(mqtt_filter_next(&in, &filter, &options));
    is(filter, "$share/g/b");
    assert_int_equal(options, 0x2a);
    assert_false(mqtt_filter_next(&in, &filter, &options));
}

// Good packets of every type: they parse whole, and no cut of them reads past its end.
static const struct {
    uint8_t version;
    const char *bytes;
} GOOD[] = {
    {0, "10 * <MQIsdp> 03 02 003c <id>"},
    {0, "10 * <MQIsdp> 03 03 003c <id>"}, // MQTT 3.1 does not reserve the flag
    {0, "10 * <MQTT> 04 ee 000a <id> <w> <bye> <user> <pass>"},
    {0, "10 * <MQTT> 04 02 0000 <>"},
    {0, "10 * <MQTT> 05 42 0000 00 <> <pass>"}, // MQTT 5: a password alone is fine
    {0, "10 * <MQTT> 05 02 0000 [15 <m> 16 <data>] <>"},
    {4, "20 * 01 00"},
    {4, "20 * 00 05"},
    {5, "20 * 01 00 00"},
    {5, "20 * 00 87 [1f <never>]"},
    {5, "20 * 00 00 [12 <id1>]"},
    {4, "30 * <t>"},
    {4, "30 * <t> 'x'"},
    {4, "3b * <t> 0001 'x'"},
    {3, "38 * <t> 'x'"}, // MQTT 3.1: DUP is ignored with QoS 0
    {5, "32 * <t> 0001 00"},
    {5, "32 * <> 0001 03 23 0001"},
    {4, "40 * 0001"},
    {5, "40 * 0001"},
    {5, "40 * 0001 10"},
    {5, "40 * 0001 87 00"},
    {5, "40 * 0001 80 [1f <no> 26 <a> <b>]"},
    {4, "50 * ffff"},
    {5, "50 * 0001 91"},
    {4, "62 * 0001"},
    {3, "6a * 0001"},
    {5, "62 * 0001 92"},
    {4, "70 * 0001"},
    {5, "70 * 0001 92"},
    {4, "82 * 0001 <a> 02"},
    {3, "8a * 0001 <a> 02"},
    {5, "82 * 0001 00 <a/#> 1d"},
    {4, "90 * 0001 00 80"},
    {5, "90 * 0001 00 02 8f"},
    {4, "a2 * 0001 <a> <b>"},
    {5, "a2 * 0001 [26 <a> <b>] <c>"},
    {4, "b0 * 0001"},
    {5, "b0 * 0001 00 00 11"},
    {4, "c0 00"},
    {5, "d0 00"},
    {4, "e0 00"},
    {5, "e0 00"},
    {5, "e0 * 04"},
    {5, "e0 * 00 05 11 00000001"},
    {5, "e0 * 8e [1c <xy>]"},
    {5, "f0 00"},
    {5, "f0 * 18 [15 <m>]"},
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void good_packets_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(GOOD); i++) {
        mqtt_packet p;
        const wire w = hex(GOOD[i].bytes);
        uint8_t reason = parse(GOOD[i].version, &w, &p);
        if (reason != 0)
            fail_msg("%s: 0x%02x %s", GOOD[i].bytes, reason, p.why);
    }
}

static void no_cut_of_a_packet_is_read_past_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(GOOD); i++) {
        const wire w = hex(GOOD[i].bytes);
        for (size_t cut = 2; cut < w.len; cut++) {
            uint8_t *exact = (uint8_t *)malloc(cut); // so that a sanitizer sees its end
            mqtt_packet p;
            memcpy(exact, w.at, cut);
            exact[1] = (uint8_t)(cut - 2);
            uint8_t reason = parse_bytes(GOOD[i].version, exact, cut, &p);
            assert_true(reason == 0 || p.why != NULL);
            free(exact);
        }
    }
}

// What is wrong with each, by the standard.
static const struct {
    uint8_t version;
    uint8_t reason;
    const char *bytes;
} BAD[] = {
    // fixed header
    {4, MQTT_MALFORMED, "00 00"},
    {4, MQTT_MALFORMED, "f0 00"},
    {5, MQTT_MALFORMED, "f1 00"},
    {4, MQTT_MALFORMED, "c1 00"},
    {4, MQTT_MALFORMED, "e2 00"},
    {4, MQTT_MALFORMED, "41 * 0001"},
    {4, MQTT_MALFORMED, "60 * 0001"},
    {4, MQTT_MALFORMED, "6a * 0001"},
    {4, MQTT_MALFORMED, "80 * 0001 <a> 00"},
    {4, MQTT_MALFORMED, "a0 * 0001 <a>"},
    {0, MQTT_MALFORMED, "11 * <MQTT> 04 02 0000 <id>"},
    {5, MQTT_MALFORMED, "c0 80 00"},
    // CONNECT
    {0, MQTT_BAD_VERSION, "10 * <MQTX> 04 02 0000 <id>"},
    {0, MQTT_BAD_VERSION, "10 * <mqtt> 04 02 0000 <id>"},
    {0, MQTT_BAD_VERSION, "10 * <MQTT> 03 02 0000 <id>"},
    {0, MQTT_BAD_VERSION, "10 * <MQTT> 06 02 0000 <id>"},
    {0, MQTT_BAD_VERSION, "10 * <MQTT> 00 02 0000 <id>"},
    {0, MQTT_BAD_VERSION, "10 * <MQIsdp> 04 02 0000 <id>"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 03 0000 <id>"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 0a 0000 <id>"}, // will QoS without a will
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 22 0000 <id>"}, // will retain without a will
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 1e 0000 <id> <w> <x>"}, // will QoS 3
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 42 0000 <id> <p>"}, // password, no user
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 <id> 00"}, // one byte too many
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 c2 0000 <id> <u>"}, // no password
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 0005 'id'"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 00"},
    {0, MQTT_MALFORMED, "10 00"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 0002 'a' 00"}, // U+0000
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 0003 eda080"}, // a surrogate
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 0002 c080"}, // overlong
    {0, MQTT_MALFORMED, "10 * <MQTT> 04 02 0000 0004 f4908080"}, // past U+10FFFF
    {0, MQTT_BAD_TOPIC, "10 * <MQTT> 04 06 0000 <id> <w/#> <x>"},
    {0, MQTT_BAD_TOPIC, "10 * <MQTT> 04 06 0000 <id> <> <x>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 03 21 0000 <id>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 05 27 00000000 <id>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 02 17 02 <id>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 02 19 02 <id>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 06 21 0001 21 0001 <id>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 02 0000 [16 <d>] <id>"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 05 02 0000 03 23 0001 <id>"}, // an alias
    {0, MQTT_MALFORMED, "10 * <MQTT> 05 02 0000 02 7f 00 <id>"},
    {0, MQTT_MALFORMED, "10 * <MQTT> 05 06 0000 00 <id> 05 11 00000001 <w> <x>"},
    {0, MQTT_PROTOCOL, "10 * <MQTT> 05 06 0000 00 <id> [08 <a/#>] <w> <x>"},
    // PUBLISH
    {4, MQTT_MALFORMED, "36 * <t> 0001"},
    {4, MQTT_MALFORMED, "38 * <t>"},
    {4, MQTT_PROTOCOL, "32 * <t> 0000"},
    {4, MQTT_MALFORMED, "32 * <t> 00"},
    {4, MQTT_MALFORMED, "30 * 00"},
    {4, MQTT_MALFORMED, "30 * 0004 'abc'"},
    {4, MQTT_BAD_TOPIC, "30 * <> 'x'"},
    {5, MQTT_PROTOCOL, "30 * <> 00 'x'"},
    {4, MQTT_BAD_TOPIC, "30 * <a/+/b> 'x'"},
    {4, MQTT_BAD_TOPIC, "30 * <a/b/c/d/e/f/#> 'x'"},
    {4, MQTT_MALFORMED, "30 * 0002 'a' 00"},
    {4, MQTT_MALFORMED, "30 * 0001 ff"},
    {5, MQTT_PROTOCOL, "30 * <t> 02 01 02"},
    {5, MQTT_PROTOCOL, "30 * <t> 04 01 01 01 01"},
    {5, MQTT_PROTOCOL, "30 * <t> 02 0b 00"},
    {5, MQTT_PROTOCOL, "30 * <t> [08 <a/#>]"},
    {5, MQTT_PROTOCOL, "30 * <t> [08 <>]"},
    {5, MQTT_MALFORMED, "30 * <t> 05 11 00000001"},
    {5, MQTT_MALFORMED, "30 * <t> 03 01 01"}, // properties longer than the packet
    {5, MQTT_MALFORMED, "30 * <t> 02 26 00"},
    {5, MQTT_MALFORMED, "30 * <t> 04 03 0001 ff"},
    {5, MQTT_MALFORMED, "30 * <t> 80 00"}, // not the shortest length
    {5, MQTT_MALFORMED, "30 * <t> ff ff ff ff 01"},
    {5, MQTT_MALFORMED, "30 * <t>"}, // no properties at all
    // acknowledgements
    {4, MQTT_PROTOCOL, "40 * 0000"},
    {4, MQTT_MALFORMED, "40 * 00"},
    {4, MQTT_MALFORMED, "40 * 0001 00"},
    {5, MQTT_PROTOCOL, "40 * 0001 92"}, // only PUBREL and PUBCOMP have it
    {5, MQTT_PROTOCOL, "62 * 0001 10"},
    {5, MQTT_PROTOCOL, "50 * 0001 05"},
    {5, MQTT_MALFORMED, "40 * 0001 00 05 11 00000001"},
    {5, MQTT_MALFORMED, "40 * 0001 00 00 00"},
    {5, MQTT_PROTOCOL, "40 * 0001 00 [1f <> 1f <>]"},
    // SUBSCRIBE and UNSUBSCRIBE
    {4, MQTT_PROTOCOL, "82 * 0000 <a> 00"},
    {4, MQTT_PROTOCOL, "82 * 0001"},
    {5, MQTT_PROTOCOL, "82 * 0001 00"},
    {4, MQTT_MALFORMED, "82 * 0001 <a>"},
    {4, MQTT_MALFORMED, "82 * 0001 <a> 03"},
    {4, MQTT_MALFORMED, "82 * 0001 <a> 04"},
    {5, MQTT_PROTOCOL, "82 * 0001 00 <a> 03"},
    {5, MQTT_MALFORMED, "82 * 0001 00 <a> 40"},
    {5, MQTT_MALFORMED, "82 * 0001 00 <a> 80"},
    {5, MQTT_PROTOCOL, "82 * 0001 00 <a> 30"},
    {5, MQTT_PROTOCOL, "82 * 0001 00 <$share/g/a> 04"},
    {5, MQTT_PROTOCOL, "82 * 0001 02 0b 00 <a> 00"},
    {5, MQTT_PROTOCOL, "82 * 0001 04 0b 01 0b 02 <a> 00"},
    {4, MQTT_MALFORMED, "82 * 0001 0001 00 00"}, // U+0000
    {4, MQTT_PROTOCOL, "a2 * 0001"},
    {4, MQTT_MALFORMED, "a2 * 0001 0003 'ab'"},
    {5, MQTT_MALFORMED, "a2 * 0001 02 0b 01 <a>"},
    // what has no body
    {4, MQTT_MALFORMED, "c0 * 00"},
    {4, MQTT_MALFORMED, "e0 * 00"},
    // DISCONNECT and AUTH
    {5, MQTT_PROTOCOL, "e0 * 01"},
    {5, MQTT_PROTOCOL, "e0 * 86"},
    {5, MQTT_MALFORMED, "e0 * 00 03 21 0001"},
    {5, MQTT_MALFORMED, "e0 * 00 00 00"},
    {5, MQTT_PROTOCOL, "f0 * 01"},
    {5, MQTT_MALFORMED, "f0 * 18 03 21 0001"},
    // server's
    {4, MQTT_MALFORMED, "20 * 02 00"},
    {4, MQTT_MALFORMED, "20 * 00"},
    {5, MQTT_PROTOCOL, "20 * 00 8d 00"},
    {5, MQTT_PROTOCOL, "20 * 00 00 02 24 02"},
    {4, MQTT_MALFORMED, "b0 * 0001 00"},
};

static void each_mistake_has_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        mqtt_packet p;
        const wire w = hex(BAD[i].bytes);
        uint8_t reason = parse(BAD[i].version, &w, &p);
        if (reason != BAD[i].reason || p.why == NULL)
            fail_msg("%s: 0x%02x, not 0x%02x (%s)", BAD[i].bytes, reason, BAD[i].reason,
                     p.why != NULL ? p.why : "no words");
    }
}

static void a_refused_connect_says_in_whose_words(void **state)
{
    (void)state;
    static const struct {
        uint8_t words;
        const char *bytes;
    } CASES[] = {
        {0, "10 * <MQTX> 04 02 0000 <id>"},
        {0, "11 * <MQTT> 04 02 0000 <id>"},
        {0, "10 * <MQTT>"},
        {4, "10 * <MQTT> 03 02 0000 <id>"},
        {5, "10 * <MQTT> 06 02 0000 <id>"},
        {5, "10 * <MQTT> 05 03 0000 00 <id>"},
        {4, "10 * <MQTT> 04 03 0000 <id>"},
        {3, "10 * <MQIsdp> 03 1e 0000 <id> <w> <x>"},
    };
    for (size_t i = 0; i < COUNT(CASES); i++) {
        mqtt_packet p;
        const wire w = hex(CASES[i].bytes);
        assert_int_not_equal(parse(0, &w, &p), 0);
        assert_int_equal(p.version, CASES[i].words);
    }
}

static void text_is_utf8_or_refused(void **state)
{
    (void)state;
    static const char *const VALID[] = {
        "",       "'a'",      "'abcdefghi'", "c280",   "dfbf",
        "e0a080", "ed9fbf",   "ee8080",      "efbfbf", "f0908080",
        "efbbbf", "f48fbfbf", "01",          "7f",     "'12345678' c3a4 '12345678' e282ac"};
    static const char *const INVALID[] = {"00",
                                          "80",
                                          "c080",
                                          "c1bf",
                                          "e08080",
                                          "eda080",
                                          "edbfbf",
                                          "f0808080",
                                          "f4908080",
                                          "f5808080",
                                          "ff",
                                          "c3",
                                          "e282",
                                          "f09f98",
                                          "c328",
                                          "e22882",
                                          "'12345678' 00",
                                          "'1234567' 00 'x'",
                                          "'1234567890123456' 80"};
    for (size_t i = 0; i < COUNT(VALID); i++) {
        const wire w = hex(VALID[i]);
        assert_true(mqtt_utf8_valid((tg_slice){(const char *)w.at, w.len}));
    }
    for (size_t i = 0; i < COUNT(INVALID); i++) {
        const wire w = hex(INVALID[i]);
        if (mqtt_utf8_valid((tg_slice){(const char *)w.at, w.len}))
            fail_msg("%s was taken for UTF-8", INVALID[i]);
    }
}

static uint8_t topic_reason(const char *topic, size_t len)
{
    uint8_t bytes[32] = {0, (uint8_t)len};
    memcpy(bytes + 2, topic, len);
    mqtt_in in = mqtt_in_of((tg_slice){(const char *)bytes, len + 2});
    mqtt_get_topic(&in);
    return in.reason;
}

static void a_wildcard_is_found_at_every_place(void **state)
{
    (void)state;
    for (size_t len = 1; len < 20; len++) {
        char topic[20];
        memset(topic, 'a', sizeof(topic));
        assert_false(mqtt_has_wildcard((tg_slice){topic, len}));
        assert_int_equal(topic_reason(topic, len), 0);
        for (size_t at = 0; at < len; at++) {
            topic[at] = at % 2 ? '+' : '#';
            assert_true(mqtt_has_wildcard((tg_slice){topic, len}));
            assert_int_equal(topic_reason(topic, len), MQTT_BAD_TOPIC);
            topic[at] = 0;
            assert_int_equal(topic_reason(topic, len), MQTT_MALFORMED);
            topic[at] = (char)0xff;
            assert_int_equal(topic_reason(topic, len), MQTT_MALFORMED);
            topic[at] = 'a';
        }
    }
}

static void packet_types_have_names(void **state)
{
    (void)state;
    assert_string_equal(mqtt_type_name(MQTT_PUBLISH), "PUBLISH");
    assert_string_equal(mqtt_type_name(0), "reserved");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fixed_header_waits_until_it_is_whole),
        cmocka_unit_test(connect_of_each_version),
        cmocka_unit_test(publish_with_every_property),
        cmocka_unit_test(only_what_travels_is_carried),
        cmocka_unit_test(filters_come_one_by_one),
        cmocka_unit_test(good_packets_parse),
        cmocka_unit_test(no_cut_of_a_packet_is_read_past_its_end),
        cmocka_unit_test(each_mistake_has_its_reason),
        cmocka_unit_test(a_refused_connect_says_in_whose_words),
        cmocka_unit_test(text_is_utf8_or_refused),
        cmocka_unit_test(a_wildcard_is_found_at_every_place),
        cmocka_unit_test(packet_types_have_names),
    };
    return RUN(tests);
}
