// SPDX-License-Identifier: Apache-2.0
// complete() gets nothing but a number, from any thread, perhaps when everybody has long gone.
// So the records live in blocks that are never freed (the next runtime of the process uses them
// again), and who may complete one is decided by one compare-and-swap on its id, generation
// included. The winner alone touches the record, and sends it to the worker that made it: the
// mail is part of the record, so a completion cannot fail for want of memory. While a worker
// closes, `senders` tells it that somebody is between that swap and the mailbox.
#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "plugin/op.h"

#define BLOCK 256
#define BLOCKS 4096 // 1 Mi ops under way on one worker

typedef struct record {
    _Atomic uint64_t id; ///< 0: not open
    tg_mail mail;
    tg_list node; ///< in table.free, .ready or .open
    tg_list owned; ///< in the owner's part.ops
    tg_list provided; ///< in the provider's part.provides
    tg_alarm alarm;
    uint32_t index, generation;
    int code;
    tg_value *value;
    tg_op_spec spec;
} record;

typedef struct table {
    _Atomic(record *) blocks[BLOCKS];
    _Atomic(tg_mailbox *) door; ///< NULL: the worker takes no completions
    atomic_int senders;
    uint32_t count; ///< records made
    tg_list free, open, ready;
} table;

// One a worker index. Mutable and global for the reason given above.
static _Atomic(table *) tables[TG_WORKERS_MAX];

static table *table_at(uint32_t worker)
{
    return worker < TG_WORKERS_MAX
               ? atomic_load_explicit(&tables[worker], memory_order_acquire)
               : NULL;
}

int tg_ops_open(tg_local *here)
{
    table *t = table_at(here->index);
    if (t == NULL) {
        t = calloc(1, sizeof(*t));
        if (t == NULL)
            return TG_E_NOMEM;
        tg_list_init(&t->free);
        tg_list_init(&t->open);
        tg_list_init(&t->ready);
        atomic_store_explicit(&tables[here->index], t, memory_order_release);
    }
    atomic_store(&t->door, tg_worker_mailbox(here->worker));
    return 0;
}

static bool grow(table *t)
{
    uint32_t block = t->count / BLOCK;
    record *r = block < BLOCKS ? calloc(BLOCK, sizeof(*r)) : NULL;
    if (r == NULL)
        return false;
    for (uint32_t i = 0; i < BLOCK; i++) {
        r[i].index = t->count + i;
        tg_list_init(&r[i].owned);
        tg_list_init(&r[i].provided);
        tg_list_add(&t->free, &r[i].node);
    }
    t->count += BLOCK;
    atomic_store_explicit(&t->blocks[block], r, memory_order_release);
    return true;
}

static uint64_t next_id(record *r, uint32_t worker)
{
    if (++r->generation == 0)
        r->generation = 1;
    return (uint64_t)worker << 56 | (uint64_t)r->index << 32 | r->generation;
}

static void join(tg_list *list, tg_part *p, tg_list *node)
{
    p->waits++;
    tg_list_add(list, node);
}

static void part_from(tg_list *node, tg_version *v)
{
    if (v == NULL || tg_list_empty(node))
        return;
    tg_list_del(node);
    tg_part_here(v)->waits--;
    tg_version_touch(v);
}

static void forget(record *r) // nobody waits any more
{
    part_from(&r->owned, r->spec.owner);
    part_from(&r->provided, r->spec.provider);
    r->spec.owner = r->spec.provider = NULL;
    r->spec.done = NULL;
}

static void on_timeout(tg_alarm *a)
{
    record *r = TG_OWNER(a, record, alarm);
    tg_op_complete((tg_op){atomic_load_explicit(&r->id, memory_order_relaxed)},
                   TG_E_TIMEOUT, NULL);
}

tg_op tg_op_new(const tg_op_spec *spec)
{
    tg_local *here = tg_here();
    table *t = table_at(here->index);
    if (tg_list_empty(&t->free) && !grow(t))
        return (tg_op){0};
    record *r = TG_OWNER(t->free.next, record, node);
    tg_list_del(&r->node);
    tg_list_add(&t->open, &r->node);
    r->spec = *spec;
    r->value = NULL;
    r->code = 0;
    if (spec->owner != NULL)
        join(&tg_part_here(spec->owner)->ops, tg_part_here(spec->owner), &r->owned);
    if (spec->provider != NULL)
        join(&tg_part_here(spec->provider)->provides, tg_part_here(spec->provider),
             &r->provided);
    if (spec->timeout_ms > 0)
        tg_wheel_add(here->wheel, &r->alarm, spec->timeout_ms, on_timeout);
    uint64_t id = next_id(r, here->index);
    atomic_store_explicit(&r->id, id, memory_order_release);
    return (tg_op){id};
}

static record *find(table *t, uint64_t id)
{
    uint32_t index = (uint32_t)(id >> 32) & 0xffffff;
    if (t == NULL || id == 0 || index / BLOCK >= BLOCKS)
        return NULL;
    record *block = atomic_load_explicit(&t->blocks[index / BLOCK], memory_order_acquire);
    return block != NULL ? &block[index % BLOCK] : NULL;
}

static bool win(record *r, uint64_t id)
{
    return atomic_compare_exchange_strong(&r->id, &id, 0);
}

