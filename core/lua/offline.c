// SPDX-License-Identifier: Apache-2.0
// Who drives a plugin without a host: the same engine and the same callbacks as in one, with a
// loop that turns only when it is told to. So what a test sees is what a device would.
#include "lua/offline_host.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/options.h"
#include "lua/mod.h"

#define OFFLINE_MAGIC 0x0ff17e01u
#define IN_MAX (1u << 20)

static const tg_self *self_of(tg_offline *o)
{
    return (const tg_self *)(const void *)o;
}

// ---- what is told ---------------------------------------------------------------------

static void put_member(tg_buf *b, const char *key, tg_slice value)
{
    bool plain = *key == '#'; // a number or a boolean
    tg_buf_putc(b, ',');
    tg_json_str(b, tg_str(plain ? key + 1 : key));
    tg_buf_putc(b, ':');
    if (plain)
        tg_buf_put(b, value.at, value.len);
    else
        tg_json_str(b, value);
}

void tg_offline_say(tg_offline *o, const char *event, int conn, ...)
{
    tg_buf *b = &o->line;
    va_list args;
    if (o->spec.emit == NULL)
        return;
    tg_buf_clear(b);
    tg_buf_printf(b, "{\"event\":\"%s\"", event);
    if (conn > 0)
        tg_buf_printf(b, ",\"conn\":%d", conn);
    va_start(args, conn);
    for (const char *key; (key = va_arg(args, const char *)) != NULL;) {
        tg_slice value = va_arg(args, tg_slice);
        if (value.at != NULL)
            put_member(b, key, value);
    }
    va_end(args);
    tg_buf_putc(b, '}');
    if (!b->failed)
        o->spec.emit(o->spec.ctx, tg_buf_slice(b));
}

static void observe(void *ctx, lua_State *L, int index)
{
    tg_offline *o = ctx;
    tg_buf b = {0};
    tg_error e = {0};
    tg_buf_puts(&b, "{\"event\":\"message\",\"message\":");
    if (tg_lua_json_write(L, index, &b, &e) == 0) {
        tg_buf_putc(&b, '}');
        if (o->spec.emit != NULL && !b.failed)
            o->spec.emit(o->spec.ctx, tg_buf_slice(&b));
    } else {
        tg_offline_say(o, "message", 0, "error", tg_str(e.message), NULL);
    }
    tg_buf_free(&b);
}

// ---- the loop that there is not -------------------------------------------------------

void tg_offline_later(tg_offline *o, offline_call call)
{
    offline_call *c = malloc(sizeof(*c));
    if (c == NULL)
        abort(); // a test's host: nothing better can be done
    *c = call;
    tg_list_add(&o->calls, &c->node);
}

static void run_call(offline_call *c)
{
    if (c->opened != NULL)
        c->opened(c->ctx, c->code, (tg_session){c->session}, false);
    else if (c->done != NULL)
        c->done(c->ctx, c->code, c->value);
    else
        c->fn(c->ctx);
}

static void read_all(tg_offline *o)
{
    for (int i = 1; i <= o->nconns; i++) {
        if (o->conns[i - 1].open && !o->conns[i - 1].paused)
            tg_offline_read(o, i);
        if (o->conns[i - 1].open && o->conns[i - 1].closing)
            tg_offline_close_now(o, i);
    }
}

void tg_offline_turn(tg_offline *o)
{
    do {
        while (!tg_list_empty(&o->calls)) {
            offline_call *c = TG_OWNER(tg_offline_pop(&o->calls), offline_call, node);
            run_call(c);
            tg_value_free(c->value);
            free(c);
        }
        read_all(o);
    } while (!tg_list_empty(&o->calls));
}

static offline_timer *next_timer(tg_offline *o, uint64_t until)
{
    offline_timer *first = NULL;
    for (tg_list *n = o->timers.next; n != &o->timers; n = n->next) {
        offline_timer *t = TG_OWNER(n, offline_timer, node);
        if (t->due <= until && (first == NULL || t->due < first->due))
            first = t;
    }
    return first;
}

static void fire(tg_offline *o, offline_timer *t)
{
    void (*fn)(void *ctx) = t->fn;
    void *ctx = t->ctx;
    o->now = t->due > o->now ? t->due : o->now;
    if (t->repeat > 0) {
        t->due += t->repeat;
    } else {
        tg_list_del(&t->node);
        free(t);
    }
    fn(ctx);
    tg_offline_turn(o);
}

