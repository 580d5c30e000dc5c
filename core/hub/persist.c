// SPDX-License-Identifier: Apache-2.0
// What must survive goes to the store in batches: all that a turn changed is one commit, and
// who must not be answered before it hangs on the batch. Commits of one shard take effect in
// order, so a later one being done says that the earlier ones are.
#include <stdlib.h>

#include "base/log.h"
#include "hub/codec.h"
#include "hub/inbound.h"
#include "hub/retained.h"

#define HAD_A_TURN 256 // records that are looked at
#define HAD_IN_VAIN 16 // of those, that are not settled

struct item { // offsets, since the bytes move while they grow
    uint32_t kind;
    size_t key_at, key_len, value_at, value_len;
};

struct waiter {
    tg_committed_fn *fn;
    void *ctx;
};

struct tg_batch {
    tg_hub *hub;
    tg_shard *sh; // NULL once the shard is closed
    tg_list node; // in the shard's commits
    tg_buf bytes;
    struct item *items;
    uint32_t n, cap;
    struct waiter *waiters;
    uint32_t nwaiters, waiters_cap;
};

bool tg_persist_on(const tg_shard *sh, const tg_sess *s)
{
    return sh->hub->stored && s->expiry_s > 0;
}

uint32_t tg_persist_count(const tg_shard *sh)
{
    return sh->batch != NULL ? sh->batch->n : 0;
}

static tg_batch *batch_of(tg_shard *sh)
{
    if (sh->batch == NULL && (sh->batch = calloc(1, sizeof(tg_batch))) != NULL) {
        sh->batch->hub = sh->hub;
        sh->batch->sh = sh;
        tg_list_init(&sh->batch->node);
    }
    return sh->batch;
}

static void batch_free(tg_batch *b)
{
    tg_buf_free(&b->bytes);
    free(b->items);
    free(b->waiters);
    free(b);
}

// Begins a write; its key, then its value, are put into the bytes behind.
static tg_buf *begin(tg_shard *sh, uint32_t kind)
{
    tg_batch *b = batch_of(sh);
    if (b == NULL)
        return NULL;
    if (b->n == b->cap) {
        uint32_t cap = b->cap == 0 ? 16 : b->cap * 2;
        struct item *items = realloc(b->items, cap * sizeof(*items));
        if (items == NULL) {
            b->bytes.failed = true;
            return NULL;
        }
        b->items = items;
        b->cap = cap;
    }
    b->items[b->n++] = (struct item){.kind = kind, .key_at = b->bytes.len};
    return &b->bytes;
}

static void key_done(tg_shard *sh)
{
    struct item *i = &sh->batch->items[sh->batch->n - 1];
    i->value_at = sh->batch->bytes.len;
    i->key_len = i->value_at - i->key_at;
}

static void value_done(tg_shard *sh)
{
    struct item *i = &sh->batch->items[sh->batch->n - 1];
    i->value_len = sh->batch->bytes.len - i->value_at;
}

static void del_prefix(tg_shard *sh, const tg_sess *s, char kind)
{
    tg_buf *b = begin(sh, TG_WRITE_DEL_PREFIX);
    if (b == NULL)
        return;
    tg_put_id(b, kind, s);
    key_done(sh);
}

static tg_buf *begin_numbered(tg_shard *sh, const tg_sess *s, uint32_t write, char kind,
                              uint64_t n, unsigned width)
{
    tg_buf *b = begin(sh, write);
    if (b == NULL)
        return NULL;
    tg_put_id(b, kind, s);
    tg_put_uint(b, n, width);
    key_done(sh);
    return b;
}

void tg_persist_session(tg_shard *sh, tg_sess *s)
{
    tg_buf *b = begin(sh, TG_WRITE_PUT);
    if (b == NULL)
        return;
    tg_put_id(b, TG_KEY_SESSION, s);
    key_done(sh);
    tg_put_session(b, s);
    value_done(sh);
    s->flags |= TG_SESS_STORED;
}

