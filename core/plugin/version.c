// SPDX-License-Identifier: Apache-2.0
// A version moves STAGED → LIVE → DRAINING → RETIRED. Everything on the way up can fail and
// then leaves nothing; nothing on the way down can. Each worker ends its own part when its last
// connection and wait there is gone, looked at when a loop turn ends, so never beneath a
// callback of that version. The last worker lets go of the version; what else holds it (a
// blocking job, a call from a foreign thread) does so in its time, and the control thread
// undoes the registrations and unloads.
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/options.h"
#include "plugin/call.h"
#include "plugin/op.h"
#include "plugin/registry.h"

#define WORKS_POLL_US 2000

tg_version *tg_version_check(tg_self *v)
{
    assert(v != NULL && v->magic == TG_VERSION_MAGIC);
    return v;
}

static void part_init(tg_part *p, tg_version *v)
{
    tg_list_init(&p->timers);
    tg_list_init(&p->polls);
    tg_list_init(&p->works);
    tg_list_init(&p->calls);
    tg_list_init(&p->ops);
    tg_list_init(&p->provides);
    tg_list_init(&p->ending);
    p->self = v;
}

tg_version *tg_version_new(tg_plug *p)
{
    size_t size = sizeof(tg_version) + p->rt->nworkers * sizeof(tg_part);
    tg_version *v = aligned_alloc(_Alignof(tg_version), size);
    if (v == NULL)
        return NULL;
    memset(v, 0, size);
    v->magic = TG_VERSION_MAGIC;
    v->rt = p->rt;
    v->plug = p;
    v->number = ++p->last_number;
    v->since = tg_clock_ms();
    v->config.kind = TG_MAP;
    atomic_init(&v->holds, 1);
    pthread_mutex_init(&v->lock, NULL);
    tg_list_init(&v->offers);
    tg_list_init(&v->privates);
    for (uint32_t i = 0; i < p->rt->nworkers; i++)
        part_init(&v->part[i], v);
    tg_list_add(&p->versions, &v->node);
    return v;
}

void tg_version_free(tg_version *v)
{
    assert(tg_list_empty(&v->offers));
    tg_list_del(&v->node);
    tg_arena_free(&v->arena);
    pthread_mutex_destroy(&v->lock);
    v->magic = 0;
    free(v);
}

void tg_version_error(tg_version *v, tg_slice text)
{
    pthread_mutex_lock(&v->lock);
    size_t n = text.len < sizeof(v->last_error) ? text.len : sizeof(v->last_error) - 1;
    if (n > 0)
        memcpy(v->last_error, text.at, n);
    v->last_error[n] = '\0';
    pthread_mutex_unlock(&v->lock);
}

void tg_version_last_error(tg_version *v, char *out, size_t len)
{
    pthread_mutex_lock(&v->lock);
    size_t n = strlen(v->last_error);
    n = n < len ? n : len - 1;
    memcpy(out, v->last_error, n);
    out[n] = '\0';
    pthread_mutex_unlock(&v->lock);
}

void tg_version_hold(tg_version *v)
{
    int64_t before = atomic_fetch_add(&v->holds, 1);
    assert(before > 0);
    (void)before;
}

static void reap(void *rt)
{
    tg_versions_reap(rt);
}

void tg_version_drop(tg_version *v)
{
    tg_runtime *rt = v->rt; // `v` may be gone after the count fell
    int64_t before = atomic_fetch_sub(&v->holds, 1);
    assert(before > 0);
    // A runtime that stops reaps by itself: its control loop may never turn again.
    if (before == 1 && !atomic_load(&rt->stopping) &&
        tg_control_run(rt->workers, reap, rt) < 0)
        tg_log(PLUGIN, ERROR,
               "out of memory: a retired version stays until the next reload");
}

// Failures: what the plugin said goes before what the code means.
static int explain(tg_version *v, int code, const char *step, tg_error *e)
{
    char said[400];
    tg_version_last_error(v, said, sizeof(said));
    return tg_error_set(e, code, "plugin '%s' %s: %s failed: %s", v->plug->id, v->version,
                        step, said[0] != '\0' ? said : tg_error_text(code));
}

