// SPDX-License-Identifier: Apache-2.0
// The host's tables, for one plugin on one thread: each call is told as a line, and what the
// real host would answer from a later turn of its loop comes from the next tg_offline_turn().
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

// ---- connections --------------------------------------------------------------------------

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

static const tg_conn_api conn_table = {
    .size = sizeof(conn_table),
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

// ---- messages and sessions ----------------------------------------------------------------

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

static const tg_msg_api msg_table = {.size = sizeof(msg_table),
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

static int session_ack(tg_session h, uint16_t packet_id, tg_ack how)
{
    static const char *const words[] = {"done", "received", "refused"};
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

static const tg_session_api session_table = {
    .size = sizeof(session_table),
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
};

// ---- auth ---------------------------------------------------------------------------------

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

static const tg_auth_api auth_table = {.size = sizeof(auth_table),
                                       .check = auth_check,
                                       .may_publish = auth_may,
                                       .may_subscribe = auth_may};

// ---- time, work ---------------------------------------------------------------------------

static int timer_start(uint32_t ms, uint32_t repeat, void (*fn)(void *ctx), void *ctx,
                       tg_timer *out)
{
    offline_timer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return TG_E_NOMEM;
    *t = (offline_timer){.id = ++here->next_id,
                         .due = here->now + ms,
                         .repeat = repeat,
                         .fn = fn,
                         .ctx = ctx};
    tg_list_add(&here->timers, &t->node);
    *out = (tg_timer){t->id};
    return 0;
}

static int timer_stop(tg_timer h)
{
    for (tg_list *n = here->timers.next; n != &here->timers; n = n->next) {
        offline_timer *t = TG_OWNER(n, offline_timer, node);
        if (t->id != h.id)
            continue;
        tg_list_del(&t->node);
        free(t);
        return 0;
    }
    return TG_E_CLOSED;
}

static uint64_t timer_now(void)
{
    return here->now;
}

static uint64_t timer_clock(void)
{
    return here->spec.clock + here->now;
}

static const tg_timer_api timer_table = {.size = sizeof(timer_table),
                                         .start = timer_start,
                                         .stop = timer_stop,
                                         .now = timer_now,
                                         .clock = timer_clock};

static int poll_open(int fd, int events, void (*fn)(void *ctx, int events), void *ctx,
                     tg_poll *out)
{
    (void)fd;
    (void)events;
    (void)fn;
    (void)ctx;
    (void)out;
    return TG_E_UNSUPPORTED;
}

static int poll_set(tg_poll p, int events)
{
    (void)p;
    (void)events;
    return TG_E_CLOSED;
}

static int poll_close(tg_poll p)
{
    (void)p;
    return TG_E_CLOSED;
}

static const tg_poll_api poll_table = {
    .size = sizeof(poll_table), .open = poll_open, .set = poll_set, .close = poll_close};

static int work_submit(void (*run)(void *ctx), void (*after)(void *ctx, int code),
                       void *ctx)
{
    run(ctx);
    after(ctx, 0);
    return 0;
}

static const tg_work_api work_table = {.size = sizeof(work_table), .submit = work_submit};

// ---- keys and counters --------------------------------------------------------------------

typedef struct offline_key {
    uint64_t expires; ///< 0 never
    size_t klen, vlen;
    char bytes[];
} offline_key;

static offline_key *find_key(tg_slice key)
{
    offline_key *k = tg_map_find(&here->kv, key);
    return k != NULL && (k->expires == 0 || k->expires > here->now) ? k : NULL;
}

static int kv_set(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    offline_key *k = malloc(sizeof(*k) + key.len + value.len);
    if (k == NULL)
        return TG_E_NOMEM;
    *k = (offline_key){.klen = key.len, .vlen = value.len};
    k->expires = ttl_ms > 0 ? here->now + ttl_ms : 0;
    char *to = k->bytes;
    tg_slice own = keep(&to, key);
    keep(&to, value);
    free(tg_map_del(&here->kv, key));
    return tg_map_set(&here->kv, own, k);
}

static int kv_get(tg_slice key, void (*put)(void *ctx, tg_slice value), void *ctx)
{
    offline_key *k = find_key(key);
    if (k == NULL)
        return TG_E_NOTFOUND;
    put(ctx, (tg_slice){k->bytes + k->klen, k->vlen});
    return 0;
}

static int kv_del(tg_slice key)
{
    offline_key *k = tg_map_del(&here->kv, key);
    free(k);
    return k != NULL ? 0 : TG_E_NOTFOUND;
}

static int kv_incr(tg_slice key, int64_t by, uint32_t ttl_ms, int64_t *out)
{
    char text[32] = "0";
    offline_key *k = find_key(key);
    if (k != NULL)
        snprintf(text, sizeof(text), "%.*s", (int)k->vlen, k->bytes + k->klen);
    char *end;
    *out = strtoll(text, &end, 10) + by;
    if (*end != '\0')
        return TG_E_INVAL;
    snprintf(text, sizeof(text), "%lld", (long long)*out);
    return kv_set(key, tg_str(text), ttl_ms);
}

static int kv_add(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    return find_key(key) != NULL ? TG_E_EXISTS : kv_set(key, value, ttl_ms);
}

static const tg_kv_api kv_table = {.size = sizeof(kv_table),
                                   .set = kv_set,
                                   .get = kv_get,
                                   .del = kv_del,
                                   .incr = kv_incr,
                                   .add = kv_add};

static int metric_new(tg_slice name, tg_slice help, uint32_t *out)
{
    (void)name;
    (void)help;
    *out = 0;
    return 0;
}

static void metric_add(uint32_t id, int64_t by)
{
    (void)id;
    (void)by;
}

static const tg_metric_api metric_table = {.size = sizeof(metric_table),
                                           .counter = metric_new,
                                           .gauge = metric_new,
                                           .add = metric_add};

// ---- frames, listeners, registration ------------------------------------------------------

static int listen_open(const tg_value *spec, tg_done_fn *done, void *ctx)
{
    (void)spec;
    (void)done;
    (void)ctx;
    return TG_E_UNSUPPORTED;
}

static int listen_close(tg_slice name)
{
    (void)name;
    return TG_E_NOTFOUND;
}

static const tg_listen_api listen_table = {
    .size = sizeof(listen_table), .open = listen_open, .close = listen_close};

static int frame_next(const tg_frame *frames, uint32_t n, tg_slice stream, char *scratch,
                      size_t *used, tg_slice *out)
{
    (void)frames;
    (void)n;
    (void)stream;
    (void)scratch;
    (void)used;
    (void)out;
    return TG_E_UNSUPPORTED;
}

static const tg_frame_api frame_table = {
    .size = sizeof(frame_table), .checksum = tg_checksum, .next = frame_next};

static int add_adapter(tg_self *self, const tg_adapter *a, void (*destroy)(void *arg),
                       void *arg)
{
    (void)self;
    (void)destroy;
    (void)arg;
    here->adapters[here->nadapters++] = a;
    return 0;
}

static int add_auth(tg_self *self, const tg_auth_backend *b, void (*destroy)(void *arg),
                    void *arg)
{
    (void)self;
    (void)destroy;
    (void)arg;
    here->auth = b;
    return 0;
}

static int add_store(tg_self *self, const tg_store *s, void (*destroy)(void *arg),
                     void *arg)
{
    (void)self;
    (void)s;
    (void)destroy;
    (void)arg;
    return TG_E_UNSUPPORTED;
}

static int add_driver(tg_self *self, const tg_driver *d, void (*destroy)(void *arg),
                      void *arg)
{
    (void)self;
    (void)d;
    (void)destroy;
    (void)arg;
    return TG_E_UNSUPPORTED;
}

static const tg_register_api register_table = {.size = sizeof(register_table),
                                               .adapter = add_adapter,
                                               .auth = add_auth,
                                               .store = add_store,
                                               .driver = add_driver};

static int engine_add(tg_self *self, const tg_engine *engine)
{
    (void)self;
    (void)engine;
    return 0;
}

static int engine_call(tg_self *self, tg_slice id, tg_slice method, const tg_value *args,
                       tg_done_fn *done, void *ctx)
{
    (void)self;
    tg_value answer = {.kind = TG_NIL};
    tg_buf text = {0};
    tg_json_value(&text, args);
    tg_offline_say(here, "driver", 0, "id", id, "method", method, "args",
                   tg_buf_slice(&text), NULL);
    tg_buf_free(&text);
    int code = here->spec.driver != NULL
                   ? here->spec.driver(here->spec.ctx, id, method, args, &answer)
                   : TG_E_NOTFOUND;
    tg_offline_later(
        here, (offline_call){
                  .done = done, .ctx = ctx, .code = code, .value = tg_value_copy(&answer)});
    return 0;
}

static void engine_enter(tg_self *self, const char *callback)
{
    (void)self;
    (void)callback;
}

static void engine_leave(tg_self *self)
{
    (void)self;
}

static const tg_engine_api engine_table = {.size = sizeof(engine_table),
                                           .add = engine_add,
                                           .call = engine_call,
                                           .enter = engine_enter,
                                           .leave = engine_leave};

// ---- the host -----------------------------------------------------------------------------

static void *host_alloc(void *at, size_t size)
{
    if (size > 0)
        return realloc(at, size);
    free(at);
    return NULL;
}

static void host_log(tg_self *self, tg_level level, tg_slice text)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    (void)self;
    if (here != NULL)
        tg_offline_say(here, "log", 0, "level", tg_str(words[level]), "text", text, NULL);
}

static void host_set_error(tg_self *self, tg_slice text)
{
    (void)self;
    snprintf(here->error, sizeof(here->error), "%.*s", (int)text.len, text.at);
}

static const void *host_query(const char *name, uint16_t major, uint16_t minor)
{
    static const struct {
        const char *name;
        const void *table;
    } tables[] = {
        {"msg", &msg_table},       {"conn", &conn_table},   {"session", &session_table},
        {"auth", &auth_table},     {"timer", &timer_table}, {"poll", &poll_table},
        {"work", &work_table},     {"kv", &kv_table},       {"metric", &metric_table},
        {"listen", &listen_table}, {"frame", &frame_table}, {"register", &register_table},
        {"engine", &engine_table}};
    (void)minor;
    for (size_t i = 0; major == 1 && i < sizeof(tables) / sizeof(*tables); i++)
        if (strcmp(tables[i].name, name) == 0)
            return tables[i].table;
    return NULL;
}

static int host_post(tg_self *self, uint32_t worker, void (*fn)(void *ctx), void *ctx)
{
    (void)self;
    (void)worker;
    tg_offline_later(here, (offline_call){.fn = fn, .ctx = ctx});
    return 0;
}

static int host_complete(tg_op h, int code, const tg_value *value)
{
    for (tg_list *n = here->ops.next; n != &here->ops; n = n->next) {
        offline_op *op = TG_OWNER(n, offline_op, node);
        if (op->id != h.id)
            continue;
        tg_list_del(&op->node);
        tg_offline_later(
            here, (offline_call){.done = op->done,
                                 .ctx = op->ctx,
                                 .code = code,
                                 .value = value != NULL ? tg_value_copy(value) : NULL});
        free(op);
        return 0;
    }
    return TG_E_CLOSED;
}

static uint32_t host_worker(void)
{
    return 0;
}

static const tg_value *host_config(tg_self *self)
{
    (void)self;
    return &here->config;
}

const tg_host tg_offline_host = {
    .size = sizeof(tg_offline_host),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .workers = 1,
    .alloc = host_alloc,
    .log = host_log,
    .set_error = host_set_error,
    .query = host_query,
    .post = host_post,
    .complete = host_complete,
    .worker = host_worker,
    .config = host_config,
};
