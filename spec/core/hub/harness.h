// SPDX-License-Identifier: Apache-2.0
/// A world of shards on one thread: mails lie in lanes until the test, or a seeded generator,
/// says which is next. So each order that threads could bring about can be had on purpose, and
/// a failure comes again with its seed.
#ifndef TG_SPEC_HUB_HARNESS_H
#define TG_SPEC_HUB_HARNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "hub/hub.h"

#include "../../support/check.h"

#define WORKERS_MAX 4
#define UNUSED __attribute__((unused))

typedef struct lane {
    tg_mail *first, *last;
} lane;

typedef struct world {
    uint32_t workers;
    tg_hub *hub;
    tg_shard *shard[WORKERS_MAX];
    tg_wheel *wheel[WORKERS_MAX];
    lane lanes[WORKERS_MAX][WORKERS_MAX][2]; // to, from, control
    uint32_t here; // the worker that runs now
    uint64_t seed;
    size_t data_limit; // mails in a data lane above which its sender is told to hold
    size_t waiting[WORKERS_MAX][WORKERS_MAX];
} world;

static tg_away_fn *world_away; // told what comes for who is away
static uint64_t world_ms; // the hub's clock takes no context
static int64_t world_shift; // by which somebody has set that clock; wheels do not see it

static uint64_t world_clock(void)
{
    return world_ms + (uint64_t)world_shift;
}

static UNUSED uint32_t rnd(world *w, uint32_t n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->seed >> 33) % n;
}

static bool world_send(void *net, uint32_t to, tg_mail *m, bool control)
{
    world *w = net;
    lane *l = &w->lanes[to][w->here][control];
    atomic_store(&m->next, NULL);
    if (l->first == NULL)
        l->first = m;
    else
        atomic_store(&l->last->next, m);
    l->last = m;
    if (control)
        return true;
    return ++w->waiting[to][w->here] <= w->data_limit;
}

// Runs the next mail of one lane. @return false: it was empty.
static bool world_step(world *w, uint32_t to, uint32_t from, bool control)
{
    lane *l = &w->lanes[to][from][control];
    tg_mail *m = l->first;
    if (m == NULL)
        return false;
    l->first = atomic_load(&m->next);
    if (!control)
        w->waiting[to][from]--;
    w->here = to;
    m->run(m, w->shard[to]);
    return true;
}

static UNUSED void world_turn(world *w, uint32_t worker)
{
    w->here = worker;
    tg_shard_turn(w->shard[worker]);
}

static UNUSED bool world_idle(const world *w)
{
    for (uint32_t to = 0; to < w->workers; to++)
        for (uint32_t from = 0; from < w->workers; from++)
            if (w->lanes[to][from][0].first != NULL || w->lanes[to][from][1].first != NULL)
                return false;
    return true;
}

// One random thing: a mail of some lane, or the end of a turn.
static UNUSED void world_random(world *w)
{
    uint32_t to = rnd(w, w->workers), what = rnd(w, 2 * w->workers + 1);
    if (what == 2 * w->workers)
        world_turn(w, to);
    else
        world_step(w, to, what / 2, what % 2 != 0);
}

// Runs everything until nothing is left to do.
static void world_settle(world *w)
{
    for (int quiet = 0, rounds = 0; quiet < 3; rounds++) {
        assert_true(rounds < 100000);
        bool any = false;
        for (uint32_t to = 0; to < w->workers; to++) {
            for (uint32_t from = 0; from < w->workers; from++)
                while (world_step(w, to, from, true) || world_step(w, to, from, false))
                    any = true;
            world_turn(w, to);
        }
        quiet = any || !world_idle(w) ? 0 : quiet + 1;
    }
}

static UNUSED void world_advance(world *w, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = ms < 500 ? ms : 500;
        world_ms += step;
        ms -= step;
        for (uint32_t i = 0; i < w->workers; i++) {
            w->here = i;
            tg_wheel_run(w->wheel[i], world_ms);
        }
        world_settle(w);
    }
}

