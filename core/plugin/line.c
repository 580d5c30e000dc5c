// SPDX-License-Identifier: Apache-2.0
// A line's life: accepted or dialed, open, closing, ended. Its adapter is called for it between
// on_open and on_close and never outside; a dialed one also learns of its failure by on_close.
// Who is told what is decided here, how bytes become frames in frames.c, and the sessions of a
// line are sessions.c.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/line.h"

static tg_line *check(void *user)
{
    tg_line *l = user;
    assert(l->magic == TG_LINE_MAGIC);
    return l;
}

tg_line *tg_line_find(tg_conn c)
{
    const tg_local *here = tg_here();
    return here != NULL ? tg_slots_find(&here->lines, c.id) : NULL;
}

static tg_aside *aside_make(tg_line *l)
{
    if (l->aside == NULL && (l->aside = calloc(1, sizeof(*l->aside))) != NULL)
        l->aside->line = l;
    return l->aside;
}

tg_aside *tg_line_aside(tg_line *l)
{
    if (aside_make(l) == NULL)
        tg_line_close(l, TG_E_NOMEM, TG_LIT("no memory for its state"));
    return l->aside;
}

void tg_line_tidy(tg_line *l)
{
    const tg_aside *a = l->aside;
    if (a == NULL || a->state != NULL || a->options != NULL || a->more != NULL ||
        a->junk != 0 || tg_alarm_armed(&a->stall) || (l->flags & TG_LINE_HELD))
        return;
    free(l->aside);
    l->aside = NULL;
}

static void aside_free(tg_line *l)
{
    tg_aside *a = l->aside;
    l->aside = NULL;
    if (a == NULL)
        return;
    assert(!tg_alarm_armed(&a->stall) && a->more == NULL);
    free(a->state);
    tg_value_free(a->options);
    free(a);
}

// A state that fits behind the line lives there. A later version of the adapter may want more
// than the listener was opened for: then it is allocated.
static int state_make(tg_line *l, uint16_t room)
{
    uint32_t need = l->offer->adapter.state_size;
    if (need <= room)
        return 0;
    void *state = calloc(1, need);
    if (state == NULL || aside_make(l) == NULL) {
        free(state);
        return TG_E_NOMEM;
    }
    l->aside->state = state;
    l->flags |= TG_LINE_FAR;
    return 0;
}

// A dial may ask for more while a frame of another line is handled. It at least doubles, and so
// all that stay for such frames are together no larger than the newest.
static int scratch_for(tg_local *here, const tg_framer *f)
{
    size_t need = f != NULL ? tg_framer_max(f) : 0, twice = 2 * here->scratch_size;
    if (f == NULL || (here->scratch != NULL && need <= here->scratch_size))
        return 0;
    size_t size = need > twice ? need : twice;
    tg_scratch *s = malloc(sizeof(*s) + size);
    if (s == NULL)
        return TG_E_NOMEM;
    s->older = here->scratch;
    here->scratch = s;
    here->scratch_size = size;
    return 0;
}

static void count(tg_local *here, tg_version *v, int by)
{
    tg_bump(&v->part[here->index].conns, by);
    int64_t before = atomic_fetch_add(&here->rt->lines, by);
    if (before + by > 0)
        return;
    pthread_mutex_lock(&here->rt->idle_lock);
    pthread_cond_signal(&here->rt->idle);
    pthread_mutex_unlock(&here->rt->idle_lock);
}

static int line_begin(tg_line *l, tg_local *here, tg_offer *o, uint16_t room)
{
    l->offer = o;
    int rc = state_make(l, room);
    if (rc == 0)
        rc = scratch_for(here, l->framer);
    l->handle = rc == 0 ? tg_slots_add(&here->lines, l) : 0;
    if (l->handle == 0) {
        aside_free(l);
        return TG_E_NOMEM;
    }
    l->magic = TG_LINE_MAGIC;
    count(here, o->self, 1);
    return 0;
}

static uint16_t room_for(uint32_t state_size)
{
    uint32_t room = (state_size + 7) / 8 * 8;
    return room <= UINT16_MAX ? (uint16_t)room : (uint16_t)(UINT16_MAX & ~7u);
}

