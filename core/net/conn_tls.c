// SPDX-License-Identifier: Apache-2.0
// TLS between a connection's socket and its room above. OpenSSL never sees the socket: it
// reads from the worker's read buffer and writes into the worker's cipher buffer, which is
// sent right after each call. So an idle session holds OpenSSL's own state and nothing of
// ours; only what the socket did not take is kept with the connection.
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/log.h"
#include "net/conn_impl.h"
#include "net/listener_impl.h"
#include "net/tls_impl.h"

#define RECORD 16384 // plaintext of the largest record
#define SEND_AT (48 * 1024) // ciphertext that is sent without waiting for more
#define PENDING_MAX (256 * 1024) // our own is far below: the rest are answers to the peer

struct tg_secure {
    SSL *ssl;
    const char *in; // what OpenSSL may read, borrowed from the worker's buffer
    size_t in_len;
    tg_buf pending; // ciphertext that the socket did not take
    char *cn; // of the verified peer; NULL none
};

// The BIO.

static int bio_write(BIO *b, const char *at, int len)
{
    tg_net_conn *c = BIO_get_data(b);
    tg_buf *out = &c->origin->worker->cipher;
    BIO_clear_retry_flags(b);
    tg_buf_put(out, at, (size_t)len);
    return out->failed ? -1 : len;
}

static int bio_read(BIO *b, char *to, int len)
{
    tg_net_conn *c = BIO_get_data(b);
    tg_secure *s = c->more->secure;
    BIO_clear_retry_flags(b);
    if (s->in_len == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t n = s->in_len < (size_t)len ? s->in_len : (size_t)len;
    memcpy(to, s->in, n);
    s->in += n;
    s->in_len -= n;
    return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

// One for all sessions of a worker, since it holds nothing between two calls: 208 bytes less
// for each. It is the end of a chain; what OpenSSL puts in front of it while it shakes hands,
// it takes away again.
static BIO *bio_of(tg_worker *w)
{
    if (w->bio != NULL)
        return w->bio;
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidegate");
    if (m == NULL)
        return NULL;
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    w->bio = BIO_new(m);
    if (w->bio == NULL)
        BIO_meth_free(m);
    else
        w->bio_method = m;
    return w->bio;
}

/// Before each call into OpenSSL that may read or write: whose bytes these are.
static SSL *ssl_of(tg_net_conn *c)
{
    BIO_set_data(c->origin->worker->bio, c);
    return c->more->secure->ssl;
}

// A session's life.

static int name_peer(SSL *ssl, const char *name, bool verify)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool is_ip = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    if (!is_ip && SSL_set_tlsext_host_name(ssl, name) != 1)
        return TG_E_TLS;
    if (!verify)
        return 0;
    if (is_ip)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : TG_E_TLS;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 ? 0 : TG_E_TLS;
}

static bool make_buffers(tg_worker *w)
{
    if (w->plain == NULL)
        w->plain = malloc(TG_READ_HEAD + TG_PLAIN_MAX);
    return w->plain != NULL;
}

int tg_secure_start(tg_net_conn *c, const char *name)
{
    tg_tls *tls = c->origin->tls;
    BIO *bio = bio_of(c->origin->worker);
    if (bio == NULL || !make_buffers(c->origin->worker))
        return TG_E_NOMEM;
    assert(c->more->secure == NULL);
    c->more->secure = calloc(1, sizeof(*c->more->secure));
    SSL *ssl = c->more->secure != NULL ? tg_tls_session(tls) : NULL;
    if (ssl == NULL || BIO_up_ref(bio) != 1) {
        SSL_free(ssl);
        free(c->more->secure);
        c->more->secure = NULL;
        return TG_E_NOMEM;
    }
    SSL_set_bio(ssl, bio, bio);
    c->more->secure->ssl = ssl;
    if (tg_tls_is_server(tls)) {
        SSL_set_accept_state(ssl);
        return 0;
    }
    SSL_set_connect_state(ssl);
    return name != NULL ? name_peer(ssl, name, tg_tls_verifies(tls)) : 0;
}

void tg_secure_free(tg_net_conn *c)
{
    tg_secure *s = c->more->secure;
    if (s == NULL)
        return;
    SSL_free(s->ssl);
    tg_buf_free(&s->pending);
    free(s->cn);
    free(s);
    c->more->secure = NULL;
}

size_t tg_secure_pending(const tg_net_conn *c)
{
    return c->more->secure != NULL ? c->more->secure->pending.len : 0;
}

tg_slice tg_secure_cn(const tg_net_conn *c)
{
    return c->more->secure != NULL ? tg_str(c->more->secure->cn) : (tg_slice){NULL, 0};
}

// Ciphertext out.

static ssize_t write_out(tg_net_conn *c, const tg_buf *b)
{
    struct iovec iov = {b->at, b->len};
    return tg_conn_write(c, &iov, 1);
}

static int send_pending(tg_net_conn *c)
{
    tg_buf *p = &c->more->secure->pending;
    if (p->len == 0 || c->blocked)
        return 0;
    ssize_t n = write_out(c, p);
    if (n < 0)
        return (int)n;
    tg_buf_drop(p, (size_t)n);
    if (p->len == 0)
        tg_buf_free(p);
    return 0;
}

// Sends what OpenSSL has written; keeps what the socket does not take.
static int send_cipher(tg_net_conn *c)
{
    tg_buf *out = &c->origin->worker->cipher, *p = &c->more->secure->pending;
    size_t done = 0;
    int rc = out->failed ? TG_E_NOMEM : 0;
    if (rc == 0 && out->len > 0 && p->len == 0 && !c->blocked) {
        ssize_t n = write_out(c, out);
        if (n < 0)
            rc = (int)n;
        else
            done = (size_t)n;
    }
    if (rc == 0 && done < out->len) {
        tg_buf_put(p, out->at + done, out->len - done);
        rc = p->failed ? TG_E_NOMEM : 0;
    }
    if (out->failed)
        tg_buf_free(out); // the mark goes with the memory
    tg_buf_clear(out);
    return rc;
}

/// One record of what waits, from `*done` on.
static int encrypt(tg_net_conn *c, size_t *done)
{
    char scratch[RECORD];
    tg_slice plain = tg_out_peek(c, *done, scratch, sizeof(scratch));
    ERR_clear_error();
    int n = SSL_write(ssl_of(c), plain.at, (int)plain.len);
    if (n <= 0)
        return TG_E_TLS;
    *done += (size_t)n;
    return 0;
}

// The ciphertext leaves before what it was made of is counted off: that releases payloads, and
// who owned them may send on another connection, by way of the same buffer.
static int send_some(tg_net_conn *c)
{
    size_t all = tg_out_bytes(c), done = 0;
    int rc = 0;
    while (rc == 0 && done < all && c->origin->worker->cipher.len < SEND_AT)
        rc = encrypt(c, &done);
    if (rc == 0)
        rc = send_cipher(c);
    if (rc == 0)
        tg_out_advance(c, done);
    return rc;
}

int tg_secure_flush(tg_net_conn *c)
{
    int rc = send_pending(c);
    bool may = c->state == TG_ST_OPEN || (c->state == TG_ST_DRAIN && !c->notified);
    assert(c->origin->worker->cipher.len == 0);
    while (rc == 0 && may && c->out != NULL && !c->blocked && c->fd >= 0)
        rc = send_some(c);
    if (rc != 0)
        tg_buf_clear(&c->origin->worker->cipher);
    return rc;
}

int tg_secure_notify(tg_net_conn *c)
{
    ERR_clear_error();
    SSL_shutdown(ssl_of(c));
    ERR_clear_error();
    return send_cipher(c);
}

// Handshake.

static const char *reason_text(const tg_net_conn *c)
{
    long verify = SSL_get_verify_result(c->more->secure->ssl);
    if (verify != X509_V_OK)
        return X509_verify_cert_error_string(verify);
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return why != NULL ? why : "connection closed";
}

static void fail(tg_net_conn *c)
{
    tg_conn_complain(c, TG_MOD_TLS, reason_text(c));
    ERR_clear_error();
    int rc = send_cipher(c);
    if (rc != 0)
        tg_conn_failed(c, rc);
    else
        tg_conn_tls_broken(c);
}

static void take_cn(tg_net_conn *c)
{
    SSL *ssl = c->more->secure->ssl;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || !tg_tls_verifies(c->origin->tls) ||
        SSL_get_verify_result(ssl) != X509_V_OK)
        return;
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    X509_NAME_ENTRY *entry = at >= 0 ? X509_NAME_get_entry(subject, at) : NULL;
    unsigned char *text = NULL;
    int len =
        entry != NULL ? ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry)) : -1;
    if (len > 0 && memchr(text, '\0', (size_t)len) == NULL)
        c->more->secure->cn = strndup((char *)text, (size_t)len);
    if (len >= 0)
        OPENSSL_free(text);
}

