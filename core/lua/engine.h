// SPDX-License-Identifier: Apache-2.0
/// The engine's inside, for its own plugin and for the offline runner.
#ifndef TG_LUA_ENGINE_H
#define TG_LUA_ENGINE_H

#include "lua/script.h"

/// @return NULL: out of memory, or the host lacks a table.
tg_lua_engine *tg_lua_engine_new(const tg_host *host, tg_self *self);
void tg_lua_engine_free(tg_lua_engine *e); ///< after its threads have been detached

/// The calling thread becomes the one of `b`.
int tg_bench_attach(tg_bench *b, tg_monitor *m, uint32_t index);

/// A guard for a state that lives for one call, on any thread.
typedef struct tg_scratch {
    tg_bench bench;
    tg_guard *outer; ///< the thread's own, set aside
} tg_scratch;
int tg_scratch_begin(tg_scratch *x, tg_lua_engine *engine);
void tg_scratch_end(tg_scratch *x);

#endif
