// SPDX-License-Identifier: Apache-2.0
// QoS 2 from a peer. Without a store that must keep it, a packet id is held from its PUBLISH to
// its PUBREL and that is all. With one there is an order that a crash may not find undone: first
// every receiver's entry is safe, on whatever worker, then the id, then the peer is answered. A
// crash between the first two leaves a message that some receivers have and that the peer sends
// again; so its entries name their origin until the id is safe, and a restart knows from them
// who has had it. Ids become safe in the order of their numbers: one number says it for all
// before it.
#include "hub/inbound.h"

#include <stdlib.h>

#define IDS_KEPT 256 // room for identifiers that an empty set may keep
#define FEW 8 // publishes under way that are looked through one by one
#define SEQ_OF_MS 20 // bits: numbers begin at the clock, so a later session's are higher

tg_inbound *tg_inbound_of(tg_sess *s)
{
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL || x->inbound != NULL)
        return x != NULL ? x->inbound : NULL;
    x->inbound = calloc(1, sizeof(*x->inbound));
    if (x->inbound != NULL)
        tg_list_init(&x->inbound->open);
    return x->inbound;
}

static tg_inbound *inbound(const tg_sess *s)
{
    return s->extra != NULL ? s->extra->inbound : NULL;
}

// Publishes whose ids are not known to be safe. A publisher may have as many under way as there
// are packet ids, so more than a few are found by a table, which goes with the last of them.

static tg_origin **chain(const tg_inbound *in, uint16_t packet_id)
{
    return &in->by_id[packet_id & (in->nby_id - 1)];
}

static void chain_in(tg_inbound *in, tg_origin *o)
{
    tg_origin **head = chain(in, o->packet_id);
    o->next = *head;
    *head = o;
}

static void chain_out(const tg_inbound *in, const tg_origin *o)
{
    tg_origin **at = chain(in, o->packet_id);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
}

// Without memory for it the old one serves, or none.
static void chain_all(tg_inbound *in)
{
    uint32_t n = in->nby_id == 0 ? FEW * 4 : in->nby_id * 2;
    tg_origin **by_id = calloc(n, sizeof(tg_origin *));
    if (by_id == NULL)
        return;
    free(in->by_id);
    in->by_id = by_id;
    in->nby_id = n;
    for (const tg_list *at = in->open.next; at != &in->open; at = at->next)
        chain_in(in, TG_OWNER(at, tg_origin, node));
}

static void open_add(tg_inbound *in, tg_list *before, tg_origin *o)
{
    tg_list_add(before, &o->node);
    in->nopen++;
    in->nagain += o->again;
    if (in->by_id != NULL)
        chain_in(in, o);
    if (in->nopen > FEW && in->nopen > in->nby_id)
        chain_all(in);
}

static tg_origin *newer(tg_origin *o, uint16_t packet_id, tg_origin *than)
{
    bool is = o->packet_id == packet_id && (than == NULL || o->seq > than->seq);
    return is ? o : than;
}

// The latest, should there be others from before a restart: they were let go.
static tg_origin *find_open(const tg_inbound *in, uint16_t packet_id)
{
    tg_origin *found = NULL;
    if (in->by_id != NULL) {
        for (tg_origin *o = *chain(in, packet_id); o != NULL; o = o->next)
            found = newer(o, packet_id, found);
        return found;
    }
    for (const tg_list *n = in->open.next; n != &in->open; n = n->next)
        found = newer(TG_OWNER(n, tg_origin, node), packet_id, found);
    return found;
}

static void let_go(tg_inbound *in, tg_origin *o)
{
    if (in->by_id != NULL)
        chain_out(in, o);
    tg_list_del(&o->node);
    if (--in->nopen == 0) {
        free(in->by_id);
        in->by_id = NULL;
        in->nby_id = 0;
    }
    in->nagain -= o->again;
    tg_origin_settle(o);
    tg_origin_unref(o);
}

