// SPDX-License-Identifier: Apache-2.0
// From a session to its link. A message with QoS 0 for a link that keeps up goes straight
// through and costs the session nothing. Everything else goes through the queue, from whose
// front the pump sends as far as link and window allow; so the order is that of arrival.
#include "hub/inbound.h"

#include <stdlib.h>

#define SPAN_MAX                                                                           \
    8192 // window entries behind an unanswered one; far below the packet ids' 65535

static uint32_t seconds_left(const tg_shard *sh, tg_msg m)
{
    uint64_t now = tg_hub_now(sh->hub);
    return m->expires <= now ? 1 : (uint32_t)((m->expires - now + 999) / 1000);
}

// One call of deliver(). What the callback may do, close the session included, the caller must
// expect.
static int give(tg_shard *sh, tg_sess *s, const tg_entry *e, uint16_t packet_id)
{
    tg_delivery d = {
        .size = sizeof(d),
        .qos = e->qos,
        .retain = (e->flags & TG_ENTRY_RETAIN) != 0,
        .dup = (e->flags & TG_ENTRY_DUP) != 0,
        .released = (e->flags & TG_ENTRY_RELEASED) != 0,
        .packet_id = packet_id,
        .nsub_ids = e->nids,
        .sub_ids = tg_entry_ids(e),
        .msg = e->msg,
        .expiry_s = e->msg->expires != 0 ? seconds_left(sh, e->msg) : 0,
    };
    sh->depth++;
    int rc = s->ops->deliver(s->link, (tg_session){s->handle}, &d);
    sh->depth--;
    if (rc == 0)
        sh->tally->delivered[e->qos]++;
    return rc;
}

static bool expired(const tg_shard *sh, tg_msg m)
{
    return m->expires != 0 && m->expires <= tg_hub_now(sh->hub);
}

static bool too_old(const tg_shard *sh, tg_msg m)
{
    uint64_t age = (uint64_t)sh->hub->config.limits.queue_age_s * 1000;
    return age != 0 && m->created + age <= tg_hub_now(sh->hub);
}

// What is told may publish, which goes by mail as within a deliver().
static void tell_away(tg_shard *sh, const tg_sess *s, tg_msg m, int reason)
{
    const tg_hub_config *c = &sh->hub->config;
    const tg_value *attributes = tg_who_attributes(s->who);
    if (c->on_away == NULL || attributes == NULL)
        return;
    sh->depth++;
    c->on_away(c->away_ctx, tg_sess_id(s), attributes, m, reason);
    sh->depth--;
}

static void drop(tg_shard *sh, tg_sess *s, uint64_t n, tg_drop why)
{
    const tg_entry *e = tg_queue_at(s->queue, n);
    bool outlived = (why == TG_DROP_EXPIRED || why == TG_DROP_QUEUE_AGE) &&
                    (e->flags & TG_ENTRY_SENT) == 0;
    tg_shard_drop(sh, s, e->msg, e->qos, why);
    if (outlived)
        tell_away(sh, s, e->msg, TG_E_TIMEOUT);
    tg_persist_done(sh, s, n);
    tg_queue_del(s->queue, n);
}

static bool still_there(const tg_sess *s, const tg_queue *q, uint64_t n, tg_msg m)
{
    return s->queue == q && n >= q->head && n < q->tail && tg_queue_at(q, n)->msg == m;
}

// The link took nothing: entry `n` is the first in its queue again.
static void wait_again(tg_queue *q, uint64_t n, uint8_t flags)
{
    tg_queue_at(q, n)->flags = flags;
    tg_queue_unsent(q, n);
}

// Who has not answered the oldest that is out for too long loses its connection; what it has
// not answered waits for the next one. One alarm a session, armed while something is out, asks
// again when the oldest of that moment will be too old: messages do not move it.
static void look_at_oldest(tg_alarm *a)
{
    tg_extra *x = TG_OWNER(a, tg_extra, alarm);
    tg_sess *s = x->sess;
    const tg_queue *q = s->queue;
    if (s->state != TG_SESS_ONLINE || q == NULL || q->inflight == 0) {
        tg_sess_tidy(s);
        return;
    }
    uint64_t now = tg_wheel_now(x->shard->wheel) / 1000;
    uint64_t due = tg_queue_at(q, q->head)->sent_s +
                   (uint64_t)x->shard->hub->config.limits.inflight_age_s;
    if (due <= now)
        tg_sess_end_link(x->shard, s, TG_E_TIMEOUT, false);
    else
        tg_wheel_add(x->shard->wheel, a, (due - now) * 1000, look_at_oldest);
}

