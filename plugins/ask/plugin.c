// SPDX-License-Identifier: Apache-2.0
// A driver that waits in two ways: for a connection of its own (ask), and for a blocking call on
// the pool (read). On a listener, the adapter that it asks with gives every line back.
#include "tidegate.h"

typedef struct task { // a connection's state, or what a job carries along
    tg_op op; // 0: a connection that a listener accepted
    char path[256];
} task;

static int on_frame(tg_conn c, void *state, tg_slice frame)
{
    const task *t = state;
    if (t->op.id == 0)
        return tg.conn->send(c, frame) < 0 ? TG_E_FULL : tg.conn->send(c, TG_LIT("\n"));
    tg.host->complete(t->op, 0, &(tg_value){.kind = TG_STR, .string = frame});
    return tg.conn->close(c, 0, TG_LIT(""));
}

static void on_close(tg_conn c, void *state, int reason) // also of a dial that failed
{
    (void)c; // after an answer, this second completion is refused and does nothing
    tg.host->complete(((task *)state)->op, reason < 0 ? reason : TG_E_CLOSED, NULL);
}

static const tg_frame line = {.size = sizeof(line), .kind = TG_FRAME_LINE, .max = 4096};
static const tg_adapter adapter = {.size = sizeof(adapter),
                                   .id = "ask",
                                   .transports = TG_TCP,
                                   .state_size = sizeof(task),
                                   .nframes = 1,
                                   .frames = &line,
                                   .on_frame = on_frame,
                                   .on_close = on_close};

static int ask(tg_slice text, tg_op op)
{
    const tg_value *config = tg.host->config(tg.self);
    tg_dial to = {.size = sizeof(to), .port = (uint16_t)tg_value_int(config, "port", 7)};
    to.host = tg_value_str(config, "host", TG_LIT("localhost"));
    tg_conn c;
    int rc = tg.conn->dial(&to, &adapter, &c);
    if (rc < 0)
        return rc;
    ((task *)tg.conn->state(c))->op = op;
    tg.conn->send(c, text); // leaves when the connection is up
    return tg.conn->send(c, TG_LIT("\n"));
}

static void run(void *ctx) // on a thread that may block; it may complete as well
{
    const task *t = ctx;
    char text[4096];
    FILE *f = fopen(t->path, "r");
    tg_slice found = {text, f != NULL ? fread(text, 1, sizeof(text), f) : 0};
    const tg_value v = {.kind = TG_STR, .string = found};
    tg.host->complete(t->op, f != NULL ? 0 : TG_E_NOTFOUND, &v);
    if (f != NULL)
        fclose(f);
}

static void after(void *ctx, int code) // on the worker again, also when run() never ran
{
    tg.host->complete(((task *)ctx)->op, code, NULL);
    tg.host->alloc(ctx, 0);
}

static int call(const tg_driver *self, tg_slice method, const tg_value *args, tg_op op)
{
    (void)self;
    bool right =
        args != NULL && args->list.count == 1 && args->list.items[0].kind == TG_STR;
    tg_slice text = right ? args->list.items[0].string : (tg_slice){"", 0};
    if (!right || text.len >= sizeof(((task *)0)->path))
        return TG_E_INVAL;
    if (tg_slice_eq(method, TG_LIT("ask")))
        return ask(text, op);
    if (!tg_slice_eq(method, TG_LIT("read")))
        return TG_E_UNSUPPORTED;
    task *t = tg.host->alloc(NULL, sizeof(*t));
    *t = (task){.op = op};
    memcpy(t->path, text.at, text.len);
    int rc = tg.work->submit(run, after, t);
    return rc == 0 ? 0 : (tg.host->alloc(t, 0), rc);
}

static const tg_driver driver = {.size = sizeof(driver), .id = "ask", .call = call};

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    rc = rc == 0 ? tg.add->adapter(self, &adapter, NULL, NULL) : rc;
    return rc == 0 ? tg.add->driver(self, &driver, NULL, NULL) : rc;
}

TG_PLUGIN_SCHEMA(
    "{\"host\": {\"type\": \"string\", \"default\": \"127.0.0.1\"},"
    " \"port\": {\"type\": \"integer\", \"min\": 1, \"max\": 65535, \"default\": 7}}");
TG_PLUGIN(.id = "ask", .version = "1.0.0", .life = {.load = load});
