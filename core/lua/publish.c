// SPDX-License-Identifier: Apache-2.0
// Publishing: the topic from its template, the payload as JSON written straight from the
// message's table. Both go into buffers of the script that are used again for each message.
#include "lua/conn.h"

#include <lauxlib.h>

#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

/// The members that are looked at for every message: upvalues, so no name is hashed again.
enum {
    K_TOPIC = 1,
    K_PAYLOAD,
    K_MEMBERS,
    K_DATA,
    K_QOS,
    K_RETAIN,
    K_EXPIRY,
    K_DEVICE,
    K_TYPE,
    K_END
};

static const char *const keys[K_END] = {
    NULL,  "topic",  "payload", "members", "data",
    "qos", "retain", "expiry",  "device",  "type",
};

void tg_lua_push_publish(lua_State *L, lua_CFunction fn)
{
    for (int k = K_TOPIC; k < K_END; k++)
        lua_pushstring(L, keys[k]);
    lua_pushcclosure(L, fn, K_END - 1);
}

/// Pushes a member of the message. @return its type.
static int member(lua_State *L, int key)
{
    lua_pushvalue(L, lua_upvalueindex(key));
    return lua_rawget(L, 2);
}

/// What a name in a template stands for; pushed, the slice borrows it.
static bool push_part(lua_State *L, const tg_lconn *c, tg_slice name, tg_slice *out)
{
    bool device = tg_slice_eq(name, TG_LIT("device"));
    if (device || tg_slice_eq(name, TG_LIT("type"))) {
        lua_pushvalue(L, lua_upvalueindex(device ? K_DEVICE : K_TYPE));
    } else {
        lua_pushlstring(L, name.at, name.len);
    }
    int type = lua_rawget(L, 2);
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        out->at = lua_tolstring(L, -1, &out->len);
        return true;
    }
    if (device && c->first != NULL) {
        *out = (tg_slice){c->first->id, c->first->len};
        return true;
    }
    if (tg_slice_eq(name, TG_LIT("adapter"))) {
        *out = tg_str(c->app->decl->id);
        return true;
    }
    return false;
}

static tg_slice fill_topic(lua_State *L, tg_script *s, const tg_lconn *c)
{
    const tg_template *t = &c->app->topic;
    tg_buf_clear(&s->topic);
    for (uint32_t i = 0; i < t->count; i++) {
        const tg_template_part *p = &t->part[i];
        if (!p->name) {
            tg_buf_put(&s->topic, p->text.at, p->text.len);
            continue;
        }
        tg_slice value = {0};
        if (!push_part(L, c, p->text, &value))
            luaL_error(L, "publish: the topic needs '%s', which the message does not have",
                       lua_pushlstring(L, p->text.at, p->text.len));
        tg_template_put(&s->topic, value);
        lua_pop(L, 1);
    }
    if (s->topic.failed)
        luaL_error(L, "out of memory");
    return tg_buf_slice(&s->topic);
}

static tg_slice write_payload(lua_State *L, tg_script *s, const char *what)
{
    tg_error e = {0};
    tg_buf_clear(&s->text);
    if (lua_isnil(L, -1))
        luaL_error(L, "%s: the message has none of 'payload', 'members', 'data'", what);
    if (tg_lua_json_write(L, -1, &s->text, &e) != 0)
        luaL_error(L, "%s: data cannot be written as JSON: %s", what, e.message);
    return tg_buf_slice(&s->text);
}

/// The string on the top, behind a comma where one is due.
static void put_members(lua_State *L, tg_script *s, const char *what)
{
    tg_slice part;
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "%s: 'members' must be a string or a list of strings", what);
    part.at = lua_tolstring(L, -1, &part.len);
    if (part.len > 0 && s->text.len > 1)
        tg_buf_putc(&s->text, ',');
    tg_buf_put(&s->text, part.at, part.len);
}

