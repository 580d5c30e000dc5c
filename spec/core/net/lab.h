// SPDX-License-Identifier: Apache-2.0
/// What the tests of this room share: workers in threads, a listener whose events are
/// written down, and plain blocking sockets on the test's own thread as devices. Everything
/// waits for events, with a limit of some seconds after which the test fails.
#ifndef TG_SPEC_NET_LAB_H
#define TG_SPEC_NET_LAB_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "net/listener.h"

#include "../../support/check.h"

#define LAB_SECONDS 60 // of a machine that has much else to do, under a sanitizer
#define LAB_UNUSED __attribute__((unused))

/// Counts of what happened, from any thread.
typedef struct lab {
    tg_workers *ws;
    tg_listener *listener;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int opened, closed, idle, writable, released, data, done;
    int reason; // of the last close
    size_t bytes;
    tg_net_conn *conn; // the last opened
    void *arg;
} lab;

static lab the_lab = {.lock = PTHREAD_MUTEX_INITIALIZER,
                      .changed = PTHREAD_COND_INITIALIZER};

static LAB_UNUSED void lab_add(int *what)
{
    pthread_mutex_lock(&the_lab.lock);
    ++*what;
    pthread_cond_broadcast(&the_lab.changed);
    pthread_mutex_unlock(&the_lab.lock);
}

static LAB_UNUSED bool lab_reaches(const int *what, int n, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&the_lab.lock);
    int rc = 0;
    while (*what < n && rc == 0)
        rc = pthread_cond_clockwait(&the_lab.changed, &the_lab.lock, CLOCK_MONOTONIC,
                                    &until);
    bool reached = *what >= n;
    pthread_mutex_unlock(&the_lab.lock);
    return reached;
}

#define lab_wait(what, n) assert_true(lab_reaches(&the_lab.what, (n), LAB_SECONDS))

static LAB_UNUSED int lab_get(const int *what)
{
    pthread_mutex_lock(&the_lab.lock);
    int n = *what;
    pthread_mutex_unlock(&the_lab.lock);
    return n;
}

static LAB_UNUSED uint64_t lab_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/// Waits for what no event tells of.
#define lab_until(condition)                                                               \
    for (uint64_t end_ = lab_ms() + LAB_SECONDS * 1000; !(condition); poll(NULL, 0, 1))    \
    assert_true(lab_ms() < end_)

// Runs something on worker 0 and waits for it.

typedef struct lab_call {
    void (*fn)(tg_worker *w, void *ctx);
    void *ctx;
} lab_call;

static LAB_UNUSED int lab_on_first(tg_worker *w, void *ctx)
{
    lab_call *c = ctx;
    if (tg_worker_index(w) == 0)
        c->fn(w, c->ctx);
    return 0;
}

static LAB_UNUSED void lab_run(void (*fn)(tg_worker *w, void *ctx), void *ctx)
{
    lab_call c = {fn, ctx};
    tg_workers_call(the_lab.ws, lab_on_first, &c);
}

static LAB_UNUSED void lab_start(uint32_t workers)
{
    tg_error e = {0};
    the_lab.opened = the_lab.closed = the_lab.idle = the_lab.writable = 0;
    the_lab.released = the_lab.data = the_lab.done = the_lab.reason = 0;
    the_lab.bytes = 0;
    the_lab.conn = NULL;
    the_lab.listener = NULL;
    assert_int_equal(tg_workers_new(workers, 1 << 20, &the_lab.ws, &e), 0);
    assert_int_equal(tg_workers_start(the_lab.ws, &e), 0);
}

static LAB_UNUSED void lab_stop(void)
{
    if (the_lab.listener != NULL)
        tg_listener_close(the_lab.listener);
    tg_workers_stop(the_lab.ws, 2000);
    tg_workers_join(the_lab.ws);
    tg_workers_free(the_lab.ws);
    the_lab.ws = NULL;
}

// Events that write down what happens; data is sent back.

static LAB_UNUSED int lab_on_open(tg_net_conn *c, void *user)
{
    (void)user;
    pthread_mutex_lock(&the_lab.lock);
    the_lab.conn = c;
    pthread_mutex_unlock(&the_lab.lock);
    lab_add(&the_lab.opened);
    return 0;
}

static LAB_UNUSED int64_t lab_on_echo(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    int rc = tg_net_send(c, data);
    lab_add(&the_lab.data);
    return rc == 0 ? (int64_t)data.len : rc;
}

static LAB_UNUSED void lab_on_close(tg_net_conn *c, void *user, int reason)
{
    (void)c;
    (void)user;
    pthread_mutex_lock(&the_lab.lock);
    the_lab.reason = reason;
    pthread_mutex_unlock(&the_lab.lock);
    lab_add(&the_lab.closed);
}

