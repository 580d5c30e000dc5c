// SPDX-License-Identifier: Apache-2.0
/// MQTT 3.1.1 from a client's side, just what a load generator sends and has to understand.
#ifndef TG_BENCH_MQTT_WIRE_H
#define TG_BENCH_MQTT_WIRE_H

#include "base/buf.h"

enum {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_DISCONNECT = 14,
};

static inline void put_u16(tg_buf *b, unsigned n)
{
    char two[2] = {(char)(n >> 8), (char)n};
    tg_buf_put(b, two, 2);
}

static inline void put_text(tg_buf *b, tg_slice s)
{
    put_u16(b, (unsigned)s.len);
    tg_buf_put(b, s.at, s.len);
}

static inline void put_head(tg_buf *b, unsigned type, unsigned flags, size_t rest)
{
    tg_buf_putc(b, (char)(type << 4 | flags));
    do {
        unsigned digit = rest % 128;
        rest /= 128;
        tg_buf_putc(b, (char)(digit | (rest > 0 ? 0x80 : 0)));
    } while (rest > 0);
}

static inline void put_connect(tg_buf *b, tg_slice client_id, unsigned keepalive_s)
{
    put_head(b, MQTT_CONNECT, 0, 12 + client_id.len);
    put_text(b, TG_LIT("MQTT"));
    tg_buf_put(b, "\4\2", 2); // 3.1.1, clean session
    put_u16(b, keepalive_s);
    put_text(b, client_id);
}

static inline void put_subscribe(tg_buf *b, unsigned id, tg_slice filter, unsigned qos)
{
    put_head(b, MQTT_SUBSCRIBE, 2, 5 + filter.len);
    put_u16(b, id);
    put_text(b, filter);
    tg_buf_putc(b, (char)qos);
}

/// Everything of a PUBLISH but its payload.
static inline void put_publish(tg_buf *b, tg_slice topic, unsigned qos, bool retain,
                               unsigned id, size_t payload)
{
    put_head(b, MQTT_PUBLISH, qos << 1 | retain,
             2 + topic.len + (qos > 0 ? 2 : 0) + payload);
    put_text(b, topic);
    if (qos > 0)
        put_u16(b, id);
}

static inline void put_ack(tg_buf *b, unsigned type, unsigned id)
{
    char four[4] = {(char)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)), 2, (char)(id >> 8),
                    (char)id};
    tg_buf_put(b, four, 4);
}

typedef struct mqtt_packet {
    unsigned type, flags;
    tg_slice body;
} mqtt_packet;

/// Takes a packet off the front of `in`. @return its bytes; 0 when it is not all there.
static inline size_t take_packet(tg_slice in, mqtt_packet *out)
{
    size_t len = 0, at = 1;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        if (at >= in.len)
            return 0;
        unsigned char c = (unsigned char)in.at[at++];
        len |= (size_t)(c & 127) << shift;
        if (c < 128)
            break;
    }
    if (in.len - at < len)
        return 0;
    out->type = (unsigned char)in.at[0] >> 4;
    out->flags = in.at[0] & 15;
    out->body = (tg_slice){in.at + at, len};
    return at + len;
}

static inline unsigned get_u16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

#endif
