// SPDX-License-Identifier: Apache-2.0
/// What the files of a spool share: its state, and what the next commit is made of.
#ifndef TG_PLUGIN_SPOOL_IMPL_H
#define TG_PLUGIN_SPOOL_IMPL_H

#include "plugin/spool.h"

#define TG_SPOOL_FRONT_BYTES (1u << 20)
#define TG_SPOOL_BATCH 512 // writes of one commit
#define TG_SPOOL_BATCH_BYTES (4u << 20)
#define TG_SPOOL_HEAD_LEN 16 // of a value: at, sum
#define TG_SPOOL_KEY_MAX 160

typedef struct tg_spool_item {
    uint64_t number, at, sum;
    size_t len;
    char *bytes;
} tg_spool_item;

typedef struct tg_spool_plan { // of the commit under way
    uint64_t head; ///< the oldest item behind it
    uint64_t acked, dropped; ///< of those that go
    uint64_t next, sum;
    uint32_t pushes; ///< the first so many of q->pushes
} tg_spool_plan;

struct tg_queue_of_bytes {
    uint32_t magic;
    uint32_t worker;
    tg_runtime *rt;
    char plugin[64], name[64];
    tg_spool_spec bounds;
    _Atomic uint64_t waiting;
    // The worker's own from here on.
    bool opened, busy, paused, stopped; ///< paused: it failed; until somebody asks again
    uint64_t head, next; ///< items head to next - 1 are there
    uint64_t sum; ///< of all bytes pushed
    tg_spool_item front[TG_SPOOL_PEEK_MAX];
    uint32_t nfront;
    size_t front_bytes;
    uint64_t ack_to; ///< items up to here go
    tg_list pushes, peeks, acks, stats, answered;
    tg_spool_plan plan;
    uint64_t pushed, acked, dropped, refused;
    int m_items, m_pushed, m_acked, m_dropped, m_refused;
};

/// Keys and values of one commit, in memory that does not move.
typedef struct tg_spool_draft {
    tg_write writes[3 * TG_SPOOL_BATCH + 2];
    size_t n;
    char *at;
} tg_spool_draft;

uint64_t tg_spool_u64(const char *at);
/// @param number 0: the key that all items begin with. @return its length.
size_t tg_spool_key(const tg_queue_of_bytes *q, char kind, uint64_t number,
                    char at[TG_SPOOL_KEY_MAX]);
/// @return so many items, of so many bytes, are past a bound.
bool tg_spool_over(const tg_queue_of_bytes *q, uint64_t count, uint64_t bytes);
/// What can be done now of what is asked for.
tg_spool_plan tg_spool_plan_next(const tg_queue_of_bytes *q);
/// The writes of q->plan. @param d with its memory at d->at.
void tg_spool_draft_all(const tg_queue_of_bytes *q, tg_spool_draft *d);

#endif
