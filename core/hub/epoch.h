// SPDX-License-Identifier: Apache-2.0
/// Epochs: readers of the tries take no lock; what writers unlink is freed when no reader can
/// hold it any more. A reader is inside only while it walks, so a sleeping worker never delays
/// anybody.
#ifndef TG_HUB_EPOCH_H
#define TG_HUB_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

typedef struct tg_epoch tg_epoch;

/// @param readers their number; each has a place of its own, 0..readers-1.
tg_epoch *tg_epoch_new(uint32_t readers);
void tg_epoch_free(tg_epoch *e); ///< no reader is inside
void tg_epoch_enter(tg_epoch *e, uint32_t reader); ///< does not nest
void tg_epoch_leave(tg_epoch *e, uint32_t reader);

typedef void tg_limbo_fn(void *owner, void *p);

/// What one lock's writers unlinked and nobody freed yet. Used under that lock alone.
typedef struct tg_limbo {
    void *owner; ///< handed to who frees
    struct tg_limbo_item *items;
    uint32_t first, count, cap;
    uint32_t since; ///< retired after the epoch last moved
} tg_limbo;

/// Frees `p` with `fn` once every reader of now has left. Call after unlinking it.
void tg_limbo_add(tg_limbo *l, tg_epoch *e, void *p, tg_limbo_fn *fn);
void tg_limbo_malloced(void *owner, void *p); ///< for what came from malloc()
/// Frees what can be freed; cheap when nothing waits.
void tg_limbo_reclaim(tg_limbo *l, tg_epoch *e);
void tg_limbo_free(tg_limbo *l); ///< no reader is inside; frees all

#endif
