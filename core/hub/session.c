// SPDX-License-Identifier: Apache-2.0
// The life of a session: it is made or found by an open, attached to a link, online, offline
// for its expiry, and ended. The struct is what an idle session costs, so all that most do not
// have (queue, will, attributes, received ids) hangs on pointers. It outlives its end by a
// turn and a grace period: callbacks on the stack and publishers elsewhere may still look at it.
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "hub/inbound.h"

#define ID_MAX 65535

tg_sess *tg_sess_new(tg_slice id, uint32_t hash)
{
    size_t size = offsetof(tg_sess, id) + id.len; // the id begins in the struct's padding
    tg_sess *s = calloc(1, size < sizeof(*s) ? sizeof(*s) : size);
    if (s == NULL)
        return NULL;
    s->magic = TG_SESS_MAGIC;
    s->hash = hash;
    s->id_len = (uint16_t)id.len;
    memcpy(s->id, id.at, id.len);
    tg_list_init(&s->pending);
    return s;
}

// What hangs on it, but not its routes: they are in the router.
static void free_content(tg_sess *s)
{
    tg_queue_free(s);
    tg_who_put(s->who);
    s->who = NULL;
    tg_extra *x = s->extra;
    s->extra = NULL;
    if (x == NULL)
        return;
    tg_msg_unref(x->will);
    tg_scan_free(x->scans);
    tg_inbound_free(x->inbound);
    free(x);
}

// With the hub, or after tg_sess_reset(); then there is only the struct left.
void tg_sess_free(void *p)
{
    tg_sess *s = p;
    assert(s->magic == TG_SESS_MAGIC);
    if ((s->flags & TG_SESS_MOVING) != 0)
        tg_queue_from_blocks(s->queue);
    free_content(s);
    if (s->subs_cap > 0)
        free(s->subs.many);
    s->magic = 0;
    free(s);
}

tg_extra *tg_sess_extra(tg_sess *s)
{
    if (s->extra == NULL && (s->extra = calloc(1, sizeof(*s->extra))) != NULL)
        s->extra->sess = s;
    return s->extra;
}

void tg_sess_tidy(tg_sess *s)
{
    tg_extra *x = s->extra;
    if (x == NULL || x->will != NULL || x->inbound != NULL || x->scans != NULL ||
        tg_alarm_armed(&x->alarm) || tg_alarm_armed(&x->will_due) ||
        tg_alarm_armed(&x->queue_due))
        return;
    s->extra = NULL;
    free(x);
}

int tg_sess_seat(tg_shard *sh, tg_sess *s)
{
    uint64_t seat = tg_slots_add(&sh->seats, s);
    if (seat == 0)
        return TG_E_NOMEM;
    atomic_store_explicit(&s->where, seat, memory_order_release);
    return 0;
}

int tg_open_copy(tg_hub *h, tg_open *o, const tg_link *ops, void *link,
                 const tg_session_spec *spec, tg_opened_fn *done, void *ctx)
{
    *o = (tg_open){.ops = ops,
                   .link = link,
                   .done = done,
                   .ctx = ctx,
                   .clean_start = spec->clean_start != 0,
                   .receive_max = spec->receive_max,
                   .expiry_s = spec->expiry_s};
    bool somebody = spec->user.len > 0 || spec->attributes != NULL;
    if (somebody)
        o->who = tg_who_get(h->whos, spec->user, spec->attributes);
    if (spec->will != NULL) {
        o->will = tg_msg_new(&spec->will->message);
        o->will_delay = spec->will->delay_s;
    }
    if ((somebody && o->who == NULL) || (spec->will != NULL && o->will == NULL)) {
        tg_open_clear(o);
        return TG_E_NOMEM;
    }
    return 0;
}

void tg_open_clear(tg_open *o)
{
    tg_msg_unref(o->will);
    tg_who_put(o->who);
    *o = (tg_open){0};
}

void tg_open_fail(tg_open *o, int code)
{
    tg_opened_fn *done = o->link != NULL ? o->done : NULL;
    void *ctx = o->ctx;
    tg_open_clear(o);
    if (done != NULL)
        done(ctx, code, (tg_session){0}, false);
}

static uint32_t capped_expiry(const tg_hub *h, uint32_t seconds)
{
    uint32_t most = h->config.limits.expiry_max_s;
    return seconds > most ? most : seconds;
}

