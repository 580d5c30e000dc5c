// SPDX-License-Identifier: Apache-2.0
// A SUBSCRIBE is answered once, when every filter of it is in force or refused; the host says
// so filter by filter, maybe later. The request lives until the last of them, and finds its
// connection by handle, since that may have gone.
#include "conn.h"

typedef struct slot {
    struct mqtt_request *request;
    uint8_t code;
} slot;

typedef struct mqtt_request {
    struct mqtt_request *next, **at; // in the worker's list: a store may never answer
    uint32_t magic;
    uint16_t packet_id;
    uint8_t type; // of the answer
    tg_conn conn;
    uint32_t count;
    uint32_t left; // filters without an answer
    bool silent; // the session was taken away first: its connection ends
    slot slots[];
} mqtt_request;

#define REQUEST_MAGIC 0x4d515251u

static bool is_list(const mqtt_request *r)
{
    return r->type == MQTT_SUBACK && r->count > 1;
}

static mqtt_conn *find(const mqtt_request *r)
{
    mqtt_conn *m = (mqtt_conn *)tg.conn->state(r->conn);
    return m != NULL && m->magic == MQTT_CONN_MAGIC ? m : NULL;
}

static void send_codes(mqtt_conn *m, const mqtt_request *r)
{
    uint8_t near[64];
    size_t size = mqtt_codes_size(m->version, r->type, r->count);
    uint8_t *packet = size <= sizeof(near) ? near : (uint8_t *)mqtt_alloc(size);
    if (packet == NULL) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for an answer");
        return;
    }
    uint8_t *codes = mqtt_encode_codes(m->version, r->type, r->packet_id, r->count, packet);
    for (uint32_t i = 0; codes + i < packet + size; i++) {
        uint8_t code = r->slots[i].code;
        codes[i] = !mqtt_v5(m) && code >= MQTT_UNSPECIFIED ? MQTT_UNSPECIFIED : code;
    }
    mqtt_send(m, (tg_slice){(char *)packet, size});
    if (packet != near)
        mqtt_free(packet);
}

// Retained messages that were held back may come now.
static void release(mqtt_conn *m, const mqtt_request *r)
{
    m->requests--;
    if (is_list(r))
        m->lists--;
    if (m->lists == 0 && (m->flags & MQTT_HELD) != 0) {
        m->flags &= (uint8_t)~MQTT_HELD;
        if ((m->flags & MQTT_SESSION) != 0)
            tg.session->resume(m->session);
    }
}

static void enlist(mqtt_worker *w, mqtt_request *r)
{
    r->next = w->requests;
    r->at = &w->requests;
    if (r->next != NULL)
        r->next->at = &r->next;
    w->requests = r;
}

static void request_free(mqtt_request *r)
{
    *r->at = r->next;
    if (r->next != NULL)
        r->next->at = r->at;
    r->magic = 0;
    mqtt_free(r);
}

void mqtt_requests_free(mqtt_request *list)
{
    while (list != NULL) {
        mqtt_request *next = list->next;
        mqtt_free(list);
        list = next;
    }
}

static void answered(mqtt_request *r)
{
    if (--r->left > 0)
        return;
    mqtt_conn *m = find(r);
    if (m != NULL) {
        if (!r->silent)
            send_codes(m, r);
        release(m, r);
        mqtt_set_crowded(m);
    }
    request_free(r);
    if (m != NULL)
        mqtt_read_on(m);
}

static uint8_t code_of(int error)
{
    switch (error) {
    case TG_E_MALFORMED:
    case TG_E_INVAL:
        return MQTT_BAD_FILTER;
    case TG_E_LIMIT:
    case TG_E_FULL:
    case TG_E_NOSPACE:
        return MQTT_QUOTA;
    case TG_E_DENIED:
        return MQTT_NOT_AUTHORIZED;
    case TG_E_NOTFOUND:
        return MQTT_NO_SUBSCRIPTION;
    default:
        return MQTT_UNSPECIFIED;
    }
}

static void settle(slot *s, int error)
{
    assert(s->request->magic == REQUEST_MAGIC);
    if (error == TG_E_CANCELLED)
        s->request->silent = true;
    if (error < 0)
        s->code = code_of(error);
    answered(s->request);
}

static void on_done(void *ctx, int error, const tg_value *value)
{
    (void)value;
    settle((slot *)ctx, error);
}

// The counts go up before the first filter: answers may come while the list is walked.
static mqtt_request *request_new(mqtt_conn *m, const mqtt_packet *p, uint8_t type)
{
    uint8_t options;
    uint32_t n = 0;
    tg_slice filter;
    mqtt_in in = mqtt_in_of(p->list);
    while (mqtt_filter_next(&in, &filter, type == MQTT_SUBACK ? &options : NULL))
        n++;
    mqtt_request *r = (mqtt_request *)mqtt_alloc(sizeof(*r) + n * sizeof(r->slots[0]));
    if (r == NULL) {
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_NOMEM, "no memory for a request");
        return NULL;
    }
    r->magic = REQUEST_MAGIC;
    r->packet_id = p->packet_id;
    r->type = type;
    r->conn = m->conn;
    r->count = r->left = n;
    enlist(m->port->worker, r);
    m->requests++;
    if (is_list(r))
        m->lists++;
    return r;
}

