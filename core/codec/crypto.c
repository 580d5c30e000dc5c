// SPDX-License-Identifier: Apache-2.0
// What does not fit is an answer, never an error of the program: bytes and keys are the peer's
// or the config's. OpenSSL's queue of errors is emptied, so that nobody else reads ours.
#include "codec/crypto.h"

#include <openssl/asn1.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static EVP_PKEY *read_key(tg_slice pem, bool secret)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = secret ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
                           : PEM_read_bio_PUBKEY(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    return key;
}

// ---- signatures ---------------------------------------------------------------------------

/// r and s, one behind the other, as DER. @return its length; 0: they are no numbers
static int der_of(tg_slice rs, uint8_t **der)
{
    const uint8_t *at = (const uint8_t *)rs.at;
    int half = (int)(rs.len / 2);
    if (rs.len == 0 || rs.len % 2 != 0 || rs.len > 256)
        return 0;
    BIGNUM *r = BN_bin2bn(at, half, NULL), *s = BN_bin2bn(at + half, half, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }
    *der = NULL;
    int len = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig); // r and s are its own
    return len > 0 ? len : 0;
}

/// @return 1 it fits; 0 it does not; -1 it cannot be asked
static int verified(EVP_PKEY *key, const EVP_MD *md, const char *id, tg_slice data,
                    const uint8_t *sig, size_t len)
{
    int rc = -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx == NULL || pctx == NULL)
        goto done;
    if (id != NULL && EVP_PKEY_CTX_set1_id(pctx, id, strlen(id)) <= 0)
        goto done;
    EVP_MD_CTX_set_pkey_ctx(ctx, pctx);
    if (EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1)
        rc = EVP_DigestVerify(ctx, sig, len, (const uint8_t *)data.at, data.len) == 1;
done:
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_CTX_free(pctx);
    return rc;
}

static int verify_with(EVP_PKEY *key, tg_signature kind, const char *id, tg_slice data,
                       tg_slice sig)
{
    static const char *const types[] = {"RSA", "EC", "SM2"};
    if (!EVP_PKEY_is_a(key, types[kind]))
        return -1;
    if (kind == TG_SIGN_RSA_SHA256)
        return verified(key, EVP_sha256(), NULL, data, (const uint8_t *)sig.at, sig.len);
    uint8_t *der = NULL;
    int len = der_of(sig, &der);
    if (len == 0)
        return 0;
    bool sm2 = kind == TG_SIGN_SM2_SM3;
    int rc = verified(key, sm2 ? EVP_sm3() : EVP_sha256(), sm2 ? id : NULL, data, der,
                      (size_t)len);
    OPENSSL_free(der);
    return rc;
}

int tg_signature_verify(tg_signature kind, tg_slice pem, const char *id, tg_slice data,
                        tg_slice signature)
{
    EVP_PKEY *key = pem.len <= TG_CRYPTO_MAX ? read_key(pem, false) : NULL;
    int rc = key == NULL ? TG_E_INVAL : verify_with(key, kind, id, data, signature);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc == -1 ? TG_E_UNSUPPORTED : rc;
}

// ---- ciphers ------------------------------------------------------------------------------

/// @return bytes of `out`, which has room for data and a block more; -1
static int symmetric(const char *name, tg_slice key, tg_slice iv, tg_slice data,
                     uint8_t *out)
{
    int n = -1, head = 0, tail = 0;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (cipher == NULL || ctx == NULL || EVP_CIPHER_get_block_size(cipher) > 32 ||
        (size_t)EVP_CIPHER_get_key_length(cipher) != key.len ||
        (size_t)EVP_CIPHER_get_iv_length(cipher) != iv.len)
        goto done;
    if (EVP_DecryptInit_ex2(ctx, cipher, (const uint8_t *)key.at, (const uint8_t *)iv.at,
                            NULL) == 1 &&
        EVP_DecryptUpdate(ctx, out, &head, (const uint8_t *)data.at, (int)data.len) == 1 &&
        EVP_DecryptFinal_ex(ctx, out + head, &tail) == 1)
        n = head + tail;
done:
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return n;
}

