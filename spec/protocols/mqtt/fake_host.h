// SPDX-License-Identifier: Apache-2.0
/// A host made of arrays: it records what the adapter asks for and answers at once, or later
/// when a test says so. One worker, a handful of connections.
#ifndef MQTT_FAKE_HOST_H
#define MQTT_FAKE_HOST_H

#include <stdlib.h>

#include "../../../protocols/mqtt/conn.h"

tg_env tg;

enum {
    FAKE_CONNS = 8,
    FAKE_LATER = 512,
    FAKE_COUNTERS = MQTT_NCOUNTERS + 64,
    FAKE_OUT = 1 << 14
};

typedef struct fake_conn {
    bool open, closed, paused, ready;
    int reason;
    uint32_t idle_ms;
    char text[128];
    size_t out_len;
    size_t write_max; // 0: no limit
    uint8_t out[FAKE_OUT];
    _Alignas(16) char state[256];
} fake_conn;

typedef struct fake_later { // an answer that waits
    tg_done_fn *done;
    tg_opened_fn *opened;
    tg_published_fn *published;
    void *ctx;
    tg_session session;
    bool synced;
} fake_later;

typedef struct fake_msg {
    tg_message m; // first
    uint32_t refs;
    char *bytes;
} fake_msg;

static struct fake {
    mqtt_adapter *adapter;
    fake_conn conns[FAKE_CONNS];
    uint32_t nconns;

    // What the host answers.
    bool later; // keep answers until fake_answer()
    int auth_code, open_code, publish_code, publish_rc, subscribe_code, ack_rc, rx_rc;
    int rx_del_rc, sync_code; // of an id that was held; of what must be in the store first
    uint32_t receivers;
    uint32_t expiry_most; // 0: no limit
    bool present;
    const tg_value *attributes;
    bool may;

    // What it was asked.
    fake_later waiting[FAKE_LATER];
    uint32_t nwaiting;
    tg_auth_request auth;
    char auth_user[64], auth_password[64];
    tg_session_spec opened;
    char client_id[128];
    tg_will will;
    char will_topic[64], will_payload[64], will_props[64];
    uint32_t nopened, nclosed, nresumed, ncomplaints;
    unsigned close_flags;
    uint32_t expiry_s;
    fake_msg *published; // the last one, a reference
    uint32_t npublished;
    char filter[128];
    tg_sub sub;
    uint32_t nsubscribed, nunsubscribed;
    uint16_t acked;
    tg_ack how;
    uint32_t nacks;
    uint8_t rx[65536 / 8];
    _Atomic int64_t counters[FAKE_COUNTERS]; // MQTT_N_* first, in their order
    char counter_names[FAKE_COUNTERS][160];
    uint32_t ncounters;
    int64_t blocks; // memory that was not given back
} fake;

static void fake_copy(char *to, size_t room, tg_slice s)
{
    size_t len = s.len < room - 1 ? s.len : room - 1;
    if (len > 0)
        memcpy(to, s.at, len);
    to[len] = 0;
}

// host

static void *fake_alloc(void *at, size_t size)
{
    fake.blocks += (at == NULL && size > 0) - (at != NULL && size == 0);
    if (size > 0)
        return realloc(at, size);
    free(at);
    return NULL;
}

static void fake_log(tg_self *self, tg_level level, tg_slice text)
{
    (void)self;
    (void)level;
    (void)text;
}

static void fake_set_error(tg_self *self, tg_slice text)
{
    (void)self;
    (void)text;
}

static uint32_t fake_worker(void)
{
    return 0;
}

static const tg_host FAKE_HOST = {
    .size = sizeof(FAKE_HOST),
    .workers = 1,
    .alloc = fake_alloc,
    .log = fake_log,
    .set_error = fake_set_error,
    .worker = fake_worker,
};

// messages

static tg_msg fake_msg_new(const tg_msg_spec *spec)
{
    fake_msg *f = (fake_msg *)fake_alloc(NULL, sizeof(*f));
    size_t len = spec->topic.len + spec->payload.len + spec->props.len;
    f->bytes = (char *)malloc(len + 1);
    f->refs = 1;
    char *at = f->bytes;
    tg_slice parts[3] = {spec->topic, spec->payload, spec->props};
    for (int i = 0; i < 3; i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].at, parts[i].len);
        parts[i].at = at;
        at += parts[i].len;
    }
    f->m = (tg_message){.size = sizeof(f->m),
                        .qos = spec->qos,
                        .retain = spec->retain,
                        .topic = parts[0],
                        .payload = parts[1],
                        .props = parts[2],
                        .expires = spec->expiry_s};
    return &f->m;
}

static tg_msg fake_msg_ref(tg_msg m)
{
    ((fake_msg *)(uintptr_t)m)->refs++;
    return m;
}

