// SPDX-License-Identifier: Apache-2.0
// A GT06 location frame, from the bytes as they come off a socket to the JSON message that a
// subscriber of the hub is handed: framer, checksum, the Lua adapter's decode and handler,
// JSON, topic, router, delivery. The connection is a real one, logged in over loopback; its
// frames are shown to it as a read of the socket would show them, many at once.
#include "gt06_frames.h"
#include "hub/hub.h"
#include "inhost.h"
#include "net/conn_impl.h"

enum { FRAMES = 500, BATCHES = 600, WARM_BATCHES = 40 }; // a busy turn reads as many

typedef struct bench {
    inhost host;
    char *frames; // with the room in front that a read buffer has
    size_t len;
    uint64_t delivered;
    uint64_t cpu_ns; // of the worker
    char sample[512];
} bench;

static int on_deliver(void *link, tg_session s, const tg_delivery *d)
{
    (void)s;
    bench *b = link;
    tg_slice p = d->msg->payload;
    if (p.len == 0 || p.at[0] != '{' || p.at[p.len - 1] != '}')
        fail("a payload that is no JSON object", NULL);
    if (++b->delivered == FRAMES)
        snprintf(b->sample, sizeof(b->sample), "%.*s %.*s", (int)d->msg->topic.len,
                 d->msg->topic.at, (int)p.len, p.at);
    return 0;
}

static void on_ended(void *link, tg_session s, int reason)
{
    (void)link;
    (void)s;
    (void)reason;
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

static void log_in(int fd)
{
    tg_buf login = {0};
    char answer[GT06_ANSWER_SIZE];
    gt06_login(&login, 1, 1);
    if (write(fd, login.at, login.len) != (ssize_t)login.len ||
        recv(fd, answer, sizeof(answer), MSG_WAITALL) != GT06_ANSWER_SIZE)
        fail("the login was not answered", NULL);
    tg_buf_free(&login);
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
    for (int i = 0; i < n; i++)
        inhost_do(&b->host, run_batch, b);
    b->cpu_ns = worker_ns(b) - before;
}

static void make_frames(bench *b)
{
    tg_buf out = {0};
    tg_buf_reserve(&out, TG_READ_HEAD);
    out.len = TG_READ_HEAD;
    for (unsigned i = 0; i < FRAMES; i++)
        gt06_location(&out, (uint16_t)(i + 2), i);
    b->frames = out.at;
    b->len = out.len - TG_READ_HEAD;
}

int main(int argc, char **argv)
{
    static bench b;
    inhost_start(&b.host, argc > 1 ? argv[1] : "build/release/plugins");
    inhost_load(&b.host, "gt06");
    inhost_listen(&b.host, "gt06");
    int fd = start_connect(b.host.port, 0);
    fcntl(fd, F_SETFL, 0);
    log_in(fd);
    inhost_do(&b.host, subscribe, &b);
    make_frames(&b);
    run_batches(&b, WARM_BATCHES);
    inhost_do(&b.host, run_batch, &b);
    uint64_t before = b.delivered;
    run_batches(&b, BATCHES);
    uint64_t frames = (uint64_t)FRAMES * BATCHES;
    fprintf(stderr, "%s\n", b.sample);
    if (b.delivered - before != frames)
        fail("not every frame became a message", NULL);
    result("GT06 location frame to a JSON message, through Lua",
           (double)frames / ((double)b.cpu_ns / 1e9), "/s and core", 250000, "more");
    close(fd);
    inhost_stop(&b.host);
    free(b.frames);
    return 0;
}
