// SPDX-License-Identifier: Apache-2.0
// The methods and fields of a connection. One C function finds both: a field of the
// methods' table is a function, or the number of a property.
#include "lua/conn.h"

#include <lauxlib.h>

#include "lua/names.h"
#include "lua/value.h"

enum { USER_STATE = 1, USER_CODEC = 2 };

typedef enum property {
    P_ID = 1,
    P_PEER,
    P_LISTENER,
    P_TRANSPORT,
    P_ADAPTER,
    P_DEVICE,
    P_STATE,
    P_CODEC,
    P_OPEN,
    P_OUTGOING,
    P_CERT,
} property;

/// As luaL_checkudata, but the metatable is compared by its address and not looked up by
/// name.
tg_lconn *tg_lua_check_conn(lua_State *L, int index)
{
    tg_lconn *c = lua_touserdata(L, index);
    if (c != NULL && lua_getmetatable(L, index)) {
        bool ours = lua_topointer(L, -1) == tg_vm_of(L)->conn_type;
        lua_pop(L, 1);
        if (ours && c->magic == TG_CONN_MAGIC)
            return c;
    }
    luaL_typeerror(L, index, "connection");
    return NULL;
}

static bool info_of(const tg_lconn *c, tg_conn_info *info)
{
    *info = (tg_conn_info){.size = sizeof(*info)};
    return c->open && c->script->unit->env.conn->info(c->handle, info) == 0;
}

static void push_slice(lua_State *L, tg_slice s)
{
    if (s.len > 0)
        lua_pushlstring(L, s.at, s.len);
    else
        lua_pushnil(L);
}

static const char *transport_name(uint32_t bit)
{
    switch (bit) {
    case TG_TCP:
        return "tcp";
    case TG_TLS:
        return "tls";
    case TG_UDP:
        return "udp";
    case TG_DTLS:
        return "dtls";
    case TG_WS:
        return "ws";
    default:
        return "?";
    }
}

/// conn.state: made when it is first asked for.
static void push_state(lua_State *L)
{
    if (lua_getiuservalue(L, 1, USER_STATE) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, USER_STATE);
}

static void push_property(lua_State *L, tg_lconn *c, property p)
{
    tg_conn_info info;
    switch (p) {
    case P_ID:
        lua_pushinteger(L, (lua_Integer)c->handle.id);
        break;
    case P_ADAPTER:
        lua_pushstring(L, c->app->decl->id);
        break;
    case P_STATE:
        push_state(L);
        break;
    case P_CODEC:
        lua_getiuservalue(L, 1, USER_CODEC);
        break;
    case P_OPEN:
        lua_pushboolean(L, c->open);
        break;
    case P_OUTGOING:
        lua_pushboolean(L, c->outgoing);
        break;
    case P_DEVICE:
        push_slice(L, c->first != NULL ? (tg_slice){c->first->id, c->first->len}
                                       : (tg_slice){0});
        break;
    default:
        if (!info_of(c, &info)) {
            lua_pushnil(L);
            break;
        }
        if (p == P_TRANSPORT)
            lua_pushstring(L, transport_name(info.transport));
        else
            push_slice(L, p == P_PEER   ? info.peer
                          : p == P_CERT ? info.cert_cn
                                        : info.listener);
        break;
    }
}

static int conn_index(lua_State *L) // upvalue: methods and properties
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    if (type == LUA_TNUMBER) {
        property p = (property)lua_tointeger(L, -1);
        lua_pop(L, 1);
        push_property(L, c, p);
    }
    return 1;
}

static int conn_newindex(lua_State *L)
{
    tg_lua_check_conn(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    bool state = strcmp(key, "state") == 0, codec = strcmp(key, "codec") == 0;
    if (!state && !codec)
        return luaL_error(L,
                          "a connection has no field '%s' to set; keep your own in "
                          "conn.state",
                          key);
    if (!lua_isnil(L, 3))
        luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    lua_setiuservalue(L, 1, state ? USER_STATE : USER_CODEC);
    return 0;
}

static int conn_tostring(lua_State *L)
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_conn_info info;
    if (!info_of(c, &info))
        lua_pushliteral(L, "connection (closed)");
    else
        lua_pushfstring(L, "connection %s", tg_conn_label(c, &info));
    return 1;
}

