// SPDX-License-Identifier: Apache-2.0
// Handlers that are no frames: the connection's life, and messages on their way down. A
// message of QoS 1 or 2 is acknowledged once its handler has ended without an error, so
// what the device never got is sent again.
#include "lua/lanes.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

void tg_lane_event(tg_lane *lane, tg_handler h, const tg_value *options)
{
    tg_lconn *c = lane->conn;
    if (c->app->handler[h] == LUA_NOREF)
        return;
    tg_task *t = tg_lane_task(lane, tg_handler_names[h], TG_BUDGET_HANDLER_US);
    if (t == NULL)
        return;
    int nargs = 1;
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->handler[h]);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
    if (h == TG_ON_OPEN) {
        tg_lua_push_value(t->co, options);
        nargs = 2;
    } else if (h == TG_ON_CLOSE) {
        lua_pushstring(t->co, c->reason == 0 ? "NORMAL" : tg_error_name(c->reason));
        nargs = 2;
    }
    tg_task_start(t, nargs);
}

// ---- messages down --------------------------------------------------------------------

static int downlink_json(lua_State *L) // (-0 +1..2): message
{
    luaL_checktype(L, 1, LUA_TTABLE);
    tg_error e = {0};
    tg_slice text;
    lua_getfield(L, 1, "payload");
    text.at = luaL_checklstring(L, -1, &text.len);
    return tg_lua_json_read(L, text, &e) == 0 ? 1 : tg_lua_fail(L, &e);
}

void tg_lua_open_downlink(lua_State *L)
{
    if (luaL_newmetatable(L, "tidegate.downlink")) {
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, downlink_json);
        lua_setfield(L, -2, "json");
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static void set_slice(lua_State *L, const char *key, tg_slice value)
{
    lua_pushlstring(L, value.at, value.len);
    lua_setfield(L, -2, key);
}

static void push_downlink(lua_State *L, tg_slice device, const tg_delivery *d)
{
    lua_createtable(L, 0, 8);
    set_slice(L, "topic", d->msg->topic);
    set_slice(L, "payload", d->msg->payload);
    if (device.len > 0)
        set_slice(L, "device", device);
    lua_pushinteger(L, d->qos);
    lua_setfield(L, -2, "qos");
    lua_pushboolean(L, d->retain);
    lua_setfield(L, -2, "retain");
    lua_pushboolean(L, d->dup);
    lua_setfield(L, -2, "dup");
    lua_pushinteger(L, (lua_Integer)d->msg->created);
    lua_setfield(L, -2, "time");
    lua_pushinteger(L, d->expiry_s);
    lua_setfield(L, -2, "expiry");
    luaL_setmetatable(L, "tidegate.downlink");
}

static void acknowledge(tg_task *t, bool good)
{
    const tg_session_api *api = t->script->unit->env.session;
    if (t->qos == 0)
        return;
    if (!good) {
        api->ack(t->session, t->packet_id, TG_ACK_REFUSED);
        return;
    }
    if (t->qos == 2)
        api->ack(t->session, t->packet_id, TG_ACK_RECEIVED);
    api->ack(t->session, t->packet_id, TG_ACK_DONE);
}

/// A handler that returns nil or false and why not has refused the message.
static void downlink_done(tg_task *t, int code, int nres)
{
    bool good = code == 0;
    if (good && nres >= 2 && !lua_toboolean(t->co, -nres) && !lua_isnil(t->co, 1 - nres)) {
        good = false;
        lua_State *co = t->co;
        lua_pushvalue(co, 1 - nres);
        if (lua_istable(co, -1)) { // raw: nobody would catch what a metamethod raises
            lua_pushliteral(co, "message");
            lua_rawget(co, -2);
        }
        size_t len = 0;
        const char *why = lua_tolstring(co, -1, &len);
        if (t->conn->open && why != NULL)
            t->script->unit->env.conn->complain(t->conn->handle, TG_E_INVAL,
                                                (tg_slice){why, len});
    }
    acknowledge(t, good);
}

/// Member `from` of the table at `index` becomes `to` of the arguments on the top, where
/// there are some and they lack it.
static void set_member(lua_State *L, int index, const char *from, const char *to)
{
    if (!lua_istable(L, -1))
        return;
    bool missing = lua_getfield(L, -1, to) == LUA_TNIL;
    lua_pop(L, 1);
    if (missing && lua_getfield(L, index, from) != LUA_TNIL)
        lua_setfield(L, -2, to);
    else if (missing)
        lua_pop(L, 1);
}

/// Copies a member of the JSON object at `index`, where it is one and has it.
static void copy_member(lua_State *L, int index, const char *from, const char *to)
{
    if (lua_istable(L, index) && lua_getfield(L, index, from) != LUA_TNIL)
        lua_setfield(L, -2, to);
    else if (lua_istable(L, index))
        lua_pop(L, 1);
}

/// Pushes what is told of a message down that is no command.
static void push_refusal(lua_State *L, const char *why)
{
    lua_createtable(L, 0, 3);
    set_slice(L, "type", TG_LIT("command"));
    if (lua_getfield(L, 2, "device") == LUA_TSTRING)
        lua_setfield(L, -2, "device");
    else
        lua_pop(L, 1);
    lua_createtable(L, 0, 5);
    set_slice(L, "state", TG_LIT("refused"));
    set_slice(L, "error", tg_str(why));
    tg_lua_push_time(L, tg_script_of(L)->unit->env.timer->clock());
    lua_setfield(L, -2, "time");
    copy_member(L, 4, "command", "command");
    copy_member(L, 4, "id", "correlation_id");
    lua_setfield(L, -2, "data");
}

/// A message down that is no command is its sender's mistake, not the script's: it is told as
/// `refused` where the fate of commands goes, counted as a complaint, and not acknowledged.
/// Stack: connection, message, commands, what the message is in JSON; `why` on the top.
static int refuse_command(lua_State *L)
{
    const char *why = lua_tostring(L, -1);
    lua_getfield(L, 1, "publish");
    lua_pushvalue(L, 1);
    push_refusal(L, why);
    if (lua_pcall(L, 2, 0, 0) !=
        LUA_OK) // a topic of more names than we know cannot be filled
        lua_pop(L, 1);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/// Without an on_downlink, {"command": name, "args": {…}} runs one of the adapter's
/// commands. Stack: connection, message, commands.
static int run_command(lua_State *L)
{
    luaL_checkstack(L, 16, NULL);
    lua_pushcfunction(L, downlink_json);
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    if (!lua_istable(L, 4) || lua_getfield(L, 4, "command") != LUA_TSTRING) {
        lua_pushliteral(L,
                        "a message down must be {\"command\": name, \"args\": …} in JSON");
        return refuse_command(L);
    }
    const char *name = lua_tostring(L, 5);
    if (!lua_istable(L, 3) || lua_getfield(L, 3, name) != LUA_TFUNCTION) {
        lua_pushfstring(L, "no such command '%s'", name);
        return refuse_command(L);
    }
    lua_pushvalue(L, 1);
    if (lua_getfield(L, 4, "args") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    if (!lua_istable(L, -1)) {
        lua_pushliteral(L, "'args' must be an object");
        return refuse_command(L);
    }
    set_member(L, 2, "device", "device");
    set_member(L, 4, "id", "correlation_id");
    lua_callk(L, 2, 2, 0, tg_lua_return_two);
    return 2;
}

int tg_lua_return_two(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 2;
}

void tg_lane_downlink(tg_lane *lane, tg_session s, const tg_delivery *d)
{
    tg_lconn *c = lane->conn;
    bool handler = c->app->handler[TG_ON_DOWNLINK] != LUA_NOREF;
    tg_task *t =
        tg_lane_task(lane, handler ? "on_downlink" : "command", TG_BUDGET_HANDLER_US);
    if (t == NULL)
        return;
    if (handler)
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->handler[TG_ON_DOWNLINK]);
    else
        lua_pushcfunction(t->co, run_command);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
    const tg_bound *b = tg_conn_bound_of(c, s);
    push_downlink(t->co, b != NULL ? (tg_slice){b->id, b->len} : (tg_slice){0}, d);
    if (!handler)
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->commands);
    t->session = s;
    t->packet_id = d->packet_id;
    t->qos = d->qos;
    t->done = downlink_done;
    tg_task_start(t, handler ? 2 : 3);
}

// ---- messages for devices that are away -----------------------------------------------

// Who sends to devices that are away may do so faster than a handler that asks a database.
#define AWAY_MAX 1024u

typedef struct away_job {
    tg_job job;
    int fn, message;
    int reason;
} away_job;

static void away_done(tg_task *t, int code, int nres)
{
    (void)code;
    (void)nres;
    t->script->aways--;
}

static void run_away(tg_job *j)
{
    away_job *k = TG_OWNER(j, away_job, job);
    tg_script *s = j->script;
    tg_task *t = tg_task_new(s, "on_away", TG_BUDGET_HANDLER_US);
    if (t != NULL) {
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->fn);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->message);
        lua_pushstring(t->co, k->reason == 0              ? "queued"
                              : k->reason == TG_E_TIMEOUT ? "expired"
                                                          : "refused");
    }
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, k->message);
    free(k);
    if (t == NULL) {
        s->aways--;
        return;
    }
    t->done = away_done;
    tg_task_start(t, 2);
}

