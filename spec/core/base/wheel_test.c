// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include <stdlib.h>

#include "../../support/check.h"

typedef struct entry {
    tg_alarm alarm;
    uint64_t due; // what the model expects; 0: nothing
    int fired;
} entry;

static tg_wheel *wheel;

// Never early; late by a tick at most, given that the wheel ran to `now` at every step.
static void fire(tg_alarm *a)
{
    entry *e = TG_OWNER(a, entry, alarm);
    assert_true(e->due != 0);
    assert_true(tg_wheel_now(wheel) >= e->due);
    assert_false(tg_alarm_armed(a));
    e->due = 0;
    e->fired++;
}

static uint64_t random_delay(void)
{
    static const uint64_t spans[] = {
        1, 50, 2600, 700000, UINT64_C(200000000), UINT64_C(60000000000)};
    return (uint64_t)rand() % spans[rand() % 6];
}

static void assert_nothing_overdue(const entry *all, int n, uint64_t now)
{
    for (int i = 0; i < n; i++) {
        assert_true(all[i].due == 0 || all[i].due + TG_WHEEL_TICK_MS > now);
        assert_int_equal(tg_alarm_armed(&all[i].alarm), all[i].due != 0);
    }
}

// Random arming, disarming and time steps of every size against a plain list of due times.
static void it_agrees_with_a_naive_model(void **state)
{
    (void)state;
    enum { N = 200 };
    srand(7);
    for (int round = 0; round < 10; round++) {
        entry all[N] = {0};
        uint64_t now = (uint64_t)rand() * 977 + 1;
        wheel = tg_wheel_new(now);
        for (int step = 0; step < 3000; step++) {
            entry *e = &all[rand() % N];
            if (rand() % 4 == 0) {
                tg_wheel_del(wheel, &e->alarm);
                e->due = 0;
            } else {
                uint64_t ms = random_delay();
                tg_wheel_add(wheel, &e->alarm, ms, fire);
                e->due = now + ms;
            }
            now += rand() % 3 == 0 ? random_delay() / 4 : (uint64_t)(rand() % 30);
            tg_wheel_run(wheel, now);
            assert_int_equal(tg_wheel_now(wheel), now);
            assert_nothing_overdue(all, N, now);
        }
        tg_wheel_free(wheel);
    }
}

// Whoever sleeps as long as the wheel says misses nothing and is not woken for nothing often.
static void waiting_leads_to_every_alarm(void **state)
{
    (void)state;
    srand(11);
    uint64_t now = 12345;
    wheel = tg_wheel_new(now);
    assert_true(tg_wheel_wait(wheel) == UINT64_MAX);
    int turns = 0;
    for (int i = 0; i < 300; i++) {
        entry e = {0};
        uint64_t ms = random_delay();
        tg_wheel_add(wheel, &e.alarm, ms, fire);
        e.due = now + ms;
        uint64_t due = e.due;
        for (; e.fired == 0; turns++) {
            uint64_t wait = tg_wheel_wait(wheel);
            assert_true(wait != UINT64_MAX);
            now += wait;
            tg_wheel_run(wheel, now);
        }
        assert_true(now >= due && now <= due + TG_WHEEL_TICK_MS);
    }
    assert_true(tg_wheel_wait(wheel) == UINT64_MAX);
    assert_true(turns < 300 * 8); // at most a stop per level, and some beyond the last
    tg_wheel_free(wheel);
}

static void disarming_leaves_nothing_to_wait_for(void **state)
{
    (void)state;
    wheel = tg_wheel_new(1);
    entry a = {0}, b = {0};
    tg_wheel_add(wheel, &a.alarm, 100000, fire);
    tg_wheel_add(wheel, &b.alarm, 100000, fire);
    tg_wheel_del(wheel, &a.alarm);
    tg_wheel_del(wheel, &a.alarm);
    assert_true(tg_wheel_wait(wheel) != UINT64_MAX);
    tg_wheel_del(wheel, &b.alarm);
    assert_true(tg_wheel_wait(wheel) == UINT64_MAX);
    tg_wheel_run(wheel, 200000);
    assert_int_equal(a.fired + b.fired, 0);
    tg_wheel_free(wheel);
}

