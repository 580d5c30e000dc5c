// SPDX-License-Identifier: Apache-2.0
/// Layouts: a declared record compiled once into a program that decodes, encodes, explains and
/// documents it. Decoding writes a flat tape of items, which its reader turns into a table,
/// into JSON or into lines for people; there is no second description of the bytes.
/// The language is described in docs/layouts.md.
#ifndef TG_CODEC_LAYOUT_H
#define TG_CODEC_LAYOUT_H

#include "base/buf.h"
#include "base/error.h"
#include "tidegate/adapter.h"

typedef struct tg_layout tg_layout; ///< immutable, shared by all threads
typedef struct tg_tape tg_tape; ///< reused; one thread

// ---- compile ------------------------------------------------------------------------------

/// Errors: "line 2, column 7: expected a type, found 'u61be'; did you mean 'u16be'?"
int tg_layout_compile(tg_slice text, tg_layout **out, tg_error *e);

/// A list of tag, length, value as a layout of its own.
typedef struct tg_tlv_head {
    uint8_t tag_width, tag_be; ///< 1 to 4 bytes
    uint8_t length_width, length_be; ///< 1 to 4 bytes
    bool length_first;
    bool counts_tag, counts_length; ///< the length counts these bytes, too
} tg_tlv_head;
/// Items of a later text replace those of earlier ones with the same tag: a vendor's overlay.
/// Errors begin with "items" or "overlay 1: " ….
int tg_layout_compile_tlv(const tg_tlv_head *head, const tg_slice *texts, size_t n,
                          tg_layout **out, tg_error *e);

tg_layout *tg_layout_ref(tg_layout *l);
void tg_layout_unref(tg_layout *l);

/// What a reader of tapes knows of field `i`. [0] is the layout itself.
typedef struct tg_layout_field {
    tg_slice name; ///< empty for an element of a list
    tg_slice key; ///< "name": with the quotes and the colon, as JSON has it
    tg_slice raw_key; ///< "name_raw":
    uint8_t digits; ///< of INT items: value × 10^-digits
    uint8_t charset; ///< of TEXT items: tg_charset
    uint8_t raw_hex; ///< its raw form is the bytes, not the number
    uint8_t
        trim; ///< of TEXT items: 0 nothing, 1 trailing NULs, 2 spaces on both sides, too
    uint16_t members; ///< of records: how many they show at most
} tg_layout_field;
const tg_layout_field *tg_layout_fields(const tg_layout *l, uint32_t *n);

// ---- decode -------------------------------------------------------------------------------

typedef enum tg_item_kind {
    TG_ITEM_NONE, ///< nothing to show: absent, no meaning, or skipped
    TG_ITEM_INT, ///< value × 10^-digits
    TG_ITEM_UINT, ///< raw, above INT64_MAX
    TG_ITEM_NUM, ///< number
    TG_ITEM_BOOL, ///< value
    TG_ITEM_WORD, ///< value: for tg_layout_word()
    TG_ITEM_SET, ///< raw: the bits; words by tg_layout_bit()
    TG_ITEM_TEXT, ///< the bytes, in the field's charset
    TG_ITEM_HEX,
    TG_ITEM_BCD,
    TG_ITEM_BYTES,
    TG_ITEM_TIME, ///< value: ms since 1970 UTC; zone: minutes to show it in
    TG_ITEM_MAP, ///< value: index of its CLOSE; raw: members
    TG_ITEM_LIST, ///< value: index of its CLOSE; raw: elements
    TG_ITEM_CLOSE,
} tg_item_kind;

enum {
    TG_ITEM_HIDDEN = 1 << 0, ///< for notes only
    TG_ITEM_BAD = 1 << 1, ///< the bytes make no value: only the raw form is shown
    TG_ITEM_RAW = 1 << 2, ///< the raw form is shown beside the value
    TG_ITEM_UNKNOWN = 1 << 3, ///< a tag that the layout does not know; raw: the tag
    TG_ITEM_TAIL = 1 << 4, ///< bytes behind the last whole item of a tlv
};

typedef struct tg_item {
    uint32_t at, len; ///< bytes, from the start of what was decoded
    uint16_t field;
    uint8_t kind, flags;
    uint16_t repeat; ///< of a tlv's item: how often its tag came before
    int16_t zone; ///< TIME
    int64_t raw; ///< the number on the wire
    union {
        int64_t value;
        double number;
    };
} tg_item;

#define TG_TAPE_MAX 65536 ///< items; a decode that needs more answers TG_E_LIMIT

tg_tape *tg_tape_new(void);
void tg_tape_free(tg_tape *t);
const tg_item *tg_tape_items(const tg_tape *t, uint32_t *n);
uint32_t tg_tape_flaws(const tg_tape *t); ///< items that are BAD

typedef struct tg_decode_how {
    int16_t zone; ///< minutes east of UTC of clocks that name no zone themselves
    bool hidden; ///< hidden fields are on the tape, too: for notes
} tg_decode_how;

