// SPDX-License-Identifier: Apache-2.0
// Everything that the ABI offers, behind a line protocol that a test can type. Built three
// times: as two versions, and as one that is never unmapped.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tidegate.h"

#ifndef PROBE_VERSION
#define PROBE_VERSION "1.0.0"
#define PROBE_MORE 8
#endif

static uint32_t loads, starts, drains, stops, unloads, destroys;

typedef struct line {
    tg_session session;
    tg_op asked; // the operator's command that the device has not answered
    uint32_t delivered, take; // on_deliver takes that many, then is full
    char more[PROBE_MORE]; // a newer version may need more than a listener has room for
} line;

typedef struct wish { // what an answer that comes later needs
    struct wish *prev, *next; // of a worker: what is left when it stops is freed then
    tg_conn conn;
    tg_poll poll;
    int fd;
    char text[64];
} wish;

static wish *wishes[64];

static wish *wish_new(tg_conn c, tg_slice text)
{
    wish *w = tg.host->alloc(NULL, sizeof(*w));
    wish **first = &wishes[tg.host->worker()];
    *w = (wish){.next = *first, .conn = c, .fd = -1};
    if (*first != NULL)
        (*first)->prev = w;
    *first = w;
    snprintf(w->text, sizeof(w->text), "%.*s", (int)text.len, text.at);
    return w;
}

static void wish_free(wish *w)
{
    *(w->prev != NULL ? &w->prev->next : &wishes[tg.host->worker()]) = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    if (w->fd >= 0)
        close(w->fd);
    tg.host->alloc(w, 0);
}

TG_PRINTF(2, 3) static int say(tg_conn c, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tg.conn->send(c, (tg_slice){text, (size_t)n});
}

static void on_ticked(void *ctx)
{
    wish *w = ctx;
    say(w->conn, "ticked %s\n", w->text);
    wish_free(w);
}

static void on_resume(void *ctx)
{
    wish *w = ctx;
    tg.conn->resume(w->conn);
    wish_free(w);
}

static void work_run(void *ctx)
{
    wish *w = ctx;
    snprintf(w->text, sizeof(w->text), "%s",
             tg.host->worker() == UINT32_MAX ? "off" : "on");
}

static void work_after(void *ctx, int code)
{
    wish *w = ctx;
    say(w->conn, "worked %s %d\n", w->text, code);
    wish_free(w);
}

static void on_readable(void *ctx, int events)
{
    wish *w = ctx;
    uint64_t n;
    if (read(w->fd, &n, sizeof(n)) == sizeof(n))
        say(w->conn, "polled %d\n", events);
    tg.poll->close(w->poll);
    wish_free(w);
}

static int begin_poll(tg_conn c, tg_slice arg)
{
    uint64_t one = 1;
    wish *w = wish_new(c, arg);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = tg.poll->open(w->fd, TG_POLL_READ, on_readable, w, &w->poll);
    if (rc < 0)
        wish_free(w);
    return rc < 0 || write(w->fd, &one, sizeof(one)) == sizeof(one) ? rc : TG_E_IO;
}

// The relay's far end: what comes back goes to the connection that asked for it.

typedef struct far {
    tg_conn near;
} far;

static int far_open(const tg_adapter *self, tg_conn c, void *state, const tg_value *options)
{
    (void)self;
    ((far *)state)->near.id = (uint64_t)tg_value_int(options, "near", 0);
    return say(c, "echo from afar\n");
}

static int far_frame(tg_conn c, void *state, tg_slice frame)
{
    (void)c;
    return say(((far *)state)->near, "relayed %.*s\n", (int)frame.len, frame.at);
}

static void far_close(tg_conn c, void *state, int reason)
{
    (void)c;
    if (((far *)state)->near.id != 0)
        say(((far *)state)->near, "far closed %d\n", reason);
}

static const tg_frame lines[] = {
    {.size = sizeof(tg_frame), .kind = TG_FRAME_LINE, .max = 1024}};

static const tg_frame hasty_lines[] = {
    {.size = sizeof(tg_frame), .kind = TG_FRAME_LINE, .max = 1024, .stall_ms = 200}};

static const tg_adapter far_end = {
    .size = sizeof(tg_adapter),
    .transports = TG_TCP,
    .id = "probe-far",
    .state_size = sizeof(far),
    .nframes = 1,
    .frames = lines,
    .on_open = far_open,
    .on_frame = far_frame,
    .on_close = far_close,
};

