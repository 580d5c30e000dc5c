// SPDX-License-Identifier: Apache-2.0
// Topics that come again find what they would have found at first, whatever was subscribed,
// unsubscribed or ended in between, on each worker.
#include "hub/recent.h"

#include "harness.h"

#define SUBS 12

static const char *const filters[SUBS] = {"a/b", "a/+", "+/b",   "+/+",   "a/#", "#",
                                          "+/#", "a/b", "a/b/#", "+/b/#", "c",   "a/+"};
static const char *const topics[] = {
    "a/b", "a/c", "c", "", "a/a/level/that/is/too/long/to/be/kept/in/a/place/of/the/table",
    "b/b"};

static uint32_t expected(const bool *on, const char *topic)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < SUBS; i++)
        n += on[i] && tg_topic_matches(tg_str(filters[i]), tg_str(topic));
    return n;
}

static void what_is_found_again_is_what_is_there(void **state)
{
    static world w;
    static client subs[SUBS], pubs[2];
    bool on[SUBS] = {false};
    (void)state;
    world_open(&w, 2, NULL);
    for (unsigned i = 0; i < SUBS; i++)
        client_open(&subs[i], &w, i % 2, (char[]){'s', (char)('a' + i), 0}, 0);
    for (unsigned i = 0; i < 2; i++)
        client_open(&pubs[i], &w, i, (char[]){'p', (char)('0' + i), 0}, 0);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned i = rnd(&w, SUBS);
        if (rnd(&w, 4) == 0) {
            if (on[i])
                client_unsub(&subs[i], filters[i]);
            else
                client_sub(&subs[i], filters[i], 0);
            on[i] = !on[i];
        }
        const char *topic = topics[rnd(&w, 6)];
        client *p = &pubs[rnd(&w, 2)];
        if (*topic == '\0')
            continue;
        client_pub(p, topic, "x", 0);
        assert_int_equal(p->receivers, expected(on, topic));
        world_settle(&w);
    }
    world_close(&w);
}

static void a_place_is_for_one_topic_of_one_time(void **state)
{
    (void)state;
    tg_hash_seed();
    tg_recent *r = tg_recent_new();
    tg_level_key key = tg_level_key_new();
    tg_slice a = TG_LIT("a/b"), b = TG_LIT("a/c"), c = TG_LIT("a/");
    tg_filter *found[TG_RECENT_FILTERS + 1] = {NULL};
    tg_recent_place *two = tg_recent_places_of(r, &key, a);
    assert_null(tg_recent_find(two, 1, a));
    tg_recent_set(two, 1, a, found, 2);
    assert_int_equal(tg_recent_find(two, 1, a)->n, 2);
    assert_null(tg_recent_find(two, 2, a));
    assert_null(tg_recent_find(two, 1, b));
    assert_null(tg_recent_find(two, 1, c));
    tg_recent_set(two, 1, b, found, 1); // both have room, the third takes turns
    assert_non_null(tg_recent_find(two, 1, a));
    tg_recent_set(two, 1, c, found, 0);
    assert_null(tg_recent_find(two, 1, a));
    assert_int_equal(tg_recent_find(two, 1, b)->n, 1);
    assert_int_equal(tg_recent_find(two, 1, c)->n, 0);
    tg_recent_set(two, 2, a, found, TG_RECENT_FILTERS + 1); // more than it can keep
    assert_null(tg_recent_find(two, 2, a));
    static char text[54];
    memset(text, 'x', sizeof(text));
    assert_non_null(tg_recent_places_of(r, &key, (tg_slice){text, 53}));
    assert_null(tg_recent_places_of(r, &key, (tg_slice){text, 54}));
    assert_null(tg_recent_places_of(NULL, &key, a));
    tg_recent_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_again_is_what_is_there),
        cmocka_unit_test(a_place_is_for_one_topic_of_one_time),
    };
    return RUN(tests);
}
