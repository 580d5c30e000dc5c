// SPDX-License-Identifier: Apache-2.0
/// Writing JSON into a buffer. Keys keep the order they are written in; strings that are not
/// UTF-8 are written with U+FFFD for each bad byte; NaN and infinities become null.
#ifndef TG_BASE_JSON_H
#define TG_BASE_JSON_H

#include "base/buf.h"

void tg_json_str(tg_buf *b, tg_slice text);
void tg_json_int(tg_buf *b, int64_t n);
/// The shortest form that reads back the same; integers without a fraction up to 2^53.
void tg_json_num(tg_buf *b, double n);
/// `n` × 10^-digits, exact: 312345678 with 7 digits is 31.2345678; trailing zeros cut.
void tg_json_fixed(tg_buf *b, int64_t n, unsigned digits);
void tg_json_value(tg_buf *b, const tg_value *v); ///< secrets as "***"

#endif
