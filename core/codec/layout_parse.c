// SPDX-License-Identifier: Apache-2.0
// The structure of a layout: tokens, names, fields, and the layout itself. Types are read in
// layout_type.c, what follows them in layout_suffix.c. The text is counted first, so that all
// arrays are allocated once and a layout is one arena without slack.
#include "codec/layout_parser.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (64u << 10)
#define FIELDS_MAX 4096

// ---- tokens -------------------------------------------------------------------------------

int tg_syntax_fail(tg_parser *p, const tg_token *at, const char *fmt, ...)
{
    char why[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return tg_error_set(p->e, TG_E_INVAL, "line %u, column %u: %s", (unsigned)at->line,
                        (unsigned)at->column, why);
}

int tg_syntax_expected(tg_parser *p, const char *what)
{
    if (p->t.kind == T_END)
        return tg_syntax_fail(p, &p->t, "expected %s, found the end", what);
    return tg_syntax_fail(p, &p->t, "expected %s, found '%.*s'", what,
                          (int)(p->t.text.len > 40 ? 40 : p->t.text.len), p->t.text.at);
}

int tg_syntax_next(tg_parser *p)
{
    p->end = p->t.text.at + p->t.text.len;
    p->end_line = p->t.line;
    return tg_lexer_next(&p->lex, &p->t, p->e);
}

bool tg_syntax_is(const tg_parser *p, const char *sign)
{
    return p->t.kind == T_SIGN && tg_slice_eq(p->t.text, tg_str(sign));
}

bool tg_syntax_is_name(const tg_parser *p, const char *name)
{
    return p->t.kind == T_NAME && tg_slice_eq(p->t.text, tg_str(name));
}

int tg_syntax_take(tg_parser *p, const char *sign)
{
    char quoted[16];
    snprintf(quoted, sizeof(quoted), "'%s'", sign);
    return tg_syntax_is(p, sign) ? tg_syntax_next(p) : tg_syntax_expected(p, quoted);
}

int tg_syntax_integer(tg_parser *p, int64_t *out)
{
    int rc = 0;
    bool minus = tg_syntax_is(p, "-");
    if (minus && (rc = tg_syntax_next(p)) < 0)
        return rc;
    if (p->t.kind != T_NUMBER || p->t.digits > 0)
        return tg_syntax_expected(p, "an integer");
    *out = minus ? -p->t.number : p->t.number;
    return tg_syntax_next(p);
}

// ---- names --------------------------------------------------------------------------------

static bool has_number(const tg_op_field *f)
{
    return f->op == OP_INT || f->op == OP_BOOL || f->op == OP_BIT || f->op == OP_WORD ||
           f->op == OP_SET || f->op == OP_DEC;
}

/// Bits and flat groups stand for their parent: what they hold can be seen from beside them.
static uint32_t scope_of(const tg_layout *l, uint32_t i)
{
    uint32_t up = l->op[i].parent;
    while (up != 0 && (l->op[up].op == OP_WORD || (l->op[up].flags & F_FLAT)))
        up = l->op[up].parent;
    return up;
}

static bool in_sight(const tg_parser *p, uint32_t scope)
{
    uint32_t at = p->open;
    while (at != scope && at != 0)
        at = p->l->op[at].parent;
    return at == scope;
}

int tg_syntax_give_reg(tg_parser *p, const tg_token *name, uint32_t field, uint8_t *reg)
{
    tg_op_field *f = &p->l->op[field];
    if (!has_number(f))
        return tg_syntax_fail(p, name, "'%.*s' is no integer", (int)name->text.len,
                              name->text.at);
    if (f->reg == NO_REG) {
        if (p->nregs == LAYOUT_REGS)
            return tg_syntax_fail(p, name, "more than %d fields are referred to",
                                  LAYOUT_REGS);
        f->reg = p->nregs++;
    }
    *reg = f->reg;
    return 0;
}

int tg_syntax_reg(tg_parser *p, const tg_token *name, uint8_t *reg, uint32_t *field)
{
    for (uint32_t i = p->l->n; i-- > 1;)
        if (tg_slice_eq(p->l->field[i].name, name->text) &&
            in_sight(p, scope_of(p->l, i))) {
            *field = i;
            return tg_syntax_give_reg(p, name, i, reg);
        }
    return tg_syntax_fail(p, name, "no field '%.*s' before this one", (int)name->text.len,
                          name->text.at);
}

static bool reserved(tg_slice name)
{
    static const char *const words[] = {"in", "if", "and", "set", "minus", "skip"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (tg_slice_eq(name, tg_str(words[i])))
            return true;
    return false;
}

/// `"name":`, with a comma in front of it that readers may take, too.
static tg_slice json_key(tg_parser *p, tg_slice name, const char *tail)
{
    size_t n = name.len + strlen(tail) + 4;
    char *at = tg_arena_alloc(p->l->arena, n + 1);
    if (at == NULL)
        return (tg_slice){0};
    snprintf(at, n + 1, ",\"%.*s%s\":", (int)name.len, name.at, tail);
    return (tg_slice){at + 1, n - 1};
}

int tg_syntax_add(tg_parser *p, const tg_token *name)
{
    tg_layout *l = p->l;
    if (l->n >= FIELDS_MAX)
        return tg_syntax_fail(p, name, "more than %d fields", FIELDS_MAX);
    uint32_t i = l->n++;
    tg_op_field *f = &l->op[i];
    f->parent = p->open;
    f->next = i + 1;
    f->reg = NO_REG;
    f->minus_slot = NO_REG;
    f->zone = NO_ZONE;
    f->mul = f->div = 1;
    if (name == NULL)
        return (int)i;
    if (name->text.at[0] == '_')
        f->flags |= F_HIDDEN;
    l->field[i].name = name->text;
    l->field[i].key = json_key(p, name->text, "");
    l->field[i].raw_key = json_key(p, name->text, "_raw");
    return (int)i;
}

// ---- fields -------------------------------------------------------------------------------

static int parse_skip(tg_parser *p, const tg_token *name)
{
    tg_token as = *name;
    as.text = TG_LIT("_");
    int i = tg_syntax_add(p, &as);
    if (i < 0)
        return i;
    p->l->op[i].op = OP_SKIP;
    p->l->op[i].flags |= F_SILENT;
    p->l->op[i].type = TG_LIT("skip");
    p->l->field[i].raw_hex = 1;
    int rc = tg_syntax_size(p, &p->l->op[i].size);
    p->l->op[i].least = tg_syntax_least_size(&p->l->op[i].size);
    return rc;
}

static int check_twice(tg_parser *p, const tg_token *name, uint32_t i)
{
    uint32_t scope = scope_of(p->l, i);
    if (name->text.at[0] == '_' || p->l->op[scope].op == OP_TLV)
        return 0;
    for (uint32_t k = 1; k < i; k++)
        if (tg_slice_eq(p->l->field[k].name, name->text) && scope_of(p->l, k) == scope &&
            p->l->op[k].op != OP_SIZED &&
            !(p->l->op[k].nconds > 0 && p->l->op[i].nconds > 0))
            return tg_syntax_fail(p, name,
                                  "'%.*s' is there twice; only fields with 'if' may be",
                                  (int)name->text.len, name->text.at);
    return 0;
}

static int parse_field(tg_parser *p, bool tagged, uint32_t tag)
{
    tg_token name = p->t;
    if (name.kind != T_NAME)
        return tg_syntax_expected(p, "a field's name");
    int rc = tg_syntax_next(p);
    if (rc < 0)
        return rc;
    if (tg_slice_eq(name.text, TG_LIT("skip")) && tg_syntax_is(p, "["))
        return parse_skip(p, &name);
    if (reserved(name.text))
        return tg_syntax_fail(p, &name, "'%.*s' is a word of the language",
                              (int)name.text.len, name.text.at);
    bool optional = tg_syntax_is(p, "?");
    if (optional && (rc = tg_syntax_next(p)) < 0)
        return rc;
    int i = tg_syntax_add(p, &name);
    if (i < 0 || (rc = tg_syntax_take(p, ":")) < 0)
        return i < 0 ? i : rc;
    p->l->op[i].flags |= optional ? F_OPTIONAL : 0;
    p->l->op[i].tag = tag;
    rc = tg_syntax_type(p, (uint32_t)i);
    rc = rc < 0 ? rc : tg_syntax_suffixes(p, (uint32_t)i);
    if (rc < 0)
        return rc;
    tg_syntax_take_note(p, (uint32_t)i);
    return tagged ? 0 : check_twice(p, &name, (uint32_t)i);
}

static int parse_tag(tg_parser *p, uint32_t first, uint32_t *tag)
{
    if (p->t.kind != T_NUMBER || p->t.digits > 0 || p->t.number < 0 ||
        p->t.number > UINT32_MAX)
        return tg_syntax_expected(p, "a tag's number");
    *tag = (uint32_t)p->t.number;
    const tg_layout *l = p->l;
    for (uint32_t k = first; k < l->n; k = l->op[k].next)
        if (l->op[k].tag == *tag && l->op[k].parent == p->open)
            return tg_syntax_fail(p, &p->t, "tag 0x%x is there twice", (unsigned)*tag);
    return tg_syntax_next(p);
}

int tg_syntax_fields(tg_parser *p, bool tagged, const char *until)
{
    uint32_t first = p->l->n, tag = 0;
    int rc = 0;
    while (rc >= 0 && p->t.kind != T_END && !(until != NULL && tg_syntax_is(p, until))) {
        if (tagged)
            rc = parse_tag(p, first, &tag);
        if (rc >= 0)
            rc = parse_field(p, tagged, tag);
    }
    return rc;
}

// ---- a whole layout -------------------------------------------------------------------------

/// What the arrays may need at most: each field has a colon or a bracket, each word and
/// condition a sign.
static void count(tg_slice text, size_t *fields, size_t *signs, size_t *tlvs)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        *fields += c == ':' || c == '[';
        *signs += c == '=' || c == '?' || c == '<' || c == '>' || c == '&';
        *tlvs += c == '(';
    }
}

