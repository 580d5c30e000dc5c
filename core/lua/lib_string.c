// SPDX-License-Identifier: Apache-2.0
// The functions of `string` whose cost a script can drive up: patterns, rep. The rest is
// the system's. Results are bounded by the state's memory before they are made.
#include "lua/lib.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "lua/pattern.h"

#define RESULT_MAX (16u << 20)
#define QUOTED_MAX (64u << 10)

static tg_slice check_slice(lua_State *L, int index)
{
    tg_slice s;
    s.at = luaL_checklstring(L, index, &s.len);
    return s;
}

/// A position as the library has it: from 1, negative from the end. @return an offset from
/// 0.
static size_t start_of(lua_State *L, int index, size_t len)
{
    lua_Integer at = luaL_optinteger(L, index, 1);
    if (at > 0)
        return (lua_Unsigned)at - 1 > len ? len + 1 : (size_t)at - 1;
    if (at == 0 || (lua_Unsigned)-at > len)
        return 0;
    return len - (size_t)-at;
}

static bool is_plain(tg_slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (strchr("^$*+?.([%-", pattern.at[i]) != NULL && pattern.at[i] != '\0')
            return false;
    return true;
}

static int find_plain(lua_State *L, tg_slice s, tg_slice what, size_t from)
{
    const char *at = memmem(s.at + from, s.len - from, what.at, what.len);
    if (at == NULL)
        return luaL_pushfail(L), 1;
    lua_pushinteger(L, at - s.at + 1);
    lua_pushinteger(L, at - s.at + (lua_Integer)what.len);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    tg_slice s = check_slice(L, 1), p = check_slice(L, 2);
    size_t from = start_of(L, 3, s.len);
    if (from > s.len)
        return luaL_pushfail(L), 1;
    if (find && (lua_toboolean(L, 4) || is_plain(p)))
        return find_plain(L, s, p, from);
    tg_pattern m;
    tg_pattern_init(&m, L, s, p);
    bool anchored = p.len > 0 && *p.at == '^';
    for (const char *at = s.at + from;; at++) {
        const char *to = tg_pattern_at(&m, at, p.at + (anchored ? 1 : 0));
        if (to != NULL && find) {
            lua_pushinteger(L, at - s.at + 1);
            lua_pushinteger(L, to - s.at);
            return 2 + tg_pattern_push_all(&m, at, to, false);
        }
        if (to != NULL)
            return tg_pattern_push_all(&m, at, to, true);
        if (anchored || at >= m.subject_end)
            return luaL_pushfail(L), 1;
    }
}

static int str_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int str_match(lua_State *L)
{
    return find_or_match(L, false);
}

/// Upvalues: subject, pattern, where to go on, end of the last match (0: none yet).
static int gmatch_next(lua_State *L)
{
    tg_slice s = check_slice(L, lua_upvalueindex(1)),
             p = check_slice(L, lua_upvalueindex(2));
    const char *last = s.at + lua_tointeger(L, lua_upvalueindex(4)) - 1;
    tg_pattern m;
    tg_pattern_init(&m, L, s, p);
    const char *at = s.at + lua_tointeger(L, lua_upvalueindex(3));
    for (; at <= m.subject_end; at++) {
        const char *to = tg_pattern_at(&m, at, p.at);
        if (to == NULL || to == last)
            continue;
        lua_pushinteger(L, to - s.at);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_pushinteger(L, to - s.at + 1);
        lua_copy(L, -1, lua_upvalueindex(4));
        return tg_pattern_push_all(&m, at, to, true);
    }
    return 0;
}

static int str_gmatch(lua_State *L)
{
    tg_slice s = check_slice(L, 1);
    check_slice(L, 2);
    size_t from = start_of(L, 3, s.len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)from);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

static void put(lua_State *L, luaL_Buffer *b, size_t *total, const char *at, size_t len)
{
    *total += len;
    if (*total > RESULT_MAX)
        luaL_error(L, "resulting string too large");
    luaL_addlstring(b, at, len);
}

