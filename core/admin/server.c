// SPDX-License-Identifier: Apache-2.0
// The HTTP side: one libmicrohttpd thread, epoll, connections suspended while another thread
// works on their answer. What must hold for every request, whoever asks, is checked here
// before a handler runs: the Host header, the token, the role, the body's size.
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/handlers.h"
#include "base/metric.h"

#define ADMIN_MAGIC 0xad314a91u
#define IDLE_S 30 ///< a connection that neither asks nor takes is closed

/// A browser tricked by DNS rebinding sends the attacker's name. An address cannot be rebound,
/// so only names have to be known.
static bool host_allowed(const tg_admin *a, const char *header)
{
    char name[256];
    struct in6_addr scratch;
    bool bracket = *header == '[';
    size_t len = strcspn(header += bracket, bracket ? "]" : ":");
    if (len == 0 || len >= sizeof(name))
        return false;
    memcpy(name, header, len);
    name[len] = '\0';
    if (bracket)
        return inet_pton(AF_INET6, name, &scratch) == 1;
    if (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &scratch) == 1)
        return true;
    const tg_value *hosts = a->config.hosts;
    for (size_t i = 0; hosts != NULL && i < hosts->list.count; i++)
        if (hosts->list.items[i].string.len == len &&
            strncasecmp(hosts->list.items[i].string.at, name, len) == 0)
            return true;
    return false;
}

static bool check_host(tg_request *r)
{
    const char *host = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Host");
    if (host != NULL && host_allowed(r->admin, host))
        return true;
    tg_reply_problem(r, MHD_HTTP_MISDIRECTED_REQUEST, "wrong_host",
                     "this host does not answer to the name in the Host header; see "
                     "admin.hosts in the config");
    return false;
}

/// The role of who asks. One token today; each of several would bring its own.
static tg_role role_of(const tg_request *r)
{
    const char *header =
        MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization");
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
        return TG_ROLE_NONE;
    bool known = tg_token_eq(tg_str(header + 7), tg_str(r->admin->token));
    return known ? TG_ROLE_ADMIN : TG_ROLE_NONE;
}

static void peer_of(struct MHD_Connection *conn, char out[INET6_ADDRSTRLEN])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *peer = info != NULL ? info->client_addr : NULL;
    const void *raw = NULL;
    if (peer != NULL && peer->sa_family == AF_INET)
        raw = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    else if (peer != NULL && peer->sa_family == AF_INET6)
        raw = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    if (raw == NULL || inet_ntop(peer->sa_family, raw, out, INET6_ADDRSTRLEN) == NULL)
        memcpy(out, "?", 2);
}

/// Somebody who tries tokens is counted each time and logged now and then.
static void note_denied(tg_request *r)
{
    char peer[INET6_ADDRSTRLEN];
    struct timespec now;
    uint32_t held;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (!tg_log_gate_pass(&r->admin->denied, ms, 5, &held))
        return;
    peer_of(r->conn, peer);
    tg_field fields[] = {TG_F("peer", peer), TG_F("path", r->path),
                         TG_FN("left_out", held)};
    tg_log_write(TG_MOD_ADMIN, TG_LOG_WARN, fields, 3, "refused: no valid token");
}

static bool check_role(tg_request *r)
{
    tg_role have = r->route->role == TG_ROLE_NONE ? TG_ROLE_NONE : role_of(r);
    if (have >= r->route->role)
        return true;
    note_denied(r);
    if (have == TG_ROLE_NONE)
        tg_reply_problem(r, MHD_HTTP_UNAUTHORIZED, "unauthorized",
                         "a bearer token is needed; the host keeps it in its token file");
    else
        tg_reply_problem(r, MHD_HTTP_FORBIDDEN, "forbidden", "this needs the role %s",
                         tg_role_name(r->route->role));
    return false;
}

