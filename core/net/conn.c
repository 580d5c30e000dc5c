// SPDX-License-Identifier: Apache-2.0
// A connection is a socket and a state; what an event means is in a table by state. Nothing
// is freed or called back under a running callback: what has to follow (writes, on_close,
// kept bytes after a pause, the end of the memory) is noted in `todo` and done by the
// turn's last step.
#include "net/conn_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metric.h"
#include "net/udp.h"

#define HANDSHAKE_MS 10000
#define LAST_READS 16 // of a broken socket, until it gives its error

static void count_open(const tg_net_conn *c, int by)
{
    tg_metric_add(c->origin->worker->all->metrics.connections, by);
    if (c->origin->metrics != NULL)
        tg_metric_add(c->origin->metrics->connections, by);
}

// What a connection has that has none of it: nobody writes here.
static const tg_conn_more nothing;

static bool has_more(const tg_origin *o)
{
    return o->tls != NULL || o->port != NULL || o->listener == NULL ||
           o->limits.bytes_rate != 0 || o->limits.messages_rate != 0;
}

static int add_more(tg_net_conn *c)
{
    tg_conn_more *more = calloc(1, sizeof(*more));
    if (more == NULL)
        return TG_E_NOMEM;
    c->more = more;
    return 0;
}

tg_net_conn *tg_conn_new(tg_worker *w, tg_origin *o)
{
    tg_net_conn *c = calloc(1, sizeof(*c) + o->events.user_size);
    if (c == NULL)
        return NULL;
    c->magic = TG_CONN_MAGIC;
    c->origin = o;
    c->more = (tg_conn_more *)(uintptr_t)&nothing;
    if (has_more(o) && add_more(c) != 0) {
        free(c);
        return NULL;
    }
    c->fd = -1;
    c->opened = tg_conn_clock();
    o->refs++;
    tg_list_add(&w->conns, &c->node);
    w->nconns++;
    count_open(c, 1);
    return c;
}

void tg_conn_count_in(tg_net_conn *c, size_t n)
{
    c->bytes_in += n;
    if (c->origin->metrics != NULL)
        tg_metric_add(c->origin->metrics->bytes_in, (int64_t)n);
}

void tg_conn_count_out(tg_net_conn *c, size_t n)
{
    c->bytes_out += n;
    if (c->origin->metrics != NULL)
        tg_metric_add(c->origin->metrics->bytes_out, (int64_t)n);
}

int tg_conn_errno(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return TG_E_REFUSED;
    case ETIMEDOUT:
        return TG_E_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return TG_E_CLOSED;
    case ENOMEM:
    case ENOBUFS:
        return TG_E_NOMEM;
    default:
        return TG_E_IO;
    }
}

void tg_conn_todo(tg_net_conn *c, unsigned what)
{
    c->todo |= (uint8_t)what;
    if (c->listed)
        return;
    c->listed = true;
    *c->origin->worker->todo_end = c;
    c->origin->worker->todo_end = &c->next_job;
}

// The socket.

void tg_conn_detach(tg_net_conn *c)
{
    if (c->fd < 0)
        return;
    tg_io_conn(c, 0);
    close(c->fd);
    c->fd = -1;
}

static unsigned wanted(const tg_net_conn *c)
{
    unsigned want = tg_conn_reading(c) ? TG_IO_READ : 0;
    return c->blocked || c->state == TG_ST_CONNECT ? want | TG_IO_WRITE : want;
}

static void poll_for(tg_net_conn *c, unsigned want)
{
    int rc = tg_io_conn(c, want);
    if (rc != 0)
        tg_conn_failed(c, rc);
}

// To stop reading costs two system calls and a pause is often over at once: so readability
// stays polled until it is reported to nobody.
void tg_conn_poll(tg_net_conn *c)
{
    if (c->fd >= 0)
        poll_for(c, wanted(c) | (c->mask & TG_IO_READ));
}

