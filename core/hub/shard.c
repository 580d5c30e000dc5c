// SPDX-License-Identifier: Apache-2.0
// A shard is the hub on one worker. What it decides in a loop turn leaves at the turn's end:
// completions first, since they may publish; then one commit; then one mail per worker.
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "hub/internal.h"
#include "hub/recent.h"

#define SHARD_MAGIC 0x5a4dc0deu
#define ROUNDS 4 // of completions in one turn; more wait for the next

bool tg_mail_send(tg_hub *h, uint32_t from, uint32_t to, tg_hub_mail *m, bool control)
{
    m->hub = h;
    m->from = from;
    m->to = to;
    return h->config.send(h->config.net, to, &m->mail, control);
}

void tg_shard_control(tg_shard *sh, uint32_t to, tg_hub_mail *m)
{
    tg_mail_send(sh->hub, sh->index, to, m, true);
}

static tg_hub_mail *mail_new(void (*run)(tg_mail *m, void *receiver))
{
    tg_hub_mail *m = calloc(1, sizeof(*m));
    if (m != NULL)
        m->mail.run = run;
    return m;
}

static void nudge_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    tg_shard *sh = tg_mail_shard(m);
    if (sh != NULL)
        sh->nudged = false;
    free(m);
}

// Not a part of the shard: it may still be on its way when that is closed.
void tg_shard_nudge(tg_shard *sh)
{
    tg_hub_mail *m = sh->nudged ? NULL : mail_new(nudge_run);
    if (m == NULL)
        return;
    sh->nudged = true;
    tg_shard_control(sh, sh->index, m);
}

// Back at the shard that was told to hold: all it had sent has been worked off.
static void probe_back(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    tg_shard *sh = tg_mail_shard(m);
    uint32_t from = m->from;
    free(m);
    if (sh == NULL)
        return;
    sh->box[from].full = false;
    if (--sh->nfull == 0 && sh->on_clear != NULL)
        sh->on_clear(sh->clear_ctx);
}

static void probe_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    m->mail.run = probe_back;
    tg_mail_send(m->hub, m->to, m->from, m, true);
}

// The lane took the mail but is past its limit: a probe behind it tells when to go on.
static void hold(tg_shard *sh, uint32_t to)
{
    tg_hub_mail *m = sh->box[to].full ? NULL : mail_new(probe_run);
    if (m == NULL)
        return;
    sh->box[to].full = true;
    sh->nfull++;
    tg_mail_send(sh->hub, sh->index, to, m, false);
}

void tg_shard_data(tg_shard *sh, uint32_t to, tg_hub_mail *m)
{
    if (!tg_mail_send(sh->hub, sh->index, to, m, false))
        hold(sh, to);
}

bool tg_shard_congested(const tg_shard *sh)
{
    return sh->nfull > 0;
}

void tg_shard_on_clear(tg_shard *sh, void (*fn)(void *ctx), void *ctx)
{
    sh->on_clear = fn;
    sh->clear_ctx = ctx;
}

void tg_shard_drop(tg_shard *sh, tg_sess *s, tg_msg m, uint8_t qos, tg_drop why)
{
    if (s != NULL)
        s->dropped++;
    tg_metric_add(sh->hub->metrics.dropped[why][qos], 1);
    tg_event_dropped(sh, s, m, qos, why);
}

tg_sess *tg_shard_attached(tg_shard *sh, tg_session h)
{
    tg_sess *s = tg_slots_find(&sh->attached, h.id);
    assert(s == NULL || (s->magic == TG_SESS_MAGIC && s->link != NULL));
    return s;
}

