// SPDX-License-Identifier: Apache-2.0
// The engine: paths to units, units to states. open() runs the declaration on the control
// thread in a state of its own; start() makes the state of a worker, on it; stop() ends
// what it does there and hands the state itself to the pool, because closing a big one
// takes time.
#include "lua/engine.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua/api.h"
#include "lua/lanes.h"
#include "lua/lua_host.h"

#define ENGINE_MAGIC 0x3e619e01u
#define UNIT_MAGIC 0x0217a001u

static tg_lua_engine *engine_of(const tg_engine *self)
{
    tg_lua_engine *e = TG_OWNER(self, tg_lua_engine, pub);
    assert(e->magic == ENGINE_MAGIC);
    return e;
}

static tg_unit_lua *unit_of(tg_unit *pub)
{
    tg_unit_lua *u = pub->impl;
    assert(u->magic == UNIT_MAGIC);
    return u;
}

// ---- opening --------------------------------------------------------------------------

static bool claims(const tg_engine *self, const char *path)
{
    (void)self;
    size_t n = strlen(path);
    if (n > 4 && strcmp(path + n - 4, ".lua") == 0)
        return true;
    char main[4096];
    snprintf(main, sizeof(main), "%s/init.lua", path);
    return access(main, F_OK) == 0;
}

int tg_bench_attach(tg_bench *b, tg_monitor *m, uint32_t index)
{
    if (b->attached)
        return 0;
    int rc = tg_guard_attach(&b->guard, m);
    if (rc != 0)
        return rc;
    b->attached = true;
    b->index = index;
    tg_list_init(&b->jobs);
    return 0;
}

int tg_scratch_begin(tg_scratch *x, tg_lua_engine *engine)
{
    memset(x, 0, sizeof(*x));
    tg_list_init(&x->bench.jobs);
    x->outer = tg_guard_here();
    if (x->outer != NULL) // a thread of the engine's own: it has a guard, which is free now
        return tg_guard_replace(x->outer, &x->bench.guard, engine->monitor);
    return tg_guard_attach(&x->bench.guard, engine->monitor);
}

void tg_scratch_end(tg_scratch *x)
{
    tg_guard_detach(&x->bench.guard);
    if (x->outer != NULL)
        tg_guard_restore(x->outer);
}

static uint32_t capabilities_of(const tg_unit_lua *u)
{
    return (u->nadapters > 0 ? (uint32_t)TG_CAP_ADAPTER : 0u) |
           (u->nauths > 0 ? (uint32_t)TG_CAP_AUTH : 0u);
}

/// The options of all that is declared, as one map.
static void join_schemas(tg_unit_lua *u)
{
    tg_value_builder b = {.arena = &u->arena};
    for (uint32_t i = 0; i < u->nadapters + u->nauths; i++) {
        const tg_value *v =
            i < u->nadapters ? &u->adapters[i].config : &u->auths[i - u->nadapters].config;
        for (size_t k = 0; v->kind == TG_MAP && k < v->map.count; k++) {
            tg_build(&b, "", v->map.pairs[k].value);
            if (!u->arena.failed)
                b.pairs[b.count - 1].key = v->map.pairs[k].key;
        }
    }
    u->schema = tg_build_map(&b);
}

/// What the declaring state found becomes the unit's.
static void adopt(tg_unit_lua *u, tg_script *s)
{
    for (uint32_t i = 0; i < s->napps; i++)
        s->decls[i].commands = tg_command_names(s, &s->apps[i]);
    u->arena = s->arena;
    s->arena = (tg_arena){0};
    memcpy(u->adapters, s->decls, sizeof(u->adapters));
    memcpy(u->auths, s->auth_decls, sizeof(u->auths));
    u->nadapters = s->napps;
    u->nauths = s->nauths;
    s->napps = s->nauths = 0;
    join_schemas(u);
    const char *id = u->nadapters > 0 ? u->adapters[0].id : u->auths[0].id;
    const char *version = u->nadapters > 0 ? u->adapters[0].version : u->auths[0].version;
    u->pub = (tg_unit){.size = sizeof(u->pub),
                       .capabilities = capabilities_of(u),
                       .id = id,
                       .version = version,
                       .hash = u->sources.hash,
                       .impl = u};
    u->pub.state_schema = u->nadapters > 0 ? (uint32_t)u->adapters[0].state_version : 1;
    u->pub.schema = u->schema.map.count > 0 ? &u->schema : NULL;
}

