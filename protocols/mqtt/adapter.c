// SPDX-License-Identifier: Apache-2.0
// The config is never changed in place: a new one is published with one atomic store, and what
// connections still use stays until the version goes. Configs of listeners with options are
// kept once each, so that a connection costs a pointer.
#include "adapter.h"

#include <stdlib.h>

#include "conn.h"

typedef struct mqtt_configs {
    struct mqtt_configs *next;
    mqtt_config config;
} mqtt_configs;

void *mqtt_alloc(size_t size)
{
    void *at = tg.host->alloc(NULL, size);
    if (at != NULL)
        memset(at, 0, size);
    return at;
}

void mqtt_free(void *at)
{
    if (at != NULL)
        tg.host->alloc(at, 0);
}

static const mqtt_config *keep(mqtt_configs **list, const mqtt_config *config)
{
    for (const mqtt_configs *c = *list; c != NULL; c = c->next)
        if (memcmp(&c->config, config, sizeof(*config)) == 0)
            return &c->config;
    mqtt_configs *node = (mqtt_configs *)mqtt_alloc(sizeof(*node));
    if (node == NULL)
        return NULL;
    memcpy(&node->config, config, sizeof(*config));
    node->next = *list;
    *list = node;
    return &node->config;
}

static void drop(mqtt_configs *list)
{
    while (list != NULL) {
        mqtt_configs *next = list->next;
        mqtt_free(list);
        list = next;
    }
}

static void ports_free(mqtt_port *list)
{
    while (list != NULL) {
        mqtt_port *next = list->next;
        mqtt_free(list);
        list = next;
    }
}

int mqtt_adapter_reconfigure(mqtt_adapter *a, const tg_value *config)
{
    mqtt_config next;
    char why[128];
    mqtt_config_default(&next);
    int rc = mqtt_config_read(&next, config, true, why, sizeof(why));
    if (rc < 0)
        return tg_fail(rc, "%s", why);
    const mqtt_config *kept = keep(&a->configs, &next);
    if (kept == NULL)
        return TG_E_NOMEM;
    atomic_store_explicit(&a->config, kept, memory_order_release);
    return 0;
}

static void fill_table(tg_adapter *t)
{
    *t = (tg_adapter){
        .size = sizeof(*t),
        .transports = TG_TCP | TG_TLS,
        .id = "mqtt",
        .state_size = sizeof(mqtt_conn),
        .on_open = mqtt_on_open,
        .on_data = mqtt_on_data,
        .on_deliver = mqtt_on_deliver,
        .on_session_end = mqtt_on_session_end,
        .on_idle = mqtt_on_idle,
        .on_writable = mqtt_on_writable,
        .on_close = mqtt_on_close,
        .annotate = mqtt_annotate,
    };
}

static mqtt_worker *workers_new(mqtt_adapter *a, uint32_t n)
{
    // The host's allocator promises nothing about cache lines; a line of slack does as well.
    mqtt_worker *w = (mqtt_worker *)aligned_alloc(_Alignof(mqtt_worker), n * sizeof(*w));
    if (w == NULL)
        return NULL;
    memset(w, 0, n * sizeof(*w));
    for (uint32_t i = 0; i < n; i++)
        w[i].adapter = a;
    return w;
}

int mqtt_adapter_new(uint32_t workers, const tg_value *config, mqtt_adapter **out)
{
    mqtt_adapter *a = (mqtt_adapter *)mqtt_alloc(sizeof(*a));
    if (a == NULL)
        return TG_E_NOMEM;
    a->magic = MQTT_ADAPTER_MAGIC;
    a->nworkers = workers;
    fill_table(&a->table);
    int rc = TG_E_NOMEM;
    a->workers = workers_new(a, workers);
    if (a->workers == NULL)
        goto fail;
    rc = mqtt_adapter_reconfigure(a, config);
    if (rc < 0)
        goto fail;
    *out = a;
    return 0;

fail:
    mqtt_adapter_free(a);
    return rc;
}

void mqtt_adapter_stop(mqtt_adapter *a, uint32_t worker)
{
    mqtt_worker *w = &a->workers[worker];
    for (size_t i = 0; i < sizeof(w->memo) / sizeof(w->memo[0]); i++) {
        if (w->memo[i].msg != NULL)
            tg.msg->unref(w->memo[i].msg);
        w->memo[i].msg = NULL;
    }
}

void mqtt_adapter_free(mqtt_adapter *a)
{
    assert(a->magic == MQTT_ADAPTER_MAGIC);
    for (uint32_t i = 0; a->workers != NULL && i < a->nworkers; i++) {
        mqtt_slabs_free(a->workers[i].slabs);
        mqtt_requests_free(a->workers[i].requests);
        drop(a->workers[i].configs);
        ports_free(a->workers[i].ports);
    }
    free(a->workers);
    drop(a->configs);
    a->magic = 0;
    mqtt_free(a);
}

mqtt_adapter *mqtt_adapter_of(const tg_adapter *table)
{
    mqtt_adapter *a = (mqtt_adapter *)(uintptr_t)table;
    assert(a->magic == MQTT_ADAPTER_MAGIC);
    return a;
}

mqtt_worker *mqtt_worker_of(mqtt_adapter *a)
{
    uint32_t n = tg.host->worker();
    assert(n < a->nworkers);
    return &a->workers[n];
}

static const mqtt_config *config_for(mqtt_worker *w, const tg_value *options, char *error,
                                     size_t len)
{
    const mqtt_config *base =
        atomic_load_explicit(&w->adapter->config, memory_order_acquire);
    if (options == NULL || options->kind != TG_MAP || options->map.count == 0)
        return base;
    mqtt_config own;
    memcpy(&own, base, sizeof(own));
    if (mqtt_config_read(&own, options, false, error, len) < 0)
        return NULL;
    const mqtt_config *kept = keep(&w->configs, &own);
    if (kept == NULL)
        snprintf(error, len, "out of memory");
    return kept;
}

mqtt_port *mqtt_port_for(mqtt_worker *w, tg_slice listener, const tg_value *options,
                         char *error, size_t len)
{
    const mqtt_config *config = config_for(w, options, error, len);
    if (config == NULL)
        return NULL;
    for (mqtt_port *p = w->ports; p != NULL; p = p->next)
        if (p->config == config && tg_slice_eq(tg_str(p->counts.listener), listener))
            return p;
    mqtt_port *p = (mqtt_port *)mqtt_alloc(sizeof(*p));
    if (p == NULL) {
        snprintf(error, len, "out of memory");
        return NULL;
    }
    p->worker = w;
    p->config = config;
    mqtt_counts_init(&p->counts, listener);
    p->next = w->ports;
    w->ports = p;
    return p;
}
