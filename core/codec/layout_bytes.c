// SPDX-License-Identifier: Apache-2.0
// Decoding of what is not a number: bytes and texts, which stay where they are, and times.
#include "codec/layout_decoder.h"

// ---- bytes --------------------------------------------------------------------------------

/// How much `s` says; a prefix is taken. Negative: refused, and said why.
int64_t tg_decode_size(tg_decoder *d, uint32_t i, const tg_size *s)
{
    int64_t n = s->n;
    switch ((tg_size_kind)s->kind) {
    case SIZE_CONST:
        return n;
    case SIZE_REG:
        n += d->reg[s->reg];
        break;
    case SIZE_PREFIX:
        if (tg_left(d) < s->width)
            return tg_decode_too_short(d, i, s->width);
        n += (int64_t)tg_get_uint(d->at, s->width, s->be);
        d->at += s->width;
        break;
    case SIZE_END:
        n += (int64_t)tg_left(d);
        break;
    case SIZE_NUL: {
        const uint8_t *zero = tg_left(d) > 0 ? memchr(d->at, 0, tg_left(d)) : NULL;
        return zero != NULL ? zero - d->at : tg_decode_wrong(d, i, "no zero byte ends it");
    }
    }
    return n >= 0 ? n : tg_decode_wrong(d, i, "its size is below 0");
}

static tg_item_kind kind_of(uint8_t op)
{
    return op == OP_TEXT    ? TG_ITEM_TEXT
           : op == OP_HEX   ? TG_ITEM_HEX
           : op == OP_BCD   ? TG_ITEM_BCD
           : op == OP_BYTES ? TG_ITEM_BYTES
                            : TG_ITEM_NONE;
}

int tg_decode_bytes(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    int64_t n = tg_decode_size(d, i, &f->size);
    if (n < 0)
        return (int)n;
    if ((uint64_t)n > tg_left(d))
        return tg_decode_too_short(d, i, (uint64_t)n);
    if (tg_push(d, i, kind_of(f->op), (size_t)n, &rc) == NULL)
        return rc;
    d->at += n + (f->size.kind == SIZE_NUL);
    return 0;
}

/// Digits of `n` bytes, two each. @return -1: not all are digits.
static int64_t bcd(const uint8_t *at, size_t n)
{
    int64_t value = 0;
    for (size_t k = 0; k < n; k++) {
        if (at[k] >> 4 > 9 || (at[k] & 15) > 9)
            return -1;
        value = value * 100 + (at[k] >> 4) * 10 + (at[k] & 15);
    }
    return value;
}

int tg_decode_dec(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    size_t n = (size_t)f->size.n;
    if (tg_left(d) < n)
        return tg_decode_too_short(d, i, n);
    tg_item *it = tg_push(d, i, TG_ITEM_INT, n, &rc);
    if (it == NULL)
        return rc;
    int64_t value = bcd(d->at, n);
    if (value < 0)
        tg_decode_spoil(d, it);
    else
        rc = tg_decode_give(d, f, it, value);
    d->at += n;
    return rc;
}

// ---- times --------------------------------------------------------------------------------

static bool all_zero(const uint8_t *at, size_t n)
{
    while (n > 0 && at[n - 1] == 0)
        n--;
    return n == 0;
}

static bool clock_ms(const uint8_t *at, bool digits, int zone, int64_t *ms)
{
    unsigned v[6];
    for (int k = 0; k < 6; k++) {
        int64_t two = digits ? bcd(at + k, 1) : at[k];
        if (two < 0)
            return false;
        v[k] = (unsigned)two;
    }
    return v[0] < 100 &&
           tg_ms_from_clock(2000 + (int)v[0], v[1], v[2], v[3], v[4], v[5], zone, ms);
}

static bool unix_ms(const tg_op_field *f, const uint8_t *at, int64_t *ms)
{
    uint64_t n = tg_get_uint(at, f->width, f->be);
    uint64_t unit = f->op == OP_UNIX ? 1000 : 1;
    if (n > INT64_MAX / 1000)
        return false;
    *ms = (int64_t)(n * unit);
    return true;
}

int tg_decode_time(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    if (tg_left(d) < f->width)
        return tg_decode_too_short(d, i, f->width);
    tg_item *it = tg_push(d, i, TG_ITEM_TIME, f->width, &rc);
    if (it == NULL)
        return rc;
    int zone = f->zone != NO_ZONE ? f->zone : d->zone;
    bool clock = f->op == OP_TIME6 || f->op == OP_BCDTIME;
    it->zone = (int16_t)(f->flags & F_UTC ? 0 : zone);
    if (all_zero(d->at, f->width))
        it->kind = TG_ITEM_NONE; // a device that has no time yet
    else if (clock ? !clock_ms(d->at, f->op == OP_BCDTIME, zone, &it->value)
                   : !unix_ms(f, d->at, &it->value))
        tg_decode_spoil(d, it);
    if (!clock)
        it->raw = (int64_t)tg_get_uint(d->at, f->width, f->be);
    d->at += f->width;
    return 0;
}