static int begin_dial(tg_conn c, tg_slice port)
{
    tg_pair near = {TG_LIT("near"), {.kind = TG_INT, .integer = (int64_t)c.id}};
    tg_value options = {.kind = TG_MAP, .map = {&near, 1}};
    char text[8];
    snprintf(text, sizeof(text), "%.*s", (int)port.len, port.at);
    tg_dial to = {.size = sizeof(to),
                  .host = TG_LIT("127.0.0.1"),
                  .port = (uint16_t)atoi(text),
                  .options = &options};
    tg_conn out;
    return tg.conn->dial(&to, &far_end, &out);
}

// Sessions.

static void on_opened(void *ctx, int code, tg_session s, bool present)
{
    wish *w = ctx;
    line *l = tg.conn->state(w->conn);
    if (l != NULL && code == 0)
        l->session = s;
    say(w->conn, "in %s %d %d\n", w->text, code, present);
    wish_free(w);
}

static void on_checked(void *ctx, int code, const tg_value *attributes)
{
    wish *w = ctx;
    if (code != TG_AUTH_ALLOW) {
        tg_slice why = tg_value_str(attributes, "reason", TG_LIT("-"));
        say(w->conn, "denied %d %.*s\n", code, (int)why.len, why.at);
        wish_free(w);
        return;
    }
    tg_session_spec spec = {.size = sizeof(spec),
                            .client_id = tg_str(w->text),
                            .expiry_s = 60,
                            .attributes = attributes};
    if (tg.session->open(w->conn, &spec, on_opened, w) < 0)
        wish_free(w);
}

static int login(tg_conn c, tg_slice id, tg_slice user, tg_slice password)
{
    tg_auth_request r = {.size = sizeof(r),
                         .client_id = id,
                         .user = user,
                         .password = password,
                         .has_password = password.len > 0};
    return tg.auth->check(c, &r, on_checked, wish_new(c, id));
}

static void on_done(void *ctx, int code, const tg_value *value)
{
    (void)value;
    wish *w = ctx;
    say(w->conn, "%s %d\n", w->text, code);
    wish_free(w);
}

static void on_published(void *ctx, int code, uint32_t receivers)
{
    wish *w = ctx;
    say(w->conn, "published %d %u\n", code, receivers);
    wish_free(w);
}

static int publish(tg_conn c, line *l, tg_slice topic, tg_slice payload)
{
    tg_msg_spec spec = {.size = sizeof(spec), .topic = topic, .payload = payload, .qos = 1};
    tg_msg m = tg.msg->new (&spec);
    int rc = tg.session->publish(l->session, m, on_published, wish_new(c, topic));
    tg.msg->unref(m);
    return rc;
}

static int on_deliver(tg_conn c, void *state, tg_session s, const tg_delivery *d)
{
    line *l = state;
    if (l->take != 0 && l->delivered >= l->take)
        return TG_E_FULL;
    l->delivered++;
    char head[128];
    int n =
        snprintf(head, sizeof(head), "msg %.*s ", (int)d->msg->topic.len, d->msg->topic.at);
    int rc = tg.conn->send_msg(c, (tg_slice){head, (size_t)n}, d->msg);
    if (rc == 0)
        rc = tg.conn->send(c, TG_LIT("\n"));
    if (rc == 0 && d->qos > 0)
        tg.session->ack(s, d->packet_id, TG_ACK_DONE);
    return rc;
}

static void on_session_end(tg_conn c, void *state, tg_session s, int reason)
{
    (void)state, (void)s;
    say(c, "out %d\n", reason);
    tg.conn->close(c, reason, TG_LIT("the session went"));
}

// Commands.

static tg_slice word(tg_slice *rest)
{
    const char *space = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;
    tg_slice w = {rest->at, space != NULL ? (size_t)(space - rest->at) : rest->len};
    size_t used = space != NULL ? w.len + 1 : w.len;
    *rest = (tg_slice){rest->at + used, rest->len - used};
    return w;
}

static int count_key(tg_conn c, tg_slice key)
{
    int64_t n;
    int rc = tg.kv->incr(key, 1, 0, &n);
    return rc == 0 ? say(c, "kv %lld\n", (long long)n) : rc;
}

static int tell_info(tg_conn c)
{
    tg_conn_info i = {.size = sizeof(i)};
    tg.conn->info(c, &i);
    return say(c, "info %.*s %u %u\n", (int)i.listener.len, i.listener.at, i.anonymous,
               i.transport);
}

static int slow(tg_conn c)
{
    usleep(60000);
    return say(c, "slept\n");
}

static int wait_paused(tg_conn c, tg_slice arg)
{
    tg.conn->pause(c);
    say(c, "paused\n");
    return tg.timer->start(30, 0, on_resume, wish_new(c, arg), NULL);
}

