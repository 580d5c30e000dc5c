// SPDX-License-Identifier: Apache-2.0
/// SHA-256 (FIPS 180-4), for the content hash of plugins: the same on every machine and in
/// every release, which the keyed hash of base is not meant to be.
#ifndef TG_LUA_DIGEST_H
#define TG_LUA_DIGEST_H

#include "tidegate/types.h"

typedef struct tg_digest {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} tg_digest;

void tg_digest_init(tg_digest *d);
void tg_digest_add(tg_digest *d, tg_slice bytes);
void tg_digest_hex(tg_digest *d, char out[65]); ///< ends it

#endif
