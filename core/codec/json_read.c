// SPDX-License-Identifier: Apache-2.0
// yajl finds the tokens; numbers are ours, since yajl refuses integers beyond 64 bits and knows
// no way to keep those below exact. Its parser keeps its own stack, so depth costs it heap, not
// stack, and is bounded here.
#include "codec/json_read.h"

#include <errno.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

#define NUMBER_MAX 400 // longer than any double that is written out in full

typedef struct parser {
    const tg_json_events *on;
    void *ctx;
    unsigned depth;
    const char *why; ///< we stopped, not yajl
    int code;
} parser;

static int stop(parser *p, int code, const char *why)
{
    p->code = code;
    p->why = why;
    return 0;
}

static int told(parser *p, bool go_on)
{
    return go_on ? 1 : stop(p, TG_E_CANCELLED, "stopped by its reader");
}

static int on_null(void *ctx)
{
    parser *p = ctx;
    return told(p, p->on->nil(p->ctx));
}

static int on_boolean(void *ctx, int b)
{
    parser *p = ctx;
    return told(p, p->on->boolean(p->ctx, b != 0));
}

static int on_number(void *ctx, const char *at, size_t len)
{
    parser *p = ctx;
    char text[NUMBER_MAX + 1];
    if (len > NUMBER_MAX)
        return stop(p, TG_E_MALFORMED, "a number of more than 400 digits");
    memcpy(text, at, len);
    text[len] = '\0';
    if (strpbrk(text, ".eE") == NULL) {
        errno = 0;
        long long n = strtoll(text, NULL, 10);
        if (errno == 0)
            return told(p, p->on->integer(p->ctx, n));
    }
    return told(p, p->on->number(p->ctx, strtod(text, NULL)));
}

static int on_string(void *ctx, const unsigned char *at, size_t len)
{
    parser *p = ctx;
    return told(p, p->on->string(p->ctx, (tg_slice){(const char *)at, len}));
}

static int on_key(void *ctx, const unsigned char *at, size_t len)
{
    parser *p = ctx;
    return told(p, p->on->key(p->ctx, (tg_slice){(const char *)at, len}));
}

static int open_it(parser *p, bool map)
{
    if (++p->depth > TG_JSON_DEPTH)
        return stop(p, TG_E_LIMIT, "nested deeper than 64 levels");
    return told(p, p->on->open(p->ctx, map));
}

static int close_it(parser *p, bool map)
{
    p->depth--;
    return told(p, p->on->close(p->ctx, map));
}

static int on_map(void *ctx)
{
    return open_it(ctx, true);
}

static int on_map_end(void *ctx)
{
    return close_it(ctx, true);
}

static int on_list(void *ctx)
{
    return open_it(ctx, false);
}

static int on_list_end(void *ctx)
{
    return close_it(ctx, false);
}

static const yajl_callbacks CALLBACKS = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_list,
    .yajl_end_array = on_list_end,
};

static int explain(yajl_handle y, const parser *p, tg_error *e)
{
    size_t at = yajl_get_bytes_consumed(y);
    if (p->why != NULL)
        return tg_error_set(e, p->code, "byte %zu: %s", at, p->why);
    unsigned char *text = yajl_get_error(y, 0, NULL, 0);
    size_t len = text != NULL ? strcspn((char *)text, "\n") : 0;
    tg_error_set(e, TG_E_MALFORMED, "byte %zu: %.*s", at, (int)len,
                 len > 0 ? (char *)text : "");
    if (text != NULL)
        yajl_free_error(y, text);
    return TG_E_MALFORMED;
}

int tg_json_parse(tg_slice text, const tg_json_events *events, void *ctx, tg_error *e)
{
    parser p = {.on = events, .ctx = ctx};
    yajl_handle y = yajl_alloc(&CALLBACKS, NULL, &p);
    if (y == NULL)
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    yajl_status s = yajl_parse(y, (const unsigned char *)text.at, text.len);
    if (s == yajl_status_ok)
        s = yajl_complete_parse(y);
    int rc = s == yajl_status_ok ? 0 : explain(y, &p, e);
    yajl_free(y);
    return rc;
}

// ---- a tree -------------------------------------------------------------------------------

typedef struct level {
    tg_value_builder of;
    tg_slice key; ///< of the member that comes next
} level;

typedef struct tree {
    tg_arena *arena;
    level levels[TG_JSON_DEPTH + 1]; ///< [0] holds the whole
    unsigned depth;
    uint32_t left; ///< values that it may still have
} tree;

static bool put(tree *t, tg_value v)
{
    if (t->left == 0)
        return false;
    t->left--;
    level *l = &t->levels[t->depth];
    tg_build(&l->of, "", v);
    if (t->arena->failed)
        return false;
    l->of.pairs[l->of.count - 1].key = l->key;
    return true;
}

static bool tree_nil(void *ctx)
{
    return put(ctx, (tg_value){0});
}

static bool tree_boolean(void *ctx, bool b)
{
    return put(ctx, tg_value_of_bool(b));
}

static bool tree_integer(void *ctx, int64_t n)
{
    return put(ctx, tg_value_of_int(n));
}

static bool tree_number(void *ctx, double n)
{
    return put(ctx, tg_value_of_num(n));
}

static bool tree_string(void *ctx, tg_slice s)
{
    tree *t = ctx;
    return put(t, tg_value_of_slice(tg_arena_copy(t->arena, s)));
}

static bool tree_key(void *ctx, tg_slice s)
{
    tree *t = ctx;
    t->levels[t->depth].key = tg_arena_copy(t->arena, s);
    return !t->arena->failed;
}

static bool tree_open(void *ctx, bool map)
{
    tree *t = ctx;
    (void)map;
    t->levels[++t->depth] = (level){.of = {.arena = t->arena}};
    return true;
}

static bool tree_close(void *ctx, bool map)
{
    tree *t = ctx;
    tg_value_builder *of = &t->levels[t->depth--].of;
    return put(t, map ? tg_build_map(of) : tg_build_list(of));
}

int tg_json_read(tg_slice text, tg_arena *arena, tg_value *out, tg_error *e)
{
    static const tg_json_events events = {tree_nil,    tree_boolean, tree_integer,
                                          tree_number, tree_string,  tree_key,
                                          tree_open,   tree_close};
    tree t = {
        .arena = arena, .left = TG_JSON_VALUES, .levels = {[0] = {.of = {.arena = arena}}}};
    int rc = tg_json_parse(text, &events, &t, e);
    if (arena->failed)
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    if (rc < 0 && t.left == 0)
        return tg_error_set(e, TG_E_LIMIT, "more than %d values", TG_JSON_VALUES);
    if (rc < 0)
        return rc;
    *out = t.levels[0].of.pairs[0].value;
    return 0;
}
