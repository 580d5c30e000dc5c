// SPDX-License-Identifier: Apache-2.0
// One thread of the load. All of them walk through the phases of a run together, so that what
// is measured begins when every client is connected and has subscribed.
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load/engine.h"

enum { EVENTS = 256 };
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

int tg_crew_open(tg_run *r, tg_crew *c, unsigned n, tg_error *e)
{
    const tg_load_options *o = &r->o;
    tg_arena *a = &r->arena;
    uint32_t peers = r->npeers / o->threads + 2, flows = r->npubs / o->threads + 1;
    *c = (tg_crew){.run = r, .o = o, .ep = epoll_create1(EPOLL_CLOEXEC)};
    if (c->ep < 0)
        return tg_error_set(e, TG_E_IO, "epoll: %s", strerror(errno));
    c->peers = tg_arena_alloc(a, peers * sizeof(tg_peer *));
    c->flows = tg_arena_alloc(a, flows * sizeof(tg_flow *));
    c->ready = tg_arena_alloc(a, flows * sizeof(tg_flow *));
    c->buf = tg_arena_alloc(a, TG_IN_SIZE);
    c->payload = tg_arena_alloc(a, o->payload);
    if (a->failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    memset(c->payload, 'x', o->payload);
    for (uint32_t i = 0; i < r->npeers; i++) { // a pair stays together
        tg_peer *p = &r->peers[i];
        if ((i < r->npubs ? i : i - r->npubs) % o->threads != n)
            continue;
        c->peers[c->npeers++] = p;
        if (p->flow == NULL)
            continue;
        c->flows[c->nflows++] = p->flow;
        c->quota += p->flow->quota;
    }
    c->rate = r->npubs > 0 ? o->rate * c->nflows / r->npubs : 0;
    return tg_tls_open(c, e);
}

void tg_crew_close(tg_crew *c)
{
    for (uint32_t i = 0; i < c->npeers; i++)
        if (c->peers[i]->state != TG_PEER_CLOSED)
            tg_peer_close(c, c->peers[i]);
    if (c->ep >= 0)
        close(c->ep);
    tg_tls_close(c);
}

// One after the other, so that they are spread evenly over half the interval.
static void ping_some(tg_crew *c)
{
    uint64_t half = c->o->keepalive_s * SECOND / 2;
    if (half == 0 || c->npeers == 0)
        return;
    uint64_t due = (uint64_t)((double)(tg_now_ns() - c->began) / (double)half * c->npeers);
    for (; c->pinged < due; c->pinged++) {
        tg_peer *p = c->peers[c->pinged % c->npeers];
        if (p->state != TG_PEER_READY)
            continue;
        tg_wire_bare(&p->out, TG_WIRE_PINGREQ);
        tg_peer_flush(c, p);
    }
}

static void turn(tg_crew *c, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t due = tg_flows_due(c);
    wait_ns = c->nready > 0 && c->sending ? 0 : due < wait_ns ? due : wait_ns;
    struct timespec wait = {0, (long)wait_ns};
    int n = epoll_pwait2(c->ep, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++)
        tg_peer_event(c, events[i].data.ptr, events[i].events);
    tg_flows_go_on(c);
    if (c->o->scenario == TG_LOAD_CHURN && c->sending)
        tg_churn_turn(c);
    ping_some(c);
}

static uint64_t quiet_ns(const tg_crew *c)
{
    return c->o->timeout_ms * MS;
}

static bool stopped(const tg_crew *c)
{
    return atomic_load_explicit(&c->run->stop, memory_order_relaxed);
}

static uint64_t answered(const tg_crew *c)
{
    return tg_peek(&c->connected) + tg_peek(&c->returned) + tg_peek(&c->failed);
}

static void give_up_rest(tg_crew *c)
{
    for (uint32_t i = 0; i < c->npeers; i++) {
        if (c->peers[i]->state == TG_PEER_READY || c->peers[i]->state == TG_PEER_CLOSED)
            continue;
        tg_crew_error(c, "connect: timed out");
        tg_tally(&c->failed, 1);
        tg_peer_close(c, c->peers[i]);
    }
}

static void connect_all(tg_crew *c)
{
    const tg_load_options *o = c->o;
    uint64_t began = tg_now_ns(), moved = began, before = answered(c), done = 0;
    uint32_t opened = 0, at_once = (o->connecting + o->threads - 1) / o->threads;
    double rate = o->connect_rate / o->threads;
    while (done < c->npeers && (c->clean || !stopped(c))) {
        uint64_t now = tg_now_ns(), seen = answered(c) - before;
        uint64_t allowed = c->npeers;
        if (rate > 0)
            allowed = (uint64_t)((double)(now - began) * rate / 1e9) + 1;
        if (seen != done || opened == done) // nothing is under way: the pace is waited for
            moved = now;
        done = seen;
        while (opened < c->npeers && opened < allowed && opened - done < at_once)
            tg_peer_open(c, c->peers[opened++]);
        turn(c, rate > 0 ? MS : 20 * MS);
        if (now - moved > quiet_ns(c)) {
            give_up_rest(c);
            break;
        }
    }
}

static void subscribe_all(tg_crew *c)
{
    for (uint32_t i = 0; i < c->npeers; i++) {
        tg_peer *p = c->peers[i];
        p->began = tg_now_ns();
        if (p->inbox != NULL && p->state == TG_PEER_READY)
            tg_cast_subscribe(c, p);
    }
}

// Waits until `n` has reached what is due, or until nothing has come for too long.
static bool await(tg_crew *c, const atomic_uint_fast64_t *n, uint64_t due)
{
    uint64_t seen = tg_peek(n), moved = tg_now_ns();
    while (seen < due && (c->clear || !stopped(c))) {
        turn(c, 20 * MS);
        uint64_t now = tg_now_ns();
        if (tg_peek(n) == seen && now - moved > quiet_ns(c))
            return false;
        moved = tg_peek(n) != seen ? now : moved;
        seen = tg_peek(n);
    }
    return true;
}

static void await_subscriptions(tg_crew *c)
{
    uint64_t due = 0;
    subscribe_all(c);
    for (uint32_t i = 0; i < c->npeers; i++)
        due += c->peers[i]->subacks;
    due += tg_peek(&c->subscribed);
    if (!await(c, &c->subscribed, due))
        tg_crew_error(c, "subscription: not answered");
}

// Publishes all there is to retain, or empty messages that take it back.
static void publish_retained(tg_crew *c, bool clear)
{
    uint64_t due = tg_peek(&c->acked);
    c->clear = clear;
    for (uint32_t i = 0; i < c->nflows; i++) {
        tg_flow *f = c->flows[i];
        due += clear ? f->sent : f->quota;
        f->quota = clear ? f->sent : f->quota;
        f->sent = 0;
        memset(f->numbers, 0, sizeof(f->numbers));
    }
    tg_flows_start(c);
    if (!await(c, &c->acked, due))
        tg_crew_error(c, "publish: not answered");
    c->sending = false;
}

static void prepare(tg_crew *c)
{
    if (c->o->scenario == TG_LOAD_RETAINED)
        publish_retained(c, false);
    else
        await_subscriptions(c);
}

static void run(tg_crew *c)
{
    bool often = c->o->threads > 1 || c->o->scenario == TG_LOAD_CHURN;
    if (c->o->scenario == TG_LOAD_RETAINED)
        subscribe_all(c);
    else
        tg_flows_start(c);
    while (!stopped(c))
        turn(c, often ? MS : 20 * MS);
    c->sending = false;
}

static void disconnect_all(tg_crew *c)
{
    for (uint32_t i = 0; i < c->npeers; i++) {
        tg_peer *p = c->peers[i];
        if (p->state == TG_PEER_READY) {
            tg_wire_bare(&p->out, TG_WIRE_DISCONNECT);
            tg_peer_flush(c, p);
        }
        if (p->state != TG_PEER_CLOSED)
            tg_peer_close(c, p);
    }
}

// Leaves nothing in the server: what was retained, and sessions that outlive their connection.
static void clean_up(tg_crew *c)
{
    if (c->o->scenario == TG_LOAD_RETAINED)
        publish_retained(c, true);
    disconnect_all(c);
    if (c->o->scenario != TG_LOAD_CHURN && !c->o->durable)
        return;
    c->clean = true;
    connect_all(c);
    disconnect_all(c);
}

void *tg_crew_main(void *arg)
{
    static void (*const phases[])(tg_crew *) = {
        [TG_PHASE_CONNECT] = connect_all,
        [TG_PHASE_PREPARE] = prepare,
        [TG_PHASE_RUN] = run,
        [TG_PHASE_CLEAN] = clean_up,
    };
    tg_crew *c = arg;
    c->began = tg_now_ns();
    for (tg_phase p = TG_PHASE_NONE; (p = tg_gate_pass(c->run, p)) != TG_PHASE_OVER;)
        phases[p](c);
    return NULL;
}
