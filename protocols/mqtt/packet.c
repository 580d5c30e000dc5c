// SPDX-License-Identifier: Apache-2.0
// One function per packet type behind a table; what all share (fixed header, packet identifier,
// properties) is written once. Nothing here looks past the packet or keeps anything of it.
#include "packet.h"

int mqtt_head_parse(tg_slice bytes, mqtt_head *out)
{
    const uint8_t *at = (const uint8_t *)bytes.at;
    uint32_t rest = 0;
    for (unsigned i = 1; i <= 4; i++) {
        if (i >= bytes.len)
            return 0;
        rest |= (uint32_t)(at[i] & 0x7f) << (7 * (i - 1));
        if ((at[i] & 0x80) != 0)
            continue;
        *out = (mqtt_head){.type = at[0] >> 4,
                           .flags = at[0] & 0x0f,
                           .len = (uint8_t)(i + 1),
                           .shortest = i == 1 || at[i] != 0,
                           .size = rest + i + 1};
        return 1;
    }
    return -1;
}

static void get_packet_id(mqtt_in *in, mqtt_packet *p)
{
    p->packet_id = mqtt_get_u16(in);
    if (p->packet_id == 0)
        mqtt_bad(in, MQTT_PROTOCOL, "packet identifier is 0");
}

static void get_props(mqtt_in *in, mqtt_packet *p)
{
    if (p->version >= MQTT_V5)
        mqtt_props_get(in, p->type, &p->props);
}

static void expect_end(mqtt_in *in)
{
    if (mqtt_left(in) > 0)
        mqtt_bad(in, MQTT_MALFORMED, "bytes after the last field");
}

// MQTT 5.0 §3.1.2.1, 3.1.1 §3.1.2.1: name and level say together what the client speaks. Bridges
// of other brokers first try a level with its highest bit set, and without it when they are told
// in that level's own words that it is not spoken.
static void get_protocol(mqtt_in *in, mqtt_packet *p)
{
    p->version = 0;
    tg_slice name = mqtt_get_text(in);
    uint8_t level = mqtt_get_u8(in);
    bool old = tg_slice_eq(name, TG_LIT("MQIsdp"));
    if (in->reason != 0)
        return;
    if (!old && !tg_slice_eq(name, TG_LIT("MQTT"))) {
        mqtt_bad(in, MQTT_BAD_VERSION, "unknown protocol name");
        return;
    }
    p->version = (level & 0x7f) >= MQTT_V5 ? MQTT_V5 : MQTT_V311; // a refusal's words
    if (old ? level != MQTT_V31 : level != MQTT_V311 && level != MQTT_V5)
        mqtt_bad(in, MQTT_BAD_VERSION, "unsupported protocol level");
    else
        p->version = level;
}

static void check_connect_flags(mqtt_in *in, const mqtt_packet *p)
{
    uint8_t flags = p->connect.flags;
    if ((flags & 1) != 0 && p->version != MQTT_V31)
        mqtt_bad(in, MQTT_MALFORMED, "reserved CONNECT flag is set");
    if ((flags & MQTT_F_WILL_QOS) == MQTT_F_WILL_QOS)
        mqtt_bad(in, MQTT_MALFORMED, "will QoS is 3");
    if ((flags & MQTT_F_WILL) == 0 && (flags & (MQTT_F_WILL_QOS | MQTT_F_WILL_RETAIN)) != 0)
        mqtt_bad(in, MQTT_MALFORMED, "will flags without a will");
    if (p->version < MQTT_V5 &&
        (flags & (MQTT_F_PASSWORD | MQTT_F_USER)) == MQTT_F_PASSWORD)
        mqtt_bad(in, MQTT_MALFORMED, "password without a user name");
}

static void check_connect_props(mqtt_in *in, const mqtt_packet *p)
{
    if (p->version >= MQTT_V5 && mqtt_has(&p->props, MQTT_P_AUTH_DATA) &&
        !mqtt_has(&p->props, MQTT_P_AUTH_METHOD))
        mqtt_bad(in, MQTT_PROTOCOL, "authentication data without a method");
}

static void check_response_topic(mqtt_in *in, const mqtt_props *props)
{
    if (in->reason != 0 || !mqtt_has(props, MQTT_P_RESPONSE_TOPIC))
        return;
    tg_slice topic = props->at[MQTT_P_RESPONSE_TOPIC].bytes;
    if (topic.len == 0 || mqtt_has_wildcard(topic))
        mqtt_bad(in, MQTT_PROTOCOL, "response topic is no topic name");
}

