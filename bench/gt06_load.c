// SPDX-License-Identifier: Apache-2.0
// A fleet of GT06 trackers on this machine. Locations are not answered by the protocol but
// heartbeats are: so every W locations a tracker sends a heartbeat, and it never has more than
// two of these unanswered. What the fleet reports can be counted where it comes out, by an
// MQTT subscriber on the same server.
#include <getopt.h>
#include <sys/epoll.h>

#include "gt06_frames.h"
#include "load.h"
#include "load/wire.h"

enum { QUIET_NS = 2000000000, HEARTBEATS_OUT = 2, OUT_MAX = 65536, IN_SIZE = 262144 };

typedef struct options {
    uint16_t port, mqtt_port;
    const char *filter;
    unsigned trackers, window;
    uint64_t frames;
    double seconds;
    int server_pid;
} options;

typedef struct tracker {
    int fd; // the MQTT subscriber hangs on the loop as a tracker, too
    bool subscriber, blocked, logged_in;
    unsigned index, unanswered;
    uint16_t serial;
    uint64_t left, since_heartbeat;
    uint64_t heartbeat_ns; // when the oldest unanswered one left
    tg_buf in, out;
} tracker;

typedef struct fleet {
    options o;
    int ep;
    tracker *all; // the subscriber is the last one
    char *buf;
    uint64_t now, last;
    uint64_t logins, frames, heartbeats, answers, deliveries, subscribed, closed;
    tg_hist latency; // of heartbeats
} fleet;

static void usage(void)
{
    puts("gt06_load [options] — trackers for a GT06 server on 127.0.0.1; results as JSON\n"
         "  --port P          (5023)\n"
         "  --trackers N      (100)\n"
         "  --frames M        locations in all (100000)\n"
         "  --window W        locations to each heartbeat, which is waited for (16)\n"
         "  --seconds S       ends the run at the latest (30)\n"
         "  --mqtt-port P     count what comes out of an MQTT listener\n"
         "  --filter F        what to subscribe to there (#)\n"
         "  --server-pid PID  its processor time goes into the results");
    exit(0);
}

static unsigned number(const char *text, unsigned min, unsigned max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < min || n > max)
        die("'%s' is no number from %u to %u", text, min, max);
    return (unsigned)n;
}

static options read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"port", 1, NULL, 'p'},      {"trackers", 1, NULL, 'n'},
        {"frames", 1, NULL, 'm'},    {"window", 1, NULL, 'w'},
        {"seconds", 1, NULL, 't'},   {"server-pid", 1, NULL, 'P'},
        {"mqtt-port", 1, NULL, 'q'}, {"filter", 1, NULL, 'f'},
        {"help", 0, NULL, 'h'},      {0},
    };
    options o = {
        .port = 5023, .filter = "#", .trackers = 100, .window = 16, .frames = 100000};
    o.seconds = 30;
    for (int opt; (opt = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (opt == 'h')
            usage();
        else if (opt == 'p')
            o.port = (uint16_t)number(optarg, 1, 65535);
        else if (opt == 'q')
            o.mqtt_port = (uint16_t)number(optarg, 1, 65535);
        else if (opt == 'n')
            o.trackers = number(optarg, 1, 1000000);
        else if (opt == 'm')
            o.frames = number(optarg, 1, UINT32_MAX);
        else if (opt == 'w')
            o.window = number(optarg, 1, 10000);
        else if (opt == 't')
            o.seconds = number(optarg, 1, 600);
        else if (opt == 'P')
            o.server_pid = (int)number(optarg, 1, INT32_MAX);
        else if (opt == 'f')
            o.filter = optarg;
        else
            exit(2);
    }
    return o;
}

static void put_heartbeat(fleet *f, tracker *t)
{
    gt06_heartbeat(&t->out, t->serial++);
    if (t->unanswered++ == 0)
        t->heartbeat_ns = tg_now_ns();
    f->heartbeats++;
    t->since_heartbeat = 0;
}

