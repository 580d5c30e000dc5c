// SPDX-License-Identifier: Apache-2.0
// Levels of slots, each level coarser by the number of slots of the one below: an alarm goes
// to the first level whose span reaches its tick, and comes down a level each time the hand
// gets to its slot. A bitmap per level tells which slots hold something, so that waiting and
// skipping idle time look at a few words instead of walking ticks.
//
// Ticks are rounded up and run when the clock has reached them: never early, and at most one
// tick late. `tick` is the next one to run.
#include "base/wheel.h"

#include <assert.h>
#include <stdlib.h>

#define LEVEL_BITS 8
#define SLOTS (1u << LEVEL_BITS)
#define LEVELS 4 // 2^32 ticks of 10 ms: 497 days; what lies beyond waits in the last slot
#define WORDS (SLOTS / 64)
#define SPAN(level) (UINT64_C(1) << (LEVEL_BITS * ((level) + 1)))

struct tg_wheel {
    uint64_t now; // ms
    uint64_t base; // ms of tick 0
    uint64_t tick; // the next tick to run; every tick before it has run
    tg_list slots[LEVELS][SLOTS];
    uint64_t used[LEVELS][WORDS]; // a bit per slot that is not empty
};

tg_wheel *tg_wheel_new(uint64_t now)
{
    tg_wheel *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->now = w->base = now;
    for (unsigned l = 0; l < LEVELS; l++)
        for (unsigned i = 0; i < SLOTS; i++)
            tg_list_init(&w->slots[l][i]);
    return w;
}

void tg_wheel_free(tg_wheel *w)
{
    free(w);
}

static void mark(tg_wheel *w, unsigned level, unsigned slot)
{
    w->used[level][slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void unmark(tg_wheel *w, unsigned level, unsigned slot)
{
    w->used[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

static uint64_t tick_of(const tg_wheel *w, const tg_alarm *a)
{
    uint64_t ms = a->due > w->base ? a->due - w->base : 0;
    uint64_t tick = ms / TG_WHEEL_TICK_MS + (ms % TG_WHEEL_TICK_MS != 0);
    return tick < w->tick ? w->tick : tick;
}

static void place(tg_wheel *w, tg_alarm *a)
{
    uint64_t tick = tick_of(w, a), ahead = tick - w->tick;
    unsigned level = 0;
    while (level + 1 < LEVELS && ahead >= SPAN(level))
        level++;
    if (ahead >= SPAN(level))
        tick = w->tick + SPAN(level) - 1; // comes down from there as often as needed
    unsigned slot = (unsigned)(tick >> (LEVEL_BITS * level)) & (SLOTS - 1);
    tg_list_add(&w->slots[level][slot], &a->node);
    mark(w, level, slot);
}

void tg_wheel_add(tg_wheel *w, tg_alarm *a, uint64_t ms, void (*fn)(tg_alarm *a))
{
    assert(fn != NULL);
    tg_wheel_del(w, a);
    a->fn = fn;
    a->due = ms > UINT64_MAX - w->now ? UINT64_MAX : w->now + ms;
    if (a->due == 0)
        a->due = 1; // 0 says "not armed"
    place(w, a);
}

// The last alarm of a slot takes the slot's bit along. Alarms that are due right now hang on
// a list of run_slot(), which has no bit.
static void unlink_alarm(tg_wheel *w, tg_alarm *a)
{
    tg_list *head = a->node.next;
    bool last = head == a->node.prev;
    tg_list_del(&a->node);
    uintptr_t at = (uintptr_t)head, from = (uintptr_t)&w->slots[0][0];
    if (!last || at < from || at >= from + sizeof(w->slots))
        return;
    unsigned i = (unsigned)((at - from) / sizeof(tg_list));
    unmark(w, i / SLOTS, i % SLOTS);
}

void tg_wheel_del(tg_wheel *w, tg_alarm *a)
{
    if (a->due == 0)
        return;
    a->due = 0;
    unlink_alarm(w, a);
}

// Distance from slot `from` to the next one in use, going round; SLOTS when there is none.
static unsigned used_after(const uint64_t *used, unsigned from)
{
    unsigned word = from / 64, bit = from % 64;
    for (unsigned n = 0; n <= WORDS; n++) {
        uint64_t bits = used[(word + n) % WORDS];
        if (n == 0)
            bits &= UINT64_MAX << bit;
        else if (n == WORDS)
            bits &= ~(UINT64_MAX << bit);
        if (bits != 0)
            return (n * 64 + (unsigned)__builtin_ctzll(bits) + SLOTS - bit) % SLOTS;
    }
    return SLOTS;
}

// The next tick at which an alarm is due or a slot comes down; UINT64_MAX: nothing is armed.
static uint64_t next_tick(const tg_wheel *w)
{
    uint64_t best = UINT64_MAX;
    for (unsigned level = 0; level < LEVELS; level++) {
        unsigned shift = LEVEL_BITS * level;
        uint64_t step = UINT64_C(1) << shift;
        uint64_t at = (w->tick + step - 1) >> shift; // the slot under the hand came down
        unsigned ahead = used_after(w->used[level], (unsigned)at & (SLOTS - 1));
        if (ahead < SLOTS && ((at + ahead) << shift) < best)
            best = (at + ahead) << shift;
    }
    return best;
}

// Moves what hangs in a slot to `out`, which is a list head without contents.
static void take_slot(tg_wheel *w, unsigned level, unsigned slot, tg_list *out)
{
    tg_list *head = &w->slots[level][slot];
    tg_list_init(out);
    if (tg_list_empty(head))
        return;
    *out = *head;
    out->next->prev = out->prev->next = out;
    tg_list_init(head);
    unmark(w, level, slot);
}

static void come_down(tg_wheel *w, unsigned level)
{
    tg_list list;
    take_slot(w, level, (unsigned)(w->tick >> (LEVEL_BITS * level)) & (SLOTS - 1), &list);
    while (!tg_list_empty(&list)) {
        tg_alarm *a = TG_OWNER(list.next, tg_alarm, node);
        tg_list_del(&a->node);
        place(w, a);
    }
}

// A callback may free its alarm and delete any other: so the next one is looked up afresh.
static void run_slot(tg_wheel *w)
{
    tg_list due;
    take_slot(w, 0, (unsigned)w->tick & (SLOTS - 1), &due);
    w->tick++; // what callbacks arm belongs to later ticks
    while (!tg_list_empty(&due)) {
        tg_alarm *a = TG_OWNER(due.next, tg_alarm, node);
        tg_list_del(&a->node);
        a->due = 0;
        a->fn(a);
    }
}

void tg_wheel_run(tg_wheel *w, uint64_t now)
{
    if (now > w->now)
        w->now = now;
    uint64_t last = (w->now - w->base) / TG_WHEEL_TICK_MS;
    for (uint64_t tick; (tick = next_tick(w)) <= last;) {
        w->tick = tick;
        for (unsigned level = LEVELS - 1; level > 0; level--)
            if ((tick & (SPAN(level - 1) - 1)) == 0)
                come_down(w, level);
        run_slot(w);
    }
    if (w->tick <= last)
        w->tick = last + 1;
}

uint64_t tg_wheel_now(const tg_wheel *w)
{
    return w->now;
}

uint64_t tg_wheel_wait(const tg_wheel *w)
{
    uint64_t tick = next_tick(w);
    if (tick == UINT64_MAX)
        return UINT64_MAX;
    uint64_t at = w->base + tick * TG_WHEEL_TICK_MS;
    return at > w->now ? at - w->now : 0;
}