static void get_will(mqtt_in *in, mqtt_packet *p)
{
    mqtt_connect_fields *c = &p->connect;
    c->will_props.seen = 0;
    if ((c->flags & MQTT_F_WILL) == 0)
        return;
    if (p->version >= MQTT_V5)
        mqtt_props_get(in, MQTT_IN_WILL, &c->will_props);
    c->will_topic = mqtt_get_topic(in);
    c->will_payload = mqtt_get_binary(in);
    if (in->reason == 0 && c->will_topic.len == 0)
        mqtt_bad(in, MQTT_BAD_TOPIC, "will topic is empty");
    check_response_topic(in, &c->will_props);
}

static void parse_connect(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    get_protocol(in, p);
    mqtt_connect_fields *c = &p->connect;
    c->flags = mqtt_get_u8(in);
    c->keepalive = mqtt_get_u16(in);
    c->will_topic = c->will_payload = c->user = c->password = (tg_slice){0};
    if (in->reason == 0)
        check_connect_flags(in, p);
    if (p->version >= MQTT_V5 && !head->shortest)
        mqtt_bad(in, MQTT_MALFORMED, "remaining length is longer than it must be");
    get_props(in, p);
    check_connect_props(in, p);
    c->client_id = mqtt_get_text(in);
    get_will(in, p);
    if ((c->flags & MQTT_F_USER) != 0)
        c->user = mqtt_get_text(in);
    if ((c->flags & MQTT_F_PASSWORD) != 0)
        c->password = mqtt_get_binary(in);
    expect_end(in);
}

static void get_reason(mqtt_in *in, mqtt_packet *p)
{
    p->reason = mqtt_get_u8(in);
    if (in->reason == 0 && !mqtt_reason_allowed(p->reason, p->type))
        mqtt_bad(in, MQTT_PROTOCOL, "reason code does not belong into this packet");
}

static void parse_connack(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    (void)head;
    p->present = mqtt_get_u8(in);
    if (p->present > 1)
        mqtt_bad(in, MQTT_MALFORMED, "reserved CONNACK flags are set");
    if (p->version >= MQTT_V5)
        get_reason(in, p);
    else
        p->reason = mqtt_get_u8(in);
    get_props(in, p);
    expect_end(in);
}

static void parse_publish(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    p->qos = head->flags >> 1 & 3;
    p->retain = head->flags & 1;
    p->dup = head->flags >> 3;
    if (p->qos == 3)
        mqtt_bad(in, MQTT_MALFORMED, "QoS is 3");
    if (p->qos == 0 && p->dup && p->version != MQTT_V31)
        mqtt_bad(in, MQTT_MALFORMED, "DUP is set with QoS 0");
    p->topic = mqtt_get_topic(in);
    if (p->qos > 0)
        get_packet_id(in, p);
    get_props(in, p);
    if (p->version >= MQTT_V5)
        check_response_topic(in, &p->props);
    // An empty topic stands for its alias (MQTT 5.0 §3.3.2.3.4).
    if (in->reason == 0 && p->topic.len == 0 && !mqtt_has(&p->props, MQTT_P_ALIAS))
        mqtt_bad(in, p->version >= MQTT_V5 ? MQTT_PROTOCOL : MQTT_BAD_TOPIC,
                 "topic name is empty");
    p->payload = mqtt_get_bytes(in, mqtt_left(in));
}

// MQTT 5.0 §3.4.2.1: a reason of 0 may be left out, and the properties with it.
static void parse_ack(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    (void)head;
    get_packet_id(in, p);
    p->reason = MQTT_SUCCESS;
    if (p->version >= MQTT_V5 && mqtt_left(in) > 0)
        get_reason(in, p);
    if (p->version >= MQTT_V5 && mqtt_left(in) > 0)
        get_props(in, p);
    expect_end(in);
}

static void check_sub_options(mqtt_in *in, const mqtt_packet *p, uint8_t options)
{
    bool v5 = p->version >= MQTT_V5;
    if ((options & (v5 ? 0xc0 : 0xfc)) != 0)
        mqtt_bad(in, MQTT_MALFORMED, "reserved subscription options are set");
    if ((options & MQTT_SUB_QOS) == 3)
        mqtt_bad(in, v5 ? MQTT_PROTOCOL : MQTT_MALFORMED, "requested QoS is 3");
    if ((options & MQTT_SUB_RETAIN) == MQTT_SUB_RETAIN)
        mqtt_bad(in, MQTT_PROTOCOL, "retain handling is 3");
}

