// SPDX-License-Identifier: Apache-2.0
// A load generator for MQTT servers on this machine. Each scenario is a number of publishers
// and subscribers and a number of messages; everything else is the engine's. The phases of a
// run are walked through by all threads together, so that what is measured begins when every
// client is connected and subscribed, and ends with the last delivery.
#include <getopt.h>
#include <pthread.h>

#include "mqtt_flow.h"

enum { QUIET_NS = 2000000000, SETTLE_NS = 300000000 }; // nothing came: it is over

typedef struct run {
    options o;
    loader *loaders;
    client *clients; // publishers first
    flow *flows;
    uint32_t nclients, npubs;
    uint64_t deliveries; // expected
    pthread_barrier_t step;
    atomic_bool stop;
    uint64_t began, ended, cpu, rss_before, rss_after;
} run;

static const char *const shapes[] = {"pairs",    "fanout",  "fanin", "filters",
                                     "retained", "connect", "idle",  NULL};

static void usage(void)
{
    puts(
        "mqtt_load [options] — load for an MQTT server on 127.0.0.1; results as JSON\n"
        "  --scenario NAME   pairs     N publishers, each to a subscriber of its own\n"
        "                    fanout    one publisher, N subscribers\n"
        "                    fanin     N publishers, one subscriber with a wildcard\n"
        "                    filters   F wildcard filters over S subscribers, N "
        "publishers\n"
        "                    retained  M retained messages to N new subscribers\n"
        "                    connect   N connections, W of them under way at a time\n"
        "                    idle      N connections that are held\n"
        "  --port P          (1883)\n"
        "  --clients N       (10)\n"
        "  --subs S          subscribers of `filters` (10)\n"
        "  --filters F       (10000)\n"
        "  --messages M      published in all (100000)\n"
        "  --qos Q           0, 1 or 2 (0)\n"
        "  --window W        messages under way, of one publisher (32)\n"
        "  --payload BYTES   at least 16 (64)\n"
        "  --rate R          messages a second in all, spread evenly (as fast as it goes)\n"
        "  --seconds S       ends the run at the latest (30); `idle`: how long to hold "
        "(2)\n"
        "  --threads T       (1)\n"
        "  --server-pid PID  its processor time and memory go into the results");
    exit(0);
}

static unsigned shape_from(const char *name)
{
    for (unsigned i = 0; shapes[i] != NULL; i++)
        if (strcmp(shapes[i], name) == 0)
            return i;
    die("no such scenario: %s (see --help)", name);
}

static unsigned number(const char *text, unsigned min, unsigned max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < min || n > max)
        die("'%s' is no number from %u to %u", text, min, max);
    return (unsigned)n;
}

static void set_option(options *o, int opt, const char *arg)
{
    switch (opt) {
    case 'x':
        o->shape = (shape)shape_from(arg);
        break;
    case 'p':
        o->port = (uint16_t)number(arg, 1, 65535);
        break;
    case 'c':
        o->clients = number(arg, 1, 1000000);
        break;
    case 's':
        o->subs = number(arg, 1, 100000);
        break;
    case 'f':
        o->filters = number(arg, 1, 10000000);
        break;
    case 'm':
        o->messages = number(arg, 1, UINT32_MAX);
        break;
    case 'q':
        o->qos = number(arg, 0, 2);
        break;
    case 'w':
        o->window = number(arg, 1, 60000);
        break;
    case 'b':
        o->payload = number(arg, STAMP_SIZE, 1 << 20);
        break;
    case 'r':
        o->rate = number(arg, 1, 100000000);
        break;
    case 't':
        o->seconds = number(arg, 1, 600);
        break;
    case 'T':
        o->threads = number(arg, 1, 64);
        break;
    case 'P':
        o->server_pid = (int)number(arg, 1, INT32_MAX);
        break;
    case 'h':
        usage();
        break;
    default:
        exit(2);
    }
}