/// The code that a script's word for a reason stands for.
static int reason_code(tg_slice word)
{
    static const struct {
        const char *word;
        int code;
    } words[] = {{"auth", TG_E_DENIED},       {"denied", TG_E_DENIED},
                 {"protocol", TG_E_PROTOCOL}, {"idle", TG_E_IDLE},
                 {"timeout", TG_E_TIMEOUT},   {"malformed", TG_E_MALFORMED},
                 {"limit", TG_E_LIMIT},       {"normal", 0}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (tg_slice_eq(word, tg_str(words[i].word)))
            return words[i].code;
    return TG_E_PROTOCOL;
}

static int conn_close(lua_State *L) // (-0 +1..2): self, reason, text or error
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_slice word = TG_LIT("normal"), text = {0};
    tg_lua_check_effects(L, "conn:close");
    if (!lua_isnoneornil(L, 2))
        word.at = luaL_checklstring(L, 2, &word.len);
    if (lua_istable(L, 3)) {
        lua_getfield(L, 3, "message");
        text.at = lua_tolstring(L, -1, &text.len);
    } else if (!lua_isnoneornil(L, 3)) {
        text.at = luaL_checklstring(L, 3, &text.len);
    }
    if (!c->open)
        return tg_lua_result(L, TG_E_CLOSED);
    int code = reason_code(word);
    if (text.len == 0)
        text = word;
    return tg_lua_result(L, c->script->unit->env.conn->close(c->handle, code, text));
}

static int conn_idle(lua_State *L) // (-0 +1..2): self, duration; 0 switches it off
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_lua_check_effects(L, "conn:idle");
    int64_t ms = tg_lua_check_duration(L, 2);
    if (!c->open)
        return tg_lua_result(L, TG_E_CLOSED);
    return tg_lua_result(L, c->script->unit->env.conn->set_idle(c->handle, (uint32_t)ms));
}

static int conn_ready(lua_State *L)
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    if (!c->open)
        return tg_lua_result(L, TG_E_CLOSED);
    return tg_lua_result(L, c->script->unit->env.conn->ready(c->handle));
}

static int conn_pending(lua_State *L)
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    lua_pushinteger(L, c->open ? c->script->unit->env.conn->pending(c->handle) : 0);
    return 1;
}

static int conn_complain(lua_State *L) // (-0 +0): self, text
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_slice text;
    text.at = luaL_checklstring(L, 2, &text.len);
    if (c->open)
        c->script->unit->env.conn->complain(c->handle, TG_E_PROTOCOL, text);
    return 0;
}

void tg_lua_open_conn(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"send", tg_conn_api_send},

        {"bind", tg_conn_api_bind},
        {"unbind", tg_conn_api_unbind},
        {"devices", tg_conn_api_devices},
        {"request", tg_conn_api_request},
        {"answer", tg_conn_api_answer},
        {"close", conn_close},
        {"idle", conn_idle},
        {"ready", conn_ready},
        {"pending", conn_pending},
        {"complain", conn_complain},
        {NULL, NULL},
    };
    static const struct {
        const char *name;
        property p;
    } properties[] = {
        {"id", P_ID},           {"peer", P_PEER},         {"listener", P_LISTENER},
        {"state", P_STATE},     {"codec", P_CODEC},       {"transport", P_TRANSPORT},
        {"adapter", P_ADAPTER}, {"device", P_DEVICE},     {"open", P_OPEN},
        {"cert_cn", P_CERT},    {"outgoing", P_OUTGOING},
    };
    if (!luaL_newmetatable(L, TG_CONN_TYPE)) {
        lua_pop(L, 1);
        return;
    }
    tg_vm_of(L)->conn_type = lua_topointer(L, -1);
    luaL_newlib(L, methods);
    tg_lua_push_publish(L, tg_conn_api_publish);
    lua_setfield(L, -2, "publish");
    for (size_t i = 0; i < sizeof(properties) / sizeof(*properties); i++) {
        lua_pushinteger(L, properties[i].p);
        lua_setfield(L, -2, properties[i].name);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "tidegate.conn.members"); // for the list of names
    lua_pushcclosure(L, conn_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, conn_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, conn_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
