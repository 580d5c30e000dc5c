// SPDX-License-Identifier: Apache-2.0
/// Stores: where sessions, queues and retained messages survive. An ordered map of bytes; the
/// host decides what the keys mean. Asynchronous: an acknowledgement waits for `commit`.
#ifndef TIDEGATE_STORE_H
#define TIDEGATE_STORE_H

#include "types.h"

typedef enum tg_write_kind {
    TG_WRITE_PUT,
    TG_WRITE_DEL,
    TG_WRITE_DEL_PREFIX,
} tg_write_kind;

typedef struct tg_write {
    uint32_t kind; ///< tg_write_kind
    uint32_t reserved;
    tg_slice key;
    tg_slice value; ///< PUT
} tg_write;

/// What `read` is asked for.
typedef struct tg_range {
    uint32_t size;
    uint32_t limit; ///< pairs at most
    tg_slice prefix; ///< keys that begin with it; empty: all
    tg_slice from; ///< and are not below this one; empty: from the first
    uint64_t bytes; ///< of keys and values at most; a first pair is given whatever its size
} tg_range;

typedef enum tg_store_flag {
    TG_STORE_DURABLE = 1 << 0, ///< acknowledgements wait for it
} tg_store_flag;

typedef struct tg_store {
    uint32_t size;
    uint32_t flags; ///< tg_store_flag
    const char *id;

    /// Applies `writes` in order, all or none. Called on any worker; commits of one worker
    /// take effect in the order of their calls. Copies what it keeps; ends with
    /// complete(op, 0 or TG_E_*, NULL), from any thread. Completions need no order: one says
    /// that what its worker committed before has taken effect, too, or has failed.
    /// TG_E_FULL: there is no room for all that is put, and only the deletions were applied;
    /// those must be possible in a full store.
    int (*commit)(const struct tg_store *self, const tg_write *writes, size_t n, tg_op op);

    /// Calls `each` for every pair whose key begins with `prefix`, in key order, on the
    /// calling thread (the control thread, at start); `each` stops it by returning non-zero.
    int (*scan)(const struct tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx);

    /// Optional. Reads pairs in key order; ends with complete(op, 0, list) of key, value, key,
    /// value, …, an empty list behind the last. Called on any worker; sees the commits that
    /// this worker asked for before.
    int (*read)(const struct tg_store *self, const tg_range *range, tg_op op);
} tg_store;

#endif