static void tell_idle(tg_offline *o)
{
    for (int i = 0; i < o->nconns; i++) {
        offline_conn *k = &o->conns[i];
        if (!k->open || k->idle_ms == 0 || o->now - k->last < k->idle_ms)
            continue;
        k->last = o->now;
        k->adapter->on_idle((tg_conn){(uint64_t)i + 1}, k->state);
        tg_offline_turn(o);
    }
}

void tg_offline_advance(tg_offline *o, uint32_t ms)
{
    uint64_t until = o->now + ms;
    offline_timer *t;
    tg_offline_enter(o);
    while ((t = next_timer(o, until)) != NULL)
        fire(o, t);
    o->now = until;
    tell_idle(o);
    tg_offline_turn(o);
}

// ---- connections ----------------------------------------------------------------------

static offline_conn *conn_at(tg_offline *o, int conn)
{
    return conn >= 1 && conn <= o->nconns && o->conns[conn - 1].open ? &o->conns[conn - 1]
                                                                     : NULL;
}

static const tg_adapter *pick(const tg_offline *o)
{
    for (uint32_t i = 0; i < o->nadapters; i++)
        if (o->spec.adapter == NULL || strcmp(o->adapters[i]->id, o->spec.adapter) == 0)
            return o->adapters[i];
    return NULL;
}

int tg_offline_connect(tg_offline *o, const char *peer)
{
    const tg_adapter *a = pick(o);
    tg_offline_enter(o);
    if (a == NULL)
        return TG_E_NOTFOUND;
    if (o->nconns == TG_OFFLINE_CONNS)
        return TG_E_LIMIT;
    offline_conn *k = &o->conns[o->nconns];
    k->state = calloc(1, a->state_size);
    int rc = a->nframes > 0 ? tg_framer_new(a->frames, a->nframes, &k->framer, NULL) : 0;
    k->scratch = rc == 0 && k->framer != NULL ? malloc(tg_framer_max(k->framer)) : NULL;
    if (rc != 0 || k->state == NULL || (k->framer != NULL && k->scratch == NULL)) {
        free(k->state);
        tg_framer_free(k->framer);
        return rc != 0 ? rc : TG_E_NOMEM;
    }
    k->open = true;
    k->adapter = a;
    k->last = o->now;
    snprintf(k->peer, sizeof(k->peer), "%s", peer != NULL ? peer : "192.0.2.1:5000");
    int number = ++o->nconns;
    a->on_open(a, (tg_conn){(uint64_t)number}, k->state, NULL);
    tg_offline_turn(o);
    return number;
}

static int read_raw(offline_conn *k, int conn)
{
    int64_t used = 0;
    while (k->open && !k->paused && k->in.len > 0 &&
           (used = k->adapter->on_data((tg_conn){(uint64_t)conn}, k->state,
                                       tg_buf_slice(&k->in))) > 0)
        tg_buf_drop(&k->in, (size_t)used);
    return used < 0 ? (int)used : 0;
}

static void say_junk(tg_offline *o, int conn, tg_step step, size_t used)
{
    static const char *const words[] = {"",       "",        "junk",  "checksum",
                                        "toobig", "trailer", "escape"};
    char text[24];
    snprintf(text, sizeof(text), "%zu", used);
    tg_offline_say(o, "junk", conn, "reason", tg_str(words[step]), "#bytes", tg_str(text),
                   NULL);
}

int tg_offline_read(tg_offline *o, int conn)
{
    offline_conn *k = &o->conns[conn - 1];
    if (k->framer == NULL)
        return read_raw(k, conn);
    while (k->open && !k->paused && !k->closing && k->in.len > 0) {
        tg_framed f = {0};
        tg_step step =
            tg_framer_step(k->framer, tg_buf_slice(&k->in), k->scratch, &k->looked, &f);
        if (step == TG_STEP_MORE && f.used == 0)
            break;
        if (step == TG_STEP_FRAME)
            k->adapter->on_frame((tg_conn){(uint64_t)conn}, k->state, f.frame);
        else if (step != TG_STEP_MORE)
            say_junk(o, conn, step, f.used);
        if (step == TG_STEP_CHECKSUM && k->adapter->on_damaged != NULL)
            k->adapter->on_damaged((tg_conn){(uint64_t)conn}, k->state, f.frame);
        tg_buf_drop(&k->in, f.used);
    }
    return 0;
}

