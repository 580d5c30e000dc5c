// SPDX-License-Identifier: Apache-2.0
/// The writer: the one thread that changes the database. What was asked for while the last
/// commit reached the disk becomes the next one.
#ifndef LMDB_WRITER_H
#define LMDB_WRITER_H

#include <pthread.h>

#include "db.h"

typedef struct writer_metrics { ///< ids of tg.metric
    uint32_t groups, commits, refused, failed, used;
} writer_metrics;

typedef struct job job;

typedef struct writer {
    db *db;
    writer_metrics metrics;
    uint32_t interval_ms; ///< relaxed: how long commits are gathered; 0: none waits
    size_t
        queue_max; ///< bytes of commits that may wait, and as much of those that only delete
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    job *first, **last; ///< under the lock, as all below
    size_t queued; ///< bytes of commits that wait
    size_t deletes; ///< bytes of those that only delete
    uint64_t turned_away; ///< commits that could not wait
    bool hurry; ///< relaxed: somebody waits for what is queued
    bool closing;
    // The thread's own.
    uint64_t told; ///< when it complained last, ms
    int64_t used; ///< as last reported
    uint64_t lost, lost_told; ///< `turned_away`, as last seen and as last reported
} writer;

/// @param w its `db`, `metrics`, `interval_ms` and `queue_max` are set. @return TG_E_*.
int writer_start(writer *w);
/// As the store's commit and read; any thread.
int writer_commit(writer *w, const tg_write *writes, size_t n, tg_op op);
int writer_read(writer *w, const tg_range *range, tg_op op);
/// Commits what is queued, and ends the thread.
void writer_stop(writer *w);

#endif
