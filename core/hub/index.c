// SPDX-License-Identifier: Apache-2.0
// Extendible hashing: a directory of segments, each of which is split when two of its buckets
// are full, so that growing never copies the whole table and never holds up a writer for long.
// A bucket is a cache line: seven leaves with a byte of each one's hash. A leaf whose bucket is
// full lies in the bucket beside it, which the machine fetches along; the bucket counts such.
// Leaves are never moved under a reader: a split makes new segments. What a reader finds is held
// against the leaf's own text, so neither a hash that meets another nor a place that is being
// filled again can mislead it.
#include "hub/index.h"

#include <assert.h>
#include <stdlib.h>

#define PLACES 7 // in a bucket
#define BUCKETS 64 // in a segment
#define DEPTH_MAX 24
#define GROUP 16 // shapes looked for at a time
#define AWAY_SHIFT 56
#define AWAY (UINT64_C(1) << AWAY_SHIFT) // one leaf of this bucket is in the one beside it
#define ONES UINT64_C(0x01010101010101)
#define HIGHS UINT64_C(0x80808080808080)

typedef struct bucket {
    _Alignas(64) _Atomic uint64_t tags; // by place, 0 free; above them how many are away
    _Atomic uintptr_t at[PLACES];
} bucket;

typedef struct segment {
    bucket at[BUCKETS];
} segment;

_Static_assert(sizeof(segment) == TG_SLAB_PAGE, "a segment is a page of the slab");

typedef struct tg_index_dir {
    unsigned depth; // bits of the hash that choose a segment
    _Atomic(segment *) at[];
} dir;

// The bits: highest for the segment, 8 to 13 for the bucket, 0 to 7 for the tag.

static size_t segment_of(const dir *d, uint64_t h)
{
    return (size_t)(h >> 1 >> (63 - d->depth));
}

static unsigned bucket_of(uint64_t h)
{
    return (unsigned)(h >> 8) % BUCKETS;
}

static uint8_t tag_of(uint64_t h)
{
    return (uint8_t)h != 0 ? (uint8_t)h : 1;
}

// Places that may have this tag, each by its byte's highest bit.
static uint64_t places(uint64_t tags, uint8_t tag)
{
    uint64_t x = (tags ^ ONES * tag) & ~(UINT64_C(0xff) << AWAY_SHIFT);
    return (x - ONES) & ~x & HIGHS;
}

static unsigned place_of(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits) / 8;
}

static tg_leaf *leaf_at(const bucket *b, unsigned place)
{
    return (tg_leaf *)atomic_load_explicit(&b->at[place], memory_order_acquire); // NOLINT
}

static dir *dir_new(unsigned depth)
{
    dir *d = malloc(sizeof(*d) + (sizeof(d->at[0]) << depth));
    if (d != NULL)
        d->depth = depth;
    return d;
}

static segment *segment_new(tg_slab *slab)
{
    segment *s = tg_slab_page(slab);
    if (s == NULL)
        return NULL;
    for (unsigned i = 0; i < BUCKETS; i++) {
        atomic_init(&s->at[i].tags, 0);
        for (unsigned k = 0; k < PLACES; k++)
            atomic_init(&s->at[i].at[k], 0);
    }
    return s;
}

static void segment_free(void *slab, void *p)
{
    tg_slab_page_free(slab, p);
}

void tg_index_init(tg_index *x, tg_epoch *epoch, tg_limbo *limbo, tg_slab *slab)
{
    *x =
        (tg_index){.key = tg_level_key_new(), .epoch = epoch, .limbo = limbo, .slab = slab};
}

static segment *get(const dir *d, size_t i)
{
    return atomic_load_explicit(&d->at[i], memory_order_acquire);
}

void tg_index_free(tg_index *x)
{
    dir *d = atomic_exchange(&x->dir, NULL);
    segment *last = NULL;
    for (size_t i = 0; d != NULL && i < (size_t)1 << d->depth; i++) {
        if (get(d, i) != last)
            tg_slab_page_free(x->slab, last);
        last = get(d, i);
    }
    tg_slab_page_free(x->slab, last);
    free(d);
    tg_shapes_free(&x->shapes);
}

// @return false: it is full.
static bool put_here(bucket *b, uint64_t h, tg_leaf *leaf)
{
    uint64_t tags = atomic_load_explicit(&b->tags, memory_order_relaxed);
    uint64_t empty = places(tags, 0);
    if (empty == 0)
        return false;
    unsigned i = place_of(empty);
    atomic_store_explicit(&b->at[i], (uintptr_t)leaf, memory_order_release);
    tags |= (uint64_t)tag_of(h) << 8 * i;
    atomic_store_explicit(&b->tags, tags, memory_order_release);
    return true;
}

static void away_add(bucket *b, uint64_t n)
{
    uint64_t tags = atomic_load_explicit(&b->tags, memory_order_relaxed);
    atomic_store_explicit(&b->tags, tags + n, memory_order_release);
}

static bool put(segment *s, uint64_t h, tg_leaf *leaf)
{
    unsigned i = bucket_of(h);
    if (put_here(&s->at[i], h, leaf))
        return true;
    if (!put_here(&s->at[i ^ 1], h, leaf))
        return false;
    away_add(&s->at[i], AWAY);
    return true;
}

