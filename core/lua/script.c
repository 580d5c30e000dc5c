// SPDX-License-Identifier: Apache-2.0
// A state per worker. The main chunk runs in each of them from the text that was hashed;
// what it declares must be what the first run declared. Then the globals are closed, the
// handlers are looked up once, and nothing of the module's table is asked again.
#include "lua/script.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/api.h"
#include "lua/conn.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

#define SCRIPT_MAGIC 0x5c219701u
#define GC_MS 100
#define GC_BUSY_RUNS 100u // callbacks in that time

const char *const tg_handler_names[TG_ON_COUNT] = {
    "decode",   "encode",  "on_open",    "on_message", "on_downlink", "on_idle", "on_move",
    "on_close", "on_data", "on_damaged", "migrate",    "on_shutdown", "on_away",
};

tg_script *tg_script_of(lua_State *L)
{
    tg_script *s = tg_vm_of(L)->owner;
    assert(s == NULL || s->magic == SCRIPT_MAGIC);
    return s;
}

static void log_line(void *owner, tg_level level, tg_slice text)
{
    tg_script *s = owner;
    s->unit->env.host->log(s->unit->env.self, level, text);
}

// ---- loading --------------------------------------------------------------------------

static int open_modules(lua_State *L)
{
    tg_lua_open_value(L);
    tg_lua_open_conn(L);
    tg_lua_open_downlink(L);
    tg_lua_open_api(L);
    return 0;
}

static int load_main(tg_script *s, tg_error *e)
{
    const tg_source *src = tg_sources_main(&s->unit->sources);
    lua_State *L = s->vm.L;
    assert(src != NULL);
    if (luaL_loadbufferx(L, src->text, src->len, src->chunk, "t") == LUA_OK)
        return 0;
    int rc = tg_error_set(e, TG_E_SCRIPT, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return rc;
}

/// "on_mesage" is a mistake; a helper of the module's own is not.
static int check_name(const char *key, tg_error *e, const char *id)
{
    const char *names[TG_ON_COUNT + 2];
    for (int i = 0; i < TG_ON_COUNT; i++) {
        names[i] = tg_handler_names[i];
        if (strcmp(key, names[i]) == 0)
            return 0;
    }
    names[TG_ON_COUNT] = "commands";
    names[TG_ON_COUNT + 1] = "config";
    const char *near = tg_nearest(tg_str(key), names, TG_ON_COUNT + 2);
    if (near == NULL && strncmp(key, "on_", 3) != 0)
        return 0;
    return tg_error_set(e, TG_E_SCRIPT, "adapter '%s': no such handler '%s'%s%s%s", id, key,
                        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
}

/// The module's table is on the top.
static int check_names(lua_State *L, const char *id, tg_error *e)
{
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, -2) != 0) {
        if (lua_isfunction(L, -1) && lua_type(L, -2) == LUA_TSTRING)
            rc = check_name(lua_tostring(L, -2), e, id);
        lua_pop(L, 1);
    }
    if (rc != 0)
        lua_pop(L, 1);
    return rc;
}

static int find_handlers(tg_script *s, tg_app *app, tg_error *e)
{
    lua_State *L = s->vm.L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, app->module);
    int rc = check_names(L, app->decl->id, e);
    for (int h = 0; rc == 0 && h < TG_ON_COUNT; h++) {
        lua_pushstring(L, tg_handler_names[h]);
        int type = lua_rawget(L, -2);
        if (type != LUA_TNIL && type != LUA_TFUNCTION)
            rc = tg_error_set(e, TG_E_SCRIPT, "adapter '%s': %s must be a function",
                              app->decl->id, tg_handler_names[h]);
        app->handler[h] = LUA_NOREF;
        if (type == LUA_TFUNCTION)
            app->handler[h] = luaL_ref(L, LUA_REGISTRYINDEX);
        else
            lua_pop(L, 1);
    }
    app->commands = LUA_NOREF;
    lua_pushliteral(L, "commands"); // raw: nobody would catch what a metamethod raises
    if (rc == 0 && lua_rawget(L, -2) == LUA_TTABLE) {
        lua_pushnil(L);
        if (lua_next(L, -2) != 0) {
            lua_pop(L, 2);
            app->commands = luaL_ref(L, LUA_REGISTRYINDEX);
        }
    }
    if (rc == 0 && app->decl->nframes == 0 && app->handler[TG_ON_DATA] == LUA_NOREF)
        rc = tg_error_set(e, TG_E_SCRIPT, "adapter '%s': frame = \"raw\" needs on_data",
                          app->decl->id);
    if (rc == 0 && app->decl->nframes > 0 && app->handler[TG_ON_DECODE] == LUA_NOREF)
        rc = tg_error_set(e, TG_E_SCRIPT, "adapter '%s' has no decode function",
                          app->decl->id);
    if (rc == 0 && app->decl->nframes > 0 && app->handler[TG_ON_DATA] != LUA_NOREF)
        rc = tg_error_set(e, TG_E_SCRIPT,
                          "adapter '%s': on_data is for frame = \"raw\" only",
                          app->decl->id);
    lua_settop(L, 0);
    return rc;
}

