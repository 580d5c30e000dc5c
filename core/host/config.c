// SPDX-License-Identifier: Apache-2.0
// The config is tables of options: each option's name, default, bounds and meaning stand in
// one line here, and reading, checking and naming the nearest right name are the table
// reader's. What a table cannot say (a level per module, two forms of `plugins`) is checked
// behind it.
#include "host/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/config.h"

static const char *const LEVELS[] = {"error", "warn", "info", "debug", NULL};
static const char *const FORMATS[] = {"auto", "text", "json", NULL};
static const char *const READERS[] = {"nobody", "acl", "users", "all", NULL};
static const char *const SHARES[] = {"round_robin", "random",      "sticky",
                                     "hash_topic",  "hash_client", NULL};

#define OPT(into, key, kind, member, meaning, ...)                                         \
    {                                                                                      \
        .name = (key), .type = TG_OPT_##kind, .offset = offsetof(into, member),            \
        .help = (meaning), __VA_ARGS__                                                     \
    }

static const tg_option LOG_OPTIONS[] = {
    OPT(tg_config_log, "level", ENUM, level, "least severe lines that are written",
        .fallback = "info", .choices = LEVELS),
    OPT(tg_config_log, "levels", MAP, levels, "module = level, over `level`",
        .fallback = NULL),
    OPT(tg_config_log, "format", ENUM, format, "auto: text on a terminal, else JSON",
        .fallback = "auto", .choices = FORMATS),
    OPT(tg_config_log, "file", STR, file, "empty: stderr", .fallback = NULL),
    {0},
};

static const tg_option ADMIN_OPTIONS[] = {
    OPT(tg_config_admin, "enabled", BOOL, enabled,
        "without it the CLI cannot reach the host", .fallback = "true"),
    OPT(tg_config_admin, "bind", STR, bind, "address:port of the REST API",
        .fallback = "127.0.0.1:18083"),
    OPT(tg_config_admin, "token_file", STR, token_file,
        "empty: admin.token in state_dir; made with mode 0600", .fallback = NULL),
    OPT(tg_config_admin, "hosts", LIST, hosts,
        "names, besides localhost and addresses, that requests may use", .fallback = NULL),
    OPT(tg_config_admin, "body_max", SIZE, body_max, "of one request", .fallback = "1MiB",
        .min = 1024, .max = 268435456),
    OPT(tg_config_admin, "connections", INT, connections, "at once", .fallback = "64",
        .min = 2, .max = 10000),
    OPT(tg_config_admin, "stream_buffer", SIZE, stream_buffer,
        "waiting for one reader of a subscription", .fallback = "256KiB", .min = 4096,
        .max = 268435456),
    {0},
};

#define COUNT_MAX 4294967295.0
static const tg_option LIMIT_OPTIONS[] = {
    OPT(tg_config_limits, "inflight", INT, inflight, "QoS 1 and 2 on the way to one client",
        .fallback = "32", .min = 1, .max = 65535),
    OPT(tg_config_limits, "inflight_bytes", SIZE, inflight_bytes,
        "of those, but one of any size may be; 0: no limit", .fallback = "4MiB",
        .max = COUNT_MAX),
    OPT(tg_config_limits, "inflight_age", DURATION, inflight_age_ms,
        "a client that answers none for so long is cut; 0: no limit", .fallback = "0",
        .max = 4e12),
    OPT(tg_config_limits, "rx_inflight", INT, rx_inflight, "QoS 2 from one client",
        .fallback = "65535", .min = 1, .max = 65535),
    OPT(tg_config_limits, "queue_messages", INT, queue_messages, "waiting for one session",
        .fallback = "1000", .min = 1, .max = COUNT_MAX),
    OPT(tg_config_limits, "queue_bytes", SIZE, queue_bytes, "waiting for one session",
        .fallback = "1MiB", .min = 1024, .max = COUNT_MAX),
    OPT(tg_config_limits, "queue_age", DURATION, queue_age_ms,
        "older messages are dropped; 0: no limit", .fallback = "0", .max = 4e12),
    OPT(tg_config_limits, "queue_qos0", BOOL, queue_qos0,
        "keep QoS 0 for sessions that are away", .fallback = "false"),
    OPT(tg_config_limits, "subscriptions", INT, subscriptions, "of one session",
        .fallback = "1000", .min = 1, .max = COUNT_MAX),
    OPT(tg_config_limits, "retained_count", INT, retained_count, "in all; 0: no limit",
        .fallback = "1000000", .max = COUNT_MAX),
    OPT(tg_config_limits, "retained_bytes", SIZE, retained_bytes, "in all; 0: no limit",
        .fallback = "1GiB", .max = 9e15),
    OPT(tg_config_limits, "session_expiry", DURATION, session_expiry_ms,
        "longest time a session outlives its client", .fallback = "7d", .max = 4e12),
    OPT(tg_config_limits, "topic_levels", INT, topic_levels, "of one topic or filter",
        .fallback = "128", .min = 1, .max = 511),
    OPT(tg_config_limits, "share", ENUM, share, "who of a $share group gets a message",
        .fallback = "round_robin", .choices = SHARES),
    OPT(tg_config_limits, "mailbox", SIZE, mailbox_bytes,
        "messages on their way to one worker; then publishers are not read",
        .fallback = "16MiB", .min = 65536, .max = 1e12),
    OPT(tg_config_limits, "kv", SIZE, kv_bytes, "shared keys of one plugin",
        .fallback = "64MiB", .max = 1e12),
    OPT(tg_config_limits, "slow_callback", DURATION, slow_callback_ms,
        "a longer callback is reported", .fallback = "100ms", .min = 1, .max = 4e9),
    OPT(tg_config_limits, "descriptors", INT, descriptors, "kept back for the admin API",
        .fallback = "64", .min = 8, .max = 10000),
    {0},
};

