// SPDX-License-Identifier: Apache-2.0
// tg.driver "id": what a C plugin registered as a driver, as an object whose methods wait.
// tg.dial{}: outgoing connections, which an adapter of this plugin handles.
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/api.h"
#include "lua/conn.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

/// Arguments from index 2 on as a list.
static int read_args(lua_State *L, tg_arena *arena, tg_value *out, tg_error *e)
{
    int n = lua_gettop(L) - 1;
    tg_value *items = tg_arena_alloc(arena, (size_t)(n > 0 ? n : 1) * sizeof(*items));
    if (items == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        int rc = tg_lua_to_value(L, i + 2, arena, &items[i], e);
        if (rc != 0)
            return tg_error_prefix(e, "argument %d", i + 1);
    }
    *out = (tg_value){.kind = TG_LIST};
    out->list.items = items;
    out->list.count = (size_t)(n > 0 ? n : 0);
    return 0;
}

/// upvalues: driver's id, method
static int driver_call(lua_State *L) // (-0 +1..2): self, …
{
    tg_script *s = tg_script_of(L);
    tg_slice id, method;
    id.at = lua_tolstring(L, lua_upvalueindex(1), &id.len);
    method.at = lua_tolstring(L, lua_upvalueindex(2), &method.len);
    if (!lua_istable(L, 1))
        return luaL_error(L, "call it with a colon: driver:%s(…)", method.at);
    tg_task *t = tg_wait_check(L, lua_pushfstring(L, "driver '%s':%s", id.at, method.at));
    lua_pop(L, 1);
    tg_wait *w = tg_lua_wait_new(t);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value args;
    int rc = read_args(L, &arena, &args, &e);
    if (rc == 0)
        rc = s->unit->engine->api->call(s->unit->env.self, id, method, &args, tg_wait_done,
                                        w);
    tg_arena_free(&arena);
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    if (e.code != 0)
        return luaL_error(L, "driver '%s':%s: %s", id.at, method.at, e.message);
    return tg_lua_result(L, rc);
}

static int driver_index(lua_State *L) // upvalue: id; (-0 +1): proxy, method
{
    luaL_checktype(L, 2, LUA_TSTRING);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, driver_call, 2);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1); // next time it is found without us
    return 1;
}

static int api_driver(lua_State *L) // (-0 +1): id
{
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, driver_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 1;
}

void tg_lua_open_driver(lua_State *L)
{
    lua_pushcfunction(L, api_driver);
}

// ---- dial -----------------------------------------------------------------------------

typedef struct dial_options {
    tg_slice host, ca_file, cert_file, key_file, adapter;
    int64_t port, timeout, backoff, backoff_max;
    bool tls, insecure, udp;
    const tg_value *options;
} dial_options;

#define AT(m) offsetof(dial_options, m)
static const tg_option dial_table[] = {
    {.name = "host", .type = TG_OPT_STR, .required = true, .offset = AT(host)},
    {.name = "port",
     .type = TG_OPT_INT,
     .required = true,
     .offset = AT(port),
     .min = 1,
     .max = 65535},
    {.name = "adapter", .type = TG_OPT_STR, .offset = AT(adapter)},
    {.name = "tls", .type = TG_OPT_BOOL, .offset = AT(tls)},
    {.name = "insecure", .type = TG_OPT_BOOL, .offset = AT(insecure)},
    {.name = "udp", .type = TG_OPT_BOOL, .offset = AT(udp)},
    {.name = "ca_file", .type = TG_OPT_STR, .offset = AT(ca_file)},
    {.name = "cert_file", .type = TG_OPT_STR, .offset = AT(cert_file)},
    {.name = "key_file", .type = TG_OPT_STR, .offset = AT(key_file)},
    {.name = "timeout", .type = TG_OPT_DURATION, .offset = AT(timeout), .fallback = "10s"},
    {.name = "backoff", .type = TG_OPT_DURATION, .offset = AT(backoff)},
    {.name = "backoff_max",
     .type = TG_OPT_DURATION,
     .offset = AT(backoff_max),
     .fallback = "60s"},
    {.name = "options", .type = TG_OPT_MAP, .offset = AT(options)},
    {.name = NULL},
};
#undef AT

static const tg_adapter *adapter_named(const tg_unit_lua *u, tg_slice name)
{
    for (uint32_t i = 0; i < u->nadapters; i++)
        if (name.len == 0 || tg_slice_eq(tg_str(u->adapters[i].id), name))
            return &u->offers[i].adapter;
    return NULL;
}

static int dial(tg_script *s, const tg_value *v, tg_error *e)
{
    dial_options o = {0};
    tg_conn c;
    int rc = tg_options_read(dial_table, v, &o, NULL, "tg.dial", e);
    if (rc != 0)
        return rc;
    if (o.udp && o.tls)
        return tg_error_set(e, TG_E_INVAL, "tg.dial: udp carries no TLS");
    const tg_adapter *a = adapter_named(s->unit, o.adapter);
    if (a == NULL)
        return tg_error_set(e, TG_E_INVAL, "tg.dial: this plugin has no adapter '%.*s'",
                            (int)o.adapter.len, o.adapter.at);
    tg_dial where = {.size = sizeof(where),
                     .port = (uint16_t)o.port,
                     .tls = o.tls,
                     .insecure = o.insecure,
                     .udp = o.udp,
                     .host = o.host,
                     .ca_file = o.ca_file,
                     .cert_file = o.cert_file,
                     .key_file = o.key_file,
                     .timeout_ms = (uint32_t)o.timeout,
                     .backoff_ms = (uint32_t)o.backoff,
                     .backoff_max_ms = (uint32_t)o.backoff_max,
                     .options = o.options};
    rc = s->unit->env.conn->dial(&where, a, &c);
    if (rc == 0)
        tg_adapter_dialed(s->unit, c);
    return rc;
}

int tg_lua_api_dial(lua_State *L) // (-0 +1..2): options
{
    tg_script *s = tg_script_of(L);
    tg_lua_check_effects(L, "tg.dial");
    luaL_checktype(L, 1, LUA_TTABLE);
    if (s->declaring)
        return lua_pushboolean(L, 1), 1;
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value v;
    int rc = tg_lua_to_value(L, 1, &arena, &v, &e);
    if (rc == 0)
        rc = dial(s, &v, &e);
    tg_arena_free(&arena);
    if (e.code != 0)
        return luaL_error(L, "%s", e.message);
    return tg_lua_result(L, rc);
}
