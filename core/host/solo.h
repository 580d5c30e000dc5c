// SPDX-License-Identifier: Apache-2.0
/// A plugin without a host: a runtime of our own, with a state folder that is gone
/// afterwards.
#ifndef TG_HOST_SOLO_H
#define TG_HOST_SOLO_H

#include "host/config.h"
#include "host/paths.h"

typedef struct tg_solo {
    tg_runtime *rt;
    tg_config config;
    char state[TG_PATH_LEN], plugins[TG_PATH_LEN];
    char id[64]; ///< of the plugin
} tg_solo;

/// Starts a runtime and loads `plugin`, by name or by path, with the options that
/// `config_file` has for it (NULL: the built-in config).
int tg_solo_open(const char *config_file, const char *plugin, tg_solo *out, tg_error *e);
/// The same without a plugin: the caller loads its own.
int tg_solo_start(const char *config_file, uint32_t workers, tg_solo *out, tg_error *e);
/// Sets `id` to that of the plugin that was loaded last.
void tg_solo_take_id(tg_solo *o);
void tg_solo_close(tg_solo *o);

/// Explains a frame as POST /decode does: `text` is its answer, `json` the same read.
int tg_solo_decode(const char *config_file, const char *plugin, tg_slice hex,
                   tg_arena *arena, tg_value *json, tg_buf *text, tg_error *e);

#endif