static options read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"scenario", 1, NULL, 'x'},   {"port", 1, NULL, 'p'},    {"clients", 1, NULL, 'c'},
        {"subs", 1, NULL, 's'},       {"filters", 1, NULL, 'f'}, {"messages", 1, NULL, 'm'},
        {"qos", 1, NULL, 'q'},        {"window", 1, NULL, 'w'},  {"payload", 1, NULL, 'b'},
        {"rate", 1, NULL, 'r'},       {"seconds", 1, NULL, 't'}, {"threads", 1, NULL, 'T'},
        {"server-pid", 1, NULL, 'P'}, {"help", 0, NULL, 'h'},    {0},
    };
    options o = {.port = 1883,
                 .clients = 10,
                 .subs = 10,
                 .filters = 10000,
                 .messages = 100000,
                 .window = 32,
                 .payload = 64,
                 .threads = 1};
    for (int opt; (opt = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        set_option(&o, opt, optarg);
    if (o.seconds == 0)
        o.seconds = o.shape == IDLE ? 2 : 30;
    o.filters -= o.filters > o.subs ? o.filters % o.subs : 0; // the same number for each
    return o;
}

static void *need(size_t n, size_t size)
{
    void *at = calloc(n > 0 ? n : 1, size);
    if (at == NULL)
        die("out of memory");
    return at;
}

// How many publishers, subscribers, and deliveries of each message a scenario has.
typedef struct cast {
    uint32_t pubs, subs, copies;
} cast;

static cast cast_of(const options *o)
{
    switch (o->shape) {
    case PAIRS:
        return (cast){o->clients, o->clients, 1};
    case FANOUT:
        return (cast){1, o->clients, o->clients};
    case FANIN:
        return (cast){o->clients, 1, 1};
    case FILTERS:
        return (cast){o->clients, o->subs, 1};
    case RETAINED:
        return (cast){1, o->clients, 0};
    case CONNECT:
    case IDLE:
        break;
    }
    return (cast){0, o->clients, 0};
}

static void set_up_client(run *r, const cast *k, uint32_t i)
{
    client *c = &r->clients[i];
    *c = (client){
        .fd = -1, .index = i, .flow = i < k->pubs ? &r->flows[i] : NULL, .stride = 1};
    loader *l = &r->loaders[(i < k->pubs ? i : i - k->pubs) % r->o.threads];
    l->clients[l->nclients++] = c;
    if (c->flow != NULL) {
        c->flow->pub = c;
        l->flows[l->nflows++] = c->flow;
        return;
    }
    c->next = need(k->pubs, sizeof(*c->next));
    if (r->o.shape == RETAINED)
        c->seen = need(r->o.messages, 1);
    if (r->o.shape != FILTERS)
        return;
    c->stride = k->subs;
    for (uint32_t f = 0; f < k->pubs; f++)
        c->next[f] = i - k->pubs;
}

static void set_up(run *r)
{
    cast k = cast_of(&r->o);
    r->npubs = k.pubs;
    r->nclients = k.pubs + k.subs;
    r->clients = need(r->nclients, sizeof(*r->clients));
    r->flows = need(k.pubs, sizeof(*r->flows));
    r->loaders = need(r->o.threads, sizeof(*r->loaders));
    for (uint32_t i = 0; i < k.pubs; i++)
        r->flows[i] = (flow){.index = i,
                             .copies = k.copies,
                             .quota = r->o.messages / k.pubs + (i < r->o.messages % k.pubs),
                             .retain = r->o.shape == RETAINED};
    for (unsigned t = 0; t < r->o.threads; t++) {
        loader *l = &r->loaders[t];
        *l = (loader){.o = &r->o, .ep = epoll_create1(EPOLL_CLOEXEC), .all = r->flows};
        l->clients = need(r->nclients, sizeof(client *));
        l->flows = need(k.pubs, sizeof(flow *));
        l->ready = need(k.pubs, sizeof(flow *));
        l->buf = need(1, IN_SIZE);
        l->payload = need(1, r->o.payload);
        memset(l->payload, 'x', r->o.payload);
        l->rate = r->o.rate / (k.pubs > 0 ? k.pubs : 1);
    }
    for (uint32_t i = 0; i < r->nclients; i++)
        set_up_client(r, &k, i);
    r->deliveries = r->o.messages * (r->o.shape == RETAINED ? k.subs : k.copies);
}

static void open_client(loader *l, client *c)
{
    char id[32];
    int n = snprintf(id, sizeof(id), "bench-%u", c->index);
    c->began = now_ns();
    c->fd = start_connect(l->o->port, c->index);
    put_connect(&c->out, (tg_slice){id, (size_t)n}, 600);
    c->blocked = true; // until the connection is there
    watch(l, c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void connect_all(loader *l)
{
    uint32_t opened = 0, under_way = l->o->shape == CONNECT ? l->o->window : 64;
    uint64_t quiet = now_ns(), done = 0;
    while (done < l->nclients) {
        for (; opened < l->nclients && opened - done < under_way; opened++)
            open_client(l, l->clients[opened]);
        turn(l, 100);
        if (done != l->connected)
            quiet = now_ns();
        done = l->connected;
        if (now_ns() - quiet > 5 * (uint64_t)QUIET_NS)
            die("only %" PRIu64 " of %u clients were let in", done, l->nclients);
    }
}

static void subscribe(loader *l, client *c, const char *filter)
{
    c->next_id = c->next_id == UINT16_MAX ? 1 : c->next_id + 1;
    put_subscribe(&c->out, c->next_id, tg_str(filter), l->o->qos);
    c->subacks++;
}

static void subscribe_client(run *r, loader *l, client *c)
{
    char filter[64];
    uint32_t sub = c->index - r->npubs;
    switch (r->o.shape) {
    case FILTERS:
        for (uint32_t f = sub; f < r->o.filters; f += r->o.subs) {
            snprintf(filter, sizeof(filter), "bench/w/%u/%s", f,
                     f / r->o.subs % 2 ? "+" : "#");
            subscribe(l, c, filter);
        }
        break;
    case FANIN:
        subscribe(l, c, "bench/i/+");
        break;
    case RETAINED:
        c->began = now_ns();
        subscribe(l, c, "bench/r/#");
        break;
    default:
        snprintf(filter, sizeof(filter), "bench/p/%u", r->o.shape == PAIRS ? sub : 0);
        subscribe(l, c, filter);
    }
    flush(l, c);
}

// @return how many SUBACKs will come.
static uint64_t subscribe_all(run *r, loader *l)
{
    uint64_t due = 0;
    for (uint32_t i = 0; i < l->nclients; i++) {
        client *c = l->clients[i];
        if (c->flow != NULL)
            continue;
        subscribe_client(r, l, c);
        due += c->subacks;
    }
    return due;
}

static void await_subacks(loader *l, uint64_t due)
{
    uint64_t limit = now_ns() + 60 * UINT64_C(1000000000);
    while (l->subscribed < due) {
        turn(l, 100);
        if (now_ns() > limit)
            die("%" PRIu64 " of %" PRIu64 " subscriptions were not answered",
                due - l->subscribed, due);
    }
}

static void start_flows(loader *l)
{
    l->start = now_ns();
    for (uint32_t i = 0; i < l->nflows; i++)
        may_go_on(l, l->flows[i]);
}

// Publishes all flows to their end without anybody listening; `clear` takes them back.
static void publish_retained(loader *l, bool clear)
{
    uint64_t due = l->acked, limit = now_ns() + 60 * UINT64_C(1000000000);
    for (uint32_t i = 0; i < l->nflows; i++) {
        l->flows[i]->sent = 0;
        l->flows[i]->clear = clear;
        due += l->flows[i]->quota;
    }
    start_flows(l);
    while (l->acked < due) {
        turn(l, 100);
        if (now_ns() > limit)
            die("retained messages were not acknowledged");
    }
    l->start = 0;
}

typedef struct thread {
    run *run;
    loader *loader;
    pthread_t id;
} thread;

static void *load(void *arg)
{
    run *r = ((thread *)arg)->run;
    loader *l = ((thread *)arg)->loader;
    shape s = r->o.shape;
    if (s != CONNECT && s != IDLE)
        connect_all(l);
    if (s == RETAINED)
        publish_retained(l, false);
    else if (s != CONNECT && s != IDLE)
        await_subacks(l, subscribe_all(r, l));
    pthread_barrier_wait(&r->step); // all is prepared
    pthread_barrier_wait(&r->step); // the clock runs
    if (s == CONNECT || s == IDLE)
        connect_all(l);
    else if (s == RETAINED)
        subscribe_all(r, l);
    else
        start_flows(l);
    int wait_ms = r->o.rate > 0 || r->o.threads > 1 ? 1 : 20;
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed))
        turn(l, wait_ms);
    if (s == RETAINED)
        publish_retained(l, true);
    return NULL;
}

static uint64_t sum(const run *r, bool connections)
{
    uint64_t n = 0;
    for (unsigned t = 0; t < r->o.threads; t++)
        n += connections ? r->loaders[t].connected : r->loaders[t].received;
    return n;
}

static void nap(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&t, NULL);
}

