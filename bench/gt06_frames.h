// SPDX-License-Identifier: Apache-2.0
/// The frames that a GT06 tracker sends, for the generator and for the benches in process.
#ifndef TG_BENCH_GT06_FRAMES_H
#define TG_BENCH_GT06_FRAMES_H

#include "base/buf.h"
#include "codec/frame.h"

enum {
    GT06_LOGIN = 0x01,
    GT06_LOCATION = 0x12,
    GT06_HEARTBEAT = 0x13,
    GT06_ANSWER_SIZE = 10
};

static inline void gt06_frame(tg_buf *out, unsigned char type, uint16_t serial,
                              const void *content, size_t len)
{
    unsigned char f[64] = {0x78, 0x78, (unsigned char)(len + 5), type};
    memcpy(f + 4, content, len);
    f[4 + len] = (unsigned char)(serial >> 8);
    f[5 + len] = (unsigned char)serial;
    uint32_t crc = tg_checksum(TG_CHECK_CRC16_X25, (tg_slice){(char *)f + 2, len + 4});
    f[6 + len] = (unsigned char)(crc >> 8);
    f[7 + len] = (unsigned char)crc;
    f[8 + len] = '\r';
    f[9 + len] = '\n';
    tg_buf_put(out, f, len + 10);
}

static inline void gt06_login(tg_buf *out, uint16_t serial, unsigned tracker)
{
    unsigned char c[12] = {0x03, 0x56, 0x93, 0x80, 0, 0, 0, 0, 0x36, 0x08, 0x00, 0x00};
    for (int i = 7; i >= 4; i--, tracker /= 100)
        c[i] = (unsigned char)(tracker % 10 | tracker / 10 % 10 << 4);
    gt06_frame(out, GT06_LOGIN, serial, c, sizeof(c));
}

/// `n` moves it a little.
static inline void gt06_location(tg_buf *out, uint16_t serial, uint64_t n)
{
    unsigned char c[26] = {
        26, 1,    5,    8,    0,    0,    0xc9, // time, satellites
        2,  0x6b, 0x3f, 0x3e, 0x0c, 0x22, 0xad, 0x65, // latitude, longitude
        60, 0x14, 0x8f, // speed, course and flags
        1,  0xcc, 0,    0x28, 0x7d, 0,    0x1f, 0xb8, // cell
    };
    c[4] = (unsigned char)(n / 60 % 60);
    c[5] = (unsigned char)(n % 60);
    c[10] = (unsigned char)n;
    c[14] = (unsigned char)(n >> 1);
    gt06_frame(out, GT06_LOCATION, serial, c, sizeof(c));
}

static inline void gt06_heartbeat(tg_buf *out, uint16_t serial)
{
    static const unsigned char status[5] = {0x45, 6, 4, 0, 1};
    gt06_frame(out, GT06_HEARTBEAT, serial, status, sizeof(status));
}

#endif
