// SPDX-License-Identifier: Apache-2.0
// A spool lives on one worker and has one thing under way with the store at a time: a page that
// is read, or a commit. What is asked for meanwhile becomes the next commit, so its state here
// is always that of the store, and a busy one needs no more commits than an idle one.
//
// Items are numbered without gaps. Each carries the sum of all bytes pushed before it: the
// difference between two is what lies between them, and nothing but the item pushed last has to
// be written down besides. So taking away only deletes, which a full store still does.
//
//   "f" plugin name "i" number:u64   → at:u64 (ms since the epoch), sum:u64, bytes
//   "f" plugin name "t"              → next:u64, sum:u64 of what will be pushed next
//
// plugin and name have their length (u8) in front. The oldest items are kept in memory, the
// `front`: what a peek gives and what is dropped comes from there.
#include "plugin/spool_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/plugins.h"

#define SPOOL_MAGIC 0x5b001001u
static tg_queue_of_bytes *check(void *ctx)
{
    tg_queue_of_bytes *q = ctx;
    assert(q != NULL && q->magic == SPOOL_MAGIC);
    return q;
}

static int metric(const tg_queue_of_bytes *q, tg_metric_kind kind, const char *name,
                  const char *help)
{
    char labels[192];
    snprintf(labels, sizeof(labels), "plugin=\"%s\",spool=\"%s\"", q->plugin, q->name);
    return tg_metric_add_def(kind, name, labels, help);
}

static void define_metrics(tg_queue_of_bytes *q)
{
    q->m_items = metric(q, TG_GAUGE, "tidegate_spool_items", "Items that wait in a spool");
    q->m_pushed = metric(q, TG_COUNTER, "tidegate_spool_pushed_total", "Items pushed");
    q->m_acked = metric(q, TG_COUNTER, "tidegate_spool_acked_total",
                        "Items taken away by who was done with them");
    q->m_dropped = metric(q, TG_COUNTER, "tidegate_spool_dropped_total",
                          "Items dropped at a bound or for their age");
    q->m_refused =
        metric(q, TG_COUNTER, "tidegate_spool_refused_total", "Items that were not taken");
}

tg_queue_of_bytes *tg_spool_new(tg_runtime *rt, const char *plugin, tg_slice name)
{
    tg_queue_of_bytes *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return NULL;
    q->magic = SPOOL_MAGIC;
    q->rt = rt;
    q->worker = (uint32_t)(tg_hash(name) % rt->nworkers);
    snprintf(q->plugin, sizeof(q->plugin), "%s", plugin);
    snprintf(q->name, sizeof(q->name), "%.*s", (int)name.len, name.at);
    q->head = q->next = 1;
    tg_list_init(&q->pushes);
    tg_list_init(&q->peeks);
    tg_list_init(&q->acks);
    tg_list_init(&q->stats);
    tg_list_init(&q->answered);
    define_metrics(q);
    return q;
}

static void free_all(tg_list *list)
{
    for (tg_list *n = list->next, *next; n != list; n = next) {
        next = n->next;
        free(TG_OWNER(n, tg_spool_request, node));
    }
    tg_list_init(list);
}

static void clear_front(tg_queue_of_bytes *q)
{
    for (uint32_t i = 0; i < q->nfront; i++)
        free(q->front[i].bytes);
    q->nfront = 0;
    q->front_bytes = 0;
}

void tg_spool_free(tg_queue_of_bytes *q)
{
    tg_metric_add(q->m_items, -(int64_t)(q->next - q->head));
    clear_front(check(q));
    free_all(&q->pushes);
    free_all(&q->peeks);
    free_all(&q->acks);
    free_all(&q->stats);
    free_all(&q->answered);
    q->magic = 0;
    free(q);
}

const char *tg_spool_plugin(const tg_queue_of_bytes *q)
{
    return q->plugin;
}

