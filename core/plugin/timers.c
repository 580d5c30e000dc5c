// SPDX-License-Identifier: Apache-2.0
// Timers of plugins, on the worker's wheel. They belong to the version that started them.
#include <stdlib.h>

#include "plugin/line.h"

#define TIMER_MAGIC 0x713e4000u

typedef struct timer {
    uint32_t magic;
    uint32_t repeat_ms;
    tg_alarm alarm;
    tg_list node; // in part.timers
    tg_version *self;
    uint64_t handle;
    void (*fn)(void *ctx);
    void *ctx;
} timer;

static void timer_free(tg_local *here, timer *t)
{
    tg_wheel_del(here->wheel, &t->alarm);
    tg_slots_del(&here->timers, t->handle);
    tg_list_del(&t->node);
    t->magic = 0;
    free(t);
}

// The callback may stop its own timer: what is needed afterwards is copied first.
static void on_alarm(tg_alarm *a)
{
    timer *t = TG_OWNER(a, timer, alarm);
    tg_local *here = tg_here();
    tg_version *v = t->self;
    void (*fn)(void *ctx) = t->fn;
    void *ctx = t->ctx;
    if (t->repeat_ms > 0)
        tg_wheel_add(here->wheel, &t->alarm, t->repeat_ms, on_alarm);
    else
        timer_free(here, t);
    tg_call_begin(v, "timer");
    fn(ctx);
    tg_call_end();
}

static int start(uint32_t ms, uint32_t repeat_ms, void (*fn)(void *ctx), void *ctx,
                 tg_timer *out)
{
    tg_local *here = tg_here();
    tg_version *v = tg_current();
    if (here == NULL)
        return TG_E_THREAD;
    if (v == NULL || fn == NULL)
        return TG_E_INVAL;
    timer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return TG_E_NOMEM;
    t->magic = TIMER_MAGIC;
    t->repeat_ms = repeat_ms;
    t->self = v;
    t->fn = fn;
    t->ctx = ctx;
    t->handle = tg_slots_add(&here->timers, t);
    if (t->handle == 0) {
        free(t);
        return TG_E_NOMEM;
    }
    tg_list_add(&tg_part_here(v)->timers, &t->node);
    tg_wheel_add(here->wheel, &t->alarm, ms, on_alarm);
    if (out != NULL)
        out->id = t->handle;
    return 0;
}

static int stop(tg_timer handle)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    timer *t = tg_slots_find(&here->timers, handle.id);
    if (t == NULL)
        return TG_E_CLOSED;
    timer_free(here, t);
    return 0;
}

static uint64_t now(void)
{
    const tg_local *here = tg_here();
    return here != NULL ? tg_worker_now(here->worker) : uv_hrtime() / 1000000;
}

void tg_timers_end(tg_version *v, tg_local *here)
{
    tg_list *list = &v->part[here->index].timers;
    for (tg_list *n = list->next, *next; n != list; n = next) {
        next = n->next;
        timer_free(here, TG_OWNER(n, timer, node));
    }
}

const tg_timer_api tg_timer_table = {
    .size = sizeof(tg_timer_api),
    .start = start,
    .stop = stop,
    .now = now,
    .clock = tg_clock_ms,
};
