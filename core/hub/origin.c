// SPDX-License-Identifier: Apache-2.0
#include "hub/origin.h"

#include <stdlib.h>

tg_origin *tg_origin_new(uint16_t packet_id, uint64_t seq, bool again)
{
    tg_origin *o = malloc(sizeof(*o));
    if (o == NULL)
        return NULL;
    *o = (tg_origin){.again = again, .packet_id = packet_id, .seq = seq};
    atomic_init(&o->refs, 1);
    tg_list_init(&o->node);
    return o;
}

tg_origin *tg_origin_ref(tg_origin *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void tg_origin_unref(tg_origin *o)
{
    if (o != NULL && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        free(o);
}

void tg_origin_decide(tg_origin *o, tg_origin_state state)
{
    uint8_t open = TG_ORIGIN_OPEN;
    atomic_compare_exchange_strong_explicit(&o->state, &open, (uint8_t)state,
                                            memory_order_release, memory_order_relaxed);
}

void tg_origin_settle(tg_origin *o)
{
    atomic_store_explicit(&o->state, TG_ORIGIN_SETTLED, memory_order_release);
}
