// SPDX-License-Identifier: Apache-2.0
// The config may compute, so it runs; but it runs as any other script does, with a budget
// and without a door to the system. A state and a monitor live for the call alone.
#include "lua/config.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/engine.h"
#include "lua/lib.h"
#include "lua/lines.h"
#include "lua/value.h"

#define CONFIG_MAX (1u << 20)
#define CONFIG_MEMORY ((size_t)32 << 20)

static int config_env(lua_State *L) // (-0 +1): name, default
{
    const char *name = luaL_checkstring(L, 1);
    const char *value = getenv(name);
    if (value == NULL)
        value = luaL_optstring(L, 2, NULL);
    if (value == NULL)
        return luaL_error(L, "environment variable '%s' is not set", name);
    tg_lua_push_secret(L, tg_str(value));
    return 1;
}

static int open_config(lua_State *L)
{
    tg_lua_open_value(L);
    lua_getfield(L, LUA_REGISTRYINDEX, TG_LUA_GLOBALS);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, config_env);
    lua_setfield(L, -2, "env");
    tg_lua_freeze(L, "tg");
    lua_setfield(L, -2, "tg");
    return 0;
}

/// Runs the text; the table is on the top of vm->L then.
static int run(tg_vm *vm, const char *name, tg_slice text, tg_error *e)
{
    lua_State *L = vm->L;
    char chunk[512];
    snprintf(chunk, sizeof(chunk), "@%s", name);
    lua_pushcfunction(L, open_config);
    int status = lua_pcall(L, 0, 0, 0);
    if (status == LUA_OK)
        status = luaL_loadbufferx(L, text.at, text.len, chunk, "t");
    if (status != LUA_OK)
        return tg_error_set(e, TG_E_SCRIPT, "%s", lua_tostring(L, -1));
    int rc = tg_vm_load(vm, e);
    if (rc == 0 && !lua_istable(L, -1))
        rc = tg_error_set(e, TG_E_INVAL, "%s: the config must return a table, not a %s",
                          name, luaL_typename(L, -1));
    return rc;
}

static int read_text(tg_guard *guard, const char *name, tg_slice text, tg_arena *arena,
                     tg_value *out, tg_error *e)
{
    tg_vm vm;
    tg_value v;
    int rc = tg_vm_open(&vm, guard, CONFIG_MEMORY);
    if (rc != 0)
        return tg_error_set(e, rc, "out of memory");
    rc = run(&vm, name, text, e);
    if (rc == 0) {
        rc = tg_lua_to_value(vm.L, -1, arena, &v, e);
        if (rc != 0)
            tg_error_prefix(e, "%s", name);
    }
    tg_vm_close(&vm);
    if (rc != 0)
        return rc;
    tg_lines_set(text, &v);
    *out = v;
    return 0;
}

int tg_lua_config_text(const char *name, tg_slice text, tg_arena *arena, tg_value *out,
                       tg_error *e)
{
    tg_guard guard;
    tg_monitor *m = tg_monitor_new();
    if (m == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    int rc = tg_guard_attach(&guard, m);
    if (rc == 0) {
        rc = read_text(&guard, name, text, arena, out, e);
        tg_guard_detach(&guard);
    }
    tg_monitor_free(m);
    return rc;
}

int tg_lua_config_read(const char *path, tg_arena *arena, tg_value *out, tg_error *e)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return tg_error_set(e, errno == ENOENT ? TG_E_NOTFOUND : TG_E_IO, "%s: %s", path,
                            strerror(errno));
    tg_buf b = {0};
    size_t n;
    do {
        char *at = tg_buf_reserve(&b, 4096);
        n = at != NULL ? fread(at, 1, 4096, f) : 0;
        b.len += n;
    } while (n > 0 && b.len <= CONFIG_MAX);
    bool bad = ferror(f) != 0 || b.failed;
    fclose(f);
    int rc;
    if (bad)
        rc = tg_error_set(e, TG_E_IO, "%s: cannot be read", path);
    else if (b.len > CONFIG_MAX)
        rc = tg_error_set(e, TG_E_TOOBIG, "%s: larger than 1 MiB", path);
    else
        rc = tg_lua_config_text(path, tg_buf_slice(&b), arena, out, e);
    tg_buf_free(&b);
    return rc;
}
