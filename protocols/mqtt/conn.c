// SPDX-License-Identifier: Apache-2.0
// A connection is in one of five states, and each has one function that takes bytes. Packets
// are parsed where they lie in the host's read buffer, and a connected client's packet goes
// through one table from its type to its handler.
#include "conn.h"

int mqtt_on_open(const tg_adapter *self, tg_conn c, void *state, const tg_value *options)
{
    mqtt_conn *m = (mqtt_conn *)state;
    char why[128];
    tg_conn_info info = {.size = sizeof(info)};
    mqtt_worker *w = mqtt_worker_of(mqtt_adapter_of(self));
    tg.conn->info(c, &info);
    mqtt_port *port = mqtt_port_for(w, info.listener, options, why, sizeof(why));
    if (port == NULL) {
        tg.conn->complain(c, TG_E_INVAL, tg_str(why));
        return TG_E_INVAL;
    }
    m->magic = MQTT_CONN_MAGIC;
    m->state = MQTT_EXPECT_CONNECT;
    m->conn = c;
    m->port = port;
    return 0;
}

static void protocol_error(mqtt_conn *m, uint8_t reason, const char *why)
{
    mqtt_count(m, MQTT_N_protocol_errors);
    mqtt_fail(m, reason, why);
}

static void on_pingreq(mqtt_conn *m, const mqtt_packet *p)
{
    (void)p;
    mqtt_send(m, TG_LIT("\xd0\x00"));
}

// Codes that only a server sends (MQTT 5.0 table 3-10).
static bool from_client(uint8_t reason)
{
    switch (reason) {
    case MQTT_SUCCESS:
    case MQTT_WITH_WILL:
    case MQTT_UNSPECIFIED:
    case MQTT_MALFORMED:
    case MQTT_PROTOCOL:
    case MQTT_IMPLEMENTATION:
    case MQTT_BAD_TOPIC:
    case MQTT_RECEIVE_MAX:
    case MQTT_BAD_ALIAS:
    case MQTT_TOO_LARGE:
    case MQTT_RATE:
    case MQTT_QUOTA:
    case MQTT_ADMIN:
    case MQTT_BAD_PAYLOAD:
        return true;
    default:
        return false;
    }
}

static void on_disconnect(mqtt_conn *m, const mqtt_packet *p)
{
    if (!from_client(p->reason)) {
        protocol_error(m, MQTT_PROTOCOL, "reason code that only a server sends");
        return;
    }
    uint32_t expiry = mqtt_number(&p->props, MQTT_P_SESSION_EXPIRY, 0);
    if (mqtt_has(&p->props, MQTT_P_SESSION_EXPIRY)) {
        if (expiry != 0 && (m->flags & MQTT_EXPIRY_ZERO) != 0) {
            protocol_error(m, MQTT_PROTOCOL, "session expiry after a CONNECT without one");
            return;
        }
        uint32_t max = m->port->config->session_expiry_max;
        tg.session->set_expiry(m->session, expiry < max ? expiry : max);
    }
    mqtt_counts_reason(&m->port->counts, MQTT_R_CLIENT, p->reason);
    mqtt_end(m, p->reason == MQTT_SUCCESS ? 0 : TG_CLOSE_KEEP_WILL, 0,
             "client disconnected");
}

static void on_auth(mqtt_conn *m, const mqtt_packet *p)
{
    (void)p; // §4.12: only after a CONNECT with a method, and none is offered
    protocol_error(m, MQTT_PROTOCOL, "AUTH without an authentication method");
}

static void on_second_connect(mqtt_conn *m, const mqtt_packet *p)
{
    (void)p;
    protocol_error(m, MQTT_PROTOCOL, "second CONNECT");
}

static void on_server_packet(mqtt_conn *m, const mqtt_packet *p)
{
    (void)p;
    protocol_error(m, MQTT_PROTOCOL, "packet that only a server sends");
}

