// SPDX-License-Identifier: Apache-2.0
// On the publish path of every decoded message: strings are scanned eight bytes at a time for
// what needs an escape, and numbers are turned into their shortest digits by integer arithmetic.
// Only the very large and the very small are left to printf, which needs 20 times as long.
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

#define ONES UINT64_C(0x0101010101010101)
#define MAX_EXACT 9007199254740992.0 // 2^53: integers up to it are exact
#define HIDDEN_BIT (UINT64_C(1) << 52)
#define HIGHS UINT64_C(0x8080808080808080)

// A byte of `w` is below 0x20, above 0x7e, '"' or '\\': some byte's high bit is set then (and
// perhaps, by a borrow, one more above it: the caller looks at each byte anyway).
static inline uint64_t odd_bytes(uint64_t w)
{
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    return ((w - ONES * 0x20) | (quote - ONES) | (slash - ONES) | w | (w + ONES)) & HIGHS;
}

static inline bool odd_byte(char c)
{
    return (unsigned char)c - 0x20u > 0x7e - 0x20u || c == '"' || c == '\\';
}

// Copies up to the first byte that needs a look. @return how many.
static size_t copy_plain(char *to, const char *p, size_t len)
{
    size_t n = 0;
    uint64_t w;
    for (; len - n >= 8; n += 8) {
        memcpy(&w, p + n, 8);
        if (odd_bytes(w) != 0)
            break;
        memcpy(to + n, &w, 8);
    }
    for (; n < len && !odd_byte(p[n]); n++)
        to[n] = p[n];
    return n;
}

static void put_escape(tg_buf *b, unsigned char c)
{
    static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    static const char hex[] = "0123456789abcdef";
    char two[2] = {'\\', c < sizeof(shorts) ? shorts[c] : 0};
    char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (two[1] != 0)
        tg_buf_put(b, two, sizeof(two));
    else
        tg_buf_put(b, six, sizeof(six));
}

// The character at `p`, which is not plain. @return its bytes.
static size_t put_odd(tg_buf *b, const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t len = tg_utf8_len(p, left);
    if (len == 1) {
        put_escape(b, c);
    } else if (len == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0) {
        put_escape(b, (unsigned char)p[1]); // U+0080..U+009F move a terminal's cursor
    } else if (len > 0) {
        tg_buf_put(b, p, len);
    } else {
        tg_buf_put(b, "\xef\xbf\xbd", 3); // U+FFFD
        return 1;
    }
    return len;
}

void tg_json_str(tg_buf *b, tg_slice text)
{
    char *to = tg_buf_reserve(b, text.len + 2);
    if (to == NULL)
        return;
    *to = '"';
    size_t at = copy_plain(to + 1, text.at, text.len);
    b->len += at + 1;
    while (at < text.len) {
        at += put_odd(b, text.at + at, text.len - at);
        to = tg_buf_reserve(b, text.len - at + 1);
        if (to == NULL)
            return;
        size_t n = copy_plain(to, text.at + at, text.len - at);
        b->len += n;
        at += n;
    }
    tg_buf_putc(b, '"');
}

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233"
    "34353637383940414243444546474849505152535455565758596061626364656667"
    "6869707172737475767778798081828384858687888990919293949596979899";

// Writes `n` in front of `end`. @return where it begins.
static char *digits_before(char *end, uint64_t n)
{
    for (; n >= 100; n /= 100) {
        end -= 2;
        memcpy(end, pairs + n % 100 * 2, 2);
    }
    if (n >= 10) {
        end -= 2;
        memcpy(end, pairs + n * 2, 2);
    } else {
        *--end = (char)('0' + n);
    }
    return end;
}

static uint64_t magnitude(int64_t n)
{
    return n < 0 ? -(uint64_t)n : (uint64_t)n;
}

void tg_json_int(tg_buf *b, int64_t n)
{
    char text[24], *end = text + sizeof(text), *at = digits_before(end, magnitude(n));
    if (n < 0)
        *--at = '-';
    tg_buf_put(b, at, (size_t)(end - at));
}

void tg_json_fixed(tg_buf *b, int64_t n, unsigned digits)
{
    char text[64], *end = text + sizeof(text), *at = end;
    uint64_t left = magnitude(n);
    for (; digits > 0 && left % 10 == 0 && left != 0; digits--)
        left /= 10;
    if (left == 0 || digits > 32) {
        if (left == 0)
            tg_buf_putc(b, '0');
        else
            tg_buf_printf(b, "%s%llue-%u", n < 0 ? "-" : "", (unsigned long long)left,
                          digits);
        return;
    }
    if (digits > 0) {
        for (; digits > 0; digits--, left /= 10)
            *--at = (char)('0' + left % 10);
        *--at = '.';
    }
    at = digits_before(at, left);
    if (n < 0)
        *--at = '-';
    tg_buf_put(b, at, (size_t)(end - at));
}

__extension__ typedef unsigned __int128 u128;

