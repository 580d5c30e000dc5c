// SPDX-License-Identifier: Apache-2.0
// Outgoing connections: look the host up, try its addresses in their order, and if none
// works out pause and begin again. The connection is the same object from the first moment
// on, so its owner can close it at any time; what only dialing needs hangs on `dial` and
// goes when the connection is open. One for datagrams has a connected socket of its own and
// is a stream to the rest of the room, but for the bounds of its datagrams.
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "net/conn_impl.h"

#define TIMEOUT_MS 10000
#define BACKOFF_MAX_MS 60000

// Outlives its connection when that is closed while libuv looks up.
typedef struct lookup {
    uv_getaddrinfo_t req;
    tg_net_conn *conn; // NULL: nobody waits any more
} lookup;

struct tg_dialing {
    lookup *lookup; // under way
    struct addrinfo *found, *next;
    char *host;
    char port[8];
    uint32_t timeout_ms, backoff_ms, backoff_max_ms;
    uint32_t pause_ms; // of the last pause
    int error; // why the last address did not work out
    bool told; // the trouble was logged
};

static void look_up(tg_net_conn *c);

static void forget_lookup(tg_dialing *d)
{
    if (d->lookup == NULL)
        return;
    d->lookup->conn = NULL;
    uv_cancel((uv_req_t *)&d->lookup->req);
    d->lookup = NULL;
}

static void forget_addresses(tg_dialing *d)
{
    if (d->found != NULL)
        uv_freeaddrinfo(d->found);
    d->found = d->next = NULL;
}

void tg_dial_done(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    if (d == NULL)
        return;
    forget_lookup(d);
    forget_addresses(d);
    free(d->host);
    free(d);
    c->more->dial = NULL;
}

const char *tg_dial_host(const tg_net_conn *c)
{
    return c->more->dial != NULL ? c->more->dial->host : NULL;
}

static void log_trouble(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    const tg_field fields[] = {TG_F("host", d->host), TG_F("port", d->port),
                               TG_F("reason", tg_error_text(d->error))};
    if (!d->told && tg_log_on(TG_MOD_NET, TG_LOG_WARN))
        tg_log_write(TG_MOD_NET, TG_LOG_WARN, fields, 3, "cannot connect%s",
                     d->backoff_ms > 0 ? "; trying again" : "");
    d->told = true;
}

// The pause doubles up to its maximum; half of it is random, so that many dialers that lost
// the same peer do not come back together.
static void back_off(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    log_trouble(c);
    if (d->backoff_ms == 0) {
        tg_conn_abort(c, d->error);
        return;
    }
    uint32_t ms = d->pause_ms == 0 ? d->backoff_ms : d->pause_ms;
    d->pause_ms = ms < d->backoff_max_ms / 2 ? ms * 2 : d->backoff_max_ms;
    if (ms > d->backoff_max_ms)
        ms = d->backoff_max_ms;
    tg_metric_add(c->origin->worker->all->metrics.dials_retried, 1);
    c->state = TG_ST_IDLE;
    tg_conn_phase(c, ms / 2 + (uint32_t)(tg_random() % (ms / 2 + 1)) + 1);
}

static int socket_type(const tg_origin *o)
{
    return o->datagrams ? SOCK_DGRAM : SOCK_STREAM;
}

static int begin_connect(tg_net_conn *c, const struct addrinfo *a)
{
    memcpy(&c->peer, a->ai_addr, a->ai_addrlen);
    if (c->origin->worker->peer_of == c)
        c->origin->worker->peer_of = NULL;
    int on = 1, type = socket_type(c->origin);
    int fd = socket(a->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return tg_conn_errno(errno);
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS) {
        int code = tg_conn_errno(errno);
        close(fd);
        return code;
    }
    c->fd = fd;
    return 0;
}

static void next_address(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    while (d->next != NULL) {
        const struct addrinfo *a = d->next;
        d->next = a->ai_next;
        if (a->ai_addrlen > sizeof(c->peer))
            continue;
        int rc = begin_connect(c, a);
        if (rc == 0) {
            c->state = TG_ST_CONNECT;
            tg_conn_phase(c, d->timeout_ms);
            tg_conn_poll(c);
            return;
        }
        d->error = rc;
    }
    back_off(c);
}

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    lookup *l = TG_OWNER(req, lookup, req);
    tg_net_conn *c = l->conn;
    free(l);
    if (c == NULL) {
        if (found != NULL)
            uv_freeaddrinfo(found);
        return;
    }
    tg_worker_enter(c->origin->worker);
    c->more->dial->lookup = NULL;
    if (status != 0) {
        c->more->dial->error = TG_E_RESOLVE;
        back_off(c);
        return;
    }
    c->more->dial->found = c->more->dial->next = found;
    next_address(c);
}

