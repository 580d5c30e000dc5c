// SPDX-License-Identifier: Apache-2.0
// tg.files: what devices upload, kept by the host. A name is a list of parts of any bytes; the
// path that comes of it is the host's business.
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/mod.h"
#include "lua/value.h"

/// The list at `index`. Raises what is wrong with it.
static uint32_t read_parts(lua_State *L, int index, tg_slice parts[TG_FILE_PARTS])
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, index);
    luaL_argcheck(L, n >= 2 && n <= TG_FILE_PARTS, index,
                  "2 to 8 parts: the device, folders, the name");
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index, "parts are strings");
        parts[i].at = lua_tolstring(L, -1, &parts[i].len); // the list holds them
        lua_pop(L, 1);
        luaL_argcheck(L, parts[i].len > 0, index, "no part may be empty");
    }
    return (uint32_t)n;
}

static int files_write(lua_State *L) // (-0 +1..2): parts, bytes
{
    tg_slice parts[TG_FILE_PARTS];
    tg_file_spec spec = {.size = sizeof(spec), .parts = parts};
    lua_settop(L, 2);
    spec.nparts = read_parts(L, 1, parts);
    spec.bytes.at = luaL_checklstring(L, 2, &spec.bytes.len);
    tg_task *t = tg_wait_check(L, "tg.files.write");
    const tg_files_api *api = t->script->unit->env.files;
    tg_wait *w = tg_lua_wait_new(t);
    if (w == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    int rc = api != NULL ? api->write(&spec, tg_wait_done, w) : TG_E_UNSUPPORTED;
    if (rc == 0)
        return tg_wait_yield(L, w);
    tg_lua_wait_free(w);
    return tg_lua_result(L, rc);
}

void tg_lua_open_files(lua_State *L)
{
    static const luaL_Reg functions[] = {{"write", files_write}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
