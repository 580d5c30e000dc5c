// SPDX-License-Identifier: Apache-2.0
// Encoding walks the same program and asks its source for each value by field. Counts and
// lengths that nobody gave are written as zero and put right when what they count is known.
#include <math.h>
#include <stdio.h>

#include "codec/layout_encoder.h"

__extension__ typedef __int128 wide;

int tg_encode_fail(tg_encoder *x, uint32_t i, const char *why)
{
    char path[200];
    return tg_error_set(x->e, TG_E_INVAL, "%s: %s",
                        tg_layout_path(x->l, i, path, sizeof(path)), why);
}

bool tg_encode_get(tg_encoder *x, uint32_t i, int64_t index, tg_value *v)
{
    if (index == 0 && i == x->again) {
        *v = x->again_value;
        return false;
    }
    x->from->get(x->ctx, i, index, v);
    if (v->kind != TG_NIL || index != 0)
        return false;
    x->from->raw(x->ctx, i, v);
    return v->kind != TG_NIL;
}

static bool open_at(tg_encoder *x, uint32_t i, int64_t index)
{
    if (index != 0 || i != x->again)
        return x->from->open(x->ctx, i, index);
    x->again = 0; // what is inside is asked for by its own name
    return x->from->open_member(x->ctx, x->again_at);
}

// ---- numbers ------------------------------------------------------------------------------

static int64_t ten_to(unsigned n)
{
    int64_t ten = 1;
    while (n-- > 0)
        ten *= 10;
    return ten;
}

static int outside(tg_encoder *x, uint32_t i, const tg_value *v, int64_t low, uint64_t high)
{
    char path[200], text[40];
    if (v->kind == TG_NUM)
        snprintf(text, sizeof(text), "%.15g", v->number);
    else
        snprintf(text, sizeof(text), "%lld", (long long)v->integer);
    return tg_error_set(x->e, TG_E_INVAL, "%s: %s is outside %lld..%llu on the wire",
                        tg_layout_path(x->l, i, path, sizeof(path)), text, (long long)low,
                        (unsigned long long)high);
}

/// value = raw × mul / div + add, turned round.
static bool unscaled(const tg_encoder *x, uint32_t i, const tg_value *v, wide *raw)
{
    const tg_op_field *f = &x->l->op[i];
    int64_t ten = ten_to(x->l->field[i].digits);
    wide m;
    if (v->kind == TG_INT) {
        m = (wide)v->integer * ten;
    } else {
        double scaled = v->number * (double)ten;
        if (!isfinite(scaled) || fabs(scaled) > 9e18)
            return false;
        m = (wide)llround(scaled);
    }
    if (f->flags & F_MINUS)
        m = m < 0 ? -m : m;
    m = (m - f->add) * f->div;
    *raw = m >= 0 ? (m + f->mul / 2) / f->mul : -((-m + f->mul / 2) / f->mul);
    return true;
}

static int from_number(tg_encoder *x, uint32_t i, unsigned bits, const tg_value *v,
                       int64_t *out)
{
    const tg_op_field *f = &x->l->op[i];
    int64_t low = f->sign ? INT64_MIN >> (64 - bits) : 0;
    uint64_t high = UINT64_MAX >> (64 - bits) >> (f->sign ? 1 : 0);
    wide raw;
    if (f->scale == SCALE_NO && v->kind == TG_NUM && v->number != floor(v->number))
        return tg_encode_fail(x, i, "is no integer");
    if (!unscaled(x, i, v, &raw) || raw < low || raw > (wide)high)
        return outside(x, i, v, low, high);
    if ((f->flags & F_RANGE) && (raw < f->low || raw > f->high))
        return outside(x, i, v, f->low, (uint64_t)f->high);
    *out = (int64_t)raw;
    return 0;
}

static int from_word(tg_encoder *x, uint32_t i, tg_slice word, int64_t *out)
{
    const tg_op_field *f = &x->l->op[i];
    for (uint32_t k = 0; k < f->nwords; k++)
        if (x->l->words[f->word + k].word.at != NULL &&
            tg_slice_eq(x->l->words[f->word + k].word, word)) {
            *out = x->l->words[f->word + k].value;
            return 0;
        }
    char why[120];
    snprintf(why, sizeof(why), "no value is called '%.*s'",
             (int)(word.len < 60 ? word.len : 60), word.at);
    return tg_encode_fail(x, i, why);
}

