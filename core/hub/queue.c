// SPDX-License-Identifier: Apache-2.0
// One ring of numbered entries is window and queue. An answered entry leaves a hole until all
// before it are answered too; the span is bounded, so a peer that never answers one message
// makes its own window stall and nothing else grow.
#include <assert.h>
#include <stdlib.h>

#include "hub/internal.h"

#define RING_MIN 8
#define RING_KEEP 64 // an empty ring beyond this is given back

// Every change of what it holds comes through here.
static void account(tg_queue *q, int waiting, int64_t bytes, int inflight, int64_t sent)
{
    q->waiting += (uint32_t)waiting;
    q->bytes += (uint64_t)bytes;
    q->inflight += (uint32_t)inflight;
    q->sent_bytes += (uint64_t)sent;
    if (q->tally == NULL)
        return;
    q->tally->waiting += waiting;
    q->tally->waiting_bytes += bytes;
    q->tally->inflight += inflight;
}

void tg_queue_count_in(tg_queue *q, tg_tally *t)
{
    if (q == NULL)
        return;
    for (int sign = -1; sign <= 1; sign += 2) {
        if (q->tally != NULL) {
            q->tally->waiting += sign * (int64_t)q->waiting;
            q->tally->waiting_bytes += sign * (int64_t)q->bytes;
            q->tally->inflight += sign * (int64_t)q->inflight;
        }
        q->tally = t;
    }
}

static tg_queue *queue_of(tg_sess *s, tg_tally *t)
{
    if (s->queue != NULL)
        return s->queue;
    tg_queue *q = calloc(1, sizeof(*q));
    tg_entry *ring = calloc(RING_MIN, sizeof(*ring));
    if (q == NULL || ring == NULL) {
        free(q);
        free(ring);
        return NULL;
    }
    q->ring = ring;
    q->cap = RING_MIN;
    q->head = q->sent = q->tail = 1;
    q->tally = t;
    s->queue = q;
    return q;
}

static bool resize(tg_queue *q, uint32_t cap)
{
    tg_entry *ring = calloc(cap, sizeof(*ring));
    if (ring == NULL)
        return false;
    for (uint64_t n = q->head; n < q->tail; n++)
        ring[n & (cap - 1)] = *tg_queue_at(q, n);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    return true;
}

const uint32_t *tg_entry_ids(const tg_entry *e)
{
    return e->nids > 1 ? e->ids : &e->id;
}

size_t tg_entry_bytes(const tg_entry *e)
{
    return e->msg->topic.len + e->msg->payload.len + e->msg->props.len;
}

uint64_t tg_queue_push(tg_sess *s, const tg_entry *e, tg_tally *t)
{
    tg_queue *q = queue_of(s, t);
    if (q == NULL)
        return 0;
    if (q->tail - q->head == q->cap && !resize(q, q->cap * 2))
        return 0;
    uint64_t n = q->tail++;
    *tg_queue_at(q, n) = *e;
    account(q, 1, (int64_t)tg_entry_bytes(e), 0, 0);
    return n;
}

void tg_queue_sent(tg_queue *q, uint64_t n)
{
    const tg_entry *e = tg_queue_at(q, n);
    int64_t bytes = (int64_t)tg_entry_bytes(e);
    assert(n == q->sent);
    q->sent++;
    account(q, -1, -bytes, e->qos > 0, e->qos > 0 ? bytes : 0);
}

void tg_queue_unsent(tg_queue *q, uint64_t n)
{
    const tg_entry *e = tg_queue_at(q, n);
    int64_t bytes = (int64_t)tg_entry_bytes(e);
    assert(n + 1 == q->sent);
    q->sent--;
    account(q, 1, bytes, -(e->qos > 0), e->qos > 0 ? -bytes : 0);
}

#define GAP_MAX (1u << 20)

