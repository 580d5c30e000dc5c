// SPDX-License-Identifier: Apache-2.0
// The host's tables, for one plugin on one thread: each call is told as a line, and what
// the real host would answer from a later turn of its loop comes from the next
// tg_offline_turn().
#include "lua/offline_host.h"

#include <stdlib.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"

static _Thread_local tg_offline *here;

tg_offline *tg_offline_here(void)
{
    return here;
}

void tg_offline_enter(tg_offline *o)
{
    here = o;
}

// ---- connections ----------------------------------------------------------------------

static offline_conn *conn_at(tg_conn c)
{
    if (c.id == 0 || c.id > (uint64_t)here->nconns || !here->conns[c.id - 1].open)
        return NULL;
    return &here->conns[c.id - 1];
}

static int conn_send(tg_conn c, tg_slice frame)
{
    if (conn_at(c) == NULL)
        return TG_E_CLOSED;
    tg_buf hex = {0};
    for (size_t i = 0; i < frame.len; i++)
        tg_buf_printf(&hex, "%02x", (unsigned char)frame.at[i]);
    tg_offline_say(here, "send", (int)c.id, "hex", tg_buf_slice(&hex), NULL);
    tg_buf_free(&hex);
    return 0;
}

static int conn_send_msg(tg_conn c, tg_slice head, tg_msg m)
{
    int rc = conn_send(c, head);
    return rc == 0 ? conn_send(c, m->payload) : rc;
}

static int conn_close(tg_conn c, int reason, tg_slice text)
{
    offline_conn *k = conn_at(c);
    if (k == NULL || k->closing)
        return TG_E_CLOSED;
    k->closing = true;
    k->reason = reason;
    tg_offline_say(here, "close", (int)c.id, "reason",
                   tg_str(reason == 0 ? "NORMAL" : tg_error_name(reason)), "text", text,
                   NULL);
    return 0;
}

static int conn_pause(tg_conn c)
{
    offline_conn *k = conn_at(c);
    if (k == NULL)
        return TG_E_CLOSED;
    k->paused = true;
    return 0;
}

static int conn_resume(tg_conn c)
{
    offline_conn *k = conn_at(c);
    if (k == NULL)
        return TG_E_CLOSED;
    k->paused = false;
    return 0;
}

static int conn_set_idle(tg_conn c, uint32_t ms)
{
    offline_conn *k = conn_at(c);
    if (k == NULL)
        return TG_E_CLOSED;
    k->idle_ms = ms;
    k->last = here->now;
    return 0;
}

static int conn_ready(tg_conn c)
{
    return conn_at(c) != NULL ? 0 : TG_E_CLOSED;
}

static int conn_info(tg_conn c, tg_conn_info *out)
{
    offline_conn *k = conn_at(c);
    if (k == NULL)
        return TG_E_CLOSED;
    *out = (tg_conn_info){.size = sizeof(*out),
                          .transport = TG_TCP,
                          .peer = tg_str(k->peer),
                          .listener = TG_LIT("offline")};
    return 0;
}

static int64_t conn_pending(tg_conn c)
{
    return conn_at(c) != NULL ? 0 : TG_E_CLOSED;
}

static void *conn_state(tg_conn c)
{
    offline_conn *k = conn_at(c);
    return k != NULL ? k->state : NULL;
}

static int conn_dial(const tg_dial *where, const tg_adapter *a, tg_conn *out)
{
    (void)a;
    *out = (tg_conn){0};
    tg_offline_say(here, "dial", 0, "host", where->host, NULL);
    return TG_E_UNSUPPORTED;
}

static void conn_complain(tg_conn c, int reason, tg_slice what)
{
    tg_offline_say(here, "complain", (int)c.id, "reason", tg_str(tg_error_name(reason)),
                   "text", what, NULL);
}

const tg_conn_api tg_offline_conn = {
    .size = sizeof(tg_conn_api),
    .send = conn_send,
    .send_msg = conn_send_msg,
    .close = conn_close,
    .pause = conn_pause,
    .resume = conn_resume,
    .set_idle = conn_set_idle,
    .ready = conn_ready,
    .info = conn_info,
    .pending = conn_pending,
    .state = conn_state,
    .dial = conn_dial,
    .complain = conn_complain,
};

// ---- messages and sessions ------------------------------------------------------------

typedef struct offline_message {
    tg_message pub;
    uint32_t refs;
    char bytes[];
} offline_message;

static tg_slice keep(char **to, tg_slice s)
{
    tg_slice kept = {*to, s.len};
    if (s.len > 0)
        memcpy(*to, s.at, s.len);
    *to += s.len;
    return kept;
}