tg_slice tg_spool_name(const tg_queue_of_bytes *q)
{
    return tg_str(q->name);
}

uint32_t tg_spool_worker(const tg_queue_of_bytes *q)
{
    return q->worker;
}

_Atomic uint64_t *tg_spool_waiting(tg_queue_of_bytes *q)
{
    return &q->waiting;
}

// ---- answering ------------------------------------------------------------------------

static void answer(tg_spool_request *r, int code, const tg_value *value)
{
    tg_list_del(&r->node);
    if (tg_alarm_armed(&r->alarm))
        tg_wheel_del(tg_here()->wheel, &r->alarm);
    if (r->kind == TG_SPOOL_PUSH)
        atomic_fetch_sub(&r->queue->waiting, r->len);
    if (r->op.id != 0)
        tg_op_complete(r->op, code, value);
    tg_list_add(&r->queue->answered, &r->node); // freed when nobody walks the lists
}

static void answer_all(tg_list *list, int code)
{
    while (!tg_list_empty(list))
        answer(TG_OWNER(list->next, tg_spool_request, node), code, NULL);
}

static uint64_t bytes_now(const tg_queue_of_bytes *q)
{
    return q->nfront > 0 ? q->sum - q->front[0].sum : 0;
}

static tg_value number(uint64_t n)
{
    return (tg_value){.kind = TG_INT, .integer = (int64_t)n};
}

static void answer_stats(tg_queue_of_bytes *q, tg_spool_request *r)
{
    const tg_pair pairs[] = {
        {TG_LIT("count"), number(q->next - q->head)},
        {TG_LIT("bytes"), number(bytes_now(q))},
        {TG_LIT("first"), number(q->head)},
        {TG_LIT("next"), number(q->next)},
        {TG_LIT("pushed"), number(q->pushed)},
        {TG_LIT("acked"), number(q->acked)},
        {TG_LIT("dropped"), number(q->dropped)},
        {TG_LIT("refused"), number(q->refused)},
    };
    tg_value map = {.kind = TG_MAP};
    map.map.pairs = pairs;
    map.map.count = sizeof(pairs) / sizeof(pairs[0]);
    answer(r, 0, &map);
}

static void give_front(tg_queue_of_bytes *q, tg_spool_request *r)
{
    size_t n = r->n < q->nfront ? r->n : q->nfront;
    tg_value *maps = calloc(n + 1, sizeof(*maps));
    tg_pair *pairs = calloc(3 * n + 1, sizeof(*pairs));
    tg_value list = {.kind = TG_LIST};
    list.list.items = maps;
    list.list.count = n;
    for (size_t i = 0; maps != NULL && pairs != NULL && i < n; i++) {
        const tg_spool_item *t = &q->front[i];
        tg_pair *p = &pairs[3 * i];
        p[0] = (tg_pair){TG_LIT("id"), number(t->number)};
        p[1] = (tg_pair){TG_LIT("at"), number(t->at)};
        p[2] = (tg_pair){TG_LIT("bytes"), {.kind = TG_STR, .string = {t->bytes, t->len}}};
        maps[i].kind = TG_MAP;
        maps[i].map.pairs = p;
        maps[i].map.count = 3;
    }
    bool whole = maps != NULL && pairs != NULL;
    answer(r, whole ? 0 : TG_E_NOMEM, whole ? &list : NULL);
    free(maps);
    free(pairs);
}

static void on_wait_over(tg_alarm *a)
{
    tg_spool_request *r = TG_OWNER(a, tg_spool_request, alarm);
    tg_value none = {.kind = TG_LIST};
    answer(r, 0, &none);
}

// ---- reading --------------------------------------------------------------------------

static void step(tg_queue_of_bytes *q);

/// Whoever waits is told, and it rests until somebody asks again.
static void fail(tg_queue_of_bytes *q, int code)
{
    q->stopped = code == TG_E_SHUTDOWN;
    q->paused = true;
    q->ack_to = 0;
    answer_all(&q->pushes, code);
    answer_all(&q->peeks, code);
    answer_all(&q->acks, code);
    answer_all(&q->stats, code);
}

