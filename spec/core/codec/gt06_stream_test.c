// SPDX-License-Identifier: Apache-2.0
// The malformed frames and streams of spec/data/gt06.jsonl through the framer alone, strict and
// lenient, in one piece and cut at every place: which frames come out, how many bytes wait, and
// which kinds of errors are told.
#include "codec/frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/json_read.h"
#include "../../support/check.h"

static tg_framer *framer(uint8_t lenient)
{
    tg_frame f[2] = {{.size = sizeof(tg_frame),
                      .kind = TG_FRAME_LENGTH,
                      .check = TG_CHECK_CRC16_X25,
                      .check_be = 1,
                      .size_width = 1,
                      .size_be = 1,
                      .lenient = lenient,
                      .magic = {"xx", 2},
                      .trailer = {"\r\n", 2},
                      .size_at = 2,
                      .size_adjust = 2,
                      .check_from = 2,
                      .check_tail = 2,
                      .min = 10,
                      .max = 260}};
    f[1] = f[0];
    f[1].magic = TG_LIT("yy");
    f[1].size_width = 2;
    f[1].min = 11;
    f[1].max = 2048;
    tg_framer *out = NULL;
    assert_int_equal(tg_framer_new(f, 2, &out, NULL), 0);
    return out;
}

typedef struct run {
    tg_buf stream, frames; ///< frames in hex, a blank behind each
    tg_buf errors; ///< their kinds
    size_t from;
} run;

static void told(run *r, tg_step step, const tg_framed *got)
{
    static const char *const names[] = {"", "", "garbage", "crc", "length", "stop", ""};
    if (step != TG_STEP_FRAME) {
        tg_buf_printf(&r->errors, "%s ", names[step]);
        return;
    }
    for (size_t i = 0; i < got->frame.len; i++)
        tg_buf_printf(&r->frames, "%02x", (uint8_t)got->frame.at[i]);
    tg_buf_putc(&r->frames, ' ');
}

static void feed(run *r, const tg_framer *f, tg_slice s)
{
    tg_step step;
    tg_buf_put(&r->stream, s.at, s.len);
    do {
        tg_framed got;
        step = tg_framer_step(f, tg_buf_slice(&r->stream), NULL, &r->from, &got);
        if (step != TG_STEP_MORE)
            told(r, step, &got);
        tg_buf_drop(&r->stream, got.used);
    } while (step != TG_STEP_MORE);
}

static void run_free(run *r)
{
    tg_buf_free(&r->stream);
    tg_buf_free(&r->frames);
    tg_buf_free(&r->errors);
}

static size_t unhex(tg_slice hex, char *out)
{
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        char pair[3] = {hex.at[i], hex.at[i + 1], 0};
        out[i / 2] = (char)strtoul(pair, NULL, 16);
    }
    return hex.len / 2;
}

/// The frames that the vector wants, as `run` has them.
static void wanted(const tg_value *expect, tg_buf *out)
{
    const tg_value *frames = tg_value_get(expect, "frames");
    for (size_t i = 0; frames != NULL && i < frames->list.count; i++) {
        tg_slice hex = tg_value_str(&frames->list.items[i], "hex", (tg_slice){0});
        tg_buf_put(out, hex.at, hex.len);
        tg_buf_putc(out, ' ');
    }
}

static void check_errors(const tg_value *expect, const run *r, tg_slice id)
{
    const tg_value *errors = tg_value_get(expect, "errors");
    for (size_t i = 0; errors != NULL && i < errors->list.count; i++) {
        char kind[32];
        tg_slice name = tg_value_str(&errors->list.items[i], "error", (tg_slice){0});
        snprintf(kind, sizeof(kind), "%.*s ", (int)name.len, name.at);
        // what is skipped behind a false start counts with it, not as garbage of its own
        bool found = r->errors.len > 0 &&
                     memmem(r->errors.at, r->errors.len, kind, strlen(kind)) != NULL;
        if (!found && (strcmp(kind, "garbage ") != 0 || r->errors.len == 0))
            fail_msg("%.*s: no error '%s'", (int)id.len, id.at, kind);
    }
}

static void check_cuts(const tg_value *expect, const tg_framer *f, tg_slice s, tg_slice id)
{
    tg_buf want = {0};
    wanted(expect, &want);
    for (size_t cut = 0; cut <= s.len; cut++) {
        run r = {0};
        feed(&r, f, (tg_slice){s.at, cut});
        feed(&r, f, (tg_slice){s.at + cut, s.len - cut});
        if (!tg_slice_eq(tg_buf_slice(&r.frames), tg_buf_slice(&want)))
            fail_msg("%.*s, cut at %zu: %.*s", (int)id.len, id.at, cut, (int)r.frames.len,
                     r.frames.len > 0 ? r.frames.at : "no frame");
        assert_int_equal(r.stream.len, tg_value_int(expect, "pending_bytes", 0));
        check_errors(expect, &r, id);
        run_free(&r);
    }
    tg_buf_free(&want);
}

static int check_line(const char *line, tg_framer *strict, tg_framer *lenient)
{
    tg_arena a = {0};
    tg_value v;
    assert_int_equal(tg_json_read(tg_str(line), &a, &v, NULL), 0);
    tg_slice kind = tg_value_str(&v, "kind", (tg_slice){0}),
             id = tg_value_str(&v, "id", kind);
    tg_slice hex = tg_value_str(&v, "hex", (tg_slice){0});
    const tg_value *expect = tg_value_get(&v, "expect");
    char *bytes = malloc(hex.len / 2 + 1);
    tg_slice s = {bytes, unhex(hex, bytes)};
    bool checks = !tg_slice_eq(kind, TG_LIT("valid"));
    if (checks) {
        const tg_value *other = tg_value_get(expect, "lenient");
        check_cuts(expect, strict, s, id);
        check_cuts(other != NULL ? other : expect, lenient, s, id);
    }
    free(bytes);
    tg_arena_free(&a);
    return checks;
}

static void frames_and_errors_are_those_of_the_vectors(void **state)
{
    (void)state;
    FILE *file = fopen("spec/data/gt06.jsonl", "r");
    if (file == NULL)
        fail_msg("spec/data/gt06.jsonl: run the tests from the root of the tree");
    tg_framer *strict = framer(0), *lenient = framer(1);
    char *line = NULL;
    size_t cap = 0;
    int n = 0;
    while (getline(&line, &cap, file) > 0)
        n += check_line(line, strict, lenient);
    assert_true(n > 50);
    free(line);
    fclose(file);
    tg_framer_free(strict);
    tg_framer_free(lenient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_and_errors_are_those_of_the_vectors),
    };
    return RUN(tests);
}
