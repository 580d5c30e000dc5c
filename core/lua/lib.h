// SPDX-License-Identifier: Apache-2.0
/// What scripts find without `require`: the system's libraries without their doors, with
/// our own functions where a script could run up the cost. Each open function pushes its
/// table.
#ifndef TG_LUA_LIB_H
#define TG_LUA_LIB_H

#include <lua.h>

void tg_lua_open_base(lua_State *L);
void tg_lua_open_string(lua_State *L);
void tg_lua_open_table(lua_State *L);
void tg_lua_open_coroutine(lua_State *L);

/// Replaces the table on the top by one that has only its members of `names` (NULL-ended).
void tg_lua_pick(lua_State *L, const char *const *names);
/// Replaces the table on the top by an empty one that reads through to it, can be walked
/// with pairs(), and refuses to be changed: "<what> is read-only".
void tg_lua_freeze(lua_State *L, const char *what);
/// Builds the globals, makes them the state's, and leaves the writable table of globals in
/// the registry under TG_LUA_GLOBALS for the loader.
void tg_lua_open_sandbox(lua_State *L);

#endif
