// SPDX-License-Identifier: Apache-2.0
// The host's callbacks of a Lua adapter. A connection is a set of lanes: one of its own,
// and with order = "device" one for each device that has something going on. A lane runs
// one handler at a time; while the connection's own is taken, its socket is not read and
// its sessions keep their messages, so nothing here needs a queue of frames.
#include "lua/conn.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/lanes.h"
#include "lua/value.h"

#define IS_UNIT ((uintptr_t)1)

typedef struct tg_conn_slot { ///< what the host carries
    uintptr_t at; ///< a tg_lconn; until it is up: who dialed it, with IS_UNIT
} tg_conn_slot;

tg_lconn *tg_adapter_conn(void *state)
{
    uintptr_t at = ((tg_conn_slot *)state)->at;
    tg_lconn *c = at & IS_UNIT ? NULL : (tg_lconn *)at;
    assert(c == NULL || c->magic == TG_CONN_MAGIC);
    return c;
}

// Who is told when a dialed connection never comes up.
static const tg_unit_lua *dialed_by(const tg_conn_slot *slot)
{
    return slot->at & IS_UNIT ? (const tg_unit_lua *)(slot->at - IS_UNIT) : NULL;
}

const char *tg_conn_label(const tg_lconn *c, const tg_conn_info *info)
{
    (void)c;
    return info->peer.len > 0 ? info->peer.at : "?";
}

// ---- opening and closing --------------------------------------------------------------

static tg_lconn *new_conn(tg_script *s, tg_app *app, tg_conn handle)
{
    lua_State *L = s->vm.L;
    tg_lconn *c = lua_newuserdatauv(L, sizeof(*c), 2);
    memset(c, 0, sizeof(*c));
    c->magic = TG_CONN_MAGIC;
    c->handle = handle;
    c->script = s;
    c->app = app;
    c->open = true;
    c->lane.conn = c;
    tg_list_init(&c->lane.ready);
    c->extra = (tg_conn_extra *)(uintptr_t)&tg_conn_no_extra;
    luaL_setmetatable(L, TG_CONN_TYPE);
    c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    s->nconns++;
    s->vm.limit += TG_VM_MEMORY_PER_CONN;
    return c;
}

static int on_open(const tg_adapter *self, tg_conn handle, void *state,
                   const tg_value *options)
{
    const tg_offer *offer = TG_OWNER(self, tg_offer, adapter);
    tg_unit_lua *u = offer->unit;
    tg_script *s = u->scripts[u->env.host->worker()];
    if (s == NULL)
        return TG_E_SHUTDOWN;
    tg_lconn *c = new_conn(s, &s->apps[offer->index], handle);
    tg_conn_info info = {.size = sizeof(info)};
    c->outgoing = u->env.conn->info(handle, &info) == 0 && info.outgoing;
    ((tg_conn_slot *)state)->at = (uintptr_t)c;
    if (c->app->handler[TG_ON_OPEN] == LUA_NOREF)
        return 0;
    tg_lane_event(&c->lane, TG_ON_OPEN, options);
    tg_bench_settle(s->bench);
    return 0;
}

void tg_adapter_dialed(const tg_unit_lua *u, tg_conn handle)
{
    tg_conn_slot *slot = u->env.conn->state(handle);
    if (slot != NULL && slot->at == 0)
        slot->at = (uintptr_t)u | IS_UNIT;
}

static void say_never_up(const tg_unit_lua *u, int reason)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "an outgoing connection did not come up: %s",
                     tg_error_text(reason));
    u->env.host->log(u->env.self, TG_LOG_WARN, (tg_slice){text, (size_t)n});
}

static void on_close(tg_conn handle, void *state, int reason)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    if (c == NULL) {
        if (dialed_by(state) != NULL)
            say_never_up(dialed_by(state), reason);
        return;
    }
    tg_bench *b = c->script->bench;
    ((tg_conn_slot *)state)->at = 0;
    c->open = false;
    c->closing = true;
    c->reason = (int16_t)reason;
    tg_conn_fail_requests(c, TG_E_CLOSED);
    tg_conn_pump(c);
    tg_bench_settle(b);
}

// ---- frames ---------------------------------------------------------------------------

