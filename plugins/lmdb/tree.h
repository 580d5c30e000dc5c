// SPDX-License-Identifier: Apache-2.0
/// An ordered map of keys of any length over LMDB, whose own keys end at 511 bytes. All of it
/// works inside a transaction of the caller's; a failure is one of LMDB's codes and says that
/// the transaction must be aborted.
#ifndef LMDB_TREE_H
#define LMDB_TREE_H

#include <lmdb.h>

#include "tidegate.h"

typedef struct tree {
    MDB_txn *txn;
    MDB_dbi dbi;
} tree;

/// Sets `key`, which must not be empty.
int tree_put(tree t, tg_slice key, tg_slice value);
/// Deletes `key`; one that is not there is none to complain about.
int tree_del(tree t, tg_slice key);
/// Deletes every key that begins with `prefix`; the empty one: all.
int tree_del_prefix(tree t, tg_slice prefix);

/// @return 0 to go on; another value stops the walk and is what it returns.
typedef int tree_each(void *ctx, tg_slice key, tg_slice value);
/// Calls `each` for the keys that begin with `prefix` and are not below `from`, in their order
/// as bytes. `key` and `value` are borrowed for the call, which must not change the tree.
/// @return 0, what `each` returned, or an error of LMDB.
int tree_walk(tree t, tg_slice prefix, tg_slice from, tree_each *each, void *ctx);

#endif
