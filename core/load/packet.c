// SPDX-License-Identifier: Apache-2.0
// What a client does with each packet. The broker under test is not trusted: whatever it sends
// ends at most its own connection, with a line in the report.
#include "load/engine.h"

static bool end(tg_crew *c, tg_peer *p, const char *what, const char *why)
{
    tg_crew_error(c, "%s: %s", what, why);
    if (!p->known)
        tg_tally(&c->failed, 1);
    tg_peer_close(c, p);
    return false;
}

static bool malformed(tg_crew *c, tg_peer *p)
{
    return end(c, p, "connection", "malformed packet");
}

// @return the byte behind the properties; 0: they are cut.
static size_t skip_properties(const tg_crew *c, tg_slice body, size_t at)
{
    size_t len;
    if (c->o->version != TG_WIRE_V5)
        return at;
    if (!tg_wire_varint(body, &at, &len) || len > body.len - at)
        return 0;
    return at + len;
}

// The few properties of a CONNACK have four kinds of values.
static size_t value_size(unsigned id, tg_slice rest)
{
    static const uint8_t text[] = {0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f};
    if (memchr(text, (int)id, sizeof(text)) != NULL)
        return rest.len < 2 ? SIZE_MAX : 2 + tg_wire_get16(rest.at);
    if (id == 0x11 || id == 0x27)
        return 4;
    if (id == 0x13 || id == 0x21 || id == 0x22)
        return 2;
    if (id == 0x26) // two texts; nothing that is read stands behind them
        return SIZE_MAX;
    return 1;
}

static uint16_t find_receive_max(tg_slice body)
{
    size_t at = 2, len;
    if (!tg_wire_varint(body, &at, &len) || len > body.len - at)
        return UINT16_MAX;
    for (size_t stop = at + len; at < stop;) {
        unsigned id = (unsigned char)body.at[at++];
        size_t size = value_size(id, (tg_slice){body.at + at, stop - at});
        if (size > stop - at)
            break;
        if (id == 0x21)
            return (uint16_t)tg_wire_get16(body.at + at);
        at += size;
    }
    return UINT16_MAX;
}

static void enter(tg_crew *c, tg_peer *p, bool session)
{
    bool back = p->known, expected = back && !c->clean;
    tg_hist_add(&c->connect, c->now - p->began);
    p->state = TG_PEER_READY;
    p->known = true;
    c->last = c->now;
    c->resumed += session;
    tg_tally(&c->open, 1);
    tg_tally(back ? &c->returned : &c->connected, 1);
    p->due = tg_churn_next(c->o->ttl_ms);
    if (expected && !session)
        tg_crew_error(c, "session: not there any more");
    if (expected && !session && p->inbox != NULL) {
        tg_inbox_forget(p->inbox);
        tg_cast_subscribe(c, p);
    }
    if (p->flow != NULL && !c->clean)
        tg_flow_resume(c, p, session);
}

static bool on_connack(tg_crew *c, tg_peer *p, tg_slice body)
{
    if (body.len < 2 || p->state != TG_PEER_GREETING)
        return malformed(c, p);
    unsigned code = (unsigned char)body.at[1];
    if (code != 0)
        return end(c, p, "refused", tg_reason_text(c->o->version, code));
    p->receive_max = UINT16_MAX;
    if (c->o->version == TG_WIRE_V5)
        p->receive_max = find_receive_max(body);
    enter(c, p, (body.at[0] & 1) != 0);
    return true;
}

static bool on_suback(tg_crew *c, tg_peer *p, tg_slice body)
{
    size_t at = body.len >= 2 ? skip_properties(c, body, 2) : 0;
    if (at == 0 || at >= body.len || p->subacks == 0)
        return malformed(c, p);
    unsigned code = (unsigned char)body.at[at];
    if (code >= 0x80)
        tg_crew_error(c, "subscription: %s", tg_reason_text(c->o->version, code));
    p->subacks--;
    tg_tally(&c->subscribed, 1);
    return true;
}

static void count_delivery(tg_crew *c, uint32_t stream)
{
    const tg_run *r = c->run;
    tg_flow *f = &r->flows[stream / r->nlevels]; // its publisher's window moves on
    c->last = c->now;
    if (!r->levels[stream % r->nlevels].counted) {
        c->late++;
        return;
    }
    tg_tally(&c->fresh, 1);
    if (c->o->threads > 1) {
        atomic_fetch_add_explicit(&f->got, 1, memory_order_relaxed);
    } else {
        tg_tally(&f->got, 1);
        tg_flow_ready(c, f);
    }
}

