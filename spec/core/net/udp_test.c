// SPDX-License-Identifier: Apache-2.0
// Peers over datagrams, on real sockets. What the room above did is written down by the lab;
// an echo is one datagram back.
#include "lab.h"
#include "net/udp.h"

static tg_listener_spec udp_spec(void)
{
    tg_listener_spec spec = lab_spec();
    spec.udp = true;
    return spec;
}

static int peer_at(const char *address, uint16_t port)
{
    bool six = strchr(address, ':') != NULL;
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval limit = {LAB_SECONDS, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    tg_addr to = {0};
    if (six) {
        to.v6.sin6_family = AF_INET6;
        inet_pton(AF_INET6, address, &to.v6.sin6_addr);
    } else {
        to.v4.sin_family = AF_INET;
        inet_pton(AF_INET, address, &to.v4.sin_addr);
    }
    tg_addr_set_port(&to, port);
    // Connected: an answer from another address than this one would not arrive.
    assert_int_equal(connect(fd, &to.any, tg_addr_len(&to)), 0);
    return fd;
}

static int peer_new(void)
{
    return peer_at("127.0.0.1", lab_port());
}

static void say(int fd, const void *at, size_t len)
{
    assert_int_equal(send(fd, at, len, 0), (ssize_t)len);
}

static void hears(int fd, const void *want, size_t len)
{
    static char got[70000];
    assert_int_equal(lab_recv(fd, got, sizeof(got)), (ssize_t)len);
    assert_memory_equal(got, want, len);
}

static void wait_for_count(const char *event, int64_t n)
{
    lab_until(lab_count(event) >= n);
}

static int64_t alive(void)
{
    return tg_listener_connections(the_lab.listener);
}

static void wait_until_alive(int64_t n)
{
    lab_until(alive() == n);
}

static void each_address_is_a_connection(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = udp_spec();
    lab_listen(&spec);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = peer_new();
        say(fds[i], "hello", 5);
        hears(fds[i], "hello", 5);
    }
    assert_int_equal(lab_get(&the_lab.opened), 20);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 20; i++) {
            char text[16];
            int n = snprintf(text, sizeof(text), "%d %d", round, i);
            say(fds[i], text, (size_t)n);
            hears(fds[i], text, (size_t)n);
        }
    assert_int_equal(lab_get(&the_lab.opened), 20);
    assert_int_equal(alive(), 20);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    lab_stop();
    assert_int_equal(lab_get(&the_lab.closed), 20);
}

static void a_datagram_is_shown_whole_whatever_its_size(void **state)
{
    (void)state;
    static char big[TG_READ_MAX];
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    lab_listen(&spec);
    int fd = peer_new();
    const size_t sizes[] = {1, 1472, 9000, 65507};
    for (size_t i = 0; i < 4; i++) {
        memset(big, 'a' + (int)i, sizes[i]);
        say(fd, big, sizes[i]);
        hears(fd, big, sizes[i]);
    }
    assert_int_equal(lab_get(&the_lab.data), 4);
    close(fd);
    lab_stop();
}

static void both_families_answer_from_the_address_spoken_to(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = udp_spec();
    spec.bind = TG_LIT("*:0");
    lab_listen(&spec);
    static const char *const addresses[] = {"127.0.0.1", "127.0.0.77", "::1"};
    bool six = tg_listener_address(the_lab.listener)[0] == '*';
    for (size_t i = 0; i < (six ? 3 : 2); i++) {
        int fd = peer_at(addresses[i], lab_port());
        say(fd, addresses[i], strlen(addresses[i]));
        hears(fd, addresses[i], strlen(addresses[i]));
        close(fd);
    }
    lab_stop();
}

// The first byte says how much of a datagram is used.
static int64_t use_some(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    lab_add(&the_lab.data);
    int64_t used = data.at[0] - '0';
    tg_net_send(c, (tg_slice){data.at, data.len});
    return used < (int64_t)data.len ? used : (int64_t)data.len;
}

static void what_is_left_of_a_datagram_is_dropped(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = use_some;
    lab_listen(&spec);
    int64_t before = lab_count("partial");
    int fd = peer_new();
    say(fd, "1xyz", 4);
    hears(fd, "1xyz", 4);
    say(fd, "3ab", 3);
    hears(fd, "3ab", 3); // and nothing of the first in front
    assert_int_equal(lab_count("partial"), before + 1);
    close(fd);
    lab_stop();
}

static int64_t pause_first(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    if (lab_get(&the_lab.data) == 0) {
        lab_add(&the_lab.data);
        tg_net_pause(c);
        return 1; // the rest, and what follows, must wait
    }
    lab_add(&the_lab.data);
    tg_net_send(c, data);
    return (int64_t)data.len;
}

static void resume(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_resume(the_lab.conn);
}

