// SPDX-License-Identifier: Apache-2.0
// The module table and `require`. A plugin sees the host's modules and the files of its own
// folder, nothing else; what require() has loaded stays loaded, and nothing new is loaded
// once the main chunk has ended.
#include "lua/api.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/conn.h"
#include "lua/kit.h"
#include "lua/lib.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

#define MODULE "tidegate"

// ---- helpers of the bindings ----------------------------------------------------------

int64_t tg_lua_check_duration(lua_State *L, int index)
{
    int64_t ms;
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Number s = lua_tonumber(L, index);
        luaL_argcheck(L, s >= 0 && s < 4e6, index, "seconds, 0 to 4000000");
        return (int64_t)(s * 1000);
    }
    tg_slice text;
    text.at = luaL_checklstring(L, index, &text.len);
    ms = tg_parse_duration(text);
    luaL_argcheck(L, ms >= 0 && ms <= UINT32_MAX, index, "a duration, e.g. \"5s\"");
    return ms;
}

bool tg_lua_string_field(lua_State *L, int index, const char *key, tg_slice *out)
{
    index = lua_absindex(L, index);
    lua_pushstring(L, key);
    bool found = lua_rawget(L, index) == LUA_TSTRING;
    if (found)
        out->at = lua_tolstring(L, -1, &out->len);
    lua_pop(L, 1); // the table still holds it
    return found;
}

// ---- declarations ---------------------------------------------------------------------

static const tg_value *config_now(tg_script *s, const tg_value *schema, tg_value *defaults)
{
    const tg_host *host = s->unit->env.host;
    if (!s->declaring)
        return host->config(s->unit->env.self);
    if (schema->kind == TG_MAP && tg_schema_defaults(schema, &s->arena, defaults) == 0)
        return defaults;
    return NULL;
}

static void push_module(lua_State *L, tg_script *s, tg_app *app)
{
    tg_value defaults = {.kind = TG_NIL};
    lua_createtable(L, 0, 16);
    lua_pushstring(L, app->decl->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, app->decl->version);
    lua_setfield(L, -2, "version");
    lua_newtable(L);
    lua_setfield(L, -2, "commands");
    lua_pushvalue(L, -1);
    app->module = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L); // one table for both: it is filled, and later filled anew
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "config");
    app->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "config");
    app->config = luaL_ref(L, LUA_REGISTRYINDEX);
    tg_script_share_config(s, app, config_now(s, &app->decl->config, &defaults));
}

int tg_lua_api_adapter(lua_State *L) // (-0 +1): options
{
    tg_script *s = tg_script_of(L);
    tg_error e = {0};
    tg_value options;
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!s->vm.loading)
        return luaL_error(L, "tg.adapter declares, which only the main chunk can do");
    if (s->napps == TG_UNIT_ADAPTERS)
        return luaL_error(L, "more than %d adapters in one plugin", TG_UNIT_ADAPTERS);
    int rc = tg_lua_to_value(L, 1, &s->arena, &options, &e);
    if (rc == 0)
        rc = tg_adapter_declare(&options, &s->arena, &s->decls[s->napps], &e);
    if (rc != 0)
        return luaL_error(L, "%s", e.message);
    tg_app *app = &s->apps[s->napps];
    app->decl = &s->decls[s->napps++];
    push_module(L, s, app);
    return 1;
}

// ---- small functions ------------------------------------------------------------------

static void on_wake(void *ctx)
{
    tg_wait *w = ctx;
    w->timer.id = 0;
    tg_wait_done(w, 0, NULL);
}

int tg_lua_api_sleep(lua_State *L) // (-0 +1): duration
{
    int64_t ms = tg_lua_check_duration(L, 1);
    tg_task *t = tg_wait_check(L, "tg.sleep");
    tg_wait *w = tg_lua_wait_new(t);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    int rc = t->script->unit->env.timer->start((uint32_t)ms, 0, on_wake, w, &w->timer);
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    return tg_lua_result(L, rc);
}

static int api_worker(lua_State *L)
{
    tg_script *s = tg_script_of(L);
    lua_pushinteger(L, s->worker);
    lua_pushinteger(L, s->unit->engine->workers);
    return 2;
}

static int api_now(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)tg_script_of(L)->unit->env.timer->clock());
    return 1;
}

/// Milliseconds of a clock that never goes back, for measuring.
static int api_ticks(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)tg_script_of(L)->unit->env.timer->now());
    return 1;
}

// ---- require --------------------------------------------------------------------------