int tg_line_accept(tg_net_conn *net, void *user, void *arg)
{
    (void)net;
    tg_listening *g = arg;
    tg_local *here = tg_here();
    assert(g->magic == TG_LISTENING_MAGIC);
    tg_offer *o = here->closing ? NULL : g->seat->at[here->index];
    if (o == NULL)
        return TG_E_NOTFOUND;
    tg_line *l = user;
    l->listening = g;
    l->framer = tg_offer_framer(o, g->frame_max);
    if (g->udp)
        l->flags |= TG_LINE_DATAGRAMS;
    return line_begin(l, here, o, g->room);
}

typedef struct dialing {
    tg_offer *offer;
    tg_value *options;
    int rc;
} dialing;

static void dial_begin(void *user, void *arg)
{
    tg_line *l = user;
    dialing *d = arg;
    l->framer = d->offer->framer;
    if (aside_make(l) == NULL) {
        d->rc = TG_E_NOMEM;
        return;
    }
    l->aside->options = d->options;
    d->options = NULL; // the line's
    d->rc = line_begin(l, tg_here(), d->offer, room_for(d->offer->adapter.state_size));
}

int tg_line_dial(tg_offer *o, const tg_dial *where, tg_conn *out)
{
    tg_local *here = tg_here();
    dialing d = {o, NULL, 0};
    tg_net_conn *net;
    if (here->closing)
        return TG_E_SHUTDOWN;
    if (where->options != NULL && (d.options = tg_value_copy(where->options)) == NULL)
        return TG_E_NOMEM;
    tg_net_limits limits = {0};
    if (o->framer != NULL)
        limits.unread_max = 2 * tg_framer_max(o->framer) + 65536;
    int rc = tg_net_dial(where, &o->dial, &limits, dial_begin, &d, &net);
    if (rc < 0) {
        tg_value_free(d.options);
        return rc;
    }
    if (d.rc < 0) { // half made: net closes it, and on_close finds no magic
        tg_value_free(d.options);
        tg_net_close(net, d.rc);
        return d.rc;
    }
    const tg_line *l = tg_net_user(net);
    out->id = l->handle;
    return 0;
}

// What people read of it.

static const char *peer_of(const tg_line *l, char text[96])
{
    tg_conn_info info;
    tg_net_info(tg_line_net(l), &info);
    snprintf(text, 96, "%.*s", (int)info.peer.len, info.peer.at);
    return text;
}

static void write_line(const tg_line *l, tg_level level, int reason, tg_slice what,
                       uint32_t held)
{
    char peer[96], text[256];
    snprintf(text, sizeof(text), "%.*s", (int)what.len, what.at != NULL ? what.at : "");
    tg_field fields[6] = {TG_F("peer", peer_of(l, peer)), TG_F("adapter", l->offer->id)};
    size_t n = 2;
    if (l->listening != NULL)
        fields[n++] = TG_F("listener", l->listening->name);
    if (reason != 0)
        fields[n++] = TG_F("reason", tg_error_text(reason));
    if (held > 0)
        fields[n++] = TG_FN("held_back", held);
    tg_log_write(TG_MOD_ADAPTER, level, fields, n, "%s", text);
}

#define LINES_A_MINUTE 20 // of one listener on one worker

void tg_line_complain(tg_line *l, int reason, const char *event, tg_slice what)
{
    tg_local *here = tg_here();
    uint32_t held = 0;
    if (l->listening != NULL)
        tg_listener_count(tg_net_listener(tg_line_net(l)), event);
    tg_log_gate *gate =
        l->listening != NULL ? &l->listening->at[here->index].gate : &here->dial_gate;
    if (tg_log_on(TG_MOD_ADAPTER, TG_LOG_WARN) &&
        tg_log_gate_pass(gate, tg_worker_now(here->worker), LINES_A_MINUTE, &held))
        write_line(l, TG_LOG_WARN, reason, what, held);
}

static bool is_fault(int reason)
{
    switch (reason) {
    case 0:
    case TG_E_CLOSED:
    case TG_E_SHUTDOWN:
    case TG_E_TAKENOVER:
    case TG_E_KICKED:
    case TG_E_RELOADED:
        return false;
    default:
        return true;
    }
}

