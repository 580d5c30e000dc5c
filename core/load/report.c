// SPDX-License-Identifier: Apache-2.0
// A result for people and for programs.
#include <stdio.h>

#include "base/json.h"
#include "load/load.h"

bool tg_load_good(const tg_load_result *r)
{
    return r->lost + r->doubled + r->reordered + r->strange + r->errors.count == 0;
}

static bool counts_connections(const tg_load_options *o)
{
    return o->scenario == TG_LOAD_CONNECT || o->scenario == TG_LOAD_IDLE;
}

static void put_qos(tg_buf *b, const tg_load_options *o)
{
    const char *comma = "";
    for (unsigned qos = 0; qos < 3; qos++) {
        if (o->qos[qos] == 0)
            continue;
        tg_buf_printf(b, "%s%u", comma, qos);
        if (o->qos[qos] < o->qos[0] + o->qos[1] + o->qos[2])
            tg_buf_printf(b, ":%u", o->qos[qos]);
        comma = ",";
    }
}

typedef struct share {
    const char *key;
    double of;
} share;

static const share shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}};
enum { SHARES = sizeof(shares) / sizeof(*shares) };

static void json_hist(tg_buf *b, const char *key, const tg_hist *h)
{
    tg_buf_printf(b, ",\"%s\":{", key);
    for (unsigned i = 0; i < SHARES; i++)
        tg_buf_printf(b, "\"%s\":%.1f,", shares[i].key, tg_hist_us(h, shares[i].of));
    tg_buf_printf(b, "\"max\":%.1f}", (double)h->max / 1e3);
}

static void json_count(tg_buf *b, const char *key, uint64_t n)
{
    tg_buf_printf(b, ",\"%s\":%llu", key, (unsigned long long)n);
}

static uint64_t things(const tg_load_options *o, const tg_load_result *r)
{
    uint64_t n = counts_connections(o) ? r->connections : r->received;
    return n > 0 ? n : 1;
}

static double each(uint64_t before, uint64_t after, uint64_t n)
{
    return n > 0 ? ((double)after - (double)before) / (double)n : 0;
}

static void json_server(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    tg_buf_printf(b, ",\"server\":{\"cpu_us\":%.3f",
                  (double)r->cpu_ns / 1e3 / (double)things(o, r));
    json_count(b, "rss_start", r->rss_start);
    json_count(b, "rss_end", r->rss_end);
    if (o->scenario == TG_LOAD_IDLE)
        tg_buf_printf(b, ",\"bytes_per_connection\":%.0f",
                      each(r->rss_start, r->rss_connected, r->connections));
    if (o->scenario == TG_LOAD_IDLE && o->filters > 0)
        tg_buf_printf(b, ",\"bytes_per_subscription\":%.0f",
                      each(r->rss_connected, r->rss_subscribed, o->filters));
    tg_buf_putc(b, '}');
}

static void json_errors(tg_buf *b, const tg_load_errors *e)
{
    const char *comma = "";
    tg_buf_puts(b, ",\"errors\":{");
    for (unsigned i = 0; i < TG_LOAD_KINDS; i++) {
        if (e->kinds[i].count == 0)
            continue;
        tg_buf_puts(b, comma);
        tg_json_str(b, tg_str(e->kinds[i].text));
        tg_buf_printf(b, ":%llu", (unsigned long long)e->kinds[i].count);
        comma = ",";
    }
    tg_buf_putc(b, '}');
}

void tg_load_json(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    tg_buf_printf(b, "{\"scenario\":\"%s\",\"host\":", tg_load_names[o->scenario]);
    tg_json_str(b, tg_str(o->host));
    tg_buf_printf(b, ",\"port\":%u,\"mqtt\":\"%s\",\"tls\":%s,\"qos\":\"", o->port,
                  o->version == 5 ? "5" : "3.1.1", o->tls ? "true" : "false");
    put_qos(b, o);
    tg_buf_putc(b, '"');
    json_count(b, "payload", o->payload);
    json_count(b, "window", o->window);
    json_count(b, "publishers", r->publishers);
    json_count(b, "subscribers", r->subscribers);
    json_count(b, "sent", r->sent);
    json_count(b, "received", r->received);
    json_count(b, "expected", r->expected);
    json_count(b, "lost", r->lost);
    json_count(b, "doubled", r->doubled);
    json_count(b, "repeated", r->repeated);
    json_count(b, "missed", r->missed);
    json_count(b, "reordered", r->reordered);
    json_count(b, "strange", r->strange);
    json_count(b, "connections", r->connections);
    json_count(b, "resumed", r->resumed);
    json_count(b, "tls_resumed", r->tls_resumed);
    json_count(b, "left", r->left);
    json_count(b, "cut", r->cut);
    tg_buf_printf(b, ",\"seconds\":%.3f,\"rate\":%.1f", r->seconds, r->rate);
    json_hist(b, "latency_us", &r->latency);
    json_hist(b, "connect_us", &r->connect);
    if (o->server_pid > 0)
        json_server(b, o, r);
    json_errors(b, &r->errors);
    tg_buf_printf(b, ",\"good\":%s,\"interrupted\":%s}\n",
                  tg_load_good(r) ? "true" : "false", r->interrupted ? "true" : "false");
}

