// SPDX-License-Identifier: Apache-2.0
// An id that would be a path.
#include "tidegate.h"

static int load(const tg_host *host, tg_self *self)
{
    return tg_env_init(&tg, host, self);
}

TG_PLUGIN(.id = "../evil", .version = "1.0.0", .life = {.load = load});
