// SPDX-License-Identifier: Apache-2.0
// Memory is counted in the allocator. The limit holds while a script runs, when the error
// can be caught; what the host pushes between runs is small and bounded by other limits,
// and is always given, so that no error can arise where nobody would catch it. Collection
// is incremental and paid for by allocation; only the limit itself forces a whole cycle, in
// a callback that is about to fail.
#include "lua/vm.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "lua/lib.h"

_Static_assert(LUA_VERSION_NUM == TG_LUA_VERSION, "plugins are told another Lua");

#define VM_MAGIC 0x10a57a7eu

#ifdef TG_SANITIZED // every block for itself, so that AddressSanitizer sees its ends
#define SMALL_MAX 0u
#else
#define SMALL_MAX TG_VM_SMALL
#endif
#define CHUNK 32768u
#define COLLECT_STEPS                                                                      \
    16 ///< of 50,000 objects or places in tables each: milliseconds in all
#define EXPECT_KB 32 ///< three to four times the garbage of a login

static unsigned class_of(size_t size)
{
    return (unsigned)((size + 15) / 16) - 1;
}

/// A block of class `c` off the newest chunk, or off a new one.
static void *carve(tg_vm *vm, unsigned c)
{
    size_t size = ((size_t)c + 1) * 16;
    if (vm->room_left < size) {
        char *chunk = malloc(CHUNK);
        if (chunk == NULL)
            return NULL;
        *(void **)(void *)chunk = vm->chunks;
        vm->chunks = chunk;
        vm->room = chunk + 16;
        vm->room_left = CHUNK - 16;
    }
    void *at = vm->room;
    vm->room += size;
    vm->room_left -= size;
    return at;
}

static void *take(tg_vm *vm, size_t size)
{
    if (size > SMALL_MAX)
        return malloc(size);
    unsigned c = class_of(size);
    void *at = vm->free[c];
    if (at == NULL)
        return carve(vm, c);
    vm->free[c] = *(void **)at;
    return at;
}

static void give(tg_vm *vm, void *at, size_t size)
{
    if (size > SMALL_MAX) {
        free(at);
        return;
    }
    unsigned c = class_of(size);
    *(void **)at = vm->free[c];
    vm->free[c] = at;
}

static void *resize(tg_vm *vm, void *at, size_t old, size_t size)
{
    if (old > SMALL_MAX && size > SMALL_MAX)
        return realloc(at, size);
    if (old <= SMALL_MAX && size <= SMALL_MAX && class_of(old) == class_of(size))
        return at;
    void *to = take(vm, size);
    if (to == NULL)
        return NULL;
    memcpy(to, at, old < size ? old : size);
    give(vm, at, old);
    return to;
}

static void *allocate(void *ud, void *at, size_t osize, size_t nsize)
{
    tg_vm *vm = ud;
    size_t old = at != NULL ? osize : 0;
    if (nsize == 0) {
        vm->used -= old;
        if (at != NULL)
            give(vm, at, old);
        return NULL;
    }
    if (nsize > old && vm->in_script &&
        (nsize > TG_VM_BLOCK || vm->used - old + nsize > vm->limit))
        return NULL;
    void *p = at == NULL ? take(vm, nsize) : resize(vm, at, old, nsize);
    if (p == NULL)
        return NULL;
    vm->used += nsize - old;
    if (vm->used > vm->peak)
        vm->peak = vm->used;
    return p;
}

static void free_chunks(tg_vm *vm)
{
    while (vm->chunks != NULL) {
        void *next = *(void **)vm->chunks;
        free(vm->chunks);
        vm->chunks = next;
    }
}

/// How far the heap may grow before the next collection begins: a small one far, since a
/// round over it costs the same whatever there is to collect; a big one must stay below its
/// limit.
static void tune(tg_vm *vm)
{
    size_t small = vm->limit / 16, middle = vm->limit / 5;
    int pause = vm->used < small ? 400 : vm->used < middle ? 200 : 140;
    vm->tune_above = vm->used < small ? small : vm->used < middle ? middle : SIZE_MAX;
    lua_gc(vm->L, LUA_GCINC, pause, 200, 12);
}

bool tg_vm_collect(tg_vm *vm)
{
    for (int i = 0; i < COLLECT_STEPS; i++)
        if (lua_gc(vm->L, LUA_GCSTEP, 0) != 0) {
            vm->rested = vm->used;
            return true;
        }
    return false;
}

void tg_vm_expect(lua_State *L)
{
    lua_gc(L, LUA_GCSTEP, EXPECT_KB);
}

static int on_panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    tg_log(LUA, ERROR, "unprotected error: %s", text != NULL ? text : "?");
    return 0;
}

static int gauge(void)
{
    return tg_metric_add_def(TG_GAUGE, "tidegate_lua_states", "",
                             "Lua states that are alive");
}

static int open_protected(lua_State *L)
{
    tg_lua_open_sandbox(L);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, TG_LUA_LOADED);
    return 0;
}

int tg_vm_open(tg_vm *vm, tg_guard *guard, size_t limit)
{
    memset(vm, 0, sizeof(*vm));
    vm->magic = VM_MAGIC;
    vm->limit = limit;
    vm->guard = guard;
    vm->L = lua_newstate(allocate, vm);
    if (vm->L == NULL) {
        free_chunks(vm);
        return TG_E_NOMEM;
    }
    lua_atpanic(vm->L, on_panic);
    *(tg_vm **)lua_getextraspace(vm->L) = vm;
    tune(vm);
    lua_pushcfunction(vm->L, open_protected);
    if (lua_pcall(vm->L, 0, 0, 0) != LUA_OK) {
        lua_close(vm->L);
        free_chunks(vm);
        vm->L = NULL;
        return TG_E_NOMEM;
    }
    tg_metric_add(gauge(), 1);
    return 0;
}

