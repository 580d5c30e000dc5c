// SPDX-License-Identifier: Apache-2.0
// What operators see and do: lists, and showing a client the door.
#include <stdlib.h>

#include "base/map.h"
#include "hub/internal.h"
#include "hub/share.h"

struct kick {
    tg_hub_mail head;
    bool forget;
    size_t len;
    char id[];
};

// One that was restored has no seat until its shard adopts it.
static uint32_t worker_of(const tg_hub *h, const tg_sess *s)
{
    uint64_t where = atomic_load(&s->where);
    return where != 0 ? tg_handle_worker(where) : tg_restore_worker(h, s->hash);
}

// Who is just being taken over has lost that connection anyway: the kick waits with the latest
// claim for the session to arrive, and ends what was to be opened there.
// @return the worker that has the session; -1: there is none, or its claim knows now.
static int find_worker(tg_hub *h, tg_slice id, bool forget, bool *found)
{
    uint32_t hash = (uint32_t)tg_hash(id);
    pthread_mutex_t *lock = tg_clients_lock(h->clients, hash);
    const tg_sess *s = tg_clients_find(h->clients, id, hash);
    bool claimed = s != NULL && s->claim != NULL;
    int worker = s != NULL && !claimed ? (int)worker_of(h, s) : -1;
    if (claimed) {
        s->claim->kicked = true;
        s->claim->forget |= forget;
    }
    pthread_mutex_unlock(lock);
    *found = s != NULL;
    return worker;
}

int tg_hub_where(tg_hub *h, tg_slice client_id)
{
    uint32_t hash = (uint32_t)tg_hash(client_id);
    pthread_mutex_t *lock = tg_clients_lock(h->clients, hash);
    const tg_sess *s = tg_clients_find(h->clients, client_id, hash);
    int worker = TG_E_NOTFOUND;
    if (s != NULL)
        worker = (int)worker_of(h, s);
    pthread_mutex_unlock(lock);
    return worker;
}

// @return the session when it is settled here.
static tg_sess *find_here(tg_shard *sh, tg_slice id)
{
    uint32_t hash = (uint32_t)tg_hash(id);
    pthread_mutex_t *lock = tg_clients_lock(sh->hub->clients, hash);
    tg_sess *s = tg_clients_find(sh->hub->clients, id, hash);
    uint64_t where = s != NULL ? atomic_load(&s->where) : 0;
    bool here = where != 0 && s->claim == NULL && tg_handle_worker(where) == sh->index;
    pthread_mutex_unlock(lock);
    return here ? s : NULL;
}

static void kick_here(tg_shard *sh, tg_sess *s, bool forget)
{
    if (s->link != NULL) {
        tg_sess_end_link(sh, s, TG_E_KICKED, forget);
    } else if (forget) {
        tg_will_publish(sh, s);
        tg_sess_end(sh, s);
    }
}

// It follows a session that has moved meanwhile.
static void kick_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    struct kick *k = (struct kick *)(void *)mail;
    tg_shard *sh = tg_mail_shard(&k->head);
    tg_slice id = {k->id, k->len};
    tg_sess *s = sh != NULL ? find_here(sh, id) : NULL;
    bool found;
    int worker = sh != NULL && s == NULL ? find_worker(sh->hub, id, k->forget, &found) : -1;
    if (s != NULL)
        kick_here(sh, s, k->forget);
    if (worker < 0 || (uint32_t)worker == sh->index) // or could not be adopted
        free(k);
    else
        tg_shard_control(sh, (uint32_t)worker, &k->head);
}

int tg_hub_kick(tg_hub *h, tg_slice client_id, bool forget)
{
    bool found;
    int worker = find_worker(h, client_id, forget, &found);
    if (worker < 0)
        return found ? 0 : TG_E_NOTFOUND;
    struct kick *k = malloc(sizeof(*k) + client_id.len);
    if (k == NULL)
        return TG_E_NOMEM;
    uint32_t to = (uint32_t)worker;
    k->head = (tg_hub_mail){.mail.run = kick_run, .hub = h, .to = to, .from = to};
    k->forget = forget;
    k->len = client_id.len;
    memcpy(k->id, client_id.at, client_id.len);
    h->config.send(h->config.net, to, &k->head.mail, true);
    return 0;
}

static void show(const tg_shard *sh, const tg_sess *s,
                 void (*each)(void *ctx, const tg_session_info *i), void *ctx)
{
    const tg_queue *q = s->queue;
    tg_session_info info = {
        .client_id = tg_sess_id(s),
        .user = tg_who_user(s->who),
        .worker = sh->index,
        .connected = s->link != NULL,
        .subscriptions = s->nsubs,
        .inflight = q != NULL ? q->inflight : 0,
        .queued = q != NULL ? q->waiting : 0,
        .queued_bytes = q != NULL ? q->bytes : 0,
        .dropped = s->dropped,
        .since = s->since,
        .expiry_s = s->expiry_s,
        .session = {s->handle},
        .attributes = tg_who_attributes(s->who),
    };
    each(ctx, &info);
}

void tg_shard_each_session(tg_shard *sh, void (*each)(void *ctx, const tg_session_info *i),
                           void *ctx)
{
    for (uint32_t i = 0; i < sh->seats.count; i++) {
        const tg_sess *s = (sh->seats.gen[i] & 1) != 0 ? sh->seats.at[i] : NULL;
        if (s != NULL && s->magic == TG_SESS_MAGIC && (s->flags & TG_SESS_MOVING) == 0)
            show(sh, s, each, ctx);
    }
}

void tg_shard_find_session(tg_shard *sh, tg_slice client_id,
                           void (*each)(void *ctx, const tg_session_info *i), void *ctx)
{
    const tg_sess *s = find_here(sh, client_id);
    if (s != NULL && (s->flags & TG_SESS_MOVING) == 0)
        show(sh, s, each, ctx);
}

static void count_route(void *ctx, const tg_route *r)
{
    (void)r;
    ++*(uint32_t *)ctx;
}

// `leaf.user` belongs to the router's lock; readers count.
static uint32_t subscribers(const tg_filter *f)
{
    uint32_t n = 0;
    tg_filter_plain(f, count_route, &n);
    const tg_group *g = atomic_load_explicit(&f->groups, memory_order_acquire);
    for (; g != NULL; g = atomic_load_explicit(&g->next, memory_order_acquire)) {
        const tg_set *s = atomic_load_explicit(&g->members, memory_order_acquire);
        if (s != NULL)
            tg_set_each(s, count_route, &n);
    }
    return n;
}

// The text is copied: `each` runs outside the epoch, and may take its time.
void tg_shard_each_filter(tg_shard *sh, tg_slice cursor,
                          bool (*each)(void *ctx, tg_slice filter, uint32_t subscribers),
                          void *ctx)
{
    tg_buf at = {0};
    tg_buf_put(&at, cursor.at, cursor.len);
    for (bool go = true; go && !at.failed;) {
        tg_epoch_enter(sh->hub->epoch, sh->index);
        tg_leaf *l = tg_trie_next(&sh->hub->router.trie, tg_buf_slice(&at), false);
        uint32_t n = 0;
        if (l != NULL) {
            n = subscribers((const tg_filter *)(const void *)l);
            tg_buf_clear(&at);
            tg_buf_put(&at, tg_leaf_text(l).at, tg_leaf_text(l).len);
        }
        tg_epoch_leave(sh->hub->epoch, sh->index);
        go = l != NULL && each(ctx, tg_buf_slice(&at), n);
    }
    tg_buf_free(&at);
}
