// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../support/check.h"
#include "base/map.h"
#include "base/value.h"

static char text[4096]; // what the last writer wrote

static const char *done(tg_buf *b)
{
    assert_false(b->failed);
    assert_true(b->len < sizeof(text));
    memcpy(text, b->at, b->len);
    text[b->len] = '\0';
    tg_buf_free(b);
    return text;
}

static const char *num(double n)
{
    tg_buf b = {0};
    tg_json_num(&b, n);
    return done(&b);
}

static const char *fixed(int64_t n, unsigned digits)
{
    tg_buf b = {0};
    tg_json_fixed(&b, n, digits);
    return done(&b);
}

static const char *str(const char *at, size_t len)
{
    tg_buf b = {0};
    tg_json_str(&b, (tg_slice){at, len});
    return done(&b);
}

#define STR(literal) str(literal, sizeof(literal) - 1)

static const char *integer(int64_t n)
{
    tg_buf b = {0};
    tg_json_int(&b, n);
    return done(&b);
}

static void integers_of_every_size(void **state)
{
    (void)state;
    assert_string_equal(integer(0), "0");
    assert_string_equal(integer(-7), "-7");
    assert_string_equal(integer(INT64_MAX), "9223372036854775807");
    assert_string_equal(integer(INT64_MIN), "-9223372036854775808");
}

static void numbers_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    static const struct {
        double n;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0.0"},
        {1, "1"},
        {-12.5, "-12.5"},
        {0.1, "0.1"},
        {0.30000000000000004, "0.30000000000000004"},
        {23.1234567, "23.1234567"},
        {-113.98765432, "-113.98765432"},
        {1e-7, "1e-7"},
        {0.00012, "0.00012"},
        {1.5e-9, "1.5e-9"},
        {9007199254740992.0, "9007199254740992"},
        {1e17, "1e17"},
        {123456789.125, "123456789.125"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e308"},
        {(double)NAN, "null"},
        {(double)INFINITY, "null"},
        {(double)-INFINITY, "null"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(num(cases[i].n), cases[i].text);
}

static void every_number_reads_back_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = tg_random();
        double n;
        memcpy(&n, &bits, sizeof(n));
        if (i % 2 == 0)
            n = (double)(int64_t)(bits >> 20) / pow(10, (double)(bits % 12));
        if (isfinite(n))
            assert_true(strtod(num(n), NULL) == n);
    }
}

// How many digits printf needs until the number reads back the same.
static int digits_needed(double n)
{
    char form[64];
    for (int digits = 1; digits < 17; digits++) {
        snprintf(form, sizeof(form), "%.*g", digits, n);
        if (strtod(form, NULL) == n)
            return digits;
    }
    return 17;
}

// Digits from the first that is no zero to the last that is none; zero itself has one.
static int digits_of(const char *number)
{
    int count = 0, zeros = 0;
    for (; *number != '\0' && *number != 'e'; number++) {
        if (*number == '0')
            zeros += count > 0;
        if (*number < '1' || *number > '9')
            continue;
        count += zeros + 1;
        zeros = 0;
    }
    return count > 0 ? count : 1;
}

static void no_shorter_number_reads_back_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 60000; i++) {
        uint64_t r = tg_random();
        double n = (double)(int64_t)(r >> (11 + i % 40)) / 1800000;
        if (i % 3 == 0)
            n = ldexp((double)(1 + r % 7),
                      -(int)(r >> 32) % 16); // few bits, narrow lower side
        if (i % 3 == 1)
            n = (double)(r % 1000000) * 0.1;
        assert_true(strtod(num(n), NULL) == n);
        assert_int_equal(digits_of(num(n)), digits_needed(n));
    }
}

static void fixed_point_is_exact(void **state)
{
    (void)state;
    assert_string_equal(fixed(312345678, 7), "31.2345678");
    assert_string_equal(fixed(-312345678, 7), "-31.2345678");
    assert_string_equal(fixed(5, 3), "0.005");
    assert_string_equal(fixed(-5, 3), "-0.005");
    assert_string_equal(fixed(1500, 2), "15");
    assert_string_equal(fixed(1530, 2), "15.3");
    assert_string_equal(fixed(0, 5), "0");
    assert_string_equal(fixed(120, 0), "120");
    assert_string_equal(fixed(INT64_MIN, 3), "-9223372036854775.808");
    assert_string_equal(fixed(INT64_MAX, 19), "0.9223372036854775807");
    assert_string_equal(fixed(1, 30), "0.000000000000000000000000000001");
    assert_string_equal(fixed(7, 99), "7e-99");
    assert_string_equal(fixed(700, 99), "7e-97");
}

