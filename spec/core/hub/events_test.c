// SPDX-License-Identifier: Apache-2.0
// What operators are told: events under $SYS/events/, and sums that are right whatever way a
// message took.
#include "harness.h"

static world w;
static client watcher, a, b, p;

static bool told(const char *what)
{
    world_settle(&w);
    watcher.log[watcher.len] = '\0';
    bool found = strstr(watcher.log, what) != NULL;
    if (!found)
        print_message("told: %s\n", watcher.log);
    return found;
}

static void start(const tg_hub_limits *limits)
{
    world_open(&w, 2, limits);
    client_open(&watcher, &w, 1, "watcher", 0);
    client_sub(&watcher, "$SYS/events/#", 0);
    client_open(&p, &w, 1, "p", 0);
    watcher.len = 0;
}

static int64_t gauge(const char *name)
{
    char full[80];
    snprintf(full, sizeof(full), "tidegate_%s", name);
    return tg_metric_sum(tg_metric_find(full, ""));
}

static void who_comes_and_goes_is_told(void **state)
{
    (void)state;
    start(NULL);
    client_open(&a, &w, 0, "a\"b", 30);
    assert_true(told("$SYS/events/client_connected={\"timestamp\":"));
    assert_true(told("\"client\":\"a\\\"b\",\"expiry\":30,\"subscriptions\":0}"));
    client_sub(&a, "t/+", 1);
    assert_true(told("session_subscribed="));
    assert_true(told("\"filter\":\"t/+\",\"qos\":1}"));
    client_unsub(&a, "t/+");
    assert_true(told("session_unsubscribed="));
    client_close(&a, 0);
    assert_true(told("client_disconnected="));
    assert_true(told("\"reason\":\"closed\"}"));
    client_open(&a, &w, 0, "a\"b", 30);
    assert_int_equal(tg_hub_kick(w.hub, tg_str("a\"b"), false), 0);
    assert_true(told("\"reason\":\"closed by an administrator\"}"));
    world_close(&w);
}

static void an_open_that_was_not_answered_is_no_connection(void **state)
{
    (void)state;
    start(NULL);
    client_init(&a, &w, 0);
    tg_session_spec spec = spec_of("a", 0, false);
    client_open_spec(&a, &spec);
    tg_session_cancel(w.shard[0], &a);
    a.opened = 0;
    world_settle(&w);
    assert_int_equal(watcher.count, 2); // its own subscription, and p's coming
    world_close(&w);
}

static void a_drop_names_client_topic_and_reason(void **state)
{
    (void)state;
    tg_hub_limits limits = {.queue_messages = 2};
    start(&limits);
    client_open(&a, &w, 0, "a", 30);
    client_sub(&a, "t", 1);
    a.full = true;
    for (int i = 0; i < 3; i++)
        client_pub(&p, "t", "x", 1);
    assert_true(told("message_dropped="));
    assert_true(told("\"client\":\"a\",\"topic\":\"t\",\"publisher\":\"\",\"qos\":1,"
                     "\"reason\":\"queue_full\",\"left_out\":0}"));
    assert_int_equal(dropped("queue_full"), 1);
    // In one second no more than a hundred of them.
    unsigned before = watcher.count;
    for (int i = 0; i < 400; i++)
        client_pub(&p, "t", "x", 1);
    world_settle(&w);
    assert_int_equal(watcher.count - before, 99);
    assert_int_equal(dropped("queue_full"), 401);
    watcher.len = 0;
    world_advance(&w, 1000);
    client_pub(&p, "t", "x", 1);
    assert_true(told("\"left_out\":301}"));
    world_close(&w);
}

// A reader of events that takes none loses them without a word.
static void events_that_are_dropped_are_no_events(void **state)
{
    (void)state;
    tg_hub_limits limits = {.queue_messages = 5};
    start(&limits);
    watcher.full = true;
    for (int i = 0; i < 20; i++) {
        client_open(&a, &w, 0, "a", 0);
        client_close(&a, 0);
    }
    world_settle(&w);
    assert_true(dropped("queue_full") > 20);
    watcher.full = false;
    unsigned before = watcher.count;
    w.here = 1;
    tg_session_resume(w.shard[1], watcher.s);
    world_settle(&w);
    assert_int_equal(watcher.count - before, 5);
    watcher.log[watcher.len] = '\0';
    assert_null(strstr(watcher.log, "message_dropped"));
    world_close(&w);
}

