// SPDX-License-Identifier: Apache-2.0
/// Memory for the many small things of the router: no header per piece, and pages large enough
/// that a walk through millions of them seldom waits for an address translation. Used under
/// the writers' lock.
#ifndef TG_HUB_SLAB_H
#define TG_HUB_SLAB_H

#include <stddef.h>

#define TG_SLAB_CLASSES                                                                    \
    64 ///< pieces of up to 512 bytes, by eights; larger ones are malloc's

typedef struct tg_slab { ///< a zeroed one is empty
    void *free[TG_SLAB_CLASSES + 1];
    void *pages;
    char *at, *end; ///< of the chunk that is being cut
    void *chunks;
    size_t total;
} tg_slab;

#define TG_SLAB_PAGE 4096 ///< aligned to 128

void *tg_slab_alloc(tg_slab *s, size_t size); ///< NULL: out of memory
void tg_slab_free(tg_slab *s, void *p, size_t size);
void *tg_slab_page(tg_slab *s); ///< NULL: out of memory
void tg_slab_page_free(tg_slab *s, void *page); ///< NULL does nothing
void tg_slab_clear(
    tg_slab *s); ///< all chunks at once; pieces above 512 bytes are not in them

#endif