static void (*const HANDLERS[16])(mqtt_conn *m, const mqtt_packet *p) = {
    [0] = on_server_packet,
    [MQTT_CONNECT] = on_second_connect,
    [MQTT_CONNACK] = on_server_packet,
    [MQTT_PUBLISH] = mqtt_on_publish,
    [MQTT_PUBACK] = mqtt_on_ack,
    [MQTT_PUBREC] = mqtt_on_ack,
    [MQTT_PUBREL] = mqtt_on_pubrel,
    [MQTT_PUBCOMP] = mqtt_on_ack,
    [MQTT_SUBSCRIBE] = mqtt_on_subscribe,
    [MQTT_SUBACK] = on_server_packet,
    [MQTT_UNSUBSCRIBE] = mqtt_on_unsubscribe,
    [MQTT_UNSUBACK] = on_server_packet,
    [MQTT_PINGREQ] = on_pingreq,
    [MQTT_PINGRESP] = on_server_packet,
    [MQTT_DISCONNECT] = on_disconnect,
    [MQTT_AUTH] = on_auth,
};

// Finds the packet at the front. @return its size, 0 to wait for more, -1 when it was refused.
static int64_t front(mqtt_conn *m, tg_slice bytes, uint32_t max, mqtt_head *head)
{
    int rc = mqtt_head_parse(bytes, head);
    if (rc == 0)
        return 0;
    if (rc > 0 && head->size <= max) {
        if (head->size > bytes.len)
            return 0;
        mqtt_count(m, MQTT_N_received + head->type);
        return (int64_t)head->size;
    }
    if (rc < 0)
        protocol_error(m, MQTT_MALFORMED, "remaining length has more than four bytes");
    else
        protocol_error(m, MQTT_TOO_LARGE, NULL);
    return -1;
}

static size_t expect_connect(mqtt_conn *m, tg_slice bytes)
{
    mqtt_head head;
    if ((uint8_t)bytes.at[0] >> 4 != MQTT_CONNECT) {
        protocol_error(m, MQTT_PROTOCOL, "first packet is no CONNECT");
        return bytes.len;
    }
    int64_t size = front(m, bytes, m->port->config->max_connect, &head);
    if (size <= 0)
        return size < 0 ? bytes.len : 0;
    mqtt_on_connect(m, &head, (tg_slice){bytes.at, head.size});
    return (size_t)size;
}

static size_t connected(mqtt_conn *m, tg_slice bytes)
{
    mqtt_head head;
    mqtt_packet p;
    int64_t size = front(m, bytes, m->port->config->max_packet, &head);
    if (size <= 0)
        return size < 0 ? bytes.len : 0;
    uint8_t reason = mqtt_parse(m->version, &head, (tg_slice){bytes.at, head.size}, &p);
    if (reason == 0)
        HANDLERS[head.type](m, &p);
    else
        protocol_error(m, reason, p.why);
    return (size_t)size;
}

static size_t wait(mqtt_conn *m, tg_slice bytes)
{
    (void)m;
    (void)bytes;
    return 0;
}

static size_t closing(mqtt_conn *m, tg_slice bytes)
{
    (void)m;
    return bytes.len;
}

static size_t (*const STATES[])(mqtt_conn *m, tg_slice bytes) = {
    [MQTT_EXPECT_CONNECT] = expect_connect,
    [MQTT_AUTHENTICATING] = wait,
    [MQTT_OPENING] = wait,
    [MQTT_CONNECTED] = connected,
    [MQTT_CLOSING] = closing,
};

// The host need not read for us while an answer is due.
static bool waits(const mqtt_conn *m)
{
    return m->state == MQTT_AUTHENTICATING || m->state == MQTT_OPENING ||
           (m->state == MQTT_CONNECTED && (m->flags & (MQTT_CROWDED | MQTT_STUFFED)) != 0);
}

