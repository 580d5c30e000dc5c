// SPDX-License-Identifier: Apache-2.0
// A schema is turned into the rules that the host's own tables use, entry by entry, and is
// itself read through such a table: a plugin's author gets the same errors as its user.
#include "base/options.h"

#include <assert.h>
#include <stdio.h>

#include "base/rule.h"

#define WHERE_MAX 256

typedef enum kind {
    KIND_STRING,
    KIND_INTEGER,
    KIND_NUMBER,
    KIND_BOOLEAN,
    KIND_DURATION,
    KIND_SIZE,
    KIND_TOPIC,
    KIND_LIST,
    KIND_MAP,
    KIND_ENUM,
    KIND_SECRET,
} kind;

static const char *const kind_names[] = {
    "string", "integer", "number", "boolean", "duration", "size",
    "topic",  "list",    "map",    "enum",    "secret",   NULL,
};

static const uint8_t option_types[] = {
    TG_OPT_STR, TG_OPT_INT,  TG_OPT_NUM, TG_OPT_BOOL, TG_OPT_DURATION, TG_OPT_SIZE,
    TG_OPT_STR, TG_OPT_LIST, TG_OPT_MAP, TG_OPT_ENUM, TG_OPT_STR,
};

typedef struct entry {
    int64_t kind;
    bool required;
    const tg_value *fallback, *min, *max, *choices;
    tg_slice help;
} entry;

#define AT(member) .offset = offsetof(entry, member)

static const tg_option entry_table[] = {
    {"type", TG_OPT_ENUM, true, AT(kind), .choices = kind_names},
    {"required", TG_OPT_BOOL, AT(required)},
    {"default", TG_OPT_ANY, AT(fallback)},
    {"min", TG_OPT_ANY, AT(min)},
    {"max", TG_OPT_ANY, AT(max)},
    {"choices", TG_OPT_LIST, AT(choices)},
    {"help", TG_OPT_STR, AT(help)},
    {0},
};

typedef struct reader {
    const tg_value *schema, *config;
    tg_arena *arena;
    const char *file, *where;
    tg_error *e;
    bool defaults; ///< there is no config yet
} reader;

static const char *keep_text(tg_arena *a, tg_slice s)
{
    char *at = tg_arena_alloc(a, s.len + 1);
    if (at != NULL && s.len > 0)
        memcpy(at, s.at, s.len);
    return at;
}

static tg_value keep(tg_arena *a, const tg_value *v);

static tg_value keep_list(tg_arena *a, const tg_value *v)
{
    tg_value copy = *v;
    tg_value *items = tg_arena_alloc(a, v->list.count * sizeof(*items));
    for (size_t i = 0; items != NULL && i < v->list.count; i++)
        items[i] = keep(a, &v->list.items[i]);
    copy.list.items = items;
    return copy;
}

static tg_value keep_map(tg_arena *a, const tg_value *v)
{
    tg_value copy = *v;
    tg_pair *pairs = tg_arena_alloc(a, v->map.count * sizeof(*pairs));
    for (size_t i = 0; pairs != NULL && i < v->map.count; i++) {
        pairs[i].key = tg_arena_copy(a, v->map.pairs[i].key);
        pairs[i].value = keep(a, &v->map.pairs[i].value);
    }
    copy.map.pairs = pairs;
    return copy;
}

// A deep copy in the arena, so that the result lives without the config that it came from.
static tg_value keep(tg_arena *a, const tg_value *v)
{
    tg_value copy = *v;
    if (v->kind == TG_STR)
        copy.string = tg_arena_copy(a, v->string);
    else if (v->kind == TG_LIST)
        copy = keep_list(a, v);
    else if (v->kind == TG_MAP)
        copy = keep_map(a, v);
    return copy;
}

// The bound `v` as a number of the option's own unit.
static int take_bound(const tg_option *o, const tg_value *v, const tg_spot *at, double *out,
                      tg_error *e)
{
    tg_option free_of_bounds = {.type = o->type};
    tg_value plain;
    int rc = tg_rule_take(&free_of_bounds, v, at, &plain, e);
    if (rc == 0)
        *out = plain.kind == TG_NUM ? plain.number : (double)plain.integer;
    return rc;
}

static int take_bounds(const reader *r, const entry *n, const tg_spot *at, tg_option *o)
{
    bool measured = o->type == TG_OPT_INT || o->type == TG_OPT_NUM ||
                    o->type == TG_OPT_DURATION || o->type == TG_OPT_SIZE;
    if (n->min == NULL && n->max == NULL)
        return 0;
    if (!measured)
        return tg_spot_error(at, r->e, "'min' and 'max' do not fit this type");
    o->min = -TG_UNBOUNDED;
    o->max = TG_UNBOUNDED;
    int rc = n->min != NULL ? take_bound(o, n->min, at, &o->min, r->e) : 0;
    if (rc == 0 && n->max != NULL)
        rc = take_bound(o, n->max, at, &o->max, r->e);
    if (rc == 0 && o->min > o->max)
        rc = tg_spot_error(at, r->e, "'min' is above 'max'");
    return rc;
}

