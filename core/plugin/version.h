// SPDX-License-Identifier: Apache-2.0
/// A version: one loaded copy of a plugin's code, whatever engine runs it, with the list of all
/// that it registered and, per worker, of all that it has under way. Deploying is moving one
/// version through its states; reload, and later every other way of deploying, use this object.
#ifndef TG_PLUGIN_VERSION_H
#define TG_PLUGIN_VERSION_H

#include "plugin/state.h"

#define TG_VERSIONS_MAX 4
#define TG_WAITS_MS 30000 ///< runtime.waits_ms as it begins

/// A plugin: an id and where its content comes from. Its versions come and go.
typedef struct tg_plug {
    tg_list node; ///< in runtime.plugs
    tg_runtime *rt;
    char id[64];
    char *path;
    tg_value *config; ///< as given; NULL none
    char *file, *where;
    const tg_plugin *linked; ///< a static plugin; NULL loaded ones
    tg_list versions; ///< oldest first
    tg_version *live;
    uint32_t last_number;
    _Atomic(tg_kv *) kv; ///< its keys, once it asked for them
    atomic_uint nmetrics;
} tg_plug;

typedef enum tg_stage {
    TG_STAGE_NONE,
    TG_STAGE_STARTED,
    TG_STAGE_DRAINING,
    TG_STAGE_STOPPED
} tg_stage;

/// One worker's part of a version. Written by that worker alone.
typedef struct tg_part {
    _Alignas(64) _Atomic int64_t conns, frames, errors;
    atomic_int stage; ///< tg_stage
    uint32_t waits; ///< ops, calls and works under way: the version waits for them
    tg_list timers, polls, works, calls, ops, provides;
    tg_list ending; ///< node in local.ending
    tg_alarm grace; ///< its waits are given up then
    tg_version *self;
} tg_part;

struct tg_self {
    uint32_t magic;
    uint32_t number;
    tg_list node; ///< in plug.versions
    tg_runtime *rt;
    tg_plug *plug;

    // The code: a C plugin's object, or an engine's unit.
    const char *engine; ///< "c", "static", or the engine's id
    const tg_plugin *object;
    void *handle; ///< of dlopen; NULL static ones
    const tg_engine *runner;
    tg_unit *unit;

    char version[32], hash[65];
    uint32_t capabilities, flags, state_schema;
    uint64_t since;
    _Atomic int state; ///< tg_version_state
    bool loading; ///< inside load(): registrations are taken
    bool loaded;
    tg_arena arena; ///< of schema and config
    tg_value config;
    const tg_value *schema;
    tg_list offers; ///< fixed once load() is through
    tg_list privates; ///< adapters that are only dialed with, made on the fly; under `lock`
    pthread_mutex_t lock; ///< last_error, offers made on the fly
    char last_error[512];
    _Atomic int64_t holds; ///< what keeps the code mapped; 1 for life itself
    atomic_uint stopped; ///< workers that are done with it
    tg_part part[]; ///< one a worker
};

#define TG_VERSION_MAGIC 0x7e551000u

static inline tg_part *tg_part_here(tg_version *v)
{
    return &v->part[tg_worker_index(tg_worker_here())];
}

static inline void tg_bump(_Atomic int64_t *n,
                           int64_t by) ///< one writer: no locked instruction
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

/// @return `v` when it is a version; asserts otherwise.
tg_version *tg_version_check(tg_self *v);
tg_version *tg_version_new(tg_plug *p);
void tg_version_free(tg_version *v);
void tg_version_error(tg_version *v, tg_slice text);
/// Copies the last error; "" none.
void tg_version_last_error(tg_version *v, char *out, size_t len);

/// Any thread. The code stays while it is held.
void tg_version_hold(tg_version *v);
void tg_version_drop(tg_version *v);

// The steps. Control thread. Each either succeeds or leaves things as they were.

int tg_version_configure(tg_version *v, tg_error *e); ///< checks the config by the schema
int tg_version_load(tg_version *v, tg_error *e); ///< registrations, not yet visible
int tg_version_start(tg_version *v, tg_error *e); ///< on all workers or on none
void tg_version_unstart(tg_version *v); ///< one that has started and is not taken after all
void tg_version_commit(tg_version *v,
                       tg_version *old); ///< new connections get `v`; `old` drains
void tg_version_abandon(tg_version *v); ///< undoes load, and frees it
/// Undoes what is left of versions that nothing holds any more.
void tg_versions_reap(tg_runtime *rt);

// On a worker.

/// Something of `v` ended here: it may be done. Looked at when the turn ends.
void tg_version_touch(tg_version *v);
void tg_versions_end_turn(tg_local *here);
/// Ends `v` on this worker now, whatever it still has.
void tg_version_stop_here(tg_version *v, tg_local *here);

// What a version has under way on this worker ends with it.
void tg_timers_end(tg_version *v, tg_local *here);
void tg_polls_end(tg_version *v, tg_local *here);
/// Cancels the jobs that have not begun. @return none is left; else come again.
bool tg_works_cancel(tg_version *v, tg_local *here);

/// Code as the engine or the C object has it; each tells who runs.
int tg_code_load(tg_version *v);
int tg_code_start(tg_version *v, uint32_t worker);
void tg_code_drain(tg_version *v, uint32_t worker);
void tg_code_stop(tg_version *v, uint32_t worker);
void tg_code_unload(tg_version *v);
void tg_code_close(tg_version *v);

#endif
