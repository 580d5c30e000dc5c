// SPDX-License-Identifier: Apache-2.0
/// Walking the retained messages that match a filter, in steps.
#ifndef TG_HUB_RETAINED_H
#define TG_HUB_RETAINED_H

#include "hub/internal.h"

enum { TG_STEP_END, TG_STEP_FOUND, TG_STEP_MORE };

/// Looks at up to `steps` topics from `cursor` on (*at: the cursor itself counts; begin with an
/// empty one and true) and moves it. @return TG_STEP_*; found: *out has a reference.
int tg_retained_step(tg_shard *sh, tg_slice filter, tg_buf *cursor, bool *at,
                     unsigned steps, tg_block **out);
/// The store forgets the topic. Shard 0.
void tg_persist_retained_gone(tg_shard *sh, tg_slice topic);

#endif
