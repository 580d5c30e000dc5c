// SPDX-License-Identifier: Apache-2.0
#include "codec/json_read.h"

#include <stdlib.h>

#include "base/json.h"
#include "../../support/check.h"

/// Reads `in` and writes it again.
static void reads(const char *in, const char *want)
{
    tg_arena a = {0};
    tg_value v;
    tg_error e = {0};
    assert_int_equal(tg_json_read(tg_str(in), &a, &v, &e), 0);
    tg_buf out = {0};
    tg_json_value(&out, &v);
    tg_buf_putc(&out, '\0');
    assert_string_equal(out.at, want);
    tg_buf_free(&out);
    tg_arena_free(&a);
}

static void refuses(tg_slice in, int code, const char *why)
{
    tg_arena a = {0};
    tg_value v;
    tg_error e = {0};
    assert_int_equal(tg_json_read(in, &a, &v, &e), code);
    if (strstr(e.message, why) == NULL)
        fail_msg("\"%s\" says no \"%s\"", e.message, why);
    tg_arena_free(&a);
}

static void values_keep_their_kind_and_order(void **state)
{
    (void)state;
    reads(" {\"b\": [1, -2.5, true, null], \"a\": {\"\\u00e9\": \"x\\ny\"}} ",
          "{\"b\":[1,-2.5,true,null],\"a\":{\"é\":\"x\\ny\"}}");
    reads("9223372036854775807", "9223372036854775807");
    reads("-9223372036854775808", "-9223372036854775808");
    reads("9223372036854775808", "9.223372036854776e18");
    reads("[]", "[]");
    reads("{}", "{}");
    reads("\"\"", "\"\"");
}

static void wrong_texts_say_where(void **state)
{
    (void)state;
    refuses(TG_LIT("{\"a\":}"), TG_E_MALFORMED, "byte ");
    refuses(TG_LIT("[1,2"), TG_E_MALFORMED, "premature");
    refuses(TG_LIT(""), TG_E_MALFORMED, "");
    refuses(TG_LIT("1 2"), TG_E_MALFORMED, "trailing");
    refuses(TG_LIT("\"\xff\""), TG_E_MALFORMED, "UTF8");
    refuses(TG_LIT("[nan]"), TG_E_MALFORMED, "");
    char digits[600];
    memset(digits, '1', sizeof(digits));
    refuses((tg_slice){digits, sizeof(digits)}, TG_E_MALFORMED, "400 digits");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char deep[2 * 65];
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    refuses((tg_slice){deep, sizeof(deep)}, TG_E_LIMIT, "64 levels");
    tg_arena a = {0};
    tg_value v;
    assert_int_equal(tg_json_read((tg_slice){deep + 1, 128}, &a, &v, NULL), 0);
    tg_arena_free(&a);
    char *many = malloc(1000000);
    memset(many, '[', 1000000);
    refuses((tg_slice){many, 1000000}, TG_E_LIMIT, "64 levels");
    free(many);
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    size_t n = 2 * ((size_t)TG_JSON_VALUES + 1) + 1; // [1,1,…,1]
    char *many = malloc(n);
    for (size_t i = 0; i < n; i++)
        many[i] = i % 2 == 1 ? '1' : ',';
    many[0] = '[';
    many[n - 1] = ']';
    refuses((tg_slice){many, n}, TG_E_LIMIT, "262144 values");
    tg_arena a = {0};
    tg_value v;
    many[n - 5] = ']'; // the list itself counts, too
    assert_int_equal(tg_json_read((tg_slice){many, n - 4}, &a, &v, NULL), 0);
    assert_int_equal(v.list.count, TG_JSON_VALUES - 1);
    tg_arena_free(&a);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_kind_and_order),
        cmocka_unit_test(wrong_texts_say_where),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
    };
    return RUN(tests);
}
