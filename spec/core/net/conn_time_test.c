// SPDX-License-Identifier: Apache-2.0
// The times of a connection: its first good frame, and silence, which a peer that sends bytes
// does not end until they are of use.
#include "lab.h"

static int on_open_idle(tg_net_conn *c, void *user)
{
    tg_net_set_idle(c, 60);
    return lab_on_open(c, user);
}

static void silence_is_reported_once_a_period(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_idle;
    lab_listen(&spec);
    uint64_t from = lab_ms();
    int fd = lab_connect();
    lab_wait(idle, 3);
    assert_in_range(lab_ms() - from, 175, 20000);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static int on_open_patient(tg_net_conn *c, void *user)
{
    tg_net_set_idle(c, 700);
    return lab_on_open(c, user);
}

// For longer than it may be silent. A machine that stood still for a good part of that time made
// a silence of its own, and it begins again.
static void a_peer_that_speaks_is_not_idle(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_patient;
    lab_listen(&spec);
    int fd = lab_connect(), silences = 0;
    uint64_t begun = lab_ms(), from = begun, last = begun, before = begun;
    while (lab_ms() < from + 1000) {
        assert_true(lab_ms() < begun + LAB_SECONDS * 1000);
        lab_send(fd, "x", 1);
        lab_expect(fd, "x", 1);
        uint64_t now = lab_ms();
        if (now - before > 600) { // since the worker heard it last, at most
            from = now;
            silences = lab_get(&the_lab.idle);
        }
        assert_int_equal(lab_get(&the_lab.idle), silences);
        before = last;
        last = now;
    }
    lab_wait(idle, silences + 1);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// A frame that never becomes whole.
static int64_t on_part(tg_net_conn *c, void *user, tg_slice data)
{
    (void)c;
    (void)user;
    (void)data;
    return 0;
}

static void a_peer_that_only_drips_is_idle(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_idle;
    spec.events.on_data = on_part;
    lab_listen(&spec);
    int fd = lab_connect();
    for (uint64_t from = lab_ms(); lab_get(&the_lab.idle) < 2; poll(NULL, 0, 5)) {
        lab_send(fd, "x", 1);
        assert_true(lab_ms() < from + LAB_SECONDS * 1000);
    }
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

static void silence_without_a_handler_closes(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_open = on_open_idle;
    spec.events.on_idle = NULL;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_IDLE);
    assert_true(lab_sees_fin(fd));
    close(fd);
    lab_stop();
}

static int64_t on_ready(tg_net_conn *c, void *user, tg_slice data)
{
    if (data.at[0] == 'r')
        tg_net_ready(c);
    return lab_on_echo(c, user, data);
}

#define FIRST_MS 250

// Says in time that it is good; on a machine that does not let it, again.
static int proven(void)
{
    for (uint64_t end = lab_ms() + LAB_SECONDS * 1000;;) {
        uint64_t from = lab_ms();
        char answer;
        int fd = lab_connect();
        send(fd, "r", 1, MSG_NOSIGNAL);
        if (lab_recv(fd, &answer, 1) == 1)
            return fd;
        close(fd);
        assert_true(lab_ms() - from >= FIRST_MS - 20 && lab_ms() < end);
    }
}

static void a_peer_must_prove_itself_in_time(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    spec.events.on_data = on_ready;
    spec.limits.first_frame_ms = FIRST_MS;
    lab_listen(&spec);
    int good = proven();
    lab_until(tg_listener_connections(the_lab.listener) == 1);
    int closed = lab_get(&the_lab.closed), said = lab_logged("no good frame came in time");
    int bad = lab_connect();
    lab_send(bad, "x", 1); // bytes alone do not count
    lab_wait(closed, closed + 1);
    assert_int_equal(the_lab.reason, TG_E_TIMEOUT);
    assert_int_equal(lab_logged("no good frame came in time"), said + 1);
    assert_true(lab_sees_fin(bad));
    lab_send(good, "y", 1);
    lab_expect(good, "y", 1);
    close(good);
    close(bad);
    lab_wait(closed, closed + 2);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_reported_once_a_period),
        cmocka_unit_test(a_peer_that_speaks_is_not_idle),
        cmocka_unit_test(a_peer_that_only_drips_is_idle),
        cmocka_unit_test(silence_without_a_handler_closes),
        cmocka_unit_test(a_peer_must_prove_itself_in_time),
    };
    return LAB_RUN(tests);
}
