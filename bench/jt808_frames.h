// SPDX-License-Identifier: Apache-2.0
/// The frames that a JT/T 808 terminal of 2013 sends.
#ifndef TG_BENCH_JT808_FRAMES_H
#define TG_BENCH_JT808_FRAMES_H

#include <stdio.h>

#include "base/buf.h"

static inline void jt808_byte(tg_buf *out, unsigned char byte)
{
    if (byte == 0x7D || byte == 0x7E) {
        tg_buf_putc(out, 0x7D);
        byte = byte == 0x7D ? 1 : 2;
    }
    tg_buf_putc(out, (char)byte);
}

/// `device`: the last digits of its phone.
static inline void jt808_frame(tg_buf *out, unsigned device, unsigned id, unsigned serial,
                               const void *body, size_t len)
{
    unsigned char f[128] = {(unsigned char)(id >> 8),
                            (unsigned char)id,
                            0,
                            (unsigned char)len,
                            0x01,
                            0x38,
                            0,
                            0,
                            0,
                            0, // the phone
                            (unsigned char)(serial >> 8),
                            (unsigned char)serial};
    for (int i = 9; i >= 6; i--, device /= 100)
        f[i] = (unsigned char)(device % 10 | device / 10 % 10 << 4);
    unsigned char sum = 0;
    memcpy(f + 12, body, len);
    tg_buf_putc(out, 0x7E);
    for (size_t i = 0; i < 12 + len; i++) {
        sum ^= f[i];
        jt808_byte(out, f[i]);
    }
    jt808_byte(out, sum);
    tg_buf_putc(out, 0x7E);
}

static inline void jt808_register(tg_buf *out, unsigned device, unsigned serial)
{
    unsigned char b[37 + 8] = {
        0,   31,  0,   100, // province, city
        'B', 'E', 'N', 'C', 'H', // manufacturer
        'b', 'e', 'n', 'c', 'h', 0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // model
        '0', '0', '0', '0', '0', '0', '1', // terminal
        2, // colour of the plate
    };
    snprintf((char *)b + 37, 8, "B%06u", device % 1000000); // each its own plate
    jt808_frame(out, device, 0x0100, serial, b, sizeof(b) - 1);
}

/// A position with five extra items; `n` moves it a little.
static inline void jt808_location(tg_buf *out, unsigned device, unsigned serial, unsigned n)
{
    unsigned char b[] = {
        0,    0,    0,    0,    0,    0x0C, 0,    3, // alarms, status
        0x01, 0xDC, 0x88, 0x30, 0x07, 0x3D, 0x70, 0x30, // latitude, longitude
        0,    10,   2,    0x58, 0,    90, // altitude, speed, direction
        0x26, 0x08, 0x07, 0x18, 0x10, 0x00, // time
        0x01, 4,    0,    1,    0x12, 0x34, // mileage
        0x02, 2,    1,    0x2C, // fuel
        0x03, 2,    2,    0x50, // recorder speed
        0x30, 1,    28, // signal
        0x31, 1,    14, // satellites
    };
    b[11] = (unsigned char)n;
    b[15] = (unsigned char)(n >> 1);
    b[27] = (unsigned char)(n % 6 << 4 | n % 10);
    jt808_frame(out, device, 0x0200, serial, b, sizeof(b));
}

#endif
