// SPDX-License-Identifier: Apache-2.0
// Packets for people. The slices of a parsed packet lie in the bytes that were given, so their
// offsets are where they lie: there is no second description of the packets here.
#include "conn.h"

typedef struct notes {
    void (*emit)(void *ctx, const tg_field_note *note);
    void *ctx;
    tg_slice all;
} notes;

static void say(const notes *n, uint32_t depth, const char *name, tg_slice raw,
                tg_slice value)
{
    const tg_field_note note = {.size = sizeof(note),
                                .depth = depth,
                                .offset = (uint32_t)(raw.at - n->all.at),
                                .length = (uint32_t)raw.len,
                                .name = tg_str(name),
                                .raw = raw,
                                .value = value};
    n->emit(n->ctx, &note);
}

static void say_number(const notes *n, const char *name, tg_slice raw, uint32_t value)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", value);
    say(n, 1, name, raw, (tg_slice){text, (size_t)len});
}

// A string or binary field: its length stands before it.
static void say_field(const notes *n, const char *name, tg_slice s)
{
    say(n, 1, name, (tg_slice){s.at - 2, s.len + 2}, s);
}

static void say_reason(const notes *n, tg_slice raw, uint8_t reason)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "0x%02x %s", reason, mqtt_reason_text(reason));
    say(n, 1, "reason", raw, (tg_slice){text, (size_t)len});
}

static void say_props(const notes *n, const char *name, const mqtt_props *p)
{
    if (p->seen == 0)
        return;
    mqtt_in in = mqtt_in_of(p->raw);
    uint8_t id;
    tg_slice value;
    say(n, 1, name, p->raw, (tg_slice){0});
    while (mqtt_prop_next(&in, &id, &value)) {
        char text[256];
        size_t len = mqtt_prop_text(id, value, text, sizeof(text));
        say(n, 2, mqtt_prop_name(id), (tg_slice){value.at - 1, value.len + 1},
            (tg_slice){text, len});
    }
}

// The first bytes of what is behind the fixed header.
static tg_slice body(tg_slice packet, const mqtt_head *head, size_t at, size_t len)
{
    return (tg_slice){packet.at + head->len + at, len};
}

static void say_connect(const notes *n, tg_slice packet, const mqtt_head *head,
                        const mqtt_packet *p)
{
    const mqtt_connect_fields *c = &p->connect;
    tg_slice name = body(packet, head, 2, p->version == MQTT_V31 ? 6 : 4);
    say_field(n, "protocol", name);
    const char *at = name.at + name.len;
    say_number(n, "level", (tg_slice){at, 1}, p->version);
    char flags[64];
    int len = snprintf(flags, sizeof(flags), "0x%02x%s%s%s%s", c->flags,
                       (c->flags & MQTT_F_CLEAN) != 0 ? " clean" : "",
                       (c->flags & MQTT_F_WILL) != 0 ? " will" : "",
                       (c->flags & MQTT_F_USER) != 0 ? " user" : "",
                       (c->flags & MQTT_F_PASSWORD) != 0 ? " password" : "");
    say(n, 1, "flags", (tg_slice){at + 1, 1}, (tg_slice){flags, (size_t)len});
    say_number(n, "keep alive", (tg_slice){at + 2, 2}, c->keepalive);
    say_props(n, "properties", &p->props);
    say_field(n, "client id", c->client_id);
    if ((c->flags & MQTT_F_WILL) != 0) {
        say_props(n, "will properties", &c->will_props);
        say_field(n, "will topic", c->will_topic);
        say_field(n, "will payload", c->will_payload);
    }
    if ((c->flags & MQTT_F_USER) != 0)
        say_field(n, "user", c->user);
    if ((c->flags & MQTT_F_PASSWORD) != 0)
        say(n, 1, "password", (tg_slice){c->password.at - 2, 2}, TG_LIT("not shown"));
}

static void say_publish(const notes *n, tg_slice packet, const mqtt_head *head,
                        const mqtt_packet *p)
{
    (void)packet;
    (void)head;
    say_field(n, "topic", p->topic);
    if (p->qos > 0)
        say_number(n, "packet id", (tg_slice){p->topic.at + p->topic.len, 2}, p->packet_id);
    say_props(n, "properties", &p->props);
    say(n, 1, "payload", p->payload, p->payload);
}

static void say_connack(const notes *n, tg_slice packet, const mqtt_head *head,
                        const mqtt_packet *p)
{
    say_number(n, "session present", body(packet, head, 0, 1), p->present);
    if (p->version >= MQTT_V5)
        say_reason(n, body(packet, head, 1, 1), p->reason);
    else
        say_number(n, "return code", body(packet, head, 1, 1), p->reason);
    say_props(n, "properties", &p->props);
}

