// SPDX-License-Identifier: Apache-2.0
/// What a session has to deliver: its window and its queue, which are one ring of entries.
#ifndef TG_HUB_QUEUE_H
#define TG_HUB_QUEUE_H

#include <stddef.h>

#include "hub/message.h"

typedef struct tg_sess tg_sess;

enum {
    TG_ENTRY_RETAIN = 1 << 0, ///< show the retain flag
    TG_ENTRY_SENT = 1 << 1, ///< was given to a link
    TG_ENTRY_DUP = 1 << 2, ///< on an earlier connection
    TG_ENTRY_RELEASED = 1 << 3, ///< QoS 2: PUBREC came
    TG_ENTRY_STORED = 1 << 4,
    TG_ENTRY_SHARED = 1 << 5, ///< came through a shared subscription
    TG_ENTRY_MARKED = 1 << 6, ///< the store has more about it than the message
    TG_ENTRY_UNSAFE = 1 << 7, ///< QoS 2: not to be sent before the store has it
};

/// A message for one session, in its queue or window. The block instead of the message while
/// the session moves.
typedef struct tg_entry {
    tg_msg msg; ///< NULL: gone
    union {
        uint32_t id; ///< when nids is 1
        uint32_t *ids; ///< when more; owned
    };
    uint16_t nids;
    uint8_t qos;
    uint8_t flags; ///< TG_ENTRY_*
    uint32_t
        sent_s; ///< when it was sent, seconds of the wheel's clock; where its age matters
} tg_entry;

/// What a shard has counted since its last turn ended. Plain numbers: only their sums over all
/// shards mean something, since sessions move.
typedef struct tg_tally {
    _Alignas(64) int64_t published[3]; ///< by QoS
    int64_t delivered[3];
    int64_t waiting, waiting_bytes, inflight;
} tg_tally;

/// Window and queue in one: numbers [head, sent) were sent and are not all answered yet,
/// [sent, tail) wait. A packet id follows from the number, so neither a table of ids nor a
/// second queue is needed, and a restart knows the same ids again.
typedef struct tg_queue {
    uint64_t head, sent, tail;
    tg_entry *ring;
    uint32_t cap; ///< power of two
    uint32_t inflight; ///< QoS above 0 in [head, sent)
    uint32_t waiting; ///< in [sent, tail)
    uint64_t bytes; ///< of those waiting
    uint64_t sent_bytes; ///< of those in flight
    tg_tally *tally; ///< of the shard that has it; NULL: on its way
} tg_queue;

static inline tg_entry *tg_queue_at(const tg_queue *q, uint64_t n)
{
    return &q->ring[n & (q->cap - 1)];
}
static inline uint16_t tg_packet_id(uint64_t n)
{
    return (uint16_t)(n % 65535 + 1);
}
/// @param t where it is counted from now on. @return its number, 0: out of memory. @owner takes
/// the entry.
uint64_t tg_queue_push(tg_sess *s, const tg_entry *e, tg_tally *t);
/// As number `n`, which is not below any that it has; for restoring.
bool tg_queue_put_at(tg_sess *s, uint64_t n, const tg_entry *e);
/// The entry in front of those that wait is sent, or waits again.
void tg_queue_sent(tg_queue *q, uint64_t n);
void tg_queue_unsent(tg_queue *q, uint64_t n);
/// What it holds is counted elsewhere from now on. @param t NULL: nowhere.
void tg_queue_count_in(tg_queue *q, tg_tally *t);
/// @return number of the entry in the window with this id, 0 none.
uint64_t tg_queue_find(const tg_queue *q, uint16_t packet_id);
void tg_queue_del(tg_queue *q, uint64_t n);
void tg_queue_rewind(tg_queue *q); ///< a new connection: all unanswered ones wait again
void tg_queue_free(tg_sess *s);
void tg_queue_to_blocks(tg_queue *q);
bool tg_queue_from_blocks(tg_queue *q); ///< @return false: some were lost
size_t tg_entry_bytes(const tg_entry *e);
const uint32_t *tg_entry_ids(const tg_entry *e);

#endif
