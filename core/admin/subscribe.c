// SPDX-License-Identifier: Apache-2.0
// A reader of /subscribe is a session of the hub like any device's, whose connection is an
// HTTP response that does not end. Two threads meet in its buffer: the worker appends what the
// hub delivers, the HTTP thread takes what the reader's socket takes. At the buffer's bound
// the worker answers TG_E_FULL, and the hub keeps or drops, and counts, as for any slow
// subscriber; nothing here grows with a reader that stopped reading.
//
// While there is nothing to send, the HTTP connection is suspended and libmicrohttpd does not
// look at it: a beat now and then is what finds out that the reader has gone.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/handlers.h"
#include "admin/props.h"
#include "admin/write.h"
#include "base/map.h"
#include "base/metric.h"

#define STREAM_MAGIC 0x57ea4e11u
#define BEAT_MS 2000
#define BLOCK 32768
#define FILTERS 64
#define READER_IDLE_S 300 ///< a reader whose socket takes nothing for so long is cut

typedef struct stream {
    uint32_t magic;
    atomic_uint refs; ///< the worker's side, and the response's
    tg_admin *admin;
    struct MHD_Connection *conn;
    bool events; ///< text/event-stream instead of JSON lines
    tg_list node; ///< in the admin's list; under its lock

    pthread_mutex_t lock; ///< for these:
    tg_buf out;
    bool waiting; ///< the connection is suspended until there is more
    bool full; ///< the hub was told TG_E_FULL and waits for resume
    bool ended;

    // The worker's:
    tg_worker *worker;
    tg_shard *shard;
    tg_session session;
    tg_request *request; ///< until it is answered
    tg_slice filters[FILTERS];
    unsigned nfilters, left; ///< `left`: subscriptions not in force yet
    tg_error error;
    tg_alarm beat;
} stream;

static stream *check(void *ctx)
{
    stream *s = ctx;
    assert(s != NULL && s->magic == STREAM_MAGIC);
    return s;
}

/// @param n how many references go at once.
static void unref(stream *s, unsigned n)
{
    if (atomic_fetch_sub(&check(s)->refs, n) > n)
        return;
    pthread_mutex_destroy(&s->lock);
    tg_buf_free(&s->out);
    s->magic = 0;
    free(s);
}

/// Under the stream's lock.
static void wake(stream *s)
{
    if (s->waiting)
        MHD_resume_connection(s->conn);
    s->waiting = false;
}

