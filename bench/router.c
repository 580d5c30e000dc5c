// SPDX-License-Identifier: Apache-2.0
// The router alone, in process: what a filter weighs, how fast topics find their receivers
// among many filters, and what subscribing beside it costs both. Times are those of the thread's
// own processor clock, so a busy machine changes them little; those of single matches are not.
//   router [filters]       default 1,000,000, which is what is promised
#include <pthread.h>
#include <unistd.h>

#include "base/map.h"
#include "base/metric.h"
#include "hub/gather.h"
#include "inproc.h"

#define SESSIONS 1000
#define MATCHES 2000000
#define MESSAGES 500000
#define BESIDE 1000000 // matches while another thread subscribes
#define BUCKETS 4096 // of 16 ns each
#define TEXT 64

typedef struct bench {
    tg_hub *hub;
    tg_shard *shard[2];
    tg_wheel *wheel[2];
    tg_session session[2][SESSIONS];
    uint32_t filters, topics;
    uint64_t seed;
    atomic_bool stop;
    double churn_rate;
} bench;

static uint64_t rnd(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// @param target for a million filters.
static void print(const bench *b, const char *what, double value, const char *unit,
                  double target, const char *better)
{
    char name[96];
    snprintf(name, sizeof(name), "%u filters: %s", (unsigned)b->filters, what);
    result(name, value, unit, b->filters == 1000000 ? target : 0, better);
}

// Topic `i`: plant, hall, line, machine, value. Machines are many, the other levels few.
static tg_slice topic(char *out, uint32_t i)
{
    uint64_t seed = i / 4;
    uint64_t x = rnd(&seed);
    static const char *const values[] = {"temperature", "pressure", "speed", "state"};
    int n =
        snprintf(out, TEXT, "plant%u/hall%u/line%u/m%06x/%s", (unsigned)(x % 20),
                 (unsigned)(x >> 8) % 30, (unsigned)(x >> 16) % 50, i / 4, values[i % 4]);
    return (tg_slice){out, (size_t)n};
}

static char *level(char *t, unsigned n)
{
    while (n-- > 0)
        t = strchr(t, '/') + 1;
    return t;
}

static tg_slice with_plus(char *t, unsigned at)
{
    char *from = level(t, at), *to = strchr(from, '/');
    *from++ = '+';
    memmove(from, to, strlen(to) + 1);
    return tg_str(t);
}

// Filter `i` of 2 × topics: the even ones are topics, the odd ones have wildcards, so that each
// topic has one to four receivers.
static tg_slice filter(char *out, uint32_t i)
{
    tg_slice t = topic(out, i / 2);
    if (i % 2 == 0)
        return t;
    switch (i / 2 % 4) {
    case 0:
        level(out, 4)[0] = '#';
        level(out, 4)[1] = '\0';
        return tg_str(out);
    case 1:
        return with_plus(out, 2);
    case 2:
        return with_plus(out, 0);
    default:
        with_plus(out, 1);
        return with_plus(out, 2);
    }
}

static bool send_nothing(void *net, uint32_t to, tg_mail *m, bool control)
{
    (void)net;
    (void)to;
    (void)control;
    m->run(m, NULL);
    return true;
}

static int take(void *link, tg_session s, const tg_delivery *d)
{
    (void)link;
    (void)s;
    (void)d;
    return 0;
}

static void ended(void *link, tg_session s, uint16_t number, int reason)
{
    (void)link;
    (void)number;
    (void)s;
    (void)reason;
    (void)number;
}

static const tg_link ops = {take, ended};

static void opened(void *ctx, int code, tg_session s, bool present)
{
    (void)present;
    if (code == 0)
        *(tg_session *)ctx = s;
}

static void open_shard(bench *b, unsigned n)
{
    b->wheel[n] = tg_wheel_new(1);
    if (tg_shard_open(b->hub, n, b->wheel[n], &b->shard[n]) < 0)
        abort();
    for (unsigned i = 0; i < SESSIONS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "client-%u-%u", n, i);
        tg_session_spec spec = {.size = sizeof(spec), .client_id = tg_str(id)};
        if (tg_session_open(b->shard[n], &ops, b, &spec, opened, &b->session[n][i]) < 0)
            abort();
    }
    tg_shard_turn(b->shard[n]);
}

