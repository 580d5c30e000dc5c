// SPDX-License-Identifier: Apache-2.0
// A deferred request is wanted by two sides: the HTTP thread, which owns the suspended
// connection, and the thread that works on the answer. Either may be first to let go (the API
// closes, the worker is slow), so both hold a reference, and who answers first wins.
#include "admin/request.h"

#include <assert.h>
#include <stdlib.h>

#include "admin/write.h"
#include "base/metric.h"
#include "codec/json_read.h"

#define REQUEST_MAGIC 0x7e905e57u

static tg_request *check(tg_request *r)
{
    assert(r != NULL && r->magic == REQUEST_MAGIC);
    return r;
}

tg_request *tg_request_new(tg_admin *a, struct MHD_Connection *conn, const char *path)
{
    tg_request *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    *r = (tg_request){.magic = REQUEST_MAGIC, .admin = a, .conn = conn};
    atomic_init(&r->refs, 1);
    tg_list_init(&r->node);
    r->path = strdup(path);
    if (r->path != NULL)
        return r;
    free(r);
    return NULL;
}

void tg_request_unref(tg_request *r)
{
    if (atomic_fetch_sub(&check(r)->refs, 1) > 1)
        return;
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    tg_buf_free(&r->body);
    tg_arena_free(&r->arena);
    free(r->path);
    r->magic = 0;
    free(r);
}

bool tg_request_defer(tg_request *r)
{
    tg_admin *a = check(r)->admin;
    assert(!r->deferred && !r->answered);
    pthread_mutex_lock(&a->lock);
    bool open = !a->closing;
    if (open) {
        r->deferred = true;
        atomic_fetch_add(&r->refs, 1);
        tg_list_add(&a->pending, &r->node);
        MHD_suspend_connection(r->conn);
    }
    pthread_mutex_unlock(&a->lock);
    if (!open)
        tg_reply_problem(r, MHD_HTTP_SERVICE_UNAVAILABLE, "shutting_down",
                         "the host is shutting down");
    return open;
}

/// @return false: somebody answered before.
static bool settle(tg_request *r, unsigned status, struct MHD_Response *response)
{
    tg_admin *a = r->admin;
    pthread_mutex_lock(&a->lock);
    bool first = !r->answered;
    if (first) {
        r->answered = true;
        r->status = status;
        r->response = response;
        tg_list_del(&r->node);
        if (r->deferred)
            MHD_resume_connection(r->conn);
    }
    pthread_mutex_unlock(&a->lock);
    return first;
}

static void count(tg_request *r, unsigned status)
{
    tg_metric_add(r->admin->metric_requests, 1);
    if (status == MHD_HTTP_UNAUTHORIZED || status == MHD_HTTP_FORBIDDEN)
        tg_metric_add(r->admin->metric_denied, 1);
}

void tg_reply_response(tg_request *r, unsigned status, struct MHD_Response *response)
{
    assert(response != NULL);
    check(r);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    bool deferred = r->deferred;
    if (settle(r, status, response))
        count(r, status);
    else
        MHD_destroy_response(response);
    if (deferred)
        tg_request_unref(r);
}

static struct MHD_Response *response_of(tg_buf *bytes, const char *type)
{
    struct MHD_Response *response = NULL;
    if (!bytes->failed)
        response =
            MHD_create_response_from_buffer(bytes->len, bytes->at, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) { // out of memory: an empty answer is all there is left to give
        tg_buf_free(bytes);
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    *bytes = (tg_buf){0};
    if (response == NULL)
        abort();
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return response;
}

void tg_reply_json(tg_request *r, unsigned status, tg_buf *json)
{
    tg_buf_putc(json, '\n');
    unsigned real = json->failed ? MHD_HTTP_INTERNAL_SERVER_ERROR : status;
    tg_reply_response(r, real, response_of(json, "application/json"));
}

void tg_reply_text(tg_request *r, const char *type, tg_buf *text)
{
    unsigned status = text->failed ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_OK;
    tg_reply_response(r, status, response_of(text, type));
}

void tg_reply_empty(tg_request *r)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        abort();
    tg_reply_response(r, MHD_HTTP_NO_CONTENT, response);
}

