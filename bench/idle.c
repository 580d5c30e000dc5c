// SPDX-License-Identifier: Apache-2.0
// What a connection costs that says nothing: real connections of GT06 trackers, JT/T 808
// terminals and GB/T 32960 vehicles to the host in this process, before their login and after it
// and some heartbeats. A login adds a session and the script's object; the other side of the
// sockets is only descriptors. Measured twice: what the allocator gave out, and what the process
// holds in memory. Usage: idle [plugins] [adapter]
#include <malloc.h>
#include <sys/wait.h>

#include "gbt32960_frames.h"
#include "gt06_frames.h"
#include "inhost.h"
#include "jt808_frames.h"

enum { CONNECTIONS = 8000, WARM = 200, HEARTBEATS = 10 };

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

static void say(int fd, tg_buf *out)
{
    if (write(fd, out->at, out->len) != (ssize_t)out->len)
        fail("a login was not taken", NULL);
    out->len = 0;
}

static void hear(int fd, size_t len)
{
    char answer[64];
    if (recv(fd, answer, len, MSG_WAITALL) != (ssize_t)len)
        fail("a login or a heartbeat was not answered", NULL);
}

static void gt06_log_in(int fd, unsigned device)
{
    tg_buf out = {0};
    gt06_login(&out, 1, device);
    say(fd, &out);
    hear(fd, GT06_ANSWER_SIZE);
    for (unsigned i = 0; i < HEARTBEATS; i++) {
        gt06_heartbeat(&out, (uint16_t)(i + 2));
        say(fd, &out);
        hear(fd, GT06_ANSWER_SIZE);
    }
    tg_buf_free(&out);
}

static void gbt32960_log_in(int fd, unsigned device)
{
    tg_buf out = {0};
    gbt32960_login(&out, device + 1);
    say(fd, &out);
    hear(fd, GBT32960_LOGIN_ANSWER);
    for (unsigned i = 0; i < HEARTBEATS; i++) {
        gbt32960_frame(&out, device + 1, 7, "", 0);
        say(fd, &out);
        hear(fd, GBT32960_LOGIN_ANSWER - 6); // without a time
    }
    tg_buf_free(&out);
}

/// Up to the flag that closes a frame. @return bytes in it, still escaped
static size_t jt808_read(int fd, char frame[128])
{
    size_t n = 0;
    while (n < 128 && (n < 2 || frame[n - 1] != 0x7E))
        if (recv(fd, frame + n++, 1, 0) != 1)
            fail("a login was not answered", NULL);
    return n;
}

static void jt808_log_in(int fd, unsigned device)
{
    tg_buf out = {0};
    char frame[128];
    jt808_register(&out, device, 1);
    say(fd, &out);
    size_t n = jt808_read(fd, frame);
    if (n < 20 || frame[1] != (char)0x81 || frame[15] != 0)
        fail("a registration was refused", NULL);
    jt808_frame(&out, device, 0x0102, 2, frame + 16,
                n - 18); // codes are letters and digits
    say(fd, &out);
    if (jt808_read(fd, frame) < 18 || frame[1] != (char)0x80)
        fail("a login was refused", NULL);
    for (unsigned i = 0; i < HEARTBEATS; i++) {
        jt808_frame(&out, device, 0x0002, i + 3, "", 0);
        say(fd, &out);
        jt808_read(fd, frame);
    }
    tg_buf_free(&out);
}

static const struct {
    const char *adapter, *name;
    double bytes; // promised
    void (*log_in)(int fd, unsigned device);
} kinds[] = {
    {"gt06", "idle connection", 2000, gt06_log_in},
    {"jt808", "idle JT/T 808 terminal", 2048, jt808_log_in},
    {"gbt32960", "idle GB/T 32960 vehicle", 2048, gbt32960_log_in},
};

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

static void report(const char *of, const char *what, usage a, usage b, double target)
{
    char name[96];
    snprintf(name, sizeof(name), "%s, %s: allocated", of, what);
    result(name, (b.allocated - a.allocated) / CONNECTIONS, "bytes", target, "less");
    snprintf(name, sizeof(name), "%s, %s: resident", of, what);
    result(name, (b.resident - a.resident) / CONNECTIONS, "bytes", target, "less");
}

static void run(const char *plugins, size_t kind)
{
    static int fds[WARM + CONNECTIONS];
    static inhost h;
    tg_raise_descriptors();
    inhost_start(&h, plugins);
    inhost_load(&h, kinds[kind].adapter);
    inhost_listen(&h, kinds[kind].adapter);
    open_some(&h, fds, 0, WARM); // pools and tables have their first size then
    wait_for_connections(WARM);
    for (int i = 0; i < WARM; i++)
        kinds[kind].log_in(fds[i], (unsigned)i);
    usage empty = measure_at_rest();
    open_some(&h, fds, WARM, CONNECTIONS);
    wait_for_connections(WARM + CONNECTIONS);
    usage connected = measure_at_rest();
    for (int i = WARM; i < WARM + CONNECTIONS; i++)
        kinds[kind].log_in(fds[i], (unsigned)i);
    inhost_do(&h, settle, NULL);
    usage logged_in = measure_at_rest();
    const char *name = kinds[kind].name;
    if (kind == 0)
        report(name, "connected", empty, connected, 2000);
    report(name, "logged in, with its session", empty, logged_in, kinds[kind].bytes);
    for (int i = 0; i < WARM + CONNECTIONS; i++)
        close(fds[i]);
    inhost_stop(&h);
}

/// A process for each kind: what the allocator kept of one would be a gift to the next.
int main(int argc, char **argv)
{
    const char *plugins = argc > 1 ? argv[1] : "build/release/plugins";
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        if (argc > 2 && strcmp(argv[2], kinds[kind].adapter) != 0)
            continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            run(plugins, kind);
            return 0;
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return 1;
    }
    return 0;
}
