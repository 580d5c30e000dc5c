// SPDX-License-Identifier: Apache-2.0
/// The store of a host that has none: an ordered map in memory, for what is the same code with
/// a store on disk. Sessions and retained messages do without it. Any thread.
#ifndef TG_PLUGIN_MEMORY_H
#define TG_PLUGIN_MEMORY_H

#include "tidegate/store.h"

typedef struct tg_memory tg_memory;

tg_memory *tg_memory_new(void);
void tg_memory_free(tg_memory *m);
/// All of `writes`, or none. @return TG_E_NOMEM.
int tg_memory_commit(tg_memory *m, const tg_write *writes, size_t n);
/// @param done called once, with the answer of tg_store.read; what it is given is gone then.
void tg_memory_read(tg_memory *m, const tg_range *range, tg_done_fn *done, void *ctx);

#endif
