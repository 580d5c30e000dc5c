// SPDX-License-Identifier: Apache-2.0
// A session's subscriptions. Most have one, which costs nothing but a pointer; more live in a
// table keyed by the filter's address, since the text is in the router already.
#include <stdlib.h>

#include "base/metric.h"
#include "hub/internal.h"
#include "hub/topic.h"

#define TABLE_MIN 4

static uint32_t home(const tg_filter *f, const tg_group *g, uint32_t cap)
{
    uint64_t x = (uint64_t)(uintptr_t)f ^ (uint64_t)(uintptr_t)g << 7;
    return (uint32_t)(x * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (cap - 1);
}

static bool same(const tg_route *r, const tg_filter *f, const tg_group *g)
{
    return r->filter == f && r->group == g;
}

static tg_route **place(const tg_sess *s, const tg_filter *f, const tg_group *g)
{
    uint32_t i = home(f, g, s->subs_cap);
    while (s->subs.many[i] != NULL && !same(s->subs.many[i], f, g))
        i = (i + 1) & (s->subs_cap - 1);
    return &s->subs.many[i];
}

tg_route *tg_subs_find(const tg_sess *s, const tg_filter *f, const tg_group *g)
{
    if (s->nsubs == 0)
        return NULL;
    if (s->subs_cap == 0)
        return same(s->subs.one, f, g) ? s->subs.one : NULL;
    return *place(s, f, g);
}

static int grow(tg_sess *s)
{
    uint32_t cap = s->subs_cap == 0 ? TABLE_MIN : s->subs_cap * 2;
    tg_route **at = calloc(cap, sizeof(tg_route *));
    if (at == NULL)
        return TG_E_NOMEM;
    tg_sess fresh = {.subs.many = at, .subs_cap = cap};
    uint32_t i = 0;
    for (tg_route *r; (r = tg_subs_next(s, &i)) != NULL;)
        *place(&fresh, r->filter, r->group) = r;
    if (s->subs_cap > 0)
        free(s->subs.many);
    s->subs.many = at;
    s->subs_cap = cap;
    return 0;
}

int tg_subs_put(tg_sess *s, tg_route *r)
{
    bool replaces = tg_subs_find(s, r->filter, r->group) != NULL;
    if (!replaces && (s->subs_cap > 0 ? s->nsubs >= s->subs_cap / 4 * 3 : s->nsubs == 1) &&
        grow(s) < 0)
        return TG_E_NOMEM;
    if (s->subs_cap == 0)
        s->subs.one = r;
    else
        *place(s, r->filter, r->group) = r;
    s->nsubs += !replaces;
    return 0;
}

// What follows a hole moves up, so that no search ends too early.
static void close_hole(tg_sess *s, uint32_t hole)
{
    uint32_t mask = s->subs_cap - 1;
    for (uint32_t i = (hole + 1) & mask; s->subs.many[i] != NULL; i = (i + 1) & mask) {
        const tg_route *r = s->subs.many[i];
        uint32_t from = home(r->filter, r->group, s->subs_cap);
        if (((i - from) & mask) < ((i - hole) & mask))
            continue;
        s->subs.many[hole] = s->subs.many[i];
        s->subs.many[i] = NULL;
        hole = i;
    }
}

void tg_subs_del(tg_sess *s, const tg_route *r)
{
    if (s->subs_cap > 0) {
        tg_route **at = place(s, r->filter, r->group);
        *at = NULL;
        close_hole(s, (uint32_t)(at - s->subs.many));
    }
    if (--s->nsubs > 0)
        return;
    if (s->subs_cap > 0)
        free(s->subs.many);
    s->subs_cap = 0;
    s->subs.one = NULL;
}

tg_route *tg_subs_next(const tg_sess *s, uint32_t *at)
{
    if (s->subs_cap == 0)
        return s->nsubs > 0 && (*at)++ == 0 ? s->subs.one : NULL;
    while (*at < s->subs_cap) {
        tg_route *r = s->subs.many[(*at)++];
        if (r != NULL)
            return r;
    }
    return NULL;
}

// The filter and group of a subscription of our own cannot go while we look for it; those of
// others can, so the search is under the lock.
tg_route *tg_subs_lookup(tg_hub *h, const tg_sess *s, tg_slice filter)
{
    if (s->nsubs == 0)
        return NULL;
    if (s->subs_cap == 0)
        return tg_route_is(s->subs.one, filter) ? s->subs.one : NULL;
    tg_slice name, text = filter;
    bool shared = tg_topic_shared(filter, &name, &text);
    tg_route *found = NULL;
    pthread_mutex_lock(&h->router.lock);
    const tg_filter *f = tg_router_find(&h->router, text);
    if (f != NULL && !shared)
        found = tg_subs_find(s, f, NULL);
    for (tg_group *g = f != NULL && shared ? atomic_load(&f->groups) : NULL; g != NULL;
         g = atomic_load(&g->next))
        if (tg_slice_eq(name, (tg_slice){g->name, g->name_len}))
            found = tg_subs_find(s, f, g);
    pthread_mutex_unlock(&h->router.lock);
    return found;
}

void tg_subs_count(const tg_hub *h, const tg_route *r, int by)
{
    tg_metric_add(h->metrics.subscriptions, by);
    if (r->group != NULL)
        tg_metric_add(h->metrics.shared, by);
}

void tg_subs_clear(tg_hub *h, tg_sess *s)
{
    uint32_t i = 0;
    for (tg_route *r; (r = tg_subs_next(s, &i)) != NULL;) {
        tg_subs_count(h, r, -1);
        tg_route_del(&h->router, r);
    }
    if (s->subs_cap > 0)
        free(s->subs.many);
    s->nsubs = s->subs_cap = 0;
    s->subs.one = NULL;
}
