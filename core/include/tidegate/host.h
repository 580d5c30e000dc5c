// SPDX-License-Identifier: Apache-2.0
/// A plugin and its host. The plugin exports one data object, `tg_plugin_v1`, which the host
/// reads from the file with an ELF reader before a line of the plugin has run; so the identity
/// part holds no pointers. Tables and structs only grow at the end: what was built for 1.0
/// loads in 1.9.
#ifndef TIDEGATE_HOST_H
#define TIDEGATE_HOST_H

#include "adapter.h"
#include "auth.h"
#include "files.h"
#include "runtime.h"
#include "session.h"
#include "spool.h"
#include "store.h"

/// The major changes when what was built before no longer works. The minor counts additions:
/// each that a plugin may ask for raises it, and all tables have it in common. 1.1: drivers'
/// labelled metrics and cells, commands, damaged frames, on_shutdown, guards of frames, spools,
/// files, kept keys, stores that are read in pages, a session's granted expiry. 1.2: QoS 2 that
/// comes once through a crash (publish_once, sync), refusals of one QoS, on_away.
#define TG_ABI_MAJOR 1
#define TG_ABI_MINOR 3
#define TG_PLUGIN_MAGIC "TIDEGATE"
#define TG_LUA_VERSION 504 ///< LUA_VERSION_NUM of the scripts' Lua

typedef enum tg_level { TG_LOG_ERROR, TG_LOG_WARN, TG_LOG_INFO, TG_LOG_DEBUG } tg_level;

/// One loaded version of a plugin, as the host knows it.
typedef struct tg_self tg_self;

typedef struct tg_host {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    uint32_t workers;

    /// realloc's rules; `size` 0 frees. Any thread. @return NULL when out of memory.
    void *(*alloc)(void *at, size_t size);
    /// Any thread. The line carries plugin, version and worker.
    void (*log)(tg_self *self, tg_level level, tg_slice text);
    /// Explains the error that the running load/start/reconfigure callback is about to return.
    void (*set_error)(tg_self *self, tg_slice text);

    /// @return the table `name` of at least major.minor of the ABI, or NULL. What is newer than
    /// the minor asked for is there if `size` of the table reaches so far. Names: "msg", "conn",
    /// "listen", "frame", "session", "auth", "timer", "poll", "work", "kv", "metric",
    /// "register", "engine", "spool", "files".
    const void *(*query)(const char *name, uint16_t major, uint16_t minor);

    /// The only way in from a thread that is not the host's: runs `fn` on `worker`.
    /// @return TG_E_SHUTDOWN; TG_E_INVAL for a worker that is not there.
    int (*post)(tg_self *self, uint32_t worker, void (*fn)(void *ctx), void *ctx);

    /// Completes `op`, from any thread; `value` is copied when it has to cross one.
    /// @return TG_E_CLOSED when it was completed before or nobody waits any more.
    int (*complete)(tg_op op, int code, const tg_value *value);

    /// @return the worker that the calling thread is, or UINT32_MAX.
    uint32_t (*worker)(void);

    /// The validated config of this version: a map, defaults filled in. Until `unload`.
    const tg_value *(*config)(tg_self *self);
} tg_host;

/// Registration, from load() only. The host keeps the list and undoes it if load() fails.
/// What is registered must stay valid until `destroy(arg)` is called; `destroy` may be NULL.
typedef struct tg_register_api {
    uint32_t size;
    int (*adapter)(tg_self *self, const tg_adapter *a, void (*destroy)(void *arg),
                   void *arg);
    int (*auth)(tg_self *self, const tg_auth_backend *b, void (*destroy)(void *arg),
                void *arg);
    int (*store)(tg_self *self, const tg_store *s, void (*destroy)(void *arg), void *arg);
    int (*driver)(tg_self *self, const tg_driver *d, void (*destroy)(void *arg), void *arg);
} tg_register_api;

typedef enum tg_capability {
    TG_CAP_ADAPTER = 1 << 0,
    TG_CAP_AUTH = 1 << 1,
    TG_CAP_TRIGGER = 1 << 2,
    TG_CAP_DRIVER = 1 << 3,
    TG_CAP_STORE = 1 << 4,
} tg_capability;

enum { TG_PLUGIN_UNMAP_SAFE = 1 << 0 }; ///< no thread, no atexit: dlclose() is harmless

typedef struct tg_sink { ///< takes bytes; used by the save callbacks
    void *ctx;
    int (*put)(void *ctx, tg_slice bytes);
} tg_sink;

/// The callbacks of a version. All but `load` may be NULL.
typedef struct tg_lifecycle {
    /// Control thread, once. Registers what the version offers.
    int (*load)(const tg_host *host, tg_self *self);
    /// On each worker, before the first connection. One failure stops the version everywhere.
    int (*start)(uint32_t worker);
    /// Control thread: a new valid config; a refusal keeps the old one.
    int (*reconfigure)(const tg_value *config);
    /// On each worker: a newer version takes new connections, this one serves its own on.
    void (*drain)(uint32_t worker);
    /// On each worker, after its last connection there: undo `start`.
    void (*stop)(uint32_t worker);
    /// Control thread, once, last.
    void (*unload)(void);

    /// Optional, at a frame boundary: the connection's state as bytes tagged with
    /// `state_schema`, and back in a newer version. A refusal leaves the connection where it is.
    int (*conn_save)(tg_conn c, void *state, const tg_sink *out);
    int (*conn_restore)(tg_conn c, void *state, uint32_t schema, tg_slice bytes);
    /// Optional: what is the plugin's own.
    int (*save)(const tg_sink *out);
    int (*restore)(uint32_t schema, tg_slice bytes);
} tg_lifecycle;

typedef struct tg_plugin {
    // Identity: read from the file, before dlopen.
    char magic[8];
    uint32_t size;
    uint16_t abi_major; ///< must be the host's
    uint16_t abi_minor; ///< that it cannot do without: at most the host's
    uint32_t capabilities;
    uint32_t flags;
    uint32_t state_schema; ///< number of the saved state's form
    uint32_t lua_version_num; ///< TG_LUA_VERSION if it brings a Lua module, else 0
    char id[64];
    char version[32];
    char build_id[64];
    // Code: read after dlopen.
    tg_lifecycle life;
} tg_plugin;

#endif
