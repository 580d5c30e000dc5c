// SPDX-License-Identifier: Apache-2.0
// Rows are collected without order up to twice the page, then sorted and cut to it: n log n
// over the page's size for each page's worth of rows, and no heap to keep in order.
#include "admin/page.h"

#include <stdlib.h>

void tg_page_init(tg_page *p, tg_slice cursor, size_t limit)
{
    *p = (tg_page){.limit = limit + 1, .cursor = cursor};
}

static void drop(tg_row *row)
{
    free(row->key);
    tg_buf_free(&row->json);
}

void tg_page_free(tg_page *p)
{
    for (size_t i = 0; i < p->count; i++)
        drop(&p->rows[i]);
    free(p->rows);
    *p = (tg_page){0};
}

static int compare(tg_slice a, tg_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.at, b.at, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static tg_slice key_of(const tg_row *row)
{
    return (tg_slice){row->key, row->len};
}

static int by_key(const void *a, const void *b)
{
    return compare(key_of(a), key_of(b));
}

/// Sorts, makes one of equal keys, and drops what is behind the page.
static void settle(tg_page *p)
{
    if (p->count == 0)
        return;
    qsort(p->rows, p->count, sizeof(tg_row), by_key);
    size_t kept = 0;
    for (size_t i = 1; i < p->count; i++) {
        if (by_key(&p->rows[kept], &p->rows[i]) == 0) {
            drop(&p->rows[i]);
        } else {
            p->rows[++kept] = p->rows[i];
        }
    }
    p->count = kept + 1;
    while (p->count > p->limit)
        drop(&p->rows[--p->count]);
}

/// @return room for one more row.
static bool grow(tg_page *p)
{
    if (p->count == 2 * p->limit)
        settle(p);
    if (p->count < p->cap)
        return true;
    size_t cap = p->cap > 0 ? 2 * p->cap : 64;
    tg_row *rows = realloc(p->rows, cap * sizeof(*rows));
    if (rows == NULL)
        return false;
    p->rows = rows;
    p->cap = cap;
    return true;
}

tg_row *tg_page_add(tg_page *p, tg_slice key)
{
    if (p->cursor.len > 0 && compare(key, p->cursor) <= 0)
        return NULL;
    char *copy = malloc(key.len + 1);
    if (copy == NULL || !grow(p)) {
        free(copy);
        p->failed = true;
        return NULL;
    }
    if (key.len > 0)
        memcpy(copy, key.at, key.len);
    copy[key.len] = '\0';
    tg_row *row = &p->rows[p->count++];
    *row = (tg_row){.key = copy, .len = key.len};
    return row;
}

void tg_page_merge(tg_page *p, tg_page *from)
{
    p->failed |= from->failed;
    for (size_t i = 0; i < from->count; i++) {
        if (grow(p))
            p->rows[p->count++] = from->rows[i];
        else
            p->failed = true, drop(&from->rows[i]);
    }
    from->count = 0;
}

bool tg_page_finish(tg_page *p)
{
    settle(p);
    bool more = p->count == p->limit;
    if (more)
        drop(&p->rows[--p->count]);
    return more;
}
