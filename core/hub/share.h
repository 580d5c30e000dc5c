// SPDX-License-Identifier: Apache-2.0
/// Shared subscriptions: the writers' side of groups, and sets as both kinds of routes use them.
#ifndef TG_HUB_SHARE_H
#define TG_HUB_SHARE_H

#include "hub/route.h"

// Under the router's lock.
int tg_group_add(tg_router *r, tg_filter *f, tg_slice name, tg_route *route);
void tg_group_del(tg_router *r, tg_filter *f, tg_route *route);
uint32_t tg_groups_count(const tg_filter *f); ///< routes in all groups of it
void tg_groups_free(tg_slab *slab, tg_group *g);
void tg_set_free(tg_slab *slab, tg_set *s); ///< and its routes

/// @return `s`, or a grown copy of it, with `route` in it; NULL: out of memory, `s` unchanged.
tg_set *tg_set_add(tg_set *s, tg_route *route);
void tg_set_del(tg_set *s, const tg_route *route);
tg_set *tg_set_pack(const tg_set *s); ///< @return a copy without holes, NULL: out of memory
void tg_set_swap(tg_set *s, const tg_route *old, tg_route *fresh);
void tg_set_each(const tg_set *s, tg_route_fn *fn, void *ctx);

#endif
