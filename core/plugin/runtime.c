// SPDX-License-Identifier: Apache-2.0
// Wiring: workers, the hub's shards on them, and this room's part of each. A turn of a worker
// ends with completions, then with versions that are done here, then with the hub's mails.
//
// Stopping goes the other way and in steps that each finish on all workers before the next:
// nobody new, sessions told and connections closing, connections gone or given up, the store's
// commits done, plugins stopped, threads joined with all their mails run, then the shards.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/metric.h"
#include "plugin/devices.h"
#include "plugin/auth.h"
#include "plugin/call.h"
#include "plugin/listeners.h"
#include "plugin/loader.h"
#include "plugin/memory.h"
#include "plugin/op.h"
#include "plugin/plugins.h"

#define MAILBOX_BYTES (32u << 20)
#define TURN_ROUNDS 4
#define POLL_US 2000

static tg_runtime *check(const tg_runtime *rt)
{
    assert(rt != NULL && rt->magic == TG_RUNTIME_MAGIC);
    return (tg_runtime *)rt;
}

static bool send_mail(void *net, uint32_t worker, tg_mail *m, bool control)
{
    tg_runtime *rt = net;
    tg_mailbox *box = tg_worker_mailbox(tg_workers_at(rt->workers, worker));
    if (!control)
        return tg_mailbox_data(box, m);
    tg_mailbox_control(box, m);
    return true;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void on_turn(tg_worker *w, void *ctx)
{
    (void)ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    if (here == NULL)
        return;
    bool any = true;
    for (int round = 0; any && round < TURN_ROUNDS; round++) {
        any = tg_ops_turn(here);
        if (here->shard != NULL)
            tg_shard_turn(here->shard);
    }
    tg_versions_end_turn(here);
    if (tg_ops_waiting(here))
        tg_worker_run(w, nothing, NULL); // and so there is another turn
}

// Opening.

static int copy_texts(tg_runtime *rt, const tg_runtime_config *c)
{
    rt->plugin_path = strdup(c->plugin_path != NULL ? c->plugin_path : "");
    rt->state_dir = strdup(c->state_dir != NULL ? c->state_dir : "/tmp");
    if (c->store.len >= sizeof(rt->store_id))
        return TG_E_INVAL;
    if (c->store.len > 0)
        memcpy(rt->store_id, c->store.at, c->store.len);
    return rt->plugin_path != NULL && rt->state_dir != NULL ? 0 : TG_E_NOMEM;
}

static void init_plain(tg_runtime *rt, const tg_runtime_config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = c->workers != 0 ? c->workers : cores > 0 ? (uint32_t)cores : 1;
    rt->magic = TG_RUNTIME_MAGIC;
    rt->nworkers = n < TG_WORKERS_MAX ? n : TG_WORKERS_MAX;
    rt->kv_bytes = c->kv_bytes;
    rt->waits_ms = TG_WAITS_MS;
    rt->slow_ms = c->slow_callback_ms;
    rt->sys_readers = c->sys_readers;
    rt->host = tg_host_table;
    rt->host.workers = rt->nworkers;
    tg_list_init(&rt->plugs);
    tg_list_init(&rt->engines);
    tg_list_init(&rt->listenings);
    pthread_mutex_init(&rt->lock, NULL);
    pthread_mutex_init(&rt->idle_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rt->idle, &attr);
    pthread_condattr_destroy(&attr);
}

static int make_hub(tg_runtime *rt, const tg_runtime_config *c, tg_error *e)
{
    tg_hub_config hub = {.workers = rt->nworkers,
                         .limits = c->hub,
                         .send = send_mail,
                         .net = rt,
                         .on_away = tg_devices_away,
                         .away_ctx = rt};
    return tg_hub_new(&hub, &rt->hub, e);
}

int tg_runtime_new(const tg_runtime_config *config, tg_runtime **out, tg_error *e)
{
    tg_runtime *rt = calloc(1, sizeof(*rt));
    if (rt == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    init_plain(rt, config);
    tg_metrics_open(rt->nworkers +
                    1); // BUSY when the process had a runtime before: as good
    size_t bytes = config->mailbox_bytes != 0 ? config->mailbox_bytes : MAILBOX_BYTES;
    rt->memory = tg_memory_new();
    int rc = rt->memory != NULL ? copy_texts(rt, config) : TG_E_NOMEM;
    if (rc < 0)
        tg_error_set(e, rc, "%s", tg_error_text(rc));
    if (rc == 0)
        rc = tg_workers_new(rt->nworkers, bytes, &rt->workers, e);
    if (rc == 0)
        rc = make_hub(rt, config, e);
    if (rc == 0)
        rc = tg_auth_open(rt, config->auth, config->users, e);
    if (rc == 0)
        rc = tg_files_open(rt, config->files, e);
    if (rc < 0) {
        tg_runtime_free(rt);
        return rc;
    }
    rt->pauses = tg_metric_add_def(TG_COUNTER, "tidegate_publish_pauses_total", "",
                                   "Times that a publisher was not read for a while, since "
                                   "a worker could not keep up.");
    tg_workers_on_turn(rt->workers, on_turn, rt);
    *out = rt;
    return 0;
}

static void on_clear(void *ctx)
{
    tg_lines_go(ctx);
}

static tg_local *local_new(tg_runtime *rt, tg_worker *w)
{
    tg_local *here = calloc(1, sizeof(*here));
    if (here == NULL)
        return NULL;
    here->magic = TG_LOCAL_MAGIC;
    here->index = tg_worker_index(w);
    here->rt = rt;
    here->worker = w;
    here->wheel = tg_worker_wheel(w);
    tg_slots_init(&here->lines, here->index);
    tg_slots_init(&here->timers, here->index);
    tg_slots_init(&here->polls, here->index);
    tg_list_init(&here->held);
    tg_list_init(&here->ending);
    tg_list_init(&here->spare_calls);
    return here;
}

static int open_here(tg_worker *w, void *ctx)
{
    tg_runtime *rt = ctx;
    tg_local *here = local_new(rt, w);
    if (here == NULL)
        return TG_E_NOMEM;
    rt->locals[here->index] = here;
    tg_crash_stack(here);
    int rc = tg_ops_open(here);
    if (rc == 0)
        rc = tg_shard_open(rt->hub, here->index, here->wheel, &here->shard);
    if (rc < 0)
        return rc;
    tg_shard_on_clear(here->shard, on_clear, here);
    tg_worker_set(w, TG_PLACE_HUB, here->shard);
    tg_worker_set(w, TG_PLACE_PLUGIN, here);
    tg_files_begin(here);
    return 0;
}

static int start_linked(tg_runtime *rt, tg_error *e)
{
    for (tg_list *n = rt->plugs.next; n != &rt->plugs; n = n->next) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        int rc = tg_version_start(p->live, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int tg_runtime_start(tg_runtime *rt, tg_error *e)
{
    rt->started = tg_clock_ms();
    int rc = tg_workers_start(check(rt)->workers, e);
    if (rc < 0)
        return rc;
    rt->running = true;
    rc = tg_workers_call(rt->workers, open_here, rt);
    if (rc < 0)
        return tg_error_set(e, rc, "a worker could not be set up: %s", tg_error_text(rc));
    tg_crash_open(rt);
    return start_linked(rt, e);
}

// Stopping.

static void shutdown_line(void *ctx, tg_net_conn *c)
{
    (void)ctx;
    tg_line *l = tg_net_user(c);
    if (l->magic == TG_LINE_MAGIC)
        tg_line_shutdown(l);
}

static int shutdown_here(tg_worker *w, void *ctx)
{
    (void)ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    if (here == NULL)
        return 0;
    here->closing = true;
    tg_net_each(w, shutdown_line, NULL);
    return 0;
}

static struct timespec in_ms(uint32_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void wait_for_lines(tg_runtime *rt, uint32_t deadline_ms)
{
    struct timespec until = in_ms(deadline_ms);
    pthread_mutex_lock(&rt->idle_lock);
    while (atomic_load(&rt->lines) > 0)
        if (pthread_cond_timedwait(&rt->idle, &rt->idle_lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&rt->idle_lock);
}

// Lines that outlived the deadline lose their adapter now; the network drops them soon after.
static int end_lines_here(tg_worker *w, void *ctx)
{
    (void)ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    for (uint32_t i = 0; here != NULL && i < here->lines.count; i++)
        if (here->lines.gen[i] & 1) // in use
            tg_line_end(here->lines.at[i], TG_E_SHUTDOWN);
    return 0;
}

static int flush_here(tg_worker *w, void *ctx)
{
    (void)ctx;
    on_turn(w, NULL);
    return 0;
}

static int committing_here(tg_worker *w, void *ctx)
{
    (void)ctx;
    const tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    return here != NULL && here->shard != NULL && tg_shard_committing(here->shard);
}

// The store's plugin must not stop before it has what was given to it, unless it is too slow.
static void wait_for_commits(tg_runtime *rt, uint64_t end_ms)
{
    while (tg_workers_call(rt->workers, committing_here, NULL) != 0 && now_ms() < end_ms)
        usleep(POLL_US);
}

static int cancel_works_here(tg_worker *w, void *ctx)
{
    tg_runtime *rt = ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    bool done = true;
    if (here == NULL)
        return 0;
    here->no_works = true;
    tg_files_end(here);
    for (tg_list *n = rt->plugs.next; n != &rt->plugs; n = n->next) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        for (tg_list *m = p->versions.next; m != &p->versions; m = m->next)
            done &= tg_works_cancel(TG_OWNER(m, tg_version, node), here);
    }
    return done ? 0 : 1;
}

static int stop_versions_here(tg_worker *w, void *ctx)
{
    tg_runtime *rt = ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    if (here == NULL)
        return 0;
    for (tg_list *n = rt->plugs.prev; n != &rt->plugs; n = n->prev) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        for (tg_list *m = p->versions.prev; m != &p->versions; m = m->prev)
            tg_version_stop_here(TG_OWNER(m, tg_version, node), here);
    }
    tg_ops_close(here);
    return 0;
}

static int close_shard_here(tg_worker *w, void *ctx)
{
    (void)ctx;
    tg_local *here = tg_worker_get(w, TG_PLACE_PLUGIN);
    if (here == NULL || here->shard == NULL)
        return 0;
    tg_shard *shard = here->shard;
    here->shard = NULL;
    tg_shard_close(shard);
    return 0;
}

void tg_runtime_stop(tg_runtime *rt, uint32_t deadline_ms)
{
    if (!check(rt)->running || atomic_exchange(&rt->stopping, true))
        return;
    uint64_t end = now_ms() + deadline_ms;
    tg_listenings_close(rt);
    tg_workers_call(rt->workers, shutdown_here, NULL);
    wait_for_lines(rt, deadline_ms);
    tg_workers_call(rt->workers, end_lines_here, NULL);
    // What the ends of sessions have published, and below what that makes receivers store.
    tg_workers_call(rt->workers, flush_here, NULL);
    while (tg_workers_call(rt->workers, cancel_works_here, rt) != 0)
        usleep(POLL_US); // a job that runs goes first: its plugin is still needed
    tg_workers_call(rt->workers, flush_here, NULL);
    wait_for_commits(rt, end);
    tg_workers_call(rt->workers, stop_versions_here, rt);
    uint64_t now = now_ms();
    tg_workers_stop(rt->workers, now < end ? (uint32_t)(end - now) : 0);
    tg_workers_join(rt->workers);
    tg_crash_close(rt);
    tg_versions_reap(rt);
    tg_workers_call(rt->workers, close_shard_here, NULL);
    rt->running = false;
}

static void scratch_free(tg_scratch *s)
{
    while (s != NULL) {
        tg_scratch *older = s->older;
        free(s);
        s = older;
    }
}

static void local_free(tg_local *here)
{
    if (here == NULL)
        return;
    tg_calls_close(here);
    tg_loose_free(here);
    tg_slots_free(&here->lines);
    tg_slots_free(&here->timers);
    tg_slots_free(&here->polls);
    tg_map_free(&here->seats);
    free(here->alt_stack);
    scratch_free(here->scratch);
    here->magic = 0;
    free(here);
}

// Linked-in plugins of a runtime that was never started.
static void drop_unstarted(tg_runtime *rt)
{
    for (tg_list *n = rt->plugs.next; n != &rt->plugs; n = n->next) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        for (tg_list *m = p->versions.next; m != &p->versions; m = m->next)
            atomic_store(&TG_OWNER(m, tg_version, node)->holds, 0);
    }
    tg_versions_reap(rt);
}

void tg_runtime_free(tg_runtime *rt)
{
    if (rt == NULL)
        return;
    if (check(rt)->running) // its start failed half-way
        tg_runtime_stop(rt, 0);
    atomic_store(&rt->stopping, true);
    tg_workers_free(rt->workers); // mails that were left run now, the control thread's too
    drop_unstarted(rt);
    tg_plugins_free(rt);
    tg_engines_free(rt);
    if (rt->hub != NULL)
        tg_hub_free(rt->hub);
    for (uint32_t i = 0; i < rt->nworkers; i++)
        local_free(rt->locals[i]);
    tg_auth_close(rt);
    tg_listenings_free(rt);
    tg_seats_free(rt);
    tg_kvs_free(rt);
    tg_spools_free(rt);
    tg_memory_free(rt->memory);
    tg_files_free(rt->files);
    pthread_cond_destroy(&rt->idle);
    pthread_mutex_destroy(&rt->idle_lock);
    pthread_mutex_destroy(&rt->lock);
    free(rt->plugin_path);
    free(rt->state_dir);
    rt->magic = 0;
    free(rt);
}

// Asking.

tg_workers *tg_runtime_workers(tg_runtime *rt)
{
    return check(rt)->workers;
}

tg_hub *tg_runtime_hub(tg_runtime *rt)
{
    return check(rt)->hub;
}

uint64_t tg_runtime_started(const tg_runtime *rt)
{
    return check(rt)->started;
}

int tg_runtime_annotate(tg_runtime *rt, const char *adapter, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx,
                        tg_error *e)
{
    tg_offer *o = tg_seat_hold(check(rt), TG_OFFER_ADAPTER, tg_str(adapter));
    if (o == NULL)
        return tg_error_set(e, TG_E_NOTFOUND, "no adapter '%s' is loaded", adapter);
    int rc = TG_E_UNSUPPORTED;
    tg_call_begin(o->self, "annotate");
    if (o->adapter.annotate != NULL)
        rc = o->adapter.annotate(o->given, bytes, emit, ctx);
    tg_call_end();
    if (rc == TG_E_UNSUPPORTED)
        tg_error_set(e, rc, "adapter '%s' does not explain its frames", adapter);
    else if (rc < 0)
        tg_version_last_error(o->self, e != NULL ? e->message : (char[1]){0},
                              e != NULL ? sizeof(e->message) : 1);
    if (e != NULL && rc < 0)
        e->code = rc;
    tg_version_drop(o->self);
    return rc;
}
