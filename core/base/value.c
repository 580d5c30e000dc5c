// SPDX-License-Identifier: Apache-2.0
// A copy is measured first and then laid out in one block: nodes from the front, where they
// stay aligned, bytes of strings from the back. So a tree costs one allocation however deep.
#include "base/value.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"

#define BLOCK_SIZE 4000
#define ALIGN (sizeof(max_align_t))

typedef struct tg_arena_block {
    struct tg_arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) char at[];
} block;

static block *new_block(tg_arena *a, size_t size)
{
    if (size > SIZE_MAX - sizeof(block))
        return NULL;
    block *b = calloc(1, sizeof(block) + size);
    if (b == NULL)
        return NULL;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

static size_t rounded(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

void *tg_arena_alloc(tg_arena *a, size_t size)
{
    if (a->failed || size > SIZE_MAX - ALIGN) {
        a->failed = true;
        return NULL;
    }
    size = rounded(size == 0 ? 1 : size);
    block *b = a->blocks;
    if (b == NULL || b->size - b->used < size)
        b = new_block(a, size > BLOCK_SIZE ? size : BLOCK_SIZE);
    if (b == NULL) {
        a->failed = true;
        return NULL;
    }
    void *at = b->at + b->used;
    b->used += size;
    return at;
}

tg_slice tg_arena_copy(tg_arena *a, tg_slice bytes)
{
    char *at = tg_arena_alloc(a, bytes.len);
    if (at == NULL)
        return (tg_slice){0};
    if (bytes.len > 0)
        memcpy(at, bytes.at, bytes.len);
    return (tg_slice){at, bytes.len};
}

void tg_arena_free(tg_arena *a)
{
    for (block *b = a->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    *a = (tg_arena){0};
}

typedef struct layout {
    char *nodes, *bytes; // where the next ones go
} layout;

// Adds up what `v`'s members and strings need, without `v` itself.
static void measure(const tg_value *v, size_t *nodes, size_t *bytes)
{
    if (v->kind == TG_STR) {
        *bytes += v->string.len;
    } else if (v->kind == TG_LIST) {
        *nodes += v->list.count * sizeof(tg_value);
        for (size_t i = 0; i < v->list.count; i++)
            measure(&v->list.items[i], nodes, bytes);
    } else if (v->kind == TG_MAP) {
        *nodes += v->map.count * sizeof(tg_pair);
        for (size_t i = 0; i < v->map.count; i++) {
            *bytes += v->map.pairs[i].key.len;
            measure(&v->map.pairs[i].value, nodes, bytes);
        }
    }
}

static tg_slice lay_bytes(layout *l, tg_slice s)
{
    if (s.len > 0)
        memcpy(l->bytes, s.at, s.len);
    tg_slice copy = {l->bytes, s.len};
    l->bytes += s.len;
    return copy;
}

static void *lay_nodes(layout *l, size_t size)
{
    void *at = l->nodes;
    l->nodes += size;
    return at;
}

static void lay(layout *l, const tg_value *from, tg_value *to)
{
    *to = *from;
    if (from->kind == TG_STR) {
        to->string = lay_bytes(l, from->string);
    } else if (from->kind == TG_LIST) {
        tg_value *items = lay_nodes(l, from->list.count * sizeof(*items));
        to->list.items = items;
        for (size_t i = 0; i < from->list.count; i++)
            lay(l, &from->list.items[i], &items[i]);
    } else if (from->kind == TG_MAP) {
        tg_pair *pairs = lay_nodes(l, from->map.count * sizeof(*pairs));
        to->map.pairs = pairs;
        for (size_t i = 0; i < from->map.count; i++) {
            pairs[i].key = lay_bytes(l, from->map.pairs[i].key);
            lay(l, &from->map.pairs[i].value, &pairs[i].value);
        }
    }
}

tg_value *tg_value_copy(const tg_value *v)
{
    size_t nodes = sizeof(*v), bytes = 0;
    measure(v, &nodes, &bytes);
    char *at = malloc(nodes + bytes);
    if (at == NULL)
        return NULL;
    layout l = {at + sizeof(*v), at + nodes};
    lay(&l, v, (tg_value *)(void *)at);
    return (tg_value *)(void *)at;
}

void tg_value_free(tg_value *v)
{
    free(v);
}

static bool lists_eq(const tg_value *a, const tg_value *b)
{
    if (a->list.count != b->list.count)
        return false;
    for (size_t i = 0; i < a->list.count; i++)
        if (!tg_value_eq(&a->list.items[i], &b->list.items[i]))
            return false;
    return true;
}

static const tg_value *member(const tg_value *v, tg_slice key)
{
    for (size_t i = 0; i < v->map.count; i++)
        if (tg_slice_eq(v->map.pairs[i].key, key))
            return &v->map.pairs[i].value;
    return NULL;
}

static bool maps_eq(const tg_value *a, const tg_value *b) // whatever the order
{
    if (a->map.count != b->map.count)
        return false;
    for (size_t i = 0; i < a->map.count; i++) {
        const tg_value *other = member(b, a->map.pairs[i].key);
        if (other == NULL || !tg_value_eq(&a->map.pairs[i].value, other))
            return false;
    }
    return true;
}

bool tg_value_eq(const tg_value *a, const tg_value *b)
{
    if (a->kind != b->kind || (a->secret != 0) != (b->secret != 0))
        return false;
    switch ((tg_kind)a->kind) {
    case TG_NIL:
        return true;
    case TG_BOOL:
        return a->boolean == b->boolean;
    case TG_INT:
        return a->integer == b->integer;
    case TG_NUM:
        return a->number == b->number;
    case TG_STR:
        return tg_slice_eq(a->string, b->string);
    case TG_LIST:
        return lists_eq(a, b);
    case TG_MAP:
        return maps_eq(a, b);
    }
    return false;
}

static uint64_t hash_word(uint8_t kind, const void *at, size_t len)
{
    return tg_hash((tg_slice){at, len}) + kind;
}

uint64_t tg_value_hash(const tg_value *v)
{
    uint64_t sum = v->kind;
    double number;
    switch ((tg_kind)v->kind) {
    case TG_NIL:
        break;
    case TG_BOOL:
        return sum + (v->boolean ? 16 : 0);
    case TG_INT:
        return hash_word(v->kind, &v->integer, sizeof(v->integer));
    case TG_NUM:
        number = v->number + 0.0; // the two zeros are equal
        return hash_word(v->kind, &number, sizeof(number));
    case TG_STR:
        return tg_hash(v->string) + sum;
    case TG_LIST:
        for (size_t i = 0; i < v->list.count; i++)
            sum = sum * 31 + tg_value_hash(&v->list.items[i]);
        break;
    case TG_MAP: // a sum, as the order of members says nothing
        for (size_t i = 0; i < v->map.count; i++)
            sum +=
                tg_hash(v->map.pairs[i].key) * 31 ^ tg_value_hash(&v->map.pairs[i].value);
        break;
    }
    return sum;
}

const char *tg_kind_name(uint8_t kind)
{
    static const char *const names[] = {"nil",    "boolean", "integer", "number",
                                        "string", "list",    "map"};
    return kind < sizeof(names) / sizeof(*names) ? names[kind] : "unknown";
}

// The old array stays in the arena: doubling wastes at most as much as is used.
static bool grow(tg_value_builder *b)
{
    size_t cap = b->cap == 0 ? 8 : b->cap * 2;
    tg_pair *pairs = tg_arena_alloc(b->arena, cap * sizeof(*pairs));
    if (pairs == NULL)
        return false;
    if (b->count > 0)
        memcpy(pairs, b->pairs, b->count * sizeof(*pairs));
    b->pairs = pairs;
    b->cap = cap;
    return true;
}

void tg_build(tg_value_builder *b, const char *key, tg_value v)
{
    if (b->count == b->cap && !grow(b))
        return;
    b->pairs[b->count++] = (tg_pair){tg_str(key), v};
}

tg_value tg_build_map(tg_value_builder *b)
{
    tg_value v = {.kind = TG_MAP};
    v.map.pairs = b->pairs;
    v.map.count = b->count;
    return v;
}

tg_value tg_build_list(tg_value_builder *b)
{
    tg_value v = {.kind = TG_LIST};
    tg_value *items = tg_arena_alloc(b->arena, b->count * sizeof(*items));
    if (items == NULL)
        return v;
    for (size_t i = 0; i < b->count; i++)
        items[i] = b->pairs[i].value;
    v.list.items = items;
    v.list.count = b->count;
    return v;
}
