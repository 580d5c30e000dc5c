// SPDX-License-Identifier: Apache-2.0
// Sending: bytes as they are, or a message that encode turns into bytes. Those of an
// escaped protocol are escaped here, as they were unescaped on their way in.
#include "lua/conn.h"

#include <lauxlib.h>

#include "lua/names.h"
#include "lua/value.h"

/// Calls encode with the message at `index`; the string is on the top then.
/// @return TG_E_INVAL with nil and why on the top: it refused.
static int encode(lua_State *L, tg_lconn *c, int index)
{
    tg_vm *vm = &c->script->vm;
    if (c->app->handler[TG_ON_ENCODE] == LUA_NOREF)
        return luaL_error(
            L, "the adapter has no encode function, so only strings can be sent");
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->handler[TG_ON_ENCODE]);
    lua_pushvalue(L, index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->ctx);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
    if (lua_getiuservalue(L, -1, 2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    lua_setfield(L, -3, "codec");
    lua_pop(L, 1);
    c->app->ctx_has_codec = true;
    const char *outer = vm->pure;
    vm->pure = "encode";
    int rc = lua_pcall(L, 2, 2, 0);
    vm->pure = outer;
    if (rc != LUA_OK)
        return lua_error(L);
    if (lua_type(L, -2) != LUA_TSTRING && !lua_isnil(L, -2))
        return luaL_error(
            L, "encode must return a string, or nil and why not; it returned a %s",
            luaL_typename(L, -2));
    if (lua_isnil(L, -2))
        return TG_E_INVAL;
    lua_pop(L, 1);
    return 0;
}

static int send_escaped(tg_lconn *c, tg_slice body)
{
    tg_buf *b = &c->script->text;
    tg_buf_clear(b);
    int rc = tg_framer_escape(c->app->decl->framer, 0, body, b);
    if (rc < 0 || b->failed)
        return rc < 0 ? rc : TG_E_NOMEM;
    return c->script->unit->env.conn->send(c->handle, tg_buf_slice(b));
}

int tg_conn_send_value(lua_State *L, tg_lconn *c, int index)
{
    tg_slice bytes;
    bool message = lua_istable(L, index);
    if (!c->open)
        return TG_E_CLOSED;
    if (message) {
        int rc = encode(L, c, index);
        if (rc != 0)
            return rc;
    } else {
        luaL_checktype(L, index, LUA_TSTRING);
        lua_pushvalue(L, index);
    }
    bytes.at = lua_tolstring(L, -1, &bytes.len);
    const tg_adapter_decl *d = c->app->decl;
    int rc = message && d->nframes > 0 && d->frames[0].kind == TG_FRAME_ESCAPED
                 ? send_escaped(c, bytes)
                 : c->script->unit->env.conn->send(c->handle, bytes);
    lua_pop(L, 1);
    return rc;
}

int tg_conn_api_send(lua_State *L) // (-0 +1..2): self, bytes or message
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_lua_check_effects(L, "conn:send");
    lua_settop(L, 2);
    int rc = tg_conn_send_value(L, c, 2);
    if (rc == TG_E_INVAL && lua_gettop(L) == 4)
        return 2;
    return tg_lua_result(L, rc);
}