static const tg_option SYS_OPTIONS[] = {
    OPT(tg_config_sys, "interval", DURATION, interval_ms,
        "how often $SYS/broker topics are published; 0: never", .fallback = "10s",
        .max = 86400000),
    OPT(tg_config_sys, "readers", ENUM, readers, "who may subscribe to $SYS topics",
        .fallback = "acl", .choices = READERS),
    {0},
};

static const char *const WHEN_FULL[] = {"drop", "refuse", NULL};
static const tg_option FILE_OPTIONS[] = {
    OPT(tg_config_files, "enabled", BOOL, enabled, "keep what devices upload",
        .fallback = "true"),
    OPT(tg_config_files, "path", STR, path, "empty: files in state_dir", .fallback = NULL),
    OPT(tg_config_files, "max_bytes", SIZE, max_bytes, "of one file", .fallback = "16MiB",
        .max = 1e12),
    OPT(tg_config_files, "total", SIZE, total, "of all; then writes are refused",
        .fallback = "10GiB", .max = 9e15),
    OPT(tg_config_files, "device_bytes", SIZE, device_bytes, "of one device",
        .fallback = "256MiB", .max = 9e15),
    OPT(tg_config_files, "device_files", INT, device_files, "of one device",
        .fallback = "10000", .max = 1e9),
    OPT(tg_config_files, "max_age", DURATION, max_age_ms, "older ones are removed",
        .fallback = "30d", .max = 4e12),
    OPT(tg_config_files, "when_full", ENUM, when_full,
        "a device's oldest files make room, or its newest is refused", .fallback = "drop",
        .choices = WHEN_FULL),
    {0},
};

static const tg_option OPTIONS[] = {
    OPT(tg_config, "workers", INT, workers, "threads; 0: one per core", .fallback = "0",
        .max = TG_WORKERS_MAX),
    OPT(tg_config, "state_dir", STR, state_dir, "tokens and copies of plugins",
        .fallback = NULL),
    OPT(tg_config, "plugin_path", STR, plugin_path, "folders with plugins, ':' between",
        .fallback = NULL),
    OPT(tg_config, "store", ANY, store, "empty: memory; or {plugin, its options}",
        .fallback = NULL),
    OPT(tg_config, "shutdown", DURATION, shutdown_ms, "longest time that ending may take",
        .fallback = "10s", .max = 4e9),
    OPT(tg_config, "log", GROUP, log, NULL, .group = LOG_OPTIONS),
    OPT(tg_config, "admin", GROUP, admin, NULL, .group = ADMIN_OPTIONS),
    OPT(tg_config, "limits", GROUP, limits, NULL, .group = LIMIT_OPTIONS),
    OPT(tg_config, "sys", GROUP, sys, NULL, .group = SYS_OPTIONS),
    OPT(tg_config, "files", GROUP, files, NULL, .group = FILE_OPTIONS),
    OPT(tg_config, "users", LIST, users, "{user, password, publish, subscribe}",
        .fallback = NULL),
    OPT(tg_config, "auth", LIST, auth,
        "backends in the order they are asked; users: the list above", .fallback = NULL),
    OPT(tg_config, "plugins", ANY, plugins, "name = options, or a list of {name, options}",
        .fallback = NULL),
    OPT(tg_config, "listeners", LIST, listeners, "{name, adapter, bind, …}",
        .fallback = NULL),
    {0},
};

