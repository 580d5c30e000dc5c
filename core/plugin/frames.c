// SPDX-License-Identifier: Apache-2.0
// Declared frames. The network keeps the bytes of a half frame and shows them again with the
// next ones, so a line carries nothing but how far the framer has looked. A started frame that
// stops growing is given up: the kept bytes are asked for once more, and the framer says how
// many of them to skip.
#include "plugin/line.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *event, *text;
    int code;
} faults[] = {
    [TG_STEP_JUNK] = {"junk", "bytes that belong to no frame", TG_E_MALFORMED},
    [TG_STEP_CHECKSUM] = {"checksum", "wrong checksum", TG_E_CHECKSUM},
    [TG_STEP_TOOBIG] = {"oversize", "a frame larger than the limit", TG_E_TOOBIG},
    [TG_STEP_TRAILER] = {"trailer", "no trailer where the size said", TG_E_MALFORMED},
    [TG_STEP_ESCAPE] = {"escape", "a wrong escape sequence", TG_E_MALFORMED},
};

// @return all of it since the last good frame.
static uint32_t add_junk(tg_line *l, size_t len)
{
    tg_aside *a = len > 0 ? tg_line_aside(l) : l->aside;
    if (a == NULL)
        return 0;
    size_t junk = a->junk + len;
    return a->junk = junk < UINT32_MAX ? (uint32_t)junk : UINT32_MAX;
}

static void take_fault(tg_line *l, tg_step step, const tg_framed *f)
{
    char text[96];
    int n =
        step == TG_STEP_CHECKSUM
            ? snprintf(text, sizeof(text), "wrong checksum: %x, computed %x", f->found,
                       f->computed)
            : snprintf(text, sizeof(text), "%s (%zu bytes)", faults[step].text, f->used);
    tg_line_complain(l, faults[step].code, faults[step].event, (tg_slice){text, (size_t)n});
    if (step == TG_STEP_CHECKSUM && l->offer->adapter.on_damaged != NULL)
        l->offer->adapter.on_damaged(tg_line_conn(l), tg_line_state(l), f->frame);
    uint32_t most = l->listening != NULL ? l->listening->junk_max : 0;
    if (add_junk(l, f->used) > most && most != 0)
        tg_line_close(l, TG_E_MALFORMED, TG_LIT("too many bytes without a good frame"));
    most = l->listening != NULL ? l->listening->bad_max : 0;
    if (most != 0 && l->aside != NULL && ++l->aside->bad >= most)
        tg_line_close(l, TG_E_MALFORMED, TG_LIT("too many bad frames in a row"));
}

static int take_frame(tg_line *l, tg_slice frame)
{
    tg_version *v = l->offer->self;
    if (l->aside != NULL)
        l->aside->junk = l->aside->bad = 0;
    if ((l->flags & TG_LINE_READY) == 0) {
        l->flags |= TG_LINE_READY;
        tg_net_ready(tg_line_net(l));
    }
    tg_bump(&tg_part_here(v)->frames, 1);
    int rc = l->offer->adapter.on_frame(tg_line_conn(l), tg_line_state(l), frame);
    tg_net_count_message(tg_line_net(l));
    return rc < 0 ? rc : 0;
}

static void on_stall(tg_alarm *a)
{
    tg_line *l = TG_OWNER(a, tg_aside, stall)->line;
    l->flags |= TG_LINE_STALLED;
    tg_net_pause(tg_line_net(l)); // and so the kept bytes are shown again
    tg_net_resume(tg_line_net(l));
}

void tg_line_watch_off(tg_line *l)
{
    if (l->aside != NULL)
        tg_wheel_del(tg_here()->wheel, &l->aside->stall);
}

static void watch(tg_line *l, bool partial)
{
    tg_aside *a = partial ? tg_line_aside(l) : l->aside;
    if (a == NULL)
        return;
    if (partial)
        tg_wheel_add(tg_here()->wheel, &a->stall, tg_framer_stall_ms(l->framer), on_stall);
    else
        tg_wheel_del(tg_here()->wheel, &a->stall);
    tg_line_tidy(l);
}

// Without a mark to search for, the next frame begins with the next bytes that come.
static bool has_mark(const tg_adapter *a)
{
    for (uint32_t i = 0; i < a->nframes; i++)
        if (a->frames[i].magic.len > 0)
            return true;
    return false;
}

static size_t give_up(tg_line *l, tg_slice data)
{
    l->flags &= (uint16_t)~TG_LINE_STALLED;
    size_t skip =
        has_mark(&l->offer->adapter) ? tg_framer_give_up(l->framer, data) : data.len;
    skip = skip < data.len ? skip : data.len;
    l->from = 0;
    tg_line_complain(l, TG_E_TIMEOUT, "stalled", TG_LIT("a started frame stopped growing"));
    add_junk(l, skip);
    return skip;
}

static bool stopped(const tg_line *l)
{
    return (l->flags & (TG_LINE_PAUSED | TG_LINE_HELD | TG_LINE_CLOSING)) != 0 ||
           tg_net_throttled(tg_line_net(l));
}

