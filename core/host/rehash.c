// SPDX-License-Identifier: Apache-2.0
// SIGHUP. The new config is read and checked whole before anything changes; if it is wrong,
// the running one stays. Then listeners that are new or different are opened, those that are
// gone are closed (their connections stay), and what only a start can change is named.
#include <stdio.h>

#include "host/host.h"

static const tg_value *named(const tg_value *listeners, tg_slice name)
{
    for (size_t i = 0; i < listeners->list.count; i++) {
        const tg_value *l = &listeners->list.items[i];
        if (tg_slice_eq(tg_value_str(l, "name", (tg_slice){0}), name))
            return l;
    }
    return NULL;
}

/// The changed listener at `now` can be opened; else it is told why not, and tried again by the
/// next rehash.
static bool usable(tg_the_host *h, const tg_value *now)
{
    char where[32];
    tg_error e = {0};
    snprintf(where, sizeof(where), "listeners[%td]",
             now - h->config.listeners->list.items + 1);
    if (tg_listeners_check_files(now, h->config.file, where, &e) == 0)
        return true;
    tg_slice name = tg_value_str(now, "name", (tg_slice){0});
    tg_log(HOST, ERROR, "listener %.*s stays as it was: %s", (int)name.len, name.at,
           e.message);
    tg_buf_put(&h->unchanged, name.at, name.len);
    tg_buf_putc(&h->unchanged, '\0');
    return false;
}

/// Closes what is gone or different. @return how many.
static size_t close_old(tg_the_host *h, const tg_config *old)
{
    size_t n = 0;
    tg_buf unchanged = h->unchanged;
    h->unchanged = (tg_buf){0};
    for (size_t i = 0; i < old->listeners->list.count; i++) {
        const tg_value *was = &old->listeners->list.items[i];
        tg_slice name = tg_value_str(was, "name", (tg_slice){0});
        const tg_value *now = named(h->config.listeners, name);
        char text[128];
        snprintf(text, sizeof(text), "%.*s", (int)name.len, name.at);
        bool same =
            now != NULL && tg_value_eq(was, now) && !tg_host_has_name(&unchanged, text);
        if (same || (now != NULL && !usable(h, now)))
            continue;
        n += tg_listeners_close(h->rt, text) == 0;
    }
    tg_buf_free(&unchanged);
    return n;
}

typedef struct search {
    tg_slice name;
    bool found;
} search;

static void match(void *ctx, const tg_listener_info *i)
{
    search *s = ctx;
    s->found |= tg_slice_eq(tg_str(i->name), s->name);
}

/// Opens what is not open: new ones, changed ones, and those that were left out before.
static size_t open_new(tg_the_host *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->config.listeners->list.count; i++) {
        const tg_value *l = &h->config.listeners->list.items[i];
        search s = {tg_value_str(l, "name", (tg_slice){0}), false};
        tg_error e = {0};
        tg_listeners_each(h->rt, match, &s);
        if (s.found)
            continue;
        if (tg_host_open_listener(h, l, i, &e) == 0)
            n++;
        else
            tg_log(HOST, ERROR, "listener: %s", e.message);
    }
    return n;
}

/// What `c` says about plugin `name`; false when it does not list it.
static bool listed(tg_config *c, const char *name, tg_config_plugin *out)
{
    for (size_t i = 0; tg_config_plugin_at(c, i, out); i++)
        if (strcmp(out->name, name) == 0)
            return true;
    return false;
}

static const tg_value *or_nothing(const tg_value *v)
{
    static const tg_value nothing = {0};
    return v != NULL ? v : &nothing;
}

/// Loads what is listed anew, and what failed before. Options of a plugin that runs already,
/// and one that is no longer listed, wait for a restart.
static size_t load_new(tg_the_host *h, tg_config *old)
{
    tg_config_plugin now, was;
    size_t n = 0;
    tg_buf failed = h->left_out;
    h->left_out = (tg_buf){0};
    for (size_t i = 0; tg_config_plugin_at(&h->config, i, &now); i++) {
        if (!listed(old, now.name, &was) || tg_host_has_name(&failed, now.name))
            n += tg_host_load_plugin(h, &now);
        else if (!tg_value_eq(or_nothing(was.options), or_nothing(now.options)))
            tg_log(HOST, WARN, "options of plugin %s have changed: that takes a restart",
                   now.name);
    }
    for (size_t i = 0; tg_config_plugin_at(old, i, &was); i++)
        if (!listed(&h->config, was.name, &now))
            tg_log(HOST, WARN, "plugin %s is no longer listed: it runs until a restart",
                   was.name);
    tg_buf_free(&failed);
    return n;
}

/// Options that are read at the start alone.
static void name_unchanged(const tg_config *old, const tg_config *now)
{
    static const char *const fixed[] = {"workers",  "state_dir", "plugin_path", "store",
                                        "admin",    "limits",    "users",       "auth",
                                        "shutdown", "sys",       "files"};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        const tg_value *was = tg_value_get(&old->root, fixed[i]);
        const tg_value *is = tg_value_get(&now->root, fixed[i]);
        if (!tg_value_eq(or_nothing(was), or_nothing(is)))
            tg_log(HOST, WARN, "'%s' has changed: that takes a restart", fixed[i]);
    }
}

void tg_host_rehash(tg_the_host *h)
{
    tg_config old = h->config;
    tg_config now;
    tg_error e = {0};
    tg_log(HOST, INFO, "reading the config again");
    if (tg_config_read(h->config_file, &now, &e) != 0) {
        tg_log(HOST, ERROR, "the running config stays: %s", e.message);
        tg_listeners_reload_tls(h->rt);
        return;
    }
    tg_host_notify("RELOADING=1");
    h->config = now;
    tg_host_open_log(h);
    int failed = tg_listeners_reload_tls(h->rt);
    tg_buf_clear(&h->problems);
    size_t loaded = load_new(h, &old);
    tg_host_check_auth(h);
    size_t closed = close_old(h, &old);
    size_t opened = open_new(h);
    tg_host_tell_problems(h);
    name_unchanged(&old, &now);
    tg_log(HOST, INFO,
           "config read again: %zu listeners closed, %zu opened, %zu plugins loaded, "
           "%d certificates failed",
           closed, opened, loaded, failed);
    tg_config_free(&old); // the runtime and the API copied what they keep
    tg_host_notify("READY=1");
}
