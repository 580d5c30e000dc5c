// SPDX-License-Identifier: Apache-2.0
/// The host's figures as retained messages under $SYS/broker/, for clients that know no HTTP.
#ifndef TG_ADMIN_SYS_H
#define TG_ADMIN_SYS_H

#include "plugin/runtime.h"

typedef struct tg_sys tg_sys;

/// Control thread, after tg_runtime_start(). @param version lives as long as the runtime.
/// @return TG_E_NOMEM.
int tg_sys_start(tg_runtime *rt, uint32_t interval_ms, const char *version, tg_sys **out,
                 tg_error *e);
/// Control thread, before tg_runtime_stop(). NULL is fine.
void tg_sys_stop(tg_sys *s);

#endif
