// SPDX-License-Identifier: Apache-2.0
// Everything is read through option tables, so a mistyped key is named with the right one
// beside it. Lengths that follow from others have defaults: most frames need four lines.
#include "lua/declare.h"

#include <stdio.h>

#define API_VERSION 1
#define MAX_FORMS 16

static const char *const kinds[] = {"raw",  "length", "escaped", "delimiter",
                                    "line", "fixed",  NULL};
static const char *const orders[] = {"connection", "device", NULL};
static const char *const session_words[] = {"one", "many", NULL};

typedef struct frame_options {
    int64_t kind;
    const tg_value *magic, *size, *escapes;
    tg_slice trailer, check, escape, guard;
    bool check_be, lenient;
    int64_t size_at, size_adjust, check_from, check_tail, min, max, stall, guard_at;
    int64_t counted_at;
} frame_options;

#define AT(m) offsetof(frame_options, m)
static const tg_option frame_table[] = {
    {.name = "kind",
     .type = TG_OPT_ENUM,
     .required = true,
     .offset = AT(kind),
     .choices = kinds},
    {.name = "magic", .type = TG_OPT_ANY, .offset = AT(magic)},
    {.name = "size", .type = TG_OPT_ANY, .offset = AT(size)},
    {.name = "size_at",
     .type = TG_OPT_INT,
     .offset = AT(size_at),
     .fallback = "-1",
     .min = -1,
     .max = 1024},
    {.name = "size_adjust",
     .type = TG_OPT_INT,
     .offset = AT(size_adjust),
     .min = -65536,
     .max = 65536},
    {.name = "counted_at",
     .type = TG_OPT_INT,
     .offset = AT(counted_at),
     .min = 0,
     .max = 1024},
    {.name = "min", .type = TG_OPT_SIZE, .offset = AT(min)},
    {.name = "max", .type = TG_OPT_SIZE, .offset = AT(max), .fallback = "8KiB"},
    {.name = "check", .type = TG_OPT_STR, .offset = AT(check)},
    {.name = "check_be", .type = TG_OPT_BOOL, .offset = AT(check_be)},
    {.name = "check_from",
     .type = TG_OPT_INT,
     .offset = AT(check_from),
     .min = 0,
     .max = 65536},
    {.name = "check_tail",
     .type = TG_OPT_INT,
     .offset = AT(check_tail),
     .fallback = "-1",
     .min = -1,
     .max = 65536},
    {.name = "trailer", .type = TG_OPT_STR, .offset = AT(trailer)},
    {.name = "escape", .type = TG_OPT_STR, .offset = AT(escape)},
    {.name = "escapes", .type = TG_OPT_LIST, .offset = AT(escapes)},
    {.name = "lenient", .type = TG_OPT_BOOL, .offset = AT(lenient)},
    {.name = "stall", .type = TG_OPT_DURATION, .offset = AT(stall)},
    {.name = "guard", .type = TG_OPT_STR, .offset = AT(guard)},
    {.name = "guard_at", .type = TG_OPT_INT, .offset = AT(guard_at), .min = 0, .max = 1024},
    {.name = NULL},
};
#undef AT

/// "u16be" and the like; "varint" is a base-128 number.
static int read_size(const tg_value *v, tg_frame *f, tg_error *e)
{
    static const struct {
        const char *name;
        uint8_t width, be;
    } widths[] = {{"u8", 1, 0},    {"u16be", 2, 1}, {"u16le", 2, 0}, {"u24be", 3, 1},
                  {"u24le", 3, 0}, {"u32be", 4, 1}, {"u32le", 4, 0}, {"varint", 0, 0}};
    const char *names[8];
    if (v == NULL || v->kind != TG_STR)
        return tg_error_set(e, TG_E_INVAL,
                            "size: a length frame needs one, e.g. \"u16be\"");
    for (size_t i = 0; i < 8; i++) {
        names[i] = widths[i].name;
        if (!tg_slice_eq(v->string, tg_str(names[i])))
            continue;
        f->size_width = widths[i].width;
        f->size_be = widths[i].be;
        return 0;
    }
    const char *near = tg_nearest(v->string, names, 8);
    return tg_error_set(e, TG_E_INVAL, "size: no such type '%.*s'; did you mean '%s'?",
                        (int)v->string.len, v->string.at, near != NULL ? near : "u16be");
}