static void parse_filters(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    get_packet_id(in, p);
    get_props(in, p);
    p->list = (tg_slice){(const char *)in->at, mqtt_left(in)};
    if (in->reason == 0 && p->list.len == 0)
        mqtt_bad(in, MQTT_PROTOCOL, "no topic filter");
    while (mqtt_left(in) > 0) {
        tg_slice filter = mqtt_get_text(in);
        uint8_t options = head->type == MQTT_SUBSCRIBE ? mqtt_get_u8(in) : 0;
        if (in->reason != 0)
            return;
        check_sub_options(in, p, options);
        // §4.8.2: each of a group would lose what its own members publish.
        if ((options & MQTT_SUB_NO_LOCAL) != 0 && filter.len >= 7 &&
            memcmp(filter.at, "$share/", 7) == 0)
            mqtt_bad(in, MQTT_PROTOCOL, "no local on a shared subscription");
    }
}

static void parse_codes(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    get_packet_id(in, p);
    get_props(in, p);
    // MQTT 3 has no codes in an UNSUBACK.
    if (head->type == MQTT_UNSUBACK && p->version < MQTT_V5)
        expect_end(in);
    p->list = mqtt_get_bytes(in, mqtt_left(in));
}

static void parse_nothing(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    (void)head;
    (void)p;
    expect_end(in);
}

static void parse_disconnect(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    (void)head;
    p->reason = MQTT_SUCCESS;
    if (p->version >= MQTT_V5 && mqtt_left(in) > 0)
        get_reason(in, p);
    if (p->version >= MQTT_V5 && mqtt_left(in) > 0)
        get_props(in, p);
    expect_end(in);
}

static void parse_auth(mqtt_in *in, const mqtt_head *head, mqtt_packet *p)
{
    if (p->version < MQTT_V5)
        mqtt_bad(in, MQTT_MALFORMED, "packet type 15 is reserved");
    parse_disconnect(in, head, p);
}

static const struct {
    const char *name;
    void (*parse)(mqtt_in *in, const mqtt_head *head, mqtt_packet *p);
    uint8_t flags; // the only value that the reserved flags may have
} TYPES[16] = {
    [0] = {"reserved", NULL, 0},
    [MQTT_CONNECT] = {"CONNECT", parse_connect, 0},
    [MQTT_CONNACK] = {"CONNACK", parse_connack, 0},
    [MQTT_PUBLISH] = {"PUBLISH", parse_publish, 0},
    [MQTT_PUBACK] = {"PUBACK", parse_ack, 0},
    [MQTT_PUBREC] = {"PUBREC", parse_ack, 0},
    [MQTT_PUBREL] = {"PUBREL", parse_ack, 2},
    [MQTT_PUBCOMP] = {"PUBCOMP", parse_ack, 0},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", parse_filters, 2},
    [MQTT_SUBACK] = {"SUBACK", parse_codes, 0},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", parse_filters, 2},
    [MQTT_UNSUBACK] = {"UNSUBACK", parse_codes, 0},
    [MQTT_PINGREQ] = {"PINGREQ", parse_nothing, 0},
    [MQTT_PINGRESP] = {"PINGRESP", parse_nothing, 0},
    [MQTT_DISCONNECT] = {"DISCONNECT", parse_disconnect, 0},
    [MQTT_AUTH] = {"AUTH", parse_auth, 0},
};

// MQTT 3.1 §2.1 lets a client repeat these with DUP; later versions reserve all four flags.
static bool flags_fit(uint8_t version, const mqtt_head *head)
{
    uint8_t want = TYPES[head->type].flags;
    uint8_t dup = version == MQTT_V31 && want == 2 ? 8 : 0;
    return head->type == MQTT_PUBLISH || (head->flags & ~dup) == want;
}

uint8_t mqtt_parse(uint8_t version, const mqtt_head *head, tg_slice bytes, mqtt_packet *out)
{
    assert(bytes.len == head->size);
    mqtt_in in = mqtt_in_of((tg_slice){bytes.at + head->len, bytes.len - head->len});
    out->type = head->type;
    out->version = version;
    out->why = NULL;
    out->props.seen = 0;
    if (head->type == 0)
        mqtt_bad(&in, MQTT_MALFORMED, "packet type 0 is reserved");
    else if (!flags_fit(version, head))
        mqtt_bad(&in, MQTT_MALFORMED, "reserved flags are wrong");
    else if (version >= MQTT_V5 && !head->shortest)
        mqtt_bad(&in, MQTT_MALFORMED, "remaining length is longer than it must be");
    if (in.reason == 0)
        TYPES[head->type].parse(&in, head, out);
    else if (head->type == MQTT_CONNECT)
        out->version = 0;
    out->why = in.why;
    return in.reason;
}

bool mqtt_filter_next(mqtt_in *in, tg_slice *filter, uint8_t *options)
{
    if (mqtt_left(in) == 0)
        return false;
    *filter = mqtt_get_binary(in);
    if (options != NULL)
        *options = mqtt_get_u8(in);
    return true;
}

const char *mqtt_type_name(uint8_t type)
{
    return TYPES[type & 15].name;
}
