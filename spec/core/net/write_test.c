// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "lab.h"

static int64_t writes(void)
{
    return tg_metric_sum(tg_metric_find("tidegate_net_writes_total", ""));
}

static void release(void *owner)
{
    assert_ptr_equal(owner, &the_lab);
    lab_add(&the_lab.released);
}

static void send_many(tg_worker *w, void *ctx)
{
    (void)w;
    static char tail[1000];
    memset(tail, 'T', sizeof(tail));
    int n = *(int *)ctx;
    for (int i = 0; i < n; i++) {
        assert_int_equal(tg_net_send(the_lab.conn, TG_LIT("abc")), 0);
        assert_int_equal(tg_net_send_ref(the_lab.conn, TG_LIT("<"), (tg_slice){tail, 1000},
                                         release, &the_lab),
                         0);
        assert_int_equal(
            tg_net_send_ref(the_lab.conn, TG_LIT("["), TG_LIT("small"), release, &the_lab),
            0);
    }
    assert_int_equal(tg_net_pending(the_lab.conn), (size_t)n * (3 + 1001 + 6));
}

static void expect_many(int fd, int n)
{
    char one[3 + 1001 + 6];
    memset(one, 'T', sizeof(one));
    memcpy(one, "abc<", 4);
    memcpy(one + 1004, "[small", 6);
    for (int i = 0; i < n; i++)
        lab_expect(fd, one, sizeof(one));
}

static void the_sends_of_a_turn_leave_in_one_write(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect(), n = 20;
    lab_wait(opened, 1);
    int64_t before = writes();
    lab_run(send_many, &n);
    expect_many(fd, n);
    lab_wait(released, 2 * n);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
    assert_int_equal(writes() - before, 1);
}

static void many_pieces_leave_in_their_order(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect(), n = 900;
    lab_wait(opened, 1);
    lab_run(send_many, &n);
    expect_many(fd, n);
    lab_wait(released, 2 * n);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// A device that does not read.

typedef struct fill {
    int taken;
    size_t pending;
} fill;

static void fill_up(tg_worker *w, void *ctx)
{
    (void)w;
    fill *f = ctx;
    static char block[8192];
    int rc;
    while ((rc = tg_net_send_ref(the_lab.conn, TG_LIT("12345678"), (tg_slice){block, 8184},
                                 release, &the_lab)) == 0)
        f->taken++;
    assert_int_equal(rc, TG_E_FULL);
    f->pending = tg_net_pending(the_lab.conn);
    assert_int_equal(tg_net_send(the_lab.conn, (tg_slice){block, 8192}), TG_E_FULL);
    assert_int_equal(tg_net_pending(the_lab.conn), f->pending);
}

static void drain_bytes(int fd, size_t n)
{
    char away[65536];
    while (n > 0) {
        ssize_t got = lab_recv(fd, away, n < sizeof(away) ? n : sizeof(away));
        assert_true(got > 0);
        n -= (size_t)got;
    }
}

static void a_slow_reader_fills_its_own_queue_and_is_told(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.limits.write_max = 256 * 1024;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    fill f = {0};
    lab_run(fill_up, &f);
    assert_in_range(f.pending, 200 * 1024, 256 * 1024);
    assert_false(lab_reaches(&the_lab.writable, 1, 0));
    drain_bytes(fd, (size_t)f.taken * 8192);
    lab_wait(writable, 1);
    lab_wait(released, f.taken);
    int other = lab_connect(); // and nobody else noticed
    lab_send(other, "x", 1);
    lab_expect(other, "x", 1);
    close(fd);
    close(other);
    lab_wait(closed, 2);
    lab_stop();
    assert_int_equal(lab_get(&the_lab.writable), 1);
}

static void what_was_not_sent_is_released_at_the_end(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    fill f = {0};
    lab_run(fill_up, &f);
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    lab_wait(closed, 1);
    lab_wait(released, f.taken);
    lab_stop();
}

static void a_peer_that_takes_nothing_is_closed(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.limits.write_stall_ms = 150;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    fill f = {0};
    uint64_t from = lab_ms();
    lab_run(fill_up, &f);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TIMEOUT);
    assert_in_range(lab_ms() - from, 140, 20000);
    close(fd);
    lab_stop();
}

static void fill_and_close(tg_worker *w, void *ctx)
{
    fill_up(w, ctx);
    tg_net_close(the_lab.conn, 0);
}

static void close_it(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_close(the_lab.conn, 0);
}

static void a_close_waits_for_a_slow_reader(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    fill f = {0};
    lab_run(fill_and_close, &f);
    lab_wait(closed, 1);
    drain_bytes(fd, (size_t)f.taken * 8192);
    assert_true(lab_sees_fin(fd));
    close(fd);
    lab_stop();
    assert_int_equal(lab_get(&the_lab.released), f.taken);
}

// Peers that answer no FIN, or take no last bytes, are waited for some seconds and no more.
static void a_close_does_not_wait_for_ever(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int deaf = lab_connect();
    lab_wait(opened, 1);
    fill f = {0};
    uint64_t from = lab_ms();
    lab_run(fill_and_close, &f);
    int mute = lab_connect();
    lab_wait(opened, 2);
    lab_run(close_it, NULL);
    lab_wait(closed, 2);
    lab_wait(released, f.taken);
    lab_until(tg_listener_connections(the_lab.listener) == 0);
    // What ends it is not the time for peers that take nothing, which is a minute.
    assert_in_range(lab_ms() - from, 3000, 50000);
    close(deaf);
    close(mute);
    lab_stop();
}

static void send_larger(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    char *large = calloc(1, 3 << 20);
    assert_int_equal(tg_net_send(the_lab.conn, (tg_slice){large, 3 << 20}), 0);
    free(large);
}

static void a_message_past_the_limit_is_taken_when_it_is_alone(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.limits.write_max = 4096;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    lab_run(send_larger, NULL);
    drain_bytes(fd, 3 << 20);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static void no_write_raises_a_signal(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    for (int i = 0; i < 20; i++) {
        int fd = lab_connect();
        lab_send(fd, "ping", 4);
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
    lab_wait(closed, 1);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sends_of_a_turn_leave_in_one_write),
        cmocka_unit_test(many_pieces_leave_in_their_order),
        cmocka_unit_test(a_slow_reader_fills_its_own_queue_and_is_told),
        cmocka_unit_test(what_was_not_sent_is_released_at_the_end),
        cmocka_unit_test(a_peer_that_takes_nothing_is_closed),
        cmocka_unit_test(a_close_waits_for_a_slow_reader),
        cmocka_unit_test(a_close_does_not_wait_for_ever),
        cmocka_unit_test(a_message_past_the_limit_is_taken_when_it_is_alone),
        cmocka_unit_test(no_write_raises_a_signal),
    };
    return LAB_RUN(tests);
}
