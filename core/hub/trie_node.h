// SPDX-License-Identifier: Apache-2.0
/// Inside the tree: nodes, as both its writers (trie.c) and readers (trie_match.c) see them.
/// A node is immutable but for the pointers in it: a change of its shape makes a new one.
#ifndef TG_HUB_TRIE_NODE_H
#define TG_HUB_TRIE_NODE_H

#include "hub/trie.h"

#define TG_NODE_INDEXED 48 ///< from so many children on, a table finds them

typedef _Atomic uintptr_t tg_link_word;

/// Behind it: `count` link words; then the bytes they stand for in ascending order, or, when
/// INDEXED, a table of 256 with place + 1; then the `skip` bytes of path in front of the branch.
typedef struct tg_node {
    tg_link_word value; ///< leaf whose text ends here, 0 none
    uint16_t skip;
    uint16_t count;
    uint8_t indexed;
    uint8_t wild; ///< the path in front holds a wildcard
    uint8_t plus; ///< place + 1 of the child '+'
    uint8_t hash; ///< place + 1 of the child '#'
    tg_link_word child[];
} tg_node;

static inline bool tg_is_leaf(uintptr_t w)
{
    return (w & 1) != 0;
}

static inline tg_leaf *tg_leaf_of(uintptr_t w)
{
    return (tg_leaf *)(w - 1); // NOLINT
}

static inline tg_node *tg_node_of(uintptr_t w)
{
    return (tg_node *)w; // NOLINT
}

static inline uintptr_t tg_load(const tg_link_word *w)
{
    return atomic_load_explicit(w, memory_order_acquire);
}

static inline const uint8_t *tg_node_keys(const tg_node *n)
{
    return (const uint8_t *)&n->child[n->count];
}

static inline size_t tg_node_keys_len(unsigned count)
{
    return count >= TG_NODE_INDEXED ? 256 : count;
}

static inline const char *tg_node_path(const tg_node *n)
{
    return (const char *)tg_node_keys(n) + tg_node_keys_len(n->count);
}

/// @return place of the child for byte `k`, or -1.
static inline int tg_node_find(const tg_node *n, uint8_t k)
{
    const uint8_t *keys = tg_node_keys(n);
    if (n->indexed)
        return (int)keys[k] - 1;
    for (unsigned i = 0; i < n->count; i++)
        if (keys[i] == k)
            return (int)i;
    return -1;
}

/// @return place of the first child for a byte of at least `k`, or -1.
static inline int tg_node_at_least(const tg_node *n, unsigned k)
{
    const uint8_t *keys = tg_node_keys(n);
    if (n->indexed) {
        for (; k < 256; k++)
            if (keys[k] != 0)
                return (int)keys[k] - 1;
        return -1;
    }
    for (unsigned i = 0; i < n->count; i++)
        if (keys[i] >= k)
            return (int)i;
    return -1;
}

#endif
