// SPDX-License-Identifier: Apache-2.0
// tg.auth.check{} asks the host's chain for the connection whose handler runs; tg.auth{}
// declares a backend of that chain in Lua. A backend that fails refuses: auth fails closed.
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/api.h"
#include "lua/conn.h"
#include "lua/lib.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

// ---- asking ---------------------------------------------------------------------------

static int push_verdict(tg_wait *w, lua_State *co)
{
    if (w->code == TG_AUTH_ALLOW) {
        if (w->value != NULL && w->value->kind == TG_MAP)
            tg_lua_push_value(co, w->value);
        else
            lua_newtable(co);
        return 1;
    }
    if (w->code < 0)
        return tg_lua_push_result(co, w->code, w->value);
    tg_slice reason = tg_value_str(w->value, "reason", TG_LIT("not authorized"));
    tg_error e = {.code = TG_E_DENIED};
    snprintf(e.message, sizeof(e.message), "%.*s", (int)reason.len, reason.at);
    return tg_lua_fail(co, &e);
}

/// The verdict is kept with the wait, so that push_verdict finds it either way.
static void on_verdict(void *ctx, int code, const tg_value *value)
{
    tg_wait *w = ctx;
    if (w->task != NULL && value != NULL)
        w->value = tg_value_copy(value);
    w->code = code;
    tg_wait_done(w, code, NULL);
}

static int read_extra(lua_State *L, tg_arena *arena, tg_value *out, tg_error *e)
{
    lua_pushliteral(L, "extra");
    lua_rawget(L, 1); // raw: the caller's wait is live
    int rc = lua_istable(L, -1) ? tg_lua_to_value(L, -1, arena, out, e) : 0;
    lua_pop(L, 1);
    return rc;
}

static int auth_check(lua_State *L) // (-0 +1..2): request
{
    static const char *const names[] = {"device", "client_id", "user", "password",
                                        "peer",   "extra",     "conn"};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    tg_lua_check_keys(L, 1, "tg.auth.check", names, 7);
    tg_task *t = tg_wait_check(L, "tg.auth.check");
    tg_lconn *c = t->conn;
    if (lua_getfield(L, 1, "conn") != LUA_TNIL)
        c = tg_lua_check_conn(L, -1);
    if (c == NULL)
        return luaL_error(L,
                          "tg.auth.check asks for a connection: use it in its handler, or "
                          "give conn = …");
    if (!c->open)
        return tg_lua_result(L, TG_E_CLOSED);
    tg_auth_request r = {.size = sizeof(r)};
    if (!tg_lua_string_field(L, 1, "device", &r.client_id))
        tg_lua_string_field(L, 1, "client_id", &r.client_id);
    tg_lua_string_field(L, 1, "user", &r.user);
    r.has_password = tg_lua_string_field(L, 1, "password", &r.password);
    tg_wait *w = tg_lua_wait_new(t);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    w->push = push_verdict;
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value extra = {.kind = TG_NIL};
    int rc = read_extra(L, &arena, &extra, &e);
    if (extra.kind == TG_MAP)
        r.extra = &extra;
    if (rc == 0)
        rc = t->script->unit->env.auth->check(c->handle, &r, on_verdict, w);
    tg_arena_free(&arena);
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    if (e.code != 0)
        return luaL_error(L, "tg.auth.check: extra.%s", e.message);
    return tg_lua_result(L, rc);
}

// ---- answering ------------------------------------------------------------------------

static void set_slice(lua_State *L, const char *key, tg_slice value)
{
    if (value.len == 0)
        return;
    lua_pushlstring(L, value.at, value.len);
    lua_setfield(L, -2, key);
}

static void push_request(lua_State *L, const tg_auth_request *r)
{
    lua_createtable(L, 0, 10);
    set_slice(L, "client_id", r->client_id);
    set_slice(L, "device", r->client_id);
    set_slice(L, "user", r->user);
    if (r->has_password) {
        lua_pushlstring(L, r->password.at != NULL ? r->password.at : "", r->password.len);
        lua_setfield(L, -2, "password");
    }
    set_slice(L, "peer", r->peer);
    set_slice(L, "listener", r->listener);
    set_slice(L, "adapter", r->adapter);
    set_slice(L, "cert_cn", r->cert_cn);
    lua_pushboolean(L, r->tls);
    lua_setfield(L, -2, "tls");
    if (r->extra != NULL) {
        tg_lua_push_value(L, r->extra);
        lua_setfield(L, -2, "extra");
    }
}

/// What the script's first result means. @return TG_E_SCRIPT: nothing that we know.
static int verdict_of(lua_State *co, int index)
{
    static const char *const words[] = {"allow", "deny", "next"};
    if (lua_isnil(co, index))
        return TG_AUTH_NEXT;
    if (lua_isboolean(co, index))
        return lua_toboolean(co, index) ? TG_AUTH_ALLOW : TG_AUTH_DENY;
    for (int i = 0; i < 3; i++)
        if (lua_type(co, index) == LUA_TSTRING &&
            strcmp(lua_tostring(co, index), words[i]) == 0)
            return i;
    return TG_E_SCRIPT;
}

