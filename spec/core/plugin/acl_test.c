// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/value.h"
#include "hub/hub.h"
#include "plugin/auth.h"

#include "../../support/check.h"

static tg_value list_of(tg_value *items, size_t n, const char *const *texts)
{
    for (size_t i = 0; i < n; i++)
        items[i] = tg_value_of_str(texts[i]);
    return (tg_value){.kind = TG_LIST, .list = {items, n}};
}

static bool topic(const char *pattern, const char *id, const char *what)
{
    tg_value item;
    tg_value list = list_of(&item, 1, &pattern);
    return tg_acl_topic(&list, tg_str(id), tg_str("ann"), tg_str(what));
}

static bool filter(const char *pattern, const char *what)
{
    tg_value item;
    tg_value list = list_of(&item, 1, &pattern);
    return tg_acl_filter(&list, tg_str("c1"), tg_str("ann"), tg_str(what));
}

static void names_are_replaced_in_patterns(void **state)
{
    (void)state;
    assert_true(topic("dev/${client_id}/up", "c1", "dev/c1/up"));
    assert_false(topic("dev/${client_id}/up", "c1", "dev/c2/up"));
    assert_true(topic("u/${user}/${client_id}/#", "c1", "u/ann/c1/x/y"));
    assert_true(topic("a/+/b", "c1", "a/x/b"));
    assert_false(topic("a/$x/b", "c1", "a/x/b"));
}

static void a_client_id_cannot_widen_a_pattern(void **state)
{
    (void)state;
    const char *bad[] = {"+", "#", "a/b", "+/x", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(topic("dev/${client_id}/up", bad[i], "dev/c2/up"));
    assert_true(topic("open/up", "#", "open/up"));
}

static void a_client_id_cannot_lead_to_the_hosts_topics(void **state)
{
    (void)state;
    assert_false(topic("${client_id}/up", "$SYS", "$SYS/up"));
    assert_true(topic("dev/${client_id}/up", "$SYS", "dev/$SYS/up"));
}

static void a_filter_lies_within_a_pattern_or_does_not(void **state)
{
    (void)state;
    const struct {
        const char *wide, *narrow;
        bool in;
    } cases[] = {
        {"a/#", "a/b", true},
        {"a/#", "a/b/+", true},
        {"a/#", "a/#", true},
        {"a/#", "a", true},
        {"a/#", "+/b", false},
        {"a/#", "#", false},
        {"a/+", "a/+", true},
        {"a/+", "a/b", true},
        {"a/+", "a/#", false},
        {"a/+", "a/b/c", false},
        {"a/+", "a", false},
        {"a/b", "a/b", true},
        {"a/b", "a/+", false},
        {"#", "a/b", true},
        {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false},
        {"$SYS/#", "$SYS/x", true},
        {"a/b", "a/b/c", false},
        {"a/b/c", "a/b", false},
        {"a/#", "$share/g/a/b", true},
        {"a/#", "$share/g/b/c", false},
        {"+/+", "/x", true},
        {"a//b", "a//b", true},
        {"dev/${client_id}/#", "dev/c1/x", true},
        {"dev/${client_id}/#", "dev/c2/x", false},
        {"a/+/c/#", "a/b/c", true},
        {"a/+/c", "a/+/+", false},
        {"a/b/#", "a/#", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (filter(cases[i].wide, cases[i].narrow) != cases[i].in)
            fail_msg("'%s' and '%s'", cases[i].wide, cases[i].narrow);
}

// A filter that is let through can match no topic that the pattern does not.
static void no_pair_of_filters_leaks_a_topic(void **state)
{
    (void)state;
    const char *parts[] = {"a", "b", "+", "#"};
    const char *topics[] = {"a",   "b",     "a/a",   "a/b",  "b/a",
                            "b/b", "a/a/a", "a/b/a", "b/a/b"};
    char f[84][8];
    int n = 0;
    for (int i = 0; i < 84; i++) {
        int levels = i < 4 ? 1 : i < 20 ? 2 : 3, k = i < 4 ? i : i < 20 ? i - 4 : i - 20;
        char *at = f[n];
        for (int l = 0; l < levels; l++, k /= 4)
            at += sprintf(at, l == 0 ? "%s" : "/%s", parts[k % 4]);
        n += tg_filter_valid(tg_str(f[n]));
    }
    for (int w = 0; w < n; w++)
        for (int x = 0; x < n; x++) {
            bool let = filter(f[w], f[x]), leaks = false;
            for (size_t t = 0; t < sizeof(topics) / sizeof(topics[0]); t++)
                leaks |= tg_topic_matches(tg_str(f[x]), tg_str(topics[t])) &&
                         !tg_topic_matches(tg_str(f[w]), tg_str(topics[t]));
            if (let && leaks)
                fail_msg("'%s' lets '%s' through", f[w], f[x]);
        }
}

static void no_list_lets_nothing_through(void **state)
{
    (void)state;
    tg_value none = {.kind = TG_LIST}, word = tg_value_of_str("#");
    assert_false(tg_acl_topic(&none, tg_str("c"), tg_str("u"), tg_str("a")));
    assert_false(tg_acl_topic(&word, tg_str("c"), tg_str("u"), tg_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_replaced_in_patterns),
        cmocka_unit_test(a_client_id_cannot_widen_a_pattern),
        cmocka_unit_test(a_client_id_cannot_lead_to_the_hosts_topics),
        cmocka_unit_test(a_filter_lies_within_a_pattern_or_does_not),
        cmocka_unit_test(no_pair_of_filters_leaks_a_topic),
        cmocka_unit_test(no_list_lets_nothing_through),
    };
    return RUN(tests);
}
