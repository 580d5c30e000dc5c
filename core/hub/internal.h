// SPDX-License-Identifier: Apache-2.0
/// Inside the hub: sessions, shards and what passes between them. Every session has one owner,
/// a shard, and is touched on that shard's thread alone; other threads see its `where` and
/// `online`, which are atomic, and the client table's part, which has a lock.
#ifndef TG_HUB_INTERNAL_H
#define TG_HUB_INTERNAL_H

#include "base/buf.h"
#include "base/slots.h"
#include "base/value.h"
#include "hub/hub.h"
#include "hub/message.h"
#include "hub/route.h"

#define TG_SESS_MAGIC 0x5e551042u
#define TG_CLAIM_MAGIC 0xc1a1a042u

typedef struct tg_sess tg_sess;
typedef struct tg_claim tg_claim;
typedef struct tg_wait tg_wait;
typedef struct tg_ack_ref tg_ack_ref;
typedef struct tg_batch tg_batch;
typedef struct tg_scan tg_scan;
typedef struct tg_barrier tg_barrier;

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
} tg_entry;

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
} tg_queue;

/// What most sessions do not have.
typedef struct tg_extra {
    tg_sess *sess;
    tg_shard *shard; ///< while an alarm is armed
    tg_alarm expire, will_due;
    tg_msg will;
    uint32_t will_delay;
    uint16_t nrx, rx_cap;
    uint16_t *rx; ///< packet ids of QoS 2 received, ascending
    tg_value *attributes;
    tg_scan *scans;
} tg_extra;

struct tg_sess {
    uint32_t magic;
    uint8_t state; ///< tg_sess_state
    uint8_t flags; ///< TG_SESS_*
    uint16_t window;
    _Atomic uint64_t where; ///< its seat: the owner and its handle there
    _Atomic uint8_t online; ///< has a link; for shared subscriptions
    uint8_t user_len;
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
    char *user; ///< NULL: anonymous
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
    tg_value *attributes;
    char *user;
    uint8_t user_len;
} tg_open;

// Mails.

typedef struct tg_hub_mail {
    tg_mail mail;
    tg_hub *hub;
    uint32_t to, from; ///< workers
} tg_hub_mail;

/// A receiver of a publish. With nids > 1 the ids follow it in the same array, two a place.
typedef struct tg_target {
    uint64_t seat;
    uint32_t sub_id; ///< when nids is 1
    uint16_t nids;
    uint8_t qos; ///< of the subscription
    uint8_t flags; ///< TG_ENTRY_RETAIN: as published; TG_ENTRY_SHARED
} tg_target;

/// A message that waits for a session to arrive.
typedef struct tg_held {
    tg_msg msg;
    tg_target target;
    uint32_t *ids;
    tg_ack_ref *ack; ///< NULL: nobody waits
} tg_held;

struct tg_claim {
    uint32_t magic;
    uint64_t seat; ///< on the claiming worker
    tg_sess *sess;
    tg_claim *prev; ///< whom it was sent to take it from; NULL: the settled session
    tg_claim *next; ///< who takes it from here, once known
    bool arrived; ///< the session is here, but promised to a later claim
    bool clean; ///< clean_start of its first open; the old owner reads it
    uint64_t old_seat; ///< the old owner's
    tg_barrier *barrier; ///< the old owner will need it
    tg_open open;
    tg_held *held;
    uint32_t nheld, held_cap;
    tg_hub_mail mail; ///< the claim; later the session that answers it
    tg_list node; ///< tg_shard.claims
};

// Shards.

typedef struct tg_out {
    tg_hub_mail head;
    uint32_t len, cap;
    char bytes[];
} tg_out;

typedef struct tg_gather tg_gather;

typedef struct tg_outbox {
    tg_out *out; ///< publishes of this turn, NULL none
    uint32_t record; ///< where the open record begins
    tg_buf acks;
    bool full; ///< told to hold, and a probe is on its way
} tg_outbox;

