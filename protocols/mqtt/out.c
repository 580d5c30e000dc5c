// SPDX-License-Identifier: Apache-2.0
// An answer must not be lost because its client reads slowly: what finds the write queue full
// waits in an outbox, and nothing more is read from that client until it has left. So an outbox
// holds the answers to what had been read, and no more.
#include "conn.h"

mqtt_extra *mqtt_extra_get(mqtt_conn *m)
{
    if (m->extra == NULL)
        m->extra = (mqtt_extra *)mqtt_alloc(sizeof(*m->extra));
    return m->extra;
}

void mqtt_extra_free(mqtt_conn *m)
{
    mqtt_extra *x = m->extra;
    if (x == NULL)
        return;
    mqtt_free((void *)(uintptr_t)x->user.at);
    mqtt_aliases_free(x->in);
    mqtt_aliases_free(x->out);
    mqtt_free(x->outbox);
    mqtt_free(x);
    m->extra = NULL;
}

static bool grow(mqtt_extra *x, size_t more)
{
    size_t need = x->outbox_len + more;
    if (need <= x->outbox_cap)
        return true;
    size_t cap = need < 256 ? 256 : need * 2;
    void *at = tg.host->alloc(x->outbox, cap);
    if (at == NULL)
        return false;
    x->outbox = (uint8_t *)at;
    x->outbox_cap = cap;
    return true;
}

static void put_by(mqtt_conn *m, tg_slice packet)
{
    mqtt_extra *x = mqtt_extra_get(m);
    if (x == NULL || !grow(x, packet.len)) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an answer");
        return;
    }
    memcpy(x->outbox + x->outbox_len, packet.at, packet.len);
    x->outbox_len += packet.len;
    m->flags |= MQTT_STUFFED;
}

void mqtt_send(mqtt_conn *m, tg_slice packet)
{
    if (m->state == MQTT_CLOSING)
        return;
    // §3.1.2.11.4: what the client cannot take is not sent.
    if (m->max_out != 0 && packet.len > m->max_out) {
        mqtt_count(m, MQTT_N_dropped_too_large);
        return;
    }
    mqtt_count(m, MQTT_N_sent + ((uint8_t)packet.at[0] >> 4));
    int rc = (m->flags & MQTT_STUFFED) == 0 ? tg.conn->send(m->conn, packet) : TG_E_FULL;
    if (rc == TG_E_FULL)
        put_by(m, packet);
    else if (rc == TG_E_NOMEM)
        mqtt_end(m, TG_CLOSE_KEEP_WILL, rc, "no memory for an answer");
}

void mqtt_flush_outbox(mqtt_conn *m)
{
    mqtt_extra *x = m->extra;
    if ((m->flags & MQTT_STUFFED) == 0)
        return;
    if (tg.conn->send(m->conn, (tg_slice){(char *)x->outbox, x->outbox_len}) == TG_E_FULL)
        return;
    mqtt_free(x->outbox);
    x->outbox = NULL;
    x->outbox_len = x->outbox_cap = 0;
    m->flags &= (uint8_t)~MQTT_STUFFED;
}

static tg_slice words(const mqtt_conn *m, const char *why)
{
    return m->port->config->reason_strings ? tg_str(why) : (tg_slice){0};
}

void mqtt_send_ack(mqtt_conn *m, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    mqtt_small packet;
    mqtt_encode_ack(m->version, type, packet_id, reason, &packet);
    mqtt_send(m, mqtt_small_slice(&packet));
}

static void send_disconnect(mqtt_conn *m, uint8_t reason, const char *why)
{
    mqtt_small packet;
    mqtt_encode_disconnect(reason, words(m, why), &packet);
    if (m->max_out != 0 && packet.len > m->max_out)
        mqtt_encode_disconnect(reason, (tg_slice){0}, &packet);
    mqtt_send(m, mqtt_small_slice(&packet));
}

int mqtt_fail(mqtt_conn *m, uint8_t reason, const char *why)
{
    if (why == NULL)
        why = mqtt_reason_text(reason);
    if (m->state == MQTT_CONNECTED)
        mqtt_counts_reason(&m->port->counts, MQTT_R_SERVER, reason);
    if (m->state == MQTT_CONNECTED && mqtt_v5(m))
        send_disconnect(m, reason, why);
    mqtt_end(m, TG_CLOSE_KEEP_WILL, mqtt_reason_error(reason), why);
    return 0;
}

void mqtt_end(mqtt_conn *m, unsigned session_flags, int error, const char *why)
{
    if (m->state == MQTT_CLOSING)
        return;
    if (m->state == MQTT_CONNECTED)
        tg_count(m->port->counts.cells[MQTT_N_connections], -1);
    m->state = MQTT_CLOSING; // first: what follows may call back
    if ((m->flags & MQTT_SESSION) != 0) {
        m->flags &= (uint8_t)~MQTT_SESSION;
        tg.session->close(m->session, session_flags);
    }
    tg.conn->close(m->conn, error, tg_str(why));
}

void mqtt_set_crowded(mqtt_conn *m)
{
    // An MQTT 5 client keeps to the receive maximum or is closed; the others are slowed down.
    bool slow = !mqtt_v5(m) && m->waiting >= m->port->config->receive_max;
    if (slow || m->requests >= MQTT_REQUESTS_MAX)
        m->flags |= MQTT_CROWDED;
    else
        m->flags &= (uint8_t)~MQTT_CROWDED;
}

void mqtt_read_on(mqtt_conn *m)
{
    if ((m->flags & MQTT_PAUSED) == 0 || (m->flags & (MQTT_CROWDED | MQTT_STUFFED)) != 0)
        return;
    if (m->state != MQTT_CONNECTED)
        return;
    m->flags &= (uint8_t)~MQTT_PAUSED;
    tg.conn->resume(m->conn);
}
