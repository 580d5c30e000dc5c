// SPDX-License-Identifier: Apache-2.0
// The cases of MQTT 5.0 §4.7 and §4.8.2, and the bytes that are no text at all.
#include "hub/hub.h"
#include "hub/topic.h"

#include "../../support/check.h"

static bool topic(const char *t)
{
    return tg_topic_valid(tg_str(t));
}

static bool filter(const char *f)
{
    return tg_filter_valid(tg_str(f));
}

static bool matches(const char *f, const char *t)
{
    return tg_topic_matches(tg_str(f), tg_str(t));
}

static void topics_are_text_without_wildcards(void **state)
{
    (void)state;
    assert_true(topic("a"));
    assert_true(topic("/"));
    assert_true(topic("a//b/"));
    assert_true(topic("$SYS/x"));
    assert_true(topic("größe/温度"));
    assert_false(topic(""));
    assert_false(topic("a/+"));
    assert_false(topic("a/b#"));
    assert_false(topic("\xff"));
    assert_false(topic("\xed\xa0\x80"));
    assert_false(tg_topic_valid((tg_slice){"a\0b", 3}));
    char text[24];
    for (unsigned i = 0; i < sizeof(text); i++) { // at each place of an eight, and behind
        memset(text, 'x', sizeof(text));
        assert_true(tg_topic_valid((tg_slice){text, sizeof(text)}));
        for (unsigned bad = 0; bad < 3; bad++) {
            text[i] = (char[]){0, '\x80', '#'}[bad];
            assert_false(tg_topic_valid((tg_slice){text, sizeof(text)}));
        }
    }
    static char longest[65536];
    memset(longest, 'x', sizeof(longest));
    assert_true(tg_topic_valid((tg_slice){longest, 65535}));
    assert_false(tg_topic_valid((tg_slice){longest, 65536}));
}

// In one pass what the two others say in several, whatever the length and the place.
static void a_topic_is_measured_at_once(void **state)
{
    static const char odd[] = {'/', '\0', '+', '#', '\x80', '\x01', '\x7f', '.', '0'};
    (void)state;
    assert_int_equal(tg_topic_measure(tg_str("")), 0);
    assert_int_equal(tg_topic_measure(tg_str("a/größe//温度/")), 5);
    for (size_t len = 1; len <= 20; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t second = at; second < len; second++)
                for (size_t i = 0; i < sizeof(odd); i++) {
                    char text[20];
                    memset(text, 'x', sizeof(text));
                    text[at] = '/';
                    text[second] = odd[i];
                    tg_slice t = {text, len};
                    size_t levels = tg_topic_valid(t) ? tg_topic_levels(t) : 0;
                    assert_int_equal(tg_topic_measure(t), levels);
                }
}

static void a_wildcard_fills_its_level(void **state)
{
    (void)state;
    const char *good[] = {"#",  "+",    "/",          "a/#",        "+/+",    "+/a/#",
                          "/+", "a//+", "$share/g/#", "$share/g//", "$SYS/#", "$shared/x"};
    const char *bad[] = {"",           "a#",          "#/a",        "a/#/b",
                         "a+",         "+a",          "a/b+/c",     "##",
                         "$share/",    "$share/g",    "$share/g/",  "$share//a",
                         "$share/+/a", "$share/g#/a", "$share/g/a#"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!filter(good[i]))
            fail_msg("refused %s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (filter(bad[i]))
            fail_msg("took %s", bad[i]);
}

static void filters_match_as_the_standard_says(void **state)
{
    (void)state;
    assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1"));
    assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    assert_true(matches("sport/#", "sport"));
    assert_true(matches("#", "a/b"));
    assert_true(matches("sport/tennis/+", "sport/tennis/player1"));
    assert_false(matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    assert_false(matches("sport/+", "sport"));
    assert_true(matches("sport/+", "sport/"));
    assert_true(matches("+/+", "/finance"));
    assert_true(matches("/+", "/finance"));
    assert_false(matches("+", "/finance"));
    assert_false(matches("#", "$SYS/x"));
    assert_false(matches("+/monitor/Clients", "$SYS/monitor/Clients"));
    assert_true(matches("$SYS/#", "$SYS/"));
    assert_true(matches("$SYS/#", "$SYS"));
    assert_true(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
    assert_true(matches("+/#", "a"));
    assert_false(matches("a/+/#", "a"));
    assert_true(matches("a/+/#", "a/"));
    assert_false(matches("a", "a/b"));
    assert_false(matches("a/b", "a"));
    assert_false(matches("A", "a"));
}

static void shared_filters_fall_into_name_and_filter(void **state)
{
    (void)state;
    tg_slice name, rest;
    assert_true(tg_topic_shared(tg_str("$share/g/a/b"), &name, &rest));
    assert_true(tg_slice_eq(name, TG_LIT("g")));
    assert_true(tg_slice_eq(rest, TG_LIT("a/b")));
    assert_false(tg_topic_shared(tg_str("$SYS/a"), &name, &rest));
    assert_int_equal(tg_topic_levels(tg_str("a")), 1);
    assert_int_equal(tg_topic_levels(tg_str("a/b/")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_text_without_wildcards),
        cmocka_unit_test(a_topic_is_measured_at_once),
        cmocka_unit_test(a_wildcard_fills_its_level),
        cmocka_unit_test(filters_match_as_the_standard_says),
        cmocka_unit_test(shared_filters_fall_into_name_and_filter),
    };
    return RUN(tests);
}