// Waits for the last delivery, or until none came for a while. Late doubles get their time.
static void watch_run(run *r)
{
    bool counts_connections = r->o.shape == CONNECT || r->o.shape == IDLE;
    uint64_t goal = counts_connections ? r->nclients : r->deliveries;
    uint64_t limit =
        r->began + (uint64_t)(r->o.seconds * 1e9) * (counts_connections ? 10 : 1);
    uint64_t seen = 0, moved = now_ns();
    while (seen < goal && now_ns() < limit && now_ns() - moved < 5 * (uint64_t)QUIET_NS) {
        nap(1000000);
        uint64_t n = sum(r, counts_connections);
        if (n == seen)
            continue;
        seen = n;
        moved = now_ns();
    }
    r->cpu = process_cpu_ns(r->o.server_pid) - r->cpu;
    nap(r->o.shape == IDLE ? (uint64_t)(r->o.seconds * 1e9) : SETTLE_NS);
    r->rss_after = process_rss(r->o.server_pid);
}

static void measure(run *r)
{
    thread *threads = need(r->o.threads, sizeof(*threads));
    pthread_barrier_init(&r->step, NULL, r->o.threads + 1);
    for (unsigned t = 0; t < r->o.threads; t++) {
        threads[t] = (thread){.run = r, .loader = &r->loaders[t]};
        if (pthread_create(&threads[t].id, NULL, load, &threads[t]) != 0)
            die("pthread_create");
    }
    pthread_barrier_wait(&r->step);
    r->rss_before = process_rss(r->o.server_pid);
    r->cpu = process_cpu_ns(r->o.server_pid);
    r->began = now_ns();
    pthread_barrier_wait(&r->step);
    watch_run(r);
    atomic_store(&r->stop, true);
    for (unsigned t = 0; t < r->o.threads; t++)
        pthread_join(threads[t].id, NULL);
    pthread_barrier_destroy(&r->step);
    free(threads);
}

