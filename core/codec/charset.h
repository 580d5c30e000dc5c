// SPDX-License-Identifier: Apache-2.0
/// Text between UTF-8 and what devices send.
#ifndef TG_CODEC_CHARSET_H
#define TG_CODEC_CHARSET_H

#include "base/buf.h"

typedef enum tg_charset {
    TG_CHARSET_ASCII,
    TG_CHARSET_UTF8,
    TG_CHARSET_LATIN1,
    TG_CHARSET_GBK, ///< as GB 18030, of which it is a subset
    TG_CHARSET_GB18030,
    TG_CHARSET_UTF16BE,
    TG_CHARSET_UTF16LE,
} tg_charset;

int tg_charset_from(tg_slice name); ///< -1: no such
/// Appends UTF-8; bad bytes become U+FFFD. @return how many were bad, or TG_E_NOMEM.
int tg_charset_decode(tg_charset cs, tg_slice bytes, tg_buf *out);
/// Appends `text` in `cs`. @return how many characters had no form ('?' stands for them).
int tg_charset_encode(tg_charset cs, tg_slice text, tg_buf *out);
bool tg_utf8_valid(tg_slice text);

#endif
