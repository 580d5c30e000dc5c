// SPDX-License-Identifier: Apache-2.0
// Names first, then values: a misspelt option is reported as that, not as the missing one that
// it was meant to be. Defaults take the same way as what the config says, so that a wrong
// default in a table is found by the first test that reads it.
#include "base/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rule.h"

#define PATH_MAX_LEN 256

typedef struct reader {
    const char *file;
    const char *where;
    const tg_value *map; // NULL: empty
    void *out;
    bool absent; // a group that is not there: its required members are not missed
} reader;

static int read_table(const tg_option *table, const reader *r, tg_error *e);

static const tg_option *find(const tg_option *table, tg_slice name)
{
    for (; table->name != NULL; table++)
        if (tg_slice_eq(tg_str(table->name), name))
            return table;
    return NULL;
}

static int check_names(const tg_option *table, const reader *r, tg_error *e)
{
    size_t n = r->map != NULL && r->map->kind == TG_MAP ? r->map->map.count : 0;
    for (size_t i = 0; i < n; i++) {
        const tg_pair *p = &r->map->map.pairs[i];
        if (find(table, p->key) != NULL)
            continue;
        tg_spot at = {r->file, p->value.line, r->where, p->key};
        tg_near near = {.word = p->key};
        for (const tg_option *o = table; o->name != NULL; o++)
            tg_near_try(&near, o->name);
        return tg_spot_unknown(&at, &near, e);
    }
    return 0;
}

static void store(const tg_option *o, const tg_value *plain, const tg_value *v, void *out)
{
    void *to = (char *)out + o->offset;
    switch ((tg_option_type)o->type) {
    case TG_OPT_BOOL:
        memcpy(to, &plain->boolean, sizeof(plain->boolean));
        break;
    case TG_OPT_INT:
    case TG_OPT_DURATION:
    case TG_OPT_SIZE:
    case TG_OPT_ENUM:
        memcpy(to, &plain->integer, sizeof(plain->integer));
        break;
    case TG_OPT_NUM:
        memcpy(to, &plain->number, sizeof(plain->number));
        break;
    case TG_OPT_STR:
        memcpy(to, &plain->string, sizeof(plain->string));
        break;
    case TG_OPT_ANY:
    case TG_OPT_MAP:
    case TG_OPT_LIST:
        memcpy(to, &v, sizeof(void *));
        break;
    case TG_OPT_GROUP:
        break; // its members were stored one by one
    }
}

// The default as a value of the config: numbers and booleans are written without quotes there.
static tg_value fallback_of(const tg_option *o)
{
    if (o->type == TG_OPT_BOOL)
        return tg_value_of_bool(strcmp(o->fallback, "true") == 0);
    if (o->type == TG_OPT_INT)
        return tg_value_of_int(strtoll(o->fallback, NULL, 10));
    if (o->type == TG_OPT_NUM)
        return tg_value_of_num(strtod(o->fallback, NULL));
    return tg_value_of_str(o->fallback);
}

static void store_default(const tg_option *o, const tg_spot *at, void *out)
{
    tg_value zero = {0}, plain = zero;
    if (o->fallback != NULL && o->type <= TG_OPT_ENUM) {
        tg_value v = fallback_of(o);
        int rc = tg_rule_take(o, &v, at, &plain, NULL);
        assert(rc == 0);
    }
    store(o, &plain, NULL, out);
}

static int read_group(const tg_option *o, const tg_value *v, const reader *r, tg_error *e)
{
    char where[PATH_MAX_LEN];
    bool inside = r->where != NULL && r->where[0] != '\0';
    snprintf(where, sizeof(where), "%s%s%s", inside ? r->where : "", inside ? "." : "",
             o->name);
    reader inner = {r->file, where, v, (char *)r->out + o->offset, v == NULL};
    return read_table(o->group, &inner, e);
}

static int read_one(const tg_option *o, const reader *r, tg_error *e)
{
    const tg_value *v = tg_value_get(r->map, o->name);
    if (v != NULL && v->kind == TG_NIL)
        v = NULL;
    uint32_t line = v != NULL ? v->line : r->map != NULL ? r->map->line : 0;
    tg_spot at = {r->file, line, r->where, tg_str(o->name)};
    if (v == NULL && o->required && !r->absent)
        return tg_spot_error(&at, e, "is required");
    if (o->type == TG_OPT_GROUP)
        return read_group(o, v, r, e);
    if (v == NULL) {
        store_default(o, &at, r->out);
        return 0;
    }
    tg_value plain;
    int rc = tg_rule_take(o, v, &at, &plain, e);
    if (rc == 0)
        store(o, &plain, v, r->out);
    return rc;
}

static int read_table(const tg_option *table, const reader *r, tg_error *e)
{
    tg_spot at = {
        .file = r->file, .line = r->map != NULL ? r->map->line : 0, .map = r->where};
    int rc = tg_rule_map(r->map, &at, e);
    if (rc == 0)
        rc = check_names(table, r, e);
    for (; rc == 0 && table->name != NULL; table++)
        rc = read_one(table, r, e);
    return rc;
}

int tg_options_read(const tg_option *table, const tg_value *v, void *out, const char *file,
                    const char *where, tg_error *e)
{
    reader r = {file, where, v, out, false};
    return read_table(table, &r, e);
}
