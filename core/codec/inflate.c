// SPDX-License-Identifier: Apache-2.0
// A few bytes can claim to be gigabytes: the output grows with what was really made, a piece at
// a time, and ends at the caller's bound.
#include "codec/inflate.h"

#include <assert.h>
#include <zlib.h>

#define PIECE 4096
#define GZIP_OR_ZLIB (15 + 32)

/// @return 1 there is more; 0 it ended; TG_E_*
static int piece(z_stream *z, size_t room, tg_buf *out)
{
    size_t want = room < PIECE ? room : PIECE;
    char *to = tg_buf_reserve(out, want > 0 ? want : 1);
    if (to == NULL)
        return TG_E_NOMEM;
    z->next_out = (Bytef *)to;
    z->avail_out = (uInt)want;
    uInt had = z->avail_in;
    int rc = inflate(z, Z_NO_FLUSH);
    out->len += want - z->avail_out;
    if (rc == Z_STREAM_END)
        return 0;
    if (rc == Z_MEM_ERROR)
        return TG_E_NOMEM;
    if (rc != Z_OK && rc != Z_BUF_ERROR)
        return TG_E_MALFORMED;
    if (z->avail_out > 0 && z->avail_in == 0)
        return TG_E_MALFORMED; // it ends early
    if (room == 0 && z->avail_in == had)
        return TG_E_TOOBIG;
    return 1;
}

int tg_inflate(tg_slice data, size_t max, tg_buf *out)
{
    z_stream z = {0};
    size_t start = out->len;
    int rc = 1;
    assert(max <= TG_INFLATE_MAX);
    if (data.len > TG_INFLATE_MAX)
        return TG_E_TOOBIG;
    if (inflateInit2(&z, GZIP_OR_ZLIB) != Z_OK)
        return TG_E_NOMEM;
    z.next_in = (Bytef *)(uintptr_t)data.at;
    z.avail_in = (uInt)data.len;
    while (rc > 0)
        rc = piece(&z, max - (out->len - start), out);
    inflateEnd(&z);
    if (rc < 0)
        out->len = start;
    return rc;
}
