// SPDX-License-Identifier: Apache-2.0
/// The sending half of the generator's engine. A flow is one publisher's numbered messages,
/// held to a window: no more of them are under way than that, acknowledged by the server or
/// seen by their subscribers. So a server is measured at the speed at which it delivers, and
/// QoS 0 does not measure how fast it drops.
#ifndef TG_BENCH_MQTT_FLOW_H
#define TG_BENCH_MQTT_FLOW_H

#include "mqtt_client.h"

/// How many messages the flow may send now.
static uint64_t room_of(const loader *l, const flow *f)
{
    uint64_t left = f->quota - f->sent, window = l->o->window, out = 0;
    if (f->copies > 0)
        out = (f->sent * f->copies - f->got + f->copies - 1) / f->copies;
    if (f->pub->unacked > out)
        out = f->pub->unacked;
    uint64_t room = out < window ? window - out : 0;
    if (l->rate > 0) {
        uint64_t due = (uint64_t)((double)(now_ns() - l->start) * l->rate / 1e9);
        uint64_t paced = due > f->sent ? due - f->sent : 0;
        room = paced < room ? paced : room;
    }
    return room < left ? room : left;
}

// Topics that differ from message to message are put together by hand: printf would cost as
// much as all the rest.
static tg_slice number_topic(char *text, const char *head, uint64_t n, const char *tail)
{
    char digits[24], *at = digits + sizeof(digits), *end = text;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    size_t len = (size_t)(digits + sizeof(digits) - at);
    end = stpcpy(end, head);
    memcpy(end, at, len);
    end = stpcpy(end + len, tail);
    return (tg_slice){text, (size_t)(end - text)};
}

static tg_slice topic_of(const options *o, const flow *f, char *text)
{
    if (o->shape == FILTERS)
        return number_topic(text, "bench/w/", f->sent % o->filters, "/t");
    if (f->retain)
        return number_topic(text, "bench/r/", f->sent, "");
    return number_topic(text, o->shape == FANIN ? "bench/i/" : "bench/p/", f->index, "");
}

/// Sends as much of the flow as its window has room for.
static void go_on(loader *l, flow *f)
{
    client *c = f->pub;
    if (c->blocked || c->fd < 0)
        return;
    unsigned qos = f->retain ? 1 : l->o->qos;
    bool fixed = !f->retain && l->o->shape != FILTERS;
    stamp s = {.sent_ns = now_ns(), .flow = f->index};
    char text[64];
    tg_slice topic = topic_of(l->o, f, text);
    for (uint64_t room = room_of(l, f); room > 0 && c->out.len < OUT_MAX; room--) {
        if (!fixed)
            topic = topic_of(l->o, f, text);
        s.number = (uint32_t)f->sent++;
        c->next_id = c->next_id == UINT16_MAX ? 1 : c->next_id + 1;
        c->unacked += qos > 0;
        put_publish(&c->out, topic, qos, f->retain, c->next_id,
                    f->clear ? 0 : l->o->payload);
        if (f->clear)
            continue;
        memcpy(l->payload, &s, sizeof(s));
        tg_buf_put(&c->out, l->payload, l->o->payload);
    }
    flush(l, c);
    if (!c->blocked && room_of(l, f) > 0)
        may_go_on(l, f);
}

/// One turn: what arrived, then what may be sent. Flows that are paced, or whose subscribers
/// are read by other threads, are looked at in every turn.
static void turn(loader *l, int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(l->ep, events, 256, l->nready > 0 ? 0 : timeout_ms);
    for (int i = 0; i < n; i++) {
        client *c = events[i].data.ptr;
        if (c->fd >= 0 && (events[i].events & EPOLLOUT))
            on_writable(l, c);
        if (c->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
            on_readable(l, c);
    }
    if (l->start > 0 && (l->rate > 0 || l->o->threads > 1))
        for (uint32_t i = 0; i < l->nflows; i++)
            may_go_on(l, l->flows[i]);
    uint32_t ready = l->nready;
    for (uint32_t i = 0; i < ready; i++)
        l->ready[i]->queued = false;
    l->nready = 0;
    for (uint32_t i = 0; i < ready && l->start > 0; i++)
        go_on(l, l->ready[i]);
}

#endif
