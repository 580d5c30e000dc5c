// SPDX-License-Identifier: Apache-2.0
// Framers: the declarations, checked once, and the choice of one by the first bytes. Each step
// looks at the front of the stream only and says what to take off it, so the caller owns the
// bytes and a framer is shared by all connections. What happens to wrong pieces is in
// frame_step.c; the rule is that after any of them the search goes on with the next magic.
#include "codec/framer.h"

#include <assert.h>
#include <stdlib.h>

#define MAX_FRAME (16u << 20)
#define STALL_MS 10000u

static const tg_framer *check(const tg_framer *f)
{
    assert(f != NULL && f->magic == FRAMER_MAGIC);
    return f;
}

// ---- declarations -------------------------------------------------------------------------

static int wrong(tg_error *e, uint32_t i, const char *member, const char *why)
{
    return tg_error_set(e, TG_E_INVAL, "frame[%u].%s: %s", (unsigned)(i + 1), member, why);
}

static bool escapes_to(const tg_frame *d, uint8_t byte)
{
    for (unsigned i = 0; i < d->nescapes; i++)
        if (d->escapes[i][1] == byte)
            return true;
    return false;
}

static int check_escaped(const tg_frame *d, uint32_t i, tg_error *e)
{
    if (d->magic.len != 1)
        return wrong(e, i, "magic", "an escaped frame needs one flag byte");
    uint8_t flag = (uint8_t)d->magic.at[0];
    if (d->escape == flag)
        return wrong(e, i, "escape", "is the flag");
    if (d->nescapes == 0 || d->nescapes > TG_FRAME_ESCAPES)
        return wrong(e, i, "escapes", "1 to 4 pairs are needed");
    for (unsigned k = 0; k < d->nescapes; k++)
        if (d->escapes[k][0] == flag)
            return wrong(e, i, "escapes", "the flag cannot follow the escape byte");
    if (!escapes_to(d, flag) || !escapes_to(d, d->escape))
        return wrong(e, i, "escapes", "the flag and the escape byte need a pair each");
    return 0;
}

static int check_kind(const tg_frame *d, uint32_t i, tg_error *e)
{
    switch (d->kind) {
    case TG_FRAME_LENGTH:
        if (d->size_width > 4)
            return wrong(e, i, "size_width", "is 1 to 4 bytes, or 0 for a base-128 number");
        if (d->counted_at >= d->size_at && d->counted_at > 0)
            return wrong(e, i, "counted_at", "stands before the size");
        if (d->lenient && (d->check == TG_CHECK_NONE || d->trailer.len == 0))
            return wrong(e, i, "lenient", "needs a checksum and a trailer");
        return 0;
    case TG_FRAME_ESCAPED:
        return check_escaped(d, i, e);
    case TG_FRAME_DELIMITER:
        return d->trailer.len > 0 ? 0 : wrong(e, i, "trailer", "a delimiter is needed");
    case TG_FRAME_LINE:
    case TG_FRAME_FIXED:
        return 0;
    default:
        return wrong(e, i, "kind", "is none that can be framed");
    }
}

static int check_form(const tg_frame *d, uint32_t i, uint32_t n, tg_error *e)
{
    if (d->size < sizeof(*d))
        return wrong(e, i, "size", "is that of another version of the struct");
    if (d->check > TG_CHECK_CRC32)
        return wrong(e, i, "check", "no such checksum");
    if (d->max == 0 || d->max > MAX_FRAME)
        return wrong(e, i, "max", "1 byte to 16 MiB");
    if (d->min > d->max)
        return wrong(e, i, "min", "is above max");
    if (d->kind != TG_FRAME_LENGTH && d->kind != TG_FRAME_ESCAPED && d->lenient)
        return wrong(e, i, "lenient", "is for frames with a length or escapes");
    if (d->guard.len > 0 && (d->magic.len == 0 || d->guard_at >= d->max))
        return wrong(e, i, "guard", "needs a magic, and a byte of the frame");
    if (d->magic.len == 0 && i + 1 < n)
        return wrong(e, i, "magic", "none: the frames behind it would never be used");
    return check_kind(d, i, e);
}

static uint64_t end_size(const tg_frame *d)
{
    switch (d->kind) {
    case TG_FRAME_ESCAPED:
        return 1;
    case TG_FRAME_LINE:
        return 1;
    default:
        return d->trailer.len;
    }
}

/// The smallest frame in which all that is declared has room.
static uint64_t least(const tg_frame *d)
{
    uint64_t plain = d->magic.len + end_size(d);
    uint64_t sized = d->kind == TG_FRAME_LENGTH ? (uint64_t)d->size_at + d->size_width : 0;
    uint64_t summed = 0;
    if (d->check != TG_CHECK_NONE)
        summed = (uint64_t)d->check_from + tg_check_size(d->check) + d->check_tail;
    if (d->kind == TG_FRAME_DELIMITER || d->kind == TG_FRAME_LINE)
        summed += end_size(d);
    if (d->kind == TG_FRAME_ESCAPED)
        summed += 2;
    uint64_t most = plain > sized ? plain : sized;
    return most > summed ? most : summed;
}

static tg_slice keep(char **to, tg_slice bytes)
{
    tg_slice kept = {*to, bytes.len};
    if (bytes.len > 0)
        memcpy(*to, bytes.at, bytes.len);
    *to += bytes.len;
    return kept;
}

