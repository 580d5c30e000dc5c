// SPDX-License-Identifier: Apache-2.0
// A report of each protocol in Lua, from the bytes as they come off a socket to the JSON message
// that a subscriber of the hub is handed: framer, checksum, the adapter's decode and handler,
// JSON, topic, router, delivery. The connection is a real one, logged in over loopback; its
// frames are shown to it as a read of the socket would show them, many at once, as in a busy
// turn. Usage: frames [plugins] [adapter]
#include <sys/wait.h>

#include "gbt32960_frames.h"
#include "gt06_frames.h"
#include "hub/hub.h"
#include "inhost.h"
#include "jt808_frames.h"
#include "net/conn_impl.h"

enum { BATCHES = 500, WARM_BATCHES = 40, ANSWER_MAX = 64 };

typedef struct protocol {
    const char *adapter;
    const char *name; // of the result
    double target; // reports a second and core
    unsigned frames; // of one read
    size_t answer; // bytes of the login's
    void (*login)(tg_buf *out);
    void (*report)(tg_buf *out, unsigned n);
} protocol;

typedef struct bench {
    inhost host;
    const protocol *p;
    int fd;
    char *frames; // with the room in front that a read buffer has
    size_t len;
    uint64_t delivered;
    uint64_t cpu_ns; // of the worker
    char sample[2048];
} bench;

static int on_deliver(void *link, tg_session s, const tg_delivery *d)
{
    (void)s;
    bench *b = link;
    tg_slice p = d->msg->payload;
    if (p.len == 0 || p.at[0] != '{' || p.at[p.len - 1] != '}')
        fail("a payload that is no JSON object", NULL);
    if (++b->delivered == b->p->frames)
        snprintf(b->sample, sizeof(b->sample), "%.*s %.*s", (int)d->msg->topic.len,
                 d->msg->topic.at, (int)p.len, p.at);
    return 0;
}

static void on_ended(void *link, tg_session s, uint16_t number, int reason)
{
    (void)link;
    (void)number;
    (void)s;
    (void)number, (void)reason;
}

static void on_subscribed(void *ctx, int code, const tg_value *value)
{
    (void)ctx;
    (void)value;
    if (code != 0)
        fail("subscribe", NULL);
}

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    (void)present;
    bench *b = ctx;
    tg_sub sub = {.size = sizeof(sub)};
    tg_shard *shard = tg_hub_shard(tg_runtime_hub(b->host.rt), 0);
    if (code != 0 ||
        tg_session_subscribe(shard, s, TG_LIT("#"), &sub, on_subscribed, b) != 0)
        fail("open a session", NULL);
}

static void subscribe(tg_worker *w, void *ctx)
{
    (void)w;
    static const tg_link link = {on_deliver, on_ended};
    bench *b = ctx;
    tg_session_spec spec = {
        .size = sizeof(spec), .clean_start = 1, .client_id = TG_LIT("bench")};
    tg_shard *shard = tg_hub_shard(tg_runtime_hub(b->host.rt), 0);
    if (tg_session_open(shard, &link, b, &spec, on_opened, b) != 0)
        fail("open a session", NULL);
}

static void log_in(bench *b)
{
    tg_buf login = {0};
    char answer[ANSWER_MAX];
    b->p->login(&login);
    if (write(b->fd, login.at, login.len) != (ssize_t)login.len ||
        recv(b->fd, answer, b->p->answer, MSG_WAITALL) != (ssize_t)b->p->answer)
        fail("the login was not answered", NULL);
    tg_buf_free(&login);
}

/// What a protocol answers must not fill the socket: it is read as a device would.
static void drink(int fd)
{
    char bytes[65536];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void show_frames(void *ctx, tg_net_conn *c)
{
    bench *b = ctx;
    tg_conn_deliver(c, b->frames + TG_READ_HEAD, b->len);
}

static void run_batch(tg_worker *w, void *ctx)
{
    tg_net_each(w, show_frames, ctx);
}

static uint64_t worker_ns(bench *b)
{
    struct timespec t;
    clock_gettime(tg_worker_cpu_clock(tg_workers_at(tg_runtime_workers(b->host.rt), 0)),
                  &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run_batches(bench *b, int n)
{
    uint64_t before = worker_ns(b);
    for (int i = 0; i < n; i++) {
        inhost_do(&b->host, run_batch, b);
        drink(b->fd);
    }
    b->cpu_ns = worker_ns(b) - before;
}

static void make_frames(bench *b)
{
    tg_buf out = {0};
    tg_buf_reserve(&out, TG_READ_HEAD);
    out.len = TG_READ_HEAD;
    for (unsigned i = 0; i < b->p->frames; i++)
        b->p->report(&out, i);
    b->frames = out.at;
    b->len = out.len - TG_READ_HEAD;
}

static void run(const char *plugins, const protocol *p)
{
    static const bench none;
    static bench b;
    b = none;
    b.p = p;
    inhost_start(&b.host, plugins);
    inhost_load(&b.host, p->adapter);
    inhost_listen(&b.host, p->adapter);
    b.fd = start_connect(b.host.port, 0);
    fcntl(b.fd, F_SETFL, 0);
    log_in(&b);
    inhost_do(&b.host, subscribe, &b);
    make_frames(&b);
    run_batches(&b, WARM_BATCHES);
    uint64_t before = b.delivered;
    run_batches(&b, BATCHES);
    uint64_t frames = (uint64_t)p->frames * BATCHES;
    fprintf(stderr, "%s\n", b.sample);
    if (b.delivered - before != frames)
        fail("not every frame became a message", NULL);
    result(p->name, (double)frames / ((double)b.cpu_ns / 1e9), "/s and core", p->target,
           "more");
    close(b.fd);
    inhost_stop(&b.host);
    free(b.frames);
}

// ---- the protocols --------------------------------------------------------------------------

static void gt06_log_in(tg_buf *out)
{
    gt06_login(out, 1, 1);
}

static void gt06_report(tg_buf *out, unsigned n)
{
    gt06_location(out, (uint16_t)(n + 2), n);
}

static void jt808_log_in(tg_buf *out)
{
    jt808_frame(out, 138000, 0x0102, 1, "code", 4);
}

static void jt808_report(tg_buf *out, unsigned n)
{
    jt808_location(out, 138000, n + 2, n);
}

static void gbt32960_log_in(tg_buf *out)
{
    gbt32960_login(out, 1);
}

static void gbt32960_moves(tg_buf *out, unsigned n)
{
    gbt32960_report(out, 1, n);
}

static const protocol protocols[] = {
    {"gt06", "GT06 location frame to a JSON message, through Lua", 250000, 500,
     GT06_ANSWER_SIZE, gt06_log_in, gt06_report},
    {"jt808", "JT/T 808 position to a JSON message, through Lua", 200000, 500, 20,
     jt808_log_in, jt808_report},
    {"gbt32960", "GB/T 32960 report to a JSON message, through Lua", 60000, 250,
     GBT32960_LOGIN_ANSWER, gbt32960_log_in, gbt32960_moves},
};

/// In a process of its own: what another one left in the heap would show.
static bool run_alone(const char *plugins, const protocol *p)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        run(plugins, p);
        exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    bool fine = true;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (argc < 3 || strcmp(argv[2], protocols[i].adapter) == 0)
            fine &= run_alone(argc > 1 ? argv[1] : "build/release/plugins", &protocols[i]);
    return fine ? 0 : 1;
}