// What is queued has left: say so in the transport's words, then wait for the peer's.
static void drained(tg_net_conn *c)
{
    if (c->more->udp != NULL || c->origin->datagrams) { // there is nobody to say it to
        tg_conn_abort(c, c->reason);
        return;
    }
    if (c->more->secure != NULL && !c->notified) {
        c->notified = true;
        if (tg_secure_notify(c) != 0) {
            tg_conn_abort(c, c->reason);
            return;
        }
        if (tg_net_pending(c) > 0)
            return;
    }
    if (shutdown(c->fd, SHUT_WR) != 0 || c->hung_up) {
        tg_conn_abort(c, c->reason);
        return;
    }
    c->state = TG_ST_LINGER;
    tg_conn_phase(c, TG_LINGER_MS);
}

static void tell_writable(tg_net_conn *c)
{
    size_t most = tg_conn_limit(c->origin->limits.write_max, TG_WRITE_MAX);
    if (!c->was_full || c->state != TG_ST_OPEN || tg_net_pending(c) >= most / 2)
        return;
    c->was_full = false;
    c->origin->worker->called = true;
    if (c->origin->events.on_writable != NULL)
        c->origin->events.on_writable(c, c->user);
}

static void flush(tg_net_conn *c)
{
    int rc = tg_conn_flush(c);
    if (rc != 0)
        tg_conn_abort(c, rc);
    else if (c->state == TG_ST_DRAIN && tg_net_pending(c) == 0)
        drained(c);
    else
        tell_writable(c);
    tg_conn_poll(c);
}

static void ready_traffic(tg_net_conn *c, unsigned events)
{
    if (events & TG_IO_WRITE) {
        c->blocked = false;
        flush(c);
    }
    if ((events & TG_IO_READ) && tg_conn_reading(c))
        tg_conn_read(c);
}

static void ready_closing(tg_net_conn *c, unsigned events)
{
    if ((events & TG_IO_WRITE) && c->state == TG_ST_DRAIN) {
        c->blocked = false;
        flush(c);
    }
    if ((events & TG_IO_READ) && tg_conn_reading(c))
        tg_conn_read_away(c);
}

static void ready_connect(tg_net_conn *c, unsigned events)
{
    (void)events;
    tg_dial_ready(c);
}

static void (*const ready[TG_ST_COUNT])(tg_net_conn *c, unsigned events) = {
    [TG_ST_CONNECT] = ready_connect, [TG_ST_HANDSHAKE] = ready_traffic,
    [TG_ST_OPEN] = ready_traffic,    [TG_ST_DRAIN] = ready_closing,
    [TG_ST_LINGER] = ready_closing,
};

// Bytes that came before the error are still to be had.
static void on_broken(tg_net_conn *c)
{
    tg_io_conn(c, 0);
    for (int i = 0; i < LAST_READS && tg_conn_reading(c); i++)
        ready[c->state](c, TG_IO_READ);
    if (c->state != TG_ST_DEAD && c->fd >= 0)
        tg_conn_abort(c, TG_E_CLOSED);
}

void tg_conn_ready(tg_net_conn *c, unsigned events)
{
    if (events == TG_IO_BROKEN && tg_conn_check(c)->state != TG_ST_CONNECT) {
        on_broken(c);
        return;
    }
    bool in_vain = (events & TG_IO_READ) && !tg_conn_reading(c);
    if (ready[tg_conn_check(c)->state] != NULL)
        ready[c->state](c, events);
    if (in_vain && c->fd >= 0)
        poll_for(c, wanted(c));
    else
        tg_conn_poll(c);
}

// Life.

static uint32_t handshake_ms(const tg_net_conn *c)
{
    return (uint32_t)tg_conn_limit(c->origin->limits.handshake_ms, HANDSHAKE_MS);
}

void tg_conn_established(tg_net_conn *c)
{
    c->heard = tg_worker_ms(c->origin->worker);
    if (c->origin->tls == NULL) {
        tg_conn_open(c);
        tg_conn_poll(c);
        return;
    }
    c->state = TG_ST_HANDSHAKE;
    tg_conn_phase(c, handshake_ms(c));
    if (tg_secure_start(c, tg_dial_host(c)) != 0)
        tg_conn_failed(c, TG_E_TLS);
    else
        tg_secure_handshake(c);
    tg_conn_poll(c);
}

