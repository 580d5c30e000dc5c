// SPDX-License-Identifier: Apache-2.0
// A session moves to the worker where its client has come back. The client table orders the
// claims: each names the one before it as the place to take the session from, so any number of
// them form a chain that the session runs down, and the last claim has it in the end. One step:
//   claim    the new worker takes a seat for it and writes to the old one
//   freeze   the old one takes the link away, and turns the route to the new seat
//   barrier  everything that was routed to the old seat arrives there and is queued
//   hand over the session goes to the new worker, and behind what is queued come the messages
//            that arrived at the new seat meanwhile
// So what a publisher sent before and after the turn arrives once and in its order.
#include <assert.h>
#include <stdlib.h>

#include "base/metric.h"
#include "hub/internal.h"

static uint32_t worker_of(const tg_claim *c)
{
    return tg_handle_worker(c->seat);
}

// Ends what the session has here. A will is due where the standard counts the old connection
// as lost: at once, or because the session ends (MQTT 5.0 §3.1.2.5, §3.1.4-3).
static void leave(tg_shard *sh, tg_sess *s, bool clean)
{
    bool had_link = s->link != NULL;
    while (s->link != NULL)
        tg_sess_detach(sh, s, TG_E_TAKENOVER);
    bool ends = clean || s->expiry_s == 0;
    if (ends || (had_link && s->extra != NULL && s->extra->will_delay == 0))
        tg_will_publish(sh, s);
    tg_will_drop(s);
    if (ends)
        tg_sess_reset(sh, s);
    if (s->extra != NULL) {
        tg_wheel_del(sh->wheel, &s->extra->alarm);
        tg_wheel_del(sh->wheel, &s->extra->queue_due);
    }
    tg_metric_add(sh->hub->metrics.takeovers, had_link);
}

void tg_takeover_local(tg_shard *sh, tg_sess *s, tg_open *o)
{
    leave(sh, s, o->clean_start);
    tg_sess_attach(sh, s, o);
}

static void arrived(tg_mail *mail, void *receiver);

// Entries that came while the session was frozen are told of their commit by a seat that it
// had left; all of them are committed by now.
static void all_safe(tg_queue *q)
{
    for (uint64_t n = q != NULL ? q->head : 0; q != NULL && n < q->tail; n++)
        tg_queue_at(q, n)->flags &= (uint8_t)~TG_ENTRY_UNSAFE;
}

static void hand_over(tg_shard *sh, void *ctx, int code)
{
    if (code == TG_E_SHUTDOWN)
        return; // a failed commit, though, is not mended by keeping the session
    tg_claim *c = ctx;
    tg_sess *s = c->sess;
    all_safe(s->queue);
    tg_queue_to_blocks(s->queue);
    tg_queue_count_in(s->queue, NULL);
    s->flags |= TG_SESS_MOVING;
    s->flags &= (uint8_t)~TG_SESS_LISTED; // on the list of this shard, which forgets it
    tg_slots_del(&sh->seats, c->old_seat);
    c->mail.mail.run = arrived;
    tg_shard_control(sh, worker_of(c), &c->mail);
}

// All has arrived. Writes of two workers have no order in the store, so ours must be done.
static void drained(tg_shard *sh, void *ctx)
{
    if (sh != NULL && tg_persist_after(sh, hand_over, ctx) < 0)
        hand_over(sh, ctx, 0);
}

// `s` is settled here, or stopped here on its way down the chain.
static void begin(tg_shard *sh, tg_sess *s, tg_claim *c)
{
    leave(sh, s, c->clean);
    s->state = TG_SESS_FROZEN;
    c->old_seat = atomic_load_explicit(&s->where, memory_order_relaxed);
    atomic_store_explicit(&s->where, c->seat, memory_order_release);
    tg_barrier *b = c->barrier;
    c->barrier = NULL;
    tg_barrier_run(b, sh, drained, c);
}

static void claim_free(tg_claim *c)
{
    assert(c->nheld == 0);
    tg_list_del(&c->node);
    tg_open_clear(&c->open);
    tg_barrier_free(c->barrier);
    free(c->held);
    c->magic = 0;
    free(c);
}

