// SPDX-License-Identifier: Apache-2.0
// `tidegate test`: a plugin's vectors through everything a device would meet. The plugin runs
// in a runtime of its own behind a real socket; each vector's bytes are sent to it, and what
// it answers and what it publishes is compared. One connection carries the vectors in their
// order, as a device's session does; "connect": true begins a new one.
//
//   {"name": "login", "hex": "AA55…", "reply": "AA55…",
//    "publish": [{"topic": "acme/42/login", "payload": {"device": "42"}}]}
//
// Members of a payload that a vector does not list may be anything: a time of arrival differs
// each time.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/write.h"
#include "codec/json_read.h"
#include "host/cli.h"
#include "host/solo.h"

#define PATIENCE_MS 5000
#define VECTORS_MAX ((size_t)64 << 20)

typedef struct letter {
    struct letter *next;
    char *topic;
    tg_arena arena;
    tg_value payload; ///< as JSON; a string where it is none
} letter;

typedef struct trial {
    const tg_cli *cli;
    tg_solo solo;
    uint16_t port;
    int fd; ///< the device's end; -1 none
    tg_buf got; ///< bytes from the adapter
    unsigned passed, failed;
    tg_buf why; ///< of the vector that is running
    tg_buf json; ///< results so far, with --json

    // The subscriber, on the worker; what it got is under the lock.
    tg_shard *shard;
    tg_session session;
    pthread_mutex_t lock;
    pthread_cond_t news;
    letter *first, **last; ///< in the order they came
    int opened; ///< 1: subscribed; below 0: it failed
} trial;

// What the plugin publishes.

static int on_deliver(void *link, tg_session s, const tg_delivery *d)
{
    (void)s;
    trial *t = link;
    letter *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return TG_E_NOMEM;
    l->topic = strndup(d->msg->topic.at, d->msg->topic.len);
    if (tg_json_read(d->msg->payload, &l->arena, &l->payload, NULL) != 0)
        l->payload = tg_value_of_slice(tg_arena_copy(&l->arena, d->msg->payload));
    pthread_mutex_lock(&t->lock);
    *t->last = l;
    t->last = &l->next;
    pthread_cond_signal(&t->news);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static void on_ended(void *link, tg_session s, uint16_t number, int reason)
{
    (void)number;
    (void)link;
    (void)s;
    (void)reason;
}

static const tg_link LINK = {.deliver = on_deliver, .ended = on_ended};

static void set_opened(trial *t, int code)
{
    pthread_mutex_lock(&t->lock);
    t->opened = code;
    pthread_cond_signal(&t->news);
    pthread_mutex_unlock(&t->lock);
}

static void on_subscribed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    set_opened(ctx, code == 0 ? 1 : code);
}

static void on_opened(void *ctx, int code, tg_session session, bool present)
{
    (void)present;
    trial *t = ctx;
    tg_sub sub = {.size = sizeof(sub)};
    t->session = session;
    if (code == 0)
        code = tg_session_subscribe(t->shard, session, TG_LIT("#"), &sub, on_subscribed, t);
    if (code != 0)
        set_opened(t, code);
}

static void open_session(void *ctx)
{
    trial *t = ctx;
    tg_session_spec spec = {
        .size = sizeof(spec), .clean_start = 1, .client_id = TG_LIT("vectors")};
    t->shard = tg_hub_shard(tg_runtime_hub(t->solo.rt), 0);
    int rc = tg_session_open(t->shard, &LINK, t, &spec, on_opened, t);
    if (rc != 0)
        set_opened(t, rc);
}

static void deadline(struct timespec *out)
{
    clock_gettime(CLOCK_REALTIME, out);
    out->tv_sec += PATIENCE_MS / 1000;
}

static int subscribe(trial *t, tg_error *e)
{
    struct timespec until;
    deadline(&until);
    tg_workers *ws = tg_runtime_workers(t->solo.rt);
    int rc = tg_worker_run(tg_workers_at(ws, 0), open_session, t);
    pthread_mutex_lock(&t->lock);
    while (rc == 0 && t->opened == 0)
        if (pthread_cond_timedwait(&t->news, &t->lock, &until) != 0)
            rc = TG_E_TIMEOUT;
    if (rc == 0 && t->opened < 0)
        rc = t->opened;
    pthread_mutex_unlock(&t->lock);
    return rc == 0 ? 0 : tg_error_set(e, rc, "subscribe: %s", tg_error_text(rc));
}

