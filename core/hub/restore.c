// SPDX-License-Identifier: Apache-2.0
// What a store holds becomes sessions again before the first connection: on the control thread,
// each for a worker, who takes its own when its shard opens. Records that make no sense are
// skipped and counted in one log line; a store is not worth more than a start.
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "hub/codec.h"
#include "hub/inbound.h"

struct restore {
    tg_hub *hub;
    uint32_t sessions, subs, entries, retained, bad;
};

// The session that a key names; *rest: what follows the id.
static tg_sess *owner(const struct restore *r, tg_slice key, tg_reader *rest)
{
    *rest = tg_reader_of(key);
    tg_read_uint(rest, 1);
    tg_slice id = tg_read_bytes(rest, tg_read_uint(rest, 2));
    if (rest->failed || id.len == 0)
        return NULL;
    return tg_clients_find(r->hub->clients, id, (uint32_t)tg_hash(id));
}

uint32_t tg_restore_worker(const tg_hub *h, uint32_t hash)
{
    return hash % h->config.workers;
}

static int on_session(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k = tg_reader_of(key), v = tg_reader_of(value);
    tg_read_uint(&k, 1);
    tg_slice id = tg_read_bytes(&k, tg_read_uint(&k, 2));
    uint32_t hash = (uint32_t)tg_hash(id);
    tg_sess *s = k.failed || id.len == 0 ? NULL : tg_sess_new(id, hash);
    if (s == NULL || !tg_get_session(&v, r->hub->whos, s) ||
        tg_clients_find(r->hub->clients, id, hash) != NULL ||
        tg_clients_add(r->hub->clients, s) < 0) {
        if (s != NULL)
            tg_sess_free(s);
        r->bad++;
        return 0;
    }
    s->flags = TG_SESS_STORED;
    tg_sess_push(&r->hub->restored[tg_restore_worker(r->hub, hash)], s);
    tg_metric_add(r->hub->metrics.sessions, 1);
    r->sessions++;
    return 0;
}

static bool add_sub(struct restore *r, tg_sess *s, tg_slice filter, const tg_sub *sub)
{
    tg_route *route;
    if (!tg_filter_valid(filter) || tg_subs_lookup(r->hub, s, filter) != NULL ||
        tg_route_add(&r->hub->router, s, filter, sub, NULL, &route) < 0)
        return false;
    if (tg_subs_put(s, route) < 0) {
        tg_route_del(&r->hub->router, route);
        return false;
    }
    tg_subs_count(r->hub, route, 1);
    return true;
}

static int on_sub(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k, v = tg_reader_of(value);
    tg_sess *s = owner(r, key, &k);
    tg_sub sub;
    bool good = s != NULL && tg_get_sub(&v, &sub) &&
                add_sub(r, s, tg_read_bytes(&k, tg_reader_left(&k)), &sub);
    r->subs += good;
    r->bad += !good;
    return 0;
}

// A publish that some receivers have, and that may come again; NULL: it will not.
static tg_origin *origin_of(const struct restore *r, tg_slice publisher, tg_publish_id id)
{
    tg_sess *p =
        id.seq == 0 || publisher.len == 0
            ? NULL
            : tg_clients_find(r->hub->clients, publisher, (uint32_t)tg_hash(publisher));
    return p != NULL ? tg_inbound_restore(p, id.packet_id, id.seq) : NULL;
}

static int on_entry(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k, v = tg_reader_of(value);
    tg_sess *s = owner(r, key, &k);
    uint64_t n = tg_read_uint(&k, 8);
    tg_entry e;
    tg_publish_id from;
    if (s == NULL || k.failed || !tg_get_entry(&v, &e, &from)) {
        r->bad++;
        return 0;
    }
    if (!tg_queue_put_at(s, n, &e)) {
        if (e.nids > 1)
            free(e.ids);
        tg_msg_unref(e.msg);
        r->bad++;
        return 0;
    }
    tg_origin *o = origin_of(r, e.msg->publisher, from);
    if (o != NULL) {
        tg_msg_set_origin(e.msg, o);
        tg_inbound_restore_had(s, o);
    }
    tg_origin_unref(o);
    r->entries++;
    return 0;
}

static int on_mark(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k, v = tg_reader_of(value);
    tg_sess *s = owner(r, key, &k);
    uint64_t n = tg_read_uint(&k, 8);
    const tg_queue *q = s != NULL ? s->queue : NULL;
    if (q == NULL || k.failed || n < q->head || n >= q->tail ||
        tg_queue_at(q, n)->msg == NULL)
        return 0; // its message is done; the mark went with a later commit
    tg_queue_at(q, n)->flags |= (uint8_t)(TG_ENTRY_MARKED | tg_read_uint(&v, 1));
    return 0;
}

