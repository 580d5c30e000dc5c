// SPDX-License-Identifier: Apache-2.0
// The floor: about what the kernel alone costs. An epoll loop that knows just enough of MQTT to
// forward QoS 0 and 1 between clients that keep to one topic: no sessions, no properties, no
// queues, no checks. What a broker costs beyond this is its own doing.
#include <signal.h>
#include <sys/epoll.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/map.h"
#include "load.h"
#include "load/wire.h"

enum { IN_SIZE = 262144, EVENTS = 256 };

typedef struct conn conn;

typedef struct topic { // who subscribed to a filter
    char *name;
    conn **subs;
    uint32_t nsubs;
} topic;

struct conn {
    int fd;
    bool dirty;
    tg_buf in, out;
    tg_buf last; // the topic that was published to last, and who gets it
    topic *to;
};

typedef struct server {
    int ep, listener;
    tg_map topics;
    conn **dirty;
    uint32_t ndirty, cap;
    char *buf;
} server;

static void *need(void *at)
{
    if (at == NULL)
        die("out of memory");
    return at;
}

static void mark(server *s, conn *c)
{
    if (c->dirty)
        return;
    if (s->ndirty == s->cap)
        s->dirty = need(realloc(s->dirty, (s->cap = s->cap * 2 + 64) * sizeof(conn *)));
    c->dirty = true;
    s->dirty[s->ndirty++] = c;
}

static void add_subscriber(server *s, conn *c, tg_slice filter)
{
    topic *t = tg_map_find(&s->topics, filter);
    if (t == NULL) {
        t = need(calloc(1, sizeof(*t)));
        t->name = need(strndup(filter.at, filter.len));
        if (tg_map_add(&s->topics, tg_str(t->name), t) < 0)
            die("out of memory");
    }
    t->subs = need(realloc(t->subs, (t->nsubs + 1) * sizeof(conn *)));
    t->subs[t->nsubs++] = c;
}

// The topic itself, or the filter that has + for its last level.
static topic *find_topic(server *s, conn *c, tg_slice name)
{
    if (c->to != NULL && tg_slice_eq(tg_buf_slice(&c->last), name))
        return c->to;
    char filter[256];
    const char *slash = memrchr(name.at, '/', name.len);
    c->to = tg_map_find(&s->topics, name);
    if ((c->to == NULL || c->to->nsubs == 0) && slash != NULL) {
        int n = snprintf(filter, sizeof(filter), "%.*s/+", (int)(slash - name.at), name.at);
        c->to = tg_map_find(&s->topics, (tg_slice){filter, (size_t)n});
    }
    tg_buf_clear(&c->last);
    tg_buf_put(&c->last, name.at, name.len);
    return c->to;
}

static void forward(server *s, conn *c, const tg_wire_packet *p, tg_slice bytes)
{
    tg_slice name = {p->body.at + 2, tg_wire_get16(p->body.at)};
    topic *t = find_topic(s, c, name);
    for (uint32_t i = 0; t != NULL && i < t->nsubs; i++) {
        tg_buf_put(&t->subs[i]->out, bytes.at, bytes.len);
        mark(s, t->subs[i]);
    }
    if ((p->flags & 6) == 0)
        return;
    tg_wire_ack(&c->out, TG_WIRE_PUBACK, tg_wire_get16(name.at + name.len));
    mark(s, c);
}

static void on_packet(server *s, conn *c, const tg_wire_packet *p, tg_slice bytes)
{
    char suback[5] = {(char)0x90, 3};
    switch (p->type) {
    case TG_WIRE_PUBLISH:
        forward(s, c, p, bytes);
        break;
    case TG_WIRE_CONNECT:
        tg_buf_put(&c->out, "\x20\2\0\0", 4);
        mark(s, c);
        break;
    case TG_WIRE_SUBSCRIBE:
        add_subscriber(s, c, (tg_slice){p->body.at + 4, tg_wire_get16(p->body.at + 2)});
        memcpy(suback + 2, p->body.at, 2);
        suback[4] = p->body.at[p->body.len - 1];
        tg_buf_put(&c->out, suback, sizeof(suback));
        mark(s, c);
        break;
    default: // acknowledgements, pings
        break;
    }
}

static size_t take(server *s, conn *c, tg_slice in)
{
    size_t used = 0;
    tg_wire_packet p;
    for (size_t n; used < in.len; used += n) {
        tg_slice rest = {in.at + used, in.len - used};
        n = tg_wire_take(rest, &p);
        if (n == 0)
            break;
        on_packet(s, c, &p, (tg_slice){rest.at, n});
    }
    return used;
}

static void forget(server *s, conn *c)
{
    uint32_t at = 0;
    for (topic *t; (t = tg_map_next(&s->topics, &at)) != NULL;)
        for (uint32_t i = 0; i < t->nsubs; i++)
            if (t->subs[i] == c)
                t->subs[i--] = t->subs[--t->nsubs];
    for (uint32_t i = 0; i < s->ndirty; i++)
        if (s->dirty[i] == c)
            s->dirty[i--] = s->dirty[--s->ndirty];
    close(c->fd);
    tg_buf_free(&c->in);
    tg_buf_free(&c->out);
    tg_buf_free(&c->last);
    free(c);
}

static void on_readable(server *s, conn *c)
{
    ssize_t n = read(c->fd, s->buf, IN_SIZE);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        forget(s, c);
        return;
    }
    tg_slice fresh = {s->buf, (size_t)n};
    if (c->in.len > 0) {
        tg_buf_put(&c->in, fresh.at, fresh.len);
        tg_buf_drop(&c->in, take(s, c, tg_buf_slice(&c->in)));
    } else {
        size_t used = take(s, c, fresh);
        tg_buf_put(&c->in, fresh.at + used, fresh.len - used);
    }
}

// Connections whose socket is full are tried again after the next events.
static void flush(server *s)
{
    uint32_t n = s->ndirty;
    s->ndirty = 0;
    for (uint32_t i = 0; i < n; i++) {
        conn *c = s->dirty[i];
        ssize_t sent = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL);
        c->dirty = false;
        tg_buf_drop(&c->out, sent > 0 ? (size_t)sent : 0);
        if (c->out.len > 0)
            mark(s, c);
    }
}

static void accept_all(server *s)
{
    int one = 1;
    for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        conn *c = need(calloc(1, sizeof(*c)));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static void open_listener(server *s, uint16_t port)
{
    int one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event e = {.events = EPOLLIN};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->ep = epoll_create1(0);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        listen(s->listener, 1024) < 0 ||
        epoll_ctl(s->ep, EPOLL_CTL_ADD, s->listener, &e) < 0)
        die("port %u: %s", port, strerror(errno));
}

int main(int argc, char **argv)
{
    server s = {.buf = need(malloc(IN_SIZE))};
    struct epoll_event events[EVENTS];
    if (argc != 2)
        die("floor PORT");
    tg_hash_seed();
    tg_raise_descriptors();
    open_listener(&s, (uint16_t)atoi(argv[1]));
    for (;;) { // until a signal ends it
        int n = epoll_wait(s.ep, events, EVENTS, s.ndirty > 0 ? 1 : -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(&s);
            else
                on_readable(&s, events[i].data.ptr);
        }
        flush(&s);
    }
}