static void deliver(tg_crew *c, tg_peer *p, tg_slice payload, unsigned qos)
{
    tg_stamp s;
    tg_tally(&c->received, 1);
    if (payload.len < sizeof(s) || p->inbox == NULL) {
        c->strange++;
        return;
    }
    memcpy(&s, payload.at, sizeof(s));
    s.stream ^= c->run->tag;
    bool retained = c->o->scenario == TG_LOAD_RETAINED;
    if (!tg_inbox_take(c, p->inbox, &s, c->o->scenario == TG_LOAD_CHURN && qos == 1))
        return;
    tg_hist_add(&c->latency, c->now - (retained ? p->began : s.sent_ns));
    count_delivery(c, s.stream);
}

static bool on_publish(tg_crew *c, tg_peer *p, const tg_wire_packet *packet)
{
    tg_slice body = packet->body;
    unsigned qos = packet->flags >> 1 & 3, id = 0;
    size_t at = body.len >= 2 ? 2 + tg_wire_get16(body.at) : SIZE_MAX;
    if (qos > 0 && at <= body.len && body.len - at >= 2) {
        id = tg_wire_get16(body.at + at);
        at += 2;
    }
    if (at <= body.len)
        at = skip_properties(c, body, at);
    if (at == 0 || at > body.len || qos == 3 || (qos > 0 && id == 0))
        return malformed(c, p);
    if (qos > 0)
        tg_wire_ack(&p->out, qos == 1 ? TG_WIRE_PUBACK : TG_WIRE_PUBREC, id);
    if (qos == 2 && p->inbox != NULL && tg_inbox_holds(p->inbox, id))
        return true; // the second time of one that was taken (MQTT 5.0 §4.3.3)
    if (qos == 2 && p->inbox != NULL)
        tg_inbox_hold(p->inbox, id, true);
    deliver(c, p, (tg_slice){body.at + at, body.len - at}, qos);
    return true;
}

// PUBACK, PUBREC, PUBCOMP of what a peer published.
static bool on_answer(tg_crew *c, tg_peer *p, unsigned type, tg_slice body)
{
    if (body.len < 2 || p->flow == NULL || p->unacked == 0)
        return malformed(c, p);
    unsigned id = tg_wire_get16(body.at);
    unsigned code = body.len > 2 ? (unsigned char)body.at[2] : 0;
    bool known = code == 0x92 && type == TG_WIRE_PUBCOMP; // of an id that is done already
    if (code >= 0x80 && !known)
        tg_crew_error(c, "publish: %s", tg_reason_text(c->o->version, code));
    if (type != TG_WIRE_PUBREC || code >= 0x80) {
        tg_flow_acked(c, p, id);
        return true;
    }
    tg_wire_ack(&p->out, TG_WIRE_PUBREL, id);
    tg_flow_released(p, id);
    return true;
}

static bool on_pubrel(tg_crew *c, tg_peer *p, tg_slice body)
{
    if (body.len < 2)
        return malformed(c, p);
    unsigned id = tg_wire_get16(body.at);
    if (p->inbox != NULL)
        tg_inbox_hold(p->inbox, id, false);
    tg_wire_ack(&p->out, TG_WIRE_PUBCOMP, id);
    return true;
}

bool tg_packet_take(tg_crew *c, tg_peer *p, const tg_wire_packet *packet)
{
    if (packet->type == TG_WIRE_CONNACK)
        return on_connack(c, p, packet->body);
    if (p->state != TG_PEER_READY)
        return malformed(c, p);
    switch (packet->type) {
    case TG_WIRE_PUBLISH:
        return on_publish(c, p, packet);
    case TG_WIRE_PUBACK:
    case TG_WIRE_PUBREC:
    case TG_WIRE_PUBCOMP:
        return on_answer(c, p, packet->type, packet->body);
    case TG_WIRE_PUBREL:
        return on_pubrel(c, p, packet->body);
    case TG_WIRE_SUBACK:
        return on_suback(c, p, packet->body);
    case TG_WIRE_PINGRESP:
        return true;
    case TG_WIRE_DISCONNECT:
        return end(c, p, "disconnected",
                   tg_reason_text(c->o->version, packet->body.len > 0
                                                     ? (unsigned char)packet->body.at[0]
                                                     : 0));
    default:
        return malformed(c, p);
    }
}