// @return bytes used, or the adapter's TG_E_*. *partial: more bytes are needed.
static int64_t run_frames(tg_line *l, tg_slice data, size_t at, bool *partial)
{
    char *scratch = tg_here()->scratch->bytes;
    while (at < data.len && !*partial && !stopped(l)) {
        tg_framed f = {0};
        size_t from = l->from;
        tg_slice rest = {data.at + at, data.len - at};
        tg_step step = tg_framer_step(l->framer, rest, scratch, &from, &f);
        l->from = (uint32_t)from;
        at += f.used;
        *partial = step == TG_STEP_MORE;
        int rc = 0;
        if (step == TG_STEP_FRAME)
            rc = take_frame(l, f.frame);
        else if (step != TG_STEP_MORE)
            take_fault(l, step, &f);
        if (rc < 0)
            return rc;
    }
    return (int64_t)at;
}

// A frame does not go on in the next datagram, which may never come or come first.
static int64_t datagram_done(tg_line *l, size_t len, int64_t used, bool partial)
{
    if (partial) {
        char text[64];
        size_t left = len - (size_t)used;
        int n = snprintf(text, sizeof(text), "a datagram ends inside a frame (%zu bytes)",
                         left);
        tg_line_complain(l, TG_E_MALFORMED, "partial", (tg_slice){text, (size_t)n});
        add_junk(l, left);
        used = (int64_t)len;
    }
    if (used == (int64_t)len)
        l->from = 0;
    return used;
}

// One bracket around all frames of a read: each of them is cheaper than a look at the clock
// should cost.
int64_t tg_line_frames(tg_line *l, tg_slice data)
{
    size_t at = l->flags & TG_LINE_STALLED ? give_up(l, data) : 0;
    bool partial = false;
    tg_call_begin(l->offer->self, "on_frame");
    int64_t used = run_frames(l, data, at, &partial);
    tg_call_end();
    partial &= used < (int64_t)data.len;
    if (l->flags & TG_LINE_DATAGRAMS)
        return datagram_done(l, data.len, used, partial);
    if (used >= 0 && (l->flags & TG_LINE_CLOSING) == 0)
        watch(l, partial);
    return used;
}

// The table for frames outside of a connection. The last declarations stay compiled.

static uint32_t table_checksum(tg_check check, tg_slice bytes)
{
    return tg_checksum(check, bytes);
}

static size_t slices_size(const tg_frame *frames, uint32_t n)
{
    size_t size = n * sizeof(*frames);
    for (uint32_t i = 0; i < n; i++)
        size += frames[i].magic.len + frames[i].trailer.len + frames[i].guard.len;
    return size;
}

static char *add(char *at, tg_slice s)
{
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

// Structs and then the bytes behind their slices: equal images are equal declarations.
static char *image_of(const tg_frame *frames, uint32_t n)
{
    char *image = malloc(slices_size(frames, n) + 1);
    if (image == NULL)
        return NULL;
    memcpy(image, frames, n * sizeof(*frames));
    char *at = image + n * sizeof(*frames);
    for (uint32_t i = 0; i < n; i++)
        at = add(add(add(at, frames[i].magic), frames[i].trailer), frames[i].guard);
    return image;
}

static bool same_as_last(const tg_local *here, const tg_frame *frames, uint32_t n)
{
    const tg_loose *last = &here->loose;
    if (last->framer == NULL || last->n != n ||
        memcmp(last->image, frames, n * sizeof(*frames)) != 0)
        return false;
    const char *at = last->image + n * sizeof(*frames);
    for (uint32_t i = 0; i < n; i++) {
        tg_slice all[] = {frames[i].magic, frames[i].trailer, frames[i].guard};
        for (int k = 0; k < 3; at += all[k].len, k++)
            if (all[k].len > 0 && memcmp(at, all[k].at, all[k].len) != 0)
                return false;
    }
    return true;
}

void tg_loose_free(tg_local *here)
{
    if (here->loose.framer != NULL)
        tg_framer_free(here->loose.framer);
    free(here->loose.image);
    here->loose = (tg_loose){0};
}

static int loose_framer(tg_local *here, const tg_frame *frames, uint32_t n)
{
    if (same_as_last(here, frames, n))
        return 0;
    tg_loose_free(here);
    int rc = tg_framer_new(frames, n, &here->loose.framer, NULL);
    if (rc < 0) {
        here->loose.framer = NULL;
        return rc;
    }
    here->loose.image = image_of(frames, n);
    here->loose.n = n;
    if (here->loose.image != NULL)
        return 0;
    tg_loose_free(here);
    return TG_E_NOMEM;
}

static int table_next(const tg_frame *given, uint32_t n, tg_slice stream, char *scratch,
                      size_t *used, tg_slice *out)
{
    tg_local *here = tg_here();
    tg_frame frames[TG_FRAMES_MAX];
    if (here == NULL)
        return TG_E_THREAD;
    if (n == 0 || n > TG_FRAMES_MAX)
        return n == 0 ? TG_E_INVAL : TG_E_LIMIT;
    int rc = tg_frames_take(given, n, frames);
    if (rc == 0)
        rc = loose_framer(here, frames, n);
    if (rc < 0)
        return rc;
    tg_framed f = {0};
    size_t from = 0;
    tg_step step = tg_framer_step(here->loose.framer, stream, scratch, &from, &f);
    *used = f.used;
    if (step == TG_STEP_MORE)
        return 0;
    if (step != TG_STEP_FRAME)
        return faults[step].code;
    *out = f.frame;
    return 1;
}

const tg_frame_api tg_frame_table = {
    .size = sizeof(tg_frame_api),
    .checksum = table_checksum,
    .next = table_next,
};
