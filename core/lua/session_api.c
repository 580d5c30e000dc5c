// SPDX-License-Identifier: Apache-2.0
// Sessions of a connection. bind() opens the session and subscribes its down topic, and the
// handler goes on when both are in force: a command published right after the login
// arrives.
#include "lua/conn.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/mod.h"
#include "lua/names.h"
#include "lua/value.h"

// ---- the connection's sessions --------------------------------------------------------

tg_bound *tg_conn_find_session(const tg_lconn *c, tg_slice device)
{
    if (c->extra->more.count > 0)
        return tg_map_find(&c->extra->more, device);
    if (c->first != NULL && tg_slice_eq((tg_slice){c->first->id, c->first->len}, device))
        return c->first;
    return NULL;
}

tg_bound *tg_conn_bound_of(const tg_lconn *c, tg_session s)
{
    if (c->first != NULL && c->first->session.id == s.id)
        return c->first;
    uint32_t at = 0;
    tg_slice id;
    tg_bound *b;
    if (c->extra->more.count == 0)
        return NULL;
    if (c->script->unit->env.session->client_id(s, &id) == 0 &&
        (b = tg_map_find(&c->extra->more, id)) != NULL && b->session.id == s.id)
        return b;
    while ((b = tg_map_next(&c->extra->more, &at)) !=
           NULL) // it has ended: its name cannot be asked
        if (b->session.id == s.id)
            return b;
    return NULL;
}

static int remember(tg_lconn *c, tg_bound *b)
{
    tg_slice id = {b->id, b->len};
    if (c->first == NULL) {
        c->first = b;
        return 0;
    }
    if (tg_conn_own_extra(c) == NULL)
        return TG_E_NOMEM;
    if (c->extra->more.count == 0) {
        int rc =
            tg_map_add(&c->extra->more, (tg_slice){c->first->id, c->first->len}, c->first);
        if (rc != 0)
            return rc;
    }
    return tg_map_add(&c->extra->more, id, b);
}

void tg_conn_forget(tg_lconn *c, tg_bound *b)
{
    if (c->extra->more.count > 0)
        tg_map_del(&c->extra->more, (tg_slice){b->id, b->len});
    if (c->first == b) {
        uint32_t at = 0;
        c->first = c->extra->more.count > 0 ? tg_map_next(&c->extra->more, &at) : NULL;
    }
    free(b);
}

void tg_conn_forget_all(tg_lconn *c)
{
    while (c->first != NULL)
        tg_conn_forget(c, c->first);
    tg_conn_drop_extra(c);
}

// ---- bind -----------------------------------------------------------------------------

typedef struct bind_op {
    tg_wait *wait;
    tg_lconn *conn; ///< alive as long as the task waits
    tg_bound *bound;
    bool present;
} bind_op;

static int push_bound(tg_wait *w, lua_State *co)
{
    bind_op *op = w->extra;
    bool present = op->present;
    free(op->bound);
    free(op);
    if (w->code < 0)
        return tg_lua_push_result(co, w->code, w->value);
    lua_pushboolean(co, 1);
    lua_pushboolean(co, present);
    return 2;
}

static void finish_bind(bind_op *op, int code)
{
    if (op->wait->task == NULL) { // nobody waits: the script has ended
        tg_wait *w = op->wait;
        free(op->bound);
        free(op);
        tg_lua_wait_free(w);
        return;
    }
    tg_wait_done(op->wait, code, NULL);
}

static void on_subscribed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    bind_op *op = ctx;
    finish_bind(op, code);
}

/// The down topic of device `id`, in the script's scratch. @return 1; 0: there is none; TG_E_*.
static int write_down(tg_lconn *c, tg_slice id)
{
    const tg_template *t = &c->app->down;
    tg_buf *buf = &c->script->topic;
    if (t->count == 0)
        return 0;
    tg_buf_clear(buf);
    for (uint32_t i = 0; i < t->count; i++) {
        tg_slice text = t->part[i].text;
        if (!t->part[i].name)
            tg_buf_put(buf, text.at, text.len);
        else if (tg_slice_eq(text, TG_LIT("device")))
            tg_template_put(buf, id);
        else if (tg_slice_eq(text, TG_LIT("adapter")))
            tg_buf_puts(buf, c->app->decl->id);
        else
            return TG_E_INVAL;
    }
    return buf->failed ? TG_E_NOMEM : 1;
}

