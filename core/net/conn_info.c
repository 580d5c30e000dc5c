// SPDX-License-Identifier: Apache-2.0
// What is known of a connection: for the room above, and for the log.
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "net/listener_impl.h"

uint64_t tg_conn_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t tg_net_heard(const tg_net_conn *c)
{
    uint64_t at =
        tg_conn_clock() - (tg_worker_ms(tg_conn_own(c)->origin->worker) - c->heard);
    return at > c->opened ? at : c->opened; // two clocks: one is coarser
}

bool tg_net_closing(const tg_net_conn *c)
{
    return tg_conn_check(c)->closing;
}

bool tg_net_throttled(const tg_net_conn *c)
{
    return tg_conn_check(c)->throttled;
}

void *tg_net_user(tg_net_conn *c)
{
    return tg_conn_check(c)->user;
}

tg_net_conn *tg_net_of(const void *user)
{
    return tg_conn_check(
        (const tg_net_conn *)((const char *)user - offsetof(tg_net_conn, user)));
}

tg_worker *tg_net_worker(const tg_net_conn *c)
{
    return tg_conn_check(c)->origin->worker;
}

struct tg_listener *tg_net_listener(const tg_net_conn *c)
{
    return tg_conn_check(c)->origin->listener;
}

// Kept for the next who asks: a connection that opens is asked for by its adapter, by auth and
// perhaps by a log, and none of them needs it for longer.
const char *tg_conn_peer(const tg_net_conn *c)
{
    tg_worker *w = c->origin->worker;
    if (w->peer_of == c)
        return w->peer_text;
    w->peer_of = c;
    w->peer_text[0] = '\0';
    if (c->peer.any.sa_family != AF_UNSPEC)
        tg_addr_text(&c->peer, w->peer_text, sizeof(w->peer_text));
    return w->peer_text;
}

void tg_conn_complain(tg_net_conn *c, tg_log_module module, const char *why)
{
    uint32_t held;
    const tg_listener *l = c->origin->listener;
    if (!tg_log_on(module, TG_LOG_WARN) ||
        !tg_log_gate_pass(&c->origin->gate, tg_worker_now(c->origin->worker),
                          TG_LOGS_A_MINUTE, &held))
        return;
    const tg_field fields[] = {TG_F("listener", l != NULL ? tg_listener_name(l) : ""),
                               TG_F("peer", tg_conn_peer(c)), TG_F("reason", why),
                               TG_FN("left_out", held)};
    bool first = l == NULL; // a dialed one has no listener
    tg_log_write(module, TG_LOG_WARN, fields + first, 3u - first + (held > 0),
                 "connection ended");
}

void tg_net_info(const tg_net_conn *c, tg_conn_info *out)
{
    tg_conn_own(c);
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    if (c->more->udp != NULL || c->origin->datagrams)
        out->transport = TG_UDP;
    else
        out->transport = c->origin->tls != NULL ? TG_TLS : TG_TCP;
    out->worker = c->origin->worker->index;
    out->outgoing = c->outgoing;
    out->peer = tg_str(tg_conn_peer(c));
    if (c->origin->listener != NULL)
        out->listener = tg_str(tg_listener_name(c->origin->listener));
    out->cert_cn = tg_secure_cn(c);
    out->opened = c->opened;
    out->bytes_in = c->bytes_in;
    out->bytes_out = c->bytes_out;
}
