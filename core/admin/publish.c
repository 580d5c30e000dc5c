// SPDX-License-Identifier: Apache-2.0
// One message into the router, on the worker whose turn it is. The answer comes with the
// hub's completion: with a durable store that is after the commit.
#include "admin/handlers.h"
#include "admin/props.h"
#include "admin/write.h"
#include "base/options.h"

typedef struct publish_body {
    tg_slice topic, encoding, content_type, response_topic, correlation;
    const tg_value *payload, *user_properties;
    int64_t qos, expiry_ms;
    bool retain;
} publish_body;

#define AT(member) offsetof(publish_body, member)
static const tg_option OPTIONS[] = {
    {.name = "topic", .type = TG_OPT_STR, .required = true, .offset = AT(topic)},
    {.name = "payload", .type = TG_OPT_ANY, .offset = AT(payload)},
    {.name = "encoding", .type = TG_OPT_STR, .offset = AT(encoding), .fallback = "text"},
    {.name = "qos", .type = TG_OPT_INT, .offset = AT(qos), .max = 2},
    {.name = "retain", .type = TG_OPT_BOOL, .offset = AT(retain)},
    {.name = "expiry", .type = TG_OPT_DURATION, .offset = AT(expiry_ms), .max = 4e12},
    {.name = "content_type", .type = TG_OPT_STR, .offset = AT(content_type)},
    {.name = "response_topic", .type = TG_OPT_STR, .offset = AT(response_topic)},
    {.name = "correlation", .type = TG_OPT_STR, .offset = AT(correlation)},
    {.name = "user_properties", .type = TG_OPT_MAP, .offset = AT(user_properties)},
    {0},
};
#undef AT

/// What is left of the request once it is understood; payload and props own their bytes.
typedef struct publication {
    tg_msg_spec spec;
    tg_buf payload, props;
} publication;

static bool take_payload(const publish_body *body, tg_buf *out, tg_error *e)
{
    const tg_value *v = body->payload;
    if (v == NULL)
        return true;
    if (v->kind != TG_STR) {
        tg_json_value(out, v);
        return true;
    }
    bool good = true;
    if (tg_slice_eq(body->encoding, TG_LIT("text")))
        tg_buf_put(out, v->string.at, v->string.len);
    else if (tg_slice_eq(body->encoding, TG_LIT("hex")))
        good = tg_take_hex(v->string, out);
    else if (tg_slice_eq(body->encoding, TG_LIT("base64")))
        good = tg_take_base64(v->string, out);
    else
        return tg_error_set(e, TG_E_INVAL, "encoding: one of text, hex, base64") == 0;
    if (!good)
        tg_error_set(e, TG_E_INVAL, "payload: not what its encoding says");
    return good;
}

static bool take_props(const publish_body *body, tg_buf *out, tg_error *e)
{
    bool good = tg_prop_put(out, TG_PROP_CONTENT_TYPE, body->content_type) &&
                tg_prop_put(out, TG_PROP_RESPONSE_TOPIC, body->response_topic) &&
                tg_prop_put(out, TG_PROP_CORRELATION, body->correlation) &&
                tg_prop_put_user(out, body->user_properties);
    if (!good)
        tg_error_set(e, TG_E_INVAL, "properties are strings of at most 65,535 bytes");
    return good;
}

static void drop(publication *p)
{
    tg_buf_free(&p->payload);
    tg_buf_free(&p->props);
}

static void on_published(void *request, int code, uint32_t receivers)
{
    tg_request *r = request;
    if (code != 0) {
        tg_reply_error(r, &(tg_error){.code = code});
        return;
    }
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_int(&b, "receivers", receivers);
    tg_put_close(&b, '}');
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

/// On the worker.
static void answer_publish(void *request)
{
    tg_request *r = request;
    publication *p = r->work;
    tg_shard *shard =
        tg_hub_shard(tg_runtime_hub(r->admin->rt), tg_worker_index(tg_worker_here()));
    p->spec.payload = tg_buf_slice(&p->payload);
    p->spec.props = tg_buf_slice(&p->props);
    tg_msg m = p->payload.failed || p->props.failed ? NULL : tg_msg_new(&p->spec);
    drop(p);
    int rc = TG_E_NOMEM;
    if (m != NULL) {
        rc = tg_session_publish(shard, (tg_session){0}, m, on_published, r);
        tg_msg_unref(m);
    }
    if (rc == TG_E_MALFORMED)
        tg_reply_error(r, &(tg_error){.code = rc, .message = "topic: no valid topic name"});
    else if (rc != 0)
        tg_reply_error(r, &(tg_error){.code = rc});
}

void tg_handle_publish(tg_request *r)
{
    tg_error e = {0};
    tg_value tree;
    publish_body body = {0};
    if (!tg_request_json(r, &r->arena, &tree))
        return;
    publication *p = tg_arena_alloc(&r->arena, sizeof(*p));
    if (p == NULL) {
        tg_reply_error(r, &(tg_error){.code = TG_E_NOMEM});
        return;
    }
    if (tg_options_read(OPTIONS, &tree, &body, NULL, "body", &e) != 0 ||
        !take_payload(&body, &p->payload, &e) || !take_props(&body, &p->props, &e)) {
        drop(p);
        e.code = TG_E_INVAL;
        tg_reply_error(r, &e);
        return;
    }
    p->spec = (tg_msg_spec){.size = sizeof(tg_msg_spec),
                            .qos = (uint8_t)body.qos,
                            .retain = body.retain,
                            .topic = body.topic,
                            .expiry_s = (uint32_t)((body.expiry_ms + 999) / 1000)};
    r->work = p;
    tg_request_on_worker(r, answer_publish);
}
