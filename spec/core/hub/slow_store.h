// SPDX-License-Identifier: Apache-2.0
/// A store that commits when the test says so, in whatever order it says, keeps what was
/// committed through a crash of the host, and loses the rest.
#ifndef TG_SPEC_HUB_SLOW_STORE_H
#define TG_SPEC_HUB_SLOW_STORE_H

#include "harness.h"

#define PAIRS 20000
#define COMMITS 4096

typedef struct pair {
    char *key, *value;
    size_t key_len, value_len;
} pair;

typedef struct commit {
    tg_write *writes;
    size_t n;
    uint32_t worker;
    tg_done_fn *done;
    void *ctx;
    int code; // once it has taken effect, and so has no writes left
} commit;

static pair pairs[PAIRS];
static unsigned npairs;
static commit commits[COMMITS]; // under way, oldest first
static unsigned ncommits;
static int fail_with;
static struct {
    uint32_t worker;
    tg_done_fn *done;
    void *ctx;
} op;

static tg_op op_new(void *ctx, uint32_t worker, tg_done_fn *done, void *done_ctx)
{
    (void)ctx;
    op.worker = worker;
    op.done = done;
    op.ctx = done_ctx;
    return (tg_op){1};
}

static char *copy(tg_slice s)
{
    char *at = malloc(s.len + 1);
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at;
}

static int store_commit(const tg_store *self, const tg_write *writes, size_t n, tg_op o)
{
    (void)self;
    (void)o;
    assert_true(ncommits < COMMITS);
    commit *c = &commits[ncommits++];
    *c = (commit){calloc(n, sizeof(*writes)), n, op.worker, op.done, op.ctx, 0};
    for (size_t i = 0; i < n; i++) {
        c->writes[i] = writes[i];
        c->writes[i].key.at = copy(writes[i].key);
        c->writes[i].value.at = copy(writes[i].value);
    }
    return 0;
}

static int order(const pair *p, tg_slice key)
{
    size_t n = p->key_len < key.len ? p->key_len : key.len;
    int c = memcmp(p->key, key.at, n);
    return c != 0 ? c : (p->key_len > key.len) - (p->key_len < key.len);
}

static unsigned place(tg_slice key)
{
    unsigned lo = 0, hi = npairs;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (order(&pairs[mid], key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void drop_pair(unsigned i)
{
    free(pairs[i].key);
    free(pairs[i].value);
    memmove(&pairs[i], &pairs[i + 1], (--npairs - i) * sizeof(pair));
}

static bool begins(unsigned i, tg_slice prefix)
{
    return i < npairs && pairs[i].key_len >= prefix.len &&
           memcmp(pairs[i].key, prefix.at, prefix.len) == 0;
}

static void apply(const tg_write *w)
{
    unsigned i = place(w->key);
    bool there = i < npairs && order(&pairs[i], w->key) == 0;
    if (w->kind == TG_WRITE_DEL_PREFIX) {
        while (begins(i, w->key))
            drop_pair(i);
        return;
    }
    if (there)
        drop_pair(i);
    if (w->kind == TG_WRITE_DEL)
        return;
    assert_true(npairs < PAIRS);
    memmove(&pairs[i + 1], &pairs[i], (npairs++ - i) * sizeof(pair));
    pairs[i] = (pair){copy(w->key), copy(w->value), w->key.len, w->value.len};
}

static void commit_free(commit *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free((void *)(uintptr_t)c->writes[i].key.at);
        free((void *)(uintptr_t)c->writes[i].value.at);
    }
    free(c->writes);
}

static void take_effect(commit *c)
{
    for (size_t k = 0; k < c->n && c->code == 0; k++)
        apply(&c->writes[k]);
    commit_free(c);
    c->writes = NULL;
    c->n = 0;
}

// Completes commit `i`. Those of its worker before it have taken effect by then, and are told
// of it later, as the contract allows.
static UNUSED void finish(world *w, unsigned i)
{
    for (unsigned k = 0; k <= i; k++) {
        if (commits[k].worker != commits[i].worker || commits[k].writes == NULL)
            continue;
        commits[k].code = fail_with;
        take_effect(&commits[k]);
    }
    commit c = commits[i];
    memmove(&commits[i], &commits[i + 1], (--ncommits - i) * sizeof(commit));
    w->here = c.worker;
    c.done(c.ctx, c.code, NULL);
}

static UNUSED void settle_all(world *w)
{
    world_settle(w);
    while (ncommits > 0) {
        finish(w, 0);
        world_settle(w);
    }
}

static int store_scan(const tg_store *self, tg_slice prefix,
                      int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self;
    for (unsigned i = place(prefix); begins(i, prefix); i++) {
        int rc = each(ctx, (tg_slice){pairs[i].key, pairs[i].key_len},
                      (tg_slice){pairs[i].value, pairs[i].value_len});
        if (rc != 0)
            return rc;
    }
    return 0;
}

static const tg_store slow = {.size = sizeof(slow),
                              .flags = TG_STORE_DURABLE,
                              .id = "slow",
                              .commit = store_commit,
                              .scan = store_scan};

// What had not been committed is lost, and nobody hears of it.
static UNUSED void crash(world *w)
{
    world_close(w);
    while (ncommits > 0) {
        commit c = commits[--ncommits];
        commit_free(&c);
        c.done(c.ctx, TG_E_CANCELLED, NULL); // frees the hub's batch; its shard is gone
    }
}

static UNUSED void forget_all(void)
{
    while (npairs > 0)
        drop_pair(npairs - 1);
}

#endif
