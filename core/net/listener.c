// SPDX-License-Identifier: Apache-2.0
// Listeners: every worker has a socket of its own on the same address (SO_REUSEPORT) and
// the kernel spreads connections over them. That option would also let two processes, or
// two listeners, share an address by mistake: so a first bind without it says whether the
// address is free.
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metric.h"
#include "net/tls_impl.h"
#include "net/udp.h"

#define LISTENER_MAGIC 0x3a115e0au
#define BACKLOG 1024
#define UDP_BUFFER (4 << 20) // as far as the system lets us

static tg_listener *check(const tg_listener *l)
{
    assert(l != NULL && l->magic == LISTENER_MAGIC);
    return (tg_listener *)l;
}

void tg_listener_ref(tg_listener *l)
{
    atomic_fetch_add(&check(l)->refs, 1);
}

void tg_listener_unref(tg_listener *l)
{
    if (atomic_fetch_sub(&check(l)->refs, 1) > 1)
        return;
    tg_tls_unref(l->tls);
    tg_addr_table_free(l->by_addr);
    pthread_mutex_destroy(&l->event_lock);
    free(l->name);
    l->magic = 0;
    free(l);
}

// Sockets.

void tg_datagrams_hold(int fd)
{
    struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &none};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void tg_datagrams_let_in(int fd)
{
    int unused = 0;
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

static void set_stream(int fd)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); // accepted ones inherit it
}

