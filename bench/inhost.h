// SPDX-License-Identifier: Apache-2.0
/// A host in this process: one worker, the Lua engine, plugins, and a listener for each. What
/// is measured with it is everything that a byte goes through but the socket.
#ifndef TG_BENCH_INHOST_H
#define TG_BENCH_INHOST_H

#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "inproc.h"
#include "load.h"
#include "lua/lua_host.h"
#include "plugin/runtime.h"

typedef struct inhost {
    tg_runtime *rt;
    char state[64];
    uint16_t port; // of the listener that was opened last
} inhost;

/// Opens a listener for `adapter` on a free port of loopback.
static inline void inhost_listen(inhost *h, const char *adapter)
{
    tg_arena a = {0};
    tg_value_builder b = {.arena = &a};
    char address[64];
    tg_error e = {0};
    tg_build(&b, "name", tg_value_of_str(adapter));
    tg_build(&b, "adapter", tg_value_of_str(adapter));
    tg_build(&b, "bind", tg_value_of_str("127.0.0.1:0"));
    tg_build(&b, "anonymous", tg_value_of_bool(true));
    tg_value spec = tg_build_map(&b);
    if (tg_listeners_open(h->rt, &spec, "bench", adapter, address, sizeof(address), &e) < 0)
        fail(adapter, &e);
    h->port = (uint16_t)atoi(strrchr(address, ':') + 1);
    tg_arena_free(&a);
}

static inline void inhost_load(inhost *h, const char *plugin)
{
    tg_error e = {0};
    if (tg_plugins_load(h->rt, plugin, NULL, "bench", plugin, &e) < 0)
        fail(plugin, &e);
}

static inline void inhost_start(inhost *h, const char *plugin_path)
{
    tg_error e = {0};
    strcpy(h->state, "/tmp/tidegate-bench-XXXXXX");
    if (mkdtemp(h->state) == NULL)
        fail(h->state, NULL);
    tg_hash_seed();
    tg_log_set_level(NULL, TG_LOG_ERROR);
    tg_metrics_open(2);
    tg_runtime_config c = {
        .workers = 1,
        .mailbox_bytes = 64 << 20,
        .hub = {.inflight = 1000,
                .queue_messages = 1000000,
                .queue_bytes = 256 << 20,
                .rx_inflight = 1000,
                .subscriptions = 1000,
                .expiry_max_s = 3600},
        .plugin_path = plugin_path,
        .state_dir = h->state,
        .kv_bytes = 64 << 20, // as in etc/tidegate.lua
        .slow_callback_ms = 1000,
    };
    if (tg_runtime_new(&c, &h->rt, &e) < 0 ||
        tg_plugins_add_static(h->rt, &tg_lua_plugin, &e) < 0 ||
        tg_runtime_start(h->rt, &e) < 0)
        fail("runtime", &e);
}

typedef struct errand {
    void (*fn)(tg_worker *w, void *ctx);
    void *ctx;
} errand;

static inline int inhost_errand(tg_worker *w, void *arg)
{
    errand *e = arg;
    e->fn(w, e->ctx);
    return 0;
}

/// Runs `fn` on the worker and waits for it.
static inline void inhost_do(inhost *h, void (*fn)(tg_worker *w, void *ctx), void *ctx)
{
    errand e = {fn, ctx};
    tg_workers_call(tg_runtime_workers(h->rt), inhost_errand, &e);
}

static inline void inhost_stop(inhost *h)
{
    char command[128];
    tg_runtime_stop(h->rt, 1000);
    tg_runtime_free(h->rt);
    tg_metrics_close();
    snprintf(command, sizeof(command), "rm -rf %s", h->state);
    if (system(command) != 0)
        fail(command, NULL);
}

#endif
