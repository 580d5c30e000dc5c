// SPDX-License-Identifier: Apache-2.0
// Decoding: one loop over a record's fields that writes an item for each, in wire order. It
// allocates nothing while the tape is large enough, copies no bytes and makes no text; a count
// or length of the peer is only ever compared with what is left. When the bytes end too early
// the tape holds what was whole, its maps and lists closed.
#include <endian.h>
#include <math.h>
#include <stdlib.h>

#include "codec/layout_decoder.h"

#define TAPE_MAGIC 0x7a9e0001u
#define TAPE_FIRST 64

__extension__ typedef __int128 wide;

// ---- the tape -----------------------------------------------------------------------------

tg_tape *tg_tape_new(void)
{
    tg_tape *t = calloc(1, sizeof(*t));
    if (t != NULL)
        t->magic = TAPE_MAGIC;
    return t;
}

void tg_tape_free(tg_tape *t)
{
    if (t == NULL)
        return;
    t->magic = 0;
    free(t->items);
    free(t);
}

bool tg_tape_grow(tg_tape *t)
{
    uint32_t cap = t->cap > 0 ? t->cap * 2 : TAPE_FIRST;
    tg_item *items = realloc(t->items, cap * sizeof(*items));
    if (items == NULL)
        return false;
    t->items = items;
    t->cap = cap;
    return true;
}