// @return false: out of memory; nothing was taken.
static bool take_spec(tg_shard *sh, tg_sess *s, tg_open *o)
{
    if (o->will != NULL && tg_sess_extra(s) == NULL)
        return false;
    tg_who_put(s->who);
    s->who = o->who;
    o->who = NULL;
    if (s->extra != NULL) {
        tg_wheel_del(sh->wheel, &s->extra->alarm);
        tg_wheel_del(sh->wheel, &s->extra->queue_due);
        s->extra->shard = sh;
    }
    tg_will_set(s, o->will, o->will_delay);
    o->will = NULL;
    tg_sess_tidy(s); // what it had for its time away
    uint16_t most =
        (uint16_t)(sh->hub->config.limits.inflight < 65535 ? sh->hub->config.limits.inflight
                                                           : 65535);
    s->window = o->receive_max != 0 && o->receive_max < most ? o->receive_max : most;
    s->expiry_s = capped_expiry(sh->hub, o->expiry_s);
    return true;
}

static void store_opened(tg_shard *sh, tg_sess *s)
{
    bool was = (s->flags & TG_SESS_STORED) != 0, is = tg_persist_on(sh, s);
    if (is && !was)
        tg_persist_all(sh, s);
    else if (is)
        tg_persist_session(sh, s);
    else if (was)
        tg_persist_forget(sh, s);
}

// One that is in a full store goes on: only when it was connected stays unwritten, and who may
// not come in to read what waits would leave the store full for ever.
static void committed(tg_shard *sh, void *ctx, int code)
{
    const tg_wait *w = ctx;
    bool stays = w->kind == TG_WAIT_OPEN && w->present && code == TG_E_NOSPACE;
    tg_wait_put(sh, ctx, stays ? 0 : code);
}

void tg_sess_answer(tg_shard *sh, tg_wait *w, bool durable)
{
    if (!durable || !sh->hub->durable || tg_persist_after(sh, committed, w) < 0)
        tg_wait_put(sh, w, 0);
}

void tg_sess_attach(tg_shard *sh, tg_sess *s, tg_open *o)
{
    bool present = !o->clean_start && (s->flags & TG_SESS_ENDED) == 0;
    if (!present)
        tg_sess_reset(sh, s);
    tg_wait *w = tg_wait_new(sh, s, TG_WAIT_OPEN, o->ctx);
    uint64_t handle = w != NULL ? tg_slots_add(&sh->attached, s) : 0;
    if (handle == 0 || !take_spec(sh, s, o)) {
        if (w != NULL)
            tg_wait_free(w);
        tg_slots_del(&sh->attached, handle);
        tg_open_fail(o, TG_E_NOMEM);
        tg_sess_offline(sh, s);
        return;
    }
    tg_list_add(&sh->opening, &w->opening);
    w->opened = o->done;
    w->present = present;
    s->handle = handle;
    s->ops = o->ops;
    s->link = o->link;
    s->number = 0;
    s->flags &= (uint8_t) ~(TG_SESS_BLOCKED | TG_SESS_ENDED);
    s->state = TG_SESS_OPENING;
    s->since = tg_hub_now(sh->hub);
    atomic_store_explicit(&s->online, 1, memory_order_relaxed);
    tg_metric_add(sh->hub->metrics.connected, 1);
    tg_queue_rewind(s->queue);
    store_opened(sh, s);
    tg_open_clear(o);
    tg_sess_answer(sh, w, s->expiry_s > 0);
}

void tg_sess_online_now(tg_shard *sh, tg_sess *s)
{
    s->state = TG_SESS_ONLINE;
    tg_event_connected(sh, s);
    tg_deliver_pump(sh, s);
    tg_scan_run(sh, s);
}

static void expire(tg_alarm *a)
{
    tg_extra *x = TG_OWNER(a, tg_extra, alarm);
    tg_will_publish(x->shard, x->sess);
    tg_sess_end(x->shard, x->sess);
}

void tg_sess_expire_in(tg_shard *sh, tg_sess *s, uint64_t ms)
{
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL) {
        tg_sess_end(sh, s); // nobody would find it again at its end
        return;
    }
    x->shard = sh;
    tg_wheel_add(sh->wheel, &x->alarm, ms, expire);
}

void tg_sess_offline(tg_shard *sh, tg_sess *s)
{
    s->state = TG_SESS_OFFLINE;
    s->since = tg_hub_now(sh->hub);
    if (s->expiry_s == 0) {
        tg_sess_end(sh, s);
        return;
    }
    if (tg_persist_on(sh, s))
        tg_persist_session(sh, s);
    tg_deliver_away(sh, s);
    if (s->expiry_s == TG_EXPIRY_NEVER)
        return;
    tg_sess_expire_in(sh, s, (uint64_t)s->expiry_s * 1000);
}

