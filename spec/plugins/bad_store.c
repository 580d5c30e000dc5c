// SPDX-License-Identifier: Apache-2.0
// A store that cannot be read, found out when it has started on all workers. Its timers must
// end with it.
#include "tidegate.h"

static int commit(const tg_store *self, const tg_write *writes, size_t n, tg_op op)
{
    (void)self;
    (void)writes;
    (void)n;
    (void)op;
    return TG_E_IO;
}

static int scan(const tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self;
    (void)prefix;
    (void)each;
    (void)ctx;
    return TG_E_IO;
}

static const tg_store store = {
    .size = sizeof(store), .id = "bad", .commit = commit, .scan = scan};

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    return rc < 0 ? rc : tg.add->store(self, &store, NULL, NULL);
}

static void tick(void *ctx)
{
    (void)ctx;
}

static int start(uint32_t worker)
{
    (void)worker;
    tg_timer timer;
    return tg.timer->start(10, 10, tick, NULL, &timer);
}

TG_PLUGIN(.capabilities = TG_CAP_STORE, .id = "bad_store", .version = "1.0.0",
          .life = {.load = load, .start = start});
