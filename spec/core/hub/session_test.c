// SPDX-License-Identifier: Apache-2.0
// The life of sessions: what they keep while their client is away, how they end, and what is
// known of them.
#include "base/value.h"
#include "harness.h"

static void a_session_keeps_its_queue_and_answers_present(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "a", 100);
    client_open(&p, &w, 1, "p", 0);
    assert_false(a.present);
    client_sub(&a, "t", 1);
    client_close(&a, 0);
    client_pub(&p, "t", "1", 1);
    client_pub(&p, "t", "2", 0); // QoS 0 is not kept for the absent
    client_pub(&p, "t", "3", 2);
    world_settle(&w);
    assert_int_equal(dropped("offline_qos0"), 1);
    client_open(&a, &w, 0, "a", 100);
    assert_true(a.present);
    got(&a, "t=1/1 t=3/1 ");
    client_close(&a, 0);
    client_init(&a, &w, 0);
    tg_session_spec clean = spec_of("a", 0, true);
    client_open_spec(&a, &clean);
    world_settle(&w);
    assert_false(a.present);
    client_pub(&p, "t", "4", 1);
    assert_int_equal(p.receivers, 0);
    world_close(&w);
}

static void messages_and_sessions_expire(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 2, NULL);
    client_open(&a, &w, 0, "a", 100);
    client_open(&p, &w, 1, "p", 0);
    client_sub(&a, "t", 1);
    client_close(&a, 0);
    tg_msg_spec brief = {
        .topic = tg_str("t"), .payload = tg_str("b"), .qos = 1, .expiry_s = 5};
    client_pub_msg(&p, brief);
    client_pub(&p, "t", "long", 1);
    world_advance(&w, 6000);
    client_open(&a, &w, 0, "a", 100);
    assert_true(a.present);
    got(&a, "t=long/1 ");
    assert_int_equal(dropped("expired"), 1);
    client_close(&a, 0);
    world_advance(&w, 99000);
    client_open(&a, &w, 1, "a", 100);
    assert_true(a.present);
    client_close(&a, 0);
    world_advance(&w, 101000);
    client_open(&a, &w, 0, "a", 0);
    assert_false(a.present);
    client_close(&a, 0);
    client_open(&a, &w, 0, "a", 0);
    assert_false(a.present);
    assert_int_equal(tg_session_set_expiry(w.shard[0], a.s, 10), 0);
    client_close(&a, 0);
    client_open(&a, &w, 0, "a", 0);
    assert_true(a.present);
    world_close(&w);
}

static void received_ids_are_remembered_across_reconnects(void **state)
{
    (void)state;
    world w;
    static client a;
    tg_hub_limits limits = {.rx_inflight = 3};
    world_open(&w, 2, &limits);
    client_open(&a, &w, 0, "a", 100);
    assert_int_equal(tg_session_rx_add(w.shard[0], a.s, 7), 0);
    assert_int_equal(tg_session_rx_add(w.shard[0], a.s, 3), 0);
    assert_int_equal(tg_session_rx_add(w.shard[0], a.s, 7), TG_E_EXISTS);
    client_close(&a, 0);
    client_open(&a, &w, 1, "a", 100);
    assert_int_equal(tg_session_rx_add(w.shard[1], a.s, 3), TG_E_EXISTS);
    assert_int_equal(tg_session_rx_add(w.shard[1], a.s, 9), 0);
    assert_int_equal(tg_session_rx_add(w.shard[1], a.s, 10), TG_E_LIMIT);
    assert_int_equal(tg_session_rx_del(w.shard[1], a.s, 7), 0);
    assert_int_equal(tg_session_rx_del(w.shard[1], a.s, 7), TG_E_NOTFOUND);
    assert_int_equal(tg_session_rx_add(w.shard[1], a.s, 10), 0);
    assert_int_equal(tg_session_rx_add(w.shard[1], a.s, 0), TG_E_INVAL);
    world_close(&w);
}

