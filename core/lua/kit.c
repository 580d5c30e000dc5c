// SPDX-License-Identifier: Apache-2.0
// What is no hot path and reads best in Lua is written in it. A plugin that does not ask for a
// module pays nothing.
#include "lua/kit.h"

#include <string.h>

#include "base/embed.h"

TG_EMBED(tg_kit_route, "core/lua/kit/route.lua");
TG_EMBED(tg_kit_sim, "core/lua/kit/sim.lua");

static const tg_kit KITS[] = {
    {"tidegate.route", "@tidegate/route.lua", tg_kit_route},
    {"tidegate.sim", "@tidegate/sim.lua", tg_kit_sim},
};

const tg_kit *tg_kit_find(const char *name)
{
    for (size_t i = 0; i < sizeof(KITS) / sizeof(KITS[0]); i++)
        if (strcmp(KITS[i].name, name) == 0)
            return &KITS[i];
    return NULL;
}
