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
#include "hub/message.h"
#include "hub/route.h"
#include "hub/who.h"

#define TG_SESS_MAGIC 0x5e551042u
#define TG_CLAIM_MAGIC 0xc1a1a042u

typedef struct tg_sess tg_sess;
typedef struct tg_claim tg_claim;
typedef struct tg_wait tg_wait;
typedef struct tg_ack_ref tg_ack_ref;
typedef struct tg_batch tg_batch;
typedef struct tg_scan tg_scan;
typedef struct tg_barrier tg_barrier;
typedef struct tg_inbound tg_inbound;
typedef struct tg_origin tg_origin;
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

enum {
    TG_ENTRY_RETAIN = 1 << 0, ///< show the retain flag
    TG_ENTRY_SENT = 1 << 1, ///< was given to a link
    TG_ENTRY_DUP = 1 << 2, ///< on an earlier connection
    TG_ENTRY_RELEASED = 1 << 3, ///< QoS 2: PUBREC came
    TG_ENTRY_STORED = 1 << 4,
    TG_ENTRY_SHARED = 1 << 5, ///< came through a shared subscription
    TG_ENTRY_MARKED = 1 << 6, ///< the store has more about it than the message
    TG_ENTRY_UNSAFE = 1 << 7, ///< QoS 2: not to be sent before the store has it
};

/// A message for one session, in its queue or window. The block instead of the message while
/// the session moves.
typedef struct tg_entry {
    tg_msg msg; ///< NULL: gone
    union {
        uint32_t id; ///< when nids is 1
        uint32_t *ids; ///< when more; owned
    };
    uint16_t nids;
    uint8_t qos;
    uint8_t flags; ///< TG_ENTRY_*
    uint32_t
        sent_s; ///< when it was sent, seconds of the hub's clock; where its age matters
} tg_entry;

/// What a shard has counted since its last turn ended. Plain numbers: only their sums over all
/// shards mean something, since sessions move.
typedef struct tg_tally {
    _Alignas(64) int64_t published[3]; ///< by QoS
    int64_t delivered[3];
    int64_t waiting, waiting_bytes, inflight;
} tg_tally;

/// Window and queue in one: numbers [head, sent) were sent and are not all answered yet,
/// [sent, tail) wait. A packet id follows from the number, so neither a table of ids nor a
/// second queue is needed, and a restart knows the same ids again.
typedef struct tg_queue {
    uint64_t head, sent, tail;
    tg_entry *ring;
    uint32_t cap; ///< power of two
    uint32_t inflight; ///< QoS above 0 in [head, sent)
    uint32_t waiting; ///< in [sent, tail)
    uint64_t bytes; ///< of those waiting
    uint64_t sent_bytes; ///< of those in flight
    tg_tally *tally; ///< of the shard that has it; NULL: on its way
} tg_queue;

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

// queue.c
static inline tg_entry *tg_queue_at(const tg_queue *q, uint64_t n)
{
    return &q->ring[n & (q->cap - 1)];
}
static inline uint16_t tg_packet_id(uint64_t n)
{
    return (uint16_t)(n % 65535 + 1);
}
/// @param t where it is counted from now on. @return its number, 0: out of memory. @owner takes
/// the entry.
uint64_t tg_queue_push(tg_sess *s, const tg_entry *e, tg_tally *t);
/// As number `n`, which is not below any that it has; for restoring.
bool tg_queue_put_at(tg_sess *s, uint64_t n, const tg_entry *e);
/// The entry in front of those that wait is sent, or waits again.
void tg_queue_sent(tg_queue *q, uint64_t n);
void tg_queue_unsent(tg_queue *q, uint64_t n);
/// What it holds is counted elsewhere from now on. @param t NULL: nowhere.
void tg_queue_count_in(tg_queue *q, tg_tally *t);
/// @return number of the entry in the window with this id, 0 none.
uint64_t tg_queue_find(const tg_queue *q, uint16_t packet_id);
void tg_queue_del(tg_queue *q, uint64_t n);
void tg_queue_rewind(tg_queue *q); ///< a new connection: all unanswered ones wait again
void tg_queue_free(tg_sess *s);
void tg_queue_to_blocks(tg_queue *q);
bool tg_queue_from_blocks(tg_queue *q); ///< @return false: some were lost
size_t tg_entry_bytes(const tg_entry *e);
const uint32_t *tg_entry_ids(const tg_entry *e);

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
