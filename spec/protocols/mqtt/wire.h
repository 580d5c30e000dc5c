// SPDX-License-Identifier: Apache-2.0
/// Bytes of packets, for tests: written by hand from the standard, not with the adapter's own
/// encoder.
#ifndef MQTT_SPEC_WIRE_H
#define MQTT_SPEC_WIRE_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

typedef struct wire {
    size_t len;
    uint8_t at[4096];
} wire;

static inline int wire_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline const char *wire_text(const char *p, char end, wire *w, size_t prefix)
{
    size_t from = w->len + prefix;
    for (w->len = from, p++; *p != end; p++)
        w->at[w->len++] = (uint8_t)*p;
    if (prefix > 0) {
        w->at[from - 2] = (uint8_t)((w->len - from) >> 8);
        w->at[from - 1] = (uint8_t)(w->len - from);
    }
    return p + 1;
}

/// Hex bytes; 'text' as it is; <text> with its length in two bytes in front; [ ] what is between
/// with its length in one byte in front; * one byte: how many bytes follow. Spaces are skipped.
/// "10 * <MQTT> 05 02 0000 [21 0001] <id>" is a CONNECT.
static inline wire hex(const char *p)
{
    wire w = {0};
    size_t star = 0, bracket = 0;
    while (*p != 0) {
        if (*p == ' ') {
            p++;
        } else if (*p == '*') {
            star = w.len++;
            p++;
        } else if (*p == '[') {
            bracket = w.len++;
            p++;
        } else if (*p == ']') {
            assert(w.len - bracket - 1 < 128);
            w.at[bracket] = (uint8_t)(w.len - bracket - 1);
            p++;
        } else if (*p == '\'') {
            p = wire_text(p, '\'', &w, 0);
        } else if (*p == '<') {
            p = wire_text(p, '>', &w, 2);
        } else {
            assert(wire_digit(p[0]) >= 0 && wire_digit(p[1]) >= 0);
            w.at[w.len++] = (uint8_t)(wire_digit(p[0]) << 4 | wire_digit(p[1]));
            p += 2;
        }
    }
    if (star > 0) {
        assert(w.len - star - 1 < 128);
        w.at[star] = (uint8_t)(w.len - star - 1);
    }
    return w;
}

#endif
