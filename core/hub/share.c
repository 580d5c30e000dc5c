// SPDX-License-Identifier: Apache-2.0
// A message for a group goes to one member. The strategy names a first candidate; if that one
// has no connection, its neighbours are asked, so that nobody's outage eats messages while
// others are there. If none is connected the candidate's queue gets it.
#include "hub/share.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "hub/hub.h"
#include "hub/internal.h"

#define LOOK_AT 64 // members asked for a connection, at most
#define PACK_MAX 256 // a larger group keeps its holes: there they weigh little

static tg_group *group_find(const tg_filter *f, tg_slice name)
{
    tg_group *g = atomic_load_explicit(&f->groups, memory_order_acquire);
    while (g != NULL && !tg_slice_eq(name, (tg_slice){g->name, g->name_len}))
        g = atomic_load_explicit(&g->next, memory_order_acquire);
    return g;
}

static tg_group *group_make(tg_filter *f, tg_slice name)
{
    tg_group *g = group_find(f, name);
    if (g != NULL)
        return g;
    g = malloc(sizeof(*g) + name.len);
    if (g == NULL)
        return NULL;
    atomic_init(&g->next, atomic_load(&f->groups));
    atomic_init(&g->members, NULL);
    atomic_init(&g->turn, 0);
    g->count = 0;
    g->tag = (uint32_t)(tg_hash(name) * 31 + tg_hash(tg_leaf_text(&f->leaf)));
    g->name_len = (uint16_t)name.len;
    memcpy(g->name, name.at, name.len);
    atomic_store_explicit(&f->groups, g, memory_order_release);
    return g;
}

static void group_free(void *slab, void *p)
{
    tg_group *g = p;
    tg_set_free(slab, atomic_load(&g->members));
    free(g);
}

void tg_groups_free(tg_slab *slab, tg_group *g)
{
    while (g != NULL) {
        tg_group *next = atomic_load(&g->next);
        group_free(slab, g);
        g = next;
    }
}

static void group_release(tg_router *r, tg_filter *f, tg_group *g)
{
    if (g->count > 0)
        return;
    struct tg_group *_Atomic *at = &f->groups;
    while (atomic_load(at) != g)
        at = &atomic_load(at)->next;
    atomic_store_explicit(at, atomic_load(&g->next), memory_order_release);
    tg_limbo_add(&r->limbo, r->epoch, g, group_free);
}

int tg_group_add(tg_router *r, tg_filter *f, tg_slice name, tg_route *route)
{
    tg_group *g = group_make(f, name);
    if (g == NULL)
        return TG_E_NOMEM;
    tg_set *old = atomic_load(&g->members);
    tg_set *s = tg_set_add(old, route);
    if (s != NULL) {
        route->group = g;
        g->count++;
        atomic_store_explicit(&g->members, s, memory_order_release);
        if (old != NULL && old != s)
            tg_limbo_add(&r->limbo, r->epoch, old, tg_limbo_malloced);
    }
    group_release(r, f, g);
    return s != NULL ? 0 : TG_E_NOMEM;
}

void tg_group_del(tg_router *r, tg_filter *f, tg_route *route)
{
    tg_group *g = route->group;
    tg_set *s = atomic_load(&g->members);
    tg_set_del(s, route);
    g->count--;
    // Holes would give their neighbours a double share of a round robin.
    tg_set *packed = g->count > 0 && g->count <= PACK_MAX ? tg_set_pack(s) : NULL;
    if (packed != NULL) {
        atomic_store_explicit(&g->members, packed, memory_order_release);
        tg_limbo_add(&r->limbo, r->epoch, s, tg_limbo_malloced);
    }
    group_release(r, f, g);
}

uint32_t tg_groups_count(const tg_filter *f)
{
    uint32_t n = 0;
    for (tg_group *g = atomic_load(&f->groups); g != NULL; g = atomic_load(&g->next))
        n += g->count;
    return n;
}

static uint32_t first_candidate(tg_group *g, const tg_choice *how, uint32_t n)
{
    switch (how->strategy) {
    case TG_SHARE_RANDOM:
        return (uint32_t)(tg_random() % n);
    case TG_SHARE_STICKY:
        return 0;
    case TG_SHARE_HASH_TOPIC:
        return (uint32_t)(how->topic % n);
    case TG_SHARE_HASH_CLIENT:
        return (uint32_t)(how->client % n);
    default:
        return atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed) % n;
    }
}

// From `start` round the members. @return the first connected one, else the first one at all.
static const tg_route *choose(const tg_set *s, uint32_t start, uint32_t n,
                              const tg_route *not_this)
{
    const tg_route *any = NULL;
    uint32_t looked = 0;
    for (uint32_t i = 0; i < n && looked < LOOK_AT; i++) {
        uintptr_t w = atomic_load_explicit(&s->at[(start + i) % n], memory_order_acquire);
        const tg_route *r = (const tg_route *)w; // NOLINT
        if ((w & 1) != 0 || r == not_this)
            continue;
        if (tg_sess_online(r->sess))
            return r;
        looked++;
        if (any == NULL)
            any = r;
    }
    return any;
}

void tg_filter_shared(const tg_filter *f, const tg_choice *how, tg_route_fn *fn, void *ctx)
{
    tg_group *g = atomic_load_explicit(&f->groups, memory_order_acquire);
    for (; g != NULL; g = atomic_load_explicit(&g->next, memory_order_acquire)) {
        const tg_set *s = atomic_load_explicit(&g->members, memory_order_acquire);
        uint32_t n = s != NULL ? atomic_load_explicit(&s->used, memory_order_acquire) : 0;
        const tg_route *r = n > 0 ? choose(s, first_candidate(g, how, n), n, NULL) : NULL;
        if (r != NULL)
            fn(ctx, r);
    }
}

static const tg_route *next_member(tg_group *g, const tg_route *not_this)
{
    const tg_choice turn = {.strategy = TG_SHARE_ROUND_ROBIN};
    const tg_set *s = atomic_load_explicit(&g->members, memory_order_acquire);
    uint32_t n = s != NULL ? atomic_load_explicit(&s->used, memory_order_acquire) : 0;
    return n > 0 ? choose(s, first_candidate(g, &turn, n), n, not_this) : NULL;
}

const tg_route *tg_group_other(const tg_route *route)
{
    return next_member(route->group, route);
}

const tg_route *tg_group_member(const tg_filter *f, uint32_t tag)
{
    tg_group *g = atomic_load_explicit(&f->groups, memory_order_acquire);
    while (g != NULL && g->tag != tag)
        g = atomic_load_explicit(&g->next, memory_order_acquire);
    return g != NULL ? next_member(g, NULL) : NULL;
}
