// SPDX-License-Identifier: Apache-2.0
// Retained messages: one tree of topics for the process, read without locks like the filters.
// A lookup with wildcards walks the topics in their order and leaps over what cannot match, so
// it can stop anywhere and go on later: ten thousand matches are delivered as the subscriber
// takes them, not queued at once.
#include <assert.h>
#include <stdlib.h>

#include "base/metric.h"
#include "hub/internal.h"
#include "hub/retained.h"

#define SWEEP_MS 1000
#define SWEEP_STEPS 2000

typedef struct kept {
    tg_leaf leaf;
    _Atomic(tg_block *) block;
    char text[];
} kept;

struct tg_retained_set {
    pthread_mutex_t lock;
    tg_trie trie;
    tg_limbo limbo;
    tg_slab slab;
    tg_epoch *epoch;
    uint64_t count, bytes;
    uint64_t stores; // so far; a message carries the number of its own
    tg_buf cursor; // of the sweep; shard 0
};

static kept *kept_of(tg_leaf *l)
{
    return (kept *)(void *)l;
}

static void kept_free(void *slab, void *p)
{
    kept *k = p;
    tg_block_unref(atomic_load(&k->block));
    tg_slab_free(slab, k, sizeof(*k) + k->leaf.len);
}

static void block_gone(void *slab, void *p)
{
    (void)slab;
    tg_block_unref(p);
}

int tg_retained_new(tg_hub *h)
{
    tg_retained_set *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return TG_E_NOMEM;
    pthread_mutex_init(&r->lock, NULL);
    r->epoch = h->epoch;
    r->trie.epoch = h->epoch;
    r->trie.limbo = &r->limbo;
    r->trie.slab = &r->slab;
    r->limbo.owner = &r->slab;
    h->retained = r;
    return 0;
}

static void drop_leaf(tg_slab *slab, tg_leaf *l)
{
    kept_free(slab, l);
}

void tg_retained_free(tg_hub *h)
{
    tg_retained_set *r = h->retained;
    if (r == NULL)
        return;
    tg_limbo_free(&r->limbo);
    tg_trie_clear(&r->trie, drop_leaf);
    tg_slab_clear(&r->slab);
    pthread_mutex_destroy(&r->lock);
    tg_buf_free(&r->cursor);
    free(r);
    h->retained = NULL;
}

// The host's own figures are under no limit, and in no sum.
static bool is_figure(const tg_block *b)
{
    return (tg_block_message(b)->flags & TG_MSG_STATUS) != 0;
}

static size_t weight(const tg_block *b)
{
    return is_figure(b) ? 0 : tg_block_bytes(b);
}

static void del(tg_retained_set *r, kept *k)
{
    const tg_block *b = atomic_load(&k->block);
    if (tg_trie_del(&r->trie, &k->leaf) < 0)
        return;
    r->count -= !is_figure(b);
    r->bytes -= weight(b);
    tg_limbo_add(&r->limbo, r->epoch, k, kept_free);
}

static bool fits(const tg_hub *h, const tg_retained_set *r, size_t bytes, size_t freed,
                 unsigned more)
{
    const tg_hub_limits *l = &h->config.limits;
    return (l->retained_count == 0 || r->count + more <= l->retained_count) &&
           (l->retained_bytes == 0 || r->bytes + bytes - freed <= l->retained_bytes);
}

// @owner takes `b` on success. @return 0; 1: the topic is new.
static int put(tg_hub *h, tg_retained_set *r, kept *old, tg_block *b)
{
    size_t freed = old != NULL ? weight(atomic_load(&old->block)) : 0;
    if (!is_figure(b) && !fits(h, r, weight(b), freed, old == NULL))
        return TG_E_LIMIT;
    if (old != NULL) {
        tg_block *was = atomic_exchange_explicit(&old->block, b, memory_order_acq_rel);
        tg_limbo_add(&r->limbo, r->epoch, was, block_gone);
        r->bytes += weight(b) - freed;
        return 0;
    }
    tg_slice topic = tg_block_message(b)->topic;
    kept *k = tg_slab_alloc(&r->slab, sizeof(*k) + topic.len);
    if (k == NULL)
        return TG_E_NOMEM;
    k->leaf = (tg_leaf){(uint16_t)topic.len, offsetof(kept, text), 0};
    atomic_init(&k->block, b);
    memcpy(k->text, topic.at, topic.len);
    if (tg_trie_add(&r->trie, &k->leaf) < 0) {
        tg_slab_free(&r->slab, k, sizeof(*k) + topic.len);
        return TG_E_NOMEM;
    }
    r->count += !is_figure(b);
    r->bytes += weight(b);
    return 1;
}

