// SPDX-License-Identifier: Apache-2.0
// Types and sizes: the words of the language in one table, and the types that hold others.
#include "codec/layout_parser.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"

#define BYTES_MAX (1 << 24)

// ---- types --------------------------------------------------------------------------------

bool tg_syntax_number_type(tg_slice word, tg_op_field *f)
{
    unsigned bits = 0;
    size_t n = 1;
    if (word.len < 2 || strchr("uif", word.at[0]) == NULL)
        return false;
    for (; n < word.len && n < 4 && word.at[n] >= '0' && word.at[n] <= '9'; n++)
        bits = bits * 10 + (unsigned)(word.at[n] - '0');
    tg_slice order = {word.at + n, word.len - n};
    bool be = tg_slice_eq(order, TG_LIT("be")), le = tg_slice_eq(order, TG_LIT("le"));
    bool real = word.at[0] == 'f';
    if (bits == 0 || bits % 8 != 0 || bits > 64 || (bits == 8) != (order.len == 0) ||
        (bits > 8 && !be && !le) || (real && bits != 32 && bits != 64))
        return false;
    f->op = real ? OP_FLOAT : OP_INT;
    f->width = (uint8_t)(bits / 8);
    f->be = be;
    f->sign = word.at[0] == 'i';
    return true;
}

typedef struct type_word {
    const char *word;
    uint8_t op, width, be, charset;
} type_word;

static const type_word TYPES[] = {
    {"bool", OP_BOOL, 1, 0, 0},
    {"bcd", OP_BCD, 0, 0, 0},
    {"dec", OP_DEC, 0, 0, 0},
    {"hex", OP_HEX, 0, 0, 0},
    {"bytes", OP_BYTES, 0, 0, 0},
    {"ascii", OP_TEXT, 0, 0, TG_CHARSET_ASCII},
    {"utf8", OP_TEXT, 0, 0, TG_CHARSET_UTF8},
    {"latin1", OP_TEXT, 0, 0, TG_CHARSET_LATIN1},
    {"gbk", OP_TEXT, 0, 0, TG_CHARSET_GBK},
    {"gb18030", OP_TEXT, 0, 0, TG_CHARSET_GB18030},
    {"utf16be", OP_TEXT, 0, 0, TG_CHARSET_UTF16BE},
    {"utf16le", OP_TEXT, 0, 0, TG_CHARSET_UTF16LE},
    {"rest", OP_HEX, 0, 0, 0},
    {"time6", OP_TIME6, 6, 0, 0},
    {"bcdtime", OP_BCDTIME, 6, 0, 0},
    {"unix32be", OP_UNIX, 4, 1, 0},
    {"unix32le", OP_UNIX, 4, 0, 0},
    {"unix64be", OP_UNIX, 8, 1, 0},
    {"unix64le", OP_UNIX, 8, 0, 0},
    {"unixms64be", OP_UNIXMS, 8, 1, 0},
    {"unixms64le", OP_UNIXMS, 8, 0, 0},
    {"sized", OP_SIZED, 0, 0, 0},
    {"tlv", OP_TLV, 0, 0, 0},
};
#define NTYPES (sizeof(TYPES) / sizeof(TYPES[0]))

static int no_such_type(tg_parser *p)
{
    static const char *const numbers[] = {
        "u8",    "i8",    "u16be", "u16le", "i16be", "i16le", "u24be", "u24le", "i24be",
        "i24le", "u32be", "u32le", "i32be", "i32le", "u40be", "u48be", "u48le", "u64be",
        "u64le", "i64be", "i64le", "f32be", "f32le", "f64be", "f64le"};
    const char *names[NTYPES + sizeof(numbers) / sizeof(numbers[0])];
    size_t n = sizeof(numbers) / sizeof(numbers[0]);
    memcpy(names, numbers, sizeof(numbers));
    for (size_t i = 0; i < NTYPES; i++)
        names[n++] = TYPES[i].word;
    if (p->t.kind != T_NAME)
        return tg_syntax_expected(p, "a type");
    char ordered[16];
    tg_op_field as = {0};
    int n_ordered = snprintf(ordered, sizeof(ordered), "%.*sbe",
                             (int)(p->t.text.len < 10 ? p->t.text.len : 10), p->t.text.at);
    if (tg_syntax_number_type((tg_slice){ordered, (size_t)n_ordered}, &as))
        return tg_syntax_fail(p, &p->t, "'%.*s' needs its order: %s or %.*sle",
                              (int)p->t.text.len, p->t.text.at, ordered, (int)p->t.text.len,
                              p->t.text.at);
    const char *near = tg_nearest(p->t.text, names, n);
    return tg_syntax_fail(p, &p->t, "expected a type, found '%.*s'%s%s%s",
                          (int)p->t.text.len, p->t.text.at, near ? "; did you mean '" : "",
                          near ? near : "", near ? "'?" : "");
}

