// SPDX-License-Identifier: Apache-2.0
/// A load generator for MQTT brokers. Whoever runs it describes the load, waits, and gets one
/// result: how fast it was, and whether everything arrived once and in order. It works against
/// any broker and knows nothing of ours.
#ifndef TG_LOAD_LOAD_H
#define TG_LOAD_LOAD_H

#include "base/buf.h"
#include "base/error.h"
#include "load/hist.h"

enum {
    TG_LOAD_STAMP =
        16, ///< the smallest payload: each says when it left and which one it is
    TG_LOAD_PAYLOAD_MAX = 16 << 20,
    TG_LOAD_WINDOW_MAX = 60000, ///< below the number of packet ids
    TG_LOAD_THREADS_MAX = 64,
    TG_LOAD_KINDS = 16, ///< of errors that are told apart
};

typedef enum tg_load_scenario {
    TG_LOAD_PAIRS,
    TG_LOAD_FANIN,
    TG_LOAD_FANOUT,
    TG_LOAD_SHARED,
    TG_LOAD_FILTERS,
    TG_LOAD_RETAINED,
    TG_LOAD_CONNECT,
    TG_LOAD_IDLE,
    TG_LOAD_CHURN,
    TG_LOAD_SCENARIOS,
} tg_load_scenario;

extern const char *const tg_load_names[TG_LOAD_SCENARIOS + 1]; ///< NULL-ended
extern const char *const tg_load_helps[TG_LOAD_SCENARIOS]; ///< a line each

/// Strings are borrowed until the run is over.
typedef struct tg_load_options {
    tg_load_scenario scenario;
    const char *host;
    uint16_t port;
    unsigned version; ///< of the protocol: 4 is 3.1.1, 5 is 5.0
    uint32_t clients; ///< what they are depends on the scenario
    uint32_t subs; ///< `filters`: subscribers; `shared`: members of each group
    uint32_t groups; ///< `shared`
    uint32_t filters; ///< `filters`, `idle`: in all
    uint64_t count; ///< messages in all; 0: as many as fit into the duration
    uint64_t duration_ms; ///< 0: until `count` is reached
    uint64_t timeout_ms; ///< nothing came for so long: it will not come any more
    uint32_t qos[3]; ///< shares of the messages with QoS 0, 1 and 2
    uint32_t window; ///< messages of one publisher that may be under way
    uint32_t payload; ///< bytes
    uint32_t threads;
    double rate; ///< messages a second in all; 0: as fast as the window lets them
    double connect_rate; ///< connections a second; 0: no limit
    uint32_t connecting; ///< connections that may be under way
    uint32_t keepalive_s;
    const char *user, *password; ///< NULL: none
    const char *client_id; ///< what each client id begins with; NULL: drawn
    const char *topic; ///< with %i for a number; NULL: drawn
    bool durable; ///< sessions outlive their connections: a store must keep them
    bool tls, insecure, tls_resume;
    const char *cafile, *cert, *key; ///< PEM; NULL: the system's; none
    uint64_t ttl_ms; ///< `churn`: how long a client stays, on average
    uint64_t away_ms; ///< … and stays away
    uint32_t unclean; ///< … percent that leave without a word
    int server_pid; ///< of a server on this machine, whose cost is reported; 0: none
} tg_load_options;

typedef struct tg_load_errors {
    struct {
        char text[64];
        uint64_t count;
    } kinds[TG_LOAD_KINDS]; ///< the last one takes what finds no room
    uint64_t count; ///< of all
} tg_load_errors;

typedef struct tg_load_result {
    uint64_t publishers, subscribers;
    uint64_t sent, received; ///< messages
    uint64_t expected; ///< deliveries of what was sent
    uint64_t lost; ///< did not come
    uint64_t doubled; ///< came twice without a reason
    uint64_t repeated; ///< `churn`, QoS 1: came again behind a reconnect, as it may
    uint64_t missed; ///< `churn`, QoS 0: sent while their subscriber was away
    uint64_t reordered; ///< came behind a later one
    uint64_t strange; ///< came to who had not asked for it, or was never sent
    uint64_t connections, resumed; ///< CONNACKs; with the session still there
    uint64_t tls_resumed; ///< handshakes that a ticket shortened
    uint64_t left, cut; ///< `churn`: with a DISCONNECT, without one
    double seconds; ///< of what was measured
    double rate; ///< deliveries (`connect`, `idle`: connections) a second
    tg_hist latency, connect;
    tg_load_errors errors;
    uint64_t cpu_ns, rss_start, rss_connected, rss_subscribed, rss_end; ///< of `server_pid`
    bool interrupted; ///< by a signal, before its time
} tg_load_result;

/// Runs the load and blocks until it is over; SIGINT and SIGTERM end it early, with what was
/// measured until then.
/// @return 0; TG_E_INVAL: options that do not go together; TG_E_REFUSED, TG_E_RESOLVE: no client
/// got in; TG_E_TLS: certificates that cannot be used; TG_E_LIMIT: not all got in, where all
/// are needed; TG_E_NOMEM. `out` is filled as far as it got.
int tg_load_run(const tg_load_options *o, tg_load_result *out, tg_error *e);

/// Whether everything arrived once, in order and without an error.
bool tg_load_good(const tg_load_result *r);
void tg_load_json(tg_buf *b, const tg_load_options *o, const tg_load_result *r);
void tg_load_table(tg_buf *b, const tg_load_options *o, const tg_load_result *r);

#endif