static int take_choices(const reader *r, const entry *n, const tg_spot *at, tg_option *o)
{
    bool many = n->kind == KIND_LIST || n->kind == KIND_MAP;
    if (n->kind != KIND_ENUM && (n->choices == NULL || !many))
        return n->choices == NULL
                   ? 0
                   : tg_spot_error(at, r->e, "'choices' belongs to enums, lists and maps");
    size_t count =
        n->choices != NULL && n->choices->kind == TG_LIST ? n->choices->list.count : 0;
    if (count == 0)
        return tg_spot_error(at, r->e, "an enum needs 'choices', a list of strings");
    const char **names = tg_arena_alloc(r->arena, (count + 1) * sizeof(*names));
    for (size_t i = 0; names != NULL && i < count; i++) {
        const tg_value *choice = &n->choices->list.items[i];
        if (choice->kind != TG_STR)
            return tg_spot_error(at, r->e, "an enum needs 'choices', a list of strings");
        names[i] = keep_text(r->arena, choice->string);
    }
    o->choices = names;
    return r->arena->failed ? tg_error_set(r->e, TG_E_NOMEM, "out of memory") : 0;
}

static int check_topic(const reader *r, const tg_value *v, const tg_spot *at)
{
    bool bad = v->string.len == 0 || v->string.len > UINT16_MAX;
    for (size_t i = 0; i < v->string.len; i++)
        bad = bad || strchr("+#", v->string.at[i]) != NULL; // also finds a NUL
    return bad ? tg_spot_error(at, r->e, "expected a topic without '+' and '#', got '%.*s'",
                               v->string.len < 80 ? (int)v->string.len : 80, v->string.at)
               : 0;
}

/// One word of a list or a map, whose `name` is its number or its key.
static int choose_word(const reader *r, const tg_option *o, const tg_spot *at,
                       tg_slice name, tg_value *v)
{
    char map[WHERE_MAX];
    const char *in = at->map != NULL ? at->map : "";
    tg_option word = {.type = TG_OPT_ENUM, .choices = o->choices};
    tg_value plain;
    snprintf(map, sizeof(map), "%s%s%.*s", in, *in != '\0' ? "." : "", (int)at->name.len,
             at->name.at);
    tg_spot here = {at->file, v->line > 0 ? v->line : at->line, map, name};
    int rc = tg_rule_take(&word, v, &here, &plain, r->e);
    if (rc == 0)
        *v = tg_value_of_str(o->choices[plain.integer]);
    return rc;
}

/// `v` is a copy in the arena: its words may be written over.
static int choose_words(const reader *r, const tg_option *o, const tg_spot *at, tg_value *v)
{
    int rc = 0;
    tg_pair *pairs = v->kind == TG_MAP ? (tg_pair *)v->map.pairs : NULL;
    for (size_t i = 0; pairs != NULL && rc == 0 && i < v->map.count; i++)
        rc = choose_word(r, o, at, pairs[i].key, &pairs[i].value);
    tg_value *items = v->kind == TG_LIST ? (tg_value *)v->list.items : NULL;
    for (size_t i = 0; items != NULL && rc == 0 && i < v->list.count; i++) {
        char number[24];
        int n = snprintf(number, sizeof(number), "%zu", i + 1);
        rc = choose_word(r, o, at, (tg_slice){number, (size_t)n}, &items[i]);
    }
    return rc;
}

static tg_value listed(const reader *r, const tg_value *v)
{
    tg_value one = keep(r->arena, v), list = {.kind = TG_LIST, .line = v->line};
    if (v->kind == TG_LIST)
        return one;
    if (v->kind == TG_MAP)
        return list; // an empty table
    tg_value *items = tg_arena_alloc(r->arena, sizeof(*items));
    if (items != NULL)
        *items = one;
    list.list.items = items;
    list.list.count = 1;
    return list;
}

static int take(const reader *r, const entry *n, const tg_option *o, const tg_value *v,
                const tg_spot *at, tg_value *out)
{
    tg_value plain;
    int rc = tg_rule_take(o, v, at, &plain, r->e);
    if (rc == 0 && n->kind == KIND_TOPIC)
        rc = check_topic(r, &plain, at);
    if (rc < 0)
        return rc;
    if (n->kind == KIND_ENUM) {
        assert(o->choices != NULL);
        plain = tg_value_of_str(o->choices[plain.integer]); // the word, not its number
    }
    if (n->kind == KIND_LIST) {
        *out = listed(r, v);
    } else {
        *out = keep(r->arena, &plain);
        if (n->kind == KIND_MAP)
            out->kind = TG_MAP;
    }
    out->secret = v->secret || n->kind == KIND_SECRET;
    bool words = o->choices != NULL && n->kind != KIND_ENUM && !r->arena->failed;
    return words ? choose_words(r, o, at, out) : 0;
}

