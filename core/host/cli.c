// SPDX-License-Identifier: Apache-2.0
// Options may stand anywhere behind the command; "--" ends them. A word that is none gets the
// nearest one that is.
#include "host/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/quantity.h"

#define NAMES 64

int tg_cli_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("tidegate: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return TG_EXIT_FAILED;
}

static void suggest(const char *word, const char *const *names, size_t n)
{
    const char *near = tg_nearest(tg_str(word), names, n);
    if (near != NULL)
        fprintf(stderr, "Did you mean '%s'?\n", near);
}

static int unknown_command(int argc, char **argv)
{
    const char *names[NAMES], *longer = NULL; // of two words, the first of which is there
    char word[128];
    size_t n = 0;
    for (const tg_cli_command *c = tg_commands; c->name != NULL && n < NAMES; c++) {
        names[n++] = c->name;
        size_t len = strlen(argv[1]);
        if (strncmp(c->name, argv[1], len) == 0 && c->name[len] == ' ')
            longer = c->name;
    }
    snprintf(word, sizeof(word), longer != NULL && argc > 2 ? "%s %s" : "%s", argv[1],
             argc > 2 ? argv[2] : "");
    tg_cli_fail("no command '%s'", word);
    suggest(longer != NULL && argc == 2 ? longer : word, names, n);
    fputs("`tidegate help` lists the commands.\n", stderr);
    return TG_EXIT_USAGE;
}

/// @return how many words of the line name `c`; 0: they do not.
static int named_by(const tg_cli_command *c, int argc, char **argv)
{
    const char *space = strchr(c->name, ' ');
    if (space == NULL)
        return strcmp(c->name, argv[1]) == 0 ? 1 : 0;
    size_t first = (size_t)(space - c->name);
    bool fits = argc > 2 && strlen(argv[1]) == first &&
                strncmp(c->name, argv[1], first) == 0 && strcmp(space + 1, argv[2]) == 0;
    return fits ? 2 : 0;
}

static const tg_flag *find_long(const tg_flag *flags, const char *name, size_t len)
{
    for (; flags->name != NULL; flags++)
        if (strlen(flags->name) == len && strncmp(flags->name, name, len) == 0)
            return flags;
    return NULL;
}

static const tg_flag *find_short(const tg_flag *flags, char letter)
{
    for (; flags->name != NULL; flags++)
        if (flags->letter == letter)
            return flags;
    return NULL;
}

static int bad_usage(const tg_cli *cli)
{
    fprintf(stderr, "Usage: tidegate %s %s\n", cli->command->name, cli->command->args);
    return TG_EXIT_USAGE;
}

/// The usage's word that the line does not have.
static int missing_word(const tg_cli *cli)
{
    const char *at = cli->command->args;
    for (int i = 0; i < cli->nargs && at[strcspn(at, " ")] != '\0'; i++)
        at += strcspn(at, " ") + 1;
    tg_cli_fail("%s: %.*s is missing", cli->command->name, (int)strcspn(at, " "), at);
    return bad_usage(cli);
}

static int unknown_flag(const tg_cli *cli, const char *word)
{
    const char *names[NAMES];
    char dashed[NAMES][32];
    size_t n = 0;
    for (const tg_flag *f = cli->command->flags; f->name != NULL && n < NAMES; f++) {
        snprintf(dashed[n], sizeof(dashed[n]), "--%s", f->name);
        names[n] = dashed[n];
        n++;
    }
    tg_cli_fail("no option '%s'", word);
    suggest(word, names, n);
    return bad_usage(cli);
}

static bool within(const tg_flag *f, double n)
{
    return (f->min == 0 && f->max == 0) || (n >= f->min && n <= f->max);
}

static bool set_number(const tg_flag *f, const char *value, char *to)
{
    char *end;
    if (f->kind == TG_FLAG_NUM) {
        double n = strtod(value, &end);
        memcpy(to, &n, sizeof(n));
        return end != value && *end == '\0' && within(f, n);
    }
    int64_t n = f->kind == TG_FLAG_DURATION ? tg_parse_duration(tg_str(value))
                                            : strtoll(value, &end, 10);
    memcpy(to, &n, sizeof(n));
    bool good = f->kind == TG_FLAG_DURATION ? n >= 0 : end != value && *end == '\0';
    return good && within(f, (double)n);
}

