// SPDX-License-Identifier: Apache-2.0
// How often a thread is told that its callback is over its budget: often enough that an arming
// that was lost is made good, and never so often that it has no time left to end.
#include <signal.h>

#include "rig.h"

#define BUDGET_US 1000u
#define SECOND_MS 8u // after the first signal; twice as much each time from then on

#ifndef TG_GUARD_POLLS // there a hook looks, and no signal is sent

static void burn(uint64_t us)
{
    for (uint64_t from = cpu_us(); cpu_us() - from < us;)
        ;
}

/// Takes the signals that wait. @return how many
static unsigned taken(const sigset_t *set)
{
    unsigned n = 0;
    while (sigtimedwait(set, NULL, &(struct timespec){0}) > 0)
        n++;
    return n;
}

static void signals_leave_time_between_them(void **state)
{
    rig *r = *state;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, TG_GUARD_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &set, &old);

    // Blocked, they wait in a queue, as on a thread that gets no time.
    uint64_t from = cpu_us();
    tg_guard_enter(&r->guard, r->vm.L, "handler", BUDGET_US);
    unsigned told = 0;
    for (int turn = 0; turn < 1000 && told < 3; turn++) {
        burn(5000);
        told += taken(&set);
    }
    uint64_t spent_ms = (cpu_us() - from) / 1000u;
    tg_guard_leave(&r->guard);
    told += taken(&set);
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    assert_true(told >= 3); // it comes again
    uint64_t least_ms = 0;
    for (unsigned i = 1; i < told; i++)
        least_ms += (uint64_t)SECOND_MS << (i - 1);
    if (spent_ms < least_ms)
        fail_msg("%u signals within %llu ms", told, (unsigned long long)spent_ms);
}

#endif

/// Also where it runs with hooks: what nobody told stays alive.
static void a_callback_within_its_budget_is_left_alone(void **state)
{
    rig *r = *state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            rig_run(r, "local n = 0 for i = 1, 100000 do n = n + i end", 30000000), LUA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef TG_GUARD_POLLS
        cmocka_unit_test_setup_teardown(signals_leave_time_between_them, rig_open,
                                        rig_close),
#endif
        cmocka_unit_test_setup_teardown(a_callback_within_its_budget_is_left_alone,
                                        rig_open, rig_close),
    };
    return cmocka_run_group_tests(tests, rig_group_open, rig_group_close);
}