/// Under the lock. @return NULL when there is none.
static letter *take_letter(trial *t)
{
    letter *l = t->first;
    if (l == NULL)
        return NULL;
    t->first = l->next;
    if (t->first == NULL)
        t->last = &t->first;
    return l;
}

/// @return the next message; NULL when none came in time.
static letter *next_letter(trial *t)
{
    struct timespec until;
    deadline(&until);
    pthread_mutex_lock(&t->lock);
    while (t->first == NULL)
        if (pthread_cond_timedwait(&t->news, &t->lock, &until) != 0)
            break;
    letter *l = take_letter(t);
    pthread_mutex_unlock(&t->lock);
    return l;
}

static void letter_free(letter *l)
{
    tg_arena_free(&l->arena);
    free(l->topic);
    free(l);
}

// The device's end.

static int listen_for_device(trial *t, tg_error *e)
{
    char address[80];
    tg_pair spec[] = {
        {TG_LIT("name"), tg_value_of_str("vectors")},
        {TG_LIT("adapter"), tg_value_of_str(t->solo.id)},
        {TG_LIT("bind"), tg_value_of_str("127.0.0.1:0")},
        {TG_LIT("anonymous"), tg_value_of_bool(true)},
    };
    tg_value v = {.kind = TG_MAP};
    v.map.pairs = spec;
    v.map.count = sizeof(spec) / sizeof(spec[0]);
    int rc =
        tg_listeners_open(t->solo.rt, &v, NULL, "listener", address, sizeof(address), e);
    if (rc == 0)
        t->port = (uint16_t)atoi(strrchr(address, ':') + 1);
    return rc;
}

static bool connect_device(trial *t)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (t->fd >= 0)
        close(t->fd);
    tg_buf_clear(&t->got);
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->fd >= 0 && connect(t->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return true;
    tg_buf_printf(&t->why, "connect: %s\n", strerror(errno));
    return false;
}

static bool send_all(trial *t, tg_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(t->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) {
            tg_buf_printf(&t->why, "send: %s\n", strerror(errno));
            return false;
        }
        bytes = (tg_slice){bytes.at + n, bytes.len - (size_t)n};
    }
    return true;
}

/// Until `n` bytes are there. @return false: they did not come.
static bool receive(trial *t, size_t n)
{
    char piece[4096];
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    while (t->got.len < n) {
        if (poll(&p, 1, PATIENCE_MS) <= 0)
            return false;
        ssize_t got = recv(t->fd, piece, sizeof(piece), 0);
        if (got <= 0)
            return false;
        tg_buf_put(&t->got, piece, (size_t)got);
    }
    return true;
}

// The comparison.

static bool number(const tg_value *v, double *out)
{
    if (v->kind == TG_INT)
        *out = (double)v->integer;
    else if (v->kind == TG_NUM)
        *out = v->number;
    return v->kind == TG_INT || v->kind == TG_NUM;
}

/// Every member that `want` lists is in `got`, and equal.
static bool covers(const tg_value *got, const tg_value *want)
{
    double a, b;
    if (got == NULL)
        return false;
    if (number(got, &a) && number(want, &b))
        return a == b;
    if (want->kind == TG_LIST && got->kind == TG_LIST) {
        bool same = want->list.count == got->list.count;
        for (size_t i = 0; same && i < want->list.count; i++)
            same = covers(&got->list.items[i], &want->list.items[i]);
        return same;
    }
    if (want->kind != TG_MAP || got->kind != TG_MAP)
        return tg_value_eq(got, want);
    for (size_t i = 0; i < want->map.count; i++) {
        const tg_pair *p = &want->map.pairs[i];
        const tg_value *member = NULL;
        for (size_t k = 0; k < got->map.count && member == NULL; k++)
            if (tg_slice_eq(got->map.pairs[k].key, p->key))
                member = &got->map.pairs[k].value;
        if (!covers(member, &p->value))
            return false;
    }
    return true;
}