static bool set_flag(const tg_flag *f, const char *value, tg_cli *out)
{
    char *to = (char *)out + f->offset;
    switch ((tg_flag_kind)f->kind) {
    case TG_FLAG_BOOL:
        *(bool *)to = true;
        return value == NULL;
    case TG_FLAG_STR:
        memcpy(to, &value, sizeof(value));
        return true;
    case TG_FLAG_INT:
    case TG_FLAG_NUM:
    case TG_FLAG_DURATION:
        return set_number(f, value, to);
    case TG_FLAG_REST:
        break;
    }
    return false;
}

static int bad_value(const tg_cli *cli, const tg_flag *f, const char *value)
{
    static const char *const kinds[] = {
        [TG_FLAG_STR] = "a word",     [TG_FLAG_INT] = "a whole number",
        [TG_FLAG_NUM] = "a number",   [TG_FLAG_DURATION] = "a duration",
        [TG_FLAG_REST] = "an option",
    };
    tg_buf range = {0};
    if (f->kind == TG_FLAG_BOOL) {
        tg_cli_fail("--%s takes no value, not '%s'", f->name, value);
        return bad_usage(cli);
    }
    if (f->kind == TG_FLAG_DURATION) {
        tg_buf_puts(&range, " such as 10s, 500ms or 2m, from ");
        tg_put_duration(&range, (int64_t)f->min);
        tg_buf_puts(&range, " to ");
        tg_put_duration(&range, (int64_t)f->max);
    } else if (f->min != 0 || f->max != 0) {
        tg_buf_printf(&range, " from %.10g to %.10g", f->min, f->max);
    }
    tg_cli_fail("--%s: '%s': expected %s%.*s", f->name, value, kinds[f->kind],
                (int)range.len, range.at != NULL ? range.at : "");
    tg_buf_free(&range);
    return bad_usage(cli);
}

typedef struct words {
    int argc, at;
    char **argv;
} words;

/// `inside`: the value that stands in the same word; NULL: none does.
static int take_flag(const tg_flag *f, const char *inside, words *w, tg_cli *out)
{
    const char *word = w->argv[w->at];
    if (f == NULL)
        return unknown_flag(out, word);
    if (f->kind != TG_FLAG_BOOL && inside == NULL) {
        if (w->at + 1 >= w->argc) {
            tg_cli_fail("%s needs a value: %s", word, f->value);
            return bad_usage(out);
        }
        inside = w->argv[++w->at];
    }
    return set_flag(f, inside, out) ? 0 : bad_value(out, f, inside);
}

static const tg_flag *find_rest(const tg_flag *flags)
{
    while (flags->name != NULL && flags->kind != TG_FLAG_REST)
        flags++;
    return flags->name != NULL ? flags : NULL;
}

/// `--name VALUE` or `--name=VALUE` that the command hands on.
static int take_rest(const char *name, size_t len, words *w, tg_cli *out)
{
    bool inside = name[len] == '=';
    if (!inside && w->at + 1 >= w->argc) {
        tg_cli_fail("--%s needs a value", name);
        return bad_usage(out);
    }
    if (out->nrest == TG_CLI_ARGS) {
        tg_cli_fail("more than %d options", TG_CLI_ARGS);
        return bad_usage(out);
    }
    out->rest[out->nrest].name = (tg_slice){name, len};
    out->rest[out->nrest++].value = inside ? name + len + 1 : w->argv[++w->at];
    return 0;
}

static int take_long(words *w, tg_cli *out)
{
    const char *name = w->argv[w->at] + 2;
    size_t len = strcspn(name, "=");
    const tg_flag *f = find_long(out->command->flags, name, len);
    if (f == NULL && find_rest(out->command->flags) != NULL)
        return take_rest(name, len, w, out);
    return take_flag(f, name[len] == '=' ? name + len + 1 : NULL, w, out);
}

