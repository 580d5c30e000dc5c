// SPDX-License-Identifier: Apache-2.0
/// Compressed bytes of devices, by zlib. Pure; any thread.
#ifndef TG_CODEC_INFLATE_H
#define TG_CODEC_INFLATE_H

#include "base/buf.h"

#define TG_INFLATE_MAX (1u << 20) ///< the most that `max` may be

/// Appends what `data`, gzip or zlib, was before it was compressed. Never more than `max` bytes
/// are made of it, whatever it claims.
/// @return 0; TG_E_TOOBIG: it is more; TG_E_MALFORMED: it is no such data, ends early, or has
///         the wrong checksum; TG_E_NOMEM. `out` is as it was unless 0.
int tg_inflate(tg_slice data, size_t max, tg_buf *out);

#endif
