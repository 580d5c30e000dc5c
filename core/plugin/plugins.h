// SPDX-License-Identifier: Apache-2.0
/// What loading plugins and running them need of each other.
#ifndef TG_PLUGIN_PLUGINS_H
#define TG_PLUGIN_PLUGINS_H

#include "plugin/version.h"

/// If `v` offers the store that the config names, and there is none yet: it becomes the hub's.
int tg_store_take(tg_version *v, tg_error *e);
/// On a worker: as the store's own commit and read.
int tg_store_commit(tg_runtime *rt, const tg_write *writes, size_t n, tg_op op);
int tg_store_read(tg_runtime *rt, const tg_range *range, tg_op op);
/// Control thread: as the store's own scan.
int tg_store_scan(tg_runtime *rt, tg_slice prefix,
                  int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx);
void tg_plugins_free(tg_runtime *rt); ///< after their versions

#endif
