// SPDX-License-Identifier: Apache-2.0
// tg.timer: each run is a handler of its own that may wait. A timer of a script ends with
// it.
#include <assert.h>
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/names.h"
#include "lua/value.h"

#define TIMER_TYPE "tidegate.timer"
#define TIMER_MAGIC 0x717e4001u

typedef struct script_timer {
    uint32_t magic;
    int ref, fn; ///< anchors, while it is armed or runs
    tg_script *script;
    struct tg_timer handle;
    tg_list node;
    bool armed, busy, repeats;
} script_timer;

static void release(script_timer *tm)
{
    lua_State *L = tm->script->vm.L;
    if (tm->armed || tm->busy || tm->ref == LUA_NOREF)
        return;
    tg_list_del(&tm->node);
    luaL_unref(L, LUA_REGISTRYINDEX, tm->fn);
    luaL_unref(L, LUA_REGISTRYINDEX, tm->ref);
    tm->ref = tm->fn = LUA_NOREF;
}

static void timer_done(tg_task *t, int code, int nres)
{
    (void)code;
    (void)nres;
    script_timer *tm = t->extra;
    tm->busy = false;
    release(tm);
}

static void on_timer(void *ctx)
{
    script_timer *tm = ctx;
    assert(tm->magic == TIMER_MAGIC);
    tg_script *s = tm->script;
    tg_bench *b = s->bench;
    tm->armed = tm->repeats;
    // A run that still waits takes the place of the next one.
    tg_task *t = tm->busy || b->running != NULL
                     ? NULL
                     : tg_task_new(s, "timer", TG_BUDGET_HANDLER_US);
    if (t == NULL)
        return;
    tm->busy = true;
    t->done = timer_done;
    t->extra = tm;
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, tm->fn);
    tg_task_start(t, 0);
    tg_bench_settle(b);
}

static int timer_new(lua_State *L, bool repeats) // (-0 +1): duration, function
{
    tg_script *s = tg_script_of(L);
    tg_lua_check_effects(L, "tg.timer");
    int64_t ms = tg_lua_check_duration(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, !repeats || ms >= 10, 1, "at least 10 ms");
    script_timer *tm = lua_newuserdatauv(L, sizeof(*tm), 0);
    *tm = (script_timer){.magic = TIMER_MAGIC,
                         .ref = LUA_NOREF,
                         .fn = LUA_NOREF,
                         .script = s,
                         .repeats = repeats};
    tg_list_init(&tm->node);
    luaL_setmetatable(L, TIMER_TYPE);
    if (s->declaring)
        return 1;
    lua_pushvalue(L, 2);
    tm->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    tm->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    tg_list_add(&s->timers, &tm->node);
    int rc = s->unit->env.timer->start((uint32_t)ms, repeats ? (uint32_t)ms : 0, on_timer,
                                       tm, &tm->handle);
    tm->armed = rc == 0;
    if (rc == 0)
        return 1;
    release(tm);
    return tg_lua_result(L, rc);
}

static int timer_after(lua_State *L)
{
    return timer_new(L, false);
}

static int timer_every(lua_State *L)
{
    return timer_new(L, true);
}

static int timer_stop(lua_State *L) // (-0 +1): self
{
    script_timer *tm = luaL_checkudata(L, 1, TIMER_TYPE);
    bool was = tm->armed;
    if (was)
        tm->script->unit->env.timer->stop(tm->handle);
    tm->armed = false;
    release(tm);
    lua_pushboolean(L, was);
    return 1;
}

void tg_lua_timers_end(tg_script *s)
{
    while (!tg_list_empty(&s->timers)) {
        script_timer *tm = TG_OWNER(s->timers.next, script_timer, node);
        if (tm->armed)
            s->unit->env.timer->stop(tm->handle);
        tm->armed = false;
        tg_list_del(&tm->node); // its anchors go with the state
    }
}

void tg_lua_open_timer(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"after", timer_after}, {"every", timer_every}, {NULL, NULL}};
    if (luaL_newmetatable(L, TIMER_TYPE)) {
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, timer_stop);
        lua_setfield(L, -2, "stop");
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
