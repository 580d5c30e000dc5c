// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

static world w;
static client a, b, watch;

static void open_with_will(uint32_t expiry_s, uint32_t delay_s)
{
    tg_will will = {.size = sizeof(will),
                    .delay_s = delay_s,
                    .message = {.size = sizeof(tg_msg_spec),
                                .topic = tg_str("will"),
                                .payload = tg_str("w"),
                                .qos = 1}};
    client_init(&a, &w, 0);
    tg_session_spec spec = spec_of("a", expiry_s, false);
    spec.will = &will;
    client_open_spec(&a, &spec);
    world_settle(&w);
}

static void begin(void)
{
    world_open(&w, 2, NULL);
    client_open(&watch, &w, 1, "watch", 0);
    client_sub(&watch, "will", 1);
}

static void it_is_published_when_the_connection_is_lost(void **state)
{
    (void)state;
    begin();
    open_with_will(0, 0);
    client_close(&a, 0);
    got(&watch, "");
    open_with_will(0, 0);
    client_close(&a, TG_CLOSE_KEEP_WILL);
    got(&watch, "will=w/1 ");
    open_with_will(100, 0);
    client_close(&a, TG_CLOSE_KEEP_WILL);
    got(&watch, "will=w/1 ");
    open_with_will(0, 50); // the session ends: no delay
    client_close(&a, TG_CLOSE_KEEP_WILL);
    got(&watch, "will=w/1 ");
    world_close(&w);
}

static void a_delay_runs_until_the_sessions_end_at_most(void **state)
{
    (void)state;
    begin();
    open_with_will(100, 10);
    client_close(&a, TG_CLOSE_KEEP_WILL);
    world_advance(&w, 9000);
    got(&watch, "");
    world_advance(&w, 1500);
    got(&watch, "will=w/1 ");
    open_with_will(5, 10);
    client_close(&a, TG_CLOSE_KEEP_WILL);
    world_advance(&w, 5500);
    got(&watch, "will=w/1 ");
    open_with_will(100, 10);
    client_close(&a, TG_CLOSE_KEEP_WILL);
    world_advance(&w, 5000);
    client_open(&b, &w, 1, "a", 0); // in time, on another worker
    world_advance(&w, 20000);
    got(&watch, "");
    client_close(&b, 0);
    open_with_will(100, 10);
    client_close(&a, TG_CLOSE_KEEP_WILL | TG_CLOSE_END_SESSION);
    got(&watch, "will=w/1 ");
    world_close(&w);
}

static void a_takeover_counts_as_a_lost_connection(void **state)
{
    (void)state;
    for (uint32_t worker = 0; worker < 2; worker++) {
        begin();
        open_with_will(100, 0);
        client_open(&b, &w, worker, "a", 100);
        got(&watch, "will=w/1 ");
        client_close(&b, 0);
        open_with_will(100, 10);
        client_open(&b, &w, worker, "a", 100);
        world_advance(&w, 20000);
        got(&watch, "");
        client_close(&b, 0);
        open_with_will(100, 10);
        client_init(&b, &w, worker);
        tg_session_spec clean = spec_of("a", 0, true);
        client_open_spec(&b, &clean); // ends the old session, and so the delay
        got(&watch, "will=w/1 ");
        world_close(&w);
    }
}

static void a_storm_of_wills_to_one_watcher_is_bounded(void **state)
{
    (void)state;
    enum { CLIENTS = 200 };
    static client all[CLIENTS];
    tg_hub_limits limits = {.queue_messages = 50};
    world_open(&w, 1, &limits);
    client_open(&watch, &w, 0, "watch", 0);
    client_sub(&watch, "will", 1);
    watch.full = true;
    tg_will will = {.size = sizeof(will),
                    .message = {.size = sizeof(tg_msg_spec), .topic = tg_str("will")}};
    for (unsigned i = 0; i < CLIENTS; i++) {
        char id[8];
        snprintf(id, sizeof(id), "c%u", i);
        client_init(&all[i], &w, 0);
        tg_session_spec spec = spec_of(id, 0, true);
        spec.will = &will;
        client_open_spec(&all[i], &spec);
    }
    world_settle(&w);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_close(&all[i], TG_CLOSE_KEEP_WILL);
    watch.full = false;
    tg_session_resume(w.shard[0], watch.s);
    world_settle(&w);
    // The first one found the link idle and was tried at once.
    assert_true(watch.count >= 50 && watch.count <= 51);
    assert_int_equal(dropped("queue_full"), CLIENTS - watch.count);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_published_when_the_connection_is_lost),
        cmocka_unit_test(a_delay_runs_until_the_sessions_end_at_most),
        cmocka_unit_test(a_takeover_counts_as_a_lost_connection),
        cmocka_unit_test(a_storm_of_wills_to_one_watcher_is_bounded),
    };
    return RUN(tests);
}
