// SPDX-License-Identifier: Apache-2.0
// One simulated client: a socket, perhaps TLS on it, and the bytes both ways. It writes at once
// and asks epoll only when the socket is full; it reads packets where they arrived and keeps
// only a cut one.
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load/engine.h"

static void watch(tg_crew *c, tg_peer *p, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    if (epoll_ctl(c->ep, op, p->fd, &e) < 0)
        tg_crew_error(c, "epoll: %s", strerror(errno));
}

void tg_peer_close(tg_crew *c, tg_peer *p)
{
    if (p->state == TG_PEER_READY)
        tg_tally(&c->open, (uint64_t)-1);
    if (p->ssl != NULL) // a session that is not marked as shut down is not resumed
        SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->ssl);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->ssl = NULL;
    p->state = TG_PEER_CLOSED;
    p->blocked = false;
    tg_buf_free(&p->in);
    tg_buf_free(&p->out);
    p->due = tg_churn_next(c->o->away_ms);
}

static void give_up(tg_crew *c, tg_peer *p, const char *what, const char *why)
{
    tg_crew_error(c, "%s: %s", what, why);
    if (!p->known)
        tg_tally(&c->failed, 1);
    tg_peer_close(c, p);
}

static const char *why(ssize_t rc)
{
    return rc == 0         ? "closed by the server"
           : rc == -EPROTO ? "broken TLS stream"
                           : strerror((int)-rc);
}

static void lose(tg_crew *c, tg_peer *p, ssize_t rc)
{
    give_up(c, p, p->state == TG_PEER_READY ? "connection" : "connect", why(rc));
}

