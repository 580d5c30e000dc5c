// SPDX-License-Identifier: Apache-2.0
// The ABI's connection table: handles to lines, and their lines to the network.
#include <stdlib.h>

#include "plugin/line.h"

static tg_line *open_line(tg_conn c)
{
    tg_line *l = tg_line_find(c);
    return l != NULL && (l->flags & TG_LINE_CLOSING) == 0 ? l : NULL;
}

static int conn_send(tg_conn c, tg_slice frame)
{
    tg_line *l = open_line(c);
    return l != NULL ? tg_net_send(tg_line_net(l), frame) : TG_E_CLOSED;
}

static void release(void *msg)
{
    tg_msg_unref(msg);
}

static int conn_send_msg(tg_conn c, tg_slice head, tg_msg m)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    if (m == NULL)
        return TG_E_INVAL;
    tg_msg_ref(m);
    int rc = tg_net_send_ref(tg_line_net(l), head, m->payload, release, (void *)m);
    if (rc < 0)
        tg_msg_unref(m);
    return rc;
}

static int conn_close(tg_conn c, int reason, tg_slice text)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    tg_line_close(l, reason, text);
    return 0;
}

static int conn_pause(tg_conn c)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    tg_line_stop(l, TG_LINE_PAUSED);
    return 0;
}

static int conn_resume(tg_conn c)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    tg_line_go(l, TG_LINE_PAUSED);
    return 0;
}

static int conn_set_idle(tg_conn c, uint32_t ms)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    tg_net_set_idle(tg_line_net(l), ms);
    return 0;
}

static int conn_ready(tg_conn c)
{
    tg_line *l = open_line(c);
    if (l == NULL)
        return TG_E_CLOSED;
    l->flags |= TG_LINE_READY;
    tg_net_ready(tg_line_net(l));
    return 0;
}

// Written only as far as the caller's struct reaches.
static int conn_info(tg_conn c, tg_conn_info *out)
{
    tg_line *l = tg_line_find(c);
    if (l == NULL)
        return TG_E_CLOSED;
    tg_conn_info info;
    tg_net_info(tg_line_net(l), &info);
    info.anonymous = l->listening != NULL && l->listening->anonymous;
    uint32_t theirs = out->size;
    info.size = theirs;
    if (theirs == 0 || theirs > sizeof(info)) // not set: built against this header
        theirs = sizeof(info);
    if (out->size == 0)
        info.size = sizeof(info);
    memcpy(out, &info, theirs);
    return 0;
}

static int64_t conn_pending(tg_conn c)
{
    const tg_line *l = tg_line_find(c);
    return l != NULL ? (int64_t)tg_net_pending(tg_line_net(l)) : TG_E_CLOSED;
}

static void *conn_state(tg_conn c)
{
    tg_line *l = tg_line_find(c);
    return l != NULL ? tg_line_state(l) : NULL;
}

static int conn_dial(const tg_dial *where, const tg_adapter *a, tg_conn *out)
{
    tg_version *v = tg_current();
    if (tg_here() == NULL)
        return TG_E_THREAD;
    if (v == NULL || where == NULL || a == NULL || out == NULL)
        return TG_E_INVAL;
    tg_dial whole = {0};
    memcpy(&whole, where, where->size < sizeof(whole) ? where->size : sizeof(whole));
    tg_offer *o = tg_offer_of(v, a);
    return o != NULL ? tg_line_dial(o, &whole, out) : TG_E_INVAL;
}

static void conn_complain(tg_conn c, int reason, tg_slice what)
{
    tg_line *l = tg_line_find(c);
    if (l != NULL)
        tg_line_complain(l, reason, "complaint", what);
}

const tg_conn_api tg_conn_table = {
    .size = sizeof(tg_conn_api),
    .send = conn_send,
    .send_msg = conn_send_msg,
    .close = conn_close,
    .pause = conn_pause,
    .resume = conn_resume,
    .set_idle = conn_set_idle,
    .ready = conn_ready,
    .info = conn_info,
    .pending = conn_pending,
    .state = conn_state,
    .dial = conn_dial,
    .complain = conn_complain,
};