static void on_written(void *ctx, int code, const tg_value *value)
{
    (void)ctx, (void)code, (void)value;
    abort(); // nothing of it can be written
}

/// Too many bytes to wait, and whoever copies them first dies of it.
static int write_unreadable(tg_conn c)
{
    const size_t size = 65u << 20;
    const tg_slice parts[] = {TG_LIT("device"), TG_LIT("name")};
    void *at =
        mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return TG_E_NOMEM;
    const tg_file_spec spec = {
        .size = sizeof(spec), .nparts = 2, .parts = parts, .bytes = {at, size}};
    int rc = tg.files->write(&spec, on_written, NULL);
    munmap(at, size);
    return say(c, "file %d\n", rc);
}

static int close_listener(tg_conn c, tg_slice name)
{
    return say(c, "closed %d\n", tg.listen->close(name));
}

static void on_listening(void *ctx, int code, const tg_value *value)
{
    wish *w = ctx;
    tg_slice at = tg_value_str(value, code == 0 ? "address" : "message", TG_LIT("-"));
    say(w->conn, "listening %d %.*s\n", code, (int)at.len, at.at);
    wish_free(w);
}

static int open_listener(tg_conn c, tg_slice name)
{
    tg_pair pairs[] = {{TG_LIT("name"), {.kind = TG_STR, .string = name}},
                       {TG_LIT("adapter"), {.kind = TG_STR, .string = TG_LIT("probe")}},
                       {TG_LIT("bind"), {.kind = TG_STR, .string = TG_LIT("127.0.0.1:0")}}};
    tg_value spec = {.kind = TG_MAP, .map = {pairs, 3}};
    return tg.listen->open(&spec, on_listening, wish_new(c, name));
}

static int obey(tg_conn c, line *l, tg_slice name, tg_slice rest)
{
    tg_sub sub = {.size = sizeof(sub), .qos = 1};
    if (tg_slice_eq(name, TG_LIT("echo")))
        return say(c, "%s %.*s\n", PROBE_VERSION, (int)rest.len, rest.at);
    if (tg_slice_eq(name, TG_LIT("timer")))
        return tg.timer->start(10, 0, on_ticked, wish_new(c, rest), NULL);
    if (tg_slice_eq(name, TG_LIT("work")))
        return tg.work->submit(work_run, work_after, wish_new(c, rest));
    if (tg_slice_eq(name, TG_LIT("poll")))
        return begin_poll(c, rest);
    if (tg_slice_eq(name, TG_LIT("dial")))
        return begin_dial(c, rest);
    if (tg_slice_eq(name, TG_LIT("login"))) {
        tg_slice id = word(&rest), user = word(&rest);
        return login(c, id, user, rest);
    }
    if (tg_slice_eq(name, TG_LIT("sub")))
        return tg.session->subscribe(l->session, rest, &sub, on_done,
                                     wish_new(c, TG_LIT("sub")));
    if (tg_slice_eq(name, TG_LIT("pub"))) {
        tg_slice topic = word(&rest);
        return publish(c, l, topic, rest);
    }
    if (tg_slice_eq(name, TG_LIT("take"))) {
        l->take = 1, l->delivered = 0;
        return 0;
    }
    if (tg_slice_eq(name, TG_LIT("more"))) {
        l->take = 0;
        return tg.session->resume(l->session);
    }
    if (tg_slice_eq(name, TG_LIT("answer"))) {
        const tg_value answer = {.kind = TG_STR, .string = rest};
        return tg.host->complete(l->asked, 0, &answer);
    }
    if (tg_slice_eq(name, TG_LIT("file-unreadable")))
        return write_unreadable(c);
    if (tg_slice_eq(name, TG_LIT("kv")))
        return count_key(c, rest);
    if (tg_slice_eq(name, TG_LIT("info")))
        return tell_info(c);
    if (tg_slice_eq(name, TG_LIT("slow")))
        return slow(c);
    if (tg_slice_eq(name, TG_LIT("pause")))
        return wait_paused(c, rest);
    if (tg_slice_eq(name, TG_LIT("listen")))
        return open_listener(c, rest);
    if (tg_slice_eq(name, TG_LIT("unlisten")))
        return close_listener(c, rest);
    if (tg_slice_eq(name, TG_LIT("where")))
        return say(c, "%u\n", tg.host->worker());
    if (tg_slice_eq(name, TG_LIT("crash")))
        abort();
    if (tg_slice_eq(name, TG_LIT("idle")))
        return tg.conn->set_idle(c, 50);
    if (tg_slice_eq(name, TG_LIT("bye")))
        return tg.conn->close(c, 0, TG_LIT(""));
    return tg_fail(TG_E_PROTOCOL, "no such command");
}

