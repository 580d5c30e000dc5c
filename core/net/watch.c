// SPDX-License-Identifier: Apache-2.0
// Descriptors of client libraries on a worker's loop. The owner may close one at any time,
// in its own callback too; libuv keeps the memory until its close callback.
#include <assert.h>
#include <stdlib.h>

#include "net/worker_impl.h"
#include "tidegate/runtime.h"

#define WATCH_MAGIC 0x3a7c4fdau

struct tg_watch {
    uint32_t magic;
    uv_poll_t poll;
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

int tg_watch_open(tg_worker *w, int fd, void (*fn)(void *ctx, int events), void *ctx,
                  tg_watch **out)
{
    assert(tg_worker_here() == w && fn != NULL);
    tg_watch *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return TG_E_NOMEM;
    int rc = uv_poll_init(&w->loop, &p->poll, fd);
    if (rc != 0) {
        free(p);
        return rc == UV_EEXIST ? TG_E_EXISTS : rc == UV_ENOMEM ? TG_E_NOMEM : TG_E_INVAL;
    }
    p->magic = WATCH_MAGIC;
    p->poll.data = p;
    p->worker = w;
    p->fn = fn;
    p->ctx = ctx;
    tg_list_add(&w->watches, &p->node);
    *out = p;
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    tg_watch *p = check(poll->data);
    tg_worker_enter(p->worker);
    int ready = (events & UV_READABLE ? TG_POLL_READ : 0) |
                (events & UV_WRITABLE ? TG_POLL_WRITE : 0);
    p->fn(p->ctx, status < 0 ? TG_E_IO : ready);
}

int tg_watch_set(tg_watch *p, int events)
{
    assert((events & ~(TG_POLL_READ | TG_POLL_WRITE)) == 0);
    int want = (events & TG_POLL_READ ? UV_READABLE : 0) |
               (events & TG_POLL_WRITE ? UV_WRITABLE : 0);
    if (want == 0)
        uv_poll_stop(&check(p)->poll);
    else
        uv_poll_start(&check(p)->poll, want, on_ready);
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    tg_watch *p = h->data;
    p->magic = 0;
    free(p);
}

void tg_watch_close(tg_watch *p)
{
    if (p == NULL)
        return;
    tg_list_del(&check(p)->node);
    uv_close((uv_handle_t *)&p->poll, on_closed);
}

void tg_watches_close(tg_worker *w)
{
    while (!tg_list_empty(&w->watches))
        tg_watch_close(TG_OWNER(w->watches.next, tg_watch, node));
}