/// A number that was not given: its constant, its "no value" sentinel, or one that follows.
static int from_nothing(tg_encoder *x, uint32_t i, int64_t *out)
{
    const tg_op_field *f = &x->l->op[i];
    *out = 0;
    if (f->flags & F_CONST) {
        *out = f->low;
        return 0;
    }
    for (uint32_t k = 0; k < f->nwords; k++)
        if (x->l->words[f->word + k].word.at == NULL) {
            *out = x->l->words[f->word + k].value;
            return 0;
        }
    return f->flags & (F_DERIVED | F_HIDDEN) ? 0 : tg_encode_fail(x, i, "is missing");
}

static int raw_of(tg_encoder *x, uint32_t i, unsigned bits, const tg_value *v, int64_t *out)
{
    switch (v->kind) {
    case TG_NIL:
        return from_nothing(x, i, out);
    case TG_BOOL:
        *out = v->boolean;
        return 0;
    case TG_INT:
    case TG_NUM:
        return from_number(x, i, bits, v, out);
    case TG_STR:
        return from_word(x, i, v->string, out);
    default:
        return tg_encode_fail(x, i, "a table is no number");
    }
}

void tg_encode_uint(char *to, uint64_t n, unsigned width, bool be)
{
    for (unsigned k = 0; k < width; k++, n >>= 8)
        to[be ? width - 1 - k : k] = (char)n;
}

static int put_uint(tg_encoder *x, uint64_t n, unsigned width, bool be)
{
    char bytes[8];
    tg_encode_uint(bytes, n, width, be);
    tg_buf_put(x->out, bytes, width);
    return 0;
}

static void know(tg_encoder *x, const tg_op_field *f, int64_t raw, bool given)
{
    if (f->reg == NO_REG)
        return;
    x->reg[f->reg] = raw;
    x->given[f->reg] = given;
    x->at[f->reg] = x->out->len;
}

/// A number as it is on the wire, given as one or in hex.
static int from_wire(tg_encoder *x, uint32_t i, unsigned bits, const tg_value *v,
                     int64_t *out)
{
    uint64_t mask = UINT64_MAX >> (64 - bits);
    if (v->kind != TG_INT)
        return tg_encode_fail(x, i, "its raw form is no number");
    int64_t low = x->l->op[i].sign ? -(int64_t)(mask / 2) - 1 : 0;
    if (bits < 64 && (v->integer < low || v->integer > (int64_t)mask))
        return outside(x, i, v, low, mask);
    *out = v->integer;
    return 0;
}

static int put_int(tg_encoder *x, uint32_t i, const tg_value *v, bool wire)
{
    const tg_op_field *f = &x->l->op[i];
    int64_t raw = 0;
    int rc = wire ? from_wire(x, i, 8u * f->width, v, &raw)
                  : raw_of(x, i, 8u * f->width, v, &raw);
    if (rc < 0)
        return rc;
    know(x, f, raw, v->kind != TG_NIL);
    return put_uint(x, (uint64_t)raw, f->width, f->be);
}

int tg_encode_count(tg_encoder *x, uint32_t i, uint8_t reg, int64_t n)
{
    const tg_op_field *f = NULL;
    uint32_t counter = 0;
    while (f == NULL || f->reg != reg)
        f = &x->l->op[++counter];
    if (x->given[reg])
        return x->reg[reg] == n ? 0 : tg_encode_fail(x, i, "its count says something else");
    uint64_t high = f->width < 8 ? (UINT64_C(1) << 8 * f->width) - 1 : INT64_MAX;
    if (f->op != OP_INT)
        return tg_encode_fail(x, counter, "must be given");
    if (n < 0 || (uint64_t)n > high)
        return tg_encode_fail(x, i, "has more than its count can say");
    x->reg[reg] = n;
    x->given[reg] = true;
    tg_encode_uint(x->out->at + x->at[reg], (uint64_t)n, f->width, f->be);
    return 0;
}

static bool holds(const tg_encoder *x, const tg_op_field *f)
{
    for (uint32_t k = 0; k < f->nconds; k++) {
        const tg_cond *c = &x->l->conds[f->cond + k];
        if (!tg_cond_holds(c, x->reg[c->reg]))
            return false;
    }
    return true;
}

static int put_bits(tg_encoder *x, uint32_t i)
{
    const tg_op_field *f = &x->l->op[i];
    uint64_t word = 0;
    for (uint32_t k = i + 1; k < f->next; k++) {
        const tg_op_field *b = &x->l->op[k];
        tg_value v = {0};
        int64_t raw = 0;
        if (!holds(x, b))
            continue;
        bool wire = tg_encode_get(x, k, 0, &v);
        if (v.kind == TG_NIL && b->op == OP_BOOL)
            v = tg_value_of_bool(false);
        int rc =
            wire ? from_wire(x, k, b->bits, &v, &raw) : raw_of(x, k, b->bits, &v, &raw);
        if (rc < 0)
            return rc;
        know(x, b, raw, true);
        uint64_t mask = b->bits < 64 ? (UINT64_C(1) << b->bits) - 1 : UINT64_MAX;
        word |= ((uint64_t)raw & mask) << b->shift;
    }
    know(x, f, (int64_t)word, true);
    return put_uint(x, word, f->width, f->be);
}

