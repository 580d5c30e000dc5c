// SPDX-License-Identifier: Apache-2.0
// Which shapes there are changes seldom, so each change makes a new plan as a whole and readers
// see the old one or the new one. A client may subscribe to as many shapes as it likes: a plan
// lists no more than TG_SHAPES_MAX for one number of levels, so it has a bound, and neither a
// match nor a change costs more than that.
#include "hub/shape.h"

#include <assert.h>
#include <stdlib.h>

struct tg_shape_kind {
    tg_shape shape;
    uint32_t filters;
    uint8_t key_len;
    char key[6]; // plus, levels, tail
    struct tg_shape_kind *next, **prev;
};

typedef struct tg_shape_kind kind;

tg_shape tg_shape_of(const tg_levels *l, const tg_level_key *key)
{
    tg_shape s = {.levels = (uint8_t)l->n};
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t from = tg_level_from(l, i);
        char only = l->end[i] - from == 1 ? l->text.at[from] : '\0';
        if (only == '+')
            s.plus |= UINT32_C(1) << i;
        if (only == '#') {
            s.tail = true;
            s.levels--;
        }
    }
    s.id = tg_level_fold(s.plus ^ key->a, (s.levels * 2u + s.tail) ^ key->b);
    return s;
}

// A '#' has a '/' in front, unless it is all there is.
static size_t tail_len(const tg_shape *s)
{
    return s->tail ? 1 + (s->levels > 0) : 0;
}

bool tg_shape_matches(const tg_shape *s, tg_slice filter, const tg_levels *topic)
{
    const char *t = topic->text.at, *f = filter.at;
    size_t end = s->levels > 0 ? topic->end[s->levels - 1] : 0, from = 0, left = end;
    for (uint32_t m = s->plus; m != 0; m &= m - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(m);
        left -= topic->end[i] - tg_level_from(topic, i);
        left++;
    }
    if (filter.len != left + tail_len(s))
        return false;
    for (uint32_t m = s->plus; m != 0; m &= m - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(m);
        size_t run = tg_level_from(topic, i) - from;
        if (memcmp(f, t + from, run) != 0 || f[run] != '+')
            return false;
        f += run + 1;
        from = topic->end[i];
    }
    return memcmp(f, t + from, end - from) == 0 &&
           (!s->tail || filter.at[filter.len - 1] == '#');
}

static void key_of(kind *k)
{
    memcpy(k->key, &k->shape.plus, 4);
    k->key[4] = (char)k->shape.levels;
    k->key[5] = (char)k->shape.tail;
}

static tg_slice key_slice(const kind *k)
{
    return (tg_slice){k->key, sizeof(k->key)};
}

// Shapes that may fit topics of `n` levels: as many levels, or fewer and '#'.
static uint32_t fitting(const tg_shapes *all, uint32_t n)
{
    uint32_t sum = all->count[0][n];
    for (uint32_t k = 0; k <= n && sum <= TG_SHAPES_MAX; k++)
        sum += all->count[1][k];
    return sum;
}

static tg_shape *list(tg_shape *at, const kind *k)
{
    for (; k != NULL; k = k->next)
        *at++ = k->shape;
    return at;
}

static tg_plan *plan_new(const tg_shapes *all)
{
    uint32_t sum = 0, fit[TG_LEVELS];
    for (uint32_t n = 0; n < TG_LEVELS; n++) {
        fit[n] = fitting(all, n);
        sum += fit[n] <= TG_SHAPES_MAX ? fit[n] : 0;
    }
    tg_plan *p = malloc(sizeof(*p) + sum * sizeof(p->at[0]));
    if (p == NULL)
        return NULL;
    tg_shape *at = p->at;
    p->many = 0;
    for (uint32_t n = 0; n < TG_LEVELS; n++) {
        p->first[n] = (uint16_t)(at - p->at);
        if (fit[n] > TG_SHAPES_MAX) {
            p->many |= UINT64_C(1) << n;
            continue;
        }
        at = list(at, all->kinds[0][n]);
        for (uint32_t k = 0; k <= n; k++)
            at = list(at, all->kinds[1][k]);
    }
    p->first[TG_LEVELS] = (uint16_t)(at - p->at);
    return p;
}

static int plan_renew(tg_shapes *all, tg_limbo *limbo, tg_epoch *epoch)
{
    tg_plan *fresh = all->map.count > 0 ? plan_new(all) : NULL;
    if (fresh == NULL && all->map.count > 0)
        return TG_E_NOMEM;
    tg_plan *old = atomic_exchange_explicit(&all->plan, fresh, memory_order_acq_rel);
    if (old != NULL)
        tg_limbo_add(limbo, epoch, old, tg_limbo_malloced);
    return 0;
}

static void kind_del(tg_shapes *all, kind *k)
{
    tg_map_del(&all->map, key_slice(k));
    *k->prev = k->next;
    if (k->next != NULL)
        k->next->prev = k->prev;
    all->count[k->shape.tail][k->shape.levels]--;
    free(k);
}

static kind *kind_add(tg_shapes *all, const kind *like)
{
    kind *k = malloc(sizeof(*k));
    if (k == NULL)
        return NULL;
    *k = *like;
    if (tg_map_add(&all->map, key_slice(k), k) < 0) {
        free(k);
        return NULL;
    }
    k->prev = &all->kinds[k->shape.tail][k->shape.levels];
    k->next = *k->prev;
    if (k->next != NULL)
        k->next->prev = &k->next;
    *k->prev = k;
    all->count[k->shape.tail][k->shape.levels]++;
    return k;
}

int tg_shapes_add(tg_shapes *all, const tg_shape *s, tg_limbo *limbo, tg_epoch *epoch)
{
    kind like = {.shape = *s, .filters = 1};
    key_of(&like);
    kind *k = tg_map_find(&all->map, key_slice(&like));
    if (k != NULL) {
        k->filters++;
        return 0;
    }
    k = kind_add(all, &like);
    if (k == NULL)
        return TG_E_NOMEM;
    if (plan_renew(all, limbo, epoch) < 0) {
        kind_del(all, k);
        return TG_E_NOMEM;
    }
    return 0;
}

// Without memory for a new plan the old one stays, which lists a shape that nobody has.
void tg_shapes_del(tg_shapes *all, const tg_shape *s, tg_limbo *limbo, tg_epoch *epoch)
{
    kind like = {.shape = *s};
    key_of(&like);
    kind *k = tg_map_find(&all->map, key_slice(&like));
    assert(k != NULL);
    if (--k->filters > 0)
        return;
    kind_del(all, k);
    (void)plan_renew(all, limbo, epoch);
}

void tg_shapes_free(tg_shapes *all)
{
    uint32_t at = 0;
    for (kind *k; (k = tg_map_next(&all->map, &at)) != NULL;)
        kind_del(all, k);
    tg_map_free(&all->map);
    free(atomic_load(&all->plan));
    atomic_store(&all->plan, NULL);
}
