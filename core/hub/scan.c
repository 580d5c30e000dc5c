// SPDX-License-Identifier: Apache-2.0
// The retained messages that a subscription brings. They are looked up one by one as the
// session takes them. A message stored after the route was made comes as a live one too, so
// those are left out here: else an older live message could follow the newer retained one.
#include <stdlib.h>

#include "hub/internal.h"
#include "hub/retained.h"
#include "hub/topic.h"

#define TURN_MOST 256 // messages for one session in one turn
#define STEPS 1024 // topics looked at for one message

struct tg_scan {
    tg_scan *next;
    uint64_t floor; // stores before the route was made
    tg_target target;
    tg_buf cursor;
    bool at;
    uint64_t seat; // while it waits for a barrier
    uint16_t len;
    bool no_local;
    char filter[];
};

tg_scan *tg_scan_new(tg_hub *h, tg_slice filter, const tg_sub *sub)
{
    tg_scan *scan = calloc(1, sizeof(*scan) + filter.len);
    if (scan == NULL)
        return NULL;
    scan->floor = tg_retained_floor(h);
    scan->target = (tg_target){.qos = sub->qos,
                               .sub_id = sub->sub_id,
                               .nids = sub->sub_id != 0,
                               .flags = TG_ENTRY_RETAIN};
    scan->at = true;
    scan->no_local = (sub->flags & TG_SUB_NO_LOCAL) != 0;
    scan->len = (uint16_t)filter.len;
    memcpy(scan->filter, filter.at, filter.len);
    return scan;
}

void tg_scan_free(tg_scan *scan)
{
    while (scan != NULL) {
        tg_scan *next = scan->next;
        tg_buf_free(&scan->cursor);
        free(scan);
        scan = next;
    }
}

static void add(tg_shard *sh, tg_sess *s, tg_scan *scan)
{
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL) {
        tg_scan_free(scan);
        return;
    }
    tg_scan **end = &x->scans;
    while (*end != NULL)
        end = &(*end)->next;
    *end = scan;
    tg_scan_run(sh, s);
}

static void after_barrier(tg_shard *sh, void *ctx)
{
    tg_scan *scan = ctx;
    tg_sess *s = sh != NULL ? tg_slots_find(&sh->seats, scan->seat) : NULL;
    if (s != NULL && s->magic == TG_SESS_MAGIC && (s->flags & TG_SESS_ENDED) == 0)
        add(sh, s, scan);
    else
        tg_scan_free(scan);
}

void tg_scan_begin(tg_shard *sh, tg_sess *s, tg_scan *scan, bool again)
{
    tg_barrier *b = again ? tg_barrier_new(sh->hub) : NULL;
    if (b == NULL) {
        add(sh, s, scan);
        return;
    }
    scan->seat = atomic_load(&s->where);
    tg_barrier_run(b, sh, after_barrier, scan);
}

static bool takes(const tg_sess *s)
{
    if (s->state != TG_SESS_ONLINE || (s->flags & TG_SESS_BLOCKED) != 0)
        return false;
    return s->queue == NULL || (s->queue->waiting == 0 && s->queue->inflight < s->window);
}

// MQTT 5.0 §3.8.3.1 speaks of client ids, so one's own of an earlier connection is no less own.
static bool left_out(const tg_sess *s, const tg_scan *scan, const tg_block *b)
{
    return tg_block_retained_seq(b) > scan->floor ||
           (scan->no_local && tg_slice_eq(tg_block_message(b)->publisher, tg_sess_id(s)));
}

static void deliver(tg_shard *sh, tg_sess *s, const tg_scan *scan, tg_block *b)
{
    if (left_out(s, scan, b)) {
        tg_block_unref(b);
        return;
    }
    tg_msg m = tg_msg_from_block(b);
    if (m == NULL)
        return;
    if (m->expires == 0 || m->expires > tg_hub_now(sh->hub))
        tg_deliver(sh, s, m, &scan->target, &scan->target.sub_id);
    tg_msg_unref(m);
}

static void end_first(tg_sess *s)
{
    tg_scan *scan = s->extra->scans;
    s->extra->scans = scan->next;
    scan->next = NULL;
    tg_scan_free(scan);
    tg_sess_tidy(s);
}

// What goes on is read anew each time: deliver() may close the session.
void tg_scan_run(tg_shard *sh, tg_sess *s)
{
    unsigned left = TURN_MOST;
    while (s->extra != NULL && s->extra->scans != NULL && takes(s)) {
        tg_scan *scan = s->extra->scans;
        tg_block *b = NULL;
        if ((s->flags & TG_SESS_PUMPING) != 0 || left-- == 0) {
            tg_scan_later(sh, s);
            return;
        }
        int rc = tg_retained_step(sh, (tg_slice){scan->filter, scan->len}, &scan->cursor,
                                  &scan->at, STEPS, &b);
        if (rc == TG_STEP_FOUND) {
            deliver(sh, s, scan, b);
        } else if (rc == TG_STEP_END) {
            end_first(s);
        } else {
            tg_scan_later(sh, s);
            return;
        }
    }
}

void tg_scan_later(tg_shard *sh, tg_sess *s)
{
    if ((s->flags & TG_SESS_LISTED) != 0)
        return;
    uint64_t seat = atomic_load(&s->where);
    s->flags |= TG_SESS_LISTED;
    tg_buf_put(&sh->scanning, &seat, sizeof(seat));
}

void tg_scan_turn(tg_shard *sh)
{
    tg_buf list = sh->scanning;
    sh->scanning = (tg_buf){0};
    for (size_t i = 0; i + sizeof(uint64_t) <= list.len; i += sizeof(uint64_t)) {
        uint64_t seat;
        memcpy(&seat, list.at + i, sizeof(seat));
        tg_sess *s = tg_slots_find(&sh->seats, seat);
        if (s == NULL || s->magic != TG_SESS_MAGIC)
            continue;
        s->flags &= (uint8_t)~TG_SESS_LISTED;
        tg_scan_run(sh, s);
    }
    tg_buf_free(&list);
}