static void say_ack(const notes *n, tg_slice packet, const mqtt_head *head,
                    const mqtt_packet *p)
{
    say_number(n, "packet id", body(packet, head, 0, 2), p->packet_id);
    if (packet.len > head->len + 2u)
        say_reason(n, body(packet, head, 2, 1), p->reason);
    say_props(n, "properties", &p->props);
}

static void say_filters(const notes *n, tg_slice packet, const mqtt_head *head,
                        const mqtt_packet *p)
{
    mqtt_in in = mqtt_in_of(p->list);
    tg_slice filter;
    uint8_t options = 0;
    bool subscribes = p->type == MQTT_SUBSCRIBE;
    say_number(n, "packet id", body(packet, head, 0, 2), p->packet_id);
    say_props(n, "properties", &p->props);
    while (mqtt_filter_next(&in, &filter, subscribes ? &options : NULL)) {
        say_field(n, "filter", filter);
        if (subscribes)
            say_number(n, "QoS", (tg_slice){filter.at + filter.len, 1}, options & 3);
    }
}

static void say_codes(const notes *n, tg_slice packet, const mqtt_head *head,
                      const mqtt_packet *p)
{
    say_number(n, "packet id", body(packet, head, 0, 2), p->packet_id);
    say_props(n, "properties", &p->props);
    for (size_t i = 0; i < p->list.len; i++)
        say_reason(n, (tg_slice){p->list.at + i, 1}, (uint8_t)p->list.at[i]);
}

static void say_disconnect(const notes *n, tg_slice packet, const mqtt_head *head,
                           const mqtt_packet *p)
{
    if (packet.len > head->len)
        say_reason(n, body(packet, head, 0, 1), p->reason);
    say_props(n, "properties", &p->props);
}

static void (*const SAYERS[16])(const notes *n, tg_slice packet, const mqtt_head *head,
                                const mqtt_packet *p) = {
    [MQTT_CONNECT] = say_connect, [MQTT_CONNACK] = say_connack,
    [MQTT_PUBLISH] = say_publish, [MQTT_PUBACK] = say_ack,
    [MQTT_PUBREC] = say_ack,      [MQTT_PUBREL] = say_ack,
    [MQTT_PUBCOMP] = say_ack,     [MQTT_SUBSCRIBE] = say_filters,
    [MQTT_SUBACK] = say_codes,    [MQTT_UNSUBSCRIBE] = say_filters,
    [MQTT_UNSUBACK] = say_codes,  [MQTT_DISCONNECT] = say_disconnect,
    [MQTT_AUTH] = say_disconnect,
};

static void say_head(const notes *n, tg_slice packet, const mqtt_head *head)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%u bytes", head->size);
    if (head->type == MQTT_PUBLISH)
        len = snprintf(text, sizeof(text), "QoS %u%s%s, %u bytes", head->flags >> 1 & 3,
                       (head->flags & 1) != 0 ? ", retain" : "",
                       (head->flags & 8) != 0 ? ", dup" : "", head->size);
    say(n, 0, mqtt_type_name(head->type), packet, (tg_slice){text, (size_t)len});
}

// Without a CONNECT before them, packets do not say which version they are of: MQTT 5 is tried
// first, since its rules for properties rarely fit by chance.
static uint8_t parse(uint8_t *version, const mqtt_head *head, tg_slice packet,
                     mqtt_packet *p)
{
    uint8_t first = *version != 0 ? *version : MQTT_V5;
    uint8_t reason = mqtt_parse(first, head, packet, p);
    if (reason != 0 && *version == 0 && head->type != MQTT_CONNECT)
        reason = mqtt_parse(MQTT_V311, head, packet, p);
    if (head->type == MQTT_CONNECT)
        *version = p->version;
    return reason;
}

int mqtt_annotate(const tg_adapter *self, tg_slice bytes,
                  void (*emit)(void *ctx, const tg_field_note *note), void *ctx)
{
    const notes n = {emit, ctx, bytes};
    uint8_t version = 0;
    (void)self;
    while (bytes.len > 0) {
        mqtt_head head;
        mqtt_packet p;
        int rc = mqtt_head_parse(bytes, &head);
        if (rc < 0) {
            say(&n, 0, "malformed", bytes, TG_LIT("remaining length has no end"));
            return TG_E_MALFORMED;
        }
        if (rc == 0 || head.size > bytes.len) {
            say(&n, 0, "incomplete", bytes, TG_LIT("the packet goes on"));
            return 0;
        }
        tg_slice packet = {bytes.at, head.size};
        say_head(&n, packet, &head);
        if (parse(&version, &head, packet, &p) != 0) {
            say(&n, 1, "malformed", packet, tg_str(p.why));
            return TG_E_MALFORMED;
        }
        if (SAYERS[head.type] != NULL)
            SAYERS[head.type](&n, packet, &head, &p);
        bytes = (tg_slice){bytes.at + head.size, bytes.len - head.size};
    }
    return 0;
}
