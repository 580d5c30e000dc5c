// SPDX-License-Identifier: Apache-2.0
// Both directions keep topics by number. Tables are small (the config's maximum) and exist only
// for clients that use them. Towards the client an alias, once set, stays: the first topics of
// a connection are nearly always those that come again.
#include "conn.h"

typedef struct mqtt_aliases {
    uint16_t max;
    uint16_t used; // outgoing: numbers given so far
    tg_slice at[]; // [alias - 1]; owned copies
} mqtt_aliases;

static mqtt_aliases *aliases_new(uint16_t max)
{
    mqtt_aliases *a = (mqtt_aliases *)mqtt_alloc(sizeof(*a) + max * sizeof(a->at[0]));
    if (a != NULL)
        a->max = max;
    return a;
}

void mqtt_aliases_free(mqtt_aliases *a)
{
    for (uint16_t i = 0; a != NULL && i < a->max; i++)
        mqtt_free((void *)(uintptr_t)a->at[i].at);
    mqtt_free(a);
}

static bool keep(mqtt_aliases *a, uint16_t alias, tg_slice topic)
{
    tg_slice *slot = &a->at[alias - 1];
    if (tg_slice_eq(*slot, topic))
        return true;
    char *copy = (char *)mqtt_alloc(topic.len);
    if (copy == NULL)
        return false;
    memcpy(copy, topic.at, topic.len);
    mqtt_free((void *)(uintptr_t)slot->at);
    *slot = (tg_slice){copy, topic.len};
    return true;
}

uint8_t mqtt_alias_in(mqtt_conn *m, uint16_t alias, tg_slice *topic)
{
    if (alias == 0 || alias > m->port->config->alias_max)
        return MQTT_BAD_ALIAS;
    mqtt_extra *x = mqtt_extra_get(m);
    if (x == NULL)
        return MQTT_UNSPECIFIED;
    if (x->in == NULL)
        x->in = aliases_new((uint16_t)m->port->config->alias_max);
    if (x->in == NULL)
        return MQTT_UNSPECIFIED;
    if (topic->len > 0)
        return keep(x->in, alias, *topic) ? 0 : MQTT_UNSPECIFIED;
    *topic = x->in->at[alias - 1];
    return topic->len > 0 ? 0 : MQTT_PROTOCOL; // §3.3.2.3.4: not set before
}

uint16_t mqtt_alias_out(mqtt_conn *m, tg_slice topic, bool *known)
{
    mqtt_extra *x = m->extra;
    *known = false;
    if (x == NULL || x->alias_out_max == 0 || topic.len < 4)
        return 0;
    if (x->out == NULL)
        x->out = aliases_new(x->alias_out_max);
    if (x->out == NULL)
        return 0;
    for (uint16_t i = 0; i < x->out->used; i++) {
        if (!tg_slice_eq(x->out->at[i], topic))
            continue;
        *known = true;
        return (uint16_t)(i + 1);
    }
    if (x->out->used == x->out->max || !keep(x->out, x->out->used + 1, topic))
        return 0;
    return ++x->out->used;
}

void mqtt_alias_undo(mqtt_conn *m)
{
    mqtt_aliases *a = m->extra->out;
    assert(a->used > 0);
    tg_slice *slot = &a->at[--a->used];
    mqtt_free((void *)(uintptr_t)slot->at);
    *slot = (tg_slice){0};
}
