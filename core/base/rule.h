// SPDX-License-Identifier: Apache-2.0
/// One option's rule applied to one value: what tables of options and plugins' schemas share.
#ifndef TG_BASE_RULE_H
#define TG_BASE_RULE_H

#include "base/near.h"
#include "base/options.h"

/// As `min` (negated) or `max`: this end is open. Beyond it a double is no exact integer.
#define TG_UNBOUNDED 9007199254740992.0

/// Where a value stands, for errors. `file` and `map` may be NULL.
typedef struct tg_spot {
    const char *file;
    uint32_t line; ///< 0 unknown
    const char *map; ///< "listeners[2]"
    tg_slice name; ///< the option; empty: the map itself
} tg_spot;

/// "etc/x.lua:12: listeners[2].bind: <text>". @return TG_E_INVAL.
TG_PRINTF(3, 4) int tg_spot_error(const tg_spot *at, tg_error *e, const char *fmt, ...);

/// "no such option; did you mean 'x'?"; `near` has tried every name.
int tg_spot_unknown(const tg_spot *at, const tg_near *near, tg_error *e);

/// Checks `v` and makes it plain: DURATION, SIZE and ENUM (its index) become integers. MAP,
/// LIST, GROUP and ANY are only checked.
int tg_rule_take(const tg_option *o, const tg_value *v, const tg_spot *at, tg_value *out,
                 tg_error *e);

/// `v` is a map, or nothing (NULL, nil, or a table without members, which might be either).
int tg_rule_map(const tg_value *v, const tg_spot *at, tg_error *e);

#endif
