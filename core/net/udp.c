// SPDX-License-Identifier: Apache-2.0
// Peers without connections of their own: a datagram belongs to the connection of its
// sender's address, and the first one from an address makes it. The kernel hashes addresses
// over the workers' sockets (SO_REUSEPORT), so a peer stays on its worker for as long as
// the group of sockets does not change; when a listener's address gets a new listener, the
// old group goes first, and its peers begin anew.
//
// Addresses are easily forged. A newcomer costs a connection, and those are bounded: at the
// bound the peer that has been quiet for longest makes room, of those that nothing is bound
// to; when there is none, the newcomer is refused. Nothing is ever sent to a peer before
// the room above does so.
#include "net/udp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SLOTS 32 // datagrams of one system call
#define SLOT_SIZE 65536 // pages of it that no datagram reaches are never touched
#define BATCHES 4 // of one event: others want the loop, too
#define PEERS_MAX 65536 // where the listener names no limit
#define KEPT_MAX (64 * 1024) // bytes of a peer that is not listened to at the moment
#define KEPT_HEAD (sizeof(tg_kept) + sizeof(uint32_t)) // of one that is kept

/// What recvmmsg() needs besides the bytes.
typedef struct intake {
    struct mmsghdr msgs[SLOTS];
    struct iovec iov[SLOTS];
    tg_addr from[SLOTS];
    _Alignas(struct cmsghdr) char control[SLOTS][64];
} intake;

static void count(const tg_port *p, const char *event)
{
    tg_listener_count(p->acceptor->origin.listener, event);
}

// The port.

