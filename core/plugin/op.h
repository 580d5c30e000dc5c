// SPDX-License-Identifier: Apache-2.0
/// Ops: one thing under way that is completed exactly once, from any thread, or cancelled by the
/// worker that made it. Its `done` runs on that worker, never inside the call that made it.
#ifndef TG_PLUGIN_OP_H
#define TG_PLUGIN_OP_H

#include "plugin/version.h"

int tg_ops_open(tg_local *here); ///< on the worker
/// Cancels what is open and waits for completions on their way from other threads.
void tg_ops_close(tg_local *here);

/// Who has a part in an op: both wait for it before they stop.
typedef struct tg_op_spec {
    tg_done_fn *done;
    void *ctx;
    tg_version *owner; ///< whose `done` it is; NULL the host's own
    tg_version *provider; ///< who will complete it; NULL the host
    uint32_t timeout_ms; ///< completed with TG_E_TIMEOUT then; 0 never
    const char *callback; ///< names `done` to the watchdog
} tg_op_spec;

/// On a worker. @return {0} when out of memory.
tg_op tg_op_new(const tg_op_spec *spec);
/// Any thread: see tg_host.complete.
int tg_op_complete(tg_op op, int code, const tg_value *value);
/// On its worker: `done` is not called any more. @return TG_E_CLOSED when it was.
int tg_op_cancel(tg_op op);
/// On a worker: ends the ops in which `v` has a part: its own without a word, those that it
/// should complete with TG_E_RELOADED.
void tg_ops_end_version(tg_version *v);
/// Runs the completions made on this thread. @return there were some.
bool tg_ops_turn(tg_local *here);
bool tg_ops_waiting(const tg_local *here); ///< some were made since

#endif
