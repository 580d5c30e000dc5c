// SPDX-License-Identifier: Apache-2.0
// Who gets a message: the routes of all filters that match, and of these one target for each
// session. The arrays stay with the shard from publish to publish.
#include "hub/gather.h"

#include <stdlib.h>

#include "base/map.h"
#include "hub/recent.h"

#define FEW 12 // targets among which a scan finds doubles faster than a table

void tg_gather_free(tg_gather *g)
{
    if (g == NULL)
        return;
    free(g->filters);
    free(g->routes);
    free(g->at);
    free(g->more);
    free(g->table);
    free(g->ids);
    free(g);
}

tg_gather *tg_gather_take(tg_shard *sh)
{
    tg_gather *g = sh->gather;
    sh->gather = NULL;
    if (g == NULL)
        g = calloc(1, sizeof(*g));
    return g;
}

void tg_gather_give(tg_shard *sh, tg_gather *g)
{
    if (sh->gather == NULL)
        sh->gather = g;
    else
        tg_gather_free(g);
}

// Room for one more in an array. @return where it is now; NULL: out of memory.
static void *room(tg_gather *g, void *at, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return at;
    uint32_t more = *cap == 0 ? 64 : *cap * 2;
    at = realloc(at, more * size);
    if (at == NULL)
        g->failed = true;
    else
        *cap = more;
    return at;
}

static void add_filter(void *ctx, tg_leaf *l)
{
    tg_gather *g = ctx;
    tg_filter *f = (tg_filter *)(void *)l;
    void *at = room(g, g->filters, g->nfilters, &g->filters_cap, sizeof(void *));
    if (at == NULL)
        return;
    g->filters = at;
    g->filters[g->nfilters++] = f;
    __builtin_prefetch(
        (void *)atomic_load_explicit(&f->plain, memory_order_relaxed)); // NOLINT
}

static void add_route(void *ctx, const tg_route *r)
{
    tg_gather *g = ctx;
    void *at = room(g, g->routes, g->nroutes, &g->routes_cap, sizeof(void *));
    if (at == NULL)
        return;
    g->routes = at;
    g->routes[g->nroutes++] = r;
    __builtin_prefetch(r->sess);
}

static const tg_choice *choice(tg_gather *g)
{
    if (!g->hashed) {
        tg_slice client = g->from != NULL ? tg_sess_id(g->from) : g->msg->publisher;
        g->choice = (tg_choice){g->hub->config.limits.share, tg_hash(g->msg->topic),
                                tg_hash(client)};
        g->hashed = true;
    }
    return &g->choice;
}

static void add_routes(tg_gather *g, const tg_filter *f)
{
    tg_filter_plain(f, add_route, g);
    if (atomic_load_explicit(&f->groups, memory_order_acquire) != NULL)
        tg_filter_shared(f, choice(g), add_route, g);
}

static void add_target(tg_gather *g, const tg_route *r)
{
    if ((r->flags & TG_SUB_NO_LOCAL) != 0 && r->sess == g->from)
        return;
    uint64_t seat = atomic_load_explicit(&r->sess->where, memory_order_acquire);
    void *at = seat != 0 ? room(g, g->at, g->n, &g->cap, sizeof(*g->at)) : NULL;
    if (at == NULL)
        return;
    g->at = at;
    uint8_t flags = (r->flags & TG_SUB_RETAIN_AS_PUBLISHED) != 0 ? TG_ENTRY_RETAIN : 0;
    uint32_t group = 0;
    if (r->group != NULL) {
        flags |= TG_ENTRY_SHARED;
        group = r->group->tag;
    }
    g->at[g->n++] = (tg_target){seat, r->sub_id, group, r->sub_id != 0, r->qos, flags};
}

static void more_add(tg_gather *g, tg_target *t, uint32_t id)
{
    void *at = room(g, g->more, g->nmore + 1, &g->more_cap, sizeof(*g->more));
    if (at == NULL)
        return;
    g->more = at;
    if (t->nids == 1) {
        g->more[g->nmore] = (tg_gather_more){t->sub_id, UINT32_MAX};
        t->sub_id = g->nmore++;
    }
    g->more[g->nmore] = (tg_gather_more){id, t->sub_id};
    t->sub_id = g->nmore++;
    t->nids++;
}