void tg_persist_forget(tg_shard *sh, tg_sess *s)
{
    s->flags &= (uint8_t)~TG_SESS_STORED;
    tg_buf *b = begin(sh, TG_WRITE_DEL);
    if (b == NULL)
        return;
    tg_put_id(b, TG_KEY_SESSION, s);
    key_done(sh);
    del_prefix(sh, s, TG_KEY_SUB);
    del_prefix(sh, s, TG_KEY_ENTRY);
    del_prefix(sh, s, TG_KEY_MARK);
    del_prefix(sh, s, TG_KEY_RX);
    del_prefix(sh, s, TG_KEY_HAD);
}

static void persist_route(tg_shard *sh, tg_sess *s, const tg_route *r)
{
    char text[65536];
    size_t len = tg_route_text(r, text, sizeof(text));
    tg_persist_sub(sh, s, (tg_slice){text, len}, r);
}

// Not those of publishes that are under way: they have their turn.
static void persist_ids(tg_shard *sh, tg_sess *s)
{
    const tg_inbound *in = s->extra != NULL ? s->extra->inbound : NULL;
    for (uint16_t i = 0; in != NULL && i < in->n; i++)
        if (!tg_inbound_is_open(in, in->ids[i]))
            tg_persist_rx(sh, s, in->ids[i], 0);
    if (sh->hub->durable)
        tg_persist_rx(sh, s, 0, tg_inbound_kept(sh, s));
}

void tg_persist_all(tg_shard *sh, tg_sess *s)
{
    tg_persist_session(sh, s);
    uint32_t at = 0;
    for (tg_route *r; (r = tg_subs_next(s, &at)) != NULL;)
        persist_route(sh, s, r);
    for (uint64_t n = s->queue != NULL ? s->queue->head : 0;
         s->queue != NULL && n < s->queue->tail; n++) {
        const tg_entry *e = tg_queue_at(s->queue, n);
        if (e->msg != NULL && e->qos > 0)
            tg_persist_entry(sh, s, n);
    }
    persist_ids(sh, s);
}

void tg_persist_sub(tg_shard *sh, tg_sess *s, tg_slice filter, const tg_route *r)
{
    tg_buf *b = begin(sh, TG_WRITE_PUT);
    if (b == NULL)
        return;
    tg_put_id(b, TG_KEY_SUB, s);
    tg_buf_put(b, filter.at, filter.len);
    key_done(sh);
    tg_put_sub(b, r);
    value_done(sh);
}

void tg_persist_unsub(tg_shard *sh, tg_sess *s, tg_slice filter)
{
    tg_buf *b = begin(sh, TG_WRITE_DEL);
    if (b == NULL)
        return;
    tg_put_id(b, TG_KEY_SUB, s);
    tg_buf_put(b, filter.at, filter.len);
    key_done(sh);
}

// Whether it is sent at once is known before it is: so the store learns that with the message.
static bool leaves_now(const tg_sess *s)
{
    const tg_queue *q = s->queue;
    return s->state == TG_SESS_ONLINE && q->waiting == 1 && q->inflight < s->window &&
           (s->flags & (TG_SESS_BLOCKED | TG_SESS_PUMPING)) == 0;
}

void tg_persist_entry(tg_shard *sh, tg_sess *s, uint64_t n)
{
    tg_buf *b = begin_numbered(sh, s, TG_WRITE_PUT, TG_KEY_ENTRY, n, 8);
    if (b == NULL)
        return;
    tg_entry *e = tg_queue_at(s->queue, n), stored = *e;
    e->flags |= TG_ENTRY_STORED;
    if (leaves_now(s)) {
        e->flags |= TG_ENTRY_MARKED;
        stored.flags |= TG_ENTRY_SENT;
    }
    tg_put_entry(b, &stored);
    value_done(sh);
}

void tg_persist_mark(tg_shard *sh, tg_sess *s, uint64_t n)
{
    tg_buf *b = begin_numbered(sh, s, TG_WRITE_PUT, TG_KEY_MARK, n, 8);
    if (b == NULL)
        return;
    tg_entry *e = tg_queue_at(s->queue, n);
    e->flags |= TG_ENTRY_MARKED;
    tg_put_uint(b, e->flags & (TG_ENTRY_SENT | TG_ENTRY_RELEASED), 1);
    value_done(sh);
}

