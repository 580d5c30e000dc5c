// SPDX-License-Identifier: Apache-2.0
// GB 18030 has 1.6 million code points and comes from libc's iconv; opening a converter costs
// more than a device's text, so each thread keeps its own. All else is short enough to be here,
// and most text is ASCII in any of these and is copied.
#include "codec/charset.h"

#include <iconv.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/utf8.h"

#define BAD "\xef\xbf\xbd" // U+FFFD
#define CLOSED ((iconv_t)-1)

typedef enum tg_converter { FROM_GB18030, TO_GB18030, TO_GBK, CONVERTERS } tg_converter;

typedef struct tg_converters {
    iconv_t cd[CONVERTERS];
} tg_converters;

// Made once, then only read: the key under which each thread finds its converters.
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void close_converters(void *ptr)
{
    tg_converters *c = ptr;
    for (int i = 0; i < CONVERTERS; i++)
        if (c->cd[i] != CLOSED)
            iconv_close(c->cd[i]);
    free(c);
}

static void make_key(void)
{
    if (pthread_key_create(&key, close_converters) != 0)
        abort(); // no key left in the process: nothing of it can work
}

static iconv_t converter(tg_converter which)
{
    static const char *const to[] = {"UTF-8", "GB18030", "GBK"};
    static const char *const from[] = {"GB18030", "UTF-8", "UTF-8"};
    pthread_once(&key_once, make_key);
    tg_converters *c = pthread_getspecific(key);
    if (c == NULL) {
        c = malloc(sizeof(*c));
        if (c == NULL || pthread_setspecific(key, c) != 0) {
            free(c);
            return CLOSED;
        }
        for (int i = 0; i < CONVERTERS; i++)
            c->cd[i] = CLOSED;
    }
    if (c->cd[which] == CLOSED)
        c->cd[which] = iconv_open(to[which], from[which]);
    else
        iconv(c->cd[which], NULL, NULL, NULL, NULL);
    return c->cd[which];
}

int tg_charset_from(tg_slice name)
{
    static const struct {
        const char *name;
        tg_charset cs;
    } names[] = {
        {"ascii", TG_CHARSET_ASCII},       {"utf8", TG_CHARSET_UTF8},
        {"utf-8", TG_CHARSET_UTF8},        {"latin1", TG_CHARSET_LATIN1},
        {"iso-8859-1", TG_CHARSET_LATIN1}, {"gbk", TG_CHARSET_GBK},
        {"gb2312", TG_CHARSET_GBK},        {"gb18030", TG_CHARSET_GB18030},
        {"utf16be", TG_CHARSET_UTF16BE},   {"utf-16be", TG_CHARSET_UTF16BE},
        {"utf16le", TG_CHARSET_UTF16LE},   {"utf-16le", TG_CHARSET_UTF16LE},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tg_slice_eq(name, tg_str(names[i].name)))
            return names[i].cs;
    return -1;
}

bool tg_utf8_valid(tg_slice text)
{
    size_t n;
    for (size_t at = 0; at < text.len; at += n)
        if ((n = tg_utf8_len(text.at + at, text.len - at)) == 0)
            return false;
    return true;
}

static size_t ascii_run(tg_slice s)
{
    size_t n = 0;
    while (n < s.len && (uint8_t)s.at[n] < 0x80)
        n++;
    return n;
}

// ---- to UTF-8 -----------------------------------------------------------------------------

static void put_code(tg_buf *out, uint32_t c)
{
    char u[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        u[i] = (char)(0x80 | (c & 0x3F));
    u[0] = (char)(lead[n] | c);
    tg_buf_put(out, u, n);
}

static int from_utf8(tg_slice s, tg_buf *out)
{
    int bad = 0;
    for (size_t at = 0; at < s.len;) {
        size_t n = tg_utf8_len(s.at + at, s.len - at);
        tg_buf_put(out, n > 0 ? s.at + at : BAD, n > 0 ? n : 3);
        bad += n == 0;
        at += n > 0 ? n : 1;
    }
    return bad;
}

static int from_bytes(tg_slice s, bool latin, tg_buf *out)
{
    int bad = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.at[i];
        if (c < 0x80 || latin) {
            put_code(out, c);
        } else {
            tg_buf_put(out, BAD, 3);
            bad++;
        }
    }
    return bad;
}

static uint32_t unit(tg_slice s, size_t at, bool be)
{
    uint8_t a = (uint8_t)s.at[at], b = (uint8_t)s.at[at + 1];
    return be ? (uint32_t)a << 8 | b : (uint32_t)b << 8 | a;
}

static int from_utf16(tg_slice s, bool be, tg_buf *out)
{
    int bad = 0;
    size_t at = 0;
    for (; at + 2 <= s.len; at += 2) {
        uint32_t c = unit(s, at, be);
        bool high = c >= 0xD800 && c < 0xDC00, low = c >= 0xDC00 && c < 0xE000;
        uint32_t next = high && at + 4 <= s.len ? unit(s, at + 2, be) : 0;
        if (next >= 0xDC00 && next < 0xE000) {
            put_code(out, 0x10000 + ((c - 0xD800) << 10) + (next - 0xDC00));
            at += 2;
        } else if (high || low) {
            tg_buf_put(out, BAD, 3);
            bad++;
        } else {
            put_code(out, c);
        }
    }
    if (at < s.len) {
        tg_buf_put(out, BAD, 3);
        bad++;
    }
    return bad;
}

