// SPDX-License-Identifier: Apache-2.0
/// The shape of a filter: how many levels it has, which of them are '+', whether '#' follows.
/// Filters of one shape can match a topic only with the levels that are not wildcards, so one
/// look into a hash table finds the one that does. Millions of filters have few shapes.
#ifndef TG_HUB_SHAPE_H
#define TG_HUB_SHAPE_H

#include <stdatomic.h>

#include "base/map.h"
#include "hub/epoch.h"
#include "hub/levels.h"

#define TG_SHAPES_MAX 64 ///< looked for per topic; with more, the tree is faster

typedef struct tg_shape {
    uint64_t id; ///< so that equal levels in different shapes have different hashes
    uint32_t plus; ///< levels that are '+', by bit
    uint8_t levels; ///< '#' not counted
    bool tail; ///< '#' follows
} tg_shape;

/// What a match looks for, by the number of levels of its topic. Immutable.
typedef struct tg_plan {
    uint64_t many; ///< by bit: more than TG_SHAPES_MAX, and none is listed
    uint16_t first[TG_LEVELS + 1]; ///< n levels: at[first[n]] up to at[first[n + 1]]
    tg_shape at[];
} tg_plan;

typedef struct tg_shapes {
    _Atomic(tg_plan *) plan; ///< NULL: no filter
    tg_map map; ///< writers, and below, too
    struct tg_shape_kind *kinds[2][TG_LEVELS + 1]; ///< without and with '#', by levels
    uint32_t count[2][TG_LEVELS + 1];
} tg_shapes;

/// @param l a valid filter.
tg_shape tg_shape_of(const tg_levels *l, const tg_level_key *key);

/// Of the levels of a topic or filter that `s` does not leave out.
static inline uint64_t tg_shape_hash(const tg_shape *s, const tg_levels *l)
{
    uint64_t h = l->sum[s->levels] + s->id;
    for (uint32_t m = s->plus; m != 0; m &= m - 1)
        h -= l->hash[__builtin_ctz(m)];
    return h;
}

/// @param s fits topics of `topic`'s levels. @return whether `filter`, which is of that shape,
/// matches it.
bool tg_shape_matches(const tg_shape *s, tg_slice filter, const tg_levels *topic);

// Writers, under the owner's lock.

/// One more filter of shape `s`. @return 0, TG_E_NOMEM (nothing changed).
int tg_shapes_add(tg_shapes *all, const tg_shape *s, tg_limbo *limbo, tg_epoch *epoch);
void tg_shapes_del(tg_shapes *all, const tg_shape *s, tg_limbo *limbo, tg_epoch *epoch);
void tg_shapes_free(tg_shapes *all); ///< no reader left

#endif
