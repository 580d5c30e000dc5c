// SPDX-License-Identifier: Apache-2.0
// Commands for devices. A connected device's adapter gets the command on the device's worker,
// and the request waits for its answer. For one that is away the command is published on its
// down topic, where its session keeps it. What became of it is said in one word, the fate:
// queued, sent, acked, refused or expired.
#include "admin/handlers.h"
#include "admin/write.h"
#include "base/options.h"
#include "plugin/devices.h"

#define HOPS 64 // a session may be on its way from one worker to another

typedef struct command_body {
    tg_slice name, id;
    const tg_value *args;
    int64_t timeout_ms, ttl_ms;
    bool queue;
} command_body;

#define AT(member) offsetof(command_body, member)
static const tg_option OPTIONS[] = {
    {.name = "name", .type = TG_OPT_STR, .required = true, .offset = AT(name)},
    {.name = "args", .type = TG_OPT_MAP, .offset = AT(args)},
    {.name = "id", .type = TG_OPT_STR, .offset = AT(id)},
    {.name = "timeout",
     .type = TG_OPT_DURATION,
     .offset = AT(timeout_ms),
     .fallback = "15s",
     .min = 1,
     .max = 600000},
    {.name = "queue", .type = TG_OPT_BOOL, .offset = AT(queue), .fallback = "true"},
    {.name = "ttl", .type = TG_OPT_DURATION, .offset = AT(ttl_ms), .max = 4e12},
    {0},
};
#undef AT

typedef struct command_work {
    command_body body;
    tg_command cmd;
    unsigned hops;
    bool here, device, connected;
    tg_slice adapter, down;
} command_work;

// Answers.

static const char *fate_of(const tg_value *answer)
{
    static const struct {
        const char *state, *fate;
    } words[] = {{"queued", "queued"},     {"sent", "sent"},       {"acked", "acked"},
                 {"refused", "refused"},   {"expired", "expired"}, {"replied", "acked"},
                 {"timed_out", "expired"}, {"failed", "refused"}};
    tg_slice state = tg_value_str(answer, "state", (tg_slice){0});
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (tg_slice_eq(state, tg_str(words[i].state)))
            return words[i].fate;
    bool bare = answer == NULL || answer->kind == TG_NIL || answer->kind == TG_BOOL;
    return bare ? "sent" : "acked"; // a bare true: it left, and nobody waits
}

static void put_head(tg_buf *b, const tg_request *r, const char *fate)
{
    const command_work *w = r->work;
    tg_put_open(b, NULL, '{');
    tg_put_slice(b, "device", w->cmd.device);
    tg_put_slice(b, "command", w->cmd.name);
    if (w->cmd.id.len > 0)
        tg_put_slice(b, "id", w->cmd.id);
    tg_put_str(b, "fate", fate);
}

/// What is not over yet is 202: the adapter publishes the rest of it.
static void reply_fate(tg_request *r, const char *fate, const tg_value *answer)
{
    tg_buf b = {0};
    bool open = strcmp(fate, "queued") == 0 || strcmp(fate, "sent") == 0;
    put_head(&b, r, fate);
    if (answer != NULL && answer->kind != TG_NIL) {
        tg_put_key(&b, "answer");
        tg_json_value(&b, answer);
    }
    tg_put_close(&b, '}');
    tg_reply_json(r, open ? MHD_HTTP_ACCEPTED : MHD_HTTP_OK, &b);
}

static void reply_refusal(tg_request *r, int code, const tg_value *why)
{
    bool late = code == TG_E_TIMEOUT || code == TG_E_CLOSED || code == TG_E_RELOADED;
    tg_buf b = {0};
    put_head(&b, r, late ? "expired" : "refused");
    tg_put_open(&b, "error", '{');
    tg_put_str(&b, "code", tg_error_name(code));
    tg_put_slice(&b, "message", tg_value_str(why, "message", tg_str(tg_error_text(code))));
    tg_put_close(&b, '}');
    tg_put_close(&b, '}');
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

/// On the worker.
static void on_done(void *request, int code, const tg_value *value)
{
    tg_request *r = request;
    if (code >= 0)
        reply_fate(r, fate_of(value), value);
    else if (code == TG_E_TIMEOUT &&
             value == NULL) // nobody waits any longer; it is under way
        reply_fate(r, "sent", NULL);
    else if (code == TG_E_SHUTDOWN || code == TG_E_NOMEM || code == TG_E_SCRIPT ||
             code == TG_E_BUDGET)
        tg_reply_error(r, &(tg_error){.code = code});
    else
        reply_refusal(r, code, value);
}

typedef struct names {
    tg_buf json;
    tg_slice wanted;
    bool found;
} names;

static void add_name(void *ctx, const char *name)
{
    names *n = ctx;
    n->found |= tg_slice_eq(n->wanted, tg_str(name));
    tg_put_str(&n->json, NULL, name);
}

static void reply_unknown(tg_request *r)
{
    const command_work *w = r->work;
    names n = {.wanted = w->cmd.name};
    tg_put_open(&n.json, "known", '[');
    tg_device_commands(r->admin->rt, w->adapter, add_name, &n);
    tg_put_close(&n.json, ']');
    char detail[256];
    snprintf(detail, sizeof(detail), "adapter '%.*s' has no command '%.*s'",
             (int)w->adapter.len, w->adapter.at, (int)w->cmd.name.len, w->cmd.name.at);
    tg_reply_problem_with(r, MHD_HTTP_NOT_FOUND, "unknown_command",
                          n.json.failed ? (tg_slice){0} : tg_buf_slice(&n.json), detail);
    tg_buf_free(&n.json);
}

static void reply_offline(tg_request *r)
{
    tg_reply_problem(r, MHD_HTTP_CONFLICT, "offline",
                     "the device is away, and the command was not left for it");
}

// For one that is away.

static void on_published(void *request, int code, uint32_t receivers)
{
    tg_request *r = request;
    if (code != 0)
        tg_reply_error(r, &(tg_error){.code = code});
    else if (receivers == 0)
        reply_offline(r);
    else
        reply_fate(r, "queued", NULL);
}

static tg_msg message_for(const command_work *w)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_slice(&b, "command", w->cmd.name);
    tg_put_key(&b, "args");
    tg_json_value(&b, w->cmd.args);
    if (w->cmd.id.len > 0)
        tg_put_slice(&b, "id", w->cmd.id);
    tg_put_close(&b, '}');
    const tg_msg_spec spec = {.size = sizeof(spec),
                              .qos = 1,
                              .topic = w->down,
                              .payload = tg_buf_slice(&b),
                              .expiry_s = (uint32_t)((w->body.ttl_ms + 999) / 1000)};
    tg_msg m = b.failed ? NULL : tg_msg_new(&spec);
    tg_buf_free(&b);
    return m;
}