/// Behind a count or size: "+2", "-1" or nothing.
static int parse_shift(tg_parser *p, tg_size *s)
{
    bool plus = tg_syntax_is(p, "+");
    int64_t n = 0;
    if (!plus && !tg_syntax_is(p, "-"))
        return 0;
    int rc = plus ? tg_syntax_next(p) : 0;
    if (rc < 0 || (rc = tg_syntax_integer(p, &n)) < 0)
        return rc;
    if (n > BYTES_MAX || n < -BYTES_MAX)
        return tg_syntax_fail(p, &p->t, "beyond 16 MiB");
    s->n = (int32_t)n;
    return 0;
}

static int parse_named_size(tg_parser *p, tg_size *s)
{
    tg_op_field as = {0};
    tg_token name = p->t;
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (tg_slice_eq(name.text, TG_LIT("z"))) {
        s->kind = SIZE_NUL;
        return 0;
    }
    if (tg_syntax_number_type(name.text, &as) && as.op == OP_INT && !as.sign &&
        as.width <= 4) {
        *s = (tg_size){.kind = SIZE_PREFIX, .width = as.width, .be = as.be};
        return parse_shift(p, s);
    }
    uint32_t field;
    s->kind = SIZE_REG;
    rc = tg_syntax_reg(p, &name, &s->reg, &field);
    if (rc < 0)
        return rc;
    p->l->op[field].flags |= F_DERIVED;
    return parse_shift(p, s);
}

/// `[12]`, `[n]`, `[n-2]`, `[u8]`, `[*]`, `[*-4]`, `[z]`.
int tg_syntax_size(tg_parser *p, tg_size *s)
{
    int rc = tg_syntax_take(p, "[");
    if (rc < 0)
        return rc;
    *s = (tg_size){0};
    if (tg_syntax_is(p, "*")) {
        s->kind = SIZE_END;
        rc = tg_syntax_next(p);
        rc = rc < 0 ? rc : parse_shift(p, s);
    } else if (p->t.kind == T_NUMBER && p->t.digits == 0) {
        if (p->t.number > BYTES_MAX)
            return tg_syntax_fail(p, &p->t, "beyond 16 MiB");
        s->n = (int32_t)p->t.number;
        rc = tg_syntax_next(p);
    } else if (p->t.kind == T_NAME) {
        rc = parse_named_size(p, s);
    } else {
        rc = tg_syntax_expected(p, "a size, a field, a type of a size or '*'");
    }
    return rc < 0 ? rc : tg_syntax_take(p, "]");
}

uint32_t tg_syntax_least_size(const tg_size *s)
{
    switch (s->kind) {
    case SIZE_CONST:
        return (uint32_t)s->n;
    case SIZE_PREFIX:
        return s->width;
    case SIZE_NUL:
        return 1;
    default:
        return 0;
    }
}

static int enter(tg_parser *p, uint32_t i, uint32_t *was)
{
    if (++p->depth > LAYOUT_DEPTH)
        return tg_syntax_fail(p, &p->t, "nested deeper than %d levels", LAYOUT_DEPTH);
    *was = p->open;
    p->open = i;
    return 0;
}

static void leave(tg_parser *p, uint32_t i, uint32_t was)
{
    p->l->op[i].next = p->l->n;
    p->open = was;
    p->depth--;
}

void tg_syntax_add_up(tg_layout *l, uint32_t i)
{
    tg_op_field *f = &l->op[i];
    for (uint32_t k = i + 1; k < f->next; k = l->op[k].next) {
        const tg_op_field *in = &l->op[k];
        if (in->nconds == 0 && !(in->flags & F_OPTIONAL))
            f->least += in->least;
        if (in->flags & F_FLAT)
            l->field[i].members = (uint16_t)(l->field[i].members + l->field[k].members);
        if (!(in->flags & F_HIDDEN))
            l->field[i].members =
                (uint16_t)(l->field[i].members + 1 + !!(in->flags & F_RAW));
    }
}

void tg_syntax_take_note(tg_parser *p, uint32_t i)
{
    if (p->lex.note_line == p->end_line && p->lex.note.len > 0) {
        bool element = p->l->field[i].name.len == 0;
        p->l->op[element ? p->l->op[i].parent : i].note = p->lex.note;
        p->lex.note = (tg_slice){0};
    }
}

