// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "../../support/check.h"
#include "base/options.h"

typedef struct fixture {
    tg_arena arena;
    tg_value_builder schema, config;
    tg_value out;
    tg_error e;
} fixture;

static int setup(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));
    f->schema.arena = f->config.arena = &f->arena;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    tg_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static tg_value words(fixture *f, const char *a, const char *b)
{
    tg_value_builder l = {.arena = &f->arena};
    tg_build(&l, NULL, tg_value_of_str(a));
    tg_build(&l, NULL, tg_value_of_str(b));
    return tg_build_list(&l);
}

// Declares option `name` with up to two more members.
static void declare(fixture *f, const char *name, const char *type, const char *k1,
                    tg_value v1, const char *k2, tg_value v2)
{
    tg_value_builder b = {.arena = &f->arena};
    tg_build(&b, "type", tg_value_of_str(type));
    if (k1 != NULL)
        tg_build(&b, k1, v1);
    if (k2 != NULL)
        tg_build(&b, k2, v2);
    tg_build(&f->schema, name, tg_build_map(&b));
}

#define NIL ((tg_value){0})
#define INT tg_value_of_int
#define STR tg_value_of_str

static int apply(fixture *f)
{
    tg_value schema = tg_build_map(&f->schema), config = tg_build_map(&f->config);
    for (size_t i = 0; i < f->config.count; i++)
        f->config.pairs[i].value.line = 4;
    config.line = 3;
    return tg_schema_apply(&schema, &config, &f->arena, "t.lua", "plugins.acme", &f->out,
                           &f->e);
}

static void declare_all(fixture *f)
{
    declare(f, "topic", "topic", "default", STR("acme/${device}"), NULL, NIL);
    declare(f, "limit", "integer", "min", INT(1), "max", INT(10));
    declare(f, "wait", "duration", "default", STR("5s"), "min", STR("100ms"));
    declare(f, "room", "size", "default", STR("64KiB"), NULL, NIL);
    declare(f, "mode", "enum", "choices", words(f, "fast", "safe"), "default", STR("safe"));
    declare(f, "key", "secret", NULL, NIL, NULL, NIL);
    declare(f, "ratio", "number", NULL, NIL, NULL, NIL);
    declare(f, "on", "boolean", "default", tg_value_of_bool(true), NULL, NIL);
    declare(f, "hosts", "list", NULL, NIL, NULL, NIL);
    declare(f, "labels", "map", NULL, NIL, NULL, NIL);
    declare(f, "name", "string", NULL, NIL, NULL, NIL);
}

static void defaults_fill_what_the_config_leaves_out(void **state)
{
    fixture *f = *state;
    declare_all(f);
    assert_int_equal(apply(f), 0);
    assert_int_equal(f->out.map.count, 5);
    assert_true(
        tg_slice_eq(tg_value_str(&f->out, "topic", NIL.string), TG_LIT("acme/${device}")));
    assert_int_equal(tg_value_int(&f->out, "wait", 0), 5000);
    assert_int_equal(tg_value_int(&f->out, "room", 0), 65536);
    assert_true(tg_slice_eq(tg_value_str(&f->out, "mode", NIL.string), TG_LIT("safe")));
    assert_true(tg_value_bool(&f->out, "on", false));
}

static void what_is_configured_is_checked_converted_and_kept(void **state)
{
    fixture *f = *state;
    declare_all(f);
    char name[] = "short-lived";
    tg_value_builder none = {.arena = &f->arena};
    tg_build(&f->config, "name", STR(name));
    tg_build(&f->config, "limit", tg_value_of_num(10));
    tg_build(&f->config, "wait", tg_value_of_num(0.5));
    tg_build(&f->config, "key", STR("hunter2"));
    tg_build(&f->config, "ratio", INT(2));
    tg_build(&f->config, "hosts", STR("one"));
    tg_build(&f->config, "labels", tg_build_list(&none)); // `{}` might be either
    tg_build(&f->config, "mode", STR("fast"));
    assert_int_equal(apply(f), 0);
    memset(name, '?', sizeof(name));
    assert_true(
        tg_slice_eq(tg_value_str(&f->out, "name", NIL.string), TG_LIT("short-lived")));
    assert_int_equal(tg_value_int(&f->out, "limit", 0), 10);
    assert_int_equal(tg_value_int(&f->out, "wait", 0), 500);
    assert_int_equal(tg_value_get(&f->out, "key")->secret, 1);
    assert_int_equal(tg_value_get(&f->out, "key")->line, 4);
    assert_int_equal(tg_value_get(&f->out, "ratio")->kind, TG_NUM);
    const tg_value *hosts = tg_value_get(&f->out, "hosts");
    assert_int_equal(hosts->kind, TG_LIST);
    assert_true(tg_slice_eq(hosts->list.items[0].string, TG_LIT("one")));
    assert_int_equal(tg_value_get(&f->out, "labels")->kind, TG_MAP);
    assert_true(tg_slice_eq(tg_value_str(&f->out, "mode", NIL.string), TG_LIT("fast")));
}