static int add_form(tg_framer *f, const tg_frame *d, char **to, tg_error *e)
{
    uint32_t i = f->n++;
    tg_frame *form = &f->form[i];
    *form = *d;
    form->magic = keep(to, d->magic);
    form->trailer = keep(to, d->kind == TG_FRAME_LINE ? TG_LIT("\n") : d->trailer);
    form->guard = keep(to, d->guard);
    uint64_t low = least(form);
    if (low > form->max)
        return wrong(e, i, "max", "leaves no room for magic, size, checksum and trailer");
    form->min = form->min > low ? form->min : (uint32_t)low;
    form->stall_ms = d->stall_ms > 0 ? d->stall_ms : STALL_MS;
    f->max = f->max > form->max ? f->max : form->max;
    f->stall_ms = f->stall_ms > form->stall_ms ? f->stall_ms : form->stall_ms;
    if (form->magic.len > 0)
        f->first[(uint8_t)form->magic.at[0]] = true;
    else
        memset(f->first, true, sizeof(f->first));
    return 0;
}

int tg_framer_new(const tg_frame *frames, uint32_t n, tg_framer **out, tg_error *e)
{
    if (n == 0 || n > FRAMER_FORMS)
        return tg_error_set(e, TG_E_INVAL, "frame: 1 to %d forms", FRAMER_FORMS);
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        int rc = check_form(&frames[i], i, n, e);
        if (rc < 0)
            return rc;
        bytes += frames[i].magic.len + frames[i].trailer.len + frames[i].guard.len + 1;
    }
    tg_framer *f = calloc(1, sizeof(*f) + bytes);
    if (f == NULL)
        return tg_error_set(e, TG_E_NOMEM, "%s", tg_error_text(TG_E_NOMEM));
    f->magic = FRAMER_MAGIC;
    char *to = f->bytes;
    for (uint32_t i = 0; i < n; i++) {
        int rc = add_form(f, &frames[i], &to, e);
        if (rc < 0) {
            free(f);
            return rc;
        }
    }
    *out = f;
    return 0;
}

void tg_framer_free(tg_framer *f)
{
    if (f == NULL)
        return;
    check(f);
    f->magic = 0;
    free(f);
}

uint32_t tg_framer_max(const tg_framer *f)
{
    return check(f)->max;
}

uint32_t tg_framer_stall_ms(const tg_framer *f)
{
    return check(f)->stall_ms;
}

// ---- choice -------------------------------------------------------------------------------

typedef enum tg_fit { FIT_NO, FIT_CUT, FIT_YES } tg_fit;

static tg_fit fits(const tg_frame *d, tg_slice stream, size_t at)
{
    size_t left = stream.len - at;
    size_t n = d->magic.len < left ? d->magic.len : left;
    if (memcmp(stream.at + at, d->magic.at, n) != 0)
        return FIT_NO;
    if (d->guard.len > 0 && d->guard_at < left &&
        memchr(d->guard.at, stream.at[at + d->guard_at], d->guard.len) == NULL)
        return FIT_NO;
    return n == d->magic.len ? FIT_YES : FIT_CUT;
}

/// The first form whose magic fits; one further up that may still fit must be waited for.
static tg_fit choose(const tg_framer *f, tg_slice stream, uint32_t *form)
{
    for (uint32_t i = 0; i < f->n; i++) {
        tg_fit fit = fits(&f->form[i], stream, 0);
        if (fit != FIT_NO) {
            *form = i;
            return fit;
        }
    }
    return FIT_NO;
}

size_t tg_framer_search(const tg_framer *f, tg_slice stream, size_t at)
{
    for (; at < stream.len; at++) {
        if (!f->first[(uint8_t)stream.at[at]])
            continue;
        for (uint32_t i = 0; i < f->n; i++)
            if (fits(&f->form[i], stream, at) != FIT_NO)
                return at;
    }
    return stream.len;
}

static tg_step run(const tg_framer *f, uint32_t form, tg_slice stream, char *scratch,
                   size_t *from, tg_framed *out)
{
    out->form = form;
    switch (f->form[form].kind) {
    case TG_FRAME_LENGTH:
        return tg_framer_run_length(f, form, stream, from, out);
    case TG_FRAME_FIXED:
        return tg_framer_run_fixed(f, form, stream, from, out);
    case TG_FRAME_ESCAPED:
        return tg_framer_run_escaped(f, form, stream, scratch, from, out);
    default:
        return tg_framer_run_ended(f, form, stream, from, out);
    }
}

tg_step tg_framer_step(const tg_framer *f, tg_slice stream, char *scratch, size_t *from,
                       tg_framed *out)
{
    check(f);
    *out = (tg_framed){0};
    if (stream.len == 0)
        return TG_STEP_MORE;
    if (*from & FROM_SKIP)
        return tg_framer_run_skip(f, stream, from, out);

    uint32_t form = 0;
    switch (choose(f, stream, &form)) {
    case FIT_YES:
        return run(f, form, stream, scratch, from, out);
    case FIT_CUT:
        return TG_STEP_MORE;
    case FIT_NO:
        break;
    }
    if (*from & FROM_OPEN)
        return run(f, from_form(*from), stream, scratch, from, out);
    *from = 0;
    out->used = tg_framer_search(f, stream, 1);
    return TG_STEP_JUNK;
}

size_t tg_framer_give_up(const tg_framer *f, tg_slice stream)
{
    return stream.len == 0 ? 0 : tg_framer_search(check(f), stream, 1);
}
