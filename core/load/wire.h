// SPDX-License-Identifier: Apache-2.0
/// MQTT 3.1.1 and 5.0 from a client's side, just what a load generator sends and has to
/// understand. It is not shared with the broker's codec on purpose: a mistake that both sides
/// made would not be seen.
#ifndef TG_LOAD_WIRE_H
#define TG_LOAD_WIRE_H

#include "base/buf.h"

enum {
    TG_WIRE_CONNECT = 1,
    TG_WIRE_CONNACK,
    TG_WIRE_PUBLISH,
    TG_WIRE_PUBACK,
    TG_WIRE_PUBREC,
    TG_WIRE_PUBREL,
    TG_WIRE_PUBCOMP,
    TG_WIRE_SUBSCRIBE,
    TG_WIRE_SUBACK,
    TG_WIRE_PINGREQ = 12,
    TG_WIRE_PINGRESP,
    TG_WIRE_DISCONNECT,
};

enum { TG_WIRE_V4 = 4, TG_WIRE_V5 = 5, TG_WIRE_DUP = 8, TG_WIRE_MAX = 0xfffffff };

static inline void tg_wire_u16(tg_buf *b, unsigned n)
{
    char two[2] = {(char)(n >> 8), (char)n};
    tg_buf_put(b, two, 2);
}

static inline void tg_wire_text(tg_buf *b, tg_slice s)
{
    tg_wire_u16(b, (unsigned)s.len);
    tg_buf_put(b, s.at, s.len);
}

static inline char *tg_wire_head_at(char *to, unsigned type, unsigned flags, size_t rest)
{
    *to++ = (char)(type << 4 | flags);
    do {
        unsigned digit = rest % 128;
        rest /= 128;
        *to++ = (char)(digit | (rest > 0 ? 0x80 : 0));
    } while (rest > 0);
    return to;
}

static inline void tg_wire_head(tg_buf *b, unsigned type, unsigned flags, size_t rest)
{
    char head[5];
    tg_buf_put(b, head, (size_t)(tg_wire_head_at(head, type, flags, rest) - head));
}

typedef struct tg_wire_hello {
    unsigned version, keepalive_s;
    bool clean;
    uint32_t expiry_s; ///< 5.0: of the session
    tg_slice client_id, user, password; ///< user and password: at NULL: none
} tg_wire_hello;

static inline void tg_wire_connect(tg_buf *b, const tg_wire_hello *h)
{
    bool v5 = h->version == TG_WIRE_V5;
    size_t user = h->user.at != NULL ? 2 + h->user.len : 0;
    size_t password = h->password.at != NULL ? 2 + h->password.len : 0;
    tg_wire_head(b, TG_WIRE_CONNECT, 0,
                 10 + (v5 ? 6 : 0) + 2 + h->client_id.len + user + password);
    tg_wire_text(b, TG_LIT("MQTT"));
    tg_buf_putc(b, (char)h->version);
    tg_buf_putc(
        b, (char)((h->clean ? 2 : 0) | (user > 0 ? 0x80 : 0) | (password > 0 ? 0x40 : 0)));
    tg_wire_u16(b, h->keepalive_s);
    if (v5) {
        char expiry[6] = {5,
                          0x11,
                          (char)(h->expiry_s >> 24),
                          (char)(h->expiry_s >> 16),
                          (char)(h->expiry_s >> 8),
                          (char)h->expiry_s};
        tg_buf_put(b, expiry, sizeof(expiry));
    }
    tg_wire_text(b, h->client_id);
    if (user > 0)
        tg_wire_text(b, h->user);
    if (password > 0)
        tg_wire_text(b, h->password);
}

static inline void tg_wire_subscribe(tg_buf *b, unsigned version, unsigned id,
                                     tg_slice filter, unsigned qos)
{
    bool v5 = version == TG_WIRE_V5;
    tg_wire_head(b, TG_WIRE_SUBSCRIBE, 2, 5 + (v5 ? 1 : 0) + filter.len);
    tg_wire_u16(b, id);
    if (v5)
        tg_buf_putc(b, 0);
    tg_wire_text(b, filter);
    tg_buf_putc(b, (char)qos);
}

/// A PUBLISH but for its payload's bytes. @return where these go; NULL: out of memory.
static inline char *tg_wire_publish(tg_buf *b, unsigned version, tg_slice topic,
                                    unsigned flags, unsigned id, size_t payload)
{
    size_t props = version == TG_WIRE_V5 ? 1 : 0, ids = (flags & 6) != 0 ? 2 : 0;
    size_t rest = 2 + topic.len + ids + props + payload;
    char *start = tg_buf_reserve(b, 5 + rest), *to = start;
    if (to == NULL)
        return NULL;
    to = tg_wire_head_at(to, TG_WIRE_PUBLISH, flags, rest);
    *to++ = (char)(topic.len >> 8);
    *to++ = (char)topic.len;
    memcpy(to, topic.at, topic.len);
    to += topic.len;
    if (ids > 0) {
        *to++ = (char)(id >> 8);
        *to++ = (char)id;
    }
    if (props > 0)
        *to++ = 0;
    b->len += (size_t)(to - start) + payload;
    return to;
}

static inline void tg_wire_ack(tg_buf *b, unsigned type, unsigned id)
{
    char four[4] = {(char)(type << 4 | (type == TG_WIRE_PUBREL ? 2 : 0)), 2,
                    (char)(id >> 8), (char)id};
    tg_buf_put(b, four, 4);
}

static inline void tg_wire_bare(tg_buf *b, unsigned type) ///< PINGREQ, DISCONNECT
{
    tg_wire_head(b, type, 0, 0);
}

typedef struct tg_wire_packet {
    unsigned type, flags;
    tg_slice body;
} tg_wire_packet;

/// Takes a packet off the front of `in`. @return its bytes; 0 when it is not all there.
static inline size_t tg_wire_take(tg_slice in, tg_wire_packet *out)
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

static inline unsigned tg_wire_get16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/// A variable byte integer at `*at`, which moves behind it. @return false: cut or too long.
static inline bool tg_wire_varint(tg_slice in, size_t *at, size_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 28 && *at < in.len; shift += 7) {
        unsigned char c = (unsigned char)in.at[(*at)++];
        *out |= (size_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

#endif
