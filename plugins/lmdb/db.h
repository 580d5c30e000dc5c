// SPDX-License-Identifier: Apache-2.0
/// The database: a folder with LMDB's files, held by one host at a time, checked before it is
/// used, and never filled to the brim, so that what is in it can still be deleted.
#ifndef LMDB_DB_H
#define LMDB_DB_H

#include "tree.h"

typedef struct db {
    char path[4096];
    size_t map_size; ///< of the file at most, the reserve for deletions included
    size_t reserve;
    size_t page; ///< bytes of one
    int owner; ///< descriptor of the file whose lock says that the folder is ours
    MDB_env *env; ///< NULL: it is closed
    MDB_dbi records;
} db;

/// Opens the folder, which is made when it is missing (its parent is not).
/// @return 0; TG_E_* and in `why` what is wrong and what to do about it.
int db_open(db *d, tg_slice path, size_t map_size, char *why, size_t len);
void db_close(db *d);
/// After MDB_PANIC: LMDB cannot go on with this environment, but a new one may.
/// @return an error of LMDB.
int db_reopen(db *d);

/// How many bytes the next transaction may put; 0: it is full. Deleting always goes on.
/// @return an error of LMDB.
int db_room(const db *d, size_t *out);
/// What a record takes of that room, on the safe side.
size_t db_cost(const db *d, tg_slice key, tg_slice value);

/// Bytes of the file that hold something.
size_t db_used(const db *d);
/// As TG_E_*: what a caller of the store is told.
int db_error(int rc);

#endif
