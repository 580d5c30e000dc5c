// SPDX-License-Identifier: Apache-2.0
/// Whether a database file is whole, before LMDB maps it.
#ifndef LMDB_CHECK_H
#define LMDB_CHECK_H

#include <stddef.h>
#include <stdint.h>

/// Reads the structure of the file at `fd`, which nobody else has open. An empty file is one that
/// LMDB will fill.
/// @param size how long the file must at least be; it may be shorter by pages that are free.
/// @param what of `len` bytes: the page and what is wrong with it.
/// @return 0; MDB_CORRUPTED, MDB_INVALID (no file of LMDB's), MDB_VERSION_MISMATCH, or errno.
int check_file(int fd, uint64_t *size, char *what, size_t len);

#endif