static const char *complaint(fixture *f, const char *key, tg_value v)
{
    f->config.count = 0;
    tg_build(&f->config, key, v);
    assert_int_equal(apply(f), TG_E_INVAL);
    return f->e.message;
}

static void a_choice_may_be_written_as_the_number_that_it_looks_like(void **state)
{
    fixture *f = *state;
    declare(f, "edition", "enum", "choices", words(f, "2016", "2025"), NULL, NIL);
    tg_build(&f->config, "edition", INT(2025));
    assert_int_equal(apply(f), 0);
    assert_true(tg_slice_eq(tg_value_str(&f->out, "edition", NIL.string), TG_LIT("2025")));
    assert_non_null(
        strstr(complaint(f, "edition", INT(2020)), "expected one of '2016', '2025'"));
}

static void what_a_map_or_a_list_holds_is_chosen(void **state)
{
    fixture *f = *state;
    declare(f, "editions", "map", "choices", words(f, "2016", "2025"), NULL, NIL);
    declare(f, "modes", "list", "choices", words(f, "fast", "safe"), NULL, NIL);
    tg_value_builder good = {.arena = &f->arena}, bad = good, list = good;
    tg_build(&good, "dev-1", INT(2025));
    tg_build(&good, "dev-2", STR("2016"));
    tg_build(&f->config, "editions", tg_build_map(&good));
    tg_build(&f->config, "modes", STR("safe"));
    assert_int_equal(apply(f), 0);
    const tg_value *map = tg_value_get(&f->out, "editions");
    assert_true(tg_slice_eq(tg_value_str(map, "dev-1", NIL.string), TG_LIT("2025")));
    assert_true(tg_slice_eq(tg_value_str(map, "dev-2", NIL.string), TG_LIT("2016")));
    tg_value wrong = STR("2026");
    wrong.line = 7;
    tg_build(&bad, "dev-1", wrong);
    assert_string_equal(complaint(f, "editions", tg_build_map(&bad)),
                        "t.lua:7: plugins.acme.editions.dev-1: expected one of '2016', "
                        "'2025', got '2026'; did you mean '2016'?");
    tg_build(&list, NULL, STR("fast"));
    tg_build(&list, NULL, STR("slow"));
    assert_string_equal(
        complaint(f, "modes", tg_build_list(&list)),
        "t.lua:4: plugins.acme.modes.2: expected one of 'fast', 'safe', got "
        "'slow'");
}

static void a_wrong_config_names_place_option_and_remedy(void **state)
{
    fixture *f = *state;
    declare_all(f);
    assert_string_equal(
        complaint(f, "limt", INT(1)),
        "t.lua:4: plugins.acme.limt: no such option; did you mean 'limit'?");
    assert_string_equal(
        complaint(f, "limit", INT(11)),
        "t.lua:4: plugins.acme.limit: expected an integer from 1 to 10, got 11");
    assert_string_equal(
        complaint(f, "wait", STR("10ms")),
        "t.lua:4: plugins.acme.wait: expected a duration (\"5s\", \"100ms\", "
        "\"10m\", \"2h\", \"1d\") of at least 100ms, got '10ms'");
    assert_string_equal(
        complaint(f, "mode", STR("fats")),
        "t.lua:4: plugins.acme.mode: expected one of 'fast', 'safe', got 'fats'; "
        "did you mean 'fast'?");
    assert_string_equal(
        complaint(f, "topic", STR("a/#")),
        "t.lua:4: plugins.acme.topic: expected a topic without '+' and '#', got "
        "'a/#'");
    assert_string_equal(complaint(f, "key", INT(7)),
                        "t.lua:4: plugins.acme.key: expected a string, got 7");
    tg_value schema = tg_build_map(&f->schema), number = INT(5);
    assert_int_equal(tg_schema_apply(&schema, &number, &f->arena, "t.lua", "plugins.acme",
                                     &f->out, &f->e),
                     TG_E_INVAL);
    assert_string_equal(f->e.message, "t.lua: plugins.acme: expected a map, got 5");
}

