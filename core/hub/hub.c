// SPDX-License-Identifier: Apache-2.0
// One hub a process: what all shards share. Everything in it is either set before they open,
// or atomic, or has a lock of its own.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/metric.h"
#include "hub/internal.h"

static uint64_t system_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void or_default(uint32_t *limit, uint32_t otherwise)
{
    if (*limit == 0)
        *limit = otherwise;
}

static void fill_limits(tg_hub_limits *l)
{
    or_default(&l->inflight, 32);
    or_default(&l->queue_messages, 1000);
    or_default(&l->queue_bytes, 1u << 20);
    or_default(&l->rx_inflight, UINT16_MAX);
    or_default(&l->subscriptions, UINT32_MAX);
    or_default(&l->expiry_max_s, TG_EXPIRY_NEVER);
    or_default(&l->topic_levels, 128);
    if (l->topic_levels > TG_TRIE_LEVELS - 1)
        l->topic_levels = TG_TRIE_LEVELS - 1;
}

static const char *const DROPS[TG_DROP_COUNT] = {
    [TG_DROP_QUEUE_FULL] = "queue_full", [TG_DROP_QUEUE_BYTES] = "queue_bytes",
    [TG_DROP_QUEUE_AGE] = "queue_age",   [TG_DROP_EXPIRED] = "expired",
    [TG_DROP_OFFLINE] = "offline_qos0",  [TG_DROP_LINK] = "link",
    [TG_DROP_REFUSED] = "refused",       [TG_DROP_SESSION_END] = "session_end",
    [TG_DROP_NOMEM] = "no_memory",       [TG_DROP_STORE] = "store",
};

const char *tg_drop_name(tg_drop why)
{
    return DROPS[why];
}

static void define_by_qos(tg_hub_metrics *m, int qos)
{
    char labels[64];
    for (int i = 0; i < TG_DROP_COUNT; i++) {
        snprintf(labels, sizeof(labels), "reason=\"%s\",qos=\"%d\"", DROPS[i], qos);
        m->dropped[i][qos] =
            tg_metric_add_def(TG_COUNTER, "tidegate_messages_dropped_total", labels,
                              "Messages a session did not get.");
    }
    snprintf(labels, sizeof(labels), "qos=\"%d\"", qos);
    m->published[qos] = tg_metric_add_def(TG_COUNTER, "tidegate_messages_published_total",
                                          labels, "Messages routed.");
    m->delivered[qos] = tg_metric_add_def(TG_COUNTER, "tidegate_messages_delivered_total",
                                          labels, "Messages given to connections.");
}

static void define_metrics(tg_hub_metrics *m)
{
    const struct {
        int *id;
        tg_metric_kind kind;
        const char *name, *help;
    } all[] = {
        {&m->sessions, TG_GAUGE, "tidegate_sessions", "Sessions."},
        {&m->connected, TG_GAUGE, "tidegate_sessions_connected",
         "Sessions with a connection."},
        {&m->takeovers, TG_COUNTER, "tidegate_session_takeovers_total",
         "Sessions taken over from another connection."},
        {&m->subscriptions, TG_GAUGE, "tidegate_subscriptions",
         "Subscriptions of all sessions."},
        {&m->shared, TG_GAUGE, "tidegate_subscriptions_shared", "Those in $share groups."},
        {&m->retained, TG_GAUGE, "tidegate_retained_messages", "Retained messages."},
        {&m->retained_bytes, TG_GAUGE, "tidegate_retained_bytes", "Memory of them."},
        {&m->waiting, TG_GAUGE, "tidegate_queued_messages", "Waiting for their sessions."},
        {&m->waiting_bytes, TG_GAUGE, "tidegate_queued_bytes",
         "Topics, properties and payloads of those that wait."},
        {&m->inflight, TG_GAUGE, "tidegate_inflight_messages",
         "QoS 1 and 2 on the way to their sessions."},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i].id = tg_metric_add_def(all[i].kind, all[i].name, "", all[i].help);
    for (int qos = 0; qos < 3; qos++)
        define_by_qos(m, qos);
}

static void flush(const int ids[3], int64_t counts[3])
{
    for (int qos = 0; qos < 3; qos++)
        if (counts[qos] != 0)
            tg_metric_add(ids[qos], counts[qos]);
}