static tg_layout *new_layout(size_t fields, size_t signs, size_t tlvs)
{
    tg_arena *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    tg_layout *l = tg_arena_alloc(a, sizeof(*l));
    if (l != NULL) {
        l->arena = a;
        l->op = tg_arena_alloc(a, fields * sizeof(*l->op));
        l->field = tg_arena_alloc(a, fields * sizeof(*l->field));
        l->tags = tg_arena_alloc(a, fields * sizeof(*l->tags));
        l->conds = tg_arena_alloc(a, signs * sizeof(*l->conds));
        l->words = tg_arena_alloc(a, signs * sizeof(*l->words));
        l->tlvs = tg_arena_alloc(a, tlvs * sizeof(*l->tlvs));
    }
    if (l == NULL || a->failed) {
        tg_arena_free(a);
        free(a);
        return NULL;
    }
    l->magic = LAYOUT_MAGIC;
    atomic_init(&l->refs, 1);
    return l;
}

static void free_layout(tg_layout *l)
{
    tg_arena *a = l->arena;
    l->magic = 0;
    tg_arena_free(a);
    free(a);
}

static int start(tg_parser *p, tg_slice text)
{
    tg_lexer_init(&p->lex, tg_arena_copy(p->l->arena, text));
    if (p->l->arena->failed)
        return tg_error_set(p->e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    p->t = (tg_token){.text = p->lex.left};
    p->t.text.len = 0;
    return tg_syntax_next(p);
}

static int parse_text(tg_parser *p, tg_slice text, bool tagged)
{
    int rc = start(p, text);
    rc = rc < 0 ? rc : tg_syntax_fields(p, tagged, NULL);
    return rc < 0 ? rc : tg_syntax_finish_later(p);
}

static int open_parser(tg_parser *p, const tg_slice *texts, size_t n, tg_error *e)
{
    size_t fields = 2, signs = 1, tlvs = 2;
    *p = (tg_parser){.e = e};
    for (size_t i = 0; i < n; i++) {
        if (texts[i].len > TEXT_MAX)
            return tg_error_set(e, TG_E_TOOBIG, "a layout of more than 64 KiB");
        count(texts[i], &fields, &signs, &tlvs);
    }
    p->l = new_layout(fields, signs, tlvs);
    if (p->l == NULL)
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    p->later = calloc(fields, sizeof(*p->later));
    if (p->later == NULL) {
        free_layout(p->l);
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    }
    tg_syntax_add(p, NULL);
    return 0;
}

static int close_parser(tg_parser *p, int rc, tg_layout **out)
{
    free(p->later);
    if (rc >= 0 && p->l->arena->failed)
        rc = tg_error_set(p->e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    if (rc < 0) {
        free_layout(p->l);
        return rc;
    }
    p->l->nregs = p->nregs;
    p->l->nwords = p->nwords;
    *out = p->l;
    return 0;
}

int tg_layout_compile(tg_slice text, tg_layout **out, tg_error *e)
{
    tg_parser p;
    int rc = open_parser(&p, &text, 1, e);
    if (rc < 0)
        return rc;
    p.l->op[0].op = OP_RECORD;
    rc = parse_text(&p, text, false);
    p.l->op[0].next = p.l->n;
    tg_syntax_add_up(p.l, 0);
    return close_parser(&p, rc, out);
}

static bool head_is_right(const tg_tlv_head *h)
{
    return h->tag_width >= 1 && h->tag_width <= 4 && h->length_width >= 1 &&
           h->length_width <= 4;
}

int tg_layout_compile_tlv(const tg_tlv_head *head, const tg_slice *texts, size_t n,
                          tg_layout **out, tg_error *e)
{
    tg_parser p;
    if (!head_is_right(head))
        return tg_error_set(e, TG_E_INVAL, "tag and length have 1 to 4 bytes each");
    int rc = open_parser(&p, texts, n, e);
    if (rc < 0)
        return rc;
    tg_syntax_open_tlv(&p, 0, head);
    for (size_t i = 0; i < n && rc >= 0; i++) {
        rc = parse_text(&p, texts[i], true);
        if (rc < 0 && i > 0)
            tg_error_prefix(e, "overlay %zu", i);
        else if (rc < 0)
            tg_error_prefix(e, "items");
    }
    p.l->op[0].next = p.l->n;
    tg_syntax_close_tlv(&p, 0);
    return close_parser(&p, rc, out);
}

tg_layout *tg_layout_ref(tg_layout *l)
{
    tg_layout_check(l);
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void tg_layout_unref(tg_layout *l)
{
    if (l == NULL)
        return;
    tg_layout_check(l);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
        free_layout(l);
}

const tg_layout *tg_layout_check(const tg_layout *l)
{
    assert(l != NULL && l->magic == LAYOUT_MAGIC);
    return l;
}
