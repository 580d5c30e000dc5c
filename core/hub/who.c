// SPDX-License-Identifier: Apache-2.0
// A hash table under one lock, which an open and an end take for a moment; messages never come
// here. Sessions move between workers with what they refer to, so the count is the lock's, too.
#include "hub/who.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"

struct tg_whos {
    pthread_mutex_t lock;
    tg_who **at; // chains through tg_who.next
    uint32_t count, cap; // a power of two
};

tg_whos *tg_whos_new(void)
{
    tg_whos *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->cap = 16;
    t->at = calloc(t->cap, sizeof(tg_who *));
    if (t->at == NULL) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void tg_whos_free(tg_whos *t)
{
    if (t == NULL)
        return;
    assert(t->count == 0);
    pthread_mutex_destroy(&t->lock);
    free(t->at);
    free(t);
}

static tg_who **chain(const tg_whos *t, uint32_t hash)
{
    return &t->at[hash & (t->cap - 1)];
}

// Without memory for a bigger one the chains get longer.
static void grow(tg_whos *t)
{
    tg_whos more = {.cap = t->cap * 2};
    more.at = calloc(more.cap, sizeof(tg_who *));
    if (more.at == NULL)
        return;
    for (uint32_t i = 0; i < t->cap; i++) {
        for (tg_who *w = t->at[i], *next; w != NULL; w = next) {
            next = w->next;
            w->next = *chain(&more, w->hash);
            *chain(&more, w->hash) = w;
        }
    }
    free(t->at);
    t->at = more.at;
    t->cap = more.cap;
}

static bool same(const tg_who *w, tg_slice user, const tg_value *attributes)
{
    if (!tg_slice_eq(tg_who_user(w), user))
        return false;
    if (w->attributes == NULL || attributes == NULL)
        return w->attributes == attributes;
    return tg_value_eq(w->attributes, attributes);
}

static tg_who *make(tg_whos *t, tg_slice user, const tg_value *attributes, uint32_t hash)
{
    tg_who *w = malloc(sizeof(*w) + user.len);
    tg_value *copy = attributes != NULL ? tg_value_copy(attributes) : NULL;
    if (w == NULL || (attributes != NULL && copy == NULL)) {
        free(w);
        tg_value_free(copy);
        return NULL;
    }
    if (t->count == t->cap)
        grow(t);
    *w = (tg_who){.of = t,
                  .next = *chain(t, hash),
                  .attributes = copy,
                  .hash = hash,
                  .user_len = (uint8_t)user.len};
    if (user.len > 0)
        memcpy(w->user, user.at, user.len);
    *chain(t, hash) = w;
    t->count++;
    return w;
}

tg_who *tg_who_get(tg_whos *t, tg_slice user, const tg_value *attributes)
{
    if (user.len > UINT8_MAX)
        user.len = UINT8_MAX;
    uint64_t hash = tg_hash(user) + (attributes != NULL ? tg_value_hash(attributes) : 0);
    pthread_mutex_lock(&t->lock);
    tg_who *w = *chain(t, (uint32_t)hash);
    while (w != NULL && !(w->hash == (uint32_t)hash && same(w, user, attributes)))
        w = w->next;
    if (w == NULL)
        w = make(t, user, attributes, (uint32_t)hash);
    if (w != NULL)
        w->refs++;
    pthread_mutex_unlock(&t->lock);
    return w;
}

void tg_who_put(tg_who *w)
{
    if (w == NULL)
        return;
    tg_whos *t = w->of;
    pthread_mutex_lock(&t->lock);
    assert(w->refs > 0);
    bool last = --w->refs == 0;
    if (last) {
        tg_who **at = chain(t, w->hash);
        while (*at != w)
            at = &(*at)->next;
        *at = w->next;
        t->count--;
    }
    pthread_mutex_unlock(&t->lock);
    if (!last)
        return;
    tg_value_free(w->attributes);
    free(w);
}
