// SPDX-License-Identifier: Apache-2.0
// Encoding of bytes, texts, times and sizes; and a tree of values as the source of them all.
#include <stdio.h>

#include "codec/layout_encoder.h"

// ---- sizes --------------------------------------------------------------------------------

int tg_encode_size(tg_encoder *x, uint32_t i, const tg_size *s, size_t *at)
{
    (void)i;
    *at = x->out->len;
    if (s->kind == SIZE_PREFIX)
        tg_buf_put(x->out, "\0\0\0\0", s->width);
    return 0;
}

int tg_encode_sized(tg_encoder *x, uint32_t i, const tg_size *s, size_t at, int64_t n)
{
    switch ((tg_size_kind)s->kind) {
    case SIZE_CONST:
        return n == s->n ? 0 : tg_encode_fail(x, i, "has not the number that is declared");
    case SIZE_REG:
        return x->out->failed ? 0 : tg_encode_count(x, i, s->reg, n - s->n);
    case SIZE_PREFIX:
        n -= s->n;
        if (n < 0 || (uint64_t)n >> 8 * s->width != 0)
            return tg_encode_fail(x, i, "is longer than its size can say");
        if (!x->out->failed)
            tg_encode_uint(x->out->at + at, (uint64_t)n, s->width, s->be);
        return 0;
    case SIZE_END:
    case SIZE_NUL:
        return 0;
    }
    return 0;
}

static int put_zeros(tg_encoder *x, int64_t n)
{
    char *to = n > 0 ? tg_buf_reserve(x->out, (size_t)n) : NULL;
    if (to == NULL)
        return 0;
    memset(to, 0, (size_t)n);
    x->out->len += (size_t)n;
    return 0;
}

int tg_encode_skip(tg_encoder *x, uint32_t i)
{
    const tg_size *s = &x->l->op[i].size;
    size_t at = 0;
    if (s->kind == SIZE_CONST)
        return put_zeros(x, s->n);
    int rc = tg_encode_size(x, i, s, &at);
    if (s->kind == SIZE_REG && x->given[s->reg])
        return put_zeros(x, x->reg[s->reg] + s->n);
    if (s->kind == SIZE_NUL)
        return put_zeros(x, 1);
    return rc < 0 ? rc : tg_encode_sized(x, i, s, at, s->n > 0 ? s->n : 0);
}

// ---- contents -----------------------------------------------------------------------------

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int tg_encode_hex(tg_encoder *x, uint32_t i, tg_slice digits)
{
    if (digits.len % 2 != 0)
        return tg_encode_fail(x, i, "an odd number of digits");
    for (size_t k = 0; k < digits.len; k += 2) {
        int high = nibble(digits.at[k]), low = nibble(digits.at[k + 1]);
        if (high < 0 || low < 0)
            return tg_encode_fail(x, i, "a character is no digit");
        tg_buf_putc(x->out, (char)(high << 4 | low));
    }
    return 0;
}

/// Digits keep to the right: zeros fill up in front.
static int put_bcd(tg_encoder *x, uint32_t i, tg_slice digits)
{
    const tg_size *s = &x->l->op[i].size;
    size_t room = s->kind == SIZE_CONST ? 2 * (size_t)s->n : (digits.len + 1) / 2 * 2;
    if (digits.len > room)
        return tg_encode_fail(x, i, "has more digits than room");
    for (size_t k = digits.len; k + 1 < room; k += 2)
        tg_buf_putc(x->out, 0);
    if (digits.len % 2 != 0) {
        int one = nibble(digits.at[0]);
        if (one < 0)
            return tg_encode_fail(x, i, "a character is no digit");
        tg_buf_putc(x->out, (char)one);
        digits = (tg_slice){digits.at + 1, digits.len - 1};
    }
    return tg_encode_hex(x, i, digits);
}

/// Bytes that were no text when they came are beside it in their raw form.
static int put_text(tg_encoder *x, uint32_t i, tg_slice s)
{
    size_t start = x->out->len;
    tg_value raw = {0};
    int lost = tg_charset_encode((tg_charset)x->l->field[i].charset, s, x->out);
    if (lost <= 0)
        return 0;
    x->from->raw(x->ctx, i, &raw);
    if (raw.kind != TG_STR)
        return tg_encode_fail(x, i, "has characters that its charset has not");
    x->out->len = start;
    return tg_encode_hex(x, i, raw.string);
}

