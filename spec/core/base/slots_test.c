// SPDX-License-Identifier: Apache-2.0
#include "base/slots.h"

#include "../../support/check.h"

static int things[1000];

static void a_handle_finds_what_it_was_made_for(void **state)
{
    (void)state;
    tg_slots s;
    tg_slots_init(&s, 7);
    uint64_t h[1000];
    for (int i = 0; i < 1000; i++) {
        h[i] = tg_slots_add(&s, &things[i]);
        assert_true(h[i] != 0);
        assert_int_equal(tg_handle_worker(h[i]), 7);
        assert_true((uint32_t)h[i] != 0);
    }
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(tg_slots_find(&s, h[i]), &things[i]);
    assert_int_equal(s.used, 1000);
    tg_slots_free(&s);
}

static void a_stale_handle_never_finds_again(void **state)
{
    (void)state;
    tg_slots s;
    tg_slots_init(&s, 0);
    uint64_t old[500];
    for (int i = 0; i < 500; i++) { // the same index, over and over
        old[i] = tg_slots_add(&s, &things[i]);
        assert_ptr_equal(tg_slots_del(&s, old[i]), &things[i]);
        assert_null(tg_slots_del(&s, old[i]));
    }
    assert_int_equal(s.count, 1);
    uint64_t now = tg_slots_add(&s, &things[0]);
    for (int i = 0; i < 500; i++)
        assert_null(tg_slots_find(&s, old[i]));
    assert_ptr_equal(tg_slots_find(&s, now), &things[0]);
    tg_slots_free(&s);
}

static void foreign_and_invented_handles_find_nothing(void **state)
{
    (void)state;
    tg_slots s;
    tg_slots_init(&s, 3);
    assert_null(tg_slots_find(&s, 0));
    uint64_t h = tg_slots_add(&s, &things[0]);
    assert_null(tg_slots_find(&s, h ^ UINT64_C(1) << 56));
    assert_null(tg_slots_find(&s, h + (UINT64_C(1) << 32)));
    for (uint64_t gen = 0; gen < 100; gen++) {
        uint64_t guess = (h & ~UINT64_C(0xffffffff)) | gen;
        assert_true((tg_slots_find(&s, guess) != NULL) == (guess == h));
    }
    tg_slots_del(&s, h);
    for (uint64_t gen = 0; gen < 100; gen++) // a free slot has no handle at all
        assert_null(tg_slots_find(&s, (h & ~UINT64_C(0xffffffff)) | gen));
    tg_slots_free(&s);
}

static void a_used_up_index_is_never_given_again(void **state)
{
    (void)state;
    tg_slots s;
    tg_slots_init(&s, 0);
    uint64_t h = tg_slots_add(&s, &things[0]);
    tg_slots_del(&s, h);
    s.gen[0] = UINT32_MAX - 1; // two billion lives later
    uint64_t last = tg_slots_add(&s, &things[1]);
    assert_int_equal((uint32_t)last, UINT32_MAX);
    assert_ptr_equal(tg_slots_del(&s, last), &things[1]);
    uint64_t next = tg_slots_add(&s, &things[2]);
    assert_int_equal(next >> 32, 1);
    assert_null(tg_slots_find(&s, last));
    assert_null(tg_slots_find(&s, h));
    tg_slots_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_finds_what_it_was_made_for),
        cmocka_unit_test(a_stale_handle_never_finds_again),
        cmocka_unit_test(foreign_and_invented_handles_find_nothing),
        cmocka_unit_test(a_used_up_index_is_never_given_again),
    };
    return RUN(tests);
}
