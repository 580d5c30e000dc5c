// SPDX-License-Identifier: Apache-2.0
/// Modules of the host that are written in Lua themselves: core/lua/kit. They see what a plugin
/// sees, and are compiled for those that require them.
#ifndef TG_LUA_KIT_H
#define TG_LUA_KIT_H

#include "tidegate/types.h"

typedef struct tg_kit {
    const char *name; ///< as require() has it
    const char *chunk; ///< for messages
    const char *text;
} tg_kit;

/// @return NULL: there is none of that name
const tg_kit *tg_kit_find(const char *name);

#endif
