// SPDX-License-Identifier: Apache-2.0
/// Reading JSON (RFC 8259) with yajl, as events or as a value tree. Bounded: depth and size.
#ifndef TG_CODEC_JSON_READ_H
#define TG_CODEC_JSON_READ_H

#include "base/value.h"

#define TG_JSON_DEPTH 64
#define TG_JSON_VALUES 262144 ///< of a tree: each takes memory, whatever its text took

/// Each may return false to stop. Strings are borrowed.
typedef struct tg_json_events {
    bool (*nil)(void *ctx);
    bool (*boolean)(void *ctx, bool b);
    bool (*integer)(void *ctx, int64_t n);
    bool (*number)(void *ctx, double n);
    bool (*string)(void *ctx, tg_slice s);
    bool (*key)(void *ctx, tg_slice s);
    bool (*open)(void *ctx, bool map);
    bool (*close)(void *ctx, bool map);
} tg_json_events;

/// @return TG_E_MALFORMED with "byte 17: …" in `e`.
int tg_json_parse(tg_slice text, const tg_json_events *events, void *ctx, tg_error *e);
/// A tree in `arena`, of at most TG_JSON_VALUES values (TG_E_LIMIT).
int tg_json_read(tg_slice text, tg_arena *arena, tg_value *out, tg_error *e);

#endif