static void a_report_is_retained_and_counted_nowhere(void **state)
{
    (void)state;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "a", 0);
    client_sub(&a, "#", 0);
    w.here = 0;
    const tg_slice topic = TG_LIT("$SYS/broker/version");
    assert_int_equal(tg_shard_status(w.shard[0], topic, TG_LIT("1"), true), 0);
    assert_int_equal(tg_shard_status(w.shard[0], TG_LIT("$SYS/+"), TG_LIT(""), true),
                     TG_E_MALFORMED);
    world_settle(&w);
    assert_int_equal(a.count, 0);
    client_sub(&a, "$SYS/broker/#", 0);
    got(&a, "$SYS/broker/version=1/r ");
    assert_int_equal(gauge("retained_messages"), 0);
    assert_int_equal(gauge("retained_bytes"), 0);
    for (int qos = 0; qos < 3; qos++) {
        char labels[16];
        snprintf(labels, sizeof(labels), "qos=\"%d\"", qos);
        assert_int_equal(
            tg_metric_sum(tg_metric_find("tidegate_messages_published_total", labels)), 0);
    }
    tg_msg_spec spec = {.topic = tg_str("r"), .payload = tg_str("x"), .retain = 1};
    client_pub_msg(&a, spec);
    assert_int_equal(gauge("retained_messages"), 1);
    assert_true(gauge("retained_bytes") > 2);
    spec.payload = tg_str("");
    client_pub_msg(&a, spec);
    assert_int_equal(gauge("retained_bytes"), 0);
    world_close(&w);
}

static void held(int64_t waiting, int64_t bytes, int64_t inflight)
{
    world_settle(&w);
    assert_int_equal(gauge("queued_messages"), waiting);
    assert_int_equal(gauge("queued_bytes"), bytes);
    assert_int_equal(gauge("inflight_messages"), inflight);
}

static void what_sessions_hold_is_summed_up(void **state)
{
    (void)state;
    tg_hub_limits limits = {.inflight = 2};
    world_open(&w, 2, &limits);
    client_open(&p, &w, 1, "p", 0);
    client_open(&a, &w, 0, "a", 100);
    client_sub(&a, "t", 2);
    client_sub(&a, "$share/g/s", 2);
    assert_int_equal(gauge("subscriptions"), 2);
    assert_int_equal(gauge("subscriptions_shared"), 1);
    a.ack = false;
    for (int i = 0; i < 5; i++)
        client_pub(&p, "t", "xyz", 1);
    held(3, 12, 2);
    client_close(&a, 0);
    held(3, 12, 2); // what was sent waits for its answer on the next connection
    client_open(&b, &w, 1, "a", 100); // on the other worker; acknowledges all
    held(0, 0, 0);
    assert_int_equal(b.count, 5);
    client_close(&b, TG_CLOSE_END_SESSION);
    assert_int_equal(gauge("subscriptions_shared"), 0);
    client_open(&a, &w, 0, "c", 100);
    client_sub(&a, "t", 2);
    client_close(&a, 0);
    client_pub(&p, "t", "x", 1);
    held(1, 2, 0);
    world_advance(&w, 101000);
    held(0, 0, 0);
    assert_int_equal(dropped("session_end"), 1);
    world_close(&w);
}

static void what_is_on_its_way_is_bounded_by_bytes(void **state)
{
    (void)state;
    static char big[1001];
    memset(big, 'x', sizeof(big) - 1);
    tg_hub_limits limits = {.inflight_bytes = 2500};
    world_open(&w, 2, &limits);
    client_open(&p, &w, 1, "p", 0);
    client_open(&a, &w, 0, "a", 0);
    client_sub(&a, "t", 1);
    a.ack = false;
    for (int i = 0; i < 5; i++)
        client_pub(&p, "t", big, 1);
    world_settle(&w);
    assert_int_equal(a.count, 2);
    w.here = 0;
    assert_int_equal(tg_session_ack(w.shard[0], a.s, a.ids[0], TG_ACK_DONE), 0);
    assert_int_equal(a.count, 3);
    client_close(&a, 0);
    limits.inflight_bytes = 10; // less than one: it goes alone
    world_close(&w);
    world_open(&w, 2, &limits);
    client_open(&p, &w, 1, "p", 0);
    client_open(&a, &w, 0, "a", 0);
    client_sub(&a, "t", 1);
    a.ack = false;
    for (int i = 0; i < 2; i++)
        client_pub(&p, "t", big, 1);
    world_settle(&w);
    assert_int_equal(a.count, 1);
    world_close(&w);
}

