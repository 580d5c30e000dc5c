// SPDX-License-Identifier: Apache-2.0
// The tables over shared data: keys and metrics. Both act for the version that runs.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/kept.h"
#include "plugin/kv.h"
#include "plugin/line.h"
#include "plugin/op.h"

#define METRICS_MAX 10000 // of one plugin: ids are never given back
#define LABEL_VALUE_MAX 128

typedef struct space {
    char id[64];
    tg_kv *kv;
    tg_runtime *rt;
} space;

static void on_kept(void *ctx, tg_slice key)
{
    const space *s = ctx;
    tg_kept_write(s->rt, s->id, s->kv, key, (tg_op){0});
}

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
    s->rt = rt;
    if (s->kv != NULL)
        tg_kv_on_kept(s->kv, on_kept, s);
    if (s->kv != NULL && tg_map_add(&rt->kvs, tg_str(s->id), s) == 0)
        return s->kv;
    tg_kv_free(s->kv);
    free(s);
    return NULL;
}

tg_kv *tg_kv_space(tg_runtime *rt, const char *plugin)
{
    pthread_mutex_lock(&rt->lock);
    tg_kv *kv = space_for(rt, plugin);
    pthread_mutex_unlock(&rt->lock);
    return kv;
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
    kv = tg_kv_space(v->rt, v->plug->id);
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

static int kv_keep(tg_slice key, tg_done_fn *done, void *ctx)
{
    tg_kv *kv = kv_here();
    tg_version *v = tg_current();
    if (kv == NULL || key.len == 0 || key.len > UINT16_MAX)
        return TG_E_INVAL;
    if (tg_here() == NULL)
        return TG_E_THREAD;
    tg_op op =
        tg_op_new(&(tg_op_spec){.done = done, .ctx = ctx, .owner = v, .callback = "kv"});
    if (op.id == 0)
        return TG_E_NOMEM;
    tg_kv_keep(kv, key, now()); // one that is gone is written as such
    int rc = tg_kept_write(v->rt, v->plug->id, kv, key, op);
    if (rc < 0)
        tg_op_cancel(op);
    return rc;
}

const tg_kv_api tg_kv_table = {
    .size = sizeof(tg_kv_api),
    .set = kv_set,
    .get = kv_get,
    .del = kv_del,
    .incr = kv_incr,
    .add = kv_add,
    .keep = kv_keep,
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

static bool label_name(tg_slice name)
{
    if (name.len == 0 || name.len > 64 || isdigit((unsigned char)name.at[0]) ||
        (name.len > 1 && name.at[0] == '_' && name.at[1] == '_'))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.at[i]) && name.at[i] != '_')
            return false;
    return true;
}

static int by_label(const void *a, const void *b)
{
    const tg_label *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.at, y->name.at, n);
    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

// One set has one text, whatever order it came in. @return 0, TG_E_INVAL, TG_E_NOMEM.
static int labels_text(const tg_label *labels, size_t n, tg_buf *out)
{
    tg_label sorted[TG_LABELS_MAX];
    if (n > TG_LABELS_MAX)
        return TG_E_INVAL;
    if (n > 0)
        memcpy(sorted, labels, n * sizeof(sorted[0]));
    qsort(sorted, n, sizeof(sorted[0]), by_label);
    for (size_t i = 0; i < n; i++) {
        char name[65];
        if (!label_name(sorted[i].name) || sorted[i].value.len > LABEL_VALUE_MAX ||
            (i > 0 && tg_slice_eq(sorted[i].name, sorted[i - 1].name)))
            return TG_E_INVAL;
        snprintf(name, sizeof(name), "%.*s", (int)sorted[i].name.len, sorted[i].name.at);
        tg_metric_put_label(out, name, sorted[i].value);
    }
    tg_buf_putc(out, '\0');
    return out->failed ? TG_E_NOMEM : 0;
}

// Two workers may ask for a last one at once: the bound is for order of magnitude.
static int metric_get(tg_version *v, tg_metric_kind kind, const char *name,
                      const char *labels, const char *help)
{
    int id = tg_metric_find(name, labels);
    if (id < 0 && (atomic_load(&v->plug->nmetrics) >= METRICS_MAX ||
                   tg_metric_series(name) >= TG_SERIES_MAX))
        return TG_E_LIMIT;
    bool fresh = id < 0;
    id = tg_metric_add_def(kind, name, labels, help);
    if (fresh && id >= 0)
        atomic_fetch_add(&v->plug->nmetrics, 1);
    return id;
}

static int metric_define(tg_metric_kind kind, tg_slice name, tg_slice help,
                         const tg_label *labels, size_t n, uint32_t *out)
{
    tg_version *v = tg_current();
    char full[200], text[200];
    if (v == NULL || out == NULL || !metric_name(v, name, full, sizeof(full)))
        return TG_E_INVAL;
    snprintf(text, sizeof(text), "%.*s", (int)help.len, help.at != NULL ? help.at : "");
    tg_buf set = {0};
    int id = labels_text(labels, n, &set);
    if (id == 0)
        id = metric_get(v, kind, full, set.at, text);
    tg_buf_free(&set);
    if (id < 0)
        return id;
    *out = (uint32_t)id;
    return 0;
}

static int metric_counter(tg_slice name, tg_slice help, uint32_t *out)
{
    return metric_define(TG_COUNTER, name, help, NULL, 0, out);
}

static int metric_gauge(tg_slice name, tg_slice help, uint32_t *out)
{
    return metric_define(TG_GAUGE, name, help, NULL, 0, out);
}

static int metric_counter_with(tg_slice name, tg_slice help, const tg_label *labels,
                               size_t n, uint32_t *out)
{
    return metric_define(TG_COUNTER, name, help, labels, n, out);
}

static int metric_gauge_with(tg_slice name, tg_slice help, const tg_label *labels, size_t n,
                             uint32_t *out)
{
    return metric_define(TG_GAUGE, name, help, labels, n, out);
}

static _Atomic int64_t *metric_cell(uint32_t id)
{
    return tg_metric_cell((int)id);
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
    .counter_with = metric_counter_with,
    .gauge_with = metric_gauge_with,
    .cell = metric_cell,
};
