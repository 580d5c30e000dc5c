// SPDX-License-Identifier: Apache-2.0
// CONNECT, from its bytes to the CONNACK: check what it asks, ask who it is, take up the
// session. Both questions may be answered later, so the packet is copied first and parsed in
// the copy. The connection may go in between: then the answer finds nobody and frees this.
#include "conn.h"

#include <sys/random.h>

#define CONNECT_MAGIC 0x4d514343u
#define ASSIGNED_LEN 37 // "auto-" and 32 hex digits

typedef struct mqtt_connect {
    uint32_t magic;
    bool waiting; // an answer is due: only it may free this
    mqtt_conn *m; // NULL: the connection went
    mqtt_packet packet;
    tg_slice client_id;
    uint32_t expiry_s; // as asked for; once the session is open, as granted
    uint16_t keepalive;
    char assigned[ASSIGNED_LEN + 1];
    char bytes[];
} mqtt_connect;

static mqtt_connect *connect_check(void *ctx)
{
    mqtt_connect *k = (mqtt_connect *)ctx;
    assert(k != NULL && k->magic == CONNECT_MAGIC);
    return k;
}

static void connect_free(mqtt_connect *k, size_t secret)
{
    // The password was in it.
    explicit_bzero(k->bytes, secret);
    k->magic = 0;
    mqtt_free(k);
}

static size_t secret_len(const mqtt_connect *k)
{
    tg_slice password = k->packet.connect.password;
    return password.len > 0 ? (size_t)(password.at + password.len - k->bytes) : 0;
}

void mqtt_connect_drop(mqtt_conn *m)
{
    mqtt_connect *k = m->id_len == 0 ? m->connect : NULL;
    if (k == NULL)
        return;
    m->connect = NULL;
    k->m = NULL;
    if (!k->waiting)
        connect_free(k, secret_len(k));
}

// @return false when the client cannot take even this.
static bool send_connack(mqtt_conn *m, mqtt_connack *c)
{
    mqtt_small packet;
    mqtt_encode_connack(m->version, c, &packet);
    if (m->max_out != 0 && packet.len > m->max_out && c->text.len > 0) {
        c->text = (tg_slice){0};
        mqtt_encode_connack(m->version, c, &packet);
    }
    mqtt_counts_reason(&m->port->counts, MQTT_R_CONNACK, c->reason);
    mqtt_send(m, mqtt_small_slice(&packet));
    return m->max_out == 0 || packet.len <= m->max_out;
}

// CONNACK with the reason, where the client's words are known, and the end.
static void refuse(mqtt_conn *m, uint8_t reason, const char *why)
{
    if (why == NULL)
        why = mqtt_reason_text(reason);
    if (mqtt_v5(m) || (m->version != 0 && mqtt_reason_v3(reason) != 0)) {
        mqtt_connack c = {.reason = reason, .max_qos = 2};
        if (m->port->config->reason_strings)
            c.text = tg_str(why);
        send_connack(m, &c);
    }
    mqtt_end(m, TG_CLOSE_KEEP_WILL, mqtt_reason_error(reason), why);
    mqtt_connect_drop(m);
}

static void assign_id(mqtt_connect *k)
{
    static const char HEX[] = "0123456789abcdef";
    uint8_t random[16];
    ssize_t got = getrandom(random, sizeof(random), 0);
    assert(got == (ssize_t)sizeof(random)); // never short below 256 bytes
    memcpy(k->assigned, "auto-", 5);
    for (size_t i = 0; i < sizeof(random); i++) {
        k->assigned[5 + 2 * i] = HEX[random[i] >> 4];
        k->assigned[6 + 2 * i] = HEX[random[i] & 15];
    }
    k->client_id = (tg_slice){k->assigned, ASSIGNED_LEN};
}

static bool is_clean(const mqtt_connect *k)
{
    return (k->packet.connect.flags & MQTT_F_CLEAN) != 0;
}

// MQTT 5.0 §3.1.3.1, 3.1.1 §3.1.3.1: who may come without an identifier.
static uint8_t check_client_id(const mqtt_conn *m, mqtt_connect *k)
{
    k->client_id = k->packet.connect.client_id;
    if (k->client_id.len > m->port->config->client_id_max)
        return MQTT_BAD_CLIENT_ID;
    if (k->client_id.len > 0)
        return 0;
    if (m->version == MQTT_V31 || (m->version == MQTT_V311 && !is_clean(k)))
        return MQTT_BAD_CLIENT_ID;
    if (!m->port->config->assign_client_id)
        return MQTT_BAD_CLIENT_ID;
    assign_id(k);
    return 0;
}

