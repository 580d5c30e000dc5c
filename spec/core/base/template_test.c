// SPDX-License-Identifier: Apache-2.0
#include "base/template.h"

#include "../../support/check.h"

static void parts_are_texts_and_names(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_template t;
    tg_error e = {0};
    assert_int_equal(tg_template_parse(TG_LIT("a/${device}/${type}x"), &a, &t, &e), 0);
    assert_int_equal(t.count, 5);
    assert_true(t.part[1].name && tg_slice_eq(t.part[1].text, TG_LIT("device")));
    assert_true(!t.part[4].name && tg_slice_eq(t.part[4].text, TG_LIT("x")));
    assert_int_equal(tg_template_parse(TG_LIT("a/${device"), &a, &t, &e), TG_E_INVAL);
    assert_int_equal(tg_template_parse(TG_LIT("a/${}"), &a, &t, &e), TG_E_INVAL);
    tg_arena_free(&a);
}

static void filled(const char *text, const char *device, const char *want)
{
    tg_buf b = {0};
    tg_template_device(&b, tg_str(text), tg_str(device));
    assert_true(tg_slice_eq(tg_buf_slice(&b), tg_str(want)));
    tg_buf_free(&b);
}

static void a_device_goes_where_its_name_stands(void **state)
{
    (void)state;
    filled("acme/${device}/down", "d1", "acme/d1/down");
    filled("${device}", "d1", "d1");
    filled("${device}/${device}", "x", "x/x");
    filled("acme/down", "d1", "acme/down");
    filled("", "d1", "");
    filled("a/${device}/b", "c/+#", "a/c___/b");
    filled("a/${device}/b", TG_TEMPLATE_DEVICE, "a/" TG_TEMPLATE_DEVICE "/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_texts_and_names),
        cmocka_unit_test(a_device_goes_where_its_name_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
