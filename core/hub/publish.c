// SPDX-License-Identifier: Apache-2.0
// A publish: keep it if it is retained, collect its receivers from the router, merge those of one
// session, deliver to those of this worker and put one record per other worker into its mail.
// Receivers are seats, not pointers: whatever happens to a session meanwhile, a seat is looked
// up where the message arrives, or is stale.
// deliver() may publish again. Such a publish sends its local share by mail, too, so neither
// the stack nor a turn grows with what answers what; and while such a mail is under way all
// local shares go by it, for the order.
#include <stdlib.h>

#include "hub/gather.h"
#include "hub/topic.h"

struct spread {
    tg_shard *sh;
    tg_gather *g;
    tg_msg msg;
    tg_wait *pub; // NULL: nobody waits for a store
    uint32_t receivers;
    bool direct; // local ones now; else by mail
    int code;
};

static void to_local(struct spread *p, tg_target *t)
{
    const uint32_t *ids = tg_gather_ids(p->g, t);
    if (ids == NULL)
        t->nids = 0;
    tg_ack_ref *ack = NULL;
    void *at = tg_slots_find(&p->sh->seats, t->seat);
    bool claim = at != NULL && *(const uint32_t *)at == TG_CLAIM_MAGIC;
    bool moves_on = (t->flags & TG_ENTRY_SHARED) != 0 && tg_seat_gone(at);
    if ((claim || moves_on) && p->pub != NULL) {
        ack = tg_ack_ref_new(p->sh->index, p->pub);
        p->pub->left += ack != NULL;
    }
    int rc = tg_deliver_to_seat(p->sh, p->msg, t, ids, ack);
    tg_ack_ref_put(p->sh, ack, 0);
    if (rc < 0)
        p->code = rc;
}

static void to_mail(struct spread *p, uint32_t worker)
{
    bool open = false;
    for (uint32_t i = 0; i < p->g->n; i++) {
        tg_target *t = &p->g->at[i];
        if (t->seat == 0 || tg_handle_worker(t->seat) != worker)
            continue;
        const uint32_t *ids = tg_gather_ids(p->g, t);
        if (ids == NULL)
            t->nids = 0;
        if (!open && !tg_outbox_open(p->sh, worker, p->msg, p->pub)) {
            p->code = TG_E_NOMEM;
            return;
        }
        open = true;
        if (!tg_outbox_target(p->sh, worker, t, ids))
            p->code = TG_E_NOMEM;
    }
}

static void spread(struct spread *p)
{
    uint32_t me = p->sh->index;
    uint64_t others = 0; // workers, by bit; TG_WORKERS_MAX is 64
    for (uint32_t i = 0; i < p->g->n; i++) {
        tg_target *t = &p->g->at[i];
        if (t->seat == 0)
            continue;
        p->receivers++;
        uint32_t w = tg_handle_worker(t->seat);
        if (w == me && p->direct)
            to_local(p, t);
        else
            others |= UINT64_C(1) << w;
    }
    for (; others != 0; others &= others - 1)
        to_mail(p, (uint32_t)__builtin_ctzll(others));
}

static void committed(tg_shard *sh, void *ctx, int code)
{
    tg_wait_put(sh, ctx, code);
}

static void route(tg_shard *sh, tg_sess *s, tg_msg m, struct spread *p)
{
    uint32_t before = tg_persist_count(sh);
    bool status = (m->flags & TG_MSG_STATUS) != 0;
    if (m->retain != 0) {
        if (tg_retained_set_msg(sh, m) < 0)
            p->code = TG_E_FULL;
        else if (sh->hub->stored && !status && !tg_outbox_retain(sh, m, p->pub))
            p->code = TG_E_NOMEM;
    }
    tg_gather *g = tg_gather_take(sh);
    if (g == NULL) {
        p->code = TG_E_NOMEM;
        return;
    }
    tg_gather_collect(sh, g, s, m);
    if (g->failed)
        p->code = TG_E_NOMEM;
    p->g = g;
    spread(p);
    tg_gather_give(sh, g);
    if (p->pub != NULL && tg_persist_count(sh) != before) {
        p->pub->left++;
        if (tg_persist_after(sh, committed, p->pub) < 0)
            p->pub->left--;
    }
    sh->tally->published[m->qos] += !status;
}

int tg_publish_from(tg_shard *sh, tg_sess *s, tg_msg m, tg_origin *o, tg_published_fn *done,
                    void *ctx)
{
    uint32_t most = sh->hub->config.limits.topic_levels;
    size_t levels = tg_topic_measure(m->topic);
    if (levels == 0)
        return TG_E_MALFORMED;
    if (levels > most)
        return TG_E_LIMIT;
    tg_wait *w = NULL;
    if (done != NULL && sh->hub->durable) {
        w = tg_wait_new(sh, s, TG_WAIT_PUB, ctx);
        if (w == NULL)
            return TG_E_NOMEM;
        w->published = done;
    }
    m = tg_msg_publish(m, tg_hub_now(sh->hub), s != NULL ? s->handle : 0);
    if (m == NULL) {
        if (w != NULL)
            tg_wait_free(w);
        return TG_E_NOMEM;
    }
    if (o != NULL) {
        tg_msg_set_origin(m, o);
        w->origin = tg_origin_ref(o);
    }
    struct spread p = {
        .sh = sh, .msg = m, .pub = w, .direct = sh->depth == 0 && sh->self_mails == 0};
    route(sh, s, m, &p);
    tg_msg_unref(m);
    if (w == NULL && done != NULL) {
        done(ctx, p.code, p.receivers);
    } else if (w != NULL) {
        w->receivers = p.receivers;
        if (w->code == 0)
            w->code = p.code;
        tg_wait_publish_put(sh, w);
    }
    return 0;
}

