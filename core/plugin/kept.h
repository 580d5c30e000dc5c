// SPDX-License-Identifier: Apache-2.0
/// Keys of kv that the host's store has as well.
#ifndef TG_PLUGIN_KEPT_H
#define TG_PLUGIN_KEPT_H

#include "plugin/version.h"

/// Any thread: what the plugin's `key` holds goes to the store. @param op completed then; {0}.
int tg_kept_write(tg_runtime *rt, const char *plugin, tg_kv *kv, tg_slice key, tg_op op);
/// Control thread, when the store has been taken.
int tg_kept_restore(tg_runtime *rt);
/// Any thread: the keys of a plugin, made when they are missing. NULL: out of memory.
tg_kv *tg_kv_space(tg_runtime *rt, const char *plugin);

#endif
