// SPDX-License-Identifier: Apache-2.0
// RSA by its numbers: what is encrypted for a key is decrypted with it, block by block.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "codec/crypto.h"
#include "../../support/check.h"

typedef struct pems {
    char secret[4096], open[2048];
    size_t secret_len, open_len;
} pems;

static size_t take(BIO *bio, char *to, size_t room)
{
    int n = BIO_read(bio, to, (int)room);
    assert_true(n > 0);
    BIO_free(bio);
    return (size_t)n;
}

static pems make_key(void)
{
    pems p;
    EVP_PKEY *key = EVP_RSA_gen(1024);
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(a, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_PUBKEY(b, key), 1);
    p.secret_len = take(a, p.secret, sizeof(p.secret));
    p.open_len = take(b, p.open, sizeof(p.open));
    EVP_PKEY_free(key);
    return p;
}

static void numbers_are_those_of_both_halves(void **state)
{
    (void)state;
    pems p = make_key();
    tg_rsa_numbers a, b;
    assert_int_equal(tg_rsa_public((tg_slice){p.secret, p.secret_len}, &a), 0);
    assert_int_equal(tg_rsa_public((tg_slice){p.open, p.open_len}, &b), 0);
    assert_int_equal(a.len, 128);
    assert_int_equal(a.e, 65537);
    assert_memory_equal(a.n, b.n, 128);
    assert_int_equal(tg_rsa_public(TG_LIT("no key"), &a), TG_E_INVAL);
}

static void what_is_encrypted_comes_back(void **state)
{
    (void)state;
    pems p = make_key();
    tg_rsa_numbers k;
    char text[300];
    uint8_t packed[512], again[512 + TG_CRYPTO_ROOM];
    memset(text, 'x', sizeof(text));
    assert_int_equal(tg_rsa_public((tg_slice){p.secret, p.secret_len}, &k), 0);
    for (size_t n = 0; n <= sizeof(text); n += 39) {
        int len = tg_rsa_encrypt(&k, (tg_slice){text, n}, packed, sizeof(packed));
        assert_int_equal(len, (n + 116) / 117 * 128);
        int got = tg_decrypt("RSA", (tg_slice){p.secret, p.secret_len}, (tg_slice){0},
                             (tg_slice){(char *)packed, (size_t)len}, again);
        assert_int_equal(got, n);
        assert_memory_equal(again, text, n);
    }
}

static void numbers_that_are_no_key_are_refused(void **state)
{
    (void)state;
    uint8_t out[1024];
    tg_rsa_numbers k = {.len = 128, .e = 65537};
    assert_int_equal(tg_rsa_encrypt(&k, TG_LIT("x"), out, sizeof(out)), TG_E_INVAL);
    memset(k.n, 0xFF, 128);
    k.e = 2;
    assert_int_equal(tg_rsa_encrypt(&k, TG_LIT("x"), out, sizeof(out)), TG_E_INVAL);
    k.e = 65537;
    assert_int_equal(tg_rsa_encrypt(&k, TG_LIT("x"), out, 127), TG_E_INVAL);
    k.n[127] = 0xFE;
    assert_int_equal(tg_rsa_encrypt(&k, TG_LIT("x"), out, sizeof(out)), TG_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_both_halves),
        cmocka_unit_test(what_is_encrypted_comes_back),
        cmocka_unit_test(numbers_that_are_no_key_are_refused),
    };
    return RUN(tests);
}
