// SPDX-License-Identifier: Apache-2.0
// One hub a process: what all shards share. Everything in it is either set before they open,
// or atomic, or has a lock of its own.
#include <assert.h>
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

static void define_metrics(tg_hub_metrics *m)
{
    static const char *const reasons[TG_DROP_COUNT] = {
        [TG_DROP_QUEUE_FULL] = "reason=\"queue_full\"",
        [TG_DROP_QUEUE_BYTES] = "reason=\"queue_bytes\"",
        [TG_DROP_QUEUE_AGE] = "reason=\"queue_age\"",
        [TG_DROP_EXPIRED] = "reason=\"expired\"",
        [TG_DROP_OFFLINE] = "reason=\"offline_qos0\"",
        [TG_DROP_LINK] = "reason=\"link\"",
        [TG_DROP_REFUSED] = "reason=\"refused\"",
        [TG_DROP_SESSION_END] = "reason=\"session_end\"",
        [TG_DROP_NOMEM] = "reason=\"no_memory\"",
        [TG_DROP_STORE] = "reason=\"store\"",
    };
    for (int i = 0; i < TG_DROP_COUNT; i++)
        m->dropped[i] = tg_metric_add_def(TG_COUNTER, "tidegate_messages_dropped_total",
                                          reasons[i], "Messages a session did not get");
    m->sessions = tg_metric_add_def(TG_GAUGE, "tidegate_sessions", "", "Sessions");
    m->connected = tg_metric_add_def(TG_GAUGE, "tidegate_sessions_connected", "",
                                     "Sessions with a connection");
    m->subscriptions = tg_metric_add_def(TG_GAUGE, "tidegate_subscriptions", "",
                                         "Subscriptions of all sessions");
    m->retained =
        tg_metric_add_def(TG_GAUGE, "tidegate_retained_messages", "", "Retained messages");
    m->takeovers = tg_metric_add_def(TG_COUNTER, "tidegate_session_takeovers_total", "",
                                     "Sessions taken over from another connection");
    m->published = tg_metric_add_def(TG_COUNTER, "tidegate_messages_published_total", "",
                                     "Messages routed");
    m->delivered = tg_metric_add_def(TG_COUNTER, "tidegate_messages_delivered_total", "",
                                     "Messages given to connections");
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
    h->shards = calloc(config->workers, sizeof(tg_shard *));
    h->restored = calloc(config->workers, sizeof(tg_buf));
    if (h->epoch == NULL || h->clients == NULL || h->shards == NULL ||
        h->restored == NULL || tg_router_init(&h->router, h->epoch) < 0 ||
        tg_retained_new(h) < 0) {
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
    for (uint32_t i = 0; h->restored != NULL && i < h->config.workers; i++)
        tg_buf_free(&h->restored[i]);
    free(h->restored);
    free(h->shards);
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
