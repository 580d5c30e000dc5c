// SPDX-License-Identifier: Apache-2.0
// Tapes as JSON and as flaws, and the words and keys that every reader of a tape needs. Keys
// were made when the layout was compiled, so a member costs its value and two copies.
#include <stdio.h>

#include "base/json.h"
#include "codec/layout_tape.h"

#define DEEP 40 ///< levels of JSON that LAYOUT_DEPTH levels of layout can open

tg_slice tg_layout_word(const tg_layout *l, int64_t value)
{
    return l->words[value].word;
}

uint32_t tg_layout_words(const tg_layout *l)
{
    return l->nwords;
}

tg_slice tg_layout_bit(const tg_layout *l, uint16_t field, unsigned bit)
{
    const tg_word *w = tg_layout_find_word(l, &l->op[field], bit);
    return w != NULL ? w->word : (tg_slice){0};
}

const tg_layout_field *tg_layout_fields(const tg_layout *l, uint32_t *n)
{
    *n = tg_layout_check(l)->n;
    return l->field;
}

const tg_item *tg_tape_items(const tg_tape *t, uint32_t *n)
{
    *n = t->n;
    return t->items;
}

uint32_t tg_tape_flaws(const tg_tape *t)
{
    return t->flaws;
}

/// A window bears the name of what is in it.
static bool shows_in_path(const tg_layout *l, uint32_t i, uint32_t asked)
{
    return l->field[i].name.len > 0 && (l->op[i].op != OP_SIZED || i == asked) &&
           !tg_slice_eq(l->field[i].name, TG_LIT("_"));
}

const char *tg_layout_path(const tg_layout *l, uint32_t field, char *text, size_t size)
{
    uint32_t chain[32];
    size_t n = 0, at = 0;
    for (uint32_t i = field; i != 0 && n < 32; i = l->op[i].parent)
        if (shows_in_path(l, i, field))
            chain[n++] = i;
    text[0] = '\0';
    if (n == 0)
        snprintf(text, size, "%s", field == 0 ? "the list" : "a field without a name");
    while (n > 0 && at < size) {
        tg_slice name = l->field[chain[--n]].name;
        int len = snprintf(text + at, size - at, "%s%.*s", at > 0 ? "." : "", (int)name.len,
                           name.at);
        at += len > 0 ? (size_t)len : size;
    }
    return text;
}

tg_slice tg_item_key(const tg_layout *l, const tg_item *i, bool raw, char text[300])
{
    const tg_slice name = l->field[i->field].name;
    int n;
    if (i->flags & TG_ITEM_UNKNOWN)
        n = snprintf(text, 300, "0x%0*llx",
                     2 * l->tlvs[l->op[i->field].head].head.tag_width,
                     (unsigned long long)i->raw);
    else if ((i->flags & TG_ITEM_TAIL) && l->op[i->field].op == OP_TLV)
        n = snprintf(text, 300, "tail");
    else
        n = snprintf(text, 300, "%.*s%s", (int)(name.len < 200 ? name.len : 200), name.at,
                     i->flags & TG_ITEM_TAIL ? "_tail"
                     : raw                   ? "_raw"
                                             : "");
    if (i->repeat > 0)
        n += snprintf(text + n, 300 - (size_t)n, "_%u", i->repeat + 1u);
    return (tg_slice){text, (size_t)n};
}

// ---- scalars ------------------------------------------------------------------------------

static const char HEX[] = "0123456789abcdef";

size_t tg_hex_write(const uint8_t *at, size_t n, char *to)
{
    for (size_t k = 0; k < n; k++) {
        to[2 * k] = HEX[at[k] >> 4];
        to[2 * k + 1] = HEX[at[k] & 15];
    }
    return 2 * n;
}

static void put_hex(tg_buf *out, tg_slice bytes)
{
    char *to = tg_buf_reserve(out, 2 * bytes.len + 2);
    if (to == NULL)
        return;
    *to++ = '"';
    to += tg_hex_write((const uint8_t *)bytes.at, bytes.len, to);
    *to++ = '"';
    out->len = (size_t)(to - out->at);
}