void tg_secure_handshake(tg_net_conn *c)
{
    SSL *ssl = ssl_of(c);
    ERR_clear_error();
    int n = SSL_do_handshake(ssl);
    if (n != 1 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ) {
        fail(c);
        return;
    }
    int rc = send_cipher(c);
    if (rc != 0) {
        tg_conn_failed(c, rc);
        return;
    }
    if (n != 1)
        return;
    take_cn(c);
    tg_conn_open(c);
}

// Ciphertext in.

// @return bytes of plaintext; the peer's close_notify in *over.
static ssize_t decrypt(tg_net_conn *c, bool *over)
{
    SSL *ssl = ssl_of(c);
    char *to = c->origin->worker->plain + TG_READ_HEAD;
    size_t got = 0;
    for (;;) {
        ERR_clear_error();
        int n = SSL_read(ssl, to + got, (int)(TG_PLAIN_MAX - got));
        if (n <= 0) {
            int why = SSL_get_error(ssl, n);
            *over = why == SSL_ERROR_ZERO_RETURN;
            return *over || why == SSL_ERROR_WANT_READ ? (ssize_t)got : TG_E_TLS;
        }
        got += (size_t)n;
    }
}

void tg_secure_read(tg_net_conn *c, char *at, size_t len)
{
    c->more->secure->in = at;
    c->more->secure->in_len = len;
    if (c->state == TG_ST_HANDSHAKE)
        tg_secure_handshake(c);
    if (c->state != TG_ST_OPEN)
        return;
    bool over = false;
    ssize_t got = decrypt(c, &over);
    if (got < 0) {
        fail(c);
        return;
    }
    int rc = send_cipher(c); // tickets, key updates
    if (rc == 0 && c->more->secure->pending.len > PENDING_MAX) {
        tg_conn_complain(c, TG_MOD_TLS, "it asks for new keys and takes no answers");
        rc = TG_E_LIMIT;
    }
    if (rc != 0)
        tg_conn_abort(c, rc);
    else if (got > 0)
        tg_conn_deliver(c, c->origin->worker->plain + TG_READ_HEAD, (size_t)got);
    if (over)
        tg_conn_hang_up(c);
}
