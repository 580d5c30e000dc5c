// SPDX-License-Identifier: Apache-2.0
/// What the pure modules share: one scratch per state that owns all C memory of a call, so
/// that a Lua error in the middle of one leaks nothing.
#ifndef TG_LUA_MOD_UTIL_H
#define TG_LUA_MOD_UTIL_H

#include <lua.h>

#include "base/value.h"
#include "codec/layout.h"
#include "lua/mod.h"

#define TG_LUA_TOLD 64
/// What one call goes over character by character: it cannot be interrupted, and must not
/// outlast a budget.
#define TG_LUA_TEXT_MAX ((size_t)4 << 20)

typedef struct tg_lua_scratch {
    uint32_t magic;
    tg_tape *tape;
    tg_buf buf;
    tg_arena arena;
    tg_lua_note_fn *note; ///< between notes_begin and notes_end
    void *note_ctx;
    tg_slice note_frame;
    const tg_layout *told[TG_LUA_TOLD]; ///< what read where, of the last ones
    uint32_t told_at[TG_LUA_TOLD], ntold;
} tg_lua_scratch;

/// The state's scratch, its buffer empty. May raise for memory.
tg_lua_scratch *tg_lua_scratch_of(lua_State *L);
/// Raises when a buffer could not grow.
void tg_lua_check_buf(lua_State *L, const tg_buf *b);
/// The bytes of string argument `index`.
tg_slice tg_lua_check_slice(lua_State *L, int index);
/// Argument `index` as a position in `len` bytes, counted from 1; 1 when missing.
/// @return it from 0.
size_t tg_lua_check_pos(lua_State *L, int index, size_t len);
/// Makes an empty list of the table on the top: JSON's [] instead of {}.
void tg_lua_json_markarray(lua_State *L);

#endif
