// SPDX-License-Identifier: Apache-2.0
// A publish: keep it if it is retained, collect its receivers from the trie, merge those of one
// session, deliver to those of this worker and put one record per other worker into its mail.
// Receivers are seats, not pointers: whatever happens to a session meanwhile, a seat is looked
// up where the message arrives, or is stale.
// deliver() may publish again. Such a publish sends its local share by mail, too, so neither
// the stack nor a turn grows with what answers what; and while such a mail is under way all
// local shares go by it, for the order.
#include <stdlib.h>

#include "base/map.h"
#include "base/metric.h"
#include "hub/internal.h"
#include "hub/topic.h"

#define FEW 12 // targets among which a scan finds doubles faster than a table

struct more { // subscription ids of a merged target
    uint32_t id, next;
};

struct tg_gather {
    tg_hub *hub;
    const tg_sess *from;
    tg_msg msg;
    tg_choice choice;
    bool hashed;
    bool failed;
    uint32_t filters;
    tg_target *at;
    uint32_t n, cap;
    struct more *more;
    uint32_t nmore, more_cap;
    uint32_t *table, table_cap;
    uint32_t *ids, ids_cap;
};

void tg_gather_free(tg_gather *g)
{
    if (g == NULL)
        return;
    free(g->at);
    free(g->more);
    free(g->table);
    free(g->ids);
    free(g);
}

static tg_gather *gather_take(tg_shard *sh)
{
    tg_gather *g = sh->gather;
    sh->gather = NULL;
    if (g == NULL)
        g = calloc(1, sizeof(*g));
    return g;
}

static void gather_give(tg_shard *sh, tg_gather *g)
{
    if (sh->gather == NULL)
        sh->gather = g;
    else
        tg_gather_free(g);
}

static bool room(tg_gather *g)
{
    if (g->n < g->cap)
        return true;
    uint32_t cap = g->cap == 0 ? 64 : g->cap * 2;
    tg_target *at = realloc(g->at, cap * sizeof(*at));
    if (at == NULL) {
        g->failed = true;
        return false;
    }
    g->at = at;
    g->cap = cap;
    return true;
}

static void add_route(void *ctx, const tg_route *r)
{
    tg_gather *g = ctx;
    if ((r->flags & TG_SUB_NO_LOCAL) != 0 && r->sess == g->from)
        return;
    uint64_t seat = atomic_load_explicit(&r->sess->where, memory_order_acquire);
    if (seat == 0 || !room(g))
        return;
    uint8_t flags = (r->flags & TG_SUB_RETAIN_AS_PUBLISHED) != 0 ? TG_ENTRY_RETAIN : 0;
    if (r->group != NULL)
        flags |= TG_ENTRY_SHARED;
    g->at[g->n++] = (tg_target){seat, r->sub_id, r->sub_id != 0, r->qos, flags};
}

static void add_filter(void *ctx, tg_leaf *l)
{
    tg_gather *g = ctx;
    const tg_filter *f = (const tg_filter *)(const void *)l;
    g->filters++;
    tg_filter_plain(f, add_route, g);
    if (atomic_load_explicit(&f->groups, memory_order_acquire) == NULL)
        return;
    if (!g->hashed) {
        tg_slice client = g->from != NULL ? tg_sess_id(g->from) : g->msg->publisher;
        g->choice = (tg_choice){g->hub->config.limits.share, tg_hash(g->msg->topic),
                                tg_hash(client)};
        g->hashed = true;
    }
    tg_filter_shared(f, &g->choice, add_route, g);
}

static void more_add(tg_gather *g, tg_target *t, uint32_t id)
{
    if (g->nmore + 2 > g->more_cap) {
        uint32_t cap = g->more_cap == 0 ? 32 : g->more_cap * 2;
        struct more *more = realloc(g->more, cap * sizeof(*more));
        if (more == NULL) {
            g->failed = true;
            return;
        }
        g->more = more;
        g->more_cap = cap;
    }
    if (t->nids == 1) {
        g->more[g->nmore] = (struct more){t->sub_id, UINT32_MAX};
        t->sub_id = g->nmore++;
    }
    g->more[g->nmore] = (struct more){id, t->sub_id};
    t->sub_id = g->nmore++;
    t->nids++;
}

// One delivery with the highest QoS and all identifiers (MQTT 5.0 §3.3.4).
static void merge_into(tg_gather *g, tg_target *t, const tg_target *other)
{
    if (other->qos > t->qos)
        t->qos = other->qos;
    t->flags |= other->flags;
    if (other->nids == 0 || t->nids == UINT16_MAX)
        return;
    if (t->nids > 0) {
        more_add(g, t, other->sub_id);
        return;
    }
    t->sub_id = other->sub_id;
    t->nids = 1;
}

