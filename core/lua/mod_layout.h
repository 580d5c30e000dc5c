// SPDX-License-Identifier: Apache-2.0
/// Layouts as Lua objects: the userdata behind tg.struct and tg.tlv, and its tapes as tables.
#ifndef TG_LUA_MOD_LAYOUT_H
#define TG_LUA_MOD_LAYOUT_H

#include "lua/mod_util.h"

typedef struct tg_lua_layout {
    uint32_t magic;
    tg_layout *l;
} tg_lua_layout;

/// Pushes the tape as a table. `keys`: the layout's uservalue, at that stack index.
void tg_lua_tape_push(lua_State *L, const tg_layout *l, int keys, const tg_tape *t,
                      tg_slice bytes, tg_buf *scratch);
/// Pushes the table of a layout's key strings and words.
void tg_lua_keys_push(lua_State *L, const tg_layout *l);

/// Encodes the table at `index`. Never raises. `keys` as above.
int tg_lua_layout_encode(lua_State *L, const tg_layout *l, int keys, int index,
                         const tg_decode_how *how, tg_buf *out, tg_error *e);

#endif
