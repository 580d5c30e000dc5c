// SPDX-License-Identifier: Apache-2.0
/// A plugin without a host around it: no sockets, no other clients, a clock that stands
/// still until it is moved. What the script does is told as lines of JSON, one object each,
/// with an "event": "message", "send", "publish", "bind", "subscribe", "close", "ack",
/// "complain", "junk", "log", "driver", "auth". For `tidegate test`, `tidegate decode` and
/// specs. One at a time on a thread.
#ifndef TG_LUA_OFFLINE_H
#define TG_LUA_OFFLINE_H

#include "base/error.h"
#include "base/value.h"
#include "tidegate/adapter.h"

typedef struct tg_offline tg_offline;
typedef void tg_offline_emit(void *ctx, tg_slice line); ///< without a newline

typedef struct tg_offline_spec {
    const char *path; ///< folder or file of the plugin
    const tg_value *config; ///< a map; NULL: defaults
    const char *adapter; ///< which of its adapters; NULL: the first
    const char *deny; ///< a device that auth refuses; NULL none
    uint64_t clock; ///< ms since the epoch at the start
    tg_offline_emit *emit;
    void *ctx;
    /// Answers driver calls. NULL: every call is TG_E_NOTFOUND. @return TG_E_* or 0 and
    /// `out`, which is read before the next call.
    int (*driver)(void *ctx, tg_slice id, tg_slice method, const tg_value *args,
                  tg_value *out);
} tg_offline_spec;

int tg_offline_open(const tg_offline_spec *spec, tg_offline **out, tg_error *e);
void tg_offline_free(tg_offline *o);

/// A device connects. @return its number, from 1; TG_E_*.
int tg_offline_connect(tg_offline *o, const char *peer);
/// Bytes from the device, in any pieces.
int tg_offline_feed(tg_offline *o, int conn, tg_slice bytes);
/// A message for a device that is bound. @return TG_E_NOTFOUND: it is not; TG_E_FULL: kept,
/// and delivered when its handler is free.
int tg_offline_deliver(tg_offline *o, const char *device, tg_slice topic, tg_slice payload,
                       int qos);
/// Moves the clock; timers fire on the way.
void tg_offline_advance(tg_offline *o, uint32_t ms);
/// The device hangs up.
int tg_offline_hangup(tg_offline *o, int conn);
/// Memory of the script's state, bytes.
size_t tg_offline_memory(const tg_offline *o);

/// Explains `bytes` with the plugin at `path`. @param adapter NULL: its first.
int tg_offline_annotate(const char *path, const char *adapter, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx,
                        tg_error *e);

#endif