static void datagrams_wait_one_by_one_while_nobody_listens(void **state)
{
    (void)state;
    static char much[30000];
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = pause_first;
    lab_listen(&spec);
    int64_t dropped = lab_count("dropped_busy");
    int fd = peer_new();
    say(fd, "1234", 4);
    say(fd, "second", 6);
    say(fd, "third", 5);
    lab_wait(data, 1);
    say(fd, much, sizeof(much));
    say(fd, much, sizeof(much));
    say(fd, much, sizeof(much)); // past the bound of what is kept
    wait_for_count("dropped_busy", dropped + 1);
    lab_run(resume, NULL);
    hears(fd, "234", 3);
    hears(fd, "second", 6);
    hears(fd, "third", 5);
    hears(fd, much, sizeof(much));
    assert_int_equal(lab_count("partial"), 1); // of the test before
    close(fd);
    lab_stop();
}

static int64_t listen_to_nobody(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    (void)data;
    lab_add(&the_lab.data);
    tg_net_pause(c);
    return 0;
}

static void see_kept(tg_worker *w, void *ctx)
{
    const tg_acceptor *a = TG_OWNER(w->acceptors.next, tg_acceptor, node);
    *(size_t *)ctx = a->origin.port->kept;
}

static size_t kept(void)
{
    size_t bytes = 0;
    lab_run(see_kept, &bytes);
    return bytes;
}

#define CROWD 300 // of whom each may keep 64 KiB

static void what_all_peers_keep_is_bounded(void **state)
{
    (void)state;
    static char much[60000];
    static int fds[CROWD];
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = listen_to_nobody;
    lab_listen(&spec);
    int64_t dropped = lab_count("dropped_busy");
    int fit = (int)(TG_PORT_KEPT_MAX / (sizeof(much) + 16));
    for (int i = 0; i < CROWD; i++) { // one by one: none is lost before it is here
        fds[i] = peer_new();
        say(fds[i], much, sizeof(much));
        lab_wait(data, i + 1);
    }
    wait_for_count("dropped_busy", dropped + CROWD - fit);
    assert_in_range(kept(), TG_PORT_KEPT_MAX - sizeof(much) - 16, TG_PORT_KEPT_MAX);
    say(fds[0], much, sizeof(much));
    wait_for_count("dropped_busy", dropped + CROWD - fit + 1);
    tg_listener *l = the_lab.listener;
    the_lab.listener = NULL;
    tg_listener_close(l);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    lab_stop();
}

static void end_last(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_close(the_lab.conn, 0);
}

static void what_is_kept_is_given_back(void **state)
{
    (void)state;
    static char much[60000];
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = pause_first;
    lab_listen(&spec);
    int first = peer_new(), last = peer_new();
    say(first, much, sizeof(much));
    lab_wait(data, 1);
    assert_in_range(kept(), sizeof(much), sizeof(much) + 16);
    lab_run(resume, NULL);
    hears(first, much, sizeof(much) - 1);
    assert_int_equal(kept(), 0);
    the_lab.data = 0; // the next one waits again
    say(last, much, sizeof(much));
    lab_wait(opened, 2);
    lab_wait(data, 1);
    assert_in_range(kept(), sizeof(much), sizeof(much) + 16);
    lab_run(end_last, NULL);
    wait_until_alive(1);
    say(first, "x", 1);
    hears(first, "x", 1);
    the_lab.data = 0;
    say(first, "12", 2);
    lab_wait(data, 1);
    assert_in_range(kept(), 1, 16); // of this peer alone
    close(first);
    close(last);
    lab_stop();
}

static void a_quiet_peer_is_forgotten(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.limits.quiet_ms = 50;
    lab_listen(&spec);
    int fd = peer_new();
    say(fd, "x", 1);
    hears(fd, "x", 1);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_IDLE);
    assert_int_equal(lab_get(&the_lab.idle),
                     0); // it is the host's time, not the room's above
    say(fd, "y", 1);
    hears(fd, "y", 1);
    assert_int_equal(lab_get(&the_lab.opened), 2);
    close(fd);
    lab_stop();
}

static void set_idle(tg_worker *w, void *ctx)
{
    (void)w;
    tg_net_set_idle(the_lab.conn, *(uint32_t *)ctx);
}

static int open_impatient(tg_net_conn *c, void *user)
{
    tg_net_set_idle(c, 20);
    return lab_on_open(c, user);
}

static void the_room_above_may_have_a_time_of_its_own(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_open = open_impatient;
    spec.limits.quiet_ms = 100;
    lab_listen(&spec);
    int fd = peer_new();
    say(fd, "x", 1);
    hears(fd, "x", 1);
    lab_wait(idle, 10); // twice as long as the host's own time
    assert_int_equal(lab_get(&the_lab.closed), 0);
    uint32_t ms = 0;
    lab_run(set_idle, &ms); // no time at all is the host's again
    lab_wait(closed, 1);
    close(fd);
    lab_stop();
}

