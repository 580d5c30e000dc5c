// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#include "../../support/check.h"

static int ends[2];
static char line[8192];

static int setup(void **state)
{
    (void)state;
    tg_log_set_level(NULL, TG_LOG_INFO);
    return pipe(ends);
}

static int teardown(void **state)
{
    (void)state;
    tg_log_open(STDERR_FILENO, TG_LOG_TEXT);
    close(ends[0]);
    return close(ends[1]);
}

static const char *read_line(void)
{
    ssize_t n = read(ends[0], line, sizeof(line) - 1); // one write: one read has all of it
    assert_true(n > 0);
    line[n] = '\0';
    return line;
}

// Everything behind the time stamp, whose form is checked.
static const char *text_line(void)
{
    const char *at = read_line();
    assert_true(strlen(at) > 25 && at[4] == '-' && at[10] == 'T' && at[19] == '.');
    assert_memory_equal(at + 23, "Z ", 2);
    return at + 25;
}

static void text_has_level_module_message_and_fields(void **state)
{
    (void)state;
    tg_log_open(ends[1], TG_LOG_TEXT);
    tg_field f[] = {TG_F("peer", "192.0.2.1:5000"), TG_FN("bytes", -3),
                    TG_F("why", "two words"), TG_F("empty", "")};
    tg_log_write(TG_MOD_NET, TG_LOG_WARN, f, 4, "closed after %d s", 5);
    assert_string_equal(text_line(),
                        "warn  net: closed after 5 s peer=192.0.2.1:5000 bytes=-3 "
                        "why=\"two words\" empty=\"\"\n");
}

static void json_has_the_same_as_members(void **state)
{
    (void)state;
    tg_log_open(ends[1], TG_LOG_AUTO); // no terminal
    tg_field f[] = {TG_F("peer", "a\"b"), TG_FN("n", 7)};
    tg_log_write(TG_MOD_HOST, TG_LOG_ERROR, f, 2, "it's %s", "broken");
    const char *at = read_line();
    assert_memory_equal(at, "{\"ts\":\"20", 9);
    assert_string_equal(
        at + 31, "\",\"level\":\"error\",\"module\":\"host\",\"msg\":\"it's broken\","
                 "\"peer\":\"a\\\"b\",\"n\":7}\n");
}

static void nobody_forges_a_line_or_talks_to_the_terminal(void **state)
{
    (void)state;
    tg_field f[] = {TG_F("id", "x\" level=error\r\n\x1b[2J\xc2\x9b")};
    tg_log_open(ends[1], TG_LOG_TEXT);
    tg_log_write(TG_MOD_ADAPTER, TG_LOG_INFO, f, 1, "%s", "a\nb\x1b[31m\x7f\xff \xc3\xbc");
    assert_string_equal(text_line(),
                        "info  adapter: a\\nb\\x1b[31m\\x7f\\xff \xc3\xbc "
                        "id=\"x\\\" level=error\\x0d\\n\\x1b[2J\\xc2\\x9b\"\n");
    tg_log_open(ends[1], TG_LOG_JSON);
    tg_log_write(TG_MOD_ADAPTER, TG_LOG_INFO, f, 1, "%s", "a\nb\xff");
    assert_non_null(strstr(read_line(), "\"msg\":\"a\\nb\xef\xbf\xbd\",\"id\":\"x\\\" "
                                        "level=error\\r\\n\\u001b[2J\\u009b\"}\n"));
}

static void an_endless_message_is_cut(void **state)
{
    (void)state;
    tg_log_open(ends[1], TG_LOG_TEXT);
    tg_log_write(TG_MOD_LUA, TG_LOG_INFO, NULL, 0, "%05000d", 1);
    const char *at = text_line();
    assert_true(strlen(at) > 2000 && strlen(at) < 3000);
    assert_int_equal(at[strlen(at) - 1], '\n');
}

static void a_reader_that_stands_still_loses_lines_and_stops_nobody(void **state)
{
    (void)state;
    tg_log_open(ends[1], TG_LOG_TEXT);
    for (int i = 0; i < 2000; i++) // some 200 KB into a pipe of 64 KiB
        tg_log_write(TG_MOD_NET, TG_LOG_INFO, NULL, 0, "%0100d", i);
    long lost = 2000;
    static char all[1 << 20];
    ssize_t n = read(ends[0], all, sizeof(all));
    for (ssize_t i = 0; i < n; i++)
        lost -= all[i] == '\n';
    assert_true(lost > 0 && lost < 2000);
    tg_log_write(TG_MOD_NET, TG_LOG_INFO, NULL, 0, "again");
    char *end, *said = strstr(text_line(), "again lost_lines=");
    assert_non_null(said);
    assert_int_equal(strtol(said + strlen("again lost_lines="), &end, 10), lost);
    tg_log_write(TG_MOD_NET, TG_LOG_INFO, NULL, 0, "all told");
    assert_string_equal(text_line(), "info  net: all told\n");
}

static void each_module_has_its_level(void **state)
{
    (void)state;
    assert_true(tg_log_on(TG_MOD_HUB, TG_LOG_INFO));
    assert_false(tg_log_on(TG_MOD_HUB, TG_LOG_DEBUG));
    assert_int_equal(tg_log_set_level("hub", TG_LOG_DEBUG), 0);
    assert_int_equal(tg_log_set_level("net", TG_LOG_ERROR), 0);
    assert_true(tg_log_on(TG_MOD_HUB, TG_LOG_DEBUG));
    assert_false(tg_log_on(TG_MOD_NET, TG_LOG_WARN));
    assert_int_equal(tg_log_set_level("hubs", TG_LOG_DEBUG), TG_E_NOTFOUND);
    assert_int_equal(tg_log_level_from(TG_LIT("warn")), TG_LOG_WARN);
    assert_int_equal(tg_log_level_from(TG_LIT("warning")), -1);
    tg_log_open(ends[1], TG_LOG_TEXT);
    tg_log(NET, WARN, "not written");
    tg_log(HUB, DEBUG, "written %d", 1);
    assert_string_equal(text_line(), "debug hub: written 1\n");
}

static void a_gate_lets_a_burst_through_and_counts_the_rest(void **state)
{
    (void)state;
    tg_log_gate g = {0};
    uint32_t held = 99, passed = 0;
    uint64_t now = 1000000;
    for (int i = 0; i < 50; i++)
        passed += tg_log_gate_pass(&g, now + (uint64_t)i, 3, &held);
    assert_int_equal(passed, 3);
    assert_int_equal(held, 0);
    assert_false(tg_log_gate_pass(&g, now + 59999, 3, &held));
    assert_true(tg_log_gate_pass(&g, now + 60000, 3, &held));
    assert_int_equal(held, 48);
    assert_true(tg_log_gate_pass(&g, now + 60001, 3, &held));
    assert_int_equal(held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_has_level_module_message_and_fields, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(json_has_the_same_as_members, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_forges_a_line_or_talks_to_the_terminal,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_endless_message_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_reader_that_stands_still_loses_lines_and_stops_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(each_module_has_its_level, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gate_lets_a_burst_through_and_counts_the_rest,
                                        setup, teardown),
    };
    return RUN(tests);
}