static bool check_route(tg_request *r, const char *method)
{
    tg_buf allow = {0};
    unsigned status = tg_route_find(r, method, &allow);
    if (status == MHD_HTTP_NOT_FOUND)
        tg_reply_problem(r, status, "no_such_path", "there is nothing at %s", r->path);
    else if (status != 0)
        tg_reply_problem(r, status, "method_not_allowed", "%s takes %.*s", r->path,
                         (int)allow.len, allow.at);
    tg_buf_free(&allow);
    return status == 0;
}

static void take_body(tg_request *r, const char *data, size_t *size)
{
    if (r->body.len + *size > (size_t)r->admin->config.body_max)
        r->too_big = true;
    else
        tg_buf_put(&r->body, data, *size);
    *size = 0;
}

static void dispatch(tg_request *r, const char *method)
{
    if (r->too_big)
        tg_reply_problem(r, MHD_HTTP_CONTENT_TOO_LARGE, "too_big",
                         "a body may have %lld bytes",
                         (long long)r->admin->config.body_max);
    else if (check_route(r, method) && check_role(r))
        r->route->handle(r);
}

static enum MHD_Result queue(tg_request *r, struct MHD_Connection *conn)
{
    tg_admin *a = r->admin;
    pthread_mutex_lock(&a->lock);
    struct MHD_Response *response = r->answered ? r->response : NULL;
    pthread_mutex_unlock(&a->lock);
    if (response == NULL)
        return MHD_YES; // suspended: called again after the answer
    return MHD_queue_response(conn, r->status, response);
}

/// Called with *state NULL when the header is in, then for each piece of the body, then with
/// no more of it, and once more after a resume.
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)version;
    tg_request *r = *state;
    if (r == NULL) {
        *state = r = tg_request_new(ctx, conn, url);
        if (r == NULL)
            return MHD_NO;
        return check_host(r) ? MHD_YES : queue(r, conn);
    }
    if (*size > 0) {
        take_body(r, data, size);
        return MHD_YES;
    }
    if (!r->answered && !r->deferred)
        dispatch(r, method);
    return queue(r, conn);
}

static void on_completed(void *ctx, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode how)
{
    (void)ctx;
    (void)conn;
    (void)how;
    if (*state != NULL)
        tg_request_unref(*state);
    *state = NULL;
}

/// Paths and arguments are decoded segment by segment, see path.c.
static size_t keep_escapes(void *ctx, struct MHD_Connection *conn, char *text)
{
    (void)ctx;
    (void)conn;
    return strlen(text);
}

TG_PRINTF(2, 0) static void on_log(void *ctx, const char *fmt, va_list args)
{
    (void)ctx;
    char text[512];
    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    tg_log(ADMIN, DEBUG, "http: %s", text);
}

typedef struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    bool is_v6;
    char host[64];
} address;

static bool parse_port(const char *text, uint16_t *out)
{
    char *end;
    long port = strtol(text, &end, 10);
    if (end == text || *end != '\0' || port < 0 || port > 65535)
        return false;
    *out = htons((uint16_t)port);
    return true;
}

static int parse_address(tg_slice bind, address *out, tg_error *e)
{
    char text[80];
    *out = (address){0};
    snprintf(text, sizeof(text), "%.*s", (int)bind.len, bind.at);
    char *colon = strrchr(text, ':');
    uint16_t port = 0;
    if (colon == NULL || !parse_port(colon + 1, &port))
        return tg_error_set(
            e, TG_E_INVAL,
            "admin.bind: '%s' is no address and port; write 127.0.0.1:18083 or "
            "[::1]:18083",
            text);
    *colon = '\0';
    char *host = text;
    if (colon > text && *text == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        host = text + 1;
        out->is_v6 = true;
    }
    snprintf(out->host, sizeof(out->host), "%s", host);
    out->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    if (out->is_v6)
        out->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    void *raw = out->is_v6 ? (void *)&out->v6.sin6_addr : (void *)&out->v4.sin_addr;
    if (inet_pton(out->is_v6 ? AF_INET6 : AF_INET, host, raw) != 1)
        return tg_error_set(e, TG_E_INVAL,
                            "admin.bind: '%s' is no IP address; write 127.0.0.1:18083 or "
                            "[::1]:18083",
                            host);
    return 0;
}

