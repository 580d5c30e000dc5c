// SPDX-License-Identifier: Apache-2.0
// tg.kv: keys shared by all workers of the plugin. A value is read while the host holds a
// lock, so it goes through a buffer and not straight into Lua, which may raise.
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/mod.h"
#include "lua/names.h"
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

/// The option table at `index`: { ttl = "5m" }.
static uint32_t ttl_option(lua_State *L, int index, const char *what)
{
    static const char *const names[] = {"ttl"};
    if (lua_isnoneornil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    tg_lua_check_keys(L, index, what, names, 1);
    if (lua_getfield(L, index, "ttl") == LUA_TNIL)
        return 0;
    return (uint32_t)tg_lua_check_duration(L, lua_gettop(L));
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
    uint32_t ttl = ttl_option(L, 3, "tg.kv.set");
    return tg_lua_result(L, api->set(key, value, ttl));
}

/// @return true: it is ours now; false: somebody has it.
static int kv_add(lua_State *L) // (-0 +1..2): key, value, options
{
    const tg_kv_api *api = api_of(L, "tg.kv.add");
    tg_slice key = check_slice(L, 1), value = check_slice(L, 2);
    uint32_t ttl = ttl_option(L, 3, "tg.kv.add");
    int rc = api->add(key, value, ttl);
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
    uint32_t ttl = ttl_option(L, 3, "tg.kv.incr");
    int rc = api->incr(key, by, ttl, &out);
    if (rc < 0)
        return tg_lua_result(L, rc);
    lua_pushinteger(L, out);
    return 1;
}

static int kv_del(lua_State *L) // (-0 +1): key
{
    const tg_kv_api *api = api_of(L, "tg.kv.del");
    lua_pushboolean(L, api->del(check_slice(L, 1)) == 0);
    return 1;
}

void tg_lua_open_kv(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", kv_get}, {"set", kv_set},
                                         {"add", kv_add}, {"incr", kv_incr},
                                         {"del", kv_del}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
