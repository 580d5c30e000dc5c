// SPDX-License-Identifier: Apache-2.0
// Handlers run on coroutines that are used again, one after the other on a worker: whatever
// the host calls while one runs (a message that a publish delivers to the same worker, say)
// is queued and done when it has ended or waits. So a script is never entered twice, and
// the guard has one callback to judge.
#include "lua/script.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "lua/conn.h"
#include "lua/value.h"

#define TASK_MAGIC 0x7a5c0001u
#define WAIT_MAGIC 0x3a170001u
#define IDLE_TASKS 256u
#define JOBS_AT_ONCE 256u
#define UNHEALTHY_AFTER 5u
#define FRAME_SHOWN 256u

tg_task *tg_task_new(tg_script *s, const char *what, uint32_t budget_us)
{
    tg_task *t;
    if (!tg_list_empty(&s->idle)) {
        t = TG_OWNER(s->idle.prev, tg_task, node);
        tg_list_del(&t->node);
        s->nidle--;
    } else {
        t = calloc(1, sizeof(*t));
        if (t == NULL)
            return NULL;
        t->magic = TASK_MAGIC;
        t->script = s;
        t->co = lua_newthread(s->vm.L);
        t->ref = luaL_ref(s->vm.L, LUA_REGISTRYINDEX);
    }
    t->what = what;
    t->budget_us = budget_us;
    t->conn = NULL;
    t->lane = NULL;
    t->wait = NULL;
    t->done = NULL;
    t->extra = NULL;
    tg_list_add(&s->busy, &t->node);
    return t;
}

static void recycle(tg_task *t, bool reuse)
{
    tg_script *s = t->script;
    tg_list_del(&t->node);
    if (reuse && s->nidle < IDLE_TASKS) {
        lua_settop(t->co, 0);
        tg_list_add(&s->idle, &t->node);
        s->nidle++;
        return;
    }
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, t->ref);
    t->magic = 0;
    free(t);
}

void tg_task_drop(tg_task *t)
{
    recycle(t, true);
}

/// Closes what an error left open (`local x <close>`), under a budget of its own.
/// @return the coroutine can be used again.
static bool clean(tg_task *t)
{
    tg_vm *vm = &t->script->vm;
    vm->in_script = true;
    tg_guard_enter(vm->guard, t->co, "__close", TG_BUDGET_DECODE_US);
    lua_resetthread(t->co);
    bool killed = tg_guard_leave(vm->guard);
    vm->in_script = false;
    if (killed)
        lua_sethook(t->co, NULL, 0, 0);
    return !killed;
}

static void end_task(tg_task *t, int code, int nres)
{
    tg_lconn *conn = t->conn;
    if (t->done != NULL)
        t->done(t, code, nres);
    if (conn != NULL)
        tg_conn_task_ends(t);
    bool reuse = code == 0 || (code == TG_E_SCRIPT && clean(t));
    recycle(t, reuse);
}

static void run(tg_task *t, int nargs)
{
    tg_script *s = t->script;
    tg_bench *b = s->bench;
    int nres = 0;
    assert(b->running == NULL && t->magic == TASK_MAGIC);
    b->running = s;
    s->task = t;
    tg_script_touch(s);
    int rc = tg_vm_run(&s->vm, t->co, t->what, t->budget_us, nargs, &nres);
    s->task = NULL;
    b->running = NULL;
    if (rc == LUA_YIELD && t->wait != NULL) {
        t->frame = (tg_slice){0};
        if (t->conn != NULL)
            tg_conn_task_waits(t);
        return;
    }
    if (rc == LUA_YIELD) {
        lua_settop(t->co, 0);
        lua_pushliteral(t->co, "yielded outside of a coroutine");
        rc = TG_E_SCRIPT;
    }
    if (rc != LUA_OK)
        tg_script_report(s, t, rc);
    t->frame = (tg_slice){0};
    end_task(t, rc, nres);
}

void tg_task_start(tg_task *t, int nargs)
{
    run(t, nargs);
}

// ---- what came while something ran ----------------------------------------------------

void tg_bench_queue(tg_bench *b, tg_job *j)
{
    tg_list_add(&b->jobs, &j->node);
}

