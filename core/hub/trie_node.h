// SPDX-License-Identifier: Apache-2.0
/// Inside the tree: nodes, as both its writers (trie.c) and readers (trie_match.c) see them.
/// A node is immutable but for the pointers in it: a change of its shape makes a new one.
#ifndef TG_HUB_TRIE_NODE_H
#define TG_HUB_TRIE_NODE_H

#include "hub/trie.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define TG_NODE_INDEXED 48 ///< from so many children on, a table finds them
#define TG_NODE_FEW 4 ///< up to so many are compared one by one

typedef _Atomic uintptr_t tg_link_word;

/// Behind it, so that a walk finds what it reads in one or two cache lines: the bytes of the
/// children in ascending order (with more than TG_NODE_FEW padded with 0 to 16s; INDEXED: a
/// table of 256 with place + 1), then the `skip` bytes of path in front of the branch, then,
/// aligned, `count` link words.
typedef struct tg_node {
    tg_link_word value; ///< leaf whose text ends here, 0 none
    uint16_t skip;
    uint16_t count;
    uint8_t indexed;
    uint8_t wild; ///< the path in front holds a wildcard
    uint8_t plus; ///< place + 1 of the child '+'
    uint8_t hash; ///< place + 1 of the child '#'
    uint8_t keys[];
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

static inline size_t tg_node_keys_len(unsigned count)
{
    if (count <= TG_NODE_FEW)
        return count;
    return count >= TG_NODE_INDEXED ? 256 : (count + 15u) & ~15u;
}

static inline const char *tg_node_path(const tg_node *n)
{
    return (const char *)n->keys + tg_node_keys_len(n->count);
}

static inline size_t tg_node_links_at(unsigned count, size_t skip)
{
    return (sizeof(tg_node) + tg_node_keys_len(count) + skip + 7) & ~(size_t)7;
}

static inline tg_link_word *tg_node_child(const tg_node *n, int place)
{
    char *at = (char *)(uintptr_t)n + tg_node_links_at(n->count, n->skip);
    return (tg_link_word *)(void *)at + place;
}

static inline uintptr_t tg_node_next(const tg_node *n, int place)
{
    return tg_load(tg_node_child(n, place));
}

static inline int tg_node_search(const tg_node *n, uint8_t k)
{
#if defined(__SSE2__)
    const __m128i want = _mm_set1_epi8((char)k);
    for (unsigned i = 0; i < n->count; i += 16) {
        __m128i have = _mm_loadu_si128((const __m128i *)(const void *)(n->keys + i));
        int bits = _mm_movemask_epi8(_mm_cmpeq_epi8(have, want));
        if (bits != 0)
            return (int)i + __builtin_ctz((unsigned)bits);
    }
#else
    for (unsigned i = 0; i < n->count; i++)
        if (n->keys[i] == k)
            return (int)i;
#endif
    return -1;
}

/// @param k not 0: no text holds it. @return place of its child, or -1.
static inline int tg_node_find(const tg_node *n, uint8_t k)
{
    if (n->indexed)
        return (int)n->keys[k] - 1;
    if (n->count > TG_NODE_FEW)
        return tg_node_search(n, k);
    for (unsigned i = 0; i < n->count; i++)
        if (n->keys[i] == k)
            return (int)i;
    return -1;
}

/// @return place of the first child for a byte of at least `k`, or -1.
static inline int tg_node_at_least(const tg_node *n, unsigned k)
{
    if (n->indexed) {
        for (; k < 256; k++)
            if (n->keys[k] != 0)
                return (int)n->keys[k] - 1;
        return -1;
    }
    for (unsigned i = 0; i < n->count; i++)
        if (n->keys[i] >= k)
            return (int)i;
    return -1;
}

#endif
