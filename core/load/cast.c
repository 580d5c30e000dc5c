// SPDX-License-Identifier: Apache-2.0
// The scenarios: how many publishers and subscribers each has, who subscribes to what, and who
// may expect what. All else is the same for all of them.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/map.h"
#include "load/engine.h"

enum { WINDOW_MAX_CHURN = 1000, GROUPS_MAX = 1000, TRACKS_MAX = 1 << 26, KEPT_BACK = 64 };

const char *const tg_load_names[TG_LOAD_SCENARIOS + 1] = {
    "pairs",    "fanin",   "fanout", "shared", "filters",
    "retained", "connect", "idle",   "churn",  NULL};

const char *const tg_load_helps[TG_LOAD_SCENARIOS] = {
    "N publishers, each to a subscriber of its own",
    "N publishers to one subscriber with a wildcard",
    "one publisher to N subscribers",
    "N publishers to G shared groups ($share) of S subscribers each",
    "N publishers to S subscribers with F wildcard filters in all",
    "M retained messages to N new subscribers",
    "N connections as fast as they are let in",
    "N connections that are held, with F filters in all",
    "as pairs; each client stays a random time, leaves, and resumes its session",
};

static void count_cast(tg_run *r)
{
    const tg_load_options *o = &r->o;
    uint32_t n = o->clients;
    r->copies = 1;
    switch (o->scenario) {
    case TG_LOAD_PAIRS:
    case TG_LOAD_CHURN:
        r->npubs = r->nsubs = n;
        break;
    case TG_LOAD_FANIN:
        r->npubs = n;
        r->nsubs = 1;
        break;
    case TG_LOAD_FANOUT:
    case TG_LOAD_RETAINED:
        r->npubs = 1;
        r->nsubs = r->copies = n;
        break;
    case TG_LOAD_SHARED:
        r->npubs = n;
        r->nsubs = o->subs * o->groups;
        r->copies = o->groups;
        break;
    case TG_LOAD_FILTERS:
        r->npubs = n;
        r->nsubs = o->subs;
        break;
    case TG_LOAD_CONNECT:
    case TG_LOAD_IDLE:
    case TG_LOAD_SCENARIOS:
        r->nsubs = n;
        break;
    }
    r->npeers = r->npubs + r->nsubs;
}

static int check_topic(const char *topic, tg_error *e)
{
    const char *at = topic != NULL ? strstr(topic, "%i") : NULL;
    bool level = at != NULL && (at == topic || at[-1] == '/') &&
                 (at[2] == '\0' || at[2] == '/') && strstr(at + 2, "%i") == NULL;
    if (topic == NULL || (level && strpbrk(topic, "+#") == NULL && strlen(topic) <= 200))
        return 0;
    return tg_error_set(e, TG_E_INVAL,
                        "--topic: '%s': expected a topic of at most 200 bytes in which one "
                        "level is %%i",
                        topic);
}

static int check_descriptors(const tg_run *r, tg_error *e)
{
    struct rlimit limit;
    uint64_t need = (uint64_t)r->npeers + KEPT_BACK;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
        return 0;
    return tg_error_set(e, TG_E_LIMIT,
                        "--clients: %u connections take more descriptors than the system "
                        "gives (%llu, see `ulimit -n`)",
                        r->npeers, (unsigned long long)limit.rlim_cur);
}

static int check_sizes(const tg_run *r, tg_error *e)
{
    const tg_load_options *o = &r->o;
    uint64_t each =
        o->scenario == TG_LOAD_PAIRS || o->scenario == TG_LOAD_CHURN ? 1 : r->npubs;
    if (o->scenario == TG_LOAD_FILTERS && o->filters < o->subs)
        return tg_error_set(e, TG_E_INVAL, "--filters: expected as many as --subs or more");
    if (o->scenario == TG_LOAD_CHURN && o->qos[1] + o->qos[2] == 0)
        return tg_error_set(
            e, TG_E_INVAL,
            "--qos: churn follows messages of QoS 1 and 2: give them a share");
    if (o->scenario == TG_LOAD_CHURN && o->window > WINDOW_MAX_CHURN)
        return tg_error_set(e, TG_E_INVAL, "--window: expected at most %d for churn",
                            WINDOW_MAX_CHURN);
    if (o->scenario == TG_LOAD_RETAINED && (o->count == 0 || o->count > TRACKS_MAX))
        return tg_error_set(e, TG_E_INVAL, "--count: retained needs one, up to %d",
                            TRACKS_MAX);
    if (each * r->nsubs * 3 > TRACKS_MAX)
        return tg_error_set(
            e, TG_E_INVAL,
            "--clients: so many publishers to so many subscribers cannot be "
            "followed");
    return check_topic(o->topic, e);
}

