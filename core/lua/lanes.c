// SPDX-License-Identifier: Apache-2.0
// A lane is taken by the task that runs or waits on it, and given back when the task ends
// or waits for the device itself: whoever waits for an answer must let the answer in.
#include "lua/lanes.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/value.h"

#define QUEUED_MAX 64u ///< messages of one connection that wait for their device's lane

const tg_conn_extra tg_conn_no_extra = {
    .lanes = {(tg_list *)(uintptr_t)&tg_conn_no_extra.lanes,
              (tg_list *)(uintptr_t)&tg_conn_no_extra.lanes},
    .requests = {(tg_list *)(uintptr_t)&tg_conn_no_extra.requests,
                 (tg_list *)(uintptr_t)&tg_conn_no_extra.requests},
};

tg_conn_extra *tg_conn_own_extra(tg_lconn *c)
{
    if (c->extra != &tg_conn_no_extra)
        return c->extra;
    tg_conn_extra *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return NULL;
    tg_list_init(&own->lanes);
    tg_list_init(&own->requests);
    c->extra = own;
    return own;
}

void tg_conn_drop_extra(tg_lconn *c)
{
    if (c->extra == &tg_conn_no_extra)
        return;
    tg_map_free(&c->extra->more);
    free(c->extra);
    c->extra = (tg_conn_extra *)(uintptr_t)&tg_conn_no_extra;
}

// ---- taking and giving back -----------------------------------------------------------

static bool is_main(const tg_lane *lane)
{
    return lane == &lane->conn->lane;
}

static const tg_env *env_of(const tg_lconn *c)
{
    return &c->script->unit->env;
}

static void pause_reading(tg_lconn *c)
{
    if (c->paused || !c->open)
        return;
    c->paused = true;
    env_of(c)->conn->pause(c->handle);
}

void tg_lane_hold(tg_lconn *c)
{
    pause_reading(c);
    tg_conn_pump(c);
}

static void resume_reading(tg_lconn *c)
{
    if (!c->paused || c->lane.busy != NULL || !tg_list_empty(&c->lane.ready) ||
        c->queued > QUEUED_MAX / 2)
        return;
    c->paused = false;
    if (c->open)
        env_of(c)->conn->resume(c->handle);
}

static void resume_session(tg_lconn *c, const tg_bound *b)
{
    if (c->open)
        env_of(c)->session->resume(b->session);
}

static void resume_sessions(tg_lconn *c)
{
    if (!c->held || c->lane.busy != NULL)
        return;
    c->held = false;
    if (c->extra->more.count == 0) {
        if (c->first != NULL)
            resume_session(c, c->first);
        return;
    }
    // A resumed session may deliver at once and so change the map: take the list first.
    uint32_t at = 0, n = 0, count = c->extra->more.count;
    tg_bound *b;
    tg_session *all = malloc(count * sizeof(*all));
    if (all == NULL)
        return;
    while ((b = tg_map_next(&c->extra->more, &at)) != NULL && n < count)
        all[n++] = b->session;
    for (uint32_t i = 0; i < n && c->open; i++)
        env_of(c)->session->resume(all[i]);
    free(all);
}

static void pump_lane(tg_lane *lane)
{
    if (lane->pumping)
        return;
    lane->pumping = true;
    while (lane->busy == NULL && !tg_list_empty(&lane->ready)) {
        tg_job *j = TG_OWNER(lane->ready.next, tg_job, node);
        tg_list_del(&j->node);
        j->run(j);
    }
    lane->pumping = false;
}

static void pump_devices(tg_lconn *c)
{
    tg_list *n = c->extra->lanes.next;
    while (n != &c->extra->lanes) {
        tg_device_lane *d = TG_OWNER(n, tg_device_lane, node);
        n = n->next;
        pump_lane(&d->lane);
        if (d->lane.tasks > 0 || d->lane.pumping || !tg_list_empty(&d->lane.ready))
            continue;
        n = d->node.next;
        tg_list_del(&d->node);
        free(d);
    }
}

/// The last handler has ended and the connection is gone.
static void release(tg_lconn *c)
{
    tg_script *s = c->script;
    tg_conn_forget_all(c);
    s->nconns--;
    s->vm.limit -= TG_VM_MEMORY_PER_CONN;
    luaL_unref(s->vm.L, LUA_REGISTRYINDEX, c->ref);
    c->ref = LUA_NOREF;
}

static void finish_close(tg_lconn *c)
{
    if (c->ntasks > 0 || c->queued > 0 || c->ref == LUA_NOREF || c->lane.pumping)
        return;
    if (c->closing && c->app->handler[TG_ON_CLOSE] != LUA_NOREF) {
        c->closing = false;
        tg_lane_event(&c->lane, TG_ON_CLOSE, NULL);
        return; // its end comes back here
    }
    c->closing = false;
    release(c);
}

void tg_conn_pump_now(tg_lconn *c)
{
    c->queued_pump = false;
    pump_lane(&c->lane);
    pump_devices(c);
    resume_reading(c);
    resume_sessions(c);
    if (!c->open)
        finish_close(c);
}

/// Always through the bench's queue: handlers then never start inside of one another.
void tg_conn_pump(tg_lconn *c)
{
    if (c->queued_pump || c->ref == LUA_NOREF)
        return;
    c->queued_pump = true;
    tg_bench *b = c->script->bench;
    c->next = NULL;
    if (b->pump_last != NULL)
        b->pump_last->next = c;
    else
        b->pump_first = c;
    b->pump_last = c;
}

