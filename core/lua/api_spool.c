// SPDX-License-Identifier: Apache-2.0
// tg.spool: queues of bytes that outlive a restart. Every call but open() waits for the spool's
// worker, and for the store where something changes.
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

#define SPOOL_TYPE "tidegate.spool"
#define SPOOL_MAGIC 0x5b001a01u

typedef struct script_spool {
    uint32_t magic;
    tg_spool handle; ///< 0 while the plugin declares itself
} script_spool;

static const script_spool *check_spool(lua_State *L)
{
    const script_spool *q = luaL_checkudata(L, 1, SPOOL_TYPE);
    luaL_argcheck(L, q->magic == SPOOL_MAGIC, 1, "a spool");
    return q;
}

typedef struct spool_options {
    int64_t max_bytes, max_count, max_age, when_full;
} spool_options;

static const char *const WHEN_FULL[] = {"drop", "refuse", NULL};

#define AT(m) offsetof(spool_options, m)
static const tg_option spool_table[] = {
    {.name = "max_bytes",
     .type = TG_OPT_SIZE,
     .offset = AT(max_bytes),
     .fallback = "64MiB",
     .min = 1,
     .max = 1e15},
    {.name = "max_count", .type = TG_OPT_INT, .offset = AT(max_count), .max = 1e15},
    {.name = "max_age", .type = TG_OPT_DURATION, .offset = AT(max_age), .max = 1e13},
    {.name = "when_full",
     .type = TG_OPT_ENUM,
     .offset = AT(when_full),
     .fallback = "drop",
     .choices = WHEN_FULL},
    {.name = NULL},
};
#undef AT

static void read_options(lua_State *L, tg_spool_spec *spec)
{
    spool_options o = {0};
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value v = {.kind = TG_MAP};
    int rc = lua_isnoneornil(L, 2) ? 0 : tg_lua_to_value(L, 2, &arena, &v, &e);
    if (rc == 0)
        rc = tg_options_read(spool_table, &v, &o, NULL, "tg.spool.open", &e);
    tg_arena_free(&arena);
    if (rc != 0)
        luaL_error(L, "%s", e.message);
    spec->max_bytes = (uint64_t)o.max_bytes;
    spec->max_count = (uint64_t)o.max_count;
    spec->max_age_ms = (uint64_t)o.max_age;
    spec->refuse = o.when_full == 1;
}

static int spool_open(lua_State *L) // (-0 +1..2): name, options
{
    tg_script *s = tg_script_of(L);
    tg_spool_spec spec = {.size = sizeof(spec)};
    tg_lua_check_effects(L, "tg.spool.open");
    spec.name.at = luaL_checklstring(L, 1, &spec.name.len);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    read_options(L, &spec);
    script_spool *q = lua_newuserdatauv(L, sizeof(*q), 0);
    *q = (script_spool){.magic = SPOOL_MAGIC};
    luaL_setmetatable(L, SPOOL_TYPE);
    if (s->declaring)
        return 1;
    const tg_spool_api *api = s->unit->env.spool;
    int rc = api != NULL ? api->open(&spec, &q->handle) : TG_E_UNSUPPORTED;
    return rc == 0 ? 1 : tg_lua_result(L, rc);
}

/// What a call that waits needs. @return the table; raises where waiting is not possible.
static const tg_spool_api *begin(lua_State *L, const char *what, tg_wait **w)
{
    tg_task *t = tg_wait_check(L, what);
    *w = tg_lua_wait_new(t);
    return *w != NULL ? tg_script_of(L)->unit->env.spool : NULL;
}

static int end(lua_State *L, tg_wait *w, int rc)
{
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    return tg_lua_result(L, rc);
}

static int spool_push(lua_State *L) // (-0 +1..2): self, bytes
{
    const script_spool *q = check_spool(L);
    tg_slice bytes;
    tg_wait *w;
    bytes.at = luaL_checklstring(L, 2, &bytes.len);
    const tg_spool_api *api = begin(L, "spool:push", &w);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    return end(L, w,
               api != NULL ? api->push(q->handle, bytes, tg_wait_done, w)
                           : TG_E_UNSUPPORTED);
}

static int spool_peek(lua_State *L) // (-0 +1..2): self, n, wait
{
    const script_spool *q = check_spool(L);
    lua_Integer n = luaL_optinteger(L, 2, 1);
    luaL_argcheck(L, n >= 1 && n <= TG_SPOOL_PEEK_MAX, 2, "1 to 256 items");
    int64_t ms = lua_isnoneornil(L, 3) ? 0 : tg_lua_check_duration(L, 3);
    tg_wait *w;
    const tg_spool_api *api = begin(L, "spool:peek", &w);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    return end(L, w,
               api != NULL
                   ? api->peek(q->handle, (uint32_t)n, (uint32_t)ms, tg_wait_done, w)
                   : TG_E_UNSUPPORTED);
}

static int spool_ack(lua_State *L) // (-0 +1..2): self, id
{
    const script_spool *q = check_spool(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    luaL_argcheck(L, id >= 1, 2, "the id of an item");
    tg_wait *w;
    const tg_spool_api *api = begin(L, "spool:ack", &w);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    return end(L, w,
               api != NULL ? api->ack(q->handle, (uint64_t)id, tg_wait_done, w)
                           : TG_E_UNSUPPORTED);
}

static int spool_stats(lua_State *L) // (-0 +1..2): self
{
    const script_spool *q = check_spool(L);
    tg_wait *w;
    const tg_spool_api *api = begin(L, "spool:stats", &w);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    return end(L, w,
               api != NULL ? api->stats(q->handle, tg_wait_done, w) : TG_E_UNSUPPORTED);
}

void tg_lua_open_spool(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", spool_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"push", spool_push},
                                       {"peek", spool_peek},
                                       {"ack", spool_ack},
                                       {"stats", spool_stats},
                                       {NULL, NULL}};
    if (luaL_newmetatable(L, SPOOL_TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
