// SPDX-License-Identifier: Apache-2.0
/// Objects and lists in JSON, member by member: the comma is set by what stands before.
#ifndef TG_ADMIN_WRITE_H
#define TG_ADMIN_WRITE_H

#include "base/json.h"

static inline void tg_put_comma(tg_buf *b)
{
    if (b->len > 0 && strchr("{[:\n", b->at[b->len - 1]) == NULL)
        tg_buf_putc(b, ',');
}
/// @param key NULL in a list.
static inline void tg_put_key(tg_buf *b, const char *key)
{
    tg_put_comma(b);
    if (key == NULL)
        return;
    tg_json_str(b, tg_str(key));
    tg_buf_putc(b, ':');
}
static inline void tg_put_open(tg_buf *b, const char *key, char bracket)
{
    tg_put_key(b, key);
    tg_buf_putc(b, bracket);
}
static inline void tg_put_close(tg_buf *b, char bracket)
{
    tg_buf_putc(b, bracket);
}
static inline void tg_put_slice(tg_buf *b, const char *key, tg_slice text)
{
    tg_put_key(b, key);
    tg_json_str(b, text);
}
static inline void tg_put_str(tg_buf *b, const char *key, const char *text)
{
    tg_put_slice(b, key, tg_str(text != NULL ? text : ""));
}
static inline void tg_put_int(tg_buf *b, const char *key, int64_t n)
{
    tg_put_key(b, key);
    tg_json_int(b, n);
}
static inline void tg_put_bool(tg_buf *b, const char *key, bool v)
{
    tg_put_key(b, key);
    tg_buf_puts(b, v ? "true" : "false");
}
/// `bytes` as text where they are UTF-8, else under "<key>_base64".
void tg_put_bytes(tg_buf *b, const char *key, tg_slice bytes);
void tg_put_hex(tg_buf *b, const char *key, tg_slice bytes);

/// @return false when `text` is no base64 (RFC 4648, with padding) or no hex digits.
bool tg_take_base64(tg_slice text, tg_buf *out);
bool tg_take_hex(tg_slice text, tg_buf *out);

#endif
