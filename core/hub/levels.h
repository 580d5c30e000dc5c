// SPDX-License-Identifier: Apache-2.0
/// A topic or filter read once: where its levels end, and a keyed hash of each. A level's hash
/// depends on its place, and a text's is the sum: so the hash of a text with some levels left
/// out is had by subtraction.
#ifndef TG_HUB_LEVELS_H
#define TG_HUB_LEVELS_H

#include "tidegate/types.h"

#define TG_LEVELS 32 ///< texts with more are not read

typedef struct tg_level_key { ///< random, so that nobody can choose texts that meet
    uint64_t a, b;
} tg_level_key;

typedef struct tg_levels {
    tg_slice text;
    uint32_t n;
    uint16_t end[TG_LEVELS]; ///< of each level in the text
    uint64_t hash[TG_LEVELS];
    uint64_t sum[TG_LEVELS + 1]; ///< of the hashes of the levels before
} tg_levels;

tg_level_key tg_level_key_new(void); ///< from the process's seed
/// @param text of at most 65535 bytes; borrowed. @return false: more than TG_LEVELS levels.
bool tg_levels_read(tg_levels *l, const tg_level_key *key, tg_slice text);
/// Of one level, or of any text, at a place.
uint64_t tg_level_hash(const tg_level_key *k, const char *at, size_t len, uint32_t place);
uint64_t tg_level_fold(uint64_t a,
                       uint64_t b); ///< two words to one that depends on all bits

static inline uint32_t tg_level_from(const tg_levels *l, uint32_t n)
{
    return n > 0 ? l->end[n - 1] + 1u : 0;
}

#endif
