// SPDX-License-Identifier: Apache-2.0
// Built for another ABI. Its constructor must never run.
#include <stdlib.h>

#include "tidegate.h"

__attribute__((constructor)) static void never(void)
{
    abort();
}

TG_API const tg_plugin tg_plugin_v1 = {.magic = TG_PLUGIN_MAGIC,
                                       .size = sizeof(tg_plugin),
                                       .abi_major = TG_ABI_MAJOR + 1,
                                       .id = "abi-major",
                                       .version = "1.0.0"};
