// SPDX-License-Identifier: Apache-2.0
// A question goes from backend to backend until one decides. It owns a copy of the request,
// since backends answer late, and everything that goes wrong on the way is a refusal: an error,
// a time-out, a backend of the chain that is not loaded, the chain's end.
//
// One question is two ops: the asker's, whose `done` is owed exactly once, and for each backend
// one that it completes. The asker's connection may go first: whatever the answer is, it comes
// as CLOSED then.
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/auth.h"
#include "plugin/line.h"
#include "plugin/op.h"

#define CHAIN_MAX (sizeof(((tg_runtime *)0)->chain) / sizeof(tg_seat *))

int tg_auth_open(tg_runtime *rt, const tg_value *chain, const tg_value *users, tg_error *e)
{
    int rc = tg_users_new(users, NULL, &rt->users, e);
    if (rc < 0)
        return rc;
    if (chain == NULL ||
        chain->kind != TG_LIST) { // without a chain: the built-in users alone
        rt->nchain = 1;
        return 0;
    }
    for (size_t i = 0; i < chain->list.count; i++) {
        const tg_value *v = &chain->list.items[i];
        if (i == CHAIN_MAX)
            return tg_error_set(e, TG_E_LIMIT, "auth: at most %zu backends", CHAIN_MAX);
        if (v->kind != TG_STR || !tg_id_valid(v->string, 64))
            return tg_error_set(e, TG_E_INVAL, "auth: a list of backend ids is wanted");
        bool ours = tg_slice_eq(v->string, TG_LIT("users"));
        rt->chain[i] = ours ? NULL : tg_seat_get(rt, TG_OFFER_AUTH, v->string);
        if (!ours && rt->chain[i] == NULL)
            return tg_error_set(e, TG_E_NOMEM, "out of memory");
        rt->nchain++;
    }
    return 0;
}

void tg_auth_close(tg_runtime *rt)
{
    tg_users_free(rt->users);
    rt->users = NULL;
}

const char *tg_runtime_auth_missing(tg_runtime *rt, size_t i)
{
    const char *id = NULL;
    pthread_mutex_lock(&rt->lock);
    for (size_t n = 0; id == NULL && n < rt->nchain; n++)
        if (rt->chain[n] != NULL && rt->chain[n]->control == NULL && i-- == 0)
            id = rt->chain[n]->key + 1;
    pthread_mutex_unlock(&rt->lock);
    return id;
}

typedef struct question {
    tg_runtime *rt;
    tg_op asker;
    uint64_t line; ///< handle
    uint32_t next; ///< of the chain
    bool slow_ok; ///< what the pool found
    bool unasked; ///< let in without credentials
    const tg_user *user;
    tg_value *extra;
    tg_auth_request request;
    char bytes[];
} question;

static void free_question(question *q)
{
    OPENSSL_cleanse(q->bytes, q->request.user.len + q->request.password.len);
    tg_value_free(q->extra);
    free(q);
}

void tg_auth_count(tg_listening *g)
{
    static const char *const results[] = {"allow", "deny", "error", "anonymous"};
    for (int i = 0; i < TG_AUTH_RESULTS; i++) {
        char labels[128];
        snprintf(labels, sizeof(labels), "listener=\"%s\",result=\"%s\"", g->name,
                 results[i]);
        g->auth_metrics[i] =
            tg_metric_add_def(TG_COUNTER, "tidegate_auth_checks_total", labels,
                              "Clients that asked to come in, and what the chain said.");
    }
}

static void count(const tg_line *l, tg_auth_result result)
{
    if (l->listening != NULL)
        tg_metric_add(l->listening->auth_metrics[result], 1);
}

static void decide(question *q, int code, const tg_value *attributes)
{
    const tg_line *l = tg_line_find((tg_conn){q->line});
    if (l != NULL && !q->unasked)
        count(l, code < 0                ? TG_AUTH_ERROR
                 : code == TG_AUTH_ALLOW ? TG_AUTH_ALLOWED
                                         : TG_AUTH_DENIED);
    tg_op_complete(q->asker, l != NULL ? code : TG_E_CLOSED, l != NULL ? attributes : NULL);
    free_question(q);
}

static void deny(question *q, int code, const char *reason)
{
    tg_pair pair = {TG_LIT("reason"), {.kind = TG_STR, .string = tg_str(reason)}};
    tg_value map = {.kind = TG_MAP, .map = {&pair, 1}};
    decide(q, code, &map);
}

static void ask_next(question *q);