static void settle_later(void *ctx)
{
    tg_bench_settle(ctx);
}

/// Whose turn it is; NULL: nothing waits.
static const tg_script *next_script(const tg_bench *b)
{
    if (!tg_list_empty(&b->jobs))
        return TG_OWNER(b->jobs.next, tg_job, node)->script;
    return b->pump_first != NULL ? b->pump_first->script : NULL;
}

static bool run_next(tg_bench *b)
{
    const tg_script *s = next_script(b);
    if (s == NULL)
        return false;
    const tg_unit_lua *u = s->unit;
    u->engine->api->enter(u->env.self, "queued");
    if (!tg_list_empty(&b->jobs)) {
        tg_job *j = TG_OWNER(b->jobs.next, tg_job, node);
        tg_list_del(&j->node);
        j->run(j);
    } else {
        tg_lconn *c = b->pump_first;
        b->pump_first = c->next;
        if (c->next == NULL)
            b->pump_last = NULL;
        tg_conn_pump_now(c);
    }
    u->engine->api->leave(u->env.self);
    return true;
}

void tg_bench_settle(tg_bench *b)
{
    if (b->running != NULL || b->draining)
        return;
    b->draining = true;
    for (unsigned n = 0; n < JOBS_AT_ONCE && run_next(b); n++)
        continue;
    b->draining = false;
    const tg_script *left = next_script(b);
    // Scripts that keep each other busy must not keep the loop: go on in its next turn.
    if (left != NULL)
        left->unit->env.host->post(left->unit->engine->env.self, b->index, settle_later, b);
}

// ---- waiting --------------------------------------------------------------------------

tg_task *tg_wait_check(lua_State *L, const char *what)
{
    tg_script *s = tg_script_of(L);
    if (s == NULL || s->vm.loading || s->task == NULL) {
        luaL_error(L, "%s waits, and a script may not wait while it loads", what);
        return NULL;
    }
    if (s->vm.pure != NULL)
        luaL_error(L,
                   "%s waits, and %s may not wait: it must be a pure function of its "
                   "arguments, to be tested and replayed without a host",
                   what, s->vm.pure);
    if (s->vm.nowait > 0 || !lua_isyieldable(L))
        luaL_error(L,
                   "%s cannot wait here: the handler is inside of a C function "
                   "(gsub, sort, a metamethod) that cannot be left and come back to",
                   what);
    return s->task;
}

tg_wait *tg_lua_wait_new(tg_task *t)
{
    tg_wait *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->magic = WAIT_MAGIC;
    w->task = t;
    w->script = t->script;
    return w;
}

void tg_lua_wait_free(tg_wait *w)
{
    w->magic = 0;
    tg_value_free(w->value);
    free(w);
}

int tg_wait_yield(lua_State *L, tg_wait *w)
{
    w->task->wait = w;
    w->script->vm.waiting = true;
    lua_settop(L, 0);
    return lua_yield(L, 0);
}

static void resume(tg_wait *w, int code, const tg_value *value)
{
    tg_task *t = w->task;
    lua_checkstack(t->co, 16);
    int n = w->push != NULL ? w->push(w, t->co) : tg_lua_push_result(t->co, code, value);
    t->wait = NULL;
    tg_lua_wait_free(w);
    run(t, n);
}

void tg_wait_resume(tg_wait *w)
{
    resume(w, w->code, w->value);
}

static void run_queued(tg_job *j)
{
    tg_wait *w = TG_OWNER(j, tg_wait, job);
    if (w->task == NULL) {
        tg_lua_wait_free(w);
        return;
    }
    if (w->task->lane != NULL && w->releases_lane && !tg_conn_task_takes(w->task))
        tg_conn_task_ready(w);
    else
        tg_wait_resume(w);
}

static void drop_queued(tg_job *j)
{
    tg_wait *w = TG_OWNER(j, tg_wait, job);
    if (w->task != NULL)
        w->task->wait = NULL; // it ends with its script, and must not look here
    tg_lua_wait_free(w);
}

