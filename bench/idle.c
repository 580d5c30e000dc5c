// SPDX-License-Identifier: Apache-2.0
// What a connection costs that says nothing: real connections of GT06 trackers to the host in
// this process, before and after their login. A login adds a session and the script's object;
// the other side of the sockets is only descriptors. Measured twice: what the allocator gave
// out, and what the process holds in memory.
#include <malloc.h>

#include "gt06_frames.h"
#include "inhost.h"

enum { CONNECTIONS = 8000, WARM = 200 };

typedef struct usage {
    double allocated, resident;
} usage;

static usage measure(void)
{
    malloc_trim(0);
    struct mallinfo2 m = mallinfo2(); // all arenas
    return (usage){(double)m.uordblks + (double)m.hblkhd, (double)tg_process_rss(getpid())};
}

// A script's garbage goes in the worker's idle time: it is waited for, a few seconds at most.
static usage measure_at_rest(void)
{
    static const struct timespec nap = {0, 200000000};
    usage now = measure(), before;
    int i = 0;
    do {
        before = now;
        nanosleep(&nap, NULL);
        now = measure();
    } while (now.allocated < before.allocated && ++i < 20);
    return now;
}

static void settle(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
}

static void open_some(inhost *h, int *fds, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        fds[i] = start_connect(h->port, (unsigned)i);
        fcntl(fds[i], F_SETFL, 0);
        if (i % 64 == 63)
            inhost_do(h, settle, NULL);
    }
}

static void log_in_some(int *fds, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        tg_buf login = {0};
        char answer[GT06_ANSWER_SIZE];
        gt06_login(&login, 1, (unsigned)i);
        if (write(fds[i], login.at, login.len) != (ssize_t)login.len ||
            recv(fds[i], answer, sizeof(answer), MSG_WAITALL) != GT06_ANSWER_SIZE)
            fail("a login was not answered", NULL);
        tg_buf_free(&login);
    }
}

static void wait_for_connections(uint32_t n)
{
    static const struct timespec nap = {0, 1000000};
    for (int i = 0; i < 10000; i++) {
        int64_t open = tg_metric_sum(tg_metric_find("tidegate_net_connections", ""));
        if (open >= (int64_t)n)
            return;
        nanosleep(&nap, NULL);
    }
    fail("the connections did not arrive", NULL);
}

static void report(const char *what, usage a, usage b, double target)
{
    char name[96];
    snprintf(name, sizeof(name), "idle connection, %s: allocated", what);
    result(name, (b.allocated - a.allocated) / CONNECTIONS, "bytes", target, "less");
    snprintf(name, sizeof(name), "idle connection, %s: resident", what);
    result(name, (b.resident - a.resident) / CONNECTIONS, "bytes", target, "less");
}

int main(int argc, char **argv)
{
    static int fds[WARM + CONNECTIONS];
    static inhost h;
    tg_raise_descriptors();
    inhost_start(&h, argc > 1 ? argv[1] : "build/release/plugins");
    inhost_load(&h, "gt06");
    inhost_listen(&h, "gt06");
    open_some(&h, fds, 0, WARM); // pools and tables have their first size then
    log_in_some(fds, 0, WARM);
    usage empty = measure_at_rest();
    open_some(&h, fds, WARM, CONNECTIONS);
    wait_for_connections(WARM + CONNECTIONS);
    usage connected = measure_at_rest();
    log_in_some(fds, WARM, CONNECTIONS);
    inhost_do(&h, settle, NULL);
    usage logged_in = measure_at_rest();
    report("connected", empty, connected, 2000);
    report("logged in, with its session", empty, logged_in, 2000);
    for (int i = 0; i < WARM + CONNECTIONS; i++)
        close(fds[i]);
    inhost_stop(&h);
    return 0;
}