static int read_from(tg_queue_of_bytes *q, char kind, uint64_t from, tg_done_fn *done)
{
    char prefix[TG_SPOOL_KEY_MAX], first[TG_SPOOL_KEY_MAX];
    tg_range range = {.size = sizeof(range), .limit = TG_SPOOL_PEEK_MAX - q->nfront};
    range.prefix = (tg_slice){prefix, tg_spool_key(q, kind, 0, prefix)};
    range.from = (tg_slice){first, tg_spool_key(q, kind, from, first)};
    range.bytes = TG_SPOOL_FRONT_BYTES - q->front_bytes;
    tg_op op = tg_op_new(&(tg_op_spec){.done = done, .ctx = q});
    if (op.id == 0)
        return TG_E_NOMEM;
    q->busy = true;
    int rc = tg_store_read(q->rt, &range, op);
    if (rc < 0) {
        q->busy = false;
        tg_op_cancel(op);
    }
    return rc;
}

static bool take_item(tg_queue_of_bytes *q, tg_slice key, tg_slice value)
{
    tg_spool_item *t = &q->front[q->nfront];
    if (key.len < 8 || value.len < TG_SPOOL_HEAD_LEN)
        return false;
    *t = (tg_spool_item){.number = tg_spool_u64(key.at + key.len - 8),
                         .at = tg_spool_u64(value.at),
                         .sum = tg_spool_u64(value.at + 8),
                         .len = value.len - TG_SPOOL_HEAD_LEN};
    t->bytes = malloc(t->len + 1);
    if (t->bytes == NULL)
        return false;
    memcpy(t->bytes, value.at + TG_SPOOL_HEAD_LEN, t->len);
    q->front_bytes += t->len;
    q->nfront++;
    return true;
}

static void set_head(tg_queue_of_bytes *q, uint64_t head)
{
    tg_metric_add(q->m_items, (int64_t)q->head - (int64_t)head);
    q->head = head;
}

// A store that was full may have lost the number of the last deletion: the first item tells.
static void on_front(void *ctx, int code, const tg_value *value)
{
    tg_queue_of_bytes *q = check(ctx);
    q->busy = false;
    bool whole = code == 0 && value != NULL && value->kind == TG_LIST;
    for (size_t i = 0; whole && i + 1 < value->list.count && q->nfront < TG_SPOOL_PEEK_MAX;
         i += 2)
        whole = take_item(q, value->list.items[i].string, value->list.items[i + 1].string);
    if (!whole) {
        fail(q, code < 0 ? code : TG_E_MALFORMED);
        return;
    }
    uint64_t first = q->nfront > 0 ? q->front[0].number : q->next;
    if (first != q->head)
        set_head(q, first);
    step(q);
}

static void on_tail(void *ctx, int code, const tg_value *value)
{
    tg_queue_of_bytes *q = check(ctx);
    q->busy = false;
    if (code < 0) {
        fail(q, code);
        return;
    }
    if (value != NULL && value->kind == TG_LIST && value->list.count >= 2 &&
        value->list.items[1].string.len >= 16) {
        q->next = tg_spool_u64(value->list.items[1].string.at);
        q->sum = tg_spool_u64(value->list.items[1].string.at + 8);
        tg_metric_add(q->m_items, (int64_t)(q->next - q->head));
    }
    if (q->ack_to >= q->next)
        q->ack_to = 0;
    q->opened = true;
    step(q);
}

// ---- writing --------------------------------------------------------------------------

static void forget_before(tg_queue_of_bytes *q, uint64_t head)
{
    uint32_t gone = 0;
    while (gone < q->nfront && q->front[gone].number < head) {
        q->front_bytes -= q->front[gone].len;
        free(q->front[gone++].bytes);
    }
    q->nfront -= gone;
    memmove(q->front, q->front + gone, q->nfront * sizeof(tg_spool_item));
    set_head(q, head);
}