static void put_number(tg_buf *b, double n)
{
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%.0f", n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            tg_buf_putc(b, ',');
        tg_buf_putc(b, digits[i]);
    }
}

static void table_count(tg_buf *b, const char *what, uint64_t n)
{
    tg_buf_printf(b, "   %s ", what);
    put_number(b, (double)n);
}

static void table_title(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    tg_buf_printf(b, "%s at %s:%u, MQTT %s%s: ", tg_load_names[o->scenario], o->host,
                  o->port, o->version == 5 ? "5.0" : "3.1.1", o->tls ? " over TLS" : "");
    if (counts_connections(o)) {
        put_number(b, (double)r->subscribers);
        tg_buf_puts(b, " connections\n\n");
        return;
    }
    put_number(b, (double)r->publishers);
    tg_buf_puts(b, r->publishers == 1 ? " publisher, " : " publishers, ");
    put_number(b, (double)r->subscribers);
    tg_buf_puts(b, r->subscribers == 1 ? " subscriber, QoS " : " subscribers, QoS ");
    put_qos(b, o);
    tg_buf_printf(b, ", %u bytes, %u in flight\n\n", o->payload, o->window);
}

static void table_messages(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    if (counts_connections(o))
        return;
    tg_buf_puts(b, "messages ");
    table_count(b, "sent", r->sent);
    table_count(b, "received", r->received);
    table_count(b, "lost", r->lost);
    table_count(b, "doubled", r->doubled);
    table_count(b, "reordered", r->reordered);
    if (r->strange > 0)
        table_count(b, "strange", r->strange);
    if (o->scenario == TG_LOAD_CHURN) {
        tg_buf_puts(b, "\n         ");
        table_count(b, "repeated (QoS 1)", r->repeated);
        table_count(b, "missed (QoS 0)", r->missed);
        tg_buf_puts(b, "\nsessions ");
        table_count(b, "resumed", r->resumed);
        table_count(b, "left", r->left);
        table_count(b, "cut", r->cut);
    }
    tg_buf_putc(b, '\n');
}

static void table_hist(tg_buf *b, const char *what, const tg_hist *h)
{
    if (h->count == 0)
        return;
    tg_buf_printf(b, "%-11s", what);
    for (unsigned i = 0; i < SHARES; i++)
        tg_buf_printf(b, "%10.3f", tg_hist_us(h, shares[i].of) / 1e3);
    tg_buf_printf(b, "%10.3f\n", (double)h->max / 1e6);
}

static void table_times(tg_buf *b, const tg_load_result *r)
{
    tg_buf_printf(b, "\n%-11s%10s%10s%10s%10s%10s\n", "ms", "p50", "p90", "p99", "p99.9",
                  "max");
    table_hist(b, "latency", &r->latency);
    table_hist(b, "connect", &r->connect);
}

static void table_server(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    const char *what = counts_connections(o) ? "connection" : "message";
    tg_buf_printf(b, "\nserver      %.2f µs of processor time a %s",
                  (double)r->cpu_ns / 1e3 / (double)things(o, r), what);
    if (o->scenario == TG_LOAD_IDLE)
        tg_buf_printf(b, "   %.0f bytes a connection",
                      each(r->rss_start, r->rss_connected, r->connections));
    if (o->scenario == TG_LOAD_IDLE && o->filters > 0)
        tg_buf_printf(b, "   %.0f bytes a subscription",
                      each(r->rss_connected, r->rss_subscribed, o->filters));
    tg_buf_putc(b, '\n');
}

void tg_load_table(tg_buf *b, const tg_load_options *o, const tg_load_result *r)
{
    table_title(b, o, r);
    table_messages(b, o, r);
    tg_buf_puts(b, "rate        ");
    put_number(b, r->rate);
    tg_buf_printf(b, " %s a second, over %.3f s\n",
                  counts_connections(o) ? "connections" : "messages", r->seconds);
    if (o->tls_resume)
        tg_buf_printf(b, "TLS         %llu handshakes resumed\n",
                      (unsigned long long)r->tls_resumed);
    table_times(b, r);
    if (o->server_pid > 0)
        table_server(b, o, r);
    tg_buf_puts(b, r->errors.count > 0 ? "\nerrors\n" : "");
    for (unsigned i = 0; i < TG_LOAD_KINDS; i++)
        if (r->errors.kinds[i].count > 0)
            tg_buf_printf(b, "  %10llu  %s\n", (unsigned long long)r->errors.kinds[i].count,
                          r->errors.kinds[i].text);
    if (r->interrupted)
        tg_buf_puts(b, "\ninterrupted before its end\n");
}
