// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "lab.h"
#include "net/listener_impl.h"

static void addresses_are_literals(void **state)
{
    (void)state;
    tg_addr a;
    bool both;
    char text[64];
    const char *good[] = {"127.0.0.1:1883", "[::1]:8883", "[2001:db8::1]:5000"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tg_addr_parse(tg_str(good[i]), &a, &both), 0);
        tg_addr_text(&a, text, sizeof(text));
        assert_string_equal(text, good[i]);
        assert_false(both);
    }
    assert_int_equal(tg_addr_parse(TG_LIT("*:5023"), &a, &both), 0);
    assert_true(both);
    const char *bad[] = {"",
                         "1883",
                         "127.0.0.1",
                         "127.0.0.1:",
                         "::1:80",
                         "[::1]",
                         "127.0.0.1:65536",
                         "127.0.0.1:-1",
                         "host:80",
                         "127.0.0.1: 1",
                         "[]:1",
                         "127.0.0.1:1x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(tg_addr_parse(tg_str(bad[i]), &a, &both), TG_E_INVAL);
    assert_int_equal(tg_addr_parse((tg_slice){"1.2.3.4:5\0x", 11}, &a, &both), TG_E_INVAL);
}

static void a_bad_address_is_named(void **state)
{
    (void)state;
    lab_start(1);
    tg_error e = {0};
    tg_listener *l = NULL;
    tg_listener_spec spec = lab_spec();
    spec.bind = TG_LIT("localhost:1");
    assert_int_equal(tg_listener_open(the_lab.ws, &spec, &l, &e), TG_E_INVAL);
    assert_non_null(strstr(e.message, "localhost:1"));
    spec.bind = TG_LIT("192.0.2.77:4000");
    assert_int_equal(tg_listener_open(the_lab.ws, &spec, &l, &e), TG_E_IO);
    assert_non_null(strstr(e.message, "192.0.2.77:4000"));
    lab_stop();
}

static void an_address_in_use_is_refused(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    char bind[64];
    snprintf(bind, sizeof(bind), "%s", tg_listener_address(the_lab.listener));
    spec.bind = tg_str(bind);
    tg_listener *l = NULL;
    tg_error e = {0};
    assert_int_equal(tg_listener_open(the_lab.ws, &spec, &l, &e), TG_E_IO);
    assert_non_null(strstr(e.message, "in use"));
    lab_stop();
}

static void an_address_is_free_again_after_a_close(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    char bind[64];
    snprintf(bind, sizeof(bind), "%s", tg_listener_address(the_lab.listener));
    int old = lab_connect();
    lab_wait(opened, 1);
    spec.bind = tg_str(bind);
    for (int i = 0; i < 3; i++) {
        tg_listener_close(the_lab.listener);
        lab_listen(&spec);
    }
    int fresh = lab_connect(); // a SYN that met a closing socket is sent again
    lab_send(fresh, "x", 1);
    lab_expect(fresh, "x", 1);
    lab_send(old, "y", 1);
    lab_expect(old, "y", 1);
    close(old);
    close(fresh);
    lab_wait(closed, 2);
    lab_stop();
}