/// Subscribes the down topic. @return 1: on_subscribed follows; 0: there is none; TG_E_*.
static int subscribe_down(bind_op *op, tg_lconn *c, const tg_bound *b)
{
    tg_sub sub = {.size = sizeof(sub), .qos = 1, .flags = TG_SUB_RETAIN_IF_NEW};
    int rc = write_down(c, (tg_slice){b->id, b->len});
    if (rc <= 0)
        return rc;
    rc = c->script->unit->env.session->subscribe(
        b->session, tg_buf_slice(&c->script->topic), &sub, on_subscribed, op);
    return rc < 0 ? rc : 1;
}

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    bind_op *op = ctx;
    if (code < 0 || op->wait->task == NULL) {
        finish_bind(op, code);
        return;
    }
    tg_lconn *c = op->conn;
    tg_bound *b = op->bound;
    op->bound = NULL;
    op->present = present;
    tg_bound *old = tg_conn_find_session(c, (tg_slice){b->id, b->len});
    if (old != NULL) // two binds of one device at once: the later one holds
        tg_conn_forget(c, old);
    b->session = s;
    int rc = remember(c, b);
    if (rc != 0) {
        free(b);
        finish_bind(op, rc);
        return;
    }
    rc = subscribe_down(op, c, b);
    if (rc <= 0)
        finish_bind(op, rc);
}

typedef struct bind_options {
    tg_slice user;
    bool clean;
    int64_t expiry, window;
} bind_options;

#define AT(m) offsetof(bind_options, m)
static const tg_option bind_table[] = {
    {.name = "user", .type = TG_OPT_STR, .offset = AT(user)},
    {.name = "clean", .type = TG_OPT_BOOL, .offset = AT(clean)},
    {.name = "expiry", .type = TG_OPT_DURATION, .offset = AT(expiry)},
    {.name = "window", .type = TG_OPT_INT, .offset = AT(window), .min = 0, .max = 65535},
    {.name = NULL},
};
#undef AT

static uint32_t seconds_of(int64_t ms)
{
    int64_t s = ms / 1000;
    return s > (int64_t)UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)s;
}

/// Where commands wait for a device that is away, for those that have some. Not the topic of
/// this one but the template, so that all have the same attributes, which are kept once. Names
/// that begin with a $ are the host's: none of a site's own can stand for it.
static int add_down(tg_lconn *c, tg_arena *arena, tg_value *attributes)
{
    const tg_slice wild = TG_LIT("+#");
    int rc = c->app->commands != LUA_NOREF ? write_down(c, TG_LIT(TG_TEMPLATE_DEVICE)) : 0;
    if (rc <= 0)
        return rc;
    tg_slice topic = tg_buf_slice(&c->script->topic);
    if (memchr(topic.at, wild.at[0], topic.len) || memchr(topic.at, wild.at[1], topic.len))
        return 0;
    tg_value_builder b = {.arena = arena};
    for (size_t i = 0; i < attributes->map.count; i++) {
        const tg_pair *p = &attributes->map.pairs[i];
        if (tg_slice_eq(p->key, TG_LIT("$down")))
            continue;
        tg_build(&b, "", p->value);
        if (!arena->failed)
            b.pairs[b.count - 1].key = p->key;
    }
    tg_build(&b, "$down", tg_value_of_slice(tg_arena_copy(arena, topic)));
    if (arena->failed)
        return TG_E_NOMEM;
    *attributes = tg_build_map(&b);
    return 0;
}

