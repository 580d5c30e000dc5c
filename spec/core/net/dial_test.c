// SPDX-License-Identifier: Apache-2.0
// Outgoing connections. The far end is a listener of the same workers, or a bare socket.
#include <semaphore.h>

#include "certs.h"
#include "net/worker_impl.h"

typedef struct dialing {
    tg_dial where;
    tg_net_limits limits;
    tg_net_conn *conn;
    int rc;
} dialing;

// The near end: counts as the far one does, but in its own places.
static struct {
    int opened, closed, data, reason;
    char got[32];
} near_end;

static int on_open(tg_net_conn *c, void *user)
{
    assert_int_equal(*(int *)user, 42);
    int rc = tg_net_send(c, TG_LIT("hello"));
    lab_add(&near_end.opened);
    return rc;
}

static int64_t on_data(tg_net_conn *c, void *user, tg_slice data)
{
    (void)c;
    (void)user;
    if (data.len < 5)
        return 0;
    memcpy(near_end.got, data.at, 5);
    lab_add(&near_end.data);
    return (int64_t)data.len;
}

static void on_close(tg_net_conn *c, void *user, int reason)
{
    (void)c;
    assert_int_equal(*(int *)user, 42);
    near_end.reason = reason;
    lab_add(&near_end.closed);
}

static void init(void *user, void *arg)
{
    *(int *)user = *(int *)arg;
}

static const tg_net_events events = {
    .user_size = 8, .on_open = on_open, .on_data = on_data, .on_close = on_close};

static void dial(tg_worker *w, void *ctx)
{
    (void)w;
    dialing *d = ctx;
    int mark = 42;
    d->where.size = sizeof(d->where);
    if (d->where.timeout_ms == 0) // a busy machine has its time
        d->where.timeout_ms = LAB_SECONDS * 1000;
    if (d->limits.handshake_ms == 0)
        d->limits.handshake_ms = LAB_SECONDS * 1000;
    int before = near_end.opened + near_end.closed;
    d->rc = tg_net_dial(&d->where, &events, &d->limits, init, &mark, &d->conn);
    assert_int_equal(near_end.opened + near_end.closed,
                     before); // not before it has returned
}

static void hang_up(tg_worker *w, void *ctx)
{
    (void)w;
    tg_net_close(((dialing *)ctx)->conn, TG_E_CANCELLED);
}

#define near_wait(what, n) assert_true(lab_reaches(&near_end.what, (n), LAB_SECONDS))

static void begin(void)
{
    memset(&near_end, 0, sizeof(near_end));
    lab_start(2);
}

static void a_name_is_dialed_and_the_peer_answers(void **state)
{
    (void)state;
    begin();
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    dialing d = {.where = {.host = TG_LIT("localhost"), .port = lab_port()}};
    lab_run(dial, &d);
    assert_int_equal(d.rc, 0);
    near_wait(data, 1);
    assert_memory_equal(near_end.got, "hello", 5);
    lab_run(hang_up, &d);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_CANCELLED);
    lab_wait(closed, 1);
    lab_stop();
}

static uint16_t free_port(int *fd)
{
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    assert_int_equal(bind(*fd, (struct sockaddr *)&a, len), 0);
    getsockname(*fd, (struct sockaddr *)&a, &len);
    return ntohs(a.sin_port);
}

static void a_refused_dial_says_so_once(void **state)
{
    (void)state;
    begin();
    int fd;
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"), .port = free_port(&fd)}};
    lab_run(dial, &d);
    assert_int_equal(d.rc, 0);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_REFUSED);
    assert_int_equal(near_end.opened, 0);
    close(fd);
    lab_stop();
    assert_int_equal(near_end.closed, 1);
}

static void a_name_that_is_none_is_a_resolve_error(void **state)
{
    (void)state;
    begin();
    dialing d = {.where = {.host = TG_LIT("no such name"), .port = 1}};
    lab_run(dial, &d);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_RESOLVE);
    dialing bad = {.where = {.host = TG_LIT(""), .port = 1}};
    lab_run(dial, &bad);
    assert_int_equal(bad.rc, TG_E_INVAL);
    lab_stop();
}

// Names that nobody resolves may hold all threads that do look-ups.

#define THREADS 4 // of libuv's pool

static sem_t names_resolve;

static void look_up_for_long(uv_work_t *req)
{
    (void)req;
    while (sem_wait(&names_resolve) != 0)
        ;
}