static UNUSED void world_prepare(world *w, uint32_t workers, const tg_hub_limits *limits,
                                 const tg_store *store, tg_hub_op_fn *op_new)
{
    *w = (world){.workers = workers, .seed = 1, .data_limit = 1000000};
    world_ms = world_ms == 0 ? 1700000000000 : world_ms + 1000;
    tg_metrics_open(1);
    tg_log_set_level("hub", TG_LOG_ERROR); // drops are wanted here
    tg_hub_config c = {.workers = workers,
                       .send = world_send,
                       .net = w,
                       .clock = world_clock,
                       .on_away = world_away,
                       .away_ctx = w};
    if (limits != NULL)
        c.limits = *limits;
    tg_error e = {0};
    assert_int_equal(tg_hub_new(&c, &w->hub, &e), 0);
    if (store != NULL)
        assert_int_equal(tg_hub_set_store(w->hub, store, op_new, w, &e), 0);
}

static UNUSED void world_begin(world *w, uint32_t worker)
{
    w->here = worker;
    w->wheel[worker] = tg_wheel_new(world_ms);
    assert_int_equal(tg_shard_open(w->hub, worker, w->wheel[worker], &w->shard[worker]), 0);
}

static UNUSED void world_open_with(world *w, uint32_t workers, const tg_hub_limits *limits,
                                   const tg_store *store, tg_hub_op_fn *op_new)
{
    world_prepare(w, workers, limits, store, op_new);
    for (uint32_t i = 0; i < workers; i++)
        world_begin(w, i);
    world_settle(w);
}

static UNUSED void world_open(world *w, uint32_t workers, const tg_hub_limits *limits)
{
    world_open_with(w, workers, limits, NULL, NULL);
}

static UNUSED void world_close(world *w)
{
    world_settle(w);
    for (uint32_t i = 0; i < w->workers; i++) {
        w->here = i;
        tg_shard_close(w->shard[i]);
    }
    for (uint32_t i = 0; i < w->workers; i++)
        tg_wheel_free(w->wheel[i]);
    tg_hub_free(w->hub);
    tg_metrics_close();
}

static UNUSED int64_t dropped(const char *reason)
{
    int64_t n = 0;
    for (int qos = 0; qos < 3; qos++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "reason=\"%s\",qos=\"%d\"", reason, qos);
        n += tg_metric_sum(tg_metric_find("tidegate_messages_dropped_total", labels));
    }
    return n;
}

// A client: what its link heard, as text "topic=payload" with marks for what is special.
typedef struct client {
    world *w;
    uint32_t worker;
    tg_session s;
    int opened; // code of the last open; 1: not answered
    bool present;
    int ended; // reason; 0: not
    uint16_t number; // that the hub kept, at the end
    bool full; // answers TG_E_FULL
    int refuse; // answers this
    bool ack; // acknowledges at once
    bool dead; // must hear nothing
    unsigned count;
    uint16_t ids[4096]; // packet ids, in order
    unsigned nids;
    char log[16384];
    size_t len;
    void (*on_deliver)(struct client *c, const tg_delivery *d);
    int done, receivers, ndone;
} client;

