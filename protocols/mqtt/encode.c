// SPDX-License-Identifier: Apache-2.0
// Small packets are built in a buffer of fixed size, the properties first in one of their own,
// since their length stands before them. A PUBLISH is measured, then written once.
#include "encode.h"

#define PROPS_MAX (MQTT_SMALL - 16)

typedef struct props {
    mqtt_out out;
    uint8_t bytes[PROPS_MAX];
} props;

static void props_begin(props *p)
{
    p->out = (mqtt_out){p->bytes, p->bytes + PROPS_MAX};
}

static tg_slice props_done(const props *p)
{
    return (tg_slice){(const char *)p->bytes, (size_t)(p->out.at - p->bytes)};
}

// Cuts between characters, so that what is left is still UTF-8.
static tg_slice cut(tg_slice text)
{
    if (text.len <= MQTT_REASON_TEXT)
        return text;
    size_t len = MQTT_REASON_TEXT;
    while (len > 0 && ((uint8_t)text.at[len] & 0xc0) == 0x80)
        len--;
    return (tg_slice){text.at, len};
}

static void put_text(props *p, mqtt_prop id, tg_slice text)
{
    if (text.len > 0)
        mqtt_put_prop_text(&p->out, id, cut(text));
}

static void put_flag(props *p, mqtt_prop id, bool missing)
{
    if (missing)
        mqtt_put_prop_u8(&p->out, id, 0);
}

static mqtt_out begin(mqtt_small *to, uint8_t type, uint8_t flags, uint32_t rest)
{
    mqtt_out out = {to->bytes, to->bytes + MQTT_SMALL};
    mqtt_put_u8(&out, (uint8_t)(type << 4 | flags));
    mqtt_put_varint(&out, rest);
    return out;
}

static void put_props(mqtt_out *out, tg_slice p)
{
    mqtt_put_varint(out, (uint32_t)p.len);
    mqtt_put_bytes(out, p);
}

static size_t props_size(tg_slice p)
{
    return mqtt_varint_size((uint32_t)p.len) + p.len;
}

static void done(mqtt_small *to, const mqtt_out *out)
{
    to->len = (size_t)(out->at - to->bytes);
}

static tg_slice connack_props(const mqtt_connack *c, props *p)
{
    props_begin(p);
    if (c->expiry_set)
        mqtt_put_prop_u32(&p->out, MQTT_P_SESSION_EXPIRY, c->session_expiry);
    if (c->receive_max != 0 && c->receive_max != UINT16_MAX)
        mqtt_put_prop_u16(&p->out, MQTT_P_RECEIVE_MAX, c->receive_max);
    if (c->max_qos < 2)
        mqtt_put_prop_u8(&p->out, MQTT_P_MAX_QOS, c->max_qos);
    put_flag(p, MQTT_P_RETAIN_AVAILABLE, c->no_retain);
    if (c->max_packet != 0)
        mqtt_put_prop_u32(&p->out, MQTT_P_MAX_PACKET, c->max_packet);
    put_text(p, MQTT_P_ASSIGNED_ID, c->assigned_id);
    if (c->alias_max != 0)
        mqtt_put_prop_u16(&p->out, MQTT_P_ALIAS_MAX, c->alias_max);
    put_text(p, MQTT_P_REASON, c->text);
    put_flag(p, MQTT_P_WILDCARD_AVAILABLE, c->no_wildcards);
    put_flag(p, MQTT_P_SUB_IDS_AVAILABLE, c->no_sub_ids);
    put_flag(p, MQTT_P_SHARED_AVAILABLE, c->no_shared);
    if (c->keepalive_set)
        mqtt_put_prop_u16(&p->out, MQTT_P_SERVER_KEEPALIVE, c->keepalive);
    put_text(p, MQTT_P_RESPONSE_INFO, c->response_info);
    return props_done(p);
}

static void encode_connack_v3(uint8_t version, const mqtt_connack *c, mqtt_small *to)
{
    bool refused = c->reason >= MQTT_UNSPECIFIED;
    mqtt_out out = begin(to, MQTT_CONNACK, 0, 2);
    mqtt_put_u8(&out, c->present && version >= MQTT_V311); // reserved in MQTT 3.1
    mqtt_put_u8(&out, refused ? mqtt_reason_v3(c->reason) : 0);
    done(to, &out);
}

void mqtt_encode_connack(uint8_t version, const mqtt_connack *c, mqtt_small *to)
{
    if (version < MQTT_V5) {
        encode_connack_v3(version, c, to);
        return;
    }
    props p;
    tg_slice all = connack_props(c, &p);
    mqtt_out out = begin(to, MQTT_CONNACK, 0, (uint32_t)(2 + props_size(all)));
    mqtt_put_u8(&out, c->present);
    mqtt_put_u8(&out, c->reason);
    put_props(&out, all);
    done(to, &out);
}

