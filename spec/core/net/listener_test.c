// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>

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
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
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

// Limits.

static void connections_are_limited_for_all_workers(void **state)
{
    (void)state;
    lab_start(3);
    tg_listener_spec spec = lab_spec();
    spec.limits.connections = 5;
    lab_listen(&spec);
    int64_t before = lab_count("refused_connections");
    int fds[8];
    for (int i = 0; i < 5; i++) {
        fds[i] = lab_connect();
        lab_wait(opened, i + 1);
    }
    for (int i = 5; i < 8; i++) {
        fds[i] = lab_connect();
        assert_true(lab_sees_fin(fds[i]));
    }
    assert_int_equal(tg_listener_connections(the_lab.listener), 5);
    assert_int_equal(lab_count("refused_connections") - before, 3);
    assert_int_equal(lab_logged("reason=refused_connections"), 3);
    assert_true(lab_logged("peer=127.0.0.1:") >= 3);
    tg_net_limits more = {.connections = 6};
    tg_listener_set_limits(the_lab.listener, &more);
    int fd = lab_connect();
    lab_wait(opened, 6);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    lab_wait(closed, 5);
    close(fd);
    lab_wait(closed, 6);
    lab_stop();
}

static void an_address_has_its_share(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    spec.limits.per_address = 2;
    lab_listen(&spec);
    int a = lab_connect(), b = lab_connect();
    lab_wait(opened, 2);
    int no = lab_connect();
    assert_true(lab_sees_fin(no));
    assert_int_equal(lab_count("refused_address"), 1);
    assert_int_equal(lab_logged("reason=refused_address"), 1);
    close(no);
    close(a);
    lab_wait(closed, 1);
    int again = -1; // the place is free once the socket is gone: a moment after on_close
    for (int i = 0; i < 1000 && tg_listener_connections(the_lab.listener) > 1; i++)
        sched_yield();
    again = lab_connect();
    lab_wait(opened, 3);
    close(again);
    close(b);
    lab_wait(closed, 3);
    lab_stop();
}

static void an_ipv6_network_counts_as_one_address(void **state)
{
    (void)state;
    tg_addr_table *t = tg_addr_table_new();
    tg_addr a, b, c;
    bool both;
    tg_addr_parse(TG_LIT("[2001:db8:1:2::1]:1"), &a, &both);
    tg_addr_parse(TG_LIT("[2001:db8:1:2:ffff::9]:1"), &b, &both);
    tg_addr_parse(TG_LIT("[2001:db8:1:3::1]:1"), &c, &both);
    assert_int_equal(tg_addr_table_add(t, &a, 2), 0);
    assert_int_equal(tg_addr_table_add(t, &b, 2), 0);
    assert_int_equal(tg_addr_table_add(t, &b, 2), TG_E_LIMIT);
    assert_int_equal(tg_addr_table_add(t, &c, 2), 0);
    tg_addr_table_del(t, &a);
    assert_int_equal(tg_addr_table_add(t, &b, 2), 0);
    tg_addr_table_free(t);
}

static void more_than_the_accept_rate_waits_in_the_backlog(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    spec.limits.accept_rate = 50;
    lab_listen(&spec);
    uint64_t from = lab_ms();
    int fds[40];
    for (int i = 0; i < 40; i++)
        fds[i] = lab_connect();
    lab_wait(opened, 40);
    assert_in_range(lab_ms() - from, 600, 20000);
    for (int i = 0; i < 40; i++) {
        lab_send(fds[i], "x", 1);
        lab_expect(fds[i], "x", 1);
        close(fds[i]);
    }
    lab_wait(closed, 40);
    lab_stop();
}

static int64_t on_sink(tg_net_conn *c, void *user, tg_slice data)
{
    (void)c;
    (void)user;
    pthread_mutex_lock(&the_lab.lock);
    the_lab.bytes += data.len;
    int done = the_lab.bytes >= 60000 && the_lab.done == 0;
    pthread_mutex_unlock(&the_lab.lock);
    if (done)
        lab_add(&the_lab.done);
    return (int64_t)data.len;
}

