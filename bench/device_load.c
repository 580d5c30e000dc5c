// SPDX-License-Identifier: Apache-2.0
// A fleet of devices on this machine, of a protocol whose frames are made here in C: so the
// generator costs little beside the server. A device keeps a bounded number of reports under
// way. JT/T 808 acknowledges each; GT06 acknowledges none but heartbeats, so one goes behind
// every W reports, and two of these may be unanswered. What the fleet reports can be counted
// where it comes out, by an MQTT subscriber on the same server.
#include <getopt.h>
#include <sys/epoll.h>

#include "gt06_frames.h"
#include "jt808_frames.h"
#include "load.h"
#include "load/wire.h"

enum { QUIET_NS = 2000000000, HEARTBEATS_OUT = 2, OUT_MAX = 65536, IN_SIZE = 262144 };

typedef struct options {
    uint16_t port, mqtt_port;
    const char *filter;
    const struct protocol *protocol;
    unsigned devices, window;
    uint64_t reports;
    double seconds;
    int server_pid;
} options;

typedef struct device {
    int fd; // the MQTT subscriber hangs on the loop as a device, too
    bool subscriber, blocked, logged_in;
    unsigned index, unanswered;
    uint16_t serial;
    uint16_t sample; // serial whose answer is timed
    uint64_t sampled_ns; // when it left; 0: the next one is the sample
    uint64_t left, since_fence;
    tg_buf in, out;
} device;

typedef struct fleet {
    options o;
    int ep;
    device *all; // the subscriber is the last one
    char *buf;
    uint64_t now, last;
    uint64_t logins, reports, fences, answers, deliveries, subscribed, closed;
    tg_hist latency; // of what is answered
} fleet;

typedef struct protocol {
    const char *name;
    uint16_t port;
    void (*hello)(device *d);
    void (*report)(device *d);
    void (*fence)(device *d); // behind every `window` reports; NULL: each is answered
    size_t (*take)(fleet *f, device *d, tg_slice in); // answers. @return bytes used
} protocol;

static void logged_in(fleet *f, device *d)
{
    f->logins++;
    d->logged_in = true;
}

static void answered(fleet *f, device *d, uint16_t serial)
{
    f->answers++;
    f->last = f->now;
    d->unanswered--;
    if (d->sampled_ns != 0 && serial == d->sample) {
        tg_hist_add(&f->latency, f->now - d->sampled_ns);
        d->sampled_ns = 0;
    }
}

// ---- GT06 -----------------------------------------------------------------------------------

static void gt06_hello(device *d)
{
    gt06_login(&d->out, d->serial++, d->index);
}

static void gt06_report(device *d)
{
    gt06_location(&d->out, d->serial++, d->left);
}

static void gt06_fence(device *d)
{
    gt06_heartbeat(&d->out, d->serial++);
}

static size_t gt06_take(fleet *f, device *d, tg_slice in)
{
    size_t at = 0;
    for (; in.len - at >= GT06_ANSWER_SIZE; at += GT06_ANSWER_SIZE) {
        const unsigned char *a = (const unsigned char *)in.at + at;
        if (a[0] != 0x78 || a[1] != 0x78 || a[2] != 5)
            die("device %u got something that is no answer", d->index);
        if (a[3] == GT06_LOGIN)
            logged_in(f, d);
        else if (a[3] == GT06_HEARTBEAT)
            answered(f, d, (uint16_t)(a[4] << 8 | a[5]));
    }
    return at;
}

// ---- JT/T 808 -------------------------------------------------------------------------------

static void jt808_hello(device *d)
{
    jt808_register(&d->out, d->index, d->serial++);
}

static void jt808_report(device *d)
{
    jt808_location(&d->out, d->index, d->serial++, (unsigned)d->left);
}

/// Without its escapes. @return its length, at most `max`
static size_t jt808_unescape(const char *from, const char *to, unsigned char *out,
                             size_t max)
{
    size_t n = 0;
    for (; from < to && n < max; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte == 0x7D && from + 1 < to)
            byte = *++from == 1 ? 0x7D : 0x7E;
        out[n++] = byte;
    }
    return n;
}

static void jt808_answer(fleet *f, device *d, const unsigned char *m, size_t len)
{
    unsigned id = (unsigned)(m[0] << 8 | m[1]);
    if (id == 0x8100 && len > 12 + 3 + 1 && m[14] == 0)
        jt808_frame(&d->out, d->index, 0x0102, d->serial++, m + 15, len - 16);
    else if (id != 0x8001 || len < 18 || m[16] != 0)
        die("device %u got an answer that says no: %04x", d->index, id);
    else if (m[14] == 0x01)
        logged_in(f, d);
    else
        answered(f, d, (uint16_t)(m[12] << 8 | m[13]));
}

