// SPDX-License-Identifier: Apache-2.0
/// Routes: who gets what. A route is one subscription; it hangs on its filter, which is a leaf
/// of the process's one tree and in its index. Readers see routes inside an epoch; writers hold
/// the router's lock.
#ifndef TG_HUB_ROUTE_H
#define TG_HUB_ROUTE_H

#include <pthread.h>

#include "hub/index.h"
#include "tidegate/session.h"

struct tg_sess;

/// A place where routes stand side by side. Grown by copying, so a reader's copy stays whole.
typedef struct tg_set {
    uint32_t cap;
    uint32_t holes; ///< writers: first free place + 1, chained through the places
    _Atomic uint32_t used; ///< places ever filled
    _Atomic uintptr_t at[]; ///< a route, or a hole (lowest bit set)
} tg_set;

/// The members of one "$share" name on one filter.
typedef struct tg_group {
    struct tg_group *_Atomic next;
    _Atomic(tg_set *) members;
    _Atomic uint32_t turn; ///< round robin
    uint32_t count; ///< writers
    uint32_t tag; ///< of name and filter: finds the group again when a member has gone
    uint16_t name_len;
    char name[];
} tg_group;

/// A filter that somebody subscribed to. `leaf.user` counts its routes.
typedef struct tg_filter {
    tg_leaf leaf;
    _Atomic uintptr_t plain; ///< 0, the only route, or a tg_set with the lowest bit set
    _Atomic(tg_group *) groups;
    char text[];
} tg_filter;

typedef struct tg_route {
    struct tg_sess *sess;
    tg_filter *filter;
    tg_group *group; ///< NULL unless shared
    uint32_t sub_id;
    uint32_t place; ///< writers: in the set
    uint8_t qos;
    uint8_t flags; ///< tg_sub_flag
} tg_route;

typedef struct tg_router {
    pthread_mutex_t lock;
    tg_trie trie; ///< all filters, in order
    tg_index index; ///< the same, to be found at once
    tg_limbo limbo;
    tg_slab slab; ///< nodes, filters, routes
    tg_epoch *epoch;
    uint64_t routes; ///< under the lock
    /// From 1 on: filters that came and went. Who reads it inside an epoch, and later finds it
    /// unchanged inside another, may use the filters that it found after the first reading.
    _Atomic uint64_t changes;
} tg_router;

int tg_router_init(tg_router *r, tg_epoch *epoch);
void tg_router_free(tg_router *r);

/// Adds the route of `s` for `filter` (valid, with "$share/…" still in front), or replaces
/// `old`, the one that `s` has for it: then the caller forgets that one and retires it.
/// @return 0 and the new route, TG_E_NOMEM.
int tg_route_add(tg_router *r, struct tg_sess *s, tg_slice filter, const tg_sub *sub,
                 tg_route *old, tg_route **out);
/// Under the lock. @return the filter with this text ("$share/…" not included), or NULL.
tg_filter *tg_router_find(const tg_router *r, tg_slice text);
/// Inside an epoch: calls `hit` for the leaf of each filter that matches `topic`.
void tg_router_match(const tg_router *r, tg_slice topic, void (*hit)(void *ctx, tg_leaf *l),
                     void *ctx);
void tg_route_retire(tg_router *r, tg_route *old);
void tg_route_del(tg_router *r, tg_route *route); ///< nobody of ours holds it any more
/// @return whether `route` is for `filter` as given to tg_route_add.
bool tg_route_is(const tg_route *route, tg_slice filter);
/// Writes the filter as it was subscribed, "$share/…" included. @return its length.
size_t tg_route_text(const tg_route *route, char *out, size_t cap);

/// Inside an epoch: the routes of one filter.
typedef void tg_route_fn(void *ctx, const tg_route *route);
void tg_filter_plain(const tg_filter *f, tg_route_fn *fn, void *ctx);
/// How to choose among the members of a shared subscription.
typedef struct tg_choice {
    uint8_t strategy; ///< tg_share_strategy
    uint64_t topic, client; ///< hashes
} tg_choice;
void tg_filter_shared(const tg_filter *f, const tg_choice *how, tg_route_fn *fn, void *ctx);
/// Inside an epoch: a member of the route's group, other than its own; NULL none.
const tg_route *tg_group_other(const tg_route *route);
/// Inside an epoch: a member of the group of `f` with this tag; NULL none.
const tg_route *tg_group_member(const tg_filter *f, uint32_t tag);

#endif
