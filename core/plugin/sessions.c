// SPDX-License-Identifier: Apache-2.0
// Sessions of a line, and the ABI's session table. The hub leads from a session's handle to its
// line; the number that it keeps for us is the session's place in the line's list, from 1 on,
// and 0 while the adapter does not know of it yet. A call into the hub that is answered later
// goes through a tg_call, so that the answer runs as the version that asked.
#include <assert.h>
#include <stdlib.h>

#include "plugin/auth.h"
#include "plugin/call.h"
#include "plugin/line.h"

static const char open_name[] = "opened";

static const tg_link link_ops;

static tg_session *at(tg_line *l, uint16_t i)
{
    return i == 0 ? &l->session : &l->aside->more[i - 1];
}

static tg_line *linked(const tg_local *here, tg_session s, uint16_t **place)
{
    return here->shard != NULL ? tg_session_link(here->shard, s, &link_ops, place) : NULL;
}

/// NULL when no line of this worker holds `s`.
static tg_line *line_of(const tg_local *here, tg_session s)
{
    uint16_t *place;
    tg_line *l = linked(here, s, &place);
    return l != NULL && *place != 0 ? l : NULL;
}

tg_line *tg_line_of(tg_session s)
{
    return line_of(tg_here(), s);
}

static bool more_room(tg_line *l)
{
    if (l->nsessions == 0)
        return true;
    tg_aside *a = tg_line_aside(l);
    if (a == NULL || l->nsessions <= a->more_cap)
        return a != NULL && l->nsessions < UINT16_MAX;
    uint32_t cap = a->more_cap == 0 ? 4 : a->more_cap * 2u;
    if (cap > UINT16_MAX)
        cap = UINT16_MAX;
    tg_session *grown = realloc(a->more, cap * sizeof(tg_session));
    if (grown == NULL)
        return false;
    a->more = grown;
    a->more_cap = (uint16_t)cap;
    return true;
}

static int hold(const tg_local *here, tg_line *l, tg_session s)
{
    uint16_t *place;
    assert(l != NULL);
    if (linked(here, s, &place) != l || !more_room(l))
        return TG_E_LIMIT;
    *at(l, l->nsessions++) = s;
    *place = l->nsessions;
    tg_net_settle(tg_line_net(l), true);
    return 0;
}

// The last one takes the place of the one that leaves. @param i its place
static bool leave(const tg_local *here, tg_line *l, tg_session s, uint16_t i)
{
    uint16_t *place;
    if (i == 0)
        return false;
    assert(i <= l->nsessions && at(l, (uint16_t)(i - 1))->id == s.id);
    tg_session last = *at(l, --l->nsessions);
    *at(l, (uint16_t)(i - 1)) = last;
    if (last.id != s.id && linked(here, last, &place) == l)
        *place = i;
    if (l->nsessions == 0)
        tg_net_settle(tg_line_net(l), false);
    return true;
}

// One that the hub still knows.
static void let_go(const tg_local *here, tg_line *l, tg_session s)
{
    uint16_t *place;
    const tg_line *holder = linked(here, s, &place);
    assert(holder == l && *place != 0); // else who empties a line would never be done
    uint16_t i = *place;
    *place = 0;
    leave(here, l, s, i);
}

// What the hub calls.

static int deliver(void *link, tg_session s, const tg_delivery *d)
{
    tg_line *l = link;
    assert(l->magic == TG_LINE_MAGIC);
    if (l->flags & (TG_LINE_GONE | TG_LINE_CLOSING))
        return TG_E_FULL; // it stays in the queue, for the session's next connection
    if (l->offer->adapter.on_deliver == NULL)
        return TG_E_UNSUPPORTED;
    tg_call_begin(l->offer->self, "on_deliver");
    int rc = l->offer->adapter.on_deliver(tg_line_conn(l), tg_line_state(l), s, d);
    tg_call_end();
    return rc;
}

