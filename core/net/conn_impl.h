// SPDX-License-Identifier: Apache-2.0
/// What the files of this room share of connections. Nobody else includes it.
#ifndef TG_NET_CONN_IMPL_H
#define TG_NET_CONN_IMPL_H

#include <assert.h>

#include "base/log.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/worker_impl.h"

#define TG_CONN_MAGIC 0x3ac0414eu
#define TG_LOGS_A_MINUTE 10 ///< about the peers of one origin
#define TG_LINGER_MS                                                                       \
    5000 ///< for a peer that does not answer our FIN, or takes no last bytes
#define TG_WRITE_MAX (1024 * 1024) ///< the default of tg_net_limits.write_max

typedef struct tg_listener tg_listener;
typedef struct tg_dialing tg_dialing;
typedef struct tg_secure tg_secure;
typedef struct tg_port tg_port;
typedef struct tg_peer tg_peer;

/// Counters of a listener's connections.
typedef struct tg_origin_metrics {
    int connections, bytes_in, bytes_out;
} tg_origin_metrics;

/// What connections of one listener on one worker, or of one dial, have in common.
typedef struct tg_origin {
    uint32_t refs; // of one worker
    tg_net_events events;
    tg_net_limits limits;
    tg_tls *tls; // NULL: plain
    tg_listener *listener; // NULL: dialed
    const tg_origin_metrics *metrics; // NULL: dialed
    tg_port *port; // a listener's datagrams; NULL: a stream, or dialed
    bool datagrams; // dialed: each send and each read is one
    void (*gone)(struct tg_origin *o); // frees it
    tg_worker *worker;
    tg_log_gate gate; // of lines about its peers
} tg_origin;

typedef enum tg_conn_state {
    TG_ST_IDLE, // nothing is under way: new, or a dial's pause
    TG_ST_RESOLVE, // a dial looks its host up
    TG_ST_CONNECT, // a dial waits for its peer
    TG_ST_HANDSHAKE, // TLS
    TG_ST_OPEN,
    TG_ST_DRAIN, // closing: what is queued leaves, what comes is read away
    TG_ST_LINGER, // closing: our FIN is out, the peer's is waited for
    TG_ST_DEAD, // the socket is closed
    TG_ST_COUNT
} tg_conn_state;

enum { // what a turn's end has to do
    TG_TODO_FLUSH = 1 << 0,
    TG_TODO_SHOW = 1 << 1, // kept bytes to on_data
    TG_TODO_TELL = 1 << 2, // on_close
    TG_TODO_REAP = 1 << 3,
    TG_TODO_NEXT = 1 << 4, // a dial: the next address
};

typedef struct tg_rate { // token buckets; exists where a limit does
    int64_t bytes, messages; // in thousandths; below 0: read on when it is paid back
    uint32_t at; // of the last refill, ms
} tg_rate;

/// What a connection has besides when it is dialed, over TLS or UDP, or held to a rate.
typedef struct tg_conn_more {
    tg_secure *secure;
    tg_dialing *dial; // until it is open
    tg_rate *rate;
    tg_peer *udp; // NULL: a stream
} tg_conn_more;

typedef struct tg_kept { // bytes that on_data left
    uint32_t len, cap;
    char at[];
} tg_kept;

// An idle plain connection is this and no more, so every eight bytes count.
struct tg_net_conn {
    uint32_t magic;
    uint8_t state;
    uint8_t todo;
    uint8_t mask; // TG_IO_*: what the socket is waited for
    bool outgoing : 1;
    bool paused : 1; // by the room above
    bool throttled : 1; // by a rate
    bool blocked : 1; // the socket takes no more
    bool was_full : 1; // a send was refused
    bool closing : 1; // the room above has nothing to say any more
    bool told : 1; // on_close has run
    bool hung_up : 1; // the peer's FIN has come
    bool showing : 1; // on_data runs
    bool phased : 1; // `phase_at` counts
    bool counted : 1; // against its listener
    bool counted_addr : 1;
    bool notified : 1; // close_notify was written
    bool had_open : 1; // on_open was called
    bool listed : 1; // in the worker's `todo`
    bool flushing : 1;
    bool own_idle : 1; // the room above said when it is idle
    int16_t reason;
    uint32_t heard; // last bytes in that were of use, ms
    uint32_t moved; // when the socket took something last, ms
    uint32_t idle_ms;
    uint32_t phase_at; // end of the time for what the state waits for
    int fd;
    tg_origin *origin;
    tg_out *out; // NULL: nothing waits to leave
    tg_conn_more *more; // never NULL
    tg_kept *kept; // NULL none
    uint64_t bytes_in, bytes_out, opened;
    tg_list node; // of the worker's `conns`
    tg_net_conn *next_job; // of the worker's `todo`
    tg_alarm alarm;
    tg_addr peer;
    _Alignas(16) char user[];
};

static inline tg_net_conn *tg_conn_check(const tg_net_conn *c)
{
    assert(c != NULL && c->magic == TG_CONN_MAGIC);
    return (tg_net_conn *)c;
}

static inline tg_net_conn *tg_conn_own(const tg_net_conn *c) ///< of the thread that asks
{
    assert(tg_conn_check(c)->origin->worker == tg_worker_here());
    return (tg_net_conn *)c;
}

