// SPDX-License-Identifier: Apache-2.0
/// What the tests of this room share: a bare state with its guard, and a plugin written to
/// a folder of its own and run offline.
#ifndef TG_SPEC_LUA_RIG_H
#define TG_SPEC_LUA_RIG_H

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/metric.h"
#include "lua/offline.h"
#include "lua/vm.h"

#include "../../support/check.h"

// ---- a bare state ---------------------------------------------------------------------

typedef struct rig {
    tg_monitor *monitor;
    tg_guard guard;
    tg_vm vm;
    char error[512];
} rig;

static inline int rig_open(void **state)
{
    rig *r = calloc(1, sizeof(*r));
    *state = r;
    r->monitor = tg_monitor_new();
    return r->monitor == NULL || tg_guard_attach(&r->guard, r->monitor) != 0 ||
           tg_vm_open(&r->vm, &r->guard, TG_VM_MEMORY) != 0;
}

static inline int rig_close(void **state)
{
    rig *r = *state;
    tg_vm_close(&r->vm);
    tg_guard_detach(&r->guard);
    tg_monitor_free(r->monitor);
    free(r);
    return 0;
}

static inline uint64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/// Runs `text` as a handler. @return LUA_OK, LUA_YIELD, TG_E_SCRIPT or TG_E_BUDGET; results
/// are dropped, the error is in r->error.
static inline int rig_run(rig *r, const char *text, uint32_t budget_us)
{
    lua_State *L = r->vm.L;
    lua_State *co = lua_newthread(L);
    int nres = 0;
    r->error[0] = '\0';
    if (luaL_loadbufferx(co, text, strlen(text), "@test.lua", "t") != LUA_OK) {
        snprintf(r->error, sizeof(r->error), "%s", lua_tostring(co, -1));
        lua_pop(L, 1);
        return TG_E_SCRIPT;
    }
    int rc = tg_vm_run(&r->vm, co, "handler", budget_us, 0, &nres);
    if (rc < 0)
        tg_vm_explain(&r->vm, co, rc, "handler", budget_us, false, r->error,
                      sizeof(r->error));
    lua_pop(L, 1);
    return rc;
}

// ---- a plugin offline -----------------------------------------------------------------

/// The head of an adapter for lines of a word and a text.
#define LINES                                                                              \
    "local tg = require 'tidegate'\n"                                                      \
    "local M = tg.adapter { id = 'acme', version = '1.4.0', api = 1,\n"                    \
    "  frame = { kind = 'line', max = 512 } }\n"                                           \
    "function M.decode(f) local kind, rest = f:match('^(%a+) ?([^\\r\\n]*)')\n"            \
    "  if not kind then return nil, 'no word' end\n"                                       \
    "  return { type = kind, text = rest, data = { text = rest } } end\n"                  \
    "function M.encode(m) return m.text .. '\\n' end\n"

typedef struct stage {
    char folder[64];
    char path[128];
    tg_offline *offline;
    tg_offline_spec spec;
    tg_error error;
    tg_buf lines; ///< all that was told, a line each
} stage;

static inline void stage_line(void *ctx, tg_slice line)
{
    stage *s = ctx;
    tg_buf_put(&s->lines, line.at, line.len);
    tg_buf_putc(&s->lines, '\n');
}

static inline void stage_file(stage *s, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", s->path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void stage_new(stage *s, const char *main)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->folder, sizeof(s->folder), "/tmp/tg-lua-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof(s->path), "%s/plug", s->folder);
    assert_int_equal(mkdir(s->path, 0700), 0);
    stage_file(s, "init.lua", main);
    s->spec = (tg_offline_spec){.path = s->path, .emit = stage_line, .ctx = s};
}

static inline int stage_open(stage *s)
{
    return tg_offline_open(&s->spec, &s->offline, &s->error);
}

/// Opens the plugin and lets a device connect. @return the connection
static inline int stage_connect(stage *s)
{
    int rc = stage_open(s);
    if (rc != 0)
        fail_msg("open: %s", s->error.message);
    return tg_offline_connect(s->offline, NULL);
}

static inline void stage_feed(stage *s, int conn, const char *text)
{
    assert_int_equal(tg_offline_feed(s->offline, conn, tg_str(text)), 0);
}

static inline void stage_end(stage *s)
{
    char command[256];
    if (s->offline != NULL)
        tg_offline_free(s->offline);
    tg_buf_free(&s->lines);
    snprintf(command, sizeof(command), "rm -r '%s'", s->folder);
    assert_int_equal(system(command), 0);
}

/// Has a line been told that contains `text`?
static inline bool stage_told(stage *s, const char *text)
{
    return s->lines.len > 0 &&
           memmem(s->lines.at, s->lines.len, text, strlen(text)) != NULL;
}

static inline int stage_count(stage *s, const char *text)
{
    int n = 0;
    const char *at = s->lines.at, *end = at + s->lines.len;
    while (at != NULL &&
           (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        n++;
        at++;
    }
    return n;
}

#define assert_told(s, text)                                                               \
    do {                                                                                   \
        if (!stage_told(s, text))                                                          \
            fail_msg("not told: %s\ntold:\n%.*s", text, (int)(s)->lines.len,               \
                     (s)->lines.at);                                                       \
    } while (0)

static inline int64_t live_states(void)
{
    return tg_metric_sum(tg_metric_find("tidegate_lua_states", ""));
}

static inline int rig_group_open(void **state)
{
    (void)state;
    tg_hash_seed();
    return tg_metrics_open(4);
}

static inline int rig_group_close(void **state)
{
    (void)state;
    tg_metrics_close();
    return 0;
}

#endif
