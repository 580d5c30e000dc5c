// SPDX-License-Identifier: Apache-2.0
// PUBLISH from a client. With QoS 1 and 2 an acknowledgement is due when the store has the
// message, which may be later, and acknowledgements leave in the order of their publishes
// (MQTT 5.0 §4.6). So each joins a line, and whatever is done leaves from its front. The
// connection may go first: then what is under way has lost its line and is freed on return.
#include "conn.h"

typedef struct mqtt_ack {
    struct mqtt_ack *next;
    mqtt_conn *m; // NULL: the connection went
    mqtt_worker *worker;
    uint16_t packet_id;
    uint8_t type; // MQTT_PUBACK, MQTT_PUBREC or MQTT_PUBCOMP
    uint8_t reason;
    bool done;
    bool silent; // the session was taken away first: its next connection asks again
} mqtt_ack;

// They come in slabs that stay with the worker: no allocation for each message, and what a
// store never answered is freed with the rest.
#define SLAB 50
typedef struct mqtt_slab {
    struct mqtt_slab *next;
    mqtt_ack acks[SLAB];
} mqtt_slab;

static void ack_free(mqtt_ack *ack)
{
    ack->next = ack->worker->spare;
    ack->worker->spare = ack;
}

static mqtt_ack *spare(mqtt_worker *w)
{
    mqtt_ack *ack = w->spare;
    if (ack != NULL) {
        w->spare = ack->next;
        return ack;
    }
    mqtt_slab *slab = (mqtt_slab *)mqtt_alloc(sizeof(*slab));
    if (slab == NULL)
        return NULL;
    slab->next = w->slabs;
    w->slabs = slab;
    for (size_t i = 1; i < SLAB; i++) {
        slab->acks[i].worker = w;
        ack_free(&slab->acks[i]);
    }
    return &slab->acks[0];
}

void mqtt_slabs_free(mqtt_slab *list)
{
    while (list != NULL) {
        mqtt_slab *next = list->next;
        mqtt_free(list);
        list = next;
    }
}

static mqtt_ack *ack_new(mqtt_conn *m, const mqtt_packet *p)
{
    mqtt_ack *ack = spare(m->port->worker);
    if (ack == NULL)
        return NULL;
    *ack = (mqtt_ack){.m = m,
                      .worker = m->port->worker,
                      .packet_id = p->packet_id,
                      .type = p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC};
    ack->next = m->last != NULL ? m->last->next : ack;
    if (m->last != NULL)
        m->last->next = ack;
    m->last = ack;
    m->waiting++;
    return ack;
}

// Takes the oldest.
static mqtt_ack *ack_pop(mqtt_conn *m)
{
    mqtt_ack *ack = m->last->next;
    if (ack == m->last)
        m->last = NULL;
    else
        m->last->next = ack->next;
    m->waiting--;
    return ack;
}

void mqtt_acks_drop(mqtt_conn *m)
{
    while (m->last != NULL) {
        mqtt_ack *ack = ack_pop(m);
        ack->m = NULL;
        if (ack->done)
            ack_free(ack);
    }
}

// MQTT 3 cannot say no: what was refused for good is acknowledged all the same, and only what
// the store failed to keep is left for the client to send again.
static void send_answer(mqtt_conn *m, const mqtt_ack *ack)
{
    bool refused = ack->reason >= MQTT_UNSPECIFIED;
    if ((refused || ack->type == MQTT_PUBACK) && m->in_flight > 0)
        m->in_flight--;
    if (refused && ack->reason == MQTT_UNSPECIFIED && !mqtt_v5(m))
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_IO, "message could not be kept");
    else
        mqtt_send_ack(m, ack->type, ack->packet_id, ack->reason);
}

static void flush(mqtt_conn *m)
{
    while (m->last != NULL && m->last->next->done) {
        mqtt_ack *ack = ack_pop(m);
        if (m->state == MQTT_CONNECTED && !ack->silent)
            send_answer(m, ack);
        ack_free(ack);
    }
    mqtt_set_crowded(m);
}

// A full store has forgotten all the same. One that failed may know the id after a crash, so
// the client asks again.
static void on_forgotten(void *ctx, int code, const tg_value *value)
{
    mqtt_ack *ack = (mqtt_ack *)ctx;
    mqtt_conn *m = ack->m;
    (void)value;
    if (m == NULL) {
        ack_free(ack);
        return;
    }
    ack->done = true;
    ack->silent = code == TG_E_CANCELLED;
    bool failed = code < 0 && code != TG_E_NOSPACE && !ack->silent;
    if (failed)
        mqtt_fail(m, MQTT_UNSPECIFIED, "packet identifier could not be let go");
    else
        flush(m);
    mqtt_read_on(m);
}