bool tg_queue_put_at(tg_sess *s, uint64_t n, const tg_entry *e)
{
    tg_queue *q = queue_of(s, NULL);
    if (q == NULL || n == 0)
        return false;
    if (q->head == q->tail)
        q->head = q->sent = q->tail = n;
    if (n < q->tail || n - q->head >= GAP_MAX)
        return false;
    while (n - q->head >= q->cap)
        if (!resize(q, q->cap * 2))
            return false;
    q->tail = n;
    return tg_queue_push(s, e, NULL) == n;
}

uint64_t tg_queue_find(const tg_queue *q, uint16_t packet_id)
{
    if (q == NULL || packet_id == 0 || q->head == q->sent)
        return 0;
    uint64_t ahead = ((uint64_t)packet_id + 65535 - tg_packet_id(q->head)) % 65535;
    uint64_t n = q->head + ahead;
    if (n >= q->sent)
        return 0;
    const tg_entry *e = tg_queue_at(q, n);
    return e->msg != NULL && e->qos > 0 ? n : 0;
}

void tg_queue_del(tg_queue *q, uint64_t n)
{
    tg_entry *e = tg_queue_at(q, n);
    assert(e->msg != NULL && n >= q->head && n < q->tail);
    int64_t bytes = (int64_t)tg_entry_bytes(e);
    if (n >= q->sent)
        account(q, -1, -bytes, 0, 0);
    else if (e->qos > 0)
        account(q, 0, 0, -1, -bytes);
    if (e->nids > 1)
        free(e->ids);
    tg_msg_unref(e->msg);
    *e = (tg_entry){0};
    while (q->head < q->sent && tg_queue_at(q, q->head)->msg == NULL)
        q->head++;
    if (q->head == q->tail && q->cap > RING_KEEP)
        resize(q, RING_MIN);
}

void tg_queue_rewind(tg_queue *q)
{
    if (q == NULL)
        return;
    for (uint64_t n = q->head; n < q->sent; n++) {
        tg_entry *e = tg_queue_at(q, n);
        if (e->msg == NULL)
            continue;
        if ((e->flags & TG_ENTRY_SENT) != 0)
            e->flags |= TG_ENTRY_DUP;
        int64_t bytes = (int64_t)tg_entry_bytes(e);
        account(q, 1, bytes, -(e->qos > 0), e->qos > 0 ? -bytes : 0);
    }
    q->sent = q->head;
}

void tg_queue_free(tg_sess *s)
{
    tg_queue *q = s->queue;
    if (q == NULL)
        return;
    s->queue = NULL;
    tg_queue_count_in(q, NULL);
    for (uint64_t n = q->head; n < q->tail; n++) {
        tg_entry *e = tg_queue_at(q, n);
        if (e->msg == NULL)
            continue;
        if (e->nids > 1)
            free(e->ids);
        tg_msg_unref(e->msg);
    }
    free(q->ring);
    free(q);
}

void tg_queue_to_blocks(tg_queue *q)
{
    for (uint64_t n = q != NULL ? q->head : 0; q != NULL && n < q->tail; n++) {
        tg_entry *e = tg_queue_at(q, n);
        if (e->msg == NULL)
            continue;
        tg_msg m = e->msg;
        e->msg = (tg_msg)(void *)tg_msg_block(m);
        tg_msg_unref(m);
    }
}

bool tg_queue_from_blocks(tg_queue *q)
{
    bool whole = true;
    for (uint64_t n = q != NULL ? q->head : 0; q != NULL && n < q->tail; n++) {
        tg_entry *e = tg_queue_at(q, n);
        if (e->msg == NULL)
            continue;
        tg_block *b = (tg_block *)(uintptr_t)e->msg;
        const tg_message *m = tg_block_message(b);
        int64_t bytes = (int64_t)(m->topic.len + m->payload.len + m->props.len);
        e->msg = tg_msg_from_block(b);
        if (e->msg == NULL) {
            // The counts were right before: only this entry is missing from now on.
            if (n >= q->sent)
                account(q, -1, -bytes, 0, 0);
            else if (e->qos > 0)
                account(q, 0, 0, -1, -bytes);
            if (e->nids > 1)
                free(e->ids);
            *e = (tg_entry){0};
            whole = false;
        }
    }
    return whole;
}