static int run_main(tg_script *s, tg_error *e)
{
    int rc = load_main(s, e);
    if (rc == 0)
        rc = tg_vm_load(&s->vm, e);
    if (rc != 0)
        return rc;
    lua_settop(s->vm.L, 0);
    if (s->napps + s->nauths == 0)
        return tg_error_set(e, TG_E_SCRIPT, "%s: declares neither tg.adapter nor tg.auth",
                            tg_sources_main(&s->unit->sources)->chunk + 1);
    for (uint32_t i = 0; rc == 0 && i < s->napps; i++)
        rc = find_handlers(s, &s->apps[i], e);
    return rc;
}

// ---- config ---------------------------------------------------------------------------

static int set_topic(tg_script *s, const tg_value *config, const char *key,
                     tg_template *out, tg_error *e)
{
    tg_slice text = tg_value_str(config, key, (tg_slice){0});
    if (text.len == 0)
        return 0;
    int rc = tg_template_parse(text, &s->arena, out, e);
    return rc == 0 ? 0 : tg_error_prefix(e, "config.%s", key);
}

/// Fills the table that M.config and ctx.config are: a script may have kept it.
void tg_script_share_config(tg_script *s, tg_app *app, const tg_value *config)
{
    lua_State *L = s->vm.L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, app->config);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) { // clearing while walking is allowed
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, -4);
    }
    size_t n = config != NULL && config->kind == TG_MAP ? config->map.count : 0;
    for (size_t i = 0; i < n; i++) {
        const tg_pair *p = &config->map.pairs[i];
        lua_pushlstring(L, p->key.at, p->key.len);
        tg_lua_push_value(L, &p->value);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

int tg_script_configure(tg_script *s, const tg_value *config, tg_error *e)
{
    for (uint32_t i = 0; i < s->napps; i++) {
        tg_app *app = &s->apps[i];
        app->topic = app->decl->topic;
        app->down = app->decl->down;
        int rc = set_topic(s, config, "topic", &app->topic, e);
        if (rc == 0)
            rc = set_topic(s, config, "down", &app->down, e);
        if (rc != 0)
            return rc;
        if (!s->declaring) // it has the defaults since tg.adapter{}
            tg_script_share_config(s, app, config);
    }
    return 0;
}

// ---- opening and closing --------------------------------------------------------------

/// The adapters of a script are those of its unit, with their framers.
static int adopt(tg_script *s, tg_error *e)
{
    tg_unit_lua *u = s->unit;
    if (s->declaring)
        return 0;
    if (s->napps != u->nadapters || s->nauths != u->nauths)
        return tg_error_set(e, TG_E_SCRIPT,
                            "%s: declares other adapters each time it is loaded",
                            u->sources.label);
    for (uint32_t i = 0; i < s->napps; i++) {
        if (strcmp(s->decls[i].id, u->adapters[i].id) != 0)
            return tg_error_set(e, TG_E_SCRIPT,
                                "%s: declares other adapters each time it is "
                                "loaded",
                                u->sources.label);
        s->apps[i].decl = &u->adapters[i];
    }
    return 0;
}

static int open_state(tg_script *s, tg_error *e)
{
    int rc = tg_vm_open(&s->vm, &s->bench->guard, TG_VM_MEMORY);
    if (rc != 0)
        return tg_error_set(e, rc, "out of memory");
    s->vm.owner = s;
    s->vm.log = log_line;
    lua_pushcfunction(s->vm.L, open_modules);
    if (lua_pcall(s->vm.L, 0, 0, 0) != LUA_OK)
        return tg_error_set(e, TG_E_NOMEM, "%s", lua_tostring(s->vm.L, -1));
    return 0;
}

// Devices that do no more than to say now and then that they are there keep no state busy, but
// leave it no idle moment either: between their few messages it is collected as soon as an
// eighth has come to it, or garbage would grow to what a busy state may have.
static void collect_step(void *ctx)
{
    tg_script *s = ctx;
    uint32_t runs = s->vm.runs - s->gc_runs;
    s->gc_runs = s->vm.runs;
    if (runs > GC_BUSY_RUNS || s->bench->running != NULL)
        return; // busy: allocation pays for the collector
    if (runs > 0 && !s->gc_under_way && !tg_vm_has_grown(&s->vm))
        return;
    s->gc_under_way = !tg_vm_collect(&s->vm);
    if (s->gc_under_way || runs > 0)
        return;
    s->unit->env.timer->stop(s->gc_timer);
    s->gc_armed = false;
}

int tg_script_open(tg_unit_lua *u, uint32_t worker, tg_bench *bench, bool declaring,
                   tg_script **out, tg_error *e)
{
    tg_script *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    s->magic = SCRIPT_MAGIC;
    s->unit = u;
    s->worker = worker;
    s->bench = bench;
    s->declaring = declaring;
    tg_list_init(&s->idle);
    tg_list_init(&s->busy);
    tg_list_init(&s->timers);
    int rc = open_state(s, e);
    if (rc == 0)
        rc = run_main(s, e);
    if (rc == 0)
        rc = adopt(s, e);
    if (rc == 0)
        rc = tg_script_configure(s, declaring ? NULL : u->env.host->config(u->env.self), e);
    if (rc != 0) {
        tg_script_end(s);
        tg_script_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

static void purge_jobs(tg_script *s)
{
    tg_list *n = s->bench->jobs.next;
    while (n != &s->bench->jobs) {
        tg_job *j = TG_OWNER(n, tg_job, node);
        n = n->next;
        if (j->script != s)
            continue;
        tg_list_del(&j->node);
        j->drop(j);
    }
    tg_lconn *c = s->bench->pump_first;
    s->bench->pump_first = s->bench->pump_last = NULL;
    while (c != NULL) {
        tg_lconn *next = c->next;
        c->queued_pump = false;
        if (c->script != s)
            tg_conn_pump(c);
        c = next;
    }
}

static void end_task(tg_task *t)
{
    if (t->wait != NULL) {
        t->wait->task = NULL; // freed when its operation completes
        if (t->wait->timer.id != 0) {
            t->script->unit->env.timer->stop(t->wait->timer);
            tg_lua_wait_free(t->wait);
        }
    }
    tg_list_del(&t->node);
    t->magic = 0;
    free(t);
}

void tg_script_end(tg_script *s)
{
    if (s->ended)
        return;
    s->ended = true;
    if (s->vm.L != NULL)
        tg_lua_timers_end(s);
    if (s->gc_armed)
        s->unit->env.timer->stop(s->gc_timer);
    purge_jobs(s);
    for (tg_list *n = s->busy.next; n != &s->busy;) {
        tg_task *t = TG_OWNER(n, tg_task, node);
        n = n->next;
        if (t->done != NULL && t->conn == NULL) {
            lua_settop(t->co, 0);
            t->done(t, TG_E_RELOADED, 0);
        }
        end_task(t);
    }
    while (!tg_list_empty(&s->idle))
        end_task(TG_OWNER(s->idle.next, tg_task, node));
}

void tg_script_free(tg_script *s)
{
    assert(s->magic == SCRIPT_MAGIC && s->ended);
    tg_vm_close(&s->vm);
    for (uint32_t i = 0; i < s->napps; i++)
        tg_adapter_decl_free(&s->decls[i]);
    tg_arena_free(&s->arena);
    tg_buf_free(&s->text);
    tg_buf_free(&s->topic);
    s->magic = 0;
    free(s);
}

void tg_script_touch(tg_script *s)
{
    if (s->gc_armed || s->declaring)
        return;
    s->gc_armed =
        s->unit->env.timer->start(GC_MS, GC_MS, collect_step, s, &s->gc_timer) == 0;
}
