// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

static world w;
static client a, p;

static void keep(client *c, const char *topic, const char *payload, uint8_t qos,
                 uint32_t expiry_s)
{
    tg_msg_spec spec = {.topic = tg_str(topic),
                        .payload = tg_str(payload),
                        .qos = qos,
                        .retain = 1,
                        .expiry_s = expiry_s};
    assert_int_equal(client_pub_msg(c, spec), 0);
}

static void a_new_subscriber_gets_what_is_kept(void **state)
{
    (void)state;
    world_open(&w, 2, NULL);
    client_open(&p, &w, 0, "p", 0);
    client_open(&a, &w, 1, "a", 0);
    keep(&p, "x/1", "one", 1, 0);
    keep(&p, "x/2", "old", 0, 0);
    keep(&p, "x/2", "two", 0, 0);
    keep(&p, "y", "no", 0, 0);
    keep(&p, "$x/1", "no", 0, 0);
    keep(&p, "x/3", "gone", 0, 0);
    keep(&p, "x/3", "", 0, 0);
    assert_int_equal(tg_metric_sum(tg_metric_find("tidegate_retained_messages", "")), 4);
    client_sub_with(&a, "x/#", (tg_sub){.qos = 2, .sub_id = 9});
    got(&a, "x/1=one/1/r#9 x/2=two/r#9 ");
    client_sub_with(&a, "x/#", (tg_sub){.qos = 0}); // again: it asks anew
    got(&a, "x/1=one/r x/2=two/r ");
    client_sub_with(&a, "x/#", (tg_sub){.flags = TG_SUB_RETAIN_IF_NEW});
    client_sub_with(&a, "x/+", (tg_sub){.flags = TG_SUB_RETAIN_NEVER});
    client_sub_with(&a, "$share/g/x/1", (tg_sub){.qos = 0});
    got(&a, "");
    client_sub_with(&a, "x/1", (tg_sub){.flags = TG_SUB_RETAIN_IF_NEW});
    got(&a, "x/1=one/r ");
    world_close(&w);
}

static void what_is_kept_expires_and_is_bounded(void **state)
{
    (void)state;
    tg_hub_limits limits = {.retained_count = 3, .retained_bytes = 2000};
    world_open(&w, 1, &limits);
    client_open(&p, &w, 0, "p", 0);
    client_open(&a, &w, 0, "a", 0);
    keep(&p, "t/1", "brief", 0, 5);
    keep(&p, "t/2", "2", 0, 0);
    keep(&p, "t/3", "3", 0, 0);
    keep(&p, "t/4", "4", 0, 0);
    assert_int_equal(p.done, TG_E_FULL);
    keep(&p, "t/3", "3b", 0, 0);
    assert_int_equal(p.done, 0);
    static char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    keep(&p, "t/3", big, 0, 0);
    assert_int_equal(p.done, TG_E_FULL);
    world_advance(&w, 5500);
    client_sub(&a, "#", 0);
    got(&a, "t/2=2/r t/3=3b/r ");
    world_advance(&w, 2000); // the sweep has been there
    assert_int_equal(tg_metric_sum(tg_metric_find("tidegate_retained_messages", "")), 2);
    keep(&p, "t/5", "5", 0, 0);
    assert_int_equal(p.done, 0);
    world_close(&w);
}

static void many_matches_are_delivered_as_the_subscriber_takes_them(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    tg_hub_limits limits = {.queue_messages = 10, .inflight = 4};
    world_open(&w, 1, &limits);
    client_open(&p, &w, 0, "p", 0);
    for (int i = 0; i < MANY; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "t/%d", i);
        keep(&p, topic, "x", 1, 0);
    }
    client_open(&a, &w, 0, "a", 0);
    client_sub(&a, "t/+", 1);
    world_settle(&w);
    assert_int_equal(a.count, MANY);
    assert_int_equal(dropped("queue_full"), 0);
    client_close(&a, 0);
    client_open(&a, &w, 0, "a", 100); // one that answers nothing, then some
    a.ack = false;
    client_sub(&a, "#", 1);
    world_settle(&w);
    assert_int_equal(a.count, 4);
    assert_int_equal(tg_session_ack(w.shard[0], a.s, a.ids[1], TG_ACK_DONE), 0);
    world_settle(&w);
    assert_int_equal(a.count, 5);
    a.full = true;
    assert_int_equal(tg_session_ack(w.shard[0], a.s, a.ids[0], TG_ACK_DONE), 0);
    client_close(&a, 0);
    client_open(&a, &w, 0, "a", 100); // and goes on after a reconnect
    world_settle(&w);
    assert_int_equal(a.count, MANY - 2);
    world_close(&w);
}

