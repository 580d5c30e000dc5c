// SPDX-License-Identifier: Apache-2.0
// The table "spool": each call becomes a request that runs on the spool's worker, and an op
// that brings the answer back to the caller's. Spools stay until the runtime ends: a handle is
// an index, and checked to be the plugin's own.
#include <stdlib.h>

#include "plugin/registry.h"
#include "plugin/spool.h"

#define WAITING_MAX (16u << 20) // bytes pushed that the store has not taken yet
#define BYTES_DEFAULT (64u << 20)

static tg_queue_of_bytes *find(tg_runtime *rt, const char *plugin, tg_slice name,
                               uint32_t *free_at)
{
    uint32_t i = 0;
    for (; i < TG_SPOOLS_MAX && atomic_load(&rt->spools[i]) != NULL; i++)
        if (strcmp(tg_spool_plugin(rt->spools[i]), plugin) == 0 &&
            tg_slice_eq(tg_spool_name(rt->spools[i]), name))
            break;
    *free_at = i;
    return i < TG_SPOOLS_MAX ? atomic_load(&rt->spools[i]) : NULL;
}

static int find_or_make(const tg_version *v, tg_slice name, uint32_t *at)
{
    tg_runtime *rt = v->rt;
    int rc = 0;
    pthread_mutex_lock(&rt->lock);
    if (find(rt, v->plug->id, name, at) == NULL) {
        rc = *at == TG_SPOOLS_MAX ? TG_E_LIMIT : 0;
        tg_queue_of_bytes *q = rc == 0 ? tg_spool_new(rt, v->plug->id, name) : NULL;
        if (q != NULL)
            atomic_store(&rt->spools[*at], q);
        else if (rc == 0)
            rc = TG_E_NOMEM;
    }
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

void tg_spools_free(tg_runtime *rt)
{
    for (uint32_t i = 0; i < TG_SPOOLS_MAX && rt->spools[i] != NULL; i++)
        tg_spool_free(rt->spools[i]);
}

static int hand_over(tg_spool_request *r)
{
    const tg_local *here = tg_here();
    if (here->index == tg_spool_worker(r->queue)) {
        tg_spool_run(r);
        return 0;
    }
    return tg_worker_run(tg_workers_at(here->rt->workers, tg_spool_worker(r->queue)),
                         tg_spool_run, r);
}

static int open_spool(const tg_spool_spec *spec, tg_spool *out)
{
    const tg_version *v = tg_current();
    uint32_t at;
    if (tg_here() == NULL)
        return TG_E_THREAD;
    if (v == NULL || !tg_id_valid(spec->name, 64))
        return TG_E_INVAL;
    if (!tg_store_readable(v->rt))
        return TG_E_UNSUPPORTED;
    int rc = find_or_make(v, spec->name, &at);
    if (rc < 0)
        return rc;
    tg_spool_request *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return TG_E_NOMEM;
    r->kind = TG_SPOOL_BOUNDS;
    r->queue = v->rt->spools[at];
    r->bounds = *spec;
    r->bounds.name = (tg_slice){0};
    if (r->bounds.max_bytes == 0)
        r->bounds.max_bytes = BYTES_DEFAULT;
    rc = hand_over(r);
    if (rc < 0)
        free(r);
    else
        *out = (tg_spool){at + 1};
    return rc;
}

/// The caller's own spool; NULL: none of his.
static tg_queue_of_bytes *own(tg_spool h)
{
    const tg_version *v = tg_current();
    if (tg_here() == NULL || v == NULL || h.id == 0 || h.id > TG_SPOOLS_MAX)
        return NULL;
    tg_queue_of_bytes *q = atomic_load(&v->rt->spools[h.id - 1]);
    return q != NULL && strcmp(tg_spool_plugin(q), v->plug->id) == 0 ? q : NULL;
}

/// @param like what is asked; its op is made here.
static int ask(tg_spool h, tg_spool_request like, tg_slice bytes, tg_done_fn *done,
               void *ctx)
{
    tg_queue_of_bytes *q = own(h);
    if (q == NULL)
        return TG_E_INVAL;
    tg_spool_request *r = malloc(sizeof(*r) + bytes.len);
    if (r == NULL)
        return TG_E_NOMEM;
    *r = like;
    r->queue = q;
    r->len = bytes.len;
    if (bytes.len > 0)
        memcpy(r->bytes, bytes.at, bytes.len);
    r->op = tg_op_new(&(tg_op_spec){
        .done = done, .ctx = ctx, .owner = tg_current(), .callback = "spool"});
    int rc = r->op.id != 0 ? hand_over(r) : TG_E_NOMEM;
    if (rc == 0)
        return 0;
    tg_op_cancel(r->op);
    free(r);
    return rc;
}

static int push(tg_spool h, tg_slice bytes, tg_done_fn *done, void *ctx)
{
    tg_queue_of_bytes *q = own(h);
    if (q == NULL)
        return TG_E_INVAL;
    if (atomic_fetch_add(tg_spool_waiting(q), bytes.len) + bytes.len > WAITING_MAX) {
        atomic_fetch_sub(tg_spool_waiting(q), bytes.len);
        return TG_E_FULL;
    }
    int rc = ask(h, (tg_spool_request){.kind = TG_SPOOL_PUSH}, bytes, done, ctx);
    if (rc < 0)
        atomic_fetch_sub(tg_spool_waiting(q), bytes.len);
    return rc;
}

static int peek(tg_spool h, uint32_t n, uint32_t wait_ms, tg_done_fn *done, void *ctx)
{
    tg_spool_request r = {.kind = TG_SPOOL_PEEK, .wait_ms = wait_ms};
    r.n = n < TG_SPOOL_PEEK_MAX ? n : TG_SPOOL_PEEK_MAX;
    return ask(h, r, (tg_slice){0}, done, ctx);
}

static int ack(tg_spool h, uint64_t id, tg_done_fn *done, void *ctx)
{
    return ask(h, (tg_spool_request){.kind = TG_SPOOL_ACK, .n = id}, (tg_slice){0}, done,
               ctx);
}

static int stats(tg_spool h, tg_done_fn *done, void *ctx)
{
    return ask(h, (tg_spool_request){.kind = TG_SPOOL_STATS}, (tg_slice){0}, done, ctx);
}

const tg_spool_api tg_spool_table = {
    .size = sizeof(tg_spool_api),
    .open = open_spool,
    .push = push,
    .peek = peek,
    .ack = ack,
    .stats = stats,
};