static int put_word(tg_encoder *x, uint32_t i, int64_t index)
{
    if (x->l->op[i].flags & F_FLAT)
        return put_bits(x, i);
    tg_value v = {0};
    const tg_op_field *f = &x->l->op[i];
    tg_encode_get(x, i, index, &v);
    if (v.kind == TG_INT) { // the word as it is
        know(x, f, v.integer, true);
        return put_uint(x, (uint64_t)v.integer, f->width, f->be);
    }
    if (!open_at(x, i, index))
        return tg_encode_fail(x, i, "is missing");
    int rc = put_bits(x, i);
    x->from->close(x->ctx);
    return rc;
}

/// The words of a set come as a list; its bits as a number.
static int put_set(tg_encoder *x, uint32_t i, int64_t index)
{
    const tg_op_field *f = &x->l->op[i];
    int64_t bits = 0, bit = 0;
    int rc = 0;
    tg_value v = {0};
    tg_encode_get(x, i, index, &v);
    if (v.kind == TG_INT) {
        bits = v.integer;
    } else if (open_at(x, i, index)) {
        int64_t n = x->from->count(x->ctx);
        for (int64_t k = 1; k <= n && rc >= 0; k++) {
            x->from->get(x->ctx, i, k, &v);
            unsigned number;
            if (v.kind != TG_STR)
                rc = tg_encode_fail(x, i, "has a member that is no name");
            else if (v.string.len < 8 && v.string.len > 3 &&
                     sscanf(v.string.at, "bit%2u", &number) == 1 && number < 8u * f->width)
                bit = number;
            else
                rc = from_word(x, i, v.string, &bit);
            bits |= (int64_t)(UINT64_C(1) << bit);
        }
        x->from->close(x->ctx);
    } else if (v.kind == TG_NIL && !(f->flags & F_HIDDEN)) {
        return tg_encode_fail(x, i, "is missing");
    }
    know(x, f, bits, true);
    return rc < 0 ? rc : put_uint(x, (uint64_t)bits, f->width, f->be);
}

static int put_bool(tg_encoder *x, uint32_t i, const tg_value *v)
{
    bool on = v->kind == TG_BOOL ? v->boolean : v->kind == TG_INT && v->integer != 0;
    if (v->kind == TG_NIL && !(x->l->op[i].flags & F_HIDDEN))
        return tg_encode_fail(x, i, "is missing");
    know(x, &x->l->op[i], on, true);
    return put_uint(x, on, 1, true);
}

static int put_float(tg_encoder *x, uint32_t i, const tg_value *v)
{
    const tg_op_field *f = &x->l->op[i];
    if (v->kind != TG_NUM && v->kind != TG_INT)
        return tg_encode_fail(x, i, v->kind == TG_NIL ? "is missing" : "is no number");
    double n = v->kind == TG_NUM ? v->number : (double)v->integer;
    if (f->scale != SCALE_NO)
        n = (n * (double)ten_to(x->l->field[i].digits) - (double)f->add) * (double)f->div /
            (double)f->mul;
    float single = (float)n;
    uint32_t half;
    uint64_t bits;
    memcpy(&half, &single, sizeof(half));
    memcpy(&bits, &n, sizeof(bits));
    return put_uint(x, f->width == 4 ? half : bits, f->width, f->be);
}

static int put_dec(tg_encoder *x, uint32_t i, const tg_value *v)
{
    const tg_op_field *f = &x->l->op[i];
    int64_t raw = 0;
    int rc = raw_of(x, i, 63, v, &raw);
    if (rc < 0)
        return rc;
    uint64_t left = (uint64_t)raw;
    char bytes[9];
    for (int k = f->size.n - 1; k >= 0; k--, left /= 100)
        bytes[k] = (char)(left / 10 % 10 << 4 | left % 10);
    if (left > 0)
        return tg_encode_fail(x, i, "has more digits than room");
    know(x, f, raw, true);
    tg_buf_put(x->out, bytes, (size_t)f->size.n);
    return 0;
}

// ---- what holds others --------------------------------------------------------------------

