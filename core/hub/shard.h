// SPDX-License-Identifier: Apache-2.0
/// Shards, the hub that they share, and what passes between them.
#ifndef TG_HUB_SHARD_H
#define TG_HUB_SHARD_H

#include "base/buf.h"
#include "base/log.h"
#include "base/slots.h"
#include "hub/session.h"

// Mails.

typedef struct tg_hub_mail {
    tg_mail mail;
    tg_hub *hub;
    uint32_t to, from; ///< workers
} tg_hub_mail;

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
    bool kicked, forget; ///< by an administrator; under the client table's lock
    uint64_t old_seat; ///< the old owner's
    tg_barrier *barrier; ///< the old owner will need it
    tg_open open;
    tg_held *held;
    uint32_t nheld, held_cap;
    uint64_t held_bytes; ///< topics, properties and payloads of them
    tg_hub_mail mail; ///< the claim; later the session that answers it
    tg_list node; ///< tg_shard.claims
};

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
    TG_DROP_STORE, ///< the store did not take it
    TG_DROP_COUNT,
} tg_drop;

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
    tg_list asking; ///< tg_wait: for what became of an earlier publish
    tg_alarm look; ///< armed while there are any, or `had`
    struct tg_had *had, **had_end; ///< watched
    tg_wait *ready, **ready_end;
    tg_batch *batch; ///< store writes of this turn, NULL none
    tg_list commits; ///< batches on their way to the store, oldest first
    tg_buf dead; ///< tg_sess *: freed at the end of the turn
    tg_tally *tally;
    tg_log_gate drop_gates[TG_DROP_COUNT];
    uint64_t drop_second; ///< in which the next two are counted
    uint32_t drop_events;
    int64_t drops_left_out;
    tg_buf scanning; ///< tg_session: retained scans to go on with
    uint32_t depth; ///< deliver() calls on the stack
    uint32_t self_mails;
    uint32_t nfull;
    void (*on_clear)(void *ctx);
    void *clear_ctx;
    tg_gather *gather;
    struct tg_recent *recent;
    bool nudged;
    tg_alarm sweep;
    tg_outbox box[]; ///< by worker
};

typedef struct tg_clients tg_clients;
typedef struct tg_retained_set tg_retained_set;

typedef struct tg_hub_metrics {
    int dropped[TG_DROP_COUNT][3], published[3], delivered[3]; ///< by QoS
    int sessions, connected, subscriptions, shared, retained, retained_bytes, takeovers;
    int waiting, waiting_bytes, inflight;
} tg_hub_metrics;

struct tg_hub {
    tg_hub_config config;
    tg_epoch *epoch;
    tg_router router;
    tg_clients *clients;
    tg_whos *whos;
    tg_retained_set *retained;
    tg_hub_metrics metrics;
    const tg_store *store; ///< NULL: memory
    _Atomic bool stored,
        durable; ///< set while shards that have nothing to do yet look at it
    tg_hub_op_fn *op_new;
    void *op_ctx;
    tg_shard **shards;
    tg_tally *tallies; ///< by worker; outlive the shards, since sessions do
    pthread_mutex_t lock; ///< of the two below
    tg_list abandoned; ///< tg_claim: their shards closed before their sessions came
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
/// The shard that a mail is for; NULL once it is closed: then the mail is only put away.
static inline tg_shard *tg_mail_shard(const tg_hub_mail *m)
{
    return m->hub->shards[m->to];
}

// hub.c
const char *tg_drop_name(tg_drop why); ///< as its counter and its event have it
void tg_tally_flush(tg_shard *sh);

// shard.c
/// As tg_shard_data and tg_shard_control, also when the sender's shard is closed.
bool tg_mail_send(tg_hub *h, uint32_t from, uint32_t to, tg_hub_mail *m, bool control);
/// `s` does not get `m`: counted, told and logged. @param s NULL: one on its way here.
void tg_shard_drop(tg_shard *sh, tg_sess *s, tg_msg m, uint8_t qos, tg_drop why);
void tg_shard_nudge(tg_shard *sh); ///< another turn is needed soon
void tg_shard_data(tg_shard *sh, uint32_t to, tg_hub_mail *m);
void tg_shard_control(tg_shard *sh, uint32_t to, tg_hub_mail *m);
tg_sess *tg_shard_attached(tg_shard *sh, tg_session h); ///< NULL: stale

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
/// `fn` gets NULL when the shard was closed meanwhile.
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
void tg_ack_ref_drop(tg_ack_ref *a); ///< nobody is to be answered any more

#endif