static bool is_wildcard(const tg_addr *a)
{
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr)
                                        : a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static void ask_for_addresses(const tg_acceptor *a)
{
    int on = 1;
    if (a->origin.listener->where.any.sa_family == AF_INET6)
        setsockopt(a->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else
        setsockopt(a->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

int tg_port_new(tg_acceptor *a)
{
    if (a->worker->datagrams == NULL)
        a->worker->datagrams = malloc((size_t)SLOTS * SLOT_SIZE);
    tg_port *p = a->worker->datagrams != NULL ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL)
        return TG_E_NOMEM;
    p->acceptor = a;
    tg_list_init(&p->fresh);
    tg_list_init(&p->full);
    p->out_end = &p->out;
    p->wildcard = is_wildcard(&a->origin.listener->where);
    if (p->wildcard)
        ask_for_addresses(a);
    a->origin.port = p;
    return 0;
}

void tg_port_free(tg_port *p)
{
    if (p == NULL)
        return;
    assert(p->alive == 0 && p->out_count == 0);
    tg_map_free(&p->peers);
    free(p);
}

void tg_port_stop(tg_port *p)
{
    p->acceptor->draining = true;
    if (p->alive == 0)
        tg_acceptor_close(p->acceptor);
}

void tg_port_close(tg_port *p)
{
    uint32_t at = 0;
    for (tg_net_conn *c; (c = tg_map_next(&p->peers, &at)) != NULL;)
        tg_conn_abort(c, TG_E_CLOSED);
    tg_port_drop(p);
}

// Peers.

static tg_slice key_of(const tg_addr *a)
{
    return (tg_slice){(const char *)a, tg_addr_len(a)};
}

void tg_peer_leave(tg_net_conn *c)
{
    tg_peer *peer = c->more->udp;
    if (!peer->known)
        return;
    peer->known = false;
    tg_map_del(&peer->port->peers, key_of(&c->peer));
    tg_list_del(&peer->fresh);
}

void tg_peer_free(tg_net_conn *c)
{
    tg_port *p = c->more->udp->port;
    assert(!c->more->udp->known && c->more->udp->pending == 0);
    p->kept -= c->more->udp->kept;
    tg_list_del(&c->more->udp->full);
    free(c->more->udp);
    c->more->udp = NULL;
    if (--p->alive == 0 && p->acceptor->draining)
        tg_acceptor_close(p->acceptor);
}

void tg_net_settle(tg_net_conn *c, bool settled)
{
    tg_peer *peer = c->more->udp;
    if (peer == NULL || !peer->known)
        return;
    tg_list_del(&peer->fresh);
    if (!settled)
        tg_list_add(&peer->port->fresh, &peer->fresh);
}

// The peer that has been quiet for longest makes room: its place is free at once.
static bool make_room(tg_port *p)
{
    if (tg_list_empty(&p->fresh))
        return false;
    const tg_peer *oldest = TG_OWNER(p->fresh.next, tg_peer, fresh);
    tg_net_conn *c = oldest->conn;
    tg_conn_abort(c, TG_E_LIMIT);
    tg_listener_leave(c);
    return true;
}

/// @return NULL, or the event to count the refusal under.
static const char *admit(tg_port *p, const tg_addr *from, bool *by_addr)
{
    tg_acceptor *a = p->acceptor;
    tg_net_limits limits = a->origin.limits;
    if (a->draining)
        return "refused_closing";
    if (tg_admit_wait(a->origin.listener, limits.accept_rate) != 0)
        return "refused_rate";
    limits.connections = (uint32_t)tg_conn_limit(limits.connections, PEERS_MAX);
    const char *event = tg_admit(a->origin.listener, &limits, from, by_addr);
    if (event == NULL || strcmp(event, "refused_connections") != 0 || !make_room(p))
        return event;
    return tg_admit(a->origin.listener, &limits, from, by_addr);
}

static int peer_new(tg_port *p, tg_net_conn *c)
{
    tg_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return TG_E_NOMEM;
    peer->port = p;
    peer->conn = c;
    tg_list_init(&peer->fresh);
    tg_list_init(&peer->full);
    c->more->udp = peer;
    p->alive++;
    int rc = tg_map_add(&p->peers, key_of(&c->peer), c);
    if (rc == 0) {
        peer->known = true;
        tg_list_add(&p->fresh, &peer->fresh);
    }
    return rc;
}

static int set_up(tg_port *p, tg_net_conn *c)
{
    const tg_listener *l = p->acceptor->origin.listener;
    int rc = peer_new(p, c);
    if (rc == 0 && l->user_init != NULL)
        rc = l->user_init(c, c->user, l->arg);
    if (rc < 0) {
        c->closing = c->told = true; // no event has been, and none will be
        if (c->more->udp != NULL)
            tg_peer_leave(c);
        tg_conn_abort(c, rc);
    }
    return rc;
}

static tg_net_conn *newcomer(tg_port *p, const tg_addr *from)
{
    tg_acceptor *a = p->acceptor;
    bool by_addr = false;
    const char *event = admit(p, from, &by_addr);
    if (event != NULL) {
        tg_acceptor_refused(a, from, event);
        return NULL;
    }
    tg_net_conn *c = tg_conn_new(a->worker, &a->origin);
    if (c == NULL) {
        tg_unadmit(a->origin.listener, from, by_addr);
        tg_acceptor_refused(a, from, "refused_memory");
        return NULL;
    }
    c->peer = *from;
    c->counted = true;
    c->counted_addr = by_addr;
    if (set_up(p, c) < 0) {
        tg_acceptor_refused(a, from, "refused_setup");
        return NULL;
    }
    c->idle_ms = a->origin.limits.quiet_ms;
    count(p, "accepted");
    tg_conn_established(c);
    return c->closing ? NULL : c;
}

// Datagrams. Each is shown by itself; what a peer says while nobody listens is kept, with
// its length in front, up to a bound.

static bool listens(const tg_net_conn *c)
{
    return c->state == TG_ST_OPEN && !c->paused && !c->throttled;
}

/// @return true when it is done with; false when the rest waits for a resume.
static bool show(tg_net_conn *c, const char *at, size_t len, size_t *used)
{
    *used = tg_conn_hand(c, at, len);
    if (*used < len && !listens(c))
        return false;
    if (*used < len)
        count(c->more->udp->port, "partial");
    return true;
}

/// What a peer may keep times the peers there may be is more than any machine has: so what all
/// of a port keep is bounded, too.
static bool may_keep(const tg_net_conn *c, size_t len)
{
    size_t most = tg_conn_limit(c->origin->limits.unread_max, KEPT_MAX);
    size_t own = tg_conn_kept(c), all = c->more->udp->port->kept;
    return (own == 0 || own + len <= most) && all + len + KEPT_HEAD <= TG_PORT_KEPT_MAX;
}

/// By what is allocated: that may be more than what is in it.
static void count_kept(tg_net_conn *c)
{
    tg_peer *peer = c->more->udp;
    uint32_t now = c->kept != NULL ? (uint32_t)sizeof(tg_kept) + c->kept->cap : 0;
    peer->port->kept += now;
    peer->port->kept -= peer->kept;
    peer->kept = now;
}

static void keep(tg_net_conn *c, const char *at, size_t len)
{
    uint32_t size = (uint32_t)len;
    if (!may_keep(c, len))
        count(c->more->udp->port, "dropped_busy");
    else if (!tg_conn_keep(c, (const char *)&size, sizeof(size), len) ||
             !tg_conn_keep(c, at, len, 0))
        tg_conn_abort(c, TG_E_NOMEM);
    count_kept(c);
}

void tg_peer_show(tg_net_conn *c)
{
    size_t done = 0;
    while (done < tg_conn_kept(c) && listens(c)) {
        uint32_t len;
        size_t used = 0;
        memcpy(&len, c->kept->at + done, sizeof(len));
        const char *at = c->kept->at + done + sizeof(len);
        if (!show(c, at + c->more->udp->shown, len - c->more->udp->shown, &used)) {
            c->more->udp->shown += (uint32_t)used;
            break;
        }
        c->more->udp->shown = 0;
        done += sizeof(len) + len;
    }
    tg_conn_forget_kept(c, done);
    count_kept(c);
}

static void deliver(tg_net_conn *c, const char *at, size_t len)
{
    tg_port *p = c->more->udp->port;
    c->heard = tg_worker_ms(c->origin->worker);
    tg_conn_count_in(c, len);
    if (!tg_list_empty(&c->more->udp->fresh)) { // to the end: it is the one heard last
        tg_list_del(&c->more->udp->fresh);
        tg_list_add(&p->fresh, &c->more->udp->fresh);
    }
    if (c->throttled) { // a datagram cannot wait in the socket as a stream's bytes do
        count(p, "dropped_rate");
        return;
    }
    if (c->more->rate != NULL)
        tg_rate_read(c, len);
    size_t used = 0;
    if (!listens(c) || tg_conn_kept(c) > 0)
        keep(c, at, len);
    else if (!show(c, at, len, &used))
        keep(c, at + used, len - used);
}

/// The address of ours that the datagram came to.
static void take_local(const struct msghdr *m, tg_local_addr *out)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL;
         h = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, h)) {
        if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(h), sizeof(info));
            out->v4 = info.ipi_spec_dst;
        } else if (h->cmsg_level == IPPROTO_IPV6 && h->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(h), sizeof(info));
            out->v6 = info.ipi6_addr;
        }
    }
}

