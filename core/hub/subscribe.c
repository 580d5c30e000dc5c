// SPDX-License-Identifier: Apache-2.0
// Subscribing and unsubscribing.
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