void tg_line_close(tg_line *l, int reason, tg_slice text)
{
    if (l->flags & TG_LINE_CLOSING)
        return;
    l->flags |= TG_LINE_CLOSING;
    tg_line_watch_off(l);
    if (is_fault(reason)) {
        tg_line_complain(l, reason, "closed_for_fault",
                         text.len > 0 ? text : TG_LIT("closed"));
    } else if (tg_log_on(TG_MOD_ADAPTER, TG_LOG_DEBUG)) {
        write_line(l, TG_LOG_DEBUG, reason, text.len > 0 ? text : TG_LIT("closed"), 0);
    }
    tg_net_close(tg_line_net(l), reason);
}

// Reading.

void tg_line_stop(tg_line *l, uint16_t why)
{
    if ((l->flags & (TG_LINE_PAUSED | TG_LINE_HELD)) == 0)
        tg_net_pause(tg_line_net(l));
    l->flags |= why;
    tg_line_watch_off(l);
}

void tg_line_go(tg_line *l, uint16_t why)
{
    if ((l->flags & why) == 0)
        return;
    l->flags &= (uint16_t)~why;
    if ((l->flags & (TG_LINE_PAUSED | TG_LINE_HELD)) == 0)
        tg_net_resume(tg_line_net(l));
}

void tg_lines_go(tg_local *here)
{
    while (!tg_list_empty(&here->held)) {
        tg_aside *a = TG_OWNER(here->held.next, tg_aside, stall.node);
        tg_line *l = a->line;
        tg_list_del(&a->stall.node);
        tg_line_go(l, TG_LINE_HELD);
        tg_line_tidy(l);
    }
}

// A line that ends has nothing more to read: what its last calls publish holds nobody.
void tg_line_hold_if_congested(tg_line *l)
{
    tg_local *here = tg_here();
    if ((l->flags & (TG_LINE_HELD | TG_LINE_CLOSING)) || !tg_shard_congested(here->shard))
        return;
    tg_aside *a = tg_line_aside(l);
    if (a == NULL)
        return;
    tg_metric_add(here->rt->pauses, 1);
    tg_line_stop(l, TG_LINE_HELD);
    tg_list_add(&here->held, &a->stall.node); // stop() has ended the watch
}

// Events of the network.

static void fault(tg_line *l, int rc)
{
    tg_bump(&tg_part_here(l->offer->self)->errors, 1);
    tg_line_close(l, rc, TG_LIT("the adapter closed it"));
}

static void options_done(tg_line *l)
{
    if (l->aside == NULL)
        return;
    tg_value_free(l->aside->options);
    l->aside->options = NULL;
    tg_line_tidy(l);
}

// A dialed one may have been held and let go before it was open: then nothing is aside.
static const tg_value *options_of(const tg_line *l)
{
    if (l->listening != NULL)
        return l->listening->options;
    return l->aside != NULL ? l->aside->options : NULL;
}

static int on_open(tg_net_conn *net, void *user)
{
    (void)net;
    tg_line *l = check(user);
    tg_version *v = l->offer->self;
    if (l->flags & TG_LINE_GONE)
        return TG_E_SHUTDOWN;
    l->flags |= TG_LINE_OPENED;
    int rc = 0;
    if (l->offer->adapter.on_open != NULL) {
        tg_call_begin(v, "on_open");
        rc = l->offer->adapter.on_open(l->offer->given, tg_line_conn(l), tg_line_state(l),
                                       options_of(l));
        tg_call_end();
    }
    options_done(l);
    if (rc < 0)
        fault(l, rc);
    return 0;
}

static int64_t raw_data(tg_line *l, tg_slice data)
{
    tg_call_begin(l->offer->self, "on_data");
    int64_t used = l->offer->adapter.on_data(tg_line_conn(l), tg_line_state(l), data);
    tg_call_end();
    return used;
}

