// SPDX-License-Identifier: Apache-2.0
// Lists of tag, length, value: never an error, whatever the bytes; what is not understood stays
// as it came, so all bytes of a list without repeated tags come back when it is encoded.
// covers: core/codec/layout_nest.c
#include <assert.h>
#include <string.h>

#include "codec/json_read.h"
#include "codec/layout.h"
#include "planted.h"

static const char ITEMS[] =
    "0x01 mileage:u32be*0.1 0x02 fuel:u16be 0x03 n:u8 0x10 name:latin1[*]!keep 0x11 sub:{ "
    "a:u8 "
    "b?:u16le } "
    "0x12 in_it:tlv(u16be u8 length_first counts_tag){ 0x23 x:u8 0x24 y:hex[2] }";
static const char OVERLAY[] = "0x02 fuel:{ level:u8 kind:u8 } 0xE1 battery:u8*0.5";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tg_layout *lists[2];
    const tg_tlv_head heads[] = {{.tag_width = 1, .length_width = 1},
                                 {.tag_width = 2,
                                  .tag_be = 1,
                                  .length_width = 2,
                                  .length_be = 1,
                                  .counts_tag = true,
                                  .counts_length = true}};
    const tg_slice texts[] = {TG_LIT(ITEMS), TG_LIT(OVERLAY)};
    if (size < 1)
        return 0;
    unsigned which = data[0] & 1;
    if (lists[which] == NULL)
        assert(tg_layout_compile_tlv(&heads[which], texts, 2, &lists[which], NULL) == 0);
    tg_slice s = {(const char *)data + 1, size - 1};
    tg_tape *t = tg_tape_new();
    tg_buf json = {0}, back = {0};
    tg_arena a = {0};
    tg_value v;
    size_t next = 0;
    int rc = tg_layout_decode(lists[which], s, 0, NULL, t, &next, NULL);
    assert(rc == 0 ? next == s.len : rc == TG_E_LIMIT);
    assert(tg_tape_json(lists[which], t, s, &json) == 0);
    assert(tg_json_read(tg_buf_slice(&json), &a, &v, NULL) == 0 && v.kind == TG_MAP);
    bool repeats = memmem(json.at, json.len, "_2\":", 4) != NULL;
    if (rc == 0 && tg_tape_flaws(t) == 0 && !repeats &&
        tg_layout_encode_value(lists[which], &v, NULL, &back, NULL) == 0) {
        PLANTED(v.map.count > 3);
        assert(back.len == s.len);
    }
    tg_buf_free(&json);
    tg_buf_free(&back);
    tg_arena_free(&a);
    tg_tape_free(t);
    return 0;
}
