// SPDX-License-Identifier: Apache-2.0
/// Who sessions are: a user and attributes. All devices of one adapter and tenant are the same
/// in this, and there are many: so equal ones are one object, which the hub counts. Any thread.
#ifndef TG_HUB_WHO_H
#define TG_HUB_WHO_H

#include "base/value.h"

typedef struct tg_whos tg_whos;

typedef struct tg_who {
    tg_whos *of;
    struct tg_who *next; ///< with the same place in the table
    tg_value *attributes; ///< NULL none
    uint32_t hash, refs;
    uint8_t user_len;
    char user[];
} tg_who;

tg_whos *tg_whos_new(void); ///< @return NULL: out of memory
void tg_whos_free(tg_whos *t); ///< when no session is left

/// @param user its first 255 bytes, empty: anonymous. @param attributes NULL none; copied.
/// @return a reference; NULL: out of memory.
tg_who *tg_who_get(tg_whos *t, tg_slice user, const tg_value *attributes);
void tg_who_put(tg_who *w); ///< NULL is nobody

static inline tg_slice tg_who_user(const tg_who *w)
{
    return w != NULL ? (tg_slice){w->user, w->user_len} : (tg_slice){0};
}
static inline const tg_value *tg_who_attributes(const tg_who *w)
{
    return w != NULL ? w->attributes : NULL;
}

#endif