tg_slice tg_item_text(const tg_layout *l, const tg_item *it, tg_slice bytes)
{
    tg_slice s = {bytes.at + it->at, it->len};
    uint8_t trim = l->field[it->field].trim, cs = l->field[it->field].charset;
    bool wide = cs == TG_CHARSET_UTF16BE || cs == TG_CHARSET_UTF16LE;
    if (wide) {
        while (trim > 0 && s.len >= 2 && s.at[s.len - 1] == 0 && s.at[s.len - 2] == 0)
            s.len -= 2;
        return s;
    }
    while (trim > 0 && s.len > 0 &&
           (s.at[s.len - 1] == 0 || (trim == 2 && s.at[s.len - 1] == ' ')))
        s.len--;
    while (trim == 2 && s.len > 0 && (s.at[0] == 0 || s.at[0] == ' ')) {
        s.at++;
        s.len--;
    }
    return s;
}

/// Decodes behind the end of `out`, writes the JSON behind that and moves it down.
static int put_text(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    tg_slice s = tg_item_text(l, it, bytes);
    size_t mark = out->len;
    int bad = tg_charset_decode(l->field[it->field].charset, s, out);
    size_t mid = out->len;
    if (bad < 0 || tg_buf_reserve(out, 6 * (mid - mark) + 2) == NULL)
        return TG_E_NOMEM;
    tg_json_str(out, (tg_slice){out->at + mark, mid - mark});
    memmove(out->at + mark, out->at + mid, out->len - mid);
    out->len -= mid - mark;
    return bad;
}

/// Words of bits stand in the order of the bits: both are gone through once.
static void put_set(const tg_layout *l, const tg_item *it, tg_buf *out)
{
    const tg_op_field *f = &l->op[it->field];
    const tg_word *w = l->words + f->word, *end = w + f->nwords;
    const char *comma = "";
    tg_buf_putc(out, '[');
    for (uint64_t bits = (uint64_t)it->raw; bits != 0; bits &= bits - 1) {
        int bit = __builtin_ctzll(bits);
        while (w < end && w->value < bit)
            w++;
        tg_buf_puts(out, comma);
        if (w < end && w->value == bit && w->word.len > 0)
            tg_json_str(out, w->word);
        else
            tg_buf_printf(out, "\"bit%d\"", bit);
        comma = ",";
    }
    tg_buf_putc(out, ']');
}

static void put_time(const tg_item *it, tg_buf *out)
{
    char *to = tg_buf_reserve(out, 42);
    if (to == NULL)
        return;
    to[0] = '"';
    size_t n = tg_iso_write(it->value, it->zone, to + 1);
    to[n + 1] = '"';
    out->len += n + 2;
}

static void put_uint(tg_buf *out, int64_t raw)
{
    tg_buf_printf(out, "%llu", (unsigned long long)raw);
}

int tg_item_json(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    switch ((tg_item_kind)it->kind) {
    case TG_ITEM_INT:
        tg_json_fixed(out, it->value, l->field[it->field].digits);
        return 0;
    case TG_ITEM_UINT:
        put_uint(out, it->raw);
        return 0;
    case TG_ITEM_NUM:
        tg_json_num(out, it->number);
        return 0;
    case TG_ITEM_BOOL:
        tg_buf_puts(out, it->value != 0 ? "true" : "false");
        return 0;
    case TG_ITEM_WORD:
        tg_json_str(out, tg_layout_word(l, it->value));
        return 0;
    case TG_ITEM_SET:
        put_set(l, it, out);
        return 0;
    case TG_ITEM_TEXT:
        return put_text(l, it, bytes, out);
    case TG_ITEM_HEX:
    case TG_ITEM_BCD:
    case TG_ITEM_BYTES:
        put_hex(out, (tg_slice){bytes.at + it->at, it->len});
        return 0;
    case TG_ITEM_TIME:
        put_time(it, out);
        return 0;
    default:
        tg_buf_puts(out, "null");
        return 0;
    }
}