static LAB_UNUSED void lab_on_idle(tg_net_conn *c, void *user)
{
    (void)c;
    (void)user;
    lab_add(&the_lab.idle);
}

static LAB_UNUSED void lab_on_writable(tg_net_conn *c, void *user)
{
    (void)c;
    (void)user;
    lab_add(&the_lab.writable);
}

static LAB_UNUSED tg_listener_spec lab_spec(void)
{
    return (tg_listener_spec){.name = TG_LIT("lab"),
                              .bind = TG_LIT("127.0.0.1:0"),
                              .events = {.on_open = lab_on_open,
                                         .on_data = lab_on_echo,
                                         .on_idle = lab_on_idle,
                                         .on_writable = lab_on_writable,
                                         .on_close = lab_on_close}};
}

static LAB_UNUSED void lab_listen(const tg_listener_spec *spec)
{
    tg_error e = {0};
    int rc = tg_listener_open(the_lab.ws, spec, &the_lab.listener, &e);
    if (rc != 0)
        print_error("%s\n", e.message);
    assert_int_equal(rc, 0);
}

static LAB_UNUSED uint16_t lab_port(void)
{
    const char *colon = strrchr(tg_listener_address(the_lab.listener), ':');
    return (uint16_t)atoi(colon + 1);
}

// Devices. A socket with a time limit is interrupted also when the process was stopped for a
// moment, without any handler: so its calls are made again.

/// @param window bytes that the kernel keeps for the device; 0 its own choice. Set before it
/// connects: a window that shrinks later makes the kernel drop what was sent for the old one.
static LAB_UNUSED int lab_connect_narrow(uint16_t port, int window)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval limit = {LAB_SECONDS, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (window > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (TEMP_FAILURE_RETRY(connect(fd, (struct sockaddr *)&a, sizeof(a))) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static LAB_UNUSED int lab_connect_to(uint16_t port)
{
    return lab_connect_narrow(port, 0);
}

static LAB_UNUSED int lab_connect(void)
{
    int fd = lab_connect_to(lab_port());
    assert_true(fd >= 0);
    return fd;
}

static LAB_UNUSED void lab_send(int fd, const void *at, size_t len)
{
    const char *p = at;
    while (len > 0) {
        ssize_t n = TEMP_FAILURE_RETRY(send(fd, p, len, MSG_NOSIGNAL));
        assert_true(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

static LAB_UNUSED ssize_t lab_recv(int fd, void *at, size_t len)
{
    return TEMP_FAILURE_RETRY(recv(fd, at, len, 0));
}

static LAB_UNUSED void lab_take(int fd, void *at, size_t len)
{
    char *got = at;
    while (len > 0) {
        ssize_t n = lab_recv(fd, got, len);
        assert_true(n > 0);
        got += n;
        len -= (size_t)n;
    }
}

static LAB_UNUSED void lab_expect(int fd, const void *want, size_t len)
{
    char *got = malloc(len);
    lab_take(fd, got, len);
    assert_memory_equal(got, want, len);
    free(got);
}

/// @return true when the peer closed in an orderly way; bytes before it are read away.
static LAB_UNUSED bool lab_sees_fin(int fd)
{
    char away[4096];
    ssize_t n;
    while ((n = lab_recv(fd, away, sizeof(away))) > 0)
        ;
    return n == 0;
}

static LAB_UNUSED int64_t lab_count(const char *event)
{
    char labels[100];
    snprintf(labels, sizeof(labels), "listener=\"lab\",event=\"%s\"", event);
    int id = tg_metric_find("tidegate_listener_events_total", labels);
    return id < 0 ? 0 : tg_metric_sum(id);
}

static int lab_log;

/// @return how many lines since the start hold `text`.
static LAB_UNUSED int lab_logged(const char *text)
{
    off_t size = lseek(lab_log, 0, SEEK_END);
    char *all = calloc(1, (size_t)size + 1);
    assert_int_equal(pread(lab_log, all, (size_t)size, 0), size);
    int n = 0;
    for (char *at = all; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    free(all);
    return n;
}

// Some tests hold both ends of more connections than a shell allows by default.
static LAB_UNUSED void lab_raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= 8192)
        return;
    r.rlim_cur = r.rlim_max < 8192 ? r.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &r);
}

static LAB_UNUSED int lab_setup(void **state)
{
    (void)state;
    lab_raise_descriptors();
    lab_log = memfd_create("log", MFD_CLOEXEC);
    assert_true(lab_log >= 0);
    tg_log_open(lab_log, TG_LOG_TEXT);
    tg_hash_seed();
    return tg_metrics_open(16);
}

static LAB_UNUSED int lab_teardown(void **state)
{
    (void)state;
    tg_metrics_close();
    return 0;
}

#define LAB_RUN(tests) cmocka_run_group_tests(tests, lab_setup, lab_teardown)

#endif
