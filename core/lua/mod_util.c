// SPDX-License-Identifier: Apache-2.0
#include "lua/mod_util.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/options.h"

#define SCRATCH_MAGIC 0x5c4a7c01u
#define BUF_KEPT ((size_t)64 << 10) ///< a buffer that grew beyond is given back

static const char scratch_key = 0; // its address is the key in the registry

static int scratch_gc(lua_State *L)
{
    tg_lua_scratch *s = lua_touserdata(L, 1);
    assert(s->magic == SCRATCH_MAGIC);
    tg_tape_free(s->tape);
    tg_buf_free(&s->buf);
    tg_arena_free(&s->arena);
    s->magic = 0;
    return 0;
}

static tg_lua_scratch *new_scratch(lua_State *L)
{
    tg_lua_scratch *s = lua_newuserdatauv(L, sizeof(*s), 0);
    *s = (tg_lua_scratch){.magic = SCRATCH_MAGIC};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
    s->tape = tg_tape_new();
    if (s->tape == NULL)
        luaL_error(L, "out of memory");
    return s;
}

tg_lua_scratch *tg_lua_scratch_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
    tg_lua_scratch *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (s == NULL)
        return new_scratch(L);
    assert(s->magic == SCRATCH_MAGIC);
    if (s->buf.cap > BUF_KEPT)
        tg_buf_free(&s->buf);
    tg_buf_clear(&s->buf);
    return s;
}

void tg_lua_check_buf(lua_State *L, const tg_buf *b)
{
    if (b->failed)
        luaL_error(L, "out of memory");
}

tg_slice tg_lua_check_slice(lua_State *L, int index)
{
    tg_slice s;
    luaL_checktype(L, index, LUA_TSTRING);
    s.at = lua_tolstring(L, index, &s.len);
    return s;
}

size_t tg_lua_check_pos(lua_State *L, int index, size_t len)
{
    lua_Integer pos = luaL_optinteger(L, index, 1);
    luaL_argcheck(L, pos >= 1 && (lua_Unsigned)pos <= len + 1, index, "no such position");
    return (size_t)pos - 1;
}

void tg_lua_check_keys(lua_State *L, int index, const char *what, const char *const *names,
                       size_t n)
{
    index = lua_absindex(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "%s: options have names, not %s keys", what,
                       luaL_typename(L, -1));
        tg_slice key;
        key.at = lua_tolstring(L, -1, &key.len);
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = tg_slice_eq(key, tg_str(names[i]));
        if (known)
            continue;
        const char *near = tg_nearest(key, names, n);
        if (near != NULL)
            luaL_error(L, "%s: no such option '%s'; did you mean '%s'?", what, key.at,
                       near);
        luaL_error(L, "%s: no such option '%s'", what, key.at);
    }
}

int tg_lua_fail(lua_State *L, const tg_error *e)
{
    lua_pushnil(L);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, tg_error_name(e->code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, e->message[0] != '\0' ? e->message : tg_error_text(e->code));
    lua_setfield(L, -2, "message");
    lua_pushboolean(L, e->retry);
    lua_setfield(L, -2, "retry");
    return 2;
}

void tg_lua_notes_begin(lua_State *L, tg_slice frame, tg_lua_note_fn *emit, void *ctx)
{
    tg_lua_scratch *s = tg_lua_scratch_of(L);
    s->note = emit;
    s->note_ctx = ctx;
    s->note_frame = frame;
    s->ntold = 0;
}

void tg_lua_notes_end(lua_State *L)
{
    tg_lua_scratch_of(L)->note = NULL;
}
