// SPDX-License-Identifier: Apache-2.0
// Shards with a lock each: workers meet only on the same sixteenth of the keys. Devices may have
// a key or two each, so a table holds nothing but pointers, and an entry its hash. What expired is
// dropped when it is met, by a few steps of a sweep at each write, and all at once before a
// write is refused for want of room.
#include "plugin/kv.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

#define SHARDS 16
#define FIRST_CAP 8
#define SWEEP_STEPS 8
#define OVERHEAD 64 // what an entry weighs besides its bytes

typedef struct entry {
    uint64_t expires; // 0: never
    uint32_t hash, value_len;
    uint16_t key_len;
    bool kept;
    char bytes[]; // from the struct's padding on
} entry;

typedef struct shard {
    _Alignas(64) pthread_mutex_t lock;
    entry **at; // open addressing; no holes: what follows a deleted one moves up
    uint32_t count, cap; // a power of two, or 0
    uint32_t hand; // of the sweep
} shard;

struct tg_kv {
    uint64_t limit;
    _Atomic uint64_t bytes;
    void (*on_kept)(void *ctx, tg_slice key);
    void *ctx;
    shard at[SHARDS];
};

static tg_slice key_of(const entry *e)
{
    return (tg_slice){e->bytes, e->key_len};
}

static size_t weight(const entry *e)
{
    return OVERHEAD + (size_t)e->key_len + e->value_len;
}

tg_kv *tg_kv_new(uint64_t bytes)
{
    tg_kv *kv = aligned_alloc(_Alignof(tg_kv), sizeof(*kv));
    if (kv == NULL)
        return NULL;
    memset(kv, 0, sizeof(*kv));
    kv->limit = bytes;
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&kv->at[i].lock, NULL);
    return kv;
}

// ---- the table of a shard -------------------------------------------------------------

/// Where the entry of `key` is, or the empty place where it would go.
static uint32_t probe(const shard *s, uint32_t hash, tg_slice key)
{
    uint32_t mask = s->cap - 1, i = hash & mask;
    while (s->at[i] != NULL &&
           !(s->at[i]->hash == hash && tg_slice_eq(key_of(s->at[i]), key)))
        i = (i + 1) & mask;
    return i;
}

static entry *look_up(const shard *s, tg_slice key)
{
    return s->count > 0 ? s->at[probe(s, (uint32_t)tg_hash(key), key)] : NULL;
}

static int grow(shard *s)
{
    uint32_t cap = s->cap == 0 ? FIRST_CAP : s->cap * 2;
    entry **at = calloc(cap, sizeof(entry *));
    if (at == NULL)
        return TG_E_NOMEM;
    for (uint32_t i = 0; i < s->cap; i++) {
        entry *e = s->at[i];
        uint32_t to = e != NULL ? e->hash & (cap - 1) : 0;
        while (e != NULL && at[to] != NULL)
            to = (to + 1) & (cap - 1);
        if (e != NULL)
            at[to] = e;
    }
    free(s->at);
    s->at = at;
    s->cap = cap;
    return 0;
}

/// In the place of the one with its key, if there is one.
static int place(shard *s, entry *e)
{
    if (s->count >= s->cap / 4 * 3 && grow(s) < 0)
        return TG_E_NOMEM;
    entry **to = &s->at[probe(s, e->hash, key_of(e))];
    s->count += *to == NULL;
    *to = e;
    return 0;
}

static void take_out(shard *s, const entry *e)
{
    uint32_t mask = s->cap - 1, hole = probe(s, e->hash, key_of(e));
    s->count--;
    for (uint32_t i = (hole + 1) & mask; s->at[i] != NULL; i = (i + 1) & mask) {
        if (((i - s->at[i]->hash) & mask) < ((i - hole) & mask))
            continue; // its home lies behind the hole
        s->at[hole] = s->at[i];
        hole = i;
    }
    s->at[hole] = NULL;
}

// ---- entries ----------------------------------------------------------------------------

static void drop(tg_kv *kv, shard *s, entry *e)
{
    take_out(s, e);
    atomic_fetch_sub_explicit(&kv->bytes, weight(e), memory_order_relaxed);
    free(e);
}