static void count(tg_hub *h, int64_t more, int64_t more_bytes)
{
    tg_metric_add(h->metrics.retained, more);
    tg_metric_add(h->metrics.retained_bytes, more_bytes);
}

int tg_retained_set_msg(tg_shard *sh, tg_msg m)
{
    tg_retained_set *r = sh->hub->retained;
    tg_block *b = m->payload.len > 0 ? tg_msg_block(m) : NULL;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    uint64_t before = r->count, bytes = r->bytes;
    kept *old = kept_of(tg_trie_find(&r->trie, m->topic));
    r->stores++;
    if (b != NULL) {
        tg_block_set_retained_seq(b, r->stores);
        rc = put(sh->hub, r, old, b);
    } else if (old != NULL) {
        del(r, old);
    }
    int64_t more = (int64_t)(r->count - before), more_bytes = (int64_t)(r->bytes - bytes);
    pthread_mutex_unlock(&r->lock);
    count(sh->hub, more, more_bytes);
    if (rc < 0)
        tg_block_unref(b);
    return rc < 0 ? rc : 0;
}

int tg_retained_restore(tg_hub *h, tg_block *b)
{
    int64_t bytes = (int64_t)tg_block_bytes(b);
    int rc = put(h, h->retained, NULL, b);
    if (rc < 0)
        tg_block_unref(b);
    else
        count(h, 1, bytes);
    return rc < 0 ? rc : 0;
}

uint64_t tg_retained_floor(tg_hub *h)
{
    tg_retained_set *r = h->retained;
    pthread_mutex_lock(&r->lock);
    uint64_t floor = r->stores;
    pthread_mutex_unlock(&r->lock);
    return floor;
}

tg_block *tg_retained_get(tg_shard *sh, tg_slice topic)
{
    tg_block *b = NULL;
    tg_epoch_enter(sh->hub->epoch, sh->index);
    kept *k = kept_of(tg_trie_find(&sh->hub->retained->trie, topic));
    if (k != NULL)
        b = tg_block_ref(atomic_load_explicit(&k->block, memory_order_acquire));
    tg_epoch_leave(sh->hub->epoch, sh->index);
    return b;
}

static void seek(tg_buf *cursor, tg_slice head, tg_slice tail)
{
    tg_buf_clear(cursor);
    tg_buf_put(cursor, head.at, head.len);
    tg_buf_put(cursor, tail.at, tail.len);
}

