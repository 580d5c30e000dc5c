// SPDX-License-Identifier: Apache-2.0
// Pieces of one size are reused for that size alone: filters come and go in like shapes. A small
// router takes small chunks; beyond some megabytes they are of the size of a huge page and the
// kernel is asked for such. Chunks are kept until the end: what was needed once will be again.
#include "hub/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SMALL_CHUNK ((size_t)64 << 10)
#define LARGE_CHUNK ((size_t)2 << 20)
#define LARGE_FROM ((size_t)8 << 20) // in all: a new one is at most a quarter of that
#define LINE 128 // what the machine fetches at a time

struct chunk { // at its beginning
    struct chunk *next;
    size_t size;
};

static unsigned class_of(size_t size)
{
    return (unsigned)((size + 7) / 8);
}

#ifdef TG_SANITIZED // every piece is its own, so that a use after free is seen

void *tg_slab_alloc(tg_slab *s, size_t size)
{
    (void)s;
    (void)class_of;
    return malloc(size);
}

void tg_slab_free(tg_slab *s, void *p, size_t size)
{
    (void)s;
    (void)size;
    free(p);
}

void *tg_slab_page(tg_slab *s)
{
    (void)s;
    return aligned_alloc(LINE, TG_SLAB_PAGE);
}

void tg_slab_page_free(tg_slab *s, void *page)
{
    (void)s;
    free(page);
}

void tg_slab_clear(tg_slab *s)
{
    *s = (tg_slab){0};
}

#else

// Aligned to its size, or no huge page would fit.
static void *map_large(void)
{
    char *at = mmap(NULL, 2 * LARGE_CHUNK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = (LARGE_CHUNK - (uintptr_t)at % LARGE_CHUNK) % LARGE_CHUNK;
    if (before > 0)
        munmap(at, before);
    munmap(at + before + LARGE_CHUNK, LARGE_CHUNK - before);
    madvise(at + before, LARGE_CHUNK,
            MADV_HUGEPAGE); // a wish: without it all works, slower
    return at + before;
}

static int chunk_new(tg_slab *s)
{
    size_t size = s->total < LARGE_FROM ? SMALL_CHUNK : LARGE_CHUNK;
    struct chunk *c = size == LARGE_CHUNK ? map_large() : malloc(size);
    if (c == NULL)
        return -1;
    c->next = s->chunks;
    c->size = size;
    s->chunks = c;
    s->total += size;
    s->at = (char *)(c + 1);
    s->end = (char *)c + size;
    return 0;
}

// To the front of a list that runs through the free pieces.
static void push(void **list, void *p)
{
    *(void **)p = *list;
    *list = p;
}

static void *pop(void **list)
{
    void *p = *list;
    if (p != NULL)
        *list = *(void **)p;
    return p;
}

// `bytes` at the cut are left out; they serve smaller pieces later.
static void pass_by(tg_slab *s, size_t bytes)
{
    size_t k = bytes / 8 < TG_SLAB_CLASSES ? bytes / 8 : TG_SLAB_CLASSES;
    if (k > 0)
        push(&s->free[k], s->at);
    s->at += bytes;
}

// @return false: out of memory.
static bool room(tg_slab *s, size_t bytes)
{
    size_t left = (size_t)(s->end - s->at);
    if (left >= bytes)
        return true;
    pass_by(s, left);
    return chunk_new(s) == 0;
}

static void *cut(tg_slab *s, size_t bytes)
{
    void *p = s->at;
    s->at += bytes;
    return p;
}

void *tg_slab_alloc(tg_slab *s, size_t size)
{
    unsigned k = class_of(size);
    if (k > TG_SLAB_CLASSES)
        return malloc(size);
    void *p = pop(&s->free[k]);
    if (p == NULL && room(s, k * 8u))
        p = cut(s, k * 8u);
    return p;
}

void tg_slab_free(tg_slab *s, void *p, size_t size)
{
    unsigned k = class_of(size);
    if (k > TG_SLAB_CLASSES) {
        free(p);
        return;
    }
    push(&s->free[k], p);
}

void *tg_slab_page(tg_slab *s)
{
    void *p = pop(&s->pages);
    if (p == NULL && room(s, TG_SLAB_PAGE + LINE)) {
        pass_by(s, (LINE - (uintptr_t)s->at % LINE) % LINE);
        p = cut(s, TG_SLAB_PAGE);
    }
    return p;
}

void tg_slab_page_free(tg_slab *s, void *page)
{
    if (page != NULL)
        push(&s->pages, page);
}

void tg_slab_clear(tg_slab *s)
{
    for (struct chunk *c = s->chunks, *next; c != NULL; c = next) {
        next = c->next;
        if (c->size == LARGE_CHUNK)
            munmap(c, LARGE_CHUNK);
        else
            free(c);
    }
    *s = (tg_slab){0};
}

#endif