/// Reads arguments 3 (attributes) and 4 (options) into `arena`.
static int read_bind(lua_State *L, tg_lconn *c, tg_arena *arena, tg_value *attributes,
                     tg_session_spec *spec, tg_error *e)
{
    bind_options o = {.expiry = -1};
    tg_value options = {.kind = TG_MAP};
    *attributes = (tg_value){.kind = TG_MAP};
    int rc = 0;
    if (!lua_isnil(L, 3))
        rc = tg_lua_to_value(L, 3, arena, attributes, e);
    if (rc == 0 && !lua_isnil(L, 4))
        rc = tg_lua_to_value(L, 4, arena, &options, e);
    bool own_expiry = tg_value_get(&options, "expiry") != NULL;
    if (rc == 0)
        rc = tg_options_read(bind_table, &options, &o, NULL, "conn:bind", e);
    if (rc != 0)
        return rc;
    spec->user = o.user.len > 0 ? o.user : tg_value_str(attributes, "user", (tg_slice){0});
    spec->clean_start = o.clean;
    spec->receive_max = (uint16_t)o.window;
    spec->expiry_s = seconds_of(own_expiry ? o.expiry : c->app->decl->expiry_ms);
    spec->attributes = attributes;
    return attributes->kind == TG_MAP ? add_down(c, arena, attributes) : 0;
}

/// The device is bound here already: it begins anew, and must not take itself over.
static void unbind_old(tg_lconn *c, tg_slice id)
{
    tg_bound *old = tg_conn_find_session(c, id);
    if (old == NULL)
        return;
    tg_session s = old->session;
    tg_conn_forget(c, old);
    c->script->unit->env.session->close(s, 0);
}

static bind_op *new_bind(tg_lconn *c, tg_task *t, tg_slice id)
{
    bind_op *op = calloc(1, sizeof(*op));
    tg_bound *b = calloc(1, offsetof(tg_bound, id) + id.len);
    tg_wait *w = op != NULL && b != NULL ? tg_lua_wait_new(t) : NULL;
    if (w == NULL) {
        free(op);
        free(b);
        return NULL;
    }
    b->len = (uint32_t)id.len;
    memcpy(b->id, id.at, id.len);
    *op = (bind_op){.wait = w, .conn = c, .bound = b};
    w->extra = op;
    w->push = push_bound;
    return op;
}

int tg_conn_api_bind(lua_State *L) // (-0 +1..2): self, id, attributes, options
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_slice id;
    lua_settop(L, 4);
    id.at = luaL_checklstring(L, 2, &id.len);
    luaL_argcheck(L, id.len > 0 && id.len <= 1024, 2, "1 to 1024 bytes");
    tg_task *t = tg_wait_check(L, "conn:bind");
    if (!c->open)
        return tg_lua_result(L, TG_E_CLOSED);
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value attributes;
    tg_session_spec spec = {.size = sizeof(spec), .client_id = id};
    int rc = read_bind(L, c, &arena, &attributes, &spec, &e);
    bind_op *op = rc == 0 ? new_bind(c, t, id) : NULL;
    if (op != NULL) {
        tg_vm_expect(L);
        unbind_old(c, id);
        rc = c->script->unit->env.session->open(c->handle, &spec, on_opened, op);
    } else if (rc == 0)
        rc = TG_E_NOMEM;
    tg_arena_free(&arena);
    if (e.code != 0)
        return luaL_error(L, "%s", e.message);
    if (rc == 0)
        return tg_wait_yield(L, op->wait);
    if (op != NULL) {
        tg_lua_wait_free(op->wait);
        free(op->bound);
        free(op);
    }
    return tg_lua_result(L, rc);
}

int tg_conn_api_unbind(lua_State *L) // (-0 +1..2): self, id
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    tg_slice id;
    tg_lua_check_effects(L, "conn:unbind");
    id.at = luaL_checklstring(L, 2, &id.len);
    tg_bound *b = tg_conn_find_session(c, id);
    if (b == NULL || !c->open)
        return tg_lua_result(L, TG_E_NOTFOUND);
    tg_session s = b->session;
    tg_conn_forget(c, b);
    return tg_lua_result(L, c->script->unit->env.session->close(s, 0));
}

int tg_conn_api_devices(lua_State *L) // (-0 +1): self
{
    tg_lconn *c = tg_lua_check_conn(L, 1);
    uint32_t at = 0;
    lua_Integer n = 0;
    tg_bound *b = c->extra->more.count == 0 ? c->first : tg_map_next(&c->extra->more, &at);
    lua_newtable(L);
    while (b != NULL) {
        lua_pushlstring(L, b->id, b->len);
        lua_rawseti(L, -2, ++n);
        b = c->extra->more.count == 0 ? NULL : tg_map_next(&c->extra->more, &at);
    }
    return 1;
}
