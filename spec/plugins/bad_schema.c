// SPDX-License-Identifier: Apache-2.0
// Its schema is no JSON.
#include "tidegate.h"

static int load(const tg_host *host, tg_self *self)
{
    return tg_env_init(&tg, host, self);
}

TG_PLUGIN_SCHEMA("{\"port\": {\"type\": ");
TG_PLUGIN(.id = "bad-schema", .version = "1.0.0", .life = {.load = load});
