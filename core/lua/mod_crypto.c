// SPDX-License-Identifier: Apache-2.0
// tg.crypto: signatures and ciphers of device protocols. Pure, so that decode may use them;
// only random bytes are not, and are for handlers.
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/random.h>

#include "codec/crypto.h"
#include "lua/mod_util.h"
#include "lua/value.h"
#include "lua/vm.h"

static int refuse(lua_State *L, int code, const char *why)
{
    tg_error e = {0};
    tg_error_set(&e, code, "%s", why);
    return tg_lua_fail(L, &e);
}

/// A key may be one of the config's secrets.
static tg_slice check_key(lua_State *L, int index)
{
    tg_slice key;
    return tg_lua_is_secret(L, index, &key) ? key : tg_lua_check_slice(L, index);
}

static int crypto_verify(lua_State *L) // (-0 +1..2): kind, public key, data, signature, id
{
    static const char *const kinds[] = {"rsa-sha256", "ecdsa-sha256", "sm2", NULL};
    int kind = luaL_checkoption(L, 1, NULL, kinds);
    tg_slice pem = tg_lua_check_slice(L, 2), data = tg_lua_check_slice(L, 3);
    tg_slice signature = tg_lua_check_slice(L, 4);
    const char *id = luaL_optstring(L, 5, TG_SM2_ID);
    int rc = tg_signature_verify((tg_signature)kind, pem, id, data, signature);
    if (rc < 0)
        return refuse(L, TG_E_INVAL,
                      rc == TG_E_INVAL ? "no public key in PEM"
                                       : "the key is of another kind");
    lua_pushboolean(L, rc);
    return 1;
}

/// For protocols that want a password in a frame: who calls it sees to it that it goes nowhere
/// else.
static int crypto_reveal(lua_State *L) // (-0 +1): secret or string
{
    tg_slice text = check_key(L, 1);
    lua_pushlstring(L, text.at != NULL ? text.at : "", text.len);
    return 1;
}

static int crypto_decrypt(lua_State *L) // (-0 +1..2): cipher, key, data, iv
{
    const char *name = luaL_checkstring(L, 1);
    tg_slice key = check_key(L, 2), data = tg_lua_check_slice(L, 3), iv = {0};
    if (!lua_isnoneornil(L, 4))
        iv = tg_lua_check_slice(L, 4);
    if (data.len > TG_CRYPTO_MAX)
        return refuse(L, TG_E_INVAL, "more than 64 KiB");
    uint8_t *out = lua_newuserdatauv(L, data.len + TG_CRYPTO_ROOM, 0);
    int n = tg_decrypt(name, key, iv, data, out);
    if (n < 0)
        return refuse(L, TG_E_INVAL, "the bytes and the key do not fit");
    lua_pushlstring(L, (const char *)out, (size_t)n);
    return 1;
}

static int crypto_public_key(lua_State *L) // (-0 +2): key
{
    tg_rsa_numbers k;
    if (tg_rsa_public(check_key(L, 1), &k) < 0)
        return refuse(L, TG_E_INVAL, "no RSA key in PEM");
    lua_pushlstring(L, (const char *)k.n, k.len);
    lua_pushinteger(L, (lua_Integer)k.e);
    return 2;
}

static int crypto_rsa_encrypt(lua_State *L) // (-0 +1..2): modulus, exponent, data
{
    tg_slice n = tg_lua_check_slice(L, 1), data = tg_lua_check_slice(L, 3);
    tg_rsa_numbers k = {.len = (uint32_t)n.len, .e = (uint64_t)luaL_checkinteger(L, 2)};
    if (n.len > sizeof(k.n) || n.len <= 11 || data.len > TG_CRYPTO_MAX)
        return refuse(L, TG_E_INVAL, "no modulus, or more than 64 KiB");
    memcpy(k.n, n.at, n.len);
    size_t room = (data.len / (n.len - 11) + 1) * n.len;
    uint8_t *out = lua_newuserdatauv(L, room, 0);
    int got = tg_rsa_encrypt(&k, data, out, room);
    if (got < 0)
        return refuse(L, TG_E_INVAL, "the numbers are no RSA key");
    lua_pushlstring(L, (const char *)out, (size_t)got);
    return 1;
}

#define RANDOM_MAX 256 // so many come in one piece, whatever signals come

static int crypto_random(lua_State *L) // (-0 +1): how many bytes
{
    char bytes[RANDOM_MAX];
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= RANDOM_MAX, 1, "1 to 256 bytes");
    tg_lua_check_effects(L, "tg.crypto.random");
    if (getrandom(bytes, (size_t)n, 0) != (ssize_t)n)
        return luaL_error(L, "tg.crypto.random: %s", strerror(errno));
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

int tg_lua_open_crypto(lua_State *L)
{
    static const luaL_Reg functions[] = {{"verify", crypto_verify},
                                         {"decrypt", crypto_decrypt},
                                         {"public_key", crypto_public_key},
                                         {"rsa_encrypt", crypto_rsa_encrypt},
                                         {"reveal", crypto_reveal},
                                         {"random", crypto_random},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