static int read_check(tg_slice name, tg_frame *f, tg_error *e)
{
    static const char *const names[] = {"xor8",        "sum8",      "crc16/modbus",
                                        "crc16/ccitt", "crc16/x25", "crc32"};
    if (name.len == 0)
        return 0;
    int check = tg_check_from(name);
    if (check >= 0) {
        f->check = (uint8_t)check;
        return 0;
    }
    const char *near = tg_nearest(name, names, sizeof(names) / sizeof(*names));
    return tg_error_set(e, TG_E_INVAL, "check: no such checksum '%.*s'; did you mean '%s'?",
                        (int)name.len, name.at, near != NULL ? near : "crc16/modbus");
}

static int read_escapes(const frame_options *o, tg_frame *f, tg_error *e)
{
    if (f->kind != TG_FRAME_ESCAPED)
        return 0;
    if (o->escape.len != 1)
        return tg_error_set(e, TG_E_INVAL, "escape: one byte, e.g. \"\\x7D\"");
    f->escape = (uint8_t)o->escape.at[0];
    const tg_value *list = o->escapes;
    if (list == NULL || list->kind != TG_LIST || list->list.count > TG_FRAME_ESCAPES)
        return tg_error_set(e, TG_E_INVAL, "escapes: a list of up to %d pairs",
                            TG_FRAME_ESCAPES);
    for (size_t i = 0; i < list->list.count; i++) {
        const tg_value *pair = &list->list.items[i];
        for (size_t k = 0; k < 2; k++) {
            bool good = pair->kind == TG_LIST && pair->list.count == 2 &&
                        pair->list.items[k].kind == TG_STR &&
                        pair->list.items[k].string.len == 1;
            if (!good)
                return tg_error_set(e, TG_E_INVAL,
                                    "escapes[%zu]: two bytes, the one behind "
                                    "the escape byte and what it means",
                                    i + 1);
            f->escapes[i][k] = (uint8_t)pair->list.items[k].string.at[0];
        }
    }
    f->nescapes = (uint8_t)list->list.count;
    return 0;
}

static int read_form(const tg_value *v, const char *where, frame_options *o, tg_frame *f,
                     tg_error *e)
{
    int rc = tg_options_read(frame_table, v, o, NULL, where, e);
    if (rc != 0)
        return rc;
    *f = (tg_frame){.size = sizeof(*f), .kind = (uint8_t)o->kind, .check_be = o->check_be};
    f->trailer = o->trailer;
    f->lenient = o->lenient;
    f->size_adjust = (int32_t)o->size_adjust;
    f->check_from = (uint32_t)o->check_from;
    f->check_tail = (uint32_t)(o->check_tail < 0 ? (int64_t)o->trailer.len : o->check_tail);
    f->min = (uint32_t)o->min;
    f->max = (uint32_t)o->max;
    f->stall_ms = (uint32_t)o->stall;
    f->guard = o->guard;
    f->guard_at = (uint32_t)o->guard_at;
    f->counted_at = (uint32_t)o->counted_at;
    if (f->kind == TG_FRAME_FIXED) {
        if (o->size == NULL || o->size->kind != TG_INT || o->size->integer < 1)
            return tg_error_set(e, TG_E_INVAL, "%s.size: a fixed frame needs its bytes",
                                where);
        f->max = (uint32_t)o->size->integer;
    }
    if (f->kind == TG_FRAME_LENGTH)
        rc = read_size(o->size, f, e);
    if (rc == 0)
        rc = read_check(o->check, f, e);
    if (rc == 0)
        rc = read_escapes(o, f, e);
    return rc == 0 || strncmp(e->message, where, strlen(where)) == 0
               ? rc
               : (tg_error_set(e, rc, "%s.%s", where, strdupa(e->message)), rc);
}

/// One frame per magic; the place of the size follows the magic unless it is said.
static int add_forms(const frame_options *o, const tg_frame *form, tg_frame *out,
                     uint32_t *n, const char *where, tg_error *e)
{
    const tg_value none = tg_value_of_slice((tg_slice){"", 0});
    const tg_value *magic = o->magic != NULL ? o->magic : &none;
    const tg_value *items = magic->kind == TG_LIST ? magic->list.items : magic;
    size_t count = magic->kind == TG_LIST ? magic->list.count : 1;
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != TG_STR)
            return tg_error_set(e, TG_E_INVAL, "%s.magic: a string or a list of strings",
                                where);
        if (*n == MAX_FORMS)
            return tg_error_set(e, TG_E_INVAL, "frame: more than %d forms", MAX_FORMS);
        tg_frame *f = &out[(*n)++];
        *f = *form;
        f->magic = items[i].string;
        f->size_at = (uint32_t)(o->size_at < 0 ? (int64_t)f->magic.len : o->size_at);
    }
    return 0;
}