void tg_sess_detach(tg_shard *sh, tg_sess *s, int reason)
{
    const tg_link *ops = s->ops;
    void *link = s->link;
    tg_session handle = {s->handle};
    uint16_t number = s->number;
    bool opening = s->state == TG_SESS_OPENING;
    tg_slots_del(&sh->attached, s->handle);
    s->ops = NULL;
    s->link = NULL;
    s->handle = 0;
    s->state = TG_SESS_OFFLINE;
    atomic_store_explicit(&s->online, 0, memory_order_relaxed);
    tg_metric_add(sh->hub->metrics.connected, -1);
    if (!opening)
        tg_event_disconnected(sh, s, reason);
    // An open that was not answered yet fails with the reason, and that is all its link hears.
    tg_wait_cancel(sh, s, opening && reason != 0 ? reason : TG_E_CANCELLED);
    if (reason != 0 && !opening && ops->ended != NULL)
        ops->ended(link, handle, number, reason);
}

void tg_sess_shutdown(tg_shard *sh, tg_sess *s)
{
    tg_sess_detach(sh, s, TG_E_SHUTDOWN);
    s->since = tg_hub_now(sh->hub);
    if (tg_persist_on(sh, s))
        tg_persist_session(sh, s);
}

static void pass_on_shared(tg_shard *sh, tg_sess *s)
{
    tg_queue *q = s->queue;
    for (uint64_t n = q != NULL ? q->head : 0; q != NULL && n < q->tail; n++) {
        const tg_entry *e = tg_queue_at(q, n);
        bool seen = (e->flags & TG_ENTRY_SENT) != 0 && e->qos != 1;
        if (e->msg != NULL && e->qos > 0 && (e->flags & TG_ENTRY_SHARED) != 0 && !seen)
            tg_publish_to_others(sh, s, e);
    }
}

static void drop_all(tg_shard *sh, tg_sess *s)
{
    const tg_queue *q = s->queue;
    for (uint64_t n = q->head; n < q->tail; n++) {
        const tg_entry *e = tg_queue_at(q, n);
        if (e->msg != NULL)
            tg_shard_drop(sh, s, e->msg, e->qos, TG_DROP_SESSION_END);
    }
}

void tg_sess_reset(tg_shard *sh, tg_sess *s)
{
    if (s->queue != NULL && s->queue->waiting + s->queue->inflight > 0) {
        pass_on_shared(sh, s);
        drop_all(sh, s);
    }
    if ((s->flags & TG_SESS_STORED) != 0)
        tg_persist_forget(sh, s);
    tg_subs_clear(sh->hub, s);
    if (s->extra != NULL) {
        tg_wheel_del(sh->wheel, &s->extra->alarm);
        tg_wheel_del(sh->wheel, &s->extra->queue_due);
        tg_wheel_del(sh->wheel, &s->extra->will_due);
    }
    free_content(s);
    s->flags |= TG_SESS_ENDED;
}

// Who claims it meanwhile gets it empty; else it leaves the table and is freed.
void tg_sess_end(tg_shard *sh, tg_sess *s)
{
    tg_sess_reset(sh, s);
    s->state = TG_SESS_OFFLINE;
    pthread_mutex_t *lock = tg_clients_lock(sh->hub->clients, s->hash);
    bool claimed = s->claim != NULL;
    if (!claimed)
        tg_clients_del(sh->hub->clients, s);
    pthread_mutex_unlock(lock);
    if (claimed)
        return;
    tg_slots_del(&sh->seats, atomic_load(&s->where));
    tg_metric_add(sh->hub->metrics.sessions, -1);
    tg_sess_push(&sh->dead, s);
}

void tg_sess_end_link(tg_shard *sh, tg_sess *s, int reason, bool forget)
{
    tg_sess_detach(sh, s, reason);
    if (s->link != NULL)
        return; // who was told of it has opened it again
    tg_will_lost(sh, s);
    if (forget) {
        tg_will_publish(sh, s);
        tg_sess_end(sh, s);
    } else {
        tg_sess_offline(sh, s);
    }
}

// A new session, under the table's lock.
static tg_sess *make(tg_shard *sh, tg_slice id, uint32_t hash)
{
    tg_sess *s = tg_sess_new(id, hash);
    if (s == NULL)
        return NULL;
    if (tg_sess_seat(sh, s) < 0 || tg_clients_add(sh->hub->clients, s) < 0) {
        tg_slots_del(&sh->seats, atomic_load(&s->where));
        tg_sess_free(s);
        return NULL;
    }
    s->flags = TG_SESS_ENDED; // nothing in it yet: not "present"
    tg_metric_add(sh->hub->metrics.sessions, 1);
    return s;
}