static tg_msg msg_new(const tg_msg_spec *spec)
{
    offline_message *m =
        calloc(1, sizeof(*m) + spec->topic.len + spec->payload.len + spec->publisher.len);
    if (m == NULL)
        return NULL;
    char *to = m->bytes;
    m->refs = 1;
    m->pub = (tg_message){.size = sizeof(m->pub), .qos = spec->qos, .retain = spec->retain};
    m->pub.topic = keep(&to, spec->topic);
    m->pub.payload = keep(&to, spec->payload);
    m->pub.publisher = keep(&to, spec->publisher);
    m->pub.created = here->spec.clock + here->now;
    return &m->pub;
}

static tg_msg msg_ref(tg_msg m)
{
    TG_OWNER(m, offline_message, pub)->refs++;
    return m;
}

static void msg_unref(tg_msg m)
{
    offline_message *own = TG_OWNER(m, offline_message, pub);
    if (--own->refs == 0)
        free(own);
}

static tg_slice msg_encoded(tg_msg m, const void *owner, unsigned variant)
{
    (void)m;
    (void)owner;
    (void)variant;
    return (tg_slice){0};
}

static tg_slice msg_set_encoded(tg_msg m, const void *owner, unsigned variant,
                                tg_slice bytes)
{
    (void)bytes;
    return msg_encoded(m, owner, variant);
}

const tg_msg_api tg_offline_msg = {.size = sizeof(tg_msg_api),
                                   .new = msg_new,
                                   .ref = msg_ref,
                                   .unref = msg_unref,
                                   .encoded = msg_encoded,
                                   .set_encoded = msg_set_encoded};

static void take_over(tg_slice client_id)
{
    offline_session *old = tg_offline_session_of(here, client_id);
    if (old == NULL)
        return;
    offline_conn *k = old->conn > 0 ? &here->conns[old->conn - 1] : NULL;
    if (k != NULL && k->open)
        k->adapter->on_session_end((tg_conn){(uint64_t)old->conn}, k->state,
                                   (tg_session){old->id}, TG_E_TAKENOVER);
    tg_offline_end_session(here, old);
}

static int session_open(tg_conn c, const tg_session_spec *spec, tg_opened_fn *done,
                        void *ctx)
{
    if (conn_at(c) == NULL)
        return TG_E_CLOSED;
    take_over(spec->client_id);
    offline_session *s = calloc(1, sizeof(*s));
    if (s == NULL || spec->client_id.len >= sizeof(s->client_id)) {
        free(s);
        return TG_E_LIMIT;
    }
    s->id = ++here->next_id;
    s->conn = (int)c.id;
    s->len = spec->client_id.len;
    memcpy(s->client_id, spec->client_id.at, s->len);
    if (spec->attributes != NULL)
        s->attributes = tg_value_copy(spec->attributes);
    tg_list_init(&s->waiting);
    tg_list_add(&here->sessions, &s->node);
    tg_buf attributes = {0};
    if (s->attributes != NULL)
        tg_json_value(&attributes, s->attributes);
    tg_offline_say(here, "bind", (int)c.id, "device", spec->client_id, "attributes",
                   tg_buf_slice(&attributes), NULL);
    tg_buf_free(&attributes);
    tg_offline_later(here, (offline_call){.opened = done, .ctx = ctx, .session = s->id});
    return 0;
}

static int session_close(tg_session h, unsigned flags)
{
    (void)flags;
    offline_session *s = tg_offline_session(here, h.id);
    if (s == NULL)
        return TG_E_CLOSED;
    tg_offline_say(here, "unbind", s->conn, "device", (tg_slice){s->client_id, s->len},
                   NULL);
    tg_offline_end_session(here, s);
    return 0;
}

static int session_set_expiry(tg_session s, uint32_t seconds)
{
    (void)seconds;
    return tg_offline_session(here, s.id) != NULL ? 0 : TG_E_CLOSED;
}

static int session_subscribe(tg_session h, tg_slice filter, const tg_sub *sub,
                             tg_done_fn *done, void *ctx)
{
    (void)sub;
    offline_session *s = tg_offline_session(here, h.id);
    if (s == NULL)
        return TG_E_CLOSED;
    tg_offline_say(here, "subscribe", s->conn, "device", (tg_slice){s->client_id, s->len},
                   "filter", filter, NULL);
    tg_offline_later(here, (offline_call){.done = done, .ctx = ctx});
    return 0;
}

static int session_unsubscribe(tg_session s, tg_slice filter, tg_done_fn *done, void *ctx)
{
    (void)s;
    (void)filter;
    tg_offline_later(here, (offline_call){.done = done, .ctx = ctx});
    return 0;
}