static uint8_t will_qos(const mqtt_connect_fields *c)
{
    return (c->flags & MQTT_F_WILL_QOS) >> 3;
}

static uint8_t check_wishes(const mqtt_conn *m, const mqtt_connect *k)
{
    const mqtt_connect_fields *c = &k->packet.connect;
    if (mqtt_has(&k->packet.props, MQTT_P_AUTH_METHOD))
        return MQTT_BAD_METHOD; // §4.12: none is offered
    if (will_qos(c) > m->port->config->max_qos)
        return MQTT_NO_QOS;
    if ((c->flags & MQTT_F_WILL_RETAIN) != 0 && !m->port->config->retain)
        return MQTT_NO_RETAIN;
    if (!mqtt_format_right(m, &c->will_props, c->will_payload))
        return MQTT_BAD_PAYLOAD;
    return 0;
}

// MQTT 3 keeps a session for ever or not at all; MQTT 5 says how long.
static void settle_times(mqtt_conn *m, mqtt_connect *k)
{
    const mqtt_config *config = m->port->config;
    uint32_t asked = mqtt_v5(m)    ? mqtt_number(&k->packet.props, MQTT_P_SESSION_EXPIRY, 0)
                     : is_clean(k) ? 0
                                   : TG_EXPIRY_NEVER;
    k->expiry_s = asked < config->session_expiry_max ? asked : config->session_expiry_max;
    if (asked == 0)
        m->flags |= MQTT_EXPIRY_ZERO;
    uint16_t keepalive = k->packet.connect.keepalive;
    uint16_t max = (uint16_t)config->keepalive_max;
    k->keepalive = keepalive;
    if (mqtt_v5(m) && max != 0 && (keepalive == 0 || keepalive > max))
        k->keepalive = max;
}

static void settle_limits(mqtt_conn *m, const mqtt_connect *k)
{
    const mqtt_props *props = &k->packet.props;
    if (!mqtt_v5(m))
        return;
    m->max_out = mqtt_number(props, MQTT_P_MAX_PACKET, 0);
    uint32_t aliases = mqtt_number(props, MQTT_P_ALIAS_MAX, 0);
    uint32_t ours = m->port->config->alias_out;
    if (aliases > 0 && ours > 0 && mqtt_extra_get(m) != NULL)
        m->extra->alias_out_max = (uint16_t)(aliases < ours ? aliases : ours);
}

static void announce(const mqtt_conn *m, const mqtt_connect *k, bool present,
                     mqtt_connack *c)
{
    const mqtt_config *config = m->port->config;
    const mqtt_props *props = &k->packet.props;
    *c = (mqtt_connack){
        .present = present,
        .expiry_set = k->expiry_s != mqtt_number(props, MQTT_P_SESSION_EXPIRY, 0),
        .session_expiry = k->expiry_s,
        .max_packet = config->max_packet,
        .receive_max = (uint16_t)config->receive_max,
        .alias_max = (uint16_t)config->alias_max,
        .max_qos = (uint8_t)config->max_qos,
        .no_retain = !config->retain,
        .no_wildcards = !config->wildcards,
        .no_sub_ids = !config->sub_ids,
        .no_shared = !config->shared,
        .keepalive_set = k->keepalive != k->packet.connect.keepalive,
        .keepalive = k->keepalive,
        .assigned_id = k->assigned[0] != 0 ? k->client_id : (tg_slice){0},
    };
    if (mqtt_number(props, MQTT_P_WANT_RESPONSE, 0) == 1)
        c->response_info = tg_str(config->response_info);
}

// The user's name is kept where an ACL may ask for it.
static bool keep_user(mqtt_conn *m, const mqtt_connect *k)
{
    const tg_value *attributes = tg.session->attributes(m->session);
    if (tg_value_get(attributes, "acl") == NULL)
        return true;
    m->flags |= MQTT_ACL;
    tg_slice user = tg_value_str(attributes, "user", k->packet.connect.user);
    if (user.len == 0)
        return true;
    mqtt_extra *x = mqtt_extra_get(m);
    char *copy = x != NULL ? (char *)mqtt_alloc(user.len) : NULL;
    if (copy == NULL)
        return false;
    memcpy(copy, user.at, user.len);
    x->user = (tg_slice){copy, user.len};
    return true;
}