int tg_publish(tg_shard *sh, tg_sess *s, tg_msg m, tg_published_fn *done, void *ctx)
{
    return tg_publish_from(sh, s, m, NULL, done, ctx);
}

int tg_shard_status(tg_shard *sh, tg_slice topic, tg_slice payload, bool retain)
{
    tg_msg_spec spec = {.size = sizeof(spec),
                        .retain = retain,
                        .flags = TG_MSG_STATUS,
                        .topic = topic,
                        .payload = payload};
    if (!tg_topic_valid(topic))
        return TG_E_MALFORMED;
    tg_msg fresh = tg_msg_new(&spec);
    tg_msg m = fresh != NULL ? tg_msg_publish(fresh, tg_hub_now(sh->hub), 0) : NULL;
    tg_msg_unref(fresh);
    if (m == NULL)
        return TG_E_NOMEM;
    struct spread p = {.sh = sh, .msg = m};
    route(sh, NULL, m, &p);
    tg_msg_unref(m);
    return p.code;
}

int tg_session_publish(tg_shard *sh, tg_session h, tg_msg m, tg_published_fn *done,
                       void *ctx)
{
    tg_sess *s = h.id != 0 ? tg_shard_attached(sh, h) : NULL;
    if (h.id != 0 && s == NULL)
        return TG_E_CLOSED;
    return tg_publish(sh, s, m, done, ctx);
}

// MQTT 5.0 §4.8.2: what a member did not finish goes to another one when its session ends;
// QoS 2 that it has seen does not.
void tg_publish_to_others(tg_shard *sh, tg_sess *s, const tg_entry *e)
{
    tg_target t = {0};
    uint32_t at = 0;
    tg_epoch_enter(sh->hub->epoch, sh->index);
    for (tg_route *r; t.seat == 0 && (r = tg_subs_next(s, &at)) != NULL;) {
        if (r->group == NULL ||
            !tg_topic_matches(tg_leaf_text(&r->filter->leaf), e->msg->topic))
            continue;
        const tg_route *other = tg_group_other(r);
        if (other == NULL)
            continue;
        t = (tg_target){atomic_load(&other->sess->where),
                        other->sub_id,
                        r->group->tag,
                        other->sub_id != 0,
                        other->qos,
                        TG_ENTRY_SHARED};
    }
    tg_epoch_leave(sh->hub->epoch, sh->index);
    if (t.seat == 0)
        return;
    uint32_t w = tg_handle_worker(t.seat);
    if (tg_outbox_open(sh, w, e->msg, NULL))
        tg_outbox_target(sh, w, &t, &t.sub_id);
}

struct member {
    uint32_t group;
    tg_target t;
};

static void find_member(void *ctx, tg_leaf *l)
{
    struct member *m = ctx;
    const tg_filter *f = (const tg_filter *)(const void *)l;
    const tg_route *r = m->t.seat == 0 ? tg_group_member(f, m->group) : NULL;
    if (r != NULL)
        m->t = (tg_target){atomic_load(&r->sess->where),
                           r->sub_id,
                           m->group,
                           r->sub_id != 0,
                           r->qos,
                           TG_ENTRY_SHARED};
}

// Somebody waits for the store: he is answered when the member that gets it now has it.
static tg_wait *pass_new(tg_shard *sh, tg_ack_ref *ack)
{
    tg_wait *w = ack != NULL ? tg_wait_new(sh, NULL, TG_WAIT_PASS, NULL) : NULL;
    if (w == NULL)
        return NULL;
    w->ack = ack;
    ack->left++;
    return w;
}

// The member that was chosen has ended since: another one of its group gets the message.
int tg_publish_elsewhere(tg_shard *sh, tg_msg m, const tg_target *t, tg_ack_ref *ack)
{
    struct member other = {.group = t->group};
    tg_epoch_enter(sh->hub->epoch, sh->index);
    tg_trie_match(&sh->hub->router.trie, m->topic, find_member, &other);
    tg_epoch_leave(sh->hub->epoch, sh->index);
    if (other.t.seat == 0) {
        tg_shard_drop(sh, NULL, m, t->qos < m->qos ? t->qos : m->qos, TG_DROP_SESSION_END);
        return 0;
    }
    tg_wait *pass = pass_new(sh, ack);
    uint32_t to = tg_handle_worker(other.t.seat);
    bool sent = tg_outbox_open(sh, to, m, pass) &&
                tg_outbox_target(sh, to, &other.t, &other.t.sub_id);
    if (pass != NULL)
        tg_wait_put(sh, pass, 0);
    return sent ? 0 : TG_E_NOMEM;
}
