// SPDX-License-Identifier: Apache-2.0
/// Listeners: from a spec in the config's words to the network's, and back in a list.
#ifndef TG_PLUGIN_LISTENERS_H
#define TG_PLUGIN_LISTENERS_H

#include "plugin/line.h"

/// @param owner the plugin that asks; NULL the config.
int tg_listening_open(tg_runtime *rt, const tg_value *spec, const char *file,
                      const char *where, tg_plug *owner, tg_listening **out, tg_error *e);
/// The first listener that needs adapter `seat`; NULL none.
const tg_listening *tg_listening_of(const tg_runtime *rt, const tg_seat *seat);
bool tg_listening_known(tg_runtime *rt, tg_slice name); ///< any thread
void tg_listenings_close(tg_runtime *rt); ///< all stop accepting
void tg_listenings_free(tg_runtime *rt); ///< after the workers

#endif
