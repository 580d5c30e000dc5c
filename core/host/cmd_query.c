// SPDX-License-Identifier: Apache-2.0
// Commands that show what the host has: a path, the columns of a table, and what to say when
// there is nothing.
#include <stdio.h>

#include "base/json.h"
#include "host/client.h"
#include "host/table.h"

static const tg_column PLUGINS[] = {
    {"PLUGIN", "id", TG_COLUMN_TEXT},
    {"VERSION", "version", TG_COLUMN_TEXT},
    {"NO", "number", TG_COLUMN_NUMBER},
    {"STATE", "state", TG_COLUMN_TEXT},
    {"ENGINE", "engine", TG_COLUMN_TEXT},
    {"SINCE", "since", TG_COLUMN_SINCE},
    {"CONNS", "connections", TG_COLUMN_NUMBER},
    {"FRAMES", "frames", TG_COLUMN_NUMBER},
    {"ERRORS", "errors", TG_COLUMN_NUMBER},
    {"PATH", "path", TG_COLUMN_TEXT},
    {0},
};

static const tg_column LISTENERS[] = {
    {"LISTENER", "name", TG_COLUMN_TEXT},       {"ADAPTER", "adapter", TG_COLUMN_TEXT},
    {"ADDRESS", "address", TG_COLUMN_TEXT},     {"TRANSPORT", "transport", TG_COLUMN_TEXT},
    {"CONNS", "connections", TG_COLUMN_NUMBER}, {0},
};

static const tg_column CLIENTS[] = {
    {"CLIENT", "id", TG_COLUMN_TEXT},
    {"USER", "user", TG_COLUMN_TEXT},
    {"CONNECTED", "connected", TG_COLUMN_YES},
    {"SINCE", "since", TG_COLUMN_SINCE},
    {"SUBS", "subscriptions", TG_COLUMN_NUMBER},
    {"INFLIGHT", "inflight", TG_COLUMN_NUMBER},
    {"QUEUED", "queued", TG_COLUMN_NUMBER},
    {"BYTES", "queued_bytes", TG_COLUMN_BYTES},
    {"DROPPED", "dropped", TG_COLUMN_NUMBER},
    {"WORKER", "worker", TG_COLUMN_NUMBER},
    {0},
};

static const tg_column DEVICES[] = {
    {"DEVICE", "id", TG_COLUMN_TEXT},          {"ADAPTER", "adapter", TG_COLUMN_TEXT},
    {"CONNECTED", "connected", TG_COLUMN_YES}, {"LISTENER", "listener", TG_COLUMN_TEXT},
    {"PEER", "peer", TG_COLUMN_TEXT},          {"SINCE", "since", TG_COLUMN_SINCE},
    {"SEEN", "last_seen", TG_COLUMN_SINCE},    {"QUEUED", "queued", TG_COLUMN_NUMBER},
    {"DROPPED", "dropped", TG_COLUMN_NUMBER},  {0},
};

static const tg_column TOPICS[] = {
    {"SUBSCRIBERS", "subscribers", TG_COLUMN_NUMBER},
    {"FILTER", "filter", TG_COLUMN_TEXT},
    {0},
};

static const tg_column RETAINED[] = {
    {"TOPIC", "topic", TG_COLUMN_TEXT},     {"QOS", "qos", TG_COLUMN_NUMBER},
    {"AGE", "time", TG_COLUMN_SINCE},       {"BYTES", "bytes", TG_COLUMN_BYTES},
    {"PAYLOAD", "payload", TG_COLUMN_TEXT}, {0},
};

typedef struct query {
    const char *path;
    const tg_column *columns;
    const char *nothing;
    const char *filter; ///< of the list; NULL none
    const char *adapter; ///< of the list; NULL none
} query;

static void put_path(tg_client *c, tg_buf *path, const query *q, tg_slice cursor,
                     int64_t limit)
{
    tg_buf_clear(path);
    tg_buf_printf(path, "%s?limit=%lld", q->path, (long long)(limit > 0 ? limit : 100));
    if (cursor.len > 0) {
        tg_buf_puts(path, "&cursor=");
        tg_client_escape(c, path, cursor);
    }
    if (q->filter != NULL) {
        tg_buf_puts(path, "&filter=");
        tg_client_escape(c, path, tg_str(q->filter));
    }
    if (q->adapter != NULL) {
        tg_buf_puts(path, "&adapter=");
        tg_client_escape(c, path, tg_str(q->adapter));
    }
    tg_buf_putc(path, '\0');
}

static void show(const tg_cli *cli, const query *q, const tg_answer *a)
{
    if (cli->json)
        fwrite(a->body.at, 1, a->body.len, stdout);
    else
        tg_table_print(tg_value_get(&a->json, "items"), q->columns, q->nothing);
}