void tg_kv_free(tg_kv *kv)
{
    if (kv == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (uint32_t k = 0; k < kv->at[i].cap; k++)
            free(kv->at[i].at[k]);
        free(kv->at[i].at);
        pthread_mutex_destroy(&kv->at[i].lock);
    }
    free(kv);
}

static shard *lock_for(tg_kv *kv, tg_slice key)
{
    shard *s = &kv->at[(tg_hash(key) >> 59) % SHARDS]; // its table uses the low bits
    pthread_mutex_lock(&s->lock);
    return s;
}

static bool expired(const entry *e, uint64_t now)
{
    return e->expires != 0 && e->expires <= now;
}

static void tell(const tg_kv *kv, tg_slice key, bool kept)
{
    if (kept && kv->on_kept != NULL)
        kv->on_kept(kv->ctx, key);
}

// The store is told of these, too: it would keep them until the next start.
static void drop_expired(tg_kv *kv, shard *s, entry *e)
{
    tell(kv, key_of(e), e->kept);
    drop(kv, s, e);
}

static entry *find(tg_kv *kv, shard *s, tg_slice key, uint64_t now)
{
    entry *e = look_up(s, key);
    if (e == NULL || !expired(e, now))
        return e;
    drop_expired(kv, s, e);
    return NULL;
}

static void sweep(tg_kv *kv, shard *s, uint64_t now, uint32_t steps)
{
    for (; steps > 0 && s->hand < s->cap; steps--) {
        entry *e = s->at[s->hand];
        if (e != NULL && expired(e, now))
            drop_expired(kv, s, e); // another one may be in its place now
        else
            s->hand++;
    }
    if (s->hand >= s->cap)
        s->hand = 0;
}

// A write that does not fit holds its own shard: that one is swept whole; the others' garbage
// goes with their next writes.
static bool fits(tg_kv *kv, shard *s, size_t more, uint64_t now)
{
    if (kv->limit == 0 || atomic_load(&kv->bytes) + more <= kv->limit)
        return true;
    s->hand = 0;
    sweep(kv, s, now, UINT32_MAX);
    return atomic_load(&kv->bytes) + more <= kv->limit;
}

static entry *make(tg_slice key, tg_slice value, uint64_t expires)
{
    entry *e = malloc(offsetof(entry, bytes) + key.len + value.len);
    if (e == NULL)
        return NULL;
    e->expires = expires;
    e->hash = (uint32_t)tg_hash(key);
    e->kept = false;
    e->key_len = (uint16_t)key.len;
    e->value_len = (uint32_t)value.len;
    memcpy(e->bytes, key.at, key.len);
    if (value.len > 0)
        memcpy(e->bytes + key.len, value.at, value.len);
    return e;
}

// @param kept in: it is to be; out: it is.
static int put(tg_kv *kv, shard *s, tg_slice key, tg_slice value, uint64_t expires,
               uint64_t now, bool *kept)
{
    entry *old = find(kv, s, key, now);
    size_t gone = old != NULL ? weight(old) : 0;
    size_t size = OVERHEAD + key.len + value.len;
    if (size > gone && !fits(kv, s, size - gone, now))
        return TG_E_LIMIT;
    old = look_up(s, key);
    entry *e = make(key, value, expires);
    if (e == NULL || place(s, e) < 0) {
        free(e);
        return TG_E_NOMEM;
    }
    atomic_fetch_add_explicit(&kv->bytes, size - gone, memory_order_relaxed);
    *kept |= old != NULL && old->kept;
    e->kept = *kept;
    free(old);
    return 0;
}

static bool sizes_valid(tg_slice key, tg_slice value)
{
    return key.len > 0 && key.len <= UINT16_MAX && value.len <= UINT32_MAX / 2;
}

int tg_kv_set(tg_kv *kv, tg_slice key, tg_slice value, uint32_t ttl_ms, uint64_t now,
              bool only_new)
{
    if (!sizes_valid(key, value))
        return TG_E_INVAL;
    shard *s = lock_for(kv, key);
    sweep(kv, s, now, SWEEP_STEPS);
    bool kept = false;
    int rc = only_new && find(kv, s, key, now) != NULL ? TG_E_EXISTS : 0;
    if (rc == 0)
        rc = put(kv, s, key, value, ttl_ms > 0 ? now + ttl_ms : 0, now, &kept);
    pthread_mutex_unlock(&s->lock);
    tell(kv, key, kept);
    return rc;
}

