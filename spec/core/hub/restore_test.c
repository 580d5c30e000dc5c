// SPDX-License-Identifier: Apache-2.0
// A restart: what comes back of what was stored, also by hosts of earlier forms, and what is
// over by then.
#include "base/value.h"
#include "durable.h"

static void receive_once(client *c, const char *id, uint16_t packet_id)
{
    tg_msg_spec spec = {
        .size = sizeof(spec), .topic = tg_str("nobody"), .publisher = tg_str(id), .qos = 2};
    tg_msg m = tg_msg_new(&spec);
    tg_shard *sh = w.shard[c->worker];
    w.here = c->worker;
    assert_int_equal(tg_session_rx_add(sh, c->s, packet_id), 0);
    assert_int_equal(tg_session_publish_once(sh, c->s, packet_id, m, client_published, c),
                     0);
    tg_msg_unref(m);
}

static void a_restart_brings_back_all_that_was_committed(void **state)
{
    (void)state;
    start(NULL);
    open_durable(&a, 1, "a", 100);
    open_durable(&p, 0, "p", 0);
    assert_int_equal(client_sub_with(&a, "t/#", (tg_sub){.qos = 2, .sub_id = 300}), 0);
    sub(&a, "$share/g/s", 1);
    a.ack = false;
    for (int i = 1; i <= 3; i++)
        client_pub(&p, "t/x", (char[]){(char)('0' + i), 0}, i == 1 ? 1 : 2);
    settle_all(&w);
    assert_int_equal(tg_session_ack(w.shard[1], a.s, a.ids[1], TG_ACK_RECEIVED), 1);
    receive_once(&a, "a", 77);
    uint16_t first = a.ids[0], second = a.ids[1], third = a.ids[2];
    tg_msg_spec kept = {
        .topic = tg_str("r"), .payload = tg_str("kept"), .retain = 1, .qos = 1};
    client_pub_msg(&p, kept);
    settle_all(&w);
    crash(&w);
    start(NULL);
    open_durable(&p, 0, "p", 0);
    client_pub(&p, "s", "4", 1); // the absent session's subscription is there
    settle_all(&w);
    assert_int_equal(p.receivers, 1);
    client_init(&a, &w, 2);
    a.ack = false;
    tg_session_spec spec = spec_of("a", 100, false);
    client_open_spec(&a, &spec);
    settle_all(&w);
    assert_true(a.present);
    a.log[a.len] = '\0';
    assert_string_equal(a.log, "t/x=1/1/d#300 t/x=2/2/d/R#300 t/x=3/2/d#300 s=4/1 ");
    a.len = 0;
    assert_int_equal(a.ids[0], first);
    assert_int_equal(a.ids[1], second);
    assert_int_equal(a.ids[2], third);
    assert_int_equal(tg_session_rx_add(w.shard[2], a.s, 77), TG_E_EXISTS);
    sub(&a, "r", 0);
    a.log[a.len] = '\0';
    assert_string_equal(a.log, "r=kept/r ");
    world_close(&w);
    forget_all();
}

static void what_ends_leaves_the_store(void **state)
{
    (void)state;
    start(NULL);
    open_durable(&a, 1, "a", 10);
    open_durable(&p, 0, "p", 0);
    sub(&a, "t", 2);
    tg_msg_spec kept = {
        .topic = tg_str("t"), .payload = tg_str("x"), .retain = 1, .qos = 2, .expiry_s = 3};
    client_pub_msg(&p, kept);
    receive_once(&a, "a", 1);
    settle_all(&w);
    assert_true(npairs >= 5);
    client_close(&a, 0);
    settle_all(&w);
    for (int i = 0; i < 24; i++) {
        world_advance(&w, 500);
        settle_all(&w);
    }
    assert_int_equal(npairs, 0);
    open_durable(&a, 1, "a", 0); // never durable: never stored
    sub(&a, "t", 2);
    assert_int_equal(npairs, 0);
    assert_int_equal(tg_session_set_expiry(w.shard[1], a.s, 100), 0);
    settle_all(&w);
    assert_int_equal(npairs, 3); // session, subscription, and which ids are safe
    assert_int_equal(tg_session_set_expiry(w.shard[1], a.s, 0), 0);
    settle_all(&w);
    assert_int_equal(npairs, 0);
    world_close(&w);
}

