// SPDX-License-Identifier: Apache-2.0
// One step of each kind of frame. What is wrong costs as little as can be told: a size that
// cannot be, or a trailer that is not there, may be a false start, so the search goes on one
// byte further; a wrong checksum inside right ends was a frame, and goes as a whole. Where a
// frame has no trailer, its size may have lied: then it goes byte by byte, too.
#include "codec/framer.h"

static tg_slice cut(tg_slice s, size_t at, size_t end)
{
    return (tg_slice){s.at + at, end - at};
}

/// Where `what` is in `s` from `at` on; s.len if nowhere.
static size_t find(tg_slice s, size_t at, tg_slice what)
{
    if (at >= s.len)
        return s.len;
    const char *p = what.len == 1 ? memchr(s.at + at, (unsigned char)what.at[0], s.len - at)
                                  : memmem(s.at + at, s.len - at, what.at, what.len);
    return p != NULL ? (size_t)(p - s.at) : s.len;
}

/// How many bytes at the end of `s` may begin `what`.
static size_t cut_off(tg_slice s, tg_slice what)
{
    size_t n = what.len - 1 < s.len ? what.len - 1 : s.len;
    while (n > 0 && memcmp(s.at + s.len - n, what.at, n) != 0)
        n--;
    return n;
}

static uint32_t number(const char *at, unsigned width, bool be)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < width; i++)
        n = (n << 8) | (uint8_t)at[be ? i : width - 1 - i];
    return n;
}

static bool sum_fits(const tg_frame *d, tg_slice frame, tg_framed *out)
{
    out->frame = frame; // also where it does not fit
    if (d->check == TG_CHECK_NONE)
        return true;
    unsigned width = tg_check_size(d->check);
    size_t stored = frame.len - d->check_tail - width;
    out->found = number(frame.at + stored, width, d->check_be);
    out->computed = tg_checksum(d->check, cut(frame, d->check_from, stored));
    return out->found == out->computed;
}

static tg_step go_on(const tg_framer *f, tg_slice stream, size_t *from, tg_framed *out,
                     tg_step why)
{
    *from = 0;
    out->used = tg_framer_search(f, stream, 1);
    return why;
}

static tg_step take(tg_framed *out, size_t *from, size_t used, tg_slice frame)
{
    *from = 0;
    out->used = used;
    out->frame = frame;
    return TG_STEP_FRAME;
}

static tg_step drop(tg_framed *out, size_t *from, size_t used, tg_step why)
{
    *from = 0;
    out->used = used;
    return why;
}

// ---- a size field -------------------------------------------------------------------------

/// A base-128 number as MQTT has it, low group first. @return its width; 0 cut off; -1 wrong.
static int base128(const uint8_t *at, size_t len, uint32_t *n)
{
    *n = 0;
    for (unsigned i = 0; i < 4 && i < len; i++) {
        *n |= (uint32_t)(at[i] & 0x7F) << (7 * i);
        if ((at[i] & 0x80) == 0)
            return (int)i + 1;
    }
    return len < 4 ? 0 : -1;
}

/// Where the size field is, behind what a byte before it counts.
static uint32_t size_place(const tg_frame *d, tg_slice stream)
{
    if (d->counted_at == 0 || stream.len <= d->counted_at)
        return d->size_at;
    return d->size_at + (uint8_t)stream.at[d->counted_at];
}

/// @return the whole frame's size; 0 the field is not there yet; -1 it cannot be.
static int64_t whole_size(const tg_frame *d, tg_slice stream)
{
    uint32_t n = 0, size_at = size_place(d, stream);
    int width = d->size_width;
    if (size_at + (width > 0 ? (uint32_t)width : 1) > d->max)
        return -1;
    if (stream.len < size_at)
        return 0;
    const char *at = stream.at + size_at;
    size_t left = stream.len - size_at;
    if (width == 0)
        width = base128((const uint8_t *)at, left, &n);
    else if (left < (size_t)width)
        width = 0;
    else
        n = number(at, (unsigned)width, d->size_be);
    if (width <= 0)
        return width;
    int64_t whole = (int64_t)size_at + width + n + d->size_adjust;
    return whole < d->min || whole > d->max ? -1 : whole;
}

#define HEAL_TRIES 8

/// Where the checksum fits the bytes before a trailer, the size was wrong and the frame ends
/// there; the checksum keeps this safe against trailers inside. Bounded tries: a stream made of
/// starts and trailers must not cost the square of its length.
/// @return the frame's size, or 0.
static size_t heal(const tg_frame *d, tg_slice stream, size_t looked)
{
    tg_slice seen = {stream.at, stream.len < d->max ? stream.len : d->max};
    size_t overlap = d->trailer.len - 1;
    size_t at = find(seen, looked > overlap ? looked - overlap : 0, d->trailer);
    for (int tries = 0; at < seen.len && tries < HEAL_TRIES; tries++) {
        size_t whole = at + d->trailer.len;
        tg_framed sums = {0};
        if (whole >= d->min && sum_fits(d, cut(seen, 0, whole), &sums))
            return whole;
        at = find(seen, at + 1, d->trailer);
    }
    return 0;
}

