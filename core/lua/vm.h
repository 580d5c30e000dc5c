// SPDX-License-Identifier: Apache-2.0
/// One Lua state with its sandbox, its memory budget and the guard of its thread.
/// Everything but tg_vm_close() stays on the thread that made it.
#ifndef TG_LUA_VM_H
#define TG_LUA_VM_H

#include <lua.h>

#include "base/error.h"
#include "lua/guard.h"
#include "tidegate/host.h"

#define TG_LUA_GLOBALS "tidegate.globals" ///< registry: the writable table of globals
#define TG_LUA_LOADED "tidegate.loaded" ///< registry: what require() has loaded

#define TG_VM_MEMORY ((size_t)32 << 20)
#define TG_VM_MEMORY_PER_CONN 4096u
/// The largest block of a script, however much memory its state may have: what the system's
/// functions do with one string cannot be interrupted.
#define TG_VM_BLOCK ((size_t)32 << 20)

#define TG_BUDGET_LOAD_US 500000u
#define TG_BUDGET_DECODE_US 20000u
#define TG_BUDGET_HANDLER_US 100000u

#define TG_VM_SMALL 256u ///< blocks up to here come from the state's own lists
#define TG_VM_CLASSES (TG_VM_SMALL / 16u)

typedef struct tg_vm {
    uint32_t magic;
    bool in_script; ///< the memory limit holds: an error can be caught
    bool waiting; ///< a wait has begun and the host has not seen its yield yet
    bool loading; ///< the main chunk runs: declarations are taken
    lua_State *L; ///< the main thread: never runs a script
    lua_State *top; ///< the coroutine that the host resumed; NULL none
    size_t used, peak, limit;
    tg_guard *guard; ///< of the thread that runs it
    const char *pure; ///< name of the running function that may not wait; NULL it may
    unsigned nowait; ///< C frames in between that cannot be left and come back to
    void (*log)(void *owner, tg_level level, tg_slice text);
    void *owner; ///< the script that it belongs to, or NULL
    const void *conn_type; ///< the metatable of connections
    uint32_t runs;
    size_t rested; ///< memory after the last round of idle time
    size_t tune_above; ///< memory at which the collector's pace is set anew
    void *free[TG_VM_CLASSES]; ///< free blocks by size, 16 bytes apart
    char *room; ///< what is left of the newest chunk
    size_t room_left;
    void *chunks; ///< all of them, linked
} tg_vm;

/// @return TG_E_NOMEM. `guard` may be set later, before the first run.
int tg_vm_open(tg_vm *vm, tg_guard *guard, size_t limit);
/// A bounded piece of collection, for idle time. @return a round is complete.
bool tg_vm_collect(tg_vm *vm);
/// An eighth or more has come to what the last of those rounds left.
static inline bool tg_vm_has_grown(const tg_vm *vm)
{
    return vm->used - vm->used / 8 > vm->rested;
}
/// Something that stays is coming in: the next round is brought nearer, as if there were much
/// more garbage than there is. Else a storm of logins leaves as much of that between what stays
/// as a busy state may have, for good.
void tg_vm_expect(lua_State *L);
/// Any thread, when no other uses it any more. Counted by the gauge tidegate_lua_states.
void tg_vm_close(tg_vm *vm);

static inline tg_vm *tg_vm_of(lua_State *L)
{
    uintptr_t p = *(uintptr_t *)lua_getextraspace(L);
    return (tg_vm *)(p & ~(uintptr_t)1);
}
/// A coroutine that was ended for its budget is never resumed or closed again.
static inline void tg_vm_mark_dead(lua_State *co)
{
    *(uintptr_t *)lua_getextraspace(co) |= 1;
}
static inline bool tg_vm_is_dead(lua_State *co)
{
    return (*(uintptr_t *)lua_getextraspace(co) & 1) != 0;
}
static inline bool tg_vm_is_task(const tg_vm *vm, const lua_State *L)
{
    return vm->top == L;
}
static inline bool tg_vm_waits(const tg_vm *vm)
{
    return vm->waiting;
}

/// From inside a script: resumes its coroutine `co`. @return as lua_resume.
int tg_vm_resume(tg_vm *vm, lua_State *from, lua_State *co, int nargs, int *nres);

/// The host runs `co` (function and arguments are on it, or it was suspended by a wait) as
/// one callback under `budget_us`. @param what names it in errors.
/// @return LUA_OK or LUA_YIELD with *nres results on `co`; TG_E_BUDGET: it was ended and
/// `co` must be dropped; TG_E_SCRIPT: the error value is on the top of `co`, its stack is
/// intact.
int tg_vm_run(tg_vm *vm, lua_State *co, const char *what, uint32_t budget_us, int nargs,
              int *nres);
/// Between two functions of one callback: a new budget and name from here on.
void tg_vm_phase(tg_vm *vm, lua_State *L, const char *what, uint32_t budget_us);

/// Raises in decode and encode: they have no effects. @param what names the function.
void tg_lua_check_effects(lua_State *L, const char *what);

/// Runs the function on the top of vm->L, with no arguments, under the load budget, and
/// leaves its one result there. @return TG_E_BUDGET, TG_E_SCRIPT with file:line in `e`.
int tg_vm_load(tg_vm *vm, tg_error *e);
/// Writes what ended a run into `text`, with the traceback of `co` when `trace`.
void tg_vm_explain(tg_vm *vm, lua_State *co, int code, const char *what, uint32_t budget_us,
                   bool trace, char *text, size_t len);

void tg_vm_log(tg_vm *vm, tg_level level, tg_slice text);

#endif
