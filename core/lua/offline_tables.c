// SPDX-License-Identifier: Apache-2.0
// The rest of the offline host's tables: time, work, keys, drivers, and the host itself.
#include "lua/offline_host.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

// ---- time, work -----------------------------------------------------------------------

static int timer_start(uint32_t ms, uint32_t repeat, void (*fn)(void *ctx), void *ctx,
                       tg_timer *out)
{
    offline_timer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return TG_E_NOMEM;
    *t = (offline_timer){.id = ++tg_offline_here()->next_id,
                         .due = tg_offline_here()->now + ms,
                         .repeat = repeat,
                         .fn = fn,
                         .ctx = ctx};
    tg_list_add(&tg_offline_here()->timers, &t->node);
    *out = (tg_timer){t->id};
    return 0;
}

static int timer_stop(tg_timer h)
{
    for (tg_list *n = tg_offline_here()->timers.next; n != &tg_offline_here()->timers;
         n = n->next) {
        offline_timer *t = TG_OWNER(n, offline_timer, node);
        if (t->id != h.id)
            continue;
        tg_list_del(&t->node);
        free(t);
        return 0;
    }
    return TG_E_CLOSED;
}

static uint64_t timer_now(void)
{
    return tg_offline_here()->now;
}

static uint64_t timer_clock(void)
{
    return tg_offline_here()->spec.clock + tg_offline_here()->now;
}

static const tg_timer_api timer_table = {.size = sizeof(timer_table),
                                         .start = timer_start,
                                         .stop = timer_stop,
                                         .now = timer_now,
                                         .clock = timer_clock};

static int poll_open(int fd, int events, void (*fn)(void *ctx, int events), void *ctx,
                     tg_poll *out)
{
    (void)fd;
    (void)events;
    (void)fn;
    (void)ctx;
    (void)out;
    return TG_E_UNSUPPORTED;
}

static int poll_set(tg_poll p, int events)
{
    (void)p;
    (void)events;
    return TG_E_CLOSED;
}

static int poll_close(tg_poll p)
{
    (void)p;
    return TG_E_CLOSED;
}

static const tg_poll_api poll_table = {
    .size = sizeof(poll_table), .open = poll_open, .set = poll_set, .close = poll_close};

static int work_submit(void (*run)(void *ctx), void (*after)(void *ctx, int code),
                       void *ctx)
{
    run(ctx);
    after(ctx, 0);
    return 0;
}

static const tg_work_api work_table = {.size = sizeof(work_table), .submit = work_submit};

// ---- keys and counters ----------------------------------------------------------------

static tg_slice keep(char **to, tg_slice s)
{
    tg_slice kept = {*to, s.len};
    if (s.len > 0)
        memcpy(*to, s.at, s.len);
    *to += s.len;
    return kept;
}

typedef struct offline_key {
    uint64_t expires; ///< 0 never
    size_t klen, vlen;
    char bytes[];
} offline_key;

static offline_key *find_key(tg_slice key)
{
    offline_key *k = tg_map_find(&tg_offline_here()->kv, key);
    return k != NULL && (k->expires == 0 || k->expires > tg_offline_here()->now) ? k : NULL;
}

static int kv_set(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    offline_key *k = malloc(sizeof(*k) + key.len + value.len);
    if (k == NULL)
        return TG_E_NOMEM;
    *k = (offline_key){.klen = key.len, .vlen = value.len};
    k->expires = ttl_ms > 0 ? tg_offline_here()->now + ttl_ms : 0;
    char *to = k->bytes;
    tg_slice own = keep(&to, key);
    keep(&to, value);
    free(tg_map_del(&tg_offline_here()->kv, key));
    return tg_map_set(&tg_offline_here()->kv, own, k);
}

static int kv_get(tg_slice key, void (*put)(void *ctx, tg_slice value), void *ctx)
{
    offline_key *k = find_key(key);
    if (k == NULL)
        return TG_E_NOTFOUND;
    put(ctx, (tg_slice){k->bytes + k->klen, k->vlen});
    return 0;
}

static int kv_del(tg_slice key)
{
    offline_key *k = tg_map_del(&tg_offline_here()->kv, key);
    free(k);
    return k != NULL ? 0 : TG_E_NOTFOUND;
}

