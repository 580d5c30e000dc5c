// SPDX-License-Identifier: Apache-2.0
// Compressed bytes: both forms, bounds, and what is no such data.
#include <stdlib.h>
#include <zlib.h>

#include "codec/inflate.h"
#include "../../support/check.h"

/// `n` bytes of 'a' to 'z', or of 'a' alone. @param bits as deflateInit2 has them
static size_t compress_it(size_t n, bool same, int bits, char *to, size_t room)
{
    z_stream z = {0};
    char *from = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        from[i] = same ? 'a' : (char)('a' + i % 26);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)from;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    free(from);
    return room - z.avail_out;
}

static void both_forms_are_read(void **state)
{
    (void)state;
    static const int bits[] = {15 + 16, 15};
    char packed[4096];
    for (int k = 0; k < 2; k++)
        for (size_t n = 0; n < 20000; n = n * 3 + 1) {
            tg_buf out = {0};
            size_t len = compress_it(n, false, bits[k], packed, sizeof(packed));
            tg_buf_puts(&out, "x");
            assert_int_equal(tg_inflate((tg_slice){packed, len}, 20000, &out), 0);
            assert_int_equal(out.len, n + 1);
            assert_true(n == 0 || out.at[n] == (char)('a' + (n - 1) % 26));
            tg_buf_free(&out);
        }
}

static void no_more_is_made_than_allowed(void **state)
{
    (void)state;
    static char packed[32 * 1024];
    size_t len = compress_it(16 << 20, true, 15 + 16, packed, sizeof(packed));
    tg_buf out = {0};
    assert_int_equal(tg_inflate((tg_slice){packed, len}, 65536, &out), TG_E_TOOBIG);
    assert_int_equal(out.len, 0);
    assert_true(out.cap <= 4 * 65536);
    len = compress_it(5000, false, 15, packed, sizeof(packed));
    assert_int_equal(tg_inflate((tg_slice){packed, len}, 4999, &out), TG_E_TOOBIG);
    assert_int_equal(tg_inflate((tg_slice){packed, len}, 5000, &out), 0);
    assert_int_equal(tg_inflate((tg_slice){packed, len}, 0, &out), TG_E_TOOBIG);
    assert_int_equal(out.len, 5000);
    tg_buf_free(&out);
}

static void what_is_cut_or_changed_is_none(void **state)
{
    (void)state;
    char packed[512];
    size_t len = compress_it(300, false, 15 + 16, packed, sizeof(packed));
    tg_buf out = {0};
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(tg_inflate((tg_slice){packed, cut}, 1000, &out), TG_E_MALFORMED);
    packed[len - 6] = (char)(packed[len - 6] ^ 1); // in the checksum
    assert_int_equal(tg_inflate((tg_slice){packed, len}, 1000, &out), TG_E_MALFORMED);
    assert_int_equal(tg_inflate(TG_LIT("no gzip data"), 1000, &out), TG_E_MALFORMED);
    assert_int_equal(out.len, 0);
    tg_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_forms_are_read),
                                       cmocka_unit_test(no_more_is_made_than_allowed),
                                       cmocka_unit_test(what_is_cut_or_changed_is_none)};
    return RUN(tests);
}
