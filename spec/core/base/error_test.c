// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include "../../support/check.h"

static void a_code_has_a_name_and_a_text(void **state)
{
    (void)state;
    assert_string_equal(tg_error_name(TG_E_NOMEM), "NOMEM");
    assert_string_equal(tg_error_text(TG_E_CLOSED), "peer closed the connection");
    assert_string_equal(tg_error_name(-9999), "ERROR");
}

static void a_message_is_cut_to_fit_and_takes_a_prefix(void **state)
{
    (void)state;
    tg_error e = {0};
    assert_int_equal(tg_error_set(&e, TG_E_INVAL, "%0600d", 1), TG_E_INVAL);
    assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
    tg_error_set(&e, TG_E_IO, "no such file");
    assert_int_equal(tg_error_prefix(&e, "%s:%d", "a.lua", 3), TG_E_IO);
    assert_string_equal(e.message, "a.lua:3: no such file");
    assert_int_equal(tg_error_set(NULL, TG_E_IO, "nobody listens"), TG_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_has_a_name_and_a_text),
        cmocka_unit_test(a_message_is_cut_to_fit_and_takes_a_prefix),
    };
    return RUN(tests);
}