static int open_copied(tg_shard *sh, tg_slice id, tg_open *o)
{
    uint32_t hash = (uint32_t)tg_hash(id);
    pthread_mutex_t *lock = tg_clients_lock(sh->hub->clients, hash);
    tg_sess *s = tg_clients_find(sh->hub->clients, id, hash);
    bool found = s != NULL;
    if (!found)
        s = make(sh, id, hash);
    uint32_t owner = s != NULL ? tg_handle_worker(atomic_load(&s->where)) : 0;
    bool here = s != NULL && s->claim == NULL && owner == sh->index;
    int rc = s == NULL ? TG_E_NOMEM : here ? 0 : tg_takeover_claim(sh, s, o);
    pthread_mutex_unlock(lock);
    if (rc > 0)
        tg_open_fail(o, TG_E_TAKENOVER);
    if (rc < 0 || !here)
        return rc < 0 ? rc : 0;
    if (found)
        tg_takeover_local(sh, s, o);
    else
        tg_sess_attach(sh, s, o);
    return 0;
}

int tg_session_open(tg_shard *sh, const tg_link *ops, void *link,
                    const tg_session_spec *spec, tg_opened_fn *done, void *ctx)
{
    if (spec->client_id.len == 0 || spec->client_id.len > ID_MAX || link == NULL)
        return TG_E_INVAL;
    tg_open o;
    int rc = tg_open_copy(sh->hub, &o, ops, link, spec, done, ctx);
    if (rc < 0)
        return rc;
    rc = open_copied(sh, spec->client_id, &o);
    if (rc < 0)
        tg_open_clear(&o);
    return rc;
}

int tg_session_close(tg_shard *sh, tg_session h, unsigned flags)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    tg_sess_detach(sh, s, 0);
    if (s->link != NULL)
        return 0; // who was told of it has opened it again
    bool end = (flags & TG_CLOSE_END_SESSION) != 0;
    if ((flags & TG_CLOSE_KEEP_WILL) == 0)
        tg_will_drop(s);
    else if (end)
        tg_will_publish(sh, s);
    else
        tg_will_lost(sh, s);
    if (end)
        tg_sess_end(sh, s);
    else
        tg_sess_offline(sh, s);
    return 0;
}

static void cancel_claims(tg_shard *sh, const void *link)
{
    for (tg_list *n = sh->claims.next; n != &sh->claims; n = n->next) {
        tg_claim *c = TG_OWNER(n, tg_claim, node);
        if (c->open.link == link)
            c->open.link = NULL;
    }
}

// Only an open that is not answered is cancelled; the session then lives on as if the
// connection had been closed in order.
void tg_session_cancel(tg_shard *sh, void *link)
{
    cancel_claims(sh, link);
    for (tg_list *n = sh->opening.next, *next; n != &sh->opening; n = next) {
        next = n->next;
        tg_wait *w = TG_OWNER(n, tg_wait, opening);
        tg_sess *s = w->sess;
        if (s->link != link)
            continue;
        w->fired = true; // who still holds it frees it
        w->sess = NULL;
        tg_list_del(&w->node);
        tg_list_del(&w->opening);
        tg_sess_detach(sh, s, 0);
        tg_will_drop(s);
        tg_sess_offline(sh, s);
    }
}

int tg_session_set_expiry(tg_shard *sh, tg_session h, uint32_t seconds)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    s->expiry_s = capped_expiry(sh->hub, seconds);
    store_opened(sh, s);
    return 0;
}

int tg_session_client_id(tg_shard *sh, tg_session h, tg_slice *out)
{
    const tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    *out = tg_sess_id(s);
    return 0;
}

int tg_session_user(tg_shard *sh, tg_session h, tg_slice *out)
{
    const tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    *out = tg_who_user(s->who);
    return 0;
}

void *tg_session_link(tg_shard *sh, tg_session h, const tg_link *ops, uint16_t **number)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL || s->ops != ops)
        return NULL;
    *number = &s->number;
    return s->link;
}

const tg_value *tg_session_attributes(tg_shard *sh, tg_session h)
{
    const tg_sess *s = tg_shard_attached(sh, h);
    return s != NULL ? tg_who_attributes(s->who) : NULL;
}

int tg_session_expiry(tg_shard *sh, tg_session h, uint32_t *out)
{
    const tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    *out = s->expiry_s;
    return 0;
}
