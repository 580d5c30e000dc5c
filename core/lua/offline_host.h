// SPDX-License-Identifier: Apache-2.0
/// Inside of the offline runner: its state, shared by the tables (offline_host.c) and by
/// who drives them (offline.c).
#ifndef TG_LUA_OFFLINE_HOST_H
#define TG_LUA_OFFLINE_HOST_H

#include "base/list.h"
#include "base/map.h"
#include "codec/frame.h"
#include "lua/engine.h"
#include "lua/offline.h"

#define TG_OFFLINE_CONNS 512

typedef struct offline_conn {
    bool open, paused, closing;
    int reason;
    const tg_adapter *adapter;
    void *state;
    tg_framer *framer;
    char *scratch;
    size_t looked;
    tg_buf in;
    char peer[64];
    uint32_t idle_ms;
    uint64_t last; ///< when a byte came
} offline_conn;

typedef struct offline_session {
    tg_list node;
    uint64_t id;
    int conn;
    tg_value *attributes;
    tg_list waiting; ///< offline_delivery
    uint16_t next_packet;
    size_t len;
    char client_id[256];
} offline_session;

/// A message that its session holds until the connection takes it.
typedef struct offline_delivery {
    tg_list node;
    tg_msg msg;
    uint8_t qos;
} offline_delivery;

typedef struct offline_timer {
    tg_list node;
    uint64_t id, due;
    uint32_t repeat;
    void (*fn)(void *ctx);
    void *ctx;
} offline_timer;

/// Something for the next turn of the loop that there is not.
typedef struct offline_call {
    tg_list node;
    void (*fn)(void *ctx);
    void *ctx;
    tg_done_fn *done; ///< instead of fn
    tg_opened_fn *opened;
    int code;
    uint64_t session;
    tg_value *value;
} offline_call;

typedef struct offline_op {
    tg_list node;
    uint64_t id;
    tg_done_fn *done;
    void *ctx;
} offline_op;

struct tg_offline {
    uint32_t magic;
    tg_offline_spec spec;
    tg_lua_engine *engine;
    tg_unit *unit;
    const tg_adapter *adapters[TG_UNIT_ADAPTERS];
    uint32_t nadapters;
    const tg_auth_backend *auth;
    tg_value config;
    tg_arena arena;
    uint64_t now, next_id;
    tg_list timers, calls, sessions, ops;
    tg_map kv;
    offline_conn conns[TG_OFFLINE_CONNS];
    int nconns;
    bool started;
    char error[512];
    tg_buf line;
};

extern const tg_host tg_offline_host; ///< offline_tables.c
extern const tg_conn_api tg_offline_conn;
extern const tg_msg_api tg_offline_msg;
extern const tg_session_api tg_offline_session_table;
extern const tg_auth_api tg_offline_auth;

/// Takes the first off a list that has one.
static inline tg_list *tg_offline_pop(tg_list *l)
{
    tg_list *n = l->next;
    l->next = n->next;
    l->next->prev = l;
    return n;
}

tg_offline *tg_offline_here(void);
void tg_offline_enter(
    tg_offline *o); ///< the tables act for `o` on this thread; NULL nobody

/// A line: event, then pairs of key and slice (NULL key ends); numbers as text without
/// quotes.
void tg_offline_say(tg_offline *o, const char *event, int conn, ...);
void tg_offline_later(tg_offline *o, offline_call call);
void tg_offline_turn(tg_offline *o); ///< runs what waits for the next turn
int tg_offline_read(tg_offline *o, int conn); ///< frames out of what has come
void tg_offline_close_now(tg_offline *o, int conn);
void tg_offline_hand_over(tg_offline *o, offline_session *s);
offline_session *tg_offline_session(tg_offline *o, uint64_t id);
offline_session *tg_offline_session_of(tg_offline *o, tg_slice client_id);
void tg_offline_end_session(tg_offline *o, offline_session *s);

#endif
