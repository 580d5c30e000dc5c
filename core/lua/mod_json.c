// SPDX-License-Identifier: Apache-2.0
// JSON in both directions. Writing is on the publish path: it goes into C memory, so it uses
// raw access only and reports instead of raising. Keys are sorted: the same message gives the
// same bytes on every worker. Keys and values of a table wait on the Lua stack, pair by pair.
#include <endian.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "codec/json_read.h"
#include "lua/mod_layout.h"

#define DEEP 32
#define PAIRS_HERE 64
#define PAIRS_MAX 65536 ///< sorting more cannot be interrupted in time

static const char array_key = 0; // its address: the metatable of arrays in the registry

typedef struct pair {
    uint64_t first; ///< eight bytes of the key as a number: most comparisons end there
    tg_slice key;
    int at; ///< stack index of the value
} pair;

typedef struct writer {
    lua_State *L;
    tg_buf *out;
    tg_error *e;
    size_t start; ///< of our text in `out`
    unsigned depth;
    tg_slice path[DEEP + 1]; ///< keys on the way; an element has its index in `index`
    lua_Integer index[DEEP + 1];
} writer;

void tg_lua_json_pushnull(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool tg_lua_json_isnull(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

static void push_array_mark(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "array");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

void tg_lua_json_markarray(lua_State *L)
{
    push_array_mark(L);
    lua_setmetatable(L, -2);
}

static bool is_marked(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

// ---- writing ------------------------------------------------------------------------------

static int fail(writer *w, int code, const char *what)
{
    char path[200];
    size_t at = 0;
    path[0] = '\0';
    for (unsigned d = 1; d <= w->depth && at < sizeof(path); d++) {
        if (w->path[d].at != NULL && w->path[d].len == 0)
            continue;
        int n =
            w->path[d].at != NULL
                ? snprintf(path + at, sizeof(path) - at, "%s%.*s", at > 0 ? "." : "",
                           (int)(w->path[d].len < 40 ? w->path[d].len : 40), w->path[d].at)
                : snprintf(path + at, sizeof(path) - at, "[%lld]", (long long)w->index[d]);
        at += n > 0 ? (size_t)n : 0;
    }
    return tg_error_set(w->e, code, "%s%s%s", path, at > 0 ? ": " : "", what);
}

static int put(writer *w, int at);

static int put_array(writer *w, int at, lua_Integer n)
{
    int rc = 0;
    w->path[w->depth] = (tg_slice){0};
    tg_buf_putc(w->out, '[');
    for (lua_Integer i = 1; i <= n && rc == 0; i++) {
        if (i > 1)
            tg_buf_putc(w->out, ',');
        w->index[w->depth] = i;
        lua_rawgeti(w->L, at, i);
        rc = put(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
    tg_buf_putc(w->out, ']');
    return rc;
}

static int compare(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
    int c = memcmp(x->key.at, y->key.at, n);
    return c != 0 ? c : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static uint64_t first_bytes(tg_slice key)
{
    uint64_t n = 0;
    memcpy(&n, key.at, key.len < sizeof(n) ? key.len : sizeof(n));
    return be64toh(n);
}

static void sort(pair *all, size_t n)
{
    if (n > 24) {
        qsort(all, n, sizeof(*all), compare);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        pair p = all[i];
        size_t k = i;
        for (; k > 0 && compare(&all[k - 1], &p) > 0; k--)
            all[k] = all[k - 1];
        all[k] = p;
    }
}

static int put_pairs(writer *w, pair *all, size_t n)
{
    int rc = 0;
    sort(all, n);
    tg_buf_putc(w->out, '{');
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (i > 0)
            tg_buf_putc(w->out, ',');
        w->path[w->depth] = all[i].key;
        tg_json_str(w->out, all[i].key);
        tg_buf_putc(w->out, ':');
        rc = put(w, all[i].at);
    }
    tg_buf_putc(w->out, '}');
    return rc;
}

/// Pushes all keys and values of the table at `at`, value above key. @return how many pairs;
/// -1: no room; -2: a key is no string.
static lua_Integer push_pairs(writer *w, int at)
{
    lua_State *L = w->L;
    lua_Integer n = 0;
    lua_pushnil(L);
    while (lua_next(L, at)) { // …, key, value
        if (lua_type(L, -2) != LUA_TSTRING)
            return -2;
        if (n == PAIRS_MAX || (n % 8 == 0 && !lua_checkstack(L, 24)))
            return -1;
        lua_pushvalue(L, -2);
        n++;
    }
    return n;
}

static int put_map(writer *w, int at)
{
    lua_State *L = w->L;
    int base = lua_gettop(L);
    lua_Integer n = push_pairs(w, at);
    if (n < 0)
        return n == -1 ? fail(w, TG_E_NOMEM, "too many members")
                       : fail(w, TG_E_INVAL, "a key that is no string");
    pair here[PAIRS_HERE];
    pair *all = n <= PAIRS_HERE ? here : malloc((size_t)n * sizeof(*all));
    if (all == NULL)
        return fail(w, TG_E_NOMEM, "out of memory");
    for (int i = 0; i < (int)n; i++) {
        all[i].key.at = lua_tolstring(L, base + 2 * i + 1, &all[i].key.len);
        all[i].at = base + 2 * i + 2;
        all[i].first = first_bytes(all[i].key);
    }
    int rc = put_pairs(w, all, (size_t)n);
    if (all != here)
        free(all);
    return rc;
}

/// A table whose keys are 1 to n and nothing else. @return n; -1: a map.
static lua_Integer array_size(lua_State *L, int at)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, at), seen = 0;
    if (n == 0)
        return is_marked(L, at) ? 0 : -1;
    lua_pushnil(L);
    while (lua_next(L, at)) {
        lua_pop(L, 1);
        if (++seen > n || !lua_isinteger(L, -1)) {
            lua_pop(L, 1);
            return -1;
        }
    }
    return seen == n ? n : -1;
}

static int put_table(writer *w, int at)
{
    if (w->depth == DEEP)
        return fail(w, TG_E_LIMIT, "nested deeper than 32 levels, or in a circle");
    if (!lua_checkstack(w->L, 8))
        return fail(w, TG_E_NOMEM, "out of memory");
    int top = lua_gettop(w->L);
    w->path[++w->depth] = TG_LIT(""); // nothing of it yet
    lua_Integer n = array_size(w->L, at);
    int rc = n >= 0 ? put_array(w, at, n) : put_map(w, at);
    w->depth--;
    lua_settop(w->L, top);
    return rc;
}

static int put(writer *w, int at)
{
    lua_State *L = w->L;
    tg_slice s;
    if (w->out->len - w->start >
        TG_LUA_TEXT_MAX) // holding itself twice, a table has no end
        return fail(w, TG_E_TOOBIG, "more than 4 MiB of text");
    switch (lua_type(L, at)) {
    case LUA_TNIL:
        tg_buf_put(w->out, "null", 4);
        return 0;
    case LUA_TBOOLEAN:
        tg_buf_puts(w->out, lua_toboolean(L, at) ? "true" : "false");
        return 0;
    case LUA_TNUMBER:
        if (lua_isinteger(L, at))
            tg_json_int(w->out, lua_tointeger(L, at));
        else
            tg_json_num(w->out, lua_tonumber(L, at));
        return 0;
    case LUA_TSTRING:
        s.at = lua_tolstring(L, at, &s.len);
        if (s.len > TG_LUA_TEXT_MAX)
            return fail(w, TG_E_TOOBIG, "a string of more than 4 MiB");
        tg_json_str(w->out, s);
        return 0;
    case LUA_TTABLE:
        return put_table(w, at);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, at) == NULL) {
            tg_buf_put(w->out, "null", 4);
            return 0;
        }
        break;
    default:
        break;
    }
    char what[60];
    snprintf(what, sizeof(what), "a %s has no form in JSON",
             lua_typename(L, lua_type(L, at)));
    return fail(w, TG_E_INVAL, what);
}

int tg_lua_json_write(lua_State *L, int index, tg_buf *out, tg_error *e)
{
    size_t start = out->len;
    int top = lua_gettop(L);
    writer w; // its paths are only read up to depth
    w.L = L;
    w.out = out;
    w.e = e;
    w.start = start;
    w.depth = 0;
    int rc = put(&w, lua_absindex(L, index));
    lua_settop(L, top);
    if (rc == 0 && out->failed)
        rc = tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    if (rc < 0)
        out->len = start;
    return rc;
}

// ---- reading ------------------------------------------------------------------------------

static void push_tree(lua_State *L, const tg_value *v);

static void push_list(lua_State *L, const tg_value *v)
{
    lua_createtable(L, (int)v->list.count, 0);
    for (size_t i = 0; i < v->list.count; i++) {
        push_tree(L, &v->list.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (v->list.count == 0)
        tg_lua_json_markarray(L);
}

static void push_map(lua_State *L, const tg_value *v)
{
    lua_createtable(L, 0, (int)v->map.count);
    for (size_t i = 0; i < v->map.count; i++) {
        const tg_pair *p = &v->map.pairs[i];
        lua_pushlstring(L, p->key.at, p->key.len);
        push_tree(L, &p->value);
        lua_rawset(L, -3);
    }
}

static void push_tree(lua_State *L, const tg_value *v)
{
    luaL_checkstack(L, 4, "JSON too deep");
    switch ((tg_kind)v->kind) {
    case TG_NIL:
        tg_lua_json_pushnull(L);
        return;
    case TG_BOOL:
        lua_pushboolean(L, v->boolean);
        return;
    case TG_INT:
        lua_pushinteger(L, v->integer);
        return;
    case TG_NUM:
        lua_pushnumber(L, v->number);
        return;
    case TG_STR:
        lua_pushlstring(L, v->string.at, v->string.len);
        return;
    case TG_LIST:
        push_list(L, v);
        return;
    case TG_MAP:
        push_map(L, v);
        return;
    }
}

int tg_lua_json_read(lua_State *L, tg_slice text, tg_error *e)
{
    tg_lua_scratch *s = tg_lua_scratch_of(L);
    tg_value v;
    tg_arena_free(&s->arena); // what an error left behind
    int rc = tg_json_read(text, &s->arena, &v, e);
    if (rc == 0)
        push_tree(L, &v);
    tg_arena_free(&s->arena);
    return rc;
}

// ---- tg.json ------------------------------------------------------------------------------

static int json_encode(lua_State *L) // (-0 +1..2): value
{
    tg_error e = {0};
    luaL_checkany(L, 1);
    tg_lua_scratch *s = tg_lua_scratch_of(L);
    if (tg_lua_json_write(L, 1, &s->buf, &e) < 0)
        return tg_lua_fail(L, &e);
    lua_pushlstring(L, s->buf.at, s->buf.len);
    return 1;
}

static int json_decode(lua_State *L) // (-0 +1..2): text
{
    tg_error e = {0};
    if (tg_lua_json_read(L, tg_lua_check_slice(L, 1), &e) < 0)
        return tg_lua_fail(L, &e);
    return 1;
}

static int json_array(lua_State *L) // (-0 +1): table
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    tg_lua_json_markarray(L);
    return 1;
}

int tg_lua_open_json(lua_State *L)
{
    static const luaL_Reg functions[] = {{"encode", json_encode},
                                         {"decode", json_decode},
                                         {"array", json_array},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    tg_lua_json_pushnull(L);
    lua_setfield(L, -2, "null");
    return 1;
}
