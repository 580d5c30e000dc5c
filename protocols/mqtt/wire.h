// SPDX-License-Identifier: Apache-2.0
/// The data representations of MQTT 5.0 §1.5, read and written. A reader remembers the first
/// thing that was wrong and gives zeros from then on, so that a parser checks once at its end;
/// a writer asserts its room, since every caller knows the size before it writes.
#ifndef MQTT_WIRE_H
#define MQTT_WIRE_H

#include <assert.h>

#include <tidegate.h>

#include "reason.h"

typedef struct mqtt_in {
    const uint8_t *at;
    const uint8_t *end;
    const char *why; ///< literal; NULL while all is well
    uint8_t reason; ///< mqtt_reason; 0 while all is well
} mqtt_in;

static inline mqtt_in mqtt_in_of(tg_slice s)
{
    const uint8_t *at = (const uint8_t *)s.at;
    return (mqtt_in){.at = at, .end = at == NULL ? NULL : at + s.len};
}

static inline size_t mqtt_left(const mqtt_in *in)
{
    return (size_t)(in->end - in->at);
}

/// Remembers the first mistake and ends the reading.
void mqtt_bad(mqtt_in *in, uint8_t reason, const char *why);

static inline bool mqtt_get_room(mqtt_in *in, size_t len)
{
    if (mqtt_left(in) >= len)
        return true;
    mqtt_bad(in, MQTT_MALFORMED, "packet ends inside a field");
    return false;
}

static inline uint8_t mqtt_get_u8(mqtt_in *in)
{
    return mqtt_get_room(in, 1) ? *in->at++ : 0;
}

static inline uint16_t mqtt_get_u16(mqtt_in *in)
{
    if (!mqtt_get_room(in, 2))
        return 0;
    uint16_t n = (uint16_t)(in->at[0] << 8 | in->at[1]);
    in->at += 2;
    return n;
}

static inline tg_slice mqtt_get_bytes(mqtt_in *in, size_t len)
{
    if (!mqtt_get_room(in, len))
        return (tg_slice){0};
    tg_slice s = {(const char *)in->at, len};
    in->at += len;
    return s;
}

static inline tg_slice mqtt_get_binary(mqtt_in *in) ///< §1.5.6
{
    uint16_t len = mqtt_get_u16(in);
    return mqtt_get_bytes(in, len);
}

uint32_t mqtt_get_u32(mqtt_in *in);
uint32_t mqtt_get_varint(mqtt_in *in); ///< §1.5.5, shortest form only
tg_slice mqtt_get_text(mqtt_in *in); ///< §1.5.4: well-formed UTF-8 without U+0000
tg_slice mqtt_get_topic(mqtt_in *in); ///< §4.7: text without wildcards; may be empty

/// §1.5.4: no ill-formed sequence, no surrogate, no U+0000.
bool mqtt_utf8_valid(tg_slice s);
/// As a payload may be text: U+0000 is allowed there (MQTT 5.0 §3.3.2.3.2).
bool mqtt_text_valid(tg_slice s);
bool mqtt_has_wildcard(tg_slice topic); ///< a '+' or a '#' anywhere

typedef struct mqtt_out {
    uint8_t *at;
    uint8_t *end;
} mqtt_out;

static inline size_t mqtt_varint_size(uint32_t n)
{
    return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : 4;
}

static inline void mqtt_put_u8(mqtt_out *out, uint8_t n)
{
    assert(out->at < out->end);
    *out->at++ = n;
}

static inline void mqtt_put_u16(mqtt_out *out, uint16_t n)
{
    assert(out->end - out->at >= 2);
    *out->at++ = (uint8_t)(n >> 8);
    *out->at++ = (uint8_t)n;
}

static inline void mqtt_put_u32(mqtt_out *out, uint32_t n)
{
    mqtt_put_u16(out, (uint16_t)(n >> 16));
    mqtt_put_u16(out, (uint16_t)n);
}

static inline void mqtt_put_varint(mqtt_out *out, uint32_t n)
{
    while (n >= 0x80) {
        mqtt_put_u8(out, (uint8_t)(n | 0x80));
        n >>= 7;
    }
    mqtt_put_u8(out, (uint8_t)n);
}

static inline void mqtt_put_bytes(mqtt_out *out, tg_slice s)
{
    assert((size_t)(out->end - out->at) >= s.len);
    if (s.len > 0)
        memcpy(out->at, s.at, s.len);
    out->at += s.len;
}

static inline void mqtt_put_text(mqtt_out *out, tg_slice s)
{
    assert(s.len <= UINT16_MAX);
    mqtt_put_u16(out, (uint16_t)s.len);
    mqtt_put_bytes(out, s);
}

#endif
