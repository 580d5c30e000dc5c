// SPDX-License-Identifier: Apache-2.0
// A GB/T 32960 report of an electric car (whole vehicle, a motor, position, extremes,
// alarms), from the bytes as they come off a socket to the JSON message that a subscriber
// of the hub is handed, on a vehicle's link: framer, checksum, the Lua adapter's decode and
// handler, JSON, topic, router, delivery. The connection is a real one, logged in over
// loopback.
#include <fcntl.h>
#include <sys/socket.h>

#include "hub/hub.h"
#include "inhost.h"
#include "net/conn_impl.h"

enum { FRAMES = 250, BATCHES = 400, WARM_BATCHES = 40, ANSWER_SIZE = 31 };

typedef struct bench {
    inhost host;
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

// ---- frames ---------------------------------------------------------------------------------

static void put_frame(tg_buf *out, uint8_t command, const void *unit, size_t len)
{
    size_t start = out->len;
    const uint8_t head[] = {'#', '#', command, 0xFE};
    const uint8_t tail[] = {1, (uint8_t)(len >> 8), (uint8_t)len};
    tg_buf_put(out, head, sizeof(head));
    tg_buf_put(out, "LTEST000000000001", 17);
    tg_buf_put(out, tail, sizeof(tail));
    tg_buf_put(out, unit, len);
    uint8_t bcc = 0;
    for (size_t i = start + 2; i < out->len; i++)
        bcc ^= (uint8_t)out->at[i];
    tg_buf_putc(out, (char)bcc);
}

static void put_report(tg_buf *out, unsigned n)
{
    const uint8_t unit[] = {
        26,
        11,
        24,
        14,
        (uint8_t)(n / 60 % 60),
        (uint8_t)(n % 60),
        // vehicle
        1,
        1,
        3,
        1,
        2,
        (uint8_t)n,
        0,
        2,
        0xDB,
        0x63,
        0x0D,
        0xE9,
        0x2A,
        0x79,
        71,
        1,
        0x2E,
        0x10,
        0x18,
        18,
        0,
        // a motor
        2,
        1,
        1,
        1,
        92,
        0x65,
        0x90,
        0x53,
        0xB6,
        78,
        0x0D,
        0xE6,
        0x29,
        0x9F,
        // position
        5,
        0,
        7,
        0x3E,
        0x21,
        (uint8_t)n,
        1,
        0xDC,
        0x29,
        0x26,
        // extremes
        6,
        1,
        17,
        0x0E,
        0x40,
        1,
        2,
        0x0E,
        0x2A,
        1,
        1,
        70,
        1,
        5,
        66,
        // alarms
        7,
        1,
        0,
        0,
        0,
        0x10,
        1,
        0,
        0,
        1,
        2,
        0,
        0,
        0,
    };
    put_frame(out, 2, unit, sizeof(unit));
}

static void log_in(int fd)
{
    static const char unit[] = "\x1a\x0b\x18\x0e\0\0"
                               "\0\1"
                               "89860000000000000001\0";
    tg_buf login = {0};
    char answer[ANSWER_SIZE];
    put_frame(&login, 1, unit, sizeof(unit)); // its last byte: codes of no length
    if (write(fd, login.at, login.len) != (ssize_t)login.len ||
        recv(fd, answer, sizeof(answer), MSG_WAITALL) != ANSWER_SIZE || answer[3] != 1)
        fail("the login was not answered", NULL);
    tg_buf_free(&login);
}

static void make_frames(bench *b)
{
    tg_buf out = {0};
    tg_buf_reserve(&out, TG_READ_HEAD);
    out.len = TG_READ_HEAD;
    for (unsigned i = 0; i < FRAMES; i++)
        put_report(&out, i);
    b->frames = out.at;
    b->len = out.len - TG_READ_HEAD;
}

// ---- the run --------------------------------------------------------------------------------

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

int main(int argc, char **argv)
{
    static bench b;
    inhost_start(&b.host, argc > 1 ? argv[1] : "build/release/plugins");
    inhost_load(&b.host, "gbt32960");
    inhost_listen(&b.host, "gbt32960");
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
    result("GB/T 32960 report to a JSON message, through Lua",
           (double)frames / ((double)b.cpu_ns / 1e9), "/s and core", 60000, "more");
    close(fd);
    inhost_stop(&b.host);
    free(b.frames);
    return 0;
}