static void make_ready(record *r)
{
    tg_local *here = tg_here();
    tg_list_del(&r->node);
    tg_list_add(&table_at(here->index)->ready, &r->node);
}

static void arrive(tg_mail *m, void *worker)
{
    (void)worker;
    make_ready(TG_OWNER(m, record, mail));
}

static void fill(record *r, int code, const tg_value *value)
{
    r->code = code;
    r->value = value != NULL ? tg_value_copy(value) : NULL;
    if (value != NULL && r->value == NULL)
        r->code = TG_E_NOMEM;
}

static int complete_here(record *r, uint64_t id, int code, const tg_value *value)
{
    if (!win(r, id))
        return TG_E_CLOSED;
    fill(r, code, value);
    make_ready(r);
    return 0;
}

static int complete_from_outside(table *t, record *r, uint64_t id, int code,
                                 const tg_value *value)
{
    int rc = TG_E_CLOSED;
    atomic_fetch_add(&t->senders, 1);
    tg_mailbox *door = atomic_load(&t->door);
    if (door != NULL && win(r, id)) {
        fill(r, code, value);
        r->mail = (tg_mail){.run = arrive};
        tg_mailbox_control(door, &r->mail);
        rc = 0;
    }
    atomic_fetch_sub(&t->senders, 1);
    return rc;
}

int tg_op_complete(tg_op op, int code, const tg_value *value)
{
    uint32_t worker = tg_handle_worker(op.id);
    table *t = table_at(worker);
    record *r = find(t, op.id);
    if (r == NULL)
        return TG_E_CLOSED;
    const tg_local *here = tg_here();
    if (here != NULL && here->index == worker)
        return complete_here(r, op.id, code, value);
    return complete_from_outside(t, r, op.id, code, value);
}

static void give_back(table *t, record *r)
{
    tg_list_del(&r->node);
    tg_list_add(&t->free, &r->node);
}

// A completion from another thread may be on its way: then its arrival frees the record.
static void cancel(tg_local *here, table *t, record *r)
{
    uint64_t id = atomic_load(&r->id);
    forget(r);
    tg_wheel_del(here->wheel, &r->alarm);
    if (id != 0 && win(r, id))
        give_back(t, r);
}

int tg_op_cancel(tg_op op)
{
    tg_local *here = tg_here();
    table *t = table_at(tg_handle_worker(op.id));
    record *r = find(t, op.id);
    if (here == NULL || r == NULL || here->index != tg_handle_worker(op.id) ||
        atomic_load(&r->id) != op.id)
        return TG_E_CLOSED;
    cancel(here, t, r);
    return 0;
}

static void finish(tg_local *here, table *t, record *r)
{
    tg_op_spec spec = r->spec;
    int code = r->code;
    tg_value *value = r->value;
    r->value = NULL;
    tg_wheel_del(here->wheel, &r->alarm);
    forget(r);
    give_back(t, r);
    if (spec.done != NULL && spec.owner != NULL) {
        tg_call_begin(spec.owner, spec.callback);
        spec.done(spec.ctx, code, value);
        tg_call_end();
    } else if (spec.done != NULL) {
        spec.done(spec.ctx, code, value);
    }
    tg_value_free(value);
}

bool tg_ops_turn(tg_local *here)
{
    table *t = table_at(here->index);
    tg_list batch;
    tg_list_init(&batch);
    while (
        !tg_list_empty(&t->ready)) { // what the callbacks complete waits for the next round
        tg_list *n = t->ready.next;
        tg_list_del(n);
        tg_list_add(&batch, n);
    }
    bool any = !tg_list_empty(&batch);
    while (!tg_list_empty(&batch))
        finish(here, t, TG_OWNER(batch.next, record, node));
    return any;
}

bool tg_ops_waiting(const tg_local *here)
{
    return !tg_list_empty(&table_at(here->index)->ready);
}

void tg_ops_end_version(tg_version *v)
{
    tg_local *here = tg_here();
    table *t = table_at(here->index);
    tg_part *p = tg_part_here(v);
    while (!tg_list_empty(&p->ops))
        cancel(here, t, TG_OWNER(p->ops.next, record, owned));
    while (!tg_list_empty(&p->provides)) {
        record *r = TG_OWNER(p->provides.next, record, provided);
        uint64_t id = atomic_load(&r->id);
        part_from(&r->provided, v);
        r->spec.provider = NULL;
        if (id != 0)
            complete_here(r, id, TG_E_RELOADED, NULL);
    }
}

// The host's own are completed: what they hold must be freed. Plugins have ended before.
static void close_open(tg_local *here, table *t)
{
    for (tg_list *n = t->open.next, *next; n != &t->open; n = next) {
        next = n->next;
        record *r = TG_OWNER(n, record, node);
        uint64_t id = atomic_load(&r->id);
        if (r->spec.owner != NULL)
            cancel(here, t, r);
        else if (id != 0)
            complete_here(r, id, TG_E_SHUTDOWN, NULL);
    }
}

void tg_ops_close(tg_local *here)
{
    table *t = table_at(here->index);
    if (t == NULL)
        return;
    atomic_store(&t->door, NULL);
    while (atomic_load(&t->senders) != 0)
        sched_yield();
    do
        close_open(here, t);
    while (tg_ops_turn(here));
}
