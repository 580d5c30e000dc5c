// SPDX-License-Identifier: Apache-2.0
/// Datagrams: one socket a worker and many peers on it, each of them a connection. Nobody
/// outside this room includes it.
#ifndef TG_NET_UDP_H
#define TG_NET_UDP_H

#include "net/listener_impl.h"

#define TG_DATAGRAM_MAX 65507 ///< what UDP over IPv4 carries
#define TG_PORT_KEPT_MAX (16u << 20) ///< bytes kept for all peers of a port

typedef struct tg_datagram tg_datagram; ///< on its way out

/// A worker's part of a datagram listener.
struct tg_port {
    tg_acceptor *acceptor;
    tg_map peers; // address to connection
    tg_list fresh; // peers that nothing is bound to, quiet for longest first
    tg_list full; // peers that a send was refused to
    tg_datagram *out, **out_end; // in the order of their sends
    size_t out_bytes;
    size_t kept; // bytes of memory in which peers' datagrams wait to be listened to
    uint32_t out_count;
    uint32_t alive; // connections, with those that are closing
    bool wildcard; // bound to all addresses: answers leave from the one that was spoken to
    bool blocked; // the socket takes no more
};

/// The address of ours that a peer speaks to. Of the socket's family.
typedef union tg_local_addr {
    struct in_addr v4;
    struct in6_addr v6;
} tg_local_addr;

/// What a connection over datagrams has besides.
struct tg_peer {
    tg_port *port;
    tg_net_conn *conn;
    tg_list fresh, full; // of the port's
    size_t pending; // bytes that wait to leave
    uint32_t shown; // how much of the first kept datagram was used
    uint32_t kept; // its part of the port's
    bool known; // in `peers`
    tg_local_addr local;
};

/// Makes the port of `a`, whose descriptor is a bound socket. @return 0, TG_E_NOMEM.
int tg_port_new(tg_acceptor *a);
void tg_port_free(tg_port *p); ///< nobody is alive any more
void tg_port_ready(tg_io *io, unsigned events);
void tg_port_watch(tg_port *p); ///< waits for what it has to do
void tg_port_stop(tg_port *p); ///< newcomers are refused; it closes after its last peer
void tg_port_close(tg_port *p); ///< the socket goes: its peers are forgotten

// What connections do differently.
void tg_peer_leave(tg_net_conn *c); ///< it is closing: its address is somebody new's
void tg_peer_free(tg_net_conn *c);
void tg_peer_show(tg_net_conn *c); ///< kept datagrams

// udp_out.c
int tg_peer_send(tg_net_conn *c, tg_slice head, tg_slice tail);
void tg_peer_drop(tg_net_conn *c); ///< what waits to leave
void tg_port_flush(tg_port *p);
void tg_port_drop(tg_port *p); ///< all that waits

// listener.c
/// A datagram socket gets nothing until its whole group is bound: the kernel spreads peers
/// over the sockets that there are.
void tg_datagrams_hold(int fd);
void tg_datagrams_let_in(int fd);

#endif
