// SPDX-License-Identifier: Apache-2.0
// A free slot keeps its generation, so the handle that comes next to its index differs from
// every earlier one; the free list runs through the pointer array, whose entries a free slot
// does not need. `gen` is even while free and odd while used: an invented handle for a free
// slot never matches, and a used generation is never 0.
#include "base/slots.h"

#include <assert.h>
#include <stdlib.h>

#define INDEX_BITS 24
#define INDEX_MAX (1u << INDEX_BITS)
#define NONE UINT32_MAX
#define DOUBLES                                                                            \
    1024 // a big table grows by a quarter: what is spare is paid by each connection

void tg_slots_init(tg_slots *s, uint32_t worker)
{
    assert(worker < 256);
    *s = (tg_slots){.worker = worker, .free_head = NONE};
}

void tg_slots_free(tg_slots *s)
{
    free(s->at);
    free(s->gen);
    tg_slots_init(s, s->worker);
}

static bool grow(tg_slots *s)
{
    uint32_t cap = s->cap == 0 ? 16 : s->cap + (s->cap < DOUBLES ? s->cap : s->cap / 4);
    if (cap > INDEX_MAX)
        return false;
    void **at = realloc(s->at, cap * sizeof(*at));
    if (at == NULL)
        return false;
    s->at = at;
    uint32_t *gen = realloc(s->gen, cap * sizeof(*gen));
    if (gen == NULL)
        return false;
    s->gen = gen;
    s->cap = cap;
    return true;
}

static uint32_t take(tg_slots *s)
{
    uint32_t i = s->free_head;
    if (i != NONE) {
        s->free_head = (uint32_t)(uintptr_t)s->at[i];
        return i;
    }
    if (s->count == s->cap && !grow(s))
        return NONE;
    i = s->count++;
    s->gen[i] = 0;
    return i;
}

uint64_t tg_slots_add(tg_slots *s, void *p)
{
    assert(p != NULL);
    uint32_t i = take(s);
    if (i == NONE)
        return 0;
    s->at[i] = p;
    s->gen[i]++;
    s->used++;
    return (uint64_t)s->worker << 56 | (uint64_t)i << 32 | s->gen[i];
}

static uint32_t index_of(const tg_slots *s, uint64_t h)
{
    uint32_t i = (uint32_t)(h >> 32) & (INDEX_MAX - 1);
    uint32_t gen = (uint32_t)h;
    bool mine = tg_handle_worker(h) == s->worker && i < s->count && gen == s->gen[i];
    return mine && (gen & 1) != 0 ? i : NONE;
}

void *tg_slots_find(const tg_slots *s, uint64_t h)
{
    uint32_t i = index_of(s, h);
    return i == NONE ? NULL : s->at[i];
}

void *tg_slots_del(tg_slots *s, uint64_t h)
{
    uint32_t i = index_of(s, h);
    if (i == NONE)
        return NULL;
    void *p = s->at[i];
    s->used--;
    // An index whose generations are used up is retired: it would repeat old handles.
    if (++s->gen[i] == 0)
        return p;
    s->at[i] = (void *)(uintptr_t)s->free_head;
    s->free_head = i;
    return p;
}
