// SPDX-License-Identifier: Apache-2.0
/// Filters by the hash of their shape and of the levels that are not wildcards: a topic finds
/// the filters that match it with one look per shape, all of which wait for memory at the same
/// time. Reads take no lock and run inside an epoch; writers hold a lock of the owner's.
#ifndef TG_HUB_INDEX_H
#define TG_HUB_INDEX_H

#include "hub/shape.h"
#include "hub/trie.h"

typedef struct tg_index {
    tg_level_key key;
    tg_shapes shapes;
    _Atomic(struct tg_index_dir *) dir; ///< NULL until the first filter
    tg_epoch *epoch;
    tg_limbo *limbo; ///< of the writers' lock; its owner is the slab
    tg_slab *slab;
} tg_index;

void tg_index_init(tg_index *x, tg_epoch *epoch, tg_limbo *limbo, tg_slab *slab);
void tg_index_free(tg_index *x); ///< no reader left; the slab is cleared by its owner

/// Where a filter belongs.
typedef struct tg_index_at {
    bool deep; ///< nowhere: no topic that the index serves has so many levels
    tg_shape shape;
    uint64_t hash;
} tg_index_at;

/// @param filter a valid one.
tg_index_at tg_index_where(const tg_index *x, tg_slice filter);
/// @return the leaf with this text, or NULL.
tg_leaf *tg_index_find(const tg_index *x, const tg_index_at *at, tg_slice filter);

// Writers. `leaf` is the filter that `at` is for, or that it is read from.

/// @param leaf new to the index. @return 0, TG_E_NOMEM (nothing changed).
int tg_index_add(tg_index *x, const tg_index_at *at, tg_leaf *leaf);
void tg_index_del(tg_index *x, tg_leaf *leaf);

// Readers, inside the epoch; the first two, too.

/// Calls `hit` for each filter that matches `topic`. @return false, and no call: the topic has
/// too many levels, or its filters too many shapes.
bool tg_index_match(const tg_index *x, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                    void *ctx);

#endif
