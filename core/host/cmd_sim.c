// SPDX-License-Identifier: Apache-2.0
// `tidegate sim PLUGIN`: devices that are none. The folder of a plugin may have a second entry,
// sim.lua, an adapter that dials out and speaks the devices' side with the same codecs; it runs
// here in a runtime of its own. What it counts is the report.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "admin/write.h"
#include "base/metric.h"
#include "base/options.h"
#include "host/cli.h"
#include "host/solo.h"
#include "net/worker.h"
#include "plugin/loader.h"

#define ROUTE_MAX (1 << 20)
#define STEPS_MAX 32

typedef struct sim {
    tg_solo solo;
    tg_arena arena;
    uv_signal_t term, interrupt;
    uv_timer_t second, end;
    int handles;
    uint64_t began;
    int64_t reported; ///< at the last line
    bool json;
} sim;

// ---- options ------------------------------------------------------------------------------

static int read_route(sim *s, const char *file, tg_value *out, tg_error *e)
{
    char *text = tg_arena_alloc(&s->arena, ROUTE_MAX + 1);
    int64_t n = text != NULL ? tg_path_read(file, text, ROUTE_MAX + 1) : -1;
    if (n < 0)
        return tg_error_set(e, TG_E_IO, "route %s: %s", file, strerror(errno));
    if (n > ROUTE_MAX)
        return tg_error_set(e, TG_E_TOOBIG, "route %s: larger than 1 MiB", file);
    *out = tg_value_of_slice((tg_slice){text, (size_t)n});
    return 0;
}

static tg_value list_of(sim *s, const char *words)
{
    tg_value_builder b = {.arena = &s->arena};
    for (const char *at = words; *at != '\0';) {
        size_t len = strcspn(at, ",");
        tg_build(&b, NULL, tg_value_of_slice((tg_slice){at, len}));
        at += len + (at[len] == ',');
    }
    return tg_build_list(&b);
}

/// Numbers and truths are written as what they are; the plugin's schema looks at the kind.
static tg_value plain(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (end != text && *end == '\0')
        return tg_value_of_int(n);
    double d = strtod(text, &end);
    if (end != text && *end == '\0')
        return tg_value_of_num(d);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return tg_value_of_bool(*text == 't');
    return tg_value_of_str(text);
}

static int option(sim *s, tg_slice name, const char *text, tg_value *out, tg_error *e)
{
    if (tg_slice_eq(name, tg_str("route")))
        return read_route(s, text, out, e);
    *out = tg_slice_eq(name, tg_str("misbehave")) ? list_of(s, text) : plain(text);
    return 0;
}

static int options_of(sim *s, const tg_cli *cli, tg_value *out, tg_error *e)
{
    tg_value_builder b = {.arena = &s->arena};
    for (int i = 0; i < cli->nrest; i++) {
        tg_slice key = tg_arena_copy(&s->arena, cli->rest[i].name); // ends with a 0
        tg_value v;
        int rc = option(s, key, cli->rest[i].value, &v, e);
        if (rc != 0)
            return rc;
        tg_build(&b, key.at, v);
    }
    *out = tg_build_map(&b);
    return s->arena.failed ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
}

// ---- the report ---------------------------------------------------------------------------

typedef struct steps {
    size_t prefix_len;
    const char *prefix;
    int count;
    struct {
        int64_t ms, n;
    } at[STEPS_MAX];
} steps;

static void metric_name(const sim *s, const char *what, char out[128])
{
    int n = snprintf(out, 128, "tidegate_%s_%s", s->solo.id, what);
    for (int i = 0; i < n && i < 127; i++)
        if (out[i] == '-')
            out[i] = '_';
}

static int64_t counted(const sim *s, const char *what)
{
    char name[128];
    metric_name(s, what, name);
    int id = tg_metric_find(name, "");
    return id >= 0 ? tg_metric_sum(id) : 0;
}

static void take_step(void *ctx, tg_metric_kind kind, const char *name, const char *labels,
                      const char *help, int64_t sum)
{
    steps *t = ctx;
    (void)kind, (void)labels, (void)help;
    if (strncmp(name, t->prefix, t->prefix_len) != 0 || t->count == STEPS_MAX)
        return;
    t->at[t->count].ms = strtoll(name + t->prefix_len, NULL, 10);
    t->at[t->count++].n = sum;
}

static int by_ms(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/// The bound that a share of all acknowledgements kept; -1: none came, or they took longer.
static int64_t kept(const steps *t, double share)
{
    int64_t all = 0, n = 0;
    for (int i = 0; i < t->count; i++)
        all += t->at[i].n;
    for (int i = 0; i < t->count && all > 0; i++) {
        n += t->at[i].n;
        if ((double)n >= share * (double)all)
            return t->at[i].ms;
    }
    return -1;
}

static steps read_steps(const sim *s, char prefix[128])
{
    metric_name(s, "acked_within_", prefix);
    steps t = {.prefix = prefix, .prefix_len = strlen(prefix)};
    tg_metrics_each(take_step, &t);
    qsort(t.at, (size_t)t.count, sizeof(t.at[0]), by_ms);
    return t;
}

static const char *const COUNTS[] = {"connected", "logins",  "refused",  "reports", "acked",
                                     "unacked",   "damaged", "commands", "closed"};

static double seconds(const sim *s)
{
    return (double)(uv_hrtime() - s->began) / 1e9;
}

static void print_json(const sim *s, const steps *t)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
        tg_put_int(&b, COUNTS[i], counted(s, COUNTS[i]));
    tg_put_int(&b, "ms", (int64_t)(seconds(s) * 1000));
    tg_put_int(&b, "ack_p50_ms", kept(t, 0.5));
    tg_put_int(&b, "ack_p99_ms", kept(t, 0.99));
    tg_put_close(&b, '}');
    printf("%.*s\n", (int)b.len, b.at);
    tg_buf_free(&b);
}