int tg_decode_no_room(tg_decoder *d)
{
    if (d->t->n >= TG_TAPE_MAX)
        return tg_error_set(d->e, TG_E_LIMIT, "more than %d values", TG_TAPE_MAX);
    return tg_tape_grow(d->t)
               ? 0
               : tg_error_set(d->e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
}

void tg_decode_spoil(tg_decoder *d, tg_item *it)
{
    it->kind = TG_ITEM_NONE;
    it->flags |= TG_ITEM_BAD;
    d->t->flaws++;
}

// ---- errors -------------------------------------------------------------------------------

int tg_decode_too_short(tg_decoder *d, uint32_t i, uint64_t need)
{
    char path[200];
    return tg_error_set(d->e, TG_E_MALFORMED, "%s: needs %llu bytes at %zu, %zu are left",
                        tg_layout_path(d->l, i, path, sizeof(path)),
                        (unsigned long long)need, (size_t)(d->at - d->base), tg_left(d));
}

int tg_decode_wrong(tg_decoder *d, uint32_t i, const char *why)
{
    char path[200];
    return tg_error_set(d->e, TG_E_MALFORMED, "%s: %s", tg_layout_path(d->l, i, path, 200),
                        why);
}

// ---- numbers ------------------------------------------------------------------------------

bool tg_cond_holds(const tg_cond *c, int64_t value)
{
    switch ((tg_cond_op)c->op) {
    case C_EQ:
        return value == c->value;
    case C_NE:
        return value != c->value;
    case C_LT:
        return value < c->value;
    case C_LE:
        return value <= c->value;
    case C_GT:
        return value > c->value;
    case C_GE:
        return value >= c->value;
    case C_ANY:
        return (value & c->value) != 0;
    case C_NONE:
        return (value & c->value) == 0;
    }
    return false;
}

const tg_word *tg_layout_find_word(const tg_layout *l, const tg_op_field *f, int64_t value)
{
    const tg_word *all = l->words + f->word;
    uint32_t low = 0, high = f->nwords;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (all[mid].value < value)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->nwords && all[low].value == value ? &all[low] : NULL;
}

static wide divided(wide n, int64_t by) // halves away from zero
{
    return n >= 0 ? (n + by / 2) / by : -((-n + by / 2) / by);
}

static bool scaled(const tg_op_field *f, int64_t raw, int64_t *out)
{
    int64_t m;
    bool fits = f->width < 8 || f->sign || raw >= 0;
    if (fits && !__builtin_mul_overflow(raw, f->mul, &m)) {
        if (f->scale == SCALE_DIV)
            m = m >= 0 ? (m + f->div / 2) / f->div : -((-m + f->div / 2) / f->div);
        return !__builtin_add_overflow(m, f->add, out);
    }
    wide n = fits ? raw : (wide)(uint64_t)raw;
    n = divided(n * f->mul, f->div) + f->add;
    *out = (int64_t)n;
    return n == *out;
}

static int wrong_const(tg_decoder *d, uint32_t i, int64_t raw)
{
    char path[200];
    return tg_error_set(d->e, TG_E_MALFORMED, "%s: 0x%llx, expected 0x%llx",
                        tg_layout_path(d->l, i, path, sizeof(path)),
                        (unsigned long long)raw, (unsigned long long)d->op[i].low);
}

static int give_marked(tg_decoder *d, const tg_op_field *f, tg_item *it, int64_t raw)
{
    it->value = raw;
    if ((f->flags & F_CONST) && raw != f->low)
        return wrong_const(d, it->field, raw);
    const tg_word *w = f->nwords > 0 ? tg_layout_find_word(d->l, f, raw) : NULL;
    if (w != NULL) {
        it->kind = w->word.at != NULL ? TG_ITEM_WORD : TG_ITEM_NONE;
        it->value = w - d->l->words;
        return 0;
    }
    if ((f->flags & F_RANGE) && (raw < f->low || raw > f->high)) {
        tg_decode_spoil(d, it);
        return 0;
    }
    if (f->scale != SCALE_NO && !scaled(f, raw, &it->value))
        tg_decode_spoil(d, it);
    else if (f->flags & F_MINUS)
        d->slot[f->minus_slot] = d->t->n; // it is the last item
    return 0;
}

static inline int give(tg_decoder *d, const tg_op_field *f, tg_item *it, int64_t raw)
{
    it->raw = raw;
    if (f->reg != NO_REG)
        d->reg[f->reg] = raw;
    if (!(f->flags & F_PLAIN))
        return give_marked(d, f, it, raw);
    it->value = raw;
    if (raw < 0 && !f->sign)
        it->kind = TG_ITEM_UINT;
    return 0;
}

static inline int64_t read_int(const uint8_t *at, const tg_op_field *f)
{
    uint64_t n;
    switch (f->width) {
    case 1:
        n = at[0];
        break;
    case 2:
        n = f->be ? (uint64_t)at[0] << 8 | at[1] : (uint64_t)at[1] << 8 | at[0];
        break;
    case 4: {
        uint32_t four;
        memcpy(&four, at, 4);
        n = f->be ? be32toh(four) : le32toh(four);
        break;
    }
    default:
        n = tg_get_uint(at, f->width, f->be);
    }
    return f->sign ? tg_sign_extend(n, 8u * f->width) : (int64_t)n;
}

int tg_decode_give(tg_decoder *d, const tg_op_field *f, tg_item *it, int64_t raw)
{
    return give(d, f, it, raw);
}

static int do_int(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    if (tg_left(d) < f->width)
        return tg_decode_too_short(d, i, f->width);
    tg_item *it = tg_push(d, i, TG_ITEM_INT, f->width, &rc);
    if (it == NULL)
        return rc;
    rc = give(d, f, it, read_int(d->at, f));
    d->at += f->width;
    return rc;
}

static void give_bool(tg_decoder *d, const tg_op_field *f, tg_item *it, int64_t raw)
{
    it->raw = raw;
    it->value = raw != 0;
    if (f->reg != NO_REG)
        d->reg[f->reg] = raw;
}

/// Conditions on earlier fields; and that what is left is enough for one that may be missing.
static bool is_there(const tg_decoder *d, const tg_op_field *f)
{
    bool to_end = f->op >= OP_BCD && f->op <= OP_TEXT && f->size.kind == SIZE_END;
    int64_t room = (int64_t)tg_left(d) + (to_end ? f->size.n : 0);
    if ((f->flags & F_OPTIONAL) && (room < (int64_t)f->least || room <= 0))
        return false;
    for (uint32_t k = 0; k < f->nconds; k++) {
        const tg_cond *c = &d->l->conds[f->cond + k];
        if (!tg_cond_holds(c, d->reg[c->reg]))
            return false;
    }
    return true;
}

static int do_bits(tg_decoder *d, uint32_t i, const tg_op_field *f, uint64_t word)
{
    for (uint32_t k = i + 1; k < f->next; k++) {
        const tg_op_field *b = &d->op[k];
        int rc = 0;
        if (b->nconds > 0 && !is_there(d, b))
            continue;
        uint64_t n = word >> b->shift;
        n = b->bits < 64 ? n & ((UINT64_C(1) << b->bits) - 1) : n;
        tg_item *it =
            tg_push(d, k, b->op == OP_BOOL ? TG_ITEM_BOOL : TG_ITEM_INT, f->width, &rc);
        if (it == NULL)
            return rc;
        if (b->op == OP_BOOL)
            give_bool(d, b, it, (int64_t)n);
        else
            rc = give(d, b, it, b->sign ? tg_sign_extend(n, b->bits) : (int64_t)n);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int tg_decode_close(tg_decoder *d, uint32_t opened)
{
    tg_tape *t = d->t;
    if (t->n == t->cap && !tg_tape_grow(t)) {
        t->n = opened; // without its end it must not stay
        return tg_error_set(d->e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    }
    t->items[opened].value = t->n;
    t->items[opened].len = (uint32_t)(d->at - d->base) - t->items[opened].at;
    t->items[t->n++] = (tg_item){.at = (uint32_t)(d->at - d->base),
                                 .field = t->items[opened].field,
                                 .kind = TG_ITEM_CLOSE};
    return 0;
}

static int do_word(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    uint32_t opened = d->t->n;
    bool flat = (f->flags & F_FLAT) != 0;
    if (tg_left(d) < f->width)
        return tg_decode_too_short(d, i, f->width);
    tg_item *it = tg_push(d, i, flat ? TG_ITEM_NONE : TG_ITEM_MAP, f->width, &rc);
    if (it == NULL)
        return rc;
    uint64_t word = tg_get_uint(d->at, f->width, f->be);
    it->raw = (int64_t)word;
    if (f->reg != NO_REG)
        d->reg[f->reg] = it->raw;
    rc = do_bits(d, i, f, word);
    d->at += f->width;
    if (!flat) {
        int closed = tg_decode_close(d, opened);
        rc = rc < 0 ? rc : closed;
    }
    return rc;
}

static int do_set(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    if (tg_left(d) < f->width)
        return tg_decode_too_short(d, i, f->width);
    tg_item *it = tg_push(d, i, TG_ITEM_SET, f->width, &rc);
    if (it == NULL)
        return rc;
    it->raw = (int64_t)tg_get_uint(d->at, f->width, f->be);
    if (f->reg != NO_REG)
        d->reg[f->reg] = it->raw;
    d->at += f->width;
    return 0;
}

static int do_bool(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    if (tg_left(d) < 1)
        return tg_decode_too_short(d, i, 1);
    tg_item *it = tg_push(d, i, TG_ITEM_BOOL, 1, &rc);
    if (it != NULL)
        give_bool(d, f, it, *d->at++);
    return rc;
}

static int do_float(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    if (tg_left(d) < f->width)
        return tg_decode_too_short(d, i, f->width);
    tg_item *it = tg_push(d, i, TG_ITEM_NUM, f->width, &rc);
    if (it == NULL)
        return rc;
    uint64_t bits = tg_get_uint(d->at, f->width, f->be);
    uint32_t half = (uint32_t)bits;
    float single;
    memcpy(&single, &half, sizeof(single));
    memcpy(&it->number, &bits, sizeof(bits));
    if (f->width == 4)
        it->number = (double)single;
    if (f->scale != SCALE_NO)
        it->number = (it->number * (double)f->mul / (double)f->div + (double)f->add) /
                     pow(10, d->l->field[i].digits);
    d->at += f->width;
    if (!isfinite(it->number))
        tg_decode_spoil(d, it);
    return 0;
}

// ---- the loop -----------------------------------------------------------------------------

int tg_decode_one(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    switch ((tg_opcode)f->op) {
    case OP_INT:
        return do_int(d, i, f);
    case OP_BOOL:
        return do_bool(d, i, f);
    case OP_FLOAT:
        return do_float(d, i, f);
    case OP_WORD:
        return do_word(d, i, f);
    case OP_SET:
        return do_set(d, i, f);
    case OP_DEC:
        return tg_decode_dec(d, i, f);
    case OP_BCD:
    case OP_HEX:
    case OP_BYTES:
    case OP_TEXT:
    case OP_SKIP:
        return tg_decode_bytes(d, i, f);
    case OP_TIME6:
    case OP_BCDTIME:
    case OP_UNIX:
    case OP_UNIXMS:
        return tg_decode_time(d, i, f);
    case OP_RECORD:
        return tg_decode_record(d, i, f);
    case OP_LIST:
        return tg_decode_list(d, i, f);
    case OP_SIZED:
        return tg_decode_sized(d, i, f);
    case OP_TLV:
        return tg_decode_tlv(d, i, f);
    case OP_BIT:
        break; // only ever inside of a word
    }
    return TG_E_INVAL;
}

static void leave_out(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    for (uint32_t k = i; k < f->next; k++)
        if (d->op[k].reg != NO_REG)
            d->reg[d->op[k].reg] = 0;
}

int tg_decode_run(tg_decoder *d, uint32_t i, uint32_t end)
{
    while (i < end) {
        const tg_op_field *f = &d->op[i];
        if ((f->nconds > 0 || (f->flags & F_OPTIONAL)) && !is_there(d, f)) {
            leave_out(d, i, f);
        } else {
            int rc = f->op == OP_INT ? do_int(d, i, f) : tg_decode_one(d, i, f);
            if (rc < 0)
                return rc;
        }
        i = f->next;
    }
    return 0;
}

int tg_layout_decode(const tg_layout *l, tg_slice bytes, size_t pos,
                     const tg_decode_how *how, tg_tape *t, size_t *next, tg_error *e)
{
    tg_layout_check(l);
    tg_decoder d;
    t->n = t->flaws = 0;
    if (pos > bytes.len || bytes.len > UINT32_MAX)
        return tg_error_set(e, TG_E_INVAL, "position %zu of %zu bytes", pos, bytes.len);
    d.l = l;
    d.op = l->op;
    d.t = t;
    d.base = (const uint8_t *)bytes.at;
    d.at = d.base + pos;
    d.end = d.base + bytes.len;
    d.e = e;
    d.zone = how != NULL ? how->zone : 0;
    d.quiet = how == NULL || !how->hidden;
    d.scrap = (tg_item){0};
    memset(d.reg, 0, l->nregs * sizeof(d.reg[0]));
    memset(d.slot, 0, l->nminus * sizeof(d.slot[0]));
    uint32_t members = 0;
    int rc = l->op[0].op == OP_TLV ? tg_decode_tags(&d, 0, &l->op[0], &members)
                                   : tg_decode_run(&d, 1, l->n);
    if (l->op[0].flags & F_SIGNS)
        tg_decode_signs(&d, 1, l->n);
    *next = (size_t)(d.at - d.base);
    return rc;
}