void tg_inbound_free(tg_inbound *in)
{
    if (in == NULL)
        return;
    while (!tg_list_empty(&in->open))
        let_go(in, TG_OWNER(in->open.next, tg_origin, node));
    for (uint32_t i = 0; i < in->nhad; i++)
        tg_origin_unref(in->had[i]);
    free(in->had);
    tg_had_free(in->records);
    free(in->ids);
    free(in);
}

static uint64_t first_seq(const tg_shard *sh)
{
    return tg_hub_now(sh->hub) << SEQ_OF_MS;
}

void tg_inbound_adopt(tg_shard *sh, tg_sess *s)
{
    tg_inbound *in = inbound(s);
    while (in != NULL && in->records != NULL) {
        tg_had *h = in->records;
        in->records = h->next;
        tg_had_watch(sh, h);
    }
    if (in == NULL || in->n > 0 || in->nhad > 0 || !tg_list_empty(&in->open) ||
        in->seq >= first_seq(sh))
        return;
    tg_inbound_free(in);
    s->extra->inbound = NULL;
    tg_sess_tidy(s);
}

// The ids that are held.

// @return where `packet_id` is, or belongs.
static uint16_t place(const tg_inbound *in, uint16_t packet_id)
{
    uint16_t lo = 0, hi = in->n;
    while (lo < hi) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (in->ids[mid] < packet_id)
            lo = (uint16_t)(mid + 1);
        else
            hi = mid;
    }
    return lo;
}

static bool is_at(const tg_inbound *in, uint16_t i, uint16_t packet_id)
{
    return i < in->n && in->ids[i] == packet_id;
}

bool tg_inbound_holds(const tg_sess *s, uint16_t packet_id)
{
    const tg_inbound *in = inbound(s);
    return in != NULL && is_at(in, place(in, packet_id), packet_id);
}

static bool room(tg_inbound *in)
{
    if (in->n < in->cap)
        return true;
    unsigned cap = in->cap == 0 ? 8 : in->cap * 2u;
    if (cap > UINT16_MAX)
        cap = UINT16_MAX;
    uint16_t *ids = realloc(in->ids, cap * sizeof(*ids));
    if (ids == NULL)
        return false;
    in->ids = ids;
    in->cap = (uint16_t)cap;
    return true;
}

static int put_at(tg_inbound *in, uint16_t i, uint16_t packet_id)
{
    if (!room(in))
        return TG_E_NOMEM;
    memmove(&in->ids[i + 1], &in->ids[i], (size_t)(in->n - i) * sizeof(*in->ids));
    in->ids[i] = packet_id;
    in->n++;
    return 0;
}

int tg_inbound_put(tg_sess *s, uint16_t packet_id)
{
    tg_inbound *in = tg_inbound_of(s);
    if (in == NULL)
        return TG_E_NOMEM;
    uint16_t i = place(in, packet_id);
    return is_at(in, i, packet_id) ? 0 : put_at(in, i, packet_id);
}

int tg_session_rx_add(tg_shard *sh, tg_session h, uint16_t packet_id)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL || packet_id == 0)
        return s == NULL ? TG_E_CLOSED : TG_E_INVAL;
    tg_inbound *in = tg_inbound_of(s);
    if (in == NULL)
        return TG_E_NOMEM;
    uint16_t i = place(in, packet_id);
    if (is_at(in, i, packet_id))
        return TG_E_EXISTS;
    if (in->n > 0 && in->n >= sh->hub->config.limits.rx_inflight)
        return TG_E_LIMIT;
    return put_at(in, i, packet_id);
}

bool tg_inbound_is_open(const tg_inbound *in, uint16_t packet_id)
{
    return find_open(in, packet_id) != NULL;
}

// One that is let go before it was safe will not come again either, and its id may be another
// message's next: so a restart must not find it open.
static void keep_past(tg_shard *sh, tg_sess *s, tg_inbound *in)
{
    uint64_t upto = tg_list_empty(&in->open)
                        ? in->seq
                        : TG_OWNER(in->open.next, tg_origin, node)->seq - 1;
    if (upto <= in->kept)
        return;
    in->kept = upto;
    tg_persist_rx(sh, s, 0, upto);
}

