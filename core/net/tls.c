// SPDX-License-Identifier: Apache-2.0
// TLS contexts. Reading the files again makes a new OpenSSL context beside the old one and
// swaps them under a lock that only handshakes take; connections hold a reference to the
// context that they began with.
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "net/tls_impl.h"

#define TLS_MAGIC 0x3a715c7fu
#define TICKET_KEYS 80 // bytes, OpenSSL's form

struct tg_tls {
    uint32_t magic;
    atomic_uint refs;
    pthread_mutex_t lock; // guards `ctx`
    SSL_CTX *ctx;
    bool server, verify_peer, optional_peer;
    uint8_t min_version;
    char *cert_file, *key_file, *ca_file, *ciphers; // NULL: not given
};

static tg_tls *check(tg_tls *t)
{
    assert(t != NULL && t->magic == TLS_MAGIC);
    return t;
}

/// OpenSSL's word for a reason, or ours where that would help nobody.
static const char *reason_of(unsigned long code)
{
    if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
        ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH)
        return "not the key of the certificate";
    if (ERR_GET_REASON(code) == ERR_R_PEM_LIB ||
        (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE))
        return "nothing in PEM form that serves here";
    return ERR_reason_error_string(code);
}

static int fail(tg_error *e, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = reason_of(code);
    if (why == NULL && ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    tg_error_set(e, TG_E_TLS, "%s: %s", what, why != NULL ? why : "unknown reason");
    ERR_clear_error();
    return TG_E_TLS;
}

// OpenSSL's queue names the last thing that it tried, which for a missing file is not the
// file.
static int readable(const char *file, tg_error *e)
{
    struct stat st;
    if (stat(file, &st) != 0)
        return tg_error_set(e, TG_E_TLS, "%s: %s", file, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tg_error_set(e, TG_E_TLS, "%s: not a file", file);
    return 0;
}

static int load_own(const tg_tls *t, SSL_CTX *ctx, tg_error *e)
{
    if (t->cert_file == NULL)
        return 0;
    const char *key = t->key_file != NULL ? t->key_file : t->cert_file;
    if (readable(t->cert_file, e) != 0 || readable(key, e) != 0)
        return TG_E_TLS;
    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert_file) != 1)
        return fail(e, t->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return fail(e, key);
    return SSL_CTX_check_private_key(ctx) == 1 ? 0 : fail(e, key);
}

static int load_trust(const tg_tls *t, SSL_CTX *ctx, tg_error *e)
{
    if (!t->verify_peer && !t->optional_peer)
        return 0;
    if (t->ca_file == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0
                                                          : fail(e, "system certificates");
    if (readable(t->ca_file, e) != 0)
        return TG_E_TLS;
    if (SSL_CTX_load_verify_locations(ctx, t->ca_file, NULL) != 1)
        return fail(e, t->ca_file);
    if (!t->server)
        return 0;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(t->ca_file);
    if (names == NULL)
        return fail(e, t->ca_file);
    SSL_CTX_set_client_CA_list(ctx, names); // takes them
    return 0;
}

static int set_ciphers(const tg_tls *t, SSL_CTX *ctx, tg_error *e)
{
    if (t->ciphers == NULL)
        return 0;
    // One list for both: names of TLS 1.3 begin with "TLS_".
    bool ok = strncmp(t->ciphers, "TLS_", 4) == 0
                  ? SSL_CTX_set_ciphersuites(ctx, t->ciphers) == 1
                  : SSL_CTX_set_cipher_list(ctx, t->ciphers) == 1;
    return ok ? 0 : fail(e, t->ciphers);
}

static void set_peer(const tg_tls *t, SSL_CTX *ctx)
{
    int mode = SSL_VERIFY_NONE;
    if (t->verify_peer)
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    else if (t->optional_peer)
        mode = SSL_VERIFY_PEER;
    SSL_CTX_set_verify(ctx, mode, NULL);
}

// Sessions are resumed by tickets alone: the server keeps nothing for a client that left.
static int set_up(const tg_tls *t, SSL_CTX *ctx, tg_error *e)
{
    static const unsigned char context[] = "tidegate";
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_min_proto_version(ctx,
                                  t->min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    set_peer(t, ctx);
    int rc = load_own(t, ctx, e);
    if (rc == 0)
        rc = load_trust(t, ctx, e);
    return rc != 0 ? rc : set_ciphers(t, ctx, e);
}

static SSL_CTX *make(const tg_tls *t, tg_error *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(t->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        fail(e, "TLS");
        return NULL;
    }
    if (set_up(t, ctx, e) == 0)
        return ctx;
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

static void destroy(tg_tls *t)
{
    SSL_CTX_free(t->ctx);
    pthread_mutex_destroy(&t->lock);
    free(t->cert_file);
    free(t->key_file);
    free(t->ca_file);
    free(t->ciphers);
    t->magic = 0;
    free(t);
}

static bool copy(tg_slice from, char **to)
{
    if (from.len == 0)
        return true;
    *to = strndup(from.at, from.len);
    return *to != NULL;
}

static int check_spec(const tg_tls_spec *s, tg_error *e)
{
    if (s->server && s->cert_file.len == 0)
        return tg_error_set(e, TG_E_TLS, "a TLS server needs a certificate");
    if (s->server && (s->verify_peer || s->optional_peer) && s->ca_file.len == 0)
        return tg_error_set(
            e, TG_E_TLS,
            "client certificates need the file of the authority that signs them");
    if (s->min_version != 0 && s->min_version != 12 && s->min_version != 13)
        return tg_error_set(e, TG_E_TLS, "TLS version %u is not 12 or 13", s->min_version);
    return 0;
}

int tg_tls_new(const tg_tls_spec *spec, tg_tls **out, tg_error *e)
{
    int rc = check_spec(spec, e);
    if (rc != 0)
        return rc;
    tg_tls *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return tg_error_set(e, TG_E_NOMEM, "TLS: out of memory");
    t->magic = TLS_MAGIC;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->server = spec->server;
    t->verify_peer = spec->verify_peer && !spec->optional_peer;
    t->optional_peer = spec->optional_peer;
    t->min_version = spec->min_version;
    if (!copy(spec->cert_file, &t->cert_file) || !copy(spec->key_file, &t->key_file) ||
        !copy(spec->ca_file, &t->ca_file) || !copy(spec->ciphers, &t->ciphers))
        rc = tg_error_set(e, TG_E_NOMEM, "TLS: out of memory");
    else if ((t->ctx = make(t, e)) == NULL)
        rc = TG_E_TLS;
    if (rc != 0) {
        destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

// A ticket of before the reload still resumes; but where clients show certificates it must
// not carry them past a changed authority.
static void keep_ticket_keys(const tg_tls *t, SSL_CTX *fresh)
{
    unsigned char keys[TICKET_KEYS];
    if (!t->server || t->verify_peer || t->optional_peer)
        return;
    if (SSL_CTX_get_tlsext_ticket_keys(t->ctx, keys, sizeof(keys)) == 1)
        SSL_CTX_set_tlsext_ticket_keys(fresh, keys, sizeof(keys));
    OPENSSL_cleanse(keys, sizeof(keys));
}

int tg_tls_reload(tg_tls *t, tg_error *e)
{
    SSL_CTX *fresh = make(check(t), e);
    if (fresh == NULL)
        return TG_E_TLS;
    pthread_mutex_lock(&t->lock);
    keep_ticket_keys(t, fresh);
    SSL_CTX *old = t->ctx;
    t->ctx = fresh;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);
    return 0;
}

void tg_tls_ref(tg_tls *t)
{
    atomic_fetch_add(&check(t)->refs, 1);
}

void tg_tls_unref(tg_tls *t)
{
    if (t != NULL && atomic_fetch_sub(&check(t)->refs, 1) == 1)
        destroy(t);
}

bool tg_tls_is_server(const tg_tls *t)
{
    return t->server;
}

bool tg_tls_verifies(const tg_tls *t)
{
    return t->verify_peer || t->optional_peer;
}

SSL *tg_tls_session(tg_tls *t)
{
    pthread_mutex_lock(&check(t)->lock);
    SSL *ssl = SSL_new(t->ctx);
    pthread_mutex_unlock(&t->lock);
    return ssl;
}
