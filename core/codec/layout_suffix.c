// SPDX-License-Identifier: Apache-2.0
// What may stand behind a type: arithmetic, words for values, ranges, conditions, bits. Scales
// are kept as fractions and offsets as decimals until all is known, so that values come out as
// exact decimals: 3 × 0.1 is 0.3, whatever a double thinks of it.
#include "codec/layout_parser.h"

#define DIGITS_MAX 15
#define DIGITS_OF_FRACTION 7 ///< a degree to a centimetre

static int64_t ten_to(unsigned n)
{
    int64_t ten = 1;
    while (n-- > 0)
        ten *= 10;
    return ten;
}

static int64_t common(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static void reduce(int64_t *a, int64_t *b)
{
    int64_t c = common(*a, *b);
    *a /= c;
    *b /= c;
}

/// a × b / c, kept small. @return false when it does not fit.
static bool multiply(int64_t *mul, int64_t *div, int64_t by, int64_t over)
{
    reduce(&by, &over);
    reduce(mul, &over);
    reduce(&by, div);
    return !__builtin_mul_overflow(*mul, by, mul) &&
           !__builtin_mul_overflow(*div, over, div);
}

// ---- arithmetic ---------------------------------------------------------------------------

static int take_factor(tg_parser *p, tg_arith *a, bool divide)
{
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (p->t.kind != T_NUMBER || p->t.number <= 0)
        return tg_syntax_expected(p, "a number above 0");
    int64_t n = p->t.number, ten = ten_to(p->t.digits);
    if (!multiply(&a->mul, &a->div, divide ? ten : n, divide ? n : ten))
        return tg_syntax_fail(p, &p->t, "a scale of more than 64 bits");
    a->used = true;
    return tg_syntax_next(p);
}

static int take_offset(tg_parser *p, tg_arith *a, bool minus)
{
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (p->t.kind != T_NUMBER || a->add_digits > 0 || a->add != 0)
        return tg_syntax_expected(p, "one number as offset");
    a->add = minus ? -p->t.number : p->t.number;
    a->add_digits = p->t.digits;
    a->used = true;
    return tg_syntax_next(p);
}

static int take_digits(tg_parser *p, tg_arith *a)
{
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (p->t.kind != T_NUMBER || p->t.digits > 0 || p->t.number > 9)
        return tg_syntax_expected(p, "0 to 9 decimals");
    a->want = (int8_t)p->t.number;
    a->used = true;
    return tg_syntax_next(p);
}

/// The fewest decimals that hold mul / div exactly, or those of a degree if none do.
static unsigned digits_for(const tg_arith *a)
{
    int64_t mul = a->mul, div = a->div;
    for (unsigned n = 0; n <= DIGITS_MAX; n++) {
        if (mul % div == 0)
            return n > a->add_digits ? n : a->add_digits;
        if (__builtin_mul_overflow(mul, 10, &mul))
            break;
        reduce(&mul, &div);
    }
    return DIGITS_OF_FRACTION > a->add_digits ? DIGITS_OF_FRACTION : a->add_digits;
}

int tg_syntax_arith(tg_parser *p, const tg_arith *a, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    unsigned digits = a->want >= 0 ? (unsigned)a->want : digits_for(a);
    if (digits < a->add_digits)
        return tg_syntax_fail(p, &p->t, "the offset has more decimals than the value");
    f->mul = a->mul;
    f->div = a->div;
    if (!multiply(&f->mul, &f->div, ten_to(digits), 1) ||
        __builtin_mul_overflow(a->add, ten_to(digits - a->add_digits), &f->add))
        return tg_syntax_fail(p, &p->t, "a scale of more than 64 bits");
    f->scale = f->div != 1 ? SCALE_DIV : SCALE_MUL;
    p->l->field[i].digits = (uint8_t)digits;
    return 0;
}

// ---- words --------------------------------------------------------------------------------

static int add_word(tg_parser *p, uint32_t i, int64_t value, tg_slice word)
{
    tg_layout *l = p->l;
    tg_op_field *f = &l->op[i];
    if (f->nwords == 0)
        f->word = (uint16_t)p->nwords;
    if (p->nwords >= UINT16_MAX)
        return tg_syntax_fail(p, &p->t, "more than 65535 words");
    tg_word *all = l->words + f->word;
    uint32_t at = f->nwords;
    while (at > 0 && all[at - 1].value > value) {
        all[at] = all[at - 1];
        at--;
    }
    if (at > 0 && all[at - 1].value == value)
        return tg_syntax_fail(p, &p->t, "a second word for the same value");
    all[at] = (tg_word){value, word};
    f->nwords++;
    p->nwords++;
    return 0;
}

static int take_word(tg_parser *p, uint32_t i, int64_t value)
{
    if (p->t.kind != T_NAME && p->t.kind != T_TEXT)
        return tg_syntax_expected(p, "a word");
    int rc = add_word(p, i, value, p->t.text);
    return rc < 0 ? rc : tg_syntax_next(p);
}

static int take_words(tg_parser *p, uint32_t i, int64_t limit)
{
    int rc = tg_syntax_take(p, "{");
    while (rc >= 0 && !tg_syntax_is(p, "}")) {
        int64_t value = 0;
        tg_token at = p->t;
        rc = tg_syntax_integer(p, &value);
        if (rc >= 0 && limit > 0 && (value < 0 || value >= limit))
            return tg_syntax_fail(p, &at, "a bit outside the number");
        rc = rc < 0 ? rc : tg_syntax_take(p, "=");
        rc = rc < 0 ? rc : take_word(p, i, value);
    }
    return rc < 0 ? rc : tg_syntax_next(p);
}

/// `?0xFF` has no value, `?0xFE=abnormal` has a word.
static int take_sentinel(tg_parser *p, uint32_t i)
{
    int64_t value = 0;
    int rc = tg_syntax_next(p);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &value);
    if (rc < 0)
        return rc;
    if (!tg_syntax_is(p, "="))
        return add_word(p, i, value, (tg_slice){0});
    rc = tg_syntax_next(p);
    return rc < 0 ? rc : take_word(p, i, value);
}

