// SPDX-License-Identifier: Apache-2.0
/// The filters of topics that were published to a moment ago, of one worker. Most devices keep
/// to a few topics, and filters change far less often than messages come: a topic that comes
/// again finds its filters by one look, as long as no filter was added or taken away.
#ifndef TG_HUB_RECENT_H
#define TG_HUB_RECENT_H

#include "hub/route.h"

#define TG_RECENT_FILTERS 8

typedef struct tg_recent tg_recent;

typedef struct tg_recent_place {
    uint64_t changes; ///< tg_router.changes when it was filled; 0: empty
    uint8_t n;
    uint8_t len;
    uint8_t turn; ///< of the first of two: which one is written next
    char topic[53];
    tg_filter *filters[TG_RECENT_FILTERS];
} tg_recent_place;

tg_recent *tg_recent_new(void); ///< NULL: out of memory
void tg_recent_free(tg_recent *r);
/// @return the first of the two places where the topic can be; NULL: too long a topic.
tg_recent_place *tg_recent_places_of(tg_recent *r, const tg_level_key *key, tg_slice topic);

static inline bool tg_recent_is(const tg_recent_place *p, uint64_t changes, tg_slice topic)
{
    return p->changes == changes && p->len == topic.len &&
           memcmp(p->topic, topic.at, topic.len) == 0;
}

static inline tg_recent_place *tg_recent_find(tg_recent_place *two, uint64_t changes,
                                              tg_slice topic)
{
    return tg_recent_is(two, changes, topic)       ? two
           : tg_recent_is(two + 1, changes, topic) ? two + 1
                                                   : NULL;
}

/// @param changes as read before the filters were looked for.
void tg_recent_set(tg_recent_place *two, uint64_t changes, tg_slice topic,
                   tg_filter *const *filters, uint32_t n);

#endif
