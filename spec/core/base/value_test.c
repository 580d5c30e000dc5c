// SPDX-License-Identifier: Apache-2.0
#include "base/value.h"

#include <stdlib.h>

#include "../../support/check.h"

static tg_value small_map(tg_arena *a, const char *first, const char *second)
{
    tg_value_builder b = {.arena = a};
    tg_build(&b, first, tg_value_of_str(first));
    tg_build(&b, second, tg_value_of_str(second));
    return tg_build_map(&b);
}

static void a_copy_lives_without_what_it_was_made_from(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value_builder b = {.arena = &a}, l = {.arena = &a};
    for (int i = 0; i < 100; i++)
        tg_build(&l, NULL, i % 3 == 0 ? small_map(&a, "x", "yy") : tg_value_of_int(i));
    char word[] = "volatile";
    tg_build(&b, "word", tg_value_of_slice(tg_str(word)));
    tg_build(&b, "list", tg_build_list(&l));
    tg_value tree = tg_build_map(&b);
    tree.line = 12;
    tg_value *copy = tg_value_copy(&tree);
    assert_true(tg_value_eq(copy, &tree));
    assert_int_equal(copy->line, 12);
    memset(word, '?', sizeof(word));
    tg_arena_free(&a);
    tg_slice kept = tg_value_str(copy, "word", (tg_slice){0});
    assert_true(tg_slice_eq(kept, TG_LIT("volatile")));
    const tg_value *list = tg_value_get(copy, "list");
    assert_int_equal(list->list.count, 100);
    assert_true(tg_slice_eq(tg_value_str(&list->list.items[99], "yy", (tg_slice){0}),
                            TG_LIT("yy")));
    tg_value_free(copy);
}

static void plain_values_copy_too(void **state)
{
    (void)state;
    tg_value values[] = {{0},
                         tg_value_of_int(-1),
                         tg_value_of_num(1.5),
                         tg_value_of_bool(true),
                         tg_value_of_str(""),
                         tg_value_of_slice((tg_slice){0})};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        tg_value *copy = tg_value_copy(&values[i]);
        assert_true(tg_value_eq(copy, &values[i]));
        tg_value_free(copy);
    }
    tg_value_free(NULL);
}

static void maps_are_equal_in_any_order_and_lists_are_not(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value xy = small_map(&a, "x", "y"), yx = small_map(&a, "y", "x"),
             xz = small_map(&a, "x", "z");
    assert_true(tg_value_eq(&xy, &yx));
    assert_false(tg_value_eq(&xy, &xz));
    tg_value_builder one = {.arena = &a}, two = {.arena = &a};
    tg_build(&one, NULL, tg_value_of_int(1));
    tg_build(&one, NULL, tg_value_of_int(2));
    tg_build(&two, NULL, tg_value_of_int(2));
    tg_build(&two, NULL, tg_value_of_int(1));
    tg_value l1 = tg_build_list(&one), l2 = tg_build_list(&two);
    assert_false(tg_value_eq(&l1, &l2));
    tg_value i = tg_value_of_int(1), n = tg_value_of_num(1);
    assert_false(tg_value_eq(&i, &n));
    tg_arena_free(&a);
}

static void equal_values_hash_alike(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value xy = small_map(&a, "x", "y"), yx = small_map(&a, "y", "x"),
             xz = small_map(&a, "x", "z");
    assert_int_equal(tg_value_hash(&xy), tg_value_hash(&yx));
    assert_int_not_equal(tg_value_hash(&xy), tg_value_hash(&xz));
    tg_value zero = tg_value_of_num(0.0), minus = tg_value_of_num(-0.0);
    assert_true(tg_value_eq(&zero, &minus));
    assert_int_equal(tg_value_hash(&zero), tg_value_hash(&minus));
    tg_value_builder one = {.arena = &a}, two = {.arena = &a};
    tg_build(&one, NULL, tg_value_of_bool(true));
    tg_build(&one, NULL, (tg_value){0});
    tg_build(&two, NULL, (tg_value){0});
    tg_build(&two, NULL, tg_value_of_bool(true));
    tg_value l1 = tg_build_list(&one), l2 = tg_build_list(&two);
    assert_int_not_equal(tg_value_hash(&l1), tg_value_hash(&l2));
    tg_arena_free(&a);
}

static void an_arena_gives_zeroed_aligned_memory_of_any_size(void **state)
{
    (void)state;
    tg_arena a = {0};
    for (size_t size = 0; size < 20000; size = size * 2 + 1) {
        char *at = tg_arena_alloc(&a, size);
        assert_int_equal((uintptr_t)at % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        memset(at, 0xaa, size);
    }
    tg_slice s = tg_arena_copy(&a, TG_LIT("kept"));
    assert_true(tg_slice_eq(s, TG_LIT("kept")));
    assert_false(a.failed);
    assert_null(tg_arena_alloc(&a, SIZE_MAX));
    assert_true(a.failed);
    assert_null(tg_arena_alloc(&a, 1));
    tg_arena_free(&a);
    assert_false(a.failed);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(tg_kind_name(TG_INT), "integer");
    assert_string_equal(tg_kind_name(TG_MAP), "map");
    assert_string_equal(tg_kind_name(200), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_lives_without_what_it_was_made_from),
        cmocka_unit_test(plain_values_copy_too),
        cmocka_unit_test(maps_are_equal_in_any_order_and_lists_are_not),
        cmocka_unit_test(equal_values_hash_alike),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_memory_of_any_size),
        cmocka_unit_test(kinds_have_names),
    };
    return RUN(tests);
}