// With its answer the client may use the identifier for another message: the store forgets it
// first, or after a crash that message would be taken for this one.
static void answer_forgotten(mqtt_ack *ack)
{
    mqtt_conn *m = ack->m;
    if (tg.session->sync(m->session, on_forgotten, ack) == 0)
        return;
    ack->done = true;
    mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an acknowledgement");
}

// A refused QoS 2 is over: there is no PUBREL for it (MQTT 5.0 §4.3.3).
static void answer(mqtt_ack *ack, uint8_t reason)
{
    mqtt_conn *m = ack->m;
    bool over = ack->type == MQTT_PUBREC && reason >= MQTT_UNSPECIFIED && !ack->silent;
    ack->reason = reason;
    if (over && tg.session->rx_del(m->session, ack->packet_id) > 0) {
        answer_forgotten(ack);
        return;
    }
    ack->done = true;
    flush(m);
}

// One of many receivers whose queue was full is no failure of the publisher's: sent again, the
// message would be doubled for all the others.
static uint8_t reason_of(int code, uint32_t receivers)
{
    switch (code) {
    case 0:
        return receivers > 0 ? MQTT_SUCCESS : MQTT_NOBODY;
    case TG_E_FULL:
    case TG_E_LIMIT:
        return receivers > 1 ? MQTT_SUCCESS : MQTT_QUOTA;
    case TG_E_NOSPACE:
        return MQTT_QUOTA;
    case TG_E_MALFORMED:
    case TG_E_INVAL:
        return MQTT_BAD_TOPIC;
    case TG_E_DENIED:
        return MQTT_NOT_AUTHORIZED;
    default:
        return MQTT_UNSPECIFIED;
    }
}

static void on_published(void *ctx, int code, uint32_t receivers)
{
    mqtt_ack *ack = (mqtt_ack *)ctx;
    mqtt_conn *m = ack->m;
    if (m == NULL) {
        ack_free(ack);
        return;
    }
    ack->silent = code == TG_E_CANCELLED;
    bool unkept = code == TG_E_NOSPACE && !mqtt_v5(m); // see send_answer()
    answer(ack, unkept ? MQTT_UNSPECIFIED : reason_of(code, receivers));
    mqtt_read_on(m);
}

// Expiry 0 means: expired unless it leaves at once. A second is the host's shortest life.
static uint32_t expiry_of(const mqtt_packet *p)
{
    if (!mqtt_has(&p->props, MQTT_P_MESSAGE_EXPIRY))
        return 0;
    uint32_t seconds = p->props.at[MQTT_P_MESSAGE_EXPIRY].number;
    return seconds > 0 ? seconds : 1;
}

static tg_msg message(mqtt_conn *m, const mqtt_packet *p, tg_slice topic)
{
    char near[512];
    char *far = NULL;
    tg_msg_spec spec = {.size = sizeof(spec),
                        .qos = p->qos,
                        .retain = p->retain,
                        .topic = topic,
                        .payload = p->payload,
                        .publisher = mqtt_client_id(m),
                        .expiry_s = expiry_of(p)};
    if (p->props.seen != 0) {
        bool copies = !mqtt_props_all_carried(&p->props);
        if (copies && p->props.raw.len > sizeof(near)) {
            far = (char *)mqtt_alloc(p->props.raw.len);
            if (far == NULL)
                return NULL;
        }
        spec.props = mqtt_props_carried(&p->props, far != NULL ? far : near);
    }
    tg_msg msg = tg.msg->new (&spec);
    mqtt_free(far);
    return msg;
}

static void refuse_0(mqtt_conn *m, mqtt_counter what, int error, const char *why)
{
    mqtt_count(m, what);
    tg.conn->complain(m->conn, error, tg_str(why));
}

static void publish_0(mqtt_conn *m, const mqtt_packet *p, tg_slice topic)
{
    if (!mqtt_may_publish(m, topic)) {
        refuse_0(m, MQTT_N_publish_denied, TG_E_DENIED, "PUBLISH denied");
        return;
    }
    tg_msg msg = message(m, p, topic);
    int rc = msg != NULL ? tg.session->publish(m->session, msg, NULL, NULL) : TG_E_NOMEM;
    if (msg != NULL)
        tg.msg->unref(msg);
    if (rc < 0)
        refuse_0(m, MQTT_N_publish_refused, rc, "PUBLISH refused");
}

static int route(mqtt_conn *m, const mqtt_packet *p, tg_slice topic, mqtt_ack *ack)
{
    tg_msg msg = message(m, p, topic);
    if (msg == NULL)
        return TG_E_NOMEM;
    int rc = p->qos == 2 ? tg.session->publish_once(m->session, p->packet_id, msg,
                                                    on_published, ack)
                         : tg.session->publish(m->session, msg, on_published, ack);
    tg.msg->unref(msg);
    return rc;
}

