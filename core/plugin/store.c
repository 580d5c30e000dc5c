// SPDX-License-Identifier: Apache-2.0
// The hub's store is a plugin's, once the plugin that offers it has been loaded. The hub may
// keep a copy of the struct that it is given, and a plugin finds its own data by the address
// of its struct: so one of ours stands between them.
#include "plugin/memory.h"
#include "plugin/op.h"
#include "plugin/plugins.h"
#include "plugin/registry.h"

// Sessions are restored, and write, before the version is committed on every worker.
static int store_commit(const tg_store *self, const tg_write *writes, size_t n, tg_op op)
{
    (void)self;
    const tg_local *here = tg_here();
    tg_offer *o = here->rt->store_seat->at[here->index];
    int rc = TG_E_SHUTDOWN;
    if (o == NULL)
        o = atomic_load(&here->rt->store_coming);
    if (o != NULL) {
        tg_call_begin(o->self, "store commit");
        rc = o->store.commit(o->given, writes, n, op);
        tg_call_end();
    }
    if (rc < 0)
        tg_op_cancel(op); // nobody will complete it, and its context goes with the error
    return rc;
}

// Called by tg_hub_set_store() alone, before the version is committed.
static _Thread_local const tg_offer *scanned;

static int store_scan(const tg_store *self, tg_slice prefix,
                      int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self;
    if (scanned == NULL)
        return TG_E_THREAD;
    tg_call_begin(scanned->self, "store scan");
    int rc = scanned->store.scan(scanned->given, prefix, each, ctx);
    tg_call_end();
    return rc;
}

// For what is stored besides sessions, a host without a store has one in memory.

int tg_store_commit(tg_runtime *rt, const tg_write *writes, size_t n, tg_op op)
{
    if (rt->store_set)
        return store_commit(&rt->store, writes, n, op);
    int rc = tg_memory_commit(rt->memory, writes, n);
    return rc < 0 ? rc : tg_op_complete(op, 0, NULL);
}

static void give(void *ctx, int code, const tg_value *value)
{
    tg_op_complete(*(tg_op *)ctx, code, value);
}

int tg_store_read(tg_runtime *rt, const tg_range *range, tg_op op)
{
    if (!rt->store_set) {
        tg_memory_read(rt->memory, range, give, &op);
        return 0;
    }
    tg_offer *o = rt->store_seat->at[tg_here()->index];
    if (o == NULL)
        return TG_E_SHUTDOWN;
    tg_call_begin(o->self, "store read");
    int rc = o->store.read(o->given, range, op);
    tg_call_end();
    return rc;
}

int tg_store_scan(tg_runtime *rt, tg_slice prefix,
                  int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    const tg_offer *o = rt->store_set ? rt->store_seat->control : NULL;
    if (o == NULL)
        return 0;
    tg_call_begin(o->self, "store scan");
    int rc = o->store.scan(o->given, prefix, each, ctx);
    tg_call_end();
    return rc;
}

bool tg_store_readable(const tg_runtime *rt)
{
    return !rt->store_set || rt->store_reads;
}

static tg_op op_new(void *ctx, uint32_t worker, tg_done_fn *done, void *done_ctx)
{
    (void)ctx;
    (void)worker; // the one that calls
    tg_op_spec spec = {.done = done, .ctx = done_ctx};
    return tg_op_new(&spec);
}

static tg_offer *offered(tg_version *v, const char *id)
{
    for (tg_list *n = v->offers.next; n != &v->offers; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->kind == TG_OFFER_STORE &&
            (strcmp(id, TG_STORE_ANY) == 0 || strcmp(o->id, id) == 0))
            return o;
    }
    return NULL;
}

int tg_store_take(tg_version *v, tg_error *e)
{
    tg_runtime *rt = v->rt;
    const tg_offer *o =
        rt->store_id[0] != '\0' && !rt->store_set ? offered(v, rt->store_id) : NULL;
    if (o == NULL)
        return 0;
    memcpy(rt->store_id, o->id, sizeof(rt->store_id));
    rt->store = (tg_store){.size = sizeof(rt->store),
                           .flags = o->store.flags,
                           .id = rt->store_id,
                           .commit = store_commit,
                           .scan = store_scan};
    rt->store_seat = o->seat;
    atomic_store(&rt->store_coming, (tg_offer *)(uintptr_t)o);
    scanned = o;
    int rc = tg_hub_set_store(rt->hub, &rt->store, op_new, rt, e);
    scanned = NULL;
    if (rc < 0) {
        atomic_store(&rt->store_coming, NULL);
        tg_error_prefix(e, "store '%s' could not be read", rt->store_id);
        return rc;
    }
    rt->store_reads = o->store.read != NULL;
    rt->store_set = true;
    return 0;
}

const char *tg_runtime_store_missing(const tg_runtime *rt)
{
    return rt->store_id[0] != '\0' && !rt->store_set ? rt->store_id : NULL;
}
