// SPDX-License-Identifier: Apache-2.0
// The small table that every plugin is handed, and the list of all others by name. A table has
// its version in one place: this one.
#include <stdio.h>
#include <stdlib.h>

#include "plugin/line.h"
#include "plugin/op.h"

static void *host_alloc(void *at, size_t size)
{
    if (size > 0)
        return realloc(at, size);
    free(at);
    return NULL;
}

static void host_log(tg_self *self, tg_level level, tg_slice text)
{
    const tg_version *v = tg_version_check(self);
    tg_log_module module = v->unit != NULL ? TG_MOD_LUA : TG_MOD_PLUGIN;
    if (level > TG_LOG_DEBUG || !tg_log_on(module, level))
        return;
    const tg_local *here = tg_here();
    tg_field fields[3] = {TG_F("plugin", v->plug->id), TG_F("version", v->version)};
    size_t n = 2;
    if (here != NULL)
        fields[n++] = TG_FN("worker", here->index);
    tg_log_write(module, level, fields, n, "%.*s", (int)text.len, text.at);
}

static void host_set_error(tg_self *self, tg_slice text)
{
    tg_version_error(tg_version_check(self), text);
}

typedef struct table {
    const char *name;
    const void *at;
} table;

static const void *host_query(const char *name, uint16_t major, uint16_t minor)
{
    const table tables[] = {
        {"msg", tg_msg_table()},        {"conn", &tg_conn_table},
        {"listen", &tg_listen_table},   {"frame", &tg_frame_table},
        {"session", &tg_session_table}, {"auth", &tg_auth_table},
        {"timer", &tg_timer_table},     {"poll", &tg_poll_table},
        {"work", &tg_work_table},       {"kv", &tg_kv_table},
        {"metric", &tg_metric_table},   {"register", &tg_register_table},
        {"engine", &tg_engine_table},   {"spool", &tg_spool_table},
        {"files", &tg_files_table},
    };
    if (name == NULL || major != TG_ABI_MAJOR || minor > TG_ABI_MINOR)
        return NULL;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        if (strcmp(tables[i].name, name) == 0)
            return tables[i].at;
    return NULL;
}

typedef struct post {
    tg_version *self;
    uint32_t worker;
    void (*fn)(void *ctx);
    void *ctx;
} post;

// What was under way when the version stopped here finds it stopped: its worker's part of the
// plugin is gone, and with it whatever `ctx` means.
static void run_post(void *ctx)
{
    post p = *(post *)ctx;
    free(ctx);
    if (atomic_load(&p.self->part[p.worker].stage) != TG_STAGE_STOPPED) {
        tg_call_begin(p.self, "post");
        p.fn(p.ctx);
        tg_call_end();
    }
    tg_version_drop(p.self);
}

static int host_post(tg_self *self, uint32_t worker, void (*fn)(void *ctx), void *ctx)
{
    tg_version *v = tg_version_check(self);
    if (worker >= v->rt->nworkers || fn == NULL)
        return TG_E_INVAL;
    if (atomic_load(&v->rt->stopping) ||
        atomic_load(&v->part[worker].stage) == TG_STAGE_STOPPED)
        return TG_E_SHUTDOWN;
    post *p = malloc(sizeof(*p));
    if (p == NULL)
        return TG_E_NOMEM;
    *p = (post){v, worker, fn, ctx};
    tg_version_hold(v);
    int rc = tg_worker_run(tg_workers_at(v->rt->workers, worker), run_post, p);
    if (rc < 0) {
        free(p);
        tg_version_drop(v);
    }
    return rc;
}

static uint32_t host_worker(void)
{
    const tg_worker *w = tg_worker_here();
    return w != NULL ? tg_worker_index(w) : UINT32_MAX;
}

static const tg_value *host_config(tg_self *self)
{
    return &tg_version_check(self)->config;
}

const tg_host tg_host_table = {
    .size = sizeof(tg_host),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .workers = 0, // each runtime hands out a copy with its own number
    .alloc = host_alloc,
    .log = host_log,
    .set_error = host_set_error,
    .query = host_query,
    .post = host_post,
    .complete = tg_op_complete,
    .worker = host_worker,
    .config = host_config,
};
