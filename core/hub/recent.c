// SPDX-License-Identifier: Apache-2.0
// A table without chains: a topic has two places, of which it takes the one that holds nothing
// of use, or the one whose turn it is. A place is two cache lines.
#include "hub/recent.h"

#include <stdlib.h>

enum { PLACES = 4096 }; // 512 KiB a worker, of which only what is used is real memory

struct tg_recent {
    tg_recent_place at[PLACES];
};

tg_recent *tg_recent_new(void)
{
    return calloc(1, sizeof(tg_recent));
}

void tg_recent_free(tg_recent *r)
{
    free(r);
}

tg_recent_place *tg_recent_places_of(tg_recent *r, const tg_level_key *key, tg_slice topic)
{
    if (r == NULL || topic.len > sizeof(r->at[0].topic))
        return NULL;
    return &r->at[tg_level_hash(key, topic.at, topic.len, 0) % (PLACES / 2) * 2];
}

void tg_recent_set(tg_recent_place *two, uint64_t changes, tg_slice topic,
                   tg_filter *const *filters, uint32_t n)
{
    if (n > TG_RECENT_FILTERS)
        return;
    unsigned i = two->changes != changes ? 0 : two[1].changes != changes ? 1 : two->turn;
    two->turn = (uint8_t)!i;
    tg_recent_place *p = &two[i];
    p->changes = changes;
    p->n = (uint8_t)n;
    p->len = (uint8_t)topic.len;
    memcpy(p->topic, topic.at, topic.len);
    for (uint32_t k = 0; k < n; k++)
        p->filters[k] = filters[k];
}
