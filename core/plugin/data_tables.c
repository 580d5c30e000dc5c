// SPDX-License-Identifier: Apache-2.0
// The tables over shared data: keys and metrics. Both act for the version that runs.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/kv.h"
#include "plugin/line.h"

#define METRICS_MAX 1000 // of one plugin: ids are never given back

typedef struct space {
    char id[64];
    tg_kv *kv;
} space;

static tg_kv *space_for(tg_runtime *rt, const char *id)
{
    space *s = tg_map_find(&rt->kvs, tg_str(id));
    if (s != NULL)
        return s->kv;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    snprintf(s->id, sizeof(s->id), "%s", id);
    s->kv = tg_kv_new(rt->kv_bytes);
    if (s->kv != NULL && tg_map_add(&rt->kvs, tg_str(s->id), s) == 0)
        return s->kv;
    tg_kv_free(s->kv);
    free(s);
    return NULL;
}

// Looked up once for a plugin, then found there by all its versions.
static tg_kv *kv_here(void)
{
    const tg_version *v = tg_current();
    if (v == NULL)
        return NULL;
    tg_kv *kv = atomic_load_explicit(&v->plug->kv, memory_order_acquire);
    if (kv != NULL)
        return kv;
    pthread_mutex_lock(&v->rt->lock);
    kv = space_for(v->rt, v->plug->id);
    pthread_mutex_unlock(&v->rt->lock);
    atomic_store_explicit(&v->plug->kv, kv, memory_order_release);
    return kv;
}

void tg_kvs_free(tg_runtime *rt)
{
    uint32_t at = 0;
    for (space *s; (s = tg_map_next(&rt->kvs, &at)) != NULL;) {
        tg_kv_free(s->kv);
        free(s);
    }
    tg_map_free(&rt->kvs);
}

static uint64_t now(void)
{
    return uv_hrtime() / 1000000;
}

static int kv_set(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    tg_kv *kv = kv_here();
    return kv != NULL ? tg_kv_set(kv, key, value, ttl_ms, now(), false) : TG_E_INVAL;
}

static int kv_get(tg_slice key, void (*put)(void *ctx, tg_slice value), void *ctx)
{
    tg_kv *kv = kv_here();
    return kv != NULL ? tg_kv_get(kv, key, now(), put, ctx) : TG_E_INVAL;
}

static int kv_del(tg_slice key)
{
    tg_kv *kv = kv_here();
    return kv != NULL ? tg_kv_del(kv, key, now()) : TG_E_INVAL;
}

static int kv_incr(tg_slice key, int64_t by, uint32_t ttl_ms, int64_t *out)
{
    tg_kv *kv = kv_here();
    return kv != NULL ? tg_kv_incr(kv, key, by, ttl_ms, now(), out) : TG_E_INVAL;
}

static int kv_add(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    tg_kv *kv = kv_here();
    return kv != NULL ? tg_kv_set(kv, key, value, ttl_ms, now(), true) : TG_E_INVAL;
}

const tg_kv_api tg_kv_table = {
    .size = sizeof(tg_kv_api),
    .set = kv_set,
    .get = kv_get,
    .del = kv_del,
    .incr = kv_incr,
    .add = kv_add,
};

// Prometheus knows letters, digits and '_'.
static bool metric_name(const tg_version *v, tg_slice name, char *out, size_t size)
{
    if (name.len == 0 || name.len > 100)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.at[i]) && name.at[i] != '_')
            return false;
    int n = snprintf(out, size, "tidegate_%s_%.*s", v->plug->id, (int)name.len, name.at);
    for (int i = 0; i < n; i++)
        if (!isalnum((unsigned char)out[i]))
            out[i] = '_';
    return true;
}

static int metric_define(tg_metric_kind kind, tg_slice name, tg_slice help, uint32_t *out)
{
    tg_version *v = tg_current();
    char full[200], text[200];
    if (v == NULL || out == NULL || !metric_name(v, name, full, sizeof(full)))
        return TG_E_INVAL;
    snprintf(text, sizeof(text), "%.*s", (int)help.len, help.at != NULL ? help.at : "");
    if (tg_metric_find(full, "") < 0 &&
        atomic_fetch_add(&v->plug->nmetrics, 1) >= METRICS_MAX)
        return TG_E_LIMIT;
    int id = tg_metric_add_def(kind, full, "", text);
    if (id < 0)
        return id;
    *out = (uint32_t)id;
    return 0;
}

static int metric_counter(tg_slice name, tg_slice help, uint32_t *out)
{
    return metric_define(TG_COUNTER, name, help, out);
}

static int metric_gauge(tg_slice name, tg_slice help, uint32_t *out)
{
    return metric_define(TG_GAUGE, name, help, out);
}

static void metric_add(uint32_t id, int64_t by)
{
    tg_metric_add((int)id, by);
}

const tg_metric_api tg_metric_table = {
    .size = sizeof(tg_metric_api),
    .counter = metric_counter,
    .gauge = metric_gauge,
    .add = metric_add,
};
