// SPDX-License-Identifier: Apache-2.0
// Clients, topics and retained messages: what lies in the hub's shards. Each worker makes its
// part of the page; the last one merges and answers.
#include "admin/handlers.h"
#include "admin/page.h"
#include "admin/props.h"
#include "admin/write.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
#define PAYLOAD_MAX 65536 ///< a larger one is left out of a list, its size is not

typedef struct list {
    tg_slice cursor, filter;
    size_t limit;
    tg_page pages[TG_WORKERS_MAX];
    void (*put_row)(tg_buf *b, const tg_row *row);
} list;

static tg_shard *shard_here(tg_request *r, uint32_t worker)
{
    return tg_hub_shard(tg_runtime_hub(r->admin->rt), worker);
}

static void put_rows(tg_buf *b, const list *l, tg_page *all)
{
    bool more = tg_page_finish(all);
    tg_put_open(b, NULL, '{');
    tg_put_open(b, "items", '[');
    for (size_t i = 0; i < all->count; i++) {
        tg_put_open(b, NULL, '{');
        l->put_row(b, &all->rows[i]);
        tg_put_close(b, '}');
    }
    tg_put_close(b, ']');
    if (more && all->count > 0) {
        const tg_row *last = &all->rows[all->count - 1];
        tg_put_slice(b, "next", (tg_slice){last->key, last->len});
    }
    tg_put_close(b, '}');
}