typedef struct plugin_entry {
    tg_slice name;
    const tg_value *options;
} plugin_entry;

static const tg_option PLUGIN_OPTIONS[] = {
    OPT(plugin_entry, "name", STR, name, NULL, .required = true),
    OPT(plugin_entry, "options", MAP, options, NULL, .fallback = NULL),
    {0},
};

/// "file:12: where: what". @return TG_E_INVAL.
TG_PRINTF(5, 6)
static int fault(const tg_config *c, const tg_value *v, const char *where, tg_error *e,
                 const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (v->line > 0 && c->file != NULL)
        return tg_error_set(e, TG_E_INVAL, "%s:%u: %s: %s", c->file, v->line, where, what);
    return tg_error_set(e, TG_E_INVAL, "%s%s%s: %s", c->file != NULL ? c->file : "",
                        c->file != NULL ? ": " : "", where, what);
}

/// TG_OPT_LIST lets one value stand for a list of it, and an empty table may be a map.
static const tg_value *as_list(tg_config *c, const tg_value *v)
{
    static const tg_value empty = {.kind = TG_LIST};
    if (v == NULL || v->kind == TG_NIL || (v->kind == TG_MAP && v->map.count == 0))
        return &empty;
    if (v->kind == TG_LIST)
        return v;
    tg_value *list = tg_arena_alloc(&c->arena, sizeof(*list));
    if (list == NULL)
        return &empty;
    *list = (tg_value){.kind = TG_LIST, .line = v->line};
    list->list.items = v;
    list->list.count = 1;
    return list;
}

/// Lists inside entries, which stay as they were written.
static size_t list_count(const tg_value *v)
{
    if (v == NULL || v->kind == TG_NIL || (v->kind == TG_MAP && v->map.count == 0))
        return 0;
    return v->kind == TG_LIST ? v->list.count : 1;
}

static const tg_value *list_at(const tg_value *v, size_t i)
{
    return v->kind == TG_LIST ? &v->list.items[i] : v;
}

#define X(id, name) name,
static const char *const MODULES[] = {TG_LOG_MODULES(X)};
#undef X

static int check_module(const tg_config *c, const tg_pair *p, tg_error *e)
{
    char where[96];
    snprintf(where, sizeof(where), "log.levels.%.*s", (int)p->key.len, p->key.at);
    bool known = false;
    for (int i = 0; i < TG_MOD_COUNT; i++)
        known |= tg_slice_eq(p->key, tg_str(MODULES[i]));
    if (!known) {
        const char *near = tg_nearest(p->key, MODULES, TG_MOD_COUNT);
        return fault(c, &p->value, where, e, "no such module%s%s%s",
                     near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                     near != NULL ? "'?" : "");
    }
    if (p->value.kind != TG_STR || tg_log_level_from(p->value.string) < 0)
        return fault(c, &p->value, where, e, "must be one of error, warn, info, debug");
    return 0;
}

static int check_levels(const tg_config *c, tg_error *e)
{
    const tg_value *levels = c->log.levels;
    int rc = 0;
    for (size_t i = 0; rc == 0 && levels != NULL && i < levels->map.count; i++)
        rc = check_module(c, &levels->map.pairs[i], e);
    return rc;
}

static int check_strings(const tg_config *c, const tg_value *list, const char *where,
                         tg_error *e)
{
    for (size_t i = 0; i < list_count(list); i++)
        if (list_at(list, i)->kind != TG_STR)
            return fault(c, list_at(list, i), where, e, "must be a list of strings");
    return 0;
}

static int check_plugin(const tg_config *c, const tg_value *entry, const char *where,
                        tg_error *e)
{
    plugin_entry p = {0};
    if (entry->kind == TG_STR)
        return 0;
    return tg_options_read(PLUGIN_OPTIONS, entry, &p, c->file, where, e);
}

