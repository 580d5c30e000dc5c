// SPDX-License-Identifier: Apache-2.0
// The functions of `table` whose loops run in C for as long as a script says: each looks at
// the guard as it goes. Sorting is a heap sort: its cost has a bound whatever the
// comparator answers.
#include "lua/lib.h"

#include <lauxlib.h>
#include <lualib.h>

#include "lua/pattern.h"

#define LOOK_EVERY 256u
#define RESULT_MAX (16u << 20)

static inline void look(lua_State *L, lua_Unsigned i)
{
    if (i % LOOK_EVERY == 0)
        tg_lua_check_killed(L);
}

/// A table, or what behaves as one.
static void check_list(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TTABLE || luaL_getmetafield(L, index, "__index"))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
}

static int tab_insert(lua_State *L)
{
    check_list(L, 1);
    lua_Integer end = luaL_len(L, 1) + 1, at = end;
    int top = lua_gettop(L) > 3 ? 4 : lua_gettop(L);
    if (top == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2,
                      "position out of bounds");
        for (lua_Integer i = end; i > at; i--) {
            look(L, (lua_Unsigned)i);
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    } else if (top != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

static int tab_remove(lua_State *L)
{
    check_list(L, 1);
    lua_Integer n = luaL_len(L, 1), at = luaL_optinteger(L, 2, n);
    if (lua_gettop(L) >= 2)
        luaL_argcheck(L,
                      (lua_Unsigned)n + 1u - (lua_Unsigned)at <= (lua_Unsigned)n ||
                          at == n + 1 || (n == 0 && at == 0),
                      2, "position out of bounds");
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        look(L, (lua_Unsigned)at);
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int tab_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    lua_Integer at = luaL_checkinteger(L, 4);
    int dest = lua_isnoneornil(L, 5) ? 1 : 5;
    check_list(L, 1);
    check_list(L, dest);
    if (to >= from) {
        luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3,
                      "too many elements to move");
        lua_Integer n = to - from + 1;
        luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool apart = at > to || at <= from || (dest != 1 && !lua_rawequal(L, 1, dest));
        for (lua_Integer i = 0; i < n; i++) {
            lua_Integer k = apart ? i : n - 1 - i;
            look(L, (lua_Unsigned)i);
            lua_geti(L, 1, from + k);
            lua_seti(L, dest, at + k);
        }
    }
    lua_pushvalue(L, dest);
    return 1;
}

static int tab_concat(lua_State *L)
{
    check_list(L, 1);
    lua_Integer last = luaL_len(L, 1);
    size_t seplen, total = 0;
    const char *sep = luaL_optlstring(L, 2, "", &seplen);
    lua_Integer i = luaL_optinteger(L, 3, 1);
    last = luaL_optinteger(L, 4, last);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (; i <= last; i++) {
        look(L, (lua_Unsigned)i);
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
                              (LUAI_UACINT)i);
        total += lua_rawlen(L, -1) + seplen;
        if (total > RESULT_MAX)
            return luaL_error(L, "resulting string too large");
        luaL_addvalue(&b);
        if (i == last)
            break; // `last` may be the largest integer
        luaL_addlstring(&b, sep, seplen);
    }
    luaL_pushresult(&b);
    return 1;
}

/// Is the value at `a` less than the one at `b`? Both absolute indices.
static bool less(lua_State *L, int a, int b)
{
    if (lua_isnil(L, 2))
        return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

/// Lets the value on the stack's top sink from `hole` of a heap of `n`; pops it.
static void sift(lua_State *L, lua_Integer hole, lua_Integer n)
{
    int value = lua_gettop(L);
    for (lua_Integer child = hole * 2; child <= n; child = hole * 2) {
        look(L, (lua_Unsigned)child);
        lua_geti(L, 1, child);
        if (child < n) {
            lua_geti(L, 1, child + 1);
            if (less(L, value + 1, value + 2)) {
                lua_remove(L, value + 1);
                child++;
            } else {
                lua_pop(L, 1);
            }
        }
        if (!less(L, value, value + 1)) {
            lua_pop(L, 1);
            break;
        }
        lua_seti(L, 1, hole);
        hole = child;
    }
    lua_seti(L, 1, hole);
}

static int tab_sort(lua_State *L)
{
    check_list(L, 1);
    lua_Integer n = luaL_len(L, 1);
    luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        look(L, (lua_Unsigned)i);
        lua_geti(L, 1, i);
        sift(L, i, n);
    }
    for (lua_Integer i = n; i > 1; i--) {
        look(L, (lua_Unsigned)i);
        lua_geti(L, 1, 1);
        lua_geti(L, 1, i);
        lua_insert(L, -2);
        lua_seti(L, 1, i);
        sift(L, 1, i - 1);
    }
    return 0;
}

void tg_lua_open_table(lua_State *L)
{
    static const char *const system[] = {"pack", "unpack", NULL};
    static const luaL_Reg ours[] = {
        {"insert", tab_insert}, {"remove", tab_remove}, {"move", tab_move},
        {"concat", tab_concat}, {"sort", tab_sort},     {NULL, NULL},
    };
    lua_pushcfunction(L, luaopen_table);
    lua_call(L, 0, 1);
    tg_lua_pick(L, system);
    luaL_setfuncs(L, ours, 0);
}