static void enter(mqtt_conn *m, mqtt_connect *k, bool present)
{
    tg_slice id;
    mqtt_connack c;
    if (tg.session->client_id(m->session, &id) != 0 ||
        tg.session->expiry(m->session, &k->expiry_s) != 0 || !keep_user(m, k)) {
        refuse(m, MQTT_UNAVAILABLE, "no memory for the session");
        return;
    }
    m->state = MQTT_CONNECTED;
    tg.conn->set_idle(m->conn, k->keepalive * 1500u);
    announce(m, k, present, &c);
    mqtt_count(m, MQTT_N_connections);
    if (!send_connack(m, &c))
        mqtt_end(m, TG_CLOSE_KEEP_WILL, TG_E_TOOBIG,
                 "maximum packet size is below CONNACK");
    mqtt_connect_drop(m);
    m->id = id.at;
    m->id_len = (uint16_t)id.len;
    mqtt_read_on(m);
}

static uint8_t reason_of_open(int code)
{
    switch (code) {
    case TG_E_BUSY:
    case TG_E_TAKENOVER: // a later CONNECT won; a CONNACK has no word for that
        return MQTT_BUSY;
    case TG_E_LIMIT:
    case TG_E_FULL:
    case TG_E_NOSPACE:
        return MQTT_QUOTA;
    case TG_E_DENIED:
        return MQTT_NOT_AUTHORIZED;
    case TG_E_INVAL:
    case TG_E_MALFORMED:
        return MQTT_BAD_CLIENT_ID;
    default:
        return MQTT_UNAVAILABLE;
    }
}

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    mqtt_connect *k = connect_check(ctx);
    mqtt_conn *m = k->m;
    k->waiting = false;
    if (m == NULL || m->state != MQTT_OPENING) {
        if (code == 0) // nobody is there for it
            tg.session->close(s, TG_CLOSE_KEEP_WILL);
        if (m == NULL)
            connect_free(k, secret_len(k));
        return;
    }
    if (code < 0) {
        refuse(m, reason_of_open(code), NULL);
        return;
    }
    m->session = s;
    m->flags |= MQTT_SESSION;
    enter(m, k, present);
}

// @return false when there is none; `spare` of the properties' size, if they must be copied.
static bool fill_will(const mqtt_connect *k, tg_will *will, char *spare)
{
    const mqtt_connect_fields *c = &k->packet.connect;
    if ((c->flags & MQTT_F_WILL) == 0)
        return false;
    uint32_t expiry = mqtt_number(&c->will_props, MQTT_P_MESSAGE_EXPIRY, 0);
    *will = (tg_will){
        .size = sizeof(*will),
        .delay_s = mqtt_number(&c->will_props, MQTT_P_WILL_DELAY, 0),
        .message = {.size = sizeof(will->message),
                    .qos = will_qos(c),
                    .retain = (c->flags & MQTT_F_WILL_RETAIN) != 0,
                    .topic = c->will_topic,
                    .payload = c->will_payload,
                    .props = mqtt_props_carried(&c->will_props, spare),
                    .publisher = k->client_id},
    };
    if (mqtt_has(&c->will_props, MQTT_P_MESSAGE_EXPIRY))
        will->message.expiry_s = expiry > 0 ? expiry : 1;
    return true;
}

static int open_with(mqtt_conn *m, mqtt_connect *k, const tg_value *attributes, char *spare)
{
    tg_will will;
    bool has_will = fill_will(k, &will, spare);
    tg_session_spec spec = {
        .size = sizeof(spec),
        .clean_start = is_clean(k),
        .receive_max = mqtt_v5(m) ? (uint16_t)mqtt_number(&k->packet.props,
                                                          MQTT_P_RECEIVE_MAX, UINT16_MAX)
                                  : 0,
        .client_id = k->client_id,
        .user = tg_value_str(attributes, "user", k->packet.connect.user),
        .expiry_s = k->expiry_s,
        .will = has_will ? &will : NULL,
        .attributes = attributes,
    };
    return tg.session->open(m->conn, &spec, on_opened, k);
}

