// SPDX-License-Identifier: Apache-2.0
// What the host says about itself, and the levels of its logs.
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "admin/handlers.h"
#include "admin/write.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/utf8.h"

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/// Resident memory; 0 when the system does not say.
static int64_t resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

typedef struct totals {
    uint32_t listeners, plugins;
    int64_t connections;
} totals;

static void add_listener(void *ctx, const tg_listener_info *i)
{
    totals *t = ctx;
    t->listeners++;
    t->connections += i->connections;
}

static void add_plugin(void *ctx, const tg_version_info *i)
{
    totals *t = ctx;
    t->plugins += strcmp(i->state, "live") == 0;
}

/// Control thread.
static void answer_status(void *request)
{
    tg_request *r = request;
    tg_admin *a = r->admin;
    totals t = {0};
    tg_listeners_each(a->rt, add_listener, &t);
    tg_plugins_each(a->rt, add_plugin, &t);
    uint64_t started = tg_runtime_started(a->rt);
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_str(&b, "version", a->config.version);
    tg_put_int(&b, "pid", getpid());
    tg_put_int(&b, "started", (int64_t)started);
    tg_put_int(&b, "uptime_ms", (int64_t)(now_ms() - started));
    tg_put_int(&b, "workers", tg_workers_count(a->workers));
    tg_put_int(&b, "plugins", t.plugins);
    tg_put_int(&b, "listeners", t.listeners);
    tg_put_int(&b, "connections", t.connections);
    tg_put_int(&b, "resident_bytes", resident_bytes());
    tg_put_str(&b, "config_file", a->config.config_file);
    tg_put_str(&b, "state_dir", a->config.state_dir);
    tg_put_str(&b, "admin", a->address);
    tg_put_close(&b, '}');
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

void tg_handle_status(tg_request *r)
{
    tg_request_on_control(r, answer_status);
}

void tg_handle_health(tg_request *r)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    pthread_mutex_lock(&r->admin->lock);
    const tg_buf *problems = &r->admin->problems;
    tg_put_str(&b, "status", problems->len > 0 ? "degraded" : "ok");
    if (problems->len > 0)
        tg_put_slice(&b, "problems", tg_buf_slice(problems));
    pthread_mutex_unlock(&r->admin->lock);
    tg_put_close(&b, '}');
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

typedef struct exposition {
    tg_buf text;
    const char *last; ///< name of the family whose head stands
} exposition;

/// A line of help comes from plugins, too: what would break it is escaped.
static void put_help(tg_buf *b, const char *name, const char *help)
{
    tg_buf_printf(b, "# HELP %s ", name);
    for (size_t left = strlen(help), len; left > 0; help += len, left -= len) {
        len = tg_utf8_len(help, left);
        if (*help == '\n' || *help == '\\')
            tg_buf_puts(b, *help == '\n' ? "\\n" : "\\\\");
        else if (len == 0 || (unsigned char)*help < ' ')
            tg_buf_putc(b, '_');
        else
            tg_buf_put(b, help, len);
        len = len > 0 ? len : 1;
    }
    tg_buf_putc(b, '\n');
}

static void put_metric(void *ctx, tg_metric_kind kind, const char *name, const char *labels,
                       const char *help, int64_t sum)
{
    exposition *x = ctx;
    if (x->last == NULL || strcmp(x->last, name) != 0) {
        put_help(&x->text, name, help);
        tg_buf_printf(&x->text, "# TYPE %s %s\n", name,
                      kind == TG_COUNTER ? "counter" : "gauge");
    }
    x->last = name;
    if (*labels != '\0')
        tg_buf_printf(&x->text, "%s{%s} %lld\n", name, labels, (long long)sum);
    else
        tg_buf_printf(&x->text, "%s %lld\n", name, (long long)sum);
}

void tg_handle_metrics(tg_request *r)
{
    exposition x = {0};
    put_metric(&x, TG_GAUGE, "process_resident_memory_bytes", "", "Resident memory.",
               resident_bytes());
    put_metric(&x, TG_GAUGE, "process_start_time_seconds", "",
               "Start, seconds since the epoch.",
               (int64_t)(tg_runtime_started(r->admin->rt) / 1000));
    tg_metrics_each(put_metric, &x);
    tg_reply_text(r, "text/plain; version=0.0.4; charset=utf-8", &x.text);
}

#define X(id, name) name,
static const char *const MODULES[] = {TG_LOG_MODULES(X)};
#undef X
#define X(id, name) " " name
static const char ALL_MODULES[] = TG_LOG_MODULES(X);
#undef X
static const char *const LEVELS[] = {"error", "warn", "info", "debug"};

static const char *level_of(int module)
{
    int level = TG_LOG_ERROR;
    while (level < TG_LOG_DEBUG && tg_log_on((tg_log_module)module, (tg_level)(level + 1)))
        level++;
    return LEVELS[level];
}

void tg_handle_log_get(tg_request *r)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_open(&b, "levels", '{');
    for (int i = 0; i < TG_MOD_COUNT; i++)
        tg_put_str(&b, MODULES[i], level_of(i));
    tg_put_close(&b, '}');
    tg_put_close(&b, '}');
    tg_reply_json(r, MHD_HTTP_OK, &b);
}

void tg_handle_log_put(tg_request *r)
{
    tg_value body;
    if (!tg_request_json(r, &r->arena, &body))
        return;
    char module[32] = "";
    tg_slice name = tg_value_str(&body, "module", (tg_slice){0});
    int level = tg_log_level_from(tg_value_str(&body, "level", (tg_slice){0}));
    snprintf(module, sizeof(module), "%.*s", (int)name.len, name.at != NULL ? name.at : "");
    if (level < 0)
        tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid",
                         "level: one of error, warn, info, debug");
    else if (tg_log_set_level(name.len > 0 ? module : NULL, (tg_level)level) != 0)
        tg_reply_problem(r, MHD_HTTP_BAD_REQUEST, "invalid",
                         "there is no log module '%s'; there are:%s", module, ALL_MODULES);
    else
        tg_handle_log_get(r);
}
