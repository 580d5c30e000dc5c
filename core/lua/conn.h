// SPDX-License-Identifier: Apache-2.0
/// A connection as a script sees it. The object is a userdata of the script's state; the
/// host carries a pointer to it. It stays anchored until the connection has closed and its
/// last handler has ended.
#ifndef TG_LUA_CONN_H
#define TG_LUA_CONN_H

#include "base/map.h"
#include "lua/script.h"

#define TG_CONN_TYPE "tidegate.conn"
#define TG_CONN_MAGIC 0xc0220001u

/// A session of the connection.
typedef struct tg_bound {
    tg_session session;
    uint32_t len;
    char id[];
} tg_bound;

/// Handlers of one lane run one after the other.
typedef struct tg_lane {
    tg_lconn *conn;
    tg_task *busy;
    uint32_t tasks; ///< with those that wait for an answer of the device
    tg_list ready; ///< tg_job: what waits for its turn
    bool pumping;
} tg_lane;

/// The lane of one device, where the adapter declares order = "device".
typedef struct tg_device_lane {
    tg_lane lane;
    tg_list node;
    uint32_t len;
    char device[];
} tg_device_lane;

/// What few connections have: kept apart, since idle ones are many.
typedef struct tg_conn_extra {
    tg_list lanes; ///< tg_device_lane
    tg_list requests; ///< tg_request: answers that are waited for
    tg_map more; ///< all sessions, once there are two
} tg_conn_extra;

struct tg_lconn {
    uint32_t magic;
    int ref; ///< anchors this object
    tg_conn handle;
    tg_script *script;
    tg_app *app;
    tg_lane lane; ///< of the connection
    tg_bound *first; ///< the only session, or one of those in extra->more
    tg_conn_extra *extra;
    tg_lconn *next; ///< in the bench's queue of those to be pumped when nothing runs
    uint32_t ntasks, queued;
    int16_t reason;
    bool open : 1, paused : 1, held : 1, outgoing : 1, closing : 1, queued_pump : 1;
};

// adapter.c: the host's side

/// `handle` was dialed for `u`: a failure is logged under its name.
void tg_adapter_dialed(const tg_unit_lua *u, tg_conn handle);
void tg_adapter_fill(tg_adapter *a, const tg_adapter_decl *d);
bool tg_conn_task_takes(tg_task *t); ///< its lane is free again: it has it now
const char *tg_conn_label(const tg_lconn *c, const tg_conn_info *info);
/// Hands messages of a decode over to the lanes of their devices.
void tg_conn_pump(tg_lconn *c);
/// The connection's own, to be changed; NULL when out of memory.
tg_conn_extra *tg_conn_own_extra(tg_lconn *c);
void tg_conn_drop_extra(tg_lconn *c);
extern const tg_conn_extra tg_conn_no_extra; ///< empty; what connections begin with
void tg_conn_pump_now(tg_lconn *c); ///< the bench's turn

// conn_api.c: the script's side

void tg_lua_open_conn(lua_State *L);
tg_lconn *tg_lua_check_conn(lua_State *L, int index);

// session_api.c

tg_bound *tg_conn_find_session(const tg_lconn *c, tg_slice device);
tg_bound *tg_conn_bound_of(const tg_lconn *c, tg_session s);
void tg_conn_forget(tg_lconn *c, tg_bound *b);
void tg_conn_forget_all(tg_lconn *c);
int tg_conn_api_bind(lua_State *L);
int tg_conn_api_unbind(lua_State *L);
int tg_conn_api_devices(lua_State *L);

// publish.c

/// Pushes one of the two with what it needs.
void tg_lua_push_publish(lua_State *L, lua_CFunction fn);
int tg_conn_api_publish(lua_State *L);
int tg_lua_api_publish(lua_State *L); ///< tg.publish

// request.c

int tg_conn_api_request(lua_State *L);
int tg_conn_api_answer(lua_State *L);
/// Compares the message at `index` with what requests wait for. @return it was an answer.
bool tg_conn_match(tg_lconn *c, lua_State *L, int index);
void tg_conn_fail_requests(tg_lconn *c, int code);

// send.c

int tg_conn_api_send(lua_State *L);
/// Sends the string or message at `index`. Raises what encode raises. @return TG_E_*, with
/// encode's own refusal on the stack when it is TG_E_INVAL.
int tg_conn_send_value(lua_State *L, tg_lconn *c, int index);

#endif
