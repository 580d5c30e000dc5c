// SPDX-License-Identifier: Apache-2.0
/// The search behind tg_nearest(), name by name, for those who have no array of names.
#ifndef TG_BASE_NEAR_H
#define TG_BASE_NEAR_H

#include "tidegate/types.h"

typedef struct tg_near {
    tg_slice word;
    const char *name; ///< the best so far; NULL: none was near
    unsigned distance;
} tg_near;

void tg_near_try(tg_near *n, const char *name);

#endif
