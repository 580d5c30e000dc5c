// SPDX-License-Identifier: Apache-2.0
// What is owed to a link: the answer to an open, a subscribe, a publish. Each may have several
// holders (a commit here, a worker there); with the last of them it becomes ready and is fired
// from the shard's turn, so no done() runs inside the call that asked for it. Completions of
// one session's publishes keep their order: a finished one waits for those before it.
#include <assert.h>
#include <stdlib.h>

#include "hub/internal.h"

tg_wait *tg_wait_new(tg_shard *sh, tg_sess *s, tg_wait_kind kind, void *ctx)
{
    tg_wait *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->kind = (uint8_t)kind;
    w->sess = s;
    w->left = 1;
    w->ctx = ctx;
    tg_list_init(&w->opening);
    tg_list_add(s != NULL ? &s->pending : &sh->hosted, &w->node);
    return w;
}

void tg_wait_free(tg_wait *w)
{
    tg_list_del(&w->node);
    tg_list_del(&w->opening);
    tg_scan_free(w->scan);
    if (w->kind == TG_WAIT_PASS && !w->fired) // its shard closes
        tg_ack_ref_drop(w->ack);
    free(w);
}

static void fire_open(tg_shard *sh, tg_wait *w)
{
    tg_sess *s = w->sess;
    if (w->code < 0) {
        w->opened(w->ctx, w->code, (tg_session){0}, false);
        if (s == NULL || s->state != TG_SESS_OPENING)
            return;
        tg_sess_detach(sh, s, 0);
        tg_will_drop(s);
        tg_sess_offline(sh, s);
        return;
    }
    assert(s != NULL); // one without a session fails, or is never answered
    uint64_t handle = s->handle;
    w->opened(w->ctx, 0, (tg_session){handle}, w->present);
    if (s->handle == handle && s->state == TG_SESS_OPENING)
        tg_sess_online_now(sh, s);
}

// MQTT 5.0 §3.8.4: what is retained follows the answer. Not for a filter that was refused.
static void fire_sub(tg_shard *sh, tg_wait *w)
{
    tg_sess *s = w->sess;
    tg_scan *scan = w->scan;
    w->scan = NULL;
    if (w->done != NULL)
        w->done(w->ctx, w->code, NULL);
    if (scan == NULL)
        return;
    if (w->code == 0 && s != NULL && (s->flags & TG_SESS_ENDED) == 0)
        tg_scan_begin(sh, s, scan, w->again);
    else
        tg_scan_free(scan);
}

// Off every list first: the callback may close the session.
static void fire(tg_shard *sh, tg_wait *w)
{
    tg_list_del(&w->node);
    tg_list_del(&w->opening);
    w->fired = true;
    switch (w->kind) {
    case TG_WAIT_OPEN:
        fire_open(sh, w);
        break;
    case TG_WAIT_SUB:
        fire_sub(sh, w);
        break;
    case TG_WAIT_UNSUB:
        if (w->done != NULL)
            w->done(w->ctx, w->code, NULL);
        break;
    case TG_WAIT_PASS:
        tg_ack_ref_put(sh, w->ack, w->code);
        break;
    default:
        w->published(w->ctx, w->code, w->receivers);
    }
    if (w->left == 0)
        tg_wait_free(w);
    else
        tg_list_add(&sh->hosted, &w->node); // until its last holder lets go
}

static tg_wait *first_publish(const tg_sess *s)
{
    for (tg_list *n = s->pending.next; n != &s->pending; n = n->next) {
        tg_wait *w = TG_OWNER(n, tg_wait, node);
        if (w->kind == TG_WAIT_PUB) // NOLINT: what was freed is off the list
            return w;
    }
    return NULL;
}

static void release_publishes(tg_shard *sh, tg_sess *s)
{
    for (tg_wait *w; (w = first_publish(s)) != NULL && w->finished;)
        fire(sh, w);
}

// While it is on the ready list, the list is its holder.
void tg_wait_put(tg_shard *sh, tg_wait *w, int code)
{
    assert(w->left > 0);
    if (code != 0 && w->code == 0)
        w->code = code;
    if (w->left > 1) {
        w->left--;
        return;
    }
    w->next = NULL;
    *sh->ready_end = w;
    sh->ready_end = &w->next;
}

void tg_wait_publish_put(tg_shard *sh, tg_wait *w)
{
    if (--w->left > 0)
        return;
    w->finished = true;
    if (w->fired) // cancelled by what it was delivered to
        tg_wait_free(w);
    else if (w->sess == NULL)
        fire(sh, w);
    else
        release_publishes(sh, w->sess);
}

static void settle(tg_shard *sh, tg_wait *w)
{
    w->left = 0;
    if (w->fired) {
        tg_wait_free(w);
    } else if (w->kind == TG_WAIT_PUB && w->sess != NULL) {
        w->finished = true;
        release_publishes(sh, w->sess);
    } else {
        fire(sh, w);
    }
}

void tg_wait_run(tg_shard *sh)
{
    tg_wait *w = sh->ready, *next;
    sh->ready = NULL;
    sh->ready_end = &sh->ready;
    for (; w != NULL; w = next) {
        next = w->next;
        settle(sh, w);
    }
}

void tg_wait_cancel(tg_shard *sh, tg_sess *s, int code)
{
    tg_list all; // not what their callbacks begin with the session
    tg_list_init(&all);
    while (!tg_list_empty(&s->pending)) {
        tg_wait *w = TG_OWNER(s->pending.next, tg_wait, node);
        tg_list_del(&w->node);
        tg_list_del(&w->opening);
        tg_list_add(&all, &w->node);
        w->sess = NULL;
        w->code = code;
    }
    while (!tg_list_empty(&all))
        fire(sh,
             TG_OWNER(all.next, tg_wait, node)); // NOLINT: what was freed is off the list
}
