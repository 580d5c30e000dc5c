// SPDX-License-Identifier: Apache-2.0
/// The runtime: workers, hub, plugins, listeners and the auth chain, wired to each other. What
/// the host builds from its config and what the admin API manages.
/// Unless said otherwise: control thread.
#ifndef TG_PLUGIN_RUNTIME_H
#define TG_PLUGIN_RUNTIME_H

#include "base/value.h"
#include "hub/hub.h"
#include "net/listener.h"
#include "plugin/files.h"
#include "tidegate/engine.h"

typedef struct tg_runtime tg_runtime;

#define TG_STORE_ANY "*" ///< the first store that a plugin offers

/// Whose sessions may subscribe to topics under $SYS.
typedef enum tg_sys_readers {
    TG_SYS_NOBODY,
    TG_SYS_ACL, ///< those whose list of filters has it
    TG_SYS_USERS, ///< those with a user name, where their list of filters allows it
    TG_SYS_ALL,
} tg_sys_readers;

typedef struct tg_runtime_config {
    uint32_t workers; ///< 0: one per core
    uint64_t mailbox_bytes; ///< data lane of a worker
    tg_hub_limits hub;
    const tg_value *users; ///< built-in users: list of {user, password, publish, subscribe}
    const tg_value *auth; ///< chain: list of backend ids, asked in order; "users" is ours
    tg_slice store; ///< id of the store, TG_STORE_ANY; empty: memory
    const char *plugin_path; ///< folders, ':' between
    const char *state_dir; ///< private copies of plugins, tokens; exists, mode 0700
    uint64_t kv_bytes; ///< of one plugin
    const tg_files_config *files; ///< NULL: none are kept
    uint32_t slow_callback_ms; ///< a longer callback is reported
    uint8_t sys_readers; ///< tg_sys_readers
} tg_runtime_config;

/// Checks built-in users as tg_runtime_new() does; any thread. `file` names them in errors.
int tg_users_check(const tg_value *list, const char *file, tg_error *e);
int tg_runtime_new(const tg_runtime_config *config, tg_runtime **out, tg_error *e);
int tg_runtime_start(tg_runtime *rt, tg_error *e); ///< after the static plugins were added
/// Stop accepting, tell clients (on_session_end with TG_E_SHUTDOWN), flush, wait `deadline_ms`
/// at most, end the workers.
void tg_runtime_stop(tg_runtime *rt, uint32_t deadline_ms);
void tg_runtime_free(tg_runtime *rt);

tg_workers *tg_runtime_workers(tg_runtime *rt); ///< any thread
tg_hub *tg_runtime_hub(tg_runtime *rt); ///< any thread
uint64_t tg_runtime_started(const tg_runtime *rt); ///< ms since the epoch
/// Whether a store was configured that no plugin has brought.
/// @return its id; NULL none is missing.
const char *tg_runtime_store_missing(const tg_runtime *rt);
/// Backends of the auth chain that no plugin has brought: who gets as far as one is refused.
/// @return the id of the `i`th; NULL behind the last.
const char *tg_runtime_auth_missing(tg_runtime *rt, size_t i);

// Plugins.

/// A plugin that is linked in (the Lua host). Before tg_runtime_start().
int tg_plugins_add_static(tg_runtime *rt, const tg_plugin *plugin, tg_error *e);
/// Loads the plugin `name` (found on the plugin path) or the path (it has a '/'), stages it on
/// all workers and takes it into service, or leaves nothing of it.
/// @param config its options, NULL none; file and where name them in errors.
int tg_plugins_load(tg_runtime *rt, const char *name, const tg_value *config,
                    const char *file, const char *where, tg_error *e);
/// Looks at the options of a plugin that is not loaded: its code is opened for its schema, and
/// of a script the main chunk runs, but nothing is registered or started.
/// @param opened false after an error: it was not found, or is no plugin.
int tg_plugins_check(tg_runtime *rt, const char *name, const tg_value *config,
                     const char *file, const char *where, bool *opened, tg_error *e);
/// Loads the newest content of plugin `id` from where it came from, stages it on all workers or
/// on none, gives it new connections; the old version drains. @return TG_E_NOTFOUND, TG_E_BUSY
/// (more than four versions are alive), or why the new version failed: then the running one
/// goes on untouched.
int tg_plugins_reload(tg_runtime *rt, const char *id, tg_error *e);

typedef enum tg_version_state {
    TG_VERSION_STAGED,
    TG_VERSION_LIVE,
    TG_VERSION_DRAINING,
    TG_VERSION_RETIRED,
} tg_version_state;

typedef struct tg_version_info {
    const char *plugin; ///< id
    const char *engine; ///< "c", "lua"
    const char *path;
    const char *version;
    const char *hash; ///< of the content
    const char *state; ///< "live", …
    uint32_t number; ///< counts the versions of this plugin, from 1
    uint32_t capabilities;
    uint64_t since; ///< ms since the epoch
    int64_t connections; ///< it serves now
    int64_t frames, errors; ///< so far
    const char *last_error; ///< "" none
} tg_version_info;
/// Every version that is not gone, plugins in the order of their loading.
void tg_plugins_each(tg_runtime *rt, void (*each)(void *ctx, const tg_version_info *i),
                     void *ctx);

// Listeners.

/// `spec` as in the config: {name, adapter, bind, tls, anonymous, limits, options}. Unknown
/// keys and a missing adapter are errors. @return 0 and the bound address in `address`.
int tg_listeners_open(tg_runtime *rt, const tg_value *spec, const char *file,
                      const char *where, char *address, size_t len, tg_error *e);
/// Checks `spec` and opens nothing; any thread.
int tg_listeners_check(const tg_value *spec, const char *file, const char *where,
                       tg_error *e);
/// The same, and that the certificates it names can be used.
int tg_listeners_check_files(const tg_value *spec, const char *file, const char *where,
                             tg_error *e);
int tg_listeners_close(tg_runtime *rt, const char *name);
/// SIGHUP: certificates are read again. @return how many failed (logged).
int tg_listeners_reload_tls(tg_runtime *rt);

typedef struct tg_listener_info {
    const char *name, *adapter, *address, *transport;
    uint32_t connections;
} tg_listener_info;
void tg_listeners_each(tg_runtime *rt, void (*each)(void *ctx, const tg_listener_info *i),
                       void *ctx);

/// Explains `bytes` with adapter `id`'s annotate. Any thread.
int tg_runtime_annotate(tg_runtime *rt, const char *adapter, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx,
                        tg_error *e);

#endif
