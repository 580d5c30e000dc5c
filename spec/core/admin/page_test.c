// SPDX-License-Identifier: Apache-2.0
#include "admin/page.h"

#include <stdio.h>

#include "../../support/check.h"

static void add(tg_page *p, const char *key)
{
    tg_row *row = tg_page_add(p, tg_str(key));
    if (row != NULL)
        tg_buf_puts(&row->json, key);
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
            add(&part, key);
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

static void a_key_on_two_workers_is_shown_once(void **state)
{
    (void)state;
    tg_page a, b, all;
    tg_page_init(&a, (tg_slice){0}, 10);
    tg_page_init(&b, (tg_slice){0}, 10);
    tg_page_init(&all, (tg_slice){0}, 10);
    add(&a, "x");
    add(&a, "y");
    add(&b, "y");
    tg_page_merge(&all, &a);
    tg_page_merge(&all, &b);
    assert_false(tg_page_finish(&all));
    assert_int_equal(all.count, 2);
    assert_string_equal(all.rows[1].key, "y");
    tg_page_free(&a);
    tg_page_free(&b);
    tg_page_free(&all);
}

static void a_full_last_page_says_that_nothing_follows(void **state)
{
    (void)state;
    tg_page p;
    tg_page_init(&p, (tg_slice){0}, 2);
    add(&p, "b");
    add(&p, "a");
    assert_false(tg_page_finish(&p));
    assert_int_equal(p.count, 2);
    assert_string_equal(p.rows[0].key, "a");
    tg_page_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_by_cursor_show_every_row_once),
        cmocka_unit_test(a_key_on_two_workers_is_shown_once),
        cmocka_unit_test(a_full_last_page_says_that_nothing_follows),
    };
    return RUN(tests);
}
