// SPDX-License-Identifier: Apache-2.0
/// Tokens of the layout language.
#ifndef TG_CODEC_LAYOUT_LEX_H
#define TG_CODEC_LAYOUT_LEX_H

#include "base/error.h"

typedef enum tg_token_kind {
    T_END,
    T_NAME,
    T_NUMBER, ///< number × 10^-digits
    T_TEXT, ///< "…": text is what is between
    T_DOTS, ///< ..
    T_SIGN, ///< one or two characters, in text
} tg_token_kind;

typedef struct tg_token {
    uint8_t kind;
    uint8_t digits;
    uint32_t line, column;
    tg_slice text;
    int64_t number;
} tg_token;

typedef struct tg_lexer {
    tg_slice left;
    const char *line_start;
    uint32_t line;
    tg_slice note; ///< the last comment seen and
    uint32_t note_line; ///< its line
} tg_lexer;

void tg_lexer_init(tg_lexer *x, tg_slice text);
/// @return TG_E_INVAL for a character or number that is none.
int tg_lexer_next(tg_lexer *x, tg_token *out, tg_error *e);

#endif
