// SPDX-License-Identifier: Apache-2.0
// The one table that decides who owns a client id. It is split into parts with a lock each, so
// a storm of connects on all workers meets itself rarely; messages never come here.
#include <stdlib.h>

#include "hub/internal.h"

#define PARTS 256 // a power of two
#define LINE 64

struct part {
    _Alignas(LINE) pthread_mutex_t lock;
    tg_sess **at; // chains through tg_sess.next
    uint32_t count, cap;
};

struct tg_clients {
    struct part part[PARTS];
};

static struct part *part_of(tg_clients *c, uint32_t hash)
{
    return &c->part[hash & (PARTS - 1)];
}

static tg_sess **chain(const struct part *p, uint32_t hash)
{
    return &p->at[hash / PARTS & (p->cap - 1)];
}

tg_clients *tg_clients_new(void)
{
    tg_clients *c = aligned_alloc(LINE, sizeof(*c));
    if (c == NULL)
        return NULL;
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < PARTS; i++)
        pthread_mutex_init(&c->part[i].lock, NULL);
    return c;
}

static void part_free(struct part *p, void (*drop)(void *s))
{
    for (uint32_t i = 0; i < p->cap; i++) {
        for (tg_sess *s = p->at[i], *next; s != NULL; s = next) {
            next = s->next;
            drop(s);
        }
    }
    free(p->at);
    pthread_mutex_destroy(&p->lock);
}

void tg_clients_free(tg_clients *c, void (*drop)(void *s))
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < PARTS; i++)
        part_free(&c->part[i], drop);
    free(c);
}

pthread_mutex_t *tg_clients_lock(tg_clients *c, uint32_t hash)
{
    pthread_mutex_t *lock = &part_of(c, hash)->lock;
    pthread_mutex_lock(lock);
    return lock;
}

tg_sess *tg_clients_find(tg_clients *c, tg_slice id, uint32_t hash)
{
    const struct part *p = part_of(c, hash);
    tg_sess *s = p->cap > 0 ? *chain(p, hash) : NULL;
    while (s != NULL && !(s->hash == hash && tg_slice_eq(tg_sess_id(s), id)))
        s = s->next;
    return s;
}

static int grow(struct part *p)
{
    struct part more = {.cap = p->cap == 0 ? 4 : p->cap * 2};
    more.at = calloc(more.cap, sizeof(tg_sess *));
    if (more.at == NULL)
        return TG_E_NOMEM;
    for (uint32_t i = 0; i < p->cap; i++) {
        for (tg_sess *s = p->at[i], *next; s != NULL; s = next) {
            next = s->next;
            s->next = *chain(&more, s->hash);
            *chain(&more, s->hash) = s;
        }
    }
    free(p->at);
    p->at = more.at;
    p->cap = more.cap;
    return 0;
}

int tg_clients_add(tg_clients *c, tg_sess *s)
{
    struct part *p = part_of(c, s->hash);
    if (p->count == p->cap && grow(p) < 0 && p->cap == 0)
        return TG_E_NOMEM;
    s->next = *chain(p, s->hash);
    *chain(p, s->hash) = s;
    p->count++;
    return 0;
}

void tg_clients_del(tg_clients *c, tg_sess *s)
{
    struct part *p = part_of(c, s->hash);
    tg_sess **at = chain(p, s->hash);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    p->count--;
}
