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

static void get(void *ctx, uint32_t field, int64_t index, tg_value *out)
{
    source *s = ctx;
    *out = (tg_value){0};
    switch (push(s, field, index)) {
    case LUA_TBOOLEAN:
        *out = tg_value_of_bool(lua_toboolean(s->L, -1));
        break;
    case LUA_TNUMBER:
        *out = lua_isinteger(s->L, -1) ? tg_value_of_int(lua_tointeger(s->L, -1))
                                       : tg_value_of_num(lua_tonumber(s->L, -1));
        break;
    case LUA_TSTRING:
        out->kind = TG_STR;
        out->string.at = lua_tolstring(s->L, -1, &out->string.len);
        break;
    case LUA_TTABLE:
        out->kind = TG_MAP;
        break;
    default:
        break; // json.null, too, is no value
    }
    lua_pop(s->L, 1);
}

static bool open_member(void *ctx, uint32_t field, int64_t index)
{
    source *s = ctx;
    if (push(s, field, index) != LUA_TTABLE || s->depth + 1 == DEEP) {
        lua_pop(s->L, 1);
        return false;
    }
    s->depth++;
    return true;
}

static void close_member(void *ctx)
{
    source *s = ctx;
    lua_settop(s->L, s->top + (int)--s->depth);
}

static int64_t count(void *ctx)
{
    source *s = ctx;
    return (int64_t)lua_rawlen(s->L, s->top + (int)s->depth);
}

/// The walk begins anew for each: a large table costs its square, so the budget is looked at.
static bool unknown(void *ctx, uint32_t i, tg_slice *key, tg_slice *value)
{
    source *s = ctx;
    tg_guard *g = tg_guard_here();
    if (g != NULL && tg_guard_killed(g))
        return false; // nobody will see what is encoded
    int open = s->top + (int)s->depth;
    lua_pushnil(s->L);
    while (lua_next(s->L, open)) {
        if (lua_type(s->L, -2) == LUA_TSTRING && lua_type(s->L, -1) == LUA_TSTRING) {
            key->at = lua_tolstring(s->L, -2, &key->len);
            value->at = lua_tolstring(s->L, -1, &value->len);
            if (key->len > 2 && memcmp(key->at, "0x", 2) == 0 && i-- == 0) {
                lua_pop(s->L, 2);
                return true;
            }
        }
        lua_pop(s->L, 1);
    }
    return false;
}

int tg_lua_layout_encode(lua_State *L, const tg_layout *l, int keys, int index,
                         const tg_decode_how *how, tg_buf *out, tg_error *e)
{
    static const tg_source from = {get, open_member, close_member, count, unknown};
    int top = lua_gettop(L);
    if (!lua_checkstack(L, DEEP + 8))
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    lua_pushvalue(L, index);
    source s = {.L = L, .keys = keys, .top = top + 1};
    int rc = tg_layout_encode(l, &from, &s, how, out, e);
    lua_settop(L, top);
    return rc;
}
