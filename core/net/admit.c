// SPDX-License-Identifier: Apache-2.0
// Who may come in. These limits hold for all workers together, so they are the one place of
// the room where workers meet: a few atomics, and a lock of one shard for counts by
// address. Only accepting and the end of a connection come here, never a byte.
//
// The reserve of descriptors is headroom: the kernel hands out the lowest free number, so a
// device is refused when its number reaches RLIMIT_NOFILE minus the reserve, and what lies
// above is left to files, the admin server and outgoing connections.
#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "net/listener_impl.h"

#define SECOND 1000000u // µs
#define BURST 10 // parts of a second that may come at once

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

// Each accept moves the time on by its share of a second; ahead of the clock by more than
// the burst means to wait. No bucket to refill, one compare-and-swap.
uint64_t tg_admit_wait(tg_listener *l, uint32_t rate)
{
    if (rate == 0)
        return 0;
    uint64_t share = SECOND / rate, now = now_us(), burst = SECOND / BURST;
    uint_fast64_t at = atomic_load(&l->accept_at), next;
    do {
        uint64_t from = at > now ? at : now;
        if (from - now > burst)
            return from - now - burst;
        next = from + share;
    } while (!atomic_compare_exchange_weak(&l->accept_at, &at, next));
    return 0;
}

void tg_admit_refund(tg_listener *l, uint32_t rate)
{
    if (rate != 0)
        atomic_fetch_sub(&l->accept_at, SECOND / rate);
}

bool tg_admit_total(tg_listener *l, uint32_t most)
{
    if (atomic_fetch_add(&l->connections, 1) < most || most == 0)
        return true;
    atomic_fetch_sub(&l->connections, 1);
    return false;
}

typedef struct entry {
    char key[16]; // IPv4 mapped, IPv6 cut to its /64
    uint32_t count;
} entry;

static void key_of(const tg_addr *a, char key[16])
{
    memset(key, 0, 16);
    if (a->any.sa_family == AF_INET6) {
        memcpy(key, &a->v6.sin6_addr, 8);
        return;
    }
    key[10] = key[11] = '\xff';
    memcpy(key + 12, &a->v4.sin_addr, 4);
}

tg_addr_table *tg_addr_table_new(void)
{
    tg_addr_table *t = calloc(1, sizeof(*t));
    if (t != NULL)
        for (int i = 0; i < TG_ADDR_SHARDS; i++)
            pthread_mutex_init(&t->shard[i].lock, NULL);
    return t;
}

void tg_addr_table_free(tg_addr_table *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < TG_ADDR_SHARDS; i++) {
        uint32_t at = 0;
        for (void *e; (e = tg_map_next(&t->shard[i].map, &at)) != NULL;)
            free(e);
        tg_map_free(&t->shard[i].map);
        pthread_mutex_destroy(&t->shard[i].lock);
    }
    free(t);
}

static int count_up(tg_map *m, const char key[16], uint32_t most)
{
    entry *e = tg_map_find(m, (tg_slice){key, 16});
    if (e != NULL) {
        if (e->count >= most)
            return TG_E_LIMIT;
        e->count++;
        return 0;
    }
    if ((e = malloc(sizeof(*e))) == NULL)
        return TG_E_NOMEM;
    memcpy(e->key, key, 16);
    e->count = 1;
    int rc = tg_map_add(m, (tg_slice){e->key, 16}, e);
    if (rc != 0)
        free(e);
    return rc;
}

int tg_addr_table_add(tg_addr_table *t, const tg_addr *a, uint32_t most)
{
    char key[16];
    key_of(a, key);
    unsigned i = (unsigned)(tg_hash((tg_slice){key, 16}) % TG_ADDR_SHARDS);
    pthread_mutex_lock(&t->shard[i].lock);
    int rc = count_up(&t->shard[i].map, key, most);
    pthread_mutex_unlock(&t->shard[i].lock);
    return rc;
}

void tg_addr_table_del(tg_addr_table *t, const tg_addr *a)
{
    char key[16];
    key_of(a, key);
    unsigned i = (unsigned)(tg_hash((tg_slice){key, 16}) % TG_ADDR_SHARDS);
    pthread_mutex_lock(&t->shard[i].lock);
    entry *e = tg_map_find(&t->shard[i].map, (tg_slice){key, 16});
    assert(e != NULL && e->count > 0);
    if (--e->count == 0) {
        tg_map_del(&t->shard[i].map, (tg_slice){key, 16});
        free(e);
    }
    pthread_mutex_unlock(&t->shard[i].lock);
}

// As descriptors are, the reserve is the process's.
static _Atomic rlim_t device_limit = RLIM_INFINITY;

int tg_net_reserve(uint32_t descriptors)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return TG_E_IO;
    if (descriptors != 0 && r.rlim_cur != RLIM_INFINITY && descriptors >= r.rlim_cur)
        return TG_E_INVAL;
    bool none = descriptors == 0 || r.rlim_cur == RLIM_INFINITY;
    atomic_store(&device_limit, none ? RLIM_INFINITY : r.rlim_cur - descriptors);
    return 0;
}

bool tg_descriptor_free(int fd)
{
    return (rlim_t)fd < atomic_load_explicit(&device_limit, memory_order_relaxed);
}
