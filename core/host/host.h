// SPDX-License-Identifier: Apache-2.0
/// The running host: what run.c puts together, greet.c announces and rehash.c changes.
#ifndef TG_HOST_HOST_H
#define TG_HOST_HOST_H

#include <uv.h>

#include "admin/admin.h"
#include "admin/sys.h"
#include "host/config.h"
#include "host/paths.h"

typedef struct tg_the_host {
    const char *config_file; ///< NULL: built in
    tg_config config;
    char state[TG_PATH_LEN], plugins[TG_PATH_LEN], token_file[TG_PATH_LEN],
        files[TG_PATH_LEN];
    int lock_fd; ///< held while the state folder is ours; -1 none
    int log_fd; ///< -1: stderr
    tg_runtime *rt;
    tg_admin *admin; ///< NULL: not enabled
    tg_sys *sys; ///< NULL: not wanted
    uv_signal_t term, interrupt, hangup;
    unsigned handles; ///< of those, not closed yet
    tg_buf problems; ///< what did not come up, for /health
    tg_buf left_out; ///< names of the plugins among it, each with a NUL behind it
    tg_buf unchanged; ///< so are these: listeners that a rehash could not change
} tg_the_host;

/// Loads a plugin; one that fails is named, left out, and tried again by the next rehash.
bool tg_host_load_plugin(tg_the_host *h, const tg_config_plugin *p);
/// @return `name` is one of `names`, each with a NUL behind it.
bool tg_host_has_name(const tg_buf *names, const char *name);
/// Opens listener `spec`, the config's `i`th. A listener whose adapter is missing, because its
/// plugin failed, is named and left out. @return 0 or why the host cannot start.
int tg_host_open_listener(tg_the_host *h, const tg_value *spec, size_t i, tg_error *e);
/// Names backends of `auth` that no plugin has brought.
void tg_host_check_auth(tg_the_host *h);
/// Puts `problems` where /health finds them.
void tg_host_tell_problems(tg_the_host *h);
void tg_host_open_log(tg_the_host *h);

/// Addresses and what to try next on a terminal; else the ready line, one line of JSON. Tells
/// the service manager, too.
void tg_host_greet(const tg_the_host *h);
/// sd_notify(3): a datagram to $NOTIFY_SOCKET; nothing when there is none.
void tg_host_notify(const char *text);

/// SIGHUP: reads the config again and changes what can change: levels, the log file,
/// certificates, listeners, new plugins. Says what needs a restart.
void tg_host_rehash(tg_the_host *h);

#endif