int tg_session_rx_del(tg_shard *sh, tg_session h, uint16_t packet_id)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL)
        return TG_E_CLOSED;
    tg_inbound *in = inbound(s);
    uint16_t i = in != NULL ? place(in, packet_id) : 0;
    if (in == NULL || !is_at(in, i, packet_id))
        return TG_E_NOTFOUND;
    in->n--;
    memmove(&in->ids[i], &in->ids[i + 1], (size_t)(in->n - i) * sizeof(*in->ids));
    if (in->n == 0 && in->cap > IDS_KEPT) { // a burst is not kept for ever
        free(in->ids);
        in->ids = NULL;
        in->cap = 0;
    }
    tg_origin *o = find_open(in, packet_id);
    if (o != NULL)
        let_go(in, o);
    if (!tg_persist_on(sh, s))
        return 0;
    tg_persist_rx_del(sh, s, packet_id);
    if (o != NULL)
        keep_past(sh, s, in);
    return sh->hub->durable ? 1 : 0;
}

int tg_session_sync(tg_shard *sh, tg_session h, tg_done_fn *done, void *ctx)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL || done == NULL)
        return s == NULL ? TG_E_CLOSED : TG_E_INVAL;
    tg_wait *w = tg_wait_new(sh, s, TG_WAIT_SYNC, ctx);
    if (w == NULL)
        return TG_E_NOMEM;
    w->done = done;
    tg_sess_answer(sh, w, s->expiry_s > 0);
    return 0;
}

// Publishing under an id.

// One from before a restart is taken up again under its old number.
static tg_origin *origin_for(tg_shard *sh, tg_sess *s, uint16_t packet_id)
{
    tg_inbound *in = tg_inbound_of(s);
    if (in == NULL)
        return NULL;
    tg_origin *o = in->nagain > 0 ? find_open(in, packet_id) : NULL;
    if (o != NULL)
        return o;
    if (in->seq == 0)
        in->seq = in->kept = first_seq(sh);
    o = tg_origin_new(packet_id, in->seq + 1, false);
    if (o == NULL)
        return NULL;
    in->seq++;
    open_add(in, &in->open, o);
    return o;
}

// What came under the id before: who asks again is answered when it is safe.
static int answer_again(tg_shard *sh, tg_sess *s, uint16_t packet_id, tg_published_fn *done,
                        void *ctx)
{
    if (!sh->hub->durable) {
        done(ctx, 0, 1);
        return 0;
    }
    tg_wait *w = tg_wait_new(sh, s, TG_WAIT_PUB, ctx);
    if (w == NULL)
        return TG_E_NOMEM;
    w->published = done;
    w->receivers = 1;
    const tg_inbound *in = inbound(s);
    tg_origin *o = in != NULL ? find_open(in, packet_id) : NULL;
    if (o != NULL)
        tg_wait_for_origin(sh, w, o);
    tg_wait_publish_put(sh, w);
    return 0;
}

int tg_session_publish_once(tg_shard *sh, tg_session h, uint16_t packet_id, tg_msg m,
                            tg_published_fn *done, void *ctx)
{
    tg_sess *s = tg_shard_attached(sh, h);
    if (s == NULL || done == NULL)
        return s == NULL ? TG_E_CLOSED : TG_E_INVAL;
    if (m == NULL)
        return answer_again(sh, s, packet_id, done, ctx);
    if (!tg_persist_on(sh, s))
        return tg_publish(sh, s, m, done, ctx);
    if (!sh->hub->durable) { // what a crash leaves is not promised
        tg_persist_rx(sh, s, packet_id, 0);
        return tg_publish(sh, s, m, done, ctx);
    }
    // Only the session's own name tells a restart whose message it is.
    bool own = tg_slice_eq(m->publisher, tg_sess_id(s));
    tg_origin *o = own ? origin_for(sh, s, packet_id) : NULL;
    if (own && o == NULL)
        return TG_E_NOMEM;
    if (o == NULL)
        tg_persist_rx(sh, s, packet_id, 0);
    int rc = tg_publish_from(sh, s, m, o, done, ctx);
    if (rc < 0 && o != NULL)
        let_go(inbound(s), o);
    return rc;
}

