// SPDX-License-Identifier: Apache-2.0
/// Script engines: a plugin that loads plugins. The Lua host is one. The host asks each engine
/// whether a path is its own, and then treats what comes back as it treats a C plugin.
#ifndef TIDEGATE_ENGINE_H
#define TIDEGATE_ENGINE_H

#include "host.h"

/// What an engine found in a path; the host copies nothing, the engine keeps it until free().
typedef struct tg_unit {
    uint32_t size;
    uint32_t capabilities;
    uint32_t state_schema;
    uint32_t reserved;
    const char *id;
    const char *version;
    const char *hash; ///< hex of the content: same hash, same code
    const tg_value *schema; ///< options: name → {type, default, help, …}; NULL none
    void *impl; ///< the engine's own
} tg_unit;

typedef struct tg_engine tg_engine;
struct tg_engine {
    uint32_t size;
    const char *id;

    /// Any thread. Cheap: looks at the name, not into the files.
    bool (*claims)(const tg_engine *self, const char *path);
    /// Control thread. Reads, hashes and compiles, runs nothing of the script but its
    /// declaration, under the load budget. On failure writes what and where to `error`.
    int (*open)(const tg_engine *self, const char *path, tg_unit **out, char *error,
                size_t len);
    /// The version's life, as tg_lifecycle, with the unit in front.
    int (*load)(tg_unit *unit, const tg_host *host, tg_self *self);
    int (*start)(tg_unit *unit, uint32_t worker);
    int (*reconfigure)(tg_unit *unit, const tg_value *config);
    void (*drain)(tg_unit *unit, uint32_t worker);
    void (*stop)(tg_unit *unit, uint32_t worker);
    void (*unload)(tg_unit *unit);
    void (*free)(tg_unit *unit);
};

typedef struct tg_engine_api {
    uint32_t size;
    /// From a static plugin's load(). @owner `engine` stays valid for the host's life.
    int (*add)(tg_self *self, const tg_engine *engine);
    /// Starts `method` of driver `id` for the version `self`. @param done on this worker.
    int (*call)(tg_self *self, tg_slice id, tg_slice method, const tg_value *args,
                tg_done_fn *done, void *ctx);
    /// The calls of kv, metric, timer, dial and log act for the version whose callback runs;
    /// an engine that resumes a script outside of a host callback brackets that with enter()
    /// and leave(), which also name the callback to the watchdog.
    void (*enter)(tg_self *self, const char *callback);
    void (*leave)(tg_self *self);
} tg_engine_api;

#endif