// What a link that holds many keeps with each session comes back with its end, whatever order
// they end in: it need not look for it.
static void a_link_is_told_of_an_end_with_its_own_number(void **state)
{
    (void)state;
    world w;
    static client c[100];
    world_open(&w, 2, NULL);
    for (unsigned i = 0; i < 100; i++) {
        char id[8];
        uint16_t *number;
        snprintf(id, sizeof(id), "c%u", i);
        client_open(&c[i], &w, 0, id, 0);
        assert_ptr_equal(tg_session_link(w.shard[0], c[i].s, &client_link, &number), &c[i]);
        assert_int_equal(*number, 0);
        *number = (uint16_t)(65535 - i);
    }
    for (unsigned k = 0; k < 100; k++) {
        unsigned i = k * 37 % 100;
        char id[8];
        snprintf(id, sizeof(id), "c%u", i);
        tg_hub_kick(w.hub, tg_str(id), false);
        world_settle(&w);
        assert_int_equal(c[i].ended, TG_E_KICKED);
        assert_int_equal(c[i].number, 65535 - i);
    }
    world_close(&w);
}

static void bad_calls_are_refused(void **state)
{
    (void)state;
    world w;
    static client a;
    tg_hub_limits limits = {.subscriptions = 2, .topic_levels = 4};
    world_open(&w, 1, &limits);
    client_open(&a, &w, 0, "a", 0);
    assert_int_equal(client_sub_with(&a, "a/#/b", (tg_sub){0}), TG_E_MALFORMED);
    assert_int_equal(client_sub_with(&a, "", (tg_sub){0}), TG_E_MALFORMED);
    assert_int_equal(client_sub_with(&a, "$share/g", (tg_sub){0}), TG_E_MALFORMED);
    assert_int_equal(client_sub_with(&a, "1/2/3/4/5", (tg_sub){0}), TG_E_LIMIT);
    client_sub(&a, "a", 0);
    client_sub(&a, "b", 0);
    client_sub(&a, "b", 1);
    assert_int_equal(client_sub_with(&a, "c", (tg_sub){0}), TG_E_LIMIT);
    assert_int_equal(client_pub_msg(&a, (tg_msg_spec){.topic = tg_str("a/+")}),
                     TG_E_MALFORMED);
    assert_int_equal(client_pub_msg(&a, (tg_msg_spec){.topic = tg_str("1/2/3/4/5")}),
                     TG_E_LIMIT);
    tg_session stale = a.s;
    client_close(&a, 0);
    assert_int_equal(tg_session_close(w.shard[0], stale, 0), TG_E_CLOSED);
    assert_int_equal(tg_session_ack(w.shard[0], stale, 1, TG_ACK_DONE), TG_E_CLOSED);
    assert_int_equal(tg_session_resume(w.shard[0], stale), TG_E_CLOSED);
    tg_session_spec nameless = spec_of("", 0, true);
    assert_int_equal(
        tg_session_open(w.shard[0], &client_link, &a, &nameless, client_opened, &a),
        TG_E_INVAL);
    world_close(&w);
}

static void a_cancelled_open_is_never_answered(void **state)
{
    (void)state;
    world w;
    static client a, b;
    world_open(&w, 2, NULL);
    client_init(&a, &w, 0);
    tg_session_spec spec = spec_of("a", 100, false);
    client_open_spec(&a, &spec);
    w.here = 0;
    tg_session_cancel(w.shard[0], &a);
    a.dead = true;
    world_settle(&w);
    client_open(&b, &w, 1, "a", 100);
    assert_true(b.present);
    client_init(&a, &w, 0);
    client_open_spec(&a, &spec); // from another worker, cancelled on the way
    w.here = 0;
    tg_session_cancel(w.shard[0], &a);
    a.dead = true;
    world_settle(&w);
    assert_int_equal(b.ended, TG_E_TAKENOVER);
    client_open(&b, &w, 1, "a", 100);
    assert_true(b.present);
    world_close(&w);
}

static void close_in_delivery(client *c, const tg_delivery *d)
{
    (void)d;
    tg_session s = c->s;
    assert_int_equal(tg_session_close(c->w->shard[c->worker], s, TG_CLOSE_END_SESSION), 0);
    c->ack = false;
    c->dead = true;
}