bool tg_item_raw_is_hex(const tg_layout *l, const tg_item *it)
{
    return l->field[it->field].raw_hex || it->kind == TG_ITEM_HEX ||
           it->kind == TG_ITEM_TEXT;
}

void tg_item_raw_json(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    const tg_op_field *f = &l->op[it->field];
    if (tg_item_raw_is_hex(l, it))
        put_hex(out, (tg_slice){bytes.at + it->at, it->len});
    else if (it->raw < 0 && !f->sign)
        put_uint(out, it->raw);
    else
        tg_json_int(out, it->raw);
}

// ---- the whole ----------------------------------------------------------------------------

static void put_key(const tg_layout *l, const tg_item *it, bool raw, tg_buf *out)
{
    const tg_layout_field *f = &l->field[it->field];
    if (out->len > 0 && out->at[out->len - 1] != '{')
        tg_buf_putc(out, ',');
    if ((it->flags & (TG_ITEM_UNKNOWN | TG_ITEM_TAIL)) == 0 && it->repeat == 0) {
        tg_slice key = raw ? f->raw_key : f->key;
        tg_buf_put(out, key.at, key.len);
        return;
    }
    char text[300];
    tg_json_str(out, tg_item_key(l, it, raw, text));
    tg_buf_putc(out, ':');
}

static void put_raw(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    put_key(l, it, true, out);
    tg_item_raw_json(l, it, bytes, out);
}

bool tg_item_only_raw(const tg_item *it)
{
    return (it->flags & TG_ITEM_BAD) && !(it->flags & TG_ITEM_TAIL);
}

static int put_member(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    if (tg_item_only_raw(it)) {
        put_raw(l, it, bytes, out);
        return 0;
    }
    int bad = 0;
    if (it->kind != TG_ITEM_NONE) {
        put_key(l, it, false, out);
        bad = tg_item_json(l, it, bytes, out);
    }
    if ((it->flags & TG_ITEM_RAW) || bad > 0)
        put_raw(l, it, bytes, out);
    return bad < 0 ? bad : 0;
}

static int put_element(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out)
{
    if (out->at[out->len - 1] != '[')
        tg_buf_putc(out, ',');
    int rc = tg_item_json(l, it, bytes, out);
    return rc < 0 ? rc : 0;
}

static void open_item(const tg_layout *l, const tg_item *it, tg_slice bytes, bool in_list,
                      tg_buf *out)
{
    if (in_list && out->at[out->len - 1] != '[')
        tg_buf_putc(out, ',');
    if (!in_list && (it->flags & TG_ITEM_RAW))
        put_raw(l, it, bytes, out);
    if (!in_list)
        put_key(l, it, false, out);
    tg_buf_putc(out, it->kind == TG_ITEM_MAP ? '{' : '[');
}

/// `n` × 10^-digits without trailing zeros, at most 22 bytes.
static char *fixed(char *to, int64_t n, unsigned digits)
{
    char text[24], *end = text + sizeof(text), *at = end;
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    for (; digits > 0 && left % 10 == 0; digits--) {
        left /= 10;
        if (left == 0)
            digits = 1;
    }
    bool point = digits > 0;
    for (; digits > 0; digits--, left /= 10)
        *--at = (char)('0' + left % 10);
    if (point)
        *--at = '.';
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    if (n < 0)
        *--at = '-';
    memcpy(to, at, (size_t)(end - at));
    return to + (end - at);
}

