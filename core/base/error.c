// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int tg_error_set(tg_error *e, int code, const char *fmt, ...)
{
    if (e == NULL)
        return code;
    e->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, args);
    va_end(args);
    return code;
}

int tg_error_prefix(tg_error *e, const char *fmt, ...)
{
    if (e == NULL)
        return TG_E_INVAL;
    char old[sizeof(e->message)];
    memcpy(old, e->message, sizeof(old));
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(e->message, sizeof(e->message), fmt, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < sizeof(e->message))
        snprintf(e->message + at, sizeof(e->message) - at, ": %.*s", (int)sizeof(old), old);
    return e->code;
}

const char *tg_error_name(int code)
{
    switch (code) {
#define X(name, value, text)                                                               \
    case value:                                                                            \
        return #name;
        TG_ERRORS(X)
#undef X
    default:
        return "ERROR";
    }
}

const char *tg_error_text(int code)
{
    switch (code) {
#define X(name, value, text)                                                               \
    case value:                                                                            \
        return text;
        TG_ERRORS(X)
#undef X
    default:
        return "error";
    }
}
