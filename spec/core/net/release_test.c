// SPDX-License-Identifier: Apache-2.0
// What was sent by reference is released in the middle of a flush, and the release may do what
// any callback may: send, also on other connections, and end them.
#include "device.h"
#include "net/conn_impl.h"

#define MUCH 900
#define MOST 1000 // of write_max: a second MUCH flushes the first one at once

static tg_net_conn *first, *second;
static char much[MUCH], tail[MOST];

static void fill(void)
{
    memset(much, 'b', sizeof(much));
    memset(tail, 'a', sizeof(tail));
}

static void send_to_second(void *owner)
{
    (void)owner;
    assert_int_equal(tg_net_send(second, (tg_slice){much, MUCH}), 0);
    assert_int_equal(tg_net_send(second, (tg_slice){much, MUCH}), 0);
    lab_add(&the_lab.released);
}

static void send_to_first(tg_worker *w, void *ctx)
{
    (void)w;
    assert_int_equal(tg_net_send_ref(first, TG_LIT("<"), (tg_slice){tail, MOST},
                                     (void (*)(void *))(uintptr_t)ctx, &the_lab),
                     0);
}

static SSL *secure_device(tg_net_conn **conn)
{
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    *conn = the_lab.conn;
    return ssl;
}

static void each_gets_its_own_ciphertext(void **state)
{
    (void)state;
    lab_start(1);
    fill();
    tg_listener_spec spec = certs_spec();
    spec.limits.write_max = MOST;
    lab_listen(&spec);
    SSL *a = secure_device(&first), *b = secure_device(&second);
    lab_run(send_to_first, (void *)(uintptr_t)send_to_second);
    lab_wait(released, 1);
    device_expect(a, "<", 1);
    device_expect(a, tail, MOST);
    device_expect(b, much, MUCH);
    device_expect(b, much, MUCH);
    device_free(a);
    device_free(b);
    lab_wait(closed, 2);
    lab_stop();
}

static void send_to_itself(void *owner)
{
    (void)owner;
    assert_int_equal(tg_net_send(first, (tg_slice){much, MUCH}), 0);
    lab_add(&the_lab.released);
}

static void it_may_send_on_its_own_connection(void **state)
{
    (void)state;
    lab_start(1);
    fill();
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *a = secure_device(&first);
    lab_run(send_to_first, (void *)(uintptr_t)send_to_itself);
    device_expect(a, "<", 1);
    device_expect(a, tail, MOST);
    device_expect(a, much, MUCH);
    device_free(a);
    lab_wait(closed, 1);
    lab_stop();
}

static void end_it(void *owner)
{
    (void)owner;
    tg_conn_abort(first, TG_E_KICKED);
    lab_add(&the_lab.released);
}

static void send_three(tg_worker *w, void *ctx)
{
    for (int i = 0; i < 3; i++)
        send_to_first(w, ctx);
}

static void it_may_end_its_own_connection(void **state)
{
    (void)state;
    for (int secure = 0; secure < 2; secure++) {
        lab_start(1);
        fill();
        tg_listener_spec spec = secure ? certs_spec() : lab_spec();
        lab_listen(&spec);
        SSL *a = secure ? secure_device(&first) : NULL;
        int fd = secure ? -1 : lab_connect();
        lab_wait(opened, 1);
        first = the_lab.conn;
        lab_run(send_three, (void *)(uintptr_t)end_it);
        lab_wait(closed, 1);
        lab_wait(released, 3); // those that had not left, too
        assert_int_equal(the_lab.reason, TG_E_KICKED);
        secure ? device_free(a) : (void)close(fd);
        lab_stop();
        assert_int_equal(the_lab.released, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_own_ciphertext),
        cmocka_unit_test(it_may_send_on_its_own_connection),
        cmocka_unit_test(it_may_end_its_own_connection),
    };
    return CERTS_RUN(tests);
}
