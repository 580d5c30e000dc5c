// SPDX-License-Identifier: Apache-2.0
// What the guard against hostile scripts costs one that behaves: the same handler on a pooled
// coroutine in three ways. In the sandbox and watched, as the host runs it; in the sandbox with
// nobody watching, which leaves out what each callback pays for its budget; and in a bare Lua
// state with the stock libraries and uncounted memory. They take turns in short rounds, and the
// median of the rounds' quotients counts, so that a busy machine slows all of them.
#include <lauxlib.h>
#include <lualib.h>

#include "inproc.h"
#include "lua/guard.h"
#include "lua/vm.h"

enum { ROUNDS = 61, CALLS = 4000 };

// What adapters do: unpack a frame, look at a text, build a message, call a function that may
// fail, walk a list.
static const char handler[] =
    "local unpack, format = string.unpack, string.format\n"
    "local function checked(lat, lon)\n"
    "  if lat > 90 or lon > 180 then error 'no such place' end\n"
    "  return lat, lon\n"
    "end\n"
    "local names = { 'ignition', 'charging', 'armed', 'tracking', 'cut' }\n"
    "return function(frame)\n"
    "  local kind, year, month, day, hour, minute, second, sats, lat, lon, speed, course, "
    "serial =\n"
    "    unpack('>BBBBBBBBI4I4BI2I2', frame, 4)\n"
    "  local ok, x, y = pcall(checked, lat / 1800000, lon / 1800000)\n"
    "  if not ok then return nil end\n"
    "  if course & 0x400 == 0 then x = -x end\n"
    "  if course & 0x800 ~= 0 then y = -y end\n"
    "  local status = {}\n"
    "  for i, name in ipairs(names) do status[name] = course >> i & 1 == 1 end\n"
    "  local text = 'RELAY=' .. serial\n"
    "  local key, value = text:match '^(%u+)=(%d+)$'\n"
    "  return { type = 'location', seq = serial, [key] = tonumber(value), lat = x, lon = "
    "y,\n"
    "    speed = speed, course = course & 0x3ff, satellites = sats & 15, kind = kind,\n"
    "    time = format('20%02d-%02d-%02dT%02d:%02d:%02dZ', year, month, day, hour, minute, "
    "second),\n"
    "    status = status }\n"
    "end\n";

static const char frame[] =
    "\x78\x78\x1f\x12\x1a\x0b\x18\x08\x00\x05\xc9\x02\x6b\x3f\x3e\x0c\x22\xad"
    "\x65\x3c\x14\x8f\x01\xcc\x00\x28\x7d\x00\x1f\xb8\x00\x02\xab\xcd\r\n";

typedef struct side {
    tg_vm *vm; // NULL: nobody watches
    lua_State *L, *co;
    int fn;
} side;

static void call(side *s)
{
    int nres = 0, rc;
    lua_rawgeti(s->co, LUA_REGISTRYINDEX, s->fn);
    lua_pushlstring(s->co, frame, sizeof(frame) - 1);
    if (s->vm != NULL)
        rc = tg_vm_run(s->vm, s->co, "on_message", TG_BUDGET_HANDLER_US, 1, &nres);
    else
        rc = lua_resume(s->co, s->L, 1, &nres);
    if (rc != LUA_OK || nres != 1 || !lua_istable(s->co, -1))
        fail(lua_tostring(s->co, -1), NULL);
    lua_settop(s->co, 0);
}

static double round_of(side *s)
{
    double began = thread_seconds();
    for (int i = 0; i < CALLS; i++)
        call(s);
    return (thread_seconds() - began) / CALLS;
}

static void open_guarded(side *s, tg_vm *vm, tg_guard *guard)
{
    tg_error e = {0};
    if (tg_vm_open(vm, guard, TG_VM_MEMORY) != 0)
        fail("open", NULL);
    s->vm = vm;
    s->L = vm->L;
    if (luaL_loadbufferx(s->L, handler, sizeof(handler) - 1, "=handler", "t") != LUA_OK ||
        tg_vm_load(vm, &e) != 0)
        fail("load", &e);
}

static void open_bare(side *s)
{
    s->L = luaL_newstate();
    luaL_openlibs(s->L);
    lua_gc(s->L, LUA_GCINC, 160, 200, 12); // as the sandbox has it
    if (luaL_dostring(s->L, handler) != LUA_OK)
        fail(lua_tostring(s->L, -1), NULL);
}

static void make_ready(side *s)
{
    if (s->fn == 0)
        s->fn = luaL_ref(s->L, LUA_REGISTRYINDEX);
    s->co = lua_newthread(s->L);
    round_of(s);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *all)
{
    qsort(all, ROUNDS, sizeof(*all), by_value);
    return all[ROUNDS / 2];
}

enum { WATCHED, UNWATCHED, BARE, SIDES };

int main(void)
{
    static tg_guard guard;
    static tg_vm vm;
    static double seconds[SIDES][ROUNDS], watching[ROUNDS], sandbox[ROUNDS];
    side sides[SIDES] = {0};
    tg_monitor *monitor = tg_monitor_new();
    if (monitor == NULL || tg_guard_attach(&guard, monitor) != 0)
        fail("monitor", NULL);
    open_guarded(&sides[WATCHED], &vm, &guard);
    make_ready(&sides[WATCHED]);
    sides[UNWATCHED] = (side){.L = vm.L, .fn = sides[WATCHED].fn};
    make_ready(&sides[UNWATCHED]);
    open_bare(&sides[BARE]);
    make_ready(&sides[BARE]);
    for (int i = 0; i < ROUNDS; i++) {
        for (int n = 0; n < SIDES; n++)
            seconds[(i + n) % SIDES][i] = round_of(&sides[(i + n) % SIDES]);
        watching[i] = (seconds[WATCHED][i] / seconds[UNWATCHED][i] - 1) * 100;
        sandbox[i] = (seconds[WATCHED][i] / seconds[BARE][i] - 1) * 100;
    }
    result("a well-behaved handler", median(seconds[WATCHED]) * 1e6, "µs", 0, "less");
    result("cost of the guard on its CPU time", median(watching), "%", 3, "less");
    result("cost of sandbox and guard against bare Lua", median(sandbox), "%", 0, "less");
    tg_vm_close(&vm);
    lua_close(sides[BARE].L);
    tg_guard_detach(&guard);
    tg_monitor_free(monitor);
    return 0;
}
