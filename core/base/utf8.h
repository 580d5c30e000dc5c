// SPDX-License-Identifier: Apache-2.0
/// One UTF-8 sequence at a time, for the writers of JSON and logs.
#ifndef TG_BASE_UTF8_H
#define TG_BASE_UTF8_H

#include <stddef.h>

/// @return the length of the sequence at `p`, of which `left` > 0 bytes are there; 0 for a bad
/// one (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF).
static inline size_t tg_utf8_len(const char *at, size_t left)
{
    const unsigned char *p = (const unsigned char *)at;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if (p[0] == 0xe0 || p[0] == 0xf0)
        return p[1] < (p[0] == 0xe0 ? 0xa0 : 0x90) ? 0 : len;
    if (p[0] == 0xed || p[0] == 0xf4)
        return p[1] > (p[0] == 0xed ? 0x9f : 0x8f) ? 0 : len;
    return len;
}

#endif