// What the process has of the machine's memory.
static size_t memory(void)
{
    unsigned long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%lu %lu", &all, &resident) != 2)
        abort();
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void subscribe(bench *b, unsigned shard, tg_session s, tg_slice f)
{
    static const tg_sub sub = {.size = sizeof(sub), .qos = 1, .flags = TG_SUB_RETAIN_NEVER};
    if (tg_session_subscribe(b->shard[shard], s, f, &sub, NULL, NULL) < 0)
        abort();
}

static uint32_t *shuffled(uint32_t n, uint64_t seed)
{
    uint32_t *at = malloc(n * sizeof(*at));
    for (uint32_t i = 0; i < n; i++)
        at[i] = i;
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(rnd(&seed) % (i + 1)), t = at[i];
        at[i] = at[k];
        at[k] = t;
    }
    return at;
}

static void add_all(bench *b)
{
    uint32_t *order = shuffled(b->filters, 1);
    size_t before = memory();
    double start = thread_seconds();
    for (uint32_t i = 0; i < b->filters; i++) {
        char text[TEXT];
        subscribe(b, 0, b->session[0][order[i] % SESSIONS], filter(text, order[i]));
        if (i % 64 == 63)
            tg_shard_turn(b->shard[0]);
    }
    tg_shard_turn(b->shard[0]);
    double took = thread_seconds() - start;
    print(b, "memory of each, subscription included",
          (double)(memory() - before) / b->filters, "bytes", 215, "less");
    print(b, "subscribed", b->filters / took, "/s", 200000, "more");
    free(order);
}

// Messages are made before the clock runs.
static tg_msg *random_messages(const bench *b, uint32_t n, uint64_t seed)
{
    tg_msg *at = malloc(n * sizeof(*at));
    for (uint32_t i = 0; i < n; i++) {
        char text[TEXT];
        tg_msg_spec spec = {.size = sizeof(spec),
                            .topic = topic(text, (uint32_t)(rnd(&seed) % b->topics)),
                            .payload = TG_LIT("0123456789012345678901234567890123456789")};
        at[i] = tg_msg_new(&spec);
    }
    return at;
}

static void messages_free(tg_msg *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tg_msg_unref(at[i]);
    free(at);
}

static void match_alone(bench *b)
{
    tg_msg *m = random_messages(b, MESSAGES, 2);
    tg_gather *g = tg_gather_take(b->shard[0]);
    uint64_t receivers = 0;
    double start = thread_seconds();
    for (uint32_t i = 0; i < MATCHES; i++) {
        tg_gather_collect(b->shard[0], g, NULL, m[i % MESSAGES]);
        receivers += g->n;
    }
    double took = thread_seconds() - start;
    print(b, "topics matched", MATCHES / took, "/s and core", 1000000, "more");
    print(b, "receivers of a topic", (double)receivers / MATCHES, "", 0, "more");
    tg_gather_give(b->shard[0], g);
    messages_free(m, MESSAGES);
}

static void publish_alone(bench *b)
{
    tg_msg *m = random_messages(b, MESSAGES, 3);
    double start = thread_seconds();
    for (uint32_t i = 0; i < MESSAGES; i++)
        if (tg_session_publish(b->shard[0], (tg_session){0}, m[i], NULL, NULL) < 0)
            abort();
    double took = thread_seconds() - start;
    print(b, "publishes, QoS 0, delivered", MESSAGES / took, "/s and core", 0, "more");
    messages_free(m, MESSAGES);
}

static uint32_t buckets[BUCKETS];

