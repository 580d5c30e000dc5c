// SPDX-License-Identifier: Apache-2.0
// A frame explained field by field: by the running host, whose plugins are the ones in use,
// or, when none runs, by the plugin loaded here.
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "host/client.h"
#include "host/solo.h"
#include "host/table.h"

#define RAW_SHOWN 24 ///< hex digits; a longer field is cut

static bool take_word(tg_buf *hex, const char *word)
{
    if (strcmp(word, "-") != 0) {
        tg_buf_puts(hex, word);
        return true;
    }
    char piece[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof(piece))) > 0)
        tg_buf_put(hex, piece, (size_t)n);
    return n == 0;
}

static void put_raw(tg_buf *b, tg_slice raw)
{
    if (raw.len <= RAW_SHOWN)
        tg_buf_put(b, raw.at, raw.len);
    else
        tg_buf_printf(b, "%.*s…", RAW_SHOWN - 1, raw.at);
}

/// The notes as rows: the name stands as deep as its field.
static tg_value rows_of(const tg_value *fields, tg_arena *arena)
{
    tg_value_builder list = {.arena = arena};
    for (size_t i = 0; i < fields->list.count; i++) {
        const tg_value *f = &fields->list.items[i];
        tg_value_builder row = {.arena = arena};
        tg_buf name = {0}, raw = {0};
        tg_slice text = tg_value_str(f, "name", TG_LIT(""));
        tg_buf_printf(&name, "%*s%.*s", (int)(2 * tg_value_int(f, "depth", 0)), "",
                      (int)text.len, text.at);
        put_raw(&raw, tg_value_str(f, "raw", TG_LIT("")));
        tg_build(&row, "offset", tg_value_of_int(tg_value_int(f, "offset", 0)));
        tg_build(&row, "length", tg_value_of_int(tg_value_int(f, "length", 0)));
        tg_build(&row, "raw", tg_value_of_slice(tg_arena_copy(arena, tg_buf_slice(&raw))));
        tg_build(&row, "name",
                 tg_value_of_slice(tg_arena_copy(arena, tg_buf_slice(&name))));
        tg_build(&row, "value", tg_value_of_slice(tg_value_str(f, "value", TG_LIT(""))));
        tg_build(&list, NULL, tg_build_map(&row));
        tg_buf_free(&name);
        tg_buf_free(&raw);
    }
    return tg_build_list(&list);
}

static int show(const tg_cli *cli, const tg_value *json, tg_slice text)
{
    static const tg_column columns[] = {
        {"OFFSET", "offset", TG_COLUMN_NUMBER}, {"LENGTH", "length", TG_COLUMN_NUMBER},
        {"RAW", "raw", TG_COLUMN_TEXT},         {"FIELD", "name", TG_COLUMN_TEXT},
        {"VALUE", "value", TG_COLUMN_TEXT},     {0},
    };
    const tg_value *fields = tg_value_get(json, "fields");
    tg_slice error = tg_value_str(json, "error", (tg_slice){0});
    if (cli->json) {
        fwrite(text.at, 1, text.len, stdout);
    } else if (fields != NULL && fields->kind == TG_LIST) {
        tg_arena arena = {0};
        tg_value rows = rows_of(fields, &arena);
        tg_table_print(&rows, columns, "There is nothing in it.");
        tg_arena_free(&arena);
    }
    fflush(stdout);
    return error.at != NULL ? tg_cli_fail("%.*s", (int)error.len, error.at) : 0;
}

static int ask_host(const tg_cli *cli, tg_slice hex)
{
    tg_client *c;
    tg_answer a;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    tg_buf path = {0}, body = {0};
    tg_buf_puts(&path, "/decode/");
    tg_client_escape(c, &path, tg_str(cli->args[0]));
    tg_buf_putc(&path, '\0');
    tg_buf_puts(&body, "{\"hex\":");
    tg_json_str(&body, hex);
    tg_buf_putc(&body, '}');
    code = tg_client_try(c, "POST", path.at, &body, &a);
    if (code == 0)
        code = show(cli, &a.json, tg_buf_slice(&a.body));
    tg_answer_free(&a);
    tg_buf_free(&path);
    tg_buf_free(&body);
    tg_client_free(c);
    return code;
}

static int decode_here(const tg_cli *cli, tg_slice hex)
{
    tg_buf text = {0};
    tg_arena arena = {0};
    tg_value json;
    tg_error e = {0};
    int rc = tg_solo_decode(cli->config, cli->args[0], hex, &arena, &json, &text, &e);
    int code =
        rc == 0 ? show(cli, &json, tg_buf_slice(&text)) : tg_cli_fail("%s", e.message);
    tg_arena_free(&arena);
    tg_buf_free(&text);
    return code;
}

int tg_cmd_decode(const tg_cli *cli)
{
    tg_buf hex = {0};
    bool whole = true;
    for (int i = 1; i < cli->nargs; i++)
        whole = whole && take_word(&hex, cli->args[i]);
    if (!whole) {
        tg_buf_free(&hex);
        return tg_cli_fail("cannot read the frame from stdin");
    }
    // A path names a plugin here, which no host has to know.
    bool here = cli->offline || strchr(cli->args[0], '/') != NULL;
    int code = here ? TG_EXIT_UNREACHABLE : ask_host(cli, tg_buf_slice(&hex));
    if (code == TG_EXIT_UNREACHABLE)
        code = decode_here(cli, tg_buf_slice(&hex));
    tg_buf_free(&hex);
    return code;
}