static void check_done(tg_task *t, int code, int nres)
{
    const tg_host *host = t->script->unit->env.host;
    lua_State *co = t->co;
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value value = {.kind = TG_NIL};
    if (code != 0) {
        host->complete(t->op, code, NULL);
        return;
    }
    int verdict = nres == 0 ? TG_AUTH_NEXT : verdict_of(co, -nres);
    int second = 1 - nres;
    if (nres >= 2 && verdict == TG_AUTH_ALLOW && lua_istable(co, second)) {
        if (tg_lua_to_value(co, second, &arena, &value, &e) != 0)
            verdict = TG_E_SCRIPT;
    } else if (nres >= 2 && verdict == TG_AUTH_DENY &&
               lua_type(co, second) == LUA_TSTRING) {
        size_t len;
        const char *at = lua_tolstring(co, second, &len);
        tg_value_builder b = {.arena = &arena};
        tg_build(&b, "reason", tg_value_of_slice((tg_slice){at, len}));
        if (!arena.failed)
            value = tg_build_map(&b);
    }
    host->complete(t->op, verdict, value.kind == TG_MAP ? &value : NULL);
    tg_arena_free(&arena);
}

typedef struct check_job {
    tg_job job;
    tg_op op;
    int fn, request;
} check_job;

static void run_check(tg_job *j)
{
    check_job *k = TG_OWNER(j, check_job, job);
    tg_script *s = j->script;
    tg_task *t = tg_task_new(s, "auth check", TG_BUDGET_HANDLER_US);
    if (t != NULL) {
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->fn);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->request);
        t->op = k->op;
        t->done = check_done;
    } else {
        s->unit->env.host->complete(k->op, TG_E_NOMEM, NULL);
    }
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, k->request);
    free(k);
    if (t != NULL)
        tg_task_start(t, 1);
}

static void drop_check(tg_job *j)
{
    check_job *k = TG_OWNER(j, check_job, job);
    j->script->unit->env.host->complete(k->op, TG_E_RELOADED, NULL);
    free(k);
}

int tg_auth_check(const tg_auth_backend *self, const tg_auth_request *request, tg_op op)
{
    const tg_offer *offer = TG_OWNER(self, tg_offer, auth);
    tg_unit_lua *u = offer->unit;
    tg_script *s = u->scripts[u->env.host->worker()];
    check_job *k = s != NULL ? calloc(1, sizeof(*k)) : NULL;
    if (k == NULL)
        return s == NULL ? TG_E_SHUTDOWN : TG_E_NOMEM;
    // It may be this very script that asks: the memory limit is off, so nothing raises
    // here.
    bool in_script = s->vm.in_script;
    s->vm.in_script = false;
    push_request(s->vm.L, request);
    k->request = luaL_ref(s->vm.L, LUA_REGISTRYINDEX);
    s->vm.in_script = in_script;
    k->fn = s->auth_check[offer->index];
    k->op = op;
    k->job = (tg_job){.script = s, .run = run_check, .drop = drop_check};
    tg_list_init(&k->job.node);
    tg_bench_queue(s->bench, &k->job);
    tg_bench_settle(s->bench);
    return 0;
}

static int auth_declare(lua_State *L) // (-0 +1): tg.auth, options
{
    tg_script *s = tg_script_of(L);
    tg_error e = {0};
    tg_value options;
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!s->vm.loading)
        return luaL_error(L, "tg.auth{} declares, which only the main chunk can do");
    if (s->nauths == TG_UNIT_AUTHS)
        return luaL_error(L, "more than %d auth backends in one plugin", TG_UNIT_AUTHS);
    lua_settop(L, 2);
    if (lua_getfield(L, 2, "check") != LUA_TFUNCTION)
        return luaL_error(L, "tg.auth: check must be a function");
    lua_pushnil(L); // a function is no plain value
    lua_setfield(L, 2, "check");
    int rc = tg_lua_to_value(L, 2, &s->arena, &options, &e);
    if (rc == 0)
        rc = tg_auth_declare(&options, &s->arena, &s->auth_decls[s->nauths], &e);
    if (rc != 0)
        return luaL_error(L, "%s", e.message);
    s->auth_check[s->nauths++] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 2);
    return 1;
}

void tg_lua_open_auth(lua_State *L)
{
    static const luaL_Reg functions[] = {{"check", auth_check}, {NULL, NULL}};
    luaL_newlib(L, functions);
    tg_lua_freeze(L, "tidegate.auth");
    lua_getmetatable(L, -1);
    lua_pushcfunction(L, auth_declare);
    lua_setfield(L, -2, "__call");
    lua_pop(L, 1);
}
