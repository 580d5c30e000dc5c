// SPDX-License-Identifier: Apache-2.0
// Brings a module for another Lua.
#include "tidegate.h"

TG_API const tg_plugin tg_plugin_v1 = {.magic = TG_PLUGIN_MAGIC,
                                       .size = sizeof(tg_plugin),
                                       .abi_major = TG_ABI_MAJOR,
                                       .abi_minor = TG_ABI_MINOR,
                                       .lua_version_num = 501,
                                       .id = "lua-version",
                                       .version = "1.0.0"};
