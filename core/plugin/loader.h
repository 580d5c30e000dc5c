// SPDX-License-Identifier: Apache-2.0
/// Files into versions. A shared object is judged by its bytes before a line of it has run, and
/// opened from a private copy, so that replacing the installed file never touches what runs.
#ifndef TG_PLUGIN_LOADER_H
#define TG_PLUGIN_LOADER_H

#include "plugin/version.h"

/// What a file says about itself, read without running it.
typedef struct tg_identity {
    tg_plugin plugin; ///< identity part; the code part is zero
    char *schema; ///< JSON; NULL none
    size_t schema_len;
} tg_identity;

/// @return TG_E_VERSION for another ABI, TG_E_MALFORMED for what is no (whole) plugin, TG_E_IO.
int tg_elf_read(int fd, const char *path, tg_identity *out, tg_error *e);
void tg_identity_free(tg_identity *i);

/// Copies `path` to a new file in `dir`. @return its descriptor, 0600, and its path and hash.
int tg_loader_copy(const char *path, const char *dir, char *copy, size_t len, char hash[65],
                   tg_error *e);
/// Loads the code of `v` from `path`; registers nothing, calls nothing.
int tg_loader_open(tg_version *v, const char *path, tg_error *e);
/// Looks for `name` on the plugin path; a name with '/' is the path itself.
/// @return a malloc'd path, or NULL with the reason in `e`.
char *tg_loader_find(tg_runtime *rt, const char *name, tg_error *e);
/// The engine that claims `path`; NULL: a C plugin's.
const tg_engine *tg_engine_for(tg_runtime *rt, const char *path);
int tg_engine_register(tg_runtime *rt, const tg_engine *engine);
void tg_engines_free(tg_runtime *rt);

#endif