/// What was pushed last joins the front if that reaches so far.
static void keep_pushed(tg_queue_of_bytes *q, const tg_spool_request *r)
{
    bool next =
        q->nfront > 0 ? q->front[q->nfront - 1].number + 1 == q->next : q->head == q->next;
    if (!next || q->nfront == TG_SPOOL_PEEK_MAX ||
        q->front_bytes + r->len > TG_SPOOL_FRONT_BYTES)
        return;
    tg_spool_item t = {.number = q->next, .at = r->at, .sum = q->sum, .len = r->len};
    t.bytes = malloc(r->len + 1);
    if (t.bytes == NULL)
        return;
    memcpy(t.bytes, r->bytes, r->len);
    q->front[q->nfront++] = t;
    q->front_bytes += t.len;
}

static void refuse_push(tg_queue_of_bytes *q, tg_spool_request *r, int code)
{
    q->refused++;
    tg_metric_add(q->m_refused, 1);
    answer(r, code, NULL);
}

static void refuse_what_does_not_fit(tg_queue_of_bytes *q)
{
    uint64_t count = q->next - q->head, bytes = bytes_now(q);
    for (tg_list *n = q->pushes.next, *next; n != &q->pushes; n = next) {
        next = n->next;
        tg_spool_request *r = TG_OWNER(n, tg_spool_request, node);
        if (tg_spool_over(q, count + 1, bytes + r->len)) {
            refuse_push(q, r, TG_E_FULL);
            continue;
        }
        count++;
        bytes += r->len;
    }
}

static void settle_pushes(tg_queue_of_bytes *q, uint32_t n, int code)
{
    for (; n > 0; n--) {
        tg_spool_request *r = TG_OWNER(q->pushes.next, tg_spool_request, node);
        tg_value id = number(q->next);
        if (code < 0) {
            refuse_push(q, r, code);
            continue;
        }
        keep_pushed(q, r);
        q->next++;
        q->sum += r->len;
        q->pushed++;
        tg_metric_add(q->m_items, 1);
        tg_metric_add(q->m_pushed, 1);
        answer(r, 0, &id);
    }
}

static void on_committed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    tg_queue_of_bytes *q = check(ctx);
    tg_spool_plan p = q->plan;
    q->busy = false;
    if (code < 0 && code != TG_E_FULL) {
        fail(q, code);
        return;
    }
    forget_before(q, p.head); // deleted, if the store was full as well
    q->acked += p.acked;
    q->dropped += p.dropped;
    tg_metric_add(q->m_acked, (int64_t)p.acked);
    tg_metric_add(q->m_dropped, (int64_t)p.dropped);
    settle_pushes(q, p.pushes, code == TG_E_FULL ? TG_E_NOSPACE : 0);
    step(q);
    free_all(&q->answered);
}

/// @return TG_E_AGAIN: there is nothing to do.
static int commit(tg_queue_of_bytes *q)
{
    tg_spool_plan p = tg_spool_plan_next(q);
    if (p.head == q->head && p.pushes == 0)
        return TG_E_AGAIN;
    size_t bytes =
        (size_t)(p.head - q->head + p.pushes + 1) * (TG_SPOOL_KEY_MAX + TG_SPOOL_HEAD_LEN) +
        (size_t)(p.sum - q->sum);
    tg_spool_draft *d = malloc(sizeof(*d) + bytes);
    tg_op op =
        d != NULL ? tg_op_new(&(tg_op_spec){.done = on_committed, .ctx = q}) : (tg_op){0};
    if (op.id == 0) {
        free(d);
        return TG_E_NOMEM;
    }
    q->plan = p;
    q->busy = true;
    d->n = 0;
    d->at = (char *)(d + 1);
    tg_spool_draft_all(q, d);
    int rc = tg_store_commit(q->rt, d->writes, d->n, op);
    free(d);
    if (rc < 0) {
        q->busy = false;
        tg_op_cancel(op);
    }
    return rc;
}