static int session_publish(tg_session h, tg_msg m, tg_published_fn *done, void *ctx)
{
    offline_session *s = tg_offline_session(here, h.id);
    char qos[2] = {(char)('0' + m->qos), '\0'};
    tg_offline_say(here, "publish", s != NULL ? s->conn : 0, "topic", m->topic, "payload",
                   m->payload, "#qos", tg_str(qos), "#retain",
                   tg_str(m->retain ? "true" : "false"), "device",
                   s != NULL ? (tg_slice){s->client_id, s->len} : (tg_slice){0}, NULL);
    if (done != NULL)
        done(ctx, 0, 0);
    return 0;
}

static int session_publish_once(tg_session h, uint16_t packet_id, tg_msg m,
                                tg_published_fn *done, void *ctx)
{
    (void)packet_id;
    if (m != NULL)
        return session_publish(h, m, done, ctx);
    done(ctx, 0, 1);
    return 0;
}

static int session_sync(tg_session h, tg_done_fn *done, void *ctx)
{
    (void)h;
    done(ctx, 0, NULL);
    return 0;
}

static int session_ack(tg_session h, uint16_t packet_id, tg_ack how)
{
    static const char *const words[] = {
        [TG_ACK_DONE] = "done",         [TG_ACK_RECEIVED] = "received",
        [TG_ACK_REFUSED] = "refused",   [TG_ACK_DONE_1] = "done",
        [TG_ACK_DONE_2] = "done",       [TG_ACK_REFUSED_1] = "refused",
        [TG_ACK_REFUSED_2] = "refused",
    };
    offline_session *s = tg_offline_session(here, h.id);
    char number[8];
    snprintf(number, sizeof(number), "%u", packet_id);
    tg_offline_say(here, "ack", s != NULL ? s->conn : 0, "#packet_id", tg_str(number),
                   "how", tg_str(words[how]), NULL);
    return 0;
}

static int session_rx(tg_session s, uint16_t packet_id)
{
    (void)s;
    (void)packet_id;
    return 0;
}

static int session_resume(tg_session h)
{
    offline_session *s = tg_offline_session(here, h.id);
    if (s != NULL)
        tg_offline_hand_over(here, s);
    return 0;
}

static int session_client_id(tg_session h, tg_slice *out)
{
    offline_session *s = tg_offline_session(here, h.id);
    if (s == NULL)
        return TG_E_CLOSED;
    *out = (tg_slice){s->client_id, s->len};
    return 0;
}

static const tg_value *session_attributes(tg_session h)
{
    offline_session *s = tg_offline_session(here, h.id);
    return s != NULL ? s->attributes : NULL;
}

const tg_session_api tg_offline_session_table = {
    .size = sizeof(tg_session_api),
    .open = session_open,
    .close = session_close,
    .set_expiry = session_set_expiry,
    .subscribe = session_subscribe,
    .unsubscribe = session_unsubscribe,
    .publish = session_publish,
    .ack = session_ack,
    .rx_add = session_rx,
    .rx_del = session_rx,
    .resume = session_resume,
    .client_id = session_client_id,
    .attributes = session_attributes,
    .publish_once = session_publish_once,
    .sync = session_sync,
};

// ---- auth -----------------------------------------------------------------------------

static tg_op new_op(tg_done_fn *done, void *ctx)
{
    offline_op *op = calloc(1, sizeof(*op));
    if (op == NULL)
        return (tg_op){0};
    *op = (offline_op){.id = ++here->next_id, .done = done, .ctx = ctx};
    tg_list_add(&here->ops, &op->node);
    return (tg_op){op->id};
}

static tg_value reason(const char *text)
{
    tg_value_builder b = {.arena = &here->arena};
    tg_build(&b, "reason", tg_value_of_str(text));
    return tg_build_map(&b);
}

static int auth_check(tg_conn c, const tg_auth_request *r, tg_done_fn *done, void *ctx)
{
    if (conn_at(c) == NULL)
        return TG_E_CLOSED;
    bool deny =
        here->spec.deny != NULL && tg_slice_eq(r->client_id, tg_str(here->spec.deny));
    tg_offline_say(here, "auth", (int)c.id, "device", r->client_id, "user", r->user, NULL);
    if (here->auth != NULL) {
        tg_op op = new_op(done, ctx);
        return op.id != 0 ? here->auth->check(here->auth, r, op) : TG_E_NOMEM;
    }
    tg_value why = reason("refused by the test");
    tg_offline_later(here, (offline_call){.done = done,
                                          .ctx = ctx,
                                          .code = deny ? TG_AUTH_DENY : TG_AUTH_ALLOW,
                                          .value = deny ? tg_value_copy(&why) : NULL});
    return 0;
}

static bool auth_may(const tg_value *attributes, tg_slice client_id, tg_slice user,
                     tg_slice topic)
{
    (void)attributes;
    (void)client_id;
    (void)user;
    (void)topic;
    return true;
}

const tg_auth_api tg_offline_auth = {.size = sizeof(tg_auth_api),
                                     .check = auth_check,
                                     .may_publish = auth_may,
                                     .may_subscribe = auth_may};