static void pushed_back_again_and_again_it_fires_once_and_at_the_last_time(void **state)
{
    (void)state;
    wheel = tg_wheel_new(1);
    entry keepalive = {0};
    uint64_t now = 1;
    for (int packet = 0; packet < 5000; packet++) {
        tg_wheel_add(wheel, &keepalive.alarm, 60000, fire);
        keepalive.due = now + 60000;
        now += 37;
        tg_wheel_run(wheel, now);
        assert_int_equal(keepalive.fired, 0);
    }
    tg_wheel_run(wheel, keepalive.due - 1);
    assert_int_equal(keepalive.fired, 0);
    tg_wheel_run(wheel, keepalive.due + TG_WHEEL_TICK_MS);
    assert_int_equal(keepalive.fired, 1);
    tg_wheel_free(wheel);
}

static void fire_again(tg_alarm *a)
{
    entry *e = TG_OWNER(a, entry, alarm);
    e->fired++;
    tg_wheel_add(wheel, a, 0, fire_again);
}

static void rearming_with_nothing_inside_its_callback_does_not_spin(void **state)
{
    (void)state;
    wheel = tg_wheel_new(1);
    entry e = {0};
    tg_wheel_add(wheel, &e.alarm, 0, fire_again);
    tg_wheel_run(wheel, 1);
    assert_int_equal(e.fired, 1);
    tg_wheel_run(wheel,
                 1000); // one call of run() is one call of fn, however much time passed
    assert_true(e.fired >= 2 && e.fired <= 3);
    tg_wheel_free(wheel);
}

static void fire_and_repeat(tg_alarm *a)
{
    entry *e = TG_OWNER(a, entry, alarm);
    e->fired++;
    uint64_t late = tg_wheel_now(wheel) - e->due;
    assert_true(late < TG_WHEEL_TICK_MS);
    e->due += 100;
    tg_wheel_add(wheel, a, 100 - late, fire_and_repeat);
}

static void a_period_kept_by_its_due_time_does_not_drift(void **state)
{
    (void)state;
    uint64_t now = 3;
    wheel = tg_wheel_new(now);
    entry e = {.due = now + 100};
    tg_wheel_add(wheel, &e.alarm, 100, fire_and_repeat);
    while (now < 3 + 100 * 1000 + 50)
        tg_wheel_run(wheel, ++now);
    assert_int_equal(e.fired, 1000);
    tg_wheel_free(wheel);
}

static entry *doomed[64];

static void fire_and_wreck(tg_alarm *a)
{
    for (int i = 0; i < 64; i++) { // frees itself and some that are due in the same tick
        if (doomed[i] == NULL || (&doomed[i]->alarm != a && i % 3 != 0))
            continue;
        tg_wheel_del(wheel, &doomed[i]->alarm);
        free(doomed[i]);
        doomed[i] = NULL;
    }
}

static void a_callback_may_free_its_alarm_and_others(void **state)
{
    (void)state;
    wheel = tg_wheel_new(1);
    for (int i = 0; i < 64; i++) {
        doomed[i] = calloc(1, sizeof(entry));
        tg_wheel_add(wheel, &doomed[i]->alarm, 30, fire_and_wreck);
    }
    tg_wheel_run(wheel, 1000);
    for (int i = 0; i < 64; i++)
        assert_null(doomed[i]);
    assert_true(tg_wheel_wait(wheel) == UINT64_MAX);
    tg_wheel_free(wheel);
}

static void an_endless_delay_is_just_far_away(void **state)
{
    (void)state;
    wheel = tg_wheel_new(5);
    entry e = {0};
    tg_wheel_add(wheel, &e.alarm, UINT64_MAX, fire);
    tg_wheel_run(wheel, UINT64_C(1) << 50);
    assert_true(tg_alarm_armed(&e.alarm));
    assert_int_equal(e.fired, 0);
    tg_wheel_del(wheel, &e.alarm);
    assert_true(tg_wheel_wait(wheel) == UINT64_MAX);
    tg_wheel_free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_a_naive_model),
        cmocka_unit_test(waiting_leads_to_every_alarm),
        cmocka_unit_test(disarming_leaves_nothing_to_wait_for),
        cmocka_unit_test(pushed_back_again_and_again_it_fires_once_and_at_the_last_time),
        cmocka_unit_test(rearming_with_nothing_inside_its_callback_does_not_spin),
        cmocka_unit_test(a_period_kept_by_its_due_time_does_not_drift),
        cmocka_unit_test(a_callback_may_free_its_alarm_and_others),
        cmocka_unit_test(an_endless_delay_is_just_far_away),
    };
    return RUN(tests);
}
