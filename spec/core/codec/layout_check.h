// SPDX-License-Identifier: Apache-2.0
/// What the layout tests share: bytes in hex, values as the JSON that they become.
#ifndef TG_SPEC_LAYOUT_CHECK_H
#define TG_SPEC_LAYOUT_CHECK_H

#include <stdlib.h>

#include "../../support/check.h"
#include "codec/json_read.h"
#include "codec/layout.h"

static inline size_t unhex(const char *text, char *out)
{
    size_t n = 0;
    while (*text != '\0') {
        char pair[3] = {text[0], text[1], 0};
        if (*text == ' ') {
            text++;
            continue;
        }
        out[n++] = (char)strtoul(pair, NULL, 16);
        text += 2;
    }
    return n;
}

static inline tg_layout *compiled(const char *text)
{
    tg_layout *l = NULL;
    tg_error e = {0};
    if (tg_layout_compile(tg_str(text), &l, &e) < 0)
        fail_msg("%s: %s", text, e.message);
    return l;
}

/// Decodes, whatever comes of it. @return the JSON, to be freed; and the result.
static inline char *decoded(const tg_layout *l, const char *hex, int *rc, size_t *next,
                            tg_error *e)
{
    // in memory of just that size, so that a sanitizer sees each byte read too far
    char all[2048];
    size_t len = unhex(hex, all);
    char *bytes = malloc(len > 0 ? len : 1);
    memcpy(bytes, all, len);
    tg_slice s = {bytes, len};
    tg_tape *t = tg_tape_new();
    tg_buf out = {0};
    *rc = tg_layout_decode(l, s, 0, NULL, t, next, e);
    assert_int_equal(tg_tape_json(l, t, s, &out), 0);
    tg_buf_putc(&out, '\0');
    tg_tape_free(t);
    free(bytes);
    return out.at;
}

static inline void shows_with(const tg_layout *l, const char *hex, const char *json)
{
    tg_error e = {0};
    int rc;
    size_t next;
    char *got = decoded(l, hex, &rc, &next, &e);
    if (rc < 0)
        fail_msg("%s", e.message);
    assert_string_equal(got, json);
    free(got);
}

static inline void shows(const char *text, const char *hex, const char *json)
{
    tg_layout *l = compiled(text);
    shows_with(l, hex, json);
    tg_layout_unref(l);
}

/// The bytes become that JSON, and that JSON those bytes again.
static inline void both_ways(const char *text, const char *hex, const char *json)
{
    tg_layout *l = compiled(text);
    char want[2048];
    size_t len = unhex(hex, want);
    shows_with(l, hex, json);
    tg_arena a = {0};
    tg_value v;
    tg_buf out = {0};
    tg_error e = {0};
    assert_int_equal(tg_json_read(tg_str(json), &a, &v, &e), 0);
    if (tg_layout_encode_value(l, &v, NULL, &out, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.at, want, len);
    tg_buf_free(&out);
    tg_arena_free(&a);
    tg_layout_unref(l);
}

static inline void ends_early(const char *text, const char *hex, const char *json,
                              const char *why)
{
    tg_layout *l = compiled(text);
    tg_error e = {0};
    int rc;
    size_t next;
    char *got = decoded(l, hex, &rc, &next, &e);
    assert_int_equal(rc, TG_E_MALFORMED);
    assert_string_equal(e.message, why);
    assert_string_equal(got, json);
    free(got);
    tg_layout_unref(l);
}

static inline void refuses(const char *text, const char *why)
{
    tg_layout *l = NULL;
    tg_error e = {0};
    int rc = tg_layout_compile(tg_str(text), &l, &e);
    assert_int_equal(rc, TG_E_INVAL);
    assert_string_equal(e.message, why);
}

static inline void will_not_encode(const char *text, const char *json, const char *why)
{
    tg_layout *l = compiled(text);
    tg_arena a = {0};
    tg_value v;
    tg_buf out = {0};
    tg_error e = {0};
    tg_buf_puts(&out, "x");
    assert_int_equal(tg_json_read(tg_str(json), &a, &v, &e), 0);
    assert_int_equal(tg_layout_encode_value(l, &v, NULL, &out, &e), TG_E_INVAL);
    assert_string_equal(e.message, why);
    assert_int_equal(out.len, 1);
    tg_buf_free(&out);
    tg_arena_free(&a);
    tg_layout_unref(l);
}

#endif