void tg_inbound_keep(tg_shard *sh, tg_sess *s, const tg_origin *o)
{
    tg_inbound *in = inbound(s);
    if (in == NULL || !tg_persist_on(sh, s))
        return;
    if (tg_inbound_holds(s, o->packet_id))
        tg_persist_rx(sh, s, o->packet_id, o->seq);
    if (o->seq > in->kept) {
        in->kept = o->seq;
        tg_persist_rx(sh, s, 0, o->seq);
    }
}

void tg_inbound_settle(tg_sess *s, tg_origin *o)
{
    tg_inbound *in = inbound(s);
    if (in != NULL && !tg_list_empty(&o->node))
        let_go(in, o);
    else
        tg_origin_settle(o);
}

// For its first record in the store, so that what an earlier session of the name left is not
// taken for its own.
uint64_t tg_inbound_kept(tg_shard *sh, const tg_sess *s)
{
    const tg_inbound *in = inbound(s);
    return in != NULL && in->seq != 0 ? in->kept : first_seq(sh);
}

// After a restart.

tg_origin *tg_inbound_restore(tg_sess *publisher, uint16_t packet_id, uint64_t seq)
{
    tg_inbound *in = tg_inbound_of(publisher);
    if (in == NULL || seq <= in->kept)
        return NULL;
    tg_origin *o = find_open(in, packet_id); // another receiver's entry, mostly
    if (o != NULL && o->seq == seq)
        return tg_origin_ref(o);
    tg_list *before = in->open.prev; // ascending, as they mostly come
    for (; before != &in->open; before = before->prev) {
        o = TG_OWNER(before, tg_origin, node);
        if (o->seq == seq)
            return tg_origin_ref(o);
        if (o->seq < seq)
            break;
    }
    o = tg_origin_new(packet_id, seq, true);
    if (o == NULL)
        return NULL;
    open_add(in, before->next, o);
    if (seq > in->seq)
        in->seq = seq;
    return tg_origin_ref(o);
}

bool tg_inbound_restore_had(tg_sess *s, tg_origin *o)
{
    tg_inbound *in = tg_inbound_of(s);
    if (in == NULL)
        return false;
    if (in->nhad == in->had_cap) {
        uint32_t cap = in->had_cap == 0 ? 8 : in->had_cap * 2;
        tg_origin **had = realloc(in->had, cap * sizeof(tg_origin *));
        if (had == NULL)
            return false;
        in->had = had;
        in->had_cap = cap;
    }
    in->had[in->nhad++] = tg_origin_ref(o);
    return true;
}

bool tg_inbound_restore_id(tg_sess *s, uint16_t packet_id, uint64_t seq)
{
    tg_inbound *in = tg_inbound_of(s);
    if (in == NULL)
        return false;
    if (seq > in->kept)
        in->kept = in->seq = seq;
    return packet_id == 0 || tg_inbound_put(s, packet_id) == 0;
}

bool tg_inbound_restore_record(tg_sess *s, tg_slice key, tg_origin *o)
{
    tg_origin *past = o == NULL ? tg_origin_new(0, 0, true) : NULL;
    if (past != NULL)
        tg_origin_settle(past);
    tg_inbound *in = tg_inbound_of(s);
    tg_origin *origin = o != NULL ? o : past;
    tg_had *h = in != NULL && origin != NULL ? tg_had_new(key, origin) : NULL;
    tg_origin_unref(past);
    if (h == NULL || (o != NULL && !tg_inbound_restore_had(s, o))) {
        tg_had_free(h);
        return false;
    }
    h->next = in->records;
    in->records = h;
    return true;
}

bool tg_inbound_had(tg_sess *s, const tg_origin *o)
{
    tg_inbound *in = inbound(s);
    for (uint32_t i = 0; in != NULL && i < in->nhad; i++) {
        if (in->had[i] != o)
            continue;
        tg_origin_unref(in->had[i]);
        in->nhad--;
        memmove(&in->had[i], &in->had[i + 1], (in->nhad - i) * sizeof(tg_origin *));
        return true;
    }
    return false;
}
