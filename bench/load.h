// SPDX-License-Identifier: Apache-2.0
/// What the load generators share: clocks, a histogram of latencies, sockets on loopback, and
/// what the kernel knows about the server's process.
#ifndef TG_BENCH_LOAD_H
#define TG_BENCH_LOAD_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

_Noreturn TG_PRINTF(1, 2) static inline void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// 32 steps in each power of two: 3 % wide at most, from 1 ns to hours, without a search.
enum { HIST_STEPS = 32, HIST_BUCKETS = 64 * HIST_STEPS };
typedef struct hist {
    uint64_t count, max;
    uint64_t at[HIST_BUCKETS];
} hist;

static inline unsigned hist_bucket(uint64_t ns)
{
    if (ns < HIST_STEPS)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns); // >= 5
    return (power - 4) * HIST_STEPS + (unsigned)(ns >> (power - 5)) % HIST_STEPS;
}

static inline void hist_add(hist *h, uint64_t ns)
{
    h->count++;
    h->at[hist_bucket(ns)]++;
    if (ns > h->max)
        h->max = ns;
}

static inline void hist_merge(hist *into, const hist *h)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->at[i] += h->at[i];
    into->count += h->count;
    if (h->max > into->max)
        into->max = h->max;
}

/// @return the upper end, in µs, of the bucket in which the `share` of all lies.
static inline double hist_us(const hist *h, double share)
{
    uint64_t want = (uint64_t)((double)h->count * share), seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->at[i];
        if (seen <= want)
            continue;
        unsigned power = i / HIST_STEPS + 4;
        uint64_t ns = i < HIST_STEPS
                          ? i
                          : (UINT64_C(1) << power) +
                                (((uint64_t)(i % HIST_STEPS) + 1) << (power - 5));
        return (double)(ns < h->max ? ns : h->max) / 1e3;
    }
    return (double)h->max / 1e3;
}

/// As many descriptors as the system lets us have.
static inline void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

/// Starts connecting to 127.0.0.1:port. Each 20,000 connections come from another loopback
/// address: one has not ports enough for more. @return a descriptor that does not block.
static inline int start_connect(uint16_t port, unsigned index)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / 20000);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        die("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        die("connect to port %u: %s", port, strerror(errno));
    return fd;
}

static inline int socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

/// Sends what is in `b`. @return false when something is left: wait for EPOLLOUT.
static inline bool send_buf(int fd, tg_buf *b)
{
    while (b->len > 0) {
        ssize_t n = send(fd, b->at, b->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            die("send: %s", strerror(errno));
        tg_buf_drop(b, (size_t)n);
    }
    return true;
}

// The processor time of every thread, in ns; schedstat is exact where stat counts ticks.
static inline uint64_t process_cpu_ns(int pid)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = pid > 0 ? opendir(path) : NULL;
    uint64_t sum = 0, ns;
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", pid, d->d_name);
        FILE *f = d->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f == NULL)
            continue;
        if (fscanf(f, "%" SCNu64, &ns) == 1)
            sum += ns;
        fclose(f);
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

/// @return resident bytes of process `pid`; 0 when it is unknown.
static inline uint64_t process_rss(int pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *f = pid > 0 ? fopen(path, "r") : NULL;
    uint64_t pages = 0;
    if (f != NULL && fscanf(f, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

#endif
