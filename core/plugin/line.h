// SPDX-License-Identifier: Apache-2.0
/// A line: a connection between the network and an adapter, with its frames, its state and the
/// sessions bound to it. Small, since a host holds very many that say nothing.
#ifndef TG_PLUGIN_LINE_H
#define TG_PLUGIN_LINE_H

#include <assert.h>

#include "plugin/registry.h"

typedef enum tg_auth_result {
    TG_AUTH_ALLOWED,
    TG_AUTH_DENIED,
    TG_AUTH_ERROR,
    TG_AUTH_ANONYMOUS, ///< let in without being asked
    TG_AUTH_RESULTS
} tg_auth_result;

typedef struct tg_listening {
    uint32_t magic;
    tg_list node; ///< in runtime.listenings
    tg_runtime *rt;
    char name[64], adapter[64];
    char *address; ///< as bound
    tg_seat *seat;
    tg_listener *net;
    const char *transport;
    bool anonymous, udp;
    uint32_t frame_max, junk_max, bad_max;
    uint16_t room; ///< behind a line, for the adapter's state
    tg_value *options; ///< the adapter's own; NULL none
    tg_plug *owner; ///< plugin that opened it; NULL the config's
    int auth_metrics[TG_AUTH_RESULTS];
    struct {
        tg_log_gate gate;
    } at[TG_WORKERS_MAX];
} tg_listening;

#define TG_LISTENING_MAGIC 0x115e4000u
#define TG_LINE_MAGIC 0x11e0000u

enum {
    TG_LINE_OPENED = 1 << 0, ///< on_open was called
    TG_LINE_PAUSED = 1 << 1, ///< by its adapter
    TG_LINE_HELD = 1 << 2, ///< by congestion
    TG_LINE_CLOSING = 1 << 3,
    TG_LINE_READY = 1 << 4,
    TG_LINE_STALLED = 1 << 5, ///< the piece in front is to be given up
    TG_LINE_GONE = 1 << 6, ///< the adapter has had its last call
    TG_LINE_DATAGRAMS = 1 << 7, ///< each is framed by itself
    TG_LINE_FAR = 1 << 8, ///< its adapter's state is in `aside`
};

/// What few lines have, and few for long.
typedef struct tg_aside {
    tg_line *line;
    tg_alarm stall; ///< while it is held (and not watched), its node is in local.held
    void *state; ///< when there was no room for it behind the line
    tg_value *options; ///< of an outgoing one until it is open
    tg_session *more; ///< sessions besides the first
    uint32_t junk, bad; ///< bytes and pieces that were none since the last good frame
    uint16_t more_cap;
} tg_aside;

struct tg_line {
    uint32_t magic;
    uint16_t flags;
    uint16_t nsessions;
    uint64_t handle;
    tg_offer *offer;
    tg_listening *listening; ///< NULL: outgoing
    tg_framer *framer; ///< NULL: raw
    tg_session session; ///< the first; most have one
    tg_aside *aside; ///< NULL: none of it
    uint32_t from; ///< how far the framer has looked
    int16_t opens; ///< session opens under way
    _Alignas(16) char inline_state[];
};

/// @return NULL for a stale handle or off a worker.
tg_line *tg_line_find(tg_conn c);
static inline tg_conn tg_line_conn(const tg_line *l)
{
    return (tg_conn){l->handle};
}
static inline tg_net_conn *tg_line_net(const tg_line *l)
{
    return tg_net_of(l);
}
static inline void *tg_line_state(tg_line *l)
{
    if ((l->flags & TG_LINE_FAR) == 0)
        return l->inline_state;
    assert(l->aside != NULL); // it goes with the handle
    return l->aside->state;
}
tg_aside *tg_line_aside(tg_line *l); ///< @return NULL: out of memory, and it is closing
void tg_line_tidy(tg_line *l); ///< frees what is aside when nothing is

/// @return the bytes behind a line that the adapter's state may use.
uint16_t tg_line_events(tg_net_events *out, uint32_t state_size);
int tg_line_accept(tg_net_conn *net, void *user, void *arg); ///< arg: the tg_listening
int tg_line_dial(tg_offer *o, const tg_dial *where, tg_conn *out);

/// Closes it with a reason for people.
void tg_line_close(tg_line *l, int reason, tg_slice text);
/// Stops or continues reading, by its adapter's wish or by congestion: reads go on when
/// neither wants it stopped.
void tg_line_stop(tg_line *l, uint16_t why);
void tg_line_go(tg_line *l, uint16_t why);
/// The publisher's read pauses while the shards behind it are congested.
void tg_line_hold_if_congested(tg_line *l);
void tg_lines_go(tg_local *here); ///< it has passed
/// A peer's mistake: counted and logged, rate-limited.
void tg_line_complain(tg_line *l, int reason, const char *event, tg_slice what);
/// Last call of the adapter, sessions unbound. @param reason 0 or TG_E_*.
void tg_line_end(tg_line *l, int reason);
/// Its part in a graceful stop: sessions told, then closed.
void tg_line_shutdown(tg_line *l);

/// Defines the counters of what the auth chain says (auth.c).
void tg_auth_count(tg_listening *g);

// Frames (frames.c).
int64_t tg_line_frames(tg_line *l, tg_slice data);
void tg_line_watch_off(tg_line *l);

// Sessions (sessions.c).
/// The line that holds `s` on this worker; NULL: none.
tg_line *tg_line_of(tg_session s);
void tg_line_sessions_resume(tg_line *l);
void tg_line_sessions_shutdown(tg_line *l);
void tg_line_opens_fail(tg_line *l);
void tg_line_sessions_close(tg_line *l);

extern const tg_conn_api tg_conn_table;
extern const tg_session_api tg_session_table;
extern const tg_frame_api tg_frame_table;
extern const tg_listen_api tg_listen_table;
extern const tg_auth_api tg_auth_table;
extern const tg_timer_api tg_timer_table;
extern const tg_poll_api tg_poll_table;
extern const tg_work_api tg_work_table;
extern const tg_kv_api tg_kv_table;
extern const tg_metric_api tg_metric_table;
extern const tg_spool_api tg_spool_table;
extern const tg_engine_api tg_engine_table;
extern const tg_files_api tg_files_table;

#endif
