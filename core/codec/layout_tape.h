// SPDX-License-Identifier: Apache-2.0
/// Reading single items of a tape, for all who turn tapes into something.
#ifndef TG_CODEC_LAYOUT_TAPE_H
#define TG_CODEC_LAYOUT_TAPE_H

#include "codec/layout_program.h"

/// The value of an item that is no map and no list. @return bad bytes of a text; TG_E_NOMEM.
int tg_item_json(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out);
/// What it was on the wire: a number, or bytes in hex.
void tg_item_raw_json(const tg_layout *l, const tg_item *it, tg_slice bytes, tg_buf *out);
bool tg_item_raw_is_hex(const tg_layout *l, const tg_item *it);
bool tg_item_only_raw(const tg_item *it); ///< there is no value to show
/// The bytes of a TEXT without what is trimmed.
tg_slice tg_item_text(const tg_layout *l, const tg_item *it, tg_slice bytes);
/// Two lower-case digits a byte. @return 2 × n.
size_t tg_hex_write(const uint8_t *at, size_t n, char *to);

#endif
