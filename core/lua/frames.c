// SPDX-License-Identifier: Apache-2.0
// The byte path of an adapter: one coroutine run decodes the frame and handles its
// messages. decode runs as the first callback, under its own budget and not allowed to
// wait; the handler as the next one.
#include "lua/lanes.h"

#include <lauxlib.h>
#include <stdlib.h>

enum { CONN = 1, FRAME, RESULT, WHY };

static tg_lconn *self(lua_State *L)
{
    return lua_touserdata(L, CONN);
}

/// decode said no: the peer's mistake, which costs a line and a counter.
static void complain(lua_State *L, tg_lconn *c)
{
    if (lua_isnil(L, WHY))
        return; // nothing to tell of this frame
    if (lua_istable(L, WHY)) {
        lua_getfield(L, WHY, "message");
        lua_replace(L, WHY);
    }
    size_t len;
    const char *text = luaL_tolstring(L, WHY, &len);
    if (c->open)
        c->script->unit->env.conn->complain(c->handle, TG_E_MALFORMED,
                                            (tg_slice){text, len});
    lua_pop(L, 1);
}

static int handle_next(lua_State *L, int status, lua_KContext done);

/// Hands the message on the top (popped) to on_message. @return as a C function that ends,
/// or does not return when the handler waits.
static void handle(lua_State *L, tg_lconn *c, lua_KContext done)
{
    const tg_lua_engine *engine = c->script->unit->engine;
    if (engine->observe != NULL)
        engine->observe(engine->observe_ctx, L, -1);
    if (!tg_list_empty(&c->extra->requests) && tg_conn_match(c, L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (c->app->decl->order == TG_ORDER_DEVICE &&
        c->app->handler[TG_ON_MESSAGE] != LUA_NOREF) {
        tg_lane_message(c, L);
        return;
    }
    int ref = c->app->handler[TG_ON_MESSAGE];
    if (ref == LUA_NOREF) {
        lua_pop(L, 1);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    lua_pushvalue(L, CONN);
    lua_rotate(L, -3, 2); // function, connection, message
    lua_callk(L, 2, 0, done, handle_next);
}

/// Behind `done` messages of a list.
static int handle_list(lua_State *L, lua_KContext done)
{
    tg_lconn *c = self(L);
    lua_KContext n = (lua_KContext)lua_rawlen(L, RESULT);
    while (done < n) {
        lua_rawgeti(L, RESULT, (lua_Integer)++done);
        handle(L, c, done);
    }
    return 0;
}

static int handle_next(lua_State *L, int status, lua_KContext done)
{
    (void)status;
    return done < 0 ? 0 : handle_list(L, done);
}

static int decoded(lua_State *L, int status, lua_KContext unused)
{
    (void)status;
    (void)unused;
    tg_lconn *c = self(L);
    tg_vm *vm = &c->script->vm;
    vm->pure = NULL;
    tg_task *t = c->script->task;
    t->what = "on_message";
    t->budget_us = TG_BUDGET_HANDLER_US;
    tg_vm_phase(vm, L, t->what, t->budget_us);
    if (!lua_istable(L, RESULT)) {
        if (!lua_isnil(L, RESULT))
            return luaL_error(
                L,
                "decode must return a message, a list of them, or nil and why "
                "not; it returned a %s",
                luaL_typename(L, RESULT));
        complain(L, c);
        return 0;
    }
    if (lua_rawlen(L, RESULT) > 0)
        return handle_list(L, 0);
    lua_pushvalue(L, RESULT);
    handle(L, c, -1);
    return 0;
}

/// ctx.codec is the connection's, for this call.
static void push_ctx(lua_State *L, tg_lconn *c)
{
    tg_app *app = c->app;
    lua_rawgeti(L, LUA_REGISTRYINDEX, app->ctx);
    bool has = lua_getiuservalue(L, CONN, 2) == LUA_TTABLE;
    if (has || app->ctx_has_codec) {
        lua_setfield(L, -2, "codec");
        app->ctx_has_codec = has;
    } else {
        lua_pop(L, 1);
    }
}

int tg_frame_main(lua_State *L)
{
    tg_lconn *c = self(L);
    if (c->app->handler[TG_ON_DECODE] == LUA_NOREF)
        return luaL_error(L, "the adapter has no decode function");
    c->script->vm.pure = "decode";
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->handler[TG_ON_DECODE]);
    lua_pushvalue(L, FRAME);
    push_ctx(L, c);
    lua_callk(L, 2, 2, 0, decoded);
    return decoded(L, LUA_OK, 0);
}

void tg_lane_frame(tg_lconn *c, tg_slice frame)
{
    tg_task *t = tg_lane_task(&c->lane, "decode", TG_BUDGET_DECODE_US);
    if (t == NULL)
        return;
    lua_pushcfunction(t->co, tg_frame_main);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
    lua_pushlstring(t->co, frame.at, frame.len);
    t->frame = frame;
    tg_task_start(t, 2);
}

void tg_lane_damaged(tg_lconn *c, tg_slice frame)
{
    tg_task *t = tg_lane_task(&c->lane, "on_damaged", TG_BUDGET_HANDLER_US);
    if (t == NULL)
        return;
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->handler[TG_ON_DAMAGED]);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
    lua_pushlstring(t->co, frame.at, frame.len);
    t->frame = frame;
    tg_task_start(t, 2);
}

typedef struct kept_frame {
    tg_job job;
    tg_lconn *conn;
    bool damaged;
    size_t len;
    char bytes[];
} kept_frame;

static void run_kept(tg_job *j)
{
    kept_frame *k = TG_OWNER(j, kept_frame, job);
    k->conn->queued--;
    (k->damaged ? tg_lane_damaged : tg_lane_frame)(k->conn, (tg_slice){k->bytes, k->len});
    free(k);
}

static void drop_kept(tg_job *j)
{
    free(TG_OWNER(j, kept_frame, job));
}

void tg_lane_keep_frame(tg_lconn *c, tg_slice frame, bool damaged)
{
    kept_frame *k = malloc(sizeof(*k) + frame.len);
    if (k == NULL)
        return;
    *k = (kept_frame){.conn = c, .damaged = damaged, .len = frame.len};
    memcpy(k->bytes, frame.at, frame.len);
    k->job = (tg_job){.script = c->script, .run = run_kept, .drop = drop_kept};
    c->queued++;
    tg_list_add(&c->lane.ready, &k->job.node);
    tg_lane_hold(c);
}

// ---- raw bytes ------------------------------------------------------------------------

typedef struct data_result {
    int64_t used;
    bool ended;
} data_result;

static void data_done(tg_task *t, int code, int nres)
{
    data_result *r = t->extra;
    if (r == NULL)
        return; // it waited: all its bytes count as used
    r->ended = true;
    if (code == 0 && nres > 0 && lua_isinteger(t->co, -nres)) {
        lua_Integer n = lua_tointeger(t->co, -nres);
        if (n >= 0 && n <= r->used)
            r->used = n;
    }
}

int64_t tg_lane_data(tg_lconn *c, tg_slice data)
{
    if (c->app->handler[TG_ON_DATA] == LUA_NOREF)
        return (int64_t)data.len;
    tg_task *t = tg_lane_task(&c->lane, "on_data", TG_BUDGET_HANDLER_US);
    if (t == NULL)
        return TG_E_NOMEM;
    data_result r = {.used = (int64_t)data.len};
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->handler[TG_ON_DATA]);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
    lua_pushlstring(t->co, data.at, data.len);
    t->frame = data;
    t->done = data_done;
    t->extra = &r;
    tg_task_start(t, 2);
    if (!r.ended) // it waits, with its lane or without
        t->extra = NULL;
    return r.used;
}