static bool trailer_fits(const tg_frame *d, tg_slice frame)
{
    return memcmp(frame.at + frame.len - d->trailer.len, d->trailer.at, d->trailer.len) ==
           0;
}

static tg_step wait_or_heal(const tg_frame *d, tg_slice stream, size_t *from,
                            tg_framed *out)
{
    size_t healed = d->lenient ? heal(d, stream, *from & FROM_COUNT) : 0;
    if (healed > 0)
        return take(out, from, healed, cut(stream, 0, healed));
    *from = stream.len;
    return TG_STEP_MORE;
}

tg_step tg_framer_run_length(const tg_framer *f, uint32_t form, tg_slice stream,
                             size_t *from, tg_framed *out)
{
    const tg_frame *d = &f->form[form];
    int64_t whole = whole_size(d, stream);
    if (whole < 0)
        return go_on(f, stream, from, out, TG_STEP_TOOBIG);
    if (whole == 0 || (uint64_t)whole > stream.len)
        return wait_or_heal(d, stream, from, out);
    tg_slice frame = cut(stream, 0, (size_t)whole);
    if (!trailer_fits(d, frame)) {
        // a size that leaves the checksum out is the common lie: give it these bytes
        if (d->lenient && stream.len < frame.len + tg_check_size(d->check))
            return wait_or_heal(d, stream, from, out);
        size_t healed = d->lenient ? heal(d, stream, 0) : 0;
        if (healed > 0)
            return take(out, from, healed, cut(stream, 0, healed));
        return go_on(f, stream, from, out, TG_STEP_TRAILER);
    }
    if (!sum_fits(d, frame, out))
        return d->trailer.len > 0 || d->magic.len == 0
                   ? drop(out, from, frame.len, TG_STEP_CHECKSUM)
                   : go_on(f, stream, from, out, TG_STEP_CHECKSUM);
    return take(out, from, frame.len, frame);
}

tg_step tg_framer_run_fixed(const tg_framer *f, uint32_t form, tg_slice stream,
                            size_t *from, tg_framed *out)
{
    const tg_frame *d = &f->form[form];
    if (stream.len < d->max)
        return TG_STEP_MORE;
    tg_slice frame = cut(stream, 0, d->max);
    if (!trailer_fits(d, frame))
        return go_on(f, stream, from, out, TG_STEP_TRAILER);
    if (!sum_fits(d, frame, out))
        return drop(out, from, frame.len, TG_STEP_CHECKSUM);
    return take(out, from, frame.len, frame);
}

// ---- an end mark --------------------------------------------------------------------------

static tg_step too_long(const tg_framer *f, uint32_t form, tg_slice stream, size_t whole,
                        size_t *from, tg_framed *out)
{
    if (f->form[form].magic.len > 0)
        return go_on(f, stream, from, out, TG_STEP_TOOBIG);
    if (whole > 0)
        return drop(out, from, whole, TG_STEP_TOOBIG);
    *from = FROM_SKIP | FROM_FORM(form);
    out->used = stream.len - cut_off(stream, f->form[form].trailer);
    return TG_STEP_TOOBIG;
}

tg_step tg_framer_run_ended(const tg_framer *f, uint32_t form, tg_slice stream,
                            size_t *from, tg_framed *out)
{
    const tg_frame *d = &f->form[form];
    size_t looked = *from & FROM_COUNT;
    size_t at = find(stream, looked < d->magic.len ? d->magic.len : looked, d->trailer);
    if (at == stream.len) {
        size_t tail = cut_off(stream, d->trailer);
        if (stream.len - tail + d->trailer.len > d->max)
            return too_long(f, form, stream, 0, from, out);
        *from = stream.len - tail;
        return TG_STEP_MORE;
    }
    size_t whole = at + d->trailer.len;
    if (whole > d->max)
        return too_long(f, form, stream, whole, from, out);
    if (d->kind == TG_FRAME_LINE && at > 0 && stream.at[at - 1] == '\r')
        at--;
    tg_slice frame = cut(stream, 0, at);
    if (at + d->trailer.len < d->min)
        return drop(out, from, whole, TG_STEP_JUNK);
    if (!sum_fits(d, frame, out))
        return drop(out, from, whole, TG_STEP_CHECKSUM);
    return take(out, from, whole, frame);
}

tg_step tg_framer_run_skip(const tg_framer *f, tg_slice stream, size_t *from,
                           tg_framed *out)
{
    uint32_t form = from_form(*from);
    tg_slice end = f->form[form].trailer;
    size_t at = find(stream, 0, end);
    if (at < stream.len)
        return drop(out, from, at + end.len, TG_STEP_JUNK);
    out->used = stream.len - cut_off(stream, end);
    return out->used > 0 ? TG_STEP_JUNK : TG_STEP_MORE;
}

