// SPDX-License-Identifier: Apache-2.0
// What a worker waits for: one epoll set, whose entries are connections by their address and
// everything else by a tg_io. A connection spends no handle on it, which would be a third of
// what it costs when idle. libuv's loop, for lookups, is one entry among the others.
//
// Nothing that is in the set is freed while a batch of events is gone through: connections go
// in the turn's last step, a tg_io when its `done` is called from there.
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/conn_impl.h"

#define BATCH 256
#define IS_IO 1u // lowest bit of an entry that is no connection

static int set(const tg_worker *w, int fd, uint64_t who, unsigned before, unsigned want)
{
    struct epoll_event e = {.data.u64 = who};
    e.events |= want & TG_IO_READ ? (uint32_t)EPOLLIN : 0;
    e.events |= want & TG_IO_WRITE ? (uint32_t)EPOLLOUT : 0;
    int op = before == 0 ? EPOLL_CTL_ADD : want == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(w->epoll, op, fd, &e) == 0)
        return 0;
    return errno == ENOMEM || errno == ENOSPC ? TG_E_NOMEM
           : errno == EEXIST                  ? TG_E_EXISTS
                                              : TG_E_INVAL;
}

int tg_io_conn(tg_net_conn *c, unsigned want)
{
    if (want == c->mask)
        return 0;
    int rc = set(c->origin->worker, c->fd, (uintptr_t)c, c->mask, want);
    c->mask = (uint8_t)(rc == 0 ? want : 0);
    return rc;
}

void tg_io_init(tg_io *io, int fd, tg_io_fn *fn)
{
    *io = (tg_io){.fn = fn, .fd = fd};
}

int tg_io_want(tg_worker *w, tg_io *io, unsigned want)
{
    if (want == io->mask)
        return 0;
    int rc = set(w, io->fd, (uintptr_t)io | IS_IO, io->mask, want);
    io->mask = rc == 0 ? want : 0;
    return rc;
}

void tg_io_close(tg_worker *w, tg_io *io, void (*done)(tg_io *io))
{
    tg_io_want(w, io, 0);
    io->fn = NULL;
    io->done = done;
    io->next = w->closed;
    w->closed = io;
}

bool tg_io_done(tg_worker *w)
{
    bool any = w->closed != NULL;
    for (tg_io *io; (io = w->closed) != NULL;) {
        w->closed = io->next;
        io->done(io);
    }
    return any;
}

static unsigned events_of(uint32_t events, unsigned mask)
{
    if (events & EPOLLERR)
        return TG_IO_BROKEN;
    unsigned got = events & EPOLLIN ? TG_IO_READ : 0;
    got |= events & EPOLLOUT ? TG_IO_WRITE : 0;
    if (events & EPOLLHUP)
        got |= TG_IO_READ | TG_IO_WRITE;
    return got & mask;
}

// An earlier event of the batch may have closed it, or made it want nothing.
static void dispatch(tg_worker *w, const struct epoll_event *e)
{
    if ((e->data.u64 & IS_IO) == 0) {
        tg_net_conn *c = (tg_net_conn *)(uintptr_t)e->data.u64;
        if (c->mask != 0)
            tg_conn_ready(c, events_of(e->events, c->mask));
        return;
    }
    tg_io *io = (tg_io *)(uintptr_t)(e->data.u64 - IS_IO);
    if (io->fn == NULL || io->mask == 0)
        return;
    unsigned events = events_of(e->events, io->mask);
    if (events == TG_IO_BROKEN)
        tg_io_want(w, io, 0);
    io->fn(io, events);
}

void tg_io_wait(tg_worker *w, int ms)
{
    struct epoll_event e[BATCH];
    int n = epoll_wait(w->epoll, e, BATCH, ms);
    uv_update_time(&w->loop);
    tg_worker_enter(w);
    for (int i = 0; i < n; i++)
        dispatch(w, &e[i]);
}

// Mails. The bell is edge-triggered: it is never read, so a wake-up costs its sender one
// system call and its receiver none.

void tg_io_ring(tg_worker *w)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(w->bell.fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

static int add_bell(tg_worker *w)
{
    struct epoll_event e = {.events = (uint32_t)(EPOLLIN | EPOLLET),
                            .data.u64 = (uintptr_t)&w->bell | IS_IO};
    w->bell.mask = TG_IO_READ;
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->bell.fd, &e);
}

static void on_uv(tg_io *io, unsigned events)
{
    (void)io; // the turn runs libuv's loop while that has something to do
    (void)events;
}

int tg_io_open(tg_worker *w, tg_io_fn *on_bell)
{
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    tg_io_init(&w->bell, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_bell);
    tg_io_init(&w->uv, uv_backend_fd(&w->loop), on_uv);
    if (w->epoll >= 0 && w->bell.fd >= 0 && add_bell(w) == 0 &&
        tg_io_want(w, &w->uv, TG_IO_READ) == 0)
        return 0;
    tg_io_end(w);
    return TG_E_IO;
}

void tg_io_end(tg_worker *w)
{
    if (w->bell.fd >= 0)
        close(w->bell.fd);
    if (w->epoll >= 0)
        close(w->epoll);
}
