// SPDX-License-Identifier: Apache-2.0
// Lists of tag, length, value, encoded. Known tags go first, ascending, then those that only
// their number names, then what came again; so equal records give equal bytes, though a map has
// no order. What did not fit its layout, and bytes behind the last whole item, go back as they
// came.
#include <stdio.h>
#include <stdlib.h>

#include "codec/layout_encoder.h"

/// A member that is no tag's own: an unknown tag, or one that came again.
typedef struct other {
    uint32_t tag, repeat;
    uint32_t field; ///< 0: an unknown tag
    uint32_t member; ///< for the source
    tg_slice hex; ///< at NULL: a value of the field
} other;

typedef struct tags {
    tg_encoder *x;
    uint32_t i; ///< the list
    const tg_tlv *list;
    tg_buf others;
    tg_slice tail;
} tags;

// ---- one item -----------------------------------------------------------------------------

static void put_number(tg_encoder *x, uint32_t n, unsigned width, bool be)
{
    char bytes[8];
    tg_encode_uint(bytes, n, width, be);
    tg_buf_put(x->out, bytes, width);
}

static size_t put_head(tg_encoder *x, const tg_tlv_head *h, uint32_t tag)
{
    if (!h->length_first)
        put_number(x, tag, h->tag_width, h->tag_be);
    size_t at = x->out->len;
    put_number(x, 0, h->length_width, h->length_be);
    if (h->length_first)
        put_number(x, tag, h->tag_width, h->tag_be);
    return at;
}

static int put_length(tg_encoder *x, uint32_t i, const tg_tlv_head *h, size_t at,
                      size_t start)
{
    uint64_t n = x->out->len - start;
    n += (h->counts_tag ? h->tag_width : 0u) + (h->counts_length ? h->length_width : 0u);
    if (x->out->failed)
        return 0;
    if (n >> 8 * h->length_width != 0)
        return tg_encode_fail(x, i, "is longer than its length can say");
    tg_encode_uint(x->out->at + at, n, h->length_width, h->length_be);
    return 0;
}

/// @param field of the value; 0 with `hex`: of the list. @param hex at NULL: the source has it
static int put_item(const tags *t, uint32_t tag, uint32_t field, tg_slice hex)
{
    uint32_t named = field != 0 ? field : t->i;
    size_t at = put_head(t->x, &t->list->head, tag), start = t->x->out->len;
    int rc =
        hex.at != NULL ? tg_encode_hex(t->x, named, hex) : tg_encode_one(t->x, field, 0);
    return rc < 0 ? rc : put_length(t->x, named, &t->list->head, at, start);
}

static int put_known(const tags *t)
{
    for (uint32_t k = 0; k < t->list->ntags; k++) {
        const tg_tag *tag = &t->x->l->tags[t->list->tags + k];
        tg_value v = {0};
        bool raw = tg_encode_get(t->x, tag->field, 0, &v);
        if (v.kind == TG_NIL)
            continue;
        tg_slice hex = {0};
        if (raw && v.kind == TG_STR)
            hex = v.string;
        int rc = put_item(t, tag->tag, tag->field, hex);
        if (rc < 0)
            return rc;
    }
    return 0;
}

// ---- the others ---------------------------------------------------------------------------

/// Cuts "_2" off. @return the number; 0: the key has none
static uint32_t cut_number(tg_slice *key)
{
    uint32_t n = 0, place = 1;
    size_t len = key->len;
    while (len > 0 && key->at[len - 1] >= '0' && key->at[len - 1] <= '9' &&
           place <= 10000) {
        n += place * (uint32_t)(key->at[--len] - '0');
        place *= 10;
    }
    if (n < 2 || len < 2 || key->at[len - 1] != '_')
        return 0;
    key->len = len - 1;
    return n;
}

static uint32_t field_called(const tags *t, tg_slice name)
{
    for (uint32_t k = 0; k < t->list->ntags; k++) {
        uint32_t field = t->x->l->tags[t->list->tags + k].field;
        if (tg_slice_eq(t->x->l->field[field].name, name))
            return field;
    }
    return 0;
}

/// "name_2", "name_raw_2".
static void add_again(tags *t, tg_slice key, const tg_value *v, uint32_t member)
{
    other o = {.member = member, .repeat = cut_number(&key)};
    bool raw = key.len > 4 && memcmp(key.at + key.len - 4, "_raw", 4) == 0;
    if (raw)
        key.len -= 4;
    o.field = o.repeat > 0 ? field_called(t, key) : 0;
    if (o.field == 0 || (raw && v->kind != TG_STR))
        return; // some other member
    if (raw)
        o.hex = v->string;
    o.tag = t->x->l->op[o.field].tag;
    tg_buf_put(&t->others, &o, sizeof(o));
}

static int add_unknown(tags *t, tg_slice key, const tg_value *v)
{
    unsigned tag = 0, repeat = 1;
    char text[24] = {0};
    other o = {.hex = v->string};
    memcpy(text, key.at, key.len < sizeof(text) ? key.len : sizeof(text) - 1);
    if (sscanf(text, "0x%8x_%4u", &tag, &repeat) < 1 ||
        (uint64_t)tag >> 8 * t->list->head.tag_width != 0)
        return tg_encode_fail(t->x, t->i, "a key is no tag");
    o.tag = tag;
    o.repeat = repeat;
    tg_buf_put(&t->others, &o, sizeof(o));
    return 0;
}

static int collect(tags *t)
{
    tg_slice key;
    tg_value v;
    int rc = 0;
    for (uint32_t k = 0; rc >= 0 && t->x->from->member(t->x->ctx, k, &key, &v); k++) {
        if (key.len > 2 && memcmp(key.at, "0x", 2) == 0 && v.kind == TG_STR)
            rc = add_unknown(t, key, &v);
        else if (tg_slice_eq(key, TG_LIT("tail")) && v.kind == TG_STR)
            t->tail = v.string;
        else
            add_again(t, key, &v, k);
    }
    return rc;
}

static int by_tag(const void *a, const void *b)
{
    const other *p = a, *q = b;
    if (p->tag != q->tag)
        return p->tag < q->tag ? -1 : 1;
    return p->repeat < q->repeat ? -1 : p->repeat > q->repeat;
}

static int put_again(const tags *t, const other *o)
{
    tg_encoder *x = t->x;
    tg_slice key;
    if (o->hex.at == NULL && !x->from->member(x->ctx, o->member, &key, &x->again_value))
        return 0;
    x->again = o->hex.at == NULL ? o->field : 0;
    x->again_at = o->member;
    int rc = put_item(t, o->tag, o->field, o->hex);
    x->again = 0;
    return rc;
}

static int put_others(tags *t)
{
    size_t n = t->others.len / sizeof(other);
    other *all = (other *)(void *)t->others.at;
    int rc = 0;
    if (n > 0 && !t->others.failed)
        qsort(all, n, sizeof(*all), by_tag);
    for (size_t k = 0; k < n && rc >= 0; k++)
        rc = put_again(t, &all[k]);
    return rc;
}

int tg_encode_tags(tg_encoder *x, uint32_t i)
{
    tags t = {.x = x, .i = i, .list = &x->l->tlvs[x->l->op[i].head]};
    int rc = put_known(&t);
    rc = rc < 0 ? rc : collect(&t);
    rc = rc < 0 ? rc : put_others(&t);
    if (rc >= 0 && t.tail.at != NULL && t.list->ntags > 0)
        rc = tg_encode_hex(x, i, t.tail);
    if (t.others.failed)
        x->out->failed = true;
    tg_buf_free(&t.others);
    return rc;
}
