// SPDX-License-Identifier: Apache-2.0
// Commands of M.commands that an operator sends. One waits in the lane of its device like a
// message of that device, so handlers of one device never run at once; what the function
// returns, or why it does not, is the command's answer.
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/lanes.h"
#include "lua/names.h"
#include "lua/value.h"

#define COMMANDS_MAX 1024
#define WAITING_MAX 64u ///< handlers' jobs of one connection, with those of its messages

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/// The table is on the top.
static size_t take_names(lua_State *L, tg_arena *arena, const char **out)
{
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_isfunction(L, -1) && lua_type(L, -2) == LUA_TSTRING && n < COMMANDS_MAX) {
            tg_slice name;
            name.at = lua_tolstring(L, -2, &name.len);
            char *copy = tg_arena_alloc(arena, name.len + 1);
            if (copy != NULL) {
                memcpy(copy, name.at, name.len);
                out[n++] = copy;
            }
        }
        lua_pop(L, 1);
    }
    return n;
}

const char *const *tg_command_names(tg_script *s, const tg_app *app)
{
    lua_State *L = s->vm.L;
    if (app->commands == LUA_NOREF)
        return NULL;
    const char **names =
        (const char **)tg_arena_alloc(&s->arena, (COMMANDS_MAX + 1) * sizeof(*names));
    if (names == NULL)
        return NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, app->commands);
    size_t n = take_names(L, &s->arena, names);
    lua_pop(L, 1);
    qsort((void *)names, n, sizeof(*names), compare);
    return n > 0 ? names : NULL;
}

// ---- the answer -----------------------------------------------------------------------

#define X(name, value, text) {#name, value},
static const struct {
    const char *name;
    int code;
} codes[] = {TG_ERRORS(X)};
#undef X

static int code_of(tg_slice name)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (tg_slice_eq(name, tg_str(codes[i].name)))
            return codes[i].code;
    return TG_E_SCRIPT;
}

/// nil and why: a text, or {code, message}.
static int refusal(lua_State *co, int index, tg_arena *arena, tg_value *out)
{
    tg_value why = {.kind = TG_NIL};
    tg_error e = {0};
    if (tg_lua_to_value(co, index, arena, &why, &e) != 0)
        return TG_E_SCRIPT;
    int code = TG_E_INVAL;
    tg_value_builder b = {.arena = arena};
    if (why.kind == TG_STR) {
        tg_build(&b, "message", why);
        why = tg_build_map(&b);
    } else {
        code = code_of(tg_value_str(&why, "code", (tg_slice){0}));
    }
    if (arena->failed)
        return TG_E_NOMEM;
    *out = why;
    return code;
}

static void command_done(tg_task *t, int code, int nres)
{
    lua_State *co = t->co;
    tg_arena arena = {0};
    tg_error e = {0};
    tg_value answer = {.kind = TG_NIL};
    bool refused =
        code == 0 && nres >= 2 && !lua_toboolean(co, -nres) && !lua_isnil(co, 1 - nres);
    if (refused)
        code = refusal(co, 1 - nres, &arena, &answer);
    else if (code == 0 && nres > 0 && tg_lua_to_value(co, -nres, &arena, &answer, &e) != 0)
        code = TG_E_SCRIPT;
    t->script->unit->env.host->complete(t->op, code, &answer);
    tg_arena_free(&arena);
}

// ---- the command ----------------------------------------------------------------------

typedef struct command_job {
    tg_job job;
    tg_lane *lane;
    tg_op op;
    int fn, args; // registry references
} command_job;

static void unref(tg_script *s, const command_job *k)
{
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, k->fn);
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, k->args);
}

static void run_command(tg_job *j)
{
    command_job *k = TG_OWNER(j, command_job, job);
    tg_lconn *c = k->lane->conn;
    c->queued--;
    tg_task *t = tg_lane_task(k->lane, "command", TG_BUDGET_HANDLER_US);
    if (t != NULL) {
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->fn);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, k->args);
        t->op = k->op;
        t->done = command_done;
    } else {
        c->script->unit->env.host->complete(k->op, TG_E_NOMEM, NULL);
    }
    unref(c->script, k);
    free(k);
    if (t != NULL)
        tg_task_start(t, 2);
}

static void drop_command(tg_job *j)
{
    command_job *k = TG_OWNER(j, command_job, job);
    j->script->unit->env.host->complete(k->op, TG_E_RELOADED, NULL);
    free(k);
}

static void set_default(lua_State *L, const char *key, tg_slice value)
{
    lua_pushstring(L, key);
    bool missing = lua_rawget(L, -2) == LUA_TNIL;
    lua_pop(L, 1);
    if (!missing || value.len == 0)
        return;
    lua_pushstring(L, key);
    lua_pushlstring(L, value.at, value.len);
    lua_rawset(L, -3);
}

/// Pushes what the function gets: the caller's arguments, with whose and which command it is.
static void push_args(lua_State *L, const tg_command *cmd)
{
    if (cmd->args != NULL && cmd->args->kind == TG_MAP)
        tg_lua_push_value(L, cmd->args);
    else
        lua_newtable(L);
    set_default(L, "device", cmd->device);
    set_default(L, "correlation_id", cmd->id);
}

/// The function is on the top. @return false: there is none, and nothing was pushed.
static bool push_function(tg_lconn *c, tg_slice name)
{
    lua_State *L = c->script->vm.L;
    if (c->app->commands == LUA_NOREF)
        return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->commands);
    lua_pushlstring(L, name.at, name.len);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

int tg_adapter_command(tg_conn handle, void *state, tg_session session,
                       const tg_command *cmd, tg_op op)
{
    (void)handle;
    tg_lconn *c = tg_adapter_conn(state);
    if (c == NULL || !c->open)
        return TG_E_CLOSED;
    if (c->queued >= WAITING_MAX)
        return TG_E_FULL;
    tg_lane *lane = tg_lane_of_session(c, session);
    command_job *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return TG_E_NOMEM;
    if (!push_function(c, cmd->name)) {
        free(k);
        return TG_E_NOTFOUND;
    }
    lua_State *L = c->script->vm.L;
    k->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    push_args(L, cmd);
    k->args = luaL_ref(L, LUA_REGISTRYINDEX);
    k->lane = lane;
    k->op = op;
    k->job = (tg_job){.script = c->script, .run = run_command, .drop = drop_command};
    tg_list_add(&lane->ready, &k->job.node);
    tg_lane_queued(c);
    tg_bench_settle(c->script->bench);
    return 0;
}