// One delivery with the highest QoS and all identifiers (MQTT 5.0 §3.3.4).
static void merge_into(tg_gather *g, tg_target *t, const tg_target *other)
{
    if (other->qos > t->qos)
        t->qos = other->qos;
    t->flags |= other->flags;
    if (other->nids == 0 || t->nids == UINT16_MAX)
        return;
    if (t->nids > 0) {
        more_add(g, t, other->sub_id);
        return;
    }
    t->sub_id = other->sub_id;
    t->nids = 1;
}

static void merge_few(tg_gather *g)
{
    for (uint32_t i = 1; i < g->n; i++) {
        tg_target *t = &g->at[i];
        for (uint32_t j = 0; j < i && (t->flags & TG_ENTRY_SHARED) == 0; j++) {
            if (g->at[j].seat != t->seat || (g->at[j].flags & TG_ENTRY_SHARED) != 0)
                continue;
            merge_into(g, &g->at[j], t);
            t->seat = 0;
            break;
        }
    }
}

static bool table_ready(tg_gather *g)
{
    uint32_t want = 64;
    while (want < g->n * 2)
        want *= 2;
    if (want > g->table_cap) {
        free(g->table);
        g->table = malloc(want * sizeof(*g->table));
        g->table_cap = g->table != NULL ? want : 0;
    }
    if (g->table == NULL)
        return false;
    memset(g->table, 0, g->table_cap * sizeof(*g->table));
    return true;
}

static void merge_many(tg_gather *g)
{
    if (!table_ready(g)) {
        g->failed = true;
        return;
    }
    uint32_t mask = g->table_cap - 1;
    for (uint32_t i = 0; i < g->n; i++) {
        tg_target *t = &g->at[i];
        if ((t->flags & TG_ENTRY_SHARED) != 0)
            continue;
        uint32_t h = (uint32_t)(t->seat * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
        while (g->table[h] != 0 && g->at[g->table[h] - 1].seat != t->seat)
            h = (h + 1) & mask;
        if (g->table[h] == 0) {
            g->table[h] = i + 1;
            continue;
        }
        merge_into(g, &g->at[g->table[h] - 1], t);
        t->seat = 0;
    }
}

// Only who subscribed to several matching filters can be in it twice.
static void merge(tg_gather *g)
{
    if (g->nfilters < 2 || g->n < 2)
        return;
    if (g->n <= FEW)
        merge_few(g);
    else
        merge_many(g);
}

// In three rounds, each of which asks for the memory that the next one reads: filters, their
// routes, the routes' sessions.
static void find_filters(tg_shard *sh, tg_gather *g, tg_slice topic)
{
    const tg_router *r = &sh->hub->router;
    tg_recent_place *two = tg_recent_places_of(sh->recent, &r->index.key, topic);
    uint64_t changes = atomic_load_explicit(&r->changes, memory_order_acquire);
    const tg_recent_place *p = two != NULL ? tg_recent_find(two, changes, topic) : NULL;
    if (p != NULL) {
        for (uint32_t i = 0; i < p->n; i++)
            add_filter(g, &p->filters[i]->leaf);
        return;
    }
    tg_router_match(r, topic, add_filter, g);
    if (two != NULL && !g->failed)
        tg_recent_set(two, changes, topic, g->filters, g->nfilters);
}

void tg_gather_collect(tg_shard *sh, tg_gather *g, const tg_sess *from, tg_msg m)
{
    g->hub = sh->hub;
    g->from = from;
    g->msg = m;
    g->hashed = g->failed = false;
    g->nfilters = g->nroutes = g->n = g->nmore = 0;
    tg_epoch_enter(sh->hub->epoch, sh->index);
    find_filters(sh, g, m->topic);
    for (uint32_t i = 0; i < g->nfilters; i++)
        add_routes(g, g->filters[i]);
    for (uint32_t i = 0; i < g->nroutes; i++)
        add_target(g, g->routes[i]);
    tg_epoch_leave(sh->hub->epoch, sh->index);
    merge(g);
}

const uint32_t *tg_gather_ids(tg_gather *g, const tg_target *t)
{
    if (t->nids < 2)
        return &t->sub_id;
    if (t->nids > g->ids_cap) {
        uint32_t *ids = realloc(g->ids, t->nids * sizeof(*ids));
        if (ids == NULL)
            return NULL;
        g->ids = ids;
        g->ids_cap = t->nids;
    }
    uint32_t at = t->sub_id;
    for (uint32_t i = t->nids; i-- > 0; at = g->more[at].next)
        g->ids[i] = g->more[at].id;
    return g->ids;
}
