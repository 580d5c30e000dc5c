// SPDX-License-Identifier: Apache-2.0
// Devices and the room above do everything at once, in an order drawn from a seed: connect,
// talk, half-close, reset, pause, resume, close each other, dial back. What must hold: each
// connection that was set up ends exactly once, each reference is released exactly once,
// and nothing is left.
#include <poll.h>
#include <stdatomic.h>

#include "certs.h"

#define DEVICES 48
#define STEPS 30000
#define PEERS 64 // of one worker, that callbacks know

static atomic_int asked, inits, opens, closes, refs, releases;
static atomic_ushort dial_port;

typedef struct mind { // the user bytes
    uint32_t magic;
    uint32_t seed;
    int ends;
} mind;

static _Thread_local tg_net_conn *peers[PEERS];

static uint32_t draw(uint32_t *seed)
{
    uint32_t x = *seed != 0 ? *seed : 1; // xorshift
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *seed = x;
    return x * 2654435761u >> 8;
}

static void release(void *owner)
{
    assert_ptr_equal(owner, &refs);
    atomic_fetch_add(&releases, 1);
}

static void remember(tg_net_conn *c)
{
    peers[(uintptr_t)c / 64 % PEERS] = c;
}

static tg_net_conn *some_peer(uint32_t n)
{
    return peers[n % PEERS];
}

static int on_open(tg_net_conn *c, void *user)
{
    mind *m = user;
    assert_int_equal(m->magic, 0xc0ffee);
    atomic_fetch_add(&opens, 1);
    remember(c);
    if (draw(&m->seed) % 8 == 0)
        tg_net_set_idle(c, 20);
    return draw(&m->seed) % 32 == 0 ? TG_E_DENIED : 0;
}

static void send_some(tg_net_conn *c, mind *m)
{
    static char tail[3000];
    size_t len = draw(&m->seed) % sizeof(tail);
    if (tg_net_send_ref(c, TG_LIT("head"), (tg_slice){tail, len}, release, &refs) == 0)
        atomic_fetch_add(&refs, 1);
    tg_net_send(c, (tg_slice){tail, len / 4});
}

static void on_close(tg_net_conn *c, void *user, int reason)
{
    mind *m = user;
    (void)reason;
    assert_int_equal(m->ends++, 0);
    atomic_fetch_add(&closes, 1);
    for (int i = 0; i < PEERS; i++)
        if (peers[i] == c)
            peers[i] = NULL;
    tg_net_conn *other = some_peer(draw(&m->seed));
    if (other != NULL && draw(&m->seed) % 16 == 0)
        tg_net_close(other, TG_E_TAKENOVER);
    if (other != NULL)
        send_some(other, m);
}

static int64_t on_data(tg_net_conn *c, void *user, tg_slice data);

static void on_idle(tg_net_conn *c, void *user)
{
    mind *m = user;
    tg_net_resume(c);
    if (draw(&m->seed) % 4 == 0)
        tg_net_close(c, TG_E_IDLE);
}

static void on_writable(tg_net_conn *c, void *user)
{
    send_some(c, user);
}

static const tg_net_events dial_events = {.user_size = sizeof(mind),
                                          .on_open = on_open,
                                          .on_data = on_data,
                                          .on_idle = on_idle,
                                          .on_writable = on_writable,
                                          .on_close = on_close};

static void set_up(void *user, void *arg)
{
    *(mind *)user = (mind){0xc0ffee, *(uint32_t *)arg, 0};
    atomic_fetch_add(&inits, 1);
}

static int on_init(tg_net_conn *c, void *user, void *arg)
{
    uint32_t seed = (uint32_t)atomic_fetch_add(&asked, 1) * 2654435761u;
    (void)arg;
    (void)c;
    if (draw(&seed) % 64 == 0)
        return TG_E_LIMIT;
    set_up(user, &seed);
    return 0;
}

static void dial_back(mind *m)
{
    tg_net_conn *c;
    uint32_t seed = draw(&m->seed);
    const tg_dial where = {.size = sizeof(where),
                           .host =
                               seed % 8 == 0 ? TG_LIT("no such name") : TG_LIT("127.0.0.1"),
                           .port = seed % 8 == 1 ? 1 : atomic_load(&dial_port),
                           .backoff_ms = seed % 8 == 2 ? 5 : 0,
                           .tls = 1,
                           .ca_file = tg_str(authority.cert_file)};
    const tg_net_limits limits = {.write_max = 20000};
    if (tg_net_dial(&where, &dial_events, &limits, set_up, &seed, &c) != 0)
        return;
    if (seed % 16 == 3)
        tg_net_close(c, TG_E_CANCELLED);
    else
        remember(c);
}