static int take_set(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    if (f->op != OP_INT || f->sign)
        return tg_syntax_fail(p, &p->t, "set is for unsigned integers");
    int rc = tg_syntax_next(p);
    f->op = OP_SET;
    return rc < 0 ? rc : take_words(p, i, 8 * f->width);
}

// ---- conditions ---------------------------------------------------------------------------

static int take_cond_op(tg_parser *p, tg_cond *c)
{
    static const char *const ops[] = {"=", "!=", "<", "<=", ">", ">=", "&", "!&"};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (tg_syntax_is(p, ops[i])) {
            c->op = (uint8_t)i;
            return tg_syntax_next(p);
        }
    return tg_syntax_expected(p, "one of = != < <= > >= & !&");
}

static int take_cond(tg_parser *p, uint16_t *at, bool later, tg_token *name)
{
    tg_cond *c = &p->l->conds[p->nconds];
    uint32_t field;
    *name = p->t;
    if (p->t.kind != T_NAME)
        return tg_syntax_expected(p, "the name of a field");
    int rc = later ? 0 : tg_syntax_reg(p, name, &c->reg, &field);
    rc = rc < 0 ? rc : tg_syntax_next(p);
    rc = rc < 0 ? rc : take_cond_op(p, c);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &c->value);
    *at = (uint16_t)p->nconds++;
    return rc;
}

static int take_if(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    tg_token name;
    uint16_t at;
    if (f->nconds > 0)
        return tg_syntax_fail(p, &p->t, "one 'if' only; join conditions with 'and'");
    f->cond = (uint16_t)p->nconds;
    do {
        int rc = tg_syntax_next(p);
        rc = rc < 0 ? rc : take_cond(p, &at, false, &name);
        if (rc < 0)
            return rc;
        f->nconds++;
    } while (tg_syntax_is_name(p, "and"));
    return 0;
}

static int take_minus(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    tg_token name;
    if (f->op != OP_INT && f->op != OP_DEC)
        return tg_syntax_fail(p, &p->t, "minus is for integers");
    if (f->flags & F_MINUS)
        return tg_syntax_fail(p, &p->t, "minus is there twice");
    if (p->l->nminus == LAYOUT_REGS)
        return tg_syntax_fail(p, &p->t, "more than %d fields with minus", LAYOUT_REGS);
    int rc = tg_syntax_next(p);
    rc = rc < 0 ? rc : take_cond(p, &f->minus, true, &name);
    if (rc < 0)
        return rc;
    f->flags |= F_MINUS;
    f->minus_slot = p->l->nminus++;
    p->later[p->nlater++] = (tg_later){i, name};
    return 0;
}

static bool beside(const tg_layout *l, uint32_t i, uint32_t other)
{
    uint32_t up = l->op[other].parent, own = l->op[i].parent;
    while (up != own && up != 0 && (l->op[up].op == OP_WORD || (l->op[up].flags & F_FLAT)))
        up = l->op[up].parent;
    return up == own;
}

/// Where the decoder puts signs right: when the record is read to its end.
static uint32_t record_of(const tg_layout *l, uint32_t i)
{
    uint32_t up = l->op[i].parent;
    while (up != 0 && (l->op[up].op != OP_RECORD || (l->op[up].flags & F_FLAT)))
        up = l->op[up].parent;
    return up;
}

