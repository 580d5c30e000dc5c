// SPDX-License-Identifier: Apache-2.0
// Growth doubles, so that a buffer filled byte by byte is copied a constant number of times.
// A failed grow keeps what was there and marks the buffer: writers check once, at their end.
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAP 64

void tg_buf_free(tg_buf *b)
{
    free(b->at);
    *b = (tg_buf){0};
}

void tg_buf_clear(tg_buf *b)
{
    b->len = 0;
    b->failed = false;
}

static bool grow(tg_buf *b, size_t need)
{
    size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
    while (cap < need) {
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    char *at = realloc(b->at, cap);
    if (at == NULL)
        return false;
    b->at = at;
    b->cap = cap;
    return true;
}

char *tg_buf_grow(tg_buf *b, size_t more)
{
    if (b->failed)
        return NULL;
    if (more > SIZE_MAX - b->len || !grow(b, b->len + more)) {
        b->failed = true;
        return NULL;
    }
    return b->at + b->len;
}

void tg_buf_puts(tg_buf *b, const char *text)
{
    tg_buf_put(b, text, strlen(text));
}

void tg_buf_printf(tg_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *to = len < 0 ? NULL : tg_buf_reserve(b, (size_t)len + 1);
    if (to != NULL) {
        vsnprintf(to, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    } else {
        b->failed = true;
    }
    va_end(again);
}

void tg_buf_drop(tg_buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    if (n == 0)
        return;
    memmove(b->at, b->at + n, b->len - n);
    b->len -= n;
}
