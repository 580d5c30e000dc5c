// SPDX-License-Identifier: Apache-2.0
/// The host's config: a Lua file in the sandbox that returns a table.
#ifndef TG_LUA_CONFIG_H
#define TG_LUA_CONFIG_H

#include "base/value.h"

/// Runs the file under the load budget and copies the table that it returns into `arena`,
/// with the line of each option that stands in the returned table itself. `tg.env "NAME"`
/// is the only thing that it finds besides the language: a secret from the environment.
/// @return TG_E_NOTFOUND, TG_E_IO; TG_E_SCRIPT, TG_E_BUDGET, TG_E_INVAL with file:line.
int tg_lua_config_read(const char *path, tg_arena *arena, tg_value *out, tg_error *e);
/// The same from text; `name` stands for the file in messages.
int tg_lua_config_text(const char *name, tg_slice text, tg_arena *arena, tg_value *out,
                       tg_error *e);

#endif
