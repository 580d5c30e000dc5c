// SPDX-License-Identifier: Apache-2.0
// Eight bytes at a time where it pays: topics and client ids are ASCII nearly always, so the
// checks look at whole words first and take single bytes only where a word is not plain.
#include "wire.h"

void mqtt_bad(mqtt_in *in, uint8_t reason, const char *why)
{
    if (in->reason == 0) {
        in->reason = reason;
        in->why = why;
    }
    in->at = in->end;
}

uint32_t mqtt_get_u32(mqtt_in *in)
{
    uint32_t high = mqtt_get_u16(in);
    return high << 16 | mqtt_get_u16(in);
}

uint32_t mqtt_get_varint(mqtt_in *in)
{
    uint32_t n = 0;
    for (unsigned shift = 0; shift <= 21; shift += 7) {
        uint8_t byte = mqtt_get_u8(in);
        n |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) != 0)
            continue;
        if (byte == 0 && shift > 0)
            mqtt_bad(in, MQTT_MALFORMED, "variable byte integer is longer than it must be");
        return n;
    }
    mqtt_bad(in, MQTT_MALFORMED, "variable byte integer has more than four bytes");
    return 0;
}

tg_slice mqtt_get_text(mqtt_in *in)
{
    tg_slice s = mqtt_get_binary(in);
    if (!mqtt_utf8_valid(s))
        mqtt_bad(in, MQTT_MALFORMED, "string is not valid UTF-8");
    return s;
}

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

static uint64_t load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

// A high bit where a byte is zero; may also flag bytes above a zero, so: none or some.
static uint64_t zeros(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

static bool tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

// Unicode 15, table 3-7: the well-formed sequences. @return its length; 0 for none.
static size_t sequence(const uint8_t *at, size_t left)
{
    uint8_t b = at[0];
    if (b < 0x80)
        return b != 0;
    if (b >= 0xc2 && b <= 0xdf)
        return left >= 2 && tail(at[1]) ? 2 : 0;
    if (b >= 0xe0 && b <= 0xef) {
        if (left < 3 || !tail(at[1]) || !tail(at[2]))
            return 0;
        if ((b == 0xe0 && at[1] < 0xa0) || (b == 0xed && at[1] > 0x9f))
            return 0;
        return 3;
    }
    if (b < 0xf0 || b > 0xf4 || left < 4 || !tail(at[1]) || !tail(at[2]) || !tail(at[3]))
        return 0;
    if ((b == 0xf0 && at[1] < 0x90) || (b == 0xf4 && at[1] > 0x8f))
        return 0;
    return 4;
}

bool mqtt_utf8_valid(tg_slice s)
{
    const uint8_t *at = (const uint8_t *)s.at;
    size_t left = s.len;
    while (left > 0) {
        if (left >= 8) {
            uint64_t word = load64(at);
            if (((word & HIGHS) | zeros(word)) == 0) {
                at += 8;
                left -= 8;
                continue;
            }
        }
        size_t n = sequence(at, left);
        if (n == 0)
            return false;
        at += n;
        left -= n;
    }
    return true;
}

bool mqtt_text_valid(tg_slice s)
{
    for (const char *zero; s.len > 0 && (zero = memchr(s.at, 0, s.len)) != NULL;) {
        size_t len = (size_t)(zero - s.at);
        if (!mqtt_utf8_valid((tg_slice){s.at, len}))
            return false;
        s = (tg_slice){zero + 1, s.len - len - 1};
    }
    return mqtt_utf8_valid(s);
}

bool mqtt_has_wildcard(tg_slice topic)
{
    const uint8_t *at = (const uint8_t *)topic.at;
    size_t left = topic.len;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = load64(at);
        if ((zeros(word ^ ('+' * ONES)) | zeros(word ^ ('#' * ONES))) != 0)
            return true;
    }
    for (; left > 0; at++, left--)
        if (*at == '+' || *at == '#')
            return true;
    return false;
}

// A high bit where a byte is not plain: no ASCII, NUL, or a wildcard.
static uint64_t strange(uint64_t word)
{
    return (word & HIGHS) | zeros(word) | zeros(word ^ ('+' * ONES)) |
           zeros(word ^ ('#' * ONES));
}

static bool is_plain(tg_slice s)
{
    const uint8_t *at = (const uint8_t *)s.at;
    size_t left = s.len;
    if (left >= 8) {
        uint64_t found = strange(load64(at + left - 8)); // what is over a multiple of eight
        for (; left >= 8; at += 8, left -= 8)
            found |= strange(load64(at));
        return found == 0;
    }
    for (; left > 0; at++, left--)
        if (*at == 0 || *at >= 0x80 || *at == '+' || *at == '#')
            return false;
    return true;
}

tg_slice mqtt_get_topic(mqtt_in *in)
{
    tg_slice s = mqtt_get_binary(in);
    if (is_plain(s))
        return s;
    if (!mqtt_utf8_valid(s))
        mqtt_bad(in, MQTT_MALFORMED, "string is not valid UTF-8");
    else if (mqtt_has_wildcard(s))
        mqtt_bad(in, MQTT_BAD_TOPIC, "topic name has wildcards");
    return s;
}
