// SPDX-License-Identifier: Apache-2.0
/// Framers: a byte stream to whole frames, by declaration (tg_frame). Pure: no clock, no I/O.
#ifndef TG_CODEC_FRAME_H
#define TG_CODEC_FRAME_H

#include "base/error.h"
#include "tidegate/adapter.h"

/// Declared frames, checked and ready to run. Shared by all connections, any thread.
typedef struct tg_framer tg_framer;

/// Copies the declarations. @return TG_E_INVAL, and which member is wrong in `e`.
int tg_framer_new(const tg_frame *frames, uint32_t n, tg_framer **out, tg_error *e);
void tg_framer_free(tg_framer *f);
uint32_t tg_framer_max(const tg_framer *f); ///< largest whole frame, bytes

/// What a step over the stream found.
typedef enum tg_step {
    TG_STEP_MORE, ///< all of `used` is done with; more bytes are needed
    TG_STEP_FRAME, ///< `frame` is one
    TG_STEP_JUNK, ///< `used` bytes belong to no frame
    TG_STEP_CHECKSUM, ///< a whole frame with a wrong checksum: skipped
    TG_STEP_TOOBIG, ///< a size outside min..max: searching on behind its first byte
    TG_STEP_TRAILER, ///< the trailer is not where the size said: as TOOBIG
    TG_STEP_ESCAPE, ///< a wrong escape sequence: skipped to the next flag
} tg_step;

/// What `frame` is: LENGTH and FIXED frames whole, from magic to trailer; ESCAPED ones without
/// their flags, DELIMITER and LINE ones without their end.
typedef struct tg_framed {
    size_t used; ///< bytes to take off the stream, also with MORE
    tg_slice frame; ///< FRAME, CHECKSUM: unescaped; in the stream or in `scratch`
    uint32_t form; ///< FRAME: which declaration
    uint32_t found, computed; ///< CHECKSUM
} tg_framed;

/// Looks at the front of `stream`. `scratch` holds tg_framer_max() bytes; only escaped frames
/// use it. `from` is the framer's memory of a stream between calls: how far it has looked, so
/// that slow senders cost no quadratic time, and that it is skipping the rest of an oversize
/// line or has just seen a flag that may open the next frame, too. 0 when a stream begins;
/// after that keep it beside the bytes that are kept, and never change it.
tg_step tg_framer_step(const tg_framer *f, tg_slice stream, char *scratch, size_t *from,
                       tg_framed *out);
/// A started frame gave no more bytes for its stall_ms: what to skip to search on, at least 1
/// byte of a stream that is not empty. Start `from` at 0 again.
size_t tg_framer_give_up(const tg_framer *f, tg_slice stream);
uint32_t tg_framer_stall_ms(const tg_framer *f);

/// Wraps `body` for sending: escapes it (ESCAPED). Other kinds are copied as they are.
struct tg_buf;
int tg_framer_escape(const tg_framer *f, uint32_t form, tg_slice body, struct tg_buf *out);

uint32_t tg_checksum(tg_check check, tg_slice bytes);
uint32_t tg_check_size(tg_check check); ///< 0, 1, 2 or 4
/// "crc16/x25", … @return -1 for no such name.
int tg_check_from(tg_slice name);

#endif
