// SPDX-License-Identifier: Apache-2.0
// Epoch-based reclamation without fences, so that ThreadSanitizer sees every edge. A reader
// writes the epoch it saw into its place and then makes sure that the epoch did not move
// meanwhile; all of that is seq_cst. So either it read the epoch that a writer raised after
// unlinking a node, and then sees the node unlinked; or its place was written before the
// writer raised the epoch, and the writer, who looks at the places afterwards, waits for it.
#include "hub/epoch.h"

#include <assert.h>
#include <stdlib.h>

#define LINE 64
#define STEP 64 // retired items before the epoch moves

struct place {
    _Alignas(LINE) _Atomic uint64_t at; // epoch of the reader inside, 0 outside
};

struct tg_epoch {
    _Alignas(LINE) _Atomic uint64_t now;
    uint32_t readers;
    struct place places[];
};

struct tg_limbo_item {
    void *p;
    tg_limbo_fn *fn;
    uint64_t epoch; // readers of a later one cannot hold it
};

tg_epoch *tg_epoch_new(uint32_t readers)
{
    tg_epoch *e = aligned_alloc(LINE, sizeof(*e) + readers * sizeof(e->places[0]));
    if (e == NULL)
        return NULL;
    atomic_init(&e->now, 1);
    e->readers = readers;
    for (uint32_t i = 0; i < readers; i++)
        atomic_init(&e->places[i].at, 0);
    return e;
}

void tg_epoch_free(tg_epoch *e)
{
    free(e);
}

void tg_epoch_enter(tg_epoch *e, uint32_t reader)
{
    struct place *p = &e->places[reader];
    uint64_t now = atomic_load(&e->now), seen;
    for (;; now = seen) {
        atomic_store(&p->at, now);
        seen = atomic_load(&e->now);
        if (seen == now)
            return;
    }
}

void tg_epoch_leave(tg_epoch *e, uint32_t reader)
{
    atomic_store_explicit(&e->places[reader].at, 0, memory_order_release);
}

// The oldest epoch that a reader may be in.
static uint64_t oldest(tg_epoch *e)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < e->readers; i++) {
        uint64_t at = atomic_load(&e->places[i].at);
        if (at != 0 && at < least)
            least = at;
    }
    return least;
}

static bool grow(tg_limbo *l)
{
    if (l->first > 0 && l->first >= l->cap / 2) {
        memmove(l->items, l->items + l->first, (l->count - l->first) * sizeof(*l->items));
        l->count -= l->first;
        l->first = 0;
        return true;
    }
    uint32_t cap = l->cap == 0 ? 256 : l->cap * 2;
    struct tg_limbo_item *items = realloc(l->items, cap * sizeof(*items));
    if (items == NULL)
        return false;
    l->items = items;
    l->cap = cap;
    return true;
}

void tg_limbo_add(tg_limbo *l, tg_epoch *e, void *p, tg_limbo_fn *fn)
{
    // Out of memory to remember it: it stays allocated, which harms nobody.
    if (l->count == l->cap && !grow(l))
        return;
    l->items[l->count++] = (struct tg_limbo_item){p, fn, 0};
    if (++l->since >= STEP)
        tg_limbo_reclaim(l, e);
}

// Whoever reads a later epoch reads it from this addition or one after it, by whatever lock's
// writer, and so sees what was unlinked before it.
static void move_on(tg_limbo *l, tg_epoch *e)
{
    uint64_t was = atomic_fetch_add(&e->now, 1);
    for (uint32_t i = l->count - l->since; i < l->count; i++)
        l->items[i].epoch = was;
    l->since = 0;
}

void tg_limbo_reclaim(tg_limbo *l, tg_epoch *e)
{
    if (l->first == l->count)
        return;
    if (l->since > 0)
        move_on(l, e);
    uint64_t least = oldest(e);
    while (l->first < l->count && l->items[l->first].epoch < least) {
        struct tg_limbo_item i = l->items[l->first++];
        i.fn(l->owner, i.p);
    }
    if (l->first == l->count)
        l->first = l->count = 0;
}

void tg_limbo_free(tg_limbo *l)
{
    for (uint32_t i = l->first; i < l->count; i++)
        l->items[i].fn(l->owner, l->items[i].p);
    free(l->items);
    *l = (tg_limbo){.owner = l->owner};
}

void tg_limbo_malloced(void *owner, void *p)
{
    (void)owner;
    free(p);
}
