// SPDX-License-Identifier: Apache-2.0
/// Inside of the encoder: numbers and what holds others in layout_encode.c, bytes, times and
/// sizes in layout_write.c, lists of tags in layout_tags.c.
#ifndef TG_CODEC_LAYOUT_ENCODER_H
#define TG_CODEC_LAYOUT_ENCODER_H

#include "base/value.h"
#include "codec/layout_program.h"

typedef struct tg_encoder {
    const tg_layout *l;
    const tg_source *from;
    void *ctx;
    tg_buf *out;
    tg_error *e;
    int16_t zone;
    int64_t reg[LAYOUT_REGS];
    bool given[LAYOUT_REGS]; ///< by the source, or put right since
    size_t at[LAYOUT_REGS]; ///< where it stands in `out`
    uint32_t again; ///< a tag's field that comes from member `again_at`; 0: none
    uint32_t again_at;
    tg_value again_value;
} tg_encoder;

/// What the source has for field `i`, its raw form if it has no value. @return true: raw.
bool tg_encode_get(tg_encoder *x, uint32_t i, int64_t index, tg_value *v);
int tg_encode_fail(tg_encoder *x, uint32_t i, const char *why);
void tg_encode_uint(char *to, uint64_t n, unsigned width, bool be);
/// Field `i` has `n` of what register `reg` counts.
int tg_encode_count(tg_encoder *x, uint32_t i, uint8_t reg, int64_t n);
/// Makes room for the size in front, at `*at`; and fills it in, or checks it.
int tg_encode_size(tg_encoder *x, uint32_t i, const tg_size *s, size_t *at);
int tg_encode_sized(tg_encoder *x, uint32_t i, const tg_size *s, size_t at, int64_t n);
/// @param wire `v` is the raw form: hex
int tg_encode_bytes(tg_encoder *x, uint32_t i, const tg_value *v, bool wire);
/// Field `i`, or with `index` > 0 the element of the open list.
int tg_encode_one(tg_encoder *x, uint32_t i, int64_t index);
/// The items of list `i`, whose table is open (layout_tags.c).
int tg_encode_tags(tg_encoder *x, uint32_t i);
int tg_encode_hex(tg_encoder *x, uint32_t i, tg_slice digits);
int tg_encode_skip(tg_encoder *x, uint32_t i);

#endif
