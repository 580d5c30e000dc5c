// SPDX-License-Identifier: Apache-2.0
// The offline runner, and a door to it for specs in Lua. Alone it tests itself; with a plugin's
// path (and an adapter) it takes commands as lines on stdin and tells what the plugin did as lines of JSON on
// stdout, with a line "." behind each command:
//   open [CONFIG JSON] | clock MS | connect PEER | feed CONN HEX | advance MS | hangup CONN
//   deliver DEVICE TOPIC QOS PAYLOAD
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/metric.h"
#include "codec/json_read.h"
#include "lua/offline.h"
#include "../../support/check.h"

typedef struct door {
    tg_offline *o;
    const char *path, *adapter; ///< adapter: NULL the plugin's first
    tg_arena arena;
    uint64_t clock;
} door;

static void print_line(void *ctx, tg_slice line)
{
    (void)ctx;
    fwrite(line.at, 1, line.len, stdout);
    putchar('\n');
}

static int open_plugin(door *d, const char *config)
{
    tg_value v = {.kind = TG_MAP};
    tg_error e = {0};
    if (d->o != NULL)
        tg_offline_free(d->o);
    d->o = NULL;
    tg_arena_free(&d->arena);
    if (config != NULL && *config != '\0' &&
        tg_json_read(tg_str(config), &d->arena, &v, &e) < 0) {
        printf("{\"event\":\"error\",\"text\":\"config: %s\"}\n", e.message);
        return -1;
    }
    tg_offline_spec spec = {.path = d->path,
                            .adapter = d->adapter,
                            .config = &v,
                            .clock = d->clock,
                            .emit = print_line};
    int rc = tg_offline_open(&spec, &d->o, &e);
    if (rc < 0)
        printf("{\"event\":\"error\"}\n"), fprintf(stderr, "%s\n", e.message);
    return rc;
}

static void feed(door *d, int conn, const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    tg_offline_feed(d->o, conn, (tg_slice){bytes, n});
    free(bytes);
}

static void deliver(door *d, char *args)
{
    char *save = NULL;
    const char *device = strtok_r(args, " ", &save), *topic = strtok_r(NULL, " ", &save);
    const char *qos = strtok_r(NULL, " ", &save), *payload = strtok_r(NULL, "", &save);
    int rc = tg_offline_deliver(d->o, device, tg_str(topic), tg_str(payload), atoi(qos));
    printf("{\"event\":\"deliver\",\"code\":%d}\n", rc);
}

static void command(door *d, char *line)
{
    char *args = strchr(line, ' ');
    if (args != NULL)
        *args++ = '\0';
    if (d->o == NULL && strcmp(line, "clock") != 0 && strcmp(line, "open") != 0)
        fprintf(stderr, "%s: no plugin is open\n", line), exit(1);
    if (strcmp(line, "clock") == 0)
        d->clock = strtoull(args, NULL, 10);
    else if (strcmp(line, "open") == 0)
        open_plugin(d, args);
    else if (strcmp(line, "connect") == 0)
        printf("{\"event\":\"connect\",\"conn\":%d}\n", tg_offline_connect(d->o, args));
    else if (strcmp(line, "feed") == 0)
        feed(d, atoi(args), strchr(args, ' ') + 1);
    else if (strcmp(line, "deliver") == 0)
        deliver(d, args);
    else if (strcmp(line, "advance") == 0)
        tg_offline_advance(d->o, (uint32_t)strtoul(args, NULL, 10));
    else if (strcmp(line, "hangup") == 0)
        tg_offline_hangup(d->o, atoi(args));
    puts(".");
    fflush(stdout);
}

static int serve(const char *path, const char *adapter)
{
    door d = {.path = path, .adapter = adapter, .clock = UINT64_C(1767323045000)};
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        command(&d, line);
    }
    free(line);
    if (d.o != NULL)
        tg_offline_free(d.o);
    tg_arena_free(&d.arena);
    return 0;
}

// ---- alone --------------------------------------------------------------------------------

static void collect(void *ctx, tg_slice line)
{
    tg_buf_put(ctx, line.at, line.len);
    tg_buf_putc(ctx, '\n');
}

static void a_tracker_logs_in_without_a_host(void **state)
{
    (void)state;
    static const char login[] = "xx\r\1\x08\x65\x01\x23\x45\x67\x89\1\0\1\xe7\xd8\r\n";
    tg_buf told = {0};
    tg_offline *o = NULL;
    tg_error e = {0};
    tg_offline_spec spec = {.path = "protocols/gt06", .emit = collect, .ctx = &told};
    if (tg_offline_open(&spec, &o, &e) < 0)
        fail_msg("%s", e.message);
    int conn = tg_offline_connect(o, "192.0.2.1:5000");
    assert_int_equal(tg_offline_feed(o, conn, (tg_slice){login, sizeof(login) - 1}), 0);
    tg_buf_putc(&told, '\0');
    assert_non_null(strstr(told.at, "\"hex\":\"787805010001d9dc0d0a\""));
    assert_non_null(strstr(told.at, "gt06/865012345678901/login"));
    tg_offline_free(o);
    tg_buf_free(&told);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tracker_logs_in_without_a_host)};
    tg_hash_seed();
    tg_metrics_open(1);
    int rc = argc > 1 ? serve(argv[1], argc > 2 ? argv[2] : NULL) : RUN(tests);
    tg_metrics_close();
    return rc;
}