static void tell_end(tg_line *l, tg_session s, int reason)
{
    if (l->offer->adapter.on_session_end == NULL)
        return;
    tg_call_begin(l->offer->self, "on_session_end");
    l->offer->adapter.on_session_end(tg_line_conn(l), tg_line_state(l), s, reason);
    tg_call_end();
}

static void ended(void *link, tg_session s, uint16_t place, int reason)
{
    tg_line *l = link;
    assert(l->magic == TG_LINE_MAGIC);
    if (leave(tg_here(), l, s, place) && (l->flags & TG_LINE_GONE) == 0)
        tell_end(l, s, reason);
}

static const tg_link link_ops = {.deliver = deliver, .ended = ended};

// Opens. Those under way hang on the worker, so that a line costs nothing for them.

static void opened(void *ctx, int code, tg_session s, bool present)
{
    tg_call *c = ctx;
    tg_local *here = tg_here();
    tg_line *l = tg_slots_find(&here->lines, c->line);
    if (l != NULL)
        l->opens--;
    if (code == 0 && (l == NULL || c->self == NULL || hold(here, l, s) < 0)) {
        tg_session_close(here->shard, s, TG_CLOSE_KEEP_WILL);
        code = l == NULL ? TG_E_CLOSED : TG_E_LIMIT;
        s.id = 0;
    }
    if (c->self != NULL) {
        tg_call_begin(c->self, c->name);
        c->opened(c->ctx, code, s, present);
        tg_call_end();
    }
    tg_call_free(c);
}

void tg_line_opens_fail(tg_line *l)
{
    tg_local *here = tg_here();
    if (l->opens == 0)
        return;
    if (here->shard != NULL)
        tg_session_cancel(here->shard, l);
    tg_list *calls = &tg_part_here(l->offer->self)->calls;
    for (tg_list *n = calls->next; n != calls && l->opens > 0;) {
        tg_call *c = TG_OWNER(n, tg_call, node);
        n = n->next;
        if (c->line != l->handle || c->name != open_name)
            continue;
        opened(c, TG_E_CLOSED, (tg_session){0}, false);
        n = calls->next; // the callback may have changed the list
    }
}

/// A device's attributes say whose it is, also while it is away.
static int mark_device(const tg_line *l, tg_session_spec *spec, tg_arena *arena,
                       tg_value *attributes)
{
    tg_value_builder b = {.arena = arena};
    const tg_value *given = spec->attributes;
    for (size_t i = 0; given != NULL && given->kind == TG_MAP && i < given->map.count;
         i++) {
        if (tg_slice_eq(given->map.pairs[i].key, TG_LIT("$adapter")))
            continue;
        tg_build(&b, "", given->map.pairs[i].value);
        if (!arena->failed)
            b.pairs[b.count - 1].key = given->map.pairs[i].key;
    }
    tg_build(&b, "$adapter", tg_value_of_str(l->offer->id));
    if (arena->failed)
        return TG_E_NOMEM;
    *attributes = tg_build_map(&b);
    spec->attributes = attributes;
    return 0;
}

static int hub_open(tg_line *l, const tg_session_spec *given, tg_call *c)
{
    tg_session_spec spec = {0};
    tg_arena arena = {0};
    tg_value attributes;
    memcpy(&spec, given, given->size < sizeof(spec) ? given->size : sizeof(spec));
    int rc = 0;
    if (l->offer->adapter.commands != NULL)
        rc = mark_device(l, &spec, &arena, &attributes);
    if (rc == 0)
        rc = tg_session_open(tg_here()->shard, &link_ops, l, &spec, opened, c);
    tg_arena_free(&arena);
    return rc;
}