int tg_syntax_finish_later(tg_parser *p)
{
    for (uint32_t k = 0; k < p->nlater; k++) {
        uint32_t i = p->later[k].field, found = 0;
        const tg_token *name = &p->later[k].name;
        for (uint32_t other = 1; other < p->l->n && found == 0; other++)
            if (tg_slice_eq(p->l->field[other].name, name->text) && beside(p->l, i, other))
                found = other;
        if (found == 0)
            return tg_syntax_fail(p, name, "no field '%.*s' beside this one",
                                  (int)name->text.len, name->text.at);
        int rc = tg_syntax_give_reg(p, name, found, &p->l->conds[p->l->op[i].minus].reg);
        if (rc < 0)
            return rc;
        p->l->op[record_of(p->l, i)].flags |= F_SIGNS;
    }
    p->nlater = 0;
    return 0;
}

// ---- the rest -----------------------------------------------------------------------------

static int take_range(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    int rc = tg_syntax_next(p);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &f->low);
    if (rc >= 0 && p->t.kind != T_DOTS)
        return tg_syntax_expected(p, "'..'");
    rc = rc < 0 ? rc : tg_syntax_next(p);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &f->high);
    f->flags |= F_RANGE;
    return rc;
}

static int take_const(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    int rc = tg_syntax_next(p);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &f->low);
    f->flags |= F_CONST;
    return rc;
}

/// `@utc`, `@+08:00`, `@-04:30`.
static int take_zone(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    int64_t hours = 0, minutes = 0;
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (tg_syntax_is_name(p, "utc")) {
        f->zone = 0;
        return tg_syntax_next(p);
    }
    bool west = tg_syntax_is(p, "-");
    if (!west && !tg_syntax_is(p, "+"))
        return tg_syntax_expected(p, "utc, or an offset such as +08:00");
    rc = tg_syntax_next(p);
    rc = rc < 0 ? rc : tg_syntax_integer(p, &hours);
    rc = rc < 0 ? rc : tg_syntax_take(p, ":");
    rc = rc < 0 ? rc : tg_syntax_integer(p, &minutes);
    if (rc >= 0 && (hours > 14 || minutes < 0 || minutes > 59))
        return tg_syntax_fail(p, &p->t, "no such offset from UTC");
    f->zone = (int16_t)((west ? -1 : 1) * (hours * 60 + minutes));
    return rc;
}

static int take_flag(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    bool text = f->op == OP_TEXT, time = f->op >= OP_TIME6 && f->op <= OP_UNIXMS;
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (tg_syntax_is_name(p, "raw"))
        f->flags |= F_RAW;
    else if (tg_syntax_is_name(p, "flat") && f->op == OP_WORD)
        f->flags |= F_FLAT;
    else if (tg_syntax_is_name(p, "utc") && time)
        f->flags |= F_UTC;
    else if (tg_syntax_is_name(p, "trim") && text)
        p->l->field[i].trim = 2;
    else if (tg_syntax_is_name(p, "keep") && text)
        p->l->field[i].trim = 0;
    else
        return tg_syntax_expected(
            p, "a mark that fits the type: raw, flat, utc, trim or keep");
    return tg_syntax_next(p);
}

static bool is_number(const tg_op_field *f)
{
    return f->op == OP_INT || f->op == OP_BIT || f->op == OP_DEC || f->op == OP_FLOAT;
}

static bool is_integer(const tg_op_field *f)
{
    return is_number(f) && f->op != OP_FLOAT;
}

/// One suffix. @return 1 none was there.
static int suffix(tg_parser *p, uint32_t i, tg_arith *a)
{
    tg_op_field *f = &p->l->op[i];
    if (p->t.kind == T_TEXT) {
        f->unit = p->t.text;
        return tg_syntax_next(p);
    }
    if (tg_syntax_is_name(p, "if"))
        return take_if(p, i);
    if (tg_syntax_is(p, "!"))
        return take_flag(p, i);
    if (tg_syntax_is(p, "@") && f->op >= OP_TIME6 && f->op <= OP_UNIXMS)
        return take_zone(p, i);
    if (tg_syntax_is_name(p, "minus"))
        return take_minus(p, i);
    if (tg_syntax_is_name(p, "set"))
        return take_set(p, i);
    if (is_number(f) && (tg_syntax_is(p, "*") || tg_syntax_is(p, "/")))
        return take_factor(p, a, tg_syntax_is(p, "/"));
    if (is_number(f) && (tg_syntax_is(p, "+") || tg_syntax_is(p, "-")))
        return take_offset(p, a, tg_syntax_is(p, "-"));
    if (is_integer(f) && tg_syntax_is(p, "~"))
        return take_digits(p, a);
    if (is_integer(f) && tg_syntax_is(p, "?"))
        return take_sentinel(p, i);
    if (is_integer(f) && tg_syntax_is(p, "="))
        return take_const(p, i);
    if (is_integer(f) && tg_syntax_is_name(p, "in"))
        return take_range(p, i);
    if (is_integer(f) && tg_syntax_is(p, "{"))
        return take_words(p, i, 0);
    if (f->op == OP_INT && tg_syntax_is(p, "("))
        return tg_syntax_bits(p, i);
    return 1;
}

