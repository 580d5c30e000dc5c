// SPDX-License-Identifier: Apache-2.0
// A vehicle that logged in sends any bytes: as they are, or units made of them with right
// lengths and checksums, in both editions. An input that begins with a brace is a message down
// to it. No script fails.
// covers: protocols/gbt32960/*.lua
#include "adapter.h"

static bool planted(tg_slice event)
{
    return has(event, "\"event\":\"publish\"") && has(event, "alarm") &&
           has(event, "cells");
}

static const char *const configs[] = {
    "{}",
    "{\"payload\":\"emqx\",\"answer_realtime\":\"always\",\"ack\":\"echo\"}",
    "{\"cells\":\"pass\",\"vin\":\"padded\",\"serial\":\"refuse\"}",
};
static fuzz_adapter adapter = {
    .path = "protocols/gbt32960", .configs = configs, .nconfigs = 3, .planted = planted};

enum {
    V2025 = 1,
    ANSWER = 2,
    OTHER_VIN = 4,
    ENCRYPTION = 0x30
}; // bits of a unit's first byte

static void put_unit(tg_buf *out, unsigned how, unsigned cmd, tg_slice unit)
{
    static const char encryptions[] = {1, 2, 3, 5};
    size_t start = out->len;
    char sum = 0;
    tg_buf_put(out, how & V2025 ? "$$" : "##", 2);
    tg_buf_putc(out, (char)cmd);
    tg_buf_putc(out, how & ANSWER ? 1 : (char)0xFE);
    tg_buf_puts(out, how & OTHER_VIN ? "LTEST000000000002" : "LTEST000000000001");
    tg_buf_putc(out, encryptions[(how & ENCRYPTION) >> 4]);
    tg_buf_putc(out, (char)(unit.len >> 8));
    tg_buf_putc(out, (char)unit.len);
    tg_buf_put(out, unit.at, unit.len);
    for (size_t i = start + 2; i < out->len; i++)
        sum = (char)(sum ^ out->at[i]);
    tg_buf_putc(out, sum);
}

/// Units: how, command, length (2), content.
static void put_units(tg_buf *out, const uint8_t *at, size_t left)
{
    while (left >= 4) {
        size_t n = (size_t)(at[2] << 8 | at[3]) & 0xFFF;
        n = n < left - 4 ? n : left - 4;
        put_unit(out, at[0], at[1], (tg_slice){(const char *)at + 4, n});
        at += 4 + n;
        left -= 4 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// data: how, the size of pieces, then bytes or units.
static void send_up(int conn, const uint8_t *data, size_t size, tg_buf *stream)
{
    if (data[0] & 1)
        put_units(stream, data + 2, size - 2);
    else
        tg_buf_put(stream, data + 2, size - 2);
    feed(&adapter, conn, tg_buf_slice(stream), data[1] > 0 ? data[1] * 8u : 1u << 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char login[] = "\x1a\1\2\3\4\5\0\1"
                                "89860000000000000001\0\0";
    if (size < 2)
        return 0;
    tg_buf stream = {0};
    bool down = data[0] == '{';
    int conn = begin(&adapter);
    put_unit(&stream, (down ? size & 1 : data[0] & 2) ? V2025 : 0, 1,
             (tg_slice){login, sizeof(login) - 1});
    if (down) {
        feed(&adapter, conn, tg_buf_slice(&stream), 1u << 16);
        tg_offline_deliver(adapter.o, "LTEST000000000001", TG_LIT("down"),
                           (tg_slice){(const char *)data, size}, 1);
    } else {
        send_up(conn, data, size, &stream);
    }
    end(&adapter, conn);
    tg_buf_free(&stream);
    return 0;
}
