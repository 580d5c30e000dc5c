// SPDX-License-Identifier: Apache-2.0
/// What the files of this room share. A run has peers (one client each), flows (one
/// publisher's numbered messages) and crews (one thread with the peers it serves). A peer and
/// its flow belong to one crew; what crews tell each other are counters.
#ifndef TG_LOAD_ENGINE_H
#define TG_LOAD_ENGINE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/value.h"
#include "load/load.h"
#include "load/machine.h"
#include "load/wire.h"

typedef struct tg_crew tg_crew;
typedef struct tg_peer tg_peer;
typedef struct tg_flow tg_flow;

enum { TG_HELD_WORDS = 65536 / 64, TG_TOPIC_MAX = 320 };
enum { TG_OUT_MAX = 65536, TG_IN_SIZE = 262144, TG_IN_MAX = TG_LOAD_PAYLOAD_MAX + 262144 };
#define TG_SETTLE_NS UINT64_C(100000000) // what comes twice has this long to show up

typedef struct tg_stamp { // the head of every payload
    uint64_t sent_ns;
    uint32_t stream; // xor the run's tag, which tells other runs' messages
    uint32_t number;
} tg_stamp;

/// One QoS of the mix. Order holds within a QoS, so each flow numbers its levels apart: a
/// stream is one level of one flow.
typedef struct tg_level {
    unsigned qos;
    uint32_t share;
    bool counted; // its deliveries are waited for
} tg_level;

/// A QoS 1 or 2 message that a peer which may leave has to send again.
typedef struct tg_pending {
    uint64_t sent_ns;
    uint32_t number;
    uint16_t id;
    uint8_t level;
    bool released; // PUBREC came
} tg_pending;

struct tg_flow {
    tg_peer *pub;
    uint32_t index;
    uint64_t quota, sent;
    uint64_t counted; // sent, and its deliveries waited for
    uint64_t credit; // paced: messages that are due
    uint32_t numbers[3]; // the next one of each level
    int64_t turn[3]; // whose turn it is among the levels
    atomic_uint_fast64_t got; // counted deliveries seen, by any crew
    bool queued; // on its crew's list of flows that may go on
};

typedef struct tg_track { // of one stream at one subscriber
    uint32_t next;
    uint64_t recent; // which of the 64 before `next` came
} tg_track;

/// What a subscriber expects, and what it got.
typedef struct tg_inbox {
    uint32_t first, count; // its streams
    uint32_t start, stride; // numbers of a stream that are for it
    tg_track *tracks;
    uint8_t *seen; // retained messages, which come in no order: by number
    uint64_t *held; // QoS 2: ids between PUBREC and PUBREL, of a session that is resumed
    struct tg_ring *ring; // what the members of its group got
} tg_inbox;

/// The last messages that anyone of a group got, by stream and number. A flow's window bounds
/// how far behind one can be, so a slot is written anew long after its message came.
typedef struct tg_ring {
    uint32_t size; // a power of two
    _Atomic uint32_t at[]; // [stream][number % size]: number + 1
} tg_ring;

typedef enum tg_peer_state {
    TG_PEER_CLOSED,
    TG_PEER_CONNECTING,
    TG_PEER_HANDSHAKE,
    TG_PEER_GREETING, // CONNECT is out
    TG_PEER_READY,
} tg_peer_state;

struct tg_peer {
    int fd;
    uint32_t index;
    uint8_t state; // tg_peer_state
    bool blocked; // waits until it may write
    bool known; // was let in before: the server has its session
    uint16_t next_id, receive_max;
    uint32_t unacked; // own publishes
    uint32_t subacks; // still due
    struct ssl_st *ssl;
    tg_flow *flow; // publishers
    tg_inbox *inbox; // subscribers
    tg_pending *pending; // `churn`
    uint32_t npending;
    uint64_t began; // connecting; asking for retained messages
    uint64_t due; // `churn`: when it leaves or comes back
    tg_buf in, out;
};

typedef struct tg_run tg_run;

typedef enum tg_phase {
    TG_PHASE_NONE,
    TG_PHASE_CONNECT,
    TG_PHASE_PREPARE, // subscribe; publish what is retained
    TG_PHASE_RUN,
    TG_PHASE_CLEAN,
    TG_PHASE_OVER,
} tg_phase;

struct tg_crew {
    tg_run *run;
    const tg_load_options *o;
    int ep;
    pthread_t thread;
    struct ssl_ctx_st *tls;
    struct ssl_session_st *ticket;
    tg_peer **peers;
    tg_flow **flows, **ready; // its own; those that may go on
    uint32_t npeers, nflows, nready;
    uint64_t now, last; // of the read under way; of the last delivery or connection
    // Progress, written here and read by the thread that waits for the end.
    atomic_uint_fast64_t connected, returned, failed, open; // peers
    atomic_uint_fast64_t subscribed, sent, counted, asked, acked; // answers asked and had
    atomic_uint_fast64_t received, fresh; // fresh: counted, and for the first time
    uint64_t doubled, repeated, reordered, strange, resumed, tls_resumed, left, cut;
    uint64_t late; // QoS 0 that came although its subscriber may be away
    uint64_t began; // the thread
    uint64_t start, paced; // when sending began, and how many messages have been due since
    uint64_t pinged, looked;
    uint32_t cursor; // the flow that gets the next message
    uint64_t quota; // of all its flows; UINT64_MAX: no end
    double rate; // messages a second of all its flows
    bool sending, clear; // `clear`: retained messages are taken back
    bool clean; // sessions end with the connection
    tg_load_errors errors;
    tg_hist latency, connect;
    char *buf, *payload;
};

