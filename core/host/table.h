// SPDX-License-Identifier: Apache-2.0
/// Tables for people, from lists of JSON objects.
#ifndef TG_HOST_TABLE_H
#define TG_HOST_TABLE_H

#include "base/value.h"

typedef enum tg_column_kind {
    TG_COLUMN_TEXT,
    TG_COLUMN_NUMBER, ///< to the right
    TG_COLUMN_BYTES, ///< "1.5 MiB"
    TG_COLUMN_SINCE, ///< ms since the epoch, as how long ago: "3m 12s"
    TG_COLUMN_YES, ///< a boolean: "yes" or "-"
} tg_column_kind;

typedef struct tg_column {
    const char *title; ///< NULL ends the columns
    const char *key;
    uint8_t kind; ///< tg_column_kind
} tg_column;

/// @param items a list of maps. `nothing` is said instead of an empty table.
void tg_table_print(const tg_value *items, const tg_column *columns, const char *nothing);
/// One value as its column shows it, with control characters escaped.
void tg_table_cell(tg_buf *b, const tg_value *v, tg_column_kind kind);
/// "3m 12s", from ms.
void tg_table_span(tg_buf *b, int64_t ms);

#endif
