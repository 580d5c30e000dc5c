// SPDX-License-Identifier: Apache-2.0
#include "admin/page.h"

#include <stdio.h>

#include "../../support/check.h"

static void add(tg_page *p, const char *key, int64_t count)
{
    tg_row *row = tg_page_add(p, tg_str(key));
    if (row != NULL)
        row->count = count;
}

static void pages_by_cursor_show_every_row_once(void **state)
{
    (void)state;
    char cursor[16] = "";
    int seen = 0;
    bool more = true;
    while (more) {
        tg_page part, all;
        tg_page_init(&part, tg_str(cursor), 7);
        for (int i = 0; i < 100; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%02d", (i * 37) % 100);
            add(&part, key, 1);
        }
        tg_page_init(&all, tg_str(cursor), 7);
        tg_page_merge(&all, &part);
        more = tg_page_finish(&all);
        for (size_t i = 0; i < all.count; i++) {
            char want[16];
            snprintf(want, sizeof(want), "k%02d", seen++);
            assert_string_equal(all.rows[i].key, want);
        }
        snprintf(cursor, sizeof(cursor), "%s", all.rows[all.count - 1].key);
        tg_page_free(&part);
        tg_page_free(&all);
    }
    assert_int_equal(seen, 100);
}

static void rows_of_one_key_are_added_up_across_workers(void **state)
{
    (void)state;
    tg_page a, b, all;
    tg_page_init(&a, (tg_slice){0}, 10);
    tg_page_init(&b, (tg_slice){0}, 10);
    tg_page_init(&all, (tg_slice){0}, 10);
    add(&a, "x", 1);
    add(&a, "y", 2);
    add(&b, "y", 3);
    tg_page_merge(&all, &a);
    tg_page_merge(&all, &b);
    assert_false(tg_page_finish(&all));
    assert_int_equal(all.count, 2);
    assert_int_equal(all.rows[1].count, 5);
    tg_page_free(&a);
    tg_page_free(&b);
    tg_page_free(&all);
}

static void a_full_last_page_says_that_nothing_follows(void **state)
{
    (void)state;
    tg_page p;
    tg_page_init(&p, (tg_slice){0}, 2);
    add(&p, "b", 1);
    add(&p, "a", 1);
    assert_false(tg_page_finish(&p));
    assert_int_equal(p.count, 2);
    assert_string_equal(p.rows[0].key, "a");
    tg_page_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_by_cursor_show_every_row_once),
        cmocka_unit_test(rows_of_one_key_are_added_up_across_workers),
        cmocka_unit_test(a_full_last_page_says_that_nothing_follows),
    };
    return RUN(tests);
}
