// SPDX-License-Identifier: Apache-2.0
// A connection's time limits: idle, first frame, handshake, a stalled peer, a rate's pause,
// the end of a close. They are times to compare with, and all share one alarm on the wheel,
// which only moves forward when it fires: so a byte costs a store and no wheel operation.
#include <assert.h>

#include "net/conn_impl.h"

#define WRITE_STALL_MS 60000

static bool is_over(uint32_t at, uint32_t now)
{
    return (int32_t)(now - at) >= 0;
}

static void on_alarm(tg_alarm *a);

void tg_conn_wake_in(tg_net_conn *c, uint32_t ms)
{
    tg_wheel *wheel = tg_worker_wheel(c->origin->worker);
    if (tg_alarm_armed(&c->alarm) && c->alarm.due <= tg_wheel_now(wheel) + ms)
        return;
    tg_wheel_add(wheel, &c->alarm, ms, on_alarm);
}

void tg_conn_phase(tg_net_conn *c, uint32_t ms)
{
    c->phased = ms != 0;
    if (ms == 0)
        return;
    if (ms > INT32_MAX)
        ms = INT32_MAX; // times are compared by difference
    c->phase_at = tg_worker_ms(c->origin->worker) + ms;
    tg_conn_wake_in(c, ms);
}

static void check_idle(tg_net_conn *c, uint32_t now)
{
    if (c->idle_ms == 0 || c->state != TG_ST_OPEN)
        return;
    if (c->paused || c->throttled)
        c->heard = now; // the peer may have spoken: nobody listened
    if (is_over(c->heard + c->idle_ms, now)) {
        c->heard = now;
        c->origin->worker->called = true;
        if (c->origin->events.on_idle != NULL && c->own_idle)
            c->origin->events.on_idle(c, c->user);
        else
            tg_net_close(c, TG_E_IDLE);
    }
    if (c->idle_ms != 0 && c->state == TG_ST_OPEN)
        tg_conn_wake_in(c, c->heard + c->idle_ms - now);
}

uint32_t tg_conn_stall_ms(const tg_net_conn *c)
{
    size_t ms = tg_conn_limit(c->origin->limits.write_stall_ms, WRITE_STALL_MS);
    return ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
}

static void check_stall(tg_net_conn *c, uint32_t now)
{
    if (!c->blocked || c->state == TG_ST_DEAD)
        return;
    uint32_t at = c->moved + tg_conn_stall_ms(c);
    if (!is_over(at, now)) {
        tg_conn_wake_in(c, at - now);
        return;
    }
    tg_conn_complain(c, TG_MOD_NET, "it takes nothing of what waits for it");
    tg_conn_abort(c, TG_E_TIMEOUT);
}

static void check_rate(tg_net_conn *c)
{
    if (!c->throttled || c->state != TG_ST_OPEN)
        return;
    uint32_t left = tg_rate_check(c);
    if (left > 0)
        tg_conn_wake_in(c, left);
    else if (!c->paused && tg_conn_kept(c) > 0)
        tg_conn_todo(c, TG_TODO_SHOW);
    tg_conn_poll(c);
}

static void expired_open(tg_net_conn *c)
{
    tg_conn_complain(c, TG_MOD_NET, "no good frame came in time");
    tg_net_close(c, TG_E_TIMEOUT);
}

static void expired_handshake(tg_net_conn *c)
{
    tg_conn_complain(c, TG_MOD_TLS, "the handshake took too long");
    tg_conn_failed(c, TG_E_TIMEOUT);
}

static void expired_closing(tg_net_conn *c)
{
    tg_conn_abort(c, c->reason);
}

// A slow peer that still takes what was queued before the close gets all of it.
static void expired_drain(tg_net_conn *c)
{
    uint32_t still = tg_worker_ms(c->origin->worker) - c->moved;
    if (c->blocked && still < TG_LINGER_MS)
        tg_conn_phase(c, TG_LINGER_MS - still);
    else
        tg_conn_abort(c, c->reason);
}

static void (*const expired[TG_ST_COUNT])(tg_net_conn *c) = {
    [TG_ST_IDLE] = tg_dial_expired,    [TG_ST_RESOLVE] = tg_dial_expired,
    [TG_ST_CONNECT] = tg_dial_expired, [TG_ST_HANDSHAKE] = expired_handshake,
    [TG_ST_OPEN] = expired_open,       [TG_ST_DRAIN] = expired_drain,
    [TG_ST_LINGER] = expired_closing,
};

static void check_phase(tg_net_conn *c, uint32_t now)
{
    if (!c->phased)
        return;
    if (!is_over(c->phase_at, now)) {
        tg_conn_wake_in(c, c->phase_at - now);
        return;
    }
    c->phased = false;
    if (expired[c->state] != NULL)
        expired[c->state](c);
}

static void on_alarm(tg_alarm *a)
{
    tg_net_conn *c = TG_OWNER(a, tg_net_conn, alarm);
    assert(c->magic == TG_CONN_MAGIC);
    uint32_t now = tg_worker_ms(c->origin->worker);
    check_rate(c);
    check_idle(c, now);
    check_stall(c, now);
    check_phase(c, now);
}