static int order(tg_slice a, tg_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.at, b.at, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static size_t level_end(tg_slice s, size_t from)
{
    const char *slash = memchr(s.at + from, '/', s.len - from);
    return slash != NULL ? (size_t)(slash - s.at) : s.len;
}

// Level `from` of `t` is not `want`: on to the first topic that has it there, if that is still
// ahead, else past all topics with the same levels before. @return false: none is left.
static bool leap_level(tg_buf *cursor, tg_slice t, size_t from, tg_slice want)
{
    tg_slice head = {t.at, from};
    tg_slice rest = {t.at + from, t.len - from};
    if (order(want, rest) > 0) {
        seek(cursor, head, want);
        return true;
    }
    // "a-b" stands between "a" and "a/…"
    bool between = rest.len > want.len && memcmp(rest.at, want.at, want.len) == 0 &&
                   (unsigned char)rest.at[want.len] < '/';
    if (between) {
        seek(cursor, head, want);
        tg_buf_putc(cursor, '/');
        return true;
    }
    if (from == 0)
        return false;
    seek(cursor, (tg_slice){t.at, from - 1}, TG_LIT("0")); // the byte behind '/'
    return true;
}

// `t` does not match `f`: moves the cursor to the next topic that might. *at: whether the
// cursor itself may be one. @return false: none is left.
static bool leap(tg_slice f, tg_slice t, tg_buf *cursor, bool *at)
{
    *at = true;
    if (t.at[0] == '$' && (f.at[0] == '+' || f.at[0] == '#')) {
        seek(cursor, TG_LIT("%"), TG_LIT("")); // the byte behind '$'
        return true;
    }
    for (size_t i = 0, j = 0;;) {
        size_t fe = level_end(f, i), te = level_end(t, j);
        tg_slice want = {f.at + i, fe - i}, have = {t.at + j, te - j};
        if (!tg_slice_eq(want, TG_LIT("+")) && !tg_slice_eq(want, have))
            return leap_level(cursor, t, j, want);
        if (fe == f.len) { // too deep
            seek(cursor, (tg_slice){t.at, te}, TG_LIT("0"));
            return true;
        }
        if (te == t.len) { // not deep enough
            *at = false;
            seek(cursor, t, TG_LIT(""));
            return true;
        }
        i = fe + 1;
        j = te + 1;
    }
}

int tg_retained_step(tg_shard *sh, tg_slice filter, tg_buf *cursor, bool *at,
                     unsigned steps, tg_block **out)
{
    tg_hub *h = sh->hub;
    int rc = TG_STEP_MORE;
    tg_epoch_enter(h->epoch, sh->index);
    while (rc == TG_STEP_MORE && steps-- > 0) {
        tg_leaf *l = tg_trie_next(&h->retained->trie, tg_buf_slice(cursor), *at);
        tg_slice t = l != NULL ? tg_leaf_text(l) : (tg_slice){0};
        if (l == NULL) {
            rc = TG_STEP_END;
        } else if (tg_topic_matches(filter, t)) {
            *out = tg_block_ref(
                atomic_load_explicit(&kept_of(l)->block, memory_order_acquire));
            seek(cursor, t, TG_LIT(""));
            *at = false;
            rc = TG_STEP_FOUND;
        } else if (!leap(filter, t, cursor, at) || cursor->failed) {
            rc = TG_STEP_END;
        }
    }
    tg_epoch_leave(h->epoch, sh->index);
    return rc;
}

int tg_shard_each_retained(tg_shard *sh, tg_slice filter, tg_slice after,
                           bool (*each)(void *ctx, tg_msg m), void *ctx)
{
    if (!tg_filter_valid(filter))
        return TG_E_MALFORMED;
    tg_buf cursor = {0};
    bool at = after.len == 0, go = true;
    tg_block *b;
    uint64_t now = tg_hub_now(sh->hub);
    tg_buf_put(&cursor, after.at, after.len);
    while (go && !cursor.failed &&
           tg_retained_step(sh, filter, &cursor, &at, UINT32_MAX, &b) == TG_STEP_FOUND) {
        tg_msg m = tg_msg_from_block(b);
        if (m == NULL)
            break;
        if (m->expires == 0 || m->expires > now)
            go = each(ctx, m);
        tg_msg_unref(m);
    }
    tg_buf_free(&cursor);
    return 0;
}

static void sweep_one(tg_shard *sh, tg_retained_set *r, kept *k, uint64_t now)
{
    const tg_message *m = tg_block_message(atomic_load(&k->block));
    if (m->expires == 0 || m->expires > now)
        return;
    tg_persist_retained_gone(sh, m->topic);
    count(sh->hub, -1, -(int64_t)tg_block_bytes(atomic_load(&k->block)));
    del(r, k);
}

// Lookups skip what has expired; the sweep frees it, a slice of the tree each second.
static void sweep(tg_alarm *a)
{
    tg_shard *sh = TG_OWNER(a, tg_shard, sweep);
    tg_retained_set *r = sh->hub->retained;
    uint64_t now = tg_hub_now(sh->hub);
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < SWEEP_STEPS; i++) {
        tg_leaf *l = tg_trie_next(&r->trie, tg_buf_slice(&r->cursor), false);
        if (l == NULL) {
            tg_buf_clear(&r->cursor);
            break;
        }
        seek(&r->cursor, tg_leaf_text(l), TG_LIT(""));
        sweep_one(sh, r, kept_of(l), now);
    }
    pthread_mutex_unlock(&r->lock);
    tg_wheel_add(sh->wheel, a, SWEEP_MS, sweep);
}

void tg_retained_sweep_start(tg_shard *sh)
{
    if (sh->index == 0)
        tg_wheel_add(sh->wheel, &sh->sweep, SWEEP_MS, sweep);
}
