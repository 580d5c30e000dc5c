// SPDX-License-Identifier: Apache-2.0
// Decoding of what holds others. A window of bytes is the decoder's `end` moved in for a while,
// so nothing inside can read past what its length said.
#include "codec/layout_decoder.h"

#define SEEN_TAGS 128

// ---- what holds others --------------------------------------------------------------------

/// Numbers whose sign is elsewhere: now all of the record is known. A slot may still tell of an
/// item that was taken back, or of one in a record around this one.
void tg_decode_signs(tg_decoder *d, uint32_t from, uint32_t end)
{
    for (uint32_t s = 0; s < d->l->nminus; s++) {
        if (d->slot[s] == 0 || d->slot[s] > d->t->n)
            continue;
        tg_item *it = &d->t->items[d->slot[s] - 1];
        const tg_op_field *f = &d->op[it->field];
        if (it->field < from || it->field >= end || f->minus_slot != s)
            continue;
        const tg_cond *c = &d->l->conds[f->minus];
        if (tg_cond_holds(c, d->reg[c->reg]))
            it->value *= -1;
        d->slot[s] = 0;
    }
}

int tg_decode_record(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    uint32_t opened = d->t->n;
    if (f->flags & F_FLAT)
        return tg_decode_run(d, i + 1, f->next);
    tg_item *it = tg_push(d, i, TG_ITEM_MAP, 0, &rc);
    if (it == NULL)
        return rc;
    it->raw = d->l->field[i].members;
    rc = tg_decode_run(d, i + 1, f->next);
    if (f->flags & F_SIGNS)
        tg_decode_signs(d, i + 1, f->next);
    int closed = tg_decode_close(d, opened);
    return rc < 0 ? rc : closed;
}

int tg_decode_list(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    uint32_t opened = d->t->n;
    tg_item *it = tg_push(d, i, TG_ITEM_LIST, 0, &rc);
    if (it == NULL)
        return rc;
    int64_t n = INT64_MAX, k = 0;
    if (f->size.kind != SIZE_END)
        n = tg_decode_size(d, i, &f->size);
    for (; n >= 0 && rc >= 0 && k < n; k++) {
        if (f->size.kind == SIZE_END && (int64_t)tg_left(d) + f->size.n <= 0)
            break;
        rc = tg_decode_one(d, i + 1, &d->op[i + 1]);
    }
    d->t->items[opened].raw = k;
    int closed = tg_decode_close(d, opened);
    return n < 0 ? (int)n : rc < 0 ? rc : closed;
}

int tg_decode_sized(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int64_t n = tg_decode_size(d, i, &f->size);
    if (n < 0)
        return (int)n;
    if ((uint64_t)n > tg_left(d))
        return tg_decode_too_short(d, i, (uint64_t)n);
    if (n == 0)
        return 0;
    const uint8_t *end = d->end, *inner = d->at + n;
    int rc = 0;
    d->end = inner;
    rc = tg_decode_one(d, i + 1, &d->op[i + 1]);
    if (rc >= 0 && d->at < inner) { // more bytes than the type knows
        tg_item *it = tg_push(d, i, TG_ITEM_HEX, tg_left(d), &rc);
        if (it != NULL) {
            it->flags |= TG_ITEM_TAIL | TG_ITEM_BAD;
            d->t->flaws++;
        }
    }
    d->end = end;
    if (rc >= 0)
        d->at = inner;
    return rc;
}

// ---- tag, length, value ---------------------------------------------------------------------

typedef struct tags_seen {
    uint32_t tag[SEEN_TAGS];
    uint16_t repeat[SEEN_TAGS];
    uint32_t n;
} tags_seen;

/// How often `tag` came before, among the last SEEN_TAGS: bounded work for any list.
static uint16_t repeats(tags_seen *s, uint32_t tag)
{
    uint32_t known = s->n < SEEN_TAGS ? s->n : SEEN_TAGS;
    uint16_t times = 0;
    for (uint32_t k = 1; k <= known; k++)
        if (s->tag[(s->n - k) % SEEN_TAGS] == tag) {
            times = (uint16_t)(s->repeat[(s->n - k) % SEEN_TAGS] + 1);
            break;
        }
    s->tag[s->n % SEEN_TAGS] = tag;
    s->repeat[s->n++ % SEEN_TAGS] = times;
    return times;
}

