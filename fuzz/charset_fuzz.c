// SPDX-License-Identifier: Apache-2.0
// Any bytes in any charset become valid UTF-8; text that was whole keeps its characters when it
// goes there and back. The first byte picks the charset.
// covers: core/codec/charset.c
#include <assert.h>

#include "codec/charset.h"
#include "planted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_buf text = {0}, bytes = {0}, again = {0};
    if (size < 1)
        return 0;
    tg_charset cs = (tg_charset)(data[0] % (TG_CHARSET_UTF16LE + 1));
    tg_slice s = {(const char *)data + 1, size - 1};
    int bad = tg_charset_decode(cs, s, &text);
    assert(bad >= 0 && tg_utf8_valid(tg_buf_slice(&text)));
    int lost = tg_charset_encode(cs, tg_buf_slice(&text), &bytes);
    assert(lost >= 0 && (bad > 0 || lost == 0 || cs == TG_CHARSET_GBK));
    if (bad == 0 && lost == 0) {
        PLANTED(text.len > size && text.at[0] == '\xe4');
        assert(tg_charset_decode(cs, tg_buf_slice(&bytes), &again) == 0);
        assert(tg_slice_eq(tg_buf_slice(&again), tg_buf_slice(&text)));
    }
    assert(tg_charset_encode(cs, s, &bytes) >= 0);
    tg_buf_free(&text);
    tg_buf_free(&bytes);
    tg_buf_free(&again);
    return 0;
}