/// Compiles module `name`, of the host's kit or of the plugin's folder, onto the top.
static int load_text(lua_State *L, tg_script *s, const char *name)
{
    const tg_kit *kit = tg_kit_find(name);
    if (kit != NULL)
        return luaL_loadbufferx(L, kit->text, strlen(kit->text), kit->chunk, "t");
    const tg_source *src = tg_sources_find(&s->unit->sources, name);
    if (src == NULL)
        return luaL_error(L,
                          "module '%s' not found: a plugin can require \"tidegate\", its "
                          "modules, and the files of its own folder",
                          name);
    return luaL_loadbufferx(L, src->text, src->len, src->chunk, "t");
}

/// Runs module `name`; its result is on the top.
static void load_module(lua_State *L, tg_script *s, const char *name)
{
    int rc = load_text(L, s, name);
    if (!s->vm.loading)
        luaL_error(L, "module '%s' is not loaded: require it while the plugin loads", name);
    if (rc != LUA_OK)
        lua_error(L);
    lua_pushboolean(L, 0); // seen again before it has ended: a circle
    lua_setfield(L, 2, name);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
}

static int api_require(lua_State *L) // (-0 +1): name
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, TG_LUA_LOADED);
    int type = lua_getfield(L, 2, name);
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        return luaL_error(L, "module '%s' requires itself", name);
    if (type != LUA_TNIL)
        return 1;
    load_module(L, tg_script_of(L), name);
    return 1;
}

// ---- the module -----------------------------------------------------------------------

static const struct {
    const char *name;
    int (*open)(lua_State *L);
} pure_modules[] = {
    {"struct", tg_lua_open_struct}, {"tlv", tg_lua_open_tlv},
    {"bits", tg_lua_open_bits},     {"bcd", tg_lua_open_bcd},
    {"hex", tg_lua_open_hex},       {"charset", tg_lua_open_charset},
    {"check", tg_lua_open_check},   {"json", tg_lua_open_json},
    {"time", tg_lua_open_time},     {"crypto", tg_lua_open_crypto},
    {"gzip", tg_lua_open_gzip},
};

static const struct {
    const char *name;
    void (*open)(lua_State *L);
} host_modules[] = {
    {"timer", tg_lua_open_timer},   {"kv", tg_lua_open_kv},
    {"auth", tg_lua_open_auth},     {"log", tg_lua_open_log},
    {"metric", tg_lua_open_metric}, {"spool", tg_lua_open_spool},
    {"files", tg_lua_open_files},
};

/// Sets the value on the top as module `name`, for require() and as a field of tidegate.
/// Stack: …, loaded, tidegate, value. What has a metatable of its own looks after itself.
static void add_module(lua_State *L, const char *name)
{
    const char *what = lua_pushfstring(L, "tidegate.%s", name);
    lua_insert(L, -2);
    bool own = lua_getmetatable(L, -1);
    if (own)
        lua_pop(L, 1);
    if (lua_istable(L, -1) && !own)
        tg_lua_freeze(L, what);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, name);
    lua_settable(L, -4); // loaded["tidegate.<name>"] = value
}

void tg_lua_open_api(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"adapter", tg_lua_api_adapter},
        {"sleep", tg_lua_api_sleep},
        {"dial", tg_lua_api_dial},
        {"worker", api_worker},
        {NULL, NULL},
    };
    lua_getfield(L, LUA_REGISTRYINDEX, TG_LUA_LOADED);
    luaL_newlib(L, functions);
    tg_lua_push_publish(L, tg_lua_api_publish);
    lua_setfield(L, -2, "publish");
    tg_lua_open_driver(L);
    lua_setfield(L, -2, "driver");
    for (size_t i = 0; i < sizeof(pure_modules) / sizeof(*pure_modules); i++) {
        lua_pushcfunction(L, pure_modules[i].open);
        lua_call(L, 0, 1);
        if (strcmp(pure_modules[i].name, "time") == 0) {
            lua_pushcfunction(L, api_now);
            lua_setfield(L, -2, "now");
            lua_pushcfunction(L, api_ticks);
            lua_setfield(L, -2, "ticks");
        }
        add_module(L, pure_modules[i].name);
    }
    for (size_t i = 0; i < sizeof(host_modules) / sizeof(*host_modules); i++) {
        host_modules[i].open(L);
        add_module(L, host_modules[i].name);
    }
    tg_lua_freeze(L, MODULE);
    lua_setfield(L, -2, MODULE);
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, TG_LUA_GLOBALS);
    lua_pushcfunction(L, api_require);
    lua_setfield(L, -2, "require");
    lua_pop(L, 1);
}
