// SPDX-License-Identifier: Apache-2.0
/// Listeners: one socket per worker on the same address. Opened and closed by the control
/// thread; each worker accepts for itself.
#ifndef TG_NET_LISTENER_H
#define TG_NET_LISTENER_H

#include "net/conn.h"

typedef struct tg_listener tg_listener;

typedef struct tg_listener_spec {
    tg_slice name; ///< unique; copied
    tg_slice bind; ///< "127.0.0.1:1883", "[::]:8883", "*:5023" (both families), port 0: any
    uint32_t backlog; ///< 0: 1024
    bool tls;
    bool udp; ///< peers' datagrams, each peer a connection
    tg_tls_spec tls_spec;
    tg_net_limits limits;
    tg_net_events events;
    /// Sets up the user bytes of an accepted connection before any event; on its worker.
    /// @return 0 or TG_E_* to refuse it.
    int (*user_init)(tg_net_conn *c, void *user, void *arg);
    void *arg;
} tg_listener_spec;

/// "127.0.0.1:1883", "[::1]:1883", "*:1883"; any thread. @return 0, TG_E_INVAL and what is wanted.
int tg_listener_check_bind(tg_slice bind, tg_error *e);
/// Control thread. Listens on every worker, or on none. @return TG_E_INVAL, TG_E_IO, TG_E_TLS.
int tg_listener_open(tg_workers *ws, const tg_listener_spec *spec, tg_listener **out,
                     tg_error *e);
/// Control thread. Stops accepting after the accept queues are drained; connections stay.
/// The listener's memory goes with its last connection.
void tg_listener_close(tg_listener *l);
/// Control thread. New limits, for new connections and new accepts.
void tg_listener_set_limits(tg_listener *l, const tg_net_limits *limits);
int tg_listener_reload_tls(tg_listener *l, tg_error *e);
const char *tg_listener_name(const tg_listener *l);
/// "127.0.0.1:1883": as bound, with the real port. Lives as long as the listener.
const char *tg_listener_address(const tg_listener *l);
void *tg_listener_arg(const tg_listener *l);
/// Counts a connection refused or closed, or a peer's mistake: counter
/// tidegate_listener_events_total{listener,event}. Any worker.
void tg_listener_count(tg_listener *l, const char *event);
uint32_t tg_listener_connections(const tg_listener *l);

/// Descriptors kept back so that the admin API can answer when devices have taken the rest.
int tg_net_reserve(uint32_t descriptors);

#endif