static int take_short(words *w, tg_cli *out)
{
    const char *word = w->argv[w->at];
    const tg_flag *f = find_short(out->command->flags, word[1]);
    bool whole = word[2] == '\0' || f == NULL;
    if (!whole && f->kind == TG_FLAG_BOOL)
        return unknown_flag(out, word);
    return take_flag(f, whole ? NULL : word + 2, w, out);
}

static int take_words(words *w, tg_cli *out)
{
    bool options = true;
    for (int rc = 0; w->at < w->argc; w->at++) {
        const char *word = w->argv[w->at];
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && strncmp(word, "--", 2) == 0)
            rc = take_long(w, out);
        else if (options && word[0] == '-' && word[1] != '\0')
            rc = take_short(w, out);
        else if (out->nargs < TG_CLI_ARGS)
            out->args[out->nargs++] = word;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/// -h is help unless the command has another use for it.
static bool is_help(const tg_cli_command *c, const char *word)
{
    return strcmp(word, "--help") == 0 ||
           (strcmp(word, "-h") == 0 && (c == NULL || find_short(c->flags, 'h') == NULL));
}

static void set_defaults(tg_cli *out)
{
    for (const tg_flag *f = out->command->flags; f->name != NULL; f++)
        if (f->fallback != NULL)
            set_flag(f, f->fallback, out);
}

/// The command, and how many words name it.
static const tg_cli_command *find_command(int argc, char **argv, int *taken)
{
    for (const tg_cli_command *c = tg_commands; c->name != NULL; c++) {
        *taken = named_by(c, argc, argv);
        if (*taken > 0)
            return c;
    }
    return NULL;
}

int tg_cli_parse(int argc, char **argv, tg_cli *out)
{
    int taken = 0;
    *out = (tg_cli){0};
    if (argc < 2 || is_help(NULL, argv[1])) {
        tg_cli_help(NULL);
        out->help = true;
        return argc < 2 ? TG_EXIT_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] += 2;
    out->command = find_command(argc, argv, &taken);
    if (out->command == NULL)
        return unknown_command(argc, argv);
    words w = {argc, taken + 1, argv};
    for (int i = w.at; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(out->command, argv[i])) {
            tg_cli_help(out->command);
            out->help = true;
            return 0;
        }
    set_defaults(out);
    int rc = take_words(&w, out);
    if (rc != 0)
        return rc;
    if (out->nargs >= out->command->min_args && out->nargs <= out->command->max_args)
        return 0;
    if (out->nargs < out->command->min_args)
        return missing_word(out);
    tg_cli_fail("%s: too many words, from '%s' on", out->command->name,
                out->args[out->command->max_args]);
    return bad_usage(out);
}

static void help_flag(const tg_flag *f)
{
    char left[64];
    snprintf(left, sizeof(left), "%c%c%c --%s %s", f->letter != 0 ? '-' : ' ',
             f->letter != 0 ? f->letter : ' ', f->letter != 0 ? ',' : ' ', f->name,
             f->value != NULL ? f->value : "");
    printf("  %-26s %s", left, f->help);
    printf(f->fallback != NULL ? " (%s)\n" : "\n", f->fallback);
}

void tg_cli_help(const tg_cli_command *command)
{
    if (command != NULL) {
        printf("Usage: tidegate %s %s\n\n%s\n\n", command->name, command->args,
               command->help);
        if (command->run == tg_cmd_bench)
            tg_help_bench();
        for (const tg_flag *f = command->flags; f->name != NULL; f++)
            help_flag(f);
        return;
    }
    puts("Usage: tidegate COMMAND …\n");
    for (const tg_cli_command *c = tg_commands; c->name != NULL; c++)
        printf("  %-12s %-24s %s\n", c->name, c->args, c->help);
    puts("\n`tidegate COMMAND --help` shows a command's options. Exit codes: 0 done, 1 "
         "failed, "
         "2 wrong\nusage, 3 the host cannot be reached.");
}