static int parse_record(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    uint32_t was = 0;
    f->op = OP_RECORD;
    if (tg_slice_eq(p->l->field[i].name, TG_LIT("_")))
        f->flags |= F_FLAT;
    int rc = enter(p, i, &was);
    rc = rc < 0 ? rc : tg_syntax_take(p, "{");
    if (rc < 0)
        return rc;
    tg_syntax_take_note(p, i);
    rc = tg_syntax_fields(p, false, "}");
    if (rc < 0)
        return rc;
    leave(p, i, was);
    tg_syntax_add_up(p->l, i);
    f->type = TG_LIT("record");
    return tg_syntax_take(p, "}");
}

/// An `if` behind the one thing inside says whether the list or the window is there.
static void raise_conds(tg_op_field *outer, tg_op_field *inner)
{
    outer->cond = inner->cond;
    outer->nconds = inner->nconds;
    inner->nconds = 0;
}

/// A list, or a window of bytes: one thing inside, without a name of its own in a list.
static int parse_inner(tg_parser *p, uint32_t i, bool list)
{
    tg_token end = p->t;
    uint32_t was = 0;
    int rc = tg_syntax_size(p, &p->l->op[i].size);
    if (rc < 0)
        return rc;
    if (p->l->op[i].size.kind == SIZE_NUL)
        return tg_syntax_fail(p, &end, "[z] is for texts and bytes");
    p->l->op[i].type = (tg_slice){end.text.at, (size_t)(p->end - end.text.at)};
    if ((rc = enter(p, i, &was)) < 0)
        return rc;
    int k = tg_syntax_add(p, NULL);
    if (k < 0 || (rc = tg_syntax_type(p, (uint32_t)k)) < 0)
        return k < 0 ? k : rc;
    if ((rc = tg_syntax_suffixes(p, (uint32_t)k)) < 0)
        return rc;
    leave(p, i, was);
    tg_op_field *f = &p->l->op[i];
    raise_conds(f, &p->l->op[k]);
    f->least = tg_syntax_least_size(&f->size);
    if (!list)
        return 0;
    uint32_t each = p->l->op[k].least;
    if (each == 0)
        return tg_syntax_fail(p, &end, "an element may have no bytes at all");
    if (f->size.kind == SIZE_CONST)
        f->least = f->least < BYTES_MAX / each ? f->least * each : BYTES_MAX;
    return 0;
}

static int parse_sized(tg_parser *p, uint32_t i)
{
    int rc = parse_inner(p, i, false);
    if (rc < 0)
        return rc;
    // the window shows nothing itself: what is in it bears the name
    tg_layout *l = p->l;
    l->field[i + 1].name = l->field[i].name;
    l->field[i + 1].key = l->field[i].key;
    l->field[i + 1].raw_key = l->field[i].raw_key;
    l->op[i + 1].flags |= l->op[i].flags & F_HIDDEN;
    if (l->op[i + 1].op == OP_RECORD && tg_slice_eq(l->field[i].name, TG_LIT("_")))
        l->op[i + 1].flags |= F_FLAT;
    if (l->op[i + 1].flags & F_FLAT)
        l->op[i].flags |= F_FLAT;
    l->field[i].members = l->op[i].flags & F_FLAT ? l->field[i + 1].members : 0;
    return 0;
}

static int parse_head_number(tg_parser *p, uint8_t *width, uint8_t *be)
{
    tg_op_field as = {0};
    if (p->t.kind != T_NAME || !tg_syntax_number_type(p->t.text, &as) || as.op != OP_INT ||
        as.sign || as.width > 4)
        return tg_syntax_expected(p, "an unsigned type of 1 to 4 bytes");
    *width = as.width;
    *be = as.be;
    return tg_syntax_next(p);
}

static int parse_tlv_head(tg_parser *p, tg_tlv_head *h)
{
    int rc = tg_syntax_take(p, "(");
    rc = rc < 0 ? rc : parse_head_number(p, &h->tag_width, &h->tag_be);
    rc = rc < 0 ? rc : parse_head_number(p, &h->length_width, &h->length_be);
    while (rc >= 0 && !tg_syntax_is(p, ")")) {
        if (tg_syntax_is_name(p, "length_first"))
            h->length_first = true;
        else if (tg_syntax_is_name(p, "counts_tag"))
            h->counts_tag = true;
        else if (tg_syntax_is_name(p, "counts_length"))
            h->counts_length = true;
        else
            return tg_syntax_expected(p, "length_first, counts_tag, counts_length or ')'");
        rc = tg_syntax_next(p);
    }
    return rc < 0 ? rc : tg_syntax_take(p, ")");
}

