// SPDX-License-Identifier: Apache-2.0
// The one table of commands, and which options each takes.
#include <stdio.h>

#include "base/map.h"
#include "base/metric.h"
#include "host/cli.h"
#include "net/worker.h"

#define FLAG(name_, letter_, kind_, member, value_, help_)                                 \
    {                                                                                      \
        .name = name_, .letter = letter_, .kind = TG_FLAG_##kind_,                         \
        .offset = offsetof(tg_cli, member), .value = value_, .help = help_                 \
    }
#define CONFIG FLAG("config", 'c', STR, config, "FILE", "the host's config file")
#define JSON FLAG("json", 'j', BOOL, json, NULL, "for programs: JSON instead of tables")
#define REACH                                                                              \
    CONFIG, FLAG("host", 'H', STR, host, "ADDRESS", "of the running host"),                \
        FLAG("token-file", 0, STR, token_file, "FILE", "where its token is"), JSON
#define PAGES                                                                              \
    FLAG("limit", 'l', INT, limit, "N", "rows of one page (100)"),                         \
        FLAG("cursor", 0, STR, cursor, "WORD", "the page behind this"),                    \
        FLAG("all", 'a', BOOL, all, NULL, "every page")
#define END                                                                                \
    {                                                                                      \
        0                                                                                  \
    }

static const tg_flag NONE[] = {END};
static const tg_flag RUN[] = {CONFIG, END};
static const tg_flag CHECK[] = {CONFIG, JSON, END};
static const tg_flag QUERY[] = {REACH, END};
static const tg_flag LIST[] = {REACH, PAGES, END};
static const tg_flag DEVICES[] = {
    REACH, PAGES, FLAG("adapter", 0, STR, adapter, "NAME", "devices of this one alone"),
    END};
static const tg_flag COMMAND[] = {
    REACH,
    FLAG("id", 0, STR, id, "TEXT", "your own, for what is published about it"),
    FLAG("timeout", 't', STR, timeout, "TIME", "how long to wait for the answer (15s)"),
    FLAG("no-queue", 0, BOOL, no_queue, NULL, "leave nothing for a device that is away"),
    FLAG("ttl", 0, STR, ttl, "TIME", "how long what is left may wait"),
    END};
static const tg_flag KICK[] = {
    REACH, FLAG("forget", 'f', BOOL, forget, NULL, "its session, too"), END};
static const tg_flag PUBLISH[] = {
    REACH, FLAG("qos", 'q', INT, qos, "0|1|2", "quality of service (0)"),
    FLAG("retain", 'r', BOOL, retain, NULL, "keep it as the topic's last message"),
    FLAG("encoding", 'e', STR, encoding, "NAME", "of MESSAGE: text, hex or base64"), END};
static const tg_flag SUBSCRIBE[] = {
    REACH, FLAG("count", 'n', INT, count, "N", "end after N messages"), END};
static const tg_flag SIM[] = {
    {.name = "duration",
     .letter = 'd',
     .kind = TG_FLAG_DURATION,
     .offset = offsetof(tg_cli, duration),
     .value = "TIME",
     .help = "end after it (until interrupted)",
     .min = 0,
     .max = 30.0 * 86400000},
    {.name = "workers",
     .letter = 'w',
     .kind = TG_FLAG_INT,
     .offset = offsetof(tg_cli, workers),
     .value = "N",
     .help = "threads",
     .fallback = "1",
     .min = 1,
     .max = TG_WORKERS_MAX},
    JSON,
    {.name = "OPTION",
     .kind = TG_FLAG_REST,
     .value = "VALUE",
     .help = "of the simulator: devices, rate, route FILE, host, port, misbehave, …"},
    END};
static const tg_flag DECODE[] = {
    REACH, FLAG("offline", 0, BOOL, offline, NULL, "load the plugin here, ask no host"),
    END};