void tg_wait_done(void *wait, int code, const tg_value *value)
{
    tg_wait *w = wait;
    assert(w != NULL && w->magic == WAIT_MAGIC);
    if (w->task == NULL) {
        tg_lua_wait_free(w);
        return;
    }
    tg_script *s = w->script;
    w->code = code;
    w->job = (tg_job){.script = s, .run = run_queued, .drop = drop_queued};
    tg_list_init(&w->job.node);
    if (s->bench->running == NULL && !w->releases_lane) {
        tg_unit_lua *u = s->unit;
        u->engine->api->enter(u->env.self, "resumed");
        resume(w, code, value);
        u->engine->api->leave(u->env.self);
    } else {
        if (value != NULL)
            w->value = tg_value_copy(value);
        tg_bench_queue(s->bench, &w->job);
    }
    tg_bench_settle(s->bench);
}

// ---- errors ---------------------------------------------------------------------------

static void put_hex(tg_buf *b, tg_slice bytes)
{
    size_t n = bytes.len < FRAME_SHOWN ? bytes.len : FRAME_SHOWN;
    for (size_t i = 0; i < n; i++)
        tg_buf_printf(b, "%02x", (unsigned char)bytes.at[i]);
    if (n < bytes.len)
        tg_buf_printf(b, "… (%zu bytes)", bytes.len);
}

static void put_context(tg_buf *b, tg_script *s, const tg_task *t)
{
    tg_conn_info info = {.size = sizeof(info)};
    if (t == NULL || t->conn == NULL)
        return;
    tg_lconn *c = t->conn;
    if (c->open && s->unit->env.conn->info(c->handle, &info) == 0)
        tg_buf_printf(b, "\n  connection %s on %.*s", tg_conn_label(c, &info),
                      (int)info.listener.len, info.listener.at);
    if (c->first != NULL)
        tg_buf_printf(b, "\n  device %.*s", (int)c->first->len, c->first->id);
    if (t->frame.len > 0) {
        tg_buf_puts(b, "\n  frame ");
        put_hex(b, t->frame);
    }
}

static void judge_health(tg_script *s)
{
    tg_unit_lua *u = s->unit;
    uint32_t n = atomic_fetch_add(&u->over_budget, 1) + 1;
    if (n < UNHEALTHY_AFTER || atomic_exchange(&u->unhealthy, true))
        return;
    tg_log(LUA, ERROR, "%s %s is unhealthy: %u of its callbacks ran over their budget",
           u->pub.id, u->pub.version, n);
}

/// The gate of this place; a new one takes that which was quiet for longest.
static tg_error_gate *gate_of(tg_script *s, tg_slice line)
{
    uint64_t place = tg_hash(line);
    tg_error_gate *oldest = &s->gates[0];
    for (int i = 0; i < TG_GATES; i++) {
        if (s->gates[i].place == place)
            return &s->gates[i];
        if (s->gates[i].gate.window < oldest->gate.window)
            oldest = &s->gates[i];
    }
    *oldest = (tg_error_gate){.place = place};
    return oldest;
}

void tg_script_report(tg_script *s, tg_task *t, int code)
{
    char text[2048];
    uint32_t held = 0;
    tg_unit_lua *u = s->unit;
    tg_vm_explain(&s->vm, t->co, code, t->what, t->budget_us, true, text, sizeof(text));
    u->env.metric->add((uint32_t)u->errors_metric, 1);
    if (code == TG_E_BUDGET) {
        u->env.metric->add((uint32_t)u->budget_metric, 1);
        judge_health(s);
    }
    tg_error_gate *g = gate_of(s, (tg_slice){text, strcspn(text, "\n")});
    if (!tg_log_gate_pass(&g->gate, u->env.timer->now(), 1, &held))
        return;
    tg_buf b = {0};
    tg_buf_printf(&b, "%s %s: %s: %s", u->pub.id, u->pub.version, t->what, text);
    put_context(&b, s, t);
    if (held > 0)
        tg_buf_printf(&b, "\n  and %u more like it since the last report", held);
    if (!b.failed)
        u->env.host->log(u->env.self, TG_LOG_ERROR, tg_buf_slice(&b));
    tg_buf_free(&b);
}