static void choose_names(tg_run *r)
{
    const char *topic = r->o.topic, *at;
    char drawn[32];
    unsigned word = (unsigned)tg_random() & 0xffff;
    snprintf(drawn, sizeof(drawn), "bench/%04x/%%i", word);
    topic = topic != NULL ? topic : drawn;
    at = strstr(topic, "%i");
    snprintf(r->head, sizeof(r->head), "%.*s", (int)(at - topic), topic);
    snprintf(r->tail, sizeof(r->tail), "%s", at + 2);
    if (r->o.client_id != NULL)
        snprintf(r->id, sizeof(r->id), "%s", r->o.client_id);
    else
        snprintf(r->id, sizeof(r->id), "bench-%04x", word);
    r->tag = (uint32_t)tg_random() & 0xff000000; // streams are numbered below it
}

static void choose_levels(tg_run *r)
{
    bool churn = r->o.scenario == TG_LOAD_CHURN;
    for (unsigned qos = 0; qos < 3; qos++) {
        if (r->o.qos[qos] == 0)
            continue;
        r->sub_qos = qos;
        r->levels[r->nlevels++] =
            (tg_level){.qos = qos, .share = r->o.qos[qos], .counted = qos > 0 || !churn};
    }
    if (r->o.scenario ==
        TG_LOAD_RETAINED) { // acknowledged, so that it is known when all are kept
        r->levels[0] = (tg_level){.qos = 1, .share = 1, .counted = true};
        r->nlevels = 1;
    }
}

static void number_streams(const tg_run *r, tg_inbox *in, uint32_t sub)
{
    uint32_t n = r->nlevels;
    bool own = r->o.scenario == TG_LOAD_PAIRS || r->o.scenario == TG_LOAD_CHURN;
    in->first = own ? sub * n : 0;
    in->count = own ? n : r->npubs * n;
    in->start = r->o.scenario == TG_LOAD_FILTERS ? sub : 0;
    in->stride = r->o.scenario == TG_LOAD_FILTERS ? r->nsubs : 1;
}

static void open_inbox(tg_run *r, tg_inbox *in, uint32_t sub)
{
    number_streams(r, in, sub);
    uint32_t n = in->count;
    if (r->o.scenario == TG_LOAD_RETAINED) {
        in->seen = tg_arena_alloc(&r->arena, r->o.count);
        return;
    }
    in->tracks = tg_arena_alloc(&r->arena, n * sizeof(*in->tracks));
    for (uint32_t i = 0; i < n && in->tracks != NULL; i++)
        in->tracks[i] = (tg_track){in->start, UINT64_MAX};
    if (r->rings != NULL)
        in->ring = r->rings[sub / r->o.subs];
    if (r->o.scenario == TG_LOAD_CHURN)
        in->held = tg_arena_alloc(&r->arena, TG_HELD_WORDS * sizeof(*in->held));
}

static void open_rings(tg_run *r)
{
    uint32_t size = 256, groups = r->o.groups;
    while (size < 2 * (uint64_t)r->o.window * groups)
        size *= 2;
    size_t bytes = sizeof(tg_ring) + (size_t)size * r->npubs * r->nlevels * 4;
    r->rings = tg_arena_alloc(&r->arena, groups * sizeof(tg_ring *));
    for (uint32_t i = 0; i < groups && r->rings != NULL; i++) {
        r->rings[i] = tg_arena_alloc(&r->arena, bytes);
        if (r->rings[i] != NULL)
            r->rings[i]->size = size;
    }
}