/// JSON members, on the top, between braces: who adds some of his own to those of a layout
/// need not make a string of all of them.
static tg_slice join_members(lua_State *L, tg_script *s, const char *what)
{
    bool list = lua_istable(L, -1);
    lua_Integer n = list ? (lua_Integer)lua_rawlen(L, -1) : 0;
    tg_buf_clear(&s->text);
    tg_buf_putc(&s->text, '{');
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        put_members(L, s, what);
        lua_pop(L, 1);
    }
    if (!list)
        put_members(L, s, what);
    tg_buf_putc(&s->text, '}');
    if (s->text.failed)
        luaL_error(L, "out of memory");
    return tg_buf_slice(&s->text);
}

/// Pushes what the slice borrows.
static tg_slice payload_of(lua_State *L, tg_script *s, const char *what)
{
    tg_slice bytes;
    int type = member(L, K_PAYLOAD);
    if (type == LUA_TSTRING) {
        bytes.at = lua_tolstring(L, -1, &bytes.len);
        return bytes;
    }
    if (type != LUA_TNIL)
        return write_payload(L, s, what);
    if (member(L, K_MEMBERS) != LUA_TNIL)
        return join_members(L, s, what);
    member(L, K_DATA);
    return write_payload(L, s, what);
}

static uint8_t qos_of(lua_State *L)
{
    int type = member(L, K_QOS);
    lua_Integer n = type == LUA_TNIL ? 0 : lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    if (n < 0 || n > 2)
        luaL_error(L, "publish: 'qos' must be 0, 1 or 2");
    lua_pop(L, 1);
    return (uint8_t)n;
}

static bool retain_of(lua_State *L)
{
    member(L, K_RETAIN);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static uint32_t expiry_of(lua_State *L)
{
    uint32_t seconds = 0;
    if (member(L, K_EXPIRY) != LUA_TNIL)
        seconds = (uint32_t)(tg_lua_check_duration(L, lua_gettop(L)) / 1000);
    lua_pop(L, 1);
    return seconds;
}

/// A string member: borrowed from the message. @return false when it is none.
static bool string_of(lua_State *L, int key, tg_slice *out)
{
    bool found = member(L, key) == LUA_TSTRING;
    if (found)
        out->at = lua_tolstring(L, -1, &out->len);
    lua_pop(L, 1);
    return found;
}

/// The session that speaks: of the message's device, or the connection's only one.
static const tg_bound *speaker(lua_State *L, const tg_lconn *c)
{
    tg_slice device;
    if (c->extra->more.count > 0 && string_of(L, K_DEVICE, &device))
        return tg_conn_find_session(c, device);
    return c->first;
}

static int publish(lua_State *L, tg_script *s, const tg_lconn *c, const char *what)
{
    const tg_env *env = &s->unit->env;
    tg_lua_check_effects(L, what);
    luaL_checktype(L, 2, LUA_TTABLE);
    tg_msg_spec spec = {.size = sizeof(spec)};
    spec.qos = qos_of(L);
    spec.retain = retain_of(L);
    spec.expiry_s = expiry_of(L);
    if (!string_of(L, K_TOPIC, &spec.topic)) {
        if (c == NULL || c->app->topic.count == 0)
            return luaL_error(L, "%s: the message has no 'topic'", what);
        spec.topic = fill_topic(L, s, c);
    }
    spec.payload = payload_of(L, s, what);
    const tg_bound *from = c != NULL ? speaker(L, c) : NULL;
    if (s->declaring)
        return lua_pushboolean(L, 1), 1;
    if (from != NULL)
        spec.publisher = (tg_slice){from->id, from->len};
    tg_msg m = env->msg->new (&spec);
    if (m == NULL)
        return tg_lua_result(L, TG_E_NOMEM);
    tg_session by = from != NULL ? from->session : (tg_session){0};
    int rc = env->session->publish(by, m, NULL, NULL);
    env->msg->unref(m);
    return tg_lua_result(L, rc);
}

int tg_conn_api_publish(lua_State *L) // (-0 +1..2): self, message
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    lua_settop(L, 2);
    return publish(L, c->script, c, "conn:publish");
}

int tg_lua_api_publish(lua_State *L) // (-0 +1..2): message
{
    tg_script *s = tg_script_of(L);
    lua_settop(L, 1);
    lua_pushnil(L);
    lua_insert(L, 1);
    return publish(L, s, NULL, "tg.publish");
}
