// SPDX-License-Identifier: Apache-2.0
/// A hierarchical timer wheel: arming and disarming cost the same whatever the number of
/// timers, and a million idle keepalives need no heap and no libuv handle. One per worker.
#ifndef TG_BASE_WHEEL_H
#define TG_BASE_WHEEL_H

#include "base/list.h"
#include "tidegate/types.h"

#define TG_WHEEL_TICK_MS 10

typedef struct tg_wheel tg_wheel;

/// Lives in its owner; zeroed means not armed.
typedef struct tg_alarm {
    tg_list node;
    uint64_t due; ///< ms on the wheel's clock; 0 not armed
    void (*fn)(struct tg_alarm *a);
} tg_alarm;

/// @param now ms, monotonic.
tg_wheel *tg_wheel_new(uint64_t now);
void tg_wheel_free(tg_wheel *w); ///< alarms still armed are forgotten
/// Arms or re-arms `a` to call `fn` once, `ms` from the wheel's now. `fn` may re-arm or free it.
void tg_wheel_add(tg_wheel *w, tg_alarm *a, uint64_t ms, void (*fn)(tg_alarm *a));
void tg_wheel_del(tg_wheel *w, tg_alarm *a);
static inline bool tg_alarm_armed(const tg_alarm *a)
{
    return a->due != 0;
}
/// Moves to `now` and runs what is due.
void tg_wheel_run(tg_wheel *w, uint64_t now);
uint64_t tg_wheel_now(const tg_wheel *w);
/// @return ms from the wheel's now until it should run next; UINT64_MAX: nothing is armed.
uint64_t tg_wheel_wait(const tg_wheel *w);

#endif
