// SPDX-License-Identifier: Apache-2.0
// The globals of a script. A frozen table is an empty one with a protected metatable, so no
// raw access reaches what it shows; __gc is refused because finalizers run where no budget
// holds; pcall and xpcall pass the end of a callback on instead of catching it.
#include "lua/lib.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "lua/guard.h"
#include "lua/vm.h"

#define LOAD_MAX 65536u

void tg_lua_pick(lua_State *L, const char *const *names)
{
    lua_newtable(L);
    for (; *names != NULL; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

static int refuse_write(lua_State *L) // upvalue: what it is
{
    const char *key =
        lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "%s is read-only: cannot set '%s'",
                      lua_tostring(L, lua_upvalueindex(1)), key);
}

static int frozen_next(lua_State *L) // upvalue: the real table; arguments: proxy, key
{
    lua_settop(L, 2);
    return lua_next(L, lua_upvalueindex(1)) ? 2 : (lua_pushnil(L), 1);
}

static int frozen_pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, frozen_next, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int frozen_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
    return 1;
}

void tg_lua_freeze(lua_State *L, const char *what)
{
    int real = lua_gettop(L);
    lua_newtable(L);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, real);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, real);
    lua_pushcclosure(L, frozen_pairs, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushvalue(L, real);
    lua_pushcclosure(L, frozen_len, 1);
    lua_setfield(L, -2, "__len");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "__frozen");
    lua_setmetatable(L, -2);
    lua_remove(L, real);
}

static int finish_pcall(lua_State *L, int status, lua_KContext extra)
{
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - (int)extra;
    if (tg_guard_killed(tg_guard_here())) {
        tg_guard_note(L);
        return lua_error(L); // the callback is to end: nobody may catch that
    }
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
    return finish_pcall(L, status, 0);
}

/// The message handler of xpcall. A script's own would run with hooks off when the error
/// came from the hook, so it is not called then.
static int handle_error(lua_State *L) // upvalue: the script's handler
{
    if (tg_guard_killed(tg_guard_here()))
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle_error, 1);
    lua_replace(L, 2);
    int n = lua_gettop(L) - 2; // arguments
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    int status = lua_pcallk(L, n, LUA_MULTRET, 2, 2, finish_pcall);
    return finish_pcall(L, status, 2);
}

static int base_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a script may not have finalizers (__gc)");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int base_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (luaL_getmetafield(L, 1, "__frozen") != LUA_TNIL)
        return luaL_error(L, "this table is read-only");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/// Text only, and not much of it: the compiler cannot be stopped.
static int base_load(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *name = luaL_optstring(L, 2, text);
    const char *mode = luaL_optstring(L, 3, "t");
    bool own_env = !lua_isnone(L, 4);
    luaL_argcheck(L, strchr(mode, 't') != NULL, 3, "only text can be loaded");
    luaL_argcheck(L, len <= LOAD_MAX, 1, "chunk larger than 64 KiB");
    if (luaL_loadbufferx(L, text, len, name, "t") != LUA_OK) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    if (own_env) {
        lua_pushvalue(L, 4);
        if (lua_setupvalue(L, -2, 1) == NULL)
            lua_pop(L, 1);
    }
    return 1;
}

static int base_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0)
        return luaL_argerror(L, 1, "a script may only ask for 'count'");
    lua_pushnumber(L, (double)tg_vm_of(L)->used / 1024.0);
    return 1;
}

static int base_print(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    tg_vm_log(tg_vm_of(L), TG_LOG_INFO, (tg_slice){text, len});
    return 0;
}

void tg_lua_open_base(lua_State *L)
{
    static const char *const system[] = {
        "assert",   "error",    "getmetatable", "ipairs",   "next",
        "pairs",    "rawequal", "rawget",       "rawlen",   "select",
        "tonumber", "tostring", "type",         "_VERSION", NULL};
    static const luaL_Reg ours[] = {
        {"pcall", base_pcall},   {"xpcall", base_xpcall},
        {"load", base_load},     {"setmetatable", base_setmetatable},
        {"rawset", base_rawset}, {"collectgarbage", base_collectgarbage},
        {"print", base_print},   {NULL, NULL},
    };
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    tg_lua_pick(L, system);
    luaL_setfuncs(L, ours, 0);
}

static void open_os(lua_State *L)
{
    static const char *const system[] = {"clock", "date", "difftime", "time", NULL};
    lua_pushcfunction(L, luaopen_os);
    lua_call(L, 0, 1);
    tg_lua_pick(L, system);
}

/// Sets the library on the top as global `name` of the table below it.
static void add_library(lua_State *L, const char *name)
{
    tg_lua_freeze(L, name);
    lua_setfield(L, -2, name);
}

void tg_lua_open_sandbox(lua_State *L)
{
    tg_lua_open_base(L);
    tg_lua_open_string(L);
    add_library(L, "string");
    tg_lua_open_table(L);
    add_library(L, "table");
    tg_lua_open_coroutine(L);
    add_library(L, "coroutine");
    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
    add_library(L, "math");
    lua_pushcfunction(L, luaopen_utf8);
    lua_call(L, 0, 1);
    add_library(L, "utf8");
    open_os(L);
    add_library(L, "os");
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, TG_LUA_GLOBALS);
    lua_pushvalue(L, -1);
    tg_lua_freeze(L, "the global table");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pop(L, 1);
}
