// SPDX-License-Identifier: Apache-2.0
// What the next commit of a spool does: it takes away what is acknowledged and too old, drops
// what is in the way of the bounds, and puts what was pushed, as far as one commit should go.
// Nothing here changes the spool: it becomes what the plan says when the store has it.
#include "plugin/spool_impl.h"

static void put_u64(char *at, uint64_t n)
{
    for (int i = 7; i >= 0; i--, n >>= 8)
        at[i] = (char)n;
}

uint64_t tg_spool_u64(const char *at)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | (unsigned char)at[i];
    return n;
}

size_t tg_spool_key(const tg_queue_of_bytes *q, char kind, uint64_t number,
                    char at[TG_SPOOL_KEY_MAX])
{
    size_t plugin = strlen(q->plugin), name = strlen(q->name), n = 0;
    at[n++] = 'f';
    at[n++] = (char)plugin;
    memcpy(at + n, q->plugin, plugin);
    n += plugin;
    at[n++] = (char)name;
    memcpy(at + n, q->name, name);
    n += name;
    at[n++] = kind;
    if (number == 0)
        return n;
    put_u64(at + n, number);
    return n + 8;
}

static uint64_t sum_at(const tg_queue_of_bytes *q, uint64_t number, bool *known)
{
    *known = true;
    if (q->nfront > 0 && number >= q->front[0].number &&
        number - q->front[0].number < q->nfront)
        return q->front[number - q->front[0].number].sum;
    *known = number == q->next;
    return q->sum;
}

bool tg_spool_over(const tg_queue_of_bytes *q, uint64_t count, uint64_t bytes)
{
    return (q->bounds.max_count > 0 && count > q->bounds.max_count) ||
           bytes > q->bounds.max_bytes;
}

static bool too_old(const tg_queue_of_bytes *q, uint64_t head)
{
    uint64_t i = head - q->head;
    return q->bounds.max_age_ms > 0 && i < q->nfront &&
           q->front[i].at + q->bounds.max_age_ms <= tg_clock_ms();
}

/// Moves p->head past what must go so that `p` with one more push of `len` keeps the bounds.
/// @return false: it does not yet, since what else must go is not known.
static bool make_room(const tg_queue_of_bytes *q, tg_spool_plan *p, uint64_t len)
{
    for (;;) {
        bool known;
        uint64_t first = sum_at(q, p->head, &known);
        if (!known || p->head - q->head >= TG_SPOOL_BATCH)
            return false;
        if (!tg_spool_over(q, p->next + (len > 0) - p->head, p->sum + len - first))
            return true;
        if (p->head == q->next) // what is pushed now is left: it goes in the next round
            return len == 0;
        p->head++;
        p->dropped++;
    }
}

tg_spool_plan tg_spool_plan_next(const tg_queue_of_bytes *q)
{
    tg_spool_plan p = {.head = q->head, .next = q->next, .sum = q->sum};
    uint64_t batch = 0;
    while (p.head < q->next && p.head <= q->ack_to && p.acked < TG_SPOOL_BATCH) {
        p.head++;
        p.acked++;
    }
    while (p.head < q->next && too_old(q, p.head)) {
        p.head++;
        p.dropped++;
    }
    if (!make_room(q, &p, 0))
        return p;
    for (tg_list *n = q->pushes.next;
         n != &q->pushes && p.pushes < TG_SPOOL_BATCH && batch < TG_SPOOL_BATCH_BYTES;
         n = n->next) {
        const tg_spool_request *r = TG_OWNER(n, tg_spool_request, node);
        if (!make_room(q, &p, r->len))
            break;
        p.next++;
        p.sum += r->len;
        p.pushes++;
        batch += r->len;
    }
    return p;
}

static void add(tg_spool_draft *d, uint32_t kind, size_t key_len, size_t value_len)
{
    d->writes[d->n++] = (tg_write){
        .kind = kind, .key = {d->at, key_len}, .value = {d->at + key_len, value_len}};
    d->at += key_len + value_len;
}

static void draft_push(const tg_queue_of_bytes *q, tg_spool_draft *d,
                       const tg_spool_request *r, uint64_t n, uint64_t sum)
{
    size_t key = tg_spool_key(q, 'i', n, d->at);
    put_u64(d->at + key, r->at);
    put_u64(d->at + key + 8, sum);
    memcpy(d->at + key + TG_SPOOL_HEAD_LEN, r->bytes, r->len);
    add(d, TG_WRITE_PUT, key, TG_SPOOL_HEAD_LEN + r->len);
}

void tg_spool_draft_all(const tg_queue_of_bytes *q, tg_spool_draft *d)
{
    const tg_spool_plan *p = &q->plan;
    for (uint64_t n = q->head; n < p->head; n++)
        add(d, TG_WRITE_DEL, tg_spool_key(q, 'i', n, d->at), 0);
    uint64_t next = q->next, sum = q->sum;
    const tg_list *node = q->pushes.next;
    for (uint32_t i = 0; i < p->pushes; i++, node = node->next) {
        const tg_spool_request *r = TG_OWNER(node, tg_spool_request, node);
        draft_push(q, d, r, next++, sum);
        sum += r->len;
    }
    if (p->pushes == 0)
        return;
    size_t key = tg_spool_key(q, 't', 0, d->at);
    put_u64(d->at + key, next);
    put_u64(d->at + key + 8, sum);
    add(d, TG_WRITE_PUT, key, 16);
}