int tg_kv_get(tg_kv *kv, tg_slice key, uint64_t now,
              void (*take)(void *ctx, tg_slice value), void *ctx)
{
    shard *s = lock_for(kv, key);
    const entry *e = find(kv, s, key, now);
    if (e != NULL)
        take(ctx, (tg_slice){e->bytes + e->key_len, e->value_len});
    pthread_mutex_unlock(&s->lock);
    return e != NULL ? 0 : TG_E_NOTFOUND;
}

int tg_kv_del(tg_kv *kv, tg_slice key, uint64_t now)
{
    shard *s = lock_for(kv, key);
    entry *e = find(kv, s, key, now);
    bool kept = e != NULL && e->kept;
    if (e != NULL)
        drop(kv, s, e);
    pthread_mutex_unlock(&s->lock);
    tell(kv, key, kept);
    return e != NULL ? 0 : TG_E_NOTFOUND;
}

static bool number_of(const entry *e, int64_t *out)
{
    char text[24], *end;
    if (e->value_len == 0 || e->value_len >= sizeof(text))
        return false;
    memcpy(text, e->bytes + e->key_len, e->value_len);
    text[e->value_len] = '\0';
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' &&
           (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
}

static int incr(tg_kv *kv, shard *s, tg_slice key, int64_t by, uint64_t expires,
                uint64_t now, int64_t *out, bool *kept)
{
    const entry *e = find(kv, s, key, now);
    int64_t n = 0;
    if ((e != NULL && !number_of(e, &n)) || __builtin_add_overflow(n, by, &n))
        return TG_E_INVAL;
    if (e != NULL && expires == 0)
        expires = e->expires;
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)n);
    int rc = put(kv, s, key, (tg_slice){text, (size_t)len}, expires, now, kept);
    if (rc == 0 && out != NULL)
        *out = n;
    return rc;
}

int tg_kv_incr(tg_kv *kv, tg_slice key, int64_t by, uint32_t ttl_ms, uint64_t now,
               int64_t *out)
{
    if (!sizes_valid(key, (tg_slice){0}))
        return TG_E_INVAL;
    shard *s = lock_for(kv, key);
    bool kept = false;
    int rc = incr(kv, s, key, by, ttl_ms > 0 ? now + ttl_ms : 0, now, out, &kept);
    pthread_mutex_unlock(&s->lock);
    tell(kv, key, kept);
    return rc;
}

uint64_t tg_kv_bytes(tg_kv *kv)
{
    return atomic_load(&kv->bytes);
}

void tg_kv_on_kept(tg_kv *kv, void (*fn)(void *ctx, tg_slice key), void *ctx)
{
    kv->on_kept = fn;
    kv->ctx = ctx;
}

int tg_kv_keep(tg_kv *kv, tg_slice key, uint64_t now)
{
    shard *s = lock_for(kv, key);
    entry *e = find(kv, s, key, now);
    if (e != NULL)
        e->kept = true;
    pthread_mutex_unlock(&s->lock);
    return e != NULL ? 0 : TG_E_NOTFOUND;
}

int tg_kv_get_left(tg_kv *kv, tg_slice key, uint64_t now,
                   void (*take)(void *ctx, tg_slice value), void *ctx, uint64_t *left_ms)
{
    shard *s = lock_for(kv, key);
    const entry *e = find(kv, s, key, now);
    bool there = e != NULL && e->kept;
    if (there) {
        take(ctx, (tg_slice){e->bytes + e->key_len, e->value_len});
        *left_ms = e->expires > 0 ? e->expires - now : 0;
    }
    pthread_mutex_unlock(&s->lock);
    return there ? 0 : TG_E_NOTFOUND;
}

int tg_kv_restore(tg_kv *kv, tg_slice key, tg_slice value, uint64_t left_ms, uint64_t now)
{
    bool kept = true;
    if (!sizes_valid(key, value))
        return TG_E_INVAL;
    shard *s = lock_for(kv, key);
    int rc = put(kv, s, key, value, left_ms > 0 ? now + left_ms : 0, now, &kept);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