static struct MHD_Response *problem(unsigned status, const char *code, const char *detail,
                                    tg_slice more)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_str(&b, "title", MHD_get_reason_phrase_for(status));
    tg_put_int(&b, "status", status);
    tg_put_str(&b, "code", code);
    tg_put_str(&b, "detail", detail);
    if (more.len > 0) {
        tg_put_comma(&b);
        tg_buf_put(&b, more.at, more.len);
    }
    tg_put_close(&b, '}');
    tg_buf_putc(&b, '\n');
    struct MHD_Response *response = response_of(&b, "application/problem+json");
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    return response;
}

static void reply_problem(tg_request *r, unsigned status, const char *code,
                          const char *detail)
{
    tg_reply_response(r, status, problem(status, code, detail, (tg_slice){0}));
}

void tg_reply_problem_with(tg_request *r, unsigned status, const char *code, tg_slice more,
                           const char *detail)
{
    tg_reply_response(r, status, problem(status, code, detail, more));
}

void tg_request_abandon(tg_request *r)
{
    struct MHD_Response *response = problem(MHD_HTTP_SERVICE_UNAVAILABLE, "shutting_down",
                                            "the host is shutting down", (tg_slice){0});
    if (!settle(check(r), MHD_HTTP_SERVICE_UNAVAILABLE, response))
        MHD_destroy_response(response);
}

void tg_reply_problem(tg_request *r, unsigned status, const char *code, const char *fmt,
                      ...)
{
    char detail[640];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    reply_problem(r, status, code, detail);
}

/// How an error of the ABI reads in HTTP.
static const struct {
    int error;
    unsigned status;
    const char *code;
} PROBLEMS[] = {
    {TG_E_NOTFOUND, MHD_HTTP_NOT_FOUND, "not_found"},
    {TG_E_EXISTS, MHD_HTTP_CONFLICT, "exists"},
    {TG_E_BUSY, MHD_HTTP_CONFLICT, "busy"},
    {TG_E_INVAL, MHD_HTTP_BAD_REQUEST, "invalid"},
    {TG_E_MALFORMED, MHD_HTTP_BAD_REQUEST, "malformed"},
    {TG_E_CHECKSUM, MHD_HTTP_UNPROCESSABLE_CONTENT, "checksum"},
    {TG_E_SCRIPT, MHD_HTTP_UNPROCESSABLE_CONTENT, "script"},
    {TG_E_VERSION, MHD_HTTP_UNPROCESSABLE_CONTENT, "version"},
    {TG_E_BUDGET, MHD_HTTP_UNPROCESSABLE_CONTENT, "budget"},
    {TG_E_TOOBIG, MHD_HTTP_CONTENT_TOO_LARGE, "too_big"},
    {TG_E_UNSUPPORTED, MHD_HTTP_NOT_IMPLEMENTED, "unsupported"},
    {TG_E_LIMIT, MHD_HTTP_TOO_MANY_REQUESTS, "limit"},
    {TG_E_FULL, MHD_HTTP_SERVICE_UNAVAILABLE, "full"},
    {TG_E_SHUTDOWN, MHD_HTTP_SERVICE_UNAVAILABLE, "shutting_down"},
    {TG_E_TIMEOUT, MHD_HTTP_GATEWAY_TIMEOUT, "timeout"},
};

void tg_reply_error(tg_request *r, const tg_error *e)
{
    const char *detail = e->message[0] != '\0' ? e->message : tg_error_text(e->code);
    for (size_t i = 0; i < sizeof(PROBLEMS) / sizeof(PROBLEMS[0]); i++)
        if (PROBLEMS[i].error == e->code) {
            reply_problem(r, PROBLEMS[i].status, PROBLEMS[i].code, detail);
            return;
        }
    reply_problem(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "internal", detail);
}

