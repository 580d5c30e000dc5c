// SPDX-License-Identifier: Apache-2.0
/// Completions that links are owed: of opens, subscribes, publishes.
#ifndef TG_HUB_WAIT_H
#define TG_HUB_WAIT_H

#include "hub/shard.h"

typedef enum tg_wait_kind {
    TG_WAIT_OPEN,
    TG_WAIT_SUB,
    TG_WAIT_UNSUB,
    TG_WAIT_SYNC,
    TG_WAIT_PUB,
    TG_WAIT_PASS, ///< hosted: a message went on to another member of its group
} tg_wait_kind;

typedef enum tg_wait_stage {
    TG_STAGE_ROUTED, ///< not all receivers have stored it
    TG_STAGE_SAFE, ///< they have; its id waits for those before it
    TG_STAGE_KEEPING, ///< its id is on the way to the store
    TG_STAGE_FINISHED, ///< only its place in the order keeps it
} tg_wait_stage;

/// A completion that is owed to a link.
struct tg_wait {
    tg_list
        node; ///< in the session's pending; in the shard's hosted without one, or once fired
    tg_list opening; ///< OPEN: in the shard's
    tg_wait *next;
    tg_sess *sess; ///< NULL: hosted, or let go
    uint8_t kind;
    bool fired;
    uint8_t stage; ///< PUB: tg_wait_stage
    bool present;
    uint32_t left; ///< who still holds it
    int code;
    uint32_t receivers;
    tg_origin *origin; ///< PUB: whose id must be safe before it is answered; NULL none
    tg_list asking; ///< PUB: in the shard's, until it is known what became of the origin
    union {
        tg_done_fn *done;
        tg_opened_fn *opened;
        tg_published_fn *published;
        tg_ack_ref *ack; ///< PASS
    };
    void *ctx;
    tg_scan *scan; ///< SUB: begun when it fires
    bool again; ///< SUB: the filter was there before
};
/// One holder: the caller. @return NULL: out of memory.
tg_wait *tg_wait_new(tg_shard *sh, tg_sess *s, tg_wait_kind kind, void *ctx);
void tg_wait_put(tg_shard *sh, tg_wait *w, int code); ///< a holder is done with it
void tg_wait_publish_put(tg_shard *sh, tg_wait *w); ///< as put, from publish() itself
/// It is another publish's id that must be safe, whose fate is not known.
void tg_wait_for_origin(tg_shard *sh, tg_wait *w, tg_origin *o);
void tg_wait_look(tg_shard *sh); ///< whether that is known by now
void tg_wait_cancel(tg_shard *sh, tg_sess *s, int code); ///< all of a session
void tg_wait_run(tg_shard *sh); ///< those that are ready
void tg_wait_free(tg_wait *w);

#endif
