// SPDX-License-Identifier: Apache-2.0
/// Where things lie when nobody says otherwise.
#ifndef TG_HOST_PATHS_H
#define TG_HOST_PATHS_H

#include "base/error.h"

#define TG_PATH_LEN 4096

/// $TIDEGATE_STATE, else $XDG_STATE_HOME/tidegate, else ~/.local/state/tidegate, else
/// /var/lib/tidegate.
void tg_path_state(char out[TG_PATH_LEN]);
/// $TIDEGATE_PLUGINS, else `plugins` beside the binary and `../lib/tidegate/plugins`.
void tg_path_plugins(char out[TG_PATH_LEN]);
/// Makes `path` and what is missing above it, for its owner alone.
int tg_path_make(const char *path, tg_error *e);
/// "<folder>/<name>". @return false: too long.
bool tg_path_join(char out[TG_PATH_LEN], const char *folder, const char *name);
/// Writes `text` under another name and moves it to `path`.
int tg_path_write(const char *path, tg_slice text, unsigned mode, tg_error *e);
/// @return bytes read, at most `max`; -1 with errno.
int64_t tg_path_read(const char *path, char *into, size_t max);

#endif
