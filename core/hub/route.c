// SPDX-License-Identifier: Apache-2.0
// A filter with one subscriber, which is nearly every filter, points straight at its route. With
// more it points at a set, whose places are filled in order and whose holes are filled again:
// a place is one word, so a reader sees the old route or the new one, never a mixture. Routes
// are not moved between places, or a reader that walks by might miss one.
#include "hub/route.h"

#include <assert.h>
#include <stdlib.h>

#include "hub/share.h"
#include "hub/topic.h"

#define SET_MIN 4
#define AHEAD 8 // routes whose memory is asked for in advance

int tg_router_init(tg_router *r, tg_epoch *epoch)
{
    *r = (tg_router){.epoch = epoch, .changes = 1};
    r->trie.epoch = epoch;
    r->trie.limbo = &r->limbo;
    r->trie.slab = &r->slab;
    r->limbo.owner = &r->slab;
    tg_index_init(&r->index, epoch, &r->limbo, &r->slab);
    return pthread_mutex_init(&r->lock, NULL) == 0 ? 0 : TG_E_NOMEM;
}

static void route_free(void *slab, void *p)
{
    tg_slab_free(slab, p, sizeof(tg_route));
}

void tg_set_free(tg_slab *slab, tg_set *s)
{
    uint32_t used = s != NULL ? atomic_load(&s->used) : 0;
    for (uint32_t i = 0; i < used; i++) {
        uintptr_t w = atomic_load(&s->at[i]);
        if ((w & 1) == 0)
            route_free(slab, (void *)w); // NOLINT
    }
    free(s);
}

static tg_set *set_of(uintptr_t plain)
{
    return (plain & 1) != 0 ? (tg_set *)(plain - 1) : NULL; // NOLINT
}

// With the routes that still hang on it: that is so at the very end alone.
static void filter_free(void *slab, void *p)
{
    tg_filter *f = p;
    uintptr_t plain = atomic_load(&f->plain);
    if (set_of(plain) != NULL)
        tg_set_free(slab, set_of(plain));
    else if (plain != 0)
        route_free(slab, (void *)plain); // NOLINT
    tg_groups_free(slab, atomic_load(&f->groups));
    tg_slab_free(slab, f, sizeof(*f) + f->leaf.len);
}

static void drop_leaf(tg_slab *slab, tg_leaf *l)
{
    filter_free(slab, l);
}

void tg_router_free(tg_router *r)
{
    tg_limbo_free(&r->limbo);
    tg_index_free(&r->index);
    tg_trie_clear(&r->trie, drop_leaf);
    tg_slab_clear(&r->slab);
    pthread_mutex_destroy(&r->lock);
}

// A set of `cap` places that begins with what `from` holds, without its holes.
static tg_set *set_copy(const tg_set *from, uint32_t cap)
{
    tg_set *s = malloc(sizeof(*s) + cap * sizeof(s->at[0]));
    if (s == NULL)
        return NULL;
    s->cap = cap;
    s->holes = 0;
    uint32_t n = 0, used = from != NULL ? atomic_load(&from->used) : 0;
    for (uint32_t i = 0; i < used; i++) {
        uintptr_t w = atomic_load_explicit(&from->at[i], memory_order_relaxed);
        if ((w & 1) != 0)
            continue;
        ((tg_route *)w)->place = n; // NOLINT
        atomic_init(&s->at[n++], w);
    }
    atomic_init(&s->used, n);
    return s;
}

static void set_put(tg_set *s, tg_route *route)
{
    uint32_t used = atomic_load_explicit(&s->used, memory_order_relaxed), i = used;
    if (s->holes != 0) {
        i = s->holes - 1;
        s->holes = (uint32_t)(atomic_load_explicit(&s->at[i], memory_order_relaxed) >> 1);
    }
    route->place = i;
    atomic_store_explicit(&s->at[i], (uintptr_t)route, memory_order_release);
    if (i == used)
        atomic_store_explicit(&s->used, used + 1, memory_order_release);
}

static bool set_full(const tg_set *s)
{
    return s == NULL || (s->holes == 0 && atomic_load(&s->used) == s->cap);
}

tg_set *tg_set_add(tg_set *s, tg_route *route)
{
    if (set_full(s)) {
        s = set_copy(s, s == NULL ? SET_MIN : s->cap * 2);
        if (s == NULL)
            return NULL;
    }
    set_put(s, route);
    return s;
}

void tg_set_del(tg_set *s, const tg_route *route)
{
    assert(atomic_load(&s->at[route->place]) == (uintptr_t)route);
    uintptr_t hole = (uintptr_t)s->holes << 1 | 1;
    atomic_store_explicit(&s->at[route->place], hole, memory_order_release);
    s->holes = route->place + 1;
}