static void watch(fleet *f, tracker *t, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = t};
    if (epoll_ctl(f->ep, op, t->fd, &e) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void flush(fleet *f, tracker *t)
{
    if (t->fd < 0 || t->blocked || t->out.len == 0 || send_buf(t->fd, &t->out))
        return;
    t->blocked = true;
    watch(f, t, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void go_on(fleet *f, tracker *t)
{
    while (t->logged_in && t->left > 0 && t->unanswered < HEARTBEATS_OUT &&
           t->out.len < OUT_MAX) {
        gt06_location(&t->out, t->serial++, t->left);
        f->frames++;
        t->left--;
        if (++t->since_heartbeat == f->o.window || t->left == 0)
            put_heartbeat(f, t);
    }
    flush(f, t);
}

// @return bytes used.
static size_t take_answers(fleet *f, tracker *t, tg_slice in)
{
    size_t at = 0;
    for (; in.len - at >= GT06_ANSWER_SIZE; at += GT06_ANSWER_SIZE) {
        const unsigned char *a = (const unsigned char *)in.at + at;
        if (a[0] != 0x78 || a[1] != 0x78 || a[2] != 5)
            die("tracker %u got something that is no answer", t->index);
        if (a[3] == GT06_LOGIN) {
            f->logins++;
            t->logged_in = true;
        } else if (a[3] == GT06_HEARTBEAT) {
            f->answers++;
            tg_hist_add(&f->latency, f->now - t->heartbeat_ns);
            t->unanswered--;
            t->heartbeat_ns = f->now; // of the next one: when it became the oldest
            f->last = f->now;
        }
    }
    return at;
}

static size_t take_deliveries(fleet *f, tg_slice in)
{
    size_t at = 0;
    tg_wire_packet p;
    for (size_t n; (n = tg_wire_take((tg_slice){in.at + at, in.len - at}, &p)) > 0;
         at += n) {
        if (p.type == TG_WIRE_PUBLISH) {
            f->deliveries++;
            f->last = f->now;
        } else if (p.type == TG_WIRE_SUBACK) {
            f->subscribed++;
        }
        if (at + n == in.len)
            return in.len;
    }
    return at;
}

static void on_readable(fleet *f, tracker *t)
{
    ssize_t n = read(t->fd, f->buf, IN_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        f->closed++;
        close(t->fd);
        t->fd = -1;
        return;
    }
    f->now = tg_now_ns();
    tg_buf_put(&t->in, f->buf, (size_t)n);
    tg_slice in = tg_buf_slice(&t->in);
    tg_buf_drop(&t->in, t->subscriber ? take_deliveries(f, in) : take_answers(f, t, in));
    if (!t->subscriber)
        go_on(f, t);
}

static void turn(fleet *f)
{
    struct epoll_event events[256];
    int n = epoll_wait(f->ep, events, 256, 20);
    for (int i = 0; i < n; i++) {
        tracker *t = events[i].data.ptr;
        if (t->fd >= 0 && (events[i].events & EPOLLOUT)) {
            t->blocked = false;
            watch(f, t, EPOLL_CTL_MOD, EPOLLIN);
            go_on(f, t);
        }
        if (t->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
            on_readable(f, t);
    }
}

static void open_one(fleet *f, tracker *t, uint16_t port)
{
    t->fd = start_connect(port, t->index);
    t->blocked = true; // until the connection is there
    watch(f, t, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

// Turns until `*n` is `goal`. @return false: nothing moved for a while, or time is up.
static bool await(fleet *f, const uint64_t *n, uint64_t goal, uint64_t limit)
{
    uint64_t seen = *n, moved = tg_now_ns();
    while (*n < goal) {
        turn(f);
        uint64_t now = tg_now_ns();
        if (*n != seen)
            moved = now;
        seen = *n;
        if (now > limit || now - moved > QUIET_NS)
            return false;
    }
    return true;
}

static void subscribe(fleet *f)
{
    tracker *t = &f->all[f->o.trackers];
    t->subscriber = true;
    tg_wire_hello hello = {.version = TG_WIRE_V4,
                           .keepalive_s = 600,
                           .clean = true,
                           .client_id = TG_LIT("gt06-load")};
    tg_wire_connect(&t->out, &hello);
    tg_wire_subscribe(&t->out, TG_WIRE_V4, 1, tg_str(f->o.filter), 0);
    open_one(f, t, f->o.mqtt_port);
    if (!await(f, &f->subscribed, 1, UINT64_MAX))
        die("the subscription was not answered");
}

// Trackers come one after the other, and begin to report when the last one is logged in.
static void log_in(fleet *f)
{
    for (unsigned i = 0; i < f->o.trackers; i++) {
        tracker *t = &f->all[i];
        gt06_login(&t->out, t->serial++, t->index);
        open_one(f, t, f->o.port);
        if (i >= 64 && !await(f, &f->logins, i - 63, UINT64_MAX))
            break;
    }
    if (!await(f, &f->logins, f->o.trackers, UINT64_MAX))
        die("only %" PRIu64 " of %u trackers were let in", f->logins, f->o.trackers);
}

static void drive(fleet *f, uint64_t limit)
{
    for (unsigned i = 0; i < f->o.trackers; i++) {
        tracker *t = &f->all[i];
        t->left = f->o.frames / f->o.trackers + (i < f->o.frames % f->o.trackers);
    }
    for (unsigned i = 0; i < f->o.trackers; i++)
        go_on(f, &f->all[i]);
    while (f->frames < f->o.frames && await(f, &f->frames, f->frames + 1, limit))
        ;
    await(f, &f->answers, f->heartbeats, limit);
    if (f->o.mqtt_port != 0)
        await(f, &f->deliveries, f->o.frames, limit);
}

static void report(const fleet *f, uint64_t began, uint64_t cpu, uint64_t before)
{
    double seconds = (double)(f->last > began ? f->last - began : 1) / 1e9;
    printf("{\"scenario\":\"gt06\",\"trackers\":%u,\"window\":%u,\"logins\":%" PRIu64
           ",\"frames\":%" PRIu64 ",\"heartbeats\":%" PRIu64 ",\"answers\":%" PRIu64
           ",\"deliveries\":%" PRIu64 ",\"closed\":%" PRIu64
           ",\"seconds\":%.3f,\"rate\":%.0f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f",
           f->o.trackers, f->o.window, f->logins, f->frames, f->heartbeats, f->answers,
           f->deliveries, f->closed, seconds, (double)f->frames / seconds,
           tg_hist_us(&f->latency, 0.5), tg_hist_us(&f->latency, 0.99));
    if (f->o.server_pid > 0)
        printf(",\"cpu_us\":%.3f,\"rss_before\":%" PRIu64 ",\"rss_after\":%" PRIu64,
               (double)cpu / 1e3 / (double)(f->frames > 0 ? f->frames : 1), before,
               tg_process_rss(f->o.server_pid));
    puts("}");
}

int main(int argc, char **argv)
{
    static fleet f;
    f.o = read_options(argc, argv);
    tg_raise_descriptors();
    f.ep = epoll_create1(EPOLL_CLOEXEC);
    f.all = calloc(f.o.trackers + 1, sizeof(*f.all));
    f.buf = malloc(IN_SIZE);
    if (f.all == NULL || f.buf == NULL)
        die("out of memory");
    for (unsigned i = 0; i <= f.o.trackers; i++)
        f.all[i] = (tracker){.fd = -1, .index = i, .serial = 1};
    if (f.o.mqtt_port != 0)
        subscribe(&f);
    uint64_t before = tg_process_rss(f.o.server_pid);
    log_in(&f);
    uint64_t began = tg_now_ns(), cpu = tg_process_cpu_ns(f.o.server_pid);
    drive(&f, began + (uint64_t)(f.o.seconds * 1e9));
    report(&f, began, tg_process_cpu_ns(f.o.server_pid) - cpu, before);
    for (unsigned i = 0; i <= f.o.trackers; i++) {
        if (f.all[i].fd >= 0)
            close(f.all[i].fd);
        tg_buf_free(&f.all[i].in);
        tg_buf_free(&f.all[i].out);
    }
    close(f.ep);
    free(f.buf);
    free(f.all);
    return 0;
}
