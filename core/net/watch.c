// SPDX-License-Identifier: Apache-2.0
// Descriptors of client libraries on a worker's loop. The owner may close one at any time,
// in its own callback too: the memory goes at the turn's end.
#include <assert.h>
#include <stdlib.h>

#include "net/worker_impl.h"
#include "tidegate/runtime.h"

#define WATCH_MAGIC 0x3a7c4fdau

struct tg_watch {
    uint32_t magic;
    tg_io io;
    tg_worker *worker;
    tg_list node;
    void (*fn)(void *ctx, int events);
    void *ctx;
};

static tg_watch *check(tg_watch *p)
{
    assert(p != NULL && p->magic == WATCH_MAGIC);
    return p;
}

static void on_ready(tg_io *io, unsigned events)
{
    tg_watch *p = check(TG_OWNER(io, tg_watch, io));
    int ready = (events & TG_IO_READ ? TG_POLL_READ : 0) |
                (events & TG_IO_WRITE ? TG_POLL_WRITE : 0);
    p->fn(p->ctx, events == TG_IO_BROKEN ? TG_E_IO : ready);
}

int tg_watch_open(tg_worker *w, int fd, void (*fn)(void *ctx, int events), void *ctx,
                  tg_watch **out)
{
    assert(tg_worker_here() == w && fn != NULL);
    tg_watch *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return TG_E_NOMEM;
    tg_io_init(&p->io, fd, on_ready);
    int rc = tg_io_want(w, &p->io, TG_IO_READ); // whether it can be waited for at all
    tg_io_want(w, &p->io, 0);
    if (rc != 0) {
        free(p);
        return rc;
    }
    p->magic = WATCH_MAGIC;
    p->worker = w;
    p->fn = fn;
    p->ctx = ctx;
    tg_list_add(&w->watches, &p->node);
    *out = p;
    return 0;
}

int tg_watch_set(tg_watch *p, int events)
{
    assert((events & ~(TG_POLL_READ | TG_POLL_WRITE)) == 0);
    unsigned want = (events & TG_POLL_READ ? TG_IO_READ : 0u) |
                    (events & TG_POLL_WRITE ? TG_IO_WRITE : 0u);
    return tg_io_want(check(p)->worker, &p->io, want);
}

static void on_closed(tg_io *io)
{
    tg_watch *p = TG_OWNER(io, tg_watch, io);
    p->magic = 0;
    free(p);
}

void tg_watch_close(tg_watch *p)
{
    if (p == NULL)
        return;
    tg_list_del(&check(p)->node);
    tg_io_close(p->worker, &p->io, on_closed);
}

void tg_watches_close(tg_worker *w)
{
    while (!tg_list_empty(&w->watches))
        tg_watch_close(TG_OWNER(w->watches.next, tg_watch, node));
}
