// SPDX-License-Identifier: Apache-2.0
// An error has to say enough to be mended without a manual: where it stands, which option,
// what would be right, and what was found.
#include "base/rule.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/quantity.h"
#include "base/utf8.h"

#define SHOWN_MAX 40 // bytes of a wrong string that an error repeats

int tg_spot_error(const tg_spot *at, tg_error *e, const char *fmt, ...)
{
    char text[sizeof(e->message)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char path[256] = "", place[256] = "";
    bool inside = at->map != NULL && at->map[0] != '\0';
    snprintf(path, sizeof(path), "%s%s%.*s", inside ? at->map : "",
             inside && at->name.len > 0 ? "." : "", (int)at->name.len, at->name.at);
    if (at->file != NULL && at->line > 0)
        snprintf(place, sizeof(place), "%s:%" PRIu32 ": ", at->file, at->line);
    else if (at->file != NULL)
        snprintf(place, sizeof(place), "%s: ", at->file);
    return tg_error_set(e, TG_E_INVAL, "%s%s%s%s", place, path, path[0] != '\0' ? ": " : "",
                        text);
}

int tg_spot_unknown(const tg_spot *at, const tg_near *near, tg_error *e)
{
    if (near->name == NULL)
        return tg_spot_error(at, e, "no such option");
    return tg_spot_error(at, e, "no such option; did you mean '%s'?", near->name);
}

static void put_bound(tg_buf *b, const tg_option *o, double n)
{
    if (o->type == TG_OPT_DURATION)
        tg_put_duration(b, (int64_t)n);
    else if (o->type == TG_OPT_SIZE)
        tg_put_size(b, (int64_t)n);
    else
        tg_buf_printf(b, "%.17g", n);
}

static bool bounded(const tg_option *o)
{
    return o->min != 0 || o->max != 0;
}

static void put_range(tg_buf *b, const tg_option *o)
{
    bool low = o->min > -TG_UNBOUNDED, high = o->max >= o->min && o->max < TG_UNBOUNDED;
    if (!bounded(o) || (!low && !high))
        return;
    tg_buf_puts(b, !high ? " of at least " : !low ? " of at most " : " from ");
    put_bound(b, o, low ? o->min : o->max);
    if (!low || !high)
        return;
    tg_buf_puts(b, " to ");
    put_bound(b, o, o->max);
}

static void put_choices(tg_buf *b, const tg_option *o)
{
    tg_buf_puts(b, "one of");
    for (size_t i = 0; o->choices[i] != NULL; i++)
        tg_buf_printf(b, "%s '%s'", i > 0 ? "," : "", o->choices[i]);
}

static void put_expected(tg_buf *b, const tg_option *o)
{
    static const char *const words[] = {
        [TG_OPT_BOOL] = "true or false",
        [TG_OPT_INT] = "an integer",
        [TG_OPT_NUM] = "a number",
        [TG_OPT_STR] = "a string",
        [TG_OPT_DURATION] = "a duration (\"5s\", \"100ms\", \"10m\", \"2h\", \"1d\")",
        [TG_OPT_SIZE] = "a size (\"64KiB\", \"2MiB\", \"1GiB\")",
        [TG_OPT_ANY] = "a value",
        [TG_OPT_MAP] = "a map",
        [TG_OPT_LIST] = "a list",
        [TG_OPT_GROUP] = "a map",
    };
    if (o->type == TG_OPT_ENUM) {
        put_choices(b, o);
        return;
    }
    tg_buf_puts(b, words[o->type]);
    put_range(b, o);
}

static void put_string(tg_buf *b, tg_slice s)
{
    tg_buf_putc(b, '\'');
    size_t i = 0;
    for (size_t len; i < s.len && i < SHOWN_MAX; i += len) {
        len = tg_utf8_len(s.at + i, s.len - i);
        bool shown = len > 0 && (unsigned char)s.at[i] >= 0x20 && s.at[i] != 0x7f;
        tg_buf_put(b, shown ? s.at + i : "?", shown ? len : 1);
        len = len > 0 ? len : 1;
    }
    tg_buf_puts(b, i < s.len ? "…'" : "'");
}

static void put_got(tg_buf *b, const tg_value *v)
{
    if (v->secret)
        tg_buf_puts(b, "a secret");
    else if (v->kind == TG_STR)
        put_string(b, v->string);
    else if (v->kind == TG_INT)
        tg_buf_printf(b, "%" PRId64, v->integer);
    else if (v->kind == TG_NUM)
        tg_buf_printf(b, "%.15g", v->number);
    else if (v->kind == TG_BOOL)
        tg_buf_puts(b, v->boolean ? "true" : "false");
    else
        tg_buf_printf(b, "%s%s", v->kind == TG_NIL ? "" : "a ", tg_kind_name(v->kind));
}

static int wrong(const tg_option *o, const tg_value *v, const tg_spot *at, tg_error *e)
{
    tg_buf b = {0};
    tg_buf_puts(&b, "expected ");
    put_expected(&b, o);
    tg_buf_puts(&b, ", got ");
    put_got(&b, v);
    tg_near near = {.word = v->kind == TG_STR && !v->secret ? v->string : (tg_slice){0}};
    for (size_t i = 0; o->type == TG_OPT_ENUM && o->choices[i] != NULL; i++)
        tg_near_try(&near, o->choices[i]);
    if (near.name != NULL)
        tg_buf_printf(&b, "; did you mean '%s'?", near.name);
    int rc = b.failed ? tg_spot_error(at, e, "wrong value")
                      : tg_spot_error(at, e, "%.*s", (int)b.len, b.at);
    tg_buf_free(&b);
    return rc;
}

static bool within(const tg_option *o, double n)
{
    return !bounded(o) || (n >= o->min && (o->max < o->min || n <= o->max));
}

static bool take_int(const tg_value *v, int64_t *out)
{
    if (v->kind == TG_INT) {
        *out = v->integer;
        return true;
    }
    if (v->kind != TG_NUM || v->number != floor(v->number) ||
        fabs(v->number) > TG_UNBOUNDED)
        return false;
    *out = (int64_t)v->number;
    return true;
}

static bool take_quantity(const tg_option *o, const tg_value *v, int64_t *out)
{
    bool duration = o->type == TG_OPT_DURATION;
    if (v->kind == TG_STR)
        *out = duration ? tg_parse_duration(v->string) : tg_parse_size(v->string);
    else if (duration && (v->kind == TG_INT || v->kind == TG_NUM))
        *out = tg_seconds_to_ms(v->kind == TG_INT ? (double)v->integer : v->number);
    else if (duration || !take_int(v, out))
        return false;
    return *out >= 0;
}

/// A choice that looks like a number may be written as one: edition = 2019.
static bool take_choice(const tg_option *o, const tg_value *v, int64_t *out)
{
    char digits[24];
    tg_slice chosen = v->kind == TG_STR ? v->string : (tg_slice){0};
    if (v->kind == TG_INT) {
        snprintf(digits, sizeof(digits), "%" PRId64, v->integer);
        chosen = tg_str(digits);
    }
    for (size_t i = 0; o->choices[i] != NULL; i++) {
        if (!tg_slice_eq(chosen, tg_str(o->choices[i])))
            continue;
        *out = (int64_t)i;
        return true;
    }
    return false;
}

static bool take_num(const tg_value *v, double *out)
{
    if (v->kind == TG_INT)
        *out = (double)v->integer;
    else if (v->kind == TG_NUM && isfinite(v->number))
        *out = v->number;
    else
        return false;
    return true;
}

static bool empty_table(const tg_value *v)
{
    return (v->kind == TG_LIST && v->list.count == 0) ||
           (v->kind == TG_MAP && v->map.count == 0);
}

// Sets the member that the option's type has. @return false: not of the type, or out of range.
static bool convert(const tg_option *o, const tg_value *v, tg_value *out)
{
    switch ((tg_option_type)o->type) {
    case TG_OPT_BOOL:
        return v->kind == TG_BOOL;
    case TG_OPT_INT:
        out->kind = TG_INT;
        return take_int(v, &out->integer) && within(o, (double)out->integer);
    case TG_OPT_DURATION:
    case TG_OPT_SIZE:
        out->kind = TG_INT;
        return take_quantity(o, v, &out->integer) && within(o, (double)out->integer);
    case TG_OPT_NUM:
        out->kind = TG_NUM;
        return take_num(v, &out->number) && within(o, out->number);
    case TG_OPT_ENUM:
        out->kind = TG_INT;
        return take_choice(o, v, &out->integer);
    case TG_OPT_STR:
        return v->kind == TG_STR;
    case TG_OPT_MAP:
    case TG_OPT_GROUP:
        return v->kind == TG_MAP || empty_table(v);
    case TG_OPT_LIST:
        return v->kind != TG_MAP || empty_table(v);
    case TG_OPT_ANY:
        return true;
    }
    return false;
}

int tg_rule_take(const tg_option *o, const tg_value *v, const tg_spot *at, tg_value *out,
                 tg_error *e)
{
    tg_value plain = *v;
    if (!convert(o, v, &plain))
        return wrong(o, v, at, e);
    *out = plain;
    return 0;
}

int tg_rule_map(const tg_value *v, const tg_spot *at, tg_error *e)
{
    static const tg_option map = {.type = TG_OPT_MAP};
    if (v == NULL || v->kind == TG_NIL || v->kind == TG_MAP || empty_table(v))
        return 0;
    return wrong(&map, v, at, e);
}
