// SPDX-License-Identifier: Apache-2.0
// A skip list: ordered, and small where a balanced tree is long. One lock for all of it, since
// what lives here writes a few records in a turn.
#include "plugin/memory.h"

#include <pthread.h>
#include <stdlib.h>

#define LEVELS 20 // 4^20 records before searching gets slower

typedef struct node {
    uint32_t key_len, value_len, levels;
    struct node *next[]; // behind them the key, then the value
} node;

struct tg_memory {
    pthread_mutex_t lock;
    uint64_t seed;
    node *head; // without a key
};

static node *node_new(uint32_t levels, tg_slice key, tg_slice value)
{
    node *n = calloc(1, sizeof(*n) + levels * sizeof(node *) + key.len + value.len);
    if (n == NULL)
        return NULL;
    n->levels = levels;
    n->key_len = (uint32_t)key.len;
    n->value_len = (uint32_t)value.len;
    char *at = (char *)&n->next[levels];
    if (key.len > 0)
        memcpy(at, key.at, key.len);
    if (value.len > 0)
        memcpy(at + key.len, value.at, value.len);
    return n;
}

static tg_slice key_of(const node *n)
{
    return (tg_slice){(const char *)&n->next[n->levels], n->key_len};
}

static tg_slice value_of(const node *n)
{
    return (tg_slice){(const char *)&n->next[n->levels] + n->key_len, n->value_len};
}

tg_memory *tg_memory_new(void)
{
    tg_memory *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    m->head = node_new(LEVELS, (tg_slice){0}, (tg_slice){0});
    m->seed = 0x9e3779b97f4a7c15u;
    pthread_mutex_init(&m->lock, NULL);
    if (m->head != NULL)
        return m;
    tg_memory_free(m);
    return NULL;
}

void tg_memory_free(tg_memory *m)
{
    if (m == NULL)
        return;
    for (node *n = m->head; n != NULL;) {
        node *next = n->next[0];
        free(n);
        n = next;
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static bool below(tg_slice a, tg_slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least > 0 ? memcmp(a.at, b.at, least) : 0;
    return order < 0 || (order == 0 && a.len < b.len);
}

static bool begins(tg_slice key, tg_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.at, prefix.at, prefix.len) == 0);
}

/// The first record not below `key`; before[i]: the last one below it on level i.
static node *seek(const tg_memory *m, tg_slice key, node *before[LEVELS])
{
    node *n = m->head;
    for (int i = LEVELS - 1; i >= 0; i--) {
        while (n->next[i] != NULL && below(key_of(n->next[i]), key))
            n = n->next[i];
        before[i] = n;
    }
    return n->next[0];
}

static uint32_t draw_levels(tg_memory *m) // one more with each quarter
{
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    m->seed ^= m->seed << 17;
    uint32_t levels = 1;
    for (uint64_t bits = m->seed; levels < LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

static void cut(node *n, node *before[LEVELS])
{
    for (uint32_t i = 0; i < n->levels; i++)
        before[i]->next[i] = n->next[i];
    free(n);
}

static void put(tg_memory *m, node *made)
{
    node *before[LEVELS];
    node *old = seek(m, key_of(made), before);
    if (old != NULL && tg_slice_eq(key_of(old), key_of(made)))
        cut(old, before);
    for (uint32_t i = 0; i < made->levels; i++) {
        made->next[i] = before[i]->next[i];
        before[i]->next[i] = made;
    }
}

static void del(tg_memory *m, tg_slice key, bool prefix)
{
    node *before[LEVELS];
    node *n = seek(m, key, before);
    while (n != NULL && (prefix ? begins(key_of(n), key) : tg_slice_eq(key_of(n), key))) {
        node *next = n->next[0];
        cut(n, before);
        n = next;
    }
}

static void free_made(node **made, size_t n)
{
    for (size_t i = 0; made != NULL && i < n; i++)
        free(made[i]);
    free(made);
}

int tg_memory_commit(tg_memory *m, const tg_write *writes, size_t n)
{
    node **made = calloc(n + 1, sizeof(node *)); // first: nothing behind can fail
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; made != NULL && i < n; i++) {
        if (writes[i].kind != TG_WRITE_PUT)
            continue;
        made[i] = node_new(draw_levels(m), writes[i].key, writes[i].value);
        if (made[i] == NULL) {
            free_made(made, n);
            made = NULL;
        }
    }
    for (size_t i = 0; made != NULL && i < n; i++) {
        if (writes[i].kind == TG_WRITE_PUT)
            put(m, made[i]);
        else
            del(m, writes[i].key, writes[i].kind == TG_WRITE_DEL_PREFIX);
    }
    pthread_mutex_unlock(&m->lock);
    if (made == NULL)
        return TG_E_NOMEM;
    free(made);
    return 0;
}

static size_t count(const node *n, const tg_range *range)
{
    size_t pairs = 0;
    uint64_t bytes = 0;
    for (; n != NULL && pairs < range->limit && begins(key_of(n), range->prefix);
         n = n->next[0]) {
        bytes += n->key_len + (uint64_t)n->value_len;
        if (pairs > 0 && bytes > range->bytes)
            break;
        pairs++;
    }
    return pairs;
}

void tg_memory_read(tg_memory *m, const tg_range *range, tg_done_fn *done, void *ctx)
{
    node *before[LEVELS];
    pthread_mutex_lock(&m->lock);
    const node *n =
        seek(m, below(range->prefix, range->from) ? range->from : range->prefix, before);
    size_t pairs = count(n, range);
    tg_value *items = calloc(2 * pairs + 1, sizeof(*items));
    tg_value list = {.kind = TG_LIST};
    list.list.items = items;
    list.list.count = 2 * pairs;
    for (size_t i = 0; items != NULL && i < pairs; i++, n = n->next[0]) {
        items[2 * i] = (tg_value){.kind = TG_STR, .string = key_of(n)};
        items[2 * i + 1] = (tg_value){.kind = TG_STR, .string = value_of(n)};
    }
    done(ctx, items != NULL ? 0 : TG_E_NOMEM, items != NULL ? &list : NULL);
    pthread_mutex_unlock(&m->lock);
    free(items);
}
