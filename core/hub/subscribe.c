// SPDX-License-Identifier: Apache-2.0
// Subscribing and unsubscribing, and the other small things that a link asks of its session.
#include <stdlib.h>

#include "hub/internal.h"
#include "hub/topic.h"

static bool wants_retained(tg_slice filter, const tg_sub *sub, bool again)
{
    tg_slice group, rest;
    if ((sub->flags & TG_SUB_RETAIN_NEVER) != 0 || tg_topic_shared(filter, &group, &rest))
        return false;
    return !again || (sub->flags & TG_SUB_RETAIN_IF_NEW) == 0;
}

static int add(tg_shard *sh, tg_sess *s, tg_slice filter, const tg_sub *sub, tg_route *old)
{
    tg_route *route;
    int rc = tg_route_add(&sh->hub->router, s, filter, sub, old, &route);
    if (rc < 0)
        return rc;
    rc = tg_subs_put(s, route);
    if (rc < 0) {
        tg_route_del(&sh->hub->router, route);
        return rc;
    }
    if (old != NULL)
        tg_route_retire(&sh->hub->router, old);
    else
        tg_subs_count(sh->hub, route, 1);
    tg_event_subscribed(sh, s, filter, sub->qos);
    if (tg_persist_on(sh, s))
        tg_persist_sub(sh, s, filter, route);
    return 0;
}

int tg_session_subscribe(tg_shard *sh, tg_session h, tg_slice filter, const tg_sub *sub,
                         tg_done_fn *done, void *ctx)
{
    const tg_hub_limits *limits = &sh->hub->config.limits;
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    if (!tg_filter_valid(filter) || sub->qos > 2)
        return TG_E_MALFORMED;
    tg_slice group, text = filter;
    tg_topic_shared(filter, &group, &text);
    tg_route *old = tg_subs_lookup(sh->hub, s, filter);
    bool many = old == NULL && s->nsubs >= limits->subscriptions;
    if (many || tg_topic_levels(text) > limits->topic_levels)
        return TG_E_LIMIT;
    tg_wait *w = tg_wait_new(sh, s, TG_WAIT_SUB, ctx);
    int rc = w != NULL ? add(sh, s, filter, sub, old) : TG_E_NOMEM;
    if (rc < 0) {
        if (w != NULL)
            tg_wait_free(w);
        return rc;
    }
    w->done = done;
    w->again = old != NULL;
    if (wants_retained(filter, sub, old != NULL))
        w->scan = tg_scan_new(sh->hub, filter, sub);
    tg_sess_answer(sh, w, s->expiry_s > 0);
    return 0;
}

int tg_session_unsubscribe(tg_shard *sh, tg_session h, tg_slice filter, tg_done_fn *done,
                           void *ctx)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    if (!tg_filter_valid(filter))
        return TG_E_MALFORMED;
    tg_wait *w = tg_wait_new(sh, s, TG_WAIT_UNSUB, ctx);
    if (w == NULL)
        return TG_E_NOMEM;
    w->done = done;
    tg_route *route = tg_subs_lookup(sh->hub, s, filter);
    if (route == NULL) {
        w->code = TG_E_NOTFOUND;
        tg_wait_put(sh, w, 0);
        return 0;
    }
    if (tg_persist_on(sh, s))
        tg_persist_unsub(sh, s, filter);
    tg_subs_del(s, route);
    tg_subs_count(sh->hub, route, -1);
    tg_route_del(&sh->hub->router, route);
    tg_event_subscribed(sh, s, filter, -1);
    tg_sess_answer(sh, w, s->expiry_s > 0);
    return 0;
}

#define RX_KEPT 256 // room for identifiers that an empty set may keep

// @return where `packet_id` is, or belongs.
static uint16_t rx_place(const tg_extra *x, uint16_t packet_id)
{
    uint16_t lo = 0, hi = x->nrx;
    while (lo < hi) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (x->rx[mid] < packet_id)
            lo = (uint16_t)(mid + 1);
        else
            hi = mid;
    }
    return lo;
}

static bool rx_room(tg_extra *x)
{
    if (x->nrx < x->rx_cap)
        return true;
    unsigned cap = x->rx_cap == 0 ? 8 : x->rx_cap * 2u;
    if (cap > UINT16_MAX)
        cap = UINT16_MAX;
    uint16_t *rx = realloc(x->rx, cap * sizeof(*rx));
    if (rx == NULL)
        return false;
    x->rx = rx;
    x->rx_cap = (uint16_t)cap;
    return true;
}

int tg_sess_rx_put(tg_sess *s, uint16_t packet_id)
{
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL || !rx_room(x))
        return TG_E_NOMEM;
    uint16_t i = rx_place(x, packet_id);
    memmove(&x->rx[i + 1], &x->rx[i], (size_t)(x->nrx - i) * sizeof(*x->rx));
    x->rx[i] = packet_id;
    x->nrx++;
    return 0;
}

int tg_session_rx_add(tg_shard *sh, tg_session h, uint16_t packet_id)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    const tg_extra *x = s->extra;
    if (x != NULL && x->nrx > 0) {
        uint16_t i = rx_place(x, packet_id);
        if (i < x->nrx && x->rx[i] == packet_id)
            return TG_E_EXISTS;
        if (x->nrx >= sh->hub->config.limits.rx_inflight)
            return TG_E_LIMIT;
    }
    int rc = tg_sess_rx_put(s, packet_id);
    if (rc == 0 && tg_persist_on(sh, s))
        tg_persist_rx(sh, s, packet_id, true);
    return rc;
}

int tg_session_rx_del(tg_shard *sh, tg_session h, uint16_t packet_id)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    tg_extra *x = s->extra;
    uint16_t i = x != NULL ? rx_place(x, packet_id) : 0;
    if (x == NULL || i >= x->nrx || x->rx[i] != packet_id)
        return TG_E_NOTFOUND;
    x->nrx--;
    memmove(&x->rx[i], &x->rx[i + 1], (size_t)(x->nrx - i) * sizeof(*x->rx));
    if (x->nrx == 0 && x->rx_cap > RX_KEPT) { // a burst is not kept for ever
        free(x->rx);
        x->rx = NULL;
        x->rx_cap = 0;
    }
    if (tg_persist_on(sh, s))
        tg_persist_rx(sh, s, packet_id, false);
    return 0;
}