// Without memory for the alarm it is not noticed.
static void note_sent(tg_shard *sh, tg_sess *s, tg_entry *e)
{
    uint32_t age = sh->hub->config.limits.inflight_age_s;
    if (age == 0 || e->qos == 0)
        return;
    e->sent_s = (uint32_t)(tg_wheel_now(sh->wheel) / 1000);
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL || tg_alarm_armed(&x->alarm))
        return;
    x->shard = sh;
    tg_wheel_add(sh->wheel, &x->alarm, (uint64_t)age * 1000, look_at_oldest);
}

static void send_entry(tg_shard *sh, tg_sess *s, uint64_t n)
{
    tg_queue *q = s->queue;
    tg_entry e = *tg_queue_at(q, n);
    tg_msg m = tg_msg_ref(e.msg);
    tg_queue_at(q, n)->flags |= TG_ENTRY_SENT; // an answer may come from within the call
    note_sent(sh, s, tg_queue_at(q, n));
    tg_queue_sent(q, n);
    if ((e.flags & (TG_ENTRY_STORED | TG_ENTRY_MARKED)) == TG_ENTRY_STORED)
        tg_persist_mark(sh, s, n);
    int rc = give(sh, s, &e, e.qos > 0 ? tg_packet_id(n) : 0);
    if (rc == TG_E_FULL)
        s->flags |= TG_SESS_BLOCKED;
    if (still_there(s, q, n, m)) {
        bool ended = rc == TG_E_CLOSED || rc == TG_E_SHUTDOWN;
        if (rc == TG_E_FULL && n + 1 == q->sent)
            wait_again(q, n, e.flags);
        else if (rc < 0 && !ended)
            drop(sh, s, n, TG_DROP_LINK);
        else if (e.qos == 0)
            tg_queue_del(q, n);
        if (ended)
            s->flags |= TG_SESS_BLOCKED; // its close() is on the way
    }
    tg_msg_unref(m);
}

// One message of any size may be on its way.
static bool too_heavy(const tg_shard *sh, const tg_queue *q, const tg_entry *e)
{
    uint32_t most = sh->hub->config.limits.inflight_bytes;
    return most != 0 && q->inflight > 0 && q->sent_bytes + tg_entry_bytes(e) > most;
}

// @return false: nothing more can be sent now.
static bool pump_one(tg_shard *sh, tg_sess *s, tg_queue *q)
{
    uint64_t n = q->sent;
    const tg_entry *e = tg_queue_at(q, n);
    if (e->msg == NULL) {
        q->sent++;
        if (q->head == n)
            q->head++;
        return true;
    }
    bool fresh = (e->flags & TG_ENTRY_SENT) == 0;
    if (fresh && (expired(sh, e->msg) || too_old(sh, e->msg))) {
        drop(sh, s, n, expired(sh, e->msg) ? TG_DROP_EXPIRED : TG_DROP_QUEUE_AGE);
        return true;
    }
    if (e->qos > 0 && (q->inflight >= s->window || n - q->head >= SPAN_MAX ||
                       (e->flags & TG_ENTRY_UNSAFE) != 0 || too_heavy(sh, q, e)))
        return false;
    send_entry(sh, s, n);
    return true;
}

void tg_deliver_pump(tg_shard *sh, tg_sess *s)
{
    if ((s->flags & TG_SESS_PUMPING) != 0)
        return;
    s->flags |= TG_SESS_PUMPING;
    while (s->state == TG_SESS_ONLINE && (s->flags & TG_SESS_BLOCKED) == 0 &&
           s->queue != NULL && s->queue->sent < s->queue->tail)
        if (!pump_one(sh, s, s->queue))
            break;
    s->flags &= (uint8_t)~TG_SESS_PUMPING;
}

static bool busy(const tg_sess *s)
{
    return (s->flags & (TG_SESS_BLOCKED | TG_SESS_PUMPING)) != 0 ||
           (s->queue != NULL && s->queue->waiting > 0);
}

