// SPDX-License-Identifier: Apache-2.0
/// The text of a plugin, read once: what is hashed is what every worker compiles, whatever
/// happens to the files meanwhile.
#ifndef TG_LUA_SOURCE_H
#define TG_LUA_SOURCE_H

#include "base/error.h"

#define TG_SOURCE_FILES 256
#define TG_SOURCE_NAME 200
#define TG_SOURCE_BYTES (1u << 20) ///< of one file

typedef struct tg_source {
    char *name; ///< "init", "model.vl": as require() has it
    char *chunk; ///< "@gt06/init.lua", for messages
    char *text;
    size_t len;
} tg_source;

typedef struct tg_sources {
    char *label; ///< the folder's name, or the file's without ".lua"
    char main[TG_SOURCE_NAME]; ///< the source that declares: "init", or another entry
    tg_source *at; ///< by name
    size_t count;
    char hash[65]; ///< SHA-256 over names and texts, hex
} tg_sources;

/// @param path a folder with init.lua, or a .lua file. A file beside an init.lua is another
/// entry into that folder: it may require what the folder has.
/// @return TG_E_NOTFOUND, TG_E_IO, TG_E_TOOBIG, TG_E_LIMIT, TG_E_NOMEM.
int tg_sources_read(const char *path, tg_sources *out, tg_error *e);
void tg_sources_free(tg_sources *s);
const tg_source *tg_sources_find(const tg_sources *s, const char *name);
const tg_source *tg_sources_main(const tg_sources *s);

#endif
