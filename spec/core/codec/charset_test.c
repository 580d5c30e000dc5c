// SPDX-License-Identifier: Apache-2.0
#include "codec/charset.h"

#include <pthread.h>

#include "../../support/check.h"

static void decodes(tg_charset cs, tg_slice in, tg_slice want, int bad)
{
    tg_buf out = {0};
    assert_int_equal(tg_charset_decode(cs, in, &out), bad);
    assert_true(tg_slice_eq(tg_buf_slice(&out), want));
    tg_buf_free(&out);
}

static void encodes(tg_charset cs, tg_slice in, tg_slice want, int lost)
{
    tg_buf out = {0};
    assert_int_equal(tg_charset_encode(cs, in, &out), lost);
    assert_true(tg_slice_eq(tg_buf_slice(&out), want));
    tg_buf_free(&out);
}

static void both_ways(tg_charset cs, tg_slice bytes, tg_slice text)
{
    decodes(cs, bytes, text, 0);
    encodes(cs, text, bytes, 0);
}

static void text_goes_both_ways(void **state)
{
    (void)state;
    both_ways(TG_CHARSET_GBK,
              TG_LIT("\xBE\xA9"
                     "A12345"),
              TG_LIT("京A12345"));
    both_ways(TG_CHARSET_GB18030, TG_LIT("\x94\x39\xDA\x33"), TG_LIT("💩"));
    both_ways(TG_CHARSET_LATIN1, TG_LIT("caf\xE9"), TG_LIT("café"));
    both_ways(TG_CHARSET_UTF16BE, TG_LIT("\x4E\x2D\xD8\x3D\xDC\xA9\0A"), TG_LIT("中💩A"));
    both_ways(TG_CHARSET_UTF16LE,
              TG_LIT("\x2D\x4E"
                     "A\0"),
              TG_LIT("中A"));
    both_ways(TG_CHARSET_UTF8, TG_LIT("中"), TG_LIT("中"));
    both_ways(TG_CHARSET_ASCII, TG_LIT("plain\0text"), TG_LIT("plain\0text"));
    both_ways(TG_CHARSET_ASCII, TG_LIT(""), TG_LIT(""));
}

#define R "\xef\xbf\xbd"
static void bad_bytes_become_the_replacement_character(void **state)
{
    (void)state;
    decodes(TG_CHARSET_GBK,
            TG_LIT("a\xFF"
                   "b"),
            TG_LIT("a" R "b"), 1);
    decodes(TG_CHARSET_GBK, TG_LIT("\xBE\xA9\xBE"), TG_LIT("京" R), 1);
    decodes(TG_CHARSET_ASCII, TG_LIT("a\x80"), TG_LIT("a" R), 1);
    decodes(TG_CHARSET_UTF8, TG_LIT("\xC0\xAF\xED\xA0\x80x"), TG_LIT(R R R R R "x"), 5);
    decodes(TG_CHARSET_UTF16BE, TG_LIT("\x4e\x2d\x65"), TG_LIT("中" R), 1);
    decodes(TG_CHARSET_UTF16BE, TG_LIT("\xD8\x3D\0A"), TG_LIT(R "A"), 1);
    decodes(TG_CHARSET_UTF16BE, TG_LIT("\xDC\x3D"), TG_LIT(R), 1);
}

static void what_has_no_form_becomes_a_question_mark(void **state)
{
    (void)state;
    encodes(TG_CHARSET_GBK, TG_LIT("💩x"), TG_LIT("?x"), 1);
    encodes(TG_CHARSET_LATIN1, TG_LIT("中é"), TG_LIT("?\xE9"), 1);
    encodes(TG_CHARSET_ASCII, TG_LIT("é\xFF"), TG_LIT("??"), 2);
    encodes(TG_CHARSET_GBK,
            TG_LIT("\xFF"
                   "京"),
            TG_LIT("?\xBE\xA9"), 1);
    encodes(TG_CHARSET_UTF8,
            TG_LIT("\xFF"
                   "京"),
            TG_LIT("?京"), 1);
    encodes(TG_CHARSET_UTF16LE, TG_LIT("\xFF"), TG_LIT("?\0"), 1);
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(tg_charset_from(TG_LIT("gbk")), TG_CHARSET_GBK);
    assert_int_equal(tg_charset_from(TG_LIT("utf-16le")), TG_CHARSET_UTF16LE);
    assert_int_equal(tg_charset_from(TG_LIT("big5")), -1);
    assert_true(tg_utf8_valid(TG_LIT("é中💩")));
    assert_false(tg_utf8_valid(TG_LIT("é\xE4\xB8")));
}

static void *in_a_thread(void *arg)
{
    for (int i = 0; i < 200; i++)
        both_ways(TG_CHARSET_GBK, TG_LIT("\xBE\xA9\xBE\xA9"), TG_LIT("京京"));
    return arg;
}

static void each_thread_has_converters_of_its_own(void **state)
{
    (void)state;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, in_a_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_both_ways),
        cmocka_unit_test(bad_bytes_become_the_replacement_character),
        cmocka_unit_test(what_has_no_form_becomes_a_question_mark),
        cmocka_unit_test(names),
        cmocka_unit_test(each_thread_has_converters_of_its_own),
    };
    return RUN(tests);
}
