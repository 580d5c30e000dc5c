// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include <stdio.h>

#include "../../support/check.h"

#define KEYS 3000

typedef struct item {
    char key[16];
    bool in, seen;
} item;

static item items[KEYS];

static tg_slice key_of(const item *i)
{
    return tg_str(i->key);
}

static int setup(void **state)
{
    (void)state;
    tg_hash_seed();
    for (int i = 0; i < KEYS; i++) {
        items[i] = (item){0};
        snprintf(items[i].key, sizeof(items[i].key), "key%d", i);
    }
    return 0;
}

// The map against flags in the items, under random adds and deletes.
static void it_holds_what_was_added_and_not_deleted(void **state)
{
    (void)state;
    tg_map m = {0};
    uint32_t count = 0;
    for (int step = 0; step < 60000; step++) {
        item *it = &items[tg_random() % KEYS];
        if (tg_random() % 2 == 0) {
            assert_int_equal(tg_map_add(&m, key_of(it), it), it->in ? TG_E_EXISTS : 0);
            count += !it->in;
            it->in = true;
        } else {
            assert_ptr_equal(tg_map_del(&m, key_of(it)), it->in ? it : NULL);
            count -= it->in;
            it->in = false;
        }
        item *other = &items[tg_random() % KEYS];
        assert_ptr_equal(tg_map_find(&m, key_of(other)), other->in ? other : NULL);
        assert_int_equal(m.count, count);
    }
    tg_map_free(&m);
}

static void fill(tg_map *m, int n)
{
    for (int i = 0; i < n; i++) {
        items[i].in = items[i].seen = false;
        assert_int_equal(tg_map_set(m, key_of(&items[i]), &items[i]), 0);
    }
}

static void a_walk_sees_each_once_though_some_are_deleted_on_the_way(void **state)
{
    (void)state;
    for (int round = 0; round < 3000;
         round++) { // small maps wrap round their end most often
        tg_map m = {0};
        int n = 1 + (int)(tg_random() % 24);
        fill(&m, n);
        uint32_t at = 0, odds = round % 3;
        int seen = 0, deleted = 0;
        for (item *it; (it = tg_map_next(&m, &at)) != NULL; seen++) {
            assert_false(it->seen);
            it->seen = true;
            if (odds == 2 || (odds == 1 && tg_random() % 2 == 0)) {
                assert_ptr_equal(tg_map_del(&m, key_of(it)), it);
                deleted++;
            }
        }
        assert_int_equal(seen, n);
        assert_int_equal(m.count, n - deleted);
        tg_map_free(&m);
    }
}

static void setting_replaces_value_and_key(void **state)
{
    (void)state;
    tg_map m = {0};
    char first[] = "same", second[] = "same";
    int a, b;
    assert_int_equal(tg_map_set(&m, tg_str(first), &a), 0);
    assert_int_equal(tg_map_set(&m, tg_str(second), &b), 0);
    first[0] = 'x'; // the old key may go with its value
    assert_int_equal(m.count, 1);
    assert_ptr_equal(tg_map_find(&m, tg_str("same")), &b);
    assert_ptr_equal(tg_map_del(&m, tg_str("same")), &b);
    assert_null(tg_map_find(&m, tg_str("same")));
    assert_null(tg_map_find(&(tg_map){0}, tg_str("same")));
    assert_null(tg_map_del(&(tg_map){0}, tg_str("same")));
    assert_int_equal(tg_map_add(&m, (tg_slice){0}, &a), 0); // the empty key is one, too
    assert_ptr_equal(tg_map_find(&m, TG_LIT("")), &a);
    tg_map_free(&m);
}

static void the_hash_reads_every_byte_and_the_length(void **state)
{
    (void)state;
    char text[40] = {0};
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        uint64_t h = tg_hash((tg_slice){text, len});
        assert_true(h != tg_hash((tg_slice){text, len + 1}));
        for (size_t i = 0; i < len; i++) {
            text[i] ^= 1;
            assert_true(h != tg_hash((tg_slice){text, len}));
            text[i] ^= 1;
        }
        assert_true(h == tg_hash((tg_slice){text, len}));
    }
}

static void every_seed_gives_other_hashes(void **state)
{
    (void)state;
    uint64_t before = tg_hash(TG_LIT("device"));
    tg_hash_seed();
    assert_true(before != tg_hash(TG_LIT("device")));
    assert_true(tg_random() != tg_random());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_was_added_and_not_deleted),
        cmocka_unit_test(a_walk_sees_each_once_though_some_are_deleted_on_the_way),
        cmocka_unit_test(setting_replaces_value_and_key),
        cmocka_unit_test(the_hash_reads_every_byte_and_the_length),
        cmocka_unit_test(every_seed_gives_other_hashes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
