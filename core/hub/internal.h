// SPDX-License-Identifier: Apache-2.0
/// Inside the hub: all that its files share.
#ifndef TG_HUB_INTERNAL_H
#define TG_HUB_INTERNAL_H

#include "base/value.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "hub/wait.h"

// publish.c
void tg_gather_free(tg_gather *g);
/// @param s who publishes, NULL: the hub itself.
int tg_publish(tg_shard *sh, tg_sess *s, tg_msg m, tg_published_fn *done, void *ctx);
/// @param o NULL, or the origin of one that must come once. @owner takes its own references.
int tg_publish_from(tg_shard *sh, tg_sess *s, tg_msg m, tg_origin *o, tg_published_fn *done,
                    void *ctx);
/// Routes a message of an ended session's shared subscriptions to other members.
void tg_publish_to_others(tg_shard *sh, tg_sess *s, const tg_entry *e);
/// Routes `m`, which was meant for a member of a group, to another member.
/// @param ack NULL, or what waits until that one has it.
int tg_publish_elsewhere(tg_shard *sh, tg_msg m, const tg_target *t, tg_ack_ref *ack);
// takeover.c
/// Under the table's lock. @return 0; 1: `o` is now an earlier open of this worker, to fail with
/// TG_E_TAKENOVER; TG_E_NOMEM, TG_E_BUSY.
int tg_takeover_claim(tg_shard *sh, tg_sess *s, tg_open *o);
void tg_takeover_local(tg_shard *sh, tg_sess *s, tg_open *o);
int tg_claim_hold(tg_shard *sh, tg_claim *c, tg_msg m, const tg_target *t,
                  const uint32_t *ids, tg_ack_ref *ack);
void tg_claim_abandon(tg_shard *sh, tg_claim *c); ///< its shard closes
void tg_claims_free(tg_hub *h); ///< those that were abandoned

// events.c
#define TG_EVENT_TOPICS "$SYS/events/"
void tg_event_connected(tg_shard *sh, const tg_sess *s);
void tg_event_disconnected(tg_shard *sh, const tg_sess *s, int reason); ///< 0: at its wish
/// @param qos -1: unsubscribed.
void tg_event_subscribed(tg_shard *sh, const tg_sess *s, tg_slice filter, int qos);
void tg_event_dropped(tg_shard *sh, const tg_sess *s, tg_msg m, uint8_t qos, tg_drop why);

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
/// @param seq of its publish; 0: not numbered. @param packet_id 0: all up to `seq` are safe.
void tg_persist_rx(tg_shard *sh, tg_sess *s, uint16_t packet_id, uint64_t seq);
void tg_persist_rx_del(tg_shard *sh, tg_sess *s, uint16_t packet_id);
/// A record of a message that is done with its receiver and whose publisher may send it again.
typedef struct tg_had {
    struct tg_had *next;
    tg_origin *origin;
    size_t len;
    char key[];
} tg_had;
tg_had *tg_had_new(tg_slice key, tg_origin *o); ///< NULL: out of memory
void tg_had_free(tg_had *list);
/// Deletes the record from the store once the origin is settled. @owner takes `h`.
void tg_had_watch(tg_shard *sh, tg_had *h);
void tg_had_turn(tg_shard *sh);
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
/// The worker that adopts a restored session of this hash.
uint32_t tg_restore_worker(const tg_hub *h, uint32_t hash);
void tg_restore_adopt(tg_shard *sh);

#endif