static void drop_away(tg_job *j)
{
    j->script->aways--;
    free(TG_OWNER(j, away_job, job));
}

/// There is no connection: the handler may only publish, store and ask.
void tg_adapter_away(const tg_adapter *self, tg_slice device, tg_msg m, int reason)
{
    const tg_offer *offer = TG_OWNER(self, tg_offer, adapter);
    const tg_unit_lua *u = offer->unit;
    tg_script *s = u->scripts[u->env.host->worker()];
    int fn = s != NULL ? s->apps[offer->index].handler[TG_ON_AWAY] : LUA_NOREF;
    if (fn == LUA_NOREF)
        return;
    away_job *k = s->aways < AWAY_MAX ? calloc(1, sizeof(*k)) : NULL;
    if (k == NULL) {
        u->env.metric->add((uint32_t)u->untold_metric, 1);
        return;
    }
    s->aways++;
    uint64_t now = u->env.timer->clock();
    tg_delivery d = {.size = sizeof(d), .qos = m->qos, .retain = m->retain, .msg = m};
    if (m->expires > now)
        d.expiry_s = (uint32_t)((m->expires - now + 999) / 1000);
    // It may be this very script that published: the memory limit is off, so nothing raises.
    bool in_script = s->vm.in_script;
    s->vm.in_script = false;
    push_downlink(s->vm.L, device, &d);
    k->message = luaL_ref(s->vm.L, LUA_REGISTRYINDEX);
    s->vm.in_script = in_script;
    k->fn = fn;
    k->reason = reason;
    k->job = (tg_job){.script = s, .run = run_away, .drop = drop_away};
    tg_list_init(&k->job.node);
    tg_bench_queue(s->bench, &k->job);
    tg_bench_settle(s->bench);
}
