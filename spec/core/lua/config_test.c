// SPDX-License-Identifier: Apache-2.0
// The config reader: values with their lines, secrets, and what a broken config is told.
#include "rig.h"

#include "lua/config.h"

static int read_config(const char *text, tg_arena *arena, tg_value *out, tg_error *e)
{
    return tg_lua_config_text("etc/x.lua", tg_str(text), arena, out, e);
}

static const tg_value *at(const tg_value *v, const char *key)
{
    const tg_value *m = tg_value_get(v, key);
    if (m == NULL)
        fail_msg("no '%s'", key);
    return m;
}

static void values_know_their_lines(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value v;
    tg_error e = {0};
    int rc = read_config("local n = 2 -- return { no = 1 }\n"
                         "local function f() return { inner = 1 } end\n"
                         "return {\n"
                         "  workers = n * 2,\n"
                         "  --[[ a comment\n  of two lines ]]\n"
                         "  limits = { depth = 7,\n"
                         "    rate = 1.5 }, listeners = {\n"
                         "    { name = 'a', on = true },\n"
                         "    { name = [[b\n]], [\"bind\"] = 'x' } },\n"
                         "  made = f(), last = function() return 1, 2 end and 3,\n"
                         "}\n",
                         &a, &v, &e);
    if (rc != 0)
        fail_msg("%s", e.message);
    assert_int_equal(at(&v, "workers")->integer, 4);
    assert_int_equal(at(&v, "workers")->line, 4);
    assert_int_equal(at(&v, "limits")->line, 7);
    assert_int_equal(at(at(&v, "limits"), "rate")->line, 8);
    assert_int_equal(at(&v, "listeners")->list.count, 2);
    const tg_value *second = &at(&v, "listeners")->list.items[1];
    assert_int_equal(second->line, 10);
    assert_int_equal(at(second, "bind")->line, 11);
    assert_int_equal(at(at(&v, "made"), "inner")->line, 0);
    assert_int_equal(at(&v, "last")->line, 12);
    tg_arena_free(&a);
}

static void secrets_come_from_the_environment(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_value v;
    tg_error e = {0};
    setenv("TG_SPEC_SECRET", "hush", 1);
    assert_int_equal(read_config("return { p = tg.env 'TG_SPEC_SECRET',\n"
                                 "  q = tostring(tg.env 'TG_SPEC_SECRET') }",
                                 &a, &v, &e),
                     0);
    assert_int_equal(at(&v, "p")->secret, 1);
    assert_true(tg_slice_eq(at(&v, "p")->string, TG_LIT("hush")));
    assert_true(tg_slice_eq(at(&v, "q")->string, TG_LIT("***")));
    unsetenv("TG_SPEC_SECRET");
    tg_arena_free(&a);
}

static void refused(const char *text, const char *why)
{
    tg_arena a = {0};
    tg_value v;
    tg_error e = {0};
    if (read_config(text, &a, &v, &e) == 0)
        fail_msg("accepted: %s", text);
    if (strstr(e.message, why) == NULL)
        fail_msg("'%s' does not say '%s'", e.message, why);
    tg_arena_free(&a);
}

static void a_mistake_is_told_with_file_and_line(void **state)
{
    (void)state;
    refused("return {\n  a = \n}", "etc/x.lua:3:");
    refused("return 5", "etc/x.lua: the config must return a table, not a number");
    refused("", "must return a table");
    refused("return { a = tg.env 'TG_SPEC_MISSING' }",
            "etc/x.lua:1: environment variable 'TG_SPEC_MISSING' is not set");
    refused("return { a = { b = print } }", "a: b: a function is no plain value");
    refused("local t = {} t.t = t return t", "circle");
    refused("\nwhile true do end", "etc/x.lua:2: load ran over its budget of 500 ms");
    refused("while true do pcall(function() while true do end end) end", "budget");
    refused("return { a = io.open('x') }", "etc/x.lua:1:");
    refused("return { [{}] = 1 }", "neither a string nor an integer");
    refused("local t = {} for i = 1, 1e9 do t[i] = { i } end return t", "");
    tg_error e = {0};
    tg_arena a = {0};
    tg_value v;
    assert_int_equal(tg_lua_config_read("/nowhere/x.lua", &a, &v, &e), TG_E_NOTFOUND);
    assert_int_equal(live_states(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_know_their_lines),
        cmocka_unit_test(secrets_come_from_the_environment),
        cmocka_unit_test(a_mistake_is_told_with_file_and_line),
    };
    return cmocka_run_group_tests(tests, rig_group_open, rig_group_close);
}
