// SPDX-License-Identifier: Apache-2.0
// A store that keeps nothing and takes its time: every commit is answered after `delay`, each
// third one a little later than those behind it, and with an error once `good` of them went
// well. With a `gate` none is answered before a file of that name is there: so a test has the
// time that it needs. What it slows down shows whether acknowledgements wait, and in which
// order they leave.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tidegate.h"

#define GATE_MS 10

typedef struct answer {
    struct answer *next, **at;
    tg_op op;
    int code;
    uint32_t ms; // its delay
} answer;

static atomic_llong commits;
static _Thread_local answer *due; // of this worker

static void forget(answer *a)
{
    *a->at = a->next;
    if (a->next != NULL)
        a->next->at = a->at;
    free(a);
}

static answer *remember(tg_op op, int code, uint32_t ms)
{
    answer *a = malloc(sizeof(*a));
    if (a == NULL)
        return NULL;
    *a = (answer){due, &due, op, code, ms};
    if (a->next != NULL)
        a->next->at = &a->next;
    due = a;
    return a;
}

static void give(void *ctx)
{
    answer *a = ctx;
    tg.host->complete(a->op, a->code, NULL);
    forget(a);
}

static bool is_shut(void)
{
    tg_slice gate = tg_value_str(tg.host->config(tg.self), "gate", (tg_slice){0});
    char path[256];
    snprintf(path, sizeof(path), "%.*s", (int)gate.len, gate.at);
    return gate.len > 0 && access(path, F_OK) != 0;
}

static void when_open(void *ctx)
{
    answer *a = ctx;
    tg_timer timer;
    bool shut = is_shut();
    int rc = tg.timer->start(shut ? GATE_MS : a->ms, 0, shut ? when_open : give, a, &timer);
    if (rc < 0)
        give(a);
}

static void stop(uint32_t worker)
{
    (void)worker; // its timers are gone with the version
    unsigned owed = 0;
    for (answer *a = due; a != NULL; owed++) {
        answer *next = a->next;
        free(a);
        a = next;
    }
    due = NULL;
    if (owed > 0)
        tg_logf(TG_LOG_WARN, "stopped with %u commits under way", owed);
}

static int commit(const tg_store *self, const tg_write *writes, size_t n, tg_op op)
{
    (void)self;
    (void)writes;
    (void)n;
    const tg_value *config = tg.host->config(tg.self);
    int64_t delay = tg_value_int(config, "delay", 0),
            good = tg_value_int(config, "good", 0);
    int64_t number = atomic_fetch_add(&commits, 1);
    uint32_t ms = (uint32_t)(number % 3 == 0 ? delay + delay / 2 : delay);
    answer *a = remember(op, good != 0 && number >= good ? TG_E_IO : 0, ms);
    if (a == NULL)
        return TG_E_NOMEM;
    when_open(a);
    return 0;
}

static int scan(const tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self;
    (void)prefix;
    (void)each;
    (void)ctx;
    return 0;
}

static const tg_store store = {.size = sizeof(store),
                               .flags = TG_STORE_DURABLE,
                               .id = "slow",
                               .commit = commit,
                               .scan = scan};

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    return rc < 0 ? rc : tg.add->store(self, &store, NULL, NULL);
}

TG_PLUGIN_SCHEMA("{\"delay\":{\"type\":\"duration\",\"default\":\"200ms\"},"
                 "\"good\":{\"type\":\"integer\",\"default\":0},"
                 "\"gate\":{\"type\":\"string\",\"default\":\"\"}}");

TG_PLUGIN(.capabilities = TG_CAP_STORE, .id = "slow_store", .version = "1.0.0",
          .life = {.load = load, .stop = stop});