static void a_session_whose_time_ran_out_while_nobody_was_there_ends(void **state)
{
    (void)state;
    start(NULL);
    open_durable(&a, 1, "a", 10);
    open_durable(&b, 1, "b", 1000);
    client_close(&a, 0);
    settle_all(&w);
    open_durable(&q, 0, "q", 10);
    crash(&w); // q's connection is lost only now
    world_ms += 60000;
    start(NULL);
    world_advance(&w, 100);
    settle_all(&w);
    open_durable(&a, 1, "a", 10);
    assert_false(a.present);
    open_durable(&b, 1, "b", 10);
    assert_true(b.present);
    open_durable(&q, 1, "q", 10);
    assert_true(q.present);
    world_close(&w);
    forget_all();
}

static void a_clock_that_goes_back_in_a_restart_gives_no_more_time(void **state)
{
    (void)state;
    start(NULL);
    open_durable(&a, 1, "a", 10);
    client_close(&a, 0);
    settle_all(&w);
    crash(&w);
    world_shift = -3600000;
    start(NULL);
    world_advance(&w, 9000);
    settle_all(&w);
    assert_true(npairs > 0);
    world_advance(&w, 2000);
    settle_all(&w);
    assert_int_equal(npairs, 0);
    world_shift = 0;
    world_close(&w);
    forget_all();
}

static void records_that_make_no_sense_are_skipped(void **state)
{
    (void)state;
    static const char *const keys[] = {"s",       "s\0\1",    "s\0\1x", "u\0\1x",
                                       "u\0\1zt", "q\0\1x\0", "m",      "x\0\1x\0",
                                       "r",       "rt",       "r+"};
    static const size_t lens[] = {1, 3, 4, 4, 5, 5, 1, 5, 1, 2, 2};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        tg_write put = {TG_WRITE_PUT, 0, {keys[i], lens[i]}, {"\1\2\3", 3}};
        apply(&put);
    }
    tg_log_set_level("hub", -1);
    start(NULL);
    tg_log_set_level("hub", TG_LOG_ERROR);
    world_close(&w);
    forget_all();
}

static void see(void *ctx, const tg_session_info *i)
{
    const tg_value *list = tg_value_get(i->attributes, "list");
    assert_false(i->connected);
    assert_true(tg_slice_eq(i->user, tg_str("ann")));
    assert_true(tg_slice_eq(tg_value_str(i->attributes, "text", tg_str("")), tg_str("x")));
    assert_int_equal(tg_value_int(i->attributes, "int", 0), -5);
    assert_true(tg_value_bool(i->attributes, "yes", false));
    assert_non_null(list);
    assert_int_equal(list->list.count, 2);
    assert_true(list->list.items[0].number == 1.5);
    assert_int_equal(list->list.items[1].kind, TG_MAP);
    const tg_value *secret = tg_value_get(i->attributes, "secret");
    assert_int_equal(secret->kind, TG_NIL);
    (*(int *)ctx)++;
}

// Whose a session is, is known while it is away, also after a restart.
static void attributes_come_back(void **state)
{
    (void)state;
    tg_value items[] = {tg_value_of_num(1.5), {.kind = TG_MAP}};
    tg_value hidden = tg_value_of_str("hidden"), list = {.kind = TG_LIST};
    hidden.secret = 1;
    list.list.items = items;
    list.list.count = 2;
    tg_pair members[] = {{tg_str("text"), tg_value_of_str("x")},
                         {tg_str("int"), tg_value_of_int(-5)},
                         {tg_str("yes"), tg_value_of_bool(true)},
                         {tg_str("list"), list},
                         {tg_str("secret"), hidden}};
    tg_value map = {.kind = TG_MAP};
    map.map.pairs = members;
    map.map.count = 5;
    start(NULL);
    client_init(&a, &w, 1);
    tg_session_spec spec = spec_of("a", 100, false);
    spec.user = tg_str("ann");
    spec.attributes = &map;
    client_open_spec(&a, &spec);
    settle_all(&w);
    for (int restarts = 0; restarts < 2; restarts++) {
        crash(&w);
        start(NULL);
        settle_all(&w);
        int seen = 0;
        for (uint32_t i = 0; i < 3; i++) {
            w.here = i;
            tg_shard_find_session(w.shard[i], tg_str("a"), see, &seen);
        }
        assert_int_equal(seen, 1);
    }
    world_close(&w);
    forget_all();
}