static void end(stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

void tg_streams_end(tg_admin *a)
{
    pthread_mutex_lock(&a->lock);
    for (tg_list *n = a->streams.next; n != &a->streams; n = n->next)
        end(TG_OWNER(n, stream, node));
    pthread_mutex_unlock(&a->lock);
}

// The HTTP thread's side.

/// On the worker: the reader took enough for the hub to go on.
static void resume_session(void *ctx)
{
    stream *s = check(ctx);
    if (s->session.id != 0)
        tg_session_resume(s->shard, s->session);
    unref(s, 1);
}

/// @return the hub waits and there is room again.
static bool take_room(stream *s)
{
    bool room = s->full && s->out.len <= (size_t)s->admin->config.stream_buffer / 2;
    if (room)
        s->full = false;
    return room;
}

static ssize_t on_read(void *ctx, uint64_t at, char *into, size_t max)
{
    (void)at;
    stream *s = check(ctx);
    pthread_mutex_lock(&s->lock);
    size_t n = s->out.len < max ? s->out.len : max;
    if (n > 0) {
        memcpy(into, s->out.at, n);
        tg_buf_drop(&s->out, n);
    } else if (!s->ended) {
        s->waiting = true;
        MHD_suspend_connection(s->conn);
    }
    bool go_on = take_room(s);
    bool ended = n == 0 && s->ended;
    pthread_mutex_unlock(&s->lock);
    tg_metric_add(s->admin->metric_stream_bytes, (int64_t)n);
    if (go_on) {
        atomic_fetch_add(&s->refs, 1);
        if (tg_worker_run(s->worker, resume_session, s) != 0)
            unref(s, 1);
    }
    return ended ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

/// On the worker: the response is gone.
static void close_session(void *ctx)
{
    stream *s = check(ctx);
    tg_wheel_del(tg_worker_wheel(s->worker), &s->beat);
    if (s->session.id != 0)
        tg_session_close(s->shard, s->session, TG_CLOSE_END_SESSION);
    s->session.id = 0;
    unref(s, 2); // the worker's side and the response's
}

static void on_free(void *ctx)
{
    stream *s = check(ctx);
    pthread_mutex_lock(&s->admin->lock);
    tg_list_del(&s->node);
    pthread_mutex_unlock(&s->admin->lock);
    tg_metric_add(s->admin->metric_streams, -1);
    pthread_mutex_lock(&s->lock);
    s->waiting = false;
    pthread_mutex_unlock(&s->lock);
    tg_worker_run(s->worker, close_session, s);
}

// The worker's side.

/// Under the stream's lock: one event in the reader's form.
static void put_head(stream *s, const char *event)
{
    if (s->events)
        tg_buf_printf(&s->out, "event: %s\ndata: ", event);
    tg_buf_putc(&s->out, '{');
    if (!s->events)
        tg_put_str(&s->out, "event", event);
}

static void put_tail(stream *s)
{
    tg_put_close(&s->out, '}');
    tg_buf_puts(&s->out, s->events ? "\n\n" : "\n");
}

static void put_message(stream *s, const tg_delivery *d)
{
    tg_msg m = d->msg;
    put_head(s, "message");
    tg_put_slice(&s->out, "topic", m->topic);
    tg_put_bytes(&s->out, "payload", m->payload);
    tg_put_int(&s->out, "qos", m->qos);
    tg_put_bool(&s->out, "retain", d->retain != 0);
    tg_put_slice(&s->out, "publisher", m->publisher);
    tg_put_int(&s->out, "time", (int64_t)m->created);
    tg_props_json(&s->out, m->props);
    put_tail(s);
}

static int deliver(void *link, tg_session session, const tg_delivery *d)
{
    (void)session;
    stream *s = check(link);
    pthread_mutex_lock(&s->lock);
    bool full = s->out.len >= (size_t)s->admin->config.stream_buffer;
    if (full) {
        s->full = true;
    } else {
        put_message(s, d);
        s->ended |= s->out.failed;
        wake(s);
    }
    pthread_mutex_unlock(&s->lock);
    return full ? TG_E_FULL : 0;
}

static void ended(void *link, tg_session session, uint16_t number, int reason)
{
    (void)number;
    (void)session;
    stream *s = check(link);
    s->session.id = 0;
    pthread_mutex_lock(&s->lock);
    put_head(s, "ended");
    tg_put_str(&s->out, "reason", tg_error_text(reason));
    put_tail(s);
    pthread_mutex_unlock(&s->lock);
    end(s);
}

static const tg_link LINK = {.deliver = deliver, .ended = ended};

static void beat(tg_alarm *a)
{
    stream *s = check(TG_OWNER(a, stream, beat));
    pthread_mutex_lock(&s->lock);
    if (s->waiting) {
        tg_buf_puts(&s->out, s->events ? ":\n\n" : "\n");
        wake(s);
    }
    pthread_mutex_unlock(&s->lock);
    tg_wheel_add(tg_worker_wheel(s->worker), a, BEAT_MS, beat);
}

static void give_up(stream *s)
{
    tg_request *r = s->request;
    if (s->session.id != 0)
        tg_session_close(s->shard, s->session, TG_CLOSE_END_SESSION);
    tg_reply_error(r, &s->error);
    unref(s, 1);
}

/// All subscriptions are in force (or one failed): the answer begins.
static void answer(stream *s)
{
    if (s->error.code != 0) {
        give_up(s);
        return;
    }
    tg_request *r = s->request;
    tg_admin *a = s->admin;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, s, on_free);
    if (response == NULL) {
        tg_error_set(&s->error, TG_E_NOMEM, "out of memory");
        give_up(s);
        return;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            s->events ? "text/event-stream" : "application/x-ndjson");
    atomic_fetch_add(&s->refs, 1);
    tg_metric_add(a->metric_streams, 1);
    tg_wheel_add(tg_worker_wheel(s->worker), &s->beat, BEAT_MS, beat);
    pthread_mutex_lock(&a->lock);
    tg_list_add(&a->streams, &s->node);
    bool closing = a->closing;
    pthread_mutex_unlock(&a->lock);
    if (closing)
        end(s);
    tg_reply_response(r, MHD_HTTP_OK, response);
}

static void on_subscribed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    stream *s = check(ctx);
    if (code != 0 && s->error.code == 0)
        tg_error_set(&s->error, code, "subscribe: %s", tg_error_text(code));
    if (--s->left == 0)
        answer(s);
}

