// SPDX-License-Identifier: Apache-2.0
/// Spools: named queues of bytes behind the host's store, for what must reach somebody who is
/// away. First in, first out; bounded; on disk when the store is. One belongs to a plugin,
/// whatever its version, and is shared by all workers.
#ifndef TIDEGATE_SPOOL_H
#define TIDEGATE_SPOOL_H

#include "types.h"

/// Valid on every worker, for the plugin that opened it, as long as the host runs.
typedef struct tg_spool {
    uint64_t id;
} tg_spool;

typedef struct tg_spool_spec {
    uint32_t size;
    uint32_t refuse; ///< at a bound: 1 refuses a push (TG_E_FULL), 0 drops what is oldest
    tg_slice name; ///< letters, digits, '-', '_', '.', at most 63
    uint64_t max_bytes; ///< of what is pushed; 0: 64 MiB
    uint64_t max_count; ///< 0: no bound
    uint64_t max_age_ms; ///< since its push; what is older is dropped when it is met; 0: no
        ///< bound
} tg_spool_spec;

enum { TG_SPOOL_PEEK_MAX = 256 }; ///< items that one peek gives at most, and 1 MiB

/// Each call that ends with `done` fails at once with TG_E_INVAL for a spool that is not this
/// plugin's, and TG_E_NOMEM.
typedef struct tg_spool_api {
    uint32_t size;
    /// Opens the spool, or sets new bounds for one that is open. @return TG_E_INVAL for a name,
    /// TG_E_LIMIT for too many spools, TG_E_UNSUPPORTED when the store cannot be read in pages.
    int (*open)(const tg_spool_spec *spec, tg_spool *out);
    /// @param done 0 and the item's number when it is committed; TG_E_FULL, TG_E_TOOBIG for more
    /// than max_bytes, TG_E_NOSPACE when the store is full, TG_E_IO. @owner copies `bytes`.
    /// @return also TG_E_FULL: too much waits for the store already.
    int (*push)(tg_spool q, tg_slice bytes, tg_done_fn *done, void *ctx);
    /// The oldest `n` items, which stay; fewer when there are no more, or they are large.
    /// @param wait_ms how long to wait for a first one; 0: not at all.
    /// @param done a list of {id, at (when it was pushed, ms since the epoch), bytes}, oldest
    /// first.
    int (*peek)(tg_spool q, uint32_t n, uint32_t wait_ms, tg_done_fn *done, void *ctx);
    /// Takes away all items up to and with number `id`. @param done when it is committed.
    int (*ack)(tg_spool q, uint64_t id, tg_done_fn *done, void *ctx);
    /// @param done {count, bytes, first, next, pushed, acked, dropped, refused}: what is there,
    /// and what happened since the host started.
    int (*stats)(tg_spool q, tg_done_fn *done, void *ctx);
} tg_spool_api;

#endif