/// Block by block of the key's size, padded as PKCS #1 v1.5 says. @return as symmetric()
static int rsa(tg_slice pem, tg_slice data, uint8_t *out)
{
    int n = -1;
    size_t used = 0;
    EVP_PKEY *key = read_key(pem, true);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    size_t block = key != NULL ? (size_t)EVP_PKEY_get_size(key) : 0;
    if (ctx == NULL || !EVP_PKEY_is_a(key, "RSA") || block == 0 || data.len % block != 0 ||
        EVP_PKEY_decrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1)
        goto done;
    for (size_t at = 0; at < data.len; at += block) {
        size_t room = data.len - used;
        if (EVP_PKEY_decrypt(ctx, out + used, &room, (const uint8_t *)data.at + at,
                             block) != 1)
            goto done;
        used += room;
    }
    n = (int)used;
done:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return n;
}

// ---- SM2 ----------------------------------------------------------------------------------

#define SM2_NUMBER 32
#define SM2_HEAD (1 + 3 * SM2_NUMBER) // 04, x, y and the hash, as devices send them

static bool push(STACK_OF(ASN1_TYPE) * parts, int type, void *value)
{
    ASN1_TYPE *part = value != NULL ? ASN1_TYPE_new() : NULL;
    if (part == NULL || sk_ASN1_TYPE_push(parts, part) <= 0) {
        ASN1_TYPE_free(part);
        ASN1_STRING_free(value); // INTEGER and OCTET STRING are such
        return false;
    }
    ASN1_TYPE_set(part, type, value);
    return true;
}

static ASN1_INTEGER *integer(const uint8_t *at)
{
    BIGNUM *n = BN_bin2bn(at, SM2_NUMBER, NULL);
    ASN1_INTEGER *out = n != NULL ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    BN_free(n);
    return out;
}

static ASN1_OCTET_STRING *octets(const uint8_t *at, size_t len)
{
    ASN1_OCTET_STRING *out = ASN1_OCTET_STRING_new();
    if (out != NULL && ASN1_OCTET_STRING_set(out, at, (int)len) != 1) {
        ASN1_OCTET_STRING_free(out);
        out = NULL;
    }
    return out;
}

/// Bare point, hash and text (GB/T 32918.4: C1 C3 C2) as the sequence of GM/T 0009.
static int sm2_sequence(tg_slice bare, uint8_t **der)
{
    const uint8_t *at = (const uint8_t *)bare.at;
    STACK_OF(ASN1_TYPE) *parts = sk_ASN1_TYPE_new_null();
    int len = -1;
    if (parts != NULL && push(parts, V_ASN1_INTEGER, integer(at + 1)) &&
        push(parts, V_ASN1_INTEGER, integer(at + 1 + SM2_NUMBER)) &&
        push(parts, V_ASN1_OCTET_STRING, octets(at + 1 + 2 * SM2_NUMBER, SM2_NUMBER)) &&
        push(parts, V_ASN1_OCTET_STRING, octets(at + SM2_HEAD, bare.len - SM2_HEAD)))
        len = i2d_ASN1_SEQUENCE_ANY(parts, der);
    sk_ASN1_TYPE_pop_free(parts, ASN1_TYPE_free);
    return len;
}

/// @return as symmetric()
static int sm2(tg_slice pem, tg_slice data, uint8_t *out)
{
    int n = -1;
    uint8_t *der = NULL;
    size_t room = data.len + TG_CRYPTO_ROOM;
    tg_slice secret = data;
    EVP_PKEY *key = read_key(pem, true);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    if (ctx == NULL || !EVP_PKEY_is_a(key, "SM2") || EVP_PKEY_decrypt_init(ctx) != 1)
        goto done;
    if (data.len > SM2_HEAD && data.at[0] == 4) {
        int len = sm2_sequence(data, &der);
        if (len <= 0)
            goto done;
        secret = (tg_slice){(const char *)der, (size_t)len};
    }
    if (EVP_PKEY_decrypt(ctx, out, &room, (const uint8_t *)secret.at, secret.len) == 1)
        n = (int)room;
done:
    OPENSSL_free(der);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return n;
}

static int decrypt(const char *name, tg_slice key, tg_slice iv, tg_slice data, uint8_t *out)
{
    if (strcmp(name, "RSA") == 0)
        return rsa(key, data, out);
    if (strcmp(name, "SM2") == 0)
        return sm2(key, data, out);
    return symmetric(name, key, iv, data, out);
}

int tg_decrypt(const char *name, tg_slice key, tg_slice iv, tg_slice data, uint8_t *out)
{
    if (data.len > TG_CRYPTO_MAX || key.len > TG_CRYPTO_MAX)
        return TG_E_TOOBIG;
    int n = decrypt(name, key, iv, data, out);
    ERR_clear_error();
    return n < 0 ? TG_E_INVAL : n;
}
