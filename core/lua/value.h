// SPDX-License-Identifier: Apache-2.0
/// Between Lua values and tg_value trees.
#ifndef TG_LUA_VALUE_H
#define TG_LUA_VALUE_H

#include <lua.h>

#include "base/value.h"

/// Makes the metatable of secrets; once per state.
void tg_lua_open_value(lua_State *L);

/// Pushes `v`. May raise for memory only. A secret becomes an opaque object.
void tg_lua_push_value(lua_State *L, const tg_value *v);

/// Copies the value at `index` into `arena`. Never raises. Tables with an array part and no
/// other keys are lists, all others are maps by sorted keys; an empty one is a map.
/// @return TG_E_INVAL for what has no form (functions, cycles), with its place in `e`.
int tg_lua_to_value(lua_State *L, int index, tg_arena *arena, tg_value *out, tg_error *e);

/// Pushes what a completed operation gives a script: the value (true when there is none),
/// or nil and {code, message, retry}. @return how many.
int tg_lua_push_result(lua_State *L, int code, const tg_value *value);
/// The same for a call that has a plain status: true, or nil and the error.
int tg_lua_result(lua_State *L, int code);

/// An opaque string that a script can hand on but not read.
void tg_lua_push_secret(lua_State *L, tg_slice text);
bool tg_lua_is_secret(lua_State *L, int index, tg_slice *text);

#endif