static int64_t close_on_q(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    lab_add(&the_lab.data);
    tg_net_send(c, data);
    if (data.at[0] == 'q')
        tg_net_close(c, 0);
    return (int64_t)data.len;
}

static void a_closed_peer_is_forgotten_after_its_last_answer(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = close_on_q;
    lab_listen(&spec);
    int fd = peer_new();
    say(fd, "q", 1);
    hears(fd, "q", 1);
    lab_wait(closed, 1);
    wait_until_alive(0);
    say(fd, "x", 1);
    hears(fd, "x", 1);
    assert_int_equal(lab_get(&the_lab.opened), 2);
    close(fd);
    lab_stop();
}

static int64_t settle_on_s(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    lab_add(&the_lab.data);
    if (data.at[0] == 's')
        tg_net_settle(c, true);
    if (data.at[0] == 'u')
        tg_net_settle(c, false);
    tg_net_send(c, data);
    return (int64_t)data.len;
}

static void at_the_bound_the_quietest_stranger_makes_room(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.events.on_data = settle_on_s;
    spec.limits.connections = 4;
    lab_listen(&spec);
    int64_t refused = lab_count("refused_connections");
    int known = peer_new(), a = peer_new(), b = peer_new(), c = peer_new();
    const int in_order[] = {known, a, b, c};
    for (int i = 0; i < 4; i++) {
        say(in_order[i], i == 0 ? "s" : "x", 1);
        hears(in_order[i], i == 0 ? "s" : "x", 1);
    }
    say(a, "x", 1); // now b is the one that was quiet for longest
    hears(a, "x", 1);
    int d = peer_new();
    say(d, "x", 1);
    hears(d, "x", 1);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_LIMIT);
    wait_until_alive(4);
    say(a, "s", 1);
    hears(a, "s", 1);
    say(c, "s", 1);
    hears(c, "s", 1);
    say(d, "s", 1);
    hears(d, "s", 1);
    assert_int_equal(lab_get(&the_lab.opened), 5); // a, c and d were still there
    say(b, "x", 1); // all others are settled: it is refused
    wait_for_count("refused_connections", refused + 1);
    say(d, "u", 1);
    hears(d, "u", 1);
    say(b, "x", 1); // and comes in where d is bound to nothing any more
    hears(b, "x", 1);
    for (int i = 0; i < 4; i++)
        close(in_order[i]);
    close(d);
    lab_stop();
}

// While the worker waits, so that all is there when it looks: the debt is not paid back between
// two of them.
static void say_much(tg_worker *w, void *ctx)
{
    char much[1200] = {0};
    (void)w;
    say(*(int *)ctx, much, sizeof(much)); // past a second's worth: it waits to be paid back
    for (int i = 0; i < 20; i++)
        say(*(int *)ctx, "y", 1); // and those behind it do not wait
}

static void limits_hold_per_address_and_for_rates(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.limits.per_address = 2;
    spec.limits.bytes_rate = 1000;
    lab_listen(&spec);
    int64_t refused = lab_count("refused_address"), dropped = lab_count("dropped_rate");
    int a = peer_new(), b = peer_new(), c = peer_new();
    say(a, "x", 1);
    say(b, "x", 1);
    hears(a, "x", 1);
    hears(b, "x", 1);
    say(c, "x", 1);
    wait_for_count("refused_address", refused + 1);
    char much[1200] = {0};
    lab_run(say_much, &a);
    wait_for_count("dropped_rate", dropped + 20);
    hears(a, much, sizeof(much));
    close(a);
    close(b);
    close(c);
    lab_stop();
}

static void a_flood_from_many_ports_stays_bounded(void **state)
{
    (void)state;
    enum { PORTS = 10000, MOST = 256, ROUND = 250 };
    lab_start(2);
    tg_listener_spec spec = udp_spec();
    spec.limits.connections = MOST;
    lab_listen(&spec);
    int64_t refused = lab_count("refused_connections");
    for (int i = 0; i < PORTS / ROUND; i++) {
        int fds[ROUND];
        for (int k = 0; k < ROUND; k++) {
            fds[k] = peer_new();
            say(fds[k], "x", 1);
        }
        int64_t want = (int64_t)(i + 1) * ROUND; // all were looked at
        lab_until(lab_get(&the_lab.data) + lab_count("refused_connections") - refused >=
                  want);
        assert_true(alive() <= MOST);
        for (int k = 0; k < ROUND; k++)
            close(fds[k]);
    }
    assert_true(lab_get(&the_lab.opened) >= MOST);
    lab_stop();
    assert_int_equal(lab_get(&the_lab.closed), lab_get(&the_lab.opened));
}

