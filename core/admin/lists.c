// SPDX-License-Identifier: Apache-2.0
// Sessions lie on all workers: each makes its part of a page, and the last one merges them.
// Filters and retained messages lie in tries that all workers share: any one worker walks from
// the cursor to the end of the page.
#include "admin/handlers.h"
#include "admin/page.h"
#include "admin/props.h"
#include "admin/write.h"
#include "plugin/devices.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
#define PAGE_BYTES ((size_t)8 << 20) ///< a page that is longer ends, whatever its limit
#define PAYLOAD_MAX 65536 ///< a larger one is left out of a list, its size is not

static tg_shard *shard_here(tg_request *r)
{
    return tg_hub_shard(tg_runtime_hub(r->admin->rt), tg_worker_index(tg_worker_here()));
}

/// @return false: answered.
static bool take_limit(tg_request *r, size_t *out)
{
    int64_t limit;
    if (!tg_request_number(r, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit))
        return false;
    *out = (size_t)limit;
    return true;
}

static void *new_work(tg_request *r, size_t size)
{
    r->work = tg_arena_alloc(&r->arena, size);
    if (r->work == NULL)
        tg_reply_error(r, &(tg_error){.code = TG_E_NOMEM});
    return r->work;
}

// Clients.

typedef struct list {
    tg_slice cursor;
    tg_slice adapter; ///< of devices; empty: any
    size_t limit;
    tg_page pages[TG_WORKERS_MAX];
} list;