static int on_rx(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k, v = tg_reader_of(value);
    tg_sess *s = owner(r, key, &k);
    uint16_t packet_id = (uint16_t)tg_read_uint(&k, 2);
    uint64_t seq = tg_reader_left(&v) > 0 ? tg_read_uint(&v, 8) : 0;
    if (s == NULL || k.failed || v.failed || !tg_inbound_restore_id(s, packet_id, seq))
        r->bad++;
    return 0;
}

// One that will not come again is watched as well: its record goes in the first turn.
static int on_had(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader k, v = tg_reader_of(value);
    tg_sess *s = owner(r, key, &k);
    tg_publish_id id = {.seq = tg_read_uint(&k, 8)};
    bool good = s != NULL && !k.failed && tg_get_had(&v, &id.packet_id);
    tg_origin *o = NULL;
    if (good) {
        o = origin_of(r, tg_read_bytes(&k, tg_reader_left(&k)), id);
        good = tg_inbound_restore_record(s, key, o);
    }
    tg_origin_unref(o);
    r->bad += !good;
    return 0;
}

static int on_retained(void *ctx, tg_slice key, tg_slice value)
{
    struct restore *r = ctx;
    tg_reader v = tg_reader_of(value);
    tg_msg m = tg_get_message(&v);
    bool good = m != NULL && key.len > 1 &&
                tg_slice_eq(m->topic, (tg_slice){key.at + 1, key.len - 1}) &&
                tg_retained_restore(r->hub, tg_msg_block(m)) == 0;
    tg_msg_unref(m);
    r->retained += good;
    r->bad += !good;
    return 0;
}

// Who was connected may have been sent any of it, which the store learns now; for others the
// marks tell.
static void rewind(tg_shard *sh, tg_sess *s)
{
    bool was_online = tg_sess_online(s);
    for (uint64_t n = s->queue->head; n < s->queue->tail; n++) {
        tg_entry *e = tg_queue_at(s->queue, n);
        bool sent = (e->flags & TG_ENTRY_SENT) != 0;
        if (e->msg == NULL || (!sent && !was_online))
            continue;
        e->flags |= TG_ENTRY_SENT | TG_ENTRY_DUP;
        if (!sent)
            tg_persist_mark(sh, s, n);
    }
}

int tg_restore(tg_hub *h, tg_error *e)
{
    static const struct {
        char kind;
        int (*each)(void *ctx, tg_slice key, tg_slice value);
    } steps[] = {
        {TG_KEY_SESSION, on_session}, {TG_KEY_SUB, on_sub},
        {TG_KEY_RX, on_rx}, // says which entries' publishers are done
        {TG_KEY_ENTRY, on_entry},     {TG_KEY_MARK, on_mark},
        {TG_KEY_HAD, on_had},         {TG_KEY_RETAINED, on_retained},
    };
    struct restore r = {.hub = h};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int rc = h->store->scan(h->store, (tg_slice){&steps[i].kind, 1}, steps[i].each, &r);
        if (rc < 0)
            return tg_error_set(e, rc, "store %s: reading it failed: %s", h->store->id,
                                tg_error_text(rc));
    }
    if (r.bad > 0)
        tg_log(HUB, WARN, "store %s: %u records made no sense and were skipped",
               h->store->id, r.bad);
    tg_log(HUB, INFO, "restored %u sessions, %u subscriptions, %u messages, %u retained",
           r.sessions, r.subs, r.entries, r.retained);
    return 0;
}

// Those whose time ran out while nobody was there end in the first turn. Who was connected
// when the host went lost that connection now. A clock that went back meanwhile gives nobody
// more than the whole of his time.
static void adopt(tg_shard *sh, tg_sess *s)
{
    uint64_t now = tg_hub_now(sh->hub);
    if (tg_sess_seat(sh, s) < 0)
        return; // it stays in the store
    tg_queue_count_in(s->queue, sh->tally);
    if (s->queue != NULL)
        rewind(sh, s);
    tg_inbound_adopt(sh, s);
    tg_deliver_away(sh, s);
    if (tg_sess_online(s)) {
        s->since = now;
        atomic_store(&s->online, 0);
        tg_persist_session(sh, s);
    }
    if (s->expiry_s == TG_EXPIRY_NEVER)
        return;
    uint64_t whole = (uint64_t)s->expiry_s * 1000, end = s->since + whole;
    uint64_t left = end > now ? end - now : 0;
    tg_sess_expire_in(sh, s, left < whole ? left : whole);
}

void tg_restore_adopt(tg_shard *sh)
{
    tg_hub *h = sh->hub;
    pthread_mutex_lock(&h->lock);
    tg_buf list = h->restored[sh->index];
    h->restored[sh->index] = (tg_buf){0};
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < tg_sess_count(&list); i++)
        adopt(sh, tg_sess_item(&list, i));
    tg_buf_free(&list);
}