static void persist_had(tg_shard *sh, const tg_sess *s, tg_slice publisher, tg_origin *o)
{
    tg_buf *b = begin(sh, TG_WRITE_PUT);
    if (b == NULL)
        return;
    size_t at = b->len;
    tg_put_id(b, TG_KEY_HAD, s);
    tg_put_uint(b, o->seq, 8);
    tg_buf_put(b, publisher.at, publisher.len);
    key_done(sh);
    tg_had *h = b->failed ? NULL : tg_had_new((tg_slice){b->at + at, b->len - at}, o);
    tg_put_had(b, o);
    value_done(sh);
    if (h != NULL)
        tg_had_watch(sh, h);
}

void tg_persist_done(tg_shard *sh, tg_sess *s, uint64_t n)
{
    const tg_entry *e = tg_queue_at(s->queue, n);
    uint8_t flags = e->flags;
    if ((flags & TG_ENTRY_STORED) == 0)
        return;
    tg_origin *o = tg_msg_origin(e->msg);
    if (e->qos == 2 && !tg_origin_settled(o))
        persist_had(sh, s, e->msg->publisher, o);
    begin_numbered(sh, s, TG_WRITE_DEL, TG_KEY_ENTRY, n, 8);
    if ((flags & TG_ENTRY_MARKED) != 0)
        begin_numbered(sh, s, TG_WRITE_DEL, TG_KEY_MARK, n, 8);
}

void tg_persist_rx(tg_shard *sh, tg_sess *s, uint16_t packet_id, uint64_t seq)
{
    tg_buf *b = begin_numbered(sh, s, TG_WRITE_PUT, TG_KEY_RX, packet_id, 2);
    if (b == NULL)
        return;
    tg_put_uint(b, seq, 8);
    value_done(sh);
}

void tg_persist_rx_del(tg_shard *sh, tg_sess *s, uint16_t packet_id)
{
    begin_numbered(sh, s, TG_WRITE_DEL, TG_KEY_RX, packet_id, 2);
}

tg_had *tg_had_new(tg_slice key, tg_origin *o)
{
    tg_had *h = malloc(sizeof(*h) + key.len);
    if (h == NULL)
        return NULL;
    *h = (tg_had){.origin = tg_origin_ref(o), .len = key.len};
    memcpy(h->key, key.at, key.len);
    return h;
}

void tg_had_free(tg_had *list)
{
    for (tg_had *next; list != NULL; list = next) {
        next = list->next;
        tg_origin_unref(list->origin);
        free(list);
    }
}

void tg_had_watch(tg_shard *sh, tg_had *h)
{
    h->next = NULL;
    *sh->had_end = h;
    sh->had_end = &h->next;
}

static void had_gone(tg_shard *sh, tg_had *h)
{
    tg_buf *b = begin(sh, TG_WRITE_DEL);
    if (b != NULL) {
        tg_buf_put(b, h->key, h->len);
        key_done(sh);
    }
    tg_had_free(h);
}

// They settle in about the order in which they came; those that do not are passed by, a few
// each turn: a publisher that stays away may leave many.
void tg_had_turn(tg_shard *sh)
{
    int in_vain = 0;
    for (int i = 0; i < HAD_A_TURN && in_vain < HAD_IN_VAIN && sh->had != NULL; i++) {
        tg_had *h = sh->had;
        sh->had = h->next;
        h->next = NULL;
        if (sh->had == NULL)
            sh->had_end = &sh->had;
        if (tg_origin_settled(h->origin)) {
            had_gone(sh, h);
            continue;
        }
        in_vain++;
        tg_had_watch(sh, h);
    }
}

static tg_buf *begin_topic(tg_shard *sh, tg_slice topic, uint32_t write)
{
    tg_buf *b = begin(sh, write);
    if (b == NULL)
        return NULL;
    tg_buf_putc(b, TG_KEY_RETAINED);
    tg_buf_put(b, topic.at, topic.len);
    key_done(sh);
    return b;
}

