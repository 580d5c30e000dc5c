// SPDX-License-Identifier: Apache-2.0
/// Durations and sizes as people write them, there and back.
#ifndef TG_BASE_QUANTITY_H
#define TG_BASE_QUANTITY_H

#include "base/buf.h"

/// From seconds to ms. @return TG_E_INVAL: negative, or more than fits.
int64_t tg_seconds_to_ms(double seconds);
/// The largest unit that leaves no rest: 90000 is "90s", 65536 is "64KiB".
void tg_put_duration(tg_buf *b, int64_t ms);
void tg_put_size(tg_buf *b, int64_t bytes);

#endif