/// Decodes what begins at `pos`. @param how NULL: UTC. @return 0 and where it ended in `next`;
/// TG_E_MALFORMED when the bytes end too early or a constant differs, with the field in `e` and
/// on the tape what was whole before it.
int tg_layout_decode(const tg_layout *l, tg_slice bytes, size_t pos,
                     const tg_decode_how *how, tg_tape *t, size_t *next, tg_error *e);

tg_slice tg_layout_word(const tg_layout *l, int64_t value);
uint32_t tg_layout_words(const tg_layout *l); ///< how many there are
/// The word for bit `bit` of a SET, empty for one without.
tg_slice tg_layout_bit(const tg_layout *l, uint16_t field, unsigned bit);
/// The key of an unknown, repeated or trailing item, or of the raw form if `raw`, in `text`.
tg_slice tg_item_key(const tg_layout *l, const tg_item *i, bool raw, char text[300]);

// ---- what tapes are read into ---------------------------------------------------------------

/// The tape as one JSON object, members in wire order. @return 0 or TG_E_NOMEM.
int tg_tape_json(const tg_layout *l, const tg_tape *t, tg_slice bytes, tg_buf *out);
/// The same without its braces, to go on with members of one's own.
int tg_tape_members(const tg_layout *l, const tg_tape *t, tg_slice bytes, tg_buf *out);
/// A time as ISO 8601, "2026-06-01T20:02:00+08:00", with Z when `zone` is 0. At most 40 bytes.
size_t tg_iso_write(int64_t ms, int zone, char *to);
/// @return TG_E_MALFORMED; without a zone in the text `zone` stays as it was.
int tg_iso_read(tg_slice text, int64_t *ms, int *zone);

/// Each item as a line for people, offsets plus `base`, nested `depth` deep.
int tg_tape_notes(const tg_layout *l, const tg_tape *t, tg_slice bytes, uint32_t base,
                  uint32_t depth, void (*emit)(void *ctx, const tg_field_note *note),
                  void *ctx);
/// The BAD items, one "name: why" each. @return what `each` was called with.
uint32_t tg_tape_each_flaw(const tg_layout *l, const tg_tape *t,
                           void (*each)(void *ctx, tg_slice text), void *ctx);

// ---- encode -------------------------------------------------------------------------------

/// Where encode takes values from: a cursor in a tree of named values. Slices in `out` are
/// borrowed until the next call.
typedef struct tg_source {
    /// The member for `field` of the open map, or with `index` > 0 the element of the open list.
    void (*get)(void *ctx, uint32_t field, int64_t index, tg_value *out);
    /// Goes into that member; false when it is missing or no table.
    bool (*open)(void *ctx, uint32_t field, int64_t index);
    void (*close)(void *ctx);
    int64_t (*count)(void *ctx); ///< elements of the open list
    /// The member that holds the raw form of `field`: what makes no value goes back as it came.
    void (*raw)(void *ctx, uint32_t field, tg_value *out);
    /// The open map's `i`th member with a text as its key, a table as TG_MAP; false behind
    /// the last.
    bool (*member)(void *ctx, uint32_t i, tg_slice *key, tg_value *out);
    bool (*open_member)(void *ctx, uint32_t i); ///< goes into that one
} tg_source;

/// Appends the record. Counts and lengths that are not given follow from what they count.
/// @return TG_E_INVAL with the field: "speed: 300 is outside 0..255", `out` as long as before.
int tg_layout_encode(const tg_layout *l, const tg_source *from, void *ctx,
                     const tg_decode_how *how, tg_buf *out, tg_error *e);
/// The same from a tree of values.
int tg_layout_encode_value(const tg_layout *l, const tg_value *v, const tg_decode_how *how,
                           tg_buf *out, tg_error *e);

// ---- documentation ------------------------------------------------------------------------

/// A row of the field reference.
typedef struct tg_layout_row {
    uint32_t depth;
    int32_t offset; ///< from the record's start; -1 depends on the bytes before
    tg_slice name, type, unit, note;
    uint32_t field;
} tg_layout_row;
/// What a row's number is made of: "×0.1 −40", "÷1000000"; empty where it is its own value.
void tg_layout_scale(const tg_layout *l, uint32_t field, tg_buf *out);
/// Its words: "0 off, 1 on", "bit 0 gps"; empty without any.
void tg_layout_values(const tg_layout *l, uint32_t field, tg_buf *out);
/// The tag of an item of a list. @return false: it is none
bool tg_layout_tag(const tg_layout *l, uint32_t field, uint32_t *tag);
/// May it be missing, or does it need a condition?
bool tg_layout_may_miss(const tg_layout *l, uint32_t field);
void tg_layout_rows(const tg_layout *l, void (*each)(void *ctx, const tg_layout_row *row),
                    void *ctx);

#endif