int tg_offline_feed(tg_offline *o, int conn, tg_slice bytes)
{
    offline_conn *k = conn_at(o, conn);
    tg_offline_enter(o);
    if (k == NULL || k->closing)
        return TG_E_CLOSED;
    if (k->in.len + bytes.len > IN_MAX)
        return TG_E_FULL;
    tg_buf_put(&k->in, bytes.at, bytes.len);
    k->last = o->now;
    tg_offline_turn(o);
    return 0;
}

void tg_offline_close_now(tg_offline *o, int conn)
{
    offline_conn *k = &o->conns[conn - 1];
    tg_conn c = {(uint64_t)conn};
    k->closing = true;
    k->adapter->on_close(c, k->state, k->reason);
    k->open = false;
    for (tg_list *n = o->sessions.next; n != &o->sessions;) {
        offline_session *s = TG_OWNER(n, offline_session, node);
        n = n->next;
        if (s->conn == conn)
            tg_offline_end_session(o, s);
    }
    free(k->state);
    free(k->scratch);
    tg_framer_free(k->framer);
    tg_buf_free(&k->in);
    k->state = NULL;
    k->scratch = NULL;
    k->framer = NULL;
}

int tg_offline_hangup(tg_offline *o, int conn)
{
    offline_conn *k = conn_at(o, conn);
    tg_offline_enter(o);
    if (k == NULL)
        return TG_E_CLOSED;
    k->reason = TG_E_CLOSED;
    tg_offline_close_now(o, conn);
    tg_offline_turn(o);
    return 0;
}

// ---- sessions -------------------------------------------------------------------------

offline_session *tg_offline_session(tg_offline *o, uint64_t id)
{
    for (tg_list *n = o->sessions.next; n != &o->sessions; n = n->next)
        if (TG_OWNER(n, offline_session, node)->id == id)
            return TG_OWNER(n, offline_session, node);
    return NULL;
}

offline_session *tg_offline_session_of(tg_offline *o, tg_slice client_id)
{
    for (tg_list *n = o->sessions.next; n != &o->sessions; n = n->next) {
        offline_session *s = TG_OWNER(n, offline_session, node);
        if (tg_slice_eq((tg_slice){s->client_id, s->len}, client_id))
            return s;
    }
    return NULL;
}

void tg_offline_end_session(tg_offline *o, offline_session *s)
{
    const tg_msg_api *msg = o->engine->env.msg;
    while (!tg_list_empty(&s->waiting)) {
        tg_list *n = tg_offline_pop(&s->waiting);
        offline_delivery *d = TG_OWNER(n, offline_delivery, node);
        msg->unref(d->msg);
        free(d);
    }
    tg_list_del(&s->node);
    tg_value_free(s->attributes);
    free(s);
}

void tg_offline_hand_over(tg_offline *o, offline_session *s)
{
    const tg_msg_api *msg = o->engine->env.msg;
    offline_conn *k = conn_at(o, s->conn);
    uint64_t id = s->id;
    while (k != NULL && k->open && !tg_list_empty(&s->waiting)) {
        offline_delivery *d = TG_OWNER(s->waiting.next, offline_delivery, node);
        tg_delivery out = {.size = sizeof(out), .qos = d->qos, .msg = d->msg};
        out.packet_id = d->qos > 0 ? (uint16_t)(s->next_packet + 1) : 0;
        int rc = k->adapter->on_deliver((tg_conn){(uint64_t)s->conn}, k->state,
                                        (tg_session){id}, &out);
        if (rc == TG_E_FULL)
            return;
        if (tg_offline_session(o, id) == NULL)
            return; // the handler closed it
        s->next_packet++;
        tg_offline_pop(&s->waiting);
        msg->unref(d->msg);
        free(d);
    }
}

int tg_offline_deliver(tg_offline *o, const char *device, tg_slice topic, tg_slice payload,
                       int qos)
{
    tg_offline_enter(o);
    offline_session *s = tg_offline_session_of(o, tg_str(device));
    offline_delivery *d = s != NULL ? calloc(1, sizeof(*d)) : NULL;
    if (d == NULL)
        return TG_E_NOTFOUND;
    tg_msg_spec spec = {
        .size = sizeof(spec), .qos = (uint8_t)qos, .topic = topic, .payload = payload};
    d->msg = o->engine->env.msg->new (&spec);
    d->qos = (uint8_t)qos;
    uint64_t id = s->id;
    tg_list_add(&s->waiting, &d->node);
    tg_offline_hand_over(o, s);
    tg_offline_turn(o);
    s = tg_offline_session(o, id);
    return s == NULL || tg_list_empty(&s->waiting) ? 0 : TG_E_FULL;
}

