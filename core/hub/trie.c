// SPDX-License-Identifier: Apache-2.0
// Why bytes and not levels: a level's children would need a hash or a sorted set of names, and
// a publish would hash each level of its topic. Bytes branch at most 256 ways, share all common
// beginnings, and keep the memory of ten million filters at what tells them apart.
// Readers walk without locks, so writers never change what a reader may stand on: a node that
// gains or loses a child is copied, the link to it swapped with one store, and the old one goes
// to the limbo.
#include "hub/trie.h"

#include <assert.h>
#include <stdlib.h>

#include "hub/trie_node.h"

// A node while it is put together.
struct shape {
    uintptr_t value;
    tg_slice a, b, c; // the path in front, in pieces
    const tg_node *from; // children come from it
    int drop; // but not the one at this place, -1 none
    uintptr_t add[2]; // and these besides
    uint8_t key[2];
    unsigned adds;
};

static uintptr_t leaf_word(const tg_leaf *l)
{
    return (uintptr_t)l | 1;
}

static void put_link(tg_link_word *at, uintptr_t w)
{
    atomic_store_explicit(at, w, memory_order_release);
}

static size_t size_of(const tg_node *n)
{
    return tg_node_links_at(n->count, n->skip) + n->count * sizeof(tg_link_word);
}

static void node_free(void *slab, void *p)
{
    tg_slab_free(slab, p, size_of(p));
}

static void retire(tg_trie *t, tg_node *n)
{
    tg_limbo_add(t->limbo, t->epoch, n, node_free);
}

// The bytes of `n`'s children by place.
static void keys_by_place(const tg_node *n, uint8_t out[256])
{
    if (!n->indexed) {
        memcpy(out, n->keys, n->count);
        return;
    }
    for (unsigned k = 0; k < 256; k++)
        if (n->keys[k] != 0)
            out[n->keys[k] - 1] = (uint8_t)k;
}

struct kids {
    unsigned count;
    uint8_t key[256];
    uintptr_t at[256];
};

static void kids_put(struct kids *k, uint8_t key, uintptr_t at)
{
    unsigned i = k->count++;
    for (; i > 0 && k->key[i - 1] > key; i--) {
        k->key[i] = k->key[i - 1];
        k->at[i] = k->at[i - 1];
    }
    k->key[i] = key;
    k->at[i] = at;
}

static void kids_collect(struct kids *k, const struct shape *s)
{
    k->count = 0;
    if (s->from != NULL) {
        uint8_t keys[256];
        keys_by_place(s->from, keys);
        for (int i = 0; i < s->from->count; i++) {
            if (i == s->drop)
                continue;
            k->key[k->count] = keys[i];
            k->at[k->count++] = tg_node_next(s->from, i);
        }
    }
    for (unsigned i = 0; i < s->adds; i++)
        kids_put(k, s->key[i], s->add[i]);
}

static void fill_keys(tg_node *n, const struct kids *k)
{
    memset(n->keys, 0, tg_node_keys_len(k->count));
    for (unsigned i = 0; i < k->count; i++) {
        n->keys[n->indexed ? k->key[i] : i] = n->indexed ? (uint8_t)(i + 1) : k->key[i];
        atomic_init(tg_node_child(n, (int)i), k->at[i]);
        if (k->key[i] == '+')
            n->plus = (uint8_t)(i + 1);
        if (k->key[i] == '#')
            n->hash = (uint8_t)(i + 1);
    }
}