static int open_daemon(tg_admin *a, const address *at, tg_error *e)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG | (at->is_v6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    a->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_SOCK_ADDR, &at->any, MHD_OPTION_NOTIFY_COMPLETED, on_completed, a,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)a->config.connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (a->daemon == NULL)
        return tg_error_set(e, TG_E_IO, "admin API: cannot listen on %.*s: %s",
                            (int)a->config.bind.len, a->config.bind.at,
                            errno != 0 ? strerror(errno) : "no resources");
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT);
    snprintf(a->address, sizeof(a->address), at->is_v6 ? "[%s]:%u" : "%s:%u", at->host,
             info != NULL ? (unsigned)info->port : 0);
    return 0;
}

static void define_metrics(tg_admin *a)
{
    a->metric_requests = tg_metric_add_def(TG_COUNTER, "tidegate_admin_requests_total", "",
                                           "Requests that the admin API answered.");
    a->metric_denied = tg_metric_add_def(TG_COUNTER, "tidegate_admin_denied_total", "",
                                         "Requests without a token or the role for it.");
    a->metric_streams = tg_metric_add_def(TG_GAUGE, "tidegate_admin_streams", "",
                                          "Open readers of /subscribe.");
    a->metric_stream_bytes =
        tg_metric_add_def(TG_COUNTER, "tidegate_admin_stream_bytes_total", "",
                          "Bytes written to readers of /subscribe.");
}

int tg_admin_start(tg_runtime *rt, const tg_admin_config *config, tg_admin **out,
                   tg_error *e)
{
    address at;
    int rc = parse_address(config->bind, &at, e);
    if (rc != 0)
        return rc;
    tg_admin *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    a->magic = ADMIN_MAGIC;
    a->rt = rt;
    a->workers = tg_runtime_workers(rt);
    a->config = *config;
    a->config.hosts = config->hosts != NULL ? tg_value_copy(config->hosts) : NULL;
    pthread_mutex_init(&a->lock, NULL);
    tg_list_init(&a->pending);
    tg_list_init(&a->streams);
    define_metrics(a);
    rc = tg_token_open(config->token_file, a->token, e);
    if (rc == 0)
        rc = open_daemon(a, &at, e);
    if (rc != 0) {
        tg_admin_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

/// @return one with a reference of its own; NULL when none is left.
static tg_request *first_pending(tg_admin *a)
{
    pthread_mutex_lock(&a->lock);
    tg_request *r = NULL;
    if (!tg_list_empty(&a->pending)) {
        r = TG_OWNER(a->pending.next, tg_request, node);
        atomic_fetch_add(&r->refs, 1);
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

void tg_admin_stop(tg_admin *a)
{
    assert(a != NULL && a->magic == ADMIN_MAGIC);
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_mutex_unlock(&a->lock);
    for (tg_request *r = first_pending(a); r != NULL; r = first_pending(a)) {
        tg_request_abandon(r);
        tg_request_unref(r);
    }
    tg_streams_end(a);
    MHD_stop_daemon(a->daemon);
    a->daemon = NULL;
}

void tg_admin_free(tg_admin *a)
{
    if (a == NULL)
        return;
    assert(a->magic == ADMIN_MAGIC && a->daemon == NULL);
    pthread_mutex_destroy(&a->lock);
    tg_buf_free(&a->problems);
    tg_value_free((tg_value *)a->config.hosts);
    a->magic = 0;
    free(a);
}

const char *tg_admin_address(const tg_admin *a)
{
    return a->address;
}

void tg_admin_set_problems(tg_admin *a, tg_slice text)
{
    pthread_mutex_lock(&a->lock);
    tg_buf_clear(&a->problems);
    tg_buf_put(&a->problems, text.at, text.len);
    pthread_mutex_unlock(&a->lock);
}
