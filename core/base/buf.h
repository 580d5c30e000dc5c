// SPDX-License-Identifier: Apache-2.0
/// A growing byte buffer. A zeroed one is empty and valid; after a failed grow it is marked and
/// takes nothing more, so a row of puts needs one check at its end.
#ifndef TG_BASE_BUF_H
#define TG_BASE_BUF_H

#include "tidegate/types.h"

typedef struct tg_buf {
    char *at;
    size_t len, cap;
    bool failed;
} tg_buf;

void tg_buf_free(tg_buf *b);
void tg_buf_clear(tg_buf *b); ///< keeps the memory
char *tg_buf_grow(tg_buf *b, size_t more); ///< the slow half of tg_buf_reserve()
/// Room for `more` bytes behind the end. @return where to write, NULL when out of memory.
static inline char *tg_buf_reserve(tg_buf *b, size_t more)
{
    bool fits = b->at != NULL && more <= b->cap - b->len && !b->failed;
    return fits ? b->at + b->len : tg_buf_grow(b, more);
}
static inline void tg_buf_put(tg_buf *b, const void *at, size_t len)
{
    char *to = tg_buf_reserve(b, len);
    if (to == NULL || len == 0)
        return;
    memcpy(to, at, len);
    b->len += len;
}
static inline void tg_buf_putc(tg_buf *b, char c)
{
    char *to = tg_buf_reserve(b, 1);
    if (to == NULL)
        return;
    *to = c;
    b->len++;
}
void tg_buf_puts(tg_buf *b, const char *text);
TG_PRINTF(2, 3) void tg_buf_printf(tg_buf *b, const char *fmt, ...);
void tg_buf_drop(tg_buf *b, size_t n); ///< takes `n` bytes off the front
static inline tg_slice tg_buf_slice(const tg_buf *b)
{
    return (tg_slice){b->at, b->len};
}

#endif