static void report(const run *r)
{
    bool counts_connections = r->o.shape == CONNECT || r->o.shape == IDLE;
    static hist latency;
    uint64_t sent = 0, lost = 0, doubled = 0, reordered = 0, closed = 0,
             ended = r->began + 1;
    for (unsigned t = 0; t < r->o.threads; t++) {
        const loader *l = &r->loaders[t];
        hist_merge(&latency, &l->latency);
        doubled += l->doubled;
        reordered += l->reordered;
        closed += l->closed;
        ended = l->last > ended ? l->last : ended;
    }
    for (uint32_t i = 0; i < r->npubs; i++)
        sent += r->flows[i].sent;
    uint64_t n = sum(r, counts_connections);
    uint64_t due = counts_connections ? r->nclients : r->deliveries;
    lost = n - doubled < due ? due - (n - doubled) : 0;
    double seconds = (double)(ended - r->began) / 1e9;
    printf("{\"scenario\":\"%s\",\"clients\":%u,\"qos\":%u,\"window\":%u,\"payload\":%zu,"
           "\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"expected\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"reordered\":%" PRIu64
           ",\"closed\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.0f,",
           shapes[r->o.shape], r->o.clients, r->o.qos, r->o.window, r->o.payload, sent, n,
           due, lost, doubled, reordered, closed, seconds, (double)n / seconds);
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f", hist_us(&latency, 0.5),
           hist_us(&latency, 0.99), (double)latency.max / 1e3);
    if (r->o.server_pid > 0)
        printf(",\"cpu_us\":%.3f,\"rss_before\":%" PRIu64 ",\"rss_after\":%" PRIu64,
               (double)r->cpu / 1e3 / (double)(n > 0 ? n : 1), r->rss_before, r->rss_after);
    if (r->o.server_pid > 0 && r->o.shape == IDLE)
        printf(",\"bytes_per_connection\":%.0f",
               ((double)r->rss_after - (double)r->rss_before) / (double)(n > 0 ? n : 1));
    puts("}");
}

static void tear_down(run *r)
{
    for (uint32_t i = 0; i < r->nclients; i++) {
        hang_up(&r->clients[i]);
        free(r->clients[i].next);
        free(r->clients[i].seen);
    }
    for (unsigned t = 0; t < r->o.threads; t++) {
        loader *l = &r->loaders[t];
        close(l->ep);
        free(l->clients);
        free(l->flows);
        free(l->ready);
        free(l->buf);
        free(l->payload);
    }
    free(r->loaders);
    free(r->flows);
    free(r->clients);
}

int main(int argc, char **argv)
{
    static run r;
    r.o = read_options(argc, argv);
    raise_descriptors();
    set_up(&r);
    measure(&r);
    report(&r);
    tear_down(&r);
    return 0;
}