// The time of single matches, as the 99th of a hundred has it.
static unsigned p99(bench *b, tg_msg *m)
{
    tg_gather *g = tg_gather_take(b->shard[0]);
    memset(buckets, 0, sizeof(buckets));
    for (uint32_t i = 0; i < BESIDE; i++) {
        double start = wall();
        tg_gather_collect(b->shard[0], g, NULL, m[i % MESSAGES]);
        unsigned ns = (unsigned)((wall() - start) * 1e9);
        buckets[ns / 16 < BUCKETS ? ns / 16 : BUCKETS - 1]++;
    }
    tg_gather_give(b->shard[0], g);
    uint32_t seen = 0;
    unsigned i = 0;
    while (i < BUCKETS && (seen += buckets[i]) < BESIDE / 100 * 99)
        i++;
    return i * 16;
}

// Subscribes and unsubscribes at 200,000 pairs a second, or as fast as it can below that.
static void *churn(void *arg)
{
    bench *b = arg;
    uint64_t seed = 5, n = 0;
    double start = wall();
    while (!atomic_load_explicit(&b->stop, memory_order_relaxed)) {
        char text[TEXT];
        tg_session s = b->session[1][n % SESSIONS];
        tg_slice f = filter(text, b->filters + (uint32_t)(rnd(&seed) % b->filters));
        subscribe(b, 1, s, f);
        if (tg_session_unsubscribe(b->shard[1], s, f, NULL, NULL) < 0)
            abort();
        n++;
        if (n % 32 == 0)
            tg_shard_turn(b->shard[1]);
        while ((double)n > (wall() - start) * 200000 &&
               !atomic_load_explicit(&b->stop, memory_order_relaxed))
            continue;
    }
    tg_shard_turn(b->shard[1]);
    b->churn_rate = (double)n / (wall() - start);
    return NULL;
}

static void churn_alone(bench *b)
{
    uint64_t seed = 9;
    double start = thread_seconds();
    for (unsigned i = 0; i < 200000; i++) {
        char text[TEXT];
        tg_session s = b->session[1][i % SESSIONS];
        tg_slice f = filter(text, b->filters + (uint32_t)(rnd(&seed) % b->filters));
        subscribe(b, 1, s, f);
        tg_session_unsubscribe(b->shard[1], s, f, NULL, NULL);
        if (i % 32 == 31)
            tg_shard_turn(b->shard[1]);
    }
    print(b, "subscribe and unsubscribe", 200000 / (thread_seconds() - start), "/s", 200000,
          "more");
}

static void match_beside(bench *b)
{
    tg_msg *m = random_messages(b, MESSAGES, 4);
    unsigned quiet = p99(b, m);
    pthread_t thread;
    pthread_create(&thread, NULL, churn, b);
    unsigned beside = p99(b, m);
    atomic_store(&b->stop, true);
    pthread_join(thread, NULL);
    print(b, "p99 of a match", quiet, "ns", 0, "less");
    print(b, "p99 while another core subscribes and unsubscribes", beside, "ns", 0, "less");
    print(b, "times the p99 grows by that", (double)beside / quiet, "", 2, "less");
    print(b, "subscribed and unsubscribed meanwhile", b->churn_rate, "/s", 0, "more");
    messages_free(m, MESSAGES);
}

int main(int argc, char **argv)
{
    static bench b;
    b.filters = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    b.topics = b.filters / 2;
    if (b.topics == 0)
        return 2;
    tg_hash_seed();
    tg_metrics_open(1);
    tg_hub_config c = {.workers = 2, .send = send_nothing};
    tg_error e;
    if (tg_hub_new(&c, &b.hub, &e) < 0)
        return 1;
    open_shard(&b, 0);
    open_shard(&b, 1);
    add_all(&b);
    match_alone(&b);
    publish_alone(&b);
    churn_alone(&b);
    match_beside(&b);
    tg_shard_close(b.shard[0]);
    tg_shard_close(b.shard[1]);
    tg_hub_free(b.hub);
    tg_wheel_free(b.wheel[0]);
    tg_wheel_free(b.wheel[1]);
    tg_metrics_close();
    return 0;
}