/// What cannot be converted takes `skip` bytes of the input and leaves `instead`.
static int convert(tg_converter which, tg_slice s, size_t room, tg_slice instead,
                   tg_buf *out)
{
    iconv_t cd = converter(which);
    if (cd == CLOSED)
        return TG_E_NOMEM;
    char *in = (char *)(uintptr_t)s.at, *to = tg_buf_reserve(out, room);
    size_t left = s.len, free_left = room;
    if (to == NULL)
        return TG_E_NOMEM;
    int bad = 0;
    while (left > 0 && iconv(cd, &in, &left, &to, &free_left) == (size_t)-1) {
        size_t skip = which == FROM_GB18030 ? 1 : tg_utf8_len(in, left);
        skip = skip > 0 ? skip : 1;
        if (free_left < instead.len)
            return TG_E_NOMEM; // cannot be: `room` is the worst case
        memcpy(to, instead.at, instead.len);
        to += instead.len;
        free_left -= instead.len;
        in += skip;
        left -= skip;
        bad++;
    }
    out->len = (size_t)(to - out->at);
    return bad;
}

static int decode_rest(tg_charset cs, tg_slice s, tg_buf *out)
{
    switch (cs) {
    case TG_CHARSET_ASCII:
        return from_bytes(s, false, out);
    case TG_CHARSET_LATIN1:
        return from_bytes(s, true, out);
    case TG_CHARSET_UTF8:
        return from_utf8(s, out);
    case TG_CHARSET_GBK:
    case TG_CHARSET_GB18030: // a byte becomes three at most: U+FFFD
        return convert(FROM_GB18030, s, 3 * s.len, TG_LIT(BAD), out);
    case TG_CHARSET_UTF16BE:
    case TG_CHARSET_UTF16LE:
        return from_utf16(s, cs == TG_CHARSET_UTF16BE, out);
    }
    return TG_E_INVAL;
}

int tg_charset_decode(tg_charset cs, tg_slice bytes, tg_buf *out)
{
    bool wide = cs == TG_CHARSET_UTF16BE || cs == TG_CHARSET_UTF16LE;
    size_t plain = wide ? 0 : ascii_run(bytes);
    tg_buf_put(out, bytes.at, plain);
    if (plain == bytes.len)
        return out->failed ? TG_E_NOMEM : 0;
    int bad = decode_rest(cs, (tg_slice){bytes.at + plain, bytes.len - plain}, out);
    return out->failed ? TG_E_NOMEM : bad;
}

// ---- from UTF-8 ---------------------------------------------------------------------------

/// Takes one character off `s`. @return it, or -1 for a bad byte.
static int32_t next_code(tg_slice *s)
{
    size_t n = tg_utf8_len(s->at, s->len);
    const uint8_t *p = (const uint8_t *)s->at;
    static const uint8_t mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    int32_t c = n > 0 ? p[0] & mask[n] : -1;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3F);
    s->at += n > 0 ? n : 1;
    s->len -= n > 0 ? n : 1;
    return c;
}

static int to_bytes(tg_slice s, int32_t limit, tg_buf *out)
{
    int lost = 0;
    while (s.len > 0) {
        int32_t c = next_code(&s);
        bool fits = c >= 0 && c < limit;
        tg_buf_putc(out, fits ? (char)c : '?');
        lost += !fits;
    }
    return lost;
}

static void put_unit(tg_buf *out, uint32_t c, bool be)
{
    char pair[2] = {(char)(c >> 8), (char)c};
    if (!be) {
        char swap = pair[0];
        pair[0] = pair[1];
        pair[1] = swap;
    }
    tg_buf_put(out, pair, 2);
}

static int to_utf16(tg_slice s, bool be, tg_buf *out)
{
    int lost = 0;
    while (s.len > 0) {
        int32_t c = next_code(&s);
        if (c >= 0x10000) {
            put_unit(out, 0xD800 + (uint32_t)((c - 0x10000) >> 10), be);
            put_unit(out, 0xDC00 + (uint32_t)((c - 0x10000) & 0x3FF), be);
        } else {
            put_unit(out, c >= 0 ? (uint32_t)c : '?', be);
            lost += c < 0;
        }
    }
    return lost;
}

static int to_utf8(tg_slice s, tg_buf *out)
{
    int lost = 0;
    while (s.len > 0) {
        const char *at = s.at;
        bool fits = next_code(&s) >= 0;
        tg_buf_put(out, fits ? at : "?", fits ? (size_t)(s.at - at) : 1);
        lost += !fits;
    }
    return lost;
}

static int encode(tg_charset cs, tg_slice s, tg_buf *out)
{
    switch (cs) {
    case TG_CHARSET_ASCII:
        return to_bytes(s, 0x80, out);
    case TG_CHARSET_LATIN1:
        return to_bytes(s, 0x100, out);
    case TG_CHARSET_UTF8:
        return to_utf8(s, out);
    case TG_CHARSET_GBK: // four-byte forms are none that a GBK device knows
        return convert(TO_GBK, s, s.len, TG_LIT("?"), out);
    case TG_CHARSET_GB18030: // two bytes may become four
        return convert(TO_GB18030, s, 2 * s.len, TG_LIT("?"), out);
    case TG_CHARSET_UTF16BE:
    case TG_CHARSET_UTF16LE:
        return to_utf16(s, cs == TG_CHARSET_UTF16BE, out);
    }
    return TG_E_INVAL;
}

int tg_charset_encode(tg_charset cs, tg_slice text, tg_buf *out)
{
    if (text.len == 0)
        return 0;
    int lost = encode(cs, text, out);
    return out->failed ? TG_E_NOMEM : lost;
}
