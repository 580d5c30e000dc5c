// SPDX-License-Identifier: Apache-2.0
// A counter is a cell of this worker's own, asked for once: counting is a load and a store. All
// that can be told in advance is defined with the first connection of a listener; of the many
// reason codes only those that occur.
#include "count.h"

#include <ctype.h>

static const struct {
    const char *name, *help;
} FAMILIES[] = {
#define X(name, help) {#name, help},
    MQTT_FAMILIES(X)
#undef X
};

static const char *const PACKETS[16] = {
    "reserved", "connect",  "connack",    "publish", "puback",      "pubrec",
    "pubrel",   "pubcomp",  "subscribe",  "suback",  "unsubscribe", "unsuback",
    "pingreq",  "pingresp", "disconnect", "auth",
};

static _Atomic int64_t *define(const mqtt_counts *c, mqtt_family family,
                               const tg_label *more, size_t n)
{
    tg_label labels[3] = {{TG_LIT("listener"), tg_str(c->listener)}};
    tg_slice name = tg_str(FAMILIES[family].name), help = tg_str(FAMILIES[family].help);
    uint32_t id;
    for (size_t i = 0; i < n; i++)
        labels[1 + i] = more[i];
    int rc = family == MQTT_FAM_connections
                 ? tg.metric->gauge_with(name, help, labels, 1 + n, &id)
                 : tg.metric->counter_with(name, help, labels, 1 + n, &id);
    return rc == 0 ? tg.metric->cell(id) : NULL;
}

static void define_counters(mqtt_counts *c)
{
    static const struct {
        mqtt_family family;
        const char *label, *value;
    } COUNTERS[] = {
#define X(id, family, label, value) {MQTT_FAM_##family, label, value},
        MQTT_COUNTERS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(COUNTERS) / sizeof(COUNTERS[0]); i++) {
        bool lost = COUNTERS[i].family == MQTT_FAM_disconnects_total;
        const tg_label labels[] = {{tg_str(COUNTERS[i].label), tg_str(COUNTERS[i].value)},
                                   {TG_LIT("by"), TG_LIT("network")}};
        size_t n = COUNTERS[i].label == NULL ? 0 : lost ? 2 : 1;
        c->cells[MQTT_N_before + 1 + i] = define(c, COUNTERS[i].family, labels, n);
    }
}

void mqtt_counts_init(mqtt_counts *c, tg_slice listener)
{
    memset(c, 0, sizeof(*c));
    snprintf(c->listener, sizeof(c->listener), "%.*s", (int)listener.len,
             listener.at != NULL ? listener.at : "");
    for (size_t i = 0; i < 16; i++) {
        const tg_label packet = {TG_LIT("packet"), tg_str(PACKETS[i])};
        c->cells[MQTT_N_received + i] =
            define(c, MQTT_FAM_packets_received_total, &packet, 1);
    }
    for (size_t i = 0; i < 16; i++) {
        const tg_label packet = {TG_LIT("packet"), tg_str(PACKETS[i])};
        c->cells[MQTT_N_sent + i] = define(c, MQTT_FAM_packets_sent_total, &packet, 1);
    }
    define_counters(c);
}

// "session taken over" is a person's; a label has underscores.
static tg_slice label_of(uint8_t reason, char *to, size_t room)
{
    const char *text = mqtt_reason_text(reason);
    size_t n = 0;
    for (; text[n] != '\0' && n < room; n++)
        to[n] =
            isalnum((unsigned char)text[n]) ? (char)tolower((unsigned char)text[n]) : '_';
    return (tg_slice){to, n};
}

void mqtt_counts_reason(mqtt_counts *c, mqtt_by_reason what, uint8_t reason)
{
    int at = mqtt_reason_index(reason);
    if (at < 0)
        return;
    _Atomic int64_t **cell = &c->by_reason[what][at];
    if (*cell == NULL) {
        char text[64];
        tg_label labels[] = {
            {TG_LIT("reason"), label_of(reason, text, sizeof(text))},
            {TG_LIT("by"), what == MQTT_R_CLIENT ? TG_LIT("client") : TG_LIT("server")}};
        *cell = what == MQTT_R_CONNACK ? define(c, MQTT_FAM_connacks_total, labels, 1)
                                       : define(c, MQTT_FAM_disconnects_total, labels, 2);
    }
    tg_count(*cell, 1);
}