int64_t mqtt_on_data(tg_conn c, void *state, tg_slice data)
{
    mqtt_conn *m = mqtt_check(state);
    size_t used = 0;
    while (used < data.len && !waits(m)) {
        size_t n = STATES[m->state](m, (tg_slice){data.at + used, data.len - used});
        if (n == 0)
            break; // half a packet
        used += n;
    }
    // Only now: most answers come before the handler returns, and then nothing was to be done.
    if (waits(m) && (m->flags & MQTT_PAUSED) == 0) {
        m->flags |= MQTT_PAUSED;
        tg.conn->pause(c);
    }
    return (int64_t)used;
}

void mqtt_on_idle(tg_conn c, void *state)
{
    (void)c;
    mqtt_conn *m = mqtt_check(state);
    // Who is not read cannot be heard: its PINGREQ may be waiting.
    if (m->state != MQTT_CONNECTED || (m->flags & MQTT_PAUSED) != 0)
        return;
    mqtt_fail(m, MQTT_KEEPALIVE, NULL);
}

void mqtt_on_writable(tg_conn c, void *state)
{
    (void)c;
    mqtt_conn *m = mqtt_check(state);
    if (m->state == MQTT_CLOSING)
        return;
    bool stuffed = (m->flags & MQTT_STUFFED) != 0;
    mqtt_flush_outbox(m);
    if ((m->flags & MQTT_STUFFED) != 0)
        return;
    // Messages that were refused for the outbox's sake may be waiting.
    if (stuffed && (m->flags & MQTT_SESSION) != 0)
        tg.session->resume(m->session);
    mqtt_read_on(m);
}

static uint8_t reason_of_end(int reason)
{
    switch (reason) {
    case TG_E_TAKENOVER:
        return MQTT_TAKEN_OVER;
    case TG_E_SHUTDOWN:
        return MQTT_SHUTDOWN;
    case TG_E_KICKED:
        return MQTT_ADMIN;
    case TG_E_TIMEOUT: // it acknowledges nothing
        return MQTT_QUOTA;
    default: // a later host may have more
        return MQTT_UNSPECIFIED;
    }
}

void mqtt_on_session_end(tg_conn c, void *state, tg_session s, int reason)
{
    (void)c;
    (void)s;
    mqtt_conn *m = mqtt_check(state);
    m->flags &= (uint8_t)~MQTT_SESSION; // the host has unbound it
    mqtt_fail(m, reason_of_end(reason), NULL);
}

void mqtt_on_close(tg_conn c, void *state, int reason)
{
    (void)c;
    (void)reason;
    mqtt_conn *m = (mqtt_conn *)state;
    if (m->magic != MQTT_CONN_MAGIC)
        return; // on_open had refused it
    if (m->state == MQTT_CONNECTED) {
        tg_count(m->port->counts.cells[MQTT_N_connections], -1);
        mqtt_count(m, MQTT_N_lost);
    }
    m->state = MQTT_CLOSING;
    if ((m->flags & MQTT_SESSION) != 0) {
        m->flags &= (uint8_t)~MQTT_SESSION;
        tg.session->close(m->session, TG_CLOSE_KEEP_WILL);
    }
    mqtt_connect_drop(m);
    mqtt_acks_drop(m);
    mqtt_extra_free(m);
    m->magic = 0;
}

bool mqtt_may_publish(const mqtt_conn *m, tg_slice topic)
{
    // MQTT 5.0 §4.7.2: names of the server's own are not for clients to publish.
    if (topic.len >= 4 && memcmp(topic.at, "$SYS", 4) == 0)
        return false;
    if ((m->flags & MQTT_ACL) == 0)
        return true;
    tg_slice user = m->extra != NULL ? m->extra->user : (tg_slice){0};
    return tg.auth->may_publish(tg.session->attributes(m->session), mqtt_client_id(m), user,
                                topic);
}

bool mqtt_may_subscribe(const mqtt_conn *m, tg_slice filter)
{
    if ((m->flags & MQTT_ACL) == 0)
        return true;
    tg_slice user = m->extra != NULL ? m->extra->user : (tg_slice){0};
    return tg.auth->may_subscribe(tg.session->attributes(m->session), mqtt_client_id(m),
                                  user, filter);
}
