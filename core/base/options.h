// SPDX-License-Identifier: Apache-2.0
/// Tables of options: one description gives the check, the default, the right name for a wrong
/// one, and the struct. The config, listeners, plugins' schemas and the Lua API all read their
/// options through this. nil counts as missing, and a table without members as map or list.
#ifndef TG_BASE_OPTIONS_H
#define TG_BASE_OPTIONS_H

#include "base/error.h"
#include "base/value.h"

typedef enum tg_option_type {
    TG_OPT_BOOL, ///< bool
    TG_OPT_INT, ///< int64_t, within min..max
    TG_OPT_NUM, ///< double, within min..max
    TG_OPT_STR, ///< tg_slice, borrowed from the value tree
    TG_OPT_DURATION, ///< int64_t ms; "5s", "100ms", "10m", "2h", "1d", or a number of seconds
    TG_OPT_SIZE, ///< int64_t bytes; "64KiB", "2MiB", "1GiB", or a number
    TG_OPT_ENUM, ///< int64_t: index into `choices`
    TG_OPT_ANY, ///< const tg_value *: checked by its owner
    TG_OPT_MAP, ///< const tg_value *, a map
    TG_OPT_LIST, ///< const tg_value *, a list (a single other value stands for itself)
    TG_OPT_GROUP, ///< a struct of its own, by `group`
} tg_option_type;

typedef struct tg_option {
    const char *name; ///< NULL ends a table
    uint8_t type; ///< tg_option_type
    bool required;
    uint32_t offset; ///< into the struct
    const char *fallback; ///< as it would be written in the config; NULL: zero
    double min, max; ///< INT, NUM, DURATION (ms), SIZE; both 0: any that fits
    const char *const *choices; ///< ENUM, NULL-ended
    const struct tg_option *group;
    const char *help;
} tg_option;

/// Reads map `v` (NULL counts as empty) into `out` by `table`. Fills defaults. `where` names the
/// map in errors, e.g. "listeners[2]". Errors: "etc/x.lua:12: listeners[2].max_conections: no
/// such option; did you mean 'max_connections'?" when `file` is given and lines are known.
/// @return 0, TG_E_INVAL.
int tg_options_read(const tg_option *table, const tg_value *v, void *out, const char *file,
                    const char *where, tg_error *e);

/// The nearest of `n` names by edit distance, NULL when none is near.
const char *tg_nearest(tg_slice word, const char *const *names, size_t n);

/// @return ms, or TG_E_INVAL. A plain number counts seconds.
int64_t tg_parse_duration(tg_slice text);
int64_t tg_parse_size(tg_slice text);

/// A plugin's own schema: a map name → {type = "string|integer|number|boolean|duration|size|
/// topic|list|map|enum|secret", default, required, min, max, choices, help}; what stands in a list
/// or map with choices must be one of them. @return a config
/// with the defaults filled in (durations in ms, sizes in bytes), in `arena`.
int tg_schema_apply(const tg_value *schema, const tg_value *config, tg_arena *arena,
                    const char *file, const char *where, tg_value *out, tg_error *e);
/// Checks what `config` has; what it does not have is not missed.
int tg_schema_check(const tg_value *schema, const tg_value *config, const char *file,
                    const char *where, tg_error *e);
/// What a plugin sees before it has a config; an option without a default has no value.
int tg_schema_defaults(const tg_value *schema, tg_arena *arena, tg_value *out);

#endif
