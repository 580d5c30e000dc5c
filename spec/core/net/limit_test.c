// SPDX-License-Identifier: Apache-2.0
// What a listener takes at most: connections, in all and from one address, new ones, bytes and
// messages a second, and the process's descriptors.
#include <fcntl.h>

#include "lab.h"
#include "net/listener_impl.h"

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
    // The place is free once the socket is gone: a moment after on_close.
    lab_until(tg_listener_connections(the_lab.listener) == 1);
    int again = lab_connect();
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

/// @return how long a second's worth and a half took.
static uint64_t sink(void)
{
    static char block[60000];
    the_lab.bytes = 0;
    the_lab.done = 0;
    int fd = lab_connect(), closed = lab_get(&the_lab.closed);
    uint64_t from = lab_ms();
    lab_send(fd, block, sizeof(block));
    lab_wait(done, 1);
    uint64_t took = lab_ms() - from;
    assert_int_equal(the_lab.bytes, sizeof(block));
    close(fd);
    lab_wait(closed, closed + 1);
    return took;
}

static void bytes_past_the_rate_wait(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_sink;
    spec.limits.bytes_rate = 40000;
    lab_listen(&spec);
    uint64_t least = UINT64_MAX; // a busy machine may take longer, but not each time
    for (int i = 0; i < 5 && least > 5000; i++) {
        uint64_t took = sink();
        assert_true(took >= 400); // a second's worth at once, the rest in time
        least = took < least ? took : least;
    }
    assert_true(least <= 5000);
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
        assert_int_equal(
            TEMP_FAILURE_RETRY(connect(fds[i], (struct sockaddr *)&a, sizeof(a))), 0);
    lab_send(first, "x", 1); // the others are served on
    lab_expect(first, "x", 1);
    struct timespec cpu[2];
    clockid_t clock = tg_worker_cpu_clock(tg_workers_at(the_lab.ws, 0));
    clock_gettime(clock, &cpu[0]);
    uint64_t from = lab_ms();
    while (lab_count("paused_descriptors") < pauses + 3 &&
           lab_ms() < from + LAB_SECONDS * 1000)
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
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_limited_for_all_workers),
        cmocka_unit_test(an_address_has_its_share),
        cmocka_unit_test(an_ipv6_network_counts_as_one_address),
        cmocka_unit_test(more_than_the_accept_rate_waits_in_the_backlog),
        cmocka_unit_test(bytes_past_the_rate_wait),
        cmocka_unit_test(messages_past_the_rate_wait),
        cmocka_unit_test(what_a_rate_leaves_is_shown_later),
        cmocka_unit_test(a_long_silence_fills_a_bucket_and_no_more),
        cmocka_unit_test(running_out_of_descriptors_pauses_and_goes_on),
        cmocka_unit_test(devices_leave_the_reserve_alone),
    };
    return LAB_RUN(tests);
}
