// SPDX-License-Identifier: Apache-2.0
// Messages as they come, a line each, until the count is reached, the host ends, or the user
// does. What this side does not read, the host does not send.
#include <stdio.h>
#include <time.h>

#include "host/client.h"
#include "host/table.h"

typedef struct printer {
    const tg_cli *cli;
    int64_t left; ///< messages; -1: no end
    bool kicked;
} printer;

static void print_clock(int64_t ms)
{
    char text[16];
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    localtime_r(&s, &tm);
    strftime(text, sizeof(text), "%H:%M:%S", &tm);
    printf("%s.%03d  ", text, (int)(ms % 1000));
}

static void print_message(const tg_value *json)
{
    tg_buf b = {0};
    const tg_value *payload = tg_value_get(json, "payload");
    if (payload == NULL)
        payload = tg_value_get(json, "payload_base64");
    tg_table_cell(&b, tg_value_get(json, "topic"), TG_COLUMN_TEXT);
    tg_buf_puts(&b, tg_value_bool(json, "retain", false) ? " (retained)  " : "  ");
    tg_table_cell(&b, payload, TG_COLUMN_TEXT);
    print_clock(tg_value_int(json, "time", 0));
    printf("%.*s\n", (int)b.len, b.at);
    tg_buf_free(&b);
}

/// News about the stream itself go to stderr: stdout is for messages.
static void print_news(printer *p, const tg_value *json, tg_slice event)
{
    if (tg_slice_eq(event, TG_LIT("subscribed"))) {
        fputs("subscribed\n", stderr);
        return;
    }
    tg_slice reason = tg_value_str(json, "reason", TG_LIT("?"));
    fprintf(stderr, "the host ended the subscription: %.*s\n", (int)reason.len, reason.at);
    p->kicked = true;
}

static bool on_line(void *ctx, const tg_value *json, tg_slice text)
{
    printer *p = ctx;
    tg_slice event = tg_value_str(json, "event", (tg_slice){0});
    if (!tg_slice_eq(event, TG_LIT("message"))) {
        print_news(p, json, event);
        return true;
    }
    if (p->cli->json)
        printf("%.*s\n", (int)text.len, text.at);
    else
        print_message(json);
    if (p->left > 0)
        p->left--;
    return fflush(stdout) == 0 && p->left != 0;
}

int tg_cmd_subscribe(const tg_cli *cli)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    printer p = {cli, cli->count > 0 ? cli->count : -1, false};
    tg_buf path = {0};
    tg_buf_puts(&path, "/subscribe");
    for (int i = 0; i < cli->nargs; i++) {
        tg_buf_puts(&path, i == 0 ? "?filter=" : "&filter=");
        tg_client_escape(c, &path, tg_str(cli->args[i]));
    }
    tg_buf_putc(&path, '\0');
    code = tg_client_stream(c, path.at, on_line, &p);
    tg_buf_free(&path);
    tg_client_free(c);
    if (code == 0 && (p.left > 0 || p.kicked)) // it ended before its time
        code = TG_EXIT_FAILED;
    return code;
}