static void log_failure(const question *q, const char *backend, int code)
{
    static _Thread_local tg_log_gate gate;
    const tg_local *here = tg_here();
    uint32_t held;
    if (!tg_log_gate_pass(&gate, tg_worker_now(here->worker), 20, &held))
        return;
    char peer[96];
    snprintf(peer, sizeof(peer), "%.*s", (int)q->request.peer.len, q->request.peer.at);
    tg_field fields[] = {TG_F("backend", backend), TG_F("peer", peer),
                         TG_F("reason", tg_error_text(code)), TG_FN("held_back", held)};
    tg_log_with(AUTH, ERROR, fields, 4, "no answer: the client is refused");
}

static const char *backend_of(const question *q)
{
    const tg_seat *s = q->rt->chain[q->next - 1];
    return s != NULL ? s->key + 1 : "users";
}

static void answered(void *ctx, int code, const tg_value *value)
{
    question *q = ctx;
    switch (code) {
    case TG_AUTH_ALLOW:
        decide(q, TG_AUTH_ALLOW, value);
        break;
    case TG_AUTH_NEXT:
        ask_next(q);
        break;
    case TG_AUTH_DENY:
        value != NULL ? decide(q, TG_AUTH_DENY, value) : deny(q, TG_AUTH_DENY, "refused");
        break;
    default: // also a number that no verdict has
        if (code >= 0)
            code = TG_E_INVAL;
        log_failure(q, backend_of(q), code);
        deny(q, code, "authentication failed");
    }
}

static void hash_on_pool(void *ctx)
{
    question *q = ctx;
    q->slow_ok = tg_user_check(q->user, q->request.password);
}

static void verdict_of_user(question *q, bool right)
{
    if (right)
        decide(q, TG_AUTH_ALLOW, tg_user_attributes(q->user));
    else
        deny(q, TG_AUTH_DENY, "wrong password");
}

static void hashed(void *ctx, int code)
{
    question *q = ctx;
    if (code < 0)
        answered(q, code, NULL);
    else
        verdict_of_user(q, q->slow_ok);
}

static void ask_users(question *q)
{
    q->user = tg_users_find(q->rt->users, q->request.user);
    if (q->user == NULL || !q->request.has_password) {
        ask_next(q);
    } else if (!tg_user_slow(q->user)) {
        verdict_of_user(q, tg_user_check(q->user, q->request.password));
    } else {
        int rc = tg_pool_submit(tg_here()->worker, hash_on_pool, hashed, q);
        if (rc < 0)
            answered(q, rc, NULL);
    }
}

static void ask_backend(question *q, tg_offer *o)
{
    tg_op_spec spec = {
        .done = answered, .ctx = q, .provider = o->self, .timeout_ms = TG_AUTH_TIMEOUT_MS};
    tg_op op = tg_op_new(&spec);
    int rc = TG_E_NOMEM;
    if (op.id != 0) {
        tg_call_begin(o->self, "auth check");
        rc = o->auth.check(o->given, &q->request, op);
        tg_call_end();
    }
    if (rc >= 0)
        return;
    if (op.id != 0 && tg_op_cancel(op) < 0)
        return; // it failed and completed: the completion counts
    answered(q, rc, NULL);
}

static void ask_next(question *q)
{
    if (q->next == q->rt->nchain) {
        deny(q, TG_AUTH_DENY, "no backend knows this client");
        return;
    }
    const tg_seat *seat = q->rt->chain[q->next++];
    tg_offer *o = seat != NULL ? seat->at[tg_here()->index] : NULL;
    if (seat == NULL)
        ask_users(q);
    else if (o != NULL)
        ask_backend(q, o);
    else
        answered(q, TG_E_NOTFOUND, NULL);
}

static tg_slice keep(char **at, tg_slice s)
{
    char *to = *at;
    if (s.len > 0)
        memcpy(to, s.at, s.len);
    *at += s.len;
    return (tg_slice){to, s.len};
}