void tg_set_swap(tg_set *s, const tg_route *old, tg_route *fresh)
{
    fresh->place = old->place;
    atomic_store_explicit(&s->at[old->place], (uintptr_t)fresh, memory_order_release);
}

tg_set *tg_set_pack(const tg_set *s)
{
    uint32_t live = 0, used = atomic_load(&s->used);
    for (uint32_t i = 0; i < used; i++)
        live += (atomic_load(&s->at[i]) & 1) == 0;
    return set_copy(s, live < SET_MIN / 2 ? SET_MIN : live * 2);
}

static int plain_add(tg_router *r, tg_filter *f, tg_route *route)
{
    uintptr_t was = atomic_load_explicit(&f->plain, memory_order_relaxed);
    if (was == 0) {
        atomic_store_explicit(&f->plain, (uintptr_t)route, memory_order_release);
        return 0;
    }
    tg_set *old = set_of(was), *base = old;
    if (old == NULL) {
        base = tg_set_add(NULL, (tg_route *)was); // NOLINT
        if (base == NULL)
            return TG_E_NOMEM;
    }
    tg_set *s = tg_set_add(base, route);
    if (s == NULL)
        return TG_E_NOMEM;
    if (s != old)
        atomic_store_explicit(&f->plain, (uintptr_t)s | 1, memory_order_release);
    if (old != NULL && s != old)
        tg_limbo_add(&r->limbo, r->epoch, old, tg_limbo_malloced);
    return 0;
}

static void plain_swap(tg_filter *f, const tg_route *old, tg_route *fresh)
{
    tg_set *s = set_of(atomic_load_explicit(&f->plain, memory_order_relaxed));
    if (s != NULL)
        tg_set_swap(s, old, fresh);
    else
        atomic_store_explicit(&f->plain, (uintptr_t)fresh, memory_order_release);
}

static void plain_del(tg_router *r, tg_filter *f, const tg_route *route, uint32_t left)
{
    tg_set *s = set_of(atomic_load_explicit(&f->plain, memory_order_relaxed));
    if (s != NULL)
        tg_set_del(s, route);
    if (s != NULL && left > 0) {
        tg_set *less = left * 4 <= s->cap && s->cap > SET_MIN * 4 ? tg_set_pack(s) : NULL;
        if (less == NULL)
            return;
        atomic_store_explicit(&f->plain, (uintptr_t)less | 1, memory_order_release);
    } else {
        atomic_store_explicit(&f->plain, 0, memory_order_release);
    }
    if (s != NULL)
        tg_limbo_add(&r->limbo, r->epoch, s, tg_limbo_malloced);
}

static tg_filter *find_at(const tg_router *r, const tg_index_at *at, tg_slice text)
{
    tg_leaf *l =
        at->deep ? tg_trie_find(&r->trie, text) : tg_index_find(&r->index, at, text);
    return (tg_filter *)(void *)l;
}

tg_filter *tg_router_find(const tg_router *r, tg_slice text)
{
    tg_index_at at = tg_index_where(&r->index, text);
    return find_at(r, &at, text);
}

// Behind the change and, where a filter has gone, before it waits in the limbo.
static void changed(tg_router *r)
{
    uint64_t was = atomic_load_explicit(&r->changes, memory_order_relaxed);
    atomic_store_explicit(&r->changes, was + 1, memory_order_release);
}

static tg_filter *filter_make(tg_router *r, tg_slice text)
{
    tg_index_at at = tg_index_where(&r->index, text);
    tg_filter *f = find_at(r, &at, text);
    if (f != NULL)
        return f;
    f = tg_slab_alloc(&r->slab, sizeof(*f) + text.len);
    if (f == NULL)
        return NULL;
    f->leaf = (tg_leaf){(uint16_t)text.len, offsetof(tg_filter, text), 0};
    atomic_init(&f->plain, 0);
    atomic_init(&f->groups, NULL);
    memcpy(f->text, text.at, text.len);
    if (tg_index_add(&r->index, &at, &f->leaf) < 0)
        goto fail_free;
    if (tg_trie_add(&r->trie, &f->leaf) < 0)
        goto fail_index;
    changed(r);
    return f;

fail_index:
    tg_index_del(&r->index, &f->leaf);
    changed(r);
fail_free: // a match may have seen it, without routes
    tg_limbo_add(&r->limbo, r->epoch, f, filter_free);
    return NULL;
}

// A filter that the tree has no memory to part with stays, without routes, and is used again.
static void filter_release(tg_router *r, tg_filter *f)
{
    if (f->leaf.user > 0 || tg_trie_del(&r->trie, &f->leaf) < 0)
        return;
    tg_index_del(&r->index, &f->leaf);
    changed(r);
    tg_limbo_add(&r->limbo, r->epoch, f, filter_free);
}

