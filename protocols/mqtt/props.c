// SPDX-License-Identifier: Apache-2.0
// A property is its row in the table: kind of value, packets, range. The reader is one loop
// over rows, so that a rule is written once and holds in every packet.
#include "props.h"

typedef enum kind { NONE, U8, U16, U32, VARINT, TEXT, BINARY, PAIR } kind;

enum { // packet types, as bits
    WILL = 1 << MQTT_IN_WILL,
    CONNECT = 1 << 1,
    CONNACK = 1 << 2,
    PUBLISH = 1 << 3,
    ACKS = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7,
    SUBSCRIBE = 1 << 8,
    SUBACK = 1 << 9,
    UNSUBSCRIBE = 1 << 10,
    UNSUBACK = 1 << 11,
    DISCONNECT = 1 << 14,
    AUTH = 1 << 15,
    ANY = 0xffff,
};

typedef struct row {
    uint8_t kind;
    uint8_t boolean; // only 0 and 1
    uint8_t nonzero;
    uint8_t repeats;
    uint16_t packets;
} row;

static const row ROWS[MQTT_P_COUNT] = {
    [MQTT_P_PAYLOAD_FORMAT] = {U8, 1, 0, 0, PUBLISH | WILL},
    [MQTT_P_MESSAGE_EXPIRY] = {U32, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_CONTENT_TYPE] = {TEXT, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_RESPONSE_TOPIC] = {TEXT, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_CORRELATION] = {BINARY, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_SUB_ID] = {VARINT, 0, 1, 0, PUBLISH | SUBSCRIBE},
    [MQTT_P_SESSION_EXPIRY] = {U32, 0, 0, 0, CONNECT | CONNACK | DISCONNECT},
    [MQTT_P_ASSIGNED_ID] = {TEXT, 0, 0, 0, CONNACK},
    [MQTT_P_SERVER_KEEPALIVE] = {U16, 0, 0, 0, CONNACK},
    [MQTT_P_AUTH_METHOD] = {TEXT, 0, 0, 0, CONNECT | CONNACK | AUTH},
    [MQTT_P_AUTH_DATA] = {BINARY, 0, 0, 0, CONNECT | CONNACK | AUTH},
    [MQTT_P_WANT_PROBLEM] = {U8, 1, 0, 0, CONNECT},
    [MQTT_P_WILL_DELAY] = {U32, 0, 0, 0, WILL},
    [MQTT_P_WANT_RESPONSE] = {U8, 1, 0, 0, CONNECT},
    [MQTT_P_RESPONSE_INFO] = {TEXT, 0, 0, 0, CONNACK},
    [MQTT_P_SERVER_REFERENCE] = {TEXT, 0, 0, 0, CONNACK | DISCONNECT},
    [MQTT_P_REASON] = {TEXT, 0, 0, 0,
                       CONNACK | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH},
    [MQTT_P_RECEIVE_MAX] = {U16, 0, 1, 0, CONNECT | CONNACK},
    [MQTT_P_ALIAS_MAX] = {U16, 0, 0, 0, CONNECT | CONNACK},
    [MQTT_P_ALIAS] = {U16, 0, 0, 0, PUBLISH},
    [MQTT_P_MAX_QOS] = {U8, 1, 0, 0, CONNACK},
    [MQTT_P_RETAIN_AVAILABLE] = {U8, 1, 0, 0, CONNACK},
    [MQTT_P_USER] = {PAIR, 0, 0, 1, ANY},
    [MQTT_P_MAX_PACKET] = {U32, 0, 1, 0, CONNECT | CONNACK},
    [MQTT_P_WILDCARD_AVAILABLE] = {U8, 1, 0, 0, CONNACK},
    [MQTT_P_SUB_IDS_AVAILABLE] = {U8, 1, 0, 0, CONNACK},
    [MQTT_P_SHARED_AVAILABLE] = {U8, 1, 0, 0, CONNACK},
};

#define CARRIED                                                                            \
    (MQTT_BIT(MQTT_P_PAYLOAD_FORMAT) | MQTT_BIT(MQTT_P_CONTENT_TYPE) |                     \
     MQTT_BIT(MQTT_P_RESPONSE_TOPIC) | MQTT_BIT(MQTT_P_CORRELATION) |                      \
     MQTT_BIT(MQTT_P_USER))

static uint32_t get_number(mqtt_in *in, const row *r)
{
    uint32_t n = r->kind == U8    ? mqtt_get_u8(in)
                 : r->kind == U16 ? mqtt_get_u16(in)
                 : r->kind == U32 ? mqtt_get_u32(in)
                                  : mqtt_get_varint(in);
    if (in->reason == 0 && ((r->boolean && n > 1) || (r->nonzero && n == 0)))
        mqtt_bad(in, MQTT_PROTOCOL, "property value out of range");
    return n;
}