// user and password stand first: they are wiped when the question is answered.
static question *question_new(const tg_line *l, const tg_auth_request *given)
{
    tg_auth_request r = {0};
    memcpy(&r, given, given->size < sizeof(r) ? given->size : sizeof(r));
    tg_conn_info info;
    tg_net_info(tg_line_net(l), &info);
    r.peer = info.peer;
    r.listener = l->listening != NULL ? tg_str(l->listening->name) : (tg_slice){"", 0};
    r.adapter = tg_str(l->offer->id);
    r.cert_cn = info.cert_cn;
    r.tls = info.transport == TG_TLS || info.transport == TG_DTLS;
    size_t len = r.user.len + r.password.len + r.client_id.len + r.peer.len +
                 r.listener.len + r.adapter.len + r.cert_cn.len;
    question *q = calloc(1, sizeof(*q) + len);
    if (q == NULL)
        return NULL;
    char *at = q->bytes;
    r.size = sizeof(r);
    r.user = keep(&at, r.user);
    r.password = keep(&at, r.password);
    r.client_id = keep(&at, r.client_id);
    r.peer = keep(&at, r.peer);
    r.listener = keep(&at, r.listener);
    r.adapter = keep(&at, r.adapter);
    r.cert_cn = keep(&at, r.cert_cn);
    q->request = r;
    q->rt = tg_here()->rt;
    q->line = l->handle;
    if (r.extra == NULL || (q->extra = tg_value_copy(r.extra)) != NULL) {
        q->request.extra = q->extra;
        return q;
    }
    free(q);
    return NULL;
}

static bool let_in_unasked(const tg_line *l, const tg_auth_request *r)
{
    return r->user.len == 0 && !r->has_password && l->listening != NULL &&
           l->listening->anonymous;
}

static int auth_check(tg_conn c, const tg_auth_request *request, tg_done_fn *done,
                      void *ctx)
{
    const tg_line *l = tg_line_find(c);
    if (l == NULL || (l->flags & TG_LINE_CLOSING))
        return TG_E_CLOSED;
    if (request == NULL || done == NULL)
        return TG_E_INVAL;
    question *q = question_new(l, request);
    if (q == NULL)
        return TG_E_NOMEM;
    tg_op_spec spec = {
        .done = done, .ctx = ctx, .owner = l->offer->self, .callback = "auth done"};
    q->asker = tg_op_new(&spec);
    if (q->asker.id == 0) {
        free_question(q);
        return TG_E_NOMEM;
    }
    q->unasked = let_in_unasked(l, &q->request);
    if (q->unasked) {
        count(l, TG_AUTH_ANONYMOUS);
        decide(q, TG_AUTH_ALLOW, NULL);
    } else {
        ask_next(q);
    }
    return 0;
}

/// @return 1 allowed, as nothing is said about it; 0 refused, as what is said makes no sense;
///         -1 and the list that decides.
static int acl_list(const tg_value *attributes, const char *what, const tg_value **list)
{
    const tg_value *acl = tg_value_get(attributes, "acl");
    if (acl == NULL || acl->kind == TG_NIL)
        return 1;
    if (acl->kind != TG_MAP)
        return 0;
    *list = tg_value_get(acl, what);
    return *list != NULL ? -1 : 1;
}

static bool may_publish(const tg_value *attributes, tg_slice client_id, tg_slice user,
                        tg_slice topic)
{
    const tg_value *list;
    int said = acl_list(attributes, "publish", &list);
    return said >= 0 ? said == 1 : tg_acl_topic(list, client_id, user, topic);
}

static bool may_subscribe(const tg_value *attributes, tg_slice client_id, tg_slice user,
                          tg_slice filter)
{
    const tg_value *list;
    int said = acl_list(attributes, "subscribe", &list);
    return said >= 0 ? said == 1 : tg_acl_filter(list, client_id, user, filter);
}

// A wildcard in front does not lead there (MQTT 5.0 §4.7.2), so the first level tells.
bool tg_topic_of_host(tg_slice topic)
{
    return topic.len >= 4 && memcmp(topic.at, "$SYS", 4) == 0 &&
           (topic.len == 4 || topic.at[4] == '/');
}

bool tg_auth_may_read_sys(const tg_runtime *rt, tg_shard *shard, tg_session s,
                          tg_slice filter)
{
    tg_slice id = {0}, user = {0};
    if (!tg_topic_of_host(tg_acl_unshared(filter)) || rt->sys_readers == TG_SYS_ALL)
        return true;
    if (rt->sys_readers == TG_SYS_NOBODY || tg_session_client_id(shard, s, &id) < 0 ||
        tg_session_user(shard, s, &user) < 0)
        return false;
    const tg_value *list;
    int said = acl_list(tg_session_attributes(shard, s), "subscribe", &list);
    if (said >= 0)
        return said == 1 && rt->sys_readers == TG_SYS_USERS && user.len > 0;
    return (rt->sys_readers == TG_SYS_ACL || user.len > 0) &&
           tg_acl_filter(list, id, user, filter);
}

const tg_auth_api tg_auth_table = {
    .size = sizeof(tg_auth_api),
    .check = auth_check,
    .may_publish = may_publish,
    .may_subscribe = may_subscribe,
};
