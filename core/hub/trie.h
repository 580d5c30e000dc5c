// SPDX-License-Identifier: Apache-2.0
/// A byte-wise, path-compressed radix tree from text to leaves. Reads take no lock and run
/// inside an epoch; writers hold a lock of the owner's. Filters and retained topics both live
/// in one of these.
#ifndef TG_HUB_TRIE_H
#define TG_HUB_TRIE_H

#include <stdatomic.h>

#include "hub/epoch.h"
#include "hub/slab.h"

/// Head of what the tree leads to. Its whole text lies in the same allocation, so the tree
/// needs to store only what tells texts apart.
typedef struct tg_leaf {
    uint16_t len;
    uint16_t text_at; ///< bytes from the leaf to its text
    uint32_t user; ///< the owner's
} tg_leaf;

static inline tg_slice tg_leaf_text(const tg_leaf *l)
{
    return (tg_slice){(const char *)l + l->text_at, l->len};
}

typedef struct tg_trie {
    _Atomic uintptr_t root; ///< 0, a node, or a leaf with its lowest bit set
    tg_epoch *epoch;
    tg_limbo *limbo; ///< of the writers' lock; its owner is the slab
    tg_slab *slab;
} tg_trie;

// Writers, under the owner's lock.

/// @return the leaf with this text, or NULL.
tg_leaf *tg_trie_find(const tg_trie *t, tg_slice text);
/// `leaf` must be new to the tree. @return 0, TG_E_NOMEM (nothing changed).
int tg_trie_add(tg_trie *t, tg_leaf *leaf);
/// Unlinks it. @owner the leaf is the caller's again: readers may still hold it, so it goes
/// through the limbo. @return 0, TG_E_NOMEM (nothing changed).
int tg_trie_del(tg_trie *t, tg_leaf *leaf);
void tg_trie_clear(tg_trie *t, void (*drop)(tg_slab *slab, tg_leaf *l)); ///< no reader left

// Readers, inside the epoch; tg_trie_find too.

/// Calls `hit` for each leaf whose text, read as a filter, matches `topic`.
/// @param levels of the topic, as the caller bounds them (at most TG_TRIE_LEVELS).
#define TG_TRIE_LEVELS 512
void tg_trie_match(const tg_trie *t, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                   void *ctx);
/// @return the first leaf behind `after` in the order of bytes (`from`: or at it), NULL none.
tg_leaf *tg_trie_next(const tg_trie *t, tg_slice after, bool from);

#endif
