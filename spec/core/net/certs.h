// SPDX-License-Identifier: Apache-2.0
/// Certificates for the tests of TLS, made at run time: none of them can expire in the
/// tree.
#ifndef TG_SPEC_NET_CERTS_H
#define TG_SPEC_NET_CERTS_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lab.h"

typedef struct cert {
    X509 *x509;
    EVP_PKEY *key;
    char cert_file[128], key_file[128];
} cert;

static char certs_dir[64];

static LAB_UNUSED void cert_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
}

static LAB_UNUSED void cert_write(const cert *c)
{
    FILE *f = fopen(c->cert_file, "w");
    assert_non_null(f);
    PEM_write_X509(f, c->x509);
    fclose(f);
    f = fopen(c->key_file, "w");
    PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

/// @param by NULL: an authority of its own.
static LAB_UNUSED cert cert_new(const char *file, const char *cn, const cert *by,
                                const char *names)
{
    static int serial;
    cert c = {X509_new(), EVP_EC_gen("P-256"), "", ""};
    snprintf(c.cert_file, sizeof(c.cert_file), "%s/%s.pem", certs_dir, file);
    snprintf(c.key_file, sizeof(c.key_file), "%s/%s.key", certs_dir, file);
    X509 *issuer = by != NULL ? by->x509 : c.x509;
    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x509), "CN", MBSTRING_UTF8,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(c.x509, X509_get_subject_name(issuer));
    X509_set_pubkey(c.x509, c.key);
    cert_extend(c.x509, issuer, NID_basic_constraints,
                by != NULL ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names != NULL)
        cert_extend(c.x509, issuer, NID_subject_alt_name, names);
    assert_true(X509_sign(c.x509, by != NULL ? by->key : c.key, EVP_sha256()) > 0);
    cert_write(&c);
    return c;
}

static LAB_UNUSED void cert_free(cert *c)
{
    unlink(c->cert_file);
    unlink(c->key_file);
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

static cert authority, other_authority, server, client, stranger;

static LAB_UNUSED int certs_setup(void **state)
{
    strcpy(certs_dir, "/tmp/tidegate-certs-XXXXXX");
    assert_non_null(mkdtemp(certs_dir));
    authority = cert_new("ca", "Test CA", NULL, NULL);
    other_authority = cert_new("other", "Other CA", NULL, NULL);
    server = cert_new("server", "localhost", &authority, "DNS:localhost,IP:127.0.0.1");
    client = cert_new("client", "meter-7", &authority, NULL);
    stranger = cert_new("stranger", "meter-8", &other_authority, NULL);
    return lab_setup(state);
}

static LAB_UNUSED int certs_teardown(void **state)
{
    cert_free(&authority);
    cert_free(&other_authority);
    cert_free(&server);
    cert_free(&client);
    cert_free(&stranger);
    rmdir(certs_dir);
    return lab_teardown(state);
}

#define CERTS_RUN(tests) cmocka_run_group_tests(tests, certs_setup, certs_teardown)

static LAB_UNUSED tg_listener_spec certs_spec(void)
{
    tg_listener_spec spec = lab_spec();
    spec.tls = true;
    spec.limits.handshake_ms = LAB_SECONDS * 1000; // of a busy machine
    spec.tls_spec.cert_file = tg_str(server.cert_file);
    spec.tls_spec.key_file = tg_str(server.key_file);
    return spec;
}

#endif
