// SPDX-License-Identifier: Apache-2.0
// Messages to a client. A fan-out hands the same message to one connection after another on
// this worker, so the last packet of each form is remembered with its message: for the next
// receiver only the first byte and the identifier are written over. A large payload is never
// copied: head and payload go to the host apart.
#include "conn.h"

#define BY_REFERENCE 1024 ///< payloads from this size on are not copied

static void describe(const mqtt_conn *m, const tg_delivery *d, mqtt_publish *p)
{
    *p = (mqtt_publish){
        .version = m->version,
        .qos = d->qos,
        .retain = d->retain,
        .dup = d->dup && d->qos > 0,
        .packet_id = d->packet_id,
        .topic = d->msg->topic,
        .payload_len = d->msg->payload.len,
    };
    if (!mqtt_v5(m))
        return;
    p->nsub_ids = d->nsub_ids;
    p->sub_ids = d->sub_ids;
    p->expiry_s = d->expiry_s;
    p->props = d->msg->props;
}

static bool too_large(const mqtt_conn *m, size_t size)
{
    return size == 0 || (m->max_out != 0 && size > m->max_out);
}

static int drop_too_large(mqtt_conn *m)
{
    mqtt_count(m, MQTT_N_dropped_too_large);
    return TG_E_TOOBIG;
}

static tg_slice bytes_of(const uint8_t *at, size_t len)
{
    return (tg_slice){(const char *)at, len};
}

static void memo_drop(mqtt_memo *memo)
{
    if (memo->msg != NULL)
        tg.msg->unref(memo->msg);
    memo->msg = NULL;
}

static void memo_fill(mqtt_memo *memo, const mqtt_publish *p, tg_msg msg)
{
    mqtt_encode_publish(p, memo->bytes);
    memcpy(memo->bytes + p->head, msg->payload.at, msg->payload.len);
    memo->len = p->head + msg->payload.len;
    memo->id_at = p->id_at;
}

static int send_memo(mqtt_conn *m, mqtt_memo *memo, const tg_delivery *d)
{
    uint8_t dup = d->dup && d->qos > 0;
    memo->bytes[0] = (uint8_t)(MQTT_PUBLISH << 4 | dup << 3 | d->qos << 1 | d->retain);
    if (d->qos > 0) {
        memo->bytes[memo->id_at] = (uint8_t)(d->packet_id >> 8);
        memo->bytes[memo->id_at + 1] = (uint8_t)d->packet_id;
    }
    return tg.conn->send(m->conn, bytes_of(memo->bytes, memo->len));
}

// The head in `near` if it fits, else in memory of its own.
static int send_apart(mqtt_conn *m, const mqtt_publish *p, tg_msg msg)
{
    uint8_t near[512];
    uint8_t *head = p->head <= sizeof(near) ? near : (uint8_t *)mqtt_alloc(p->head);
    if (head == NULL)
        return TG_E_NOMEM;
    mqtt_encode_publish(p, head);
    int rc = tg.conn->send_msg(m->conn, bytes_of(head, p->head), msg);
    if (head != near)
        mqtt_free(head);
    return rc;
}

static int send_small(mqtt_conn *m, const tg_delivery *d, const mqtt_publish *p,
                      bool shared)
{
    mqtt_memo *memo = &m->port->worker->memo[mqtt_v5(m) * 2 + (d->qos > 0)];
    memo_drop(memo);
    memo_fill(memo, p, d->msg);
    if (shared)
        memo->msg = tg.msg->ref(d->msg);
    return send_memo(m, memo, d);
}

// The same for every receiver of its form: no subscription identifiers, no expiry that runs
// down, no alias.
static bool is_shared(const mqtt_conn *m, const tg_delivery *d)
{
    return !mqtt_v5(m) || (d->nsub_ids == 0 && d->expiry_s == 0 &&
                           (m->extra == NULL || m->extra->alias_out_max == 0));
}

static int publish(mqtt_conn *m, const tg_delivery *d, bool shared)
{
    mqtt_publish p;
    bool known = false;
    describe(m, d, &p);
    p.alias = mqtt_v5(m) ? mqtt_alias_out(m, p.topic, &known) : 0;
    if (known)
        p.topic = (tg_slice){0};
    size_t size = mqtt_publish_measure(&p);
    int rc;
    if (too_large(m, size))
        rc = drop_too_large(m);
    else if (p.payload_len < BY_REFERENCE && size <= MQTT_MEMO_SIZE)
        rc = send_small(m, d, &p, shared);
    else
        rc = send_apart(m, &p, d->msg);
    if (rc < 0 && p.alias != 0 && !known)
        mqtt_alias_undo(m);
    return rc;
}

static void count_sent(const mqtt_conn *m, const tg_delivery *d)
{
    mqtt_count(m, MQTT_N_sent + MQTT_PUBLISH);
    mqtt_count(m, MQTT_N_qos_sent + d->qos);
    tg_count(m->port->counts.cells[MQTT_N_bytes_sent], (int64_t)d->msg->payload.len);
}

int mqtt_on_deliver(tg_conn c, void *state, tg_session s, const tg_delivery *d)
{
    (void)c;
    (void)s;
    mqtt_conn *m = mqtt_check(state);
    if (m->state == MQTT_CONNECTED && d->released) {
        mqtt_send_ack(m, MQTT_PUBREL, d->packet_id, MQTT_SUCCESS);
        return 0; // at the latest from the outbox
    }
    if (m->state != MQTT_CONNECTED || (m->flags & MQTT_STUFFED) != 0)
        return TG_E_FULL;
    // A SUBACK goes before the retained messages that its filters ask for.
    if (d->retain && m->lists > 0) {
        m->flags |= MQTT_HELD;
        return TG_E_FULL;
    }
    bool shared = is_shared(m, d);
    mqtt_memo *memo = &m->port->worker->memo[mqtt_v5(m) * 2 + (d->qos > 0)];
    int rc;
    if (!shared || memo->msg != d->msg)
        rc = publish(m, d, shared);
    else if (too_large(m, memo->len))
        rc = drop_too_large(m);
    else
        rc = send_memo(m, memo, d);
    if (rc == 0)
        count_sent(m, d);
    return rc;
}

static void unknown(mqtt_conn *m)
{
    mqtt_count(m, MQTT_N_unknown_acks);
    tg.conn->complain(m->conn, TG_E_NOTFOUND,
                      TG_LIT("acknowledgement of what was not sent"));
}

static void on_pubrec(mqtt_conn *m, const mqtt_packet *p)
{
    int rc = tg.session->ack(m->session, p->packet_id, TG_ACK_RECEIVED);
    if (rc > 0)
        return; // the store comes first; the release is delivered then
    if (rc < 0)
        unknown(m);
    mqtt_send_ack(m, MQTT_PUBREL, p->packet_id, rc == 0 ? MQTT_SUCCESS : MQTT_NO_SUCH_ID);
}

void mqtt_on_ack(mqtt_conn *m, const mqtt_packet *p)
{
    bool refused = p->reason >= MQTT_UNSPECIFIED && p->type != MQTT_PUBCOMP;
    if (p->type == MQTT_PUBREC && !refused) {
        on_pubrec(m, p);
        return;
    }
    tg_ack how = p->type == MQTT_PUBACK ? (refused ? TG_ACK_REFUSED_1 : TG_ACK_DONE_1)
                                        : (refused ? TG_ACK_REFUSED_2 : TG_ACK_DONE_2);
    if (tg.session->ack(m->session, p->packet_id, how) != 0)
        unknown(m);
}
