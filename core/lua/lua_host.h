// SPDX-License-Identifier: Apache-2.0
/// The Lua host: to the rest of the program one more plugin, which registers an engine.
#ifndef TG_LUA_HOST_H
#define TG_LUA_HOST_H

#include "tidegate/host.h"

/// For tg_plugins_add_static().
extern const tg_plugin tg_lua_plugin;

#endif