static void open_peer(tg_run *r, uint32_t i)
{
    tg_peer *p = &r->peers[i];
    *p = (tg_peer){.fd = -1, .index = i, .receive_max = UINT16_MAX};
    if (i >= r->npubs) {
        p->inbox = &r->inboxes[i - r->npubs];
        open_inbox(r, p->inbox, i - r->npubs);
        return;
    }
    p->flow = &r->flows[i];
    uint64_t n = r->o.count;
    uint64_t quota = n == 0 ? UINT64_MAX : n / r->npubs + (i < n % r->npubs);
    *p->flow = (tg_flow){.pub = p, .index = i, .quota = quota};
    if (r->o.scenario == TG_LOAD_CHURN)
        p->pending = tg_arena_alloc(&r->arena, r->o.window * sizeof(*p->pending));
}

int tg_cast_open(tg_run *r, tg_error *e)
{
    count_cast(r);
    tg_raise_descriptors();
    int rc = check_sizes(r, e);
    if (rc == 0)
        rc = check_descriptors(r, e);
    if (rc != 0)
        return rc;
    choose_names(r);
    choose_levels(r);
    if (r->o.scenario == TG_LOAD_FILTERS) // the same number for each
        r->o.filters -= r->o.filters % r->o.subs;
    r->peers = tg_arena_alloc(&r->arena, r->npeers * sizeof(*r->peers));
    r->inboxes = tg_arena_alloc(&r->arena, r->nsubs * sizeof(*r->inboxes));
    r->flows = tg_arena_alloc(&r->arena, (r->npubs + 1) * sizeof(*r->flows));
    if (r->o.scenario == TG_LOAD_SHARED && !r->arena.failed)
        open_rings(r);
    for (uint32_t i = 0; i < r->npeers && !r->arena.failed; i++)
        open_peer(r, i);
    return r->arena.failed ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
}

// Topics that differ from message to message are put together by hand: printf would cost as
// much as all the rest.
static tg_slice put_topic(const tg_run *r, char *text, uint64_t n, const char *end)
{
    char digits[24], *from = digits + sizeof(digits);
    do
        *--from = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    size_t len = (size_t)(digits + sizeof(digits) - from);
    char *to = stpcpy(text, r->head);
    memcpy(to, from, len);
    to = stpcpy(stpcpy(to + len, r->tail), end);
    return (tg_slice){text, (size_t)(to - text)};
}

tg_slice tg_cast_topic(const tg_run *r, const tg_flow *f, uint32_t number, char *text)
{
    if (r->o.scenario == TG_LOAD_FILTERS)
        return put_topic(r, text, number % r->o.filters, "/t");
    if (r->o.scenario == TG_LOAD_RETAINED)
        return put_topic(r, text, number, "");
    return put_topic(r, text, f->index, "");
}

// Half of them end with each wildcard; every subscriber has the same number of them.
static void subscribe_filters(tg_crew *c, tg_peer *p, uint32_t sub)
{
    char text[TG_TOPIC_MAX];
    const tg_run *r = c->run;
    for (uint32_t f = sub; f < r->o.filters; f += r->nsubs)
        tg_peer_subscribe(c, p, put_topic(r, text, f, f / r->nsubs % 2 ? "/+" : "/#"));
}

void tg_cast_subscribe(tg_crew *c, tg_peer *p)
{
    char text[TG_TOPIC_MAX];
    const tg_run *r = c->run;
    uint32_t sub = p->index - r->npubs;
    switch (r->o.scenario) {
    case TG_LOAD_IDLE:
    case TG_LOAD_FILTERS:
        subscribe_filters(c, p, sub);
        break;
    case TG_LOAD_FANIN:
    case TG_LOAD_RETAINED:
        snprintf(text, sizeof(text), "%s+%s", r->head, r->tail);
        tg_peer_subscribe(c, p, tg_str(text));
        break;
    case TG_LOAD_SHARED:
        snprintf(text, sizeof(text), "$share/bench-%u/%s+%s", sub / r->o.subs, r->head,
                 r->tail);
        tg_peer_subscribe(c, p, tg_str(text));
        break;
    case TG_LOAD_PAIRS:
    case TG_LOAD_CHURN:
        tg_peer_subscribe(c, p, put_topic(r, text, sub, ""));
        break;
    case TG_LOAD_FANOUT:
        tg_peer_subscribe(c, p, put_topic(r, text, 0, ""));
        break;
    case TG_LOAD_CONNECT:
    case TG_LOAD_SCENARIOS:
        break;
    }
    tg_peer_flush(c, p);
}