static char *put_bytes(char *at, tg_slice s)
{
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

static tg_node *build(tg_trie *t, const struct shape *s)
{
    struct kids kids;
    kids_collect(&kids, s);
    size_t skip = s->a.len + s->b.len + s->c.len;
    size_t links = tg_node_links_at(kids.count, skip);
    tg_node *n = tg_slab_alloc(t->slab, links + kids.count * sizeof(tg_link_word));
    if (n == NULL)
        return NULL;
    atomic_init(&n->value, s->value);
    n->skip = (uint16_t)skip;
    n->count = (uint16_t)kids.count;
    n->indexed = kids.count >= TG_NODE_INDEXED;
    n->plus = n->hash = 0;
    fill_keys(n, &kids);
    char *path = (char *)(uintptr_t)tg_node_path(n);
    put_bytes(put_bytes(put_bytes(path, s->a), s->b), s->c);
    n->wild = memchr(path, '+', skip) != NULL || memchr(path, '#', skip) != NULL;
    return n;
}

static size_t common(const char *a, size_t an, const char *b, size_t bn)
{
    size_t n = an < bn ? an : bn, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static tg_slice path_of(const tg_node *n)
{
    return (tg_slice){tg_node_path(n), n->skip};
}

static tg_slice cut(tg_slice s, size_t from)
{
    return (tg_slice){s.at + from, s.len - from};
}

tg_leaf *tg_trie_find(const tg_trie *t, tg_slice text)
{
    size_t depth = 0;
    uintptr_t w = tg_load(&t->root);
    while (w != 0 && !tg_is_leaf(w)) {
        const tg_node *n = tg_node_of(w);
        tg_slice path = path_of(n), rest = cut(text, depth);
        if (common(path.at, path.len, rest.at, rest.len) < path.len)
            return NULL;
        depth += path.len;
        if (depth == text.len) {
            w = tg_load(&n->value);
            return w != 0 ? tg_leaf_of(w) : NULL;
        }
        int i = tg_node_find(n, (uint8_t)text.at[depth++]);
        w = i >= 0 ? tg_node_next(n, i) : 0;
    }
    if (w == 0)
        return NULL;
    return tg_slice_eq(tg_leaf_text(tg_leaf_of(w)), text) ? tg_leaf_of(w) : NULL;
}

// Two ways on, or an end and a way on, behind the common `path`.
static void shape_put(struct shape *s, tg_slice rest, uintptr_t leaf)
{
    if (rest.len == 0) {
        s->value = leaf;
        return;
    }
    s->key[s->adds] = (uint8_t)rest.at[0];
    s->add[s->adds++] = leaf;
}

// Where a leaf was: a node that leads to it and to `leaf`.
static int split_leaf(tg_trie *t, tg_link_word *slot, tg_leaf *old, tg_leaf *leaf,
                      size_t depth)
{
    tg_slice a = cut(tg_leaf_text(old), depth), b = cut(tg_leaf_text(leaf), depth);
    size_t same = common(a.at, a.len, b.at, b.len);
    struct shape s = {.a = {b.at, same}, .drop = -1};
    shape_put(&s, cut(a, same), leaf_word(old));
    shape_put(&s, cut(b, same), leaf_word(leaf));
    tg_node *n = build(t, &s);
    if (n == NULL)
        return TG_E_NOMEM;
    put_link(slot, (uintptr_t)n);
    return 0;
}

// Where `n`'s path leaves that of `leaf` after `same` bytes: a node above it.
static int split_path(tg_trie *t, tg_link_word *slot, tg_node *n, tg_leaf *leaf,
                      tg_slice rest, size_t same)
{
    tg_slice path = path_of(n);
    struct shape lower = {
        .value = tg_load(&n->value), .a = cut(path, same + 1), .from = n, .drop = -1};
    tg_node *low = build(t, &lower);
    if (low == NULL)
        return TG_E_NOMEM;
    struct shape upper = {.a = {path.at, same}, .drop = -1, .adds = 1};
    upper.key[0] = (uint8_t)path.at[same];
    upper.add[0] = (uintptr_t)low;
    shape_put(&upper, cut(rest, same), leaf_word(leaf));
    tg_node *up = build(t, &upper);
    if (up == NULL) {
        node_free(t->slab, low);
        return TG_E_NOMEM;
    }
    put_link(slot, (uintptr_t)up);
    retire(t, n);
    return 0;
}

static int add_child(tg_trie *t, tg_link_word *slot, tg_node *n, tg_leaf *leaf, uint8_t key)
{
    struct shape s = {
        .value = tg_load(&n->value), .a = path_of(n), .from = n, .drop = -1, .adds = 1};
    s.key[0] = key;
    s.add[0] = leaf_word(leaf);
    tg_node *fresh = build(t, &s);
    if (fresh == NULL)
        return TG_E_NOMEM;
    put_link(slot, (uintptr_t)fresh);
    retire(t, n);
    return 0;
}

int tg_trie_add(tg_trie *t, tg_leaf *leaf)
{
    tg_slice text = tg_leaf_text(leaf);
    tg_link_word *slot = &t->root;
    for (size_t depth = 0;; depth++) {
        uintptr_t w = tg_load(slot);
        if (w == 0) {
            put_link(slot, leaf_word(leaf));
            return 0;
        }
        if (tg_is_leaf(w))
            return split_leaf(t, slot, tg_leaf_of(w), leaf, depth);
        tg_node *n = tg_node_of(w);
        tg_slice path = path_of(n), rest = cut(text, depth);
        size_t same = common(path.at, path.len, rest.at, rest.len);
        if (same < path.len)
            return split_path(t, slot, n, leaf, rest, same);
        depth += same;
        if (depth == text.len) {
            put_link(&n->value, leaf_word(leaf));
            return 0;
        }
        int i = tg_node_find(n, (uint8_t)text.at[depth]);
        if (i < 0)
            return add_child(t, slot, n, leaf, (uint8_t)text.at[depth]);
        slot = tg_node_child(n, i);
    }
}

// `n` has one child and no value: one node, or the leaf, stands for both.
static int merge(tg_trie *t, tg_link_word *slot, tg_node *n, int place)
{
    uintptr_t w = tg_node_next(n, place);
    if (tg_is_leaf(w)) {
        put_link(slot, w);
        retire(t, n);
        return 0;
    }
    tg_node *low = tg_node_of(w);
    uint8_t keys[256];
    keys_by_place(n, keys);
    struct shape s = {.value = tg_load(&low->value),
                      .a = path_of(n),
                      .b = {(const char *)&keys[place], 1},
                      .c = path_of(low),
                      .from = low,
                      .drop = -1};
    tg_node *fresh = build(t, &s);
    if (fresh == NULL)
        return TG_E_NOMEM;
    put_link(slot, (uintptr_t)fresh);
    retire(t, n);
    retire(t, low);
    return 0;
}

static int drop_value(tg_trie *t, tg_link_word *slot, tg_node *n)
{
    if (n->count == 1)
        return merge(t, slot, n, 0);
    put_link(&n->value, 0);
    return 0;
}

static int drop_child(tg_trie *t, tg_link_word *slot, tg_node *n, int place)
{
    uintptr_t value = tg_load(&n->value);
    if (n->count == 1) { // then it has a value
        put_link(slot, value);
        retire(t, n);
        return 0;
    }
    if (n->count == 2 && value == 0)
        return merge(t, slot, n, 1 - place);
    struct shape s = {.value = value, .a = path_of(n), .from = n, .drop = place};
    tg_node *fresh = build(t, &s);
    if (fresh == NULL)
        return TG_E_NOMEM;
    put_link(slot, (uintptr_t)fresh);
    retire(t, n);
    return 0;
}

int tg_trie_del(tg_trie *t, tg_leaf *leaf)
{
    tg_slice text = tg_leaf_text(leaf);
    tg_link_word *slot = &t->root, *up = NULL;
    int place = -1;
    for (size_t depth = 0;; depth++) {
        uintptr_t w = tg_load(slot);
        if (tg_is_leaf(w)) {
            assert(tg_leaf_of(w) == leaf);
            if (up != NULL)
                return drop_child(t, up, tg_node_of(tg_load(up)), place);
            put_link(slot, 0);
            return 0;
        }
        tg_node *n = tg_node_of(w);
        assert(n != NULL);
        depth += n->skip;
        if (depth == text.len)
            return drop_value(t, slot, n);
        place = tg_node_find(n, (uint8_t)text.at[depth]);
        assert(place >= 0);
        up = slot;
        slot = tg_node_child(n, place);
    }
}

// Nodes wait on a list that runs through their `value`: depth is a client's choice.
void tg_trie_clear(tg_trie *t, void (*drop)(tg_slab *slab, tg_leaf *l))
{
    uintptr_t w = atomic_exchange(&t->root, 0), todo = 0;
    while (w != 0) {
        if (tg_is_leaf(w)) {
            drop(t->slab, tg_leaf_of(w));
        } else {
            tg_node *n = tg_node_of(w);
            uintptr_t value = atomic_exchange(&n->value, todo);
            if (value != 0)
                drop(t->slab, tg_leaf_of(value));
            todo = w;
        }
        // The next child of the node on top; an empty one is done.
        for (w = 0; w == 0 && todo != 0;) {
            tg_node *n = tg_node_of(todo);
            for (unsigned i = 0; i < n->count && w == 0; i++)
                w = atomic_exchange(tg_node_child(n, (int)i), 0);
            if (w == 0) {
                todo = tg_load(&n->value);
                node_free(t->slab, n);
            }
        }
    }
}