static void get_value(mqtt_in *in, uint8_t id, mqtt_props *out)
{
    const row *r = &ROWS[id];
    switch (r->kind) {
    case PAIR:
        mqtt_get_text(in);
        mqtt_get_text(in);
        break;
    case TEXT:
        out->at[id].bytes = mqtt_get_text(in);
        break;
    case BINARY:
        out->at[id].bytes = mqtt_get_binary(in);
        break;
    default:
        out->at[id].number = get_number(in, r);
    }
}

static void get_prop(mqtt_in *in, unsigned packet, mqtt_props *out)
{
    // Every identifier fits the first byte of its variable byte integer.
    uint8_t id = mqtt_get_u8(in);
    if (id >= MQTT_P_COUNT || (ROWS[id].packets >> packet & 1) == 0) {
        mqtt_bad(in, MQTT_MALFORMED, "property does not belong into this packet");
        return;
    }
    // A server may send one identifier per matching subscription; a client none at all.
    bool repeats = ROWS[id].repeats || (id == MQTT_P_SUB_ID && packet == 3);
    if (mqtt_has(out, id) && !repeats) {
        mqtt_bad(in, MQTT_PROTOCOL, "property given twice");
        return;
    }
    out->seen |= MQTT_BIT(id);
    get_value(in, id, out);
}

void mqtt_props_get(mqtt_in *in, unsigned packet, mqtt_props *out)
{
    out->seen = 0;
    uint32_t len = mqtt_get_varint(in);
    out->raw = mqtt_get_bytes(in, len);
    if (len == 0 || in->reason != 0)
        return;
    mqtt_in inner = mqtt_in_of(out->raw);
    while (mqtt_left(&inner) > 0)
        get_prop(&inner, packet, out);
    if (inner.reason != 0)
        mqtt_bad(in, inner.reason, inner.why);
}

// Steps over the value of a property that was checked before.
static void skip_value(mqtt_in *in, uint8_t id)
{
    switch (ROWS[id].kind) {
    case U8:
        mqtt_get_u8(in);
        break;
    case U16:
        mqtt_get_u16(in);
        break;
    case U32:
        mqtt_get_u32(in);
        break;
    case VARINT:
        mqtt_get_varint(in);
        break;
    case PAIR:
        mqtt_get_binary(in);
        mqtt_get_binary(in);
        break;
    default:
        mqtt_get_binary(in);
    }
}

bool mqtt_props_all_carried(const mqtt_props *p)
{
    return (p->seen & ~CARRIED) == 0;
}

tg_slice mqtt_props_carried(const mqtt_props *p, char *to)
{
    if (p->seen == 0)
        return (tg_slice){0};
    if (mqtt_props_all_carried(p))
        return p->raw;
    mqtt_in in = mqtt_in_of(p->raw);
    size_t len = 0;
    while (mqtt_left(&in) > 0) {
        const uint8_t *from = in.at;
        uint8_t id = mqtt_get_u8(&in);
        skip_value(&in, id);
        if ((MQTT_BIT(id) & CARRIED) == 0)
            continue;
        memcpy(to + len, from, (size_t)(in.at - from));
        len += (size_t)(in.at - from);
    }
    assert(in.reason == 0);
    return (tg_slice){to, len};
}

bool mqtt_user_next(mqtt_in *in, tg_slice *name, tg_slice *value)
{
    while (mqtt_left(in) > 0) {
        uint8_t id = mqtt_get_u8(in);
        if (id == MQTT_P_USER) {
            *name = mqtt_get_binary(in);
            *value = mqtt_get_binary(in);
            return true;
        }
        skip_value(in, id);
    }
    return false;
}

void mqtt_put_prop_u8(mqtt_out *out, mqtt_prop id, uint8_t n)
{
    mqtt_put_u8(out, (uint8_t)id);
    mqtt_put_u8(out, n);
}

void mqtt_put_prop_u16(mqtt_out *out, mqtt_prop id, uint16_t n)
{
    mqtt_put_u8(out, (uint8_t)id);
    mqtt_put_u16(out, n);
}

void mqtt_put_prop_u32(mqtt_out *out, mqtt_prop id, uint32_t n)
{
    mqtt_put_u8(out, (uint8_t)id);
    mqtt_put_u32(out, n);
}

void mqtt_put_prop_text(mqtt_out *out, mqtt_prop id, tg_slice s)
{
    mqtt_put_u8(out, (uint8_t)id);
    mqtt_put_text(out, s);
}
