// SPDX-License-Identifier: Apache-2.0
// A listener's part on one worker. When accepting has to rest, for a rate or for want of
// descriptors, the poll is stopped and an alarm starts it again: connections wait in the
// kernel's backlog and the loop does not spin.
//
// Stopping without a reset: the socket first gets a filter that lets no new SYN in (the
// peer tries again a second later, and finds whoever listens then); then the queue is
// accepted until it stays empty for a moment, so that handshakes under way are served too.
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metric.h"
#include "net/udp.h"

#define ACCEPTS 64 // of one event: others want the loop, too
#define BACKOFF_MS 50 // after the descriptors ran out; doubles
#define BACKOFF_MAX_MS 5000
#define DRAIN_MS 60 // so long the queue must have been empty
#define DRAINS 20

static void on_ready(tg_io *io, unsigned events);
static void on_alarm(tg_alarm *al);

static tg_listener *listener_of(const tg_acceptor *a)
{
    return a->origin.listener;
}

static void gone(tg_origin *o)
{
    tg_acceptor *a = TG_OWNER(o, tg_acceptor, origin);
    tg_listener *l = a->origin.listener;
    tg_port_free(a->origin.port);
    free(a);
    tg_listener_unref(l);
}

int tg_acceptor_start(tg_listener *l, tg_worker *w, int fd, const tg_net_events *events,
                      const tg_net_limits *limits)
{
    tg_acceptor *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return TG_E_NOMEM;
    tg_io_init(&a->io, fd, l->udp ? tg_port_ready : on_ready);
    a->origin = (tg_origin){.refs = 1,
                            .events = *events,
                            .limits = *limits,
                            .tls = l->tls,
                            .listener = l,
                            .metrics = &l->metrics,
                            .worker = w,
                            .gone = gone};
    a->worker = w;
    a->fd = fd;
    tg_list_add(&w->acceptors, &a->node);
    tg_listener_ref(l);
    l->at[w->index] = a;
    int rc = l->udp ? tg_port_new(a) : 0;
    if (rc == 0)
        rc = tg_io_want(w, &a->io, TG_IO_READ);
    if (rc != 0) {
        a->fd = -1; // the caller's
        tg_acceptor_close(a);
        return TG_E_NOMEM;
    }
    if (l->udp)
        tg_datagrams_let_in(fd);
    return 0;
}

static void on_closed(tg_io *io)
{
    tg_acceptor *a = TG_OWNER(io, tg_acceptor, io);
    tg_list_del(&a->node);
    if (--a->origin.refs == 0)
        a->origin.gone(&a->origin);
}

void tg_acceptor_close(tg_acceptor *a)
{
    if (a->closed)
        return;
    a->closed = true;
    listener_of(a)->at[a->worker->index] = NULL;
    tg_wheel_del(a->worker->wheel, &a->alarm);
    tg_io_close(a->worker, &a->io, on_closed);
    if (a->fd >= 0)
        close(a->fd);
    if (a->origin.port != NULL)
        tg_port_close(a->origin.port);
}

static void rest(tg_acceptor *a, uint64_t ms)
{
    tg_io_want(a->worker, &a->io, 0);
    tg_wheel_add(tg_worker_wheel(a->worker), &a->alarm, ms, on_alarm);
}

// All workers run out together, and again with each descriptor that comes free: one line a
// minute says it for the process.
static bool says_it(tg_acceptor *a)
{
    uint64_t now = tg_worker_now(a->worker);
    uint_fast64_t next = atomic_load(&a->worker->all->fds_said_at);
    return now >= next &&
           atomic_compare_exchange_strong(&a->worker->all->fds_said_at, &next, now + 60000);
}

static void rest_for_fds(tg_acceptor *a, const char *why)
{
    uint32_t ms = a->backoff_ms == 0 ? BACKOFF_MS : a->backoff_ms * 2;
    a->backoff_ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
    tg_metric_add(a->worker->all->metrics.fd_pauses, 1);
    tg_listener_count(listener_of(a), "paused_descriptors");
    if (tg_log_on(TG_MOD_NET, TG_LOG_ERROR) && says_it(a)) {
        const tg_field fields[] = {TG_F("listener", listener_of(a)->name),
                                   TG_F("reason", why)};
        tg_log_write(TG_MOD_NET, TG_LOG_ERROR, fields, 2,
                     "accepting pauses until there are descriptors again");
    }
    rest(a, a->backoff_ms);
}

static void log_refusal(tg_acceptor *a, const tg_addr *peer, const char *event)
{
    uint32_t held;
    if (!tg_log_on(TG_MOD_NET, TG_LOG_WARN) ||
        !tg_log_gate_pass(&a->origin.gate, tg_worker_now(a->worker), TG_LOGS_A_MINUTE,
                          &held))
        return;
    char text[INET6_ADDRSTRLEN + 10];
    tg_addr_text(peer, text, sizeof(text));
    const tg_field fields[] = {TG_F("listener", listener_of(a)->name), TG_F("peer", text),
                               TG_F("reason", event), TG_FN("left_out", held)};
    tg_log_write(TG_MOD_NET, TG_LOG_WARN, fields, held > 0 ? 4 : 3, "connection refused");
}

void tg_acceptor_refused(tg_acceptor *a, const tg_addr *peer, const char *event)
{
    tg_listener_count(listener_of(a), event);
    log_refusal(a, peer, event);
}

static void refuse(tg_acceptor *a, int fd, const tg_addr *peer, const char *event)
{
    tg_acceptor_refused(a, peer, event);
    close(fd); // last: who sees it may look at the counter
}