void tg_vm_close(tg_vm *vm)
{
    if (vm->L == NULL)
        return;
    assert(vm->magic == VM_MAGIC);
    lua_close(vm->L);
    free_chunks(vm);
    vm->L = NULL;
    vm->magic = 0;
    tg_metric_add(gauge(), -1);
}

int tg_vm_resume(tg_vm *vm, lua_State *from, lua_State *co, int nargs, int *nres)
{
    unsigned blocked = lua_isyieldable(from) ? 0 : 1;
    vm->nowait += blocked;
    tg_guard_switch(vm->guard, co);
    int rc = lua_resume(co, from, nargs, nres);
    tg_guard_switch(vm->guard, from);
    vm->nowait -= blocked;
    return rc;
}

int tg_vm_run(tg_vm *vm, lua_State *co, const char *what, uint32_t budget_us, int nargs,
              int *nres)
{
    assert(vm->magic == VM_MAGIC && vm->top == NULL);
    vm->top = co;
    vm->pure = NULL;
    vm->nowait = 0;
    vm->waiting = false;
    vm->in_script = true;
    tg_guard_prepare(co);
    tg_guard_enter(vm->guard, co, what, budget_us);
    int rc = lua_resume(co, vm->L, nargs, nres);
    bool killed = tg_guard_leave(vm->guard);
    vm->in_script = false;
    vm->top = NULL;
    if ((++vm->runs & 1023) == 0 || vm->used > vm->tune_above)
        tune(vm);
    if (killed) {
        tg_guard_note(co); // it may have ended in C, with no hook between
        lua_sethook(co, NULL, 0, 0);
        tg_vm_mark_dead(co);
        return TG_E_BUDGET;
    }
    if (rc == LUA_OK || rc == LUA_YIELD)
        return rc;
    return TG_E_SCRIPT;
}

void tg_vm_phase(tg_vm *vm, lua_State *L, const char *what, uint32_t budget_us)
{
    tg_guard_enter(vm->guard, L, what, budget_us);
}

static void explain_budget(tg_vm *vm, const char *what, uint32_t budget_us, char *text,
                           size_t len)
{
    tg_guard *g = vm->guard;
    snprintf(text, len, "%s: %s ran over its budget of %u ms of CPU time",
             g->where[0] != '\0' ? g->where : "?", what, budget_us / 1000u);
    g->where[0] = '\0';
    atomic_store_explicit(&g->spent, false, memory_order_relaxed);
}

/// The error value is on the top: a text, a table with a `message`, or something else.
static void explain_error(lua_State *co, const char *what, char *text, size_t len)
{
    int top = lua_gettop(co);
    if (lua_istable(co, -1) && lua_checkstack(co, 2)) {
        lua_pushliteral(co, "message");
        lua_rawget(co, -2);
    }
    if (lua_type(co, -1) == LUA_TSTRING)
        snprintf(text, len, "%s", lua_tostring(co, -1));
    else
        snprintf(text, len, "%s: error value is a %s", what, luaL_typename(co, top));
    lua_settop(co, top);
}

void tg_vm_explain(tg_vm *vm, lua_State *co, int code, const char *what, uint32_t budget_us,
                   bool trace, char *text, size_t len)
{
    if (code == TG_E_BUDGET) {
        explain_budget(vm, vm->guard->what != NULL ? vm->guard->what : what,
                       atomic_load(&vm->guard->budget_us), text, len);
        (void)budget_us;
    } else {
        explain_error(co, what, text, len);
    }
    if (!trace)
        return;
    luaL_traceback(vm->L, co, NULL, 0);
    size_t at = strlen(text);
    snprintf(text + at, len - at, "\n%s", lua_tostring(vm->L, -1));
    lua_pop(vm->L, 1);
}

int tg_vm_load(tg_vm *vm, tg_error *e)
{
    lua_State *L = vm->L;
    lua_State *co = lua_newthread(L);
    lua_insert(L, -2);
    lua_xmove(L, co, 1);
    int nres = 0;
    vm->loading = true;
    int rc = tg_vm_run(vm, co, "load", TG_BUDGET_LOAD_US, 0, &nres);
    vm->loading = false;
    if (rc == LUA_OK) {
        lua_settop(co, nres > 0 ? 1 : 0);
        lua_checkstack(co, 1);
        if (nres == 0)
            lua_pushnil(co);
        lua_xmove(co, L, 1);
        lua_remove(L, -2);
        return 0;
    }
    if (rc == LUA_YIELD) {
        lua_pop(L, 1);
        return tg_error_set(e, TG_E_SCRIPT, "the main chunk may not yield");
    }
    char text[400];
    tg_vm_explain(vm, co, rc, "load", TG_BUDGET_LOAD_US, false, text, sizeof(text));
    lua_pop(L, 1);
    return tg_error_set(e, rc, "%s", text);
}

void tg_lua_check_effects(lua_State *L, const char *what)
{
    const tg_vm *vm = tg_vm_of(L);
    if (vm->pure != NULL)
        luaL_error(L,
                   "%s has an effect, and %s may have none: it must be a pure function of "
                   "its arguments, to be tested and replayed without a host",
                   what, vm->pure);
}

void tg_vm_log(tg_vm *vm, tg_level level, tg_slice text)
{
    if (vm->log != NULL)
        vm->log(vm->owner, level, text);
    else
        tg_log_write(TG_MOD_LUA, level, NULL, 0, "%.*s", (int)text.len, text.at);
}
