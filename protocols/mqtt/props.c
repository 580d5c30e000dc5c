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
    const char *name;
    uint8_t kind;
    uint8_t boolean; // only 0 and 1
    uint8_t nonzero;
    uint8_t repeats;
    uint16_t packets;
} row;

static const row ROWS[MQTT_P_COUNT] = {
    [MQTT_P_PAYLOAD_FORMAT] = {"payload format", U8, 1, 0, 0, PUBLISH | WILL},
    [MQTT_P_MESSAGE_EXPIRY] = {"message expiry", U32, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_CONTENT_TYPE] = {"content type", TEXT, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_RESPONSE_TOPIC] = {"response topic", TEXT, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_CORRELATION] = {"correlation data", BINARY, 0, 0, 0, PUBLISH | WILL},
    [MQTT_P_SUB_ID] = {"subscription identifier", VARINT, 0, 1, 0, PUBLISH | SUBSCRIBE},
    [MQTT_P_SESSION_EXPIRY] = {"session expiry", U32, 0, 0, 0,
                               CONNECT | CONNACK | DISCONNECT},
    [MQTT_P_ASSIGNED_ID] = {"assigned client id", TEXT, 0, 0, 0, CONNACK},
    [MQTT_P_SERVER_KEEPALIVE] = {"server keep alive", U16, 0, 0, 0, CONNACK},
    [MQTT_P_AUTH_METHOD] = {"authentication method", TEXT, 0, 0, 0,
                            CONNECT | CONNACK | AUTH},
    [MQTT_P_AUTH_DATA] = {"authentication data", BINARY, 0, 0, 0, CONNECT | CONNACK | AUTH},
    [MQTT_P_WANT_PROBLEM] = {"request problem information", U8, 1, 0, 0, CONNECT},
    [MQTT_P_WILL_DELAY] = {"will delay", U32, 0, 0, 0, WILL},
    [MQTT_P_WANT_RESPONSE] = {"request response information", U8, 1, 0, 0, CONNECT},
    [MQTT_P_RESPONSE_INFO] = {"response information", TEXT, 0, 0, 0, CONNACK},
    [MQTT_P_SERVER_REFERENCE] = {"server reference", TEXT, 0, 0, 0, CONNACK | DISCONNECT},
    [MQTT_P_REASON] = {"reason", TEXT, 0, 0, 0,
                       CONNACK | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH},
    [MQTT_P_RECEIVE_MAX] = {"receive maximum", U16, 0, 1, 0, CONNECT | CONNACK},
    [MQTT_P_ALIAS_MAX] = {"topic alias maximum", U16, 0, 0, 0, CONNECT | CONNACK},
    [MQTT_P_ALIAS] = {"topic alias", U16, 0, 0, 0, PUBLISH},
    [MQTT_P_MAX_QOS] = {"maximum QoS", U8, 1, 0, 0, CONNACK},
    [MQTT_P_RETAIN_AVAILABLE] = {"retain available", U8, 1, 0, 0, CONNACK},
    [MQTT_P_USER] = {"user property", PAIR, 0, 0, 1, ANY},
    [MQTT_P_MAX_PACKET] = {"maximum packet size", U32, 0, 1, 0, CONNECT | CONNACK},
    [MQTT_P_WILDCARD_AVAILABLE] = {"wildcard subscriptions", U8, 1, 0, 0, CONNACK},
    [MQTT_P_SUB_IDS_AVAILABLE] = {"subscription identifiers", U8, 1, 0, 0, CONNACK},
    [MQTT_P_SHARED_AVAILABLE] = {"shared subscriptions", U8, 1, 0, 0, CONNACK},
};

const char *mqtt_prop_name(uint8_t id)
{
    return ROWS[id].name;
}

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

bool mqtt_prop_next(mqtt_in *in, uint8_t *id, tg_slice *value)
{
    if (mqtt_left(in) == 0)
        return false;
    *id = mqtt_get_u8(in);
    const char *from = (const char *)in->at;
    skip_value(in, *id);
    *value = (tg_slice){from, (size_t)((const char *)in->at - from)};
    return in->reason == 0;
}

TG_PRINTF(3, 4) static size_t put(char *to, size_t room, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(to, room, fmt, args);
    va_end(args);
    return len < 0 ? 0 : (size_t)len < room ? (size_t)len : room - 1;
}

size_t mqtt_prop_text(uint8_t id, tg_slice value, char *to, size_t room)
{
    mqtt_in in = mqtt_in_of(value);
    tg_slice a, b;
    switch (ROWS[id].kind) {
    case PAIR:
        a = mqtt_get_binary(&in);
        b = mqtt_get_binary(&in);
        return put(to, room, "%.*s = %.*s", (int)a.len, a.at, (int)b.len, b.at);
    case TEXT:
        a = mqtt_get_binary(&in);
        return put(to, room, "%.*s", (int)a.len, a.at);
    case BINARY:
        a = mqtt_get_binary(&in);
        return put(to, room, "%zu bytes", a.len);
    default:
        return put(to, room, "%u", get_number(&in, &ROWS[id]));
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