// ---- opening and closing --------------------------------------------------------------

static int configure(tg_offline *o, tg_error *e)
{
    if (o->unit->schema == NULL) {
        o->config = (tg_value){.kind = TG_MAP};
        return 0;
    }
    return tg_schema_apply(o->unit->schema, o->spec.config, &o->arena, NULL, "config",
                           &o->config, e);
}

static int start(tg_offline *o, tg_error *e)
{
    const tg_engine *engine = &o->engine->pub;
    tg_self *self = (tg_self *)(uintptr_t)self_of(o);
    char text[512];
    int rc = engine->open(engine, o->spec.path, &o->unit, text, sizeof(text));
    if (rc != 0)
        return tg_error_set(e, rc, "%s", text);
    rc = configure(o, e);
    if (rc == 0)
        rc = engine->load(o->unit, &tg_offline_host, self);
    if (rc == 0)
        rc = engine->start(o->unit, 0);
    o->started = rc == 0;
    if (rc != 0 && o->error[0] != '\0')
        return tg_error_set(e, rc, "%s", o->error);
    return rc;
}

int tg_offline_open(const tg_offline_spec *spec, tg_offline **out, tg_error *e)
{
    tg_offline *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    o->magic = OFFLINE_MAGIC;
    o->spec = *spec;
    tg_list_init(&o->timers);
    tg_list_init(&o->calls);
    tg_list_init(&o->sessions);
    tg_list_init(&o->ops);
    tg_offline_enter(o);
    o->engine = tg_lua_engine_new(&tg_offline_host, (tg_self *)(uintptr_t)self_of(o));
    if (o->engine == NULL) {
        tg_offline_free(o);
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    }
    o->engine->observe = observe;
    o->engine->observe_ctx = o;
    int rc = start(o, e);
    if (rc == 0 && spec->adapter != NULL && pick(o) == NULL)
        rc = tg_error_set(e, TG_E_NOTFOUND, "%s has no adapter '%s'", spec->path,
                          spec->adapter);
    if (rc != 0) {
        tg_offline_free(o);
        return rc;
    }
    tg_offline_turn(o);
    *out = o;
    return 0;
}

static void free_lists(tg_offline *o)
{
    for (tg_list *n = o->sessions.next, *next; n != &o->sessions; n = next) {
        next = n->next;
        tg_offline_end_session(o, TG_OWNER(n, offline_session, node));
    }
    for (tg_list *n = o->timers.next, *next; n != &o->timers; n = next) {
        next = n->next;
        free(TG_OWNER(n, offline_timer, node));
    }
    for (tg_list *n = o->ops.next, *next; n != &o->ops; n = next) {
        next = n->next;
        free(TG_OWNER(n, offline_op, node));
    }
    uint32_t at = 0;
    void *key;
    while ((key = tg_map_next(&o->kv, &at)) != NULL)
        free(key);
    tg_map_free(&o->kv);
}

void tg_offline_free(tg_offline *o)
{
    assert(o->magic == OFFLINE_MAGIC);
    tg_offline_enter(o);
    for (int i = 1; i <= o->nconns; i++)
        tg_offline_hangup(o, i);
    if (o->unit != NULL) {
        const tg_engine *engine = &o->engine->pub;
        if (o->started)
            engine->stop(o->unit, 0);
        tg_offline_turn(o); // what was under way completes to nobody
        engine->unload(o->unit);
        engine->free(o->unit);
    }
    if (o->engine != NULL) {
        if (o->engine->bench[0].attached)
            tg_guard_detach(&o->engine->bench[0].guard);
        free_lists(o);
        tg_lua_engine_free(o->engine);
    }
    tg_arena_free(&o->arena);
    tg_buf_free(&o->line);
    o->magic = 0;
    free(o);
    tg_offline_enter(NULL);
}

size_t tg_offline_memory(const tg_offline *o)
{
    const tg_unit_lua *u = o->unit->impl;
    return u->scripts[0]->vm.used;
}

int tg_offline_annotate(const char *path, const char *adapter, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx,
                        tg_error *e)
{
    tg_offline_spec spec = {.path = path, .adapter = adapter};
    tg_offline *o = NULL;
    int rc = tg_offline_open(&spec, &o, e);
    if (o == NULL)
        return rc;
    const tg_adapter *a = pick(o);
    rc = a->annotate(a, bytes, emit, ctx);
    tg_offline_free(o);
    return rc == 0 ? 0 : tg_error_set(e, rc, "%s", tg_error_text(rc));
}