static bool knows(tg_request *r)
{
    const command_work *w = r->work;
    names n = {.wanted = w->cmd.name};
    int rc = tg_device_commands(r->admin->rt, w->adapter, add_name, &n);
    tg_buf_free(&n.json);
    return rc != 0 || n.found; // an adapter that is not loaded may know it when it is
}

static void leave_for(tg_request *r, tg_shard *shard)
{
    const command_work *w = r->work;
    if (!knows(r)) {
        reply_unknown(r);
        return;
    }
    if (!w->body.queue || w->down.len == 0) {
        reply_offline(r);
        return;
    }
    tg_msg m = message_for(w);
    int rc = TG_E_NOMEM;
    if (m != NULL) {
        rc = tg_session_publish(shard, (tg_session){0}, m, on_published, r);
        tg_msg_unref(m);
    }
    if (rc != 0)
        tg_reply_error(r, &(tg_error){.code = rc});
}

// On the worker of the device.

static void look_at(void *ctx, const tg_device *d)
{
    tg_request *r = ctx;
    command_work *w = r->work;
    w->device = true;
    w->connected = d->connected;
    w->adapter = tg_arena_copy(&r->arena, d->adapter);
    w->down = tg_arena_copy(&r->arena, d->down);
}

static void mark_here(void *here, const tg_session_info *i)
{
    (void)i;
    *(bool *)here = true;
}

static void reply_no_device(tg_request *r)
{
    tg_reply_problem(r, MHD_HTTP_NOT_FOUND, "not_found", "there is no device '%.*s'",
                     (int)r->params[0].len, r->params[0].at);
}

static void follow(tg_request *r);

static void start(void *request)
{
    tg_request *r = request;
    command_work *w = r->work;
    tg_shard *shard =
        tg_hub_shard(tg_runtime_hub(r->admin->rt), tg_worker_index(tg_worker_here()));
    w->here = w->device = w->connected = false;
    tg_shard_find_session(shard, w->cmd.device, mark_here, &w->here);
    tg_devices_find(r->admin->rt, w->cmd.device, look_at, r);
    if (!w->here) {
        follow(r);
        return;
    }
    if (!w->device) {
        reply_no_device(r);
        return;
    }
    int rc = TG_E_CLOSED;
    if (w->connected)
        rc = tg_device_command(r->admin->rt, &w->cmd, on_done, r);
    if (rc == TG_E_CLOSED)
        leave_for(r, shard);
    else if (rc == TG_E_NOTFOUND)
        reply_unknown(r);
    else if (rc < 0)
        tg_reply_error(r, &(tg_error){.code = rc});
}

/// Its session has moved, or is about to.
static void follow(tg_request *r)
{
    command_work *w = r->work;
    tg_admin *a = r->admin;
    int worker = tg_hub_where(tg_runtime_hub(a->rt), w->cmd.device);
    int rc = TG_E_BUSY;
    if (worker >= 0 && w->hops++ < HOPS)
        rc = tg_worker_run(tg_workers_at(a->workers, (uint32_t)worker), start, r);
    if (worker < 0)
        reply_no_device(r);
    else if (rc != 0)
        tg_reply_error(r, &(tg_error){.code = rc});
}

void tg_handle_command(tg_request *r)
{
    static const tg_value none = {.kind = TG_MAP};
    tg_error e = {0};
    tg_value tree;
    if (!tg_request_json(r, &r->arena, &tree))
        return;
    command_work *w = tg_arena_alloc(&r->arena, sizeof(*w));
    int rc = w != NULL ? tg_options_read(OPTIONS, &tree, &w->body, NULL, "body", &e)
                       : TG_E_NOMEM;
    if (rc != 0) {
        e.code = rc;
        tg_reply_error(r, &e);
        return;
    }
    w->cmd = (tg_command){.size = sizeof(w->cmd),
                          .timeout_ms = (uint32_t)w->body.timeout_ms,
                          .name = w->body.name,
                          .device = r->params[0],
                          .id = w->body.id,
                          .args = w->body.args != NULL ? w->body.args : &none};
    r->work = w;
    int worker = tg_hub_where(tg_runtime_hub(r->admin->rt), w->cmd.device);
    if (worker < 0)
        reply_no_device(r);
    else
        tg_request_on_this(r, tg_workers_at(r->admin->workers, (uint32_t)worker), start);
}
