// SPDX-License-Identifier: Apache-2.0
/// The hub: sessions, router, retained messages and the store behind them. One hub a process,
/// one shard of it on each worker. It knows no sockets: who attaches a session gives it two
/// function types, and mails between shards go out through a third. So it is tested without
/// a loop.
#ifndef TG_HUB_HUB_H
#define TG_HUB_HUB_H

#include "base/error.h"
#include "base/mailbox.h"
#include "base/wheel.h"
#include "tidegate/session.h"
#include "tidegate/store.h"

typedef struct tg_hub tg_hub;
typedef struct tg_shard
    tg_shard; ///< the hub's part on one worker; used on its thread alone

typedef enum tg_share_strategy {
    TG_SHARE_ROUND_ROBIN,
    TG_SHARE_RANDOM,
    TG_SHARE_STICKY,
    TG_SHARE_HASH_TOPIC,
    TG_SHARE_HASH_CLIENT,
} tg_share_strategy;

/// 0 takes the default in parentheses.
typedef struct tg_hub_limits {
    uint32_t inflight; ///< QoS above 0 on the way to one peer, at most (32)
    uint32_t inflight_bytes; ///< of those, but one of any size may be; 0 no limit
    uint32_t inflight_age_s; ///< a peer that answers none for so long is cut; 0 no limit
    uint32_t queue_messages; ///< waiting for one session (1,000)
    uint32_t queue_bytes; ///< topics, properties and payloads of them (1 MiB)
    uint32_t queue_age_s; ///< older ones are dropped; 0 no limit
    uint32_t rx_inflight; ///< QoS 2 from one peer (65,535)
    uint32_t subscriptions; ///< of one session (no limit)
    uint32_t retained_count; ///< in all; 0 no limit
    uint64_t retained_bytes; ///< in all; 0 no limit
    uint32_t expiry_max_s; ///< longest session expiry (no limit)
    uint32_t topic_levels; ///< (128), at most 511
    bool queue_qos0; ///< keep QoS 0 for offline sessions
    uint8_t share; ///< tg_share_strategy
} tg_hub_limits;

/// A message for a session with attributes that is away. @param reason 0: it is kept;
/// TG_E_TIMEOUT: what was kept has outlived its time; TG_E_FULL: there is no room for it.
/// Called on the shard's thread, within a publish or an alarm: it may publish.
typedef void tg_away_fn(void *ctx, tg_slice client_id, const tg_value *attributes, tg_msg m,
                        int reason);

typedef struct tg_hub_config {
    uint32_t workers;
    tg_away_fn *on_away; ///< NULL: nobody asks
    void *away_ctx;
    tg_hub_limits limits;
    /// Sends `m` to a shard's worker; order between two workers is kept within a lane.
    /// `control`: the lane that is never full. @return false: the data lane is past its limit.
    bool (*send)(void *net, uint32_t worker, tg_mail *m, bool control);
    void *net;
    uint64_t (*clock)(void); ///< ms since the epoch; NULL: the system's
} tg_hub_config;

int tg_hub_new(const tg_hub_config *config, tg_hub **out, tg_error *e);
void tg_hub_free(tg_hub *h); ///< after all shards are closed
/// Starts a shard on the calling worker thread. `receiver` of hub mails is the shard: the
/// worker finds it with tg_hub_shard().
int tg_shard_open(tg_hub *h, uint32_t worker, tg_wheel *wheel, tg_shard **out);
void tg_shard_close(tg_shard *s);
tg_shard *tg_hub_shard(tg_hub *h, uint32_t worker);
/// @return the store has not answered for all that the shard gave it.
bool tg_shard_committing(const tg_shard *s);
/// End of a loop turn: grouped mails and store writes of this turn leave.
void tg_shard_turn(tg_shard *s);

/// Sets the store and its completion door. Before the first session, control thread; restores
/// what it holds. NULL: memory only, every completion comes in the same turn.
/// @param op_new makes an op whose completion calls `done(ctx, code)` on worker `w`.
typedef tg_op tg_hub_op_fn(void *ctx, uint32_t worker, tg_done_fn *done, void *done_ctx);
int tg_hub_set_store(tg_hub *h, const tg_store *store, tg_hub_op_fn *op_new, void *ctx,
                     tg_error *e);

/// How a shard speaks to what a session is attached to.
typedef struct tg_link {
    /// As tg_adapter's on_deliver and on_session_end.
    int (*deliver)(void *link, tg_session s, const tg_delivery *d);
    /// @param number what tg_session_link() had kept for the link.
    void (*ended)(void *link, tg_session s, uint16_t number, int reason);
} tg_link;

/// As tg_session_api, with the shard in front. `ops` and `link` must live until close, ended()
/// or the failed `done`. Whatever was under way for the session then is completed with
/// TG_E_CANCELLED before close returns or ended() is called, and nothing is called after it.
/// Completions that wait for no store are called from tg_shard_turn(), but those of publish,
/// which come before it returns. An open that a later one overtakes fails with TG_E_TAKENOVER.
int tg_session_open(tg_shard *sh, const tg_link *ops, void *link,
                    const tg_session_spec *spec, tg_opened_fn *done, void *ctx);
