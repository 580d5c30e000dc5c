// SPDX-License-Identifier: Apache-2.0
/// What a script declares: adapters with their frames, and auth backends. Read once from
/// the tables given to tg.adapter{} and tg.auth{}; shared by the states of all workers.
#ifndef TG_LUA_DECLARE_H
#define TG_LUA_DECLARE_H

#include "base/options.h"
#include "base/template.h"
#include "codec/frame.h"

typedef enum tg_order { TG_ORDER_CONNECTION, TG_ORDER_DEVICE } tg_order;

typedef struct tg_adapter_decl {
    const char *id, *version;
    uint32_t transports; ///< tg_transport bits
    int64_t state_version;
    int64_t order; ///< tg_order
    int64_t sessions_many; ///< 1: a link of a platform, which outlives its sessions
    int64_t expiry_ms; ///< of sessions, where bind() does not say
    uint32_t nframes; ///< 0: raw
    tg_frame *frames;
    tg_framer *framer; ///< NULL raw
    tg_value config; ///< schema: a map, or nil
    tg_template topic, down; ///< down.count 0: none is subscribed
    const char *const *commands; ///< NULL-ended; NULL none
} tg_adapter_decl;

/// Reads the table of a tg.adapter{}. Everything kept is in `arena`, but the framer.
int tg_adapter_declare(const tg_value *options, tg_arena *arena, tg_adapter_decl *out,
                       tg_error *e);
void tg_adapter_decl_free(tg_adapter_decl *d);

typedef struct tg_auth_decl {
    const char *id, *version;
    tg_value config;
} tg_auth_decl;

int tg_auth_declare(const tg_value *options, tg_arena *arena, tg_auth_decl *out,
                    tg_error *e);

/// Reads `frame`: a table, a list of tables, or "raw". @return *n 0 for raw.
int tg_frames_declare(const tg_value *v, tg_arena *arena, tg_frame **out, uint32_t *n,
                      tg_error *e);

#endif