static int kv_incr(tg_slice key, int64_t by, uint32_t ttl_ms, int64_t *out)
{
    char text[32] = "0";
    offline_key *k = find_key(key);
    if (k != NULL)
        snprintf(text, sizeof(text), "%.*s", (int)k->vlen, k->bytes + k->klen);
    char *end;
    *out = strtoll(text, &end, 10) + by;
    if (*end != '\0')
        return TG_E_INVAL;
    snprintf(text, sizeof(text), "%lld", (long long)*out);
    return kv_set(key, tg_str(text), ttl_ms);
}

static int kv_add(tg_slice key, tg_slice value, uint32_t ttl_ms)
{
    return find_key(key) != NULL ? TG_E_EXISTS : kv_set(key, value, ttl_ms);
}

static const tg_kv_api kv_table = {.size = sizeof(kv_table),
                                   .set = kv_set,
                                   .get = kv_get,
                                   .del = kv_del,
                                   .incr = kv_incr,
                                   .add = kv_add};

static int metric_new(tg_slice name, tg_slice help, uint32_t *out)
{
    (void)name;
    (void)help;
    *out = 0;
    return 0;
}

static int metric_new_with(tg_slice name, tg_slice help, const tg_label *labels, size_t n,
                           uint32_t *out)
{
    (void)labels;
    (void)n;
    return metric_new(name, help, out);
}

static void metric_add(uint32_t id, int64_t by)
{
    (void)id;
    (void)by;
}

static _Atomic int64_t *metric_cell(uint32_t id)
{
    (void)id;
    return NULL;
}

static const tg_metric_api metric_table = {.size = sizeof(metric_table),
                                           .counter = metric_new,
                                           .gauge = metric_new,
                                           .add = metric_add,
                                           .counter_with = metric_new_with,
                                           .gauge_with = metric_new_with,
                                           .cell = metric_cell};

// ---- frames, listeners, registration --------------------------------------------------

static int listen_open(const tg_value *spec, tg_done_fn *done, void *ctx)
{
    (void)spec;
    (void)done;
    (void)ctx;
    return TG_E_UNSUPPORTED;
}

static int listen_close(tg_slice name)
{
    (void)name;
    return TG_E_NOTFOUND;
}

static const tg_listen_api listen_table = {
    .size = sizeof(listen_table), .open = listen_open, .close = listen_close};

static int frame_next(const tg_frame *frames, uint32_t n, tg_slice stream, char *scratch,
                      size_t *used, tg_slice *out)
{
    (void)frames;
    (void)n;
    (void)stream;
    (void)scratch;
    (void)used;
    (void)out;
    return TG_E_UNSUPPORTED;
}

static const tg_frame_api frame_table = {
    .size = sizeof(frame_table), .checksum = tg_checksum, .next = frame_next};

static int add_adapter(tg_self *self, const tg_adapter *a, void (*destroy)(void *arg),
                       void *arg)
{
    (void)self;
    (void)destroy;
    (void)arg;
    tg_offline_here()->adapters[tg_offline_here()->nadapters++] = a;
    return 0;
}

static int add_auth(tg_self *self, const tg_auth_backend *b, void (*destroy)(void *arg),
                    void *arg)
{
    (void)self;
    (void)destroy;
    (void)arg;
    tg_offline_here()->auth = b;
    return 0;
}

static int add_store(tg_self *self, const tg_store *s, void (*destroy)(void *arg),
                     void *arg)
{
    (void)self;
    (void)s;
    (void)destroy;
    (void)arg;
    return TG_E_UNSUPPORTED;
}

static int add_driver(tg_self *self, const tg_driver *d, void (*destroy)(void *arg),
                      void *arg)
{
    (void)self;
    (void)d;
    (void)destroy;
    (void)arg;
    return TG_E_UNSUPPORTED;
}

static const tg_register_api register_table = {.size = sizeof(register_table),
                                               .adapter = add_adapter,
                                               .auth = add_auth,
                                               .store = add_store,
                                               .driver = add_driver};

static int engine_add(tg_self *self, const tg_engine *engine)
{
    (void)self;
    (void)engine;
    return 0;
}

