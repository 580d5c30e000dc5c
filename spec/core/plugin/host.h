// SPDX-License-Identifier: Apache-2.0
/// A whole runtime for a test, devices that type lines at it, and a pump for the control loop,
/// which is the test's own thread.
#ifndef TG_SPEC_PLUGIN_HOST_H
#define TG_SPEC_PLUGIN_HOST_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/metric.h"
#include "codec/json_read.h"
#include "plugin/runtime.h"

#include "files.h"

#define WAIT_MS 60000 // of a machine that has much else to do, under a sanitizer

typedef struct host {
    tg_runtime *rt;
    char folder[128]; ///< installed plugins
    char private[160]; ///< their copies
    char address[64]; ///< of the listener "main"
    tg_arena arena;
} host;

static inline uint64_t ms_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/// Values of tests are written as JSON.
static inline const tg_value *json(host *h, const char *text)
{
    tg_error e = {0};
    tg_value *v = tg_arena_alloc(&h->arena, sizeof(*v));
    tg_slice kept = tg_arena_copy(&h->arena, tg_str(text));
    if (tg_json_read(kept, &h->arena, v, &e) < 0)
        fail_msg("%s", e.message);
    return v;
}

static inline tg_runtime_config config_of(host *h, uint32_t workers)
{
    return (tg_runtime_config){
        .workers = workers,
        .hub = {.inflight = 32,
                .queue_messages = 1000,
                .queue_bytes = 1 << 20,
                .rx_inflight = 32,
                .subscriptions = 100,
                .expiry_max_s = 3600,
                .queue_qos0 = true},
        .auth = json(h, "[\"users\", \"probe\"]"),
        .users = json(h, "[{\"user\": \"ann\", \"password\": \"secret\"}]"),
        .plugin_path = h->folder,
        .state_dir = h->private,
        .kv_bytes = 1 << 20,
    };
}

static inline void host_begin(host *h)
{
    memset(h, 0, sizeof(*h));
    tg_log_set_level(NULL, TG_LOG_ERROR);
    make_folder(h->folder, sizeof(h->folder));
    snprintf(h->private, sizeof(h->private), "%s-private", h->folder);
    assert_int_equal(mkdir(h->private, 0700), 0);
}

static inline void host_start(host *h, const tg_runtime_config *c)
{
    tg_error e = {0};
    if (tg_runtime_new(c, &h->rt, &e) < 0 || tg_runtime_start(h->rt, &e) < 0)
        fail_msg("%s", e.message);
}

static inline char *installed(host *h, const char *name)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/%s.so", h->folder, name);
    char *out = tg_arena_alloc(&h->arena, sizeof(path));
    return strcpy(out, path);
}

static inline void must_load(host *h, const char *name, const char *config)
{
    tg_error e = {0};
    const tg_value *v = config != NULL ? json(h, config) : NULL;
    if (tg_plugins_load(h->rt, name, v, "etc/test.lua", name, &e) < 0)
        fail_msg("%s", e.message);
}

static inline void must_listen(host *h, const char *spec, char *address)
{
    tg_error e = {0};
    if (tg_listeners_open(h->rt, json(h, spec), NULL, "listeners[1]", address, 64, &e) < 0)
        fail_msg("%s", e.message);
}

/// Two workers, the probe, and a listener for it that lets anybody in.
static inline void host_serve(host *h)
{
    tg_runtime_config c = config_of(h, 2);
    host_start(h, &c);
    install("probe", installed(h, "probe"));
    must_load(h, "probe", NULL);
    must_listen(h,
                "{\"name\": \"main\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\", "
                "\"anonymous\": true}",
                h->address);
}

static inline void host_up(host *h)
{
    host_begin(h);
    host_serve(h);
}

static inline void host_down(host *h)
{
    tg_runtime_stop(h->rt, 2000);
    tg_runtime_free(h->rt);
    tg_metrics_close();
    assert_int_equal(remove_folder(h->private), 0); // copies are gone as soon as they run
    remove_folder(h->folder);
    tg_arena_free(&h->arena);
}

/// Runs what waits for the control thread, for a moment at most.
static inline void pump(host *h)
{
    struct pollfd p = {uv_backend_fd(tg_control_uv(tg_runtime_workers(h->rt))), POLLIN, 0};
    poll(&p, 1, 10);
    uv_run(tg_control_uv(tg_runtime_workers(h->rt)), UV_RUN_NOWAIT);
}

#define UNTIL(h, condition)                                                                \
    for (uint64_t end_ = ms_now() + WAIT_MS; !(condition);) {                              \
        assert_true(ms_now() < end_);                                                      \
        pump(h);                                                                           \
    }

static inline int64_t metric(const char *name)
{
    return tg_metric_sum(tg_metric_find(name, ""));
}

/// How often the probe was told `what`, since the process began.
static inline int64_t told(const char *what)
{
    char name[64];
    snprintf(name, sizeof(name), "tidegate_probe_%s", what);
    int id = tg_metric_find(name, "");
    return id >= 0 ? tg_metric_sum(id) : 0;
}

typedef struct seen {
    uint32_t versions, live;
    int64_t connections, frames, errors;
    char version[32], state[16], error[512];
} seen;

static inline void see(void *ctx, const tg_version_info *i)
{
    seen *s = ctx;
    s->versions++;
    s->live += strcmp(i->state, "live") == 0;
    s->connections += i->connections;
    s->frames += i->frames;
    s->errors += i->errors;
    snprintf(s->version, sizeof(s->version), "%s", i->version);
    snprintf(s->state, sizeof(s->state), "%s", i->state);
    snprintf(s->error, sizeof(s->error), "%s", i->last_error);
}

static inline seen look(host *h)
{
    seen s = {0};
    tg_plugins_each(h->rt, see, &s);
    return s;
}

// Devices. A socket with a time limit is interrupted also when the process was stopped for a
// moment, without any handler: so its calls are made again.

static inline int dial_to(const char *address)
{
    const char *colon = strrchr(address, ':');
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(colon + 1))};
    struct timeval wait = {WAIT_MS / 1000, 0};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(TEMP_FAILURE_RETRY(connect(fd, (struct sockaddr *)&to, sizeof(to))),
                     0);
    return fd;
}

static inline void type_bytes(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline void type(int fd, const char *text)
{
    char whole[600];
    int n = snprintf(whole, sizeof(whole), "%s\n", text);
    type_bytes(fd, whole, (size_t)n);
}

/// @return the next line without its end; "" when the peer closed.
static inline const char *hear(int fd)
{
    static char text[2048];
    size_t n = 0;
    while (n + 1 < sizeof(text)) {
        ssize_t got = TEMP_FAILURE_RETRY(recv(fd, text + n, 1, 0));
        if (got < 0 && errno != ECONNRESET)
            fail_msg("nothing heard: %s", strerror(errno));
        if (got <= 0 || text[n] == '\n')
            break;
        n++;
    }
    text[n] = '\0';
    return text;
}

/// Something can be heard.
static inline bool speaks(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

#define EXPECT(fd, line) assert_string_equal(hear(fd), line)

static inline void hung_up(int fd)
{
    EXPECT(fd, "");
    close(fd);
}

#endif