static int session_open(tg_conn conn, const tg_session_spec *spec, tg_opened_fn *done,
                        void *ctx)
{
    tg_line *l = tg_line_find(conn);
    if (l == NULL || (l->flags & TG_LINE_CLOSING))
        return TG_E_CLOSED;
    if (spec == NULL || done == NULL)
        return TG_E_INVAL;
    if (spec->will != NULL && tg_topic_of_host(spec->will->message.topic))
        return TG_E_DENIED;
    tg_call *c = tg_call_new(open_name, ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    c->opened = done;
    c->line = l->handle;
    l->opens++;
    int rc = hub_open(l, spec, c);
    if (rc < 0) {
        l->opens--;
        tg_call_free(c);
    }
    return rc;
}

static int session_close(tg_session s, unsigned flags)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    tg_line *l = line_of(here, s);
    if (l == NULL)
        return TG_E_CLOSED;
    let_go(here, l, s);
    return tg_session_close(here->shard, s, flags);
}

// What a line does with its sessions.

void tg_line_sessions_resume(tg_line *l)
{
    tg_shard *shard = tg_here()->shard;
    for (uint16_t i = 0; i < l->nsessions && (l->flags & TG_LINE_CLOSING) == 0; i++)
        tg_session_resume(shard, *at(l, i));
}

void tg_line_sessions_shutdown(tg_line *l)
{
    tg_local *here = tg_here();
    while (l->nsessions > 0) {
        tg_session s = *at(l, (uint16_t)(l->nsessions - 1));
        let_go(here, l, s);
        if ((l->flags & TG_LINE_GONE) == 0)
            tell_end(l, s, TG_E_SHUTDOWN);
        tg_session_close(here->shard, s, TG_CLOSE_KEEP_WILL);
    }
}

void tg_line_sessions_close(tg_line *l)
{
    tg_local *here = tg_here();
    while (l->nsessions > 0) {
        tg_session s = *at(l, (uint16_t)(l->nsessions - 1));
        let_go(here, l, s);
        if (here->shard != NULL)
            tg_session_close(here->shard, s, TG_CLOSE_KEEP_WILL);
    }
    if (l->aside == NULL)
        return;
    free(l->aside->more);
    l->aside->more = NULL;
    l->aside->more_cap = 0;
}

// The rest of the table: to the shard, with a record where an answer is due.

/// @return 0 and this worker's shard.
static int shard_here(tg_shard **out)
{
    const tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    *out = here->shard;
    return *out != NULL ? 0 : TG_E_SHUTDOWN;
}

static int session_set_expiry(tg_session s, uint32_t seconds)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_set_expiry(shard, s, seconds);
}

static tg_call *call_for(const char *name, tg_done_fn *done, void *ctx)
{
    tg_call *c = tg_call_new(name, ctx);
    if (c != NULL)
        c->done = done;
    return c;
}

static int session_subscribe(tg_session s, tg_slice filter, const tg_sub *sub,
                             tg_done_fn *done, void *ctx)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    if (!tg_auth_may_read_sys(tg_here()->rt, shard, s, filter))
        return TG_E_DENIED;
    if (done == NULL)
        return tg_session_subscribe(shard, s, filter, sub, NULL, NULL);
    tg_call *c = call_for("subscribed", done, ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    rc = tg_session_subscribe(shard, s, filter, sub, tg_call_done, c);
    if (rc < 0)
        tg_call_free(c);
    return rc;
}

static int session_unsubscribe(tg_session s, tg_slice filter, tg_done_fn *done, void *ctx)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    if (done == NULL)
        return tg_session_unsubscribe(shard, s, filter, NULL, NULL);
    tg_call *c = call_for("unsubscribed", done, ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    rc = tg_session_unsubscribe(shard, s, filter, tg_call_done, c);
    if (rc < 0)
        tg_call_free(c);
    return rc;
}

static void published(void *ctx, int code, uint32_t receivers)
{
    tg_call *c = ctx;
    if (c->self != NULL) {
        tg_call_begin(c->self, c->name);
        c->published(c->ctx, code, receivers);
        tg_call_end();
    }
    tg_call_free(c);
}