static void put_bytes(tg_buf *b, const char *what, tg_slice bytes)
{
    tg_buf_printf(b, "%s ", what);
    for (size_t i = 0; i < bytes.len; i++)
        tg_buf_printf(b, "%02X", (unsigned char)bytes.at[i]);
    tg_buf_putc(b, '\n');
}

static void check_reply(trial *t, tg_slice hex)
{
    tg_buf want = {0};
    if (!tg_take_hex(hex, &want)) {
        tg_buf_puts(&t->why, "reply: no hex digits\n");
    } else if (!receive(t, want.len) || memcmp(t->got.at, want.at, want.len) != 0) {
        put_bytes(&t->why, "reply wanted", tg_buf_slice(&want));
        put_bytes(&t->why, "reply got   ", tg_buf_slice(&t->got));
        tg_buf_clear(&t->got);
    } else {
        tg_buf_drop(&t->got, want.len);
    }
    tg_buf_free(&want);
}

static void put_letter(tg_buf *b, const char *what, tg_slice topic, const tg_value *payload)
{
    tg_buf_printf(b, "%s %.*s ", what, (int)topic.len, topic.at);
    tg_json_value(b, payload);
    tg_buf_putc(b, '\n');
}

static void check_letter(trial *t, const tg_value *want)
{
    static const tg_value nothing = {0};
    tg_slice topic = tg_value_str(want, "topic", TG_LIT(""));
    const tg_value *payload = tg_value_get(want, "payload");
    letter *l = next_letter(t);
    bool good = l != NULL && tg_slice_eq(tg_str(l->topic), topic) &&
                (payload == NULL || covers(&l->payload, payload));
    if (!good) {
        put_letter(&t->why, "publish wanted", topic, payload != NULL ? payload : &nothing);
        if (l != NULL)
            put_letter(&t->why, "publish got   ", tg_str(l->topic), &l->payload);
        else
            tg_buf_puts(&t->why, "publish got    nothing\n");
    }
    if (l != NULL)
        letter_free(l);
}

static void run_vector(trial *t, const tg_value *v)
{
    tg_buf bytes = {0};
    tg_slice hex = tg_value_str(v, "hex", (tg_slice){0});
    const tg_value *publish = tg_value_get(v, "publish");
    bool fresh = t->fd < 0 || tg_value_bool(v, "connect", false);
    if (hex.len == 0 || !tg_take_hex(hex, &bytes))
        tg_buf_puts(&t->why, "hex: the bytes to send, two hex digits each\n");
    else if ((!fresh || connect_device(t)) && send_all(t, tg_buf_slice(&bytes))) {
        check_reply(t, tg_value_str(v, "reply", TG_LIT("")));
        for (size_t i = 0; publish != NULL && publish->kind == TG_LIST; i++) {
            if (i == publish->list.count)
                break;
            check_letter(t, &publish->list.items[i]);
        }
    }
    tg_buf_free(&bytes);
}

static void report_json(trial *t, tg_slice name, size_t line, bool good)
{
    tg_buf *b = &t->json;
    tg_put_open(b, NULL, '{');
    tg_put_int(b, "line", (int64_t)line);
    tg_put_slice(b, "name", name);
    tg_put_bool(b, "passed", good);
    if (!good)
        tg_put_slice(b, "why", tg_buf_slice(&t->why));
    tg_put_close(b, '}');
}

/// The lines of `why`, each moved in below the vector's name.
static void report_text(const trial *t, tg_slice name, size_t line, bool good)
{
    printf("%s  %zu %.*s\n", good ? "ok  " : "FAIL", line, (int)name.len, name.at);
    for (char *at = t->why.at, *end; !good && at < t->why.at + t->why.len; at = end + 1) {
        end = memchr(at, '\n', t->why.len - (size_t)(at - t->why.at));
        if (end == NULL)
            break;
        printf("      %.*s\n", (int)(end - at), at);
    }
}

static void report(trial *t, tg_slice name, size_t line)
{
    bool good = t->why.len == 0;
    *(good ? &t->passed : &t->failed) += 1;
    if (t->cli->json)
        report_json(t, name, line, good);
    else
        report_text(t, name, line, good);
    tg_buf_clear(&t->why);
}

