// SPDX-License-Identifier: Apache-2.0
/// Topics, beyond what hub.h offers: shared filters and levels.
#ifndef TG_HUB_TOPIC_H
#define TG_HUB_TOPIC_H

#include "tidegate/types.h"

/// @return true for "$share/<group>/<rest>"; the parts may be empty, and borrow from `filter`.
bool tg_topic_shared(tg_slice filter, tg_slice *group, tg_slice *rest);
size_t tg_topic_levels(tg_slice topic);
/// @return the levels of a topic that may be published to; 0: it may not.
size_t tg_topic_measure(tg_slice topic);

#endif