int tg_frames_declare(const tg_value *v, tg_arena *arena, tg_frame **out, uint32_t *n,
                      tg_error *e)
{
    *n = 0;
    *out = NULL;
    if (v == NULL || v->kind == TG_NIL)
        return tg_error_set(e, TG_E_INVAL,
                            "frame: how does the stream fall into frames? "
                            "A table, or \"raw\"");
    if (v->kind == TG_STR && tg_slice_eq(v->string, TG_LIT("raw")))
        return 0;
    const tg_value *items = v->kind == TG_LIST ? v->list.items : v;
    size_t count = v->kind == TG_LIST ? v->list.count : 1;
    *out = tg_arena_alloc(arena, MAX_FORMS * sizeof(**out));
    if (*out == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        char where[32];
        snprintf(where, sizeof(where), v->kind == TG_LIST ? "frame[%zu]" : "frame", i + 1);
        frame_options o = {0};
        tg_frame form;
        if (items[i].kind != TG_MAP)
            return tg_error_set(e, TG_E_INVAL, "%s: a table, or \"raw\"", where);
        int rc = read_form(&items[i], where, &o, &form, e);
        if (rc == 0)
            rc = add_forms(&o, &form, *out, n, where, e);
        if (rc != 0)
            return rc;
        if (form.kind == TG_FRAME_RAW && (count > 1 || *n > 1))
            return tg_error_set(e, TG_E_INVAL, "%s: raw cannot be one of several", where);
        if (form.kind == TG_FRAME_RAW)
            *n = 0;
    }
    return 0;
}

typedef struct adapter_options {
    tg_slice id, version;
    int64_t api, state_version, order, sessions, expiry;
    const tg_value *transports, *frame, *config, *topic, *down;
} adapter_options;

#define AT(m) offsetof(adapter_options, m)
static const tg_option adapter_table[] = {
    {.name = "id", .type = TG_OPT_STR, .required = true, .offset = AT(id)},
    {.name = "version", .type = TG_OPT_STR, .offset = AT(version), .fallback = "0.0.0"},
    {.name = "api",
     .type = TG_OPT_INT,
     .required = true,
     .offset = AT(api),
     .min = 0,
     .max = 1000},
    {.name = "transports", .type = TG_OPT_LIST, .offset = AT(transports)},
    {.name = "state_version",
     .type = TG_OPT_INT,
     .offset = AT(state_version),
     .fallback = "1",
     .min = 1,
     .max = 1000000},
    {.name = "order",
     .type = TG_OPT_ENUM,
     .offset = AT(order),
     .choices = orders,
     .fallback = "connection"},
    {.name = "sessions",
     .type = TG_OPT_ENUM,
     .offset = AT(sessions),
     .choices = session_words,
     .fallback = "one"},
    {.name = "expiry", .type = TG_OPT_DURATION, .offset = AT(expiry)},
    {.name = "frame", .type = TG_OPT_ANY, .offset = AT(frame)},
    {.name = "config", .type = TG_OPT_MAP, .offset = AT(config)},
    {.name = "topic", .type = TG_OPT_ANY, .offset = AT(topic)},
    {.name = "down", .type = TG_OPT_ANY, .offset = AT(down)},
    {.name = NULL},
};
#undef AT

static const char *keep(tg_arena *arena, tg_slice s)
{
    char *at = tg_arena_alloc(arena, s.len + 1);
    if (at != NULL && s.len > 0)
        memcpy(at, s.at, s.len);
    return at;
}