static bool take_from(bucket *b, const tg_leaf *leaf)
{
    for (unsigned i = 0; i < PLACES; i++) {
        if (leaf_at(b, i) != leaf)
            continue;
        uint64_t tags = atomic_load_explicit(&b->tags, memory_order_relaxed);
        tags &= ~(UINT64_C(0xff) << 8 * i);
        atomic_store_explicit(&b->tags, tags, memory_order_release);
        atomic_store_explicit(&b->at[i], 0, memory_order_release);
        return true;
    }
    return false;
}

tg_index_at tg_index_where(const tg_index *x, tg_slice filter)
{
    tg_index_at at = {.deep = true};
    tg_levels l;
    if (!tg_levels_read(&l, &x->key, filter))
        return at;
    at.deep = false;
    at.shape = tg_shape_of(&l, &x->key);
    at.hash = tg_shape_hash(&at.shape, &l);
    return at;
}

static void share_out(const tg_index *x, const bucket *from, segment *const to[2],
                      unsigned bit)
{
    for (unsigned k = 0; k < PLACES; k++) {
        tg_leaf *leaf = leaf_at(from, k);
        if (leaf == NULL)
            continue;
        uint64_t h = tg_index_where(x, tg_leaf_text(leaf)).hash;
        bool fits = put(to[h >> bit & 1], h, leaf);
        assert(fits); // two buckets have at most what both had before
    }
}

// The texts of a whole segment are asked for before the first is read.
static void fetch_all(const segment *s)
{
    for (unsigned i = 0; i < BUCKETS * PLACES; i++)
        __builtin_prefetch(leaf_at(&s->at[i / PLACES], i % PLACES));
}

static int dir_double(tg_index *x, dir *d)
{
    dir *twice = d->depth < DEPTH_MAX ? dir_new(d->depth + 1) : NULL;
    if (twice == NULL)
        return TG_E_NOMEM;
    for (size_t i = 0; i < (size_t)1 << twice->depth; i++)
        atomic_init(&twice->at[i], get(d, i / 2));
    atomic_store_explicit(&x->dir, twice, memory_order_release);
    tg_limbo_add(x->limbo, x->epoch, d, tg_limbo_malloced);
    return 0;
}

// The segment at `i` has `n` neighbouring places in the directory; each half of them gets one
// of its own.
static int split(tg_index *x, size_t i)
{
    dir *d = atomic_load_explicit(&x->dir, memory_order_relaxed);
    segment *old = get(d, i);
    size_t n = 1;
    while (n < (size_t)1 << d->depth && get(d, (i ^ n) & ~(n - 1)) == old)
        n *= 2;
    if (n == 1)
        return dir_double(x, d);
    segment *half[2] = {segment_new(x->slab), segment_new(x->slab)};
    if (half[0] == NULL || half[1] == NULL) {
        tg_slab_page_free(x->slab, half[0]);
        tg_slab_page_free(x->slab, half[1]);
        return TG_E_NOMEM;
    }
    fetch_all(old);
    unsigned bit = 63 - d->depth + (unsigned)__builtin_ctzll(n);
    for (unsigned b = 0; b < BUCKETS; b++)
        share_out(x, &old->at[b], half, bit);
    size_t first = i & ~(n - 1);
    for (size_t k = 0; k < n; k++)
        atomic_store_explicit(&d->at[first + k], half[k >= n / 2], memory_order_release);
    tg_limbo_add(x->limbo, x->epoch, old, segment_free);
    return 0;
}

static int first_segment(tg_index *x)
{
    dir *d = dir_new(0);
    segment *s = d != NULL ? segment_new(x->slab) : NULL;
    if (s == NULL) {
        free(d);
        return TG_E_NOMEM;
    }
    atomic_init(&d->at[0], s);
    atomic_store_explicit(&x->dir, d, memory_order_release);
    return 0;
}

static int table_put(tg_index *x, uint64_t h, tg_leaf *leaf)
{
    if (atomic_load_explicit(&x->dir, memory_order_relaxed) == NULL && first_segment(x) < 0)
        return TG_E_NOMEM;
    for (;;) {
        dir *d = atomic_load_explicit(&x->dir, memory_order_relaxed);
        size_t i = segment_of(d, h);
        if (put(get(d, i), h, leaf))
            return 0;
        if (split(x, i) < 0)
            return TG_E_NOMEM;
    }
}

// The shape comes before its first filter, and goes after its last.
int tg_index_add(tg_index *x, const tg_index_at *at, tg_leaf *leaf)
{
    if (at->deep)
        return 0;
    if (tg_shapes_add(&x->shapes, &at->shape, x->limbo, x->epoch) < 0)
        return TG_E_NOMEM;
    if (table_put(x, at->hash, leaf) == 0)
        return 0;
    tg_shapes_del(&x->shapes, &at->shape, x->limbo, x->epoch);
    return TG_E_NOMEM;
}

