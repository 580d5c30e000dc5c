// SPDX-License-Identifier: Apache-2.0
// Rates as token buckets that hold a second's worth. A read may take a bucket below zero;
// the connection is then not read until it is paid back, so nothing is ever dropped and
// over any longer time the rate holds.
#include <stdlib.h>

#include "net/conn_impl.h"

#define ROOM_MIN 512 // a read below it costs more than it limits
#define REST_MIN_MS 10 // the wheel's resolution
#define SCALE 1000 // tokens are counted in thousandths: a millisecond's worth is whole

// Never more than is missing: weeks of silence times a high rate are past 64 bits.
static int64_t filled(int64_t tokens, uint32_t rate, uint32_t ms)
{
    int64_t full = (int64_t)rate * SCALE;
    if (tokens >= full || rate == 0)
        return full;
    return (full - tokens) / rate < ms ? full : tokens + (int64_t)ms * rate;
}

static void refill(tg_net_conn *c)
{
    tg_rate *r = c->more->rate;
    const tg_net_limits *l = &c->origin->limits;
    uint32_t now = tg_worker_ms(c->origin->worker), ms = now - r->at;
    r->at = now;
    r->bytes = filled(r->bytes, l->bytes_rate, ms);
    r->messages = filled(r->messages, l->messages_rate, ms);
}

int tg_rate_new(tg_net_conn *c)
{
    const tg_net_limits *l = &c->origin->limits;
    if (l->bytes_rate == 0 && l->messages_rate == 0)
        return 0;
    c->more->rate = malloc(sizeof(*c->more->rate));
    if (c->more->rate == NULL)
        return TG_E_NOMEM;
    c->more->rate->bytes = (int64_t)l->bytes_rate * SCALE;
    c->more->rate->messages = (int64_t)l->messages_rate * SCALE;
    c->more->rate->at = tg_worker_ms(c->origin->worker);
    return 0;
}

static uint32_t debt_ms(int64_t tokens, uint32_t rate)
{
    if (rate == 0 || tokens >= 0)
        return 0;
    int64_t ms = -tokens / rate + 1;
    return ms < REST_MIN_MS ? REST_MIN_MS : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

static uint32_t rest_ms(const tg_net_conn *c)
{
    const tg_net_limits *l = &c->origin->limits;
    uint32_t b = debt_ms(c->more->rate->bytes, l->bytes_rate);
    uint32_t m = debt_ms(c->more->rate->messages, l->messages_rate);
    return b > m ? b : m;
}

static void charge(tg_net_conn *c)
{
    if (c->throttled || c->closing)
        return;
    refill(c);
    uint32_t ms = rest_ms(c);
    if (ms == 0)
        return;
    c->throttled = true;
    tg_conn_wake_in(c, ms);
}

size_t tg_rate_room(tg_net_conn *c)
{
    if (c->origin->limits.bytes_rate == 0)
        return TG_READ_MAX;
    refill(c);
    int64_t room = c->more->rate->bytes / SCALE;
    return room < ROOM_MIN ? ROOM_MIN : room > TG_READ_MAX ? TG_READ_MAX : (size_t)room;
}

void tg_rate_read(tg_net_conn *c, size_t bytes)
{
    if (c->origin->limits.bytes_rate == 0)
        return;
    c->more->rate->bytes -= (int64_t)bytes * SCALE;
    charge(c);
}

void tg_net_count_message(tg_net_conn *c)
{
    if (c->more->rate == NULL || c->origin->limits.messages_rate == 0)
        return;
    c->more->rate->messages -= SCALE;
    if (c->more->rate->messages < 0)
        charge(c);
}

uint32_t tg_rate_check(tg_net_conn *c)
{
    refill(c);
    uint32_t ms = rest_ms(c);
    c->throttled = ms > 0;
    return ms;
}