static void flush_one(int id, int64_t n)
{
    if (n != 0)
        tg_metric_add(id, n);
}

void tg_tally_flush(tg_shard *sh)
{
    const tg_hub_metrics *m = &sh->hub->metrics;
    tg_tally *t = sh->tally;
    flush(m->published, t->published);
    flush(m->delivered, t->delivered);
    flush_one(m->waiting, t->waiting);
    flush_one(m->waiting_bytes, t->waiting_bytes);
    flush_one(m->inflight, t->inflight);
    *t = (tg_tally){0};
}

int tg_hub_new(const tg_hub_config *config, tg_hub **out, tg_error *e)
{
    assert(config->workers > 0 && config->workers <= 64 && config->send != NULL);
    tg_hub *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return tg_error_set(e, TG_E_NOMEM, "hub: out of memory");
    h->config = *config;
    if (h->config.clock == NULL)
        h->config.clock = system_ms;
    fill_limits(&h->config.limits);
    define_metrics(&h->metrics);
    pthread_mutex_init(&h->lock, NULL);
    tg_list_init(&h->abandoned);
    h->epoch = tg_epoch_new(config->workers);
    h->clients = tg_clients_new();
    h->whos = tg_whos_new();
    h->shards = calloc(config->workers, sizeof(tg_shard *));
    h->tallies = aligned_alloc(_Alignof(tg_tally), config->workers * sizeof(tg_tally));
    if (h->tallies != NULL)
        memset(h->tallies, 0, config->workers * sizeof(tg_tally));
    h->restored = calloc(config->workers, sizeof(tg_buf));
    if (h->epoch == NULL || h->clients == NULL || h->whos == NULL || h->shards == NULL ||
        h->tallies == NULL || h->restored == NULL ||
        tg_router_init(&h->router, h->epoch) < 0 || tg_retained_new(h) < 0) {
        tg_hub_free(h);
        return tg_error_set(e, TG_E_NOMEM, "hub: out of memory");
    }
    *out = h;
    return 0;
}

void tg_hub_free(tg_hub *h)
{
    if (h == NULL)
        return;
    for (uint32_t i = 0; h->shards != NULL && i < h->config.workers; i++)
        assert(h->shards[i] == NULL);
    tg_claims_free(h);
    tg_clients_free(h->clients, tg_sess_free);
    if (h->router.epoch != NULL)
        tg_router_free(&h->router);
    tg_retained_free(h);
    tg_epoch_free(h->epoch);
    tg_whos_free(h->whos); // the epoch held the last sessions
    for (uint32_t i = 0; h->restored != NULL && i < h->config.workers; i++)
        tg_buf_free(&h->restored[i]);
    free(h->restored);
    free(h->shards);
    free(h->tallies);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static void adopt_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    if (tg_mail_shard(m) != NULL)
        tg_restore_adopt(tg_mail_shard(m));
    free(m);
}

// Shards that are open already take theirs as soon as they look at their mail.
static int tell_shards(tg_hub *h)
{
    for (uint32_t i = 0; i < h->config.workers; i++) {
        if (h->shards[i] == NULL)
            continue;
        tg_hub_mail *m = calloc(1, sizeof(*m));
        if (m == NULL)
            return TG_E_NOMEM;
        *m = (tg_hub_mail){.mail.run = adopt_run, .hub = h, .to = i, .from = i};
        h->config.send(h->config.net, i, &m->mail, true);
    }
    return 0;
}

int tg_hub_set_store(tg_hub *h, const tg_store *store, tg_hub_op_fn *op_new, void *ctx,
                     tg_error *e)
{
    h->store = store;
    h->stored = store != NULL;
    h->durable = store != NULL && (store->flags & TG_STORE_DURABLE) != 0;
    h->op_new = op_new;
    h->op_ctx = ctx;
    if (store == NULL)
        return 0;
    assert(op_new != NULL);
    pthread_mutex_lock(&h->lock);
    int rc = tg_restore(h, e);
    pthread_mutex_unlock(&h->lock);
    if (rc == 0 && tell_shards(h) < 0)
        rc = tg_error_set(e, TG_E_NOMEM, "hub: out of memory");
    return rc;
}