tg_worker *tg_admin_next_worker(tg_admin *a)
{
    uint32_t turn = atomic_fetch_add(&a->next_worker, 1);
    return tg_workers_at(a->workers, turn % tg_workers_count(a->workers));
}

static bool scheduled(tg_request *r, int rc)
{
    if (rc != 0)
        tg_reply_error(r, &(tg_error){.code = rc});
    return rc == 0;
}

bool tg_request_on_this(tg_request *r, tg_worker *w, void (*fn)(void *request))
{
    return tg_request_defer(r) && scheduled(r, tg_worker_run(w, fn, r));
}

bool tg_request_on_worker(tg_request *r, void (*fn)(void *request))
{
    return tg_request_on_this(r, tg_admin_next_worker(r->admin), fn);
}

// The control thread's loop ends before the API closes: what came in between is run when the
// workers are freed. It was answered for by then, and must not begin a reload any more.
static void run_on_control(void *ctx)
{
    tg_request *r = check(ctx);
    pthread_mutex_lock(&r->admin->lock);
    bool given_up = r->answered;
    pthread_mutex_unlock(&r->admin->lock);
    if (given_up)
        tg_request_unref(r);
    else
        r->run(r);
}

bool tg_request_on_control(tg_request *r, void (*fn)(void *request))
{
    r->run = fn;
    return tg_request_defer(r) &&
           scheduled(r, tg_control_run(r->admin->workers, run_on_control, r));
}

static void part_done(tg_request *r)
{
    if (atomic_fetch_sub(&r->parts, 1) == 1)
        r->end(r);
}

static void run_part(void *ctx)
{
    tg_request *r = check(ctx);
    r->part(r, tg_worker_index(tg_worker_here()));
    part_done(r);
}

void tg_request_on_all(tg_request *r, void (*part)(tg_request *r, uint32_t worker),
                       void (*end)(tg_request *r))
{
    if (!tg_request_defer(r))
        return;
    uint32_t n = tg_workers_count(r->admin->workers);
    r->part = part;
    r->end = end;
    atomic_store(&r->parts, n);
    for (uint32_t i = 0; i < n; i++)
        if (tg_worker_run(tg_workers_at(r->admin->workers, i), run_part, r) != 0)
            part_done(r); // its part is missing; the answer still comes
}

tg_slice tg_request_decode(tg_request *r, const char *raw)
{
    size_t size = raw != NULL ? strlen(raw) + 1 : 0;
    char *text = size > 0 ? tg_arena_alloc(&r->arena, size) : NULL;
    if (text == NULL)
        return (tg_slice){0};
    memcpy(text, raw, size);
    return (tg_slice){text, MHD_http_unescape(text)};
}

tg_slice tg_request_query(tg_request *r, const char *name)
{
    return tg_request_decode(
        r, MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, name));
}

bool tg_request_number(tg_request *r, const char *name, int64_t otherwise, int64_t min,
                       int64_t max, int64_t *out)
{
    tg_slice text = tg_request_query(r, name);
    *out = otherwise;
    if (text.at == NULL)
        return true;
    char *end;
    long long n = strtoll(text.at, &end, 10);
    if (text.len > 0 && end == text.at + text.len && n >= min && n <= max) {
        *out = n;
        return true;
    }
    tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid", "%s: a number from %lld to %lld",
                     name, (long long)min, (long long)max);
    return false;
}

bool tg_request_json(tg_request *r, tg_arena *arena, tg_value *out)
{
    tg_error e = {0};
    int rc = tg_json_read(tg_buf_slice(&r->body), arena, out, &e);
    if (rc == 0 && out->kind == TG_MAP)
        return true;
    tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "malformed",
                     "the body must be a JSON object%s%s", rc != 0 ? ": " : "",
                     rc != 0 ? e.message : "");
    return false;
}