const tg_cli_command tg_commands[] = {
    {"run", "[--config FILE]", "run the host", RUN, 0, 0, tg_cmd_run},
    {"config check", "[FILE]", "check a config file", CHECK, 0, 1, tg_cmd_config_check},
    {"status", "", "what the running host is doing", QUERY, 0, 0, tg_cmd_status},
    {"plugins", "", "plugins and their versions", QUERY, 0, 0, tg_cmd_plugins},
    {"listeners", "", "where the host listens", QUERY, 0, 0, tg_cmd_listeners},
    {"clients", "", "sessions, connected or not", LIST, 0, 0, tg_cmd_clients},
    {"devices", "[DEVICE]", "devices, or all about one", DEVICES, 0, 1, tg_cmd_devices},
    {"command", "DEVICE NAME [JSON]", "send a device one of its adapter's commands",
     COMMAND, 2, 3, tg_cmd_command},
    {"topics", "", "what is subscribed to", LIST, 0, 0, tg_cmd_topics},
    {"retained", "[FILTER]", "retained messages", LIST, 0, 1, tg_cmd_retained},
    {"publish", "TOPIC [MESSAGE]", "publish MESSAGE, or what stdin has", PUBLISH, 1, 2,
     tg_cmd_publish},
    {"subscribe", "FILTER…", "print messages as they come", SUBSCRIBE, 1, TG_CLI_ARGS,
     tg_cmd_subscribe},
    {"decode", "ADAPTER HEX…", "explain a frame field by field", DECODE, 2, TG_CLI_ARGS,
     tg_cmd_decode},
    {"reload", "PLUGIN", "take a plugin's new code into service", QUERY, 1, 1,
     tg_cmd_reload},
    {"kick", "CLIENT", "close a client's connection", KICK, 1, 1, tg_cmd_kick},
    {"log", "[LEVEL [MODULE]]", "show or set log levels", QUERY, 0, 2, tg_cmd_log},
    {"new adapter", "NAME [DIR]", "start an adapter in Lua, with its vectors", NONE, 1, 2,
     tg_cmd_new_adapter},
    {"test", "PLUGIN_DIR", "run a plugin's vectors", CHECK, 1, 1, tg_cmd_test},
    {"bench", "SCENARIO", "put load on an MQTT broker and say what became of it",
     tg_bench_flags, 1, 1, tg_cmd_bench},
    {"sim", "PLUGIN", "simulated devices of a protocol", SIM, 1, 1, tg_cmd_sim},
    {"version", "", "this program's version", QUERY, 0, 0, tg_cmd_version},
    {"help", "[COMMAND]", "this list, or one command's options", NONE, 0, 2, tg_cmd_help},
    {0},
};

int tg_cmd_version(const tg_cli *cli)
{
    printf(cli->json ? "{\"version\":\"%s\"}\n" : "tidegate %s\n", TG_VERSION);
    return TG_EXIT_OK;
}

int tg_cmd_help(const tg_cli *cli)
{
    if (cli->nargs == 0) {
        tg_cli_help(NULL);
        return TG_EXIT_OK;
    }
    char name[64];
    snprintf(name, sizeof(name), "%s%s%s", cli->args[0], cli->nargs > 1 ? " " : "",
             cli->nargs > 1 ? cli->args[1] : "");
    for (const tg_cli_command *c = tg_commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0) {
            tg_cli_help(c);
            return TG_EXIT_OK;
        }
    tg_cli_fail("no command '%s'", name);
    return TG_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    tg_cli cli;
    int code = tg_cli_parse(argc, argv, &cli);
    if (code != 0 || cli.help)
        return code;
    // Reading a config counts already; how many workers there are is known only behind it.
    tg_hash_seed();
    if (tg_metrics_open(TG_WORKERS_MAX) != 0)
        return tg_cli_fail("out of memory");
    code = cli.command->run(&cli);
    tg_metrics_close();
    return code;
}