// conn.c: life and time.
tg_net_conn *tg_conn_new(tg_worker *w, tg_origin *o);
void tg_conn_detach(tg_net_conn *c); ///< closes the descriptor
void tg_conn_ready(tg_net_conn *c, unsigned events); ///< TG_IO_*
void tg_conn_established(tg_net_conn *c); ///< the transport is up: TLS, then on_open
void tg_conn_open(tg_net_conn *c);
void tg_conn_hang_up(tg_net_conn *c); ///< the peer's FIN, or its close_notify
void tg_conn_abort(tg_net_conn *c, int reason);
/// Before it was open: a dial tries on, an accepted one ends.
void tg_conn_failed(tg_net_conn *c, int reason);
/// The alert has been written: it leaves, and what the peer still says is read away.
void tg_conn_tls_broken(tg_net_conn *c);
void tg_conn_todo(tg_net_conn *c, unsigned what);
void tg_conn_phase(tg_net_conn *c, uint32_t ms); ///< 0: none
void tg_conn_wake_in(tg_net_conn *c, uint32_t ms);
void tg_conn_poll(tg_net_conn *c); ///< waits for what the state wants
int tg_io_conn(tg_net_conn *c, unsigned want); ///< io.c: waits for just this
uint32_t tg_conn_stall_ms(const tg_net_conn *c);
int tg_conn_errno(int error); ///< errno to TG_E_*
void tg_conns_run(tg_worker *w); ///< what a turn's end has to do
void tg_conns_abort(tg_worker *w, int reason);
void tg_dials_abort(tg_worker *w); ///< the host ends: those that are not open yet
void tg_conns_free(tg_worker *w); ///< the free lists
static inline size_t tg_conn_kept(const tg_net_conn *c)
{
    return c->kept != NULL ? c->kept->len : 0;
}
static inline size_t tg_conn_limit(uint32_t limit, size_t otherwise)
{
    return limit != 0 ? limit : otherwise;
}

/// Counts bytes of `c`, for itself and for its listener.
void tg_conn_count_in(tg_net_conn *c, size_t n);
void tg_conn_count_out(tg_net_conn *c, size_t n);

// conn_info.c
uint64_t tg_conn_clock(void); ///< ms since the epoch, as often as the kernel moves it
const char *tg_conn_peer(const tg_net_conn *c); ///< until the worker asks for another's
/// One line that names the peer, rate-limited: why this room ends the connection.
void tg_conn_complain(tg_net_conn *c, tg_log_module module, const char *why);

// conn_read.c
void tg_conn_read(tg_net_conn *c);
void tg_conn_read_away(tg_net_conn *c);
/// `at` has TG_READ_HEAD writable bytes in front.
void tg_conn_deliver(tg_net_conn *c, char *at, size_t len);
void tg_conn_show(tg_net_conn *c); ///< kept bytes
/// To on_data. @return how many were used; all of them when the connection takes no more.
size_t tg_conn_hand(tg_net_conn *c, const char *at, size_t len);
/// Adds to the kept bytes. @param more that will follow. @return false: out of memory.
bool tg_conn_keep(tg_net_conn *c, const char *at, size_t len, size_t more);
void tg_conn_forget_kept(tg_net_conn *c, size_t len); ///< the first `len` of them
bool tg_conn_reading(const tg_net_conn *c);

// conn_write.c
/// @return 0, also when the socket takes no more for now; TG_E_* when it is broken.
int tg_conn_flush(tg_net_conn *c);
void tg_out_drop(tg_net_conn *c);
/// Bytes of the queue from `from` on, which is inside of it, contiguous, at most `most`; copied
/// to `scratch` if need be.
tg_slice tg_out_peek(const tg_net_conn *c, size_t from, char *scratch, size_t most);
/// Counts off the first `n` bytes. What that releases may call anything that a callback may,
/// and end `c`: nothing of this room may be half done.
void tg_out_advance(tg_net_conn *c, size_t n);
size_t tg_out_bytes(const tg_net_conn *c);
/// One write to the socket. @return bytes, 0 when it takes no more, TG_E_*.
ssize_t tg_conn_write(tg_net_conn *c, const struct iovec *iov, int n);

// conn_tls.c
int tg_secure_start(tg_net_conn *c, const char *name);
void tg_secure_free(tg_net_conn *c);
void tg_secure_read(tg_net_conn *c, char *at, size_t len);
int tg_secure_flush(tg_net_conn *c);
void tg_secure_handshake(tg_net_conn *c);
int tg_secure_notify(tg_net_conn *c); ///< writes close_notify
size_t tg_secure_pending(const tg_net_conn *c);
tg_slice tg_secure_cn(const tg_net_conn *c);

// dial.c
void tg_dial_ready(tg_net_conn *c); ///< TG_ST_CONNECT
void tg_dial_next(tg_net_conn *c); ///< TG_TODO_NEXT
void tg_dial_expired(tg_net_conn *c); ///< the phase's time is over
void tg_dial_failed(tg_net_conn *c, int code); ///< this address did not work out
void tg_dial_done(tg_net_conn *c); ///< frees what only dialing needs
const char *tg_dial_host(const tg_net_conn *c);

// dial_tls.c
/// The worker's context for these files. @return 0 and a reference.
int tg_dial_tls(tg_worker *w, const tg_dial *where, tg_tls **out, tg_error *e);
/// Reads its files again unless that was done lately: the peer did not like what they say.
void tg_dial_tls_refresh(tg_worker *w, const tg_tls *t);
void tg_dial_tls_free(tg_worker *w);

// limits.c
int tg_rate_new(tg_net_conn *c);
void tg_rate_read(tg_net_conn *c, size_t bytes);
size_t tg_rate_room(tg_net_conn *c); ///< how much to read at once
/// Ends a pause when its time has come. @return ms left of it, 0: none.
uint32_t tg_rate_check(tg_net_conn *c);

#endif
