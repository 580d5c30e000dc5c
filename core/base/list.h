// SPDX-License-Identifier: Apache-2.0
/// Intrusive doubly linked lists: a node lives in its owner, so linking never allocates.
#ifndef TG_BASE_LIST_H
#define TG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tg_list {
    struct tg_list *prev, *next;
} tg_list;

/// The struct of type `T` whose member `m` is at `p`.
#define TG_OWNER(p, T, m) ((T *)(void *)((char *)(p)-offsetof(T, m)))

static inline void tg_list_init(tg_list *l)
{
    l->prev = l->next = l;
}

static inline bool tg_list_empty(const tg_list *l)
{
    return l->next == l;
}

static inline void tg_list_add(tg_list *l, tg_list *node) ///< at the end
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void tg_list_del(tg_list *node) ///< harmless when repeated
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = node;
}

#endif