void tg_conn_open(tg_net_conn *c)
{
    c->state = TG_ST_OPEN;
    c->had_open = true;
    tg_conn_phase(c, c->origin->limits.first_frame_ms);
    if (c->outgoing)
        tg_metric_add(c->origin->worker->all->metrics.dials_open, 1);
    tg_dial_done(c);
    if (c->idle_ms != 0)
        tg_conn_wake_in(c, c->idle_ms);
    if (tg_rate_new(c) != 0) {
        tg_conn_abort(c, TG_E_NOMEM);
        return;
    }
    if (c->out != NULL)
        tg_conn_todo(c, TG_TODO_FLUSH);
    c->origin->worker->called = true;
    if (c->origin->events.on_open == NULL)
        return;
    int rc = c->origin->events.on_open(c, c->user);
    if (rc < 0)
        tg_net_close(c, rc);
}

static void begin_closing(tg_net_conn *c, int reason)
{
    if (c->closing)
        return;
    c->closing = true;
    c->reason = (int16_t)reason;
    c->phased = false;
    tg_conn_todo(c, TG_TODO_TELL);
    if (c->more->udp != NULL)
        tg_peer_leave(c);
    if (c->origin->listener != NULL)
        tg_listener_count_close(c->origin->listener, reason);
    else if (!c->had_open)
        tg_metric_add(c->origin->worker->all->metrics.dials_failed, 1);
}

void tg_conn_abort(tg_net_conn *c, int reason)
{
    if (c->state == TG_ST_DEAD)
        return;
    begin_closing(c, reason);
    c->state = TG_ST_DEAD;
    c->blocked = false;
    c->phased = false;
    tg_wheel_del(c->origin->worker->wheel, &c->alarm);
    tg_conn_detach(c);
    if (c->more->udp != NULL)
        tg_peer_drop(c);
    if (!c->flushing) // else it does that as soon as nobody counts off the queue any more
        tg_out_drop(c);
    tg_conn_todo(c, TG_TODO_REAP);
}

void tg_conn_failed(tg_net_conn *c, int reason)
{
    if (c->state == TG_ST_DEAD)
        return;
    if (c->more->dial != NULL)
        tg_dial_failed(c, reason);
    else
        tg_conn_abort(c, reason);
}

static void drain(tg_net_conn *c, int reason)
{
    begin_closing(c, reason);
    c->state = TG_ST_DRAIN;
    tg_conn_phase(c, TG_LINGER_MS);
    tg_conn_todo(c, TG_TODO_FLUSH);
}

void tg_conn_tls_broken(tg_net_conn *c)
{
    if (c->state == TG_ST_DEAD || c->more->dial != NULL) {
        tg_conn_failed(c, TG_E_TLS);
        return;
    }
    c->notified = true;
    drain(c, TG_E_TLS);
    tg_out_drop(c); // a release that sends meets a closing connection
}

void tg_net_close(tg_net_conn *c, int reason)
{
    if (tg_conn_own(c)->closing)
        return;
    if (c->state != TG_ST_OPEN) {
        tg_conn_abort(c, reason);
        return;
    }
    drain(c, reason);
}

void tg_conn_hang_up(tg_net_conn *c)
{
    c->hung_up = true;
    if (c->state == TG_ST_OPEN)
        tg_net_close(c, TG_E_CLOSED);
    else if (c->state == TG_ST_HANDSHAKE)
        tg_conn_failed(c, TG_E_CLOSED);
    else if (c->state == TG_ST_LINGER)
        tg_conn_abort(c, c->reason);
    tg_conn_poll(c);
}

static void reap(tg_net_conn *c)
{
    if (c->state != TG_ST_DEAD || !c->told || c->todo != 0)
        return;
    assert(!tg_alarm_armed(&c->alarm));
    tg_list_del(&c->node);
    c->origin->worker->nconns--;
    count_open(c, -1);
    tg_dial_done(c);
    tg_secure_free(c);
    tg_listener_leave(c);
    if (c->more->udp != NULL)
        tg_peer_free(c);
    free(c->kept);
    if (c->more != &nothing) {
        free(c->more->rate);
        free(c->more);
    }
    if (c->origin->worker->peer_of == c)
        c->origin->worker->peer_of = NULL;
    tg_origin *o = c->origin;
    c->magic = 0;
    free(c);
    if (--o->refs == 0)
        o->gone(o);
}

