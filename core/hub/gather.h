// SPDX-License-Identifier: Apache-2.0
/// The receivers of one publish.
#ifndef TG_HUB_GATHER_H
#define TG_HUB_GATHER_H

#include "hub/internal.h"

typedef struct tg_gather_more { ///< a further subscription id of a merged target
    uint32_t id, next;
} tg_gather_more;

struct tg_gather {
    tg_hub *hub;
    const tg_sess *from;
    tg_msg msg;
    tg_choice choice;
    bool hashed; ///< `choice` is filled
    bool failed; ///< out of memory: some receivers are missing
    tg_filter **filters;
    uint32_t nfilters, filters_cap;
    const tg_route **routes;
    uint32_t nroutes, routes_cap;
    tg_target *at; ///< a seat of 0: merged into another one
    uint32_t n, cap;
    tg_gather_more *more;
    uint32_t nmore, more_cap;
    uint32_t *table, table_cap;
    uint32_t *ids, ids_cap;
};

tg_gather *tg_gather_take(tg_shard *sh); ///< NULL: out of memory
void tg_gather_give(tg_shard *sh, tg_gather *g);
/// Fills g->at with the receivers of `m`. @param from who publishes; NULL: the hub.
void tg_gather_collect(tg_shard *sh, tg_gather *g, const tg_sess *from, tg_msg m);
/// @return the identifiers of `t`, in the order of the filters; NULL: out of memory.
const uint32_t *tg_gather_ids(tg_gather *g, const tg_target *t);

#endif