// @return the reason why the queue cannot take it, TG_DROP_COUNT when it can.
static tg_drop refuses(const tg_shard *sh, const tg_sess *s, const tg_entry *e)
{
    const tg_hub_limits *l = &sh->hub->config.limits;
    const tg_queue *q = s->queue;
    if (s->state == TG_SESS_OFFLINE) {
        if ((s->flags & TG_SESS_ENDED) != 0 || (e->qos == 0 && !l->queue_qos0))
            return TG_DROP_OFFLINE;
    } else if (!busy(s)) {
        return TG_DROP_COUNT; // it leaves at once, or as soon as the window moves
    }
    if (q != NULL && q->waiting >= l->queue_messages)
        return TG_DROP_QUEUE_FULL;
    if ((q != NULL ? q->bytes : 0) + tg_entry_bytes(e) > l->queue_bytes)
        return TG_DROP_QUEUE_BYTES;
    return TG_DROP_COUNT;
}

// What has outlived its time makes room for what is new.
static void weed(tg_shard *sh, tg_sess *s)
{
    tg_queue *q = s->queue;
    while (q != NULL && q->sent < q->tail) {
        const tg_entry *e = tg_queue_at(q, q->sent);
        if (e->msg != NULL && ((e->flags & TG_ENTRY_SENT) != 0 ||
                               (!expired(sh, e->msg) && !too_old(sh, e->msg))))
            return;
        pump_one(sh, s, q);
    }
}

static uint32_t *copy_ids(const uint32_t *ids, uint16_t n)
{
    uint32_t *copy = malloc(n * sizeof(*copy));
    if (copy != NULL)
        memcpy(copy, ids, n * sizeof(*copy));
    return copy;
}

// An entry that waits for the store, found again by its number.
struct stored {
    uint64_t seat, n;
};

// @owner frees `ctx`. @return its session, NULL when one of them has gone.
static tg_sess *stored_entry(tg_shard *sh, void *ctx, uint64_t *n)
{
    struct stored at = *(struct stored *)ctx;
    free(ctx);
    *n = at.n;
    tg_sess *s = tg_slots_find(&sh->seats, at.seat);
    const tg_queue *q = s != NULL && s->magic == TG_SESS_MAGIC ? s->queue : NULL;
    bool there = q != NULL && at.n >= q->head && at.n < q->tail;
    return there && tg_queue_at(q, at.n)->msg != NULL ? s : NULL;
}

static bool after_commit(tg_shard *sh, const tg_sess *s, uint64_t n, tg_committed_fn *fn)
{
    struct stored *at = sh->hub->durable ? malloc(sizeof(*at)) : NULL;
    if (at == NULL)
        return false;
    *at = (struct stored){atomic_load(&s->where), n};
    if (tg_persist_after(sh, fn, at) == 0)
        return true;
    free(at);
    return false;
}

static void safe(tg_shard *sh, void *ctx, int code)
{
    uint64_t n;
    tg_sess *s = stored_entry(sh, ctx, &n);
    if (s == NULL || code == TG_E_SHUTDOWN)
        return;
    if (code < 0) // its publisher is told, and may send it again
        drop(sh, s, n, TG_DROP_STORE);
    else
        tg_queue_at(s->queue, n)->flags &= (uint8_t)~TG_ENTRY_UNSAFE;
    tg_deliver_pump(sh, s);
}

// QoS 2 is sent when the store has it: else a restart that knows nothing of it would give its
// packet id, which the peer remembers, to another message.
static void store_entry(tg_shard *sh, tg_sess *s, uint64_t n)
{
    tg_persist_entry(sh, s, n);
    tg_entry *e = tg_queue_at(s->queue, n);
    if (e->qos == 2 && after_commit(sh, s, n, safe))
        e->flags |= TG_ENTRY_UNSAFE;
}

// When a message that waits ends; 0: it does not.
static uint64_t end_of(const tg_shard *sh, tg_msg m)
{
    uint64_t age = (uint64_t)sh->hub->config.limits.queue_age_s * 1000;
    uint64_t old = age != 0 ? m->created + age : 0;
    return old == 0 || (m->expires != 0 && m->expires < old) ? m->expires : old;
}

static void outlived(tg_alarm *a);