static void set_datagrams(int fd)
{
    int size = UDP_BUFFER;
    tg_datagrams_hold(fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int sock_new(const tg_addr *a, bool both, bool udp, bool shared)
{
    int type = udp ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(a->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, only6 = !both;
    udp ? set_datagrams(fd) : set_stream(fd);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (a->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
    if (bind(fd, &a->any, tg_addr_len(a)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int close_now(tg_worker *w, void *ctx)
{
    tg_acceptor *a = ((tg_listener *)ctx)->at[tg_worker_index(w)];
    if (a != NULL)
        tg_acceptor_close(a);
    return 0;
}

// One that still drains may keep its address. Datagrams of its peers would be spread over
// the old sockets and the new ones: so there the old ones go now.
static bool is_closing(tg_workers *ws, const tg_addr *a, bool udp)
{
    bool found = false;
    for (tg_list *n = ws->listeners.next; n != &ws->listeners; n = n->next) {
        tg_listener *l = TG_OWNER(n, tg_listener, node);
        if (!l->closing || l->udp != udp || tg_addr_port(&l->where) != tg_addr_port(a))
            continue;
        found = true;
        if (udp)
            tg_workers_call(ws, close_now, l);
    }
    return found;
}

static int probe(tg_workers *ws, const tg_addr *a, bool both, bool udp)
{
    if (tg_addr_port(a) == 0)
        return 0;
    int fd = sock_new(a, both, udp, false);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    return errno == EADDRINUSE && is_closing(ws, a, udp) ? 0 : -1;
}

// A machine without IPv6 has one family: then "both" is the other one.
static void settle_family(tg_addr *a, bool both)
{
    int fd = both ? socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (!both || fd >= 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    uint16_t port = tg_addr_port(a);
    memset(a, 0, sizeof(*a));
    a->v4.sin_family = AF_INET;
    tg_addr_set_port(a, port);
}

typedef struct opening {
    tg_listener *l;
    const tg_listener_spec *spec;
    bool both;
    int fds[TG_WORKERS_MAX];
    uint32_t n;
} opening;

static void close_fds(opening *o)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (o->fds[i] >= 0)
            close(o->fds[i]);
}

// The first socket finds the port where none was given; the others follow it.
static int open_fds(opening *o)
{
    tg_listener *l = o->l;
    uint32_t count = tg_workers_count(l->all);
    int backlog = o->spec->backlog != 0 ? (int)o->spec->backlog : BACKLOG;
    for (; o->n < count; o->n++) {
        int fd = sock_new(&l->where, o->both, l->udp, true);
        if (fd < 0)
            return -1;
        o->fds[o->n] = fd;
        socklen_t len = sizeof(l->where);
        if (getsockname(fd, &l->where.any, &len) != 0 ||
            (!l->udp && listen(fd, backlog) != 0)) {
            o->n++;
            return -1;
        }
    }
    return 0;
}

static int attach(tg_worker *w, void *ctx)
{
    opening *o = ctx;
    uint32_t i = tg_worker_index(w);
    int rc = tg_acceptor_start(o->l, w, o->fds[i], &o->spec->events, &o->spec->limits);
    if (rc == 0)
        o->fds[i] = -1; // the acceptor's
    return rc;
}

static int stop_now(tg_worker *w, void *ctx)
{
    tg_acceptor *a = ((tg_listener *)ctx)->at[tg_worker_index(w)];
    if (a != NULL)
        tg_acceptor_stop(a);
    return 0;
}

static int os_error(const tg_listener_spec *spec, tg_error *e)
{
    return tg_error_set(e, TG_E_IO, "listener '%.*s': cannot listen on %.*s: %s",
                        (int)spec->name.len, spec->name.at, (int)spec->bind.len,
                        spec->bind.at, strerror(errno));
}

static int parse_bind(tg_slice bind, tg_addr *out, bool *both, tg_error *e)
{
    if (tg_addr_parse(bind, out, both) == 0)
        return 0;
    return tg_error_set(e, TG_E_INVAL,
                        "'%.*s' is no address and port; write 127.0.0.1:1883, [::1]:1883 "
                        "or *:1883",
                        (int)bind.len, bind.at);
}

int tg_listener_check_bind(tg_slice bind, tg_error *e)
{
    tg_addr ignored;
    bool both;
    return parse_bind(bind, &ignored, &both, e);
}

static int listen_all(opening *o, tg_error *e)
{
    tg_listener *l = o->l;
    if (parse_bind(o->spec->bind, &l->where, &o->both, e) != 0)
        return tg_error_prefix(e, "listener '%s'", l->name);
    settle_family(&l->where, o->both);
    if (probe(l->all, &l->where, o->both, l->udp) != 0 || open_fds(o) != 0)
        return os_error(o->spec, e);
    if (o->both)
        snprintf(l->address, sizeof(l->address), "*:%u", tg_addr_port(&l->where));
    else
        tg_addr_text(&l->where, l->address, sizeof(l->address));
    int rc = tg_workers_call(l->all, attach, o);
    if (rc == 0)
        return 0;
    tg_workers_call(l->all, close_now, l);
    return tg_error_set(e, rc, "listener '%s': %s", l->name, tg_error_text(rc));
}

static void define_metrics(tg_listener *l);
static int find_or_define(tg_listener *l, const char *event);

static tg_listener *listener_new(tg_workers *ws, const tg_listener_spec *spec)
{
    tg_listener *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->magic = LISTENER_MAGIC;
    l->all = ws;
    l->arg = spec->arg;
    l->user_init = spec->user_init;
    l->udp = spec->udp;
    atomic_init(&l->refs, 1);
    tg_list_init(&l->node);
    pthread_mutex_init(&l->event_lock, NULL);
    l->name = strndup(spec->name.len > 0 ? spec->name.at : "", spec->name.len);
    l->by_addr = tg_addr_table_new();
    if (l->name != NULL) {
        define_metrics(l);
        find_or_define(l, "accepted"); // the first that a lookup meets
    }
    if (l->name != NULL && l->by_addr != NULL)
        return l;
    tg_listener_unref(l);
    return NULL;
}

// The list keeps a reference while sockets may still be draining: to know their address,
// and so that workers which end later find it.
static void forget_closed(tg_workers *ws)
{
    for (tg_list *n = ws->listeners.next, *next; n != &ws->listeners; n = next) {
        next = n->next;
        tg_listener *l = TG_OWNER(n, tg_listener, node);
        if (!l->closing || atomic_load(&l->refs) > 1)
            continue;
        tg_list_del(&l->node);
        tg_listener_unref(l);
    }
}

int tg_listener_open(tg_workers *ws, const tg_listener_spec *spec, tg_listener **out,
                     tg_error *e)
{
    assert(tg_worker_here() == NULL && spec->events.on_data != NULL);
    assert(!(spec->udp && spec->tls));
    forget_closed(ws);
    opening o = {.spec = spec};
    o.l = listener_new(ws, spec);
    if (o.l == NULL)
        return tg_error_set(e, TG_E_NOMEM, "listener: out of memory");
    int rc = 0;
    if (spec->tls) {
        tg_tls_spec tls = spec->tls_spec;
        tls.server = true;
        rc = tg_tls_new(&tls, &o.l->tls, e);
        if (rc != 0)
            tg_error_prefix(e, "listener '%s'", o.l->name);
    }
    if (rc == 0)
        rc = listen_all(&o, e);
    close_fds(&o);
    if (rc != 0) {
        tg_listener_unref(o.l);
        return rc;
    }
    tg_list_add(&ws->listeners, &o.l->node);
    *out = o.l;
    return 0;
}

void tg_listener_close(tg_listener *l)
{
    assert(tg_worker_here() == NULL && !check(l)->closing);
    tg_workers *ws = l->all;
    l->closing = true;
    tg_workers_call(ws, stop_now, l);
    forget_closed(ws);
}

void tg_listeners_free(tg_workers *ws)
{
    while (!tg_list_empty(&ws->listeners)) {
        tg_listener *l = check(TG_OWNER(ws->listeners.next, tg_listener, node));
        tg_list_del(&l->node);
        tg_workers_call(ws, close_now, l);
        tg_listener_unref(l);
    }
}

typedef struct limits_call {
    tg_listener *l;
    const tg_net_limits *limits;
} limits_call;

static int set_limits(tg_worker *w, void *ctx)
{
    const limits_call *c = ctx;
    tg_acceptor *a = c->l->at[tg_worker_index(w)];
    if (a != NULL)
        a->origin.limits = *c->limits;
    return 0;
}

void tg_listener_set_limits(tg_listener *l, const tg_net_limits *limits)
{
    limits_call c = {check(l), limits};
    tg_workers_call(l->all, set_limits, &c);
}

int tg_listener_reload_tls(tg_listener *l, tg_error *e)
{
    if (check(l)->tls == NULL)
        return 0;
    int rc = tg_tls_reload(l->tls, e);
    if (rc != 0)
        tg_error_prefix(e, "listener '%s'", l->name);
    return rc;
}

const char *tg_listener_name(const tg_listener *l)
{
    return check(l)->name;
}

const char *tg_listener_address(const tg_listener *l)
{
    return check(l)->address;
}

void *tg_listener_arg(const tg_listener *l)
{
    return check(l)->arg;
}

uint32_t tg_listener_connections(const tg_listener *l)
{
    return atomic_load(&check(l)->connections);
}

// Counters.

static int define_with(const tg_listener *l, tg_metric_kind kind, const char *name,
                       const char *event, const char *help)
{
    tg_buf labels = {0};
    tg_metric_put_label(&labels, "listener", tg_str(l->name));
    if (event != NULL)
        tg_metric_put_label(&labels, "event", tg_str(event));
    tg_buf_putc(&labels, '\0');
    int id = labels.failed ? TG_E_NOMEM : tg_metric_add_def(kind, name, labels.at, help);
    tg_buf_free(&labels);
    return id;
}

static int define(const tg_listener *l, const char *event)
{
    return define_with(l, TG_COUNTER, "tidegate_listener_events_total", event,
                       "Connections accepted, refused and closed, and peers' mistakes.");
}

static void define_metrics(tg_listener *l)
{
    l->metrics = (tg_origin_metrics){
        .connections = define_with(l, TG_GAUGE, "tidegate_listener_connections", NULL,
                                   "Open connections."),
        .bytes_in = define_with(l, TG_COUNTER, "tidegate_listener_bytes_received_total",
                                NULL, "Bytes read."),
        .bytes_out = define_with(l, TG_COUNTER, "tidegate_listener_bytes_sent_total", NULL,
                                 "Bytes written."),
    };
}

static int find(const tg_listener *l, const char *event)
{
    uint32_t n = atomic_load_explicit(&l->nevents, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        if (strncmp(l->events[i].name, event, sizeof(l->events[i].name) - 1) == 0)
            return l->events[i].id;
    return TG_E_NOTFOUND;
}

// Each name is defined once and entries before `nevents` never change again. Names past the
// last place are counted together: their number must not depend on what a peer sends.
static int find_or_define(tg_listener *l, const char *event)
{
    pthread_mutex_lock(&l->event_lock);
    int id = find(l, event);
    uint32_t n = atomic_load(&l->nevents);
    if (id == TG_E_NOTFOUND && n == TG_EVENTS_MAX) {
        id = define(l, "other");
    } else if (id == TG_E_NOTFOUND) {
        id = define(l, event);
        snprintf(l->events[n].name, sizeof(l->events[n].name), "%s", event);
        l->events[n].id = id;
        atomic_store_explicit(&l->nevents, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&l->event_lock);
    return id;
}

void tg_listener_count(tg_listener *l, const char *event)
{
    int id = find(check(l), event);
    tg_metric_add(id == TG_E_NOTFOUND ? find_or_define(l, event) : id, 1);
}

void tg_listener_count_close(tg_listener *l, int reason)
{
    unsigned code = reason <= 0 && reason > -TG_CODES ? (unsigned)-reason : 0;
    int id = atomic_load(&l->closed_ids[code]) - 1;
    if (id == -1) {
        char event[40] = "closed";
        if (code != 0) {
            snprintf(event, sizeof(event), "closed_%s", tg_error_name(reason));
            for (char *p = event; *p != '\0'; p++)
                *p = (char)tolower((unsigned char)*p);
        }
        id = define(l, event);
        atomic_store(&l->closed_ids[code], (id < 0 ? TG_E_LIMIT : id) + 1);
    }
    tg_metric_add(id, 1);
}
