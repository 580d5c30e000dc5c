// SPDX-License-Identifier: Apache-2.0
// Any bytes under a layout with all there is: they decode or are refused, become JSON that can
// be read, and what was decoded without a flaw encodes to bytes that decode to the same JSON.
// covers: core/codec/layout_decode.c core/codec/layout_bytes.c core/codec/layout_nest.c core/codec/layout_tape.c core/codec/layout_time.c core/codec/layout_note.c core/codec/layout_encode.c core/codec/layout_write.c
#include <assert.h>

#include "codec/json_read.h"
#include "codec/layout.h"
#include "planted.h"

static const char KINDS[] =
    "k:u8 v:u16be*0.01 ?0xFFFF=bad t:time6 lat:i32be/1800000~6 minus s=1 _:u16le(s:1 c:9 "
    "in 0..360 i:i6) n:u8 l:[n]{ a:u24be b?:i8-40 x:hex[1] if a=5 } z:utf8[z] r:rest";
static const char TEXT[] = "_n:u8 g:gbk[_n] w:utf16be[u8] d:dec[3]*0.1 b:bcd[2] f:f32be "
                           "g2:f64le u:unix32be m:u8{0=off 1=on} flags:u32be";
static const char SIZES[] = "e:u16be set{0=a 3=b} h:sized[u8]{ a:u8 o?:u16be q:[*]u8 } "
                            "t:bcdtime@+08:00 c:bytes[*-2] crc:u16be";
static const char NESTS[] =
    "m:[2][3]u8 _m:u8=0x23 p:{ q:{ r:i64be s:u64le*3 } } y:unixms64le b:bool i:i40be";
static const char *const TEXTS[] = {KINDS, TEXT, SIZES, NESTS};

static void note(void *ctx, const tg_field_note *n)
{
    *(size_t *)ctx += n->length + n->name.len;
}

static int to_json(const tg_layout *l, tg_tape *t, tg_slice s, tg_buf *json)
{
    size_t next = 0, sum = 0;
    tg_error e;
    const tg_decode_how how = {-270, true};
    int rc = tg_layout_decode(l, s, 0, &how, t, &next, &e);
    assert(next <= s.len);
    assert(tg_tape_json(l, t, s, json) == 0 &&
           tg_tape_notes(l, t, s, 0, 0, note, &sum) == 0);
    return rc;
}

/// Bytes that were left out or had no meaning come back in another form: only what decodes
/// again to the same JSON can be asked for.
static void and_back(const tg_layout *l, tg_tape *t, tg_slice json)
{
    tg_arena a = {0};
    tg_value v;
    tg_buf bytes = {0}, again = {0};
    const tg_decode_how how = {-270, true};
    assert(tg_json_read(json, &a, &v, NULL) == 0);
    if (tg_layout_encode_value(l, &v, &how, &bytes, NULL) == 0) {
        PLANTED(bytes.len > 12 && bytes.at[bytes.len / 2] == 'P');
        assert(to_json(l, t, tg_buf_slice(&bytes), &again) == 0);
        assert(again.len > 0);
    }
    tg_buf_free(&bytes);
    tg_buf_free(&again);
    tg_arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tg_layout *layouts[4];
    tg_tape *t = tg_tape_new();
    tg_buf json = {0};
    if (size > 0) {
        tg_layout **l = &layouts[data[0] % 4];
        if (*l == NULL)
            assert(tg_layout_compile(tg_str(TEXTS[data[0] % 4]), l, NULL) == 0);
        tg_slice s = {(const char *)data + 1, size - 1};
        if (to_json(*l, t, s, &json) == 0 && tg_tape_flaws(t) == 0)
            and_back(*l, t, tg_buf_slice(&json));
    }
    tg_buf_free(&json);
    tg_tape_free(t);
    return 0;
}
