// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include "lab.h"

static void bytes_come_back(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "hello", 5);
    lab_expect(fd, "hello", 5);
    lab_wait(opened, 1);
    close(fd);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    lab_stop();
}

static void a_megabyte_comes_back(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    static char block[64 * 1024];
    for (int i = 0; i < 16; i++) {
        memset(block, 'a' + i, sizeof(block));
        lab_send(fd, block, sizeof(block));
        lab_expect(fd, block, sizeof(block));
    }
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// Frames of 8 bytes: what is not whole is left to the connection.
static int64_t on_frames(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    size_t whole = data.len / 8 * 8;
    for (size_t at = 0; at < whole; at += 8) {
        int rc = tg_net_send(c, (tg_slice){data.at + at, 8});
        if (rc != 0)
            return rc;
        lab_add(&the_lab.data);
    }
    return (int64_t)whole;
}

static void half_frames_are_kept_at_every_split(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_frames;
    lab_listen(&spec);
    const char wire[] = "frame--1frame--2frame--3";
    for (size_t cut = 0; cut <= 24; cut++) {
        int fd = lab_connect();
        lab_send(fd, wire, cut);
        if (cut >= 8)
            lab_expect(fd, wire, cut / 8 * 8); // the first part has been read by itself
        lab_send(fd, wire + cut, 24 - cut);
        lab_expect(fd, wire + cut / 8 * 8, 24 - cut / 8 * 8);
        close(fd);
    }
    lab_wait(closed, 25);
    int fd = lab_connect();
    for (size_t i = 0; i < 24; i++)
        lab_send(fd, wire + i, 1);
    lab_expect(fd, wire, 24);
    close(fd);
    lab_wait(closed, 26);
    lab_stop();
}

// Nothing is used until all of it is there.
static int64_t on_large(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    if (data.len < 300000)
        return 0;
    for (size_t i = 0; i < data.len; i++)
        if (data.at[i] != (char)(i * 7 % 251))
            return TG_E_MALFORMED;
    return tg_net_send(c, TG_LIT("ok")) == 0 ? (int64_t)data.len : TG_E_FULL;
}

static void a_large_frame_is_shown_in_one_piece(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_large;
    lab_listen(&spec);
    char *wire = malloc(300000);
    for (size_t i = 0; i < 300000; i++)
        wire[i] = (char)(i * 7 % 251);
    int fd = lab_connect();
    lab_send(fd, wire, 300000);
    lab_expect(fd, "ok", 2);
    free(wire);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static int64_t on_never(tg_net_conn *c, void *user, tg_slice data)
{
    (void)c;
    (void)user;
    (void)data;
    return 0;
}

static void too_much_unused_ends_the_connection(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_never;
    spec.limits.unread_max = 10000;
    lab_listen(&spec);
    int fd = lab_connect();
    char block[12000] = {0};
    lab_send(fd, block, sizeof(block));
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TOOBIG);
    assert_true(lab_sees_fin(fd));
    close(fd);
    lab_stop();
}

// Pause.

static int64_t on_pausing(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    pthread_mutex_lock(&the_lab.lock);
    bool first = the_lab.data == 0;
    the_lab.bytes = data.len;
    pthread_mutex_unlock(&the_lab.lock);
    if (first)
        tg_net_pause(c);
    lab_add(&the_lab.data);
    return first ? 2 : (int64_t)data.len;
}

static void resume(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_resume(the_lab.conn);
    assert_int_equal(lab_get(&the_lab.data), 1); // what was kept comes from a later turn
}

static void pause_again(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_pause(the_lab.conn);
    tg_net_resume(the_lab.conn);
    tg_net_pause(the_lab.conn);
}

static void a_paused_connection_keeps_its_bytes(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_pausing;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "123456", 6);
    lab_wait(data, 1);
    lab_run(resume, NULL);
    lab_wait(data, 2);
    assert_int_equal(the_lab.bytes, 4);
    lab_run(pause_again, NULL);
    lab_send(fd, "789", 3);
    assert_false(lab_reaches(&the_lab.data, 3, 0));
    lab_run((void (*)(tg_worker *, void *))pause_again, NULL);
    the_lab.data = 1;
    lab_run(resume, NULL);
    lab_wait(data, 2);
    assert_int_equal(the_lab.bytes, 3);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// Paused and resumed within the call that then leaves a rest.
static int64_t on_blink(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    tg_net_pause(c);
    tg_net_resume(c);
    pthread_mutex_lock(&the_lab.lock);
    the_lab.bytes += data.at[0] != 'x';
    pthread_mutex_unlock(&the_lab.lock);
    lab_add(&the_lab.data);
    return 1;
}

static void a_resume_within_the_call_shows_the_rest(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_blink;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "xxxxx", 5);
    lab_wait(data, 5);
    assert_int_equal(the_lab.bytes, 0);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// Closing.

static void close_now(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    assert_int_equal(tg_net_send(the_lab.conn, TG_LIT("good-bye")), 0);
    tg_net_close(the_lab.conn, TG_E_KICKED);
    tg_net_close(the_lab.conn, TG_E_IDLE); // the first reason stays
    assert_true(tg_net_closing(the_lab.conn));
    assert_int_equal(tg_net_send(the_lab.conn, TG_LIT("late")), TG_E_CLOSED);
    assert_int_equal(lab_get(&the_lab.closed), 0);
}

static void a_close_sends_what_is_queued_and_reads_away(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    lab_run(close_now, NULL);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_KICKED);
    lab_send(fd, "still talking", 13); // would be answered with a reset otherwise
    lab_expect(fd, "good-bye", 8);
    assert_int_equal(tg_listener_connections(the_lab.listener), 1); // it waits for our FIN
    close(fd);
    lab_stop();
    assert_int_equal(lab_get(&the_lab.closed), 1);
}

