// SPDX-License-Identifier: Apache-2.0
/// Signatures and ciphers of device protocols, by libcrypto. Pure: keys come with each call, as
/// PEM or as bytes, and are kept nowhere. Any thread.
#ifndef TG_CODEC_CRYPTO_H
#define TG_CODEC_CRYPTO_H

#include "tidegate/types.h"

#define TG_CRYPTO_MAX 65536 ///< bytes of a key, and of what is decrypted
#define TG_CRYPTO_ROOM 64 ///< that a cipher's output needs beyond its input
#define TG_SM2_ID "1234567812345678" ///< GM/T 0009: for users that agreed on none

typedef enum tg_signature {
    TG_SIGN_RSA_SHA256, ///< PKCS #1 v1.5
    TG_SIGN_ECDSA_SHA256, ///< r and s, one behind the other
    TG_SIGN_SM2_SM3, ///< r and s, one behind the other
} tg_signature;

/// @param id SM2's user id; other kinds do not look at it.
/// @return 1 the signature fits; 0 it does not; TG_E_INVAL: no public key in PEM;
///         TG_E_UNSUPPORTED: a key of another kind.
int tg_signature_verify(tg_signature kind, tg_slice pem, const char *id, tg_slice data,
                        tg_slice signature);

/// Decrypts with the cipher that OpenSSL calls `name` ("AES-128-CBC", "SM4-ECB", …), or with
/// "RSA": a private key in PEM, PKCS #1 v1.5, block by block of the key's size; or with "SM2":
/// a private key in PEM, the bytes as GM/T 0009's sequence or bare (04, x, y, hash, text).
/// @param out room for data.len + TG_CRYPTO_ROOM. @return bytes written; TG_E_INVAL: bytes,
///        key and cipher do not fit; TG_E_TOOBIG.
int tg_decrypt(const char *name, tg_slice key, tg_slice iv, tg_slice data, uint8_t *out);

/// The public numbers of an RSA key.
typedef struct tg_rsa_numbers {
    uint8_t n[512]; ///< the modulus, its first byte first
    uint32_t len; ///< of the modulus
    uint64_t e;
} tg_rsa_numbers;

/// Those of a key in PEM, private or public. @return 0; TG_E_INVAL: it is no RSA key of up to
/// 4096 bits.
int tg_rsa_public(tg_slice pem, tg_rsa_numbers *out);

/// Encrypts for the holder of the key, PKCS #1 v1.5, as many blocks as `data` needs.
/// @return bytes written to `out`, which has `room`; TG_E_INVAL: the numbers are no key, or
///         there is no room.
int tg_rsa_encrypt(const tg_rsa_numbers *key, tg_slice data, uint8_t *out, size_t room);

#endif
