// SPDX-License-Identifier: Apache-2.0
// A layout explains bytes, and itself: the notes of `tidegate decode` come off the tape that
// the decoder wrote, and the field reference off the program, so neither can be out of date.
#include "codec/layout_tape.h"

typedef struct noter {
    const tg_layout *l;
    tg_slice bytes;
    uint32_t base;
    tg_buf value;
    void (*emit)(void *ctx, const tg_field_note *note);
    void *ctx;
} noter;

/// JSON is readable as it is, but for the quotes of a text.
static tg_slice readable(noter *o, const tg_item *it)
{
    const tg_op_field *f = &o->l->op[it->field];
    tg_buf_clear(&o->value);
    if (it->kind == TG_ITEM_MAP || it->kind == TG_ITEM_LIST)
        return (tg_slice){0};
    if (it->kind == TG_ITEM_NONE)
        return it->flags & TG_ITEM_BAD ? TG_LIT("(makes no value)") : TG_LIT("-");
    if (tg_item_json(o->l, it, o->bytes, &o->value) < 0)
        return (tg_slice){0};
    tg_slice s = tg_buf_slice(&o->value);
    if (s.len >= 2 && s.at[0] == '"')
        s = (tg_slice){s.at + 1, s.len - 2};
    if (f->unit.len == 0 || it->kind == TG_ITEM_WORD)
        return s;
    tg_buf_printf(&o->value, " %.*s", (int)f->unit.len, f->unit.at);
    return tg_buf_slice(&o->value);
}

static void note(noter *o, const tg_item *it, uint32_t depth)
{
    char key[300];
    bool opens = it->kind == TG_ITEM_MAP || it->kind == TG_ITEM_LIST;
    tg_field_note f = {.size = sizeof(f),
                       .depth = depth,
                       .offset = o->base + it->at,
                       .length = it->len,
                       .name = tg_item_key(o->l, it, false, key),
                       .raw = {o->bytes.at + it->at, opens ? 0 : it->len},
                       .value = readable(o, it)};
    if (o->l->op[it->field].op == OP_SKIP)
        f.name = TG_LIT("(skipped)");
    else if (tg_slice_eq(f.name, TG_LIT("_")))
        f.name = TG_LIT("(unused)");
    o->emit(o->ctx, &f);
}

/// A word without a name is told by its bits.
static bool is_only_its_bits(const tg_layout *l, const tg_item *it)
{
    return l->op[it->field].op == OP_WORD &&
           tg_slice_eq(l->field[it->field].name, TG_LIT("_"));
}

int tg_tape_notes(const tg_layout *l, const tg_tape *t, tg_slice bytes, uint32_t base,
                  uint32_t depth, void (*emit)(void *ctx, const tg_field_note *note),
                  void *ctx)
{
    noter o = {.l = l, .bytes = bytes, .base = base, .emit = emit, .ctx = ctx};
    for (uint32_t k = 0; k < t->n; k++) {
        const tg_item *it = &t->items[k];
        if (it->kind == TG_ITEM_CLOSE) {
            depth--;
            continue;
        }
        if (!is_only_its_bits(l, it))
            note(&o, it, depth);
        depth += it->kind == TG_ITEM_MAP || it->kind == TG_ITEM_LIST;
    }
    bool failed = o.value.failed;
    tg_buf_free(&o.value);
    return failed ? TG_E_NOMEM : 0;
}

// ---- the reference ------------------------------------------------------------------------

/// @return bytes that field `i` always has; -1: it depends.
static int32_t fixed_size(const tg_layout *l, uint32_t i)
{
    const tg_op_field *f = &l->op[i];
    int32_t sum = 0;
    if (f->nconds > 0 || (f->flags & F_OPTIONAL))
        return -1;
    switch ((tg_opcode)f->op) {
    case OP_DEC:
    case OP_BCD:
    case OP_HEX:
    case OP_BYTES:
    case OP_TEXT:
    case OP_SKIP:
        return f->size.kind == SIZE_CONST ? f->size.n : -1;
    case OP_RECORD:
        for (uint32_t k = i + 1; k < f->next && sum >= 0; k = l->op[k].next) {
            int32_t in = fixed_size(l, k);
            sum = in < 0 ? -1 : sum + in;
        }
        return sum;
    case OP_LIST:
        sum = fixed_size(l, i + 1);
        return sum >= 0 && f->size.kind == SIZE_CONST ? sum * f->size.n : -1;
    case OP_SIZED:
        return f->size.kind == SIZE_CONST ? f->size.n : -1;
    case OP_TLV:
        return -1;
    default:
        return f->width;
    }
}

