// SPDX-License-Identifier: Apache-2.0
#include "host/table.h"

#include "../../support/check.h"

static void assert_cell(const tg_value *v, tg_column_kind kind, const char *want)
{
    tg_buf b = {0};
    tg_table_cell(&b, v, kind);
    tg_buf_putc(&b, '\0');
    assert_string_equal(b.at, want);
    tg_buf_free(&b);
}

static void cells_read_as_people_write(void **state)
{
    (void)state;
    tg_value v = tg_value_of_int(1536);
    assert_cell(&v, TG_COLUMN_NUMBER, "1536");
    assert_cell(&v, TG_COLUMN_BYTES, "1.5 KiB");
    v = tg_value_of_int(12);
    assert_cell(&v, TG_COLUMN_BYTES, "12 B");
    v = tg_value_of_bool(false);
    assert_cell(&v, TG_COLUMN_YES, "-");
    assert_cell(NULL, TG_COLUMN_TEXT, "");
}

static void a_name_cannot_move_the_cursor(void **state)
{
    (void)state;
    tg_value v = tg_value_of_str("a\x1b[2J\nb\xc2\x9b"
                                 "c\xc3\xa9");
    assert_cell(&v, TG_COLUMN_TEXT,
                "a\\x1b[2J\\x0ab\\xc2\\x9b"
                "c\xc3\xa9");
}

static void spans_have_two_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *want;
    } cases[] = {{-5, "0s"},
                 {59999, "59s"},
                 {192000, "3m 12s"},
                 {7260000, "2h 1m"},
                 {90000000, "1d 1h"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tg_buf b = {0};
        tg_table_span(&b, cases[i].ms);
        tg_buf_putc(&b, '\0');
        assert_string_equal(b.at, cases[i].want);
        tg_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_read_as_people_write),
        cmocka_unit_test(a_name_cannot_move_the_cursor),
        cmocka_unit_test(spans_have_two_units),
    };
    return RUN(tests);
}
