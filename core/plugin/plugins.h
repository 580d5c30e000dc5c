// SPDX-License-Identifier: Apache-2.0
/// What loading plugins and running them need of each other.
#ifndef TG_PLUGIN_PLUGINS_H
#define TG_PLUGIN_PLUGINS_H

#include "plugin/version.h"

/// If `v` offers the store that the config names, and there is none yet: it becomes the hub's.
int tg_store_take(tg_version *v, tg_error *e);
void tg_plugins_free(tg_runtime *rt); ///< after their versions

#endif