// Not before a second has passed since it was looked at: many end together.
static void tell_at(tg_shard *sh, tg_sess *s, uint64_t end, uint64_t least)
{
    bool asked = sh->hub->config.on_away != NULL && tg_who_attributes(s->who) != NULL;
    tg_extra *x = asked && end != 0 ? tg_sess_extra(s) : NULL;
    if (x == NULL)
        return;
    uint64_t now = tg_hub_now(sh->hub);
    uint64_t ms = end > now + least ? end - now : least;
    if (tg_alarm_armed(&x->queue_due) && x->queue_due.due <= tg_wheel_now(sh->wheel) + ms)
        return;
    x->shard = sh;
    tg_wheel_add(sh->wheel, &x->queue_due, ms, outlived);
}

static void outlived(tg_alarm *a)
{
    tg_extra *x = TG_OWNER(a, tg_extra, queue_due);
    tg_sess *s = x->sess;
    tg_shard *sh = x->shard;
    const tg_queue *q = s->queue;
    uint64_t next = 0;
    for (uint64_t n = q != NULL ? q->sent : 0; q != NULL && n < q->tail; n++) {
        const tg_entry *e = tg_queue_at(q, n);
        if (e->msg == NULL || (e->flags & TG_ENTRY_SENT) != 0)
            continue;
        uint64_t end = end_of(sh, e->msg);
        if (expired(sh, e->msg) || too_old(sh, e->msg))
            drop(sh, s, n, expired(sh, e->msg) ? TG_DROP_EXPIRED : TG_DROP_QUEUE_AGE);
        else if (end != 0 && (next == 0 || end < next))
            next = end;
    }
    tell_at(sh, s, next, 1000);
}

void tg_deliver_away(tg_shard *sh, tg_sess *s)
{
    if (s->queue != NULL && s->queue->waiting > 0)
        tell_at(sh, s, tg_hub_now(sh->hub), 1);
}

static int enqueue(tg_shard *sh, tg_sess *s, tg_entry e)
{
    tg_drop why = refuses(sh, s, &e);
    if (why == TG_DROP_QUEUE_FULL || why == TG_DROP_QUEUE_BYTES) {
        weed(sh, s);
        why = refuses(sh, s, &e);
    }
    if (why != TG_DROP_COUNT) {
        tg_shard_drop(sh, s, e.msg, e.qos, why);
        if (s->state == TG_SESS_OFFLINE && (s->flags & TG_SESS_ENDED) == 0)
            tell_away(sh, s, e.msg, TG_E_FULL);
        return why == TG_DROP_OFFLINE ? 0 : TG_E_FULL;
    }
    if (e.nids > 1)
        e.ids = copy_ids(e.ids, e.nids);
    if (e.nids > 1 && e.ids == NULL)
        e.nids = 0;
    uint64_t n = tg_queue_push(s, &e, sh->tally);
    if (n == 0) {
        if (e.nids > 1)
            free(e.ids);
        tg_shard_drop(sh, s, e.msg, e.qos, TG_DROP_NOMEM);
        return TG_E_FULL;
    }
    tg_msg_ref(e.msg);
    if (e.qos > 0 && tg_persist_on(sh, s))
        store_entry(sh, s, n);
    if (s->state == TG_SESS_OFFLINE) {
        tell_at(sh, s, end_of(sh, e.msg), 1);
        tell_away(sh, s, e.msg, 0);
    }
    tg_deliver_pump(sh, s);
    return 0;
}

// @return true when the message has been dealt with.
static bool straight(tg_shard *sh, tg_sess *s, const tg_entry *e)
{
    if (e->qos > 0 || s->state != TG_SESS_ONLINE || busy(s))
        return false;
    s->flags |= TG_SESS_PUMPING;
    int rc = give(sh, s, e, 0);
    s->flags &= (uint8_t)~TG_SESS_PUMPING;
    if (rc == TG_E_FULL) {
        s->flags |= TG_SESS_BLOCKED;
        return false;
    }
    if (rc < 0)
        tg_shard_drop(sh, s, e->msg, e->qos, TG_DROP_LINK);
    if (s->queue != NULL && s->queue->waiting > 0)
        tg_deliver_pump(sh, s); // came in while the callback ran
    return true;
}

static bool had_it(tg_sess *s, tg_msg m)
{
    const tg_origin *o = tg_msg_origin(m);
    return o != NULL && o->again && tg_inbound_had(s, o);
}

