// SPDX-License-Identifier: Apache-2.0
// A table without chains: a topic has one place, and the last one to come keeps it. A place is
// two cache lines.
#include "hub/recent.h"

#include <stdlib.h>

enum { PLACES = 1024 }; // 128 KiB a worker

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

tg_recent_place *tg_recent_place_of(tg_recent *r, const tg_level_key *key, tg_slice topic)
{
    if (r == NULL || topic.len > sizeof(r->at[0].topic))
        return NULL;
    return &r->at[tg_level_hash(key, topic.at, topic.len, 0) % PLACES];
}

void tg_recent_set(tg_recent_place *p, uint64_t changes, tg_slice topic,
                   tg_filter *const *filters, uint32_t n)
{
    p->changes = n <= TG_RECENT_FILTERS ? changes : 0;
    if (n > TG_RECENT_FILTERS)
        return;
    p->n = (uint8_t)n;
    p->len = (uint8_t)topic.len;
    memcpy(p->topic, topic.at, topic.len);
    for (uint32_t i = 0; i < n; i++)
        p->filters[i] = filters[i];
}