struct tg_shard {
    uint32_t magic;
    uint32_t index;
    tg_hub *hub;
    tg_wheel *wheel;
    tg_slots seats; ///< tg_sess or tg_claim, by their magic: where mails go to
    tg_slots attached; ///< tg_sess: what links hold
    tg_list claims;
    tg_list opening; ///< tg_wait: opens that are not answered yet
    tg_list hosted; ///< tg_wait: publishes without a session
    tg_wait *ready, **ready_end;
    tg_batch *batch; ///< store writes of this turn, NULL none
    tg_list commits; ///< batches on their way to the store, oldest first
    tg_buf dead; ///< tg_sess *: freed at the end of the turn
    tg_buf scanning; ///< tg_session: retained scans to go on with
    uint32_t depth; ///< deliver() calls on the stack
    uint32_t self_mails;
    uint32_t nfull;
    void (*on_clear)(void *ctx);
    void *clear_ctx;
    tg_gather *gather;
    bool nudged;
    tg_hub_mail nudge;
    tg_alarm sweep;
    tg_outbox box[]; ///< by worker
};

typedef struct tg_clients tg_clients;
typedef struct tg_retained_set tg_retained_set;

typedef enum tg_drop {
    TG_DROP_QUEUE_FULL,
    TG_DROP_QUEUE_BYTES,
    TG_DROP_QUEUE_AGE,
    TG_DROP_EXPIRED,
    TG_DROP_OFFLINE,
    TG_DROP_LINK,
    TG_DROP_REFUSED,
    TG_DROP_SESSION_END,
    TG_DROP_NOMEM,
    TG_DROP_COUNT,
} tg_drop;

typedef struct tg_hub_metrics {
    int dropped[TG_DROP_COUNT];
    int sessions, connected, subscriptions, retained, takeovers, published, delivered,
        queued;
} tg_hub_metrics;

struct tg_hub {
    tg_hub_config config;
    tg_epoch *epoch;
    tg_router router;
    tg_clients *clients;
    tg_retained_set *retained;
    tg_hub_metrics metrics;
    const tg_store *store; ///< NULL: memory
    bool stored, durable;
    tg_hub_op_fn *op_new;
    void *op_ctx;
    tg_shard **shards;
    pthread_mutex_t lock; ///< of the two below
    tg_list abandoned;    ///< tg_claim: their shards closed before their sessions came
    tg_buf *restored; ///< by worker: sessions that its shard has not taken yet
};

/// The same handle stands for `p` from now on.
static inline void tg_slots_set(tg_slots *s, uint64_t h, void *p)
{
    s->at[h >> 32 & 0xffffff] = p;
}

static inline uint64_t tg_hub_now(const tg_hub *h)
{
    return h->config.clock();
}

// shard.c
void tg_shard_drop(tg_shard *sh, tg_sess *s, tg_drop why, uint32_t n);
void tg_shard_nudge(tg_shard *sh); ///< another turn is needed soon
void tg_shard_data(tg_shard *sh, uint32_t to, tg_hub_mail *m);
void tg_shard_control(tg_shard *sh, uint32_t to, tg_hub_mail *m);
tg_sess *tg_shard_attached(tg_shard *sh, tg_session s); ///< NULL: stale

// outbox.c
typedef struct tg_record tg_record;
/// Opens a record for `m` to worker `to`; targets follow. @return false: out of memory.
bool tg_outbox_open(tg_shard *sh, uint32_t to, tg_msg m, tg_wait *pub);
bool tg_outbox_target(tg_shard *sh, uint32_t to, const tg_target *t, const uint32_t *ids);
/// Asks worker `to`, who keeps the store's retained messages, to store the topic of `m` anew.
bool tg_outbox_retain(tg_shard *sh, tg_msg m, tg_wait *pub);
void tg_outbox_ack(tg_shard *sh, uint32_t to, tg_wait *pub, int code);
void tg_outbox_flush(tg_shard *sh, uint32_t to);
void tg_outbox_free(tg_outbox *b);
/// Calls `fn` once everything that any worker routed here before now has been delivered.
tg_barrier *tg_barrier_new(const tg_hub *h); ///< NULL: out of memory
void tg_barrier_free(tg_barrier *b); ///< one that was never run
void tg_barrier_run(tg_barrier *b, tg_shard *sh, void (*fn)(tg_shard *sh, void *ctx),
                    void *ctx); ///< @owner frees itself

/// Somebody on another worker waits until all that hangs on this is safe.
struct tg_ack_ref {
    uint32_t left;
    uint32_t from;
    tg_wait *pub;
    int code;
};
tg_ack_ref *tg_ack_ref_new(uint32_t from, tg_wait *pub);
void tg_ack_ref_put(tg_shard *sh, tg_ack_ref *a, int code); ///< NULL is fine

