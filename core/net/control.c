// SPDX-License-Identifier: Apache-2.0
// The control thread is whichever thread runs this loop, in the host the main one. It has a
// mailbox as workers have one; with no data lane to speak of and no turn to finish.
#include <stdatomic.h>

#include "net/worker_impl.h"

static void on_bell(uv_async_t *a)
{
    tg_workers *ws = a->data;
    tg_mailbox_drain(ws->control_box, ws, UINT32_MAX);
    if (atomic_load(&ws->control_stop))
        uv_stop(&ws->control);
}

static void ring(void *ctx)
{
    uv_async_send(&((tg_workers *)ctx)->control_bell);
}

int tg_control_init(tg_workers *ws)
{
    if (uv_loop_init(&ws->control) != 0)
        return TG_E_IO;
    ws->control_box = tg_mailbox_new(SIZE_MAX, ring, ws);
    if (ws->control_box == NULL ||
        uv_async_init(&ws->control, &ws->control_bell, on_bell) != 0) {
        tg_mailbox_free(ws->control_box);
        uv_loop_close(&ws->control);
        return TG_E_IO;
    }
    ws->control_bell.data = ws;
    return 0;
}

void tg_control_free(tg_workers *ws)
{
    tg_mailbox_drain(ws->control_box, ws, UINT32_MAX);
    uv_close((uv_handle_t *)&ws->control_bell, NULL);
    uv_run(&ws->control, UV_RUN_DEFAULT);
    uv_loop_close(&ws->control);
    tg_mailbox_free(ws->control_box);
}

uv_loop_t *tg_control_uv(tg_workers *ws)
{
    return &ws->control;
}

void tg_control_loop(tg_workers *ws)
{
    while (!atomic_load(&ws->control_stop))
        uv_run(&ws->control, UV_RUN_DEFAULT);
    atomic_store(&ws->control_stop, false);
}

void tg_control_stop(tg_workers *ws)
{
    atomic_store(&ws->control_stop, true);
    uv_async_send(&ws->control_bell);
}