void tg_syntax_open_tlv(tg_parser *p, uint32_t i, const tg_tlv_head *head)
{
    tg_op_field *f = &p->l->op[i];
    f->op = OP_TLV;
    f->head = (uint8_t)p->ntlvs;
    p->l->tlvs[p->ntlvs++] = (tg_tlv){.head = *head};
}

/// What was added under tag by tag, later ones in place of earlier ones.
void tg_syntax_close_tlv(tg_parser *p, uint32_t i)
{
    tg_layout *l = p->l;
    tg_tlv *v = &l->tlvs[l->op[i].head];
    v->tags = p->ntags;
    for (uint32_t k = i + 1; k < l->op[i].next; k = l->op[k].next) {
        tg_tag *all = l->tags + v->tags;
        uint32_t at = v->ntags;
        while (at > 0 && all[at - 1].tag > l->op[k].tag)
            at--;
        if (at > 0 && all[at - 1].tag == l->op[k].tag) {
            all[at - 1].field = k;
            continue;
        }
        memmove(all + at + 1, all + at, (v->ntags - at) * sizeof(*all));
        all[at] = (tg_tag){l->op[k].tag, k};
        v->ntags++;
    }
    p->ntags += v->ntags;
}

static int parse_tlv(tg_parser *p, uint32_t i)
{
    tg_tlv_head head = {0};
    uint32_t was = 0;
    int rc = parse_tlv_head(p, &head);
    if (rc < 0)
        return rc;
    if (p->ntlvs > UINT8_MAX)
        return tg_syntax_fail(p, &p->t, "more than 256 tag lists");
    tg_syntax_open_tlv(p, i, &head);
    p->l->op[i].type = TG_LIT("tag list");
    rc = enter(p, i, &was);
    rc = rc < 0 ? rc : tg_syntax_take(p, "{");
    rc = rc < 0 ? rc : tg_syntax_fields(p, true, "}");
    if (rc < 0)
        return rc;
    leave(p, i, was);
    tg_syntax_close_tlv(p, i);
    return tg_syntax_take(p, "}");
}

static int parse_bytes(tg_parser *p, uint32_t i, bool rest)
{
    tg_op_field *f = &p->l->op[i];
    tg_token at = p->t;
    if (rest) {
        f->size.kind = SIZE_END;
        f->flags |= F_OPTIONAL;
        return 0;
    }
    int rc = tg_syntax_size(p, &f->size);
    if (rc < 0)
        return rc;
    f->least = tg_syntax_least_size(&f->size);
    if (f->op == OP_DEC && (f->size.kind != SIZE_CONST || f->size.n < 1 || f->size.n > 9))
        return tg_syntax_fail(p, &at, "dec has 1 to 9 bytes");
    f->width = (uint8_t)f->size.n;
    return 0;
}

static int parse_word_type(tg_parser *p, uint32_t i, const type_word *w)
{
    tg_op_field *f = &p->l->op[i];
    f->op = w->op;
    f->width = w->width;
    f->be = w->be;
    f->least = w->width;
    p->l->field[i].charset = w->charset;
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    switch (w->op) {
    case OP_SIZED:
        return parse_sized(p, i);
    case OP_TLV:
        return parse_tlv(p, i);
    case OP_TEXT:
        p->l->field[i].trim = 1;
        return parse_bytes(p, i, false);
    case OP_BCD:
    case OP_DEC:
    case OP_HEX:
    case OP_BYTES:
        p->l->field[i].raw_hex = 1;
        return parse_bytes(p, i, strcmp(w->word, "rest") == 0);
    case OP_TIME6:
    case OP_BCDTIME:
        p->l->field[i].raw_hex = 1;
        return 0;
    default:
        return 0;
    }
}

int tg_syntax_type(tg_parser *p, uint32_t i)
{
    tg_op_field *f = &p->l->op[i];
    const char *start = p->t.text.at;
    int rc = 1;
    if (tg_syntax_is(p, "{"))
        return parse_record(p, i);
    if (tg_syntax_is(p, "[")) {
        f->op = OP_LIST;
        return parse_inner(p, i, true);
    }
    if (p->t.kind != T_NAME)
        return no_such_type(p);
    if (tg_syntax_number_type(p->t.text, f)) {
        f->least = f->width;
        p->l->field[i].raw_hex = f->op == OP_FLOAT;
        rc = tg_syntax_next(p);
    } else {
        for (size_t k = 0; k < NTYPES && rc > 0; k++)
            if (tg_slice_eq(p->t.text, tg_str(TYPES[k].word)))
                rc = parse_word_type(p, i, &TYPES[k]);
    }
    if (rc > 0)
        return no_such_type(p);
    if (f->type.at == NULL)
        f->type = (tg_slice){start, (size_t)(p->end - start)};
    return rc;
}
