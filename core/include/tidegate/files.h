// SPDX-License-Identifier: Apache-2.0
/// Files that devices upload: pictures, recordings, logs. The host keeps them below the folder
/// of its config's `files`, within the bounds that stand there; what names a file comes from
/// devices and is never a path.
#ifndef TIDEGATE_FILES_H
#define TIDEGATE_FILES_H

#include "types.h"

enum { TG_FILE_PARTS = 8 }; ///< of one name, at most

typedef struct tg_file_spec {
    uint32_t size;
    uint32_t nparts; ///< 2 to TG_FILE_PARTS
    /// The device, folders, and last the file's name with its extension. Of any bytes, but not
    /// empty: all but letters, digits, '_', '-' and '.' are escaped as %XX, the latter two also
    /// in front, and what is too long is cut and gets a hash. The first one is whose quota it
    /// is; the plugin's id stands before it.
    const tg_slice *parts;
    tg_slice bytes;
} tg_file_spec;

typedef struct tg_files_api {
    uint32_t size;
    /// Writes a file on the pool of blocking threads: whole or not at all. It replaces none:
    /// where there is one of that name it is numbered.
    /// @param done 0 and {path (below the folder), name, size, sha256}; TG_E_FULL: the bytes of
    ///        the device or of all are used up; TG_E_NOSPACE, TG_E_IO with {message}.
    /// @return TG_E_UNSUPPORTED: the host keeps no files; TG_E_INVAL; TG_E_TOOBIG; TG_E_FULL:
    ///         too much waits to be written. @owner copies.
    int (*write)(const tg_file_spec *spec, tg_done_fn *done, void *ctx);
} tg_files_api;

#endif