/// One page, or with --all page after page. @return an exit code; *next is the cursor of the
/// page behind, empty at the end.
static int one_page(tg_client *c, const tg_cli *cli, const query *q, tg_buf *next)
{
    tg_buf path = {0};
    tg_answer a;
    put_path(c, &path, q, tg_buf_slice(next), cli->limit);
    int code = tg_client_call(c, "GET", path.at, NULL, &a);
    tg_buf_clear(next);
    if (code == 0) {
        show(cli, q, &a);
        tg_slice more = tg_value_str(&a.json, "next", (tg_slice){0});
        tg_buf_put(next, more.at, more.len);
    }
    tg_answer_free(&a);
    tg_buf_free(&path);
    return code;
}

static int run(const tg_cli *cli, const query *q)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    tg_buf next = {0};
    if (cli->cursor != NULL)
        tg_buf_puts(&next, cli->cursor);
    do
        code = one_page(c, cli, q, &next);
    while (code == 0 && cli->all && next.len > 0);
    if (code == 0 && next.len > 0 && !cli->json)
        printf("There are more: --all, or --cursor '%.*s'\n", (int)next.len, next.at);
    tg_buf_free(&next);
    tg_client_free(c);
    return code;
}

int tg_cmd_plugins(const tg_cli *cli)
{
    return run(cli, &(query){"/plugins", PLUGINS, "No plugin is loaded.", NULL, NULL});
}

int tg_cmd_listeners(const tg_cli *cli)
{
    return run(cli, &(query){"/listeners", LISTENERS, "Nothing listens.", NULL, NULL});
}

int tg_cmd_clients(const tg_cli *cli)
{
    return run(cli, &(query){"/clients", CLIENTS, "No client has a session.", NULL, NULL});
}

int tg_cmd_topics(const tg_cli *cli)
{
    return run(cli,
               &(query){"/topics", TOPICS, "Nobody subscribes to anything.", NULL, NULL});
}

int tg_cmd_retained(const tg_cli *cli)
{
    return run(cli, &(query){"/retained", RETAINED, "Nothing is retained.",
                             cli->nargs > 0 ? cli->args[0] : NULL, NULL});
}

/// Is it a time, or a number of bytes?
static tg_column_kind kind_of(tg_slice key)
{
    static const char *const times[] = {"since", "connected_since", "last_seen", "started"};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (tg_slice_eq(key, tg_str(times[i])))
            return TG_COLUMN_SINCE;
    bool bytes = tg_slice_eq(key, TG_LIT("resident_bytes")) ||
                 tg_slice_eq(key, TG_LIT("queued_bytes"));
    return bytes ? TG_COLUMN_BYTES : TG_COLUMN_TEXT;
}

static void show_members(const tg_value *map)
{
    for (size_t i = 0; i < map->map.count; i++) {
        const tg_pair *p = &map->map.pairs[i];
        bool whole = p->value.kind == TG_MAP || p->value.kind == TG_LIST;
        bool span = tg_slice_eq(p->key, TG_LIT("uptime_ms"));
        tg_buf b = {0};
        if (span)
            tg_table_span(&b, p->value.integer);
        else if (whole)
            tg_json_value(&b, &p->value);
        else
            tg_table_cell(&b, &p->value, kind_of(p->key));
        printf("%-16.*s %.*s\n", (int)p->key.len, p->key.at, (int)b.len,
               b.len > 0 ? b.at : "");
        tg_buf_free(&b);
    }
}

/// One object. @owner frees `c`.
static int show_one(tg_client *c, const tg_cli *cli, const char *path)
{
    tg_answer a;
    int code = tg_client_call(c, "GET", path, NULL, &a);
    if (code == 0 && cli->json)
        fwrite(a.body.at, 1, a.body.len, stdout);
    else if (code == 0)
        show_members(&a.json);
    tg_answer_free(&a);
    tg_client_free(c);
    return code;
}

int tg_cmd_status(const tg_cli *cli)
{
    tg_client *c;
    int code = tg_client_open(cli, &c);
    return code == 0 ? show_one(c, cli, "/status") : code;
}

int tg_cmd_devices(const tg_cli *cli)
{
    tg_client *c;
    if (cli->nargs == 0)
        return run(cli, &(query){"/devices", DEVICES, "No device has a session.", NULL,
                                 cli->adapter});
    int code = tg_client_open(cli, &c);
    if (code != 0)
        return code;
    tg_buf path = {0};
    tg_buf_puts(&path, "/devices/");
    tg_client_escape(c, &path, tg_str(cli->args[0]));
    tg_buf_putc(&path, '\0');
    code = show_one(c, cli, path.at);
    tg_buf_free(&path);
    return code;
}
