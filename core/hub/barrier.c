// SPDX-License-Identifier: Apache-2.0
// A barrier answers the question "has everything arrived that was routed to me before now?".
// Each worker is asked in the control lane, between two of its publishes; it sends what it has
// routed so far and then the mail itself in the data lane. Data keeps its order there, so when
// the mail is back, so is all that was before it.
#include <stdlib.h>

#include "hub/internal.h"

struct tg_barrier {
    tg_hub *hub;
    uint32_t asker;
    void (*fn)(tg_shard *sh, void *ctx);
    void *ctx;
    uint32_t left;
    tg_hub_mail mails[]; // by worker
};

tg_barrier *tg_barrier_new(const tg_hub *h)
{
    return calloc(1, sizeof(tg_barrier) + h->config.workers * sizeof(tg_hub_mail));
}

void tg_barrier_free(tg_barrier *b)
{
    free(b);
}

static void reached(tg_barrier *b)
{
    if (--b->left > 0)
        return;
    b->fn(b->hub->shards[b->asker], b->ctx);
    free(b);
}

// Back on the asking worker; `from` is who was asked, and the mail's place in the barrier.
static void back(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    reached(TG_OWNER(m - m->from, tg_barrier, mails));
}

static void asked(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_hub_mail *m = (tg_hub_mail *)(void *)mail;
    tg_shard *sh = tg_mail_shard(m);
    uint32_t asker = m->from;
    m->mail.run = back;
    if (sh == NULL) { // closed: it routes nothing any more
        tg_mail_send(m->hub, m->to, asker, m, false);
        return;
    }
    tg_outbox_flush(sh, asker);
    tg_shard_data(sh, asker, m);
}

void tg_barrier_run(tg_barrier *b, tg_shard *sh, void (*fn)(tg_shard *sh, void *ctx),
                    void *ctx)
{
    uint32_t n = sh->hub->config.workers, me = sh->index;
    b->hub = sh->hub;
    b->asker = me;
    b->fn = fn;
    b->ctx = ctx;
    b->left = n;
    for (uint32_t i = 0; i < n; i++) {
        b->mails[i].mail.run = asked;
        if (i != me)
            tg_shard_control(sh, i, &b->mails[i]);
    }
    // What this worker routes to itself is there already, unless some of it goes by mail.
    if (sh->self_mails == 0) {
        reached(b);
        return;
    }
    tg_outbox_flush(sh, me);
    b->mails[me].mail.run = back;
    tg_shard_data(sh, me, &b->mails[me]);
}