void tg_peer_open(tg_crew *c, tg_peer *p)
{
    p->began = tg_now_ns();
    p->due = p->began + c->o->timeout_ms * 1000000;
    p->fd = tg_target_dial(&c->run->to, p->index);
    if (p->fd < 0) {
        int rc = p->fd;
        p->fd = -1;
        give_up(c, p, "connect", strerror(-rc));
        return;
    }
    p->state = TG_PEER_CONNECTING;
    watch(c, p, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

// @return false: the connection is gone.
static bool flush(tg_crew *c, tg_peer *p)
{
    size_t at = 0;
    ssize_t n = 0;
    while (at < p->out.len && n >= 0) {
        n = tg_peer_write(p, p->out.at + at, p->out.len - at);
        at += n > 0 ? (size_t)n : 0;
        if (n == -EINTR)
            n = 0;
    }
    tg_buf_drop(&p->out, at);
    if (n >= 0)
        return true;
    if (n != -EAGAIN) {
        lose(c, p, n);
        return false;
    }
    p->blocked = true;
    watch(c, p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return true;
}

void tg_peer_flush(tg_crew *c, tg_peer *p)
{
    if (p->state >= TG_PEER_GREETING && p->out.len > 0 && !p->blocked)
        flush(c, p);
}

uint16_t tg_peer_next_id(tg_peer *p)
{
    p->next_id = p->next_id == UINT16_MAX ? 1 : p->next_id + 1;
    return p->next_id;
}

void tg_peer_subscribe(tg_crew *c, tg_peer *p, tg_slice filter)
{
    tg_wire_subscribe(&p->out, c->o->version, tg_peer_next_id(p), filter, c->run->sub_qos);
    p->subacks++;
    if (p->out.len >= TG_OUT_MAX)
        tg_peer_flush(c, p);
}

static void greet(tg_crew *c, tg_peer *p)
{
    char id[96];
    const tg_load_options *o = c->o;
    bool clean = (o->scenario != TG_LOAD_CHURN && !o->durable) || c->clean;
    int n = snprintf(id, sizeof(id), "%s-%u", c->run->id, p->index);
    tg_wire_hello hello = {.version = o->version,
                           .keepalive_s = o->keepalive_s,
                           .clean = clean,
                           .expiry_s = clean ? 0 : 3600,
                           .client_id = {id, (size_t)n},
                           .user = tg_str(o->user),
                           .password = tg_str(o->password)};
    p->state = TG_PEER_GREETING;
    watch(c, p, EPOLL_CTL_MOD, EPOLLIN);
    tg_wire_connect(&p->out, &hello);
    flush(c, p);
}

static void go_on_handshake(tg_crew *c, tg_peer *p)
{
    bool write = false;
    int rc = tg_tls_handshake(c, p, &write);
    if (rc == 1) {
        greet(c, p);
    } else if (rc == -EAGAIN) {
        watch(c, p, EPOLL_CTL_MOD, write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    } else {
        if (!p->known)
            tg_tally(&c->failed, 1);
        tg_peer_close(c, p);
    }
}

static void on_connected(tg_crew *c, tg_peer *p)
{
    int error = tg_socket_error(p->fd);
    if (error != 0) {
        give_up(c, p, "connect", strerror(error));
    } else if (c->tls == NULL) {
        greet(c, p);
    } else if (tg_tls_begin(c, p) < 0) {
        give_up(c, p, "TLS", "cannot begin");
    } else {
        p->state = TG_PEER_HANDSHAKE;
        go_on_handshake(c, p);
    }
}

// @return false: the peer is closed, and `bytes` may be gone with it.
static bool take_packets(tg_crew *c, tg_peer *p, tg_slice bytes, size_t *used)
{
    tg_wire_packet packet;
    *used = 0;
    for (size_t n; *used < bytes.len; *used += n) {
        n = tg_wire_take((tg_slice){bytes.at + *used, bytes.len - *used}, &packet);
        if (n == 0)
            break;
        if (!tg_packet_take(c, p, &packet))
            return false;
    }
    return true;
}

static bool take_bytes(tg_crew *c, tg_peer *p, tg_slice fresh)
{
    size_t used;
    c->now = tg_now_ns();
    if (p->in.len == 0) {
        if (!take_packets(c, p, fresh, &used))
            return false;
        tg_buf_put(&p->in, fresh.at + used, fresh.len - used);
    } else {
        tg_buf_put(&p->in, fresh.at, fresh.len);
        if (!take_packets(c, p, tg_buf_slice(&p->in), &used))
            return false;
        tg_buf_drop(&p->in, used);
    }
    if (p->in.len < TG_IN_MAX && !p->in.failed && !p->out.failed)
        return true;
    give_up(c, p, "connection", "a packet that is larger than any that was sent");
    return false;
}

static void on_readable(tg_crew *c, tg_peer *p)
{
    ssize_t n;
    do { // epoll does not see what OpenSSL has read already
        n = tg_peer_read(p, c->buf, TG_IN_SIZE);
        if (n == -EAGAIN || n == -EINTR)
            break;
        if (n <= 0) {
            lose(c, p, n);
            return;
        }
        if (!take_bytes(c, p, (tg_slice){c->buf, (size_t)n}))
            return;
    } while (p->ssl != NULL);
    tg_peer_flush(c, p);
}

static void on_writable(tg_crew *c, tg_peer *p)
{
    p->blocked = false;
    watch(c, p, EPOLL_CTL_MOD, EPOLLIN);
    if (flush(c, p) && p->flow != NULL && !p->blocked)
        tg_flow_ready(c, p->flow);
}

void tg_peer_event(tg_crew *c, tg_peer *p, uint32_t events)
{
    switch ((tg_peer_state)p->state) {
    case TG_PEER_CLOSED: // by an event of the same turn
        break;
    case TG_PEER_CONNECTING:
        on_connected(c, p);
        break;
    case TG_PEER_HANDSHAKE:
        go_on_handshake(c, p);
        break;
    case TG_PEER_GREETING:
    case TG_PEER_READY:
        if ((events & EPOLLOUT) != 0)
            on_writable(c, p);
        if (p->state >= TG_PEER_GREETING && (events & ~(uint32_t)EPOLLOUT) != 0)
            on_readable(c, p);
        break;
    }
}
