// SPDX-License-Identifier: Apache-2.0
/// Errors with words: a code of the ABI's table and a message for a person, filled by the
/// function that knows best what went wrong.
#ifndef TG_BASE_ERROR_H
#define TG_BASE_ERROR_H

#include "tidegate/types.h"

typedef struct tg_error {
    int code; ///< TG_E_*; 0 none
    bool retry;
    char message[512];
} tg_error;

/// Writes the message (cut to fit). `e` may be NULL. @return `code`, for `return tg_error_set(…)`.
TG_PRINTF(3, 4) int tg_error_set(tg_error *e, int code, const char *fmt, ...);
/// Puts "<prefix>: " in front of the message. @return the code.
TG_PRINTF(2, 3) int tg_error_prefix(tg_error *e, const char *fmt, ...);
/// "NOMEM", …; "ERROR" for a number that is none.
const char *tg_error_name(int code);
/// "out of memory", …
const char *tg_error_text(int code);

#endif