static void publish_acked(mqtt_conn *m, const mqtt_packet *p, tg_slice topic)
{
    mqtt_ack *ack = ack_new(m, p);
    if (ack == NULL) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an acknowledgement");
        return;
    }
    m->in_flight++;
    if (!mqtt_may_publish(m, topic)) {
        refuse_0(m, MQTT_N_publish_denied, TG_E_DENIED, "PUBLISH denied");
        answer(ack, MQTT_NOT_AUTHORIZED);
        return;
    }
    if (!mqtt_format_right(m, &p->props, p->payload)) {
        refuse_0(m, MQTT_N_publish_refused, TG_E_MALFORMED, "payload is not UTF-8");
        answer(ack, MQTT_BAD_PAYLOAD);
        return;
    }
    int rc = route(m, p, topic, ack);
    if (rc < 0) {
        refuse_0(m, MQTT_N_publish_refused, rc, "PUBLISH refused");
        answer(ack, reason_of(rc, 0));
    }
}

// QoS 2 (§4.3.3, method A): the identifier is held until PUBREL, so that a second PUBLISH with
// it is known as the same message. That one is answered when the first would be.
static void publish_2(mqtt_conn *m, const mqtt_packet *p, tg_slice topic)
{
    int rc = tg.session->rx_add(m->session, p->packet_id);
    if (rc == 0) {
        publish_acked(m, p, topic);
        return;
    }
    if (rc == TG_E_LIMIT) {
        mqtt_fail(m, MQTT_RECEIVE_MAX, NULL);
        return;
    }
    mqtt_ack *ack = ack_new(m, p);
    if (ack == NULL) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an acknowledgement");
        return;
    }
    if (rc == TG_E_EXISTS)
        rc = tg.session->publish_once(m->session, p->packet_id, NULL, on_published, ack);
    if (rc < 0)
        answer(ack, MQTT_UNSPECIFIED);
}

bool mqtt_format_right(const mqtt_conn *m, const mqtt_props *props, tg_slice payload)
{
    return !m->port->config->check_payload ||
           mqtt_number(props, MQTT_P_PAYLOAD_FORMAT, 0) == 0 || mqtt_text_valid(payload);
}

// @return 0 or the reason to disconnect; the topic after its alias was resolved.
static uint8_t check(mqtt_conn *m, const mqtt_packet *p, tg_slice *topic)
{
    if (p->qos > m->port->config->max_qos)
        return MQTT_NO_QOS;
    if (p->retain && !m->port->config->retain)
        return MQTT_NO_RETAIN;
    if (p->qos > 0 && m->in_flight >= m->port->config->receive_max && mqtt_v5(m))
        return MQTT_RECEIVE_MAX;
    if (mqtt_has(&p->props, MQTT_P_SUB_ID)) // §3.3.4: only a server sends them
        return MQTT_PROTOCOL;
    if (p->qos == 0 && !mqtt_format_right(m, &p->props, p->payload))
        return MQTT_BAD_PAYLOAD; // there is no answer that could say it
    if (mqtt_has(&p->props, MQTT_P_ALIAS))
        return mqtt_alias_in(m, (uint16_t)p->props.at[MQTT_P_ALIAS].number, topic);
    return 0;
}

void mqtt_on_publish(mqtt_conn *m, const mqtt_packet *p)
{
    tg_slice topic = p->topic;
    mqtt_count(m, MQTT_N_qos_received + p->qos);
    tg_count(m->port->counts.cells[MQTT_N_bytes_received], (int64_t)p->payload.len);
    uint8_t reason = check(m, p, &topic);
    if (reason != 0) {
        mqtt_count(m, MQTT_N_protocol_errors);
        mqtt_fail(m, reason, NULL);
        return;
    }
    if (p->qos == 0) {
        publish_0(m, p, topic);
        return;
    }
    if (p->qos == 1)
        publish_acked(m, p, topic);
    else
        publish_2(m, p, topic);
    mqtt_set_crowded(m);
}

static void complete_later(mqtt_conn *m, const mqtt_packet *p)
{
    mqtt_ack *ack = ack_new(m, p);
    if (ack == NULL) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an acknowledgement");
        return;
    }
    ack->type = MQTT_PUBCOMP;
    ack->reason = MQTT_SUCCESS;
    answer_forgotten(ack);
    mqtt_set_crowded(m);
}

void mqtt_on_pubrel(mqtt_conn *m, const mqtt_packet *p)
{
    int rc = tg.session->rx_del(m->session, p->packet_id);
    if (rc >= 0 && m->in_flight > 0)
        m->in_flight--;
    if (rc < 0)
        mqtt_count(m, MQTT_N_unknown_acks);
    if (rc > 0)
        complete_later(m, p);
    else
        mqtt_send_ack(m, MQTT_PUBCOMP, p->packet_id,
                      rc == 0 ? MQTT_SUCCESS : MQTT_NO_SUCH_ID);
}
