// SPDX-License-Identifier: Apache-2.0
#include "base/options.h"

#include <stdio.h>

#include "../../support/check.h"
#include "base/buf.h"
#include "base/near.h"
#include "base/quantity.h"

typedef struct tls {
    tg_slice cert;
    int64_t min_version;
} tls;

typedef struct options {
    bool anonymous;
    int64_t port;
    double ratio;
    tg_slice bind;
    int64_t idle, mailbox, share;
    const tg_value *extra, *map, *list;
    tls tls;
} options;

static const char *const shares[] = {"round_robin", "random", "sticky", NULL};

static const tg_option tls_table[] = {
    {.name = "cert", .type = TG_OPT_STR, .required = true, .offset = offsetof(tls, cert)},
    {.name = "min_version",
     .type = TG_OPT_INT,
     .offset = offsetof(tls, min_version),
     .fallback = "12",
     .min = 12,
     .max = 13},
    {0},
};

#define AT(member) .offset = offsetof(options, member)

static const tg_option table[] = {
    {.name = "anonymous", .type = TG_OPT_BOOL, AT(anonymous), .fallback = "true"},
    {.name = "port",
     .type = TG_OPT_INT,
     AT(port),
     .fallback = "1883",
     .min = 1,
     .max = 65535},
    {.name = "ratio", .type = TG_OPT_NUM, AT(ratio), .fallback = "0.5", .min = 0, .max = 1},
    {.name = "bind", .type = TG_OPT_STR, .required = true, AT(bind)},
    {.name = "idle",
     .type = TG_OPT_DURATION,
     AT(idle),
     .fallback = "10m",
     .min = 100,
     .max = 3600000},
    {.name = "mailbox", .type = TG_OPT_SIZE, AT(mailbox), .fallback = "16MiB"},
    {.name = "share",
     .type = TG_OPT_ENUM,
     AT(share),
     .fallback = "random",
     .choices = shares},
    {.name = "extra", .type = TG_OPT_ANY, AT(extra)},
    {.name = "map", .type = TG_OPT_MAP, AT(map)},
    {.name = "max_connections", .type = TG_OPT_LIST, AT(list)},
    {.name = "tls", .type = TG_OPT_GROUP, AT(tls), .group = tls_table},
    {0},
};

typedef struct fixture {
    tg_arena arena;
    tg_value_builder map;
    options out;
    tg_error e;
} fixture;

static int setup(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));
    f->map.arena = &f->arena;
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

static void set(fixture *f, const char *key, tg_value v)
{
    v.line = 12;
    tg_build(&f->map, key, v);
}

static int read_options(fixture *f)
{
    tg_value v = tg_build_map(&f->map);
    v.line = 10;
    return tg_options_read(table, &v, &f->out, "etc/x.lua", "listeners[2]", &f->e);
}

// What reading says when `key` is `v` and all else is right.
static const char *complaint(fixture *f, const char *key, tg_value v)
{
    f->map.count = 0;
    set(f, "bind", tg_value_of_str("127.0.0.1:1883"));
    set(f, key, v);
    assert_int_equal(read_options(f), TG_E_INVAL);
    return f->e.message;
}

static void what_is_missing_gets_its_default(void **state)
{
    fixture *f = *state;
    memset(&f->out, 0xff, sizeof(f->out));
    set(f, "bind", tg_value_of_str("[::]:5023"));
    assert_int_equal(read_options(f), 0);
    assert_true(f->out.anonymous);
    assert_int_equal(f->out.port, 1883);
    assert_true(f->out.ratio == 0.5);
    assert_true(tg_slice_eq(f->out.bind, TG_LIT("[::]:5023")));
    assert_int_equal(f->out.idle, 600000);
    assert_int_equal(f->out.mailbox, 16 << 20);
    assert_int_equal(f->out.share, 1);
    assert_null(f->out.extra);
    assert_null(f->out.map);
    assert_null(f->out.list);
    assert_int_equal(f->out.tls.cert.len, 0); // no group: its required member is not missed
    assert_int_equal(f->out.tls.min_version, 12);
}

