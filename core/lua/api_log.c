// SPDX-License-Identifier: Apache-2.0
// tg.log and tg.metric.
#include <lauxlib.h>

#include "lua/api.h"
#include "lua/lib.h"
#include "lua/names.h"

/// upvalues: level, string.format
static int log_line(lua_State *L) // (-0 +0): format, …
{
    int n = lua_gettop(L);
    luaL_checkany(L, 1);
    if (n > 1) {
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_insert(L, 1);
        lua_call(L, n, 1);
    }
    tg_slice text;
    text.at = luaL_tolstring(L, 1, &text.len);
    tg_vm_log(tg_vm_of(L), (tg_level)lua_tointeger(L, lua_upvalueindex(1)), text);
    return 0;
}

void tg_lua_open_log(lua_State *L)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, TG_LUA_GLOBALS);
    lua_getfield(L, -1, "string");
    lua_getfield(L, -1, "format");
    lua_replace(L, -3);
    lua_pop(L, 1);
    for (int i = 0; i < 4; i++) {
        lua_pushinteger(L, TG_LOG_ERROR + i);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, log_line, 2);
        lua_setfield(L, -3, names[i]);
    }
    lua_pop(L, 1);
}

/// upvalue: the metric's id, -1 while the script only declares
static int metric_add(lua_State *L) // (-0 +0): by
{
    lua_Integer id = lua_tointeger(L, lua_upvalueindex(1));
    lua_Integer by = luaL_optinteger(L, 1, 1);
    if (id >= 0)
        tg_script_of(L)->unit->env.metric->add((uint32_t)id, by);
    return 0;
}

// The labels stay on the stack: the slices are theirs. @return how many.
static size_t take_labels(lua_State *L, int table, tg_label labels[TG_LABELS_MAX])
{
    size_t n = 0;
    if (lua_isnoneornil(L, table))
        return 0;
    luaL_checktype(L, table, LUA_TTABLE);
    luaL_checkstack(L, 2 * TG_LABELS_MAX + 2, NULL);
    for (lua_pushnil(L); lua_next(L, table) != 0; n++) {
        if (n == TG_LABELS_MAX)
            luaL_error(L, "a metric has at most %d labels", TG_LABELS_MAX);
        luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, table, "labels have names");
        luaL_argcheck(L, lua_isstring(L, -1) || lua_isboolean(L, -1), table,
                      "labels are strings, numbers or booleans");
        labels[n].name.at = lua_tolstring(L, -2, &labels[n].name.len);
        labels[n].value.at = luaL_tolstring(L, -1, &labels[n].value.len);
        lua_replace(L, -2);
        lua_pushvalue(L, -2); // name and value stay, the name goes on as the key
    }
    return n;
}

static int metric_fault(lua_State *L, const char *name, int rc)
{
    if (rc == TG_E_INVAL)
        return luaL_error(L,
                          "metric '%s': names of labels are made of a-z, A-Z, 0-9 and _, "
                          "their values have at most 128 bytes",
                          name);
    if (rc == TG_E_EXISTS)
        return luaL_error(L, "metric '%s' is of the other kind already", name);
    if (rc == TG_E_LIMIT)
        return luaL_error(L,
                          "metric '%s' has too many sets of labels: at most %d, since none "
                          "is ever given back",
                          name, TG_SERIES_MAX);
    return luaL_error(L, "metric '%s': %s", name, tg_error_text(rc));
}

static int metric_new(lua_State *L, bool gauge) // (-0 +1): name, help, labels
{
    tg_script *s = tg_script_of(L);
    const tg_metric_api *api = s->unit->env.metric;
    tg_slice name, help;
    tg_label labels[TG_LABELS_MAX];
    uint32_t id = 0;
    name.at = luaL_checklstring(L, 1, &name.len);
    help.at = luaL_optlstring(L, 2, "", &help.len);
    for (size_t i = 0; i < name.len; i++)
        luaL_argcheck(L,
                      (name.at[i] >= 'a' && name.at[i] <= 'z') || name.at[i] == '_' ||
                          (i > 0 && name.at[i] >= '0' && name.at[i] <= '9'),
                      1, "a metric's name is made of a-z, 0-9 and _");
    size_t n = take_labels(L, 3, labels);
    int rc = s->declaring ? 0
                          : (gauge ? api->gauge_with : api->counter_with)(name, help,
                                                                          labels, n, &id);
    if (rc < 0)
        return metric_fault(L, name.at, rc);
    lua_pushinteger(L, s->declaring ? -1 : (lua_Integer)id);
    lua_pushcclosure(L, metric_add, 1);
    return 1;
}

static int metric_counter(lua_State *L)
{
    return metric_new(L, false);
}

static int metric_gauge(lua_State *L)
{
    return metric_new(L, true);
}

void tg_lua_open_metric(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"counter", metric_counter}, {"gauge", metric_gauge}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