static void print_text(const sim *s, const steps *t)
{
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
        printf("%-20s %lld\n", COUNTS[i], (long long)counted(s, COUNTS[i]));
    printf("%-20s %.0f\n", "reports a second", (double)counted(s, "reports") / seconds(s));
    if (kept(t, 0.5) >= 0)
        printf("%-20s half within %lld ms, 99 of 100 within %lld ms\n", "acknowledged",
               (long long)kept(t, 0.5), (long long)kept(t, 0.99));
}

static void report(const sim *s)
{
    char prefix[128];
    steps t = read_steps(s, prefix);
    if (s->json)
        print_json(s, &t);
    else
        print_text(s, &t);
}

// ---- its life -----------------------------------------------------------------------------

static void on_closed(uv_handle_t *handle)
{
    sim *s = handle->data;
    if (--s->handles == 0)
        tg_control_stop(tg_runtime_workers(s->solo.rt));
}

static void stop(sim *s)
{
    uv_handle_t *all[] = {(uv_handle_t *)&s->term, (uv_handle_t *)&s->interrupt,
                          (uv_handle_t *)&s->second, (uv_handle_t *)&s->end};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (!uv_is_closing(all[i]))
            uv_close(all[i], on_closed);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    stop(signal->data);
}

static void on_end(uv_timer_t *timer)
{
    stop(timer->data);
}

static void on_second(uv_timer_t *timer)
{
    sim *s = timer->data;
    int64_t reports = counted(s, "reports"), commands = counted(s, "commands");
    int64_t up = counted(s, "connected") - counted(s, "closed");
    fprintf(stderr, "%lld connected, %lld logins, %lld reports/s, %lld commands\n",
            (long long)up, (long long)counted(s, "logins"),
            (long long)(reports - s->reported), (long long)commands);
    s->reported = reports;
}

/// Devices report before watch() has begun: who ends the program then gets its report, too.
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(how, &set, NULL);
}

static void watch(sim *s, int64_t duration)
{
    uv_loop_t *loop = tg_control_uv(tg_runtime_workers(s->solo.rt));
    uv_update_time(loop); // loading took some: it is not the devices'
    uv_signal_init(loop, &s->term);
    uv_signal_init(loop, &s->interrupt);
    uv_timer_init(loop, &s->second);
    uv_timer_init(loop, &s->end);
    s->term.data = s->interrupt.data = s->second.data = s->end.data = s;
    s->handles = 4;
    uv_signal_start(&s->term, on_signal, SIGTERM);
    uv_signal_start(&s->interrupt, on_signal, SIGINT);
    hold_signals(SIG_UNBLOCK); // of this thread: the workers never take them
    if (!s->json)
        uv_timer_start(&s->second, on_second, 1000, 1000);
    if (duration > 0)
        uv_timer_start(&s->end, on_end, (uint64_t)duration, 0);
}

static int load(sim *s, const char *plugin, const tg_value *options, tg_error *e)
{
    char *folder = tg_loader_find(s->solo.rt, plugin, e), path[TG_PATH_LEN];
    if (folder == NULL)
        return e->code;
    bool fits = tg_path_join(path, folder, "sim.lua");
    free(folder);
    if (!fits || access(path, R_OK) != 0)
        return tg_error_set(e, TG_E_NOTFOUND, "plugin '%s' has no simulator: %s", plugin,
                            path);
    int rc = tg_plugins_load(s->solo.rt, path, options, NULL, "options", e);
    if (rc == 0)
        tg_solo_take_id(&s->solo);
    return rc;
}

static int start(sim *s, const tg_cli *cli, tg_error *e)
{
    tg_value options;
    int rc = options_of(s, cli, &options, e);
    if (rc == 0)
        rc = tg_solo_start(NULL, (uint32_t)cli->workers, &s->solo, e);
    if (rc == 0) {
        rc = load(s, cli->args[0], &options, e);
        if (rc != 0)
            tg_solo_close(&s->solo);
    }
    return rc;
}

int tg_cmd_sim(const tg_cli *cli)
{
    sim s = {.json = cli->json};
    tg_error e = {0};
    signal(SIGPIPE, SIG_IGN);
    hold_signals(SIG_BLOCK);
    s.began = uv_hrtime();
    int rc = start(&s, cli, &e);
    if (rc == 0) {
        watch(&s, cli->duration);
        tg_control_loop(tg_runtime_workers(s.solo.rt));
        report(&s);
        tg_solo_close(&s.solo);
    } else {
        tg_cli_fail("%s", e.message);
    }
    tg_arena_free(&s.arena);
    return rc == 0 ? TG_EXIT_OK : TG_EXIT_FAILED;
}