/// On the worker that came last.
static void answer_list(tg_request *r)
{
    list *l = r->work;
    tg_page all;
    tg_page_init(&all, l->cursor, l->limit);
    for (size_t i = 0; i < TG_WORKERS_MAX; i++) {
        tg_page_merge(&all, &l->pages[i]);
        tg_page_free(&l->pages[i]);
    }
    tg_buf b = {0};
    put_rows(&b, l, &all);
    b.failed |= all.failed;
    tg_page_free(&all);
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

static void start(tg_request *r, void (*part)(tg_request *r, uint32_t worker),
                  void (*put_row)(tg_buf *b, const tg_row *row))
{
    int64_t limit;
    if (!tg_request_number(r, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit))
        return;
    list *l = tg_arena_alloc(&r->arena, sizeof(*l));
    if (l == NULL) {
        tg_reply_error(r, &(tg_error){.code = TG_E_NOMEM});
        return;
    }
    l->cursor = tg_request_query(r, "cursor");
    l->filter = tg_request_query(r, "filter");
    l->limit = (size_t)limit;
    l->put_row = put_row;
    r->work = l;
    tg_request_on_all(r, part, answer_list);
}

static tg_page *page_of(tg_request *r, uint32_t worker)
{
    list *l = r->work;
    tg_page_init(&l->pages[worker], l->cursor, l->limit);
    return &l->pages[worker];
}

static void put_json(tg_buf *b, const tg_row *row)
{
    tg_buf_put(b, row->json.at, row->json.len);
}

// Clients.

static void put_session(tg_buf *b, const tg_session_info *i)
{
    tg_put_slice(b, "id", i->client_id);
    tg_put_slice(b, "user", i->user);
    tg_put_bool(b, "connected", i->connected);
    tg_put_int(b, "worker", i->worker);
    tg_put_int(b, "since", (int64_t)i->since);
    tg_put_int(b, "subscriptions", i->subscriptions);
    tg_put_int(b, "inflight", i->inflight);
    tg_put_int(b, "queued", i->queued);
    tg_put_int(b, "queued_bytes", (int64_t)i->queued_bytes);
    tg_put_int(b, "dropped", (int64_t)i->dropped);
    tg_put_int(b, "expiry_s", i->expiry_s);
}

static void add_session(void *ctx, const tg_session_info *i)
{
    tg_row *row = tg_page_add(ctx, i->client_id);
    if (row != NULL)
        put_session(&row->json, i);
}

static void clients_part(tg_request *r, uint32_t worker)
{
    tg_shard_each_session(shard_here(r, worker), add_session, page_of(r, worker));
}

void tg_handle_clients(tg_request *r)
{
    start(r, clients_part, put_json);
}

// One client. Its part is a page with at most one row.

typedef struct wanted {
    tg_slice id;
    tg_page *page;
} wanted;

static void add_if_wanted(void *ctx, const tg_session_info *i)
{
    wanted *w = ctx;
    if (tg_slice_eq(i->client_id, w->id))
        add_session(w->page, i);
}

static void client_part(tg_request *r, uint32_t worker)
{
    wanted w = {r->params[0], page_of(r, worker)};
    tg_shard_each_session(shard_here(r, worker), add_if_wanted, &w);
}

static void reply_no_client(tg_request *r)
{
    tg_reply_problem(r, MHD_HTTP_NOT_FOUND, "not_found", "there is no client '%.*s'",
                     (int)r->params[0].len, r->params[0].at);
}

static void answer_client(tg_request *r)
{
    list *l = r->work;
    tg_buf b = {0};
    for (size_t i = 0; i < TG_WORKERS_MAX; i++) {
        if (b.len == 0 && l->pages[i].count > 0) {
            tg_put_open(&b, NULL, '{');
            put_json(&b, &l->pages[i].rows[0]);
            tg_put_close(&b, '}');
        }
        tg_page_free(&l->pages[i]);
    }
    if (b.len > 0)
        tg_reply_json(r, MHD_HTTP_OK, &b);
    else
        reply_no_client(r);
}

void tg_handle_client(tg_request *r)
{
    list *l = tg_arena_alloc(&r->arena, sizeof(*l));
    if (l == NULL) {
        tg_reply_error(r, &(tg_error){.code = TG_E_NOMEM});
        return;
    }
    l->limit = 1;
    r->work = l;
    tg_request_on_all(r, client_part, answer_client);
}

void tg_handle_kick(tg_request *r)
{
    bool forget = tg_slice_eq(tg_request_query(r, "forget"), TG_LIT("true"));
    int rc = tg_hub_kick(tg_runtime_hub(r->admin->rt), r->params[0], forget);
    if (rc == 0)
        tg_reply_empty(r);
    else if (rc == TG_E_NOTFOUND)
        reply_no_client(r);
    else
        tg_reply_error(r, &(tg_error){.code = rc});
}

// Topics that somebody subscribes to.

static void put_topic(tg_buf *b, const tg_row *row)
{
    tg_put_slice(b, "filter", (tg_slice){row->key, row->len});
    tg_put_int(b, "subscribers", row->count);
}

static bool add_filter(void *page, tg_slice filter, uint32_t subscribers)
{
    tg_row *row = tg_page_add(page, filter);
    if (row != NULL)
        row->count = subscribers;
    return true;
}

static void topics_part(tg_request *r, uint32_t worker)
{
    tg_shard_each_filter(shard_here(r, worker), (tg_slice){0}, add_filter,
                         page_of(r, worker));
}

void tg_handle_topics(tg_request *r)
{
    start(r, topics_part, put_topic);
}

// Retained messages.

static bool add_retained(void *ctx, tg_msg m)
{
    tg_row *row = tg_page_add(ctx, m->topic);
    if (row == NULL)
        return true;
    tg_put_slice(&row->json, "topic", m->topic);
    tg_put_int(&row->json, "qos", m->qos);
    tg_put_slice(&row->json, "publisher", m->publisher);
    tg_put_int(&row->json, "time", (int64_t)m->created);
    tg_put_int(&row->json, "bytes", (int64_t)m->payload.len);
    if (m->payload.len <= PAYLOAD_MAX)
        tg_put_bytes(&row->json, "payload", m->payload);
    tg_props_json(&row->json, m->props);
    return true;
}

static void retained_part(tg_request *r, uint32_t worker)
{
    list *l = r->work;
    tg_shard_each_retained(shard_here(r, worker),
                           l->filter.len > 0 ? l->filter : TG_LIT("#"), add_retained,
                           page_of(r, worker));
}

void tg_handle_retained(tg_request *r)
{
    tg_slice filter = tg_request_query(r, "filter");
    if (filter.len > 0 && !tg_filter_valid(filter))
        tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid",
                         "filter: no valid topic filter");
    else
        start(r, retained_part, put_json);
}
