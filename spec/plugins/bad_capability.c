// SPDX-License-Identifier: Apache-2.0
// Asks for what no host has.
#include "tidegate.h"

static int load(const tg_host *host, tg_self *self)
{
    return tg_env_init(&tg, host, self);
}

TG_PLUGIN(.id = "bad-capability", .version = "1.0.0", .capabilities = 1u << 30,
          .life = {.load = load});