static void open_session(mqtt_conn *m, mqtt_connect *k, const tg_value *attributes)
{
    const mqtt_props *will = &k->packet.connect.will_props;
    char *spare = will->seen != 0 ? (char *)mqtt_alloc(will->raw.len + 1) : NULL;
    if (will->seen != 0 && spare == NULL) {
        refuse(m, MQTT_UNAVAILABLE, "no memory for the will");
        return;
    }
    m->state = MQTT_OPENING;
    k->waiting = true;
    int rc = open_with(m, k, attributes, spare);
    mqtt_free(spare);
    if (rc == 0)
        return; // `k` may be gone already
    k->waiting = false;
    refuse(m, reason_of_open(rc), NULL);
}

static bool will_allowed(const mqtt_connect *k, const tg_value *attributes)
{
    const mqtt_connect_fields *c = &k->packet.connect;
    if ((c->flags & MQTT_F_WILL) == 0)
        return true;
    if (c->will_topic.len >= 4 && memcmp(c->will_topic.at, "$SYS", 4) == 0)
        return false;
    tg_slice user = tg_value_str(attributes, "user", c->user);
    return tg_value_get(attributes, "acl") == NULL ||
           tg.auth->may_publish(attributes, k->client_id, user, c->will_topic);
}

static void on_checked(void *ctx, int code, const tg_value *value)
{
    mqtt_connect *k = connect_check(ctx);
    mqtt_conn *m = k->m;
    k->waiting = false;
    if (m == NULL) {
        connect_free(k, secret_len(k));
        return;
    }
    if (m->state != MQTT_AUTHENTICATING)
        return; // closed meanwhile: on_close frees it
    bool named = (k->packet.connect.flags & (MQTT_F_USER | MQTT_F_PASSWORD)) != 0;
    if (code == TG_AUTH_ALLOW && will_allowed(k, value))
        open_session(m, k, value);
    else if (code == TG_AUTH_ALLOW)
        refuse(m, MQTT_NOT_AUTHORIZED, "will topic is not allowed");
    else if (code > 0)
        refuse(m, named ? MQTT_BAD_USER : MQTT_NOT_AUTHORIZED, NULL);
    else
        refuse(m, code == TG_E_BUSY ? MQTT_BUSY : MQTT_UNAVAILABLE, NULL);
}

static void authenticate(mqtt_conn *m, mqtt_connect *k)
{
    const mqtt_connect_fields *c = &k->packet.connect;
    tg_auth_request request = {.size = sizeof(request),
                               .has_password = (c->flags & MQTT_F_PASSWORD) != 0,
                               .client_id = k->client_id,
                               .user = c->user,
                               .password = c->password,
                               .adapter = TG_LIT("mqtt")};
    m->state = MQTT_AUTHENTICATING;
    k->waiting = true;
    int rc = tg.auth->check(m->conn, &request, on_checked, k);
    if (rc == 0)
        return; // `k` may be gone already
    k->waiting = false;
    refuse(m, rc == TG_E_BUSY ? MQTT_BUSY : MQTT_UNAVAILABLE, NULL);
}

static mqtt_connect *connect_new(mqtt_conn *m, tg_slice bytes)
{
    mqtt_connect *k = (mqtt_connect *)tg.host->alloc(NULL, sizeof(*k) + bytes.len);
    if (k == NULL)
        return NULL;
    k->magic = CONNECT_MAGIC;
    k->waiting = false;
    k->m = m;
    k->assigned[0] = 0;
    k->packet.connect.password = (tg_slice){0};
    memcpy(k->bytes, bytes.at, bytes.len);
    m->connect = k;
    return k;
}

void mqtt_on_connect(mqtt_conn *m, const mqtt_head *head, tg_slice bytes)
{
    mqtt_connect *k = connect_new(m, bytes);
    if (k == NULL) {
        mqtt_end(m, 0, TG_E_NOMEM, "no memory for CONNECT");
        return;
    }
    uint8_t reason = mqtt_parse(0, head, (tg_slice){k->bytes, bytes.len}, &k->packet);
    const char *why = k->packet.why;
    m->version = k->packet.version;
    if (reason != 0) {
        k->packet.connect.password = (tg_slice){0}; // not read, or not to be trusted
        mqtt_count(m, MQTT_N_protocol_errors);
        refuse(m, reason, why);
        return;
    }
    tg.conn->ready(m->conn);
    settle_limits(m, k);
    reason = check_client_id(m, k);
    if (reason == 0)
        reason = check_wishes(m, k);
    if (reason != 0) {
        refuse(m, reason, NULL);
        return;
    }
    settle_times(m, k);
    authenticate(m, k);
}
