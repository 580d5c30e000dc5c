// SPDX-License-Identifier: Apache-2.0
/// Keys shared by all workers, of one plugin, with expiry and a limit in bytes. Any thread.
#ifndef TG_PLUGIN_KV_H
#define TG_PLUGIN_KV_H

#include "tidegate/types.h"

typedef struct tg_kv tg_kv;

tg_kv *tg_kv_new(uint64_t bytes);
void tg_kv_free(tg_kv *kv);
/// @param now ms, monotonic. @param only_new TG_E_EXISTS when it is there.
int tg_kv_set(tg_kv *kv, tg_slice key, tg_slice value, uint32_t ttl_ms, uint64_t now,
              bool only_new);
int tg_kv_get(tg_kv *kv, tg_slice key, uint64_t now,
              void (*take)(void *ctx, tg_slice value), void *ctx);
int tg_kv_del(tg_kv *kv, tg_slice key, uint64_t now);
int tg_kv_incr(tg_kv *kv, tg_slice key, int64_t by, uint32_t ttl_ms, uint64_t now,
               int64_t *out);
uint64_t tg_kv_bytes(tg_kv *kv);

// Kept keys: their value, whatever it becomes, is to be in the host's store.

/// Who is told that a kept key has another value now or is gone. He may not come back from
/// there: one whose time is over goes under a lock.
void tg_kv_on_kept(tg_kv *kv, void (*fn)(void *ctx, tg_slice key), void *ctx);
/// From now on the key is kept. @return TG_E_NOTFOUND.
int tg_kv_keep(tg_kv *kv, tg_slice key, uint64_t now);
/// As tg_kv_get, of a kept key alone, with what is left of its time: 0 no expiry.
int tg_kv_get_left(tg_kv *kv, tg_slice key, uint64_t now,
                   void (*take)(void *ctx, tg_slice value), void *ctx, uint64_t *left_ms);
/// Puts back what the store had; it is kept, and nobody is told.
int tg_kv_restore(tg_kv *kv, tg_slice key, tg_slice value, uint64_t left_ms, uint64_t now);

#endif
