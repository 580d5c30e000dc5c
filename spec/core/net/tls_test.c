// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include "device.h"

static void bytes_come_back(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    static char block[100000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31 % 253);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(device_write(ssl, block, sizeof(block)), sizeof(block));
        device_expect(ssl, block, sizeof(block));
    }
    device_free(ssl);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    lab_stop();
}

static void both_versions_are_spoken_and_nothing_older(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION, TLS1_1_VERSION};
    for (int i = 0; i < 3; i++) {
        SSL_CTX *ctx = device_ctx(NULL);
        SSL_CTX_set_min_proto_version(ctx, TLS1_1_VERSION);
        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
        SSL *ssl = device_on(ctx);
        assert_int_equal(ssl != NULL, i < 2);
        if (ssl != NULL)
            device_free(ssl);
        SSL_CTX_free(ctx);
        lab_wait(closed, i + 1);
    }
    assert_int_equal(the_lab.reason, TG_E_TLS);
    lab_stop();
}

static int64_t on_burst(tg_net_conn *c, void *user, tg_slice data)
{
    (void)user;
    static char tail[1000];
    memset(tail, 't', sizeof(tail));
    for (int i = 0; i < 10; i++) {
        tg_net_send(c, TG_LIT("h"));
        tg_net_send_ref(c, TG_LIT("x"), (tg_slice){tail, sizeof(tail)},
                        (void (*)(void *))lab_add, &the_lab.released);
    }
    return (int64_t)data.len;
}

static void the_sends_of_a_turn_are_one_record(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    spec.events.on_data = on_burst;
    lab_listen(&spec);
    SSL *ssl = device(NULL); // has read the first byte of the burst
    assert_non_null(ssl);
    lab_wait(released, 10);
    char got[20000];
    assert_int_equal(device_read(ssl, got, sizeof(got)), 10 * 1002 - 1);
    device_free(ssl);
    lab_wait(closed, 1);
    lab_stop();
}

static void close_now(tg_worker *w, void *ctx)
{
    (void)w;
    (void)ctx;
    tg_net_send(the_lab.conn, TG_LIT("good-bye"));
    tg_net_close(the_lab.conn, TG_E_KICKED);
}

static void a_close_is_said_in_tls_first(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    lab_run(close_now, NULL);
    device_expect(ssl, "good-bye", 8);
    char c;
    int n = device_read(ssl, &c, 1);
    assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);
    device_free(ssl);
    lab_wait(closed, 1);
    lab_stop();
}

static void a_close_notify_is_a_close(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    SSL_shutdown(ssl);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    device_free(ssl);
    lab_stop();
}

static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    spec.limits.write_max = 32 << 20;
    lab_listen(&spec);
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    enum { BLOCKS = 80, BLOCK = 100000 };
    static char block[BLOCK];
    for (int i = 0; i < BLOCKS; i++) { // the echo of all of it waits for its reader
        memset(block, i, BLOCK);
        assert_int_equal(device_write(ssl, block, BLOCK), BLOCK);
    }
    for (int i = 0; i < BLOCKS; i++) {
        memset(block, i, BLOCK);
        device_expect(ssl, block, BLOCK);
    }
    device_free(ssl);
    lab_wait(closed, 1);
    lab_stop();
}

enum { PUSHED = 12 << 20 };

// Device with a small window: most of what is pushed has to wait on our side.
static SSL *narrow_device(void)
{
    SSL_CTX *ctx = device_ctx(NULL);
    SSL *ssl = SSL_new(ctx);
    int fd = lab_connect_narrow(lab_port(), 16 * 1024);
    assert_true(fd >= 0);
    SSL_set_fd(ssl, fd);
    assert_int_equal(device_connect(ssl), 1);
    SSL_CTX_free(ctx);
    lab_wait(opened, 1);
    return ssl;
}

enum { KEY_UPDATES = 400000 };

// Each asks us for an answer, and none is read: what waits to leave must have an end.
static void key_updates_that_nobody_reads_end_the_connection(void **state)
{
    (void)state;
    int n = 0;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = narrow_device();
    while (n < KEY_UPDATES && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
           device_shake(ssl) == 1)
        n++;
    assert_true(n < KEY_UPDATES);
    ERR_clear_error();
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_LIMIT);
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    lab_stop();
}