static void hold_the_threads(tg_worker *w, void *ctx)
{
    uv_work_t *held = ctx;
    for (int i = 0; i < THREADS; i++)
        uv_queue_work(&w->loop, &held[i], look_up_for_long, NULL);
}

static void an_address_is_dialed_while_no_name_is_resolved(void **state)
{
    (void)state;
    uv_work_t held[THREADS];
    sem_init(&names_resolve, 0, 0);
    begin();
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    lab_run(hold_the_threads, held);
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"), .port = lab_port()}};
    lab_run(dial, &d);
    bool answered = lab_reaches(&near_end.data, 1, LAB_SECONDS);
    for (int i = 0; i < THREADS; i++)
        sem_post(&names_resolve);
    assert_true(answered);
    lab_run(hang_up, &d);
    near_wait(closed, 1);
    lab_stop();
    sem_destroy(&names_resolve);
}

// A socket whose backlog is full answers no SYN.
static uint16_t silent_port(int fds[4])
{
    uint16_t port = free_port(&fds[0]);
    assert_int_equal(listen(fds[0], 0), 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 1; i < 4; i++) { // the first is in, and fills it
        fds[i] =
            socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (i > 1 ? SOCK_NONBLOCK : 0), 0);
        connect(fds[i], (struct sockaddr *)&a, sizeof(a));
    }
    return port;
}

static void a_peer_that_does_not_answer_times_out(void **state)
{
    (void)state;
    begin();
    int fds[4];
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"),
                           .port = silent_port(fds),
                           .timeout_ms = 120}};
    uint64_t from = lab_ms();
    lab_run(dial, &d);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_TIMEOUT);
    assert_in_range(lab_ms() - from, 110, 20000);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    lab_stop();
}

static int64_t retried(void)
{
    return tg_metric_sum(tg_metric_find("tidegate_net_dials_total", "result=\"retried\""));
}

static void a_dial_with_back_off_waits_for_its_peer(void **state)
{
    (void)state;
    begin();
    int64_t before = retried();
    int fd;
    uint16_t port = free_port(&fd);
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"),
                           .port = port,
                           .backoff_ms = 20,
                           .backoff_max_ms = 100}};
    lab_run(dial, &d);
    lab_until(retried() >= before + 3);
    assert_int_equal(near_end.closed, 0);
    assert_int_equal(listen(fd, 5), 0);
    near_wait(opened, 1);
    int peer = accept(fd, NULL, NULL);
    lab_expect(peer, "hello", 5);
    close(peer);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_CLOSED); // once open, it is for the room above
    close(fd);
    lab_stop();
}

static void a_dial_may_be_closed_at_any_moment(void **state)
{
    (void)state;
    begin();
    int fds[4], fd, n = 0;
    dialing silent = {.where = {.host = TG_LIT("127.0.0.1"), .port = silent_port(fds)}};
    lab_run(dial, &silent);
    lab_run(hang_up, &silent); // resolving, or connecting
    near_wait(closed, ++n);
    dialing refused = {.where = {.host = TG_LIT("127.0.0.1"),
                                 .port = free_port(&fd),
                                 .backoff_ms = 60000}};
    int64_t before = retried();
    lab_run(dial, &refused);
    lab_until(retried() > before);
    lab_run(hang_up, &refused); // in its pause
    near_wait(closed, ++n);
    assert_int_equal(near_end.reason, TG_E_CANCELLED);
    dialing last = refused;
    lab_run(dial, &last); // the host ends meanwhile
    close(fd);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    uint64_t from = lab_ms();
    lab_stop();
    assert_true(lab_ms() - from < 29000); // not in its pause of half a minute at least
    assert_int_equal(near_end.closed, 3);
    assert_int_equal(near_end.reason, TG_E_SHUTDOWN);
}

static void what_is_sent_early_leaves_when_it_is_open(tg_worker *w, void *ctx)
{
    dial(w, ctx);
    dialing *d = ctx;
    assert_int_equal(tg_net_send(d->conn, TG_LIT("early")), 0);
}

static void bytes_may_be_queued_before_it_is_open(void **state)
{
    (void)state;
    begin();
    int fd;
    uint16_t port = free_port(&fd);
    assert_int_equal(listen(fd, 5), 0);
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"), .port = port}};
    lab_run(what_is_sent_early_leaves_when_it_is_open, &d);
    int peer = accept(fd, NULL, NULL);
    lab_expect(peer, "earlyhello", 10);
    close(peer);
    near_wait(closed, 1);
    close(fd);
    lab_stop();
}

