// SPDX-License-Identifier: Apache-2.0
// Reading a table uses raw access and no function that raises, because the arena that it is
// copied into belongs to C.
#include "lua/value.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "lua/mod.h"

#define DEPTH_MAX 32
#define TREE_MAX                                                                           \
    (16u << 20) ///< bytes: a small table that holds itself twice grows to any size
#define SECRET_TYPE "tidegate.secret"

static int secret_tostring(lua_State *L)
{
    lua_pushliteral(L, "***");
    return 1;
}

void tg_lua_open_value(lua_State *L)
{
    if (luaL_newmetatable(L, SECRET_TYPE)) {
        lua_pushcfunction(L, secret_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

void tg_lua_push_secret(lua_State *L, tg_slice text)
{
    char *at = lua_newuserdatauv(L, text.len, 0);
    if (text.len > 0)
        memcpy(at, text.at, text.len);
    luaL_setmetatable(L, SECRET_TYPE);
}

bool tg_lua_is_secret(lua_State *L, int index, tg_slice *text)
{
    const char *at = luaL_testudata(L, index, SECRET_TYPE);
    if (at == NULL)
        return false;
    *text = (tg_slice){at, lua_rawlen(L, index)};
    return true;
}

static void push_list(lua_State *L, const tg_value *v)
{
    lua_createtable(L, (int)v->list.count, 0);
    for (size_t i = 0; i < v->list.count; i++) {
        tg_lua_push_value(L, &v->list.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_map(lua_State *L, const tg_value *v)
{
    lua_createtable(L, 0, (int)v->map.count);
    for (size_t i = 0; i < v->map.count; i++) {
        const tg_pair *p = &v->map.pairs[i];
        lua_pushlstring(L, p->key.at, p->key.len);
        tg_lua_push_value(L, &p->value);
        lua_rawset(L, -3);
    }
}

void tg_lua_push_value(lua_State *L, const tg_value *v)
{
    luaL_checkstack(L, 4, "value too deep");
    switch (v != NULL ? v->kind : TG_NIL) {
    case TG_BOOL:
        lua_pushboolean(L, v->boolean);
        break;
    case TG_INT:
        lua_pushinteger(L, v->integer);
        break;
    case TG_NUM:
        lua_pushnumber(L, v->number);
        break;
    case TG_STR:
        if (v->secret)
            tg_lua_push_secret(L, v->string);
        else
            lua_pushlstring(L, v->string.at, v->string.len);
        break;
    case TG_LIST:
        push_list(L, v);
        break;
    case TG_MAP:
        push_map(L, v);
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

/// Where a tree is built, and how much of it there may still be.
typedef struct growth {
    tg_arena *arena;
    size_t left;
} growth;

static int to_value(lua_State *L, int index, growth *g, tg_value *out, int depth,
                    tg_error *e);

static bool spend(growth *g, size_t bytes)
{
    if (g->left < bytes)
        return false;
    g->left -= bytes;
    return true;
}

static int too_big(tg_error *e)
{
    return tg_error_set(e, TG_E_TOOBIG, "more than %u MiB in all", TREE_MAX >> 20);
}

/// Is the table at absolute `index` a list? All keys lie in 1..n.
static bool is_list(lua_State *L, int index, size_t *n)
{
    *n = lua_rawlen(L, index);
    if (*n == 0)
        return false;
    size_t seen = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || ++seen > *n) {
            lua_pop(L, 1);
            return false;
        }
    }
    return seen == *n;
}

static int to_list(lua_State *L, int index, size_t n, growth *g, tg_value *out, int depth,
                   tg_error *e)
{
    if (!spend(g, n * sizeof(tg_value)))
        return too_big(e);
    tg_value *items = tg_arena_alloc(g->arena, n * sizeof(*items));
    if (items == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        int rc = to_value(L, lua_gettop(L), g, &items[i], depth + 1, e);
        lua_pop(L, 1);
        if (rc != 0)
            return tg_error_prefix(e, "[%zu]", i + 1);
    }
    *out = (tg_value){.kind = TG_LIST};
    out->list.items = items;
    out->list.count = n;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const tg_slice *x = &((const tg_pair *)a)->key, *y = &((const tg_pair *)b)->key;
    int c = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);
    return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

/// The key at `index` as text, without converting it in place.
static tg_slice key_text(lua_State *L, int index, tg_arena *arena)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        size_t len;
        const char *at = lua_tolstring(L, index, &len);
        return tg_arena_copy(arena, (tg_slice){at, len});
    }
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)lua_tointeger(L, index));
    return tg_arena_copy(arena, tg_str(text));
}

static int to_map(lua_State *L, int index, growth *g, tg_value *out, int depth, tg_error *e)
{
    tg_value_builder b = {.arena = g->arena};
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        tg_pair pair = {0};
        if (lua_type(L, -2) != LUA_TSTRING && !lua_isinteger(L, -2)) {
            lua_pop(L, 2);
            return tg_error_set(e, TG_E_INVAL, "a key is neither a string nor an integer");
        }
        pair.key = key_text(L, -2, g->arena);
        int rc = spend(g, sizeof(pair) + pair.key.len)
                     ? to_value(L, lua_gettop(L), g, &pair.value, depth + 1, e)
                     : too_big(e);
        if (rc != 0) {
            lua_pop(L, 2);
            return tg_error_prefix(e, "%.*s", (int)pair.key.len, pair.key.at);
        }
        lua_pop(L, 1);
        tg_build(&b, "", pair.value);
        if (!g->arena->failed)
            b.pairs[b.count - 1].key = pair.key;
    }
    if (g->arena->failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    if (b.count > 1)
        qsort(b.pairs, b.count, sizeof(*b.pairs), by_key);
    *out = tg_build_map(&b);
    return 0;
}

static int to_value(lua_State *L, int index, growth *g, tg_value *out, int depth,
                    tg_error *e)
{
    size_t n;
    tg_slice secret;
    if (depth > DEPTH_MAX || !lua_checkstack(L, 8))
        return tg_error_set(e, TG_E_INVAL, "nested too deeply, or in a circle");
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        *out = (tg_value){.kind = TG_NIL};
        return 0;
    case LUA_TBOOLEAN:
        *out = tg_value_of_bool(lua_toboolean(L, index));
        return 0;
    case LUA_TNUMBER:
        *out = lua_isinteger(L, index) ? tg_value_of_int(lua_tointeger(L, index))
                                       : tg_value_of_num(lua_tonumber(L, index));
        return 0;
    case LUA_TSTRING: {
        const char *at = lua_tolstring(L, index, &n);
        if (!spend(g, n))
            return too_big(e);
        *out = tg_value_of_slice(tg_arena_copy(g->arena, (tg_slice){at, n}));
        return g->arena->failed ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
    }
    case LUA_TTABLE:
        return is_list(L, index, &n) ? to_list(L, index, n, g, out, depth, e)
                                     : to_map(L, index, g, out, depth, e);
    case LUA_TUSERDATA:
        if (tg_lua_is_secret(L, index, &secret)) {
            *out = tg_value_of_slice(tg_arena_copy(g->arena, secret));
            out->secret = 1;
            return 0;
        }
        break;
    case LUA_TLIGHTUSERDATA:
        if (tg_lua_json_isnull(L, index)) {
            *out = (tg_value){.kind = TG_NIL};
            return 0;
        }
        break;
    default:
        break;
    }
    return tg_error_set(e, TG_E_INVAL, "a %s is no plain value",
                        lua_typename(L, lua_type(L, index)));
}

int tg_lua_to_value(lua_State *L, int index, tg_arena *arena, tg_value *out, tg_error *e)
{
    growth g = {arena, TREE_MAX};
    return to_value(L, lua_absindex(L, index), &g, out, 0, e);
}

int tg_lua_result(lua_State *L, int code)
{
    return tg_lua_push_result(L, code, NULL);
}

int tg_lua_push_result(lua_State *L, int code, const tg_value *value)
{
    if (code >= 0) {
        if (value == NULL || value->kind == TG_NIL)
            lua_pushboolean(L, 1);
        else
            tg_lua_push_value(L, value);
        return 1;
    }
    tg_slice text = tg_value_str(value, "message", tg_str(tg_error_text(code)));
    bool retry = code == TG_E_TIMEOUT || code == TG_E_BUSY || code == TG_E_FULL;
    lua_pushnil(L);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, tg_error_name(code));
    lua_setfield(L, -2, "code");
    lua_pushlstring(L, text.at, text.len);
    lua_setfield(L, -2, "message");
    lua_pushboolean(L, tg_value_bool(value, "retry", retry));
    lua_setfield(L, -2, "retry");
    return 2;
}