int tg_deliver(tg_shard *sh, tg_sess *s, tg_msg m, const tg_target *t, const uint32_t *ids)
{
    if (m->qos == 2 && had_it(s, m))
        return 0;
    tg_entry e = {.msg = m,
                  .nids = t->nids,
                  .qos = t->qos < m->qos ? t->qos : m->qos,
                  .flags = t->flags};
    if (m->retain == 0)
        e.flags &= (uint8_t)~TG_ENTRY_RETAIN;
    if (e.nids > 1)
        e.ids = (uint32_t *)(uintptr_t)ids;
    else
        e.id = t->sub_id;
    if (expired(sh, m)) {
        tg_shard_drop(sh, s, m, e.qos, TG_DROP_EXPIRED);
        return 0;
    }
    return straight(sh, s, &e) ? 0 : enqueue(sh, s, e);
}

bool tg_seat_gone(const void *seated)
{
    const tg_sess *s = seated;
    return s == NULL || (s->magic == TG_SESS_MAGIC && (s->flags & TG_SESS_ENDED) != 0);
}

int tg_deliver_to_seat(tg_shard *sh, tg_msg m, const tg_target *t, const uint32_t *ids,
                       tg_ack_ref *ack)
{
    void *p = tg_slots_find(&sh->seats, t->seat);
    if ((t->flags & TG_ENTRY_SHARED) != 0 && tg_seat_gone(p))
        return tg_publish_elsewhere(sh, m, t, ack);
    if (p == NULL)
        return 0; // it ended while the message was on its way
    if (*(const uint32_t *)p == TG_CLAIM_MAGIC)
        return tg_claim_hold(sh, p, m, t, ids, ack);
    return tg_deliver(sh, p, m, t, ids);
}

// The peer may forget the message when it is released, so the store must know that first. A
// session that has moved or lost its link meanwhile releases it on its next connection.
static void released(tg_shard *sh, void *ctx, int code)
{
    uint64_t n;
    tg_sess *s = stored_entry(sh, ctx, &n);
    if (s == NULL || code < 0 || s->state != TG_SESS_ONLINE || n >= s->queue->sent)
        return;
    tg_entry e = *tg_queue_at(s->queue, n);
    tg_msg_ref(e.msg);
    if ((e.flags & TG_ENTRY_RELEASED) != 0)
        give(sh, s, &e, tg_packet_id(n));
    tg_msg_unref(e.msg);
}

// @return 0: it may be released now; 1: the release is delivered once it is stored.
static int received(tg_shard *sh, tg_sess *s, uint64_t n)
{
    tg_entry *e = tg_queue_at(s->queue, n);
    if (e->qos != 2)
        return TG_E_NOTFOUND;
    e->flags |= TG_ENTRY_RELEASED;
    if ((e->flags & TG_ENTRY_STORED) == 0)
        return 0;
    tg_persist_mark(sh, s, n);
    return after_commit(sh, s, n, released) ? 1 : 0;
}

// MQTT 5.0 §4.3.2, §4.3.3: each QoS has answers of its own.
static bool answers(tg_ack how, uint8_t qos)
{
    switch (how) {
    case TG_ACK_DONE_1:
    case TG_ACK_REFUSED_1:
        return qos == 1;
    case TG_ACK_DONE_2:
    case TG_ACK_REFUSED_2:
        return qos == 2;
    default:
        return true;
    }
}

int tg_session_ack(tg_shard *sh, tg_session h, uint16_t packet_id, tg_ack how)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    uint64_t n = tg_queue_find(s->queue, packet_id);
    if (n == 0)
        return TG_E_NOTFOUND;
    if (how == TG_ACK_RECEIVED)
        return received(sh, s, n);
    const tg_entry *e = tg_queue_at(s->queue, n);
    bool refused =
        how == TG_ACK_REFUSED || how == TG_ACK_REFUSED_1 || how == TG_ACK_REFUSED_2;
    bool early = !refused && e->qos == 2 && (e->flags & TG_ENTRY_RELEASED) == 0;
    if (early || !answers(how, e->qos))
        return TG_E_NOTFOUND;
    if (refused)
        tg_shard_drop(sh, s, e->msg, e->qos, TG_DROP_REFUSED);
    tg_persist_done(sh, s, n);
    tg_queue_del(s->queue, n);
    tg_deliver_pump(sh, s);
    tg_scan_run(sh, s);
    return 0;
}

int tg_session_resume(tg_shard *sh, tg_session h)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    s->flags &= (uint8_t)~TG_SESS_BLOCKED;
    tg_deliver_pump(sh, s);
    tg_scan_run(sh, s);
    return 0;
}