/// Most members of most devices: a number or a flag, nothing odd about it. One check for room,
/// two copies.
static bool put_plain(const tg_layout *l, const tg_item *it, bool first, tg_buf *out)
{
    const tg_layout_field *f = &l->field[it->field];
    if ((it->kind != TG_ITEM_INT && it->kind != TG_ITEM_BOOL) || it->flags != 0 ||
        it->repeat != 0)
        return false;
    char *to = tg_buf_reserve(out, f->key.len + 28);
    if (to == NULL)
        return true;
    size_t n = f->key.len + !first;
    memcpy(to, f->key.at - !first, n);
    to += n;
    if (it->kind == TG_ITEM_INT) {
        to = fixed(to, it->value, f->digits);
    } else {
        memcpy(to, it->value != 0 ? "true" : "false", 5);
        to += 4 + (it->value == 0);
    }
    out->len = (size_t)(to - out->at);
    return true;
}

/// Everything between the braces, of which the first is in `out` already.
static int put_all(const tg_layout *l, const tg_tape *t, tg_slice bytes, tg_buf *out)
{
    bool list[DEEP] = {false};
    unsigned depth = 0;
    int rc = 0;
    for (uint32_t k = 0; k < t->n && rc >= 0 && !out->failed; k++) {
        const tg_item *it = &t->items[k];
        bool opens = it->kind == TG_ITEM_MAP || it->kind == TG_ITEM_LIST;
        if (it->kind == TG_ITEM_CLOSE) {
            tg_buf_putc(out, list[depth--] ? ']' : '}');
        } else if (it->flags & TG_ITEM_HIDDEN) {
            k = opens ? (uint32_t)it->value : k;
        } else if (opens) {
            open_item(l, it, bytes, list[depth], out);
            list[++depth] = it->kind == TG_ITEM_LIST;
        } else if (list[depth]) {
            rc = put_element(l, it, bytes, out);
        } else if (!put_plain(l, it, out->at[out->len - 1] == '{', out)) {
            rc = put_member(l, it, bytes, out);
        }
    }
    return out->failed ? TG_E_NOMEM : rc;
}

int tg_tape_json(const tg_layout *l, const tg_tape *t, tg_slice bytes, tg_buf *out)
{
    tg_buf_putc(out, '{');
    if (out->failed)
        return TG_E_NOMEM;
    int rc = put_all(l, t, bytes, out);
    tg_buf_putc(out, '}');
    return out->failed ? TG_E_NOMEM : rc;
}

int tg_tape_members(const tg_layout *l, const tg_tape *t, tg_slice bytes, tg_buf *out)
{
    size_t start = out->len;
    tg_buf_putc(out, '{');
    if (out->failed)
        return TG_E_NOMEM;
    int rc = put_all(l, t, bytes, out);
    memmove(out->at + start, out->at + start + 1, out->len - start - 1);
    out->len--;
    return rc;
}

// ---- flaws --------------------------------------------------------------------------------

static const char *why(const tg_layout *l, const tg_item *it, char text[100])
{
    const tg_op_field *f = &l->op[it->field];
    if (it->flags & TG_ITEM_TAIL)
        snprintf(text, 100, "%u bytes left over", (unsigned)it->len);
    else if (it->kind == TG_ITEM_HEX)
        snprintf(text, 100, "a length of %u does not fit", (unsigned)it->len);
    else if (f->op == OP_DEC)
        snprintf(text, 100, "not all are digits");
    else if (f->op == OP_FLOAT)
        snprintf(text, 100, "no finite number");
    else if (f->op >= OP_TIME6 && f->op <= OP_UNIXMS)
        snprintf(text, 100, "no such date or time");
    else
        snprintf(text, 100, "%lld is out of range", (long long)it->raw);
    return text;
}

uint32_t tg_tape_each_flaw(const tg_layout *l, const tg_tape *t,
                           void (*each)(void *ctx, tg_slice text), void *ctx)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->n; k++) {
        const tg_item *it = &t->items[k];
        char path[200], reason[100], text[304];
        if (!(it->flags & TG_ITEM_BAD))
            continue;
        int len =
            snprintf(text, sizeof(text), "%s: %s",
                     tg_layout_path(l, it->field, path, sizeof(path)), why(l, it, reason));
        each(ctx, (tg_slice){text, (size_t)len});
        n++;
    }
    return n;
}
