// SPDX-License-Identifier: Apache-2.0
/// A call of a plugin into the hub whose answer comes later. The record remembers which version
/// asked, so that its `done` runs as that version, and not at all when the version has ended.
#ifndef TG_PLUGIN_CALL_H
#define TG_PLUGIN_CALL_H

#include "plugin/version.h"

typedef struct tg_call {
    tg_list node; ///< in part.calls
    tg_version *self; ///< NULL once the version has ended
    uint64_t line; ///< handle of the connection it was for; 0 none
    union {
        tg_done_fn *done;
        tg_opened_fn *opened;
        tg_published_fn *published;
        void (*post)(void *ctx);
    };
    void *ctx;
    const char *name;
} tg_call;

/// On a worker, for the running version. NULL: out of memory.
tg_call *tg_call_new(const char *name, void *ctx);
void tg_call_free(tg_call *c);
/// The version ends: nothing of it is called any more.
void tg_calls_end_version(tg_version *v);
void tg_calls_close(tg_local *here);

/// As `done` for the host's side: calls the plugin's, then frees the record.
void tg_call_done(void *ctx, int code, const tg_value *value);

#endif
