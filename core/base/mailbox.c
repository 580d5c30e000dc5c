// SPDX-License-Identifier: Apache-2.0
// Each lane is a stack that senders push with one compare-and-swap and that the receiver takes
// whole and turns round: a sender is never seen half-way, so there is nothing to spin on, and
// whoever pushes onto the empty stack knows that the receiver may be asleep and wakes it.
// A mail that is run was either taken by an earlier exchange or will be seen by the wake of
// the push that found the stack empty: no wake-up is lost.
#include "base/mailbox.h"

#include <assert.h>
#include <stdlib.h>

#define MAILBOX_MAGIC 0x3a11b0c5u
#define LINE 64
#define BATCH 16 // data mails between two looks at the control lane

typedef _Atomic(tg_mail *) stack;

struct tg_mailbox {
    uint32_t magic;
    size_t limit;
    void (*wake)(void *ctx);
    void *ctx;
    tg_mail *first, *last; // the receiver's: data mails taken, oldest first
    _Alignas(LINE) stack control;
    _Alignas(LINE) stack data;
    _Alignas(LINE) atomic_size_t bytes; // of the data lane, until they were run
};

tg_mailbox *tg_mailbox_new(size_t data_limit, void (*wake)(void *ctx), void *ctx)
{
    tg_mailbox *b = aligned_alloc(LINE, sizeof(*b));
    if (b == NULL)
        return NULL;
    memset(b, 0, sizeof(*b));
    b->magic = MAILBOX_MAGIC;
    b->limit = data_limit;
    b->wake = wake;
    b->ctx = ctx;
    atomic_init(&b->control, NULL);
    atomic_init(&b->data, NULL);
    atomic_init(&b->bytes, 0);
    return b;
}

void tg_mailbox_free(tg_mailbox *b)
{
    if (b == NULL)
        return;
    assert(b->magic == MAILBOX_MAGIC);
    b->magic = 0;
    free(b);
}

// After the exchange the mail is the receiver's: it must not be touched any more.
static void push(tg_mailbox *b, stack *lane, tg_mail *m)
{
    tg_mail *top = atomic_load_explicit(lane, memory_order_relaxed);
    do
        atomic_store_explicit(&m->next, top, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(lane, &top, m, memory_order_release,
                                                  memory_order_relaxed));
    if (top == NULL)
        b->wake(b->ctx);
}

void tg_mailbox_control(tg_mailbox *b, tg_mail *m)
{
    assert(b->magic == MAILBOX_MAGIC && m->run != NULL);
    push(b, &b->control, m);
}

bool tg_mailbox_data(tg_mailbox *b, tg_mail *m)
{
    assert(b->magic == MAILBOX_MAGIC && m->run != NULL);
    size_t size = m->bytes;
    size_t before = atomic_fetch_add_explicit(&b->bytes, size, memory_order_relaxed);
    push(b, &b->data, m);
    return before + size <= b->limit;
}

bool tg_mailbox_low(const tg_mailbox *b)
{
    return atomic_load_explicit(&b->bytes, memory_order_relaxed) < b->limit / 2;
}

static tg_mail *next_of(tg_mail *m)
{
    return atomic_load_explicit(&m->next, memory_order_relaxed);
}

// Takes a lane whole, oldest first. @return NULL when it is empty; *last: the youngest.
static tg_mail *take(stack *lane, tg_mail **last)
{
    if (atomic_load_explicit(lane, memory_order_relaxed) == NULL)
        return NULL;
    tg_mail *m = atomic_exchange_explicit(lane, NULL, memory_order_acquire), *first = NULL;
    *last = m;
    while (m != NULL) {
        tg_mail *older = next_of(m);
        atomic_store_explicit(&m->next, first, memory_order_relaxed);
        first = m;
        m = older;
    }
    return first;
}

// What arrives while these run has woken the receiver again: so one take is enough.
static void run_control(tg_mailbox *b, void *receiver)
{
    tg_mail *last;
    for (tg_mail *m = take(&b->control, &last), *next; m != NULL; m = next) {
        next = next_of(m);
        m->run(m, receiver);
    }
}

static void take_data(tg_mailbox *b)
{
    tg_mail *last, *first = take(&b->data, &last);
    if (first == NULL)
        return;
    if (b->first == NULL)
        b->first = first;
    else
        atomic_store_explicit(&b->last->next, first, memory_order_relaxed);
    b->last = last;
}

// The list is unhooked before a mail runs: its run may free it, or send it on.
static unsigned run_data(tg_mailbox *b, void *receiver, unsigned most)
{
    size_t bytes = 0;
    unsigned n = 0;
    for (; n < most && b->first != NULL; n++) {
        tg_mail *m = b->first;
        b->first = next_of(m);
        bytes += m->bytes;
        m->run(m, receiver);
    }
    atomic_fetch_sub_explicit(&b->bytes, bytes, memory_order_relaxed);
    return n;
}

bool tg_mailbox_drain(tg_mailbox *b, void *receiver, unsigned budget)
{
    assert(b->magic == MAILBOX_MAGIC);
    run_control(b, receiver);
    take_data(b);
    while (budget > 0 && b->first != NULL) {
        budget -= run_data(b, receiver, budget < BATCH ? budget : BATCH);
        run_control(b, receiver);
    }
    return b->first != NULL;
}
