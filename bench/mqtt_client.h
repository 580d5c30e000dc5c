// SPDX-License-Identifier: Apache-2.0
/// The receiving half of the generator's engine: clients of one thread, what arrives for them,
/// and whether it is what was sent: each payload says when it left and which one it is.
#ifndef TG_BENCH_MQTT_CLIENT_H
#define TG_BENCH_MQTT_CLIENT_H

#include <stdatomic.h>
#include <sys/epoll.h>

#include "load.h"
#include "mqtt_wire.h"

enum { STAMP_SIZE = 16, OUT_MAX = 65536, IN_SIZE = 262144 };

typedef struct stamp { // the head of every payload
    uint64_t sent_ns;
    uint32_t flow, number;
} stamp;

typedef enum shape { PAIRS, FANOUT, FANIN, FILTERS, RETAINED, CONNECT, IDLE } shape;

typedef struct options {
    shape shape;
    uint16_t port;
    int server_pid;
    unsigned clients, subs, filters, threads, qos, window;
    uint64_t messages;
    size_t payload;
    double rate, seconds;
} options;

typedef struct client client;

typedef struct flow {
    client *pub;
    uint32_t index, copies; // deliveries that one message causes
    uint64_t quota, sent;
    atomic_uint_fast64_t got; // deliveries seen, by any thread
    bool retain, clear;
    bool queued; // on its loader's list of flows that may go on
} flow;

struct client {
    int fd;
    uint32_t index;
    bool blocked; // waits for EPOLLOUT
    bool ready; // CONNACK came
    uint16_t next_id;
    uint32_t unacked;
    uint32_t subacks; // still due
    flow *flow; // publishers
    // Subscribers: the number expected next of each flow, its distance to the one after; for
    // retained messages, which come in no order, what was seen.
    uint32_t *next, stride;
    uint8_t *seen;
    uint64_t began; // connecting; waiting for retained messages
    tg_buf in, out;
};

typedef struct loader {
    const options *o;
    int ep;
    client **clients;
    uint32_t nclients;
    flow *all; // of the run, by index
    flow **flows, **ready; // of this thread; those that may go on
    uint32_t nflows, nready;
    uint64_t now, last; // of the read under way; of the last delivery
    atomic_uint_fast64_t received, connected, subscribed;
    uint64_t acked, lost, doubled, reordered, closed;
    double rate; // messages a second of one flow; 0: as fast as the window allows
    uint64_t start;
    hist latency;
    char *buf, *payload;
} loader;

static inline void count(atomic_uint_fast64_t *n, uint64_t by) // one writer
{
    uint64_t was = atomic_load_explicit(n, memory_order_relaxed);
    atomic_store_explicit(n, was + by, memory_order_relaxed);
}

static inline void may_go_on(loader *l, flow *f)
{
    if (f->queued)
        return;
    f->queued = true;
    l->ready[l->nready++] = f;
}

static void watch(loader *l, client *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->ep, op, c->fd, &e) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void flush(loader *l, client *c)
{
    if (c->fd < 0 || c->out.len == 0 || c->blocked || send_buf(c->fd, &c->out))
        return;
    c->blocked = true;
    watch(l, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void hang_up(client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    tg_buf_free(&c->in);
    tg_buf_free(&c->out);
}

// The expected number, one of later (a gap: lost until it shows up), or one of before.
static void check_number(loader *l, client *c, const stamp *s)
{
    if (c->seen != NULL) {
        l->doubled += c->seen[s->number];
        c->seen[s->number] = 1;
        return;
    }
    uint32_t *next = &c->next[s->flow];
    if (s->number == *next) {
        *next += c->stride;
    } else if (s->number > *next) {
        l->lost += (s->number - *next) / c->stride;
        *next = s->number + c->stride;
    } else if (s->number + c->stride == *next || l->lost == 0) {
        l->doubled++;
    } else {
        l->reordered++;
        l->lost--;
    }
}

static void on_publish(loader *l, client *c, const mqtt_packet *p)
{
    unsigned qos = p->flags >> 1 & 3;
    size_t at = 2 + get_u16(p->body.at) + (qos > 0 ? 2 : 0);
    if (qos > 0)
        put_ack(&c->out, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                get_u16(p->body.at + at - 2));
    if (p->body.len < at + STAMP_SIZE)
        return;
    stamp s;
    memcpy(&s, p->body.at + at, sizeof(s));
    hist_add(&l->latency, l->now - (c->seen != NULL ? c->began : s.sent_ns));
    check_number(l, c, &s);
    count(&l->received, 1);
    l->last = l->now;
    flow *f = &l->all[s.flow]; // its publisher's window moves on
    if (l->o->threads > 1) {
        atomic_fetch_add_explicit(&f->got, 1, memory_order_relaxed);
    } else {
        count(&f->got, 1);
        may_go_on(l, f);
    }
}

static void on_acked(loader *l, client *c)
{
    c->unacked--;
    l->acked++;
    may_go_on(l, c->flow);
}

static void on_connack(loader *l, client *c, const mqtt_packet *p)
{
    if (p->body.len < 2 || p->body.at[1] != 0)
        die("client %u was refused", c->index);
    c->ready = true;
    if (l->o->shape == CONNECT)
        hist_add(&l->latency, l->now - c->began);
    l->last = l->now;
    count(&l->connected, 1);
}

static void on_packet(loader *l, client *c, const mqtt_packet *p)
{
    switch (p->type) {
    case MQTT_PUBLISH:
        on_publish(l, c, p);
        break;
    case MQTT_PUBREC:
        put_ack(&c->out, MQTT_PUBREL, get_u16(p->body.at));
        break;
    case MQTT_PUBREL:
        put_ack(&c->out, MQTT_PUBCOMP, get_u16(p->body.at));
        break;
    case MQTT_PUBACK:
    case MQTT_PUBCOMP:
        on_acked(l, c);
        break;
    case MQTT_SUBACK:
        if (p->body.at[2] & 0x80)
            die("a subscription of client %u was refused", c->index);
        c->subacks--;
        count(&l->subscribed, 1);
        break;
    case MQTT_CONNACK:
        on_connack(l, c, p);
        break;
    default:
        die("packet of type %u for client %u", p->type, c->index);
    }
}

static size_t take_packets(loader *l, client *c, tg_slice bytes)
{
    size_t used = 0;
    mqtt_packet p;
    for (size_t n; used < bytes.len; used += n) {
        n = take_packet((tg_slice){bytes.at + used, bytes.len - used}, &p);
        if (n == 0)
            break;
        on_packet(l, c, &p);
    }
    return used;
}

// Packets are read where they arrived; only a cut one is kept with its client.
static void on_readable(loader *l, client *c)
{
    ssize_t n = read(c->fd, l->buf, IN_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->closed++;
        hang_up(c);
        return;
    }
    l->now = now_ns();
    tg_slice fresh = {l->buf, (size_t)n};
    if (c->in.len > 0) {
        tg_buf_put(&c->in, fresh.at, fresh.len);
        tg_buf_drop(&c->in, take_packets(l, c, tg_buf_slice(&c->in)));
    } else {
        size_t used = take_packets(l, c, fresh);
        tg_buf_put(&c->in, fresh.at + used, fresh.len - used);
    }
    flush(l, c);
}

static void on_writable(loader *l, client *c)
{
    c->blocked = false;
    watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    flush(l, c);
    if (c->flow != NULL && !c->blocked)
        may_go_on(l, c->flow);
}

#endif
