// SPDX-License-Identifier: Apache-2.0
/// A spool on its worker: see tidegate/spool.h for what it is. The table hands requests over
/// from whatever worker they came to.
#ifndef TG_PLUGIN_SPOOL_H
#define TG_PLUGIN_SPOOL_H

#include "plugin/op.h"
#include "tidegate/spool.h"

typedef struct tg_queue_of_bytes tg_queue_of_bytes;

typedef enum tg_spool_kind {
    TG_SPOOL_BOUNDS,
    TG_SPOOL_PUSH,
    TG_SPOOL_PEEK,
    TG_SPOOL_ACK,
    TG_SPOOL_STATS,
} tg_spool_kind;

typedef struct tg_spool_request {
    tg_list node;
    tg_spool_kind kind;
    tg_queue_of_bytes *queue;
    tg_op op; ///< completed once; {0} nobody waits
    tg_alarm alarm; ///< of a peek
    tg_spool_spec bounds; ///< without its name
    uint64_t n; ///< items, or the number to take away
    uint64_t at; ///< of a push: when it came, ms since the epoch
    uint32_t wait_ms;
    size_t len;
    char bytes[];
} tg_spool_request;

/// Any thread. @return NULL: out of memory.
tg_queue_of_bytes *tg_spool_new(tg_runtime *rt, const char *plugin, tg_slice name);
void tg_spool_free(tg_queue_of_bytes *q);
const char *tg_spool_plugin(const tg_queue_of_bytes *q);
tg_slice tg_spool_name(const tg_queue_of_bytes *q);
uint32_t tg_spool_worker(const tg_queue_of_bytes *q); ///< where its requests run
/// Bytes that pushes carry to the store, or wait to be carried. Any thread.
_Atomic uint64_t *tg_spool_waiting(tg_queue_of_bytes *q);
/// On that worker. @owner takes `request`, a tg_spool_request.
void tg_spool_run(void *request);

#endif