static void client_note(client *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void client_note(client *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (c->len + 128 < sizeof(c->log))
        c->len += (size_t)vsnprintf(c->log + c->len, sizeof(c->log) - c->len, fmt, args);
    va_end(args);
}

static int client_deliver(void *link, tg_session s, const tg_delivery *d)
{
    client *c = link;
    assert_false(c->dead);
    assert_true(s.id == c->s.id);
    assert_int_equal(c->worker, c->w->here);
    if (c->full)
        return TG_E_FULL;
    if (c->refuse != 0)
        return c->refuse;
    c->count++;
    client_note(c, "%.*s=%.*s", (int)d->msg->topic.len, d->msg->topic.at,
                (int)d->msg->payload.len, d->msg->payload.at);
    if (d->qos > 0)
        client_note(c, "/%u", d->qos);
    if (d->retain)
        client_note(c, "/r");
    if (d->dup)
        client_note(c, "/d");
    if (d->released)
        client_note(c, "/R");
    for (unsigned i = 0; i < d->nsub_ids; i++)
        client_note(c, "#%u", d->sub_ids[i]);
    client_note(c, " ");
    if (d->qos > 0 && c->nids < 4096)
        c->ids[c->nids++] = d->packet_id;
    if (c->on_deliver != NULL)
        c->on_deliver(c, d);
    if (c->ack && d->qos == 2 && !d->released) {
        int rc = tg_session_ack(c->w->shard[c->worker], s, d->packet_id, TG_ACK_RECEIVED);
        assert_in_range(rc, 0, 1);
        if (rc == 1)
            return 0; // its release comes when it is stored
    }
    if (c->ack && d->qos > 0)
        assert_int_equal(
            tg_session_ack(c->w->shard[c->worker], s, d->packet_id, TG_ACK_DONE), 0);
    return 0;
}

static void client_ended(void *link, tg_session s, uint16_t number, int reason)
{
    client *c = link;
    c->number = number;
    assert_false(c->dead);
    assert_true(s.id == c->s.id);
    assert_int_equal(c->worker, c->w->here);
    c->ended = reason;
    c->s.id = 0;
}

static const tg_link client_link = {client_deliver, client_ended};

static void client_opened(void *ctx, int code, tg_session s, bool present)
{
    client *c = ctx;
    assert_false(c->dead);
    assert_int_equal(c->opened, 1);
    c->opened = code;
    c->s = s;
    c->present = present;
}

static UNUSED void client_init(client *c, world *w, uint32_t worker)
{
    *c = (client){.w = w, .worker = worker, .opened = 1, .ack = true};
}

static UNUSED void client_open_spec(client *c, const tg_session_spec *spec)
{
    c->opened = 1;
    c->ended = 0;
    c->w->here = c->worker;
    assert_int_equal(
        tg_session_open(c->w->shard[c->worker], &client_link, c, spec, client_opened, c),
        0);
}

static UNUSED tg_session_spec spec_of(const char *id, uint32_t expiry_s, bool clean)
{
    return (tg_session_spec){.size = sizeof(tg_session_spec),
                             .client_id = tg_str(id),
                             .expiry_s = expiry_s,
                             .clean_start = clean};
}

/// Opens and settles.
static UNUSED void client_open(client *c, world *w, uint32_t worker, const char *id,
                               uint32_t expiry_s)
{
    client_init(c, w, worker);
    tg_session_spec spec = spec_of(id, expiry_s, false);
    client_open_spec(c, &spec);
    world_settle(w);
    assert_int_equal(c->opened, 0);
}

static UNUSED void client_close(client *c, unsigned flags)
{
    c->w->here = c->worker;
    assert_int_equal(tg_session_close(c->w->shard[c->worker], c->s, flags), 0);
    c->s.id = 0;
}

static void client_done(void *ctx, int code, const tg_value *value)
{
    (void)value;
    client *c = ctx;
    c->done = code;
    c->ndone++;
}

static UNUSED int client_sub_with(client *c, const char *filter, tg_sub sub)
{
    sub.size = sizeof(sub);
    c->done = 1;
    c->w->here = c->worker;
    return tg_session_subscribe(c->w->shard[c->worker], c->s, tg_str(filter), &sub,
                                client_done, c);
}

static UNUSED void client_sub(client *c, const char *filter, uint8_t qos)
{
    assert_int_equal(client_sub_with(c, filter, (tg_sub){.qos = qos}), 0);
    world_settle(c->w);
    assert_int_equal(c->done, 0);
}

static UNUSED void client_unsub(client *c, const char *filter)
{
    c->done = 1;
    c->w->here = c->worker;
    assert_int_equal(tg_session_unsubscribe(c->w->shard[c->worker], c->s, tg_str(filter),
                                            client_done, c),
                     0);
    world_settle(c->w);
}

static UNUSED void client_published(void *ctx, int code, uint32_t receivers)
{
    client *c = ctx;
    c->done = code;
    c->receivers = (int)receivers;
    c->ndone++;
}

static UNUSED int client_pub_msg(client *c, tg_msg_spec spec)
{
    spec.size = sizeof(spec);
    tg_msg m = tg_msg_new(&spec);
    c->w->here = c->worker;
    int rc = tg_session_publish(c->w->shard[c->worker], c->s, m, client_published, c);
    tg_msg_unref(m);
    return rc;
}

/// Publishes; nothing is settled.
static UNUSED void client_pub(client *c, const char *topic, const char *payload,
                              uint8_t qos)
{
    c->done = 1;
    tg_msg_spec spec = {.topic = tg_str(topic), .payload = tg_str(payload), .qos = qos};
    assert_int_equal(client_pub_msg(c, spec), 0);
}

/// Compares what the client got with `want`, settles first, and forgets it.
#define got(c, want)                                                                       \
    do {                                                                                   \
        world_settle((c)->w);                                                              \
        (c)->log[(c)->len] = '\0';                                                         \
        assert_string_equal((c)->log, (want));                                             \
        (c)->len = 0;                                                                      \
    } while (0)

#endif
