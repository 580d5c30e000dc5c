// SPDX-License-Identifier: Apache-2.0
/// `require "tidegate"`: one table, the same in every state.
#ifndef TG_LUA_API_H
#define TG_LUA_API_H

#include "lua/script.h"

/// Makes the module and the global `require`. The state belongs to a script.
void tg_lua_open_api(lua_State *L);

// One file each; each pushes its value.
void tg_lua_open_timer(lua_State *L);
void tg_lua_open_kv(lua_State *L);
void tg_lua_open_spool(lua_State *L);
void tg_lua_open_files(lua_State *L);
void tg_lua_open_auth(lua_State *L); ///< tg.auth
void tg_lua_open_driver(lua_State *L); ///< tg.driver
void tg_lua_open_log(lua_State *L);
void tg_lua_open_metric(lua_State *L);

int tg_lua_api_adapter(lua_State *L); ///< tg.adapter
int tg_lua_api_sleep(lua_State *L);
int tg_lua_api_dial(lua_State *L);

void tg_lua_timers_end(tg_script *s);
/// Gives `app` the config: M.config and ctx.config.
void tg_script_share_config(tg_script *s, tg_app *app, const tg_value *config);
/// Starts a Lua auth backend; the host's door.
int tg_auth_check(const tg_auth_backend *self, const tg_auth_request *request, tg_op op);

#endif
