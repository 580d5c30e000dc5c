// SPDX-License-Identifier: Apache-2.0
/// Where a message that must come once comes from, as far as a crash can make that a question.
/// Its publisher's packet id is safe only after the message is, on every worker; between the two
/// a restart finds the message with some receivers, and its publisher sends it again. So queue
/// entries name their origin until its id is safe: who has had it does not get it twice.
/// One object stands for a publish on all workers; only `state` changes while others look.
#ifndef TG_HUB_ORIGIN_H
#define TG_HUB_ORIGIN_H

#include <stdatomic.h>

#include "base/list.h"
#include "tidegate/types.h"

typedef enum tg_origin_state {
    TG_ORIGIN_OPEN, ///< not all receivers have stored it
    TG_ORIGIN_KEPT, ///< they have
    TG_ORIGIN_FAILED, ///< the store did not take it somewhere
    TG_ORIGIN_SETTLED, ///< its id is safe, or nobody will send it again
} tg_origin_state;

typedef struct tg_origin {
    atomic_uint refs;
    _Atomic uint8_t state; ///< tg_origin_state
    bool again; ///< from before a restart: some receivers may have it
    uint16_t packet_id;
    uint64_t seq; ///< of the publisher's session, growing; never given twice
    tg_list node; ///< the publisher's; its shard's alone, as the next one
    struct tg_origin *next; ///< of those with the same end of their ids
} tg_origin;

/// @return with one reference, NULL when out of memory.
tg_origin *tg_origin_new(uint16_t packet_id, uint64_t seq, bool again);
tg_origin *tg_origin_ref(tg_origin *o);
void tg_origin_unref(tg_origin *o); ///< NULL is fine
/// From OPEN to what became of it; another state stays.
void tg_origin_decide(tg_origin *o, tg_origin_state state);
void tg_origin_settle(tg_origin *o);
static inline tg_origin_state tg_origin_get(const tg_origin *o)
{
    return (tg_origin_state)atomic_load_explicit(&o->state, memory_order_acquire);
}
static inline bool tg_origin_settled(const tg_origin *o) ///< NULL: it is no question
{
    return o == NULL || tg_origin_get(o) == TG_ORIGIN_SETTLED;
}

#endif
