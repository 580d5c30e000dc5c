// SPDX-License-Identifier: Apache-2.0
// Coroutines that the host can follow: it must know which one runs, to end it, and a wait
// in one of a script's own has to travel up to the host and its result back down.
#include "lua/lib.h"

#include <lauxlib.h>

#include "lua/guard.h"
#include "lua/vm.h"

enum { AS_RESUME, AS_WRAP };

static lua_State *check_co(lua_State *L, int index)
{
    lua_State *co = lua_tothread(L, index);
    luaL_argexpected(L, co != NULL, index, "coroutine");
    return co;
}

/// @return "running", "dead", "suspended" or "normal", as the manual defines them.
static const char *status_of(lua_State *L, lua_State *co)
{
    if (L == co)
        return "running";
    if (tg_vm_is_dead(co))
        return "dead";
    lua_Debug ar;
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar))
            return "normal";
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    default:
        return "dead";
    }
}

static int finish(lua_State *L, lua_State *co, int how, int status, int nres);

/// Behind a wait inside `co`: what the host answered goes down to it.
static int resume_after_wait(lua_State *L, int status, lua_KContext how)
{
    (void)status;
    lua_State *co = lua_tothread(L, 1);
    int nres, n = lua_gettop(L) - 1;
    tg_vm *vm = tg_vm_of(L);
    lua_xmove(L, co, n);
    int rc = tg_vm_resume(vm, L, co, n, &nres);
    return finish(L, co, (int)how, rc, nres);
}

static int fail(lua_State *L, lua_State *co, int how)
{
    if (how == AS_WRAP) {
        if (lua_type(L, -1) == LUA_TSTRING) {
            luaL_where(L, 1);
            lua_insert(L, -2);
            lua_concat(L, 2);
        }
        (void)co;
        return lua_error(L);
    }
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int finish(lua_State *L, lua_State *co, int how, int status, int nres)
{
    tg_vm *vm = tg_vm_of(L);
    if (tg_guard_killed(vm->guard)) {
        tg_vm_mark_dead(co);
        return luaL_error(L, "over its CPU budget");
    }
    if (status == LUA_YIELD && tg_vm_waits(vm)) {
        lua_settop(L, 1);
        return lua_yieldk(L, 0, how, resume_after_wait);
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return fail(L, co, how);
    }
    if (!lua_checkstack(L, nres + 1)) {
        lua_pop(co, nres);
        lua_pushliteral(L, "too many results to resume");
        return fail(L, co, how);
    }
    int first = how == AS_RESUME ? 1 : 0;
    if (first)
        lua_pushboolean(L, 1);
    lua_xmove(co, L, nres);
    return nres + first;
}

/// The coroutine is at index 1, its arguments above.
static int resume(lua_State *L, lua_State *co, int how)
{
    const char *status = status_of(L, co);
    int n = lua_gettop(L) - 1, nres;
    if (*status != 's') {
        lua_pushfstring(L, "cannot resume %s coroutine",
                        *status == 's'   ? "a"
                        : *status == 'd' ? "dead"
                                         : "non-suspended");
        return fail(L, co, how);
    }
    if (!lua_checkstack(co, n)) {
        lua_pushliteral(L, "too many arguments to resume");
        return fail(L, co, how);
    }
    lua_xmove(L, co, n);
    int rc = tg_vm_resume(tg_vm_of(L), L, co, n, &nres);
    return finish(L, co, how, rc, nres);
}

static int co_resume(lua_State *L)
{
    return resume(L, check_co(L, 1), AS_RESUME);
}

static int co_wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    return resume(L, lua_tothread(L, 1), AS_WRAP);
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, co_wrapped, 1);
    return 1;
}

static int co_yield (lua_State *L)
{
    if (tg_vm_is_task(tg_vm_of(L), L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, check_co(L, 1)));
    return 1;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? check_co(L, 1) : L;
    lua_pushboolean(L, lua_isyieldable(co) && !tg_vm_is_task(tg_vm_of(L), co));
    return 1;
}

static int co_running(lua_State *L)
{
    bool task = tg_vm_is_task(tg_vm_of(L), L);
    lua_pushthread(L);
    lua_pushboolean(L, task);
    return 2;
}

static int co_close(lua_State *L)
{
    lua_State *co = check_co(L, 1);
    const char *status = status_of(L, co);
    if (*status != 's' && *status != 'd')
        return luaL_error(L, "cannot close a %s coroutine", status);
    if (tg_vm_is_dead(co)) { // ended by the host: its __close handlers do not run any more
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "over its CPU budget");
        return 2;
    }
    tg_guard *g = tg_vm_of(L)->guard;
    tg_guard_switch(g, co);
    int rc = lua_resetthread(co);
    tg_guard_switch(g, L);
    if (tg_guard_killed(g)) {
        tg_vm_mark_dead(co);
        return luaL_error(L, "over its CPU budget");
    }
    lua_pushboolean(L, rc == LUA_OK);
    if (rc == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

void tg_lua_open_coroutine(lua_State *L)
{
    static const luaL_Reg ours[] = {
        {"create", co_create},   {"wrap", co_wrap},     {"resume", co_resume},
        {"yield", co_yield },    {"status", co_status}, {"isyieldable", co_isyieldable},
        {"running", co_running}, {"close", co_close},   {NULL, NULL},
    };
    luaL_newlib(L, ours);
}
