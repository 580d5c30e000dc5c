// SPDX-License-Identifier: Apache-2.0
/// Connections, accepted or dialed, plain or TLS: one object with one set of events. Knows
/// bytes, limits and time; knows no frames, no devices and no topics.
#ifndef TG_NET_CONN_H
#define TG_NET_CONN_H

#include "net/worker.h"
#include "tidegate/adapter.h"

typedef struct tg_net_conn tg_net_conn;
typedef struct tg_tls tg_tls; ///< a TLS context: one per listener or dialer

/// What the room above does with a connection. All on the connection's worker. A peer's
/// datagrams are a connection, too: then each send is one datagram, on_data gets one at a
/// time, and what it leaves of it is dropped and counted, unless it has paused.
typedef struct tg_net_events {
    uint32_t
        user_size; ///< bytes carried for the room above, zeroed, in the same allocation

    /// Up: TLS is through. @return 0 or TG_E_* to close.
    int (*on_open)(tg_net_conn *c, void *user);
    /// Bytes, borrowed. @return how many were used; the rest is kept and shown again in front
    /// of the next. TG_E_* closes. After tg_net_pause() inside, the rest is shown on resume.
    int64_t (*on_data)(tg_net_conn *c, void *user, tg_slice data);
    void (*on_idle)(tg_net_conn *c, void *user);
    void (*on_writable)(tg_net_conn *c, void *user);
    /// Exactly once; the connection is freed afterwards. Also for a dial that failed.
    void (*on_close)(tg_net_conn *c, void *user, int reason);
} tg_net_events;

/// Limits of a listener or a dialer; 0 means none where not said otherwise.
typedef struct tg_net_limits {
    uint32_t connections; ///< in all
    uint32_t per_address; ///< an IPv6 /64 counts as one
    uint32_t accept_rate; ///< a second; more wait in the backlog
    uint32_t bytes_rate; ///< a second and connection: the read pauses
    uint32_t messages_rate; ///< a second and connection, counted by tg_net_count_message()
    uint32_t first_frame_ms; ///< until tg_net_ready()
    uint32_t handshake_ms; ///< TLS; 0: 10,000
    uint32_t unread_max; ///< bytes kept unused in front of the next; 0: 1 MiB
    uint32_t write_max; ///< bytes waiting to leave; 0: 1 MiB
    uint32_t quiet_ms; ///< datagrams: a peer that says nothing for so long is forgotten,
        ///< unless the room above sets a time of its own
    uint32_t write_stall_ms; ///< a peer that takes nothing for so long is closed; 0: 60,000
} tg_net_limits;

/// @owner copies. @return TG_E_CLOSED, TG_E_FULL (nothing was queued).
int tg_net_send(tg_net_conn *c, tg_slice bytes);
/// `tail` is sent by reference; `release(owner)` is called once it has left or was dropped.
int tg_net_send_ref(tg_net_conn *c, tg_slice head, tg_slice tail,
                    void (*release)(void *owner), void *owner);
/// Flush, FIN, read away, close; on_close comes from a later turn with `reason`.
void tg_net_close(tg_net_conn *c, int reason);
void tg_net_pause(tg_net_conn *c);
void tg_net_resume(tg_net_conn *c);
/// on_idle after `ms` in which on_data used no byte; 0 switches it off.
void tg_net_set_idle(tg_net_conn *c, uint32_t ms);
void tg_net_ready(tg_net_conn *c);
/// Something is bound to the connection, or not any more. Over datagrams a peer that is not
/// settled makes room for newcomers when there are too many; streams do not mind.
void tg_net_settle(tg_net_conn *c, bool settled);
/// Counts one message against messages_rate; may pause the read until the budget is back.
void tg_net_count_message(tg_net_conn *c);
/// A rate's budget is used up: on_data may return early, the rest is shown when it is back.
bool tg_net_throttled(const tg_net_conn *c);
size_t tg_net_pending(const tg_net_conn *c);
bool tg_net_closing(const tg_net_conn *c);
/// When its peer last said something of use, ms since the epoch.
uint64_t tg_net_heard(const tg_net_conn *c);
void *tg_net_user(tg_net_conn *c);
tg_net_conn *tg_net_of(const void *user); ///< the connection that carries these user bytes
tg_worker *tg_net_worker(const tg_net_conn *c);
/// The listener it came from; NULL for a dialed one.
struct tg_listener *tg_net_listener(const tg_net_conn *c);
/// transport, peer, cert_cn, opened, bytes_*; slices live as long as the connection, `peer`
/// until the worker asks for another's.
void tg_net_info(const tg_net_conn *c, tg_conn_info *out);

/// Opens an outgoing connection on the calling worker. `user_init` sets up the user bytes
/// before any event. @return 0 and the connection: on_open or on_close follows, never before
/// the call has returned.
int tg_net_dial(const tg_dial *where, const tg_net_events *events,
                const tg_net_limits *limits, void (*user_init)(void *user, void *arg),
                void *arg, tg_net_conn **out);

/// Connections of this worker, for shutdown, kicking and lists.
void tg_net_each(tg_worker *w, void (*each)(void *ctx, tg_net_conn *c), void *ctx);

/// TLS settings. Files are PEM.
typedef struct tg_tls_spec {
    bool server;
    bool verify_peer; ///< server: a client certificate is required; client: the server's
    bool optional_peer; ///< server: asked for, not required
    uint8_t min_version; ///< 12 or 13
    tg_slice cert_file, key_file, ca_file, ciphers;
} tg_tls_spec;

/// @return TG_E_TLS with the file and OpenSSL's reason in `e`.
int tg_tls_new(const tg_tls_spec *spec, tg_tls **out, tg_error *e);
/// Reads the files again; on failure the old certificate stays. Connections keep theirs.
int tg_tls_reload(tg_tls *t, tg_error *e);
void tg_tls_unref(tg_tls *t);

#endif