static void pass_on(tg_shard *sh, tg_claim *c)
{
    tg_sess *s = c->sess;
    tg_claim *next = c->next;
    claim_free(c);
    begin(sh, s, next);
}

// On the worker that has the session, or will have it before the claimant.
static void claimed(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_claim *c = TG_OWNER(mail, tg_claim, mail);
    tg_shard *sh = tg_mail_shard(&c->mail);
    tg_claim *prev = c->prev;
    if (sh == NULL)
        return;
    if (prev == NULL) {
        begin(sh, c->sess, c);
        return;
    }
    prev->next = c;
    tg_open_fail(&prev->open, TG_E_TAKENOVER);
    if (prev->arrived)
        pass_on(sh, prev);
}

static tg_claim *claim_new(tg_shard *sh, tg_sess *s)
{
    tg_claim *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->magic = TG_CLAIM_MAGIC;
    c->sess = s;
    c->prev = s->claim;
    c->mail.mail.run = claimed;
    tg_list_init(&c->node);
    c->barrier = tg_barrier_new(sh->hub);
    c->seat = c->barrier != NULL ? tg_slots_add(&sh->seats, c) : 0;
    if (c->seat == 0) {
        claim_free(c);
        return NULL;
    }
    tg_list_add(&sh->claims, &c->node);
    return c;
}

int tg_takeover_claim(tg_shard *sh, tg_sess *s, tg_open *o)
{
    tg_claim *prev = s->claim;
    uint64_t where = atomic_load_explicit(&s->where, memory_order_acquire);
    if (where == 0)
        return TG_E_BUSY; // restored, but its worker has not begun
    if (prev != NULL && worker_of(prev) == sh->index) {
        tg_open earlier = prev->open;
        prev->open = *o;
        prev->kicked = false; // that was meant for the earlier one
        *o = earlier;
        return 1;
    }
    tg_claim *c = claim_new(sh, s);
    if (c == NULL)
        return TG_E_NOMEM;
    c->open = *o;
    c->clean = o->clean_start;
    *o = (tg_open){0};
    s->claim = c;
    tg_shard_control(sh, prev != NULL ? worker_of(prev) : tg_handle_worker(where),
                     &c->mail);
    return 0;
}

static void put_committed(tg_shard *sh, void *ctx, int code)
{
    tg_ack_ref_put(sh, ctx, code);
}

// Behind what the session brought along.
static void append_held(tg_shard *sh, tg_sess *s, tg_claim *c)
{
    for (uint32_t i = 0; i < c->nheld; i++) {
        tg_held *h = &c->held[i];
        uint32_t before = tg_persist_count(sh);
        const uint32_t *ids = h->target.nids > 1 ? h->ids : &h->target.sub_id;
        bool other = (h->target.flags & TG_ENTRY_SHARED) != 0 && tg_seat_gone(s);
        int rc = other ? tg_publish_elsewhere(sh, h->msg, &h->target, h->ack)
                       : tg_deliver(sh, s, h->msg, &h->target, ids);
        bool wait = h->ack != NULL && tg_persist_count(sh) != before;
        if (!wait || tg_persist_after(sh, put_committed, h->ack) < 0)
            tg_ack_ref_put(sh, h->ack, rc);
        tg_msg_unref(h->msg);
        free(h->ids);
    }
    c->nheld = 0;
}

// From here on a kick finds the session itself, or a later claim.
static bool settle(tg_shard *sh, tg_sess *s, const tg_claim *c)
{
    pthread_mutex_t *lock = tg_clients_lock(sh->hub->clients, s->hash);
    bool last = s->claim == c;
    if (last)
        s->claim = NULL;
    pthread_mutex_unlock(lock);
    return last;
}

static void open_here(tg_shard *sh, tg_sess *s, tg_claim *c)
{
    tg_open o = c->open;
    bool kicked = c->kicked, forget = c->forget;
    c->open = (tg_open){0};
    claim_free(c);
    if (o.link != NULL && !kicked) {
        tg_sess_attach(sh, s, &o);
        return;
    }
    tg_open_fail(&o, TG_E_KICKED); // tells nobody where the connection has gone meanwhile
    if (forget)
        tg_sess_end(sh, s);
    else
        tg_sess_offline(sh, s);
}

