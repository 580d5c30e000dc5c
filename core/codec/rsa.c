// SPDX-License-Identifier: Apache-2.0
// RSA by its numbers: protocols hand over a modulus and an exponent, never PEM.
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "codec/crypto.h"

static EVP_PKEY *read_any(tg_slice pem)
{
    EVP_PKEY *key = NULL;
    for (int secret = 1; secret >= 0 && key == NULL; secret--) {
        BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
        if (bio == NULL)
            return NULL;
        key = secret ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
                     : PEM_read_bio_PUBKEY(bio, NULL, NULL, (void *)"");
        BIO_free(bio);
    }
    return key;
}

static int numbers_of(EVP_PKEY *key, tg_rsa_numbers *out)
{
    BIGNUM *n = NULL, *e = NULL;
    int rc = TG_E_INVAL;
    if (EVP_PKEY_is_a(key, "RSA") &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) &&
        (size_t)BN_num_bytes(n) <= sizeof(out->n) && BN_num_bytes(e) <= 8) {
        out->len = (uint32_t)BN_bn2bin(n, out->n);
        out->e = BN_get_word(e);
        rc = 0;
    }
    BN_free(n);
    BN_free(e);
    return rc;
}

int tg_rsa_public(tg_slice pem, tg_rsa_numbers *out)
{
    EVP_PKEY *key = pem.len <= TG_CRYPTO_MAX ? read_any(pem) : NULL;
    int rc = key != NULL ? numbers_of(key, out) : TG_E_INVAL;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

// ---- encrypting -----------------------------------------------------------------------------

static EVP_PKEY *key_of(const tg_rsa_numbers *k)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *n = BN_bin2bn(k->n, (int)k->len, NULL), *e = BN_new();
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (n != NULL && e != NULL && b != NULL && ctx != NULL && BN_set_word(e, k->e) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) &&
        (params = OSSL_PARAM_BLD_to_param(b)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

static int encrypt_with(EVP_PKEY *key, tg_slice data, uint8_t *out, size_t room)
{
    size_t used = 0, block = (size_t)EVP_PKEY_get_size(key);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int rc = ctx != NULL && block > RSA_PKCS1_PADDING_SIZE &&
                     EVP_PKEY_encrypt_init(ctx) == 1 &&
                     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1
                 ? 0
                 : TG_E_INVAL;
    for (size_t at = 0; rc == 0 && at < data.len;) {
        size_t n = data.len - at, wrote = room - used;
        n = n < block - RSA_PKCS1_PADDING_SIZE ? n : block - RSA_PKCS1_PADDING_SIZE;
        if (wrote < block || EVP_PKEY_encrypt(ctx, out + used, &wrote,
                                              (const uint8_t *)data.at + at, n) != 1)
            rc = TG_E_INVAL;
        used += rc == 0 ? wrote : 0;
        at += n;
    }
    EVP_PKEY_CTX_free(ctx);
    return rc < 0 ? rc : (int)used;
}

int tg_rsa_encrypt(const tg_rsa_numbers *k, tg_slice data, uint8_t *out, size_t room)
{
    bool zero = true;
    for (uint32_t i = 0; i < k->len; i++)
        zero = zero && k->n[i] == 0;
    if (zero || k->len > sizeof(k->n) || k->e < 3 || k->e % 2 == 0 ||
        k->n[k->len - 1] % 2 == 0 || data.len > TG_CRYPTO_MAX)
        return TG_E_INVAL;
    EVP_PKEY *key = key_of(k);
    int rc = key != NULL ? encrypt_with(key, data, out, room) : TG_E_INVAL;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}
