// SPDX-License-Identifier: Apache-2.0
/// Workers: a thread with an epoll set, a mailbox, a timer wheel and everything of its
/// connections. Rooms above hang their own state on a worker in numbered places.
#ifndef TG_NET_WORKER_H
#define TG_NET_WORKER_H

#include <uv.h>

#include "base/error.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/slots.h"
#include "base/wheel.h"

#define TG_WORKERS_MAX 64

/// Whose state hangs where.
typedef enum tg_place {
    TG_PLACE_HUB,
    TG_PLACE_PLUGIN,
    TG_PLACE_LUA,
    TG_PLACE_COUNT
} tg_place;

typedef struct tg_worker tg_worker;
typedef struct tg_workers tg_workers; ///< all of a process

/// Called on the worker's thread after each loop turn's reads, before writes leave: where the
/// hub sends its grouped mails.
typedef void tg_turn_fn(tg_worker *w, void *ctx);

/// @param count 1..TG_WORKERS_MAX. The threads start in tg_workers_start().
int tg_workers_new(uint32_t count, size_t mailbox_bytes, tg_workers **out, tg_error *e);
int tg_workers_start(tg_workers *ws, tg_error *e);
/// Any thread. Asks every worker to end when its connections are gone or `deadline_ms` passed.
void tg_workers_stop(tg_workers *ws, uint32_t deadline_ms);
void tg_workers_join(tg_workers *ws);
void tg_workers_free(tg_workers *ws);

uint32_t tg_workers_count(const tg_workers *ws);
tg_worker *tg_workers_at(tg_workers *ws, uint32_t index);

/// The worker that the calling thread is; NULL on any other thread.
tg_worker *tg_worker_here(void);
uint32_t tg_worker_index(const tg_worker *w);
tg_workers *tg_worker_all(const tg_worker *w);
tg_wheel *tg_worker_wheel(tg_worker *w);
tg_mailbox *tg_worker_mailbox(tg_worker *w);
uint64_t tg_worker_now(const tg_worker *w); ///< loop time, ms
/// Clock of the thread's CPU time, for the watchdog; any thread.
clockid_t tg_worker_cpu_clock(const tg_worker *w);
pthread_t tg_worker_thread(const tg_worker *w);

void tg_worker_set(tg_worker *w, tg_place place, void *state);
void *tg_worker_get(const tg_worker *w, tg_place place);
/// Of the worker that the calling thread is; NULL on any other thread.
void *tg_worker_get_here(tg_place place);
/// Before tg_workers_start().
void tg_workers_on_turn(tg_workers *ws, tg_turn_fn *fn, void *ctx);

/// Any thread: runs `fn(ctx)` on the worker, in the control lane. Allocates the mail.
/// @return 0, TG_E_NOMEM.
int tg_worker_run(tg_worker *w, void (*fn)(void *ctx), void *ctx);
/// Any thread but a worker: runs `fn(worker, ctx)` on every worker and waits for all.
/// @return the first non-zero result, by worker index.
int tg_workers_call(tg_workers *ws, int (*fn)(tg_worker *w, void *ctx), void *ctx);

/// The control thread's mailbox: the thread that owns plugins, config and signals. Its loop is
/// the process's main loop. Any thread may send.
int tg_control_run(tg_workers *ws, void (*fn)(void *ctx), void *ctx);
/// Runs the control loop on the calling thread until tg_control_stop().
void tg_control_loop(tg_workers *ws);
void tg_control_stop(tg_workers *ws);
uv_loop_t *tg_control_uv(tg_workers *ws);

/// Blocking work. Any worker. `after` runs on the calling worker. @return TG_E_FULL.
int tg_pool_submit(tg_worker *w, void (*run)(void *ctx), void (*after)(void *ctx, int code),
                   void *ctx);

/// A descriptor on this worker's loop.
typedef struct tg_watch tg_watch;
int tg_watch_open(tg_worker *w, int fd, void (*fn)(void *ctx, int events), void *ctx,
                  tg_watch **out);
int tg_watch_set(tg_watch *p, int events); ///< TG_POLL_*; 0 pauses
void tg_watch_close(tg_watch *p);

#endif