static void schema_path(const reader *r, const tg_pair *p, char *out, size_t len)
{
    const char *of = r->where != NULL ? r->where : "config";
    snprintf(out, len, "schema of %s.%.*s", of, (int)p->key.len, p->key.at);
}

// What the plugin's author wrote about one option, as a rule.
static int read_entry(const reader *r, const tg_pair *p, entry *n, tg_option *o)
{
    char where[WHERE_MAX];
    schema_path(r, p, where, sizeof(where));
    int rc = tg_options_read(entry_table, &p->value, n, NULL, where, r->e);
    if (rc < 0)
        return rc;
    tg_spot at = {.map = where};
    *o = (tg_option){.type = option_types[n->kind]};
    rc = take_bounds(r, n, &at, o);
    return rc < 0 ? rc : take_choices(r, n, &at, o);
}

// @return 1: the option has no value at all.
static int take_default(const reader *r, const tg_pair *p, const entry *n,
                        const tg_option *o, tg_value *out)
{
    char where[WHERE_MAX];
    schema_path(r, p, where, sizeof(where));
    tg_spot at = {.map = where, .name = TG_LIT("default")};
    bool none = n->fallback == NULL || n->fallback->kind == TG_NIL;
    return none ? 1 : take(r, n, o, n->fallback, &at, out);
}
static int read_option(const reader *r, const tg_pair *p, tg_value *out)
{
    entry n;
    tg_option o;
    int rc = read_entry(r, p, &n, &o);
    if (rc < 0)
        return rc;
    const char *name = keep_text(r->arena, p->key);
    const tg_value *v = name != NULL ? tg_value_get(r->config, name) : NULL;
    if (v != NULL && v->kind == TG_NIL)
        v = NULL;
    uint32_t line = v != NULL ? v->line : r->config != NULL ? r->config->line : 0;
    tg_spot at = {r->file, line, r->where, p->key};
    if (v == NULL && n.required && !r->defaults)
        return tg_spot_error(&at, r->e, "is required");
    if (v != NULL)
        return take(r, &n, &o, v, &at, out);
    return take_default(r, p, &n, &o, out);
}

static int check_names(const reader *r, size_t known)
{
    size_t count =
        r->config != NULL && r->config->kind == TG_MAP ? r->config->map.count : 0;
    for (size_t i = 0; i < count; i++) {
        const tg_pair *p = &r->config->map.pairs[i];
        tg_spot at = {r->file, p->value.line, r->where, p->key};
        tg_near near = {.word = p->key};
        bool found = false;
        for (size_t k = 0; k < known && !found; k++) {
            tg_slice name = r->schema->map.pairs[k].key;
            found = tg_slice_eq(name, p->key);
            const char *text = found ? NULL : keep_text(r->arena, name);
            if (text != NULL)
                tg_near_try(&near, text);
        }
        if (!found)
            return tg_spot_unknown(&at, &near, r->e);
    }
    return 0;
}

static int read_options(const reader *r, size_t known, tg_value *out)
{
    int rc = 0;
    tg_value_builder b = {.arena = r->arena};
    for (size_t i = 0; rc >= 0 && i < known; i++) {
        tg_value v = {0};
        rc = read_option(r, &r->schema->map.pairs[i], &v);
        if (rc == 0)
            tg_build(&b, keep_text(r->arena, r->schema->map.pairs[i].key), v);
    }
    if (rc < 0)
        return rc;
    if (r->arena->failed)
        return tg_error_set(r->e, TG_E_NOMEM, "out of memory");
    *out = tg_build_map(&b);
    out->line = r->config != NULL ? r->config->line : 0;
    return 0;
}

static size_t options_in(const tg_value *schema)
{
    return schema != NULL && schema->kind == TG_MAP ? schema->map.count : 0;
}

static int apply(const reader *r, tg_value *out)
{
    uint32_t line = r->config != NULL ? r->config->line : 0;
    tg_spot at = {.file = r->file, .line = line, .map = r->where};
    size_t known = options_in(r->schema);
    int rc = tg_rule_map(r->config, &at, r->e);
    if (rc == 0)
        rc = check_names(r, known);
    return rc < 0 ? rc : read_options(r, known, out);
}

int tg_schema_apply(const tg_value *schema, const tg_value *config, tg_arena *arena,
                    const char *file, const char *where, tg_value *out, tg_error *e)
{
    reader r = {schema, config, arena, file, where, e, false};
    return apply(&r, out);
}

int tg_schema_check(const tg_value *schema, const tg_value *config, const char *file,
                    const char *where, tg_error *e)
{
    tg_arena arena = {0};
    tg_value ignored;
    reader r = {schema, config, &arena, file, where, e, true};
    int rc = apply(&r, &ignored);
    tg_arena_free(&arena);
    return rc;
}

int tg_schema_defaults(const tg_value *schema, tg_arena *arena, tg_value *out)
{
    reader r = {schema, NULL, arena, NULL, NULL, NULL, true};
    return read_options(&r, options_in(schema), out);
}