static int put_content(tg_encoder *x, uint32_t i, tg_slice s)
{
    switch ((tg_opcode)x->l->op[i].op) {
    case OP_BCD:
        return put_bcd(x, i, s);
    case OP_HEX:
        return tg_encode_hex(x, i, s);
    case OP_TEXT:
        return put_text(x, i, s);
    default:
        tg_buf_put(x->out, s.at, s.len);
        return 0;
    }
}

static int put_time(tg_encoder *x, uint32_t i, const tg_value *v);

/// The bytes of a time or a number that is none.
static int put_wire(tg_encoder *x, uint32_t i, const tg_value *v)
{
    const tg_op_field *f = &x->l->op[i];
    char bytes[8];
    if (v->kind == TG_STR && v->string.len == 2u * f->width)
        return tg_encode_hex(x, i, v->string);
    if (v->kind != TG_INT || f->width > 8 || x->l->field[i].raw_hex)
        return tg_encode_fail(x, i, "its raw form has another size");
    tg_encode_uint(bytes, (uint64_t)v->integer, f->width, f->be);
    tg_buf_put(x->out, bytes, f->width);
    return 0;
}

int tg_encode_bytes(tg_encoder *x, uint32_t i, const tg_value *v, bool wire)
{
    const tg_op_field *f = &x->l->op[i];
    size_t at = 0;
    tg_slice s = {0};
    if ((f->op >= OP_TIME6 && f->op <= OP_UNIXMS) || f->op == OP_FLOAT)
        return wire ? put_wire(x, i, v) : put_time(x, i, v);
    if (v->kind == TG_STR)
        s = v->string;
    else if (v->kind != TG_NIL || !(f->flags & (F_HIDDEN | F_OPTIONAL)))
        return tg_encode_fail(x, i, v->kind == TG_NIL ? "is missing" : "is no text");
    int rc = tg_encode_size(x, i, &f->size, &at);
    size_t start = x->out->len;
    if (rc >= 0)
        rc = wire ? tg_encode_hex(x, i, s) : put_content(x, i, s);
    if (rc < 0 || x->out->failed)
        return rc;
    int64_t n = (int64_t)(x->out->len - start);
    if (f->size.kind == SIZE_CONST && n <= f->size.n)
        return put_zeros(x, f->size.n - n);
    if (f->size.kind == SIZE_NUL) {
        if (n > 0 && memchr(x->out->at + start, 0, (size_t)n) != NULL)
            return tg_encode_fail(x, i, "a zero byte would end it");
        return put_zeros(x, 1);
    }
    if (f->size.kind == SIZE_CONST)
        return tg_encode_fail(x, i, "is longer than its room");
    return tg_encode_sized(x, i, &f->size, at, n);
}

// ---- times --------------------------------------------------------------------------------

static uint8_t digits_of(unsigned n, bool bcd)
{
    return (uint8_t)(bcd ? n / 10 << 4 | n % 10 : n);
}

static int put_clock(tg_encoder *x, uint32_t i, int64_t ms, int zone)
{
    bool bcd = x->l->op[i].op == OP_BCDTIME;
    int64_t local = ms / 1000 + zone * 60, year;
    unsigned month, day;
    int64_t days = (local >= 0 ? local : local - 86399) / 86400;
    tg_date_from_days(days, &year, &month, &day);
    if (year < 2000 || year > 2099)
        return tg_encode_fail(x, i, "a year outside 2000..2099");
    unsigned s = (unsigned)(local - days * 86400);
    const unsigned v[6] = {
        (unsigned)(year - 2000), month, day, s / 3600, s / 60 % 60, s % 60};
    for (int k = 0; k < 6; k++)
        tg_buf_putc(x->out, (char)digits_of(v[k], bcd));
    return 0;
}