// What is kept now, not what somebody kept when he wrote: shard 0 alone stores retained
// messages, so the store ends with the last one whatever worker it came from.
void tg_persist_retained(tg_shard *sh, tg_slice topic)
{
    tg_block *kept = tg_retained_get(sh, topic);
    if (kept == NULL) {
        tg_persist_retained_gone(sh, topic);
        return;
    }
    tg_buf *b = begin_topic(sh, topic, TG_WRITE_PUT);
    if (b != NULL) {
        tg_put_message(b, tg_block_message(kept));
        value_done(sh);
    }
    tg_block_unref(kept);
}

void tg_persist_retained_gone(tg_shard *sh, tg_slice topic)
{
    if (sh->hub->stored)
        begin_topic(sh, topic, TG_WRITE_DEL);
}

int tg_persist_after(tg_shard *sh, tg_committed_fn *fn, void *ctx)
{
    if (sh->batch == NULL && tg_list_empty(&sh->commits)) {
        fn(sh, ctx, 0);
        return 0;
    }
    tg_batch *b =
        sh->batch != NULL ? sh->batch : TG_OWNER(sh->commits.prev, tg_batch, node);
    if (b->nwaiters == b->waiters_cap) {
        uint32_t cap = b->waiters_cap == 0 ? 16 : b->waiters_cap * 2;
        struct waiter *w = realloc(b->waiters, cap * sizeof(*w));
        if (w == NULL)
            return TG_E_NOMEM;
        b->waiters = w;
        b->waiters_cap = cap;
    }
    b->waiters[b->nwaiters++] = (struct waiter){fn, ctx};
    return 0;
}

static void committed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    tg_batch *b = ctx;
    tg_shard *sh = b->sh;
    tg_list_del(&b->node);
    if (code == TG_E_FULL)
        code = TG_E_NOSPACE; // not to be mixed up with a queue that is full
    if (code < 0 && sh != NULL)
        tg_log(HUB, ERROR, "store %s: commit of %u writes failed: %s", b->hub->store->id,
               b->n, tg_error_text(code));
    for (uint32_t i = 0; sh != NULL && i < b->nwaiters; i++)
        b->waiters[i].fn(sh, b->waiters[i].ctx, code);
    batch_free(b);
}

bool tg_shard_committing(const tg_shard *sh)
{
    return sh->batch != NULL || !tg_list_empty(&sh->commits);
}

static int commit(tg_batch *b)
{
    tg_write *writes = b->bytes.failed ? NULL : calloc(b->n, sizeof(*writes));
    if (writes == NULL)
        return TG_E_NOMEM;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct item *t = &b->items[i];
        writes[i] = (tg_write){.kind = t->kind,
                               .key = {b->bytes.at + t->key_at, t->key_len},
                               .value = {b->bytes.at + t->value_at, t->value_len}};
    }
    tg_hub *h = b->hub;
    tg_op op = h->op_new(h->op_ctx, b->sh->index, committed, b);
    uint32_t n = b->n;
    tg_list_add(&b->sh->commits, &b->node);
    int rc = h->store->commit(h->store, writes, n, op); // `b` may be gone now
    free(writes);
    return rc;
}

void tg_persist_commit(tg_shard *sh)
{
    tg_batch *b = sh->batch;
    if (b == NULL)
        return;
    sh->batch = NULL;
    int rc = commit(b);
    if (rc < 0)
        committed(b, rc, NULL);
}

// Whether these are committed nobody will hear; their completions, if they come, free them.
void tg_persist_close(tg_shard *sh)
{
    tg_persist_commit(sh);
    while (!tg_list_empty(&sh->commits)) {
        tg_batch *b = TG_OWNER(sh->commits.next, tg_batch, node);
        tg_list_del(&b->node);
        b->sh = NULL;
        for (uint32_t i = 0; i < b->nwaiters; i++)
            b->waiters[i].fn(sh, b->waiters[i].ctx, TG_E_SHUTDOWN);
        b->nwaiters = 0;
    }
}