static int check_plugins(const tg_config *c, tg_error *e)
{
    const tg_value *v = c->plugins;
    char where[96];
    if (v != NULL && v->kind != TG_MAP && v->kind != TG_LIST)
        return fault(c, v, "plugins", e, "must be a table");
    for (size_t i = 0; v != NULL && v->kind == TG_LIST && i < v->list.count; i++) {
        snprintf(where, sizeof(where), "plugins[%zu]", i + 1);
        int rc = check_plugin(c, &v->list.items[i], where, e);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; v != NULL && v->kind == TG_MAP && i < v->map.count; i++) {
        const tg_pair *p = &v->map.pairs[i];
        snprintf(where, sizeof(where), "plugins.%.*s", (int)p->key.len, p->key.at);
        if (p->key.len > 0 && p->key.at[0] >= '0' && p->key.at[0] <= '9')
            return fault(c, &p->value, where, e,
                         "no name of a plugin; write name = options for all, or a list of "
                         "{ name = \"…\", options = {…} }");
        if (p->value.kind != TG_MAP && p->value.kind != TG_LIST)
            return fault(c, &p->value, where, e, "must be a table of options");
        if (p->value.kind == TG_LIST && p->value.list.count > 0)
            return fault(c, &p->value, where, e, "options have names");
    }
    return 0;
}

static int check_store(const tg_config *c, tg_error *e)
{
    const tg_value *v = c->store;
    if (v == NULL || v->kind == TG_NIL || v->kind == TG_STR)
        return 0;
    if (tg_value_str(v, "plugin", (tg_slice){0}).len == 0)
        return fault(c, v, "store", e,
                     "must be the id of a store, or { plugin = \"…\", its options }");
    return 0;
}

/// Counters, the API and a reload go by names.
static int check_listener_name(const tg_config *c, size_t i, const char *where, tg_error *e)
{
    const tg_value *items = c->listeners->list.items;
    tg_slice name = tg_value_str(&items[i], "name", (tg_slice){0});
    for (size_t k = 0; k < i; k++)
        if (tg_slice_eq(tg_value_str(&items[k], "name", (tg_slice){0}), name))
            return fault(c, &items[i], where, e,
                         "name: listeners[%zu] is called '%.*s', too", k + 1, (int)name.len,
                         name.at);
    return 0;
}

static int check_listeners(const tg_config *c, tg_error *e)
{
    char where[32];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->listeners->list.count; i++) {
        snprintf(where, sizeof(where), "listeners[%zu]", i + 1);
        rc = tg_listeners_check(&c->listeners->list.items[i], c->file, where, e);
        if (rc == 0)
            rc = check_listener_name(c, i, where, e);
    }
    return rc;
}

static int check(const tg_config *c, tg_error *e)
{
    int rc = check_levels(c, e);
    if (rc == 0)
        rc = tg_users_check(c->users, c->file, e);
    if (rc == 0)
        rc = check_strings(c, c->auth, "auth", e);
    if (rc == 0)
        rc = check_strings(c, c->admin.hosts, "admin.hosts", e);
    if (rc == 0)
        rc = check_store(c, e);
    if (rc == 0)
        rc = check_plugins(c, e);
    if (rc == 0)
        rc = check_listeners(c, e);
    return rc;
}

static void make_lists(tg_config *c)
{
    c->users = as_list(c, c->users);
    if (c->auth !=
        NULL) // without a chain the users are asked; an empty one refuses everybody
        c->auth = as_list(c, c->auth);
    c->listeners = as_list(c, c->listeners);
    c->admin.hosts = as_list(c, c->admin.hosts);
}

int tg_config_read(const char *file, tg_config *out, tg_error *e)
{
    *out = (tg_config){.file = file, .root = tg_config_builtin};
    int rc = file != NULL ? tg_lua_config_read(file, &out->arena, &out->root, e) : 0;
    if (rc == 0)
        rc = tg_options_read(OPTIONS, &out->root, out, file, "", e);
    if (rc == 0) {
        make_lists(out);
        rc = check(out, e);
    }
    if (rc == 0 && out->arena.failed)
        rc = tg_error_set(e, TG_E_NOMEM, "out of memory");
    if (rc != 0)
        tg_config_free(out);
    return rc;
}

void tg_config_free(tg_config *c)
{
    tg_arena_free(&c->arena);
    *c = (tg_config){0};
}

static const char *c_string(tg_config *c, tg_slice text)
{
    char *copy = tg_arena_alloc(&c->arena, text.len + 1);
    if (copy != NULL)
        memcpy(copy, text.at, text.len);
    return copy;
}

static bool plugin_of_pair(tg_config *c, const tg_pair *p, tg_config_plugin *out)
{
    snprintf(out->where, sizeof(out->where), "plugins.%.*s", (int)p->key.len, p->key.at);
    out->name = c_string(c, p->key);
    out->options = p->value.kind == TG_MAP ? &p->value : NULL;
    return true;
}

