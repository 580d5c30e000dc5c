// SPDX-License-Identifier: Apache-2.0
/// A device that speaks TLS: OpenSSL on a blocking socket.
#ifndef TG_SPEC_NET_DEVICE_H
#define TG_SPEC_NET_DEVICE_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certs.h"

static LAB_UNUSED SSL_CTX *device_ctx(const cert *own)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(ctx, authority.cert_file, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (own != NULL) {
        SSL_CTX_use_certificate(ctx, own->x509);
        SSL_CTX_use_PrivateKey(ctx, own->key);
    }
    return ctx;
}

// As the lab's calls: made again when the process was stopped in the middle.

static LAB_UNUSED bool device_again(SSL *ssl, int rc)
{
    if (rc > 0 || errno != EINTR)
        return false;
    int why = SSL_get_error(ssl, rc);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static LAB_UNUSED int device_read(SSL *ssl, void *at, size_t len)
{
    int n;
    do
        n = SSL_read(ssl, at, (int)len);
    while (device_again(ssl, n));
    return n;
}

static LAB_UNUSED int device_write(SSL *ssl, const void *at, size_t len)
{
    int n;
    do
        n = SSL_write(ssl, at, (int)len);
    while (device_again(ssl, n));
    return n;
}

static LAB_UNUSED int device_shake(SSL *ssl)
{
    int rc;
    do
        rc = SSL_do_handshake(ssl);
    while (device_again(ssl, rc));
    return rc;
}

static LAB_UNUSED int device_connect(SSL *ssl)
{
    SSL_set_connect_state(ssl);
    return device_shake(ssl);
}

/// @return NULL when the handshake, or the first answer, did not work out.
static LAB_UNUSED SSL *device_on(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, lab_connect());
    SSL_set_tlsext_host_name(ssl, "localhost");
    char c;
    if (device_connect(ssl) == 1 && device_write(ssl, "?", 1) == 1 &&
        device_read(ssl, &c, 1) == 1)
        return ssl;
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

static LAB_UNUSED SSL *device(const cert *own)
{
    SSL_CTX *ctx = device_ctx(own);
    SSL *ssl = device_on(ctx);
    SSL_CTX_free(ctx);
    return ssl;
}

static LAB_UNUSED void device_free(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_shutdown(ssl); // else OpenSSL does not resume its session
    SSL_free(ssl);
    close(fd);
}

static LAB_UNUSED void device_expect(SSL *ssl, const char *want, size_t len)
{
    char *got = malloc(len);
    size_t have = 0;
    while (have < len) {
        int n = device_read(ssl, got + have, len - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, want, len);
    free(got);
}

#endif