static int connect_v6(uint16_t port)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {LAB_SECONDS, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    struct sockaddr_in6 a = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    if (TEMP_FAILURE_RETRY(connect(fd, (struct sockaddr *)&a, sizeof(a))) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool has_v6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void check_peer(tg_worker *w, void *ctx)
{
    (void)w;
    tg_conn_info i;
    tg_net_info(the_lab.conn, &i);
    assert_true(i.peer.len > strlen(ctx));
    assert_memory_equal(i.peer.at, ctx, strlen(ctx));
}

static void a_star_takes_both_families(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.bind = TG_LIT("*:0");
    lab_listen(&spec);
    assert_memory_equal(tg_listener_address(the_lab.listener), "*:", 2);
    int v4 = lab_connect();
    lab_wait(opened, 1);
    lab_run(check_peer, (char[]){"127.0.0.1:"});
    if (has_v6()) {
        int v6 = connect_v6(lab_port());
        assert_true(v6 >= 0);
        lab_wait(opened, 2);
        lab_run(check_peer, (char[]){"[::1]:"});
        close(v6);
        lab_wait(closed, 1);
    }
    close(v4);
    lab_wait(closed, has_v6() ? 2 : 1);
    lab_stop();
}

static void a_v6_literal_takes_v6_alone(void **state)
{
    (void)state;
    if (!has_v6())
        skip();
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.bind = TG_LIT("[::]:0");
    lab_listen(&spec);
    assert_int_equal(lab_connect_to(lab_port()), -1);
    int fd = connect_v6(lab_port());
    assert_true(fd >= 0);
    lab_send(fd, "x", 1);
    lab_expect(fd, "x", 1);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// user_init.

static int on_init(tg_net_conn *c, void *user, void *arg)
{
    assert_ptr_equal(tg_net_user(c), user);
    assert_int_equal(*(int *)user, 0);
    *(int *)user = 7;
    lab_add(arg);
    return the_lab.idle > 0 ? TG_E_LIMIT : 0;
}

static int on_open_init(tg_net_conn *c, void *user)
{
    assert_int_equal(*(int *)user, 7);
    return lab_on_open(c, user);
}

static void the_room_above_sets_up_its_bytes_or_refuses(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.user_size = 64;
    spec.events.on_open = on_open_init;
    spec.user_init = on_init;
    spec.arg = &the_lab.done;
    lab_listen(&spec);
    assert_ptr_equal(tg_listener_arg(the_lab.listener), &the_lab.done);
    int fd = lab_connect();
    lab_wait(opened, 1);
    lab_add(&the_lab.idle);
    int no = lab_connect();
    assert_true(lab_sees_fin(no));
    lab_wait(done, 2);
    close(no);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
    assert_int_equal(the_lab.closed, 1); // the refused one had no event
}

// Stopping.

static void a_closed_listener_serves_who_was_in_its_queue(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    spec.limits.accept_rate = 1; // so they are all still in the backlog
    lab_listen(&spec);
    uint16_t port = lab_port();
    enum { WAITING = 200 };
    static int fds[WAITING];
    for (int i = 0; i < WAITING; i++)
        fds[i] = lab_connect();
    tg_listener_close(the_lab.listener);
    the_lab.listener = NULL;
    lab_wait(opened, WAITING);
    for (int i = 0; i < WAITING; i++) {
        lab_send(fds[i], "x", 1);
        lab_expect(fds[i], "x", 1);
        close(fds[i]);
    }
    lab_wait(closed, WAITING);
    lab_stop();
    assert_int_equal(lab_connect_to(port), -1);
}

static void who_connects_while_a_listener_closes_is_served_or_not_let_in(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    uint16_t port = lab_port();
    int fds[100], n = 0;
    for (int i = 0; i < 100; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        connect(fd, (struct sockaddr *)&a, sizeof(a));
        fds[n++] = fd;
        if (i == 50) {
            tg_listener_close(the_lab.listener);
            the_lab.listener = NULL;
        }
    }
    lab_wait(opened, 51);
    int served = 0;
    for (int i = 0; i < n; i++) {
        fcntl(fds[i], F_SETFL, 0);
        struct timeval limit = {LAB_SECONDS, 0};
        setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        if (getpeername(fds[i], (struct sockaddr *)&peer, &len) == 0) {
            lab_send(fds[i], "x", 1);
            lab_expect(fds[i], "x", 1);
            served++;
        }
        close(fds[i]);
    }
    assert_in_range(served, 51, 100);
    lab_wait(closed, served);
    lab_stop();
}

static void a_listener_counts_what_it_is_told(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    char event[100];
    for (int i = 0; i < 100; i++) { // more names than a listener may have
        snprintf(event, sizeof(event), "junk_%d", i % 80);
        tg_listener_count(the_lab.listener, event);
    }
    assert_int_equal(lab_count("junk_3"), 2);
    assert_int_equal(lab_count("junk_79"), 0);
    assert_in_range(lab_count("other"), 17, 20);
    lab_stop();
    lab_start(1);
    lab_listen(&spec);
    tg_listener_count(the_lab.listener, "a\"b\\c\n");
    assert_int_equal(lab_count("a\\\"b\\\\c\\n"), 1);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_literals),
        cmocka_unit_test(a_bad_address_is_named),
        cmocka_unit_test(an_address_in_use_is_refused),
        cmocka_unit_test(an_address_is_free_again_after_a_close),
        cmocka_unit_test(a_star_takes_both_families),
        cmocka_unit_test(a_v6_literal_takes_v6_alone),
        cmocka_unit_test(the_room_above_sets_up_its_bytes_or_refuses),
        cmocka_unit_test(a_closed_listener_serves_who_was_in_its_queue),
        cmocka_unit_test(who_connects_while_a_listener_closes_is_served_or_not_let_in),
        cmocka_unit_test(a_listener_counts_what_it_is_told),
    };
    return LAB_RUN(tests);
}