static void free_pushed(void *owner)
{
    free(owner);
    lab_add(&the_lab.released);
}

static void push(tg_worker *w, void *ctx)
{
    (void)w;
    char *all = malloc(PUSHED);
    for (size_t i = 0; i < PUSHED; i++)
        all[i] = (char)(i * 7 % 251);
    assert_int_equal(tg_net_send_ref(the_lab.conn, TG_LIT("head"), (tg_slice){all, PUSHED},
                                     free_pushed, all),
                     0);
    if (ctx != NULL)
        tg_net_close(the_lab.conn, 0);
}

static void expect_pushed(SSL *ssl)
{
    static char block[64 * 1024], got[64 * 1024];
    device_expect(ssl, "head", 4);
    for (size_t at = 0; at < PUSHED; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (char)((at + i) * 7 % 251);
        for (size_t have = 0; have < sizeof(got);) {
            int n = device_read(ssl, got + have, sizeof(got) - have);
            assert_true(n > 0);
            have += (size_t)n;
        }
        assert_memory_equal(got, block, sizeof(block));
    }
}

static void what_the_socket_does_not_take_waits(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = narrow_device();
    lab_run(push, NULL);
    assert_false(lab_reaches(&the_lab.released, 1, 0));
    expect_pushed(ssl);
    lab_wait(released, 1);
    assert_int_equal(device_write(ssl, "x", 1), 1);
    device_expect(ssl, "x", 1);
    device_free(ssl);
    lab_wait(closed, 1);
    lab_stop();
}

static void a_close_sends_all_of_it_and_says_so(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = narrow_device();
    lab_run(push, &the_lab);
    lab_wait(closed, 1);
    expect_pushed(ssl);
    char c;
    int n = device_read(ssl, &c, 1);
    assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);
    device_free(ssl);
    lab_stop();
    assert_int_equal(the_lab.released, 1);
}

static void a_reset_drops_what_waits(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = narrow_device();
    lab_run(push, NULL);
    struct linger now = {1, 0};
    setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    lab_wait(closed, 1);
    lab_wait(released, 1);
    lab_stop();
}

// Bytes that are no TLS, in the middle of it.
static void a_broken_record_ends_it(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL *ssl = device(NULL);
    assert_non_null(ssl);
    lab_send(SSL_get_fd(ssl), "\x17\x03\x03\x00\x20 thirty-two bytes, none encrypted ", 39);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TLS);
    assert_true(lab_sees_fin(SSL_get_fd(ssl)));
    device_free(ssl);
    lab_stop();
}

// Garbage, silence.

static void garbage_ends_one_connection(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    int64_t before = lab_count("closed_tls");
    int fd = lab_connect();
    lab_send(fd, "\x16\x03\x01\x00\x09\x01\x00\x00\x05hello", 14);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TLS);
    assert_int_equal(lab_count("closed_tls") - before, 1);
    assert_int_equal(the_lab.opened, 0);
    unsigned char alert[7];
    lab_take(fd, alert, sizeof(alert));
    assert_int_equal(alert[0], 21); // it is told why, and no reset takes that away
    lab_send(fd, "more", 4);
    assert_true(lab_sees_fin(fd));
    close(fd);
    int plain = lab_connect();
    lab_send(plain, "GET / HTTP/1.0\r\n\r\n", 18);
    assert_true(lab_sees_fin(plain));
    lab_wait(closed, 2);
    close(plain);
    lab_stop();
}

static void a_handshake_has_a_time_limit(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    spec.limits.handshake_ms = 100;
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "\x16\x03\x01", 3);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TIMEOUT);
    close(fd);
    lab_stop();
}

