// SPDX-License-Identifier: Apache-2.0
// The names are those that dashboards for MQTT brokers know, and the figures those of /metrics:
// each topic is a row that says which counters it sums up. Worker 0 publishes them, from its
// timer wheel, where its shard is at hand; what has not changed is not published again.
#include "admin/sys.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/metric.h"

#define SYS_MAGIC 0x5f5f5e01u
#define PREFIX "$SYS/broker/"
#define INTERVAL_MIN_MS 100
#define SPANS 3 // of the averages

typedef enum from {
    CONNECTED,
    TOTAL,
    DISCONNECTED, // of these two
    MAXIMUM,
    SUM
} from;

typedef struct row {
    const char *topic; // NULL: for its average alone
    const char *load; // topic of its average a minute; NULL none
    from from;
    const char *metric, *label; // all series of it, or those that have the label
} row;

static const row ROWS[] = {
    {"clients/connected", NULL, CONNECTED, "tidegate_sessions_connected", NULL},
    {"clients/total", NULL, TOTAL, "tidegate_sessions", NULL},
    {"clients/disconnected", NULL, DISCONNECTED, NULL, NULL},
    {"clients/maximum", NULL, MAXIMUM, NULL, NULL},
    {"messages/received", "messages/received", SUM, "tidegate_mqtt_packets_received_total",
     NULL},
    {"messages/sent", "messages/sent", SUM, "tidegate_mqtt_packets_sent_total", NULL},
    {"messages/inflight", NULL, SUM, "tidegate_inflight_messages", NULL},
    {"store/messages/count", NULL, SUM, "tidegate_queued_messages", NULL},
    {"store/messages/bytes", NULL, SUM, "tidegate_queued_bytes", NULL},
    {"publish/messages/received", "publish/received", SUM,
     "tidegate_messages_published_total", NULL},
    {"publish/messages/sent", "publish/sent", SUM, "tidegate_messages_delivered_total",
     NULL},
    {"publish/messages/dropped", "publish/dropped", SUM, "tidegate_messages_dropped_total",
     NULL},
    {"publish/bytes/received", NULL, SUM, "tidegate_mqtt_payload_bytes_received_total",
     NULL},
    {"publish/bytes/sent", NULL, SUM, "tidegate_mqtt_payload_bytes_sent_total", NULL},
    {"bytes/received", "bytes/received", SUM, "tidegate_net_bytes_total",
     "direction=\"in\""},
    {"bytes/sent", "bytes/sent", SUM, "tidegate_net_bytes_total", "direction=\"out\""},
    {"retained messages/count", NULL, SUM, "tidegate_retained_messages", NULL},
    {"subscriptions/count", NULL, SUM, "tidegate_subscriptions", NULL},
    {"shared_subscriptions/count", NULL, SUM, "tidegate_subscriptions_shared", NULL},
    {NULL, "connections", SUM, "tidegate_mqtt_connacks_total", NULL},
    {NULL, "sockets", SUM, "tidegate_listener_events_total", "event=\"accepted\""},
};

#define NROWS (sizeof(ROWS) / sizeof(ROWS[0]))

static const struct {
    const char *name;
    double minutes;
} SPAN[SPANS] = {{"1min", 1}, {"5min", 5}, {"15min", 15}};

struct tg_sys {
    uint32_t magic;
    tg_runtime *rt;
    uint32_t interval_ms;
    const char *version;
    tg_alarm alarm; // worker 0's
    uint64_t rounds;
    int64_t sums[NROWS], before[NROWS], told[NROWS];
    int64_t maximum;
    double load[NROWS][SPANS], told_load[NROWS][SPANS];
};

static void add(void *ctx, tg_metric_kind kind, const char *name, const char *labels,
                const char *help, int64_t sum)
{
    tg_sys *s = ctx;
    (void)kind;
    (void)help;
    for (size_t i = 0; i < NROWS; i++)
        if (ROWS[i].metric != NULL && strcmp(ROWS[i].metric, name) == 0 &&
            (ROWS[i].label == NULL || strstr(labels, ROWS[i].label) != NULL))
            s->sums[i] += sum;
}

static int64_t sum_of(const tg_sys *s, from what)
{
    for (size_t i = 0; i < NROWS; i++)
        if (ROWS[i].from == what)
            return s->sums[i];
    return 0;
}

