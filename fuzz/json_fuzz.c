// SPDX-License-Identifier: Apache-2.0
// What reads as JSON is written again and reads as the same.
// covers: core/codec/json_read.c core/base/json.c
#include <assert.h>

#include "base/json.h"
#include "codec/json_read.h"
#include "planted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_arena a = {0}, b = {0};
    tg_value v, w;
    tg_buf out = {0}, again = {0};
    if (tg_json_read((tg_slice){(const char *)data, size}, &a, &v, NULL) == 0) {
        PLANTED(v.kind == TG_MAP && v.map.count > 1);
        tg_json_value(&out, &v);
        assert(tg_json_read(tg_buf_slice(&out), &b, &w, NULL) == 0);
        tg_json_value(&again, &w);
        assert(tg_slice_eq(tg_buf_slice(&out), tg_buf_slice(&again)));
    }
    tg_buf_free(&out);
    tg_buf_free(&again);
    tg_arena_free(&a);
    tg_arena_free(&b);
    return 0;
}