static void a_session_may_be_closed_from_within_its_delivery(void **state)
{
    (void)state;
    world w;
    static client a, p;
    world_open(&w, 1, NULL);
    for (uint8_t qos = 0; qos < 3; qos++) {
        client_open(&a, &w, 0, "a", 100);
        client_open(&p, &w, 0, "p", 0);
        client_sub(&a, "t", qos);
        a.full = true;
        client_pub(&p, "t", "1", qos);
        client_pub(&p, "t", "2", qos);
        a.full = false;
        a.on_deliver = close_in_delivery;
        assert_int_equal(tg_session_resume(w.shard[0], a.s), 0);
        world_settle(&w);
        assert_int_equal(a.count, 1);
        client_close(&p, 0);
    }
    world_close(&w);
}

static void a_kick_ends_the_link_and_keeps_or_forgets_the_session(void **state)
{
    (void)state;
    world w;
    static client a;
    world_open(&w, 2, NULL);
    assert_int_equal(tg_hub_kick(w.hub, tg_str("a"), false), TG_E_NOTFOUND);
    client_open(&a, &w, 1, "a", 100);
    assert_int_equal(tg_hub_kick(w.hub, tg_str("a"), false), 0);
    world_settle(&w);
    assert_int_equal(a.ended, TG_E_KICKED);
    client_open(&a, &w, 0, "a", 100);
    assert_true(a.present);
    assert_int_equal(tg_hub_kick(w.hub, tg_str("a"), true), 0);
    world_settle(&w);
    assert_int_equal(a.ended, TG_E_KICKED);
    client_open(&a, &w, 0, "a", 100);
    assert_false(a.present);
    world_close(&w);
}

static void count_session(void *ctx, const tg_session_info *i)
{
    unsigned *n = ctx;
    n[0]++;
    n[1] += i->connected;
    n[2] += i->subscriptions;
    n[3] += i->queued;
}

static bool list_filter(void *ctx, tg_slice filter, uint32_t subscribers)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%.*s:%u ", (int)filter.len, filter.at, subscribers);
    return true;
}

static void sessions_and_filters_are_listed(void **state)
{
    (void)state;
    world w;
    static client a, b, p;
    world_open(&w, 1, NULL);
    client_open(&a, &w, 0, "a", 100);
    client_open(&b, &w, 0, "b", 0);
    client_open(&p, &w, 0, "p", 0);
    client_sub(&a, "x/1", 1);
    client_sub(&a, "x", 1);
    client_sub(&b, "x", 1);
    client_sub(&b, "$share/g/x/+", 1);
    client_close(&a, 0);
    client_pub(&p, "x", "q", 1);
    unsigned n[4] = {0};
    tg_shard_each_session(w.shard[0], count_session, n);
    assert_int_equal(n[0], 3);
    assert_int_equal(n[1], 2);
    assert_int_equal(n[2], 4);
    assert_int_equal(n[3], 1);
    char text[128] = "";
    tg_shard_each_filter(w.shard[0], tg_str(""), list_filter, text);
    assert_string_equal(text, "x:2 x/+:1 x/1:1 ");
    text[0] = '\0';
    tg_shard_each_filter(w.shard[0], tg_str("x"), list_filter, text);
    assert_string_equal(text, "x/+:1 x/1:1 ");
    world_close(&w);
}

static void open_as(client *c, world *w, uint32_t worker, const char *id, const char *user,
                    const tg_value *attributes)
{
    client_init(c, w, worker);
    tg_session_spec spec = spec_of(id, 0, false);
    spec.user = tg_str(user);
    spec.attributes = attributes;
    client_open_spec(c, &spec);
    world_settle(w);
    assert_int_equal(c->opened, 0);
}

static const tg_value *attributes_of(const client *c)
{
    return tg_session_attributes(c->w->shard[c->worker], c->s);
}

