// SPDX-License-Identifier: Apache-2.0
// A plugin of the ABI's first form: built with the headers of 1.0, and loaded by today's host.
// What structs have gained since lies behind their end, or in what was padding: so that is
// filled with rubbish here, as a stack would.
#include "first_form/tidegate.h"

typedef struct line {
    tg_session session;
} line;

typedef struct wish { // what an answer that comes later needs
    tg_conn conn;
    char text[64];
} wish;

static uint32_t frames_seen;
static tg_frame forms[2];

static wish *wish_new(tg_conn c, tg_slice text)
{
    wish *w = tg.host->alloc(NULL, sizeof(*w));
    w->conn = c;
    snprintf(w->text, sizeof(w->text), "%.*s", (int)text.len, text.at);
    return w;
}

static void wish_free(wish *w)
{
    tg.host->alloc(w, 0);
}

TG_PRINTF(2, 3) static int say(tg_conn c, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tg.conn->send(c, (tg_slice){text, (size_t)n});
}

static tg_slice word(tg_slice *rest)
{
    const char *space = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;
    tg_slice w = {rest->at, space != NULL ? (size_t)(space - rest->at) : rest->len};
    size_t used = space != NULL ? w.len + 1 : w.len;
    *rest = (tg_slice){rest->at + used, rest->len - used};
    return w;
}

static void on_ticked(void *ctx)
{
    wish *w = ctx;
    say(w->conn, "ticked\n");
    wish_free(w);
}

static void work_run(void *ctx)
{
    wish *w = ctx;
    snprintf(w->text, sizeof(w->text), "%s",
             tg.host->worker() == UINT32_MAX ? "off" : "on");
}

static void on_worked(void *ctx, int code)
{
    wish *w = ctx;
    say(w->conn, "worked %s %d\n", w->text, code);
    wish_free(w);
}

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
    tg_session_spec spec = {.size = sizeof(spec),
                            .client_id = tg_str(w->text),
                            .expiry_s = 60,
                            .attributes = attributes};
    if (code != TG_AUTH_ALLOW || tg.session->open(w->conn, &spec, on_opened, w) < 0) {
        say(w->conn, "denied %d\n", code);
        wish_free(w);
    }
}

static int login(tg_conn c, tg_slice id)
{
    tg_auth_request r = {.size = sizeof(r), .client_id = id, .user = TG_LIT("first")};
    return tg.auth->check(c, &r, on_checked, wish_new(c, id));
}

