// SPDX-License-Identifier: Apache-2.0
// What a generator says of a broker is worth as much as its own counting: each verdict, at the
// edges of what is remembered, and for members of groups, which share what they have seen.
#include <stdlib.h>

#include "load/engine.h"

#include "../../support/check.h"

typedef struct rig {
    tg_load_options o;
    tg_run run;
    tg_crew crew;
    tg_track tracks[2];
    tg_inbox inbox;
} rig;

static rig *fresh(void)
{
    static rig r;
    r = (rig){.o = {.count = 8}, .inbox = {.first = 4, .count = 2, .stride = 1}};
    r.crew.run = &r.run;
    r.crew.o = &r.o;
    r.inbox.tracks = r.tracks;
    for (int i = 0; i < 2; i++)
        r.tracks[i].recent = UINT64_MAX;
    return &r;
}

static bool take(rig *r, uint32_t stream, uint32_t number)
{
    return tg_inbox_take(&r->crew, &r->inbox, &(tg_stamp){0, stream, number}, false);
}

static void check_counts(const rig *r, uint64_t doubled, uint64_t reordered,
                         uint64_t strange)
{
    assert_int_equal(r->crew.doubled, doubled);
    assert_int_equal(r->crew.reordered, reordered);
    assert_int_equal(r->crew.strange, strange);
}

static void what_comes_in_order_is_fresh(void **state)
{
    (void)state;
    rig *r = fresh();
    for (uint32_t n = 0; n < 200; n++) {
        assert_true(take(r, 4, n));
        assert_true(take(r, 5, n)); // streams do not mix
    }
    check_counts(r, 0, 0, 0);
}

static void late_and_twice_are_told_apart(void **state)
{
    (void)state;
    for (uint32_t gap = 1; gap <= 63; gap++) {
        rig *r = fresh();
        assert_true(take(r, 4, 0));
        assert_true(take(r, 4, gap + 1)); // 1 to gap are missing
        for (uint32_t n = 1; n <= gap; n++)
            assert_true(take(r, 4, n));
        check_counts(r, 0, gap, 0);
        for (uint32_t n = 0; n <= gap + 1; n++)
            assert_false(take(r, 4, n));
        check_counts(r, gap + 2, gap, 0);
    }
}

static void what_is_older_than_all_that_is_remembered_came_twice(void **state)
{
    (void)state;
    rig *r = fresh();
    assert_true(take(r, 4, 100));
    assert_true(take(r, 4, 37));
    assert_false(take(r, 4, 36));
    check_counts(r, 1, 1, 0);
}

static void what_is_sent_again_for_a_reason_is_repeated(void **state)
{
    (void)state;
    rig *r = fresh();
    assert_true(take(r, 4, 0));
    assert_false(tg_inbox_take(&r->crew, &r->inbox, &(tg_stamp){0, 4, 0}, true));
    assert_int_equal(r->crew.repeated, 1);
    check_counts(r, 0, 0, 0);
}

static void a_subscriber_of_every_third_gets_every_third(void **state)
{
    (void)state;
    rig *r = fresh();
    r->inbox.start = r->tracks[0].next = 1;
    r->inbox.stride = 3;
    assert_true(take(r, 4, 1));
    assert_true(take(r, 4, 7)); // 4 is missing
    assert_false(take(r, 4, 8)); // somebody else's
    assert_true(take(r, 4, 4));
    assert_false(take(r, 4, 4));
    check_counts(r, 1, 1, 1);
}

static void nobody_gets_streams_of_others(void **state)
{
    (void)state;
    rig *r = fresh();
    assert_false(take(r, 3, 0));
    assert_false(take(r, 6, 0));
    assert_false(take(r, UINT32_MAX, 0));
    check_counts(r, 0, 0, 3);
}

static void members_of_a_group_get_each_message_once(void **state)
{
    (void)state;
    rig *r = fresh();
    static tg_ring *ring;
    ring = calloc(1, sizeof(*ring) + sizeof(uint32_t) * 256 * 6);
    ring->size = 256;
    tg_track others[2] = {{0, UINT64_MAX}, {0, UINT64_MAX}};
    tg_inbox member = r->inbox;
    member.tracks = others;
    member.ring = r->inbox.ring = ring;
    for (uint32_t n = 0; n < 1000; n++) // far more than the ring remembers
        assert_true(n % 2 == 0
                        ? take(r, 4, n)
                        : tg_inbox_take(&r->crew, &member, &(tg_stamp){0, 4, n}, false));
    assert_false(tg_inbox_take(&r->crew, &member, &(tg_stamp){0, 4, 998}, false));
    check_counts(r, 1, 0, 0);
    assert_true(take(r, 4, 1002));
    assert_true(take(r, 4, 1000)); // behind a later one of the same member
    check_counts(r, 1, 1, 0);
    free(ring);
}

static void retained_messages_come_in_any_order(void **state)
{
    (void)state;
    rig *r = fresh();
    uint8_t seen[8] = {0};
    r->inbox.seen = seen;
    for (uint32_t n = 8; n-- > 0;)
        assert_true(take(r, 4, n));
    assert_false(take(r, 4, 3));
    assert_false(take(r, 4, 8)); // was never published
    check_counts(r, 1, 0, 1);
}

static void ids_are_held_until_they_are_released(void **state)
{
    (void)state;
    static uint64_t words[TG_HELD_WORDS];
    tg_inbox in = {.held = words};
    for (unsigned id = 1; id <= 65535; id += 13) {
        assert_false(tg_inbox_holds(&in, id));
        tg_inbox_hold(&in, id, true);
        assert_true(tg_inbox_holds(&in, id));
    }
    tg_inbox_hold(&in, 14, false);
    assert_false(tg_inbox_holds(&in, 14));
    assert_true(tg_inbox_holds(&in, 27));
    tg_inbox_forget(&in);
    assert_false(tg_inbox_holds(&in, 27));
}

static void a_histogram_is_right_to_three_percent(void **state)
{
    (void)state;
    static tg_hist h, other;
    for (uint64_t us = 1; us <= 10000; us++)
        tg_hist_add(us % 2 == 0 ? &h : &other, us * 1000);
    tg_hist_merge(&h, &other);
    static const double shares[] = {0, 0.5, 0.9, 0.99, 0.999};
    for (unsigned i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
        double exact = shares[i] * 10000 + 1, got = tg_hist_us(&h, shares[i]);
        assert_true(got >= exact * 0.999 && got <= exact * 1.033);
    }
    assert_true(tg_hist_us(&h, 1) == 10000);
    tg_hist_add(&h, UINT64_MAX); // the last bucket is in bounds
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_order_is_fresh),
        cmocka_unit_test(late_and_twice_are_told_apart),
        cmocka_unit_test(what_is_older_than_all_that_is_remembered_came_twice),
        cmocka_unit_test(what_is_sent_again_for_a_reason_is_repeated),
        cmocka_unit_test(a_subscriber_of_every_third_gets_every_third),
        cmocka_unit_test(nobody_gets_streams_of_others),
        cmocka_unit_test(members_of_a_group_get_each_message_once),
        cmocka_unit_test(retained_messages_come_in_any_order),
        cmocka_unit_test(ids_are_held_until_they_are_released),
        cmocka_unit_test(a_histogram_is_right_to_three_percent),
    };
    return RUN(tests);
}