// ---- flags and escapes --------------------------------------------------------------------

static int meaning(const tg_frame *d, uint8_t byte)
{
    for (unsigned i = 0; i < d->nescapes; i++)
        if (d->escapes[i][0] == byte)
            return d->escapes[i][1];
    return -1;
}

/// @return false: an escape byte with nothing that it could mean behind it. A lenient form
/// takes that byte for itself.
static bool unescape(const tg_frame *d, tg_slice body, char *scratch, tg_slice *out)
{
    const char *at = body.at, *end = body.at + body.len, *esc;
    char *to = scratch;
    while ((esc = memchr(at, d->escape, (size_t)(end - at))) != NULL) {
        int byte = esc + 1 < end ? meaning(d, (uint8_t)esc[1]) : -1;
        if (byte < 0 && !d->lenient)
            return false;
        memcpy(to, at, (size_t)(esc - at));
        to += esc - at;
        *to++ = byte < 0 ? *esc : (char)byte;
        at = byte < 0 ? esc + 1 : esc + 2;
    }
    if (to == scratch && at == body.at) {
        *out = body;
        return true;
    }
    memcpy(to, at, (size_t)(end - at));
    *out = (tg_slice){scratch, (size_t)(to + (end - at) - scratch)};
    return true;
}

/// Some senders escape nothing: what looks like an escape is data then.
static bool fits_as_sent(const tg_frame *d, tg_slice body, tg_framed *out)
{
    tg_framed sums = {0};
    if (!d->lenient || body.len == out->frame.len || !sum_fits(d, body, &sums))
        return false;
    out->frame = body;
    return true;
}

/// The body between two flags. The closing one is taken, too, and remembered: some senders let
/// it open the next frame as well.
static tg_step body_step(const tg_frame *d, tg_slice body, bool opened, char *scratch,
                         tg_framed *out)
{
    if (body.len + 2 > d->max)
        return TG_STEP_TOOBIG;
    if (!unescape(d, body, scratch, &out->frame))
        return opened ? TG_STEP_ESCAPE : TG_STEP_JUNK;
    if (out->frame.len + 2 < d->min)
        return TG_STEP_JUNK;
    if (!sum_fits(d, out->frame, out) && !fits_as_sent(d, body, out))
        return opened ? TG_STEP_CHECKSUM : TG_STEP_JUNK;
    return TG_STEP_FRAME;
}

static tg_step wait_for_flag(const tg_frame *d, tg_slice stream, size_t start, size_t *from,
                             tg_framed *out)
{
    if (stream.len - start + 2 > d->max)
        return drop(out, from, stream.len, TG_STEP_TOOBIG);
    out->used = start > 1 ? start - 1 : 0;
    *from = (*from & ~FROM_COUNT) | (stream.len - out->used);
    return TG_STEP_MORE;
}

tg_step tg_framer_run_escaped(const tg_framer *f, uint32_t form, tg_slice stream,
                              char *scratch, size_t *from, tg_framed *out)
{
    const tg_frame *d = &f->form[form];
    size_t start = 0;
    while (start < stream.len && stream.at[start] == d->magic.at[0])
        start++;
    size_t looked = *from & FROM_COUNT;
    size_t end = find(stream, looked > start ? looked : start, d->magic);
    if (end == stream.len)
        return wait_for_flag(d, stream, start, from, out);

    tg_step step = body_step(d, cut(stream, start, end), start > 0, scratch, out);
    out->used = end + 1;
    *from = FROM_OPEN | FROM_FORM(form);
    if (step == TG_STEP_FRAME)
        return step;
    if (step != TG_STEP_CHECKSUM)
        out->frame = (tg_slice){0};
    if (start == 0) { // what followed a frame was none: the flag opens, it does not close
        out->used = end;
        *from = 0;
    }
    return step;
}

static void put_escaped(const tg_frame *d, uint8_t byte, tg_buf *out)
{
    for (unsigned i = 0; i < d->nescapes; i++)
        if (d->escapes[i][1] == byte) {
            tg_buf_putc(out, (char)d->escape);
            tg_buf_putc(out, (char)d->escapes[i][0]);
            return;
        }
    tg_buf_putc(out, (char)byte);
}

int tg_framer_escape(const tg_framer *f, uint32_t form, tg_slice body, tg_buf *out)
{
    if (form >= f->n)
        return TG_E_INVAL;
    const tg_frame *d = &f->form[form];
    if (d->kind != TG_FRAME_ESCAPED) {
        tg_buf_put(out, body.at, body.len);
        return out->failed ? TG_E_NOMEM : 0;
    }
    tg_buf_putc(out, d->magic.at[0]);
    for (size_t i = 0; i < body.len; i++)
        put_escaped(d, (uint8_t)body.at[i], out);
    tg_buf_putc(out, d->magic.at[0]);
    return out->failed ? TG_E_NOMEM : 0;
}