struct tg_run {
    tg_load_options o;
    tg_target to;
    tg_level levels[3];
    unsigned nlevels, sub_qos;
    uint32_t npubs, nsubs, npeers, copies, tag;
    char head[256], tail[256]; // of topics, around the number
    char id[64]; // what client ids begin with
    tg_crew *crews;
    tg_peer *peers; // publishers first
    tg_flow *flows;
    tg_inbox *inboxes;
    tg_ring **rings; // `shared`: one a group
    tg_arena arena; // all of these
    pthread_mutex_t lock; // of the three below
    pthread_cond_t opened;
    tg_phase phase;
    unsigned waiting; // crews that are through with it
    unsigned started; // crews
    atomic_bool hold; // nothing more is sent
    atomic_bool stop;
    bool interrupted;
    sigset_t signals; // that end a run early
};

static inline void tg_tally(atomic_uint_fast64_t *n, uint64_t by) // one writer
{
    uint64_t was = atomic_load_explicit(n, memory_order_relaxed);
    atomic_store_explicit(n, was + by, memory_order_relaxed);
}

static inline uint64_t tg_peek(const atomic_uint_fast64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

// errors.c
TG_PRINTF(2, 3) void tg_crew_error(tg_crew *c, const char *fmt, ...);
void tg_load_errors_add(tg_load_errors *e, const char *text, uint64_t n);
/// What a CONNACK, SUBACK, PUBACK or DISCONNECT means, in words.
const char *tg_reason_text(unsigned version, unsigned code);

// tls.c: the same three calls for plain and TLS peers. -EAGAIN: later; 0: the other side ended.
int tg_tls_open(tg_crew *c, tg_error *e);
void tg_tls_close(tg_crew *c);
int tg_tls_begin(tg_crew *c, tg_peer *p);
/// @return 1: done; -EAGAIN, with `*write` when it waits to write; -EPROTO after counting why.
int tg_tls_handshake(tg_crew *c, tg_peer *p, bool *write);
ssize_t tg_peer_read(tg_peer *p, void *to, size_t n);
ssize_t tg_peer_write(tg_peer *p, const void *from, size_t n);

// peer.c
void tg_peer_open(tg_crew *c, tg_peer *p);
void tg_peer_flush(tg_crew *c, tg_peer *p);
void tg_peer_event(tg_crew *c, tg_peer *p, uint32_t events);
void tg_peer_close(tg_crew *c, tg_peer *p);
void tg_peer_subscribe(tg_crew *c, tg_peer *p, tg_slice filter);
uint16_t tg_peer_next_id(tg_peer *p);

// packet.c. @return false: the peer was closed.
bool tg_packet_take(tg_crew *c, tg_peer *p, const tg_wire_packet *packet);

// inbox.c. @return whether it came for the first time.
bool tg_inbox_take(tg_crew *c, tg_inbox *in, const tg_stamp *s, bool again);
bool tg_inbox_holds(const tg_inbox *in,
                    unsigned id); ///< a QoS 2 id that is not released yet
void tg_inbox_hold(tg_inbox *in, unsigned id, bool held);
void tg_inbox_forget(tg_inbox *in); ///< the server has lost the session

// flow.c
void tg_flow_ready(tg_crew *c, tg_flow *f); ///< it may go on at the turn's end
void tg_flows_start(tg_crew *c);
void tg_flows_go_on(tg_crew *c);
/// @return ns until a paced message is due; UINT64_MAX: none will be.
uint64_t tg_flows_due(tg_crew *c);
void tg_flow_acked(tg_crew *c, tg_peer *p, unsigned id);
void tg_flow_released(tg_peer *p, unsigned id); ///< PUBREC came
void tg_flow_resume(tg_crew *c, tg_peer *p,
                    bool session); ///< what is pending goes out again

// cast.c
int tg_cast_open(tg_run *r, tg_error *e); ///< @owner the run's arena keeps what it makes
void tg_cast_subscribe(tg_crew *c, tg_peer *p);
tg_slice tg_cast_topic(const tg_run *r, const tg_flow *f, uint32_t number, char *text);

// churn.c
uint64_t tg_churn_next(uint64_t mean_ms); ///< a random time from now
void tg_churn_turn(tg_crew *c);

// crew.c: what a thread does in each phase of a run.
int tg_crew_open(tg_run *r, tg_crew *c, unsigned n, tg_error *e);
void tg_crew_close(tg_crew *c);
void *tg_crew_main(void *arg);

// run.c
/// Waits for the phase behind `done`. @return it
tg_phase tg_gate_pass(tg_run *r, tg_phase done);

#endif