static int64_t on_data(tg_net_conn *c, void *user, tg_slice data)
{
    mind *m = user;
    size_t used = data.len - (draw(&m->seed) % 4 == 0 ? draw(&m->seed) % data.len : 0);
    tg_net_conn *other = some_peer(draw(&m->seed));
    switch (draw(&m->seed) % 24) {
    case 0:
        tg_net_close(c, TG_E_KICKED);
        break;
    case 1:
        return TG_E_MALFORMED;
    case 2:
        tg_net_pause(c);
        tg_net_set_idle(c, 15);
        break;
    case 3:
        if (other != NULL)
            tg_net_close(other, TG_E_TAKENOVER);
        break;
    case 4:
        if (other != NULL)
            tg_net_resume(other);
        break;
    case 5:
        if (atomic_load(&inits) - atomic_load(&closes) < 400)
            dial_back(m);
        break;
    case 6:
        tg_net_count_message(c);
        break;
    default:
        for (uint32_t n = draw(&m->seed) % 4; n > 0; n--)
            send_some(other != NULL && n == 2 ? other : c, m);
        break;
    }
    return (int64_t)used;
}

static void step(int *fd, uint16_t port, uint32_t *seed)
{
    char block[2000] = "chaos";
    switch (draw(seed) % 12) {
    case 0: {
        struct linger now = {1, 0};
        if (draw(seed) % 2 == 0)
            setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(*fd);
        *fd = lab_connect_to(port);
        assert_true(*fd >= 0);
        fcntl(*fd, F_SETFL, O_NONBLOCK);
        break;
    }
    case 1:
        shutdown(*fd, SHUT_WR);
        break;
    case 2:
    case 3:
    case 4:
        recv(*fd, block, draw(seed) % sizeof(block), MSG_DONTWAIT);
        break;
    default:
        send(*fd, block, 1 + draw(seed) % (sizeof(block) - 1), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    }
}

static void nothing(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
}

static void everything_at_once_ends_once(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec plain = lab_spec();
    plain.events = dial_events;
    plain.user_init = on_init;
    plain.limits = (tg_net_limits){.connections = 3000,
                                   .per_address = 2500,
                                   .bytes_rate = 200000,
                                   .messages_rate = 500,
                                   .first_frame_ms = 2000,
                                   .unread_max = 8000,
                                   .write_max = 30000,
                                   .write_stall_ms = 300};
    tg_listener_spec secure = certs_spec();
    secure.name = TG_LIT("secure");
    secure.events = dial_events;
    secure.user_init = on_init;
    secure.limits = plain.limits;
    tg_listener *other;
    tg_error e = {0};
    assert_int_equal(tg_listener_open(the_lab.ws, &secure, &other, &e), 0);
    atomic_store(&dial_port, (uint16_t)atoi(strrchr(tg_listener_address(other), ':') + 1));
    lab_listen(&plain);
    uint16_t port = lab_port();
    uint32_t seed = 20240711;
    int fds[DEVICES];
    for (int i = 0; i < DEVICES; i++) {
        fds[i] = lab_connect_to(port);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < STEPS; i++) {
        if (i % 16 == 0)
            lab_run(nothing, NULL); // the workers keep pace
        step(&fds[draw(&seed) % DEVICES], i % 16 == 0 ? atomic_load(&dial_port) : port,
             &seed);
    }
    for (int i = 0; i < DEVICES; i++)
        close(fds[i]);
    tg_listener_close(other);
    tg_listener_close(the_lab.listener);
    the_lab.listener = NULL;
    tg_workers_stop(the_lab.ws, 300);
    tg_workers_join(the_lab.ws);
    tg_workers_free(the_lab.ws);
    print_message("# %d connections, %d opened, %d references\n", inits, opens, refs);
    assert_int_equal(inits, closes);
    assert_int_equal(refs, releases);
    assert_true(opens > DEVICES);
    int gauge = tg_metric_find("tidegate_net_connections", "");
    assert_int_equal(tg_metric_sum(gauge), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once_ends_once),
    };
    return CERTS_RUN(tests);
}