void tg_conn_task_waits(tg_task *t)
{
    tg_lane *lane = t->lane;
    if (t->wait->releases_lane && lane->busy == t) {
        lane->busy = NULL;
        if (!tg_list_empty(&lane->ready) || t->conn->paused || t->conn->held)
            tg_conn_pump(t->conn);
    } else if (is_main(lane)) {
        pause_reading(t->conn);
    }
}

void tg_conn_task_ends(tg_task *t)
{
    tg_lconn *c = t->conn;
    tg_lane *lane = t->lane;
    c->ntasks--;
    lane->tasks--;
    if (lane->busy == t)
        lane->busy = NULL;
    t->conn = NULL;
    t->lane = NULL;
    if (!is_main(lane) || !tg_list_empty(&lane->ready) || c->paused || c->held || !c->open)
        tg_conn_pump(c);
}

bool tg_conn_task_takes(tg_task *t)
{
    if (t->lane->busy != NULL || !tg_list_empty(&t->lane->ready))
        return false;
    t->lane->busy = t;
    return true;
}

static void run_ready(tg_job *j)
{
    tg_wait *w = TG_OWNER(j, tg_wait, job);
    if (w->task == NULL) {
        tg_lua_wait_free(w);
        return;
    }
    w->task->lane->busy = w->task;
    tg_wait_resume(w);
}

void tg_conn_task_ready(tg_wait *w)
{
    w->job.run = run_ready;
    tg_list_add(&w->task->lane->ready, &w->job.node);
    tg_conn_pump(w->task->conn);
}

tg_task *tg_lane_task(tg_lane *lane, const char *what, uint32_t budget_us)
{
    tg_task *t = tg_task_new(lane->conn->script, what, budget_us);
    if (t == NULL)
        return NULL;
    assert(lane->busy == NULL);
    lane->busy = t;
    lane->tasks++;
    lane->conn->ntasks++;
    t->conn = lane->conn;
    t->lane = lane;
    return t;
}

// ---- lanes of devices -----------------------------------------------------------------

tg_lane *tg_lane_of_device(tg_lconn *c, tg_slice device)
{
    if (c->app->decl->order == TG_ORDER_CONNECTION)
        return &c->lane;
    for (tg_list *n = c->extra->lanes.next; n != &c->extra->lanes; n = n->next) {
        tg_device_lane *d = TG_OWNER(n, tg_device_lane, node);
        if (tg_slice_eq((tg_slice){d->device, d->len}, device))
            return &d->lane;
    }
    tg_conn_extra *own = tg_conn_own_extra(c);
    tg_device_lane *d = own != NULL ? calloc(1, sizeof(*d) + device.len + 1) : NULL;
    if (d == NULL)
        return NULL;
    d->lane.conn = c;
    tg_list_init(&d->lane.ready);
    d->len = (uint32_t)device.len;
    if (device.len > 0)
        memcpy(d->device, device.at, device.len);
    tg_list_add(&own->lanes, &d->node);
    return &d->lane;
}

tg_lane *tg_lane_of_session(tg_lconn *c, tg_session s)
{
    tg_bound *b = tg_conn_bound_of(c, s);
    tg_lane *lane = b != NULL ? tg_lane_of_device(c, (tg_slice){b->id, b->len}) : NULL;
    return lane != NULL ? lane : &c->lane;
}

/// A message that waits for its device's lane.
typedef struct queued_message {
    tg_job job;
    tg_lane *lane;
    int ref;
} queued_message;

static void run_message(tg_job *j)
{
    queued_message *q = TG_OWNER(j, queued_message, job);
    tg_lconn *c = q->lane->conn;
    lua_State *L = c->script->vm.L;
    c->queued--;
    tg_task *t = tg_lane_task(q->lane, "on_message", TG_BUDGET_HANDLER_US);
    if (t != NULL) {
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->app->handler[TG_ON_MESSAGE]);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, c->ref);
        lua_rawgeti(t->co, LUA_REGISTRYINDEX, q->ref);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, q->ref);
    free(q);
    if (t != NULL)
        tg_task_start(t, 2);
}

static void drop_message(tg_job *j)
{
    free(TG_OWNER(j, queued_message, job));
}

void tg_lane_queued(tg_lconn *c)
{
    if (++c->queued >= QUEUED_MAX)
        pause_reading(c);
    tg_conn_pump(c);
}

void tg_lane_message(tg_lconn *c, lua_State *L)
{
    tg_slice device = {0};
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "device");
        lua_rawget(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING)
            device.at = lua_tolstring(L, -1, &device.len);
    } else {
        lua_pushnil(L);
    }
    tg_lane *lane = tg_lane_of_device(c, device);
    lua_pop(L, 1); // the message still holds the string
    queued_message *q = lane != NULL ? calloc(1, sizeof(*q)) : NULL;
    if (q == NULL) {
        lua_pop(L, 1);
        return;
    }
    lua_xmove(L, c->script->vm.L, 1);
    q->ref = luaL_ref(c->script->vm.L, LUA_REGISTRYINDEX);
    q->lane = lane;
    q->job = (tg_job){.script = c->script, .run = run_message, .drop = drop_message};
    tg_list_add(&lane->ready, &q->job.node);
    tg_lane_queued(c);
}