void tg_index_del(tg_index *x, tg_leaf *leaf)
{
    tg_index_at at = tg_index_where(x, tg_leaf_text(leaf));
    if (at.deep)
        return;
    const dir *d = atomic_load_explicit(&x->dir, memory_order_relaxed);
    assert(d != NULL);
    segment *seg = get(d, segment_of(d, at.hash));
    unsigned i = bucket_of(at.hash);
    if (!take_from(&seg->at[i], leaf)) {
        bool away = take_from(&seg->at[i ^ 1], leaf);
        assert(away);
        away_add(&seg->at[i], -AWAY);
    }
    tg_shapes_del(&x->shapes, &at.shape, x->limbo, x->epoch);
}

static uint64_t tags_of(const bucket *b)
{
    return atomic_load_explicit(&b->tags, memory_order_acquire);
}

static const bucket *beside(const bucket *b)
{
    return (const bucket *)((uintptr_t)b ^ sizeof(*b)); // NOLINT
}

static tg_leaf *find_in(const bucket *b, uint64_t tags, uint8_t tag, tg_slice text)
{
    for (uint64_t bits = places(tags, tag); bits != 0; bits &= bits - 1) {
        tg_leaf *leaf = leaf_at(b, place_of(bits));
        if (leaf != NULL && tg_slice_eq(tg_leaf_text(leaf), text))
            return leaf;
    }
    return NULL;
}

tg_leaf *tg_index_find(const tg_index *x, const tg_index_at *at, tg_slice filter)
{
    const dir *d = atomic_load_explicit(&x->dir, memory_order_acquire);
    if (d == NULL || at->deep)
        return NULL;
    const bucket *b = &get(d, segment_of(d, at->hash))->at[bucket_of(at->hash)];
    uint64_t tags = tags_of(b);
    tg_leaf *leaf = find_in(b, tags, tag_of(at->hash), filter);
    if (leaf == NULL && tags >= AWAY)
        leaf = find_in(beside(b), tags_of(beside(b)), tag_of(at->hash), filter);
    return leaf;
}

struct look {
    const tg_shape *shape;
    const bucket *at;
    uint8_t tag;
};

struct find {
    const tg_shape *shape;
    tg_leaf *leaf;
};

struct finds {
    unsigned n;
    struct find at[GROUP * PLACES * 2];
};

// Leaves that may be the one, whose texts are asked for.
static void collect(struct finds *f, const struct look *k, const bucket *b, uint64_t tags)
{
    for (uint64_t bits = places(tags, k->tag); bits != 0; bits &= bits - 1) {
        tg_leaf *leaf = leaf_at(b, place_of(bits));
        if (leaf == NULL)
            continue;
        __builtin_prefetch(leaf);
        __builtin_prefetch((const char *)leaf + 63);
        f->at[f->n++] = (struct find){k->shape, leaf};
    }
}

static void look(struct finds *f, const struct look *k)
{
    uint64_t tags = tags_of(k->at);
    collect(f, k, k->at, tags);
    if (tags >= AWAY)
        collect(f, k, beside(k->at), tags_of(beside(k->at)));
}

// Three rounds, each of which asks for the memory that the next one reads.
static void match_some(const dir *d, const tg_levels *l, const tg_shape *s, unsigned n,
                       void (*hit)(void *ctx, tg_leaf *l), void *ctx)
{
    struct look looks[GROUP];
    struct finds f;
    bool dollar = l->text.len > 0 && l->text.at[0] == '$'; // MQTT 5.0 §4.7.2
    unsigned nlooks = 0;
    for (unsigned i = 0; i < n; i++) {
        bool wild = (s[i].plus & 1) != 0 || s[i].levels == 0;
        if (wild && dollar)
            continue;
        uint64_t h = tg_shape_hash(&s[i], l);
        const bucket *b = &get(d, segment_of(d, h))->at[bucket_of(h)];
        __builtin_prefetch(b);
        looks[nlooks++] = (struct look){&s[i], b, tag_of(h)};
    }
    f.n = 0;
    for (unsigned i = 0; i < nlooks; i++)
        look(&f, &looks[i]);
    const tg_shape *met =
        NULL; // each shape has one match, of which a reader may see two copies
    for (unsigned i = 0; i < f.n; i++) {
        const struct find *at = &f.at[i];
        if (at->shape == met || !tg_shape_matches(at->shape, tg_leaf_text(at->leaf), l))
            continue;
        met = at->shape;
        hit(ctx, at->leaf);
    }
}

bool tg_index_match(const tg_index *x, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                    void *ctx)
{
    const tg_plan *p = atomic_load_explicit(&x->shapes.plan, memory_order_acquire);
    tg_levels l;
    if (!tg_levels_read(&l, &x->key, topic) || l.n == TG_LEVELS)
        return false;
    if (p == NULL)
        return true;
    if ((p->many >> l.n & 1) != 0)
        return false;
    const dir *d = atomic_load_explicit(&x->dir, memory_order_acquire);
    if (d == NULL)
        return true;
    for (unsigned i = p->first[l.n], end = p->first[l.n + 1]; i < end; i += GROUP)
        match_some(d, &l, &p->at[i], end - i < GROUP ? end - i : GROUP, hit, ctx);
    return true;
}