int tg_shard_open(tg_hub *h, uint32_t worker, tg_wheel *wheel, tg_shard **out)
{
    assert(worker < h->config.workers && h->shards[worker] == NULL);
    uint32_t n = h->config.workers;
    tg_shard *sh = calloc(1, sizeof(*sh) + n * sizeof(sh->box[0]));
    if (sh == NULL)
        return TG_E_NOMEM;
    sh->magic = SHARD_MAGIC;
    sh->index = worker;
    sh->hub = h;
    sh->wheel = wheel;
    sh->tally = &h->tallies[worker];
    sh->recent = tg_recent_new(); // without it each topic is looked for
    tg_slots_init(&sh->seats, worker);
    tg_slots_init(&sh->attached, worker);
    tg_list_init(&sh->claims);
    tg_list_init(&sh->opening);
    tg_list_init(&sh->hosted);
    tg_list_init(&sh->asking);
    sh->had_end = &sh->had;
    tg_list_init(&sh->commits);
    sh->ready_end = &sh->ready;
    h->shards[worker] = sh;
    tg_restore_adopt(sh);
    tg_retained_sweep_start(sh);
    *out = sh;
    return 0;
}

tg_shard *tg_hub_shard(tg_hub *h, uint32_t worker)
{
    return worker < h->config.workers ? h->shards[worker] : NULL;
}

static void free_dead(void *owner, void *s)
{
    (void)owner;
    tg_sess_free(s);
}

// Others may have read a dead session's address from a route a moment ago.
static void bury(tg_shard *sh)
{
    if (sh->dead.len == 0)
        return;
    tg_router *r = &sh->hub->router;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < tg_sess_count(&sh->dead); i++)
        tg_limbo_add(&r->limbo, r->epoch, tg_sess_item(&sh->dead, i), free_dead);
    pthread_mutex_unlock(&r->lock);
    tg_buf_free(&sh->dead);
}

void tg_shard_turn(tg_shard *sh)
{
    assert(sh->magic == SHARD_MAGIC && sh->depth == 0);
    tg_scan_turn(sh);
    tg_wait_look(sh);
    tg_had_turn(sh);
    for (int i = 0; i < ROUNDS && sh->ready != NULL; i++)
        tg_wait_run(sh);
    tg_persist_commit(sh);
    for (uint32_t i = 0; i < sh->hub->config.workers; i++)
        tg_outbox_flush(sh, i);
    bury(sh);
    tg_tally_flush(sh);
    if (sh->ready != NULL || sh->scanning.len > 0)
        tg_shard_nudge(sh);
}

static void close_seat(tg_shard *sh, void *p)
{
    if (*(uint32_t *)p == TG_CLAIM_MAGIC) {
        tg_claim_abandon(sh, p);
        return;
    }
    tg_sess *s = p;
    if (s->link != NULL)
        tg_sess_shutdown(sh, s);
    if (s->extra != NULL) {
        tg_wheel_del(sh->wheel, &s->extra->alarm);
        tg_wheel_del(sh->wheel, &s->extra->queue_due);
        tg_wheel_del(sh->wheel, &s->extra->will_due);
    }
}

static void hosted_free(tg_shard *sh)
{
    while (!tg_list_empty(&sh->hosted))
        tg_wait_free(TG_OWNER(sh->hosted.next, tg_wait, node));
}

// Sessions stay in the client table until the hub is freed; only their places go.
void tg_shard_close(tg_shard *sh)
{
    if (sh == NULL)
        return;
    assert(sh->magic == SHARD_MAGIC);
    for (uint32_t i = 0; i < sh->seats.count; i++)
        if ((sh->seats.gen[i] & 1) != 0)
            close_seat(sh, sh->seats.at[i]);
    tg_persist_close(sh);
    tg_wait_run(sh);
    bury(sh);
    tg_wheel_del(sh->wheel, &sh->sweep);
    tg_wheel_del(sh->wheel, &sh->look);
    tg_had_free(sh->had);
    hosted_free(sh);
    for (uint32_t i = 0; i < sh->hub->config.workers; i++)
        tg_outbox_free(&sh->box[i]);
    tg_gather_free(sh->gather);
    tg_recent_free(sh->recent);
    tg_tally_flush(sh);
    tg_buf_free(&sh->scanning);
    tg_slots_free(&sh->seats);
    tg_slots_free(&sh->attached);
    sh->hub->shards[sh->index] = NULL;
    sh->magic = 0;
    free(sh);
}
