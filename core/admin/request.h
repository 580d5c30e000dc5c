// SPDX-License-Identifier: Apache-2.0
/// One request of the API: what the client asked, and the one answer it gets. The answer may
/// be given by the HTTP thread, or later by any thread after tg_request_defer().
#ifndef TG_ADMIN_REQUEST_H
#define TG_ADMIN_REQUEST_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "admin/admin.h"
#include "admin/token.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"

#define TG_REQUEST_PARAMS 2

typedef struct tg_request tg_request;

typedef struct tg_route {
    const char *method;
    const char *path; ///< "/api/v1/clients/{id}": a parameter stands for one segment
    tg_role role; ///< who may; TG_ROLE_NONE: without a token
    void (*handle)(tg_request *r);
} tg_route;

struct tg_request {
    uint32_t magic;
    atomic_uint refs; ///< the HTTP connection's, and one while deferred
    tg_admin *admin;
    struct MHD_Connection *conn;
    const tg_route *route;
    char *path; ///< decoded in place
    tg_slice params[TG_REQUEST_PARAMS]; ///< of the path
    tg_arena arena; ///< what the request needs until it is answered; one thread at a time
    tg_buf body;
    tg_list node; ///< in the admin's list while deferred
    bool deferred; ///< the connection is suspended; under the admin's lock
    bool answered; ///< under the admin's lock
    bool too_big; ///< the body went over the limit
    unsigned status;
    struct MHD_Response *response;
    void *work; ///< of the handler's own, between threads; in the arena
    void (*run)(void *request); ///< of tg_request_on_control()
    atomic_uint parts; ///< workers that tg_request_on_all() still waits for
    void (*part)(tg_request *r, uint32_t worker);
    void (*end)(tg_request *r);
};

struct tg_admin {
    uint32_t magic;
    tg_runtime *rt;
    tg_workers *workers;
    tg_admin_config config;
    char token[TG_TOKEN_SIZE + 1];
    char address[64];
    struct MHD_Daemon *daemon;
    atomic_uint next_worker;
    tg_log_gate denied; ///< the HTTP thread's
    int metric_requests, metric_denied, metric_streams, metric_stream_bytes;
    pthread_mutex_t lock;
    tg_list pending; ///< deferred requests
    tg_list streams; ///< open streams
    bool closing;
    tg_buf problems; ///< under the lock
};

/// Suspends the connection: the handler may return, and any thread answers. The caller then
/// holds a reference, which the answer takes. @return false: the API is closing, answered.
bool tg_request_defer(tg_request *r);

/// Each answers once; a later answer is dropped. Any thread.
void tg_reply_json(tg_request *r, unsigned status, tg_buf *json); ///< takes the bytes
void tg_reply_text(tg_request *r, const char *type, tg_buf *text); ///< takes the bytes
void tg_reply_empty(tg_request *r); ///< 204
void tg_reply_response(tg_request *r, unsigned status, struct MHD_Response *response);
/// application/problem+json. @param code stable, for programs: "not_found"
TG_PRINTF(4, 5)
void tg_reply_problem(tg_request *r, unsigned status, const char *code, const char *fmt,
                      ...);
/// The same with more members of the object, as they are written.
void tg_reply_problem_with(tg_request *r, unsigned status, const char *code, tg_slice more,
                           const char *detail);
/// The same for an error of the ABI: NOTFOUND is 404, and so on.
void tg_reply_error(tg_request *r, const tg_error *e);

/// Answers for a thread that has not done so yet and still holds its reference.
void tg_request_abandon(tg_request *r);

/// Defers `r` and runs `fn` where the state lives; `fn` answers. @return false: it will not
/// run, and that was answered.
bool tg_request_on_worker(tg_request *r, void (*fn)(void *request));
bool tg_request_on_this(tg_request *r, tg_worker *w, void (*fn)(void *request));
bool tg_request_on_control(tg_request *r, void (*fn)(void *request));
/// Workers take turns in what the API asks of any one of them.
tg_worker *tg_admin_next_worker(tg_admin *a);

/// Runs `part(worker, request, index)` on every worker, then `end(request)` on the last one.
void tg_request_on_all(tg_request *r, void (*part)(tg_request *r, uint32_t worker),
                       void (*end)(tg_request *r));

/// A copy of what stands in the query string, decoded. @param raw NULL gives an empty one.
tg_slice tg_request_decode(tg_request *r, const char *raw);
/// An argument of the query string, decoded; empty when it is missing.
tg_slice tg_request_query(tg_request *r, const char *name);
/// A number of the query string. @return false: out of bounds or no number, answered.
bool tg_request_number(tg_request *r, const char *name, int64_t otherwise, int64_t min,
                       int64_t max, int64_t *out);
/// The body as a JSON map, in `arena`. @return false: it is none, answered.
bool tg_request_json(tg_request *r, tg_arena *arena, tg_value *out);

tg_request *tg_request_new(tg_admin *a, struct MHD_Connection *conn, const char *path);
void tg_request_unref(tg_request *r);

/// The table of routes (routes.c). Sets route and params. @return 0, 404 or 405; for 405
/// `allow` gets the methods there are.
unsigned tg_route_find(tg_request *r, const char *method, tg_buf *allow);
/// @return `path`, not decoded yet, has the form of `pattern`.
bool tg_path_fits(const char *pattern, const char *path);
/// Decodes in place what stands for the pattern's parameters. Each ends with a NUL.
void tg_path_take(const char *pattern, char *path, tg_slice params[TG_REQUEST_PARAMS]);

#endif
