// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include "../../support/check.h"

static void assert_holds(const tg_buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->at, text, b->len);
}

static void a_zeroed_buffer_grows_with_what_is_put(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_buf_puts(&b, "topic");
    tg_buf_putc(&b, '/');
    tg_buf_printf(&b, "%d-%s", 42, "x");
    tg_buf_put(&b, NULL, 0);
    assert_holds(&b, "topic/42-x");
    for (int i = 0; i < 10000; i++)
        tg_buf_putc(&b, 'y');
    assert_int_equal(b.len, 10010);
    assert_false(b.failed);
    tg_buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_true(b.cap >= 10010);
    tg_buf_free(&b);
    assert_null(b.at);
}

static void dropping_takes_bytes_off_the_front(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_buf_puts(&b, "0123456789");
    tg_buf_drop(&b, 0);
    tg_buf_drop(&b, 3);
    assert_holds(&b, "3456789");
    tg_buf_drop(&b, 100);
    assert_int_equal(b.len, 0);
    tg_buf_free(&b);
}

static void a_failed_grow_keeps_what_was_there_and_takes_nothing_more(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_buf_puts(&b, "kept");
    assert_null(tg_buf_reserve(&b, SIZE_MAX - 2));
    assert_true(b.failed);
    tg_buf_puts(&b, "lost");
    tg_buf_printf(&b, "%s", "lost");
    assert_holds(&b, "kept");
    tg_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_grows_with_what_is_put),
        cmocka_unit_test(dropping_takes_bytes_off_the_front),
        cmocka_unit_test(a_failed_grow_keeps_what_was_there_and_takes_nothing_more),
    };
    return RUN(tests);
}