static void bytes_past_the_rate_wait(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_sink;
    spec.limits.bytes_rate = 40000;
    lab_listen(&spec);
    int fd = lab_connect();
    static char block[60000];
    uint64_t from = lab_ms();
    lab_send(fd, block, sizeof(block));
    lab_wait(done, 1);
    assert_in_range(lab_ms() - from, 400,
                    5000); // a second's worth at once, the rest in time
    assert_int_equal(the_lab.bytes, 60000);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static int64_t on_messages(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    for (size_t i = 0; i < data.len; i++) {
        tg_net_count_message(c);
        lab_add(&the_lab.data);
    }
    return (int64_t)data.len;
}

static void messages_past_the_rate_wait(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_messages;
    spec.limits.messages_rate = 20;
    lab_listen(&spec);
    int fd = lab_connect();
    uint64_t from = lab_ms();
    for (int i = 0; i < 3; i++) {
        lab_send(fd, "1234567890", 10);
        lab_wait(data, (i + 1) * 10);
    }
    lab_send(fd, "x", 1);
    lab_wait(data, 31);
    assert_in_range(lab_ms() - from, 400, 20000);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// Takes what the rate allows, and finds the rest again when it is paid for.
static int64_t on_strict(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    size_t used = 0;
    while (used < data.len && !tg_net_throttled(c)) {
        tg_net_count_message(c);
        lab_add(&the_lab.data);
        used++;
    }
    return (int64_t)used;
}

static void what_a_rate_leaves_is_shown_later(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_strict;
    spec.limits.messages_rate = 20;
    lab_listen(&spec);
    int fd = lab_connect();
    uint64_t from = lab_ms();
    lab_send(fd, "123456789012345678901234567890", 30);
    lab_wait(data, 30);
    assert_in_range(lab_ms() - from, 350, 20000);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

#define DAYS_26 (26u * 24 * 60 * 60 * 1000)

static void was_silent(tg_worker *w, void *ctx)
{
    tg_rate *r = the_lab.conn->more->rate;
    (void)ctx;
    r->at = tg_worker_ms(w) - DAYS_26;
    r->bytes = r->messages = 0;
}

static void a_long_silence_fills_a_bucket_and_no_more(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_messages;
    spec.limits.bytes_rate = spec.limits.messages_rate = UINT32_MAX;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(opened, 1);
    for (int i = 1; i <= 3; i++) { // an overflow would take the second as its debt
        lab_run(was_silent, NULL);
        lab_send(fd, "x", 1);
        lab_wait(data, i);
    }
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
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

// Descriptors. The limit is the process's: nothing else may open one meanwhile.

static void running_out_of_descriptors_pauses_and_goes_on(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int first = lab_connect();
    lab_wait(opened, 1);
    int fds[20];
    for (int i = 0; i < 20; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit old, now;
    getrlimit(RLIMIT_NOFILE, &old);
    int next = dup(first);
    close(next);
    now = old;
    now.rlim_cur = (rlim_t)next; // no number is left
    int64_t pauses = lab_count("paused_descriptors");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(lab_port()),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 20; i++)
        assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof(a)), 0);
    lab_send(first, "x", 1); // the others are served on
    lab_expect(first, "x", 1);
    struct timespec cpu[2];
    clockid_t clock = tg_worker_cpu_clock(tg_workers_at(the_lab.ws, 0));
    clock_gettime(clock, &cpu[0]);
    uint64_t from = lab_ms();
    while (lab_count("paused_descriptors") < pauses + 3 && lab_ms() < from + 5000)
        lab_reaches(&the_lab.opened, 1000, 1);
    clock_gettime(clock, &cpu[1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    lab_wait(opened, 21);
    assert_in_range(lab_count("paused_descriptors") - pauses, 3, 10);
    int64_t spent = (cpu[1].tv_sec - cpu[0].tv_sec) * 1000 +
                    (cpu[1].tv_nsec - cpu[0].tv_nsec) / 1000000;
    assert_in_range(spent, 0, 200); // it does not spin
    assert_int_equal(lab_logged("accepting pauses"), 1);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    close(first);
    lab_wait(closed, 21);
    lab_stop();
}

static void devices_leave_the_reserve_alone(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    struct rlimit old, now;
    getrlimit(RLIMIT_NOFILE, &old);
    int next = dup(0);
    close(next);
    now = old;
    now.rlim_cur = (rlim_t)next + 14;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(tg_net_reserve(10), 0); // four are left: two connections of two ends
    assert_int_equal(tg_net_reserve(1u << 30), TG_E_INVAL);
    int a = lab_connect();
    lab_wait(opened, 1);
    int b = lab_connect();
    lab_wait(opened, 2);
    int no = lab_connect();
    assert_true(lab_sees_fin(no));
    assert_int_equal(lab_count("refused_descriptors"), 1);
    int file =
        open("/dev/null", O_RDONLY | O_CLOEXEC); // the reserve serves everything else
    assert_true(file >= 0);
    close(file);
    close(no);
    close(a);
    close(b);
    lab_wait(closed, 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(tg_net_reserve(0), 0);
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
        cmocka_unit_test(connections_are_limited_for_all_workers),
        cmocka_unit_test(an_address_has_its_share),
        cmocka_unit_test(an_ipv6_network_counts_as_one_address),
        cmocka_unit_test(more_than_the_accept_rate_waits_in_the_backlog),
        cmocka_unit_test(bytes_past_the_rate_wait),
        cmocka_unit_test(messages_past_the_rate_wait),
        cmocka_unit_test(what_a_rate_leaves_is_shown_later),
        cmocka_unit_test(a_long_silence_fills_a_bucket_and_no_more),
        cmocka_unit_test(a_closed_listener_serves_who_was_in_its_queue),
        cmocka_unit_test(who_connects_while_a_listener_closes_is_served_or_not_let_in),
        cmocka_unit_test(running_out_of_descriptors_pauses_and_goes_on),
        cmocka_unit_test(devices_leave_the_reserve_alone),
        cmocka_unit_test(a_listener_counts_what_it_is_told),
    };
    return LAB_RUN(tests);
}