static int64_t on_bad(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    (void)data;
    tg_net_send(c, TG_LIT("no"));
    return TG_E_MALFORMED;
}

static void a_refusing_callback_ends_the_connection_in_order(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_bad;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "x", 1);
    lab_expect(fd, "no", 2);
    assert_true(lab_sees_fin(fd));
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_MALFORMED);
    assert_int_equal(lab_count("closed_malformed"), 1);
    close(fd);
    lab_stop();
}

static int on_open_refuses(tg_net_conn *c, void *user)
{
    (void)c;
    (void)user;
    return TG_E_DENIED;
}

static void an_open_that_fails_closes(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_refuses;
    lab_listen(&spec);
    int fd = lab_connect();
    assert_true(lab_sees_fin(fd));
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_DENIED);
    close(fd);
    lab_stop();
}

static int64_t on_half(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    tg_net_send(c, data);
    return (int64_t)data.len;
}

static void a_peer_that_only_ends_its_sending_gets_its_answers(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_half;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "question", 8);
    shutdown(fd, SHUT_WR);
    lab_expect(fd, "question", 8);
    assert_true(lab_sees_fin(fd));
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static void a_reset_is_a_close(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    lab_stop();
}

// Two connections of one worker: the first to speak closes the other, from its own
// callback.
static tg_net_conn *pair[2];

static int on_open_pair(tg_net_conn *c, void *user)
{
    (void)user;
    pair[pair[0] != NULL] = c;
    lab_add(&the_lab.opened);
    return 0;
}

static int64_t on_data_pair(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    tg_net_close(c == pair[0] ? pair[1] : pair[0], TG_E_TAKENOVER);
    tg_net_close(c, TG_E_KICKED);
    return (int64_t)data.len;
}

static void a_callback_may_close_itself_and_others(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_pair;
    spec.events.on_data = on_data_pair;
    pair[0] = pair[1] = NULL;
    lab_listen(&spec);
    int a = lab_connect(), b = lab_connect();
    lab_wait(opened, 2);
    lab_send(a, "x", 1);
    lab_wait(closed, 2);
    assert_true(lab_sees_fin(a));
    assert_true(lab_sees_fin(b));
    close(a);
    close(b);
    lab_stop();
}

// What it tells, and what it costs.

static void check_info(tg_worker *w, void *ctx)
{
    tg_conn_info i;
    tg_net_info(the_lab.conn, &i);
    assert_int_equal(i.transport, TG_TCP);
    assert_int_equal(i.worker, 0);
    assert_int_equal(i.outgoing, 0);
    assert_true(tg_slice_eq(i.listener, TG_LIT("lab")));
    assert_true(tg_slice_eq(i.peer, tg_str(ctx)));
    assert_int_equal(i.cert_cn.len, 0);
    assert_int_equal(i.bytes_in, 5);
    assert_int_equal(i.bytes_out, 5);
    assert_in_range(i.opened / 1000, (uint64_t)time(NULL) - 60, (uint64_t)time(NULL) + 1);
    assert_ptr_equal(tg_net_worker(the_lab.conn), w);
    assert_ptr_equal(tg_net_listener(the_lab.conn), the_lab.listener);
}

