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

typedef enum tg_store_flag {
    TG_STORE_DURABLE = 1 << 0, ///< acknowledgements wait for it
} tg_store_flag;

typedef struct tg_store {
    uint32_t size;
    uint32_t flags; ///< tg_store_flag
    const char *id;

    /// Applies `writes` in order, all or none. Called on any worker; commits of one worker
    /// take effect in the order of their calls. Copies what it keeps; ends with
    /// complete(op, 0 or TG_E_*, NULL), from any thread.
    int (*commit)(const struct tg_store *self, const tg_write *writes, size_t n, tg_op op);

    /// Calls `each` for every pair whose key begins with `prefix`, in key order, on the
    /// calling thread (the control thread, at start); `each` stops it by returning non-zero.
    int (*scan)(const struct tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx);
} tg_store;

#endif
