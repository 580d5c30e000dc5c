// SPDX-License-Identifier: Apache-2.0
/// Lua patterns (reference manual §6.4.1) that can be stopped: a pattern with nested
/// repetitions can take exponential time, so the matcher looks at the guard as it goes.
#ifndef TG_LUA_PATTERN_H
#define TG_LUA_PATTERN_H

#include <lua.h>

#include "tidegate/types.h"

#define TG_PATTERN_CAPTURES 32

enum { TG_CAPTURE_OPEN = -1, TG_CAPTURE_PLACE = -2 }; ///< instead of a length

typedef struct tg_pattern {
    lua_State *L; ///< where errors of the pattern are raised
    const char *subject, *subject_end;
    const char *pattern_end;
    unsigned steps;
    int depth;
    int ncaptures;
    struct {
        const char *at;
        ptrdiff_t len; ///< bytes, or TG_CAPTURE_*
    } captures[TG_PATTERN_CAPTURES];
} tg_pattern;

void tg_pattern_init(tg_pattern *m, lua_State *L, tg_slice subject, tg_slice pattern);
/// Tries `pattern` (without '^') at `at`. @return behind the match, or NULL.
const char *tg_pattern_at(tg_pattern *m, const char *at, const char *pattern);
/// Pushes capture `i` (0-based). Without captures number 0 is the whole match.
void tg_pattern_push(tg_pattern *m, int i, const char *from, const char *to);
/// Pushes all captures; the whole match when there are none and `whole`. @return how many.
int tg_pattern_push_all(tg_pattern *m, const char *from, const char *to, bool whole);

/// Raises when the running callback is to be ended. For loops in C over a script's data.
void tg_lua_check_killed(lua_State *L);

#endif
