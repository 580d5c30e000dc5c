// SPDX-License-Identifier: Apache-2.0
/// A session and what hangs on it. Every session has one owner, a shard, and is touched on that
/// shard's thread alone; other threads see its `where` and `online`, which are atomic, and the
/// client table's part, which has a lock.
#ifndef TG_HUB_SESSION_H
#define TG_HUB_SESSION_H

#include "base/buf.h"
#include "base/list.h"
#include "base/wheel.h"
#include "hub/hub.h"
#include "hub/queue.h"
#include "hub/route.h"
#include "hub/who.h"

#define TG_SESS_MAGIC 0x5e551042u
#define TG_CLAIM_MAGIC 0xc1a1a042u

typedef struct tg_claim tg_claim;
typedef struct tg_wait tg_wait;
typedef struct tg_ack_ref tg_ack_ref;
typedef struct tg_batch tg_batch;
typedef struct tg_scan tg_scan;
typedef struct tg_barrier tg_barrier;
typedef struct tg_inbound tg_inbound;

// Sessions.

typedef enum tg_sess_state {
    TG_SESS_OFFLINE,
    TG_SESS_OPENING, ///< attached, its open not yet answered: messages wait
    TG_SESS_ONLINE,
    TG_SESS_FROZEN, ///< on its way to another worker, or waiting for a later claim
} tg_sess_state;

enum {
    TG_SESS_BLOCKED = 1 << 0, ///< the link answered FULL
    TG_SESS_PUMPING = 1 << 1, ///< a deliver() of it is on the stack
    TG_SESS_ENDED = 1 << 2, ///< its content is gone; a claimant may begin anew with it
    TG_SESS_STORED = 1 << 3, ///< the store has it
    TG_SESS_LISTED = 1 << 4, ///< on the shard's list of retained scans to go on with
    TG_SESS_MOVING = 1 << 5, ///< in a mail: its queue holds blocks, not messages
};

/// What most sessions do not have.
typedef struct tg_extra {
    tg_sess *sess;
    tg_shard *shard; ///< while an alarm is armed
    tg_alarm alarm; ///< away: its expiry; online: the oldest delivery's age
    tg_alarm will_due;
    tg_alarm queue_due; ///< away: what waits may be outlived, and somebody asks
    tg_msg will;
    uint32_t will_delay;
    tg_inbound *inbound; ///< QoS 2 received
    tg_scan *scans;
} tg_extra;

struct tg_sess {
    uint32_t magic;
    uint8_t state; ///< tg_sess_state
    uint8_t flags; ///< TG_SESS_*
    uint16_t window;
    _Atomic uint64_t where; ///< its seat: the owner and its handle there
    _Atomic uint8_t online; ///< has a link; for shared subscriptions
    uint16_t id_len;
    uint32_t expiry_s;
    uint32_t hash, nsubs;
    tg_sess *next; ///< client table
    tg_claim *claim; ///< client table: the latest that wants it
    const tg_link *ops;
    void *link; ///< NULL: none
    uint64_t handle; ///< what the link knows it by
    union {
        tg_route *one; ///< subs_cap 0
        tg_route **many; ///< open addressing by filter and group
    } subs;
    uint32_t subs_cap;
    uint32_t dropped;
    tg_queue *queue;
    tg_extra *extra;
    tg_list pending; ///< tg_wait: under way for the link
    uint64_t since;
    tg_who *who; ///< NULL: anonymous, without attributes
    uint16_t number; ///< the link's
    char id[];
};

static inline bool tg_sess_online(const tg_sess *s)
{
    return atomic_load_explicit(&s->online, memory_order_relaxed) != 0;
}
static inline tg_slice tg_sess_id(const tg_sess *s)
{
    return (tg_slice){s->id, s->id_len};
}

// Lists of sessions.
static inline void tg_sess_push(tg_buf *list, tg_sess *s)
{
    const void *p = s;
    tg_buf_put(list, &p, sizeof(p));
}
static inline size_t tg_sess_count(const tg_buf *list)
{
    return list->len / sizeof(void *);
}
static inline tg_sess *tg_sess_item(const tg_buf *list, size_t i)
{
    void *p;
    memcpy(&p, list->at + i * sizeof(p), sizeof(p));
    return p;
}