static int put_time(tg_encoder *x, uint32_t i, const tg_value *v)
{
    const tg_op_field *f = &x->l->op[i];
    int zone = f->zone != NO_ZONE ? f->zone : x->zone, in_text = zone;
    int64_t ms = 0;
    if (v->kind == TG_NIL)
        return put_zeros(x, f->width); // as a device without a clock
    if (v->kind == TG_INT)
        ms = v->integer;
    else if (v->kind != TG_STR || tg_iso_read(v->string, &ms, &in_text) < 0)
        return tg_encode_fail(x, i, "is no time: neither ISO 8601 nor milliseconds");
    if (f->op == OP_TIME6 || f->op == OP_BCDTIME)
        return put_clock(x, i, ms, zone);
    if (f->op == OP_UNIX)
        ms /= 1000;
    if (ms < 0 || (f->width == 4 && ms > UINT32_MAX))
        return tg_encode_fail(x, i, "a time outside the range of its type");
    char bytes[8];
    tg_encode_uint(bytes, (uint64_t)ms, f->width, f->be);
    tg_buf_put(x->out, bytes, f->width);
    return 0;
}

// ---- a tree of values -----------------------------------------------------------------------

typedef struct tree {
    const tg_layout *l;
    const tg_value *at[2 * 32];
    uint32_t depth;
} tree;

static const tg_value NOTHING = {0};

static const tg_value *member(const tree *t, uint32_t field, int64_t index)
{
    const tg_value *v = t->at[t->depth];
    if (index > 0)
        return v->kind == TG_LIST && (uint64_t)index <= v->list.count
                   ? &v->list.items[index - 1]
                   : &NOTHING;
    for (size_t k = 0; v->kind == TG_MAP && k < v->map.count; k++)
        if (tg_slice_eq(v->map.pairs[k].key, t->l->field[field].name))
            return &v->map.pairs[k].value;
    return &NOTHING;
}

static void tree_get(void *ctx, uint32_t field, int64_t index, tg_value *out)
{
    *out = *member(ctx, field, index);
}

static bool tree_open(void *ctx, uint32_t field, int64_t index)
{
    tree *t = ctx;
    const tg_value *v = member(t, field, index);
    if (v->kind != TG_MAP && v->kind != TG_LIST)
        return false;
    t->at[++t->depth] = v;
    return true;
}

static void tree_close(void *ctx)
{
    ((tree *)ctx)->depth--;
}

static int64_t tree_count(void *ctx)
{
    const tree *t = ctx;
    const tg_value *v = t->at[t->depth];
    return v->kind == TG_LIST ? (int64_t)v->list.count : 0;
}

static void tree_raw(void *ctx, uint32_t field, tg_value *out)
{
    const tree *t = ctx;
    const tg_value *v = t->at[t->depth];
    tg_slice name = t->l->field[field].name;
    *out = NOTHING;
    for (size_t k = 0; v->kind == TG_MAP && k < v->map.count; k++) {
        tg_slice key = v->map.pairs[k].key;
        if (name.len > 0 && key.len == name.len + 4 &&
            memcmp(key.at, name.at, name.len) == 0 &&
            memcmp(key.at + name.len, "_raw", 4) == 0)
            *out = v->map.pairs[k].value;
    }
}

static bool tree_member(void *ctx, uint32_t i, tg_slice *key, tg_value *out)
{
    const tree *t = ctx;
    const tg_value *v = t->at[t->depth];
    if (v->kind != TG_MAP || i >= v->map.count)
        return false;
    *key = v->map.pairs[i].key;
    *out = v->map.pairs[i].value;
    return true;
}

static bool tree_open_member(void *ctx, uint32_t i)
{
    tree *t = ctx;
    tg_slice key;
    tg_value v;
    if (!tree_member(t, i, &key, &v) || (v.kind != TG_MAP && v.kind != TG_LIST))
        return false;
    t->at[t->depth + 1] = &t->at[t->depth]->map.pairs[i].value;
    t->depth++;
    return true;
}

int tg_layout_encode_value(const tg_layout *l, const tg_value *v, const tg_decode_how *how,
                           tg_buf *out, tg_error *e)
{
    static const tg_source from = {tree_get, tree_open,   tree_close,      tree_count,
                                   tree_raw, tree_member, tree_open_member};
    tree t = {.l = l, .at = {v}};
    return tg_layout_encode(l, &from, &t, how, out, e);
}