static void take(tg_port *p, const struct mmsghdr *m, tg_addr *from)
{
    const char *at = m->msg_hdr.msg_iov->iov_base;
    size_t len = m->msg_len;
    p->acceptor->worker->bytes_in += len;
    if (from->any.sa_family == AF_INET6)
        from->v6.sin6_flowinfo = 0; // no part of who it is
    tg_addr_unmap(from);
    if (len == 0 || tg_addr_port(from) == 0)
        return; // says nothing, or nobody could be answered
    tg_net_conn *c = tg_map_find(&p->peers, key_of(from));
    if (c == NULL)
        c = newcomer(p, from);
    if (c == NULL)
        return;
    if (p->wildcard)
        take_local(&m->msg_hdr, &c->more->udp->local);
    deliver(c, at, len);
}

static void prepare(const tg_port *p, intake *in)
{
    char *slots = p->acceptor->worker->datagrams;
    for (int i = 0; i < SLOTS; i++) {
        in->iov[i] = (struct iovec){slots + (size_t)i * SLOT_SIZE, SLOT_SIZE};
        memset(&in->from[i], 0, sizeof(in->from[i]));
        in->msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &in->from[i],
            .msg_namelen = sizeof(in->from[i]),
            .msg_iov = &in->iov[i],
            .msg_iovlen = 1,
            .msg_control = p->wildcard ? in->control[i] : NULL,
            .msg_controllen = p->wildcard ? sizeof(in->control[i]) : 0,
        };
    }
}

static void receive(tg_port *p)
{
    intake in;
    int n = SLOTS;
    for (int batch = 0; batch < BATCHES && n == SLOTS; batch++) {
        prepare(p, &in);
        do
            n = recvmmsg(p->acceptor->fd, in.msgs, SLOTS, 0, NULL);
        while (n < 0 && errno == EINTR);
        for (int i = 0; i < n; i++)
            take(p, &in.msgs[i], &in.from[i]);
    }
}

void tg_port_ready(tg_io *io, unsigned events)
{
    const tg_acceptor *a = TG_OWNER(io, tg_acceptor, io);
    tg_port *p = a->origin.port;
    if (events == TG_IO_BROKEN) { // the socket's error is read away
        int error;
        socklen_t len = sizeof(error);
        getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    if (events & TG_IO_WRITE) {
        p->blocked = false;
        tg_port_flush(p);
    }
    if (events & TG_IO_READ)
        receive(p);
    tg_port_watch(p);
}

void tg_port_watch(tg_port *p)
{
    tg_acceptor *a = p->acceptor;
    if (!a->closed)
        tg_io_want(a->worker, &a->io, p->blocked ? TG_IO_READ | TG_IO_WRITE : TG_IO_READ);
}
