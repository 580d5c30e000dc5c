// SPDX-License-Identifier: Apache-2.0
// What is owed to a link: the answer to an open, a subscribe, a publish. Each may have several
// holders (a commit here, a worker there); with the last of them it becomes ready and is fired
// from the shard's turn, so no done() runs inside the call that asked for it. Completions of
// one session's publishes keep their order: a finished one waits for those before it. One that
// must come once is not finished with its receivers: then its packet id goes to the store, in the
// same order.
#include <assert.h>
#include <stdlib.h>

#include "hub/inbound.h"

#define LOOK_MS 20 // somebody waits for an answer
#define LOOK_HAD_MS 1000 // there is only the store to tidy

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
    tg_list_init(&w->asking);
    tg_list_add(s != NULL ? &s->pending : &sh->hosted, &w->node);
    return w;
}

void tg_wait_free(tg_wait *w)
{
    tg_list_del(&w->node);
    tg_list_del(&w->opening);
    tg_list_del(&w->asking);
    tg_scan_free(w->scan);
    if (w->origin != NULL) // nobody waits for it here; who asks for its id finds out
        tg_origin_decide(w->origin, w->left == 0 ? TG_ORIGIN_KEPT : TG_ORIGIN_FAILED);
    tg_origin_unref(w->origin);
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
    case TG_WAIT_SYNC:
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

static tg_wait *publish_from(const tg_sess *s, tg_list *n)
{
    for (; n != &s->pending; n = n->next) {
        tg_wait *w = TG_OWNER(n, tg_wait, node);
        if (w->kind == TG_WAIT_PUB) // NOLINT: what was freed is off the list
            return w;
    }
    return NULL;
}

static void release_publishes(tg_shard *sh, tg_sess *s)
{
    for (tg_wait *w;
         (w = publish_from(s, s->pending.next)) != NULL && w->stage == TG_STAGE_FINISHED;)
        fire(sh, w);
}

// The store does not have it; a queue that was full is another matter.
static bool unkept(int code)
{
    return code < 0 && code != TG_E_FULL && code != TG_E_LIMIT;
}

static void id_kept(tg_shard *sh, void *ctx, int code)
{
    tg_wait_put(sh, ctx, code);
}

static void keep_id(tg_shard *sh, tg_wait *w)
{
    tg_origin_decide(w->origin, TG_ORIGIN_KEPT);
    tg_inbound_keep(sh, w->sess, w->origin);
    w->stage = TG_STAGE_KEEPING;
    w->left = 1;
    if (tg_persist_after(sh, id_kept, w) < 0)
        tg_wait_put(sh, w, TG_E_NOMEM);
}

static bool all_before_safe(const tg_sess *s, const tg_wait *w)
{
    for (const tg_list *n = w->node.prev; n != &s->pending; n = n->prev) {
        const tg_wait *before = TG_OWNER(n, const tg_wait, node);
        if (before->kind == TG_WAIT_PUB)
            return before->stage >= TG_STAGE_KEEPING;
    }
    return true;
}

// All receivers have it. @param w of a session.
static void publish_safe(tg_shard *sh, tg_wait *w)
{
    const tg_sess *s = w->sess;
    bool ask = !tg_origin_settled(w->origin) &&
               tg_origin_get(w->origin) != TG_ORIGIN_FAILED && !unkept(w->code);
    w->stage = ask ? TG_STAGE_SAFE : TG_STAGE_FINISHED;
    if (!all_before_safe(s, w))
        return;
    for (; w != NULL && w->stage != TG_STAGE_ROUTED; w = publish_from(s, w->node.next))
        if (w->stage == TG_STAGE_SAFE)
            keep_id(sh, w);
}

static void publish_on(tg_shard *sh, tg_wait *w)
{
    tg_sess *s = w->sess;
    if (w->stage != TG_STAGE_KEEPING) {
        publish_safe(sh, w);
    } else {
        w->stage = TG_STAGE_FINISHED;
        tg_inbound_settle(s, w->origin);
    }
    release_publishes(sh, s);
}

// While it is on the ready list, the list is its holder.
void tg_wait_put(tg_shard *sh, tg_wait *w, int code)
{
    assert(w->left > 0);
    if (code != 0 && w->code == 0)
        w->code = code;
    if (unkept(code) && w->origin != NULL)
        tg_origin_decide(w->origin, TG_ORIGIN_FAILED);
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
    if (w->fired) // cancelled by what it was delivered to
        tg_wait_free(w);
    else if (w->sess == NULL)
        fire(sh, w);
    else
        publish_on(sh, w);
}

void tg_wait_for_origin(tg_shard *sh, tg_wait *w, tg_origin *o)
{
    w->origin = tg_origin_ref(o);
    w->left++;
    tg_list_add(&sh->asking, &w->asking);
}

static void look(tg_alarm *a)
{
    (void)a; // the turn that follows looks
}

static void look_in(tg_shard *sh, uint64_t ms)
{
    if (!tg_alarm_armed(&sh->look) || sh->look.due > tg_wheel_now(sh->wheel) + ms)
        tg_wheel_add(sh->wheel, &sh->look, ms, look);
}

void tg_wait_look(tg_shard *sh)
{
    for (tg_list *n = sh->asking.next, *next; n != &sh->asking; n = next) {
        next = n->next;
        tg_wait *w = TG_OWNER(n, tg_wait, asking);
        tg_origin_state state = tg_origin_get(w->origin);
        if (state == TG_ORIGIN_OPEN)
            continue;
        tg_list_del(&w->asking);
        tg_wait_put(sh, w, state == TG_ORIGIN_FAILED ? TG_E_IO : 0);
    }
    bool asked = !tg_list_empty(&sh->asking);
    if (asked || sh->had != NULL)
        look_in(sh, asked ? LOOK_MS : LOOK_HAD_MS);
}

static void settle(tg_shard *sh, tg_wait *w)
{
    w->left = 0;
    if (w->fired) {
        tg_wait_free(w);
    } else if (w->kind == TG_WAIT_PUB && w->sess != NULL) {
        publish_on(sh, w);
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
