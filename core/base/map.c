// SPDX-License-Identifier: Apache-2.0
// Open addressing with linear probing; the hash is kept beside each entry, so that growing and
// probing touch no key. Deleting shifts the followers back, so there are no tombstones and a
// map under churn stays as fast as a fresh one. The shift is also why walking goes downwards,
// from an empty slot: what a deletion moves into the gap was visited already.
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

struct tg_map_slot {
    uint32_t hash; // its lower half
    uint32_t len;
    const char *key;
    void *value; // NULL: empty
};

#define FIRST_CAP 8
#define CAP_MAX (1u << 30)
#define WRAPPED (1u << 31) // tg_map_next() is in the part above the empty slot

void tg_map_free(tg_map *m)
{
    free(m->slots);
    *m = (tg_map){0};
}

static bool same(const struct tg_map_slot *s, uint32_t hash, tg_slice key)
{
    return s->hash == hash && tg_slice_eq((tg_slice){s->key, s->len}, key);
}

// The slot that holds `key`, or the empty one where it would go.
static uint32_t probe(const tg_map *m, uint32_t hash, tg_slice key)
{
    uint32_t mask = m->cap - 1, i = hash & mask;
    while (m->slots[i].value != NULL && !same(&m->slots[i], hash, key))
        i = (i + 1) & mask;
    return i;
}

void *tg_map_find(const tg_map *m, tg_slice key)
{
    return m->count == 0 ? NULL : m->slots[probe(m, (uint32_t)tg_hash(key), key)].value;
}

static int grow(tg_map *m)
{
    uint32_t cap = m->cap == 0 ? FIRST_CAP : m->cap * 2;
    if (cap > CAP_MAX)
        return TG_E_NOMEM;
    struct tg_map_slot *slots = calloc(cap, sizeof(*slots));
    if (slots == NULL)
        return TG_E_NOMEM;
    for (uint32_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value == NULL)
            continue;
        uint32_t to = m->slots[i].hash & (cap - 1);
        while (slots[to].value != NULL)
            to = (to + 1) & (cap - 1);
        slots[to] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return 0;
}

static int put(tg_map *m, tg_slice key, void *value, bool replace)
{
    assert(value != NULL && key.len <= UINT32_MAX);
    if (m->count >= m->cap / 4 * 3) {
        int rc = grow(m);
        if (rc < 0)
            return rc;
    }
    uint32_t hash = (uint32_t)tg_hash(key);
    struct tg_map_slot *s = &m->slots[probe(m, hash, key)];
    if (s->value != NULL && !replace)
        return TG_E_EXISTS;
    m->count += s->value == NULL;
    *s = (struct tg_map_slot){hash, (uint32_t)key.len, key.at, value};
    return 0;
}

int tg_map_add(tg_map *m, tg_slice key, void *value)
{
    return put(m, key, value, false);
}

int tg_map_set(tg_map *m, tg_slice key, void *value)
{
    return put(m, key, value, true);
}

// Closes the gap at `hole`: a follower may move there unless its home lies behind the gap.
static void close_gap(tg_map *m, uint32_t hole)
{
    uint32_t mask = m->cap - 1;
    for (uint32_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        uint32_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct tg_map_slot){0};
}

void *tg_map_del(tg_map *m, tg_slice key)
{
    if (m->count == 0)
        return NULL;
    uint32_t i = probe(m, (uint32_t)tg_hash(key), key);
    void *value = m->slots[i].value;
    if (value == NULL)
        return NULL;
    m->count--;
    close_gap(m, i);
    return value;
}

// The first slot in use at or below `from`, upper bound excluded; UINT32_MAX when none is.
static uint32_t used_below(const tg_map *m, uint32_t from)
{
    while (from-- > 0)
        if (m->slots[from].value != NULL)
            return from;
    return UINT32_MAX;
}

// From the highest empty slot down to 0, then what lies above it: those slots are the head of
// a cluster that goes on at 0, without a gap.
void *tg_map_next(const tg_map *m, uint32_t *at)
{
    if (m->count == 0)
        return NULL;
    uint32_t last = (*at & ~WRAPPED) - 1, i = UINT32_MAX;
    if (*at == 0)
        for (last = m->cap - 1; m->slots[last].value != NULL;)
            last--;
    uint32_t wrapped = *at & WRAPPED;
    if (!wrapped) {
        i = used_below(m, last);
        if (i == UINT32_MAX) {
            wrapped = WRAPPED;
            last = m->cap;
        }
    }
    if (wrapped) {
        if (last == 0 || m->slots[last - 1].value == NULL)
            return NULL;
        i = last - 1;
    }
    *at = wrapped | (i + 1);
    return m->slots[i].value;
}
