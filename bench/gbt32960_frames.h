// SPDX-License-Identifier: Apache-2.0
/// The frames that an electric car of GB/T 32960-2016 sends.
#ifndef TG_BENCH_GBT32960_FRAMES_H
#define TG_BENCH_GBT32960_FRAMES_H

#include <stdio.h>

#include "base/buf.h"

enum { GBT32960_LOGIN_ANSWER = 31 }; ///< bytes; they echo the login's time

/// `device`: the last digits of its VIN.
static inline void gbt32960_frame(tg_buf *out, unsigned device, uint8_t command,
                                  const void *unit, size_t len)
{
    size_t start = out->len;
    char vin[18];
    snprintf(vin, sizeof(vin), "LTEST%012u", device);
    const uint8_t head[] = {'#', '#', command, 0xFE};
    const uint8_t tail[] = {1, (uint8_t)(len >> 8), (uint8_t)len};
    tg_buf_put(out, head, sizeof(head));
    tg_buf_put(out, vin, 17);
    tg_buf_put(out, tail, sizeof(tail));
    tg_buf_put(out, unit, len);
    uint8_t bcc = 0;
    for (size_t i = start + 2; i < out->len; i++)
        bcc ^= (uint8_t)out->at[i];
    tg_buf_putc(out, (char)bcc);
}

static inline void gbt32960_login(tg_buf *out, unsigned device)
{
    static const char unit[] = "\x1a\x0b\x18\x0e\0\0"
                               "\0\1"
                               "89860000000000000001\0";
    gbt32960_frame(out, device, 1, unit, sizeof(unit)); // its last byte: codes of no length
}

/// Whole vehicle, a motor, position, extremes, alarms; `n` moves it a little.
static inline void gbt32960_report(tg_buf *out, unsigned device, unsigned n)
{
    const uint8_t unit[] = {
        // clang-format off
        // time
        26, 11, 24, 14, (uint8_t)(n / 60 % 60), (uint8_t)(n % 60),
        // vehicle
        1, 1, 3, 1, 2, (uint8_t)n, 0, 2, 0xDB, 0x63, 0x0D, 0xE9, 0x2A, 0x79, 71, 1,
        0x2E, 0x10, 0x18, 18, 0,
        // a motor
        2, 1, 1, 1, 92, 0x65, 0x90, 0x53, 0xB6, 78, 0x0D, 0xE6, 0x29, 0x9F,
        // position
        5, 0, 7, 0x3E, 0x21, (uint8_t)n, 1, 0xDC, 0x29, 0x26,
        // extremes
        6, 1, 17, 0x0E, 0x40, 1, 2, 0x0E, 0x2A, 1, 1, 70, 1, 5, 66,
        // alarms
        7, 1, 0, 0, 0, 0x10, 1, 0, 0, 1, 2, 0, 0, 0,
        // clang-format on
    };
    gbt32960_frame(out, device, 2, unit, sizeof(unit));
}

#endif