// TLS.

static void drop_nothing(void *owner)
{
    ++*(int *)owner;
}

static void say_in_datagrams(tg_worker *w, void *ctx)
{
    (void)w;
    static char big[65508];
    tg_net_conn *c = ((dialing *)ctx)->conn;
    tg_conn_info info;
    int released = 0;
    assert_int_equal(tg_net_send(c, TG_LIT("one")), 0);
    assert_int_equal(tg_net_send(c, TG_LIT("two!")), 0);
    const tg_slice tail = {big, 400}; // by reference, were it a stream
    assert_int_equal(tg_net_send_ref(c, TG_LIT("head"), tail, drop_nothing, &released), 0);
    assert_int_equal(released, 1);
    assert_int_equal(tg_net_send(c, (tg_slice){big, sizeof(big)}), TG_E_TOOBIG);
    tg_net_info(c, &info);
    assert_int_equal(info.transport, TG_UDP);
    assert_int_equal(info.outgoing, 1);
}

static void say_one(tg_worker *w, void *ctx)
{
    (void)w;
    assert_int_equal(tg_net_send(((dialing *)ctx)->conn, TG_LIT("more")), 0);
}

/// A datagram of `n` bytes comes. @return from where.
static struct sockaddr_in hear(int fd, ssize_t n)
{
    char got[1024];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    assert_int_equal(TEMP_FAILURE_RETRY(
                         recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len)),
                     n);
    return from;
}

static int datagram_peer(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct timeval most = {.tv_sec = LAB_SECONDS};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *port = ntohs(a.sin_port);
    return fd;
}

static void a_dial_over_datagrams_keeps_their_bounds(void **state)
{
    (void)state;
    begin();
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"), .udp = 1}};
    int fd = datagram_peer(&d.where.port);
    lab_run(dial, &d);
    struct sockaddr_in near = hear(fd, 5);
    lab_run(say_in_datagrams, &d);
    hear(fd, 3);
    hear(fd, 4);
    hear(fd, 404);

    // Half of something, and nothing: neither ends it or goes into the next one.
    const char *const said[] = {"abc", "", "world"};
    for (int i = 0; i < 3; i++)
        sendto(fd, said[i], strlen(said[i]), 0, (struct sockaddr *)&near, sizeof(near));
    near_wait(data, 1);
    assert_memory_equal(near_end.got, "world", 5);

    close(fd);
    lab_run(say_one, &d); // the kernel says that nobody listens
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_REFUSED);

    fd = datagram_peer(&d.where.port);
    lab_run(dial, &d);
    hear(fd, 5);
    lab_run(hang_up, &d);
    near_wait(closed, 2);
    assert_int_equal(near_end.reason, TG_E_CANCELLED);
    close(fd);

    d.where.tls = 1;
    lab_run(dial, &d);
    assert_int_equal(d.rc, TG_E_INVAL);
    lab_stop();
}

static void a_dial_over_tls_verifies_the_name(void **state)
{
    (void)state;
    begin();
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    const char *good[] = {"localhost", "127.0.0.1"};
    for (int i = 0; i < 2; i++) {
        dialing d = {.where = {.host = tg_str(good[i]),
                               .port = lab_port(),
                               .tls = 1,
                               .ca_file = tg_str(authority.cert_file)}};
        lab_run(dial, &d);
        near_wait(data, i + 1);
        lab_run(hang_up, &d);
        near_wait(closed, i + 1);
    }
    lab_wait(closed, 2);
    lab_stop();
}