static void fake_msg_unref(tg_msg m)
{
    fake_msg *f = (fake_msg *)(uintptr_t)m;
    assert(f->refs > 0);
    if (--f->refs > 0)
        return;
    free(f->bytes);
    fake_alloc(f, 0);
}

static const tg_msg_api FAKE_MSG = {
    .size = sizeof(FAKE_MSG),
    .new = fake_msg_new,
    .ref = fake_msg_ref,
    .unref = fake_msg_unref,
};

// connections

static fake_conn *fake_find(tg_conn c)
{
    assert(c.id >= 1 && c.id <= FAKE_CONNS);
    fake_conn *f = &fake.conns[c.id - 1];
    return f->open ? f : NULL;
}

static int fake_send(tg_conn c, tg_slice bytes)
{
    fake_conn *f = fake_find(c);
    if (f == NULL || f->closed)
        return TG_E_CLOSED;
    if ((f->write_max != 0 && f->out_len + bytes.len > f->write_max) ||
        f->out_len + bytes.len > FAKE_OUT)
        return TG_E_FULL;
    memcpy(f->out + f->out_len, bytes.at, bytes.len);
    f->out_len += bytes.len;
    return 0;
}

static int fake_send_msg(tg_conn c, tg_slice head, tg_msg m)
{
    fake_conn *f = fake_find(c);
    if (f != NULL && f->write_max != 0 &&
        f->out_len + head.len + m->payload.len > f->write_max)
        return TG_E_FULL;
    int rc = fake_send(c, head);
    return rc != 0 ? rc : fake_send(c, m->payload);
}

static int fake_close(tg_conn c, int reason, tg_slice text)
{
    fake_conn *f = fake_find(c);
    if (f == NULL || f->closed)
        return TG_E_CLOSED;
    f->closed = true;
    f->reason = reason;
    fake_copy(f->text, sizeof(f->text), text);
    return 0;
}

static int fake_pause(tg_conn c)
{
    assert(!fake_find(c)->paused);
    fake_find(c)->paused = true;
    return 0;
}

static int fake_resume(tg_conn c)
{
    assert(fake_find(c)->paused);
    fake_find(c)->paused = false;
    return 0;
}

static int fake_set_idle(tg_conn c, uint32_t ms)
{
    fake_find(c)->idle_ms = ms;
    return 0;
}

static int fake_ready(tg_conn c)
{
    fake_find(c)->ready = true;
    return 0;
}

static void *fake_state(tg_conn c)
{
    fake_conn *f = fake_find(c);
    return f != NULL ? f->state : NULL;
}

static void fake_complain(tg_conn c, int reason, tg_slice what)
{
    (void)c;
    (void)reason;
    (void)what;
    fake.ncomplaints++;
}

static int fake_info(tg_conn c, tg_conn_info *out)
{
    (void)c;
    *out = (tg_conn_info){.size = sizeof(*out), .listener = TG_LIT("main")};
    return 0;
}

static const tg_conn_api FAKE_CONN = {
    .size = sizeof(FAKE_CONN),
    .send = fake_send,
    .send_msg = fake_send_msg,
    .close = fake_close,
    .pause = fake_pause,
    .resume = fake_resume,
    .set_idle = fake_set_idle,
    .ready = fake_ready,
    .state = fake_state,
    .info = fake_info,
    .complain = fake_complain,
};

// sessions and auth

static bool fake_keep(fake_later answer)
{
    if (!fake.later || fake.nwaiting == FAKE_LATER)
        return false;
    fake.waiting[fake.nwaiting++] = answer;
    return true;
}

static void fake_give(const fake_later *a)
{
    if (a->opened != NULL)
        a->opened(a->ctx, fake.open_code, a->session, fake.present);
    else if (a->published != NULL)
        a->published(a->ctx, fake.publish_code, fake.receivers);
    else if (a->synced)
        a->done(a->ctx, fake.sync_code, NULL);
    else
        a->done(a->ctx, a->session.id == 0 ? fake.auth_code : fake.subscribe_code,
                a->session.id == 0 ? fake.attributes : NULL);
}

/// Gives the answer `i` of those that wait.
static inline void fake_answer_one(uint32_t i)
{
    assert(i < fake.nwaiting);
    fake_later a = fake.waiting[i];
    fake.nwaiting--;
    memmove(&fake.waiting[i], &fake.waiting[i + 1],
            (fake.nwaiting - i) * sizeof(fake.waiting[0]));
    fake_give(&a);
}

static void fake_answer(void)
{
    while (fake.nwaiting > 0)
        fake_answer_one(0);
}