int tg_session_close(tg_shard *sh, tg_session h, unsigned flags);
/// Cancels opens that are still under way for `link`: their done() is not called.
void tg_session_cancel(tg_shard *sh, void *link);
int tg_session_set_expiry(tg_shard *sh, tg_session h, uint32_t seconds);
int tg_session_subscribe(tg_shard *sh, tg_session h, tg_slice filter, const tg_sub *sub,
                         tg_done_fn *done, void *ctx);
int tg_session_unsubscribe(tg_shard *sh, tg_session h, tg_slice filter, tg_done_fn *done,
                           void *ctx);
int tg_session_publish(tg_shard *sh, tg_session h, tg_msg m, tg_published_fn *done,
                       void *ctx);
int tg_session_publish_once(tg_shard *sh, tg_session h, uint16_t packet_id, tg_msg m,
                            tg_published_fn *done, void *ctx);
int tg_session_sync(tg_shard *sh, tg_session h, tg_done_fn *done, void *ctx);
int tg_session_ack(tg_shard *sh, tg_session h, uint16_t packet_id, tg_ack how);
int tg_session_rx_add(tg_shard *sh, tg_session h, uint16_t packet_id);
int tg_session_rx_del(tg_shard *sh, tg_session h, uint16_t packet_id);
int tg_session_resume(tg_shard *sh, tg_session h);
int tg_session_client_id(tg_shard *sh, tg_session h, tg_slice *out);
/// The link that holds it, and a number that the link may keep with it, 0 since the open.
/// @return NULL: stale, or a link of other `ops`.
void *tg_session_link(tg_shard *sh, tg_session h, const tg_link *ops, uint16_t **number);
const tg_value *tg_session_attributes(tg_shard *sh, tg_session h);
int tg_session_user(tg_shard *sh, tg_session h, tg_slice *out); ///< empty: anonymous
int tg_session_expiry(tg_shard *sh, tg_session h, uint32_t *out);
/// On the shard's thread: a report of the host itself, under "$SYS/". Not counted, and not
/// stored; it reaches its subscribers in a later turn. @return 0, TG_E_NOMEM, TG_E_MALFORMED.
int tg_shard_status(tg_shard *sh, tg_slice topic, tg_slice payload, bool retain);
/// @return true: some worker's data lane is over its limit; the publisher's read should pause
/// until the function given to tg_shard_on_clear() is called.
bool tg_shard_congested(const tg_shard *sh);
/// `fn` is called on the shard's thread when no lane is over its limit any more.
void tg_shard_on_clear(tg_shard *sh, void (*fn)(void *ctx), void *ctx);

/// Admin. Any thread; the client is ended with TG_E_KICKED on its worker, the session kept or
/// not. @return TG_E_NOTFOUND.
int tg_hub_kick(tg_hub *h, tg_slice client_id, bool forget);

/// A session in a list. Slices are borrowed until the callback returns.
typedef struct tg_session_info {
    tg_slice client_id, user;
    uint32_t worker;
    bool connected;
    uint32_t subscriptions, inflight, queued;
    uint64_t queued_bytes, dropped;
    uint64_t since; ///< ms since the epoch: connected or disconnected
    uint32_t expiry_s;
    tg_session session; ///< as its link has it; 0: not connected
    const tg_value *attributes; ///< NULL none; borrowed
} tg_session_info;
/// Any thread: the worker that has the session or is about to. @return TG_E_NOTFOUND.
int tg_hub_where(tg_hub *h, tg_slice client_id);
/// On the shard's thread: its sessions.
void tg_shard_each_session(tg_shard *sh, void (*each)(void *ctx, const tg_session_info *i),
                           void *ctx);
/// On the shard's thread: the session of `client_id`, if it is here.
void tg_shard_find_session(tg_shard *sh, tg_slice client_id,
                           void (*each)(void *ctx, const tg_session_info *i), void *ctx);
/// On a shard's thread: filters with their number of subscribers, in the order of the trie,
/// after `cursor` (empty: from the start), until `each` returns false.
void tg_shard_each_filter(tg_shard *sh, tg_slice cursor,
                          bool (*each)(void *ctx, tg_slice filter, uint32_t subscribers),
                          void *ctx);
/// On a shard's thread: retained messages that match `filter`, in the order of the trie, behind
/// topic `after` (empty: from the start), until `each` returns false.
int tg_shard_each_retained(tg_shard *sh, tg_slice filter, tg_slice after,
                           bool (*each)(void *ctx, tg_msg m), void *ctx);

// Topics (hub/topic.c).
bool tg_topic_valid(tg_slice topic); ///< MQTT 5.0 §4.7: no wildcards, UTF-8, 1..65535 bytes
bool tg_filter_valid(tg_slice filter); ///< also "$share/<name>/<filter>"
bool tg_topic_matches(tg_slice filter, tg_slice topic);

// Messages (hub/message.c): the table behind "msg". Refs are this worker's.
const tg_msg_api *tg_msg_table(void);
tg_msg tg_msg_new(const tg_msg_spec *spec);
tg_msg tg_msg_ref(tg_msg m);
void tg_msg_unref(tg_msg m);

#endif
