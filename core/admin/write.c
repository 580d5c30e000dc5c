// SPDX-License-Identifier: Apache-2.0
// Payloads are any bytes and JSON is text: what is UTF-8 is shown as it is, the rest as base64
// under a name that says so, so that a reader never has to guess.
#include "admin/write.h"

#include "codec/charset.h"

static const char ALPHABET[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(tg_buf *b, tg_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t n = (uint32_t)(unsigned char)bytes.at[i] << 16;
        if (left > 1)
            n |= (uint32_t)(unsigned char)bytes.at[i + 1] << 8;
        if (left > 2)
            n |= (unsigned char)bytes.at[i + 2];
        tg_buf_putc(b, ALPHABET[n >> 18]);
        tg_buf_putc(b, ALPHABET[n >> 12 & 63]);
        tg_buf_putc(b, left > 1 ? ALPHABET[n >> 6 & 63] : '=');
        tg_buf_putc(b, left > 2 ? ALPHABET[n & 63] : '=');
    }
}

void tg_put_bytes(tg_buf *b, const char *key, tg_slice bytes)
{
    if (tg_utf8_valid(bytes)) {
        tg_put_slice(b, key, bytes);
        return;
    }
    tg_put_comma(b);
    tg_buf_printf(b, "\"%s_base64\":\"", key);
    put_base64(b, bytes);
    tg_buf_putc(b, '"');
}

void tg_put_hex(tg_buf *b, const char *key, tg_slice bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    tg_put_key(b, key);
    tg_buf_putc(b, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        tg_buf_putc(b, digits[(unsigned char)bytes.at[i] >> 4]);
        tg_buf_putc(b, digits[bytes.at[i] & 15]);
    }
    tg_buf_putc(b, '"');
}

static int sextet(char c)
{
    const char *at = c != '\0' ? strchr(ALPHABET, c) : NULL;
    return at != NULL ? (int)(at - ALPHABET) : -1;
}

/// One group of four. @return how many bytes it stands for, -1 for none.
static int take_group(const char *in, char out[3])
{
    int pad = in[3] == '=' ? (in[2] == '=' ? 2 : 1) : 0;
    int n = 0;
    for (int i = 0; i < 4 - pad; i++) {
        int v = sextet(in[i]);
        if (v < 0)
            return -1;
        n |= v << (18 - 6 * i);
    }
    out[0] = (char)(n >> 16);
    out[1] = (char)(n >> 8);
    out[2] = (char)n;
    return 3 - pad;
}

bool tg_take_base64(tg_slice text, tg_buf *out)
{
    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        char bytes[3];
        int n = take_group(text.at + i, bytes);
        if (n < 0 || (n < 3 && i + 4 < text.len))
            return false;
        tg_buf_put(out, bytes, (size_t)n);
    }
    return true;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 32);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool tg_take_hex(tg_slice text, tg_buf *out)
{
    int high = -1;
    for (size_t i = 0; i < text.len; i++) {
        if (strchr(" \t\r\n:", text.at[i]) != NULL && high < 0)
            continue;
        int v = nibble(text.at[i]);
        if (v < 0)
            return false;
        if (high >= 0)
            tg_buf_putc(out, (char)(high << 4 | v));
        high = high >= 0 ? -1 : v;
    }
    return high < 0;
}