static void an_untrusted_or_misnamed_peer_is_a_tls_error(void **state)
{
    (void)state;
    begin();
    cert wrong = cert_new("wrong", "elsewhere", &authority, "DNS:elsewhere");
    tg_listener_spec spec = certs_spec();
    spec.tls_spec.cert_file = tg_str(wrong.cert_file);
    spec.tls_spec.key_file = tg_str(wrong.key_file);
    lab_listen(&spec);
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"),
                           .port = lab_port(),
                           .tls = 1,
                           .ca_file = tg_str(authority.cert_file)}};
    lab_run(dial, &d); // the right authority, the wrong name
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_TLS);
    d.where.ca_file = tg_str(other_authority.cert_file);
    lab_run(dial, &d); // the wrong authority
    near_wait(closed, 2);
    assert_int_equal(near_end.reason, TG_E_TLS);
    d.where.ca_file = TG_LIT("");
    lab_run(dial, &d); // unknown to the system
    near_wait(closed, 3);
    assert_int_equal(near_end.reason, TG_E_TLS);
    assert_int_equal(near_end.opened, 0);
    d.where.insecure = 1;
    lab_run(dial, &d); // told not to look
    near_wait(data, 1);
    lab_run(hang_up, &d);
    near_wait(closed, 4);
    d.where.insecure = 0;
    d.where.ca_file = TG_LIT("/nowhere");
    lab_run(dial, &d);
    assert_int_equal(d.rc, TG_E_TLS);
    lab_stop();
    cert_free(&wrong);
}

static void a_dial_shows_its_certificate(void **state)
{
    (void)state;
    begin();
    tg_listener_spec spec = certs_spec();
    spec.tls_spec.verify_peer = true;
    spec.tls_spec.ca_file = tg_str(authority.cert_file);
    lab_listen(&spec);
    dialing d = {.where = {.host = TG_LIT("localhost"),
                           .port = lab_port(),
                           .tls = 1,
                           .ca_file = tg_str(authority.cert_file),
                           .cert_file = tg_str(client.cert_file),
                           .key_file = tg_str(client.key_file)}};
    lab_run(dial, &d);
    near_wait(data, 1);
    lab_run(hang_up, &d);
    near_wait(closed, 1);
    lab_wait(closed, 1);
    lab_stop();
}

static void a_tls_peer_that_is_silent_times_out(void **state)
{
    (void)state;
    begin();
    int fd;
    uint16_t port = free_port(&fd);
    assert_int_equal(listen(fd, 5), 0);
    dialing d = {
        .where = {.host = TG_LIT("127.0.0.1"), .port = port, .tls = 1, .insecure = 1},
        .limits = {.handshake_ms = 100}};
    lab_run(dial, &d);
    near_wait(closed, 1);
    assert_int_equal(near_end.reason, TG_E_TIMEOUT);
    close(fd);
    lab_stop();
}

static void a_peer_that_hangs_up_in_the_handshake_is_dialed_again(void **state)
{
    (void)state;
    begin();
    int fd;
    int on = 1;
    char bind[32];
    uint16_t port = free_port(&fd);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(listen(fd, 5), 0);
    dialing d = {.where = {.host = TG_LIT("127.0.0.1"),
                           .port = port,
                           .tls = 1,
                           .insecure = 1,
                           .backoff_ms = 20,
                           .backoff_max_ms = 50}};
    lab_run(dial, &d);
    int peer = accept(fd, NULL, NULL);
    close(fd);
    shutdown(peer, SHUT_WR);
    assert_true(lab_sees_fin(peer));
    close(peer);
    tg_listener_spec spec = certs_spec();
    snprintf(bind, sizeof(bind), "127.0.0.1:%u", port);
    spec.bind = tg_str(bind);
    lab_listen(&spec);
    near_wait(data, 1);
    lab_run(hang_up, &d);
    near_wait(closed, 1);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_dialed_and_the_peer_answers),
        cmocka_unit_test(a_refused_dial_says_so_once),
        cmocka_unit_test(a_name_that_is_none_is_a_resolve_error),
        cmocka_unit_test(an_address_is_dialed_while_no_name_is_resolved),
        cmocka_unit_test(a_peer_that_does_not_answer_times_out),
        cmocka_unit_test(a_dial_with_back_off_waits_for_its_peer),
        cmocka_unit_test(a_dial_may_be_closed_at_any_moment),
        cmocka_unit_test(bytes_may_be_queued_before_it_is_open),
        cmocka_unit_test(a_dial_over_datagrams_keeps_their_bounds),
        cmocka_unit_test(a_dial_over_tls_verifies_the_name),
        cmocka_unit_test(an_untrusted_or_misnamed_peer_is_a_tls_error),
        cmocka_unit_test(a_dial_shows_its_certificate),
        cmocka_unit_test(a_tls_peer_that_is_silent_times_out),
        cmocka_unit_test(a_peer_that_hangs_up_in_the_handshake_is_dialed_again),
    };
    return CERTS_RUN(tests);
}