static void who_never_answers_loses_its_connection(void **state)
{
    (void)state;
    tg_hub_limits limits = {.inflight = 2, .inflight_age_s = 60};
    start(&limits);
    client_open(&a, &w, 0, "a", 1000);
    client_sub(&a, "t", 1);
    a.ack = false;
    for (int i = 0; i < 3; i++)
        client_pub(&p, "t", "x", 1);
    world_advance(&w, 59000);
    client_pub(&p, "t", "x", 1);
    world_settle(&w);
    assert_int_equal(a.ended, 0);
    w.here = 0; // the oldest is answered: the next one's time counts
    assert_int_equal(tg_session_ack(w.shard[0], a.s, a.ids[1], TG_ACK_DONE), 0);
    world_advance(&w, 2000); // and nothing else comes
    assert_int_equal(a.ended, TG_E_TIMEOUT);
    assert_true(told("\"reason\":\"timed out\"}"));
    client_open(&b, &w, 1, "a", 1000);
    assert_true(b.present);
    world_settle(&w);
    assert_int_equal(b.count, 3);
    world_advance(&w, 200000); // it has answered all
    assert_int_equal(b.ended, 0);
    world_close(&w);
}

// The alarm is the session's, not a message's: it is as late as the oldest that is out.
static void who_answers_in_time_stays(void **state)
{
    (void)state;
    tg_hub_limits limits = {.inflight = 10, .inflight_age_s = 60};
    start(&limits);
    client_open(&a, &w, 1, "a", 1000);
    client_sub(&a, "t", 1);
    a.ack = false;
    for (unsigned i = 0; i < 10; i++) {
        client_pub(&p, "t", "x", 1);
        world_settle(&w);
        world_advance(&w, 25000);
        assert_int_equal(a.ended, 0);
        w.here = 1;
        if (i > 0) // always one behind
            assert_int_equal(tg_session_ack(w.shard[1], a.s, a.ids[i - 1], TG_ACK_DONE), 0);
    }
    world_advance(&w, 36000);
    assert_int_equal(a.ended, TG_E_TIMEOUT);
    world_close(&w);
}

static void open_silent(client *c, uint32_t worker)
{
    client_init(c, &w, worker);
    c->ack = false;
    tg_session_spec spec = spec_of("a", 90, false);
    client_open_spec(c, &spec);
    world_settle(&w);
    assert_int_equal(c->opened, 0);
}

// One that is away, or on another worker by now, is judged by what is out there.
static void the_alarm_goes_with_the_connection(void **state)
{
    (void)state;
    tg_hub_limits limits = {.inflight_age_s = 60};
    start(&limits);
    open_silent(&a, 0);
    client_sub(&a, "t", 1);
    client_pub(&p, "t", "x", 1);
    world_settle(&w);
    world_advance(&w, 50000);
    open_silent(&b, 1);
    assert_int_equal(a.ended, TG_E_TAKENOVER);
    assert_int_equal(b.count, 1);
    world_advance(&w, 20000);
    assert_int_equal(b.ended, 0);
    client_close(&b, 0);
    world_advance(&w, 80000); // its expiry is whole
    open_silent(&a, 0);
    assert_true(a.present);
    world_advance(&w, 61000);
    assert_int_equal(a.ended, TG_E_TIMEOUT);
    world_advance(&w, 91000);
    open_silent(&b, 1);
    assert_false(b.present);
    world_close(&w);
}

#define DAY INT64_C(86400000)

// Somebody sets the machine's clock: that is no time in which a client was silent.
static void a_clock_that_is_set_makes_nobody_late(void **state)
{
    (void)state;
    tg_hub_limits limits = {.inflight_age_s = 60};
    for (int64_t shift = -DAY; shift <= DAY; shift += 2 * DAY) {
        start(&limits);
        open_silent(&a, 0);
        client_sub(&a, "t", 1);
        client_pub(&p, "t", "x", 1);
        world_settle(&w);
        world_advance(&w, 30000);
        world_shift = shift;
        client_pub(&p, "t", "y", 1);
        world_advance(&w, 29000);
        assert_int_equal(a.ended, 0);
        world_advance(&w, 3000);
        assert_int_equal(a.ended, TG_E_TIMEOUT);
        world_shift = 0;
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_and_goes_is_told),
        cmocka_unit_test(an_open_that_was_not_answered_is_no_connection),
        cmocka_unit_test(a_drop_names_client_topic_and_reason),
        cmocka_unit_test(events_that_are_dropped_are_no_events),
        cmocka_unit_test(a_report_is_retained_and_counted_nowhere),
        cmocka_unit_test(what_sessions_hold_is_summed_up),
        cmocka_unit_test(what_is_on_its_way_is_bounded_by_bytes),
        cmocka_unit_test(who_never_answers_loses_its_connection),
        cmocka_unit_test(who_answers_in_time_stays),
        cmocka_unit_test(the_alarm_goes_with_the_connection),
        cmocka_unit_test(a_clock_that_is_set_makes_nobody_late),
    };
    return RUN(tests);
}