static void run_line(trial *t, tg_slice text, size_t line)
{
    tg_arena arena = {0};
    tg_value v;
    tg_error e = {0};
    int rc = tg_json_read(text, &arena, &v, &e);
    if (rc == 0)
        run_vector(t, &v);
    else
        tg_buf_printf(&t->why, "no JSON: %s\n", e.message);
    report(t, rc == 0 ? tg_value_str(&v, "name", TG_LIT("")) : TG_LIT(""), line);
    tg_arena_free(&arena);
}

static void run_lines(trial *t, tg_slice all)
{
    for (size_t line = 1; all.len > 0; line++) {
        const char *end = memchr(all.at, '\n', all.len);
        size_t len = end != NULL ? (size_t)(end - all.at) : all.len;
        if (len > 0)
            run_line(t, (tg_slice){all.at, len}, line);
        size_t used = end != NULL ? len + 1 : len;
        all = (tg_slice){all.at + used, all.len - used};
    }
}

static int read_vectors(const char *folder, tg_buf *out, tg_error *e)
{
    char path[TG_PATH_LEN], piece[65536];
    if (!tg_path_join(path, folder, "vectors.jsonl"))
        return tg_error_set(e, TG_E_INVAL, "path is too long");
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return tg_error_set(e, TG_E_NOTFOUND, "%s: %s", path, strerror(errno));
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && out->len < VECTORS_MAX)
        tg_buf_put(out, piece, n);
    fclose(f);
    return out->len > 0 ? 0 : tg_error_set(e, TG_E_NOTFOUND, "%s is empty", path);
}

static void drop_letters(trial *t)
{
    for (letter *l = take_letter(t); l != NULL; l = take_letter(t))
        letter_free(l);
}

/// What came without a vector that asked for it.
static void check_rest(trial *t)
{
    if (t->got.len > 0)
        put_bytes(&t->why, "more bytes than any vector expects:", tg_buf_slice(&t->got));
    pthread_mutex_lock(&t->lock);
    for (const letter *l = t->first; l != NULL; l = l->next)
        put_letter(&t->why, "published, and no vector expects it:", tg_str(l->topic),
                   &l->payload);
    pthread_mutex_unlock(&t->lock);
    if (t->why.len > 0)
        report(t, TG_LIT("at the end"), 0);
}

static int run(trial *t, tg_slice vectors, tg_error *e)
{
    char folder[TG_PATH_LEN];
    bool plain =
        strchr(t->cli->args[0], '/') == NULL; // a name without a slash is a plugin's
    snprintf(folder, sizeof(folder), "%s%s", plain ? "./" : "", t->cli->args[0]);
    int rc = tg_solo_open(t->cli->config, folder, &t->solo, e);
    if (rc != 0)
        return rc;
    rc = subscribe(t, e);
    if (rc == 0)
        rc = listen_for_device(t, e);
    if (rc == 0) {
        run_lines(t, vectors);
        check_rest(t);
    }
    if (t->fd >= 0)
        close(t->fd);
    tg_solo_close(&t->solo);
    drop_letters(t); // the worker is gone: nothing comes any more
    return rc;
}

int tg_cmd_test(const tg_cli *cli)
{
    trial t = {.cli = cli, .fd = -1};
    tg_buf vectors = {0};
    tg_error e = {0};
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.news, NULL);
    t.last = &t.first;
    int rc = read_vectors(cli->args[0], &vectors, &e);
    if (rc == 0)
        rc = run(&t, tg_buf_slice(&vectors), &e);
    tg_buf_free(&vectors);
    tg_buf_free(&t.got);
    tg_buf_free(&t.why);
    pthread_cond_destroy(&t.news);
    pthread_mutex_destroy(&t.lock);
    if (rc != 0) {
        tg_buf_free(&t.json);
        return tg_cli_fail("%s", e.message);
    }
    if (cli->json)
        printf("{\"passed\":%u,\"failed\":%u,\"vectors\":[%.*s]}\n", t.passed, t.failed,
               (int)t.json.len, t.json.len > 0 ? t.json.at : "");
    else
        printf("%u passed, %u failed\n", t.passed, t.failed);
    tg_buf_free(&t.json);
    return t.failed == 0 ? TG_EXIT_OK : TG_EXIT_FAILED;
}