int tg_unit_open(tg_lua_engine *engine, const char *path, tg_unit_lua **out, tg_error *e)
{
    tg_unit_lua *u = calloc(1, sizeof(*u));
    tg_scratch x;
    tg_script *s = NULL;
    if (u == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    u->magic = UNIT_MAGIC;
    u->engine = engine;
    u->env = engine->env;
    int rc = tg_sources_read(path, &u->sources, e);
    if (rc == 0 && (rc = tg_scratch_begin(&x, engine)) == 0) {
        rc = tg_script_open(u, 0, &x.bench, true, &s, e);
        if (rc == 0) {
            adopt(u, s);
            tg_script_end(s);
            tg_script_free(s);
        }
        tg_scratch_end(&x);
    }
    if (rc != 0) {
        tg_unit_free(u);
        return rc;
    }
    *out = u;
    return 0;
}

void tg_unit_free(tg_unit_lua *u)
{
    for (uint32_t i = 0; i < u->nadapters; i++)
        tg_adapter_decl_free(&u->adapters[i]);
    tg_arena_free(&u->arena);
    tg_sources_free(&u->sources);
    free(u->scripts);
    u->magic = 0;
    free(u);
}

static int engine_open(const tg_engine *self, const char *path, tg_unit **out, char *error,
                       size_t len)
{
    tg_error e = {0};
    tg_unit_lua *u = NULL;
    int rc = tg_unit_open(engine_of(self), path, &u, &e);
    if (u == NULL) {
        snprintf(error, len, "%s", e.message);
        return rc;
    }
    *out = &u->pub;
    return 0;
}

static void engine_free(tg_unit *pub)
{
    tg_unit_free(unit_of(pub));
}

// ---- the life of a version ------------------------------------------------------------

static int register_offers(tg_unit_lua *u)
{
    const tg_register_api *add = u->env.add;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < u->nadapters; i++) {
        tg_offer *o = &u->offers[i];
        *o = (tg_offer){.unit = u, .index = i};
        tg_adapter_fill(&o->adapter, &u->adapters[i]);
        rc = add->adapter(u->env.self, &o->adapter, NULL, NULL);
    }
    for (uint32_t i = 0; rc == 0 && i < u->nauths; i++) {
        tg_offer *o = &u->offers[u->nadapters + i];
        *o = (tg_offer){.unit = u, .index = i};
        o->auth = (tg_auth_backend){
            .size = sizeof(o->auth), .id = u->auths[i].id, .check = tg_auth_check};
        rc = add->auth(u->env.self, &o->auth, NULL, NULL);
    }
    return rc;
}

static int counter(const tg_env *env, const char *name, const char *help)
{
    uint32_t id = 0;
    int rc = env->metric->counter(tg_str(name), tg_str(help), &id);
    return rc < 0 ? rc : (int)id;
}

static int engine_load(tg_unit *pub, const tg_host *host, tg_self *self)
{
    tg_unit_lua *u = unit_of(pub);
    u->env = u->engine->env;
    u->env.host = host;
    u->env.self = self;
    u->scripts = calloc(u->engine->workers, sizeof(tg_script *));
    if (u->scripts == NULL)
        return TG_E_NOMEM;
    u->errors_metric =
        counter(&u->env, "script_errors_total", "errors in the plugin's handlers");
    u->budget_metric = counter(&u->env, "script_over_budget_total",
                               "handlers that were ended for their CPU time");
    u->untold_metric =
        counter(&u->env, "script_away_untold_total",
                "messages for devices that are away whose fate the plugin was not told");
    if (u->errors_metric < 0 || u->budget_metric < 0 || u->untold_metric < 0)
        return TG_E_LIMIT;
    return register_offers(u);
}

static int engine_start(tg_unit *pub, uint32_t worker)
{
    tg_unit_lua *u = unit_of(pub);
    tg_bench *b = &u->engine->bench[worker];
    tg_error e = {0};
    int rc = tg_bench_attach(b, u->engine->monitor, worker);
    if (rc == 0)
        rc = tg_script_open(u, worker, b, false, &u->scripts[worker], &e);
    if (rc != 0 && e.code != 0)
        u->env.host->set_error(u->env.self, tg_str(e.message));
    return rc;
}

typedef struct configure_job {
    tg_unit_lua *unit;
    uint32_t worker;
    tg_value *config;
} configure_job;

