// SPDX-License-Identifier: Apache-2.0
// Commands that change something in the host: one call each, and a word about what it did.
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "codec/charset.h"
#include "host/client.h"

typedef struct call {
    const char *method;
    tg_buf path, body;
    void (*show)(const tg_cli *cli, const tg_value *json);
} call;

/// @owner frees the call's buffers.
static int run(tg_client *c, const tg_cli *cli, call *what)
{
    tg_answer a = {0};
    tg_buf_putc(&what->path, '\0');
    bool whole = !what->path.failed && !what->body.failed;
    const tg_buf *body = what->body.len > 0 ? &what->body : NULL;
    int code = whole ? tg_client_call(c, what->method, what->path.at, body, &a)
                     : tg_cli_fail("out of memory");
    if (code == 0 && cli->json)
        fwrite(a.body.at, 1, a.body.len, stdout);
    else if (code == 0)
        what->show(cli, &a.json);
    tg_answer_free(&a);
    tg_buf_free(&what->path);
    tg_buf_free(&what->body);
    tg_client_free(c);
    return code;
}

static void show_kicked(const tg_cli *cli, const tg_value *json)
{
    (void)json;
    printf("%s: closed%s.\n", cli->args[0],
           cli->forget ? ", its session is forgotten" : "");
}

int tg_cmd_kick(const tg_cli *cli)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    call what = {.method = "DELETE", .show = show_kicked};
    tg_buf_puts(&what.path, "/clients/");
    tg_client_escape(c, &what.path, tg_str(cli->args[0]));
    tg_buf_puts(&what.path, cli->forget ? "?forget=true" : "");
    return run(c, cli, &what);
}

static void show_reloaded(const tg_cli *cli, const tg_value *json)
{
    tg_slice version = tg_value_str(json, "version", TG_LIT("?"));
    printf("%s: version %.*s (number %lld) takes new connections.\n", cli->args[0],
           (int)version.len, version.at, (long long)tg_value_int(json, "number", 0));
}

int tg_cmd_reload(const tg_cli *cli)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    call what = {.method = "POST", .show = show_reloaded};
    tg_buf_puts(&what.path, "/plugins/");
    tg_client_escape(c, &what.path, tg_str(cli->args[0]));
    tg_buf_puts(&what.path, "/reload");
    return run(c, cli, &what);
}

static void show_levels(const tg_cli *cli, const tg_value *json)
{
    (void)cli;
    const tg_value *levels = tg_value_get(json, "levels");
    for (size_t i = 0; levels != NULL && i < levels->map.count; i++) {
        const tg_pair *p = &levels->map.pairs[i];
        printf("%-8.*s %.*s\n", (int)p->key.len, p->key.at, (int)p->value.string.len,
               p->value.string.at);
    }
}

int tg_cmd_log(const tg_cli *cli)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    call what = {.method = cli->nargs > 0 ? "PUT" : "GET", .show = show_levels};
    tg_buf_puts(&what.path, "/log");
    if (cli->nargs > 0) {
        tg_buf_puts(&what.body, "{\"level\":");
        tg_json_str(&what.body, tg_str(cli->args[0]));
        if (cli->nargs > 1) {
            tg_buf_puts(&what.body, ",\"module\":");
            tg_json_str(&what.body, tg_str(cli->args[1]));
        }
        tg_buf_putc(&what.body, '}');
    }
    return run(c, cli, &what);
}

static void show_published(const tg_cli *cli, const tg_value *json)
{
    long long n = (long long)tg_value_int(json, "receivers", 0);
    printf("%s: %lld %s.\n", cli->args[0], n, n == 1 ? "receiver" : "receivers");
}

/// The message: the words behind the topic, or stdin.
static bool take_message(const tg_cli *cli, tg_buf *out)
{
    if (cli->nargs > 1 && strcmp(cli->args[1], "-") != 0) {
        tg_buf_puts(out, cli->args[1]);
        return true;
    }
    char piece[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof(piece))) > 0)
        tg_buf_put(out, piece, (size_t)n);
    return n == 0;
}

static void put_hex(tg_buf *b, tg_slice bytes)
{
    tg_buf_putc(b, '"');
    for (size_t i = 0; i < bytes.len; i++)
        tg_buf_printf(b, "%02x", (unsigned char)bytes.at[i]);
    tg_buf_putc(b, '"');
}

static void put_message(const tg_cli *cli, tg_slice message, tg_buf *b)
{
    bool plain = cli->encoding != NULL || tg_utf8_valid(message);
    tg_buf_puts(b, "{\"topic\":");
    tg_json_str(b, tg_str(cli->args[0]));
    tg_buf_printf(b, ",\"qos\":%lld,\"retain\":%s,\"encoding\":", (long long)cli->qos,
                  cli->retain ? "true" : "false");
    tg_json_str(b, tg_str(cli->encoding != NULL ? cli->encoding : plain ? "text" : "hex"));
    tg_buf_puts(b, ",\"payload\":");
    if (plain)
        tg_json_str(b, message);
    else
        put_hex(b, message);
    tg_buf_putc(b, '}');
}

int tg_cmd_publish(const tg_cli *cli)
{
    tg_client *c;
    tg_buf message = {0};
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    if (!take_message(cli, &message)) {
        tg_buf_free(&message);
        tg_client_free(c);
        return tg_cli_fail("cannot read the message from stdin");
    }
    call what = {.method = "POST", .show = show_published};
    tg_buf_puts(&what.path, "/publish");
    put_message(cli, tg_buf_slice(&message), &what.body);
    tg_buf_free(&message);
    return run(c, cli, &what);
}
