// SPDX-License-Identifier: Apache-2.0
/// Making and keeping `tg_value` trees. A tree that outlives its callback is copied into one
/// block of memory: one allocation, one free.
#ifndef TG_BASE_VALUE_H
#define TG_BASE_VALUE_H

#include "base/buf.h"
#include "base/error.h"

/// An arena for building trees; a zeroed one is empty. Nothing is freed until free().
typedef struct tg_arena {
    struct tg_arena_block *blocks;
    bool failed; ///< some allocation failed; what was built must not be used
} tg_arena;

void *tg_arena_alloc(tg_arena *a, size_t size); ///< zeroed, aligned for any type; or NULL
tg_slice tg_arena_copy(tg_arena *a, tg_slice bytes);
void tg_arena_free(tg_arena *a);

static inline tg_value tg_value_of_int(int64_t n)
{
    return (tg_value){.kind = TG_INT, .integer = n};
}
static inline tg_value tg_value_of_num(double n)
{
    return (tg_value){.kind = TG_NUM, .number = n};
}
static inline tg_value tg_value_of_bool(bool b)
{
    return (tg_value){.kind = TG_BOOL, .boolean = b};
}
static inline tg_value tg_value_of_slice(tg_slice s)
{
    return (tg_value){.kind = TG_STR, .string = s};
}
static inline tg_value tg_value_of_str(const char *s)
{
    return tg_value_of_slice(tg_str(s));
}

/// Deep copy in one block. @return NULL when out of memory; free with tg_value_free.
tg_value *tg_value_copy(const tg_value *v);
void tg_value_free(tg_value *v);
bool tg_value_eq(const tg_value *a, const tg_value *b); ///< a secret is like secrets only
uint64_t tg_value_hash(const tg_value *v); ///< the same for equal ones
const char *tg_kind_name(uint8_t kind); ///< "string", "integer", …

/// Builders: lists and maps that grow in an arena.
typedef struct tg_value_builder {
    tg_arena *arena;
    tg_pair *pairs; ///< a list leaves the keys empty
    size_t count, cap;
} tg_value_builder;
/// @owner keeps keys and strings as slices: they must live as long as the arena's tree.
void tg_build(tg_value_builder *b, const char *key, tg_value v);
tg_value tg_build_map(tg_value_builder *b);
tg_value tg_build_list(tg_value_builder *b);

#endif
