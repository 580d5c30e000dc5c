// SPDX-License-Identifier: Apache-2.0
#include "host/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../support/check.h"

#define FLAG(long_name, short_name, type, member)                                          \
    {                                                                                      \
        .name = (long_name), .letter = (short_name), .kind = TG_FLAG_##type,               \
        .offset = offsetof(tg_cli, member), .value = "VALUE", .help = "help",              \
    }

static const tg_flag FLAGS[] = {
    FLAG("json", 'j', BOOL, json),
    FLAG("qos", 'q', INT, qos),
    FLAG("config", 'c', STR, config),
    {0},
};

static int nothing(const tg_cli *cli)
{
    (void)cli;
    return 0;
}

const tg_cli_command tg_commands[] = {
    {"publish", "TOPIC [MESSAGE]", "", FLAGS, 1, 2, nothing},
    {"config check", "[FILE]", "", FLAGS, 0, 1, nothing},
    {"new adapter", "NAME", "", FLAGS, 1, 1, nothing},
    {0},
};

/// Parses with stderr in a file. @return what was written there.
static const char *parse(const char *line, tg_cli *out, int *code)
{
    static char text[512], said[2048];
    static char *argv[16];
    int argc = 0;
    snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    FILE *f = tmpfile();
    fflush(stderr);
    int old = dup(STDERR_FILENO);
    dup2(fileno(f), STDERR_FILENO);
    *code = tg_cli_parse(argc, argv, out);
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    close(old);
    rewind(f);
    said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
    fclose(f);
    return said;
}

static void options_may_stand_anywhere_behind_the_command(void **state)
{
    (void)state;
    tg_cli cli;
    int code;
    parse("tidegate publish -j a/b --qos 2 hello -c=x", &cli, &code);
    assert_int_equal(code, 0);
    assert_true(cli.json);
    assert_int_equal(cli.qos, 2);
    assert_string_equal(cli.config, "=x");
    assert_int_equal(cli.nargs, 2);
    assert_string_equal(cli.args[1], "hello");
    parse("tidegate publish --config=f.lua -q1 t", &cli, &code);
    assert_int_equal(code, 0);
    assert_string_equal(cli.config, "f.lua");
    assert_int_equal(cli.qos, 1);
}

static void behind_two_dashes_everything_is_a_word(void **state)
{
    (void)state;
    tg_cli cli;
    int code;
    parse("tidegate publish -- --json -", &cli, &code);
    assert_int_equal(code, 0);
    assert_false(cli.json);
    assert_string_equal(cli.args[0], "--json");
    assert_string_equal(cli.args[1], "-");
}

static void a_command_may_have_two_words(void **state)
{
    (void)state;
    tg_cli cli;
    int code;
    parse("tidegate config check f.lua", &cli, &code);
    assert_int_equal(code, 0);
    assert_string_equal(cli.command->name, "config check");
    assert_string_equal(cli.args[0], "f.lua");
}

static void a_wrong_word_gets_the_nearest_right_one(void **state)
{
    (void)state;
    tg_cli cli;
    int code;
    assert_non_null(strstr(parse("tidegate publsih a", &cli, &code), "'publish'"));
    assert_int_equal(code, TG_EXIT_USAGE);
    assert_non_null(strstr(parse("tidegate config chekc", &cli, &code), "'config check'"));
    assert_int_equal(code, TG_EXIT_USAGE);
    assert_non_null(strstr(parse("tidegate publish --jsno a", &cli, &code), "'--json'"));
    assert_int_equal(code, TG_EXIT_USAGE);
}

static void wrong_usage_is_said_and_has_its_own_code(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "tidegate publish",
        "tidegate publish a b c",
        "tidegate publish a --qos",
        "tidegate publish a --qos many",
        "tidegate publish a -z",
        "tidegate publish a -jq1",
        "tidegate publish a --json=yes",
        "tidegate new",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        tg_cli cli;
        int code;
        const char *said = parse(lines[i], &cli, &code);
        assert_int_equal(code, TG_EXIT_USAGE);
        assert_true(strncmp(said, "tidegate: ", 10) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere_behind_the_command),
        cmocka_unit_test(behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(a_command_may_have_two_words),
        cmocka_unit_test(a_wrong_word_gets_the_nearest_right_one),
        cmocka_unit_test(wrong_usage_is_said_and_has_its_own_code),
    };
    return RUN(tests);
}