static void a_handshake_may_come_byte_by_byte(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL_CTX *ctx = device_ctx(NULL);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    int fd = lab_connect(), n;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
    while ((n = SSL_connect(ssl)) != 1) {
        char bytes[4096];
        assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_WANT_READ);
        int len = BIO_read(out, bytes, sizeof(bytes));
        for (int i = 0; i < len; i++)
            lab_send(fd, bytes + i, 1);
        ssize_t got = lab_recv(fd, bytes, sizeof(bytes));
        assert_true(got > 0);
        BIO_write(in, bytes, (int)got);
    }
    char bytes[4096];
    device_write(ssl, "?", 1);
    int len = BIO_read(out, bytes, sizeof(bytes));
    for (int i = 0; i < len; i++)
        lab_send(fd, bytes + i, 1);
    lab_wait(data, 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

// Certificates.

static long serial_of(SSL *ssl)
{
    X509 *x = SSL_get0_peer_certificate(ssl);
    return ASN1_INTEGER_get(X509_get_serialNumber(x));
}

static void a_certificate_is_replaced_without_a_restart(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = certs_spec();
    cert mine = cert_new("mine", "localhost", &authority, "DNS:localhost");
    spec.tls_spec.cert_file = tg_str(mine.cert_file);
    spec.tls_spec.key_file = tg_str(mine.key_file);
    lab_listen(&spec);
    SSL *old = device(NULL);
    assert_non_null(old);
    cert next = cert_new("mine", "localhost", &authority, "DNS:localhost");
    tg_error e = {0};
    assert_int_equal(tg_listener_reload_tls(the_lab.listener, &e), 0);
    SSL *fresh = device(NULL);
    assert_non_null(fresh);
    assert_true(serial_of(fresh) > serial_of(old));
    assert_int_equal(device_write(old, "still", 5), 5);
    device_expect(old, "still", 5);
    FILE *f = fopen(mine.cert_file, "w");
    fputs("nonsense", f);
    fclose(f);
    assert_int_equal(tg_listener_reload_tls(the_lab.listener, &e), TG_E_TLS);
    assert_non_null(strstr(e.message, mine.cert_file));
    SSL *third = device(NULL); // the good one stays
    assert_non_null(third);
    assert_int_equal(serial_of(third), serial_of(fresh));
    device_free(old);
    device_free(fresh);
    device_free(third);
    lab_wait(closed, 3);
    lab_stop();
    cert_free(&mine);
    X509_free(next.x509);
    EVP_PKEY_free(next.key);
}

static void errors_name_the_file_and_the_reason(void **state)
{
    (void)state;
    tg_tls *t = NULL;
    tg_error e = {0};
    tg_tls_spec s = {.server = true,
                     .cert_file = TG_LIT("/nowhere/cert.pem"),
                     .key_file = tg_str(server.key_file)};
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    assert_string_equal(e.message, "/nowhere/cert.pem: No such file or directory");
    s.cert_file = tg_str(server.cert_file);
    s.key_file = tg_str(client.key_file);
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    assert_non_null(strstr(e.message, client.key_file));
    assert_non_null(strstr(e.message, "not the key of the certificate"));
    s.key_file = tg_str(server.cert_file); // no key in it
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    assert_non_null(strstr(e.message, server.cert_file));
    s.key_file = tg_str(server.key_file);
    s.verify_peer = true;
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    s.ca_file = TG_LIT("/tmp");
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    assert_string_equal(e.message, "/tmp: not a file");
    s.ca_file = tg_str(authority.cert_file);
    s.ciphers = TG_LIT("no-such-cipher");
    assert_int_equal(tg_tls_new(&s, &t, &e), TG_E_TLS);
    assert_non_null(strstr(e.message, "no-such-cipher"));
    s.ciphers = TG_LIT("ECDHE+AESGCM");
    assert_int_equal(tg_tls_new(&s, &t, &e), 0);
    tg_tls_unref(t);
}

static void check_cn(tg_worker *w, void *ctx)
{
    (void)w;
    tg_conn_info i;
    tg_net_info(the_lab.conn, &i);
    assert_int_equal(i.transport, TG_TLS);
    assert_true(tg_slice_eq(i.cert_cn, tg_str(ctx)));
}

static void a_required_client_certificate_is_verified(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    spec.tls_spec.verify_peer = true;
    spec.tls_spec.ca_file = tg_str(authority.cert_file);
    lab_listen(&spec);
    SSL *good = device(&client);
    assert_non_null(good);
    lab_run(check_cn, (char[]){"meter-7"});
    assert_null(device(NULL));
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_TLS);
    assert_null(device(&stranger));
    lab_wait(closed, 2);
    assert_int_equal(the_lab.reason, TG_E_TLS);
    assert_int_equal(the_lab.opened, 1);
    device_free(good);
    lab_wait(closed, 3);
    lab_stop();
}

