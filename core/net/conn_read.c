// SPDX-License-Identifier: Apache-2.0
// All connections of a worker read into its one buffer. A connection owns memory only while
// on_data left something unused; a small rest is put back in front of the next bytes, into
// room that the buffer has for it, so that a half frame never copies what follows it.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/udp.h"

#define UNREAD_MAX (1024 * 1024)
#define READS_AWAY 4 // of a closing connection in one turn

bool tg_conn_reading(const tg_net_conn *c)
{
    if (c->fd < 0 || c->hung_up)
        return false;
    switch (c->state) {
    case TG_ST_OPEN:
        return !c->paused && !c->throttled && !(c->todo & TG_TODO_SHOW);
    case TG_ST_HANDSHAKE:
    case TG_ST_DRAIN:
    case TG_ST_LINGER:
        return true;
    default:
        return false;
    }
}

static ssize_t receive(tg_net_conn *c, size_t room)
{
    ssize_t n;
    do
        n = recv(c->fd, c->origin->worker->in + TG_READ_HEAD, room, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

// @return true when bytes came; what else came has been dealt with.
static bool received(tg_net_conn *c, ssize_t n)
{
    if (n > 0)
        return true;
    if (n == 0 && c->origin->datagrams)
        return false; // an empty one says nothing
    if (n == 0)
        tg_conn_hang_up(c);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        c->state == TG_ST_HANDSHAKE ? tg_conn_failed(c, tg_conn_errno(errno))
                                    : tg_conn_abort(c, tg_conn_errno(errno));
    return false;
}

void tg_conn_read(tg_net_conn *c)
{
    tg_worker *w = c->origin->worker;
    ssize_t n = receive(c, c->more->rate != NULL ? tg_rate_room(c) : TG_READ_MAX);
    if (!received(c, n))
        return;
    tg_conn_count_in(c, (size_t)n);
    w->bytes_in += (size_t)n;
    if (c->more->rate != NULL)
        tg_rate_read(c, (size_t)n);
    if (c->more->secure != NULL)
        tg_secure_read(c, w->in + TG_READ_HEAD, (size_t)n);
    else
        tg_conn_deliver(c, w->in + TG_READ_HEAD, (size_t)n);
}

void tg_conn_read_away(tg_net_conn *c)
{
    for (int i = 0; i < READS_AWAY && tg_conn_reading(c); i++)
        if (!received(c, receive(c, TG_READ_MAX)))
            return;
}

bool tg_conn_keep(tg_net_conn *c, const char *at, size_t len, size_t more)
{
    tg_kept *k = c->kept;
    size_t have = tg_conn_kept(c), need = have + len + more;
    if (need > UINT32_MAX / 2)
        return false;
    if (k == NULL || need > k->cap) {
        size_t cap = have == 0 ? need : need + need / 2;
        tg_kept *grown = realloc(k, sizeof(*k) + cap);
        if (grown == NULL)
            return false;
        c->kept = k = grown;
        k->len = (uint32_t)have;
        k->cap = (uint32_t)cap;
    }
    memcpy(k->at + have, at, len);
    k->len += (uint32_t)len;
    return true;
}

static void let_go(tg_net_conn *c)
{
    free(c->kept);
    c->kept = NULL;
}

size_t tg_conn_hand(tg_net_conn *c, const char *at, size_t len)
{
    c->origin->worker->called = true;
    c->showing = true;
    int64_t used = c->origin->events.on_data(c, c->user, (tg_slice){at, len});
    c->showing = false;
    assert(used <= (int64_t)len);
    if (used < 0)
        tg_net_close(c, (int)used);
    else if (used > 0) // half a frame is nothing yet: one that never ends keeps nobody
        c->heard = tg_worker_ms(c->origin->worker);
    return c->closing ? len : (size_t)used;
}

static void check_unread(tg_net_conn *c)
{
    size_t most = tg_conn_limit(c->origin->limits.unread_max, UNREAD_MAX);
    if (c->paused || c->throttled || c->closing || tg_conn_kept(c) <= most)
        return;
    tg_conn_complain(c, TG_MOD_NET, "too many bytes that nobody could use");
    tg_net_close(c, TG_E_TOOBIG);
}

void tg_conn_forget_kept(tg_net_conn *c, size_t len)
{
    tg_kept *k = c->kept;
    k->len -= (uint32_t)len;
    if (k->len == 0)
        let_go(c);
    else if (len > 0)
        memmove(k->at, k->at + len, k->len);
}

/// What is left of a datagram does not go on in the next one.
static bool ends_here(const tg_net_conn *c)
{
    return c->origin->datagrams && !c->paused && !c->throttled;
}

static void show_kept(tg_net_conn *c)
{
    size_t used = tg_conn_hand(c, c->kept->at, c->kept->len);
    tg_conn_forget_kept(c, ends_here(c) ? c->kept->len : used);
    check_unread(c);
}

static void show(tg_net_conn *c, const char *at, size_t len)
{
    size_t used = tg_conn_hand(c, at, len);
    if (used == len || ends_here(c))
        let_go(c);
    else if (!tg_conn_keep(c, at + used, len - used, 0))
        tg_conn_abort(c, TG_E_NOMEM);
    else
        check_unread(c);
}

void tg_conn_deliver(tg_net_conn *c, char *at, size_t len)
{
    if (c->closing)
        return;
    bool waits = c->paused || (c->todo & TG_TODO_SHOW);
    if (waits || tg_conn_kept(c) > TG_READ_HEAD) {
        if (!tg_conn_keep(c, at, len, 0))
            tg_conn_abort(c, TG_E_NOMEM);
        else if (!waits)
            show_kept(c);
        return;
    }
    size_t kept = tg_conn_kept(c);
    if (kept > 0) {
        at -= kept;
        len += kept;
        memcpy(at, c->kept->at, kept);
        c->kept->len = 0;
    }
    show(c, at, len);
}

void tg_conn_show(tg_net_conn *c)
{
    if (c->closing || c->paused || tg_conn_kept(c) == 0)
        return;
    if (c->more->udp != NULL)
        tg_peer_show(c);
    else
        show_kept(c);
}
