// SPDX-License-Identifier: Apache-2.0
/// Names that several files of the room share.
#ifndef TG_LUA_NAMES_H
#define TG_LUA_NAMES_H

#include "lua/script.h"

extern const char *const tg_handler_names[TG_ON_COUNT]; ///< "decode", …
void tg_lua_open_downlink(lua_State *L);
int tg_lua_return_two(lua_State *L, int status, lua_KContext ctx);
/// Reads a duration argument: "5s", or a number of seconds. Raises. @return ms.
int64_t tg_lua_check_duration(lua_State *L, int index);
/// Reads the string field `key` of the table at `index` into the scratch of C: borrowed
/// while the table stays. @return false when it is missing or of another type.
bool tg_lua_string_field(lua_State *L, int index, const char *key, tg_slice *out);

#endif