static int insert(tg_router *r, tg_route *route, tg_slice text, tg_slice group, bool shared)
{
    tg_filter *f = filter_make(r, text);
    if (f == NULL)
        return TG_E_NOMEM;
    route->filter = f;
    int rc = shared ? tg_group_add(r, f, group, route) : plain_add(r, f, route);
    if (rc == 0) {
        f->leaf.user++;
        r->routes++;
    }
    filter_release(r, f);
    return rc;
}

static void swap(tg_route *old, tg_route *fresh)
{
    fresh->filter = old->filter;
    fresh->group = old->group;
    if (old->group != NULL)
        tg_set_swap(atomic_load(&old->group->members), old, fresh);
    else
        plain_swap(old->filter, old, fresh);
}

static int add_locked(tg_router *r, const tg_route *with, tg_slice filter, tg_route *old,
                      tg_route **out)
{
    tg_slice group = {0}, text = filter;
    bool shared = tg_topic_shared(filter, &group, &text);
    tg_route *route = tg_slab_alloc(&r->slab, sizeof(*route));
    if (route == NULL)
        return TG_E_NOMEM;
    *route = *with;
    int rc = 0;
    if (old != NULL)
        swap(old, route);
    else
        rc = insert(r, route, text, group, shared);
    if (rc < 0)
        route_free(&r->slab, route);
    else
        *out = route;
    return rc;
}

int tg_route_add(tg_router *r, struct tg_sess *s, tg_slice filter, const tg_sub *sub,
                 tg_route *old, tg_route **out)
{
    const tg_route with = {
        .sess = s, .sub_id = sub->sub_id, .qos = sub->qos, .flags = sub->flags};
    pthread_mutex_lock(&r->lock);
    int rc = add_locked(r, &with, filter, old, out);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void tg_route_retire(tg_router *r, tg_route *old)
{
    pthread_mutex_lock(&r->lock);
    tg_limbo_add(&r->limbo, r->epoch, old, route_free);
    pthread_mutex_unlock(&r->lock);
}

void tg_route_del(tg_router *r, tg_route *route)
{
    tg_filter *f = route->filter;
    pthread_mutex_lock(&r->lock);
    if (route->group != NULL)
        tg_group_del(r, f, route);
    else
        plain_del(r, f, route, f->leaf.user - tg_groups_count(f) - 1);
    f->leaf.user--;
    r->routes--;
    filter_release(r, f);
    tg_limbo_add(&r->limbo, r->epoch, route, route_free);
    pthread_mutex_unlock(&r->lock);
}

// The tree serves what the index has too many ways for.
void tg_router_match(const tg_router *r, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                     void *ctx)
{
    if (!tg_index_match(&r->index, topic, hit, ctx))
        tg_trie_match(&r->trie, topic, hit, ctx);
}

bool tg_route_is(const tg_route *route, tg_slice filter)
{
    tg_slice group, text = filter;
    bool shared = tg_topic_shared(filter, &group, &text);
    if (shared != (route->group != NULL))
        return false;
    if (shared &&
        !tg_slice_eq(group, (tg_slice){route->group->name, route->group->name_len}))
        return false;
    return tg_slice_eq(text, tg_leaf_text(&route->filter->leaf));
}

static char *put(char *at, const void *from, size_t len)
{
    memcpy(at, from, len);
    return at + len;
}

size_t tg_route_text(const tg_route *route, char *out, size_t cap)
{
    const tg_group *g = route->group;
    tg_slice text = tg_leaf_text(&route->filter->leaf), head = TG_LIT("$share/");
    size_t need = text.len + (g != NULL ? head.len + g->name_len + 1 : 0);
    if (need > cap)
        return 0;
    if (g != NULL)
        out = put(put(put(out, head.at, head.len), g->name, g->name_len), "/", 1);
    put(out, text.at, text.len);
    return need;
}

void tg_set_each(const tg_set *s, tg_route_fn *fn, void *ctx)
{
    uint32_t used = atomic_load_explicit(&s->used, memory_order_acquire);
    for (uint32_t i = 0; i < used; i++) {
        uintptr_t w = atomic_load_explicit(&s->at[i], memory_order_acquire);
        if (i + AHEAD < used)
            __builtin_prefetch((const void *)atomic_load_explicit( // NOLINT
                &s->at[i + AHEAD], memory_order_relaxed));
        if ((w & 1) == 0)
            fn(ctx, (const tg_route *)w); // NOLINT
    }
}

void tg_filter_plain(const tg_filter *f, tg_route_fn *fn, void *ctx)
{
    uintptr_t plain = atomic_load_explicit(&f->plain, memory_order_acquire);
    const tg_set *s = set_of(plain);
    if (s != NULL)
        tg_set_each(s, fn, ctx);
    else if (plain != 0)
        fn(ctx, (const tg_route *)plain); // NOLINT
}