static void tell_closed(tg_net_conn *c)
{
    c->told = true;
    c->origin->worker->called = true;
    if (c->origin->events.on_close != NULL)
        c->origin->events.on_close(c, c->user, c->reason);
}

static void run_todo(tg_net_conn *c)
{
    unsigned what = c->todo;
    c->todo = 0;
    if ((what & TG_TODO_NEXT) && c->state != TG_ST_DEAD)
        tg_dial_next(c);
    if ((what & TG_TODO_SHOW) && c->state == TG_ST_OPEN) {
        tg_conn_show(c);
        tg_conn_poll(c);
    }
    if ((what & TG_TODO_FLUSH) && c->state != TG_ST_DEAD)
        flush(c);
    if ((what & TG_TODO_TELL) && !c->told)
        tell_closed(c);
    reap(c);
}

// Only what was there at the start: the rest belongs to the next round.
void tg_conns_run(tg_worker *w)
{
    tg_net_conn *c = w->todo;
    w->todo = NULL;
    w->todo_end = &w->todo;
    while (c != NULL) {
        tg_net_conn *next = tg_conn_check(c)->next_job;
        c->next_job = NULL;
        c->listed = false;
        run_todo(c);
        c = next;
    }
}

void tg_conns_abort(tg_worker *w, int reason)
{
    for (tg_list *n = w->conns.next; n != &w->conns; n = n->next)
        tg_conn_abort(tg_conn_check(TG_OWNER(n, tg_net_conn, node)), reason);
}

void tg_dials_abort(tg_worker *w)
{
    for (tg_list *n = w->conns.next; n != &w->conns; n = n->next) {
        tg_net_conn *c = tg_conn_check(TG_OWNER(n, tg_net_conn, node));
        if (c->more->dial != NULL)
            tg_conn_abort(c, TG_E_SHUTDOWN);
    }
}

void tg_net_each(tg_worker *w, void (*each)(void *ctx, tg_net_conn *c), void *ctx)
{
    assert(tg_worker_here() == w);
    for (tg_list *n = w->conns.next; n != &w->conns; n = n->next) {
        tg_net_conn *c = tg_conn_check(TG_OWNER(n, tg_net_conn, node));
        if (!c->closing)
            each(ctx, c);
    }
}

// What the room above sets and asks.

void tg_net_pause(tg_net_conn *c)
{
    tg_conn_own(c)->paused =
        true; // the poll is stopped by the next event, if one comes at all
}

void tg_net_resume(tg_net_conn *c)
{
    if (!tg_conn_own(c)->paused)
        return;
    c->paused = false;
    if (c->closing)
        return;
    c->heard = tg_worker_ms(c->origin->worker);
    if (tg_conn_kept(c) > 0 || c->showing) // what on_data is about to leave counts, too
        tg_conn_todo(c, TG_TODO_SHOW);
    else
        tg_conn_poll(c);
}

void tg_net_set_idle(tg_net_conn *c, uint32_t ms)
{
    tg_conn_own(c)->idle_ms = ms < INT32_MAX ? ms : INT32_MAX;
    c->own_idle = ms != 0 || c->more->udp == NULL;
    if (!c->own_idle) // a peer that may be gone for good is never kept for ever
        c->idle_ms = ms = c->origin->limits.quiet_ms;
    c->heard = tg_worker_ms(c->origin->worker);
    if (ms != 0 && c->state == TG_ST_OPEN)
        tg_conn_wake_in(c, ms);
}

void tg_net_ready(tg_net_conn *c)
{
    if (tg_conn_own(c)->state == TG_ST_OPEN)
        c->phased = false;
}

size_t tg_net_pending(const tg_net_conn *c)
{
    if (tg_conn_own(c)->more->udp != NULL)
        return c->more->udp->pending;
    return tg_out_bytes(c) + tg_secure_pending(c);
}
