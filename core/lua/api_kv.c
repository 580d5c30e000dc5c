// SPDX-License-Identifier: Apache-2.0
// tg.kv: keys shared by all workers of the plugin. A value is read while the host holds a
// lock, so it goes through a buffer and not straight into Lua, which may raise.
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/script.h"
#include "lua/value.h"

static const tg_kv_api *api_of(lua_State *L, const char *what)
{
    tg_script *s = tg_script_of(L);
    tg_lua_check_effects(L, what);
    if (s->declaring)
        luaL_error(L, "%s: not while the plugin declares what it is; use it in a handler",
                   what);
    return s->unit->env.kv;
}

static tg_slice check_slice(lua_State *L, int index)
{
    tg_slice s;
    s.at = luaL_checklstring(L, index, &s.len);
    return s;
}

typedef struct kv_options {
    uint32_t ttl;
    bool durable; ///< the call waits until the store has the key
} kv_options;

/// The option table at `index`: { ttl = "5m", durable = true }.
static kv_options read_options(lua_State *L, int index, const char *what)
{
    static const char *const names[] = {"ttl", "durable"};
    kv_options o = {0};
    if (lua_isnoneornil(L, index))
        return o;
    luaL_checktype(L, index, LUA_TTABLE);
    tg_lua_check_keys(L, index, what, names, 2);
    if (lua_getfield(L, index, "ttl") != LUA_TNIL)
        o.ttl = (uint32_t)tg_lua_check_duration(L, lua_gettop(L));
    o.durable = lua_getfield(L, index, "durable") != LUA_TNIL && lua_toboolean(L, -1);
    if (o.durable)
        tg_wait_check(L, what); // before anything has changed
    return o;
}

static int push_number(tg_wait *w, lua_State *co)
{
    if (w->code < 0)
        return tg_lua_push_result(co, w->code, NULL);
    lua_pushinteger(co, (lua_Integer)(intptr_t)w->extra);
    return 1;
}

static int push_boolean(tg_wait *w, lua_State *co)
{
    if (w->code < 0)
        return tg_lua_push_result(co, w->code, NULL);
    lua_pushboolean(co, w->extra != NULL);
    return 1;
}

/// Waits until the store has what `key` holds now, then gives `extra` by `push`.
static int keep(lua_State *L, const tg_kv_api *api, tg_slice key,
                int (*push)(tg_wait *w, lua_State *co), intptr_t extra)
{
    tg_wait *w = tg_lua_wait_new(tg_script_of(L)->task);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    w->push = push;
    w->extra = (void *)extra;
    if (api->keep == NULL) { // an offline test: nothing is stored, and nobody waits
        int n = push(w, L);
        tg_lua_wait_free(w);
        return n;
    }
    int rc = api->keep(key, tg_wait_done, w);
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    return tg_lua_result(L, rc);
}

static void put_value(void *ctx, tg_slice value)
{
    tg_buf *b = ctx;
    tg_buf_put(b, value.at, value.len);
}

static int kv_get(lua_State *L) // (-0 +1..2): key
{
    tg_buf *b = &tg_script_of(L)->text;
    const tg_kv_api *api = api_of(L, "tg.kv.get");
    tg_buf_clear(b);
    int rc = api->get(check_slice(L, 1), put_value, b);
    if (rc == TG_E_NOTFOUND)
        return lua_pushnil(L), 1;
    if (rc == 0 && b->failed)
        rc = TG_E_NOMEM;
    if (rc < 0)
        return tg_lua_result(L, rc);
    lua_pushlstring(L, b->at != NULL ? b->at : "", b->len);
    return 1;
}

static int kv_set(lua_State *L) // (-0 +1..2): key, value, options
{
    const tg_kv_api *api = api_of(L, "tg.kv.set");
    tg_slice key = check_slice(L, 1), value = check_slice(L, 2);
    kv_options o = read_options(L, 3, "tg.kv.set");
    int rc = api->set(key, value, o.ttl);
    return rc == 0 && o.durable ? keep(L, api, key, push_boolean, 1) : tg_lua_result(L, rc);
}

/// @return true: it is ours now; false: somebody has it.
static int kv_add(lua_State *L) // (-0 +1..2): key, value, options
{
    const tg_kv_api *api = api_of(L, "tg.kv.add");
    tg_slice key = check_slice(L, 1), value = check_slice(L, 2);
    kv_options o = read_options(L, 3, "tg.kv.add");
    int rc = api->add(key, value, o.ttl);
    if (rc == 0 && o.durable)
        return keep(L, api, key, push_boolean, 1);
    if (rc != TG_E_EXISTS)
        return tg_lua_result(L, rc);
    lua_pushboolean(L, 0);
    return 1;
}

static int kv_incr(lua_State *L) // (-0 +1..2): key, by, options
{
    const tg_kv_api *api = api_of(L, "tg.kv.incr");
    tg_slice key = check_slice(L, 1);
    int64_t by = luaL_optinteger(L, 2, 1), out = 0;
    kv_options o = read_options(L, 3, "tg.kv.incr");
    int rc = api->incr(key, by, o.ttl, &out);
    if (rc < 0)
        return tg_lua_result(L, rc);
    if (o.durable)
        return keep(L, api, key, push_number, (intptr_t)out);
    lua_pushinteger(L, out);
    return 1;
}

static int kv_del(lua_State *L) // (-0 +1..2): key, options
{
    const tg_kv_api *api = api_of(L, "tg.kv.del");
    tg_slice key = check_slice(L, 1);
    kv_options o = read_options(L, 2, "tg.kv.del");
    int rc = api->del(key);
    if (o.durable)
        return keep(L, api, key, push_boolean, rc == 0);
    lua_pushboolean(L, rc == 0);
    return 1;
}

void tg_lua_open_kv(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", kv_get}, {"set", kv_set},
                                         {"add", kv_add}, {"incr", kv_incr},
                                         {"del", kv_del}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
