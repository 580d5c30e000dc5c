// SPDX-License-Identifier: Apache-2.0
/// One page of a long list that lies on all workers: each worker keeps the first rows after
/// the cursor of what it has, and the pages are then merged. A page needs memory for twice its
/// limit, however long the list is.
#ifndef TG_ADMIN_PAGE_H
#define TG_ADMIN_PAGE_H

#include "base/buf.h"

typedef struct tg_row {
    char *key;
    size_t len;
    tg_buf json; ///< the row's members, without braces
} tg_row;

typedef struct tg_page {
    tg_row *rows;
    size_t count, cap;
    size_t limit; ///< rows wanted
    tg_slice cursor; ///< only keys behind it; borrowed
    bool failed; ///< out of memory: what is there is not all
} tg_page;

/// @param limit of the list's page: one row more is kept, to know whether there is more.
void tg_page_init(tg_page *p, tg_slice cursor, size_t limit);
void tg_page_free(tg_page *p);
/// @return a new row for `key`, or NULL when it is not on this page (or memory is out). Valid
/// until the next call.
tg_row *tg_page_add(tg_page *p, tg_slice key);
/// Takes all rows of `from`. Of rows with the same key one is kept.
void tg_page_merge(tg_page *p, tg_page *from);
/// Sorts, and cuts to the limit. @return true: there is more behind the last row.
bool tg_page_finish(tg_page *p);

#endif