static void an_optional_client_certificate_may_be_missing_but_not_wrong(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    spec.tls_spec.optional_peer = true;
    spec.tls_spec.ca_file = tg_str(authority.cert_file);
    lab_listen(&spec);
    SSL *good = device(&client);
    assert_non_null(good);
    lab_run(check_cn, (char[]){"meter-7"});
    SSL *none = device(NULL);
    assert_non_null(none);
    lab_run(check_cn, (char[]){""});
    assert_null(device(&stranger));
    lab_wait(closed, 1);
    device_free(good);
    device_free(none);
    lab_wait(closed, 3);
    lab_stop();
}

static SSL_SESSION *the_session;

static int on_session(SSL *ssl, SSL_SESSION *s)
{
    (void)ssl;
    SSL_SESSION_free(the_session);
    the_session = s;
    return 1;
}

static SSL *resuming(SSL_CTX *ctx, bool *resumed)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, lab_connect());
    if (the_session != NULL)
        SSL_set_session(ssl, the_session);
    assert_int_equal(device_connect(ssl), 1);
    char c;
    assert_int_equal(device_write(ssl, "?", 1), 1);
    assert_int_equal(device_read(ssl, &c, 1), 1); // the ticket comes before it
    *resumed = SSL_session_reused(ssl);
    return ssl;
}

static void a_ticket_resumes_also_after_a_reload(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL_CTX *ctx = device_ctx(NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    bool resumed;
    device_free(resuming(ctx, &resumed));
    assert_false(resumed);
    device_free(resuming(ctx, &resumed));
    assert_true(resumed);
    tg_error e = {0};
    assert_int_equal(tg_listener_reload_tls(the_lab.listener, &e), 0);
    device_free(resuming(ctx, &resumed));
    assert_true(resumed);
    SSL_SESSION_free(the_session);
    the_session = NULL;
    SSL_CTX_free(ctx);
    lab_wait(closed, 3);
    lab_stop();
}

#define MANY 200

static void an_idle_session_holds_no_buffers(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = certs_spec();
    lab_listen(&spec);
    SSL_CTX *ctx = device_ctx(NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL *warm = device_on(ctx);
    assert_non_null(warm);
    static int fds[MANY];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < MANY; i++) {
        SSL *ssl = device_on(ctx);
        assert_non_null(ssl);
        fds[i] = SSL_get_fd(ssl);
        SSL_free(ssl); // the socket stays open: what is left is our side
    }
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks - before.uordblks) / MANY;
    print_message("# %zu bytes for an idle TLS connection\n", each);
#ifndef TG_SANITIZED
    assert_in_range(each, 1000, 30000);
#endif
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    device_free(warm);
    SSL_CTX_free(ctx);
    lab_wait(closed, MANY + 1);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(both_versions_are_spoken_and_nothing_older),
        cmocka_unit_test(the_sends_of_a_turn_are_one_record),
        cmocka_unit_test(a_close_is_said_in_tls_first),
        cmocka_unit_test(a_close_notify_is_a_close),
        cmocka_unit_test(key_updates_that_nobody_reads_end_the_connection),
        cmocka_unit_test(a_slow_reader_gets_everything),
        cmocka_unit_test(what_the_socket_does_not_take_waits),
        cmocka_unit_test(a_close_sends_all_of_it_and_says_so),
        cmocka_unit_test(a_reset_drops_what_waits),
        cmocka_unit_test(a_broken_record_ends_it),
        cmocka_unit_test(garbage_ends_one_connection),
        cmocka_unit_test(a_handshake_has_a_time_limit),
        cmocka_unit_test(a_handshake_may_come_byte_by_byte),
        cmocka_unit_test(a_certificate_is_replaced_without_a_restart),
        cmocka_unit_test(errors_name_the_file_and_the_reason),
        cmocka_unit_test(a_required_client_certificate_is_verified),
        cmocka_unit_test(an_optional_client_certificate_may_be_missing_but_not_wrong),
        cmocka_unit_test(a_ticket_resumes_also_after_a_reload),
        cmocka_unit_test(an_idle_session_holds_no_buffers),
    };
    return CERTS_RUN(tests);
}
