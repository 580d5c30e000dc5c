// SPDX-License-Identifier: Apache-2.0
// A line is put together first and leaves with one write(2), so lines of threads never mix. A
// log that nobody reads must not stop the host: a reader that does not keep up loses lines and
// is told how many.
// What comes from devices may hold anything: control characters are escaped in both formats,
// so that nobody forges a line or talks to a terminal.
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"

#define GATE_MS 60000
#define CHUNK 4096 // PIPE_BUF
#define REST_MS 100 // how long the rest of a longer line is waited for

static struct {
    pthread_mutex_t lock; // around what does not block
    atomic_int fd;
    atomic_bool json;
    atomic_uint_fast64_t lost; // lines that could not be written; the next one says so
    atomic_int levels[TG_MOD_COUNT];
} out = {.lock = PTHREAD_MUTEX_INITIALIZER,
         .fd = STDERR_FILENO,
#define X(id, name) TG_LOG_INFO,
         .levels = {TG_LOG_MODULES(X)}};
#undef X

static const char *const module_names[] = {
#define X(id, name) name,
    TG_LOG_MODULES(X)
#undef X
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void tg_log_open(int fd, tg_log_format format)
{
    bool json = format == TG_LOG_JSON || (format == TG_LOG_AUTO && !isatty(fd));
    atomic_store(&out.fd, fd);
    atomic_store(&out.json, json);
}

static int module_from(const char *name)
{
    for (int i = 0; i < TG_MOD_COUNT; i++)
        if (strcmp(module_names[i], name) == 0)
            return i;
    return -1;
}

int tg_log_set_level(const char *module, tg_level level)
{
    if (module == NULL) {
        for (int i = 0; i < TG_MOD_COUNT; i++)
            atomic_store_explicit(&out.levels[i], level, memory_order_relaxed);
        return 0;
    }
    int i = module_from(module);
    if (i < 0)
        return TG_E_NOTFOUND;
    atomic_store_explicit(&out.levels[i], level, memory_order_relaxed);
    return 0;
}

int tg_log_level_from(tg_slice word)
{
    for (int i = 0; i <= TG_LOG_DEBUG; i++)
        if (tg_slice_eq(word, tg_str(level_names[i])))
            return i;
    return -1;
}

bool tg_log_on(tg_log_module module, tg_level level)
{
    return (int)level <= atomic_load_explicit(&out.levels[module], memory_order_relaxed);
}

static void put_time(tg_buf *b) // RFC 3339, UTC, ms
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    tg_buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900,
                  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                  now.tv_nsec / 1000000);
}

// @return the bytes at `p` that may go out as they are: a printable character; 0 none.
static size_t printable(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t len = tg_utf8_len(p, left);
    bool control =
        c < 0x20 || c == 0x7f || (c == 0xc2 && len == 2 && (unsigned char)p[1] < 0xa0);
    return control ? 0 : len;
}

static void put_clean(tg_buf *b, tg_slice text, bool quoted)
{
    for (size_t i = 0, len; i<text.len; i += len> 0 ? len : 1) {
        const char *p = text.at + i;
        len = printable(p, text.len - i);
        if (quoted && (*p == '"' || *p == '\\'))
            tg_buf_putc(b, '\\');
        if (len > 0)
            tg_buf_put(b, p, len);
        else if (*p == '\n')
            tg_buf_puts(b, "\\n");
        else
            tg_buf_printf(b, "\\x%02x", (unsigned char)*p);
    }
}

static bool bare(tg_slice text) // needs no quotes as a field's value
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || strchr("\"=\\", text.at[i]) != NULL || text.at[i] == 0x7f)
            return false;
    return text.len > 0;
}

static void put_text(tg_buf *b, tg_log_module module, tg_level level, tg_slice msg,
                     const tg_field *fields, size_t n, uint64_t lost)
{
    put_time(b);
    tg_buf_printf(b, " %-5s %s: ", level_names[level], module_names[module]);
    put_clean(b, msg, false);
    for (size_t i = 0; i < n; i++) {
        tg_slice text = tg_str(fields[i].text);
        tg_buf_printf(b, " %s=", fields[i].key);
        if (fields[i].text == NULL) {
            tg_json_int(b, fields[i].number);
        } else if (bare(text)) {
            tg_buf_put(b, text.at, text.len);
        } else {
            tg_buf_putc(b, '"');
            put_clean(b, text, true);
            tg_buf_putc(b, '"');
        }
    }
    if (lost > 0)
        tg_buf_printf(b, " lost_lines=%llu", (unsigned long long)lost);
    tg_buf_putc(b, '\n');
}

static void put_json(tg_buf *b, tg_log_module module, tg_level level, tg_slice msg,
                     const tg_field *fields, size_t n, uint64_t lost)
{
    tg_buf_puts(b, "{\"ts\":\"");
    put_time(b);
    tg_buf_printf(b, "\",\"level\":\"%s\",\"module\":\"%s\",\"msg\":", level_names[level],
                  module_names[module]);
    tg_json_str(b, msg);
    for (size_t i = 0; i < n; i++) {
        tg_buf_putc(b, ',');
        tg_json_str(b, tg_str(fields[i].key));
        tg_buf_putc(b, ':');
        if (fields[i].text != NULL)
            tg_json_str(b, tg_str(fields[i].text));
        else
            tg_json_int(b, fields[i].number);
    }
    if (lost > 0)
        tg_buf_printf(b, ",\"lost_lines\":%llu", (unsigned long long)lost);
    tg_buf_puts(b, "}\n");
}

static bool takes(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, wait_ms) == 1;
}

// A pipe that polls as writable takes CHUNK bytes without blocking, if nobody else writes in
// between: hence the lock. @return false: the line did not get out as a whole.
static bool emit(tg_slice line)
{
    int fd = atomic_load_explicit(&out.fd, memory_order_relaxed);
    pthread_mutex_lock(&out.lock);
    for (int wait_ms = 0; line.len > 0 && takes(fd, wait_ms); wait_ms = REST_MS) {
        ssize_t n = write(fd, line.at, line.len < CHUNK ? line.len : CHUNK);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            line = (tg_slice){line.at + n, line.len - (size_t)n};
    }
    pthread_mutex_unlock(&out.lock);
    return line.len == 0;
}

void tg_log_write(tg_log_module module, tg_level level, const tg_field *fields, size_t n,
                  const char *fmt, ...)
{
    int saved = errno;
    char msg[2048];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    tg_slice text = {msg, len < 0 ? 0 : (size_t)len};
    if (text.len >= sizeof(msg))
        text.len = sizeof(msg) - 1;
    uint64_t lost = atomic_exchange_explicit(&out.lost, 0, memory_order_relaxed);
    tg_buf line = {0};
    if (atomic_load_explicit(&out.json, memory_order_relaxed))
        put_json(&line, module, level, text, fields, n, lost);
    else
        put_text(&line, module, level, text, fields, n, lost);
    if (line.failed || !emit(tg_buf_slice(&line)))
        atomic_fetch_add_explicit(&out.lost, lost + 1, memory_order_relaxed);
    tg_buf_free(&line);
    errno = saved;
}

bool tg_log_gate_pass(tg_log_gate *g, uint64_t now_ms, uint32_t burst, uint32_t *held)
{
    if (now_ms - g->window >= GATE_MS) {
        g->window = now_ms;
        g->passed = 0;
    }
    if (g->passed >= burst) {
        g->held++;
        return false;
    }
    g->passed++;
    *held = g->held;
    g->held = 0;
    return true;
}