// ---- what is next ---------------------------------------------------------------------

static void answer_acks(tg_queue_of_bytes *q)
{
    for (tg_list *n = q->acks.next, *next; n != &q->acks; n = next) {
        next = n->next;
        tg_spool_request *r = TG_OWNER(n, tg_spool_request, node);
        if (r->n < q->head || r->n >= q->next)
            answer(r, r->n < q->head ? 0 : TG_E_NOTFOUND, NULL);
    }
}

/// @return more of the front is wanted.
static bool answer_peeks(tg_queue_of_bytes *q)
{
    bool all = q->head + q->nfront == q->next || q->nfront == TG_SPOOL_PEEK_MAX ||
               q->front_bytes >= TG_SPOOL_FRONT_BYTES / 2,
         wanted = false;
    for (tg_list *n = q->peeks.next, *next; n != &q->peeks; n = next) {
        next = n->next;
        tg_spool_request *r = TG_OWNER(n, tg_spool_request, node);
        if (!all && r->n > q->nfront)
            wanted = true;
        else if (q->nfront > 0 || !tg_alarm_armed(&r->alarm))
            give_front(q, r);
    }
    return wanted;
}

static int next_thing(tg_queue_of_bytes *q)
{
    if (!q->opened)
        return read_from(q, 't', 0, on_tail);
    if (q->nfront == 0 && q->head < q->next)
        return read_from(q, 'i', q->head, on_front);
    while (!tg_list_empty(&q->stats))
        answer_stats(q, TG_OWNER(q->stats.next, tg_spool_request, node));
    answer_acks(q);
    if (q->bounds.refuse != 0)
        refuse_what_does_not_fit(q);
    int rc = commit(q);
    if (rc != TG_E_AGAIN)
        return rc;
    if (answer_peeks(q))
        return read_from(q, 'i', q->head + q->nfront, on_front);
    return TG_E_AGAIN;
}

static void step(tg_queue_of_bytes *q)
{
    int rc = 0;
    while (!q->busy && !q->paused && rc == 0)
        rc = next_thing(q);
    if (rc < 0 && rc != TG_E_AGAIN)
        fail(q, rc);
}

static void take_push(tg_queue_of_bytes *q, tg_spool_request *r)
{
    tg_list_add(&q->pushes, &r->node);
    r->at = tg_clock_ms();
    if (r->len > q->bounds.max_bytes)
        refuse_push(q, r, TG_E_TOOBIG);
}

static void take_peek(tg_queue_of_bytes *q, tg_spool_request *r)
{
    tg_list_add(&q->peeks, &r->node);
    if (r->wait_ms > 0)
        tg_wheel_add(tg_here()->wheel, &r->alarm, r->wait_ms, on_wait_over);
}

void tg_spool_run(void *request)
{
    tg_spool_request *r = request;
    tg_queue_of_bytes *q = check(r->queue);
    tg_list_init(&r->node);
    free_all(&q->answered);
    q->paused = q->stopped;
    switch (r->kind) {
    case TG_SPOOL_BOUNDS:
        q->bounds = r->bounds;
        answer(r, 0, NULL);
        break;
    case TG_SPOOL_PUSH:
        take_push(q, r);
        break;
    case TG_SPOOL_PEEK:
        take_peek(q, r);
        break;
    case TG_SPOOL_ACK:
        tg_list_add(&q->acks, &r->node);
        if (r->n > q->ack_to && (!q->opened || r->n < q->next))
            q->ack_to = r->n;
        break;
    case TG_SPOOL_STATS:
        tg_list_add(&q->stats, &r->node);
    }
    if (q->stopped)
        fail(q, TG_E_SHUTDOWN);
    else
        step(q);
}
