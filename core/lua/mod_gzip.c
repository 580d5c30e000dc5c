// SPDX-License-Identifier: Apache-2.0
// tg.gzip: what devices compressed. Pure, so that decode may use it.
#include <lauxlib.h>

#include "codec/inflate.h"
#include "lua/mod_util.h"

#define FALLBACK_MAX (64 * 1024)

static int gzip_decode(lua_State *L) // (-0 +1..2): bytes, max
{
    tg_slice data = tg_lua_check_slice(L, 1);
    lua_Integer max = luaL_optinteger(L, 2, FALLBACK_MAX);
    luaL_argcheck(L, max >= 0 && max <= TG_INFLATE_MAX, 2, "at most 1 MiB");
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    int rc = tg_inflate(data, (size_t)max, b);
    if (rc < 0) {
        tg_error e = {0};
        tg_error_set(&e, rc, "%s",
                     rc == TG_E_TOOBIG ? "more bytes than allowed"
                                       : "no gzip or zlib data, or not all of it");
        return tg_lua_fail(L, &e);
    }
    lua_pushlstring(L, b->at != NULL ? b->at : "", b->len);
    return 1;
}

int tg_lua_open_gzip(lua_State *L)
{
    static const luaL_Reg functions[] = {{"decode", gzip_decode}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
