// SPDX-License-Identifier: Apache-2.0
/// Handles: a table of pointers found by index and generation. One table per worker and kind;
/// the handle carries its worker, so a handle used on the wrong thread is seen.
#ifndef TG_BASE_SLOTS_H
#define TG_BASE_SLOTS_H

#include "tidegate/types.h"

/// 63..56 worker, 55..32 index, 31..0 generation (never 0).
static inline uint32_t tg_handle_worker(uint64_t h)
{
    return (uint32_t)(h >> 56);
}

typedef struct tg_slots {
    void **at; ///< what is in use; of a free slot the next free index
    uint32_t *gen; ///< odd while the slot is used
    uint32_t count, cap, free_head;
    uint32_t used;
    uint32_t worker;
} tg_slots;

void tg_slots_init(tg_slots *s, uint32_t worker);
void tg_slots_free(tg_slots *s);
/// @return a handle for `p` (not NULL); 0 when out of memory or indices.
uint64_t tg_slots_add(tg_slots *s, void *p);
/// @return the pointer; NULL for a stale, foreign or invented handle.
void *tg_slots_find(const tg_slots *s, uint64_t h);
/// Ends the handle. @return what it stood for, NULL as find.
void *tg_slots_del(tg_slots *s, uint64_t h);

#endif