static uint32_t find_tag(const tg_layout *l, const tg_tlv *v, uint32_t tag)
{
    const tg_tag *all = l->tags + v->tags;
    uint32_t low = 0, high = v->ntags;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (all[mid].tag < tag)
            low = mid + 1;
        else
            high = mid;
    }
    return low < v->ntags && all[low].tag == tag ? all[low].field : 0;
}

/// @return bytes of the value; -1: what is left is no whole item.
static int64_t tlv_head(tg_decoder *d, const tg_tlv_head *h, uint32_t *tag)
{
    size_t head = (size_t)h->tag_width + h->length_width;
    if (tg_left(d) < head)
        return -1;
    const uint8_t *tag_at = d->at + (h->length_first ? h->length_width : 0);
    const uint8_t *len_at = d->at + (h->length_first ? 0 : h->tag_width);
    *tag = (uint32_t)tg_get_uint(tag_at, h->tag_width, h->tag_be);
    int64_t n = (int64_t)tg_get_uint(len_at, h->length_width, h->length_be);
    n -= (h->counts_tag ? h->tag_width : 0) + (h->counts_length ? h->length_width : 0);
    return n < 0 || (uint64_t)n > tg_left(d) - head ? -1 : n;
}

static int push_hex(tg_decoder *d, uint32_t i, int64_t tag, uint8_t flags)
{
    int rc = 0;
    tg_item *it = tg_push(d, i, TG_ITEM_HEX, tg_left(d), &rc);
    if (it == NULL)
        return rc;
    it->raw = tag;
    it->flags |= flags;
    d->t->flaws += (flags & TG_ITEM_BAD) != 0;
    d->at = d->end;
    return 0;
}

/// The value of one item fills the window. One whose length is not what its layout needs stays
/// raw: devices get such lengths wrong one by one, not as a whole.
static int tlv_value(tg_decoder *d, uint32_t tlv, uint32_t tag, uint32_t i)
{
    uint32_t n = d->t->n, flaws = d->t->flaws;
    const uint8_t *start = d->at;
    if (i == 0)
        return push_hex(d, tlv, tag, TG_ITEM_UNKNOWN);
    int rc = tg_decode_run(d, i, d->op[i].next);
    if (rc == TG_E_LIMIT || rc == TG_E_NOMEM || (rc >= 0 && d->at == d->end))
        return rc;
    d->t->n = n;
    d->t->flaws = flaws;
    d->at = start;
    return push_hex(d, i, tag, TG_ITEM_BAD);
}

int tg_decode_tags(tg_decoder *d, uint32_t i, const tg_op_field *f, uint32_t *members)
{
    const tg_tlv *v = &d->l->tlvs[f->head];
    const uint8_t *end = d->end;
    tags_seen seen;
    int rc = 0;
    seen.n = 0;
    while (rc >= 0 && d->at < end) {
        uint32_t tag = 0, first = d->t->n;
        int64_t n = tlv_head(d, &v->head, &tag);
        if (n < 0)
            return push_hex(d, i, 0, TG_ITEM_TAIL | TG_ITEM_BAD);
        d->at += v->head.tag_width + v->head.length_width;
        d->end = d->at + n;
        rc = tlv_value(d, i, tag, find_tag(d->l, v, tag));
        d->end = end;
        uint16_t times = repeats(&seen, tag);
        if (rc >= 0 && d->t->n > first)
            d->t->items[first].repeat = times;
        ++*members;
    }
    return rc;
}

int tg_decode_tlv(tg_decoder *d, uint32_t i, const tg_op_field *f)
{
    int rc = 0;
    uint32_t opened = d->t->n, members = 1;
    if (tg_push(d, i, TG_ITEM_MAP, 0, &rc) == NULL)
        return rc;
    rc = tg_decode_tags(d, i, f, &members);
    d->t->items[opened].raw = members;
    int closed = tg_decode_close(d, opened);
    return rc < 0 ? rc : closed;
}