void tg_unadmit(tg_listener *l, const tg_addr *peer, bool by_addr)
{
    if (by_addr)
        tg_addr_table_del(l->by_addr, peer);
    atomic_fetch_sub(&l->connections, 1);
}

void tg_listener_leave(tg_net_conn *c)
{
    if (c->counted)
        tg_unadmit(c->origin->listener, &c->peer, c->counted_addr);
    c->counted = false;
}

const char *tg_admit(tg_listener *l, const tg_net_limits *limits, const tg_addr *peer,
                     bool *by_addr)
{
    if (!tg_admit_total(l, limits->connections))
        return "refused_connections";
    *by_addr = limits->per_address != 0;
    int rc = *by_addr ? tg_addr_table_add(l->by_addr, peer, limits->per_address) : 0;
    if (rc == 0)
        return NULL;
    atomic_fetch_sub(&l->connections, 1);
    return rc == TG_E_LIMIT ? "refused_address" : "refused_memory";
}

static void serve(tg_acceptor *a, int fd, const tg_addr *peer)
{
    tg_listener *l = listener_of(a);
    bool by_addr = false;
    const char *event = tg_admit(l, &a->origin.limits, peer, &by_addr);
    if (event != NULL) {
        refuse(a, fd, peer, event);
        return;
    }
    tg_net_conn *c = tg_conn_new(a->worker, &a->origin);
    if (c == NULL) {
        tg_unadmit(l, peer, by_addr);
        refuse(a, fd, peer, "refused_memory");
        return;
    }
    c->peer = *peer;
    c->counted = true;
    c->counted_addr = by_addr;
    int rc = l->user_init != NULL ? l->user_init(c, c->user, l->arg) : 0;
    if (rc < 0) {
        c->closing = c->told = true; // no event has been, and none will be
        tg_conn_abort(c, rc);
        refuse(a, fd, peer, "refused_setup");
        return;
    }
    c->fd = fd;
    tg_listener_count(l, "accepted");
    tg_conn_established(c);
}

// @return false: no more for now.
static bool failed(tg_acceptor *a, int error)
{
    switch (error) {
    case EAGAIN:
        tg_admit_refund(listener_of(a), a->draining ? 0 : a->origin.limits.accept_rate);
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        rest_for_fds(a, strerror(error));
        return false;
    default: // the peer has gone between its handshake and here
        return true;
    }
}

static bool may_accept(tg_acceptor *a)
{
    uint64_t us =
        a->draining ? 0 : tg_admit_wait(listener_of(a), a->origin.limits.accept_rate);
    if (us == 0)
        return true;
    rest(a, us / 1000 + 1);
    return false;
}

static bool accept_one(tg_acceptor *a)
{
    tg_addr peer = {0};
    socklen_t len = sizeof(peer);
    int fd = accept4(a->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return failed(a, errno);
    tg_addr_unmap(&peer);
    if (!tg_descriptor_free(fd)) {
        refuse(a, fd, &peer, "refused_descriptors");
        rest_for_fds(a, "only the reserve is left");
        return false;
    }
    a->backoff_ms = 0;
    serve(a, fd, &peer);
    return !a->closed;
}

static void on_ready(tg_io *io, unsigned events)
{
    tg_acceptor *a = TG_OWNER(io, tg_acceptor, io);
    if (events == TG_IO_BROKEN) {
        rest(a, BACKOFF_MS);
        return;
    }
    for (int i = 0; i < ACCEPTS; i++)
        if (!may_accept(a) || !accept_one(a))
            return;
}

// Takes all that is in the queue. @return how many.
static uint32_t drain(tg_acceptor *a)
{
    uint32_t n = 0;
    while (accept_one(a))
        n++;
    return n;
}

static void on_alarm(tg_alarm *al)
{
    tg_acceptor *a = TG_OWNER(al, tg_acceptor, alarm);
    if (!a->draining) {
        if (tg_io_want(a->worker, &a->io, TG_IO_READ) != 0)
            rest(a, BACKOFF_MS);
        return;
    }
    uint32_t n = a->drains-- > 0 ? drain(a) : 0;
    if (tg_alarm_armed(&a->alarm)) // short of descriptors: it tries again
        return;
    if (n == 0)
        tg_acceptor_close(a);
    else
        tg_wheel_add(tg_worker_wheel(a->worker), &a->alarm, DRAIN_MS, on_alarm);
}

// Passes all but the first packet of a new connection: flags are byte 13 of the TCP header,
// 0x02 is SYN and 0x10 is ACK.
static void refuse_syns(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void tg_acceptor_stop(tg_acceptor *a)
{
    if (a->draining || a->closed)
        return;
    if (a->origin.port != NULL) {
        tg_port_stop(a->origin.port);
        return;
    }
    a->draining = true;
    a->drains = DRAINS;
    refuse_syns(a->fd);
    tg_wheel_del(a->worker->wheel, &a->alarm);
    drain(a);
    if (!tg_alarm_armed(&a->alarm))
        tg_wheel_add(tg_worker_wheel(a->worker), &a->alarm, DRAIN_MS, on_alarm);
}

void tg_acceptors_stop(tg_worker *w)
{
    for (tg_list *n = w->acceptors.next; n != &w->acceptors; n = n->next)
        tg_acceptor_stop(TG_OWNER(n, tg_acceptor, node));
}

void tg_acceptors_close(tg_worker *w)
{
    for (tg_list *n = w->acceptors.next; n != &w->acceptors; n = n->next)
        tg_acceptor_close(TG_OWNER(n, tg_acceptor, node));
}