// wait.c
typedef enum tg_wait_kind {
    TG_WAIT_OPEN,
    TG_WAIT_SUB,
    TG_WAIT_UNSUB,
    TG_WAIT_PUB
} tg_wait_kind;

/// A completion that is owed to a link.
struct tg_wait {
    tg_list node; ///< in the session's pending; in the shard's hosted without one, or once fired
    tg_list opening; ///< OPEN: in the shard's
    tg_wait *next;
    tg_sess *sess; ///< NULL: hosted, or let go
    uint8_t kind;
    bool fired;
    bool finished; ///< PUB: only its place in the order keeps it
    bool present;
    uint32_t left; ///< who still holds it
    int code;
    uint32_t receivers;
    union {
        tg_done_fn *done;
        tg_opened_fn *opened;
        tg_published_fn *published;
    };
    void *ctx;
    tg_scan *scan; ///< SUB: begun when it fires
    bool again; ///< SUB: the filter was there before
};
/// One holder: the caller. @return NULL: out of memory.
tg_wait *tg_wait_new(tg_shard *sh, tg_sess *s, tg_wait_kind kind, void *ctx);
void tg_wait_put(tg_shard *sh, tg_wait *w, int code); ///< a holder is done with it
void tg_wait_publish_put(tg_shard *sh, tg_wait *w); ///< as put, from publish() itself
void tg_wait_cancel(tg_shard *sh, tg_sess *s, int code); ///< all of a session
void tg_wait_run(tg_shard *sh); ///< those that are ready
void tg_wait_free(tg_wait *w);

// session.c
tg_sess *tg_sess_new(tg_slice id, uint32_t hash);
void tg_sess_free(void *s);
tg_extra *tg_sess_extra(tg_sess *s); ///< @return NULL: out of memory
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
int tg_sess_rx_put(tg_sess *s, uint16_t packet_id);
int tg_open_copy(tg_open *o, const tg_link *ops, void *link, const tg_session_spec *spec,
                 tg_opened_fn *done, void *ctx);
void tg_open_clear(tg_open *o);
void tg_open_fail(tg_open *o, int code);

// subs.c
tg_route *tg_subs_find(const tg_sess *s, const tg_filter *f, const tg_group *g);
int tg_subs_put(tg_sess *s, tg_route *r); ///< adds, or replaces the one for the same filter
void tg_subs_del(tg_sess *s, const tg_route *r);
tg_route *tg_subs_next(const tg_sess *s, uint32_t *at); ///< walks; start with 0
tg_route *tg_subs_lookup(tg_hub *h, const tg_sess *s, tg_slice filter);
void tg_subs_clear(tg_hub *h, tg_sess *s); ///< ends all routes

// queue.c
static inline tg_entry *tg_queue_at(const tg_queue *q, uint64_t n)
{
    return &q->ring[n & (q->cap - 1)];
}
static inline uint16_t tg_packet_id(uint64_t n)
{
    return (uint16_t)(n % 65535 + 1);
}
/// @return its number, 0: out of memory. @owner takes the entry.
uint64_t tg_queue_push(tg_sess *s, const tg_entry *e);
/// As number `n`, which is not below any that it has; for restoring.
bool tg_queue_put_at(tg_sess *s, uint64_t n, const tg_entry *e);
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
enum { TG_DELIVERED = 0, TG_DELIVER_DROPPED = 1 };
/// @return 0; TG_E_FULL: its queue dropped it.
int tg_deliver(tg_shard *sh, tg_sess *s, tg_msg m, const tg_target *t, const uint32_t *ids);
void tg_deliver_pump(tg_shard *sh, tg_sess *s);
/// To whatever sits at the target's seat. @param ack NULL, or what a held message takes along.
int tg_deliver_to_seat(tg_shard *sh, tg_msg m, const tg_target *t, const uint32_t *ids,
                       tg_ack_ref *ack);

// publish.c
void tg_gather_free(tg_gather *g);
/// @param s who publishes, NULL: the hub itself.
int tg_publish(tg_shard *sh, tg_sess *s, tg_msg m, tg_published_fn *done, void *ctx);
/// Routes a message of an ended session's shared subscriptions to other members.
void tg_publish_to_others(tg_shard *sh, tg_sess *s, const tg_entry *e);

