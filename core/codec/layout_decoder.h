// SPDX-License-Identifier: Apache-2.0
/// Inside of the decoder: its state, and what layout_decode.c (numbers and the loop),
/// layout_bytes.c (bytes and times) and layout_nest.c (what holds others) need of each other.
#ifndef TG_CODEC_LAYOUT_DECODER_H
#define TG_CODEC_LAYOUT_DECODER_H

#include "codec/layout_program.h"

typedef struct tg_decoder {
    const tg_layout *l;
    const tg_op_field *op;
    tg_tape *t;
    const uint8_t *base, *at, *end;
    tg_error *e;
    int16_t zone;
    bool quiet; ///< what only notes show is left out
    tg_item scrap; ///< what is left out is written here
    int64_t reg[LAYOUT_REGS];
    uint32_t slot[LAYOUT_REGS]; ///< items to negate, plus one
} tg_decoder;

/// Runs the fields i .. end - 1.
int tg_decode_run(tg_decoder *d, uint32_t i, uint32_t end);
int tg_decode_one(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_give(tg_decoder *d, const tg_op_field *f, tg_item *it, int64_t raw);
bool tg_tape_grow(tg_tape *t);
int tg_decode_no_room(tg_decoder *d);
int tg_decode_too_short(tg_decoder *d, uint32_t i, uint64_t need);
int tg_decode_wrong(tg_decoder *d, uint32_t i, const char *why);
void tg_decode_spoil(tg_decoder *d, tg_item *it);
/// How much `s` says; a prefix is taken. Negative: refused, and said why.
int64_t tg_decode_size(tg_decoder *d, uint32_t i, const tg_size *s);
/// Ends the map or list that the item `opened` began.
int tg_decode_close(tg_decoder *d, uint32_t opened);
/// Numbers whose sign is elsewhere, once all of their record is known.
void tg_decode_signs(tg_decoder *d, uint32_t from, uint32_t end);

int tg_decode_bytes(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_dec(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_time(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_record(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_list(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_sized(tg_decoder *d, uint32_t i, const tg_op_field *f);
int tg_decode_tlv(tg_decoder *d, uint32_t i, const tg_op_field *f);
/// The items of a list of tags up to the end of the window.
int tg_decode_tags(tg_decoder *d, uint32_t i, const tg_op_field *f, uint32_t *members);

static inline size_t tg_left(const tg_decoder *d)
{
    return (size_t)(d->end - d->at);
}

/// An item for field `i` with the `len` bytes at d->at, which are not taken. NULL: no room.
static inline tg_item *tg_push(tg_decoder *d, uint32_t i, tg_item_kind kind, size_t len,
                               int *rc)
{
    tg_tape *t = d->t;
    if ((d->op[i].flags & F_SILENT) && d->quiet)
        return &d->scrap;
    if ((t->n == t->cap || t->n >= TG_TAPE_MAX) && (*rc = tg_decode_no_room(d)) < 0)
        return NULL;
    tg_item *it = &t->items[t->n++];
    *it = (tg_item){.at = (uint32_t)(d->at - d->base),
                    .len = (uint32_t)len,
                    .field = (uint16_t)i,
                    .kind = (uint8_t)kind,
                    .flags = (uint8_t)(((d->op[i].flags & F_HIDDEN) ? TG_ITEM_HIDDEN : 0) |
                                       ((d->op[i].flags & F_RAW) ? TG_ITEM_RAW : 0))};
    return it;
}

#endif