int tg_version_configure(tg_version *v, tg_error *e)
{
    const tg_plug *p = v->plug;
    bool empty = p->config == NULL || p->config->kind == TG_NIL ||
                 (p->config->kind == TG_MAP && p->config->map.count == 0) ||
                 (p->config->kind == TG_LIST && p->config->list.count == 0);
    if (v->schema == NULL && !empty)
        return tg_error_set(e, TG_E_INVAL, "%s: plugin '%s' has no options", p->where,
                            p->id);
    if (v->schema == NULL)
        return 0;
    return tg_schema_apply(v->schema, p->config, &v->arena, p->file, p->where, &v->config,
                           e);
}

int tg_version_load(tg_version *v, tg_error *e)
{
    v->loading = true;
    int rc = tg_code_load(v);
    v->loading = false;
    if (rc >= 0) {
        v->loaded = true;
        return 0;
    }
    tg_offers_free(v);
    return explain(v, rc, "load", e);
}

static int start_here(tg_worker *w, void *ctx)
{
    tg_version *v = ctx;
    uint32_t at = tg_worker_index(w);
    int rc = tg_code_start(v, at);
    if (rc >= 0)
        atomic_store(&v->part[at].stage, TG_STAGE_STARTED);
    return rc < 0 ? rc : 0;
}

static void end_handles(tg_version *v, tg_local *here)
{
    tg_timers_end(v, here);
    tg_polls_end(v, here);
    tg_calls_end_version(v);
    tg_ops_end_version(v);
    tg_list_del(&v->part[here->index].ending);
}

static int unstart_here(tg_worker *w, void *ctx)
{
    tg_version *v = ctx;
    uint32_t at = tg_worker_index(w);
    if (atomic_load(&v->part[at].stage) == TG_STAGE_STARTED)
        tg_code_stop(v, at);
    atomic_store(&v->part[at].stage, TG_STAGE_STOPPED);
    end_handles(v, tg_here());
    return 0;
}

static int cancel_here(tg_worker *w, void *ctx)
{
    (void)w;
    return tg_works_cancel(ctx, tg_here()) ? 0 : 1;
}

void tg_version_unstart(tg_version *v)
{
    while (tg_workers_call(v->rt->workers, cancel_here, v) != 0)
        usleep(WORKS_POLL_US);
    tg_workers_call(v->rt->workers, unstart_here, v);
}

int tg_version_start(tg_version *v, tg_error *e)
{
    int rc = tg_workers_call(v->rt->workers, start_here, v);
    if (rc >= 0)
        return 0;
    explain(v, rc, "start", e);
    tg_version_unstart(v);
    return rc;
}

typedef struct swap {
    tg_version *from, *to;
} swap;

static void leave_seats(tg_version *v, uint32_t worker)
{
    for (tg_list *n = v->offers.next; n != &v->offers; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->seat != NULL && o->seat->at[worker] == o)
            o->seat->at[worker] = NULL;
    }
}

static int commit_here(tg_worker *w, void *ctx)
{
    swap *s = ctx;
    uint32_t at = tg_worker_index(w);
    for (tg_list *n = s->to->offers.next; n != &s->to->offers; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->seat != NULL)
            o->seat->at[at] = o;
    }
    if (s->from == NULL)
        return 0;
    leave_seats(s->from, at);
    atomic_store(&s->from->part[at].stage, TG_STAGE_DRAINING);
    tg_code_drain(s->from, at);
    tg_version_touch(s->from);
    return 0;
}

static void commit_control(tg_version *to, tg_version *from)
{
    pthread_mutex_lock(&to->rt->lock);
    for (tg_list *n = to->offers.next; n != &to->offers; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->seat != NULL)
            o->seat->control = o;
    }
    for (tg_list *n = from != NULL ? from->offers.next : NULL;
         n != NULL && n != &from->offers; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->seat != NULL && o->seat->control == o)
            o->seat->control = NULL;
    }
    pthread_mutex_unlock(&to->rt->lock);
}