static void a_connection_tells_about_itself(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "hello", 5);
    lab_expect(fd, "hello", 5);
    struct sockaddr_in me;
    socklen_t len = sizeof(me);
    getsockname(fd, (struct sockaddr *)&me, &len);
    char peer[40];
    snprintf(peer, sizeof(peer), "127.0.0.1:%u", ntohs(me.sin_port));
    lab_run(check_info, peer);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static void each_closes(void *ctx, tg_net_conn *c)
{
    ++*(int *)ctx;
    tg_net_close(c, TG_E_SHUTDOWN);
}

static void close_each(tg_worker *w, void *ctx)
{
    tg_net_each(w, each_closes, ctx);
}

static void all_connections_can_be_walked_and_closed(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fds[20], n = 0;
    for (int i = 0; i < 20; i++)
        fds[i] = lab_connect();
    lab_wait(opened, 20);
    lab_run(close_each, &n);
    assert_int_equal(n, 20);
    lab_wait(closed, 20);
    n = 0;
    lab_run(close_each, &n);
    assert_int_equal(n, 0);
    for (int i = 0; i < 20; i++) {
        assert_true(lab_sees_fin(fds[i]));
        close(fds[i]);
    }
    lab_stop();
}

#define MANY 1500

static void an_idle_connection_is_small(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    static int fds[MANY];
    int warm = lab_connect();
    lab_send(warm, "x", 1);
    lab_expect(warm, "x", 1);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < MANY; i++) {
        fds[i] = lab_connect();
        lab_send(fds[i], "ping", 4);
        lab_expect(fds[i], "ping", 4);
    }
    lab_wait(opened, MANY + 1);
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks - before.uordblks) / MANY;
    print_message("# %zu bytes for an idle connection\n", each);
#ifndef TG_SANITIZED
    assert_in_range(each, 100, 500);
#endif
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(warm);
    lab_wait(closed, MANY + 1);
    lab_stop();
}

static void the_host_ends_when_its_connections_are_gone(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    tg_listener_close(the_lab.listener);
    tg_workers_stop(the_lab.ws, 60000);
    lab_send(fd, "x", 1);
    lab_expect(fd, "x", 1); // still served
    close(fd);
    tg_workers_join(the_lab.ws);
    assert_int_equal(the_lab.closed, 1);
    tg_workers_free(the_lab.ws);
}

static void the_host_ends_at_its_deadline(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    uint64_t from = lab_ms();
    tg_workers_stop(the_lab.ws, 200);
    tg_workers_join(the_lab.ws);
    assert_in_range(lab_ms() - from, 150, 20000);
    assert_int_equal(the_lab.closed, 1);
    assert_int_equal(the_lab.reason, TG_E_SHUTDOWN);
    tg_workers_free(the_lab.ws);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(a_megabyte_comes_back),
        cmocka_unit_test(half_frames_are_kept_at_every_split),
        cmocka_unit_test(a_large_frame_is_shown_in_one_piece),
        cmocka_unit_test(too_much_unused_ends_the_connection),
        cmocka_unit_test(a_paused_connection_keeps_its_bytes),
        cmocka_unit_test(a_resume_within_the_call_shows_the_rest),
        cmocka_unit_test(a_close_sends_what_is_queued_and_reads_away),
        cmocka_unit_test(a_refusing_callback_ends_the_connection_in_order),
        cmocka_unit_test(an_open_that_fails_closes),
        cmocka_unit_test(a_peer_that_only_ends_its_sending_gets_its_answers),
        cmocka_unit_test(a_reset_is_a_close),
        cmocka_unit_test(a_callback_may_close_itself_and_others),
        cmocka_unit_test(a_connection_tells_about_itself),
        cmocka_unit_test(all_connections_can_be_walked_and_closed),
        cmocka_unit_test(an_idle_connection_is_small),
        cmocka_unit_test(the_host_ends_when_its_connections_are_gone),
        cmocka_unit_test(the_host_ends_at_its_deadline),
    };
    return LAB_RUN(tests);
}
