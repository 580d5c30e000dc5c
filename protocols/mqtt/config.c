// SPDX-License-Identifier: Apache-2.0
// A row per option. The plugin's own config comes through the host's schema; a listener's
// options come as they were written, so durations and sizes are read here as well.
#include "config.h"

#include <stddef.h>

#include "packet.h"

typedef enum kind { FLAG, NUMBER, SECONDS, BYTES, TEXT } kind;

typedef struct option {
    const char *name;
    kind kind;
    size_t at;
    int64_t min, max;
} option;

#define AT(member) offsetof(mqtt_config, member)

static const option OPTIONS[] = {
    {"max_packet_size", BYTES, AT(max_packet), 128, MQTT_PACKET_MAX},
    {"max_connect_size", BYTES, AT(max_connect), 128, MQTT_PACKET_MAX},
    {"session_expiry_max", SECONDS, AT(session_expiry_max), 0, UINT32_MAX},
    {"keepalive_max", SECONDS, AT(keepalive_max), 0, UINT16_MAX},
    {"receive_maximum", NUMBER, AT(receive_max), 1, UINT16_MAX},
    {"topic_alias_maximum", NUMBER, AT(alias_max), 0, 1024},
    {"topic_alias_out", NUMBER, AT(alias_out), 0, 1024},
    {"client_id_max", NUMBER, AT(client_id_max), 23, UINT16_MAX},
    {"max_qos", NUMBER, AT(max_qos), 0, 2},
    {"retain", FLAG, AT(retain), 0, 1},
    {"wildcard_subscriptions", FLAG, AT(wildcards), 0, 1},
    {"shared_subscriptions", FLAG, AT(shared), 0, 1},
    {"subscription_ids", FLAG, AT(sub_ids), 0, 1},
    {"assign_client_id", FLAG, AT(assign_client_id), 0, 1},
    {"reason_strings", FLAG, AT(reason_strings), 0, 1},
    {"check_payload_format", FLAG, AT(check_payload), 0, 1},
    {"response_information", TEXT, AT(response_info), 0, 0},
};

void mqtt_config_default(mqtt_config *c)
{
    memset(c, 0, sizeof(*c));
    c->max_packet = 1 << 20;
    c->max_connect = 128 << 10;
    c->session_expiry_max = 7 * 86400;
    c->receive_max = 256;
    c->alias_max = 16;
    c->alias_out = 16;
    c->client_id_max = 256;
    c->max_qos = 2;
    c->retain = c->wildcards = c->shared = c->sub_ids = 1;
    c->assign_client_id = c->reason_strings = 1;
}

// "90s", "64KiB": a number and a unit of `units` (name, factor, …). @return -1 for neither.
typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

static int64_t quantity(tg_slice text, const unit *units)
{
    int64_t n = 0;
    size_t i = 0;
    for (; i < text.len && text.at[i] >= '0' && text.at[i] <= '9' && n < 1000000000000; i++)
        n = n * 10 + (text.at[i] - '0');
    if (i == 0)
        return -1;
    tg_slice rest = {text.at + i, text.len - i};
    for (const unit *u = units; u->name != NULL; u++)
        if (tg_slice_eq(rest, tg_str(u->name)))
            return __builtin_mul_overflow(n, u->factor, &n) ? -1 : n;
    return -1;
}

static int64_t seconds(const tg_value *v, bool plain)
{
    static const unit UNITS[] = {{"", 1},     {"s", 1},     {"m", 60},
                                 {"h", 3600}, {"d", 86400}, {NULL, 0}};
    if (v->kind == TG_STR)
        return quantity(v->string, UNITS);
    if (v->kind != TG_INT || v->integer < 0)
        return -1;
    return plain ? v->integer / 1000 : v->integer;
}

static int64_t bytes(const tg_value *v)
{
    static const unit UNITS[] = {
        {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
    if (v->kind == TG_STR)
        return quantity(v->string, UNITS);
    return v->kind == TG_INT ? v->integer : -1;
}

static int64_t number(const option *o, const tg_value *v, bool plain)
{
    switch (o->kind) {
    case SECONDS:
        return seconds(v, plain);
    case BYTES:
        return bytes(v);
    default:
        return v->kind == TG_INT ? v->integer : -1;
    }
}

static bool set_text(char *to, size_t room, const tg_value *v)
{
    if (v->kind != TG_STR || v->string.len >= room || !mqtt_utf8_valid(v->string))
        return false;
    memset(to, 0, room);
    memcpy(to, v->string.at, v->string.len);
    return true;
}

static bool set(mqtt_config *c, const option *o, const tg_value *v, bool plain)
{
    char *to = (char *)c + o->at;
    if (o->kind == TEXT)
        return set_text(to, sizeof(c->response_info), v);
    if (o->kind == FLAG) {
        *to = (char)(v->kind == TG_BOOL && v->boolean);
        return v->kind == TG_BOOL;
    }
    int64_t n = number(o, v, plain);
    if (n < o->min || n > o->max)
        return false;
    memcpy(to, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
    return true;
}

static const option *find(tg_slice name)
{
    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++)
        if (tg_slice_eq(name, tg_str(OPTIONS[i].name)))
            return &OPTIONS[i];
    return NULL;
}

int mqtt_config_read(mqtt_config *c, const tg_value *v, bool plain, char *error, size_t len)
{
    for (size_t i = 0; v != NULL && v->kind == TG_MAP && i < v->map.count; i++) {
        const tg_pair *pair = &v->map.pairs[i];
        const option *o = find(pair->key);
        if (o != NULL && (pair->value.kind == TG_NIL || set(c, o, &pair->value, plain)))
            continue;
        snprintf(error, len, "%.*s: %s", (int)pair->key.len, pair->key.at,
                 o == NULL ? "no such option" : "wrong value");
        return TG_E_INVAL;
    }
    // A session without limit is 0 in the config, as "no limit" is everywhere.
    if (c->session_expiry_max == 0)
        c->session_expiry_max = MQTT_EXPIRY_NEVER;
    return 0;
}