// "$share/<name>/<filter>" (§4.8.2). @return the filter behind it; `bad` for a wrong name.
static tg_slice inner(tg_slice filter, bool *shared, bool *bad)
{
    *shared = filter.len >= 7 && memcmp(filter.at, "$share/", 7) == 0;
    *bad = false;
    if (!*shared)
        return filter;
    tg_slice rest = {filter.at + 7, filter.len - 7};
    const char *slash = (const char *)memchr(rest.at, '/', rest.len);
    size_t name = slash != NULL ? (size_t)(slash - rest.at) : 0;
    *bad =
        name == 0 || name + 1 == rest.len || mqtt_has_wildcard((tg_slice){rest.at, name});
    return *bad ? filter : (tg_slice){slash + 1, rest.len - name - 1};
}

static void count_denied(const mqtt_conn *m)
{
    mqtt_count(m, MQTT_N_subscribe_denied);
    tg.conn->complain(m->conn, TG_E_DENIED, TG_LIT("SUBSCRIBE denied"));
}

static uint8_t check(const mqtt_conn *m, const mqtt_packet *p, tg_slice filter)
{
    bool shared, bad;
    tg_slice topics = inner(filter, &shared, &bad);
    if (bad || filter.len == 0)
        return MQTT_BAD_FILTER;
    if (shared && !m->port->config->shared)
        return MQTT_NO_SHARED;
    if (!m->port->config->wildcards && mqtt_has_wildcard(topics))
        return MQTT_NO_WILDCARDS;
    if (!m->port->config->sub_ids && mqtt_has(&p->props, MQTT_P_SUB_ID))
        return MQTT_NO_SUB_IDS;
    if (mqtt_may_subscribe(m, topics))
        return MQTT_SUCCESS;
    count_denied(m);
    return MQTT_NOT_AUTHORIZED;
}

static tg_sub wish(const mqtt_conn *m, const mqtt_packet *p, uint8_t options)
{
    uint8_t qos = options & MQTT_SUB_QOS;
    uint8_t handling = (options & MQTT_SUB_RETAIN) >> 4;
    tg_sub sub = {.size = sizeof(sub),
                  .qos = qos < m->port->config->max_qos ? qos
                                                        : (uint8_t)m->port->config->max_qos,
                  .sub_id = mqtt_number(&p->props, MQTT_P_SUB_ID, 0)};
    if ((options & MQTT_SUB_NO_LOCAL) != 0)
        sub.flags |= TG_SUB_NO_LOCAL;
    if ((options & MQTT_SUB_RAP) != 0)
        sub.flags |= TG_SUB_RETAIN_AS_PUBLISHED;
    if (handling == 1)
        sub.flags |= TG_SUB_RETAIN_IF_NEW;
    if (handling == 2 || !m->port->config->retain)
        sub.flags |= TG_SUB_RETAIN_NEVER;
    return sub;
}

static void subscribe_one(mqtt_conn *m, const mqtt_packet *p, tg_slice filter,
                          uint8_t options, slot *s)
{
    s->code = check(m, p, filter);
    if (s->code != MQTT_SUCCESS) {
        answered(s->request);
        return;
    }
    tg_sub sub = wish(m, p, options);
    s->code = sub.qos;
    int rc = tg.session->subscribe(m->session, filter, &sub, on_done, s);
    if (rc == TG_E_DENIED)
        count_denied(m);
    if (rc < 0)
        settle(s, rc);
}

void mqtt_on_subscribe(mqtt_conn *m, const mqtt_packet *p)
{
    mqtt_request *r = request_new(m, p, MQTT_SUBACK);
    if (r == NULL)
        return;
    mqtt_in in = mqtt_in_of(p->list);
    tg_slice filter;
    uint8_t options;
    // The answer to the last filter frees the request: the walk ends by the list alone.
    for (slot *s = r->slots; mqtt_filter_next(&in, &filter, &options); s++) {
        s->request = r;
        subscribe_one(m, p, filter, options, s);
    }
    mqtt_set_crowded(m);
}

void mqtt_on_unsubscribe(mqtt_conn *m, const mqtt_packet *p)
{
    mqtt_request *r = request_new(m, p, MQTT_UNSUBACK);
    if (r == NULL)
        return;
    mqtt_in in = mqtt_in_of(p->list);
    tg_slice filter;
    for (slot *s = r->slots; mqtt_filter_next(&in, &filter, NULL); s++) {
        s->request = r;
        int rc = tg.session->unsubscribe(m->session, filter, on_done, s);
        if (rc < 0)
            settle(s, rc);
    }
    mqtt_set_crowded(m);
}