static void run_configure(void *ctx)
{
    configure_job *j = ctx;
    tg_script *s = j->unit->scripts[j->worker];
    tg_error e = {0};
    if (s != NULL && tg_script_configure(s, j->config, &e) != 0)
        j->unit->env.host->log(j->unit->env.self, TG_LOG_ERROR, tg_str(e.message));
    tg_value_free(j->config);
    free(j);
}

static int engine_reconfigure(tg_unit *pub, const tg_value *config)
{
    tg_unit_lua *u = unit_of(pub);
    for (uint32_t w = 0; w < u->engine->workers; w++) {
        configure_job *j = calloc(1, sizeof(*j));
        if (j == NULL)
            return TG_E_NOMEM;
        *j = (configure_job){u, w, tg_value_copy(config)};
        int rc = j->config != NULL ? u->env.host->post(u->env.self, w, run_configure, j)
                                   : TG_E_NOMEM;
        if (rc == 0)
            continue;
        tg_value_free(j->config);
        free(j);
        return rc;
    }
    return 0;
}

static void close_state(void *ctx)
{
    tg_script_free(ctx);
}

static void state_closed(void *ctx, int code)
{
    if (code == TG_E_CANCELLED)
        tg_script_free(ctx);
}

static void engine_stop(tg_unit *pub, uint32_t worker)
{
    tg_unit_lua *u = unit_of(pub);
    tg_script *s = u->scripts[worker];
    if (s == NULL)
        return;
    u->scripts[worker] = NULL;
    tg_script_end(s);
    // On behalf of the engine, which outlives the version.
    u->engine->api->enter(u->engine->env.self, "stop");
    if (u->env.work->submit(close_state, state_closed, s) != 0)
        tg_script_free(s);
    u->engine->api->leave(u->engine->env.self);
}

/// Its connections go on; what is new goes to the next version by itself.
static void engine_drain(tg_unit *pub, uint32_t worker)
{
    (void)pub;
    (void)worker;
}

static void engine_unload(tg_unit *pub)
{
    tg_unit_lua *u = unit_of(pub);
    free(u->scripts);
    u->scripts = NULL;
}

// ---- the plugin -----------------------------------------------------------------------

tg_lua_engine *tg_lua_engine_new(const tg_host *host, tg_self *self)
{
    tg_lua_engine *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->magic = ENGINE_MAGIC;
    e->workers = host->workers;
    e->bench = calloc(host->workers, sizeof(*e->bench));
    e->api = host->query("engine", 1, 0);
    if (e->bench == NULL || e->api == NULL || tg_env_init(&e->env, host, self) != 0 ||
        (e->monitor = tg_monitor_new()) == NULL) {
        free(e->bench);
        free(e);
        return NULL;
    }
    e->pub = (tg_engine){.size = sizeof(e->pub),
                         .id = "lua",
                         .claims = claims,
                         .open = engine_open,
                         .load = engine_load,
                         .start = engine_start,
                         .reconfigure = engine_reconfigure,
                         .drain = engine_drain,
                         .stop = engine_stop,
                         .unload = engine_unload,
                         .free = engine_free};
    return e;
}

void tg_lua_engine_free(tg_lua_engine *e)
{
    if (e == NULL)
        return;
    tg_monitor_free(e->monitor);
    free(e->bench);
    e->magic = 0;
    free(e);
}

// load() and unload() have no context of their own and both run on the control thread.
static _Thread_local tg_lua_engine *loaded;

static int load(const tg_host *host, tg_self *self)
{
    tg_lua_engine *e = tg_lua_engine_new(host, self);
    if (e == NULL)
        return TG_E_NOMEM;
    int rc = e->api->add(self, &e->pub);
    if (rc != 0) {
        tg_lua_engine_free(e);
        return rc;
    }
    loaded = e;
    return 0;
}

static void stop(uint32_t worker)
{
    (void)worker;
    tg_guard *g = tg_guard_here();
    if (g != NULL)
        tg_guard_detach(g);
}

static void unload(void)
{
    tg_lua_engine_free(loaded);
    loaded = NULL;
}

const tg_plugin tg_lua_plugin = {
    .magic = TG_PLUGIN_MAGIC,
    .size = sizeof(tg_plugin),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .id = "lua",
    .version = "1.0.0",
    .life = {.load = load, .stop = stop, .unload = unload},
};
