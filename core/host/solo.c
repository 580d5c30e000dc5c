// SPDX-License-Identifier: Apache-2.0
// The same loader, adapters and frames as in the running host, so that what works here works
// there.
#include "host/solo.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/decode.h"
#include "admin/write.h"
#include "codec/json_read.h"
#include "lua/lua_host.h"

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int make_state(tg_solo *o, tg_error *e)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(o->state, sizeof(o->state), "%s/tidegate-XXXXXX",
             tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    if (mkdtemp(o->state) != NULL)
        return 0;
    o->state[0] = '\0';
    return tg_error_set(e, TG_E_IO, "no temporary folder: %s", strerror(errno));
}

static void set_plugin_path(tg_solo *o)
{
    tg_slice path = o->config.plugin_path;
    if (path.len > 0)
        snprintf(o->plugins, sizeof(o->plugins), "%.*s", (int)path.len, path.at);
    else
        tg_path_plugins(o->plugins);
}

static int start(tg_solo *o, uint32_t workers, tg_error *e)
{
    tg_runtime_config rc = {
        .workers = workers,
        .mailbox_bytes = (uint64_t)o->config.limits.mailbox_bytes,
        .hub = tg_config_hub_limits(&o->config),
        .plugin_path = o->plugins,
        .state_dir = o->state,
        .kv_bytes = (uint64_t)o->config.limits.kv_bytes,
        .slow_callback_ms = (uint32_t)o->config.limits.slow_callback_ms,
    };
    int code = tg_runtime_new(&rc, &o->rt, e);
    if (code == 0)
        code = tg_plugins_add_static(o->rt, &tg_lua_plugin, e);
    return code == 0 ? tg_runtime_start(o->rt, e) : code;
}

static void take_id(void *ctx, const tg_version_info *i)
{
    tg_solo *o = ctx; // the last one stays: plugins come in the order of loading
    snprintf(o->id, sizeof(o->id), "%s", i->plugin);
}

void tg_solo_take_id(tg_solo *o)
{
    tg_plugins_each(o->rt, take_id, o);
}

/// `listed` in a config is `plugin`: the same words, or the name of its folder.
static bool same_plugin(const char *listed, const char *plugin)
{
    size_t end = strlen(plugin);
    while (end > 1 && plugin[end - 1] == '/')
        end--;
    const char *slash = memrchr(plugin, '/', end);
    const char *name = slash != NULL ? slash + 1 : plugin;
    size_t len = end - (size_t)(name - plugin);
    return strcmp(listed, plugin) == 0 ||
           (strlen(listed) == len && memcmp(listed, name, len) == 0);
}

static int load(tg_solo *o, const char *plugin, tg_error *e)
{
    tg_config_plugin p, found = {.where = "options"};
    for (size_t i = 0; tg_config_plugin_at(&o->config, i, &p); i++)
        if (same_plugin(p.name, plugin))
            found = p;
    int rc = tg_plugins_load(o->rt, plugin, found.options, o->config.file, found.where, e);
    if (rc == 0)
        tg_solo_take_id(o);
    return rc;
}

int tg_solo_start(const char *config_file, uint32_t workers, tg_solo *out, tg_error *e)
{
    *out = (tg_solo){0};
    tg_log_set_level(NULL, TG_LOG_ERROR);
    int rc = tg_config_read(config_file, &out->config, e);
    if (rc != 0)
        return rc;
    set_plugin_path(out);
    rc = make_state(out, e);
    if (rc == 0)
        rc = start(out, workers, e);
    if (rc != 0)
        tg_solo_close(out);
    return rc;
}

int tg_solo_open(const char *config_file, const char *plugin, tg_solo *out, tg_error *e)
{
    int rc = tg_solo_start(config_file, 1, out, e);
    if (rc != 0)
        return rc;
    rc = load(out, plugin, e);
    if (rc != 0)
        tg_solo_close(out);
    return rc;
}

void tg_solo_close(tg_solo *o)
{
    if (o->rt != NULL) {
        tg_runtime_stop(o->rt, 1000);
        tg_runtime_free(o->rt);
    }
    if (o->state[0] != '\0')
        nftw(o->state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    tg_config_free(&o->config);
    *o = (tg_solo){0};
}

int tg_solo_decode(const char *config_file, const char *plugin, tg_slice hex,
                   tg_arena *arena, tg_value *json, tg_buf *text, tg_error *e)
{
    tg_solo o;
    tg_buf frame = {0};
    int rc = 0;
    if (hex.len == 0 || !tg_take_hex(hex, &frame))
        rc = tg_error_set(e, TG_E_INVAL, "a frame is written in hex digits, two a byte");
    if (rc == 0)
        rc = tg_solo_open(config_file, plugin, &o, e);
    if (rc == 0) {
        rc = tg_decode_json(o.rt, o.id, tg_buf_slice(&frame), text, e);
        tg_buf_putc(text, '\n');
        tg_solo_close(&o);
    }
    tg_buf_free(&frame);
    return rc == 0 ? tg_json_read(tg_buf_slice(text), arena, json, e) : rc;
}
