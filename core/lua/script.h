// SPDX-License-Identifier: Apache-2.0
/// A version (unit), its states (a script per worker), and the handlers that run (tasks).
#ifndef TG_LUA_SCRIPT_H
#define TG_LUA_SCRIPT_H

#include "base/list.h"
#include "base/log.h"
#include "lua/declare.h"
#include "lua/source.h"
#include "lua/vm.h"
#include "tidegate.h"
#include "tidegate/engine.h"

#define TG_UNIT_ADAPTERS 8
#define TG_UNIT_AUTHS 4

typedef struct tg_unit_lua tg_unit_lua;
typedef struct tg_script tg_script;
typedef struct tg_task tg_task;
typedef struct tg_lconn tg_lconn;

/// What the engine keeps for each worker: no two scripts of one worker run within each
/// other.
typedef struct tg_bench {
    tg_guard guard;
    bool attached;
    bool draining; ///< jobs are being run
    uint32_t index;
    tg_script *running; ///< NULL: nothing runs
    tg_list jobs; ///< what came while something ran
    tg_lconn *pump_first, *pump_last; ///< connections whose lanes are to be pumped
} tg_bench;

typedef struct tg_lua_engine {
    uint32_t magic;
    uint32_t workers;
    tg_engine pub;
    tg_env env;
    const tg_engine_api *api;
    tg_monitor *monitor;
    tg_bench *bench; ///< one per worker
    /// Offline: sees each message before its handler. NULL: nobody looks.
    void (*observe)(void *ctx, lua_State *L, int index);
    void *observe_ctx;
} tg_lua_engine;

/// Something to do on this worker when nothing runs.
typedef struct tg_job {
    tg_list node;
    tg_script *script; ///< jobs of a script that ends are dropped
    void (*run)(struct tg_job *j);
    void (*drop)(struct tg_job *j);
} tg_job;

/// One adapter or auth backend of a unit, as the host has it.
typedef struct tg_offer {
    tg_adapter adapter;
    tg_auth_backend auth;
    tg_unit_lua *unit;
    uint32_t index; ///< in the unit, among its kind
} tg_offer;

struct tg_unit_lua {
    uint32_t magic;
    tg_unit pub;
    tg_lua_engine *engine;
    tg_env env; ///< with this version's self
    tg_sources sources;
    tg_arena arena; ///< declarations
    tg_value schema;
    tg_adapter_decl adapters[TG_UNIT_ADAPTERS];
    tg_auth_decl auths[TG_UNIT_AUTHS];
    uint32_t nadapters, nauths;
    tg_offer offers[TG_UNIT_ADAPTERS + TG_UNIT_AUTHS];
    tg_script **scripts; ///< by worker
    tg_value *config; ///< control thread's copy
    _Atomic(uint32_t) over_budget; ///< callbacks that were ended
    atomic_bool unhealthy;
    int errors_metric, budget_metric, untold_metric;
};

typedef enum tg_handler {
    TG_ON_DECODE,
    TG_ON_ENCODE,
    TG_ON_OPEN,
    TG_ON_MESSAGE,
    TG_ON_DOWNLINK,
    TG_ON_IDLE,
    TG_ON_MOVE,
    TG_ON_CLOSE,
    TG_ON_DATA,
    TG_ON_DAMAGED,
    TG_ON_MIGRATE,
    TG_ON_SHUTDOWN,
    TG_ON_AWAY,
    TG_ON_COUNT,
} tg_handler;

/// An adapter of one script.
typedef struct tg_app {
    const tg_adapter_decl *decl;
    int handler[TG_ON_COUNT]; ///< registry references, LUA_NOREF none
    int module, ctx, commands, config;
    bool ctx_has_codec;
    tg_template topic, down; ///< the config's, or the declared ones
} tg_app;

#define TG_GATES 16

/// One place that errors come from.
typedef struct tg_error_gate {
    uint64_t place; ///< hash of the error's first line
    tg_log_gate gate;
} tg_error_gate;

