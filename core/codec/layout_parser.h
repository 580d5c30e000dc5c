// SPDX-License-Identifier: Apache-2.0
/// Inside of the compiler of layouts: what its files share.
#ifndef TG_CODEC_LAYOUT_PARSER_H
#define TG_CODEC_LAYOUT_PARSER_H

#include "base/value.h"
#include "codec/layout_lex.h"
#include "codec/layout_program.h"

#define LAYOUT_DEPTH 16

/// A `minus` names a field that may come later: it is looked up when all is read.
typedef struct tg_later {
    uint32_t field;
    tg_token name;
} tg_later;

typedef struct tg_parser {
    tg_lexer lex;
    tg_token t; ///< the next token
    const char *end; ///< behind the last one taken
    uint32_t end_line; ///< its line
    tg_error *e;
    tg_layout *l;
    uint32_t nconds, nwords, ntlvs, ntags, nlater;
    uint32_t open; ///< the field that is being filled
    uint32_t depth;
    uint8_t nregs;
    tg_later *later;
} tg_parser;

/// The arithmetic behind a type, as a fraction and a decimal.
typedef struct tg_arith {
    bool used;
    int64_t mul, div;
    int64_t add;
    uint8_t add_digits;
    int8_t want; ///< digits asked for; -1 none
} tg_arith;

int tg_syntax_fail(tg_parser *p, const tg_token *at, const char *fmt, ...) TG_PRINTF(3, 4);
int tg_syntax_expected(tg_parser *p, const char *what); ///< "expected …, found …"
int tg_syntax_next(tg_parser *p);
bool tg_syntax_is(const tg_parser *p, const char *sign);
bool tg_syntax_is_name(const tg_parser *p, const char *name);
/// Takes `sign` or fails.
int tg_syntax_take(tg_parser *p, const char *sign);
/// A number with an optional minus, without decimals.
int tg_syntax_integer(tg_parser *p, int64_t *out);

/// The register of the nearest earlier field of that name that can be seen from `p->open`.
int tg_syntax_reg(tg_parser *p, const tg_token *name, uint8_t *reg, uint32_t *field);
int tg_syntax_give_reg(tg_parser *p, const tg_token *name, uint32_t field, uint8_t *reg);

/// Fields up to `until` or the end of the text; `tagged`: a tag's number before each.
int tg_syntax_fields(tg_parser *p, bool tagged, const char *until);
int tg_syntax_type(tg_parser *p, uint32_t i);
/// `[12]`, `[n]`, `[n-2]`, `[u8]`, `[*]`, `[*-4]`, `[z]`.
int tg_syntax_size(tg_parser *p, tg_size *s);
uint32_t tg_syntax_least_size(const tg_size *s);
/// Sums up what is inside of record `i`: bytes at least, members at most.
void tg_syntax_add_up(tg_layout *l, uint32_t i);
/// The comment behind what was just taken is the note of `i`.
void tg_syntax_take_note(tg_parser *p, uint32_t i);
void tg_syntax_open_tlv(tg_parser *p, uint32_t i, const tg_tlv_head *head);
/// Sorts the items by tag, later ones in place of earlier ones.
void tg_syntax_close_tlv(tg_parser *p, uint32_t i);

/// All that may stand behind a type.
int tg_syntax_suffixes(tg_parser *p, uint32_t i);
/// Looks up what `minus` named.
int tg_syntax_finish_later(tg_parser *p);
/// The bits in parentheses behind a word.
int tg_syntax_bits(tg_parser *p, uint32_t i);

/// Adds a field that is open for what is inside it. @return its index; negative: failed.
int tg_syntax_add(tg_parser *p, const tg_token *name);
/// Makes value = raw × mul / div + add of what was written.
int tg_syntax_arith(tg_parser *p, const tg_arith *a, uint32_t i);

/// Width and kind of "u16be", "i24le", "f32be". @return false for another word.
bool tg_syntax_number_type(tg_slice word, tg_op_field *f);

#endif
