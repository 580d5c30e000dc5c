// SPDX-License-Identifier: Apache-2.0
// Whether what arrives is what was sent: the number expected next of each stream, and which of
// the 64 before it came. So one that comes late is told from one that comes twice.
#include "load/engine.h"

static void count_again(tg_crew *c, bool again)
{
    c->repeated += again;
    c->doubled += !again;
}

// Below what is expected: one that had been overtaken, or one of before.
static bool take_late(tg_crew *c, tg_track *t, uint32_t back, bool again)
{
    if (back < 64 && (t->recent >> back & 1) == 0) {
        t->recent |= UINT64_C(1) << back;
        c->reordered++;
        return true;
    }
    count_again(c, again);
    return false;
}

static bool take_numbered(tg_crew *c, tg_inbox *in, tg_track *t, uint32_t n, bool again)
{
    if (n == t->next) {
        t->recent = t->recent << 1 | 1;
        t->next += in->stride;
        return true;
    }
    if (n < t->next)
        return take_late(c, t, (t->next - n) / in->stride - 1, again);
    uint32_t gap = (n - t->next) / in->stride;
    t->recent = gap < 63 ? t->recent << (gap + 1) | 1 : 1;
    t->next = n + in->stride;
    return true;
}

// Whoever of a group gets it: nobody may have had it, and this member nothing later.
static bool take_shared(tg_crew *c, tg_inbox *in, uint32_t stream, uint32_t n)
{
    tg_ring *ring = in->ring;
    tg_track *t = &in->tracks[stream - in->first];
    _Atomic uint32_t *slot = &ring->at[(size_t)stream * ring->size + n % ring->size];
    uint32_t was = atomic_exchange_explicit(slot, n + 1, memory_order_relaxed);
    if (was >= n + 1) {
        c->doubled++;
        return false;
    }
    c->reordered += n < t->next;
    t->next = n < t->next ? t->next : n + 1;
    return true;
}

static bool take_retained(tg_crew *c, tg_inbox *in, uint32_t n)
{
    if (n >= c->o->count) {
        c->strange++;
        return false;
    }
    bool fresh = in->seen[n] == 0;
    in->seen[n] = 1;
    c->doubled += !fresh;
    return fresh;
}

bool tg_inbox_take(tg_crew *c, tg_inbox *in, const tg_stamp *s, bool again)
{
    uint32_t track = s->stream - in->first;
    if (s->stream < in->first || track >= in->count ||
        (in->stride > 1 && s->number % in->stride != in->start)) {
        c->strange++;
        return false;
    }
    if (in->seen != NULL)
        return take_retained(c, in, s->number);
    if (in->ring != NULL)
        return take_shared(c, in, s->stream, s->number);
    return take_numbered(c, in, &in->tracks[track], s->number, again);
}

bool tg_inbox_holds(const tg_inbox *in, unsigned id)
{
    return in->held != NULL && (in->held[id / 64] >> id % 64 & 1) != 0;
}

void tg_inbox_hold(tg_inbox *in, unsigned id, bool held)
{
    if (in->held == NULL)
        return;
    uint64_t bit = UINT64_C(1) << id % 64;
    if (held)
        in->held[id / 64] |= bit;
    else
        in->held[id / 64] &= ~bit;
}

void tg_inbox_forget(tg_inbox *in)
{
    if (in->held != NULL)
        memset(in->held, 0, TG_HELD_WORDS * sizeof(*in->held));
}
