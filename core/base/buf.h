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
/// Room for `more` bytes behind the end. @return where to write, NULL when out of memory.
char *tg_buf_reserve(tg_buf *b, size_t more);
void tg_buf_put(tg_buf *b, const void *at, size_t len);
void tg_buf_putc(tg_buf *b, char c);
void tg_buf_puts(tg_buf *b, const char *text);
TG_PRINTF(2, 3) void tg_buf_printf(tg_buf *b, const char *fmt, ...);
void tg_buf_drop(tg_buf *b, size_t n); ///< takes `n` bytes off the front
static inline tg_slice tg_buf_slice(const tg_buf *b)
{
    return (tg_slice){b->at, b->len};
}

#endif
