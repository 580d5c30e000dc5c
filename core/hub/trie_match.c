// SPDX-License-Identifier: Apache-2.0
// Reading the tree: which filters fit a topic, and what comes next in order. Each level start
// may open a way beside the literal one ('+'; what '#' leads to is a leaf and is reported at
// once). Nearly every step of a walk waits for memory, so several ways are walked in turn, a
// node each, while the next node of the others is on its way. Too many open ways are walked one
// after the other: then at most one more is open per level, and the array has a bound.
#include "hub/trie.h"

#include <assert.h>

#include "hub/trie_node.h"

#define LANES 8 // ways walked in turn
#define MANY 64 // open ways from which on it is one

struct way {
    uintptr_t w;
    uint32_t pos; // topic bytes used
    uint32_t depth; // filter bytes used
};

struct walk {
    tg_slice topic;
    void (*hit)(void *ctx, tg_leaf *l);
    void *ctx;
    bool dollar; // MQTT 5.0 §4.7.2: no wildcard at the first level
    uint32_t open;
    struct way ways[MANY + LANES + TG_TRIE_LEVELS];
};

static void report(const struct walk *k, uintptr_t w)
{
    if (w != 0)
        k->hit(k->ctx, tg_leaf_of(w));
}

static bool level_start(const struct walk *k, uint32_t pos)
{
    return pos == 0 ? !k->dollar : k->topic.at[pos - 1] == '/';
}

static uint32_t level_end(const struct walk *k, uint32_t pos)
{
    const char *from = k->topic.at + pos;
    const char *slash = memchr(from, '/', k->topic.len - pos);
    return slash != NULL ? (uint32_t)(slash - k->topic.at) : (uint32_t)k->topic.len;
}

// Runs filter bytes against the topic. @return how many fitted; *pos moves with them. A '#'
// swallows the rest.
static uint32_t run(const struct walk *k, const char *f, uint32_t len, uint32_t *pos)
{
    const char *t = k->topic.at;
    uint32_t p = *pos, n = (uint32_t)k->topic.len, i = 0;
    for (; i < len; i++) {
        if (p < n && f[i] == t[p]) {
            p++;
        } else if (f[i] == '+' && level_start(k, p)) {
            p = level_end(k, p);
        } else if (f[i] == '#' && level_start(k, p)) {
            p = n;
        } else {
            break;
        }
    }
    *pos = p;
    return i;
}

static bool is_tail(const char *f, uint32_t len)
{
    return len == 2 && f[0] == '/' && f[1] == '#';
}

static void meet_leaf(const struct walk *k, uintptr_t w, uint32_t pos, uint32_t depth)
{
    tg_slice f = tg_leaf_text(tg_leaf_of(w));
    const char *rest = f.at + depth;
    uint32_t len = (uint32_t)f.len - depth, used = run(k, rest, len, &pos);
    if (pos == k->topic.len && (used == len || is_tail(rest + used, len - used)))
        report(k, w);
}

// The topic ended inside `n`'s path or at its end; "/#" still fits (MQTT 5.0 §4.7.1.2).
// `depth` is where the path begins in the filter, `used` what of it the topic has fitted.
static void meet_tail(const struct walk *k, const tg_node *n, uint32_t depth, uint32_t used)
{
    for (const char *want = "/#"; *want != '\0'; used = 0) {
        const char *path = tg_node_path(n);
        for (; used < n->skip; used++, want++)
            if (path[used] != *want)
                return;
        int i = tg_node_find(n, (uint8_t)*want);
        if (*want == '\0' || i < 0)
            return;
        want++;
        depth += n->skip + 1u;
        uintptr_t w = tg_node_next(n, i);
        if (tg_is_leaf(w)) {
            tg_slice f = tg_leaf_text(tg_leaf_of(w));
            if (tg_slice_eq((tg_slice){f.at + depth, f.len - depth}, tg_str(want)))
                report(k, w);
            return;
        }
        n = tg_node_of(w);
    }
}

static void fetch(uintptr_t w)
{
    __builtin_prefetch((const void *)w); // NOLINT
    __builtin_prefetch((const void *)(w + 63)); // NOLINT
}

static void open_way(struct walk *k, uintptr_t w, uint32_t pos, uint32_t depth)
{
    assert(k->open < sizeof(k->ways) / sizeof(k->ways[0]));
    fetch(w);
    k->ways[k->open++] = (struct way){w, pos, depth};
}

