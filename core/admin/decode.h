// SPDX-License-Identifier: Apache-2.0
/// A frame explained, as JSON: what POST /decode answers and `decode --json` prints.
#ifndef TG_ADMIN_DECODE_H
#define TG_ADMIN_DECODE_H

#include "plugin/runtime.h"

/// Appends {"adapter", "fields": [{depth, offset, length, name, raw, value}], "error"?}. What
/// was understood before a malformed place is shown, with the error behind it. @return 0, or
/// why nothing could be explained.
int tg_decode_json(tg_runtime *rt, const char *adapter, tg_slice frame, tg_buf *out,
                   tg_error *e);

#endif