/// gsub's replacement string: %0 … %9 are captures.
static void put_template(tg_pattern *m, luaL_Buffer *b, size_t *total, const char *from,
                         const char *to)
{
    lua_State *L = m->L;
    size_t len;
    const char *r = lua_tolstring(L, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (r[i] != '%') {
            put(L, b, total, r + i, 1);
            continue;
        }
        char c = ++i < len ? r[i] : '\0';
        if (c == '%') {
            put(L, b, total, "%", 1);
        } else if (c == '0') {
            put(L, b, total, from, (size_t)(to - from));
        } else if (c >= '1' && c <= '9') {
            tg_pattern_push(m, c - '1', from, to);
            size_t n;
            const char *text = luaL_tolstring(L, -1, &n);
            lua_remove(L, -2);
            *total += n;
            if (*total > RESULT_MAX)
                luaL_error(L, "resulting string too large");
            (void)text;
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/// A table's or a function's replacement.
static void put_value(tg_pattern *m, luaL_Buffer *b, size_t *total, const char *from,
                      const char *to)
{
    lua_State *L = m->L;
    if (lua_type(L, 3) == LUA_TTABLE) {
        tg_pattern_push(m, 0, from, to);
        lua_gettable(L, 3);
    } else {
        lua_pushvalue(L, 3);
        int n = tg_pattern_push_all(m, from, to, true);
        lua_call(L, n, 1);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        put(L, b, total, from, (size_t)(to - from));
        return;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    *total += lua_rawlen(L, -1);
    if (*total > RESULT_MAX)
        luaL_error(L, "resulting string too large");
    luaL_addvalue(b);
}

static int str_gsub(lua_State *L)
{
    tg_slice s = check_slice(L, 1), p = check_slice(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                         type == LUA_TFUNCTION,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, LUA_MAXINTEGER), done = 0;
    bool anchored = p.len > 0 && *p.at == '^';
    tg_pattern m;
    tg_pattern_init(&m, L, s, p);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    size_t total = 0;
    const char *at = s.at, *last = NULL;
    while (done < most) {
        const char *to = tg_pattern_at(&m, at, p.at + (anchored ? 1 : 0));
        if (to != NULL && to != last) {
            done++;
            if (type == LUA_TSTRING || type == LUA_TNUMBER)
                put_template(&m, &b, &total, at, to);
            else
                put_value(&m, &b, &total, at, to);
            at = last = to;
        } else if (at < m.subject_end) {
            put(L, &b, &total, at++, 1);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (at < m.subject_end)
        put(L, &b, &total, at, (size_t)(m.subject_end - at));
    luaL_pushresult(&b);
    lua_pushinteger(L, done);
    return 2;
}

/// Fills `len` bytes with the first `have` of them again and again. What is filled doubles
/// with each copy: byte by byte, one call would outlast a whole budget.
static void fill(char *out, size_t have, size_t len)
{
    while (have < len) {
        size_t more = have < len - have ? have : len - have;
        memcpy(out + have, out, more);
        have += more;
    }
}

static int str_rep(lua_State *L)
{
    tg_slice s = check_slice(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    size_t seplen;
    const char *sep = luaL_optlstring(L, 3, "", &seplen);
    size_t unit = s.len + seplen;
    if (n <= 0 || unit == 0)
        return lua_pushliteral(L, ""), 1;
    if ((lua_Unsigned)n > RESULT_MAX || unit > RESULT_MAX / (size_t)n)
        return luaL_error(L, "resulting string too large");
    tg_lua_check_killed(L);
    size_t len = (size_t)n * unit - seplen;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, (size_t)n * unit);
    memcpy(out, s.at, s.len);
    memcpy(out + s.len, sep, seplen);
    fill(out, unit, len);
    luaL_pushresultsize(&b, len);
    return 1;
}

static bool has_quoted(tg_slice format)
{
    const char *end = format.at + format.len;
    for (const char *p = format.at; end - p >= 2; p++)
        if (*p == '%' && *++p == 'q')
            return true;
    return false;
}

/// The system's, in the upvalue, looks at no guard and takes its time for a quoted string:
/// %q is for what `load` may read back. It runs in our frame, so that its errors name the
/// script's line.
static int str_format(lua_State *L)
{
    int n = has_quoted(check_slice(L, 1)) ? lua_gettop(L) : 1;
    for (int i = 2; i <= n; i++)
        luaL_argcheck(L, lua_type(L, i) != LUA_TSTRING || lua_rawlen(L, i) <= QUOTED_MAX, i,
                      "more than 64 KiB beside a %q");
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void tg_lua_open_string(lua_State *L)
{
    static const char *const system[] = {"byte",   "char",  "format",  "len",
                                         "lower",  "pack",  "sub",     "packsize",
                                         "unpack", "upper", "reverse", NULL};
    static const luaL_Reg ours[] = {
        {"find", str_find}, {"match", str_match}, {"gmatch", str_gmatch},
        {"gsub", str_gsub}, {"rep", str_rep},     {NULL, NULL},
    };
    lua_pushcfunction(L, luaopen_string); // also makes the metatable of strings
    lua_call(L, 0, 1);
    tg_lua_pick(L, system);
    luaL_setfuncs(L, ours, 0);
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, str_format, 1);
    lua_setfield(L, -2, "format");
    // ("").rep must be ours, too, and a script must not reach the metatable.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}
