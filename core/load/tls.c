// SPDX-License-Identifier: Apache-2.0
// TLS of the simulated clients. A crew has a context of its own, so that threads share nothing,
// and keeps the last ticket that a server gave to any of its peers.
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "load/engine.h"

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    tg_crew *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION_free(c->ticket);
    c->ticket = session;
    return 1; // the reference is ours now
}

static const char *last_error(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text != NULL ? text : "failed";
}

static int load_trust(SSL_CTX *ctx, const tg_load_options *o, tg_error *e)
{
    if (o->insecure) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (o->cafile == NULL ? SSL_CTX_set_default_verify_paths(ctx) == 1
                          : SSL_CTX_load_verify_locations(ctx, o->cafile, NULL) == 1)
        return 0;
    return tg_error_set(e, TG_E_TLS, "--cafile: '%s': %s",
                        o->cafile != NULL ? o->cafile : "", last_error());
}

static int load_identity(SSL_CTX *ctx, const tg_load_options *o, tg_error *e)
{
    if (o->cert == NULL)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1)
        return tg_error_set(e, TG_E_TLS, "--cert: '%s': %s", o->cert, last_error());
    const char *key = o->key != NULL ? o->key : o->cert;
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return tg_error_set(e, TG_E_TLS, "--key: '%s': %s", key, last_error());
    return 0;
}

int tg_tls_open(tg_crew *c, tg_error *e)
{
    SSL_CTX *ctx = c->o->tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    if (ctx == NULL)
        return c->o->tls ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
    SSL_CTX_set_app_data(ctx, c);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    if (c->o->tls_resume) {
        SSL_CTX_set_session_cache_mode(ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    }
    int rc = load_trust(ctx, c->o, e);
    if (rc == 0)
        rc = load_identity(ctx, c->o, e);
    if (rc != 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    c->tls = ctx;
    return 0;
}

void tg_tls_close(tg_crew *c)
{
    SSL_SESSION_free(c->ticket);
    SSL_CTX_free(c->tls);
    c->ticket = NULL;
    c->tls = NULL;
}

static bool expect_name(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

int tg_tls_begin(tg_crew *c, tg_peer *p)
{
    p->ssl = SSL_new(c->tls);
    if (p->ssl == NULL || !expect_name(p->ssl, c->o->host) ||
        SSL_set_fd(p->ssl, p->fd) != 1)
        return -ENOMEM;
    SSL_set_connect_state(p->ssl);
    if (c->ticket != NULL)
        SSL_set_session(p->ssl, c->ticket);
    return 0;
}

/// @return -EAGAIN; 0: the other side ended; -EPROTO.
static int outcome(const tg_peer *p, int rc, bool *write)
{
    int error = SSL_get_error(p->ssl, rc);
    *write = error == SSL_ERROR_WANT_WRITE;
    if (*write || error == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    return error == SSL_ERROR_SYSCALL && errno != 0 ? -errno : -EPROTO;
}

int tg_tls_handshake(tg_crew *c, tg_peer *p, bool *write)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(p->ssl);
    if (rc == 1) {
        c->tls_resumed += SSL_session_reused(p->ssl) == 1;
        return 1;
    }
    rc = outcome(p, rc, write);
    if (rc == -EAGAIN)
        return rc;
    long trust = SSL_get_verify_result(p->ssl);
    tg_crew_error(c, "TLS: %s",
                  trust != X509_V_OK ? X509_verify_cert_error_string(trust) : last_error());
    return -EPROTO;
}

ssize_t tg_peer_read(tg_peer *p, void *to, size_t n)
{
    if (p->ssl == NULL) {
        ssize_t got = read(p->fd, to, n);
        return got < 0 ? -errno : got;
    }
    bool write;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read(p->ssl, to, (int)n);
    return rc > 0 ? rc : outcome(p, rc, &write);
}

ssize_t tg_peer_write(tg_peer *p, const void *from, size_t n)
{
    if (p->ssl == NULL) {
        ssize_t sent = send(p->fd, from, n, MSG_NOSIGNAL);
        return sent < 0 ? -errno : sent;
    }
    bool write;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write(p->ssl, from, (int)n);
    if (rc > 0)
        return rc;
    rc = outcome(p, rc, &write);
    return rc == 0 ? -EPIPE : rc;
}
