// SPDX-License-Identifier: Apache-2.0
/// Inside of layouts: the program that the parser writes and the decoder, the encoder and the
/// readers run. Fields stand in one array in the order of the text, a parent before what is in
/// it; `next` leads past all that, so running a record is one loop without pointers.
#ifndef TG_CODEC_LAYOUT_PROGRAM_H
#define TG_CODEC_LAYOUT_PROGRAM_H

#include <stdatomic.h>

#include "codec/charset.h"
#include "codec/layout.h"

#define LAYOUT_MAGIC 0x1a907001u
#define LAYOUT_REGS 64
#define NO_REG 0xFF
#define NO_ZONE INT16_MIN

typedef enum tg_opcode {
    OP_INT,
    OP_BOOL, ///< of one byte, or one bit
    OP_FLOAT,
    OP_WORD, ///< an integer whose bits are fields
    OP_BIT, ///< one of these
    OP_SET, ///< an integer whose bits are words
    OP_DEC, ///< BCD digits that are a number
    OP_BCD, ///< BCD digits that are a text
    OP_HEX,
    OP_BYTES,
    OP_TEXT,
    OP_TIME6,
    OP_BCDTIME,
    OP_UNIX,
    OP_UNIXMS,
    OP_SKIP,
    OP_RECORD,
    OP_LIST,
    OP_SIZED,
    OP_TLV,
} tg_opcode;

typedef enum tg_size_kind {
    SIZE_CONST,
    SIZE_REG, ///< an earlier field
    SIZE_PREFIX, ///< an integer right in front
    SIZE_END, ///< all that is left
    SIZE_NUL, ///< up to a zero byte, which is taken, too
} tg_size_kind;

typedef struct tg_size {
    uint8_t kind, reg, width, be;
    int32_t n; ///< the constant, or what is added to the count found
} tg_size;

typedef enum tg_cond_op { C_EQ, C_NE, C_LT, C_LE, C_GT, C_GE, C_ANY, C_NONE } tg_cond_op;

typedef struct tg_cond {
    uint8_t reg, op;
    int64_t value;
} tg_cond;

/// A value with a name: of an enum, a sentinel (an empty word: no value) or a bit of a set.
typedef struct tg_word {
    int64_t value;
    tg_slice word;
} tg_word;

typedef enum tg_scale { SCALE_NO, SCALE_MUL, SCALE_DIV } tg_scale;

enum {
    F_HIDDEN = 1 << 0,
    F_FLAT = 1 << 1, ///< its members are those of its parent
    F_RAW = 1 << 2,
    F_OPTIONAL = 1 << 3, ///< absent when fewer bytes are left than it has at least
    F_CONST = 1 << 4,
    F_RANGE = 1 << 5,
    F_PLAIN = 1 << 6, ///< a number that is its own value
    F_MINUS = 1 << 7, ///< conds[minus] says whether the value is negative
    F_UTC = 1 << 8,
    F_DERIVED = 1 << 9, ///< a count or length that the encoder finds out
    F_SIGNS = 1 << 10, ///< some number in it has a minus
    F_SILENT = 1 << 11, ///< hidden, and nothing can be wrong with it: for notes alone
};

typedef struct tg_op_field {
    uint8_t op, width, be, sign;
    uint8_t scale, reg, shift, bits; ///< shift, bits: of a BIT
    uint16_t flags;
    int16_t zone;
    uint32_t parent, next;
    uint32_t least; ///< bytes that it has at least
    uint16_t cond, nconds; ///< into conds; all must hold
    uint16_t word, nwords; ///< into words, sorted by value
    uint16_t minus; ///< into conds
    uint8_t minus_slot; ///< where the decoder keeps which item to negate
    uint8_t head; ///< TLV: into heads
    uint32_t tag; ///< of a TLV's item
    tg_size size; ///< bytes, or the count of a LIST
    int64_t mul, div, add; ///< value = raw × mul / div + add
    int64_t low, high; ///< RANGE; CONST: low
    tg_slice type, unit, note;
} tg_op_field;

typedef struct tg_tlv {
    tg_tlv_head head;
    uint32_t tags, ntags; ///< into layout->tags, sorted by tag
} tg_tlv;

typedef struct tg_tag {
    uint32_t tag, field;
} tg_tag;

struct tg_layout {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint32_t n;
    tg_op_field *op;
    tg_layout_field *field;
    tg_cond *conds;
    tg_word *words;
    tg_tlv *tlvs;
    tg_tag *tags;
    uint32_t nwords;
    uint8_t nminus, nregs;
    struct tg_arena *arena; ///< all of the above and the texts
};

struct tg_tape {
    uint32_t magic;
    uint32_t n, cap;
    uint32_t flaws;
    tg_item *items;
};

static inline uint64_t tg_get_uint(const uint8_t *p, unsigned width, bool be)
{
    uint64_t n = 0;
    if (be) {
        for (unsigned i = 0; i < width; i++)
            n = n << 8 | p[i];
    } else {
        for (unsigned i = width; i > 0; i--)
            n = n << 8 | p[i - 1];
    }
    return n;
}

static inline int64_t tg_sign_extend(uint64_t n, unsigned bits)
{
    unsigned up = (64 - bits) & 63;
    return (int64_t)(n << up) >> up;
}

const tg_layout *tg_layout_check(const tg_layout *l);
bool tg_cond_holds(const tg_cond *c, int64_t value);
/// The word for `value` among those of `f`; NULL when it has none.
const tg_word *tg_layout_find_word(const tg_layout *l, const tg_op_field *f, int64_t value);
/// "cells.lac": names from the outermost in. @return text.
const char *tg_layout_path(const tg_layout *l, uint32_t field, char *text, size_t size);

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
int64_t tg_days_from_date(int64_t year, unsigned month, unsigned day);
void tg_date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);
/// ms of a wall clock in `zone`; false when there is no such date or time.
bool tg_ms_from_clock(int year, unsigned month, unsigned day, unsigned hour,
                      unsigned minute, unsigned second, int zone, int64_t *ms);

#endif
