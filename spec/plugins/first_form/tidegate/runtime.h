// SPDX-License-Identifier: Apache-2.0
/// What a plugin needs of the runtime: timers, descriptors, blocking work, shared keys,
/// counters, and drivers for scripts. Handles belong to the worker that made them and to the
/// plugin version that made them: what is left when the version ends is ended by the host.
#ifndef TIDEGATE_RUNTIME_H
#define TIDEGATE_RUNTIME_H

#include "types.h"

typedef struct tg_timer_api {
    uint32_t size;
    /// Calls `fn` after `ms` (resolution 10 ms), then every `repeat_ms` unless that is 0.
    int (*start)(uint32_t ms, uint32_t repeat_ms, void (*fn)(void *ctx), void *ctx,
                 tg_timer *out);
    int (*stop)(tg_timer t); ///< TG_E_CLOSED once it has fired for the last time
    uint64_t (*now)(void); ///< this worker's loop time, ms, monotonic
    uint64_t (*clock)(void); ///< ms since the epoch
} tg_timer_api;

enum { TG_POLL_READ = 1, TG_POLL_WRITE = 2 };

typedef struct tg_poll_api {
    uint32_t size;
    /// Watches a client library's descriptor on this worker's loop, level-triggered.
    /// @param fn `events` is what is ready, or TG_E_* when the descriptor failed.
    int (*open)(int fd, int events, void (*fn)(void *ctx, int events), void *ctx,
                tg_poll *out);
    int (*set)(tg_poll p, int events); ///< 0 pauses it
    int (*close)(tg_poll p); ///< before the descriptor is closed
} tg_poll_api;

typedef struct tg_work_api {
    uint32_t size;
    /// Runs `run` on the bounded pool of blocking threads, then `after` on this worker.
    /// @return TG_E_FULL when too much waits already. `after` gets TG_E_CANCELLED when the
    /// version ended before `run` began.
    int (*submit)(void (*run)(void *ctx), void (*after)(void *ctx, int code), void *ctx);
} tg_work_api;

typedef struct tg_kv_api {
    uint32_t size;
    /// Keys shared by all workers; of one plugin, whatever its version. Values are copied.
    /// @param ttl_ms 0: no expiry. @return TG_E_LIMIT when the plugin holds too much.
    int (*set)(tg_slice key, tg_slice value, uint32_t ttl_ms);
    /// @param put called with the value while it is held; it must not call kv again.
    /// @return TG_E_NOTFOUND.
    int (*get)(tg_slice key, void (*put)(void *ctx, tg_slice value), void *ctx);
    int (*del)(tg_slice key);
    /// Adds to a decimal number, from 0. @return TG_E_INVAL when the value is none.
    int (*incr)(tg_slice key, int64_t by, uint32_t ttl_ms, int64_t *out);
    /// Sets it only if it is missing. @return TG_E_EXISTS.
    int (*add)(tg_slice key, tg_slice value, uint32_t ttl_ms);
} tg_kv_api;

typedef struct tg_metric_api {
    uint32_t size;
    /// A counter `tidegate_<plugin>_<name>`; the same name gives the same counter again.
    int (*counter)(tg_slice name, tg_slice help, uint32_t *out);
    int (*gauge)(tg_slice name, tg_slice help, uint32_t *out);
    void (*add)(uint32_t id, int64_t by); ///< this worker's own cell: never contended
} tg_metric_api;

/// A driver: what scripts get from `tg.driver "id"` and wait for, method by method.
typedef struct tg_driver {
    uint32_t size;
    const char *id;
    /// Starts `method` with the list `args` on a worker; ends with complete(op, code, value)
    /// from any thread. A code below 0 becomes the script's `nil, {code, message, retry}`;
    /// for it `value` may be a map with `message` and `retry`.
    int (*call)(const struct tg_driver *self, tg_slice method, const tg_value *args,
                tg_op op);
} tg_driver;

#endif