static void what_is_there_is_converted(void **state)
{
    fixture *f = *state;
    tg_value_builder inner = {.arena = &f->arena};
    tg_build(&inner, "cert", tg_value_of_str("x.pem"));
    set(f, "bind", tg_value_of_str("b"));
    set(f, "anonymous", tg_value_of_bool(false));
    set(f, "port", tg_value_of_num(7));
    set(f, "ratio", tg_value_of_int(1));
    set(f, "idle", tg_value_of_num(0.25));
    set(f, "mailbox", tg_value_of_int(4096));
    set(f, "share", tg_value_of_str("sticky"));
    set(f, "extra", tg_value_of_int(1));
    set(f, "map", tg_build_map(&inner));
    set(f, "max_connections", tg_value_of_int(5));
    set(f, "tls", tg_build_map(&inner));
    assert_int_equal(read_options(f), 0);
    assert_false(f->out.anonymous);
    assert_int_equal(f->out.port, 7);
    assert_true(f->out.ratio == 1);
    assert_int_equal(f->out.idle, 250);
    assert_int_equal(f->out.mailbox, 4096);
    assert_int_equal(f->out.share, 2);
    assert_int_equal(f->out.extra->integer, 1);
    assert_int_equal(f->out.map->map.count, 1);
    assert_int_equal(f->out.list->integer, 5); // one value stands for a list of one
    assert_true(tg_slice_eq(f->out.tls.cert, TG_LIT("x.pem")));
}

static void a_wrong_name_is_told_the_nearest_right_one(void **state)
{
    fixture *f = *state;
    assert_string_equal(
        complaint(f, "max_conections", tg_value_of_int(1)),
        "etc/x.lua:12: listeners[2].max_conections: no such option; did you mean "
        "'max_connections'?");
    assert_string_equal(complaint(f, "colour", tg_value_of_int(1)),
                        "etc/x.lua:12: listeners[2].colour: no such option");
    tg_value_builder inner = {.arena = &f->arena};
    tg_build(&inner, "cret", tg_value_of_str("x.pem"));
    assert_string_equal(
        complaint(f, "tls", tg_build_map(&inner)),
        "etc/x.lua: listeners[2].tls.cret: no such option; did you mean 'cert'?");
}

static void a_wrong_value_is_told_what_is_expected(void **state)
{
    fixture *f = *state;
#define WRONG(key, v, text)                                                                \
    assert_string_equal(complaint(f, key, v), "etc/x.lua:12: listeners[2]." key ": " text)
    WRONG("anonymous", tg_value_of_int(1), "expected true or false, got 1");
    WRONG("port", tg_value_of_int(70000), "expected an integer from 1 to 65535, got 70000");
    WRONG("port", tg_value_of_num(1.5), "expected an integer from 1 to 65535, got 1.5");
    WRONG("port", tg_value_of_str("80"), "expected an integer from 1 to 65535, got '80'");
    WRONG("ratio", tg_value_of_num(1.5), "expected a number from 0 to 1, got 1.5");
    WRONG("ratio", tg_value_of_bool(true), "expected a number from 0 to 1, got true");
    WRONG("idle", tg_value_of_str("5 s"),
          "expected a duration (\"5s\", \"100ms\", \"10m\", \"2h\", \"1d\") from 100ms to "
          "1h, got '5 s'");
    WRONG("idle", tg_value_of_str("2h"),
          "expected a duration (\"5s\", \"100ms\", \"10m\", \"2h\", \"1d\") from 100ms to "
          "1h, got '2h'");
    WRONG("mailbox", tg_value_of_str("5MB"),
          "expected a size (\"64KiB\", \"2MiB\", \"1GiB\"), got '5MB'");
    WRONG("share", tg_value_of_str("radnom"),
          "expected one of 'round_robin', 'random', 'sticky', got 'radnom'; did you mean "
          "'random'?");
    WRONG("map", tg_value_of_int(3), "expected a map, got 3");
    WRONG("tls", tg_value_of_bool(true), "expected a map, got true");
    tg_value secret = tg_value_of_str("hunter2");
    secret.secret = 1;
    WRONG("port", secret, "expected an integer from 1 to 65535, got a secret");
    WRONG("port", tg_value_of_str("\x1b[2J 0123456789 0123456789 0123456789 0123456789"),
          "expected an integer from 1 to 65535, got '?[2J 0123456789 0123456789 0123456789 "
          "01…'");
#undef WRONG
}