static int fake_open(tg_conn c, const tg_session_spec *spec, tg_opened_fn *done, void *ctx)
{
    fake.opened = *spec;
    fake.nopened++;
    fake_copy(fake.client_id, sizeof(fake.client_id), spec->client_id);
    fake.will = spec->will != NULL ? *spec->will : (tg_will){0};
    fake_copy(fake.will_topic, sizeof(fake.will_topic), fake.will.message.topic);
    fake_copy(fake.will_payload, sizeof(fake.will_payload), fake.will.message.payload);
    fake_copy(fake.will_props, sizeof(fake.will_props), fake.will.message.props);
    fake_later answer = {.opened = done, .ctx = ctx, .session = {c.id}};
    if (!fake_keep(answer))
        fake_give(&answer);
    return 0;
}

static int fake_close_session(tg_session s, unsigned flags)
{
    (void)s;
    fake.nclosed++;
    fake.close_flags = flags;
    return 0;
}

static int fake_set_expiry(tg_session s, uint32_t seconds)
{
    (void)s;
    fake.expiry_s = seconds;
    return 0;
}

static int fake_done(tg_session s, tg_done_fn *done, void *ctx)
{
    fake_later answer = {.done = done, .ctx = ctx, .session = s};
    if (!fake_keep(answer))
        fake_give(&answer);
    return 0;
}

static int fake_subscribe(tg_session s, tg_slice filter, const tg_sub *sub,
                          tg_done_fn *done, void *ctx)
{
    if (tg_slice_eq(filter, TG_LIT("bad/#/filter")))
        return TG_E_MALFORMED;
    fake_copy(fake.filter, sizeof(fake.filter), filter);
    fake.sub = *sub;
    fake.nsubscribed++;
    return fake_done(s, done, ctx);
}

static int fake_unsubscribe(tg_session s, tg_slice filter, tg_done_fn *done, void *ctx)
{
    fake_copy(fake.filter, sizeof(fake.filter), filter);
    fake.nunsubscribed++;
    return fake_done(s, done, ctx);
}

static int fake_publish(tg_session s, tg_msg m, tg_published_fn *done, void *ctx)
{
    if (fake.publish_rc != 0)
        return fake.publish_rc;
    if (fake.published != NULL)
        fake_msg_unref(&fake.published->m);
    fake.published = (fake_msg *)(uintptr_t)fake_msg_ref(m);
    fake.npublished++;
    fake_later answer = {.published = done, .ctx = ctx, .session = s};
    if (done != NULL && !fake_keep(answer))
        fake_give(&answer);
    return 0;
}

static int fake_ack(tg_session s, uint16_t packet_id, tg_ack how)
{
    (void)s;
    fake.acked = packet_id;
    fake.how = how;
    fake.nacks++;
    return fake.ack_rc;
}

static int fake_rx_add(tg_session s, uint16_t packet_id)
{
    (void)s;
    uint8_t *byte = &fake.rx[packet_id / 8];
    uint8_t bit = (uint8_t)(1 << packet_id % 8);
    if (fake.rx_rc != 0)
        return fake.rx_rc;
    if ((*byte & bit) != 0)
        return TG_E_EXISTS;
    *byte |= bit;
    return 0;
}

static int fake_publish_once(tg_session s, uint16_t packet_id, tg_msg m,
                             tg_published_fn *done, void *ctx)
{
    (void)packet_id;
    if (m != NULL)
        return fake_publish(s, m, done, ctx);
    done(ctx, 0, 1);
    return 0;
}

static int fake_sync(tg_session s, tg_done_fn *done, void *ctx)
{
    fake_later answer = {.done = done, .ctx = ctx, .session = s, .synced = true};
    if (!fake_keep(answer))
        fake_give(&answer);
    return 0;
}

static int fake_rx_del(tg_session s, uint16_t packet_id)
{
    (void)s;
    uint8_t *byte = &fake.rx[packet_id / 8];
    uint8_t bit = (uint8_t)(1 << packet_id % 8);
    if ((*byte & bit) == 0)
        return TG_E_NOTFOUND;
    *byte &= (uint8_t)~bit;
    return fake.rx_del_rc;
}

static int fake_session_resume(tg_session s)
{
    (void)s;
    fake.nresumed++;
    return 0;
}

static int fake_client_id(tg_session s, tg_slice *out)
{
    (void)s;
    *out = tg_str(fake.client_id);
    return 0;
}

static const tg_value *fake_attributes(tg_session s)
{
    (void)s;
    return fake.attributes;
}

static int fake_expiry(tg_session s, uint32_t *out)
{
    (void)s;
    uint32_t most = fake.expiry_most != 0 ? fake.expiry_most : TG_EXPIRY_NEVER;
    *out = fake.opened.expiry_s < most ? fake.opened.expiry_s : most;
    return 0;
}