static void on_done(void *ctx, int code, const tg_value *value)
{
    wish *w = ctx;
    (void)value;
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

static int count_key(tg_conn c, tg_slice key)
{
    int64_t n;
    int rc = tg.kv->incr(key, 1, 0, &n);
    return rc == 0 ? say(c, "kv %lld\n", (long long)n) : rc;
}

/// Frames by themselves: the second form, then the first.
static int take_two(tg_conn c)
{
    tg_slice stream = TG_LIT("#\2ab>c\n"), a = {0}, b = {0};
    size_t used = 0;
    char room[256];
    int one = tg.frame->next(forms, 2, stream, room, &used, &a);
    stream = (tg_slice){stream.at + used, stream.len - used};
    int two = tg.frame->next(forms, 2, stream, room, &used, &b);
    return say(c, "next %d %zu %d %zu\n", one, a.len, two, b.len);
}

static int obey(tg_conn c, line *l, tg_slice name, tg_slice rest)
{
    tg_sub sub = {.size = sizeof(sub), .qos = 1};
    if (tg_slice_eq(name, TG_LIT("echo")))
        return say(c, "echo %.*s\n", (int)rest.len, rest.at);
    if (tg_slice_eq(name, TG_LIT("timer")))
        return tg.timer->start(10, 0, on_ticked, wish_new(c, rest), NULL);
    if (tg_slice_eq(name, TG_LIT("work")))
        return tg.work->submit(work_run, on_worked, wish_new(c, rest));
    if (tg_slice_eq(name, TG_LIT("next")))
        return take_two(c);
    if (tg_slice_eq(name, TG_LIT("kv")))
        return count_key(c, rest);
    if (tg_slice_eq(name, TG_LIT("login")))
        return login(c, rest);
    if (tg_slice_eq(name, TG_LIT("sub")))
        return tg.session->subscribe(l->session, rest, &sub, on_done,
                                     wish_new(c, TG_LIT("sub")));
    if (tg_slice_eq(name, TG_LIT("pub"))) {
        tg_slice topic = word(&rest);
        return publish(c, l, topic, rest);
    }
    return tg_fail(TG_E_PROTOCOL, "no such command");
}

/// ">command", or "#", a length and so many bytes.
static int on_frame(tg_conn c, void *state, tg_slice frame)
{
    tg.metric->add(frames_seen, 1);
    if (frame.at[0] == '#')
        return say(c, "bytes %.*s\n", (int)frame.len - 2, frame.at + 2);
    tg_slice rest = {frame.at + 1, frame.len - 1}, name = word(&rest);
    return obey(c, state, name, rest);
}

static int on_deliver(tg_conn c, void *state, tg_session s, const tg_delivery *d)
{
    (void)state;
    int rc = say(c, "msg %.*s ", (int)d->msg->topic.len, d->msg->topic.at);
    if (rc == 0)
        rc = tg.conn->send_msg(c, (tg_slice){"", 0}, d->msg);
    if (rc == 0)
        rc = tg.conn->send(c, TG_LIT("\n"));
    if (rc == 0 && d->qos > 0)
        tg.session->ack(s, d->packet_id, TG_ACK_DONE);
    return rc;
}

static const tg_adapter adapter = {
    .size = sizeof(tg_adapter),
    .transports = TG_TCP,
    .id = "first",
    .state_size = sizeof(line),
    .nframes = 2,
    .frames = forms,
    .on_frame = on_frame,
    .on_deliver = on_deliver,
};

static int auth_check(const tg_auth_backend *self, const tg_auth_request *r, tg_op op)
{
    (void)self;
    bool mine = tg_slice_eq(r->user, TG_LIT("first"));
    return tg.host->complete(op, mine ? TG_AUTH_ALLOW : TG_AUTH_NEXT, NULL);
}

static const tg_auth_backend backend = {
    .size = sizeof(tg_auth_backend), .id = "probe", .check = auth_check};

static int driver_call(const tg_driver *self, tg_slice method, const tg_value *args,
                       tg_op op)
{
    (void)self, (void)method;
    return tg.host->complete(op, 0, args);
}

static const tg_driver driver = {
    .size = sizeof(tg_driver), .id = "first", .call = driver_call};

static int commit(const tg_store *self, const tg_write *writes, size_t n, tg_op op)
{
    (void)self, (void)writes, (void)n;
    return tg.host->complete(op, 0, NULL);
}

static int scan(const tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self, (void)prefix, (void)each, (void)ctx;
    return 0;
}

static const tg_store store = {
    .size = sizeof(tg_store), .id = "first", .commit = commit, .scan = scan};

static void make_forms(void)
{
    memset(forms, 0xff, sizeof(forms)); // the padding, too; then all that 1.0 knows
    for (int i = 0; i < 2; i++) {
        tg_frame *f = &forms[i];
        *(uint32_t *)f = sizeof(*f);
        memset((char *)f + sizeof(uint32_t), 0,
               offsetof(tg_frame, stall_ms) + sizeof(f->stall_ms) - sizeof(uint32_t));
        f->max = 200;
    }
    forms[0].kind = TG_FRAME_DELIMITER;
    forms[0].magic = TG_LIT(">");
    forms[0].trailer = TG_LIT("\n");
    forms[1].kind = TG_FRAME_LENGTH;
    forms[1].magic = TG_LIT("#");
    forms[1].size_at = 1;
    forms[1].size_width = 1;
}

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    make_forms();
    if (rc == 0)
        rc = tg.metric->counter(TG_LIT("frames_seen"), TG_LIT("frames"), &frames_seen);
    if (rc == 0)
        rc = tg.add->adapter(self, &adapter, NULL, NULL);
    if (rc == 0)
        rc = tg.add->auth(self, &backend, NULL, NULL);
    if (rc == 0)
        rc = tg.add->driver(self, &driver, NULL, NULL);
    if (rc == 0)
        rc = tg.add->store(self, &store, NULL, NULL);
    return rc;
}

TG_PLUGIN_SCHEMA(
    "{\"word\": {\"type\": \"string\", \"default\": \"\", \"help\": \"any\"}}");
TG_PLUGIN(.id = "first-form", .version = "1.0.0",
          .capabilities = TG_CAP_ADAPTER | TG_CAP_AUTH | TG_CAP_DRIVER | TG_CAP_STORE,
          .life = {.load = load});
