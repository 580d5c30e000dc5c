// SPDX-License-Identifier: Apache-2.0
// Datagrams on their way out: one a send, all of a port in one queue, so that the answers
// to many peers leave together. The kernel's buffer is rarely full; then the queue grows to
// a bound, and a send past it is refused like one to a slow stream.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/udp.h"

#define OUT_BYTES (4u << 20) // of a port
#define OUT_COUNT 16384u
#define SENDS 64 // of one system call

struct tg_datagram {
    tg_datagram *next;
    tg_net_conn *conn;
    size_t len;
    char bytes[];
};

/// Takes off the one that `at` leads to.
static void take_off(tg_port *p, tg_datagram **at)
{
    tg_datagram *d = *at;
    tg_net_conn *c = d->conn;
    *at = d->next;
    if (*at == NULL)
        p->out_end = at;
    p->out_bytes -= d->len;
    p->out_count--;
    c->more->udp->pending -= d->len;
    if (c->state == TG_ST_DRAIN && c->more->udp->pending == 0)
        tg_conn_todo(c, TG_TODO_FLUSH); // it has said its last
    free(d);
}

void tg_peer_drop(tg_net_conn *c)
{
    tg_port *p = c->more->udp->port;
    for (tg_datagram **at = &p->out; c->more->udp->pending > 0 && *at != NULL;) {
        if ((*at)->conn == c)
            take_off(p, at);
        else
            at = &(*at)->next;
    }
}

void tg_port_drop(tg_port *p)
{
    while (p->out != NULL)
        take_off(p, &p->out);
}

static bool has_room(const tg_net_conn *c, size_t len)
{
    const tg_port *p = c->more->udp->port;
    size_t most = tg_conn_limit(c->origin->limits.write_max, TG_WRITE_MAX);
    bool own = c->more->udp->pending == 0 || c->more->udp->pending + len <= most;
    return own && p->out_count < OUT_COUNT &&
           (p->out_count == 0 || p->out_bytes + len <= OUT_BYTES);
}

static int refuse(tg_net_conn *c)
{
    tg_port *p = c->more->udp->port;
    c->was_full = true;
    tg_list_del(&c->more->udp->full);
    tg_list_add(&p->full, &c->more->udp->full);
    tg_listener_count(c->origin->listener, "send_full");
    return TG_E_FULL;
}

int tg_peer_send(tg_net_conn *c, tg_slice head, tg_slice tail)
{
    tg_port *p = c->more->udp->port;
    size_t len = head.len + tail.len;
    if (len > TG_DATAGRAM_MAX)
        return TG_E_TOOBIG;
    if (len == 0)
        return 0;
    if (!has_room(c, len))
        tg_port_flush(p);
    if (!has_room(c, len))
        return refuse(c);
    tg_datagram *d = malloc(sizeof(*d) + len);
    if (d == NULL)
        return TG_E_NOMEM;
    d->next = NULL;
    d->conn = c;
    d->len = len;
    if (head.len > 0)
        memcpy(d->bytes, head.at, head.len);
    if (tail.len > 0)
        memcpy(d->bytes + head.len, tail.at, tail.len);
    *p->out_end = d;
    p->out_end = &d->next;
    p->out_bytes += len;
    p->out_count++;
    c->more->udp->pending += len;
    tg_conn_todo(c, TG_TODO_FLUSH);
    return 0;
}

/// What sendmmsg() needs besides the bytes.
typedef struct outlet {
    struct mmsghdr msgs[SENDS];
    struct iovec iov[SENDS];
    tg_addr to[SENDS];
    _Alignas(struct cmsghdr) char control[SENDS][CMSG_SPACE(sizeof(struct in6_pktinfo))];
} outlet;

/// A socket for both families knows IPv4 addresses as mapped ones.
static void map(tg_addr *a)
{
    struct sockaddr_in v4 = a->v4;
    memset(a, 0, sizeof(*a));
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = v4.sin_port;
    a->v6.sin6_addr.s6_addr[10] = a->v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&a->v6.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
}

/// The answer leaves from the address that the peer spoke to.
static void put_local(struct msghdr *m, char *control, const tg_local_addr *local, bool six)
{
    size_t size = six ? sizeof(struct in6_pktinfo) : sizeof(struct in_pktinfo);
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(size);
    memset(control, 0, m->msg_controllen);
    struct cmsghdr *h = CMSG_FIRSTHDR(m);
    h->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
    h->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
    h->cmsg_len = CMSG_LEN(size);
    const struct in_pktinfo four = {.ipi_spec_dst = local->v4};
    const struct in6_pktinfo info = {.ipi6_addr = local->v6};
    memcpy(CMSG_DATA(h), six ? (const void *)&info : (const void *)&four, size);
}

static unsigned prepare(const tg_port *p, outlet *o)
{
    bool six = p->acceptor->origin.listener->where.any.sa_family == AF_INET6;
    unsigned n = 0;
    for (tg_datagram *d = p->out; d != NULL && n < SENDS; d = d->next, n++) {
        o->to[n] = d->conn->peer;
        if (six && o->to[n].any.sa_family == AF_INET)
            map(&o->to[n]);
        o->iov[n] = (struct iovec){d->bytes, d->len};
        o->msgs[n].msg_hdr = (struct msghdr){.msg_name = &o->to[n],
                                             .msg_namelen = tg_addr_len(&o->to[n]),
                                             .msg_iov = &o->iov[n],
                                             .msg_iovlen = 1};
        if (p->wildcard)
            put_local(&o->msgs[n].msg_hdr, o->control[n], &d->conn->more->udp->local, six);
    }
    return n;
}

static void sent(tg_port *p, int n)
{
    tg_worker *w = p->acceptor->worker;
    for (; n > 0; n--) {
        const tg_datagram *d = p->out;
        tg_conn_count_out(d->conn, d->len);
        d->conn->moved = tg_worker_ms(w);
        w->bytes_out += d->len;
        take_off(p, &p->out);
    }
}

/// One that the kernel will not take (no route, too long for the path) must not stop the
/// others.
static void failed(tg_port *p, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK) {
        p->blocked = true;
        tg_port_watch(p);
        return;
    }
    tg_listener_count(p->acceptor->origin.listener, "send_failed");
    take_off(p, &p->out);
}

static void tell_full(tg_port *p)
{
    while (!tg_list_empty(&p->full)) {
        tg_peer *peer = TG_OWNER(p->full.next, tg_peer, full);
        tg_list_del(&peer->full);
        tg_conn_todo(peer->conn, TG_TODO_FLUSH); // which tells that it is writable
    }
}

void tg_port_flush(tg_port *p)
{
    outlet o;
    while (p->out != NULL && !p->blocked && !p->acceptor->closed) {
        unsigned n = prepare(p, &o);
        int rc;
        do
            rc = sendmmsg(p->acceptor->fd, o.msgs, n, MSG_NOSIGNAL);
        while (rc < 0 && errno == EINTR);
        p->acceptor->worker->writes++;
        if (rc < 0)
            failed(p, errno);
        else
            sent(p, rc);
    }
    if (p->out == NULL)
        tell_full(p);
}
