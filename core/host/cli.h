// SPDX-License-Identifier: Apache-2.0
/// The command line: one table of commands, one struct of what their options say.
#ifndef TG_HOST_CLI_H
#define TG_HOST_CLI_H

#include "base/error.h"

#define TG_VERSION "0.1.0"
#define TG_CLI_ARGS 64

/// What scripts may rely on.
enum { TG_EXIT_OK = 0, TG_EXIT_FAILED = 1, TG_EXIT_USAGE = 2, TG_EXIT_UNREACHABLE = 3 };

/// What `bench` takes; `host` and `json` are shared with the other commands.
typedef struct tg_cli_bench {
    const char *version, *qos, *topic, *user, *password, *client_id, *cafile, *cert, *key;
    bool durable, tls, insecure, resume;
    int64_t port, clients, subs, groups, filters, window, payload, threads, connecting,
        unclean, pid; ///< 0: not given, or not known
    int64_t duration, timeout, keepalive, ttl, away; ///< ms
    double rate, connect_rate; ///< a second
} tg_cli_bench;

/// Every option of every command; a command takes those that its table names.
typedef struct tg_cli {
    const struct tg_cli_command *command;
    const char *config, *host, *token_file, *cursor, *encoding, *adapter, *id, *timeout,
        *ttl;
    bool json, retain, forget, offline, all, help, no_queue;
    int64_t qos, limit, count, workers, duration;
    tg_cli_bench bench;
    int nargs, nrest;
    const char *args[TG_CLI_ARGS];
    struct {
        tg_slice name; ///< "devices" of --devices
        const char *value;
    } rest[TG_CLI_ARGS]; ///< what a command with REST hands on
} tg_cli;

typedef enum tg_flag_kind {
    TG_FLAG_BOOL, ///< bool
    TG_FLAG_STR, ///< const char *
    TG_FLAG_INT, ///< int64_t
    TG_FLAG_NUM, ///< double
    TG_FLAG_DURATION, ///< int64_t ms
    TG_FLAG_REST, ///< every long option that the table does not name; not checked here
} tg_flag_kind;

typedef struct tg_flag {
    const char *name; ///< "config" is --config; NULL ends a table
    char letter; ///< 'c' is -c; 0: none
    uint8_t kind; ///< tg_flag_kind
    uint32_t offset; ///< into tg_cli
    const char *value; ///< how the help names it: "FILE"
    const char *help;
    const char *fallback; ///< as it would be given; NULL: zero
    double min, max; ///< of numbers, and of durations in ms; both 0: any
} tg_flag;

typedef struct tg_cli_command {
    const char *name; ///< one or two words
    const char *args; ///< as the help shows them: "TOPIC [MESSAGE]"
    const char *help;
    const tg_flag *flags;
    int min_args, max_args;
    int (*run)(const tg_cli *cli); ///< @return the exit code
} tg_cli_command;

extern const tg_cli_command tg_commands[]; ///< ends with a name of NULL (main.c)

/// Takes the line apart. @return 0, or TG_EXIT_USAGE after saying why on stderr.
int tg_cli_parse(int argc, char **argv, tg_cli *out);
void tg_cli_help(const tg_cli_command *command); ///< NULL: all commands

/// "tidegate: …" on stderr. @return TG_EXIT_FAILED.
TG_PRINTF(1, 2) int tg_cli_fail(const char *fmt, ...);

// The commands.
int tg_cmd_run(const tg_cli *cli);
int tg_cmd_config_check(const tg_cli *cli);
int tg_cmd_status(const tg_cli *cli);
int tg_cmd_plugins(const tg_cli *cli);
int tg_cmd_listeners(const tg_cli *cli);
int tg_cmd_clients(const tg_cli *cli);
int tg_cmd_devices(const tg_cli *cli);
int tg_cmd_command(const tg_cli *cli);
int tg_cmd_topics(const tg_cli *cli);
int tg_cmd_retained(const tg_cli *cli);
int tg_cmd_kick(const tg_cli *cli);
int tg_cmd_publish(const tg_cli *cli);
int tg_cmd_subscribe(const tg_cli *cli);
int tg_cmd_decode(const tg_cli *cli);
int tg_cmd_reload(const tg_cli *cli);
int tg_cmd_log(const tg_cli *cli);
int tg_cmd_new_adapter(const tg_cli *cli);
int tg_cmd_test(const tg_cli *cli);
extern const tg_flag tg_bench_flags[];
int tg_cmd_bench(const tg_cli *cli);
void tg_help_bench(void);
int tg_cmd_sim(const tg_cli *cli);
int tg_cmd_version(const tg_cli *cli);
int tg_cmd_help(const tg_cli *cli);

#endif