// will.c
void tg_will_set(tg_sess *s, tg_msg will, uint32_t delay_s);
void tg_will_lost(tg_shard *sh,
                  tg_sess *s); ///< the connection broke: now, or after its delay
void tg_will_publish(tg_shard *sh, tg_sess *s);
void tg_will_drop(tg_sess *s);

// takeover.c
/// Under the table's lock. @return 0; 1: `o` is now an earlier open of this worker, to fail with
/// TG_E_TAKENOVER; TG_E_NOMEM, TG_E_BUSY.
int tg_takeover_claim(tg_shard *sh, tg_sess *s, tg_open *o);
void tg_takeover_local(tg_shard *sh, tg_sess *s, tg_open *o);
int tg_claim_hold(tg_shard *sh, tg_claim *c, tg_msg m, const tg_target *t,
                  const uint32_t *ids, tg_ack_ref *ack);
void tg_claim_abandon(tg_shard *sh, tg_claim *c); ///< its shard closes
void tg_claims_free(tg_hub *h);                   ///< those that were abandoned

// clients.c
tg_clients *tg_clients_new(void);
void tg_clients_free(tg_clients *c, void (*drop)(void *s));
pthread_mutex_t *tg_clients_lock(tg_clients *c, uint32_t hash); ///< locked
// Under that lock:
tg_sess *tg_clients_find(tg_clients *c, tg_slice id, uint32_t hash);
int tg_clients_add(tg_clients *c, tg_sess *s);
void tg_clients_del(tg_clients *c, tg_sess *s);

// retained.c
int tg_retained_new(tg_hub *h);
void tg_retained_free(tg_hub *h);
/// Keeps `m`, or deletes its topic when the payload is empty. @return 0; TG_E_LIMIT, NOMEM.
int tg_retained_set_msg(tg_shard *sh, tg_msg m);
uint64_t tg_retained_floor(tg_hub *h); ///< stores up to now
tg_scan *tg_scan_new(tg_hub *h, tg_slice filter, const tg_sub *sub);
/// @param again the filter was there before: messages older than what is kept may be on their
/// way, and are waited for.
void tg_scan_begin(tg_shard *sh, tg_sess *s, tg_scan *scan, bool again);
void tg_scan_run(tg_shard *sh, tg_sess *s); ///< as far as the session takes messages
void tg_scan_later(tg_shard *sh, tg_sess *s);
void tg_scan_free(tg_scan *scan); ///< and those behind it
void tg_scan_turn(tg_shard *sh);
/// @return what is kept for the topic now, with a reference; NULL nothing.
tg_block *tg_retained_get(tg_shard *sh, tg_slice topic);
int tg_retained_restore(tg_hub *h, tg_block *b); ///< @owner takes it
void tg_retained_sweep_start(tg_shard *sh);

// persist.c
bool tg_persist_on(const tg_shard *sh, const tg_sess *s); ///< it must survive
void tg_persist_session(tg_shard *sh, tg_sess *s);
void tg_persist_forget(tg_shard *sh, tg_sess *s);
void tg_persist_all(tg_shard *sh, tg_sess *s); ///< one that had no expiry before
void tg_persist_sub(tg_shard *sh, tg_sess *s, tg_slice filter, const tg_route *r);
void tg_persist_unsub(tg_shard *sh, tg_sess *s, tg_slice filter);
void tg_persist_entry(tg_shard *sh, tg_sess *s, uint64_t n);
void tg_persist_mark(tg_shard *sh, tg_sess *s, uint64_t n);
void tg_persist_done(tg_shard *sh, tg_sess *s, uint64_t n);
void tg_persist_rx(tg_shard *sh, tg_sess *s, uint16_t packet_id, bool held);
void tg_persist_retained(tg_shard *sh, tg_slice topic);
uint32_t tg_persist_count(const tg_shard *sh); ///< writes of this turn so far
/// `fn` is called when this turn's batch, else the last one under way, is committed; at once,
/// with 0, when there is none. @return TG_E_NOMEM.
typedef void tg_committed_fn(tg_shard *sh, void *ctx, int code);
int tg_persist_after(tg_shard *sh, tg_committed_fn *fn, void *ctx);
void tg_persist_commit(tg_shard *sh); ///< end of the turn
void tg_persist_close(tg_shard *sh);

// restore.c
int tg_restore(tg_hub *h, tg_error *e);
void tg_restore_adopt(tg_shard *sh);

#endif
