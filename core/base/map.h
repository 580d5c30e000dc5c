// SPDX-License-Identifier: Apache-2.0
/// A hash map from bytes to pointers, open addressing, seeded SipHash against chosen keys.
/// Keys are borrowed: they live in what the pointer points to.
#ifndef TG_BASE_MAP_H
#define TG_BASE_MAP_H

#include "tidegate/types.h"

typedef struct tg_map {
    struct tg_map_slot *slots;
    uint32_t count, cap; ///< cap is a power of two or 0
} tg_map;

void tg_map_free(tg_map *m);
void *tg_map_find(const tg_map *m, tg_slice key);
/// @return 0; TG_E_EXISTS (unchanged); TG_E_NOMEM.
int tg_map_add(tg_map *m, tg_slice key, void *value);
/// Adds or replaces. @param key must live as long as the new value. @return 0 or TG_E_NOMEM.
int tg_map_set(tg_map *m, tg_slice key, void *value);
/// @return what was removed, or NULL.
void *tg_map_del(tg_map *m, tg_slice key);
/// Walks in no order: start with *at = 0; @return NULL at the end. No change meanwhile, but
/// the entry just returned may be deleted.
void *tg_map_next(const tg_map *m, uint32_t *at);

/// 64-bit keyed hash with the process's random seed (drawn once by tg_hash_seed()).
uint64_t tg_hash(tg_slice bytes);
void tg_hash_seed(void); ///< once, before threads start
uint64_t tg_random(void); ///< for jitter and names, not for secrets; any thread

#endif
