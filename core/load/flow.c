// SPDX-License-Identifier: Apache-2.0
// The sending half. A flow is held to a window: no more of its messages are under way than
// that, unacknowledged by the server or not yet seen by their subscribers. So a server is
// measured at the speed at which it delivers, and QoS 0 does not measure how fast it drops.
#include "load/engine.h"

void tg_flow_ready(tg_crew *c, tg_flow *f)
{
    if (f->queued)
        return;
    f->queued = true;
    c->ready[c->nready++] = f;
}

static uint64_t under_way(const tg_crew *c, const tg_flow *f)
{
    uint64_t copies = c->run->copies, due = f->counted * copies, out = 0;
    uint64_t got = tg_peek(&f->got);
    if (c->o->scenario != TG_LOAD_RETAINED && due > got)
        out = (due - got + copies - 1) / copies;
    return f->pub->unacked > out ? f->pub->unacked : out;
}

/// How many messages the flow may send now.
static uint64_t room_of(const tg_crew *c, const tg_flow *f)
{
    if (atomic_load_explicit(&c->run->hold, memory_order_relaxed) && !c->clear)
        return 0;
    uint64_t out = under_way(c, f), left = f->quota - f->sent;
    uint64_t room = out < c->o->window ? c->o->window - out : 0;
    if (c->run->sub_qos > 0 && f->pub->unacked + room > f->pub->receive_max)
        room = f->pub->receive_max > f->pub->unacked ? f->pub->receive_max - f->pub->unacked
                                                     : 0;
    if (c->rate > 0 && f->credit < room)
        room = f->credit;
    return room < left ? room : left;
}

/// Shares in turn, so that each stretch of messages has the mix and not only the whole.
static unsigned next_level(const tg_run *r, tg_flow *f)
{
    unsigned best = 0;
    int64_t total = 0;
    if (r->nlevels == 1)
        return 0;
    for (unsigned i = 0; i < r->nlevels; i++) {
        f->turn[i] += r->levels[i].share;
        total += r->levels[i].share;
        best = f->turn[i] > f->turn[best] ? i : best;
    }
    f->turn[best] -= total;
    return best;
}

static void put(tg_crew *c, tg_flow *f, const tg_pending *m, bool dup)
{
    const tg_run *r = c->run;
    bool retain = c->o->scenario == TG_LOAD_RETAINED;
    unsigned flags = r->levels[m->level].qos << 1 | retain | (dup ? TG_WIRE_DUP : 0);
    char text[TG_TOPIC_MAX];
    tg_slice topic = tg_cast_topic(r, f, m->number, text);
    size_t size = c->clear ? 0 : c->o->payload;
    char *to = tg_wire_publish(&f->pub->out, c->o->version, topic, flags, m->id, size);
    if (to == NULL || size == 0)
        return;
    tg_stamp s = {m->sent_ns, (f->index * r->nlevels + m->level) ^ r->tag, m->number};
    memcpy(to, &s, sizeof(s));
    memcpy(to + sizeof(s), c->payload, size - sizeof(s));
}

static void send_one(tg_crew *c, tg_flow *f, uint64_t now)
{
    tg_peer *p = f->pub;
    unsigned level = next_level(c->run, f);
    const tg_level *l = &c->run->levels[level];
    tg_pending m = {.sent_ns = now, .number = f->numbers[level]++, .level = (uint8_t)level};
    f->sent++;
    f->credit -= c->rate > 0;
    tg_tally(&c->sent, 1);
    if (l->counted) {
        f->counted++;
        tg_tally(&c->counted, 1);
    }
    if (l->qos > 0) {
        m.id = tg_peer_next_id(p);
        p->unacked++;
        tg_tally(&c->asked, 1);
        if (p->pending != NULL)
            p->pending[p->npending++] = m;
    }
    put(c, f, &m, false);
}

static void go_on(tg_crew *c, tg_flow *f)
{
    tg_peer *p = f->pub;
    if (p->blocked || p->state != TG_PEER_READY)
        return;
    uint64_t room = room_of(c, f), now = tg_now_ns();
    for (; room > 0 && p->out.len < TG_OUT_MAX; room--)
        send_one(c, f, now);
    tg_peer_flush(c, p);
    if (!p->blocked && p->state == TG_PEER_READY && room_of(c, f) > 0)
        tg_flow_ready(c, f);
}

void tg_flows_start(tg_crew *c)
{
    c->start = tg_now_ns();
    c->sending = true;
    for (uint32_t i = 0; i < c->nflows; i++)
        tg_flow_ready(c, c->flows[i]);
}

/// Flows whose subscribers are read by other threads are looked at in every turn.
void tg_flows_go_on(tg_crew *c)
{
    if (!c->sending)
        return;
    if (c->o->threads > 1)
        for (uint32_t i = 0; i < c->nflows; i++)
            tg_flow_ready(c, c->flows[i]);
    uint32_t ready = c->nready;
    for (uint32_t i = 0; i < ready; i++)
        c->ready[i]->queued = false;
    c->nready = 0;
    for (uint32_t i = 0; i < ready;
         i++) // those that go on again stand before the ones to come
        go_on(c, c->ready[i]);
}

uint64_t tg_flows_due(tg_crew *c)
{
    if (!c->sending || c->rate <= 0 || c->nflows == 0)
        return UINT64_MAX;
    double passed = (double)(tg_now_ns() - c->start);
    uint64_t due = (uint64_t)(passed * c->rate / 1e9) + 1;
    for (; c->paced < due; c->paced++) {
        tg_flow *f = c->flows[c->cursor];
        c->cursor = (c->cursor + 1) % c->nflows;
        f->credit++;
        tg_flow_ready(c, f);
    }
    double left = (double)c->paced * 1e9 / c->rate - passed;
    return left > 0 ? (uint64_t)left : 0;
}

static tg_pending *find(tg_peer *p, unsigned id)
{
    for (uint32_t i = 0; i < p->npending;
         i++) // answers come in the order of what they answer
        if (p->pending[i].id == id)
            return &p->pending[i];
    return NULL;
}

static void forget(tg_peer *p, tg_pending *m)
{
    tg_pending *end = p->pending + p->npending--;
    memmove(m, m + 1, (size_t)(end - m - 1) * sizeof(*m));
}

void tg_flow_acked(tg_crew *c, tg_peer *p, unsigned id)
{
    if (p->pending != NULL) {
        tg_pending *m = find(p, id);
        if (m == NULL) {
            tg_crew_error(c, "publish: an answer to what was not sent");
            return;
        }
        forget(p, m);
    }
    p->unacked--;
    tg_tally(&c->acked, 1);
    tg_flow_ready(c, p->flow);
}

void tg_flow_released(tg_peer *p, unsigned id)
{
    tg_pending *m = p->pending != NULL ? find(p, id) : NULL;
    if (m != NULL)
        m->released = true;
}

/// MQTT 5.0 §4.4: in the order in which it was sent first. Without its session the server
/// knows nothing of what was under way: it goes out as new, but for what it had taken over.
void tg_flow_resume(tg_crew *c, tg_peer *p, bool session)
{
    for (uint32_t i = 0; i < p->npending;) {
        tg_pending *m = &p->pending[i];
        if (m->released && !session) {
            tg_flow_acked(c, p, m->id);
            continue;
        }
        if (m->released)
            tg_wire_ack(&p->out, TG_WIRE_PUBREL, m->id);
        else
            put(c, p->flow, m, session);
        i++;
    }
    tg_flow_ready(c, p->flow);
}
