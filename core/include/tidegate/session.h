// SPDX-License-Identifier: Apache-2.0
/// Sessions and the topic router. A session belongs to a client id, whatever the protocol; it
/// outlives its connection by its expiry. One client id has one owner at any moment.
/// Call these on the worker of the connection; `done` comes back there.
#ifndef TIDEGATE_SESSION_H
#define TIDEGATE_SESSION_H

#include "message.h"

#define TG_EXPIRY_NEVER UINT32_MAX

typedef struct tg_will {
    uint32_t size;
    uint32_t delay_s; ///< 0: at once when the connection is lost
    tg_msg_spec message;
} tg_will;

typedef struct tg_session_spec {
    uint32_t size;
    uint8_t clean_start; ///< drop what an earlier session of this id left
    uint8_t drop_overflow; ///< reserved, 0
    uint16_t receive_max; ///< QoS above 0 in flight to the peer; 0: the host's limit
    tg_slice client_id;
    tg_slice user; ///< as authenticated; empty: anonymous
    uint32_t expiry_s; ///< after the connection ends; 0 with it, TG_EXPIRY_NEVER
    const tg_will *will; ///< NULL none
    /// A map, e.g. what auth returned; NULL none. Names that begin with a $ are the host's:
    /// "$adapter", and "$down", a topic where commands wait while the device is away
    /// ("${device}" in it is the client id).
    const tg_value *attributes;
} tg_session_spec;

/// @param code 0, TG_E_CLOSED (the connection went first), TG_E_BUSY, TG_E_LIMIT, TG_E_IO,
///        TG_E_TAKENOVER (a later open of the same id went first).
/// @param present an earlier session was taken up again.
typedef void tg_opened_fn(void *ctx, int code, tg_session s, bool present);

typedef enum tg_sub_flag {
    TG_SUB_NO_LOCAL = 1 << 0,
    TG_SUB_RETAIN_AS_PUBLISHED = 1 << 1,
    TG_SUB_RETAIN_IF_NEW = 1 << 2, ///< retained messages only when the filter is new
    TG_SUB_RETAIN_NEVER = 1 << 3,
} tg_sub_flag;

typedef struct tg_sub {
    uint32_t size;
    uint8_t qos; ///< highest QoS the subscriber wants
    uint8_t flags; ///< tg_sub_flag
    uint16_t reserved;
    uint32_t sub_id; ///< subscription identifier; 0 none
} tg_sub;

typedef enum tg_close_flag {
    TG_CLOSE_KEEP_WILL = 1 << 0, ///< not a normal end: the will is published
    TG_CLOSE_END_SESSION = 1 << 1, ///< forget it now, whatever its expiry
} tg_close_flag;

typedef enum tg_ack {
    TG_ACK_DONE, ///< QoS 1 PUBACK, QoS 2 PUBCOMP: leaves the window
    TG_ACK_RECEIVED, ///< QoS 2 PUBREC: from now on only the release is due
    TG_ACK_REFUSED, ///< PUBACK or PUBREC with an error: leaves the window, counted
    TG_ACK_DONE_1, ///< as TG_ACK_DONE, but nothing that has another QoS than 1
    TG_ACK_DONE_2, ///< as TG_ACK_DONE, but nothing that has another QoS than 2
    TG_ACK_REFUSED_1, ///< PUBACK with an error: nothing that has another QoS than 1
    TG_ACK_REFUSED_2, ///< PUBREC with an error: nothing that has another QoS than 2
} tg_ack;

/// @param code 0; TG_E_FULL when a receiver's queue dropped it; TG_E_IO when the store failed.
/// @param receivers how many sessions it was routed to (0: nobody).
typedef void tg_published_fn(void *ctx, int code, uint32_t receivers);