static int on_frame(tg_conn c, void *state, tg_slice frame)
{
    tg_slice rest = frame, name = word(&rest);
    return obey(c, state, name, rest);
}

static void on_idle(tg_conn c, void *state)
{
    (void)state;
    say(c, "idle\n");
    tg.conn->set_idle(c, 0);
}

static int annotate(const tg_adapter *self, tg_slice bytes,
                    void (*emit)(void *ctx, const tg_field_note *note), void *ctx)
{
    (void)self;
    tg_field_note note = {.size = sizeof(note),
                          .length = (uint32_t)bytes.len,
                          .name = TG_LIT("line"),
                          .raw = bytes,
                          .value = bytes};
    emit(ctx, &note);
    return 0;
}

// What operators ask of a device: `ask` is handed on, `deny` refused.

static const char *const commands[] = {"ask", "deny", NULL};

static int on_command(tg_conn c, void *state, tg_session s, const tg_command *cmd, tg_op op)
{
    line *l = state;
    tg_slice what = tg_value_str(cmd->args, "what", TG_LIT("-"));
    if (s.id != l->session.id)
        return TG_E_INVAL;
    if (tg_slice_eq(cmd->name, TG_LIT("deny"))) {
        const tg_pair why = {TG_LIT("message"), {.kind = TG_STR, .string = TG_LIT("no")}};
        const tg_value map = {.kind = TG_MAP, .map = {&why, 1}};
        return tg.host->complete(op, TG_E_DENIED, &map);
    }
    if (!tg_slice_eq(cmd->name, TG_LIT("ask")))
        return TG_E_NOTFOUND;
    l->asked = op;
    return say(c, "asked %.*s for %.*s\n", (int)what.len, what.at, (int)cmd->id.len,
               cmd->id.at);
}

static const tg_adapter probe = {
    .size = sizeof(tg_adapter),
    .transports = TG_TCP | TG_TLS,
    .id = "probe",
    .state_size = sizeof(line),
    .nframes = 1,
    .frames = lines,
    .on_frame = on_frame,
    .on_deliver = on_deliver,
    .on_session_end = on_session_end,
    .on_idle = on_idle,
    .annotate = annotate,
    .commands = commands,
    .on_command = on_command,
};

// A raw one: echoes what ends with a '.', a piece at a time.

static int64_t raw_data(tg_conn c, void *state, tg_slice data)
{
    (void)state;
    const char *dot = memchr(data.at, '.', data.len);
    if (dot == NULL)
        return 0;
    int rc = tg.conn->send(c, (tg_slice){data.at, (size_t)(dot - data.at) + 1});
    return rc < 0 ? rc : dot - data.at + 1;
}

static const tg_adapter raw = {.size = sizeof(tg_adapter),
                               .transports = TG_TCP,
                               .id = "probe-raw",
                               .on_data = raw_data};

// Threads of the plugin's own: `unload` returns when they have ended.

typedef struct helper {
    struct helper *next;
    pthread_t thread;
} helper;

static _Atomic(helper *) helpers;

static int in_a_thread(void *(*fn)(void *), tg_op op)
{
    helper *h = tg.host->alloc(NULL, sizeof(*h));
    if (pthread_create(&h->thread, NULL, fn, (void *)(uintptr_t)op.id) != 0) {
        tg.host->alloc(h, 0);
        return TG_E_NOMEM;
    }
    h->next = atomic_load(&helpers);
    while (!atomic_compare_exchange_weak(&helpers, &h->next, h))
        ;
    return 0;
}

static void end_helpers(void)
{
    for (helper *h = atomic_load(&helpers), *next; h != NULL; h = next) {
        next = h->next;
        pthread_join(h->thread, NULL);
        tg.host->alloc(h, 0);
    }
}

// Auth: the user says what to answer; "late" is answered by a thread.

static void *answer_late(void *arg)
{
    tg_op op = {(uint64_t)(uintptr_t)arg};
    usleep(20000);
    if (tg.host->complete(op, TG_AUTH_ALLOW, NULL) == 0 &&
        tg.host->complete(op, TG_AUTH_DENY, NULL) != TG_E_CLOSED)
        abort();
    return NULL;
}

