// SPDX-License-Identifier: Apache-2.0
// Requests to a device: send, and wait for its answer. The handler lets go of its lane
// while it waits, for the answer is a frame like any other. It comes by conn:answer(key,
// value), or as a decoded message whose fields are those of `match`.
#include "lua/conn.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

#define DEFAULT_MS 10000

typedef struct tg_request {
    tg_list node; ///< in the connection's; not in it once it has been answered
    tg_wait *wait;
    int key, match, value; ///< registry references
} tg_request;

static void unref(lua_State *L, int ref)
{
    luaL_unref(L, LUA_REGISTRYINDEX, ref); // ignores LUA_NOREF
}

static int push_answer(tg_wait *w, lua_State *co)
{
    tg_request *r = w->extra;
    int code = w->code, value = r->value;
    tg_list_del(&r->node);
    unref(co, r->key);
    unref(co, r->match);
    if (w->timer.id != 0)
        w->script->unit->env.timer->stop(w->timer);
    free(r);
    if (code < 0)
        return tg_lua_push_result(co, code, NULL);
    lua_rawgeti(co, LUA_REGISTRYINDEX, value);
    unref(co, value);
    return 1;
}

static void finish(tg_request *r, int code)
{
    tg_list_del(&r->node);
    tg_wait *w = r->wait;
    if (w->timer.id != 0)
        w->script->unit->env.timer->stop(w->timer);
    w->timer.id = 0;
    tg_wait_done(w, code, NULL);
}

static void on_timeout(void *ctx)
{
    tg_request *r = ctx;
    r->wait->timer.id = 0;
    finish(r, TG_E_TIMEOUT);
}

/// Takes the value on the top (popped) as the answer of `r`.
static void answer(tg_request *r, lua_State *L)
{
    r->value = luaL_ref(L, LUA_REGISTRYINDEX);
    finish(r, 0);
}

static bool fits(lua_State *L, int index, int match)
{
    bool same = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, match);
    lua_pushnil(L);
    while (same && lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        lua_rawget(L, index);
        same = lua_rawequal(L, -1, -2) == 1;
        lua_pop(L, same ? 2 : 3);
    }
    lua_pop(L, 1);
    return same;
}

bool tg_conn_match(tg_lconn *c, lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (!lua_istable(L, index) || !lua_checkstack(L, 8))
        return false;
    for (tg_list *n = c->extra->requests.next; n != &c->extra->requests; n = n->next) {
        tg_request *r = TG_OWNER(n, tg_request, node);
        if (r->match == LUA_NOREF || !fits(L, index, r->match))
            continue;
        lua_pushvalue(L, index);
        answer(r, L);
        return true;
    }
    return false;
}

void tg_conn_fail_requests(tg_lconn *c, int code)
{
    while (!tg_list_empty(&c->extra->requests))
        finish(TG_OWNER(c->extra->requests.next, tg_request, node), code);
}

/// Reads the options at 3; leaves the key at 4 and the match at 5. @return ms.
static int64_t read_options(lua_State *L)
{
    static const char *const names[] = {"timeout", "key", "match"};
    int64_t ms = DEFAULT_MS;
    if (!lua_istable(L, 3))
        luaL_error(L, "conn:request needs { key = … } or { match = { … } }");
    tg_lua_check_keys(L, 3, "conn:request", names, 3);
    if (lua_getfield(L, 3, "timeout") != LUA_TNIL)
        ms = tg_lua_check_duration(L, 4);
    lua_settop(L, 3);
    int key = lua_getfield(L, 3, "key");
    int match = lua_getfield(L, 3, "match");
    if (match != LUA_TNIL)
        luaL_checktype(L, 5, LUA_TTABLE);
    else if (key == LUA_TNIL)
        luaL_error(L, "conn:request needs { key = … } or { match = { … } }");
    return ms;
}

static int make_ref(lua_State *L, int index)
{
    if (lua_isnil(L, index))
        return LUA_NOREF;
    lua_pushvalue(L, index);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

int tg_conn_api_request(lua_State *L) // (-0 +1..2): self, message, options
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    lua_settop(L, 3);
    tg_task *t = tg_wait_check(L, "conn:request");
    int64_t ms = read_options(L);
    int rc = tg_conn_send_value(L, c, 2);
    if (rc == TG_E_INVAL && lua_gettop(L) == 7) // encode refused and said why
        return 2;
    if (rc != 0)
        return tg_lua_result(L, rc);
    int key = make_ref(L, 4), match = make_ref(L, 5);
    tg_conn_extra *own = tg_conn_own_extra(c);
    tg_request *r = own != NULL ? calloc(1, sizeof(*r)) : NULL;
    tg_wait *w = r != NULL ? tg_lua_wait_new(t) : NULL;
    if (w == NULL) {
        free(r);
        unref(L, key);
        unref(L, match);
        return tg_lua_result(L, TG_E_NOMEM);
    }
    *r = (tg_request){.wait = w, .key = key, .match = match, .value = LUA_NOREF};
    w->extra = r;
    w->push = push_answer;
    w->releases_lane = t->lane != NULL && t->conn == c;
    tg_list_add(&own->requests, &r->node);
    c->script->unit->env.timer->start((uint32_t)ms, 0, on_timeout, r, &w->timer);
    return tg_wait_yield(L, w);
}

int tg_conn_api_answer(lua_State *L) // (-0 +1): self, key, value
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_lua_check_effects(L, "conn:answer");
    luaL_checkany(L, 2);
    lua_settop(L, 3);
    for (tg_list *n = c->extra->requests.next; n != &c->extra->requests; n = n->next) {
        tg_request *r = TG_OWNER(n, tg_request, node);
        if (r->key == LUA_NOREF)
            continue;
        lua_rawgeti(L, LUA_REGISTRYINDEX, r->key);
        bool same = lua_rawequal(L, -1, 2) == 1;
        lua_pop(L, 1);
        if (!same)
            continue;
        if (lua_isnil(L, 3)) { // an answer without a value is still one
            lua_pop(L, 1);
            lua_pushboolean(L, 1);
        }
        answer(r, L);
        return lua_pushboolean(L, 1), 1;
    }
    return lua_pushboolean(L, 0), 1;
}
