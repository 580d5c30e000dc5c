// SPDX-License-Identifier: Apache-2.0
// `command`: one call, and its fate in a line. What was refused or came to nothing is a
// failure to a script; what is sent or queued is not: it is told of on the device's topics.
#include <stdio.h>

#include "base/json.h"
#include "codec/json_read.h"
#include "host/client.h"

static void put_member(tg_buf *b, const char *key, const char *text)
{
    if (text == NULL)
        return;
    tg_buf_printf(b, ",\"%s\":", key);
    tg_json_str(b, tg_str(text));
}

/// @return false: the arguments are no JSON object, which was said.
static bool put_args(const tg_cli *cli, tg_buf *b)
{
    tg_arena arena = {0};
    tg_value args;
    tg_error e = {0};
    const char *text = cli->nargs > 2 ? cli->args[2] : "{}";
    int rc = tg_json_read(tg_str(text), &arena, &args, &e);
    bool good = rc == 0 && args.kind == TG_MAP;
    if (!good)
        tg_cli_fail("the arguments must be a JSON object, as '{\"text\": \"hello\"}'%s%s",
                    rc != 0 ? ": " : "", rc != 0 ? e.message : "");
    tg_buf_puts(b, ",\"args\":");
    tg_buf_puts(b, text);
    tg_arena_free(&arena);
    return good;
}

static bool put_body(const tg_cli *cli, tg_buf *b)
{
    tg_buf_puts(b, "{\"name\":");
    tg_json_str(b, tg_str(cli->args[1]));
    put_member(b, "id", cli->id);
    put_member(b, "timeout", cli->timeout);
    put_member(b, "ttl", cli->ttl);
    tg_buf_puts(b, cli->no_queue ? ",\"queue\":false" : "");
    bool good = put_args(cli, b);
    tg_buf_putc(b, '}');
    return good;
}

static void show(const tg_cli *cli, const tg_value *json)
{
    tg_slice fate = tg_value_str(json, "fate", TG_LIT("?"));
    tg_slice why = tg_value_str(tg_value_get(json, "error"), "message", (tg_slice){0});
    printf("%s: %s %.*s%s%.*s\n", cli->args[0], cli->args[1], (int)fate.len, fate.at,
           why.len > 0 ? ": " : "", (int)why.len, why.len > 0 ? why.at : "");
    const tg_value *answer = tg_value_get(json, "answer");
    tg_buf b = {0};
    if (answer != NULL)
        tg_json_value(&b, answer);
    if (b.len > 0)
        printf("%.*s\n", (int)b.len, b.at);
    tg_buf_free(&b);
}

static bool came_to_nothing(const tg_value *json)
{
    tg_slice fate = tg_value_str(json, "fate", (tg_slice){0});
    return tg_slice_eq(fate, TG_LIT("refused")) || tg_slice_eq(fate, TG_LIT("expired"));
}

int tg_cmd_command(const tg_cli *cli)
{
    tg_client *c;
    tg_buf path = {0}, body = {0};
    tg_answer a = {0};
    if (!put_body(cli, &body)) {
        tg_buf_free(&body);
        return TG_EXIT_USAGE;
    }
    int code = tg_client_open(cli, &c);
    if (code != 0) {
        tg_buf_free(&body);
        return code;
    }
    tg_buf_puts(&path, "/devices/");
    tg_client_escape(c, &path, tg_str(cli->args[0]));
    tg_buf_put(&path, "/commands", sizeof("/commands"));
    code = path.failed || body.failed ? tg_cli_fail("out of memory")
                                      : tg_client_call(c, "POST", path.at, &body, &a);
    if (code == 0 && cli->json)
        fwrite(a.body.at, 1, a.body.len, stdout);
    else if (code == 0)
        show(cli, &a.json);
    if (code == 0 && came_to_nothing(&a.json))
        code = TG_EXIT_FAILED;
    tg_answer_free(&a);
    tg_buf_free(&path);
    tg_buf_free(&body);
    tg_client_free(c);
    return code;
}