static void strings_are_escaped_where_json_asks_for_it(void **state)
{
    (void)state;
    assert_string_equal(STR(""), "\"\"");
    assert_string_equal(STR("plain text of some length, no escapes"),
                        "\"plain text of some length, no escapes\"");
    assert_string_equal(STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    assert_string_equal(STR("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    assert_string_equal(STR("\0\x1f\x7f"), "\"\\u0000\\u001f\\u007f\"");
    assert_string_equal(STR("gr\xc3\xbc\xc3\x9f \xe4\xb8\xad \xf0\x9f\x9a\x9a"),
                        "\"gr\xc3\xbc\xc3\x9f \xe4\xb8\xad \xf0\x9f\x9a\x9a\"");
    assert_string_equal(STR("\xc2\x9b"), "\"\\u009b\"");
    for (size_t at = 0; at < 24; at++) { // wherever it stands in the words of the fast scan
        char in[] = "aaaaaaaaaaaaaaaaaaaaaaaa";
        in[at] = '"';
        const char *out = str(in, 24);
        assert_int_equal(strlen(out), 27);
        assert_memory_equal(out + 1 + at, "\\\"", 2);
    }
}

static void bad_utf8_becomes_one_replacement_per_byte(void **state)
{
    (void)state;
#define R "\xef\xbf\xbd"
    assert_string_equal(STR("\xff"), "\"" R "\"");
    assert_string_equal(STR("a\x80z"), "\"a" R "z\"");
    assert_string_equal(STR("\xc3"), "\"" R "\"");
    assert_string_equal(STR("\xc0\xaf"), "\"" R R "\""); // overlong
    assert_string_equal(STR("\xe0\x80\xaf"), "\"" R R R "\""); // overlong
    assert_string_equal(STR("\xf0\x80\x80\xaf"), "\"" R R R R "\""); // overlong
    assert_string_equal(STR("\xed\xa0\x80"), "\"" R R R "\""); // surrogate
    assert_string_equal(STR("\xf4\x90\x80\x80"), "\"" R R R R "\""); // above U+10FFFF
    assert_string_equal(STR("\xe4\xb8"), "\"" R R "\""); // cut off
    assert_string_equal(STR("\xe4\xb8\x22"), "\"" R R "\\\"\"");
#undef R
}

static void trees_are_written_in_their_order_and_keep_secrets(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value_builder list = {.arena = &a}, map = {.arena = &a};
    tg_build(&list, NULL, tg_value_of_int(1));
    tg_build(&list, NULL, tg_value_of_num(2.5));
    tg_build(&list, NULL, tg_value_of_bool(true));
    tg_build(&list, NULL, (tg_value){0});
    tg_build(&map, "z", tg_build_list(&list));
    tg_build(&map, "a", tg_value_of_str("x"));
    tg_value secret = tg_value_of_str("hunter2");
    secret.secret = 1;
    tg_build(&map, "password", secret);
    tg_value_builder none = {.arena = &a};
    tg_build(&map, "none", tg_build_map(&none));
    tg_value v = tg_build_map(&map);
    tg_buf b = {0};
    tg_json_value(&b, &v);
    assert_string_equal(
        done(&b), "{\"z\":[1,2.5,true,null],\"a\":\"x\",\"password\":\"***\",\"none\":{}}");
    tg_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_size),
        cmocka_unit_test(numbers_are_as_short_as_they_can_be),
        cmocka_unit_test(every_number_reads_back_the_same),
        cmocka_unit_test(no_shorter_number_reads_back_the_same),
        cmocka_unit_test(fixed_point_is_exact),
        cmocka_unit_test(strings_are_escaped_where_json_asks_for_it),
        cmocka_unit_test(bad_utf8_becomes_one_replacement_per_byte),
        cmocka_unit_test(trees_are_written_in_their_order_and_keep_secrets),
    };
    return RUN(tests);
}