static int publish_waiting(tg_shard *shard, tg_session s, tg_msg m, tg_published_fn *done,
                           void *ctx)
{
    tg_call *c = tg_call_new("published", ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    c->published = done;
    int rc = tg_session_publish(shard, s, m, published, c);
    if (rc < 0)
        tg_call_free(c);
    return rc;
}

// A raw adapter's messages are not the host's frames: what it publishes is counted instead.
static void after_publish(tg_local *here, tg_session s)
{
    tg_line *l = s.id != 0 ? line_of(here, s) : here->line;
    if (l == NULL || (l->flags & TG_LINE_CLOSING))
        return;
    if (l->framer == NULL && l == here->line) {
        tg_bump(&tg_part_here(l->offer->self)->frames, 1);
        tg_net_count_message(tg_line_net(l));
    }
    tg_line_hold_if_congested(l);
}

static int session_publish(tg_session s, tg_msg m, tg_published_fn *done, void *ctx)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    if (here->shard == NULL || m == NULL)
        return here->shard == NULL ? TG_E_SHUTDOWN : TG_E_INVAL;
    if (tg_topic_of_host(m->topic))
        return TG_E_DENIED;
    int rc = done != NULL ? publish_waiting(here->shard, s, m, done, ctx)
                          : tg_session_publish(here->shard, s, m, NULL, NULL);
    if (rc >= 0)
        after_publish(here, s);
    return rc;
}

static int session_publish_once(tg_session s, uint16_t packet_id, tg_msg m,
                                tg_published_fn *done, void *ctx)
{
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    if (here->shard == NULL || done == NULL)
        return here->shard == NULL ? TG_E_SHUTDOWN : TG_E_INVAL;
    if (m != NULL && tg_topic_of_host(m->topic))
        return TG_E_DENIED;
    tg_call *c = tg_call_new("published", ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    c->published = done;
    int rc = tg_session_publish_once(here->shard, s, packet_id, m, published, c);
    if (rc < 0)
        tg_call_free(c);
    else if (m != NULL)
        after_publish(here, s);
    return rc;
}

static int session_ack(tg_session s, uint16_t packet_id, tg_ack how)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_ack(shard, s, packet_id, how);
}

static int session_rx_add(tg_session s, uint16_t packet_id)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_rx_add(shard, s, packet_id);
}

static int session_rx_del(tg_session s, uint16_t packet_id)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_rx_del(shard, s, packet_id);
}

static int session_sync(tg_session s, tg_done_fn *done, void *ctx)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0 || done == NULL)
        return rc < 0 ? rc : TG_E_INVAL;
    tg_call *c = call_for("synced", done, ctx);
    if (c == NULL)
        return TG_E_NOMEM;
    rc = tg_session_sync(shard, s, tg_call_done, c);
    if (rc < 0)
        tg_call_free(c);
    return rc;
}

static int session_resume(tg_session s)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_resume(shard, s);
}

static int session_client_id(tg_session s, tg_slice *out)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_client_id(shard, s, out);
}

static const tg_value *session_attributes(tg_session s)
{
    const tg_local *here = tg_here();
    return here != NULL && here->shard != NULL ? tg_session_attributes(here->shard, s)
                                               : NULL;
}

static int session_expiry(tg_session s, uint32_t *out)
{
    tg_shard *shard;
    int rc = shard_here(&shard);
    if (rc < 0)
        return rc;
    return tg_session_expiry(shard, s, out);
}

const tg_session_api tg_session_table = {
    .size = sizeof(tg_session_api),
    .open = session_open,
    .close = session_close,
    .set_expiry = session_set_expiry,
    .subscribe = session_subscribe,
    .unsubscribe = session_unsubscribe,
    .publish = session_publish,
    .ack = session_ack,
    .rx_add = session_rx_add,
    .rx_del = session_rx_del,
    .resume = session_resume,
    .client_id = session_client_id,
    .attributes = session_attributes,
    .expiry = session_expiry,
    .publish_once = session_publish_once,
    .sync = session_sync,
};