bool tg_config_plugin_at(tg_config *c, size_t i, tg_config_plugin *out)
{
    const tg_value *v = c->plugins;
    if (v != NULL && v->kind == TG_MAP && i < v->map.count)
        return plugin_of_pair(c, &v->map.pairs[i], out);
    if (v == NULL || v->kind != TG_LIST || i >= v->list.count)
        return false;
    const tg_value *entry = &v->list.items[i];
    bool plain = entry->kind == TG_STR;
    snprintf(out->where, sizeof(out->where), "plugins[%zu]%s", i + 1,
             plain ? "" : ".options");
    out->name =
        c_string(c, plain ? entry->string : tg_value_str(entry, "name", TG_LIT("")));
    out->options = tg_value_get(entry, "options");
    return true;
}

tg_slice tg_config_store_id(const tg_config *c)
{
    if (c->store == NULL || c->store->kind == TG_NIL)
        return (tg_slice){"", 0};
    return c->store->kind == TG_STR ? c->store->string : tg_str(TG_STORE_ANY);
}

static const tg_value *without(tg_config *c, const tg_value *map, const char *key)
{
    tg_value *out = tg_arena_alloc(&c->arena, sizeof(*out));
    tg_pair *pairs = tg_arena_alloc(&c->arena, (map->map.count + 1) * sizeof(*pairs));
    if (out == NULL || pairs == NULL)
        return NULL;
    *out = (tg_value){.kind = TG_MAP, .line = map->line};
    out->map.pairs = pairs;
    for (size_t i = 0; i < map->map.count; i++)
        if (!tg_slice_eq(map->map.pairs[i].key, tg_str(key)))
            pairs[out->map.count++] = map->map.pairs[i];
    return out;
}

bool tg_config_store_plugin(tg_config *c, tg_config_plugin *out)
{
    if (c->store == NULL || c->store->kind != TG_MAP)
        return false;
    snprintf(out->where, sizeof(out->where), "store");
    out->name = c_string(c, tg_value_str(c->store, "plugin", TG_LIT("")));
    out->options = without(c, c->store, "plugin");
    return true;
}

void tg_config_apply_log(const tg_config *c)
{
    const tg_value *levels = c->log.levels;
    tg_log_set_level(NULL, (tg_level)c->log.level);
    for (size_t i = 0; levels != NULL && i < levels->map.count; i++) {
        const tg_pair *p = &levels->map.pairs[i];
        char module[32];
        snprintf(module, sizeof(module), "%.*s", (int)p->key.len, p->key.at);
        tg_log_set_level(module, (tg_level)tg_log_level_from(p->value.string));
    }
}

tg_hub_limits tg_config_hub_limits(const tg_config *c)
{
    const tg_config_limits *l = &c->limits;
    return (tg_hub_limits){
        .inflight = (uint32_t)l->inflight,
        .inflight_bytes = (uint32_t)l->inflight_bytes,
        .inflight_age_s = (uint32_t)((l->inflight_age_ms + 999) / 1000),
        .queue_messages = (uint32_t)l->queue_messages,
        .queue_bytes = (uint32_t)l->queue_bytes,
        .queue_age_s = (uint32_t)((l->queue_age_ms + 999) / 1000),
        .rx_inflight = (uint32_t)l->rx_inflight,
        .subscriptions = (uint32_t)l->subscriptions,
        .retained_count = (uint32_t)l->retained_count,
        .retained_bytes = (uint64_t)l->retained_bytes,
        .expiry_max_s = (uint32_t)(l->session_expiry_ms / 1000),
        .topic_levels = (uint32_t)l->topic_levels,
        .queue_qos0 = l->queue_qos0,
        .share = (uint8_t)l->share,
    };
}

tg_files_config tg_config_files_of(const tg_config *c, const char *path)
{
    const tg_config_files *f = &c->files;
    return (tg_files_config){
        .path = path,
        .max_bytes = (uint64_t)f->max_bytes,
        .total = (uint64_t)f->total,
        .device_bytes = (uint64_t)f->device_bytes,
        .device_files = (uint64_t)f->device_files,
        .max_age_s = (uint64_t)(f->max_age_ms + 999) / 1000,
        .drop = f->when_full == 0,
    };
}

static bool is_loopback(tg_slice bind)
{
    static const char *const local[] = {"127.", "[::1]", "localhost:"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if (bind.len >= strlen(local[i]) &&
            memcmp(bind.at, local[i], strlen(local[i])) == 0)
            return true;
    return false;
}

bool tg_config_is_open(const tg_value *listener)
{
    return tg_value_bool(listener, "anonymous", false) &&
           !is_loopback(tg_value_str(listener, "bind", TG_LIT("")));
}