static void subscribe(stream *s)
{
    tg_sub sub = {.size = sizeof(sub)};
    s->left = s->nfilters + 1; // one more than can come back meanwhile
    for (unsigned i = 0; i < s->nfilters; i++) {
        int rc = tg_session_subscribe(s->shard, s->session, s->filters[i], &sub,
                                      on_subscribed, s);
        if (rc == 0)
            continue;
        tg_error_set(&s->error, rc, "filter '%.*s': %s", (int)s->filters[i].len,
                     s->filters[i].at,
                     rc == TG_E_MALFORMED ? "no valid topic filter" : tg_error_text(rc));
        s->left--;
    }
    on_subscribed(s, 0, NULL);
}

static void on_opened(void *ctx, int code, tg_session session, bool present)
{
    (void)present;
    stream *s = check(ctx);
    if (code == 0) {
        s->session = session;
        subscribe(s);
        return;
    }
    tg_error_set(&s->error, code, "session: %s", tg_error_text(code));
    give_up(s);
}

static void open_session(void *request)
{
    tg_request *r = request;
    stream *s = check(r->work);
    char id[64];
    s->worker = tg_worker_here();
    s->shard = tg_hub_shard(tg_runtime_hub(s->admin->rt), tg_worker_index(s->worker));
    snprintf(id, sizeof(id), "admin-%016llx", (unsigned long long)tg_random());
    tg_session_spec spec = {
        .size = sizeof(spec), .clean_start = 1, .client_id = tg_str(id)};
    int rc = tg_session_open(s->shard, &LINK, s, &spec, on_opened, s);
    if (rc != 0)
        on_opened(s, rc, (tg_session){0}, false);
}

// The request.

static enum MHD_Result take_filter(void *ctx, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    (void)kind;
    stream *s = ctx;
    if (strcmp(key, "filter") != 0 || value == NULL)
        return MHD_YES;
    tg_slice filter = tg_request_decode(s->request, value);
    if (filter.at == NULL)
        tg_error_set(&s->error, TG_E_NOMEM, "out of memory");
    else if (s->nfilters == FILTERS)
        tg_error_set(&s->error, TG_E_INVAL, "filter: at most %d of them", FILTERS);
    else
        s->filters[s->nfilters++] = filter;
    return s->error.code == 0 ? MHD_YES : MHD_NO;
}

/// @return false: nothing to subscribe to, or too much; answered.
static bool take_filters(stream *s)
{
    MHD_get_connection_values(s->conn, MHD_GET_ARGUMENT_KIND, take_filter, s);
    if (s->nfilters == 0 && s->error.code == 0)
        tg_error_set(&s->error, TG_E_INVAL, "filter: at least one topic filter is needed");
    if (s->error.code != 0)
        tg_reply_error(s->request, &s->error);
    return s->error.code == 0;
}

static bool wants_events(tg_request *r)
{
    const char *accept = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Accept");
    return accept != NULL && strstr(accept, "text/event-stream") != NULL;
}

static void put_greeting(stream *s)
{
    put_head(s, "subscribed");
    tg_put_open(&s->out, "filters", '[');
    for (unsigned i = 0; i < s->nfilters; i++)
        tg_put_slice(&s->out, NULL, s->filters[i]);
    tg_put_close(&s->out, ']');
    put_tail(s);
}

static stream *new_stream(tg_request *r)
{
    stream *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->magic = STREAM_MAGIC;
    s->admin = r->admin;
    s->conn = r->conn;
    s->request = r;
    s->events = wants_events(r);
    atomic_init(&s->refs, 1);
    tg_list_init(&s->node);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/// Readers leave half of the connections to everybody else.
static bool room_for_one(tg_request *r)
{
    tg_admin *a = r->admin;
    int64_t open = 0;
    pthread_mutex_lock(&a->lock);
    for (tg_list *n = a->streams.next; n != &a->streams; n = n->next)
        open++;
    pthread_mutex_unlock(&a->lock);
    if (open < a->config.connections / 2)
        return true;
    tg_reply_problem(r, MHD_HTTP_TOO_MANY_REQUESTS, "limit",
                     "%lld readers are open already", (long long)open);
    return false;
}

void tg_handle_subscribe(tg_request *r)
{
    if (!room_for_one(r))
        return;
    stream *s = new_stream(r);
    if (s == NULL) {
        tg_reply_error(r, &(tg_error){.code = TG_E_NOMEM});
        return;
    }
    if (!take_filters(s)) {
        unref(s, 1);
        return;
    }
    put_greeting(s);
    MHD_set_connection_option(r->conn, MHD_CONNECTION_OPTION_TIMEOUT, READER_IDLE_S);
    r->work = s;
    if (!tg_request_on_worker(r, open_session))
        unref(s, 1);
}