void mqtt_encode_ack(uint8_t version, uint8_t type, uint16_t packet_id, uint8_t reason,
                     mqtt_small *to)
{
    bool plain = version < MQTT_V5 || reason == MQTT_SUCCESS;
    to->bytes[0] = (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0));
    to->bytes[1] = plain ? 2 : 3;
    to->bytes[2] = (uint8_t)(packet_id >> 8);
    to->bytes[3] = (uint8_t)packet_id;
    to->bytes[4] = reason;
    to->len = plain ? 4 : 5;
}

void mqtt_encode_disconnect(uint8_t reason, tg_slice text, mqtt_small *to)
{
    props p;
    props_begin(&p);
    put_text(&p, MQTT_P_REASON, text);
    tg_slice all = props_done(&p);
    uint32_t rest = (uint32_t)(1 + (all.len > 0 ? props_size(all) : 0));
    mqtt_out out = begin(to, MQTT_DISCONNECT, 0, rest);
    mqtt_put_u8(&out, reason);
    if (rest > 1)
        put_props(&out, all);
    done(to, &out);
}

static uint32_t codes_rest(uint8_t version, uint8_t type, size_t n)
{
    bool v5 = version >= MQTT_V5;
    return (uint32_t)(2 + v5 + (v5 || type == MQTT_SUBACK ? n : 0));
}

size_t mqtt_codes_size(uint8_t version, uint8_t type, size_t n)
{
    uint32_t rest = codes_rest(version, type, n);
    return 1 + mqtt_varint_size(rest) + rest;
}

uint8_t *mqtt_encode_codes(uint8_t version, uint8_t type, uint16_t packet_id, size_t n,
                           uint8_t *to)
{
    mqtt_out out = {to, to + mqtt_codes_size(version, type, n)};
    mqtt_put_u8(&out, (uint8_t)(type << 4));
    mqtt_put_varint(&out, codes_rest(version, type, n));
    mqtt_put_u16(&out, packet_id);
    if (version >= MQTT_V5)
        mqtt_put_u8(&out, 0); // no properties
    return out.at;
}

static size_t publish_props_len(const mqtt_publish *p)
{
    size_t len = p->props.len + (p->expiry_s != 0 ? 5 : 0) + (p->alias != 0 ? 3 : 0);
    for (uint16_t i = 0; i < p->nsub_ids; i++)
        len += 1 + mqtt_varint_size(p->sub_ids[i]);
    return len;
}

size_t mqtt_publish_measure(mqtt_publish *p)
{
    size_t fields = 2 + p->topic.len + (p->qos > 0 ? 2 : 0);
    if (p->version >= MQTT_V5) {
        size_t len = publish_props_len(p);
        if (len > MQTT_PACKET_MAX)
            return 0;
        p->props_len = (uint32_t)len;
        fields += mqtt_varint_size(p->props_len) + len;
    }
    if (fields > MQTT_PACKET_MAX - 5 || p->payload_len > MQTT_PACKET_MAX - 5 - fields)
        return 0;
    p->rest = (uint32_t)(fields + p->payload_len);
    size_t fixed = 1 + mqtt_varint_size(p->rest);
    p->head = fixed + fields;
    p->id_at = fixed + 2 + p->topic.len;
    return fixed + p->rest;
}

void mqtt_encode_publish(const mqtt_publish *p, uint8_t *to)
{
    mqtt_out out = {to, to + p->head};
    mqtt_put_u8(&out, (uint8_t)(MQTT_PUBLISH << 4 | p->dup << 3 | p->qos << 1 | p->retain));
    mqtt_put_varint(&out, p->rest);
    mqtt_put_text(&out, p->topic);
    if (p->qos > 0)
        mqtt_put_u16(&out, p->packet_id);
    if (p->version < MQTT_V5)
        return;
    mqtt_put_varint(&out, p->props_len);
    if (p->expiry_s != 0)
        mqtt_put_prop_u32(&out, MQTT_P_MESSAGE_EXPIRY, p->expiry_s);
    if (p->alias != 0)
        mqtt_put_prop_u16(&out, MQTT_P_ALIAS, p->alias);
    for (uint16_t i = 0; i < p->nsub_ids; i++) {
        mqtt_put_u8(&out, MQTT_P_SUB_ID);
        mqtt_put_varint(&out, p->sub_ids[i]);
    }
    mqtt_put_bytes(&out, p->props);
}