/// The spec of an open, kept until the session is here.
typedef struct tg_open {
    const tg_link *ops;
    void *link; ///< NULL: cancelled
    tg_opened_fn *done;
    void *ctx;
    bool clean_start;
    uint16_t receive_max;
    uint32_t expiry_s;
    tg_msg will;
    uint32_t will_delay;
    tg_who *who;
} tg_open;

/// A receiver of a publish. With nids > 1 the ids follow it in a mail, six a place.
typedef struct tg_target {
    uint64_t seat;
    uint32_t sub_id; ///< when nids is 1
    uint32_t group; ///< TG_ENTRY_SHARED: tag of the group that it is a member of
    uint16_t nids;
    uint8_t qos; ///< of the subscription
    uint8_t flags; ///< TG_ENTRY_RETAIN: as published; TG_ENTRY_SHARED
} tg_target;

// session.c
tg_sess *tg_sess_new(tg_slice id, uint32_t hash);
void tg_sess_free(void *p);
tg_extra *tg_sess_extra(tg_sess *s); ///< @return NULL: out of memory
void tg_sess_tidy(tg_sess *s); ///< frees it when nothing is in it
int tg_sess_seat(tg_shard *sh, tg_sess *s); ///< gives it a place on this shard
void tg_sess_attach(tg_shard *sh, tg_sess *s, tg_open *o);
void tg_sess_online_now(tg_shard *sh, tg_sess *s); ///< the open was answered
/// The link is gone (or was never there): the session lives on for its expiry.
void tg_sess_offline(tg_shard *sh, tg_sess *s);
void tg_sess_expire_in(tg_shard *sh, tg_sess *s, uint64_t ms);
/// Takes the link away. @param reason 0: at its own wish, else it is told.
void tg_sess_detach(tg_shard *sh, tg_sess *s, int reason);
void tg_sess_shutdown(tg_shard *sh, tg_sess *s); ///< its shard closes
void tg_sess_reset(tg_shard *sh, tg_sess *s); ///< drops all it holds, in the store too
void tg_sess_end(tg_shard *sh, tg_sess *s);
/// Puts a completion behind this turn's commit if what it tells of must survive.
void tg_sess_answer(tg_shard *sh, tg_wait *w, bool durable);
void tg_sess_end_link(tg_shard *sh, tg_sess *s, int reason, bool forget);
int tg_open_copy(tg_hub *h, tg_open *o, const tg_link *ops, void *link,
                 const tg_session_spec *spec, tg_opened_fn *done, void *ctx);
void tg_open_clear(tg_open *o);
void tg_open_fail(tg_open *o, int code);

// subs.c
tg_route *tg_subs_find(const tg_sess *s, const tg_filter *f, const tg_group *g);
int tg_subs_put(tg_sess *s, tg_route *r); ///< adds, or replaces the one for the same filter
void tg_subs_del(tg_sess *s, const tg_route *r);
tg_route *tg_subs_next(const tg_sess *s, uint32_t *at); ///< walks; start with 0
tg_route *tg_subs_lookup(tg_hub *h, const tg_sess *s, tg_slice filter);
void tg_subs_clear(tg_hub *h, tg_sess *s); ///< ends all routes
void tg_subs_count(const tg_hub *h, const tg_route *r, int by); ///< in the metrics

// deliver.c
/// @return 0; TG_E_FULL: its queue dropped it.
int tg_deliver(tg_shard *sh, tg_sess *s, tg_msg m, const tg_target *t, const uint32_t *ids);
void tg_deliver_pump(tg_shard *sh, tg_sess *s);
/// It is away now: what waits for it is told when it is outlived.
void tg_deliver_away(tg_shard *sh, tg_sess *s);
bool tg_seat_gone(const void *seated); ///< who sat there has ended; NULL: and is gone
/// To whatever sits at the target's seat; a shared one to another member where it has ended.
/// @param ack NULL, or what a message takes along that is held or goes on.
int tg_deliver_to_seat(tg_shard *sh, tg_msg m, const tg_target *t, const uint32_t *ids,
                       tg_ack_ref *ack);
// will.c
void tg_will_set(tg_sess *s, tg_msg will, uint32_t delay_s);
void tg_will_lost(tg_shard *sh,
                  tg_sess *s); ///< the connection broke: now, or after its delay
void tg_will_publish(tg_shard *sh, tg_sess *s);
void tg_will_drop(tg_sess *s);

#endif
