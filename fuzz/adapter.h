// SPDX-License-Identifier: Apache-2.0
/// An adapter in Lua under a fuzzer: its frame, its codec and its session run in this process
/// as in a host without sockets. Lines of its scripts count as coverage, so the fuzzer works its
/// way through Lua, too; with TG_LUA_LINES in the environment the lines that were reached are
/// written to that file. An error in a script is a finding: what a device sends must never make
/// one. A callback that is over its budget is none, since this build is many times slower.
#ifndef TG_FUZZ_ADAPTER_H
#define TG_FUZZ_ADAPTER_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/metric.h"
#include "codec/json_read.h"
#include "lua/offline_host.h"
#include "lua/script.h"
#include "planted.h"

#define LINE_SLOTS 16384u
#define INPUTS_OF_ONE 300 ///< then the plugin is opened anew, with the next config

/// Counters that libFuzzer reads beside those of the compiler.
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t line_hits[LINE_SLOTS];

typedef struct line_seen {
    char place[60]; ///< "jt808/decode.lua:12"
} line_seen;
static line_seen lines_seen[LINE_SLOTS];

/// There can be one offline host on a thread, so configs take turns.
typedef struct fuzz_adapter {
    const char *path;
    const char *const *configs;
    const char *const *adapters; ///< of the plugin, one for each config; NULL: its first
    size_t nconfigs, turn;
    bool (*planted)(tg_slice event); ///< what the planted bug needs to have seen
    tg_offline *o;
    tg_arena arena;
    int inputs;
} fuzz_adapter;

static void on_line(lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "S", ar);
    uint32_t h = (uint32_t)ar->currentline * 2654435761u;
    for (const char *p = ar->short_src; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 16777619u;
    uint32_t slot = h % LINE_SLOTS;
    line_hits[slot]++;
    if (lines_seen[slot].place[0] == '\0')
        snprintf(lines_seen[slot].place, sizeof(lines_seen[slot].place), "%s:%d",
                 ar->short_src, ar->currentline);
}

static void write_lines(void)
{
    const char *path = getenv("TG_LUA_LINES");
    FILE *f = path != NULL ? fopen(path, "a") : NULL;
    for (uint32_t i = 0; f != NULL && i < LINE_SLOTS; i++)
        if (lines_seen[i].place[0] != '\0')
            fprintf(f, "%s\n", lines_seen[i].place);
    if (f != NULL)
        fclose(f);
}

static bool has(tg_slice s, const char *text)
{
    return memmem(s.at, s.len, text, strlen(text)) != NULL;
}

static void on_event(void *ctx, tg_slice line)
{
    const fuzz_adapter *a = ctx;
    if (has(line, "{\"event\":\"log\",\"level\":\"error\"") && !has(line, " budget")) {
        fprintf(stderr, "config %s\n%.*s\n", a->configs[a->turn % a->nconfigs],
                (int)line.len, line.at);
        abort();
    }
    PLANTED(a->planted(line));
    (void)a;
}

static void open_adapter(fuzz_adapter *a)
{
    tg_value config;
    tg_error e = {0};
    const size_t now = a->turn % a->nconfigs;
    tg_arena_free(&a->arena);
    assert(tg_json_read(tg_str(a->configs[now]), &a->arena, &config, NULL) == 0);
    const tg_offline_spec spec = {.path = a->path,
                                  .adapter = a->adapters != NULL ? a->adapters[now] : NULL,
                                  .config = &config,
                                  .clock = UINT64_C(1767323045000),
                                  .emit = on_event,
                                  .ctx = a};
    if (tg_offline_open(&spec, &a->o, &e) < 0) {
        fprintf(stderr, "%s\n", e.message);
        abort();
    }
    const tg_unit_lua *u =
        (const tg_unit_lua *)((const char *)a->o->unit - offsetof(tg_unit_lua, pub));
    lua_sethook(u->scripts[0]->vm.L, on_line, LUA_MASKLINE, 0); // coroutines inherit it
    a->inputs = 0;
}

/// A device that connected. @return its number.
static int begin(fuzz_adapter *a)
{
    static bool ready;
    if (!ready) {
        tg_hash_seed();
        tg_metrics_open(1);
        atexit(write_lines);
        ready = true;
    }
    if (a->o != NULL && a->inputs == INPUTS_OF_ONE) {
        tg_offline_free(a->o);
        a->o = NULL;
        a->turn++;
    }
    if (a->o == NULL)
        open_adapter(a);
    a->inputs++;
    int conn = tg_offline_connect(a->o, "192.0.2.1:5000");
    assert(conn > 0);
    return conn;
}

static void feed(const fuzz_adapter *a, int conn, tg_slice bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.len; at += piece)
        tg_offline_feed(
            a->o, conn,
            (tg_slice){bytes.at + at, bytes.len - at < piece ? bytes.len - at : piece});
}

/// Timers of what it began run out; it leaves.
static void end(const fuzz_adapter *a, int conn)
{
    tg_offline_advance(a->o, 400000);
    tg_offline_hangup(a->o, conn);
}

#endif
