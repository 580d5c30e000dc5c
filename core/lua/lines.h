// SPDX-License-Identifier: Apache-2.0
/// Where the keys of a table constructor stand in a Lua text. Lua itself forgets.
#ifndef TG_LUA_LINES_H
#define TG_LUA_LINES_H

#include "base/value.h"

/// Finds `return { … }` in `text` and sets the lines of `v`, the value that it made, as far
/// as they can be told without running it.
void tg_lines_set(tg_slice text, tg_value *v);

#endif
