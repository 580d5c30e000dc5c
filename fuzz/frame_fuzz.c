// SPDX-License-Identifier: Apache-2.0
// A stream gives the same frames in one piece and cut anywhere, never takes more than there is,
// and never waits with more than its largest frame. The first byte picks the declaration.
// covers: core/codec/frame.c core/codec/frame_step.c core/codec/checksum.c
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "codec/frame.h"
#include "planted.h"

#define CRC16 .check = TG_CHECK_CRC16_X25, .check_be = 1, .check_from = 2, .check_tail = 2
static const tg_frame FORMS[][2] = {
    {{.size = sizeof(tg_frame),
      .kind = TG_FRAME_LENGTH,
      CRC16,
      .size_width = 1,
      .size_be = 1,
      .magic = {"xx", 2},
      .trailer = {"\r\n", 2},
      .size_at = 2,
      .size_adjust = 2,
      .max = 60},
     {.size = sizeof(tg_frame),
      .kind = TG_FRAME_LENGTH,
      .size_width = 2,
      .magic = {"yy", 2},
      .trailer = {"\r\n", 2},
      .size_at = 2,
      .max = 60}},
    {{.size = sizeof(tg_frame),
      .kind = TG_FRAME_ESCAPED,
      .check = TG_CHECK_XOR8,
      .escape = 0x7D,
      .nescapes = 2,
      .escapes = {{2, 0x7E}, {1, 0x7D}},
      .magic = {"~", 1},
      .min = 4,
      .max = 60}},
    {{.size = sizeof(tg_frame),
      .kind = TG_FRAME_DELIMITER,
      .check = TG_CHECK_SUM8,
      .magic = {"$", 1},
      .trailer = {"##;", 3},
      .max = 40}},
    {{.size = sizeof(tg_frame), .kind = TG_FRAME_LINE, .max = 20}},
    {{.size = sizeof(tg_frame), .kind = TG_FRAME_FIXED, .magic = {"A", 1}, .max = 5},
     {.size = sizeof(tg_frame),
      .kind = TG_FRAME_LENGTH,
      .size_width = 1,
      .magic = {"nn", 2},
      .counted_at = 2,
      .size_at = 3,
      .max = 60}},
    {{.size = sizeof(tg_frame),
      .kind = TG_FRAME_LENGTH,
      .size_width = 0,
      .size_at = 1,
      .max = 50}},
};

/// All frames of `s`, `piece` bytes at a time, each with its length in front.
static void read_all(const tg_framer *f, tg_slice s, size_t piece, tg_buf *frames)
{
    tg_buf stream = {0};
    char scratch[64];
    size_t from = 0;
    for (size_t at = 0; at < s.len; at += piece) {
        tg_buf_put(&stream, s.at + at, s.len - at < piece ? s.len - at : piece);
        for (;;) {
            tg_framed got;
            tg_step step = tg_framer_step(f, tg_buf_slice(&stream), scratch, &from, &got);
            assert(got.used <= stream.len && (step == TG_STEP_MORE || got.used > 0));
            if (step == TG_STEP_FRAME) {
                PLANTED(got.frame.len > 4 && got.frame.at[got.frame.len / 2] == 'P');
                tg_buf_put(frames, &got.frame.len, sizeof(got.frame.len));
                tg_buf_put(frames, got.frame.at, got.frame.len);
            }
            tg_buf_drop(&stream, got.used);
            if (step == TG_STEP_MORE)
                break;
        }
        assert(stream.len <= tg_framer_max(f) &&
               tg_framer_give_up(f, tg_buf_slice(&stream)) <= stream.len);
    }
    tg_buf_free(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_framer *f = NULL;
    if (size < 2)
        return 0;
    const tg_frame *forms = FORMS[data[0] % 6];
    assert(tg_framer_new(forms, forms[1].size > 0 ? 2 : 1, &f, NULL) == 0);
    tg_slice s = {(const char *)data + 2, size - 2};
    tg_buf whole = {0}, cut = {0};
    read_all(f, s, s.len > 0 ? s.len : 1, &whole);
    read_all(f, s, data[1] % 16 + 1u, &cut);
    assert(tg_slice_eq(tg_buf_slice(&whole), tg_buf_slice(&cut)));
    tg_buf_free(&whole);
    tg_buf_free(&cut);
    tg_framer_free(f);
    return 0;
}