static int auth_check(const tg_auth_backend *self, const tg_auth_request *r, tg_op op)
{
    (void)self;
    if (tg_slice_eq(r->user, TG_LIT("ok")))
        return tg.host->complete(op, TG_AUTH_ALLOW, NULL);
    if (tg_slice_eq(r->user, TG_LIT("no")))
        return tg.host->complete(op, TG_AUTH_DENY, NULL);
    if (tg_slice_eq(r->user, TG_LIT("late")))
        return in_a_thread(answer_late, op);
    if (tg_slice_eq(r->user, TG_LIT("broken")))
        return tg.host->complete(op, TG_E_IO, NULL);
    if (tg_slice_eq(r->user, TG_LIT("odd")))
        return tg.host->complete(op, 77, NULL);
    if (tg_slice_eq(r->user, TG_LIT("unable")))
        return TG_E_NOMEM;
    if (tg_slice_eq(r->user, TG_LIT("never")))
        return 0;
    return tg.host->complete(op, TG_AUTH_NEXT, NULL);
}

static const tg_auth_backend backend = {
    .size = sizeof(tg_auth_backend), .id = "probe", .check = auth_check};

// A driver.

static void *finish_late(void *arg)
{
    tg_op op = {(uint64_t)(uintptr_t)arg};
    tg_value text = {.kind = TG_STR, .string = TG_LIT("from a thread")};
    usleep(5000);
    tg.host->complete(op, 0, &text);
    return NULL;
}

static int driver_call(const tg_driver *self, tg_slice method, const tg_value *args,
                       tg_op op)
{
    (void)self;
    if (tg_slice_eq(method, TG_LIT("echo")))
        return tg.host->complete(op, 0, args);
    if (tg_slice_eq(method, TG_LIT("thread")))
        return in_a_thread(finish_late, op);
    if (tg_slice_eq(method, TG_LIT("fail")))
        return tg.host->complete(op, TG_E_IO, NULL);
    if (tg_slice_eq(method, TG_LIT("never")))
        return 0;
    return TG_E_UNSUPPORTED;
}

static const tg_driver driver = {
    .size = sizeof(tg_driver), .id = "probe", .call = driver_call};

// Life. Metrics outlive the version: a test reads there what was called.

static void count(uint32_t id)
{
    tg.metric->add(id, 1);
}

static void destroyed(void *arg)
{
    count(*(uint32_t *)arg);
}

static int define_metrics(void)
{
    const struct {
        const char *name;
        uint32_t *id;
    } all[] = {{"loads", &loads}, {"starts", &starts},   {"drains", &drains},
               {"stops", &stops}, {"unloads", &unloads}, {"destroys", &destroys}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (tg.metric->counter(tg_str(all[i].name), TG_LIT("calls"), all[i].id) < 0)
            return TG_E_NOMEM;
    return 0;
}

static tg_adapter hasty; // the probe, for lines that come at once or not at all

static int add_all(void)
{
    hasty = probe;
    hasty.id = "probe-hasty";
    hasty.frames = hasty_lines;
    int rc = tg.add->adapter(tg.self, &probe, destroyed, &destroys);
    if (rc == 0)
        rc = tg.add->adapter(tg.self, &hasty, destroyed, &destroys);
    if (rc == 0)
        rc = tg.add->adapter(tg.self, &raw, destroyed, &destroys);
    if (rc == 0)
        rc = tg.add->auth(tg.self, &backend, destroyed, &destroys);
    if (rc == 0)
        rc = tg.add->driver(tg.self, &driver, destroyed, &destroys);
    return rc;
}

static bool fails_in(const char *step)
{
    tg_slice fail = tg_value_str(tg.host->config(tg.self), "fail", TG_LIT(""));
    return tg_slice_eq(fail, tg_str(step));
}

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    if (rc == 0)
        rc = define_metrics();
    if (rc == 0)
        rc = add_all();
    if (rc < 0)
        return rc;
    count(loads);
    return fails_in("load") ? tg_fail(TG_E_IO, "the test said so") : 0;
}

static int start(uint32_t worker)
{
    if (worker == 1 && fails_in("start"))
        return tg_fail(TG_E_LIMIT, "not on worker 1");
    count(starts);
    return 0;
}

static void drain(uint32_t worker)
{
    (void)worker;
    count(drains);
}

static void stop(uint32_t worker)
{
    while (wishes[worker] != NULL)
        wish_free(wishes[worker]);
    count(stops);
}

static void unload(void)
{
    end_helpers();
    count(unloads);
}

TG_PLUGIN_SCHEMA(
    "{\"fail\": {\"type\": \"string\", \"default\": \"\", \"help\": \"a step\"}}");
TG_PLUGIN(.id = "probe", .version = PROBE_VERSION,
          .capabilities = TG_CAP_ADAPTER | TG_CAP_AUTH | TG_CAP_DRIVER,
          .flags = TG_PLUGIN_UNMAP_SAFE,
          .life = {.load = load,
                   .start = start,
                   .drain = drain,
                   .stop = stop,
                   .unload = unload});
