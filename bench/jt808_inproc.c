// SPDX-License-Identifier: Apache-2.0
// A JT/T 808 position with five extra items, from the bytes as they come off a socket to the
// JSON message that a subscriber of the hub is handed: escapes, checksum, the Lua adapter's
// decode and handler, JSON, topic, router, delivery, and the answer to the terminal. The
// connection is a real one, authenticated over loopback; its frames are shown to it as a read of
// the socket would show them, many at once.
#include "base/buf.h"
#include "codec/frame.h"
#include "hub/hub.h"
#include "inhost.h"
#include "net/conn_impl.h"

enum { FRAMES = 500, BATCHES = 600, WARM_BATCHES = 40 }; // a busy turn reads as many

typedef struct bench {
    inhost host;
    char *frames; // with the room in front that a read buffer has
    size_t len;
    int fd;
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

static void put_byte(tg_buf *out, unsigned char byte)
{
    if (byte == 0x7D || byte == 0x7E) {
        tg_buf_putc(out, 0x7D);
        byte = byte == 0x7D ? 1 : 2;
    }
    tg_buf_putc(out, (char)byte);
}

static void put_frame(tg_buf *out, unsigned id, unsigned serial, const void *body,
                      size_t len)
{
    unsigned char f[128] = {(unsigned char)(id >> 8),
                            (unsigned char)id,
                            0,
                            (unsigned char)len,
                            0x01,
                            0x38,
                            0x00,
                            0x13,
                            0x80,
                            0x00, // the phone
                            (unsigned char)(serial >> 8),
                            (unsigned char)serial};
    unsigned char sum = 0;
    memcpy(f + 12, body, len);
    tg_buf_putc(out, 0x7E);
    for (size_t i = 0; i < 12 + len; i++) {
        sum ^= f[i];
        put_byte(out, f[i]);
    }
    put_byte(out, sum);
    tg_buf_putc(out, 0x7E);
}

/// `n` moves it a little.
static void put_location(tg_buf *out, unsigned serial, unsigned n)
{
    unsigned char b[] = {
        0,    0,    0,    0,    0,    0x0C, 0,    3, // alarms, status
        0x01, 0xDC, 0x88, 0x30, 0x07, 0x3D, 0x70, 0x30, // latitude, longitude
        0,    10,   2,    0x58, 0,    90, // altitude, speed, direction
        0x26, 0x08, 0x07, 0x18, 0x10, 0x00, // time
        0x01, 4,    0,    1,    0x12, 0x34, // mileage
        0x02, 2,    1,    0x2C, // fuel
        0x03, 2,    2,    0x50, // recorder speed
        0x30, 1,    28, // signal
        0x31, 1,    14, // satellites
    };
    b[11] = (unsigned char)n;
    b[15] = (unsigned char)(n >> 1);
    b[27] = (unsigned char)(n % 6 << 4 | n % 10);
    put_frame(out, 0x0200, serial, b, sizeof(b));
}

static void log_in(int fd)
{
    tg_buf login = {0};
    char answer[20]; // no byte of it needs an escape
    put_frame(&login, 0x0102, 1, "code", 4);
    if (write(fd, login.at, login.len) != (ssize_t)login.len ||
        recv(fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
        fail("the login was not answered", NULL);
    tg_buf_free(&login);
}

/// The answers must not fill the socket: they are read as a terminal would.
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
    for (unsigned i = 0; i < FRAMES; i++)
        put_location(&out, i + 2, i);
    b->frames = out.at;
    b->len = out.len - TG_READ_HEAD;
}

int main(int argc, char **argv)
{
    static bench b;
    inhost_start(&b.host, argc > 1 ? argv[1] : "build/release/plugins");
    inhost_load(&b.host, "jt808");
    inhost_listen(&b.host, "jt808");
    int fd = start_connect(b.host.port, 0);
    fcntl(fd, F_SETFL, 0);
    log_in(fd);
    b.fd = fd;
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
    result("JT/T 808 position to a JSON message, through Lua",
           (double)frames / ((double)b.cpu_ns / 1e9), "/s and core", 200000, "more");
    close(fd);
    inhost_stop(&b.host);
    free(b.frames);
    return 0;
}