static void see_user(void *ctx, const tg_session_info *i)
{
    assert_true(tg_slice_eq(i->user, tg_str("ann")));
    *(const tg_value **)ctx = i->attributes;
}

// As hosts wrote it that knew no attributes; and with some that were cut off or make no sense.
static void sessions_of_earlier_forms_are_read(void **state)
{
    (void)state;
    static const char record[] = "\1\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\3ann";
    static const char *const tails[] = {"", "\6\xff\xff\xff\xff", "\4\0\0", "\11",
                                        "\6\0\0\0\1\0\0\0\1k"};
    static const size_t lens[] = {0, 5, 3, 1, 10};
    for (size_t i = 0; i <= sizeof(lens) / sizeof(lens[0]); i++) {
        char text[64];
        size_t len = sizeof(record) - 1;
        memcpy(text, record, len);
        if (i > 0) {
            text[0] = 2;
            memcpy(text + len, tails[i - 1], lens[i - 1]);
            len += lens[i - 1];
        }
        apply(&(tg_write){TG_WRITE_PUT, 0, {"s\0\1a", 4}, {text, len}});
        tg_log_set_level("hub", -1);
        start(NULL);
        tg_log_set_level("hub", TG_LOG_ERROR);
        const tg_value *attributes = &(tg_value){0};
        for (uint32_t k = 0; k < 3; k++)
            tg_shard_find_session(w.shard[k], tg_str("a"), see_user, &attributes);
        if (i == 0)
            assert_null(attributes);
        else
            assert_non_null(attributes); // not called: there is none
        world_close(&w);
        forget_all();
    }
}

static void count_session(void *ctx, const tg_session_info *i)
{
    (void)i;
    ++*(int *)ctx;
}

// A kick of a restored session, before or after its worker has it, reaches that worker.
static void a_restored_session_can_be_kicked(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        for (char name = 'a'; name < 'i'; name++) { // some on each worker
            char id[] = {name, 0};
            start(NULL);
            open_durable(&a, 0, id, 100);
            sub(&a, "t", 1);
            client_close(&a, 0);
            settle_all(&w);
            crash(&w);
            fail_with = 0;
            world_prepare(&w, 3, NULL, &slow, op_new);
            if (early)
                assert_int_equal(tg_hub_kick(w.hub, tg_str(id), true), 0);
            assert_in_range(tg_hub_where(w.hub, tg_str(id)), 0, 2);
            for (uint32_t i = 0; i < 3; i++) {
                world_begin(&w, i);
                while (world_step(&w, i, 0, true)) // before the next one begins
                    continue;
            }
            if (!early)
                assert_int_equal(tg_hub_kick(w.hub, tg_str(id), true), 0);
            settle_all(&w);
            assert_int_equal(tg_hub_kick(w.hub, tg_str(id), true), TG_E_NOTFOUND);
            assert_int_equal(npairs, 0);
            int seated = 0;
            for (uint32_t i = 0; i < 3; i++)
                tg_shard_each_session(w.shard[i], count_session, &seated);
            assert_int_equal(seated, 0);
            open_durable(&p, 0, "p", 0);
            client_pub(&p, "t", "1", 1);
            settle_all(&w);
            assert_int_equal(p.receivers, 0);
            world_close(&w);
            forget_all();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_brings_back_all_that_was_committed),
        cmocka_unit_test(what_ends_leaves_the_store),
        cmocka_unit_test(a_session_whose_time_ran_out_while_nobody_was_there_ends),
        cmocka_unit_test(a_clock_that_goes_back_in_a_restart_gives_no_more_time),
        cmocka_unit_test(records_that_make_no_sense_are_skipped),
        cmocka_unit_test(attributes_come_back),
        cmocka_unit_test(a_restored_session_can_be_kicked),
        cmocka_unit_test(sessions_of_earlier_forms_are_read),
    };
    return RUN(tests);
}
