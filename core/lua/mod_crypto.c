// SPDX-License-Identifier: Apache-2.0
// tg.crypto: signatures and ciphers of device protocols. Pure, so that decode may use them.
#include <lauxlib.h>

#include "codec/crypto.h"
#include "lua/mod_util.h"

static int refuse(lua_State *L, int code, const char *why)
{
    tg_error e = {0};
    tg_error_set(&e, code, "%s", why);
    return tg_lua_fail(L, &e);
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

static int crypto_decrypt(lua_State *L) // (-0 +1..2): cipher, key, data, iv
{
    const char *name = luaL_checkstring(L, 1);
    tg_slice key = tg_lua_check_slice(L, 2), data = tg_lua_check_slice(L, 3), iv = {0};
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

int tg_lua_open_crypto(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"verify", crypto_verify}, {"decrypt", crypto_decrypt}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
