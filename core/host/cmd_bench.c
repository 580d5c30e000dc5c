// SPDX-License-Identifier: Apache-2.0
// `tidegate bench`: options in, a report out. What a load is, core/load knows.
#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "host/cli.h"
#include "load/load.h"

#define DAY 86400000.0

#define OPTION(name_, letter_, kind_, member, value_, help_, fallback_, min_, max_)        \
    {                                                                                      \
        .name = name_, .letter = letter_, .kind = TG_FLAG_##kind_,                         \
        .offset = offsetof(tg_cli, member), .value = value_, .help = help_,                \
        .fallback = fallback_, .min = min_, .max = max_                                    \
    }
#define TEXT(name_, letter_, member, value_, help_, fallback_)                             \
    OPTION(name_, letter_, STR, member, value_, help_, fallback_, 0, 0)
#define YES(name_, letter_, member, help_)                                                 \
    OPTION(name_, letter_, BOOL, member, NULL, help_, NULL, 0, 0)

const tg_flag tg_bench_flags[] = {
    TEXT("host", 'h', host, "HOST", "of the broker", "127.0.0.1"),
    OPTION("port", 'p', INT, bench.port, "PORT", "1883, or 8883 with --tls", NULL, 1,
           65535),
    TEXT("mqtt", 'V', bench.version, "3.1.1|5", "version of the protocol", "3.1.1"),
    TEXT("user", 'u', bench.user, "NAME", "to connect with", NULL),
    TEXT("password", 'P', bench.password, "TEXT", "to connect with", NULL),
    TEXT("client-id", 'i', bench.client_id, "TEXT", "what client ids begin with (drawn)",
         NULL),
    OPTION("clients", 'c', INT, bench.clients, "N", "see the scenarios", "10", 1, 1e6),
    OPTION("subs", 's', INT, bench.subs, "S", "see the scenarios", "10", 1, 1e5),
    OPTION("groups", 'g', INT, bench.groups, "G", "see the scenarios", "1", 1, 1000),
    OPTION("filters", 'f', INT, bench.filters, "F", "see the scenarios (10000; idle: none)",
           NULL, 1, 1e7),
    OPTION("count", 'n', INT, count, "M",
           "messages in all (100000, or what --duration allows)", NULL, 1, 4e9),
    OPTION("duration", 'd', DURATION, bench.duration, "TIME",
           "of sending; idle: of holding (10s)", NULL, 1, DAY),
    OPTION("rate", 'r', NUM, bench.rate, "R",
           "messages a second in all (as fast as it goes)", NULL, 0.001, 1e8),
    OPTION("window", 'w', INT, bench.window, "W", "messages in flight, of each publisher",
           "32", 1, TG_LOAD_WINDOW_MAX),
    TEXT("qos", 'q', bench.qos, "Q|MIX", "0, 1, 2, or shares as 0:80,1:20", "0"),
    OPTION("payload", 'l', INT, bench.payload, "BYTES", "length of a message", "64",
           TG_LOAD_STAMP, TG_LOAD_PAYLOAD_MAX),
    TEXT("topic", 't', bench.topic, "TOPIC", "one level of it is %i, a number (drawn)",
         NULL),
    OPTION("connect-rate", 0, NUM, bench.connect_rate, "R",
           "connections a second (no limit)", NULL, 0.001, 1e6),
    OPTION("connecting", 0, INT, bench.connecting, "N", "connections under way at a time",
           "64", 1, 1e5),
    OPTION("keepalive", 'k', DURATION, bench.keepalive, "TIME", "in which each pings twice",
           "5m", 0, 65535000),
    OPTION("ttl", 0, DURATION, bench.ttl, "TIME",
           "churn: how long a client stays, on average", "1s", 10, DAY),
    OPTION("away", 0, DURATION, bench.away, "TIME", "churn: and how long it is away",
           "200ms", 0, DAY),
    OPTION("unclean", 0, INT, bench.unclean, "PERCENT", "churn: leave without a word", "50",
           0, 100),
    YES("durable", 0, bench.durable, "sessions that the broker's store must keep"),
    YES("tls", 0, bench.tls, "connect with TLS"),
    TEXT("cafile", 0, bench.cafile, "FILE", "TLS: whom to trust (as the system does)",
         NULL),
    YES("insecure", 0, bench.insecure, "TLS: trust any certificate"),
    TEXT("cert", 0, bench.cert, "FILE", "TLS: the clients' certificate", NULL),
    TEXT("key", 0, bench.key, "FILE", "TLS: its key (in the same file)", NULL),
    YES("tls-resume", 0, bench.resume, "TLS: connect with the server's tickets"),
    OPTION("threads", 'T', INT, bench.threads, "N", "of the generator", "1", 1,
           TG_LOAD_THREADS_MAX),
    OPTION("timeout", 0, DURATION, bench.timeout, "TIME", "what has not come then is lost",
           "10s", 100, 3600000),
    OPTION("server-pid", 0, INT, bench.pid, "PID", "report what this process here uses",
           NULL, 1, INT32_MAX),
    YES("json", 'j', json, "for programs: JSON instead of a table"),
    {0},
};

void tg_help_bench(void)
{
    puts("Scenarios:");
    for (int i = 0; i < TG_LOAD_SCENARIOS; i++)
        printf("  %-9s %s\n", tg_load_names[i], tg_load_helps[i]);
    puts("\nIt ends with 0 when everything arrived once and in order, with 1 when it did "
         "not, with 2 on\nwrong usage, and with 3 when the broker lets nobody in.\n");
}