static int check_id(tg_slice id, tg_error *e)
{
    bool good = id.len > 0 && id.len < 64;
    for (size_t i = 0; good && i < id.len; i++) {
        char c = id.at[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    }
    return good ? 0 : tg_error_set(e, TG_E_INVAL, "id: 1 to 63 of a-z A-Z 0-9 . _ -");
}

static int read_transports(const tg_value *v, uint32_t *out, tg_error *e)
{
    static const char *const names[] = {"tcp", "tls", "udp", "dtls", "ws"};
    *out = 0;
    if (v == NULL) {
        *out = TG_TCP | TG_TLS;
        return 0;
    }
    const tg_value *items = v->kind == TG_LIST ? v->list.items : v;
    size_t count = v->kind == TG_LIST ? v->list.count : 1;
    for (size_t i = 0; i < count; i++) {
        tg_slice word = items[i].kind == TG_STR ? items[i].string : TG_LIT("?");
        uint32_t bit = 0;
        for (uint32_t k = 0; k < 5; k++)
            if (tg_slice_eq(word, tg_str(names[k])))
                bit = 1u << k;
        if (bit == 0)
            return tg_error_set(e, TG_E_INVAL, "transports: no such transport '%.*s'",
                                (int)word.len, word.at);
        *out |= bit;
    }
    return 0;
}

/// @param fallback with the adapter's id for %s.
static int read_topic(const tg_value *v, const char *name, const char *fallback,
                      const char *id, tg_arena *arena, tg_template *out, tg_error *e)
{
    char text[128];
    snprintf(text, sizeof(text), "%s/%s", id, fallback);
    tg_slice s = tg_str(text);
    if (v != NULL && v->kind == TG_BOOL && !v->boolean)
        s.len = 0;
    else if (v != NULL && v->kind == TG_STR)
        s = v->string;
    else if (v != NULL)
        return tg_error_set(e, TG_E_INVAL, "%s: a topic, or false", name);
    int rc = tg_template_parse(s, arena, out, e);
    return rc == 0 ? 0 : tg_error_prefix(e, "%s", name);
}

int tg_adapter_declare(const tg_value *options, tg_arena *arena, tg_adapter_decl *out,
                       tg_error *e)
{
    adapter_options o = {0};
    tg_adapter_decl d = {0};
    int rc = tg_options_read(adapter_table, options, &o, NULL, "tg.adapter", e);
    if (rc == 0)
        rc = check_id(o.id, e);
    if (rc == 0 && o.api != API_VERSION)
        rc = tg_error_set(e, TG_E_VERSION, "api: this host offers %d", API_VERSION);
    if (rc == 0)
        rc = read_transports(o.transports, &d.transports, e);
    if (rc == 0)
        rc = tg_frames_declare(o.frame, arena, &d.frames, &d.nframes, e);
    if (rc != 0)
        return rc;
    d.id = keep(arena, o.id);
    d.version = keep(arena, o.version);
    d.state_version = o.state_version;
    d.order = o.order;
    d.sessions_many = o.sessions;
    d.expiry_ms = o.expiry;
    if (o.config != NULL)
        d.config = *o.config;
    if (arena->failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    rc = read_topic(o.topic, "topic", "${device}/${type}", d.id, arena, &d.topic, e);
    if (rc == 0)
        rc = read_topic(o.down, "down", "${device}/down", d.id, arena, &d.down, e);
    if (rc == 0 && d.nframes > 0)
        rc = tg_framer_new(d.frames, d.nframes, &d.framer, e);
    if (rc == 0)
        *out = d;
    return rc;
}

void tg_adapter_decl_free(tg_adapter_decl *d)
{
    tg_framer_free(d->framer);
    d->framer = NULL;
}

typedef struct auth_options {
    tg_slice id, version;
    int64_t api;
    const tg_value *config;
} auth_options;

#define AT(m) offsetof(auth_options, m)
static const tg_option auth_table[] = {
    {.name = "id", .type = TG_OPT_STR, .required = true, .offset = AT(id)},
    {.name = "version", .type = TG_OPT_STR, .offset = AT(version), .fallback = "0.0.0"},
    {.name = "api",
     .type = TG_OPT_INT,
     .required = true,
     .offset = AT(api),
     .min = 0,
     .max = 1000},
    {.name = "config", .type = TG_OPT_MAP, .offset = AT(config)},
    {.name = NULL},
};
#undef AT

int tg_auth_declare(const tg_value *options, tg_arena *arena, tg_auth_decl *out,
                    tg_error *e)
{
    auth_options o = {0};
    int rc = tg_options_read(auth_table, options, &o, NULL, "tg.auth", e);
    if (rc == 0)
        rc = check_id(o.id, e);
    if (rc == 0 && o.api != API_VERSION)
        rc = tg_error_set(e, TG_E_VERSION, "api: this host offers %d", API_VERSION);
    if (rc != 0)
        return rc;
    *out = (tg_auth_decl){.id = keep(arena, o.id), .version = keep(arena, o.version)};
    if (o.config != NULL)
        out->config = *o.config;
    return arena->failed ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
}
