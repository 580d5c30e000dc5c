// SPDX-License-Identifier: Apache-2.0
// What a session costs that does nothing, with one subscription of its own, and whether that
// depends on how many there are: memory while its device is connected and after it left, and
// the processor time to open it, to reach it with a message, and to let it expire. Only the hub
// is here: connections have a bench of their own (idle).
//   sessions [number]      default 100,000
#include <malloc.h>
#include <unistd.h>

#include "base/map.h"
#include "base/metric.h"
#include "hub/hub.h"
#include "inproc.h"

enum { MESSAGES = 200000, EXPIRY_S = 60, TURN = 64, STEP_MS = 10 };

typedef struct bench {
    tg_hub *hub;
    tg_wheel *wheel;
    tg_shard *shard;
    tg_session *sessions;
    uint32_t n, opened;
    uint64_t delivered, seed;
} bench;

static uint64_t now_ms = 1700000000000; // the hub's clock takes no context

static uint64_t bench_clock(void)
{
    return now_ms;
}

static bool send_now(void *net, uint32_t to, tg_mail *m, bool control)
{
    (void)to;
    (void)control;
    m->run(m, ((bench *)net)->shard);
    return true;
}

static int on_deliver(void *link, tg_session s, const tg_delivery *d)
{
    (void)s;
    (void)d;
    ((bench *)link)->delivered++;
    return 0;
}

static void on_ended(void *link, tg_session s, uint16_t number, int reason)
{
    (void)link;
    (void)number;
    (void)s;
    (void)number, (void)reason;
}

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    bench *b = ctx;
    if (code != 0 || present)
        fail("open a session", NULL);
    b->sessions[b->opened++] = s;
}

static void hub_open(bench *b)
{
    tg_error e = {0};
    tg_hash_seed();
    tg_metrics_open(1);
    tg_hub_config c = {.workers = 1, .send = send_now, .net = b, .clock = bench_clock};
    b->wheel = tg_wheel_new(now_ms);
    if (tg_hub_new(&c, &b->hub, &e) < 0 ||
        tg_shard_open(b->hub, 0, b->wheel, &b->shard) < 0)
        fail("hub", &e);
}

static void hub_close(bench *b)
{
    tg_shard_close(b->shard);
    tg_hub_free(b->hub);
    tg_wheel_free(b->wheel);
    tg_metrics_close();
    free(b->sessions);
}

static double resident(void)
{
    unsigned long all = 0, pages = 0;
    malloc_trim(0);
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%lu %lu", &all, &pages) != 2)
        fail("/proc/self/statm", NULL);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void open_one(bench *b, uint32_t i)
{
    static const tg_link ops = {on_deliver, on_ended};
    static const tg_sub sub = {.size = sizeof(sub), .qos = 1, .flags = TG_SUB_RETAIN_NEVER};
    char id[32], filter[48];
    snprintf(id, sizeof(id), "device-%08u", i);
    snprintf(filter, sizeof(filter), "fleet/%s/down", id);
    tg_session_spec spec = {
        .size = sizeof(spec), .client_id = tg_str(id), .expiry_s = EXPIRY_S};
    if (tg_session_open(b->shard, &ops, b, &spec, on_opened, b) < 0)
        fail("open a session", NULL);
    tg_shard_turn(b->shard);
    if (b->opened != i + 1 || tg_session_subscribe(b->shard, b->sessions[i], tg_str(filter),
                                                   &sub, NULL, NULL) < 0)
        fail("subscribe", NULL);
}

static void publish_one(bench *b, uint32_t to)
{
    char topic[48];
    snprintf(topic, sizeof(topic), "fleet/device-%08u/down", to);
    tg_msg_spec spec = {
        .size = sizeof(spec), .topic = tg_str(topic), .payload = TG_LIT("{\"lock\":true}")};
    tg_msg m = tg_msg_new(&spec);
    if (m == NULL || tg_session_publish(b->shard, (tg_session){0}, m, NULL, NULL) < 0)
        fail("publish", NULL);
    tg_msg_unref(m);
}

static void publish_all(bench *b)
{
    for (uint32_t i = 0; i < MESSAGES; i++) {
        b->seed = b->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        publish_one(b, (uint32_t)(b->seed >> 33) % b->n);
        if (i % TURN == 0)
            tg_shard_turn(b->shard);
    }
    if (b->delivered != MESSAGES)
        fail("not every message arrived once", NULL);
}

static void close_all(bench *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (tg_session_close(b->shard, b->sessions[i], 0) < 0)
            fail("close", NULL);
        if (i % TURN == 0)
            tg_shard_turn(b->shard);
    }
    tg_shard_turn(b->shard);
}

static void expire_all(bench *b)
{
    for (unsigned ms = 0; ms <= (EXPIRY_S + 2) * 1000; ms += STEP_MS) {
        now_ms += STEP_MS;
        tg_wheel_run(b->wheel, now_ms);
        tg_shard_turn(b->shard);
    }
}

static void count(void *ctx, const tg_session_info *i)
{
    (void)i;
    ++*(uint32_t *)ctx;
}

static uint32_t sessions(bench *b)
{
    uint32_t n = 0;
    tg_shard_each_session(b->shard, count, &n);
    return n;
}

static void print(const bench *b, const char *what, double value, const char *unit,
                  double target)
{
    char name[96];
    snprintf(name, sizeof(name), "%u sessions: %s", (unsigned)b->n, what);
    result(name, value, unit, target, "less");
}

int main(int argc, char **argv)
{
    static bench b;
    b.n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    b.sessions = b.n > 0 ? malloc(b.n * sizeof(*b.sessions)) : NULL;
    if (b.sessions == NULL)
        return 2;
    memset(b.sessions, 0xff, b.n * sizeof(*b.sessions)); // in memory before it is measured
    hub_open(&b);
    double empty = resident(), start = thread_seconds();
    for (uint32_t i = 0; i < b.n; i++)
        open_one(&b, i);
    double opened = thread_seconds(), used = resident();
    print(&b, "connected, one subscription", (used - empty) / b.n, "bytes", 0);
    print(&b, "opened, with a subscription", (opened - start) / b.n * 1e6, "µs", 0);
    start = thread_seconds();
    publish_all(&b);
    print(&b, "a message to one, delivered", (thread_seconds() - start) / MESSAGES * 1e6,
          "µs", 0);
    close_all(&b);
    print(&b, "offline, one subscription", (resident() - empty) / b.n, "bytes", 0);
    if (sessions(&b) != b.n)
        fail("sessions are lost", NULL);
    start = thread_seconds();
    expire_all(&b);
    print(&b, "expired", (thread_seconds() - start) / b.n * 1e6, "µs", 0);
    if (sessions(&b) != 0)
        fail("sessions are left", NULL);
    hub_close(&b);
    return 0;
}
