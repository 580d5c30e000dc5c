// SPDX-License-Identifier: Apache-2.0
/// What the files of this room share of listeners. Nobody else includes it.
#ifndef TG_NET_LISTENER_IMPL_H
#define TG_NET_LISTENER_IMPL_H

#include "base/log.h"
#include "base/map.h"
#include "net/conn_impl.h"
#include "net/listener.h"

#define TG_ADDR_SHARDS 16
#define TG_EVENTS_MAX 64 ///< names that a listener counts under
#define TG_CODES 32 ///< of TG_ERRORS, from 0 on

/// How many connections an address has. Only accepting and the end of a connection look
/// here.
typedef struct tg_addr_table {
    struct {
        pthread_mutex_t lock;
        tg_map map;
    } shard[TG_ADDR_SHARDS];
} tg_addr_table;

typedef struct tg_event_count {
    char name[40];
    int id;
} tg_event_count;

/// A listener's part on one worker.
typedef struct tg_acceptor {
    tg_origin origin; // of its connections; its first reference is the acceptor's own
    tg_worker *worker;
    tg_list node; // of the worker's `acceptors`
    tg_io io;
    tg_alarm alarm; // the end of a pause, or of draining
    int fd;
    uint32_t backoff_ms;
    uint32_t drains; // rounds that draining may still take
    bool draining, closed;
} tg_acceptor;

struct tg_listener {
    uint32_t magic;
    atomic_uint refs; // the owner's, and one of each acceptor
    tg_workers *all;
    tg_list node; // of the workers' `listeners`
    char *name;
    char address[64];
    void *arg;
    tg_tls *tls;
    int (*user_init)(tg_net_conn *c, void *user, void *arg);
    bool closing, udp;
    tg_addr where; // with the real port
    atomic_uint connections;
    atomic_uint_fast64_t
        accept_at; // when accept_rate is paid for, µs of the monotonic clock
    tg_addr_table *by_addr;
    pthread_mutex_t event_lock; // adding to `events`
    atomic_uint nevents;
    tg_event_count events[TG_EVENTS_MAX];
    tg_origin_metrics metrics;
    atomic_int closed_ids[TG_CODES]; // metric id + 1; 0: not asked for yet
    tg_acceptor *at[TG_WORKERS_MAX];
};

// accept.c
int tg_acceptor_start(tg_listener *l, tg_worker *w, int fd, const tg_net_events *events,
                      const tg_net_limits *limits);
void tg_acceptor_stop(tg_acceptor *a); ///< drains, then closes
void tg_acceptor_close(tg_acceptor *a); ///< at once
void tg_acceptors_stop(tg_worker *w);
void tg_acceptors_close(tg_worker *w);
void tg_listener_leave(tg_net_conn *c); ///< a connection ends
/// Counts one more. @return NULL, or the event to count its refusal under.
const char *tg_admit(tg_listener *l, const tg_net_limits *limits, const tg_addr *peer,
                     bool *by_addr);
void tg_unadmit(tg_listener *l, const tg_addr *peer, bool by_addr);
/// Counts and logs it.
void tg_acceptor_refused(tg_acceptor *a, const tg_addr *peer, const char *event);

// listener.c
void tg_listener_ref(tg_listener *l);
void tg_listener_unref(tg_listener *l);
void tg_listeners_free(tg_workers *ws);
void tg_listener_count_close(tg_listener *l, int reason);

// admit.c: process-wide limits of a listener.
/// @return 0 when one more may be accepted, else µs to wait.
uint64_t tg_admit_wait(tg_listener *l, uint32_t rate);
void tg_admit_refund(tg_listener *l, uint32_t rate); ///< nobody was there to accept
bool tg_admit_total(tg_listener *l, uint32_t most);
tg_addr_table *tg_addr_table_new(void);
void tg_addr_table_free(tg_addr_table *t);
/// @return 0, TG_E_LIMIT, TG_E_NOMEM.
int tg_addr_table_add(tg_addr_table *t, const tg_addr *a, uint32_t most);
void tg_addr_table_del(tg_addr_table *t, const tg_addr *a);
/// @return a device may have this descriptor; the reserve begins above.
bool tg_descriptor_free(int fd);

#endif