typedef struct walker {
    const tg_layout *l;
    void (*each)(void *ctx, const tg_layout_row *row);
    void *ctx;
} walker;

static void rows(const walker *w, uint32_t from, uint32_t end, int32_t offset,
                 uint32_t depth)
{
    const tg_layout *l = w->l;
    for (uint32_t i = from; i < end; i = l->op[i].next) {
        const tg_op_field *f = &l->op[i];
        bool bits = l->op[f->parent].op == OP_WORD && f->parent != 0;
        bool inner = f->next > i + 1, clear = f->op == OP_SIZED || (f->flags & F_FLAT);
        tg_layout_row row = {depth, offset, l->field[i].name, f->type, f->unit, f->note, i};
        if (!(clear && f->op != OP_WORD))
            w->each(w->ctx, &row);
        bool own = f->op == OP_LIST || f->op == OP_TLV;
        if (inner)
            rows(w, i + 1, f->next,
                 f->op == OP_TLV ? -1
                 : own           ? 0
                                 : offset,
                 depth + !clear);
        int32_t size = fixed_size(l, i);
        if (!bits)
            offset = offset < 0 || size < 0 || l->op[f->parent].op == OP_TLV
                         ? -1
                         : offset + size;
    }
}

void tg_layout_rows(const tg_layout *l, void (*each)(void *ctx, const tg_layout_row *row),
                    void *ctx)
{
    walker w = {tg_layout_check(l), each, ctx};
    rows(&w, 1, l->n, 0, 0);
}

static double shrunk(const tg_layout *l, uint32_t i, int64_t n)
{
    double ten = 1;
    for (unsigned k = 0; k < l->field[i].digits; k++)
        ten *= 10;
    return (double)n / ten;
}

void tg_layout_scale(const tg_layout *l, uint32_t field, tg_buf *out)
{
    const tg_op_field *f = &tg_layout_check(l)->op[field];
    double factor = shrunk(l, field, f->mul) / (double)f->div,
           add = shrunk(l, field, f->add);
    if (f->scale == SCALE_NO)
        return;
    if (factor < 0.001)
        tg_buf_printf(out, "÷%.10g", 1 / factor);
    else if (factor != 1)
        tg_buf_printf(out, "×%.10g", factor);
    if (add != 0)
        tg_buf_printf(out, "%s%s%.10g", factor != 1 ? " " : "", add < 0 ? "−" : "+",
                      add < 0 ? -add : add);
}

void tg_layout_values(const tg_layout *l, uint32_t field, tg_buf *out)
{
    const tg_op_field *f = &tg_layout_check(l)->op[field];
    for (uint32_t k = 0; k < f->nwords; k++) {
        const tg_word *w = &l->words[f->word + k];
        tg_slice word = w->word.at != NULL ? w->word : TG_LIT("(none)");
        tg_buf_printf(out, "%s%s%lld %.*s", k > 0 ? ", " : "",
                      f->op == OP_SET && k == 0 ? "bits: " : "", (long long)w->value,
                      (int)word.len, word.at);
    }
}

bool tg_layout_tag(const tg_layout *l, uint32_t field, uint32_t *tag)
{
    const tg_op_field *f = &tg_layout_check(l)->op[field];
    *tag = f->tag;
    return l->op[f->parent].op == OP_TLV;
}

bool tg_layout_may_miss(const tg_layout *l, uint32_t field)
{
    const tg_op_field *f = &tg_layout_check(l)->op[field];
    return f->nconds > 0 || (f->flags & F_OPTIONAL) != 0;
}