static void merge_few(tg_gather *g)
{
    for (uint32_t i = 1; i < g->n; i++) {
        tg_target *t = &g->at[i];
        for (uint32_t j = 0; j < i && (t->flags & TG_ENTRY_SHARED) == 0; j++) {
            if (g->at[j].seat != t->seat || (g->at[j].flags & TG_ENTRY_SHARED) != 0)
                continue;
            merge_into(g, &g->at[j], t);
            t->seat = 0;
            break;
        }
    }
}

static bool table_ready(tg_gather *g)
{
    uint32_t want = 64;
    while (want < g->n * 2)
        want *= 2;
    if (want > g->table_cap) {
        free(g->table);
        g->table = malloc(want * sizeof(*g->table));
        g->table_cap = g->table != NULL ? want : 0;
    }
    if (g->table == NULL)
        return false;
    memset(g->table, 0, g->table_cap * sizeof(*g->table));
    return true;
}

static void merge_many(tg_gather *g)
{
    if (!table_ready(g)) {
        g->failed = true;
        return;
    }
    uint32_t mask = g->table_cap - 1;
    for (uint32_t i = 0; i < g->n; i++) {
        tg_target *t = &g->at[i];
        if ((t->flags & TG_ENTRY_SHARED) != 0)
            continue;
        uint32_t h = (uint32_t)(t->seat * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
        while (g->table[h] != 0 && g->at[g->table[h] - 1].seat != t->seat)
            h = (h + 1) & mask;
        if (g->table[h] == 0) {
            g->table[h] = i + 1;
            continue;
        }
        merge_into(g, &g->at[g->table[h] - 1], t);
        t->seat = 0;
    }
}

// Only who subscribed to several matching filters can be in it twice.
static void merge(tg_gather *g)
{
    if (g->filters < 2 || g->n < 2)
        return;
    if (g->n <= FEW)
        merge_few(g);
    else
        merge_many(g);
}

static void collect(tg_shard *sh, tg_gather *g, const tg_sess *from, tg_msg m)
{
    g->hub = sh->hub;
    g->from = from;
    g->msg = m;
    g->hashed = g->failed = false;
    g->filters = g->n = g->nmore = 0;
    tg_epoch_enter(sh->hub->epoch, sh->index);
    tg_trie_match(&sh->hub->router.trie, m->topic, add_filter, g);
    tg_epoch_leave(sh->hub->epoch, sh->index);
    merge(g);
}

// @return the identifiers of `t`, in the order of the filters.
static const uint32_t *ids_of(tg_gather *g, const tg_target *t)
{
    if (t->nids < 2)
        return &t->sub_id;
    if (t->nids > g->ids_cap) {
        uint32_t *ids = realloc(g->ids, t->nids * sizeof(*ids));
        if (ids == NULL)
            return NULL;
        g->ids = ids;
        g->ids_cap = t->nids;
    }
    uint32_t at = t->sub_id;
    for (uint32_t i = t->nids; i-- > 0; at = g->more[at].next)
        g->ids[i] = g->more[at].id;
    return g->ids;
}

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
    const uint32_t *ids = ids_of(p->g, t);
    if (ids == NULL)
        t->nids = 0;
    tg_ack_ref *ack = NULL;
    void *at = tg_slots_find(&p->sh->seats, t->seat);
    bool claim = at != NULL && *(const uint32_t *)at == TG_CLAIM_MAGIC;
    if (claim && p->pub != NULL) {
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
        const uint32_t *ids = ids_of(p->g, t);
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
    if (m->retain != 0) {
        if (tg_retained_set_msg(sh, m) < 0)
            p->code = TG_E_FULL;
        else if (sh->hub->stored && !tg_outbox_retain(sh, m, p->pub))
            p->code = TG_E_NOMEM;
    }
    tg_gather *g = gather_take(sh);
    if (g == NULL) {
        p->code = TG_E_NOMEM;
        return;
    }
    collect(sh, g, s, m);
    if (g->failed)
        p->code = TG_E_NOMEM;
    p->g = g;
    spread(p);
    gather_give(sh, g);
    if (p->pub != NULL && tg_persist_count(sh) != before) {
        p->pub->left++;
        if (tg_persist_after(sh, committed, p->pub) < 0)
            p->pub->left--;
    }
    tg_metric_add(sh->hub->metrics.published, 1);
}

int tg_publish(tg_shard *sh, tg_sess *s, tg_msg m, tg_published_fn *done, void *ctx)
{
    uint32_t most = sh->hub->config.limits.topic_levels;
    if (!tg_topic_valid(m->topic))
        return TG_E_MALFORMED;
    if (tg_topic_levels(m->topic) > most)
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
        t = (tg_target){atomic_load(&other->sess->where), other->sub_id, other->sub_id != 0,
                        other->qos, TG_ENTRY_SHARED};
    }
    tg_epoch_leave(sh->hub->epoch, sh->index);
    if (t.seat == 0)
        return;
    uint32_t w = tg_handle_worker(t.seat);
    if (tg_outbox_open(sh, w, e->msg, NULL))
        tg_outbox_target(sh, w, &t, &t.sub_id);
}