/// Sends until it is refused. Loopback takes everything at once, so the port is told that its
/// socket is full; that it is writable is reported right after.
static void send_until_full(tg_worker *w, void *ctx)
{
    (void)w;
    static char big[60000];
    int *sends = ctx;
    tg_port *p = the_lab.listener->at[0]->origin.port;
    p->blocked = true;
    while (tg_net_send(the_lab.conn, (tg_slice){big, sizeof(big)}) == 0)
        ++*sends;
    assert_true(tg_net_pending(the_lab.conn) <= 1000000);
    assert_int_equal(tg_net_send(the_lab.conn, (tg_slice){big, 65508}), TG_E_TOOBIG);
    tg_port_watch(p);
}

static void sends_past_the_bound_are_refused_and_told_of_later(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = udp_spec();
    spec.limits.write_max = 1000000;
    lab_listen(&spec);
    int64_t full = lab_count("send_full");
    int fd = peer_new();
    say(fd, "x", 1);
    hears(fd, "x", 1);
    int sends = 0;
    lab_run(send_until_full, &sends);
    assert_int_equal(sends, 16);
    assert_int_equal(lab_count("send_full"), full + 1);
    lab_wait(writable, 1);
    static char big[60000];
    hears(fd, big, sizeof(big));
    close(fd);
    lab_stop();
}

static void an_address_gets_a_new_listener(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = udp_spec();
    lab_listen(&spec);
    char bind[64];
    snprintf(bind, sizeof(bind), "%s", tg_listener_address(the_lab.listener));
    spec.bind = tg_str(bind);
    tg_listener *second = NULL;
    tg_error e = {0};
    assert_int_equal(tg_listener_open(the_lab.ws, &spec, &second, &e), TG_E_IO);
    int fd = peer_new(), other = peer_new();
    say(fd, "x", 1);
    hears(fd, "x", 1);
    int64_t refused = lab_count("refused_closing");
    tg_listener_close(the_lab.listener);
    say(fd, "still here", 10); // as a stream's connection it outlives its listener
    hears(fd, "still here", 10);
    say(other, "x", 1); // newcomers are refused
    wait_for_count("refused_closing", refused + 1);
    lab_listen(&spec);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    int peers[30]; // open until the end: the port of one that is closed may come again
    for (int i = 0; i < 30; i++) {
        peers[i] = peer_new();
        say(peers[i], "x", 1);
        hears(peers[i], "x", 1);
    }
    say(fd, "anew", 4);
    hears(fd, "anew", 4);
    assert_int_equal(lab_get(&the_lab.opened), 32);
    for (int i = 0; i < 30; i++)
        close(peers[i]);
    close(fd);
    close(other);
    lab_stop();
}

static void a_stop_waits_for_the_last_answers(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = udp_spec();
    lab_listen(&spec);
    int fd = peer_new();
    say(fd, "x", 1);
    hears(fd, "x", 1);
    uint64_t from = lab_ms();
    tg_listener_close(the_lab.listener);
    the_lab.listener = NULL;
    tg_workers_stop(the_lab.ws, 300); // nobody closes it: the deadline does
    tg_workers_join(the_lab.ws);
    assert_true(lab_ms() - from >= 250);
    assert_int_equal(lab_get(&the_lab.closed), 1);
    assert_int_equal(the_lab.reason, TG_E_SHUTDOWN);
    tg_workers_free(the_lab.ws);
    the_lab.ws = NULL;
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_a_connection),
        cmocka_unit_test(a_datagram_is_shown_whole_whatever_its_size),
        cmocka_unit_test(both_families_answer_from_the_address_spoken_to),
        cmocka_unit_test(what_is_left_of_a_datagram_is_dropped),
        cmocka_unit_test(datagrams_wait_one_by_one_while_nobody_listens),
        cmocka_unit_test(what_all_peers_keep_is_bounded),
        cmocka_unit_test(what_is_kept_is_given_back),
        cmocka_unit_test(a_quiet_peer_is_forgotten),
        cmocka_unit_test(the_room_above_may_have_a_time_of_its_own),
        cmocka_unit_test(a_closed_peer_is_forgotten_after_its_last_answer),
        cmocka_unit_test(at_the_bound_the_quietest_stranger_makes_room),
        cmocka_unit_test(limits_hold_per_address_and_for_rates),
        cmocka_unit_test(a_flood_from_many_ports_stays_bounded),
        cmocka_unit_test(sends_past_the_bound_are_refused_and_told_of_later),
        cmocka_unit_test(an_address_gets_a_new_listener),
        cmocka_unit_test(a_stop_waits_for_the_last_answers),
    };
    return LAB_RUN(tests);
}