typedef struct tg_session_api {
    uint32_t size;

    /// Binds a session to `c`, taking it over from wherever it is. A connection may hold many.
    /// The session's queue is delivered after `done` has returned.
    int (*open)(tg_conn c, const tg_session_spec *spec, tg_opened_fn *done, void *ctx);

    /// Unbinds it: it lives on for its expiry. @param flags tg_close_flag.
    int (*close)(tg_session s, unsigned flags);

    int (*set_expiry)(tg_session s, uint32_t seconds);

    /// @return 0 when the filter was valid: `done` comes with 0 once it is in force (and
    /// stored), followed by the retained messages it asks for. TG_E_MALFORMED: no valid
    /// filter. TG_E_LIMIT: too many subscriptions. TG_E_DENIED: $SYS is not for it to read.
    int (*subscribe)(tg_session s, tg_slice filter, const tg_sub *sub, tg_done_fn *done,
                     void *ctx);
    /// `done` gets TG_E_NOTFOUND when there was no such subscription.
    int (*unsubscribe)(tg_session s, tg_slice filter, tg_done_fn *done, void *ctx);

    /// Routes `m` to every session that wants it, and keeps it if it is retained.
    /// @param s who publishes; {0} for the plugin itself.
    /// @param done NULL when nobody waits. It fires once, when every durable receiver has been
    ///        committed; completions of one session keep the order of their publishes. With a
    ///        store that is not durable it fires before publish() returns.
    /// @owner takes its own reference. @return TG_E_MALFORMED: no valid topic; TG_E_DENIED: one
    /// under $SYS, which is the host's.
    int (*publish)(tg_session s, tg_msg m, tg_published_fn *done, void *ctx);

    /// The peer answered delivery `packet_id`. @return 0; TG_E_NOTFOUND when none such is out;
    /// 1 for TG_ACK_RECEIVED when the store must know of it first: then do not release it, but
    /// wait for the delivery that says `released`.
    int (*ack)(tg_session s, uint16_t packet_id, tg_ack how);

    /// QoS 2 from the peer: remembers `packet_id` until rx_del, across reconnects; across a
    /// restart as well once publish_once() has answered.
    /// @return 0 new; TG_E_EXISTS: already received, do not publish again; TG_E_LIMIT;
    /// TG_E_INVAL: 0 is no id.
    int (*rx_add)(tg_session s, uint16_t packet_id);
    /// @return 0; TG_E_NOTFOUND when it was not held; 1 when the store must forget it first: the
    /// peer may use the id again only once sync() has answered.
    int (*rx_del)(tg_session s, uint16_t packet_id);

    /// The connection takes messages again after on_deliver answered TG_E_FULL. The host calls
    /// it from the connection's low-water mark; an adapter with a limit of its own may too.
    int (*resume)(tg_session s);

    /// @return 0 and the slice, borrowed until the session ends.
    int (*client_id)(tg_session s, tg_slice *out);
    /// @return the map given as `attributes` to open(), or NULL.
    const tg_value *(*attributes)(tg_session s);

    /// The expiry that was granted: what open() or set_expiry() asked for, cut to the host's
    /// limit (`limits.session_expiry`). @return 0 and seconds, or TG_EXPIRY_NEVER, in `out`.
    int (*expiry)(tg_session s, uint32_t *out);

    /// As publish(), for a message that came under `packet_id`, which rx_add() has taken: `done`
    /// fires when the id is safe, too, which it is only after every durable receiver. So a
    /// message that the peer sends again after a crash is neither lost nor doubled; for that
    /// its publisher must be the client id of `s`.
    /// @param m NULL: rx_add() said TG_E_EXISTS. Then `done` fires, with one receiver, when what
    ///        came under the id before is safe; with an error when that was not kept.
    /// @param done not NULL. @return as publish().
    int (*publish_once)(tg_session s, uint16_t packet_id, tg_msg m, tg_published_fn *done,
                        void *ctx);

    /// `done` fires when the store has all that `s` was asked to do before.
    int (*sync)(tg_session s, tg_done_fn *done, void *ctx);
} tg_session_api;

#endif