static const tg_session_api FAKE_SESSION = {
    .size = sizeof(FAKE_SESSION),
    .open = fake_open,
    .close = fake_close_session,
    .set_expiry = fake_set_expiry,
    .subscribe = fake_subscribe,
    .unsubscribe = fake_unsubscribe,
    .publish = fake_publish,
    .ack = fake_ack,
    .rx_add = fake_rx_add,
    .rx_del = fake_rx_del,
    .resume = fake_session_resume,
    .client_id = fake_client_id,
    .attributes = fake_attributes,
    .expiry = fake_expiry,
    .publish_once = fake_publish_once,
    .sync = fake_sync,
};

static int fake_check(tg_conn c, const tg_auth_request *request, tg_done_fn *done,
                      void *ctx)
{
    (void)c;
    fake.auth = *request;
    fake_copy(fake.auth_user, sizeof(fake.auth_user), request->user);
    fake_copy(fake.auth_password, sizeof(fake.auth_password), request->password);
    return fake_done((tg_session){0}, done, ctx);
}

static bool fake_may(const tg_value *attributes, tg_slice client_id, tg_slice user,
                     tg_slice topic)
{
    (void)attributes;
    (void)client_id;
    (void)user;
    (void)topic;
    return fake.may;
}

static const tg_auth_api FAKE_AUTH = {
    .size = sizeof(FAKE_AUTH),
    .check = fake_check,
    .may_publish = fake_may,
    .may_subscribe = fake_may,
};

// counters

static int fake_counter(tg_slice name, tg_slice help, const tg_label *labels, size_t n,
                        uint32_t *out)
{
    char whole[160];
    size_t len = (size_t)snprintf(whole, sizeof(whole), "%.*s", (int)name.len, name.at);
    (void)help;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(whole + len, sizeof(whole) - len, " %.*s",
                                (int)labels[i].value.len, labels[i].value.at);
    for (*out = 0; *out < fake.ncounters; ++*out)
        if (strcmp(fake.counter_names[*out], whole) == 0)
            return 0;
    assert(fake.ncounters < FAKE_COUNTERS);
    strcpy(fake.counter_names[fake.ncounters++], whole);
    return 0;
}

static _Atomic int64_t *fake_cell(uint32_t id)
{
    return &fake.counters[id];
}

/// What was counted under a name and the values of its labels: "connacks_total main success".
static inline int64_t counted(const char *whole)
{
    for (uint32_t i = 0; i < fake.ncounters; i++)
        if (strcmp(fake.counter_names[i], whole) == 0)
            return fake.counters[i];
    return 0;
}

static const tg_metric_api FAKE_METRIC = {
    .size = sizeof(FAKE_METRIC),
    .counter_with = fake_counter,
    .gauge_with = fake_counter,
    .cell = fake_cell,
};

// A test's life

static inline void fake_start(const tg_value *config)
{
    memset(&fake, 0, sizeof(fake));
    fake.receivers = 1;
    fake.may = true;
    tg = (tg_env){.host = &FAKE_HOST,
                  .msg = &FAKE_MSG,
                  .conn = &FAKE_CONN,
                  .session = &FAKE_SESSION,
                  .auth = &FAKE_AUTH,
                  .metric = &FAKE_METRIC};
    int rc = mqtt_adapter_new(1, config, &fake.adapter);
    assert(rc == 0);
    (void)rc;
}

static inline tg_conn fake_connect(const tg_value *options)
{
    assert(fake.nconns < FAKE_CONNS);
    fake_conn *f = &fake.conns[fake.nconns++];
    tg_conn c = {fake.nconns};
    f->open = true;
    const tg_adapter *a = &fake.adapter->table;
    assert(a->state_size <= sizeof(f->state));
    if (a->on_open(a, c, f->state, options) != 0)
        f->closed = true;
    return c;
}

static inline void fake_hang_up(tg_conn c)
{
    fake_conn *f = fake_find(c);
    if (f == NULL)
        return;
    mqtt_on_close(c, f->state, TG_E_CLOSED);
    f->open = false;
}

/// @return bytes used.
static inline int64_t fake_bytes(tg_conn c, const void *at, size_t len)
{
    fake_conn *f = fake_find(c);
    if (f == NULL || f->paused)
        return 0;
    return mqtt_on_data(c, f->state, (tg_slice){(const char *)at, len});
}

/// Ends everything. @return blocks of memory that were left.
static inline int64_t fake_stop(void)
{
    for (uint32_t i = 0; i < fake.nconns; i++)
        fake_hang_up((tg_conn){i + 1});
    fake_answer();
    if (fake.published != NULL)
        fake_msg_unref(&fake.published->m);
    mqtt_adapter_stop(fake.adapter, 0);
    mqtt_adapter_free(fake.adapter);
    return fake.blocks;
}

#endif