// Opens the wildcard ways of `n`, then follows the literal one. @return it, or 0.
static uintptr_t branch(struct walk *k, const tg_node *n, uint32_t pos, uint32_t depth)
{
    if ((n->plus != 0 || n->hash != 0) && level_start(k, pos)) {
        if (n->hash != 0)
            meet_leaf(k, tg_node_next(n, n->hash - 1), (uint32_t)k->topic.len, depth + 1);
        if (n->plus != 0)
            open_way(k, tg_node_next(n, n->plus - 1), level_end(k, pos), depth + 1);
    }
    if (pos == k->topic.len)
        return 0;
    int i = tg_node_find(n, (uint8_t)k->topic.at[pos]);
    return i >= 0 ? tg_node_next(n, i) : 0;
}

// One node. @return the literal way on, or 0; *pos and *depth move with it.
static uintptr_t meet_node(struct walk *k, const tg_node *n, uint32_t *pos, uint32_t *depth)
{
    const char *path = tg_node_path(n);
    uint32_t used = 0, skip = n->skip;
    if (!n->wild) {
        uint32_t left = (uint32_t)k->topic.len - *pos;
        const char *t = k->topic.at + *pos;
        while (used < skip && used < left && path[used] == t[used])
            used++;
        *pos += used;
    } else {
        used = run(k, path, skip, pos);
    }
    bool ended = *pos == k->topic.len;
    if (used < skip) {
        if (ended)
            meet_tail(k, n, *depth, used);
        return 0;
    }
    if (ended) {
        report(k, tg_load(&n->value));
        meet_tail(k, n, *depth, skip);
    }
    *depth += skip;
    uintptr_t w = branch(k, n, *pos, *depth);
    *pos += 1;
    *depth += 1;
    return w;
}

// One step on way `i`. What it opens comes behind all that are open.
static void step(struct walk *k, uint32_t i)
{
    struct way *at = &k->ways[i];
    if (tg_is_leaf(at->w)) {
        meet_leaf(k, at->w, at->pos, at->depth);
        at->w = 0;
        return;
    }
    uint32_t pos = at->pos, depth = at->depth;
    uintptr_t w = meet_node(k, tg_node_of(at->w), &pos, &depth);
    *at = (struct way){w, pos, depth};
    if (w != 0)
        fetch(w);
}

void tg_trie_match(const tg_trie *t, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                   void *ctx)
{
    struct walk k;
    k.topic = topic;
    k.hit = hit;
    k.ctx = ctx;
    k.dollar = topic.len > 0 && topic.at[0] == '$';
    k.open = 0;
    uintptr_t w = tg_load(&t->root);
    if (w != 0)
        open_way(&k, w, 0, 0);
    while (k.open > 0) {
        uint32_t lanes = k.open > MANY ? 1 : k.open < LANES ? k.open : LANES;
        uint32_t first = k.open - lanes, end = k.open, kept = first;
        for (uint32_t i = first; i < end; i++)
            step(&k, i);
        for (uint32_t i = first; i < k.open; i++) // ended ways leave no gap
            if (k.ways[i].w != 0)
                k.ways[kept++] = k.ways[i];
        k.open = kept;
    }
}

static tg_leaf *first_of(uintptr_t w)
{
    while (w != 0 && !tg_is_leaf(w)) {
        const tg_node *n = tg_node_of(w);
        w = tg_load(&n->value);
        if (w == 0)
            w = tg_node_next(n, 0);
    }
    return w != 0 ? tg_leaf_of(w) : NULL;
}

static int order(tg_slice a, tg_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.at, b.at, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

// Down along `after`; the nearest way that leads past it is remembered on the way.
tg_leaf *tg_trie_next(const tg_trie *t, tg_slice after, bool from)
{
    uintptr_t w = tg_load(&t->root), past = 0;
    for (size_t depth = 0; w != 0; depth++) {
        if (tg_is_leaf(w)) {
            int c = order(tg_leaf_text(tg_leaf_of(w)), after);
            return c > 0 || (from && c == 0) ? tg_leaf_of(w) : first_of(past);
        }
        const tg_node *n = tg_node_of(w);
        tg_slice path = {tg_node_path(n), n->skip};
        tg_slice rest = {after.at + depth, after.len - depth};
        size_t same = 0;
        while (same < path.len && same < rest.len && path.at[same] == rest.at[same])
            same++;
        if (same < path.len) {
            bool behind =
                same == rest.len || (uint8_t)path.at[same] > (uint8_t)rest.at[same];
            return first_of(behind ? w : past);
        }
        depth += same;
        if (depth == after.len) {
            uintptr_t value = tg_load(&n->value);
            return value != 0 && from ? tg_leaf_of(value) : first_of(tg_node_next(n, 0));
        }
        int i = tg_node_find(n, (uint8_t)after.at[depth]);
        int right = tg_node_at_least(n, (unsigned)(uint8_t)after.at[depth] + 1);
        if (right >= 0)
            past = tg_node_next(n, right);
        w = i >= 0 ? tg_node_next(n, i) : 0;
    }
    return first_of(past);
}