static const char *user_of(const client *c)
{
    static char text[32];
    tg_slice user = {0};
    tg_session_user(c->w->shard[c->worker], c->s, &user);
    snprintf(text, sizeof(text), "%.*s", (int)user.len, user.at);
    return text;
}

static void sessions_with_equal_attributes_share_them(void **state)
{
    (void)state;
    world w;
    static client c[4];
    tg_arena a = {0};
    tg_value_builder one = {.arena = &a}, other = {.arena = &a};
    tg_build(&one, "tenant", tg_value_of_str("acme"));
    tg_build(&one, "adapter", tg_value_of_str("gt06"));
    tg_build(&other, "adapter", tg_value_of_str("gt06"));
    tg_build(&other, "tenant", tg_value_of_str("acme"));
    tg_value first = tg_build_map(&one), second = tg_build_map(&other);
    world_open(&w, 2, NULL);
    open_as(&c[0], &w, 0, "a", "", &first);
    open_as(&c[1], &w, 1, "b", "", &second);
    open_as(&c[2], &w, 0, "c", "ann", &first);
    open_as(&c[3], &w, 1, "d", "ann", NULL);
    tg_arena_free(&a);
    assert_non_null(attributes_of(&c[0]));
    assert_ptr_equal(attributes_of(&c[0]), attributes_of(&c[1]));
    assert_ptr_not_equal(attributes_of(&c[0]), attributes_of(&c[2])); // another user's
    assert_null(attributes_of(&c[3]));
    assert_string_equal(user_of(&c[1]), "");
    assert_string_equal(user_of(&c[2]), "ann");
    assert_string_equal(user_of(&c[3]), "ann");
    client_close(&c[0], TG_CLOSE_END_SESSION);
    world_settle(&w);
    tg_slice tenant = tg_value_str(attributes_of(&c[1]), "tenant", (tg_slice){0});
    assert_true(tg_slice_eq(tenant, TG_LIT("acme")));
    world_close(&w); // asserts that nobody's are left
}

// A store and a list show what is no secret.
static void a_secret_is_not_shared_with_what_only_looks_like_it(void **state)
{
    (void)state;
    world w;
    static client c[2];
    tg_arena a = {0};
    tg_value_builder open = {.arena = &a}, hidden = {.arena = &a};
    tg_value word = tg_value_of_str("sesame");
    tg_build(&open, "word", word);
    word.secret = 1;
    tg_build(&hidden, "word", word);
    tg_value first = tg_build_map(&open), second = tg_build_map(&hidden);
    world_open(&w, 1, NULL);
    open_as(&c[0], &w, 0, "a", "", &first);
    open_as(&c[1], &w, 0, "b", "", &second);
    tg_arena_free(&a);
    assert_int_equal(attributes_of(&c[0])->map.pairs[0].value.secret, 0);
    assert_int_equal(attributes_of(&c[1])->map.pairs[0].value.secret, 1);
    world_close(&w);
}

static void a_hundred_users_are_told_apart(void **state)
{
    (void)state;
    world w;
    static client c[100];
    char name[16];
    world_open(&w, 1, NULL);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user %d", i);
        open_as(&c[i], &w, 0, name, name, NULL);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user %d", i);
        assert_string_equal(user_of(&c[i]), name);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_with_equal_attributes_share_them),
        cmocka_unit_test(a_secret_is_not_shared_with_what_only_looks_like_it),
        cmocka_unit_test(a_hundred_users_are_told_apart),
        cmocka_unit_test(a_session_keeps_its_queue_and_answers_present),
        cmocka_unit_test(messages_and_sessions_expire),
        cmocka_unit_test(received_ids_are_remembered_across_reconnects),
        cmocka_unit_test(a_link_is_told_of_an_end_with_its_own_number),
        cmocka_unit_test(bad_calls_are_refused),
        cmocka_unit_test(a_cancelled_open_is_never_answered),
        cmocka_unit_test(a_session_may_be_closed_from_within_its_delivery),
        cmocka_unit_test(a_kick_ends_the_link_and_keeps_or_forgets_the_session),
        cmocka_unit_test(sessions_and_filters_are_listed),
    };
    return RUN(tests);
}
