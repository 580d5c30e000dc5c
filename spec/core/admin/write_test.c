// SPDX-License-Identifier: Apache-2.0
#include "admin/write.h"

#include <stdlib.h>

#include "../../support/check.h"
#include "admin/props.h"
#include "base/value.h"

static void assert_text(tg_buf *b, const char *want)
{
    tg_buf_putc(b, '\0');
    assert_false(b->failed);
    assert_string_equal(b->at, want);
    tg_buf_free(b);
}

static void members_are_parted_by_commas_where_they_are_due(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_str(&b, "a", "x,");
    tg_put_open(&b, "list", '[');
    tg_put_int(&b, NULL, 1);
    tg_put_int(&b, NULL, 2);
    tg_put_close(&b, ']');
    tg_put_bool(&b, "c", false);
    tg_put_close(&b, '}');
    assert_text(&b, "{\"a\":\"x,\",\"list\":[1,2],\"c\":false}");
}

static void bytes_that_are_no_text_become_base64(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_bytes(&b, "p", TG_LIT("h\xc3\xa9"));
    tg_put_bytes(&b, "q", TG_LIT("\xff\x00\x01\xfe"));
    tg_put_close(&b, '}');
    assert_text(&b, "{\"p\":\"h\xc3\xa9\",\"q_base64\":\"/wAB/g==\"}");
}

static void base64_comes_back_and_garbage_does_not(void **state)
{
    (void)state;
    tg_buf b = {0};
    assert_true(tg_take_base64(TG_LIT("/wAB/g=="), &b));
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.at, "\xff\x00\x01\xfe", 4);
    assert_false(tg_take_base64(TG_LIT("abc"), &b));
    assert_false(tg_take_base64(TG_LIT("ab!="), &b));
    assert_false(tg_take_base64(TG_LIT("ab==abcd"), &b));
    assert_false(tg_take_base64(TG_LIT("===="), &b));
    tg_buf_free(&b);
}

static void hex_may_be_grouped_but_not_torn(void **state)
{
    (void)state;
    tg_buf b = {0};
    assert_true(tg_take_hex(TG_LIT("78 78:0d\n0A"), &b));
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.at, "xx\r\n", 4);
    assert_false(tg_take_hex(TG_LIT("7 8"), &b));
    assert_false(tg_take_hex(TG_LIT("787"), &b));
    assert_false(tg_take_hex(TG_LIT("zz"), &b));
    tg_buf_free(&b);
}

static void properties_are_shown_by_name(void **state)
{
    (void)state;
    tg_buf p = {0}, b = {0};
    tg_pair pair = {TG_LIT("site"), tg_value_of_str("north")};
    tg_value users = {.kind = TG_MAP, .map.pairs = &pair, .map.count = 1};
    assert_true(tg_prop_put(&p, TG_PROP_CONTENT_TYPE, TG_LIT("text/plain")));
    assert_true(tg_prop_put(&p, TG_PROP_CORRELATION, TG_LIT("\xff")));
    assert_true(tg_prop_put_user(&p, &users));
    tg_put_open(&b, NULL, '{');
    tg_props_json(&b, tg_buf_slice(&p));
    tg_put_close(&b, '}');
    assert_text(&b, "{\"content_type\":\"text/plain\",\"correlation_base64\":\"/w==\","
                    "\"user_properties\":[[\"site\",\"north\"]]}");
    tg_buf_free(&p);
}

static void torn_properties_stop_the_list_at_every_cut(void **state)
{
    (void)state;
    const char wire[] = {1, 1, 3, 0, 2, 'a', 'b', 0x26, 0, 1, 'k', 0, 1, 'v'};
    for (size_t cut = 0; cut <= sizeof(wire); cut++) {
        char *exact = malloc(cut + 1); // a sanitizer sees one byte too far
        memcpy(exact, wire, cut);
        tg_buf b = {0};
        tg_put_open(&b, NULL, '{');
        tg_props_json(&b, (tg_slice){exact, cut});
        tg_put_close(&b, '}');
        bool text = cut >= 7, user = cut == sizeof(wire);
        assert_text(&b,
                    user   ? "{\"content_type\":\"ab\",\"user_properties\":[[\"k\",\"v\"]]}"
                    : text ? "{\"content_type\":\"ab\"}"
                           : "{}");
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_parted_by_commas_where_they_are_due),
        cmocka_unit_test(bytes_that_are_no_text_become_base64),
        cmocka_unit_test(base64_comes_back_and_garbage_does_not),
        cmocka_unit_test(hex_may_be_grouped_but_not_torn),
        cmocka_unit_test(properties_are_shown_by_name),
        cmocka_unit_test(torn_properties_stop_the_list_at_every_cut),
    };
    return RUN(tests);
}
