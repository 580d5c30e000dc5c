// SPDX-License-Identifier: Apache-2.0
// A Lua table as the source of an encode: raw access only, so nothing can raise while the
// encoder's memory is live. What is opened waits on the stack; strings are anchored in it.
#include <lauxlib.h>

#include "lua/guard.h"
#include "lua/mod_layout.h"

#define DEEP 40

typedef struct source {
    lua_State *L;
    int keys, top;
    unsigned depth; ///< the open table is at the stack's top + depth
} source;

/// Pushes the member for `field`, or element `index`, of the open table.
static int push(source *s, uint32_t field, int64_t index)
{
    int open = s->top + (int)s->depth;
    if (index > 0)
        return lua_rawgeti(s->L, open, index);
    lua_rawgeti(s->L, s->keys, (lua_Integer)field * 2 + 1);
    return lua_rawget(s->L, open);
}

/// What lies on the top; json.null, too, is no value.
static void read_top(lua_State *L, tg_value *out)
{
    *out = (tg_value){0};
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        *out = tg_value_of_bool(lua_toboolean(L, -1));
        break;
    case LUA_TNUMBER:
        *out = lua_isinteger(L, -1) ? tg_value_of_int(lua_tointeger(L, -1))
                                    : tg_value_of_num(lua_tonumber(L, -1));
        break;
    case LUA_TSTRING:
        out->kind = TG_STR;
        out->string.at = lua_tolstring(L, -1, &out->string.len);
        break;
    case LUA_TTABLE:
        out->kind = TG_MAP;
        break;
    default:
        break;
    }
}

static void get(void *ctx, uint32_t field, int64_t index, tg_value *out)
{
    source *s = ctx;
    push(s, field, index);
    read_top(s->L, out);
    lua_pop(s->L, 1);
}

static void get_raw(void *ctx, uint32_t field, tg_value *out)
{
    source *s = ctx;
    lua_rawgeti(s->L, s->keys, (lua_Integer)field * 2 + 2);
    if (lua_type(s->L, -1) == LUA_TSTRING)
        lua_rawget(s->L, s->top + (int)s->depth);
    read_top(s->L, out);
    lua_pop(s->L, 1);
}

static bool open_field(void *ctx, uint32_t field, int64_t index)
{
    source *s = ctx;
    if (push(s, field, index) != LUA_TTABLE || s->depth + 1 == DEEP) {
        lua_pop(s->L, 1);
        return false;
    }
    s->depth++;
    return true;
}

static void close_table(void *ctx)
{
    source *s = ctx;
    lua_settop(s->L, s->top + (int)--s->depth);
}

static int64_t count(void *ctx)
{
    source *s = ctx;
    return (int64_t)lua_rawlen(s->L, s->top + (int)s->depth);
}

/// Pushes the value of the open table's `i`th key that is a text, and the key below it. The
/// walk begins anew for each: a large table costs its square, so the budget is looked at.
static bool walk(source *s, uint32_t i)
{
    tg_guard *g = tg_guard_here();
    if (g != NULL && tg_guard_killed(g))
        return false; // nobody will see what is encoded
    int open = s->top + (int)s->depth;
    lua_pushnil(s->L);
    while (lua_next(s->L, open)) {
        if (lua_type(s->L, -2) == LUA_TSTRING && i-- == 0)
            return true;
        lua_pop(s->L, 1);
    }
    return false;
}

static bool member(void *ctx, uint32_t i, tg_slice *key, tg_value *out)
{
    source *s = ctx;
    if (!walk(s, i))
        return false;
    key->at = lua_tolstring(s->L, -2, &key->len);
    read_top(s->L, out);
    lua_pop(s->L, 2);
    return true;
}

static bool open_member(void *ctx, uint32_t i)
{
    source *s = ctx;
    if (s->depth + 1 == DEEP || !walk(s, i))
        return false;
    lua_remove(s->L, -2);
    if (lua_type(s->L, -1) != LUA_TTABLE) {
        lua_pop(s->L, 1);
        return false;
    }
    s->depth++;
    return true;
}

int tg_lua_layout_encode(lua_State *L, const tg_layout *l, int keys, int index,
                         const tg_decode_how *how, tg_buf *out, tg_error *e)
{
    static const tg_source from = {get,     open_field, close_table, count,
                                   get_raw, member,     open_member};
    int top = lua_gettop(L);
    if (!lua_checkstack(L, DEEP + 8))
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    lua_pushvalue(L, index);
    source s = {.L = L, .keys = keys, .top = top + 1};
    int rc = tg_layout_encode(l, &from, &s, how, out, e);
    lua_settop(L, top);
    return rc;
}
