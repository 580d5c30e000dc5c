// SPDX-License-Identifier: Apache-2.0
/// The store of uploaded files: names, bounds and the folder itself. Blocking; knows no workers.
#ifndef TG_PLUGIN_FILES_H
#define TG_PLUGIN_FILES_H

#include "base/buf.h"
#include "base/error.h"
#include "tidegate/files.h"

typedef struct tg_files tg_files;

/// A file counts as whole blocks of 4 KiB. 0: no bound.
typedef struct tg_files_config {
    const char *path;
    uint64_t max_bytes; ///< of one file
    uint64_t total; ///< of all: past it writes are refused
    uint64_t device_bytes; ///< of one device
    uint64_t device_files; ///< of one device
    uint64_t max_age_s; ///< older ones are removed
    bool drop; ///< at a device's bounds its oldest files make room; else writes are refused
} tg_files_config;

typedef struct tg_stored {
    tg_buf path; ///< below the folder
    char sha256[65];
    uint32_t dropped; ///< files that made room
} tg_stored;

/// Makes the folder if need be. @return TG_E_IO with its name in `e`.
int tg_files_new(const tg_files_config *config, tg_files **out, tg_error *e);
void tg_files_free(tg_files *f);

/// Appends the path for `spec` of plugin `plugin`, which is safe whatever its parts are.
/// @return TG_E_INVAL, TG_E_NOMEM.
int tg_files_path(const char *plugin, const tg_file_spec *spec, tg_buf *out);
/// Of a name, with the dot; empty: it has none that is worth keeping.
tg_slice tg_file_extension(tg_slice name);
/// @param path as tg_files_path() made it. @return 0, or TG_E_* and why in `e`.
int tg_files_write(tg_files *f, const char *path, tg_slice bytes, tg_stored *out,
                   tg_error *e);
/// Removes what is too old, and what a crash left. @return how many files were too old.
uint32_t tg_files_sweep(tg_files *f);
uint64_t tg_files_used(tg_files *f); ///< bytes, in whole blocks
uint64_t tg_files_max(const tg_files *f); ///< of one file; 0 no bound

#endif
