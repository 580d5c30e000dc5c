// SPDX-License-Identifier: Apache-2.0
// Plugins and listeners belong to the control thread; explaining bytes may take a script its
// whole budget and goes to the pool of blocking threads.
#include "admin/decode.h"
#include "admin/handlers.h"
#include "admin/write.h"

static void put_version(void *ctx, const tg_version_info *i)
{
    tg_buf *b = ctx;
    tg_put_open(b, NULL, '{');
    tg_put_str(b, "id", i->plugin);
    tg_put_str(b, "engine", i->engine);
    tg_put_str(b, "version", i->version);
    tg_put_str(b, "state", i->state);
    tg_put_int(b, "number", i->number);
    tg_put_str(b, "hash", i->hash);
    tg_put_str(b, "path", i->path);
    tg_put_int(b, "since", (int64_t)i->since);
    tg_put_int(b, "connections", i->connections);
    tg_put_int(b, "frames", i->frames);
    tg_put_int(b, "errors", i->errors);
    tg_put_str(b, "last_error", i->last_error);
    tg_put_close(b, '}');
}

static void open_items(tg_buf *b)
{
    tg_put_open(b, NULL, '{');
    tg_put_open(b, "items", '[');
}

static void reply_items(tg_request *r, tg_buf *b)
{
    tg_put_close(b, ']');
    tg_put_close(b, '}');
    tg_reply_json(r, MHD_HTTP_OK, b);
}

static void answer_plugins(void *request)
{
    tg_request *r = request;
    tg_buf b = {0};
    open_items(&b);
    tg_plugins_each(r->admin->rt, put_version, &b);
    reply_items(r, &b);
}

void tg_handle_plugins(tg_request *r)
{
    tg_request_on_control(r, answer_plugins);
}

typedef struct live {
    const char *id;
    tg_buf *out;
} live;

static void put_if_live(void *ctx, const tg_version_info *i)
{
    live *l = ctx;
    if (strcmp(i->plugin, l->id) == 0 && strcmp(i->state, "live") == 0)
        put_version(l->out, i);
}

static void answer_reload(void *request)
{
    tg_request *r = request;
    tg_error e = {0};
    int rc = tg_plugins_reload(r->admin->rt, r->params[0].at, &e);
    if (rc != 0) {
        e.code = rc;
        tg_reply_error(r, &e);
        return;
    }
    tg_buf b = {0};
    live l = {r->params[0].at, &b};
    tg_plugins_each(r->admin->rt, put_if_live, &l);
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

void tg_handle_reload(tg_request *r)
{
    tg_request_on_control(r, answer_reload);
}

static void put_listener(void *ctx, const tg_listener_info *i)
{
    tg_buf *b = ctx;
    tg_put_open(b, NULL, '{');
    tg_put_str(b, "name", i->name);
    tg_put_str(b, "adapter", i->adapter);
    tg_put_str(b, "address", i->address);
    tg_put_str(b, "transport", i->transport);
    tg_put_int(b, "connections", i->connections);
    tg_put_close(b, '}');
}

static void answer_listeners(void *request)
{
    tg_request *r = request;
    tg_buf b = {0};
    open_items(&b);
    tg_listeners_each(r->admin->rt, put_listener, &b);
    reply_items(r, &b);
}

void tg_handle_listeners(tg_request *r)
{
    tg_request_on_control(r, answer_listeners);
}

/// Pool thread. The frame stands decoded in the body.
static void answer_decode(void *request)
{
    tg_request *r = request;
    tg_error e = {0};
    tg_buf b = {0};
    int rc = tg_decode_json(r->admin->rt, r->params[0].at, tg_buf_slice(&r->body), &b, &e);
    if (rc == 0) {
        tg_reply_json(r, MHD_HTTP_OK, &b);
        return;
    }
    tg_buf_free(&b);
    e.code = rc;
    tg_reply_error(r, &e);
}

static void decode_done(void *request, int code)
{
    if (code == TG_E_CANCELLED) // it never ran
        tg_reply_error(request, &(tg_error){.code = TG_E_SHUTDOWN});
}

static void submit_decode(void *request)
{
    int rc = tg_pool_submit(tg_worker_here(), answer_decode, decode_done, request);
    if (rc != 0)
        tg_reply_error(request, &(tg_error){.code = rc});
}

void tg_handle_decode(tg_request *r)
{
    tg_value body;
    if (!tg_request_json(r, &r->arena, &body))
        return;
    tg_buf bytes = {0};
    tg_slice hex = tg_value_str(&body, "hex", (tg_slice){0});
    if (hex.len == 0 || !tg_take_hex(hex, &bytes)) {
        tg_buf_free(&bytes);
        tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid",
                         "hex: the frame's bytes, two hex digits each");
        return;
    }
    tg_buf_free(&r->body);
    r->body = bytes;
    tg_request_on_worker(r, submit_decode);
}