static void what_must_be_there_is_missed_by_name(void **state)
{
    fixture *f = *state;
    assert_int_equal(read_options(f), TG_E_INVAL);
    assert_string_equal(f->e.message, "etc/x.lua:10: listeners[2].bind: is required");
    assert_int_equal(tg_options_read(table, NULL, &f->out, NULL, NULL, &f->e), TG_E_INVAL);
    assert_string_equal(f->e.message, "bind: is required");
    set(f, "bind", (tg_value){0}); // nil is nothing
    assert_int_equal(read_options(f), TG_E_INVAL);
    tg_value v = tg_value_of_int(3);
    assert_int_equal(tg_options_read(table, &v, &f->out, "a.lua", "", &f->e), TG_E_INVAL);
    assert_string_equal(f->e.message, "a.lua: expected a map, got 3");
    assert_int_equal(tg_options_read(table, &v, &f->out, "a.lua", "x", NULL), TG_E_INVAL);
}

static void durations_and_sizes_have_their_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms, bytes;
    } cases[] = {
        {"5", 5000, 5},
        {"0", 0, 0},
        {"5s", 5000, TG_E_INVAL},
        {"100ms", 100, TG_E_INVAL},
        {"1.5h", 5400000, TG_E_INVAL},
        {"10m", 600000, TG_E_INVAL},
        {"1d", 86400000, TG_E_INVAL},
        {"64KiB", TG_E_INVAL, 65536},
        {"1.5MiB", TG_E_INVAL, 1572864},
        {"1GiB", TG_E_INVAL, 1073741824},
        {"2TiB", TG_E_INVAL, INT64_C(2199023255552)},
        {"12B", TG_E_INVAL, 12},
        {"", TG_E_INVAL, TG_E_INVAL},
        {"-5", TG_E_INVAL, TG_E_INVAL},
        {"5 ", TG_E_INVAL, TG_E_INVAL},
        {".5", TG_E_INVAL, TG_E_INVAL},
        {"5.", TG_E_INVAL, TG_E_INVAL},
        {"1e3", TG_E_INVAL, TG_E_INVAL},
        {"inf", TG_E_INVAL, TG_E_INVAL},
        {"99999999999999999999", TG_E_INVAL, TG_E_INVAL},
        {"99999999999999999d", TG_E_INVAL, TG_E_INVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(tg_parse_duration(tg_str(cases[i].text)), cases[i].ms);
        assert_int_equal(tg_parse_size(tg_str(cases[i].text)), cases[i].bytes);
    }
    tg_buf b = {0};
    tg_put_duration(&b, 90000);
    tg_buf_putc(&b, ' ');
    tg_put_duration(&b, 7200000);
    tg_buf_putc(&b, ' ');
    tg_put_duration(&b, 1);
    tg_buf_putc(&b, ' ');
    tg_put_size(&b, 3 << 20);
    assert_true(tg_slice_eq(tg_buf_slice(&b), TG_LIT("90s 2h 1ms 3MiB")));
    tg_buf_free(&b);
}

static void the_nearest_name_is_a_slip_away(void **state)
{
    (void)state;
    const char *names[] = {"timeout", "retry", "bind", "max_connections", "qos"};
#define NEAREST(word) tg_nearest(TG_LIT(word), names, 5)
    assert_string_equal(NEAREST("timeuot"), "timeout");
    assert_string_equal(NEAREST("time_out"), "timeout");
    assert_string_equal(NEAREST("Retry"), "retry");
    assert_string_equal(NEAREST("bnid"), "bind");
    assert_string_equal(NEAREST("maxConnections"), "max_connections");
    assert_string_equal(NEAREST("qso"), "qos");
    assert_null(NEAREST("zzz"));
    assert_null(NEAREST("find_me"));
    assert_null(NEAREST(""));
    assert_null(tg_nearest((tg_slice){"x", 100000}, names, 5));
#undef NEAREST
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(what_is_missing_gets_its_default),
        T(what_is_there_is_converted),
        T(a_wrong_name_is_told_the_nearest_right_one),
        T(a_wrong_value_is_told_what_is_expected),
        T(what_must_be_there_is_missed_by_name),
        cmocka_unit_test(durations_and_sizes_have_their_units),
        cmocka_unit_test(the_nearest_name_is_a_slip_away),
    };
    return RUN(tests);
}
