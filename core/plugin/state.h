// SPDX-License-Identifier: Apache-2.0
/// What this room's files share: the runtime, one worker's part of it, and the version whose
/// code runs on this thread. Lines, versions, ops and seats have headers of their own.
#ifndef TG_PLUGIN_STATE_H
#define TG_PLUGIN_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/map.h"
#include "base/slots.h"
#include "plugin/runtime.h"

typedef struct tg_self tg_version; ///< the ABI calls a version `tg_self`
typedef struct tg_line tg_line; ///< a connection, as the adapters' side sees it
typedef struct tg_seat tg_seat; ///< the place of an adapter, backend, … in the registry
typedef struct tg_users tg_users; ///< the built-in auth backend
typedef struct tg_kv tg_kv;
typedef struct tg_memory tg_memory;
typedef struct tg_queue_of_bytes tg_queue_of_bytes; ///< a spool

#define TG_SPOOLS_MAX 1024

#define TG_CALL_DEPTH 16

/// Whose code runs on a thread: the watchdog's and the crash note's view of it. Callbacks nest
/// (a deliver inside a publish inside on_frame), so it is a stack.
typedef struct tg_running {
    struct {
        tg_version *self;
        const char *callback;
        uint64_t since; ///< coarse clock, ms
    } stack[TG_CALL_DEPTH];
    volatile uint32_t depth; ///< may exceed TG_CALL_DEPTH: what is above has no entry
} tg_running;

/// The last declarations given to the frame table, compiled.
typedef struct tg_loose {
    uint32_t n;
    struct tg_framer *framer;
    char *image; ///< of the declarations
} tg_loose;

/// Memory for unescaped frames. One that became too small stays: a frame may still lie in it.
typedef struct tg_scratch {
    struct tg_scratch *older;
    char bytes[];
} tg_scratch;

typedef struct tg_local {
    uint32_t magic;
    uint32_t index;
    tg_runtime *rt;
    tg_worker *worker;
    tg_wheel *wheel;
    tg_shard *shard; ///< NULL once closed
    tg_running running;
    tg_line *line; ///< whose data is being handled; a publish in it may pause its reading
    tg_slots lines; ///< tg_conn
    tg_slots timers, polls;
    tg_map seats; ///< of the drivers asked for here: key → tg_seat
    void *alt_stack; ///< of the crash note
    tg_scratch *scratch; ///< unescaped frames, one at a time; NULL: nobody asked yet
    size_t scratch_size;
    tg_list held; ///< lines that wait for congestion to pass
    tg_list opening; ///< session opens under way
    tg_list ending; ///< versions that may be done here: looked at when the turn ends
    tg_list spare_calls; ///< freed tg_call records for the next
    bool no_works; ///< blocking jobs are refused: the host ends
    bool closing; ///< no more callbacks into plugins
    tg_loose loose;
    tg_log_gate dial_gate; ///< for complaints about peers that were dialed
} tg_local;

/// This thread's worker part; NULL on other threads. Asked of the worker each time, because
/// the control thread stands in for workers that have no thread.
static inline tg_local *tg_here(void)
{
    return tg_worker_get_here(TG_PLACE_PLUGIN);
}

#define TG_LOCAL_MAGIC 0x10ca1000u

/// Ids of base/metric.h.
typedef struct tg_files_metrics {
    int written, refused, dropped, expired, bytes;
} tg_files_metrics;

struct tg_runtime {
    uint32_t magic;
    uint32_t nworkers;
    tg_workers *workers;
    tg_hub *hub;
    tg_host host; ///< the table that plugins are handed
    tg_local *locals[TG_WORKERS_MAX];
    uint64_t started;
    bool running; ///< the workers run
    atomic_bool stopping;
    char *plugin_path, *state_dir;
    uint64_t kv_bytes;
    uint8_t sys_readers; ///< tg_sys_readers
    uint32_t slow_ms;
    uint32_t waits_ms; ///< how long a version without connections waits for answers
    int pauses; ///< metric: reads paused for congestion
    tg_list plugs; ///< tg_plug, in the order of loading
    tg_list engines; ///< tg_engine_ref
    tg_list listenings;
    pthread_mutex_t lock; ///< seats and what stands at their `control`; kv spaces
    tg_map seats;
    tg_map kvs; ///< plugin id → tg_kv
    tg_seat *chain[16]; ///< auth backends in the order of asking; NULL: the built-in users
    uint32_t nchain;
    tg_users *users;
    char store_id[64];
    tg_store store; ///< stands before the plugin's, see store.c
    tg_seat *store_seat;
    bool store_set, store_reads;
    _Atomic(struct tg_offer *) store_coming; ///< until it sits on every worker; NULL
    tg_memory *memory; ///< what stands in for it
    _Atomic(tg_queue_of_bytes *) spools[TG_SPOOLS_MAX]; ///< by handle; written under `lock`
    struct tg_files *files; ///< NULL: none are kept
    tg_files_metrics files_metrics;
    tg_alarm files_alarm; ///< of the next sweep; the first worker's, as what follows
    uint32_t files_swept;
    _Atomic uint64_t files_waiting; ///< bytes on their way to the pool
    _Atomic uint64_t files_shown; ///< by the metric
    _Atomic int64_t lines; ///< connections of all workers
    pthread_mutex_t idle_lock;
    pthread_cond_t idle; ///< signalled when `lines` falls to 0
};

#define TG_RUNTIME_MAGIC 0x7d6a7e00u

/// The running version of this thread; NULL outside of plugins' code.
tg_version *tg_current(void);
tg_running *tg_running_here(void);
/// Brackets every call into a plugin. `callback` is a literal.
void tg_call_begin(tg_version *v, const char *callback);
void tg_call_end(void);

/// Crash notes: one line a worker, naming plugin and callback, when the process dies of a signal.
void tg_crash_open(tg_runtime *rt);
void tg_crash_close(tg_runtime *rt);
/// On the worker: the note is written even when its stack ran out.
void tg_crash_stack(tg_local *here);

/// As tg_log, with fields.
#define tg_log_with(module, level, fields, n, ...)                                         \
    do {                                                                                   \
        if (tg_log_on(TG_MOD_##module, TG_LOG_##level))                                    \
            tg_log_write(TG_MOD_##module, TG_LOG_##level, fields, n, __VA_ARGS__);         \
    } while (0)

uint64_t tg_clock_ms(void); ///< since the epoch
void tg_kvs_free(tg_runtime *rt);
/// Files of devices (files_table.c): opened with the runtime, swept from the first worker.
int tg_files_open(tg_runtime *rt, const tg_files_config *config, tg_error *e);
void tg_files_begin(tg_local *here);
void tg_files_end(tg_local *here);
void tg_spools_free(tg_runtime *rt);
bool tg_store_readable(const tg_runtime *rt);
void tg_loose_free(tg_local *here);

extern const tg_host tg_host_table;

#endif