// An address needs no thread: of libuv's few, names that nobody resolves may hold all that
// do look-ups, for as long as a name server is away.
static bool is_address(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    const struct addrinfo hints = {.ai_socktype = socket_type(c->origin),
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (getaddrinfo(d->host, d->port, &hints, &d->found) != 0)
        return false;
    d->next = d->found;
    c->state = TG_ST_IDLE;
    tg_conn_todo(c, TG_TODO_NEXT); // not at once: who dials has no connection yet
    return true;
}

static void look_up(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    const struct addrinfo hints = {.ai_socktype = socket_type(c->origin)};
    forget_addresses(d);
    if (is_address(c))
        return;
    c->state = TG_ST_RESOLVE;
    lookup *l = calloc(1, sizeof(*l));
    if (l != NULL) {
        l->conn = c;
        if (uv_getaddrinfo(&c->origin->worker->loop, &l->req, on_found, d->host, d->port,
                           &hints) == 0) {
            d->lookup = l;
            tg_conn_phase(c, d->timeout_ms);
            return;
        }
        free(l);
    }
    d->error = TG_E_RESOLVE;
    back_off(c);
}

void tg_dial_next(tg_net_conn *c)
{
    tg_secure_free(c);
    next_address(c);
}

// Not at once: events of the socket that is closed here may still be gone through.
void tg_dial_failed(tg_net_conn *c, int code)
{
    c->more->dial->error = code;
    c->state = TG_ST_IDLE;
    c->blocked = c->hung_up = false;
    tg_conn_phase(c, 0);
    tg_conn_detach(c);
    tg_conn_todo(c, TG_TODO_NEXT);
}

void tg_dial_ready(tg_net_conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0)
        tg_dial_failed(c, tg_conn_errno(error));
    else
        tg_conn_established(c);
}

void tg_dial_expired(tg_net_conn *c)
{
    tg_dialing *d = c->more->dial;
    if (d == NULL)
        return;
    if (c->state == TG_ST_IDLE) {
        if (d->error == TG_E_TLS)
            tg_dial_tls_refresh(c->origin->worker, c->origin->tls);
        look_up(c);
    } else if (c->state == TG_ST_RESOLVE) {
        forget_lookup(d);
        d->error = TG_E_RESOLVE;
        back_off(c);
    } else {
        tg_dial_failed(c, TG_E_TIMEOUT);
    }
}

static void gone(tg_origin *o)
{
    tg_tls_unref(o->tls);
    free(o);
}

static int origin_new(tg_worker *w, const tg_dial *where, const tg_net_events *events,
                      const tg_net_limits *limits, tg_origin **out)
{
    tg_origin *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return TG_E_NOMEM;
    o->events = *events;
    if (limits != NULL)
        o->limits = *limits;
    o->gone = gone;
    o->worker = w;
    o->datagrams = where->udp;
    tg_error e = {0};
    int rc = where->tls ? tg_dial_tls(w, where, &o->tls, &e) : 0;
    if (rc != 0) {
        tg_log(TLS, WARN, "cannot dial %.*s: %s", (int)where->host.len, where->host.at,
               e.message);
        free(o);
        return rc;
    }
    *out = o;
    return 0;
}

static tg_dialing *dialing_new(const tg_dial *where)
{
    tg_dialing *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->host = strndup(where->host.at, where->host.len);
    if (d->host == NULL) {
        free(d);
        return NULL;
    }
    snprintf(d->port, sizeof(d->port), "%u", where->port);
    d->timeout_ms = (uint32_t)tg_conn_limit(where->timeout_ms, TIMEOUT_MS);
    d->backoff_ms = where->backoff_ms;
    d->backoff_max_ms = (uint32_t)tg_conn_limit(where->backoff_max_ms, BACKOFF_MAX_MS);
    return d;
}

int tg_net_dial(const tg_dial *where, const tg_net_events *events,
                const tg_net_limits *limits, void (*user_init)(void *user, void *arg),
                void *arg, tg_net_conn **out)
{
    tg_worker *w = tg_worker_here();
    assert(w != NULL && events->on_data != NULL);
    if (where->host.len == 0 || where->port == 0 || (where->udp && where->tls))
        return TG_E_INVAL;
    if (w->stopping)
        return TG_E_SHUTDOWN;
    tg_origin *o = NULL;
    int rc = origin_new(w, where, events, limits, &o);
    if (rc != 0)
        return rc;
    tg_dialing *d = dialing_new(where);
    tg_net_conn *c = d != NULL ? tg_conn_new(w, o) : NULL;
    if (c == NULL) {
        if (d != NULL)
            free(d->host);
        free(d);
        gone(o);
        return TG_E_NOMEM;
    }
    c->outgoing = true;
    c->more->dial = d;
    if (user_init != NULL)
        user_init(c->user, arg);
    look_up(c);
    *out = c;
    return 0;
}