static void look(tg_sys *s)
{
    memcpy(s->before, s->sums, sizeof(s->before));
    memset(s->sums, 0, sizeof(s->sums));
    tg_metrics_each(add, s);
    int64_t connected = sum_of(s, CONNECTED), away = sum_of(s, TOTAL) - connected;
    if (connected > s->maximum)
        s->maximum = connected;
    for (size_t i = 0; i < NROWS; i++) {
        if (ROWS[i].from == DISCONNECTED)
            s->sums[i] = away > 0 ? away : 0;
        else if (ROWS[i].from == MAXIMUM)
            s->sums[i] = s->maximum;
    }
}

// What came a minute, with the past fading away: a minute old counts 1/e in the first.
static void average(tg_sys *s, size_t i)
{
    double minutes = s->interval_ms / 60000.0;
    double rate = (double)(s->sums[i] - s->before[i]) / minutes;
    for (int k = 0; s->rounds > 0 && k < SPANS; k++) {
        double keep = exp(-minutes / SPAN[k].minutes);
        s->load[i][k] = rate + keep * (s->load[i][k] - rate);
    }
}

static void tell(tg_sys *s, const char *topic, const char *text)
{
    char whole[80];
    snprintf(whole, sizeof(whole), PREFIX "%s", topic);
    tg_shard_status(tg_hub_shard(tg_runtime_hub(s->rt), 0), tg_str(whole), tg_str(text),
                    true);
}

static void tell_row(tg_sys *s, size_t i)
{
    char text[32];
    if (ROWS[i].topic == NULL || (s->rounds > 0 && s->told[i] == s->sums[i]))
        return;
    s->told[i] = s->sums[i];
    snprintf(text, sizeof(text), "%lld", (long long)s->sums[i]);
    tell(s, ROWS[i].topic, text);
}

static void tell_load(tg_sys *s, size_t i)
{
    char topic[64], text[32];
    for (int k = 0; k < SPANS; k++) {
        double load = round(s->load[i][k] * 100) / 100;
        if (s->rounds > 0 && load == s->told_load[i][k])
            continue;
        s->told_load[i][k] = load;
        snprintf(topic, sizeof(topic), "load/%s/%s", ROWS[i].load, SPAN[k].name);
        snprintf(text, sizeof(text), "%.2f", load);
        tell(s, topic, text);
    }
}

static void tell_all(tg_sys *s)
{
    char text[96];
    long long up = time(NULL) - (long long)(tg_runtime_started(s->rt) / 1000);
    look(s);
    snprintf(text, sizeof(text), "%lld seconds", up > 0 ? up : 0);
    tell(s, "uptime", text);
    snprintf(text, sizeof(text), "tidegate version %s", s->version);
    if (s->rounds == 0)
        tell(s, "version", text);
    for (size_t i = 0; i < NROWS; i++) {
        tell_row(s, i);
        if (ROWS[i].load == NULL)
            continue;
        average(s, i);
        tell_load(s, i);
    }
    s->rounds++;
}

static void due(tg_alarm *a)
{
    tg_sys *s = TG_OWNER(a, tg_sys, alarm);
    assert(s->magic == SYS_MAGIC);
    tell_all(s);
    tg_wheel_add(tg_worker_wheel(tg_worker_here()), a, s->interval_ms, due);
}

static int start_here(tg_worker *w, void *ctx)
{
    tg_sys *s = ctx;
    if (tg_worker_index(w) == 0)
        due(&s->alarm);
    return 0;
}

static int stop_here(tg_worker *w, void *ctx)
{
    tg_sys *s = ctx;
    if (tg_worker_index(w) == 0)
        tg_wheel_del(tg_worker_wheel(w), &s->alarm);
    return 0;
}

int tg_sys_start(tg_runtime *rt, uint32_t interval_ms, const char *version, tg_sys **out,
                 tg_error *e)
{
    tg_sys *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    s->magic = SYS_MAGIC;
    s->rt = rt;
    s->interval_ms = interval_ms > INTERVAL_MIN_MS ? interval_ms : INTERVAL_MIN_MS;
    s->version = version;
    tg_workers_call(tg_runtime_workers(rt), start_here, s);
    *out = s;
    return 0;
}

void tg_sys_stop(tg_sys *s)
{
    if (s == NULL)
        return;
    assert(s->magic == SYS_MAGIC);
    tg_workers_call(tg_runtime_workers(s->rt), stop_here, s);
    s->magic = 0;
    free(s);
}