void tg_version_commit(tg_version *v, tg_version *old)
{
    swap s = {old, v};
    commit_control(v, old);
    atomic_store(&v->state, TG_VERSION_LIVE);
    v->since = tg_clock_ms();
    v->plug->live = v;
    if (old != NULL)
        atomic_store(&old->state, TG_VERSION_DRAINING);
    tg_workers_call(v->rt->workers, commit_here, &s);
}

static void finish(tg_version *v)
{
    if (atomic_exchange(&v->state, TG_VERSION_RETIRED) != TG_VERSION_STAGED)
        tg_log(PLUGIN, INFO, "plugin %s %s (version %u) is gone", v->plug->id, v->version,
               v->number);
    tg_offers_free(v);
    if (v->loaded)
        tg_code_unload(v);
    tg_code_close(v);
    if (v->plug->live == v)
        v->plug->live = NULL;
    tg_version_free(v);
}

// Its stop may have left a job on the pool: then that one's end frees it.
void tg_version_abandon(tg_version *v)
{
    tg_runtime *rt = v->rt;
    atomic_fetch_sub(&v->holds, 1);
    tg_versions_reap(rt);
}

static void reap_plug(tg_plug *p)
{
    for (tg_list *n = p->versions.next, *next; n != &p->versions; n = next) {
        next = n->next;
        tg_version *v = TG_OWNER(n, tg_version, node);
        if (atomic_load(&v->holds) == 0)
            finish(v);
    }
}

void tg_versions_reap(tg_runtime *rt)
{
    for (tg_list *n = rt->plugs.prev, *prev; n != &rt->plugs; n = prev) {
        prev = n->prev;
        reap_plug(TG_OWNER(n, tg_plug, node));
    }
}

void tg_version_touch(tg_version *v)
{
    tg_part *p = tg_part_here(v);
    if (atomic_load_explicit(&p->stage, memory_order_relaxed) != TG_STAGE_DRAINING)
        return;
    tg_list_del(&p->ending);
    tg_list_add(&tg_here()->ending, &p->ending);
}

void tg_version_stop_here(tg_version *v, tg_local *here)
{
    tg_part *p = &v->part[here->index];
    int stage = atomic_load(&p->stage);
    if (stage == TG_STAGE_NONE || stage == TG_STAGE_STOPPED)
        return;
    tg_wheel_del(here->wheel, &p->grace);
    tg_code_stop(v, here->index);
    atomic_store(&p->stage, TG_STAGE_STOPPED);
    end_handles(v, here);
    leave_seats(v, here->index);
    uint32_t all = v->rt->nworkers; // behind the count, `v` is the last worker's alone
    if (atomic_fetch_add(&v->stopped, 1) + 1 == all)
        tg_version_drop(v);
}

static void on_grace(tg_alarm *a)
{
    tg_version *v = TG_OWNER(a, tg_part, grace)->self;
    tg_log(PLUGIN, WARN, "plugin %s %s (version %u): what it still waited for is given up",
           v->plug->id, v->version, v->number);
    tg_works_cancel(v, tg_here());
    tg_calls_end_version(v);
    tg_ops_end_version(v);
    tg_version_touch(v); // jobs that run come home first
}

static void end_part(tg_part *p, tg_local *here)
{
    if (atomic_load(&p->stage) != TG_STAGE_DRAINING ||
        atomic_load_explicit(&p->conns, memory_order_relaxed) > 0)
        return;
    if (p->waits == 0)
        tg_version_stop_here(p->self, here);
    else if (!tg_alarm_armed(&p->grace))
        tg_wheel_add(here->wheel, &p->grace, here->rt->waits_ms, on_grace);
}

void tg_versions_end_turn(tg_local *here)
{
    while (!tg_list_empty(&here->ending)) {
        tg_part *p = TG_OWNER(here->ending.next, tg_part, ending);
        tg_list_del(&p->ending);
        end_part(p, here);
    }
}