typedef struct list {
    unsigned n;
    char last[32];
} list;

static bool count(void *ctx, tg_msg m)
{
    list *l = ctx;
    l->n++;
    snprintf(l->last, sizeof(l->last), "%.*s", (int)m->topic.len, m->topic.at);
    return l->n < 100000;
}

static unsigned found(const char *filter)
{
    list l = {0};
    assert_int_equal(
        tg_shard_each_retained(w.shard[0], tg_str(filter), tg_str(""), count, &l), 0);
    return l.n;
}

// The leaps over what cannot match must not leap over what can.
static void a_lookup_finds_what_a_comparison_of_all_finds(void **state)
{
    (void)state;
    static const char *const levels[] = {"a", "a-b", "a0", "b", "", "$s", "ab", "ü", "a b"};
    static char topics[500][40];
    unsigned n = 0;
    world_open(&w, 1, NULL);
    client_open(&p, &w, 0, "p", 0);
    w.seed = 7;
    while (n < 500) {
        char *t = topics[n];
        t[0] = '\0';
        for (unsigned k = 1 + rnd(&w, 4); k > 0; k--) {
            strcat(t, levels[rnd(&w, 9)]);
            if (k > 1)
                strcat(t, "/");
        }
        bool fresh = t[0] != '\0';
        for (unsigned i = 0; i < n && fresh; i++)
            fresh = strcmp(topics[i], t) != 0;
        if (!fresh && n > 450)
            break;
        if (!fresh)
            continue;
        keep(&p, t, "x", 0, 0);
        n++;
    }
    for (unsigned round = 0; round < 3000; round++) {
        char f[40] = "";
        for (unsigned k = 1 + rnd(&w, 4); k > 0; k--) {
            unsigned what = rnd(&w, 14);
            strcat(f, what >= 9 ? "+" : levels[what]);
            if (k > 1)
                strcat(f, "/");
            else if (rnd(&w, 4) == 0)
                strcat(f, "/#");
        }
        if (!tg_filter_valid(tg_str(f)))
            continue;
        unsigned want = 0;
        for (unsigned i = 0; i < n; i++)
            want += tg_topic_matches(tg_str(f), tg_str(topics[i]));
        if (found(f) != want)
            fail_msg("%s: %u instead of %u", f, found(f), want);
    }
    assert_int_equal(
        tg_shard_each_retained(w.shard[0], tg_str("a/#/b"), tg_str(""), count, NULL),
        TG_E_MALFORMED);
    world_close(&w);
}

static int newest[2];

static void never_older(client *c, const tg_delivery *d)
{
    char text[16];
    snprintf(text, sizeof(text), "%.*s", (int)d->msg->payload.len, d->msg->payload.at);
    int n = atoi(text), t = d->msg->topic.at[2] - '0';
    if (n < newest[t])
        fail_msg("%d after %d (seed %lu)", n, newest[t], (unsigned long)c->w->seed);
    newest[t] = n;
    c->len = 0;
}

// Subscribing again and again beside a publisher on another worker: a kept message may come
// twice, but nothing comes behind what is newer, and the last one is what is kept.
static void nothing_older_follows_what_is_newer(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world_open(&w, 3, NULL);
        w.seed = seed;
        newest[0] = newest[1] = 0;
        client_open(&p, &w, 0, "p", 0);
        client_open(&a, &w, 1, "a", 0);
        a.on_deliver = never_older;
        char text[16];
        for (int n = 1; n < 200; n++) {
            snprintf(text, sizeof(text), "%d", n);
            keep(&p, rnd(&w, 2) ? "t/0" : "t/1", text, 1, 0);
            if (rnd(&w, 8) == 0)
                client_sub_with(&a, "t/+", (tg_sub){.qos = 1, .flags = 0});
            for (unsigned k = rnd(&w, 6); k > 0; k--)
                world_random(&w);
        }
        world_settle(&w);
        assert_true(newest[0] == 199 || newest[1] == 199);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_subscriber_gets_what_is_kept),
        cmocka_unit_test(what_is_kept_expires_and_is_bounded),
        cmocka_unit_test(many_matches_are_delivered_as_the_subscriber_takes_them),
        cmocka_unit_test(a_lookup_finds_what_a_comparison_of_all_finds),
        cmocka_unit_test(nothing_older_follows_what_is_newer),
    };
    return RUN(tests);
}