static int on_frame(tg_conn handle, void *state, tg_slice frame)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    tg_bench *b = c->script->bench;
    if (!tg_lane_is_free(&c->lane) || b->running != NULL)
        tg_lane_keep_frame(c, frame, false);
    else
        tg_lane_frame(c, frame);
    tg_bench_settle(b);
    return 0;
}

static void on_damaged(tg_conn handle, void *state, tg_slice frame)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    tg_bench *b = c->script->bench;
    if (c->app->handler[TG_ON_DAMAGED] == LUA_NOREF)
        return;
    if (!tg_lane_is_free(&c->lane) || b->running != NULL)
        tg_lane_keep_frame(c, frame, true);
    else
        tg_lane_damaged(c, frame);
    tg_bench_settle(b);
}

static int64_t on_data(tg_conn handle, void *state, tg_slice data)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    tg_bench *b = c->script->bench;
    if (!tg_lane_is_free(&c->lane) || b->running != NULL) {
        tg_lane_hold(c); // it is shown again
        return 0;
    }
    int64_t used = tg_lane_data(c, data);
    tg_bench_settle(b);
    return used;
}

// What waits for something now will be cut: so this one must not wait.
static void on_shutdown(tg_conn handle, void *state)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    if (c == NULL || c->app->handler[TG_ON_SHUTDOWN] == LUA_NOREF)
        return;
    tg_lane_event(&c->lane, TG_ON_SHUTDOWN, NULL);
    tg_bench_settle(c->script->bench);
}

static void on_idle(tg_conn handle, void *state)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    tg_bench *b = c->script->bench;
    // While a handler runs the connection is not idle but we are; the next period tells.
    if (!tg_lane_is_free(&c->lane) || c->app->handler[TG_ON_IDLE] == LUA_NOREF)
        return;
    if (b->running == NULL)
        tg_lane_event(&c->lane, TG_ON_IDLE, NULL);
    tg_bench_settle(b);
}

// ---- messages down --------------------------------------------------------------------

static int on_deliver(tg_conn handle, void *state, tg_session s, const tg_delivery *d)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    tg_unit_lua *u = c->script->unit;
    tg_bench *b = c->script->bench;
    if (d->released) {
        u->env.session->ack(s, d->packet_id, TG_ACK_DONE);
        return 0;
    }
    if (c->app->handler[TG_ON_DOWNLINK] == LUA_NOREF && c->app->commands == LUA_NOREF)
        return TG_E_UNSUPPORTED;
    tg_lane *lane = tg_lane_of_session(c, s);
    if (b->running != NULL || !tg_lane_is_free(lane)) {
        c->held = true;
        tg_conn_pump(c); // resumes the sessions once the lane is free
        return TG_E_FULL;
    }
    tg_lane_downlink(lane, s, d);
    tg_bench_settle(b);
    return 0;
}

static void on_session_end(tg_conn handle, void *state, tg_session s, int reason)
{
    tg_lconn *c = tg_adapter_conn(state);
    tg_bound *b = tg_conn_bound_of(c, s);
    if (b != NULL)
        tg_conn_forget(c, b);
    if (c->first == NULL && (!c->app->decl->sessions_many || reason == TG_E_SHUTDOWN))
        c->script->unit->env.conn->close(handle, reason, (tg_slice){0});
}

static void on_writable(tg_conn handle, void *state)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    if (!c->held)
        return;
    tg_conn_pump(c);
    tg_bench_settle(c->script->bench);
}

void tg_adapter_fill(tg_adapter *a, const tg_adapter_decl *d)
{
    *a = (tg_adapter){
        .size = sizeof(*a),
        .transports = d->transports,
        .id = d->id,
        .state_size = sizeof(tg_conn_slot),
        .nframes = d->nframes,
        .frames = d->frames,
        .on_open = on_open,
        .on_data = on_data,
        .on_frame = on_frame,
        .on_damaged = on_damaged,
        .on_deliver = on_deliver,
        .on_session_end = on_session_end,
        .on_idle = on_idle,
        .on_writable = on_writable,
        .on_close = on_close,
        .annotate = tg_adapter_annotate,
        .commands = d->commands,
        .on_command = d->commands != NULL ? tg_adapter_command : NULL,
        .on_shutdown = on_shutdown,
        .on_away = tg_adapter_away,
    };
}
