// SPDX-License-Identifier: Apache-2.0
/// The host's config: what etc/tidegate.lua says, checked and with its defaults.
#ifndef TG_HOST_CONFIG_H
#define TG_HOST_CONFIG_H

#include "base/log.h"
#include "base/options.h"
#include "plugin/runtime.h"

typedef struct tg_config_log {
    int64_t level, format; ///< tg_level, tg_log_format
    tg_slice file; ///< empty: stderr
    const tg_value *levels;
} tg_config_log;

typedef struct tg_config_admin {
    bool enabled;
    tg_slice bind, token_file;
    const tg_value *hosts; ///< a list, never NULL
    int64_t body_max, connections, stream_buffer;
} tg_config_admin;

typedef struct tg_config_limits {
    int64_t inflight, inflight_bytes, inflight_age_ms;
    int64_t queue_messages, queue_bytes, queue_age_ms, rx_inflight, subscriptions;
    int64_t retained_count, retained_bytes, session_expiry_ms, topic_levels, share;
    int64_t mailbox_bytes, kv_bytes, slow_callback_ms, descriptors;
    bool queue_qos0;
} tg_config_limits;

typedef struct tg_config_sys {
    int64_t interval_ms, readers; ///< tg_sys_readers
} tg_config_sys;

typedef struct tg_config_files {
    bool enabled;
    tg_slice path;
    int64_t max_bytes, total, device_bytes, device_files, max_age_ms, when_full;
} tg_config_files;

typedef struct tg_config {
    tg_arena arena;
    const char *file; ///< NULL: the built-in one
    tg_value root;
    int64_t workers, shutdown_ms;
    tg_slice state_dir, plugin_path;
    const tg_value *store; ///< an id, or {plugin = …, its options}; NULL: memory
    tg_config_log log;
    tg_config_admin admin;
    tg_config_limits limits;
    tg_config_sys sys;
    tg_config_files files;
    const tg_value *users, *listeners; ///< lists, never NULL
    const tg_value *auth; ///< a list; NULL: the users alone
    const tg_value *plugins;
} tg_config;

/// Reads and checks `file` (NULL: the built-in config: MQTT on 127.0.0.1:1883 and GT06 on
/// 127.0.0.1:5023, for everybody on this machine). `file` must outlive `out`.
int tg_config_read(const char *file, tg_config *out, tg_error *e);
void tg_config_free(tg_config *c);

/// One entry of `plugins`, from either of its forms.
typedef struct tg_config_plugin {
    const char *name; ///< or a path, with a '/'
    const tg_value *options;
    char where[96]; ///< for errors: "plugins.gt06"
} tg_config_plugin;
/// @return false behind the last one.
bool tg_config_plugin_at(tg_config *c, size_t i, tg_config_plugin *out);
/// The plugin that `store` names with its options, which is loaded before all others.
/// @return false: `store` names none.
bool tg_config_store_plugin(tg_config *c, tg_config_plugin *out);
/// What tg_runtime_config wants to know of `store`.
tg_slice tg_config_store_id(const tg_config *c);
/// Levels and modules of `log`, applied.
void tg_config_apply_log(const tg_config *c);
tg_hub_limits tg_config_hub_limits(const tg_config *c);
/// @param path of the folder; borrowed.
tg_files_config tg_config_files_of(const tg_config *c, const char *path);

/// Anyone beyond this machine gets in without credentials.
bool tg_config_is_open(const tg_value *listener);

/// The built-in config's tree (defaults.c).
extern const tg_value tg_config_builtin;

#endif