int tg_syntax_suffixes(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    tg_arith a = {.mul = 1, .div = 1, .want = -1};
    int rc;
    while ((rc = suffix(p, i, &a)) == 0)
        ;
    if (rc < 0)
        return rc;
    if (a.used && (rc = tg_syntax_arith(p, &a, i)) < 0)
        return rc;
    bool marked = f->nwords > 0 || (f->flags & (F_RANGE | F_CONST | F_MINUS)) != 0;
    if (is_integer(f) && !marked && f->scale == SCALE_NO)
        f->flags |= F_PLAIN;
    bool sound = (f->flags & F_PLAIN) || f->op == OP_BOOL || f->op == OP_WORD ||
                 f->op == OP_HEX || f->op == OP_BYTES || f->op == OP_BCD;
    bool holds_others = f->op == OP_WORD && !(f->flags & F_FLAT);
    if ((f->flags & F_HIDDEN) && sound && !holds_others)
        f->flags |= F_SILENT;
    return 0;
}

// ---- bits ---------------------------------------------------------------------------------

static int take_bit_type(tg_parser *p, tg_op_field *f)
{
    f->op = OP_BIT;
    if (tg_syntax_is_name(p, "flag")) {
        f->op = OP_BOOL;
        f->bits = 1;
        return tg_syntax_next(p);
    }
    if (p->t.kind == T_NAME && p->t.text.at[0] == 'i' && p->t.text.len <= 3) {
        for (size_t k = 1; k < p->t.text.len; k++)
            f->bits = (uint8_t)(f->bits * 10 + (p->t.text.at[k] - '0'));
        f->sign = 1;
    } else if (p->t.kind == T_NUMBER && p->t.digits == 0 && p->t.number <= 64) {
        f->bits = (uint8_t)p->t.number;
    }
    if (f->bits == 0 || f->bits > 64)
        return tg_syntax_expected(p, "a number of bits, i and a number of bits, or flag");
    return tg_syntax_next(p);
}

static int take_bit(tg_parser *p, uint32_t word, unsigned *at)
{
    tg_token name = p->t;
    if (name.kind != T_NAME)
        return tg_syntax_expected(p, "a name for bits");
    int rc = tg_syntax_next(p);
    int i = rc < 0 ? rc : tg_syntax_add(p, &name);
    if (i < 0)
        return i;
    tg_op_field *f = &p->l->op[i];
    const char *type = p->t.text.at;
    rc = tg_syntax_take(p, ":");
    rc = rc < 0 ? rc : take_bit_type(p, f);
    if (rc < 0)
        return rc;
    f->type = (tg_slice){type + 1, (size_t)(p->end - type - 1)};
    f->shift = (uint8_t)*at;
    *at += f->bits;
    if (*at > 8u * p->l->op[word].width)
        return tg_syntax_fail(p, &name, "more bits than the number has");
    rc = tg_syntax_suffixes(p, (uint32_t)i);
    if (rc >= 0)
        tg_syntax_take_note(p, (uint32_t)i);
    return rc;
}

/// From the lowest bit up, as the tables of the standards count them.
int tg_syntax_bits(tg_parser *p, uint32_t i)
{
    tg_layout *l = p->l;
    tg_op_field *f = &l->op[i];
    uint32_t was = p->open;
    unsigned at = 0;
    int rc = tg_syntax_next(p);
    f->op = OP_WORD;
    if (tg_slice_eq(l->field[i].name, TG_LIT("_")))
        f->flags |= F_FLAT;
    p->open = i;
    while (rc >= 0 && !tg_syntax_is(p, ")"))
        rc = take_bit(p, i, &at);
    if (rc < 0)
        return rc;
    f->next = l->n;
    p->open = was;
    for (uint32_t k = i + 1; k < f->next; k++)
        if (!(l->op[k].flags & F_HIDDEN))
            l->field[i].members =
                (uint16_t)(l->field[i].members + 1 + !!(l->op[k].flags & F_RAW));
    return tg_syntax_next(p);
}
