// SPDX-License-Identifier: Apache-2.0
// Names come from devices: whatever could move a cursor or forge a line is escaped.
#include "host/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"

#define COLUMNS 16

void tg_table_span(tg_buf *b, int64_t ms)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s < 60)
        tg_buf_printf(b, "%llds", (long long)s);
    else if (s < 3600)
        tg_buf_printf(b, "%lldm %llds", (long long)(s / 60), (long long)(s % 60));
    else if (s < 86400)
        tg_buf_printf(b, "%lldh %lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else
        tg_buf_printf(b, "%lldd %lldh", (long long)(s / 86400),
                      (long long)(s % 86400 / 3600));
}

static void put_since(tg_buf *b, int64_t then)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    tg_table_span(b, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - then);
}

static void put_bytes(tg_buf *b, int64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1024 && i < 4; i++)
        v /= 1024;
    tg_buf_printf(b, i == 0 ? "%.0f %s" : "%.1f %s", v, units[i]);
}

/// @return how many bytes at `at` are a control character: C0, DEL, or C1 as UTF-8 has it.
static size_t control(const char *at, size_t left)
{
    unsigned char c = (unsigned char)*at;
    if (c < 0x20 || c == 0x7f)
        return 1;
    return c == 0xc2 && left > 1 && (unsigned char)at[1] < 0xa0 ? 2 : 0;
}

static void put_text(tg_buf *b, tg_slice text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = control(text.at + i, text.len - i);
        if (n == 0)
            tg_buf_putc(b, text.at[i++]);
        for (; n > 0; n--)
            tg_buf_printf(b, "\\x%02x", (unsigned char)text.at[i++]);
    }
}

void tg_table_cell(tg_buf *b, const tg_value *v, tg_column_kind kind)
{
    if (v == NULL || v->kind == TG_NIL)
        return;
    if (v->kind == TG_STR)
        put_text(b, v->string);
    else if (v->kind == TG_BOOL)
        tg_buf_puts(b, v->boolean ? "yes" : "-");
    else if (v->kind == TG_INT && kind == TG_COLUMN_BYTES)
        put_bytes(b, v->integer);
    else if (v->kind == TG_INT && kind == TG_COLUMN_SINCE)
        put_since(b, v->integer);
    else
        tg_json_value(b, v);
}

/// Characters, not bytes; wide ones are not worth a table of their own.
static int width(const tg_buf *b, size_t from)
{
    int n = 0;
    for (size_t i = from; i < b->len; i++)
        n += ((unsigned char)b->at[i] & 0xc0) != 0x80;
    return n;
}

static int cell_width(const tg_value *item, const tg_column *c)
{
    tg_buf b = {0};
    tg_table_cell(&b, tg_value_get(item, c->key), (tg_column_kind)c->kind);
    int n = width(&b, 0);
    tg_buf_free(&b);
    return n;
}

static bool to_the_right(const tg_column *c)
{
    return c->kind == TG_COLUMN_NUMBER || c->kind == TG_COLUMN_BYTES;
}

/// Pads what was put since `from` to `wide`; the last column of a row ends where it ends.
static void pad(tg_buf *b, size_t from, int wide, const tg_column *c)
{
    int gap = wide - width(b, from);
    bool last = c[1].title == NULL;
    if (to_the_right(c)) {
        tg_buf text = {0};
        tg_buf_put(&text, b->at + from, b->len - from);
        b->len = from;
        tg_buf_printf(b, "%*s%.*s", gap > 0 ? gap : 0, "", (int)text.len, text.at);
        tg_buf_free(&text);
    } else if (!last) {
        tg_buf_printf(b, "%*s", gap > 0 ? gap : 0, "");
    }
    tg_buf_puts(b, last ? "\n" : "  ");
}

static void put_row(tg_buf *b, const tg_value *item, const tg_column *columns,
                    const int *widths)
{
    for (size_t i = 0; columns[i].title != NULL; i++) {
        size_t from = b->len;
        if (item != NULL)
            tg_table_cell(b, tg_value_get(item, columns[i].key),
                          (tg_column_kind)columns[i].kind);
        else
            tg_buf_puts(b, columns[i].title);
        pad(b, from, widths[i], &columns[i]);
    }
}

void tg_table_print(const tg_value *items, const tg_column *columns, const char *nothing)
{
    int widths[COLUMNS] = {0};
    tg_buf b = {0};
    size_t n = items != NULL && items->kind == TG_LIST ? items->list.count : 0;
    if (n == 0) {
        puts(nothing);
        return;
    }
    for (size_t c = 0; columns[c].title != NULL; c++) {
        widths[c] = (int)strlen(columns[c].title);
        for (size_t i = 0; i < n; i++) {
            int w = cell_width(&items->list.items[i], &columns[c]);
            widths[c] = w > widths[c] ? w : widths[c];
        }
    }
    put_row(&b, NULL, columns, widths);
    for (size_t i = 0; i < n; i++)
        put_row(&b, &items->list.items[i], columns, widths);
    fwrite(b.at, 1, b.len, stdout);
    tg_buf_free(&b);
}
