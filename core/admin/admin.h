// SPDX-License-Identifier: Apache-2.0
/// The admin API: REST over the runtime, served by libmicrohttpd on a thread of its own. It
/// never touches a worker's state: what a request wants of the runtime is run where it lives,
/// while the HTTP connection is suspended.
#ifndef TG_ADMIN_ADMIN_H
#define TG_ADMIN_ADMIN_H

#include "plugin/runtime.h"

typedef struct tg_admin tg_admin;

typedef struct tg_admin_config {
    tg_slice bind; ///< "127.0.0.1:18083", "[::1]:0"
    const char *token_file; ///< read, or made with mode 0600
    const tg_value *hosts; ///< list: names that may stand in a Host header; NULL none
    int64_t body_max; ///< bytes of a request's body
    int64_t connections; ///< at once
    int64_t stream_buffer; ///< bytes waiting for one reader of /subscribe
    const char *version; ///< of the host
    const char *config_file;
    const char *state_dir;
} tg_admin_config;

/// Control thread, after tg_runtime_start(). version, config_file and state_dir must live as
/// long as the API.
int tg_admin_start(tg_runtime *rt, const tg_admin_config *config, tg_admin **out,
                   tg_error *e);
/// Control thread, before tg_runtime_stop(): answers what is under way with 503, ends streams,
/// joins the thread.
void tg_admin_stop(tg_admin *a);
/// After tg_runtime_free(): until then mails may still hold requests.
void tg_admin_free(tg_admin *a);
/// "127.0.0.1:18083": as bound.
const char *tg_admin_address(const tg_admin *a);
/// Shown by /health until it is cleared: what did not come up. Control thread.
void tg_admin_set_problems(tg_admin *a, tg_slice text);

#endif