static bool present(tg_encoder *x, uint32_t i, int64_t index)
{
    const tg_op_field *f = &x->l->op[i];
    tg_value v = {0};
    if (f->op == OP_SIZED)
        return present(x, i + 1, index);
    if (f->flags & F_FLAT) {
        for (uint32_t k = i + 1; k < f->next; k = x->l->op[k].next)
            if (!(x->l->op[k].flags & F_HIDDEN) && present(x, k, 0))
                return true;
        return false;
    }
    tg_encode_get(x, i, index, &v);
    return v.kind != TG_NIL;
}

static bool wanted(tg_encoder *x, uint32_t i)
{
    const tg_op_field *f = &x->l->op[i];
    if (!holds(x, f))
        return false;
    return !(f->flags & F_OPTIONAL) || present(x, i, 0);
}

static int put_fields(tg_encoder *x, uint32_t from, uint32_t end)
{
    int rc = 0;
    for (uint32_t i = from; i < end && rc >= 0; i = x->l->op[i].next)
        if (wanted(x, i))
            rc = tg_encode_one(x, i, 0);
    return rc;
}

static int put_record(tg_encoder *x, uint32_t i, int64_t index)
{
    const tg_op_field *f = &x->l->op[i];
    if (f->flags & F_FLAT)
        return put_fields(x, i + 1, f->next);
    if (!open_at(x, i, index))
        return tg_encode_fail(x, i, "is missing");
    int rc = put_fields(x, i + 1, f->next);
    x->from->close(x->ctx);
    return rc;
}

static int put_list(tg_encoder *x, uint32_t i, int64_t index)
{
    const tg_op_field *f = &x->l->op[i];
    if (!open_at(x, i, index))
        return tg_encode_fail(x, i, "is missing");
    int64_t n = x->from->count(x->ctx);
    size_t at = 0;
    int rc = tg_encode_size(x, i, &f->size, &at);
    rc = rc < 0 ? rc : tg_encode_sized(x, i, &f->size, at, n);
    for (int64_t k = 1; k <= n && rc >= 0; k++)
        rc = tg_encode_one(x, i + 1, k);
    x->from->close(x->ctx);
    return rc;
}

static int put_sized(tg_encoder *x, uint32_t i, int64_t index)
{
    const tg_op_field *f = &x->l->op[i];
    size_t at = 0;
    int rc = tg_encode_size(x, i, &f->size, &at);
    size_t start = x->out->len;
    if (rc >= 0 && present(x, i, index))
        rc = tg_encode_one(x, i + 1, index);
    if (rc < 0)
        return rc;
    return tg_encode_sized(x, i, &f->size, at, (int64_t)(x->out->len - start));
}

static int put_tlv(tg_encoder *x, uint32_t i, int64_t index)
{
    if (!open_at(x, i, index))
        return tg_encode_fail(x, i, "is missing");
    int rc = tg_encode_tags(x, i);
    x->from->close(x->ctx);
    return rc;
}

int tg_encode_one(tg_encoder *x, uint32_t i, int64_t index)
{
    tg_value v = {0};
    switch ((tg_opcode)x->l->op[i].op) {
    case OP_WORD:
        return put_word(x, i, index);
    case OP_SET:
        return put_set(x, i, index);
    case OP_RECORD:
        return put_record(x, i, index);
    case OP_LIST:
        return put_list(x, i, index);
    case OP_SIZED:
        return put_sized(x, i, index);
    case OP_TLV:
        return put_tlv(x, i, index);
    case OP_SKIP:
        return tg_encode_skip(x, i);
    default:
        break;
    }
    bool wire = tg_encode_get(x, i, index, &v);
    switch ((tg_opcode)x->l->op[i].op) {
    case OP_INT:
        return put_int(x, i, &v, wire);
    case OP_BOOL:
        return put_bool(x, i, &v);
    case OP_FLOAT:
        return wire ? tg_encode_bytes(x, i, &v, true) : put_float(x, i, &v);
    case OP_DEC:
        return wire ? tg_encode_bytes(x, i, &v, true) : put_dec(x, i, &v);
    default:
        return tg_encode_bytes(x, i, &v, wire);
    }
}

int tg_layout_encode(const tg_layout *l, const tg_source *from, void *ctx,
                     const tg_decode_how *how, tg_buf *out, tg_error *e)
{
    tg_encoder x = {.l = tg_layout_check(l),
                    .from = from,
                    .ctx = ctx,
                    .out = out,
                    .e = e,
                    .zone = how != NULL ? how->zone : 0};
    size_t start = out->len;
    int rc = l->op[0].op == OP_TLV ? tg_encode_tags(&x, 0) : put_fields(&x, 1, l->n);
    if (rc >= 0 && out->failed)
        rc = tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    if (rc < 0)
        out->len = start;
    return rc < 0 ? rc : 0;
}
