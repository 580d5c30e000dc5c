// SPDX-License-Identifier: Apache-2.0
/// Inside of the framers: shared by choosing a form (frame.c) and running it (frame_step.c).
#ifndef TG_CODEC_FRAMER_H
#define TG_CODEC_FRAMER_H

#include "base/buf.h"
#include "codec/frame.h"

#define FRAMER_MAGIC 0xf4a3e101u
#define FRAMER_FORMS 16

struct tg_framer {
    uint32_t magic;
    uint32_t n;
    uint32_t max;
    uint32_t stall_ms;
    bool first[256]; ///< bytes that may begin a frame
    tg_frame form[FRAMER_FORMS];
    char bytes[]; ///< what the forms' magics and trailers point to
};

/// `*from` is a count of bytes and, above it, what a stream left behind it.
#define FROM_SKIP ((size_t)1 << 63) ///< in an oversize record: up to its end all is junk
#define FROM_OPEN ((size_t)1 << 62) ///< the flag that closed a frame may open the next one
#define FROM_FORM(f) ((size_t)(f) << 56)
#define FROM_COUNT (((size_t)1 << 56) - 1)
static inline uint32_t from_form(size_t from)
{
    return (uint32_t)(from >> 56) & (FRAMER_FORMS - 1);
}

/// Where from `at` on a magic begins, whole or cut off by the end; stream.len if nowhere.
size_t tg_framer_search(const tg_framer *f, tg_slice stream, size_t at);

tg_step tg_framer_run_length(const tg_framer *f, uint32_t form, tg_slice stream,
                             size_t *from, tg_framed *out);
tg_step tg_framer_run_fixed(const tg_framer *f, uint32_t form, tg_slice stream,
                            size_t *from, tg_framed *out);
tg_step tg_framer_run_ended(const tg_framer *f, uint32_t form, tg_slice stream,
                            size_t *from, tg_framed *out);
tg_step tg_framer_run_escaped(const tg_framer *f, uint32_t form, tg_slice stream,
                              char *scratch, size_t *from, tg_framed *out);
tg_step tg_framer_run_skip(const tg_framer *f, tg_slice stream, size_t *from,
                           tg_framed *out);

#endif