// How many decimals show 17 digits of `a`: no double needs more to read back the same.
static unsigned decimals_of(double a)
{
    static const double tens[] = {1e-4, 1e-3, 1e-2, 1e-1, 1e0,  1e1, 1e2,
                                  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    unsigned i = a < 1 ? 0 : 4;
    while (i < sizeof(tens) / sizeof(*tens) && a >= tens[i])
        i++;
    return 21 - i;
}

static u128 power_of_ten(unsigned n)
{
    static const uint64_t tens[] = {
        UINT64_C(1),         UINT64_C(10),         UINT64_C(100),        UINT64_C(1000),
        UINT64_C(10000),     UINT64_C(100000),     UINT64_C(1000000),    UINT64_C(10000000),
        UINT64_C(100000000), UINT64_C(1000000000), UINT64_C(10000000000)};
    return n <= 10   ? tens[n]
           : n <= 20 ? (u128)tens[10] * tens[n - 10]
                     : (u128)tens[10] * tens[10] * 10;
}

// Takes `n` digits off if a decimal is left between the bounds. Inlined, so that dividing by the
// constant `by` is multiplying. @return the digits taken.
static inline unsigned cut(uint64_t *from, uint64_t *to, uint64_t *unit, uint64_t by,
                           unsigned n, unsigned digits)
{
    uint64_t low = (*from + by - 1) / by, high = *to / by;
    if (n > digits || low > high)
        return 0;
    *from = low;
    *to = high;
    *unit *= by;
    return n;
}

// Every decimal between the middles to both neighbours reads back as `n`. The bounds are exact
// in 128 bits, in quarters of n's last bit; digits are taken off as long as a decimal is left
// between them.
static bool put_shortest(tg_buf *b, double n)
{
    double a = fabs(n);
    if (a < 1e-5 || a >= MAX_EXACT)
        return false;
    uint64_t bits;
    memcpy(&bits, &a, sizeof(bits));
    uint64_t m = (bits & (HIDDEN_BIT - 1)) | HIDDEN_BIT;
    unsigned shift = 1077 - (unsigned)(bits >> 52), digits = decimals_of(a);
    u128 ten = power_of_ten(digits),
         odd = m & 1; // an even mantissa wins on the very middle
    u128 middle = (u128)(4 * m) * ten, high = middle + 2 * ten - odd;
    u128 low = middle - (m == HIDDEN_BIT ? ten : 2 * ten) + odd;
    uint64_t from = (uint64_t)((low + (((u128)1 << shift) - 1)) >> shift);
    uint64_t to = (uint64_t)(high >> shift), unit = 1;
    // 16 digits in all, the most that there can be to take off.
    digits -= cut(&from, &to, &unit, 100000000, 8, digits);
    digits -= cut(&from, &to, &unit, 10000, 4, digits);
    digits -= cut(&from, &to, &unit, 100, 2, digits);
    digits -= cut(&from, &to, &unit, 10, 1, digits);
    digits -= cut(&from, &to, &unit, 10, 1, digits);
    uint64_t best = ((uint64_t)(middle >> shift) + unit / 2) / unit;
    best = best < from ? from : best > to ? to : best;
    tg_json_fixed(b, n < 0 ? -(int64_t)best : (int64_t)best, digits);
    return true;
}

// "1.5e-09" to "1.5e-9", "1e+17" to "1e17".
static void put_trimmed(tg_buf *b, const char *text)
{
    const char *e = strchr(text, 'e');
    if (e == NULL) {
        tg_buf_puts(b, text);
        return;
    }
    tg_buf_put(b, text, (size_t)(e - text) + 1);
    e++;
    if (*e == '-')
        tg_buf_putc(b, '-');
    tg_buf_puts(b, e + 1 + strspn(e + 1, "0"));
}

static void put_digits(tg_buf *b, double n)
{
    char text[32];
    int digits = fabs(n) < DBL_MIN ? 1 : 15; // subnormals have fewer than 15
    for (; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, n);
        if (strtod(text, NULL) == n)
            break;
    }
    put_trimmed(b, text);
}

void tg_json_num(tg_buf *b, double n)
{
    if (!isfinite(n))
        tg_buf_put(b, "null", 4);
    else if (n == 0 && signbit(n))
        tg_buf_put(b, "-0.0", 4);
    else if (fabs(n) <= MAX_EXACT && (double)(int64_t)n == n)
        tg_json_int(b, (int64_t)n);
    else if (!put_shortest(b, n))
        put_digits(b, n);
}

static void put_list(tg_buf *b, const tg_value *v)
{
    tg_buf_putc(b, '[');
    for (size_t i = 0; i < v->list.count; i++) {
        if (i > 0)
            tg_buf_putc(b, ',');
        tg_json_value(b, &v->list.items[i]);
    }
    tg_buf_putc(b, ']');
}

static void put_map(tg_buf *b, const tg_value *v)
{
    tg_buf_putc(b, '{');
    for (size_t i = 0; i < v->map.count; i++) {
        if (i > 0)
            tg_buf_putc(b, ',');
        tg_json_str(b, v->map.pairs[i].key);
        tg_buf_putc(b, ':');
        tg_json_value(b, &v->map.pairs[i].value);
    }
    tg_buf_putc(b, '}');
}

void tg_json_value(tg_buf *b, const tg_value *v)
{
    if (v->secret) {
        tg_buf_puts(b, "\"***\"");
        return;
    }
    switch ((tg_kind)v->kind) {
    case TG_NIL:
        tg_buf_puts(b, "null");
        break;
    case TG_BOOL:
        tg_buf_puts(b, v->boolean ? "true" : "false");
        break;
    case TG_INT:
        tg_json_int(b, v->integer);
        break;
    case TG_NUM:
        tg_json_num(b, v->number);
        break;
    case TG_STR:
        tg_json_str(b, v->string);
        break;
    case TG_LIST:
        put_list(b, v);
        break;
    case TG_MAP:
        put_map(b, v);
        break;
    }
}