static size_t jt808_take(fleet *f, device *d, tg_slice in)
{
    const char *at = in.at, *end = in.at + in.len, *stop;
    unsigned char m[256];
    while (end - at > 2 && (stop = memchr(at + 1, 0x7E, (size_t)(end - at - 1))) != NULL) {
        size_t len = jt808_unescape(at + 1, stop, m, sizeof(m));
        if (*at != 0x7E || len < 13)
            die("device %u got something that is no frame", d->index);
        jt808_answer(f, d, m, len);
        at = stop + 1;
    }
    return (size_t)(at - in.at);
}

static const protocol protocols[] = {
    {"gt06", 5023, gt06_hello, gt06_report, gt06_fence, gt06_take},
    {"jt808", 7611, jt808_hello, jt808_report, NULL, jt808_take},
};

// ---- options --------------------------------------------------------------------------------

static void usage(void)
{
    puts("device_load PROTOCOL [options] — devices for a server on 127.0.0.1; results as "
         "JSON\n"
         "PROTOCOL: gt06, jt808\n"
         "  --port P          (5023, 7611)\n"
         "  --devices N       (100)\n"
         "  --reports M       in all (100000); 0: they log in and are idle\n"
         "  --window W        jt808: reports under way of a device; gt06: reports to each\n"
         "                    heartbeat, which is waited for (16)\n"
         "  --seconds S       ends the run at the latest (30)\n"
         "  --mqtt-port P     count what comes out of an MQTT listener\n"
         "  --filter F        what to subscribe to there (#)\n"
         "  --server-pid PID  its processor time and memory go into the results");
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

static const protocol *protocol_of(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (strcmp(argv[1], protocols[i].name) == 0)
            return &protocols[i];
    usage();
    return NULL;
}

static options read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"port", 1, NULL, 'p'},      {"devices", 1, NULL, 'n'},
        {"reports", 1, NULL, 'm'},   {"window", 1, NULL, 'w'},
        {"seconds", 1, NULL, 't'},   {"server-pid", 1, NULL, 'P'},
        {"mqtt-port", 1, NULL, 'q'}, {"filter", 1, NULL, 'f'},
        {"help", 0, NULL, 'h'},      {0},
    };
    options o = {.filter = "#", .devices = 100, .window = 16, .reports = 100000};
    o.protocol = protocol_of(argc, argv);
    o.port = o.protocol->port;
    o.seconds = 30;
    for (int opt; (opt = getopt_long(argc - 1, argv + 1, "", longs, NULL)) != -1;) {
        if (opt == 'h')
            usage();
        else if (opt == 'p')
            o.port = (uint16_t)number(optarg, 1, 65535);
        else if (opt == 'q')
            o.mqtt_port = (uint16_t)number(optarg, 1, 65535);
        else if (opt == 'n')
            o.devices = number(optarg, 1, 1000000);
        else if (opt == 'm')
            o.reports = number(optarg, 0, UINT32_MAX);
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

// ---- the fleet ------------------------------------------------------------------------------

static void watch(fleet *f, device *d, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = d};
    if (epoll_ctl(f->ep, op, d->fd, &e) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void flush(fleet *f, device *d)
{
    if (d->fd < 0 || d->blocked || d->out.len == 0 || send_buf(d->fd, &d->out))
        return;
    d->blocked = true;
    watch(f, d, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void sample(device *d)
{
    if (d->sampled_ns != 0)
        return;
    d->sampled_ns = tg_now_ns();
    d->sample = (uint16_t)(d->serial - 1);
}

static void put_report(fleet *f, device *d)
{
    const protocol *p = f->o.protocol;
    p->report(d);
    f->reports++;
    d->left--;
    if (p->fence != NULL) {
        if (++d->since_fence < f->o.window && d->left > 0)
            return;
        p->fence(d);
        d->since_fence = 0;
    }
    f->fences++;
    d->unanswered++;
    sample(d);
}

static void go_on(fleet *f, device *d)
{
    unsigned limit = f->o.protocol->fence != NULL ? HEARTBEATS_OUT : f->o.window;
    while (d->logged_in && d->left > 0 && d->unanswered < limit && d->out.len < OUT_MAX)
        put_report(f, d);
    flush(f, d);
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

static void on_readable(fleet *f, device *d)
{
    ssize_t n = read(d->fd, f->buf, IN_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        f->closed++;
        close(d->fd);
        d->fd = -1;
        return;
    }
    f->now = tg_now_ns();
    tg_buf_put(&d->in, f->buf, (size_t)n);
    tg_slice in = tg_buf_slice(&d->in);
    tg_buf_drop(&d->in,
                d->subscriber ? take_deliveries(f, in) : f->o.protocol->take(f, d, in));
    if (!d->subscriber)
        go_on(f, d);
}

static void turn(fleet *f)
{
    struct epoll_event events[256];
    int n = epoll_wait(f->ep, events, 256, 20);
    for (int i = 0; i < n; i++) {
        device *d = events[i].data.ptr;
        if (d->fd >= 0 && (events[i].events & EPOLLOUT)) {
            d->blocked = false;
            watch(f, d, EPOLL_CTL_MOD, EPOLLIN);
            go_on(f, d);
        }
        if (d->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
            on_readable(f, d);
    }
}

static void open_one(fleet *f, device *d, uint16_t port)
{
    d->fd = start_connect(port, d->index);
    d->blocked = true; // until the connection is there
    watch(f, d, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
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
    device *d = &f->all[f->o.devices];
    d->subscriber = true;
    tg_wire_hello hello = {.version = TG_WIRE_V4,
                           .keepalive_s = 600,
                           .clean = true,
                           .client_id = TG_LIT("device-load")};
    tg_wire_connect(&d->out, &hello);
    tg_wire_subscribe(&d->out, TG_WIRE_V4, 1, tg_str(f->o.filter), 0);
    open_one(f, d, f->o.mqtt_port);
    if (!await(f, &f->subscribed, 1, UINT64_MAX))
        die("the subscription was not answered");
}

// Devices come one after the other, and begin to report when the last one is logged in.
static void log_in(fleet *f)
{
    for (unsigned i = 0; i < f->o.devices; i++) {
        device *d = &f->all[i];
        f->o.protocol->hello(d);
        open_one(f, d, f->o.port);
        if (i >= 64 && !await(f, &f->logins, i - 63, UINT64_MAX))
            break;
    }
    if (!await(f, &f->logins, f->o.devices, UINT64_MAX))
        die("only %" PRIu64 " of %u devices were let in", f->logins, f->o.devices);
}

static void drive(fleet *f, uint64_t limit)
{
    for (unsigned i = 0; i < f->o.devices; i++) {
        device *d = &f->all[i];
        d->left = f->o.reports / f->o.devices + (i < f->o.reports % f->o.devices);
    }
    for (unsigned i = 0; i < f->o.devices; i++)
        go_on(f, &f->all[i]);
    while (f->reports < f->o.reports && await(f, &f->reports, f->reports + 1, limit))
        ;
    await(f, &f->answers, f->fences, limit);
    if (f->o.mqtt_port != 0)
        await(f, &f->deliveries, f->o.reports, limit);
}

static void report(const fleet *f, uint64_t began, uint64_t cpu, uint64_t before)
{
    double seconds = (double)(f->last > began ? f->last - began : 1) / 1e9;
    printf("{\"protocol\":\"%s\",\"devices\":%u,\"window\":%u,\"logins\":%" PRIu64
           ",\"reports\":%" PRIu64 ",\"fences\":%" PRIu64 ",\"answers\":%" PRIu64
           ",\"deliveries\":%" PRIu64 ",\"closed\":%" PRIu64
           ",\"seconds\":%.3f,\"rate\":%.0f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f",
           f->o.protocol->name, f->o.devices, f->o.window, f->logins, f->reports, f->fences,
           f->answers, f->deliveries, f->closed, seconds, (double)f->reports / seconds,
           tg_hist_us(&f->latency, 0.5), tg_hist_us(&f->latency, 0.99));
    if (f->o.server_pid > 0)
        printf(",\"cpu_us\":%.3f,\"rss_before\":%" PRIu64 ",\"rss_after\":%" PRIu64,
               (double)cpu / 1e3 / (double)(f->reports > 0 ? f->reports : 1), before,
               tg_process_rss(f->o.server_pid));
    puts("}");
}

int main(int argc, char **argv)
{
    static fleet f;
    f.o = read_options(argc, argv);
    tg_raise_descriptors();
    f.ep = epoll_create1(EPOLL_CLOEXEC);
    f.all = calloc(f.o.devices + 1, sizeof(*f.all));
    f.buf = malloc(IN_SIZE);
    if (f.all == NULL || f.buf == NULL)
        die("out of memory");
    for (unsigned i = 0; i <= f.o.devices; i++)
        f.all[i] = (device){.fd = -1, .index = i, .serial = 1};
    if (f.o.mqtt_port != 0)
        subscribe(&f);
    uint64_t before = tg_process_rss(f.o.server_pid);
    log_in(&f);
    uint64_t began = tg_now_ns(), cpu = tg_process_cpu_ns(f.o.server_pid);
    drive(&f, began + (uint64_t)(f.o.seconds * 1e9));
    report(&f, began, tg_process_cpu_ns(f.o.server_pid) - cpu, before);
    for (unsigned i = 0; i <= f.o.devices; i++) {
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
