// SPDX-License-Identifier: Apache-2.0
#include "admin/request.h"

#include "../../support/check.h"

static void a_path_fits_its_pattern_segment_by_segment(void **state)
{
    (void)state;
    assert_true(tg_path_fits("/api/v1/status", "/api/v1/status"));
    assert_false(tg_path_fits("/api/v1/status", "/api/v1/status/"));
    assert_false(tg_path_fits("/api/v1/status", "/api/v1/statuses"));
    assert_false(tg_path_fits("/api/v1/status", "/api/v1"));
    assert_false(tg_path_fits("/health", ""));
    assert_false(tg_path_fits("/health", "/"));
    assert_true(tg_path_fits("/plugins/{id}/reload", "/plugins/gt06/reload"));
    assert_false(tg_path_fits("/plugins/{id}/reload", "/plugins//reload"));
    assert_false(tg_path_fits("/plugins/{id}/reload", "/plugins/gt06"));
    assert_false(tg_path_fits("/clients/{id}", "/clients/a/b"));
}

static void a_parameter_is_decoded_after_the_path_was_parted(void **state)
{
    (void)state;
    char path[] = "/clients/a%2Fb%20c/sub/x%25";
    tg_slice params[TG_REQUEST_PARAMS] = {{0}};
    assert_true(tg_path_fits("/clients/{id}/sub/{name}", path));
    tg_path_take("/clients/{id}/sub/{name}", path, params);
    assert_int_equal(params[0].len, 5);
    assert_string_equal(params[0].at, "a/b c");
    assert_int_equal(params[1].len, 2);
    assert_string_equal(params[1].at, "x%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_fits_its_pattern_segment_by_segment),
        cmocka_unit_test(a_parameter_is_decoded_after_the_path_was_parted),
    };
    return RUN(tests);
}