struct tg_script {
    uint32_t magic;
    uint32_t worker;
    tg_vm vm;
    tg_unit_lua *unit; ///< NULL: a config file
    tg_bench *bench;
    tg_arena arena; ///< declarations of this state, templates of its config
    tg_adapter_decl decls[TG_UNIT_ADAPTERS];
    tg_auth_decl auth_decls[TG_UNIT_AUTHS];
    tg_app apps[TG_UNIT_ADAPTERS];
    int auth_check[TG_UNIT_AUTHS];
    uint32_t napps, nauths;
    bool declaring; ///< what starts something is inert
    bool ended;
    tg_task *task; ///< the one that runs
    tg_list idle; ///< tasks with a coroutine to use again
    tg_list busy; ///< tasks that run or wait
    tg_list timers;
    uint32_t nidle;
    uint32_t nconns;
    tg_buf text, topic; ///< scratch for one binding call at a time
    tg_error_gate gates[TG_GATES];
    struct tg_timer gc_timer;
    uint32_t aways; ///< handlers of on_away that wait, or wait for their turn
    uint32_t gc_runs; ///< of the state, when the collector looked last
    bool gc_armed, gc_under_way;
};

/// A handler on its coroutine.
struct tg_task {
    uint32_t magic;
    int ref; ///< keeps the coroutine
    tg_script *script;
    lua_State *co;
    tg_list node;
    const char *what;
    uint32_t budget_us;
    tg_lconn *conn; ///< NULL: none
    struct tg_lane *lane;
    struct tg_wait *wait; ///< what it waits for; NULL it runs
    /// It ended: code 0 with `nres` results on `co`, TG_E_SCRIPT or TG_E_BUDGET (reported).
    void (*done)(tg_task *t, int code, int nres);
    tg_slice frame; ///< borrowed during the first run; empty later
    // What `done` needs.
    tg_session session;
    tg_op op;
    uint16_t packet_id;
    uint8_t qos;
    void *extra;
};

/// A wait. Completed once, from a callback of the host on this worker.
typedef struct tg_wait {
    uint32_t magic;
    tg_task *task; ///< NULL: nobody waits any more
    tg_script *script;
    bool releases_lane;
    /// Pushes the results on task->co. @return how many. NULL: by tg_lua_push_result.
    int (*push)(struct tg_wait *w, lua_State *co);
    tg_job job; ///< queued while something runs
    int code;
    tg_value *value; ///< a copy, while queued
    void *extra;
    struct tg_timer timer;
} tg_wait;

// script.c

/// Reads, compiles and declares. Control thread.
int tg_unit_open(tg_lua_engine *engine, const char *path, tg_unit_lua **out, tg_error *e);
void tg_unit_free(tg_unit_lua *u);
/// A state of `u` on the calling thread: loads it. @param declaring 1: starts nothing.
int tg_script_open(tg_unit_lua *u, uint32_t worker, tg_bench *bench, bool declaring,
                   tg_script **out, tg_error *e);
/// Ends tasks, waits and timers; the state itself is closed by tg_script_free().
void tg_script_end(tg_script *s);
void tg_script_free(tg_script *s); ///< any thread
/// Gives the script the config of its version.
int tg_script_configure(tg_script *s, const tg_value *config, tg_error *e);
tg_script *tg_script_of(lua_State *L);
void tg_script_touch(tg_script *s); ///< it has run: collect once it rests

// task.c

/// A task for one run: push function and arguments on t->co, then tg_task_start().
tg_task *tg_task_new(tg_script *s, const char *what, uint32_t budget_us);
void tg_task_drop(tg_task *t); ///< never started
/// Runs it until it ends or waits. Nothing else of this worker may run.
void tg_task_start(tg_task *t, int nargs);
/// Runs what was queued meanwhile; call when a callback of the host ends.
void tg_bench_settle(tg_bench *b);
void tg_bench_queue(tg_bench *b, tg_job *j);
/// Logs an error of a task: in full once a minute, then counted.
void tg_script_report(tg_script *s, tg_task *t, int code);

/// In a binding: raises unless the running handler may wait. @param what names the
/// function.
tg_task *tg_wait_check(lua_State *L, const char *what);
/// After the operation was started with the wait as its context: `return tg_wait_yield(…)`.
tg_wait *tg_lua_wait_new(tg_task *t);
void tg_lua_wait_free(tg_wait *w); ///< the operation could not be started
int tg_wait_yield(lua_State *L, tg_wait *w);
void tg_wait_done(void *wait, int code, const tg_value *value); ///< a tg_done_fn
void tg_wait_resume(tg_wait *w); ///< with the code and value that it keeps

// For the pool of a lane (conn.c): a task ended or let go of its lane.
void tg_conn_task_waits(tg_task *t);
void tg_conn_task_ends(tg_task *t);
void tg_conn_task_ready(tg_wait *w);

#endif