static int64_t on_data(tg_net_conn *net, void *user, tg_slice data)
{
    (void)net;
    tg_line *l = check(user);
    tg_local *here = tg_here();
    if (l->flags & (TG_LINE_GONE | TG_LINE_CLOSING))
        return (int64_t)data.len;
    tg_line *outer = here->line;
    here->line = l;
    int64_t used = l->framer != NULL ? tg_line_frames(l, data) : raw_data(l, data);
    here->line = outer;
    if (used < 0 || used > (int64_t)data.len)
        fault(l, used < 0 ? (int)used : TG_E_PROTOCOL);
    return l->flags & TG_LINE_CLOSING ? (int64_t)data.len : used;
}

static void on_idle(tg_net_conn *net, void *user)
{
    (void)net;
    tg_line *l = check(user);
    if (l->flags & (TG_LINE_GONE | TG_LINE_CLOSING))
        return;
    if (l->offer->adapter.on_idle == NULL) {
        tg_line_close(l, TG_E_IDLE, TG_LIT("idle"));
        return;
    }
    tg_call_begin(l->offer->self, "on_idle");
    l->offer->adapter.on_idle(tg_line_conn(l), tg_line_state(l));
    tg_call_end();
}

static void on_writable(tg_net_conn *net, void *user)
{
    (void)net;
    tg_line *l = check(user);
    if (l->flags & (TG_LINE_GONE | TG_LINE_CLOSING))
        return;
    if (l->offer->adapter.on_writable != NULL) {
        tg_call_begin(l->offer->self, "on_writable");
        l->offer->adapter.on_writable(tg_line_conn(l), tg_line_state(l));
        tg_call_end();
    }
    tg_line_sessions_resume(l);
}

static void tell_closed(tg_line *l, int reason)
{
    bool told_of_failure = l->listening == NULL; // a dial that came to nothing
    if ((l->flags & TG_LINE_OPENED) == 0 && !told_of_failure)
        return;
    if (l->offer->adapter.on_close == NULL)
        return;
    tg_call_begin(l->offer->self, "on_close");
    l->offer->adapter.on_close(tg_line_conn(l), tg_line_state(l), reason);
    tg_call_end();
}

void tg_line_end(tg_line *l, int reason)
{
    if (l->flags & TG_LINE_GONE)
        return;
    tg_local *here = tg_here();
    tg_version *v = l->offer->self;
    l->flags |= TG_LINE_CLOSING;
    tg_line_watch_off(l);
    if (l->flags & TG_LINE_HELD)
        tg_list_del(&l->aside->stall.node);
    tg_line_opens_fail(l);
    tell_closed(l, reason);
    tg_line_sessions_close(l);
    l->flags |= TG_LINE_GONE;
    tg_slots_del(&here->lines, l->handle);
    aside_free(l);
    count(here, v, -1);
    tg_version_touch(v);
}

static void on_close(tg_net_conn *net, void *user, int reason)
{
    (void)net;
    tg_line *l = user;
    if (l->magic != TG_LINE_MAGIC) // its memory was short when it was dialed
        return;
    if (reason != 0 && (l->flags & (TG_LINE_CLOSING | TG_LINE_GONE)) == 0 &&
        tg_log_on(TG_MOD_ADAPTER, TG_LOG_DEBUG))
        write_line(l, TG_LOG_DEBUG, reason, TG_LIT("closed"), 0);
    tg_line_end(l, reason);
    l->magic = 0;
}

void tg_line_shutdown(tg_line *l)
{
    if (l->flags & (TG_LINE_GONE | TG_LINE_CLOSING))
        return;
    if (l->offer->adapter.on_shutdown != NULL) {
        tg_call_begin(l->offer->self, "on_shutdown");
        l->offer->adapter.on_shutdown(tg_line_conn(l), tg_line_state(l));
        tg_call_end();
    }
    tg_line_sessions_shutdown(l);
    if ((l->flags & TG_LINE_CLOSING) == 0)
        tg_line_close(l, TG_E_SHUTDOWN, TG_LIT("the host stops"));
}

uint16_t tg_line_events(tg_net_events *out, uint32_t state_size)
{
    *out = (tg_net_events){
        .user_size = (uint32_t)sizeof(tg_line) + room_for(state_size),
        .on_open = on_open,
        .on_data = on_data,
        .on_idle = on_idle,
        .on_writable = on_writable,
        .on_close = on_close,
    };
    return room_for(state_size);
}