static int engine_call(tg_self *self, tg_slice id, tg_slice method, const tg_value *args,
                       tg_done_fn *done, void *ctx)
{
    (void)self;
    tg_value answer = {.kind = TG_NIL};
    tg_buf text = {0};
    tg_json_value(&text, args);
    tg_offline_say(tg_offline_here(), "driver", 0, "id", id, "method", method, "args",
                   tg_buf_slice(&text), NULL);
    tg_buf_free(&text);
    int code = tg_offline_here()->spec.driver != NULL
                   ? tg_offline_here()->spec.driver(tg_offline_here()->spec.ctx, id, method,
                                                    args, &answer)
                   : TG_E_NOTFOUND;
    tg_offline_later(tg_offline_here(), (offline_call){.done = done,
                                                       .ctx = ctx,
                                                       .code = code,
                                                       .value = tg_value_copy(&answer)});
    return 0;
}

static void engine_enter(tg_self *self, const char *callback)
{
    (void)self;
    (void)callback;
}

static void engine_leave(tg_self *self)
{
    (void)self;
}

static const tg_engine_api engine_table = {.size = sizeof(engine_table),
                                           .add = engine_add,
                                           .call = engine_call,
                                           .enter = engine_enter,
                                           .leave = engine_leave};

// ---- the host -------------------------------------------------------------------------

static void *host_alloc(void *at, size_t size)
{
    if (size > 0)
        return realloc(at, size);
    free(at);
    return NULL;
}

static void host_log(tg_self *self, tg_level level, tg_slice text)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    (void)self;
    if (tg_offline_here() != NULL)
        tg_offline_say(tg_offline_here(), "log", 0, "level", tg_str(words[level]), "text",
                       text, NULL);
}

static void host_set_error(tg_self *self, tg_slice text)
{
    (void)self;
    snprintf(tg_offline_here()->error, sizeof(tg_offline_here()->error), "%.*s",
             (int)text.len, text.at);
}

static const void *host_query(const char *name, uint16_t major, uint16_t minor)
{
    static const struct {
        const char *name;
        const void *table;
    } tables[] = {{"msg", &tg_offline_msg},
                  {"conn", &tg_offline_conn},
                  {"session", &tg_offline_session_table},
                  {"auth", &tg_offline_auth},
                  {"timer", &timer_table},
                  {"poll", &poll_table},
                  {"work", &work_table},
                  {"kv", &kv_table},
                  {"metric", &metric_table},
                  {"listen", &listen_table},
                  {"frame", &frame_table},
                  {"register", &register_table},
                  {"engine", &engine_table}};
    if (major != TG_ABI_MAJOR || minor > TG_ABI_MINOR)
        return NULL;
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        if (strcmp(tables[i].name, name) == 0)
            return tables[i].table;
    return NULL;
}

static int host_post(tg_self *self, uint32_t worker, void (*fn)(void *ctx), void *ctx)
{
    (void)self;
    (void)worker;
    tg_offline_later(tg_offline_here(), (offline_call){.fn = fn, .ctx = ctx});
    return 0;
}

static int host_complete(tg_op h, int code, const tg_value *value)
{
    for (tg_list *n = tg_offline_here()->ops.next; n != &tg_offline_here()->ops;
         n = n->next) {
        offline_op *op = TG_OWNER(n, offline_op, node);
        if (op->id != h.id)
            continue;
        tg_list_del(&op->node);
        tg_offline_later(
            tg_offline_here(),
            (offline_call){.done = op->done,
                           .ctx = op->ctx,
                           .code = code,
                           .value = value != NULL ? tg_value_copy(value) : NULL});
        free(op);
        return 0;
    }
    return TG_E_CLOSED;
}

static uint32_t host_worker(void)
{
    return 0;
}

static const tg_value *host_config(tg_self *self)
{
    (void)self;
    return &tg_offline_here()->config;
}

const tg_host tg_offline_host = {
    .size = sizeof(tg_offline_host),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .workers = 1,
    .alloc = host_alloc,
    .log = host_log,
    .set_error = host_set_error,
    .query = host_query,
    .post = host_post,
    .complete = host_complete,
    .worker = host_worker,
    .config = host_config,
};
