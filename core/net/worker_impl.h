// SPDX-License-Identifier: Apache-2.0
/// What the files of this room share of workers. Nobody else includes it.
#ifndef TG_NET_WORKER_IMPL_H
#define TG_NET_WORKER_IMPL_H

#include <openssl/bio.h>

#include "base/buf.h"
#include "net/worker.h"

#define TG_TURN_FNS 4
#define TG_READ_MAX (64 * 1024) ///< bytes of one read
#define TG_READ_HEAD (4 * 1024) ///< free in front of them: where kept bytes are put

/// What a TLS record may add to a read: the rest of one that OpenSSL held back.
#define TG_PLAIN_MAX (TG_READ_MAX + 32 * 1024)

typedef struct tg_out tg_out;
typedef struct tg_block tg_block;
typedef struct tg_pool tg_pool;

/// Counters of a process; ids of base/metric.h.
typedef struct tg_net_metrics {
    int bytes_in, bytes_out, writes, fd_pauses, connections;
    int dials_open, dials_failed, dials_retried;
} tg_net_metrics;

enum { // what a descriptor is waited for, and what came
    TG_IO_READ = 1 << 0,
    TG_IO_WRITE = 1 << 1,
    TG_IO_BROKEN = 1 << 2, ///< comes alone; it is not waited for any more
};

/// A descriptor that a worker waits for; lives in its owner.
typedef struct tg_io tg_io;
typedef void tg_io_fn(tg_io *io, unsigned events);
struct tg_io {
    tg_io_fn *fn; // NULL: closed
    void (*done)(tg_io *io);
    tg_io *next; // of the worker's `closed`
    int fd;
    unsigned mask;
};

#define TG_DIAL_TLS 8

typedef struct tg_dial_tls_kept { // of dial_tls.c
    uint64_t read_at;
    struct tg_tls *tls; // NULL: a free place
    tg_buf key;
} tg_dial_tls_kept;

struct tg_worker {
    uint32_t magic, index;
    tg_workers *all;
    pthread_t thread;
    int epoll;
    tg_io bell; // a mail has come
    tg_io uv; // `loop` has something to do
    tg_io *closed; // their owners hear of it at the turn's end
    uv_loop_t loop; // the clock, and lookups
    bool hurry; // there is something to do without waiting
    tg_mailbox *mailbox;
    tg_wheel *wheel;
    uint64_t seen; // loop time that the wheel has been moved to
    bool in_wheel; // alarms are running: the wheel must not be moved
    bool more_mail; // the last drain left something
    bool called; // code of the rooms above has run since the turn's callbacks
    bool stopping, ended;
    tg_alarm deadline;
    void *place[TG_PLACE_COUNT];

    tg_list conns, acceptors, watches;
    struct tg_net_conn *todo, **todo_end; // connections that the turn's end has to see to
    uint32_t nconns;

    const struct tg_net_conn *peer_of; // whose address `peer_text` is
    char peer_text[64];
    tg_dial_tls_kept dial_tls[TG_DIAL_TLS];
    char *in; // TG_READ_HEAD + TG_READ_MAX
    char *datagrams; // once there were any: udp.c
    char *plain; // TG_READ_HEAD + TG_PLAIN_MAX, once there was TLS
    tg_buf cipher; // what OpenSSL has written since it was last sent
    BIO_METHOD *bio_method; // of the next
    BIO *bio; // all TLS sessions read and write through it
    tg_out *outs; // free lists of conn_write.c
    tg_block *blocks;
    uint32_t nouts, nblocks;
    uint64_t bytes_in, bytes_out, writes; // since the last turn's end
};

struct tg_workers {
    uint32_t magic, count;
    struct {
        tg_turn_fn *fn;
        void *ctx;
    } turns[TG_TURN_FNS];
    uint32_t nturns;
    pthread_mutex_t lock; // guards `running`
    pthread_mutex_t stand_in; // one thread at a time is a worker without a thread
    bool started, joined;
    pthread_t threads[TG_WORKERS_MAX]; // to join
    uv_loop_t control;
    uv_async_t control_bell;
    tg_mailbox *control_box;
    atomic_bool control_stop;
    tg_pool *pool;
    tg_net_metrics metrics;
    atomic_uint_fast64_t fds_said_at; // when the next line about descriptors may be written
    tg_list listeners; // of the control thread
    bool running[TG_WORKERS_MAX]; // its thread will still drain what is sent; under `lock`
    tg_worker at[];
};

/// A turn's last step: the rooms' callbacks, then what connections have to do.
void tg_worker_finish(tg_worker *w);
/// Moves the wheel to the loop's time without running an alarm, so that what is armed next
/// counts from now and not from the wheel's last run. Called where events enter this room.
void tg_worker_enter(tg_worker *w);
static inline uint32_t tg_worker_ms(const tg_worker *w) ///< wraps; compare by difference
{
    return (uint32_t)uv_now(&w->loop);
}

// io.c
int tg_io_open(tg_worker *w, tg_io_fn *on_bell);
void tg_io_end(tg_worker *w);
/// Waits at most `ms`, for ever below 0, and calls whose descriptors are ready.
void tg_io_wait(tg_worker *w, int ms);
void tg_io_ring(tg_worker *w); ///< any thread
void tg_io_init(tg_io *io, int fd, tg_io_fn *fn);
/// @param want TG_IO_*, 0 rests. @return 0, TG_E_NOMEM, TG_E_EXISTS, TG_E_INVAL: not waited for.
int tg_io_want(tg_worker *w, tg_io *io, unsigned want);
/// The descriptor stays open; `done` may free the owner.
void tg_io_close(tg_worker *w, tg_io *io, void (*done)(tg_io *io));
bool tg_io_done(tg_worker *w); ///< calls `done` of all that were closed

int tg_worker_init(tg_worker *w, tg_workers *all, uint32_t index, size_t mailbox_bytes);
void tg_worker_main(tg_worker *w);
void tg_worker_stop(tg_worker *w, uint32_t deadline_ms); ///< on the worker
void tg_worker_free(tg_worker *w);
/// The calling thread stands in for the worker, which has no thread now. NULL ends it.
void tg_worker_stand_in(tg_worker *w);

int tg_control_init(tg_workers *ws);
void tg_control_free(tg_workers *ws);

int tg_pool_new(tg_pool **out);
void tg_pool_stop(tg_pool *p); ///< waits for what runs; what waits comes back as CANCELLED
void tg_pool_free(tg_pool *p);

void tg_watches_close(tg_worker *w);

#endif