static void a_required_option_is_missed(void **state)
{
    fixture *f = *state;
    declare(f, "url", "string", "required", tg_value_of_bool(true), NULL, NIL);
    assert_int_equal(apply(f), TG_E_INVAL);
    assert_string_equal(f->e.message, "t.lua:3: plugins.acme.url: is required");
}

// One wrong declaration at a time.
static const char *blame(fixture *f, const char *type, const char *key, tg_value v)
{
    f->schema.count = 0;
    declare(f, "x", type, key, v, NULL, NIL);
    assert_int_equal(apply(f), TG_E_INVAL);
    return f->e.message;
}

static void a_wrong_schema_is_its_authors_error(void **state)
{
    fixture *f = *state;
#define SCHEMA "schema of plugins.acme.x"
    assert_string_equal(blame(f, "strnig", NULL, NIL), SCHEMA
                        ".type: expected one of 'string', 'integer', 'number', 'boolean', "
                        "'duration', 'size', 'topic', 'list', 'map', 'enum', 'secret', got "
                        "'strnig'; did you mean 'string'?");
    assert_string_equal(blame(f, "string", "defualt", INT(1)),
                        SCHEMA ".defualt: no such option; did you mean 'default'?");
    assert_string_equal(blame(f, "string", "min", INT(1)),
                        SCHEMA ": 'min' and 'max' do not fit this type");
    assert_string_equal(blame(f, "enum", NULL, NIL),
                        SCHEMA ": an enum needs 'choices', a list of strings");
    assert_string_equal(blame(f, "integer", "choices", words(f, "a", "b")),
                        SCHEMA ": 'choices' belongs to enums, lists and maps");
    assert_string_equal(blame(f, "integer", "default", STR("many")),
                        SCHEMA ".default: expected an integer, got 'many'");
#undef SCHEMA
}

static void nothing_declared_takes_nothing(void **state)
{
    fixture *f = *state;
    assert_int_equal(tg_schema_apply(NULL, NULL, &f->arena, NULL, NULL, &f->out, &f->e), 0);
    assert_int_equal(f->out.kind, TG_MAP);
    assert_int_equal(f->out.map.count, 0);
    tg_build(&f->config, "x", INT(1));
    assert_int_equal(apply(f), TG_E_INVAL);
}

static void before_a_config_nothing_is_required(void **state)
{
    fixture *f = *state;
    tg_value out, schema;
    tg_value_builder b = {.arena = &f->arena}, needed = b, usual = b;
    tg_build(&needed, "type", STR("integer"));
    tg_build(&needed, "required", tg_value_of_bool(true));
    tg_build(&usual, "type", STR("integer"));
    tg_build(&usual, "default", INT(7));
    tg_build(&b, "needed", tg_build_map(&needed));
    tg_build(&b, "usual", tg_build_map(&usual));
    schema = tg_build_map(&b);
    assert_int_equal(tg_schema_defaults(&schema, &f->arena, &out), 0);
    assert_int_equal(tg_value_get(&out, "usual")->integer, 7);
    assert_null(tg_value_get(&out, "needed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(defaults_fill_what_the_config_leaves_out),
        T(what_is_configured_is_checked_converted_and_kept),
        T(a_choice_may_be_written_as_the_number_that_it_looks_like),
        T(what_a_map_or_a_list_holds_is_chosen),
        T(a_wrong_config_names_place_option_and_remedy),
        T(a_required_option_is_missed),
        T(a_wrong_schema_is_its_authors_error),
        T(nothing_declared_takes_nothing),
        T(before_a_config_nothing_is_required),
    };
    return RUN(tests);
}