static int find_scenario(const char *name, tg_load_scenario *out)
{
    for (int i = 0; i < TG_LOAD_SCENARIOS; i++)
        if (strcmp(tg_load_names[i], name) == 0) {
            *out = (tg_load_scenario)i;
            return 0;
        }
    const char *near = tg_nearest(tg_str(name), tg_load_names, TG_LOAD_SCENARIOS);
    tg_cli_fail("no scenario '%s'", name);
    if (near != NULL)
        fprintf(stderr, "Did you mean '%s'?\n", near);
    fputs("`tidegate bench --help` lists them.\n", stderr);
    return TG_EXIT_USAGE;
}

/// "1", or "0:80,1:20".
static int read_qos(const char *text, uint32_t *shares)
{
    char *at = (char *)text;
    bool good = true, more = true;
    while (good && more) {
        long qos = strtol(at, &at, 10), share = 1;
        if (*at == ':')
            share = strtol(at + 1, &at, 10);
        more = *at == ',';
        good = qos >= 0 && qos <= 2 && share > 0 && share <= 1000000 &&
               (more || *at == '\0') && shares[qos] == 0;
        if (good)
            shares[qos] = (uint32_t)share;
        at += more;
    }
    if (good && *text >= '0' && *text <= '2')
        return 0;
    tg_cli_fail("--qos: '%s': expected 0, 1 or 2, or shares of them as 0:80,1:20", text);
    return TG_EXIT_USAGE;
}

static int read_version(const char *text, unsigned *out)
{
    *out = strcmp(text, "5") == 0 || strcmp(text, "5.0") == 0 ? 5 : 4;
    if (*out == 5 || strcmp(text, "3.1.1") == 0)
        return 0;
    tg_cli_fail("--mqtt: '%s': expected 3.1.1 or 5", text);
    return TG_EXIT_USAGE;
}

static uint64_t choose_count(const tg_cli *cli, tg_load_scenario s)
{
    bool timed = cli->bench.duration > 0 && s != TG_LOAD_RETAINED;
    return cli->count > 0 ? (uint64_t)cli->count : timed ? 0 : 100000;
}

static void fill(const tg_cli *cli, tg_load_options *o)
{
    const tg_cli_bench *b = &cli->bench;
    bool idle = o->scenario == TG_LOAD_IDLE;
    o->host = cli->host;
    o->port = (uint16_t)(b->port > 0 ? b->port : b->tls ? 8883 : 1883);
    o->clients = (uint32_t)b->clients;
    o->subs = (uint32_t)b->subs;
    o->groups = (uint32_t)b->groups;
    o->filters = (uint32_t)(b->filters > 0 ? b->filters : idle ? 0 : 10000);
    o->count = choose_count(cli, o->scenario);
    o->duration_ms = (uint64_t)(b->duration > 0 ? b->duration : idle ? 10000 : 0);
    o->timeout_ms = (uint64_t)b->timeout;
    o->window = (uint32_t)b->window;
    o->payload = (uint32_t)b->payload;
    o->threads = (uint32_t)b->threads;
    o->rate = b->rate;
    o->connect_rate = b->connect_rate;
    o->connecting = (uint32_t)b->connecting;
    o->keepalive_s = (uint32_t)((b->keepalive + 999) / 1000);
    o->user = b->user;
    o->password = b->password;
    o->client_id = b->client_id;
    o->topic = b->topic;
    o->durable = b->durable;
    o->tls = b->tls;
    o->insecure = b->insecure;
    o->tls_resume = b->resume;
    o->cafile = b->cafile;
    o->cert = b->cert;
    o->key = b->key;
    o->ttl_ms = (uint64_t)b->ttl;
    o->away_ms = (uint64_t)b->away;
    o->unclean = (uint32_t)b->unclean;
    o->server_pid = (int)b->pid;
}

static int report(const tg_cli *cli, const tg_load_options *o, const tg_load_result *r)
{
    tg_buf b = {0};
    if (cli->json)
        tg_load_json(&b, o, r);
    else
        tg_load_table(&b, o, r);
    bool whole = !b.failed && fwrite(b.at, 1, b.len, stdout) == b.len;
    tg_buf_free(&b);
    return whole && tg_load_good(r) && !r->interrupted ? TG_EXIT_OK : TG_EXIT_FAILED;
}

int tg_cmd_bench(const tg_cli *cli)
{
    tg_load_options o = {0};
    tg_error e = {0};
    int rc = find_scenario(cli->args[0], &o.scenario);
    if (rc == 0)
        rc = read_qos(cli->bench.qos, o.qos);
    if (rc == 0)
        rc = read_version(cli->bench.version, &o.version);
    if (rc != 0)
        return rc;
    fill(cli, &o);
    tg_load_result *result = malloc(sizeof(*result));
    if (result == NULL)
        return tg_cli_fail("out of memory");
    rc = tg_load_run(&o, result, &e);
    if (rc < 0)
        tg_cli_fail("%s", e.message);
    int code = rc < 0 ? TG_EXIT_FAILED : report(cli, &o, result);
    if (rc == TG_E_INVAL)
        code = TG_EXIT_USAGE;
    if (rc == TG_E_REFUSED || rc == TG_E_RESOLVE)
        code = TG_EXIT_UNREACHABLE;
    free(result);
    return code;
}
