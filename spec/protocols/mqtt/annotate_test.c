// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

static char told[4096];

static void emit(void *ctx, const tg_field_note *note)
{
    size_t at = strlen(told);
    (void)ctx;
    snprintf(told + at, sizeof(told) - at, "%*s%u+%u %.*s: %.*s\n", (int)note->depth * 2,
             "", note->offset, note->length, (int)note->name.len, note->name.at,
             (int)note->value.len, note->value.at);
}

static int explain(const char *bytes)
{
    const wire w = hex(bytes);
    told[0] = 0;
    return mqtt_annotate(NULL, (tg_slice){(const char *)w.at, w.len}, emit, NULL);
}

static void a_stream_is_explained_by_its_connect(void **state)
{
    (void)state;
    assert_int_equal(
        explain("10 24 <MQTT> 05 c6 003c [21 0007] <id> 00 <w> <x> <u> <secret>"
                "32 11 <a/b> 0002 [26 <k> <v>] 'hi'"),
        0);
    assert_string_equal(told, "0+38 CONNECT: 38 bytes\n"
                              "  2+6 protocol: MQTT\n"
                              "  8+1 level: 5\n"
                              "  9+1 flags: 0xc6 clean will user password\n"
                              "  10+2 keep alive: 60\n"
                              "  13+3 properties: \n"
                              "    13+3 receive maximum: 7\n"
                              "  16+4 client id: id\n"
                              "  21+3 will topic: w\n"
                              "  24+3 will payload: x\n"
                              "  27+3 user: u\n"
                              "  30+2 password: not shown\n"
                              "38+19 PUBLISH: QoS 1, 19 bytes\n"
                              "  40+5 topic: a/b\n"
                              "  45+2 packet id: 2\n"
                              "  48+7 properties: \n"
                              "    48+7 user property: k = v\n"
                              "  55+2 payload: hi\n");
}

static void every_good_packet_is_explained(void **state)
{
    (void)state;
    static const char *const PACKETS[] = {
        "20 03 01 00 00",
        "31 03 <t>",
        "40 03 0001 87",
        "50 02 0001",
        "62 02 0001",
        "70 02 0001",
        "82 * 0001 [0b 05] <a> 01 <b> 02",
        "90 * 0001 00 01 80",
        "a2 * 0001 00 <a>",
        "b0 * 0001 00 11",
        "c0 00",
        "d0 00",
        "e0 * 8e [1f <why> 11 00000001]",
        "f0 * 18 [15 <m> 16 <data>]",
        "30 * <t> 'hello'", // no MQTT 5
    };
    for (size_t i = 0; i < sizeof(PACKETS) / sizeof(PACKETS[0]); i++) {
        assert_int_equal(explain(PACKETS[i]), 0);
        assert_true(strlen(told) > 0);
    }
    assert_non_null(strstr(told, "payload: hello"));
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    assert_int_equal(explain("c1 00"), TG_E_MALFORMED);
    assert_non_null(strstr(told, "malformed: reserved flags are wrong"));
    assert_int_equal(explain("30 ff ff ff ff"), TG_E_MALFORMED);
    assert_int_equal(explain("30 05 00"), 0);
    assert_non_null(strstr(told, "incomplete"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_explained_by_its_connect),
        cmocka_unit_test(every_good_packet_is_explained),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return RUN(tests);
}