static void put_rows(tg_buf *b, tg_page *all)
{
    bool more = tg_page_finish(all);
    tg_put_open(b, NULL, '{');
    tg_put_open(b, "items", '[');
    for (size_t i = 0; i < all->count; i++) {
        tg_put_open(b, NULL, '{');
        tg_buf_put(b, all->rows[i].json.at, all->rows[i].json.len);
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
static void answer_clients(tg_request *r)
{
    list *l = r->work;
    tg_page all;
    tg_page_init(&all, l->cursor, l->limit);
    for (size_t i = 0; i < TG_WORKERS_MAX; i++) {
        tg_page_merge(&all, &l->pages[i]);
        tg_page_free(&l->pages[i]);
    }
    tg_buf b = {0};
    put_rows(&b, &all);
    b.failed |= all.failed;
    tg_page_free(&all);
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

static tg_page *page_of(tg_request *r, uint32_t worker)
{
    list *l = r->work;
    tg_page_init(&l->pages[worker], l->cursor, l->limit);
    return &l->pages[worker];
}

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
    tg_shard_each_session(shard_here(r), add_session, page_of(r, worker));
}

void tg_handle_clients(tg_request *r)
{
    size_t limit;
    list *l = take_limit(r, &limit) ? new_work(r, sizeof(*l)) : NULL;
    if (l == NULL)
        return;
    l->cursor = tg_request_query(r, "cursor");
    l->limit = limit;
    tg_request_on_all(r, clients_part, answer_clients);
}

// One client. Each worker makes a page with at most one row.

static void client_part(tg_request *r, uint32_t worker)
{
    tg_shard_find_session(shard_here(r), r->params[0], add_session, page_of(r, worker));
}

static void reply_none(tg_request *r, const char *what)
{
    tg_reply_problem(r, MHD_HTTP_NOT_FOUND, "not_found", "there is no %s '%.*s'", what,
                     (int)r->params[0].len, r->params[0].at);
}

static void answer_one(tg_request *r, const char *what)
{
    list *l = r->work;
    tg_buf b = {0};
    for (size_t i = 0; i < TG_WORKERS_MAX; i++) {
        if (b.len == 0 && l->pages[i].count > 0) {
            tg_put_open(&b, NULL, '{');
            tg_buf_put(&b, l->pages[i].rows[0].json.at, l->pages[i].rows[0].json.len);
            tg_put_close(&b, '}');
        }
        tg_page_free(&l->pages[i]);
    }
    if (b.len > 0)
        tg_reply_json(r, MHD_HTTP_OK, &b);
    else
        reply_none(r, what);
}

static void answer_client(tg_request *r)
{
    answer_one(r, "client");
}

static void find_one(tg_request *r, void (*part)(tg_request *r, uint32_t worker),
                     void (*end)(tg_request *r))
{
    list *l = new_work(r, sizeof(*l));
    if (l == NULL)
        return;
    l->limit = 1;
    tg_request_on_all(r, part, end);
}

void tg_handle_client(tg_request *r)
{
    find_one(r, client_part, answer_client);
}

void tg_handle_kick(tg_request *r)
{
    bool forget = tg_slice_eq(tg_request_query(r, "forget"), TG_LIT("true"));
    int rc = tg_hub_kick(tg_runtime_hub(r->admin->rt), r->params[0], forget);
    if (rc == 0)
        tg_reply_empty(r);
    else if (rc == TG_E_NOTFOUND)
        reply_none(r, "client");
    else
        tg_reply_error(r, &(tg_error){.code = rc});
}

// Devices: sessions of adapters that take commands.

static bool is_own(tg_slice key)
{
    return tg_slice_eq(key, TG_LIT("$adapter")) || tg_slice_eq(key, TG_LIT("$down"));
}

static void put_attributes(tg_buf *b, const tg_value *map)
{
    tg_put_open(b, "attributes", '{');
    for (size_t i = 0; map != NULL && map->kind == TG_MAP && i < map->map.count; i++) {
        const tg_pair *p = &map->map.pairs[i];
        if (is_own(p->key))
            continue;
        tg_put_comma(b);
        tg_json_str(b, p->key);
        tg_buf_putc(b, ':');
        tg_json_value(b, &p->value);
    }
    tg_put_close(b, '}');
}

static void put_device(tg_buf *b, const tg_device *d)
{
    const tg_session_info *s = d->session;
    tg_put_slice(b, "id", s->client_id);
    tg_put_slice(b, "adapter", d->adapter);
    tg_put_bool(b, "connected", d->connected);
    if (d->connected) {
        tg_put_slice(b, "listener", d->listener);
        tg_put_str(b, "transport", d->transport);
        tg_put_slice(b, "peer", d->peer);
        tg_put_bool(b, "outgoing", d->outgoing);
        tg_put_int(b, "connected_since", (int64_t)d->opened);
        tg_put_int(b, "last_seen", (int64_t)d->heard);
    }
    tg_put_int(b, "since", (int64_t)s->since);
    tg_put_int(b, "worker", s->worker);
    tg_put_int(b, "inflight", s->inflight);
    tg_put_int(b, "queued", s->queued);
    tg_put_int(b, "queued_bytes", (int64_t)s->queued_bytes);
    tg_put_int(b, "dropped", (int64_t)s->dropped);
    tg_put_int(b, "expiry_s", s->expiry_s);
    tg_put_slice(b, "down", d->down);
    put_attributes(b, s->attributes);
}

typedef struct device_page {
    tg_page *page;
    tg_slice adapter;
} device_page;

static void add_device(void *ctx, const tg_device *d)
{
    const device_page *p = ctx;
    if (p->adapter.len > 0 && !tg_slice_eq(p->adapter, d->adapter))
        return;
    tg_row *row = tg_page_add(p->page, d->session->client_id);
    if (row != NULL)
        put_device(&row->json, d);
}

static void devices_part(tg_request *r, uint32_t worker)
{
    device_page p = {page_of(r, worker), ((list *)r->work)->adapter};
    tg_devices_each(r->admin->rt, add_device, &p);
}

void tg_handle_devices(tg_request *r)
{
    size_t limit;
    list *l = take_limit(r, &limit) ? new_work(r, sizeof(*l)) : NULL;
    if (l == NULL)
        return;
    l->cursor = tg_request_query(r, "cursor");
    l->adapter = tg_request_query(r, "adapter");
    l->limit = limit;
    tg_request_on_all(r, devices_part, answer_clients);
}

static void put_name(void *ctx, const char *name)
{
    tg_put_str(ctx, NULL, name);
}

typedef struct device_row {
    tg_request *r;
    tg_page *page;
} device_row;

static void add_whole_device(void *ctx, const tg_device *d)
{
    const device_row *x = ctx;
    tg_row *row = tg_page_add(x->page, d->session->client_id);
    if (row == NULL)
        return;
    put_device(&row->json, d);
    tg_put_open(&row->json, "commands", '[');
    tg_device_commands(x->r->admin->rt, d->adapter, put_name, &row->json);
    tg_put_close(&row->json, ']');
}

static void device_part(tg_request *r, uint32_t worker)
{
    device_row x = {r, page_of(r, worker)};
    tg_devices_find(r->admin->rt, r->params[0], add_whole_device, &x);
}

static void answer_device(tg_request *r)
{
    answer_one(r, "device");
}

void tg_handle_device(tg_request *r)
{
    find_one(r, device_part, answer_device);
}

// Filters and retained messages.

typedef struct walk {
    tg_slice cursor, filter;
    size_t left;
    tg_buf json, last;
    bool more;
} walk;

static void end_walk(tg_request *r, walk *w)
{
    tg_put_close(&w->json, ']');
    if (w->more)
        tg_put_slice(&w->json, "next", tg_buf_slice(&w->last));
    tg_put_close(&w->json, '}');
    w->json.failed |= w->last.failed;
    tg_buf_free(&w->last);
    tg_reply_json(r, MHD_HTTP_OK, &w->json);
}

/// @return the page takes one more, called `name`.
static bool take_one(walk *w, tg_slice name)
{
    w->more = w->left == 0 || w->json.len > PAGE_BYTES;
    if (w->more)
        return false;
    w->left--;
    tg_buf_clear(&w->last);
    tg_buf_put(&w->last, name.at, name.len);
    return true;
}

static void start_walk(tg_request *r, void (*fn)(void *request))
{
    size_t limit;
    walk *w = take_limit(r, &limit) ? new_work(r, sizeof(*w)) : NULL;
    if (w == NULL)
        return;
    w->cursor = tg_request_query(r, "cursor");
    w->filter = tg_request_query(r, "filter");
    w->left = limit;
    tg_put_open(&w->json, NULL, '{');
    tg_put_open(&w->json, "items", '[');
    if (!tg_request_on_worker(r, fn))
        tg_buf_free(&w->json);
}

static bool add_filter(void *ctx, tg_slice filter, uint32_t subscribers)
{
    walk *w = ctx;
    if (!take_one(w, filter))
        return false;
    tg_put_open(&w->json, NULL, '{');
    tg_put_slice(&w->json, "filter", filter);
    tg_put_int(&w->json, "subscribers", subscribers);
    tg_put_close(&w->json, '}');
    return true;
}

static void walk_topics(void *request)
{
    tg_request *r = request;
    walk *w = r->work;
    tg_shard_each_filter(shard_here(r), w->cursor, add_filter, w);
    end_walk(r, w);
}

void tg_handle_topics(tg_request *r)
{
    start_walk(r, walk_topics);
}

static bool add_retained(void *ctx, tg_msg m)
{
    walk *w = ctx;
    if (!take_one(w, m->topic))
        return false;
    tg_put_open(&w->json, NULL, '{');
    tg_put_slice(&w->json, "topic", m->topic);
    tg_put_int(&w->json, "qos", m->qos);
    tg_put_slice(&w->json, "publisher", m->publisher);
    tg_put_int(&w->json, "time", (int64_t)m->created);
    tg_put_int(&w->json, "bytes", (int64_t)m->payload.len);
    if (m->payload.len <= PAYLOAD_MAX)
        tg_put_bytes(&w->json, "payload", m->payload);
    tg_props_json(&w->json, m->props);
    tg_put_close(&w->json, '}');
    return true;
}

static void walk_retained(void *request)
{
    tg_request *r = request;
    walk *w = r->work;
    tg_slice filter = w->filter.len > 0 ? w->filter : TG_LIT("#");
    tg_shard_each_retained(shard_here(r), filter, w->cursor, add_retained, w);
    end_walk(r, w);
}

void tg_handle_retained(tg_request *r)
{
    tg_slice filter = tg_request_query(r, "filter");
    if (filter.len > 0 && !tg_filter_valid(filter))
        tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid",
                         "filter: no valid topic filter");
    else
        start_walk(r, walk_retained);
}