// On the claimant: the session is here.
static void arrived(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_claim *c = TG_OWNER(mail, tg_claim, mail);
    tg_shard *sh = tg_mail_shard(&c->mail);
    tg_sess *s = c->sess;
    if (sh == NULL)
        return;
    s->flags &= (uint8_t)~TG_SESS_MOVING;
    tg_queue_count_in(s->queue, sh->tally);
    tg_queue_from_blocks(s->queue);
    if (s->extra != NULL)
        s->extra->shard = sh;
    tg_slots_set(&sh->seats, c->seat, s);
    append_held(sh, s, c);
    bool last = settle(sh, s, c);
    if (c->forget)
        tg_sess_reset(sh, s);
    if (last) {
        open_here(sh, s, c);
        return;
    }
    c->arrived = true;
    tg_open_fail(&c->open, TG_E_TAKENOVER);
    if (c->next != NULL)
        pass_on(sh, c);
}

static bool held_room(tg_claim *c)
{
    if (c->nheld < c->held_cap)
        return true;
    uint32_t cap = c->held_cap == 0 ? 16 : c->held_cap * 2;
    tg_held *held = realloc(c->held, cap * sizeof(*held));
    if (held == NULL)
        return false;
    c->held = held;
    c->held_cap = cap;
    return true;
}

// As much as the session's queue may hold.
static tg_drop hold_refuses(const tg_shard *sh, const tg_claim *c, size_t bytes)
{
    const tg_hub_limits *l = &sh->hub->config.limits;
    if (c->nheld >= l->queue_messages)
        return TG_DROP_QUEUE_FULL;
    return c->held_bytes + bytes > l->queue_bytes ? TG_DROP_QUEUE_BYTES : TG_DROP_COUNT;
}

int tg_claim_hold(tg_shard *sh, tg_claim *c, tg_msg m, const tg_target *t,
                  const uint32_t *ids, tg_ack_ref *ack)
{
    uint32_t *copy = NULL;
    if (t->nids > 1 && (copy = malloc(t->nids * sizeof(*copy))) != NULL)
        memcpy(copy, ids, t->nids * sizeof(*copy));
    bool whole = t->nids < 2 || copy != NULL;
    size_t bytes = m->topic.len + m->payload.len + m->props.len;
    tg_drop why = hold_refuses(sh, c, bytes);
    if (why == TG_DROP_COUNT && (!whole || !held_room(c)))
        why = TG_DROP_NOMEM;
    if (why != TG_DROP_COUNT) {
        free(copy);
        tg_shard_drop(sh, NULL, m, t->qos < m->qos ? t->qos : m->qos, why);
        return TG_E_FULL;
    }
    c->held_bytes += bytes;
    if (ack != NULL)
        ack->left++;
    c->held[c->nheld++] = (tg_held){tg_msg_ref(m), *t, copy, ack};
    return 0;
}

// The worker that the session comes from may hold the claim until it closes, too.
void tg_claim_abandon(tg_shard *sh, tg_claim *c)
{
    for (uint32_t i = 0; i < c->nheld; i++) {
        tg_ack_ref_put(sh, c->held[i].ack, TG_E_SHUTDOWN);
        tg_msg_unref(c->held[i].msg);
        free(c->held[i].ids);
    }
    c->nheld = 0;
    tg_open_fail(&c->open, TG_E_SHUTDOWN);
    tg_list_del(&c->node);
    pthread_mutex_lock(&sh->hub->lock);
    tg_list_add(&sh->hub->abandoned, &c->node);
    pthread_mutex_unlock(&sh->hub->lock);
}

void tg_claims_free(tg_hub *h)
{
    for (tg_list *n = h->abandoned.next, *next; n != &h->abandoned; n = next) {
        next = n->next;
        claim_free(TG_OWNER(n, tg_claim, node));
    }
}
