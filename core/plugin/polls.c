// SPDX-License-Identifier: Apache-2.0
// Descriptors of client libraries on the worker's loop. They belong to the version that opened
// them; the descriptor itself stays the library's.
#include <stdlib.h>

#include "plugin/line.h"

typedef struct poll_watch {
    tg_list node; // in part.polls
    tg_version *self;
    tg_watch *watch;
    uint64_t handle;
    void (*fn)(void *ctx, int events);
    void *ctx;
} poll_watch;

static void on_events(void *ctx, int events)
{
    poll_watch *p = ctx; // its fn may close it: not touched afterwards
    tg_call_begin(p->self, "poll");
    p->fn(p->ctx, events);
    tg_call_end();
}

static void poll_free(tg_local *here, poll_watch *p)
{
    if (p->watch != NULL)
        tg_watch_close(p->watch);
    tg_slots_del(&here->polls, p->handle);
    tg_list_del(&p->node);
    free(p);
}

static int begin(tg_local *here, poll_watch *p, int fd, int events)
{
    p->handle = tg_slots_add(&here->polls, p);
    if (p->handle == 0)
        return TG_E_NOMEM;
    int rc = tg_watch_open(here->worker, fd, on_events, p, &p->watch);
    return rc == 0 ? tg_watch_set(p->watch, events) : rc;
}

static int open_watch(int fd, int events, void (*fn)(void *ctx, int events), void *ctx,
                      tg_poll *out)
{
    tg_local *here = tg_here();
    tg_version *v = tg_current();
    if (here == NULL)
        return TG_E_THREAD;
    if (v == NULL || fn == NULL || fd < 0)
        return TG_E_INVAL;
    poll_watch *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return TG_E_NOMEM;
    p->self = v;
    p->fn = fn;
    p->ctx = ctx;
    tg_list_add(&tg_part_here(v)->polls, &p->node);
    int rc = begin(here, p, fd, events);
    if (rc < 0) {
        poll_free(here, p);
        return rc;
    }
    out->id = p->handle;
    return 0;
}

static int set(tg_poll handle, int events)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    poll_watch *p = tg_slots_find(&here->polls, handle.id);
    return p != NULL ? tg_watch_set(p->watch, events) : TG_E_CLOSED;
}

static int close_watch(tg_poll handle)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    poll_watch *p = tg_slots_find(&here->polls, handle.id);
    if (p == NULL)
        return TG_E_CLOSED;
    poll_free(here, p);
    return 0;
}

void tg_polls_end(tg_version *v, tg_local *here)
{
    tg_list *list = &v->part[here->index].polls;
    for (tg_list *n = list->next, *next; n != list; n = next) {
        next = n->next;
        poll_free(here, TG_OWNER(n, poll_watch, node));
    }
}

const tg_poll_api tg_poll_table = {
    .size = sizeof(tg_poll_api),
    .open = open_watch,
    .set = set,
    .close = close_watch,
};
