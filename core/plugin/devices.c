// SPDX-License-Identifier: Apache-2.0
// What operators see of devices and send to them. A device is a session; that it is one, and
// whose, stands in its attributes, so that it is known while it is away, too. What only a
// connection knows is asked of it each time.
#include "plugin/devices.h"

#include "base/template.h"
#include "plugin/line.h"
#include "plugin/op.h"

static const char *transport_name(uint32_t transport)
{
    switch (transport) {
    case TG_TLS:
        return "tls";
    case TG_UDP:
        return "udp";
    default:
        return "tcp";
    }
}

static void add_connection(tg_device *d, const tg_line *l)
{
    tg_conn_info info;
    tg_net_info(tg_line_net(l), &info);
    d->connected = true;
    d->outgoing = info.outgoing != 0;
    d->listener = info.listener;
    d->peer = info.peer;
    d->transport = transport_name(info.transport);
    d->opened = info.opened;
    d->heard = tg_net_heard(tg_line_net(l));
}

typedef struct showing {
    tg_device_fn *each;
    void *ctx;
    tg_buf down; ///< scratch
} showing;

/// Devices have the template in common, see core/lua/session_api.c.
static tg_slice down_of(showing *s, const tg_session_info *i)
{
    tg_buf_clear(&s->down);
    tg_template_device(&s->down, tg_value_str(i->attributes, "$down", (tg_slice){0}),
                       i->client_id);
    return s->down.failed ? (tg_slice){0} : tg_buf_slice(&s->down);
}

static void show(void *ctx, const tg_session_info *i)
{
    showing *s = ctx;
    tg_device d = {
        .session = i,
        .adapter = tg_value_str(i->attributes, "$adapter", (tg_slice){0}),
    };
    if (d.adapter.len == 0)
        return;
    d.down = down_of(s, i);
    const tg_line *l = i->connected ? tg_line_of(i->session) : NULL;
    if (l != NULL)
        add_connection(&d, l);
    s->each(s->ctx, &d);
}

static tg_shard *shard_here(const tg_runtime *rt)
{
    return tg_hub_shard(rt->hub, tg_here()->index);
}

void tg_devices_each(tg_runtime *rt, tg_device_fn *each, void *ctx)
{
    showing s = {.each = each, .ctx = ctx};
    tg_shard_each_session(shard_here(rt), show, &s);
    tg_buf_free(&s.down);
}

void tg_devices_find(tg_runtime *rt, tg_slice id, tg_device_fn *each, void *ctx)
{
    showing s = {.each = each, .ctx = ctx};
    tg_shard_find_session(shard_here(rt), id, show, &s);
    tg_buf_free(&s.down);
}

int tg_device_commands(tg_runtime *rt, tg_slice adapter,
                       void (*each)(void *ctx, const char *name), void *ctx)
{
    tg_offer *o = tg_seat_hold(rt, TG_OFFER_ADAPTER, adapter);
    if (o == NULL)
        return TG_E_NOTFOUND;
    const char *const *names = o->adapter.commands;
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        each(ctx, names[i]);
    tg_version_drop(o->self);
    return names != NULL ? 0 : TG_E_NOTFOUND;
}

static void take_session(void *ctx, const tg_device *d)
{
    if (d->connected)
        *(tg_session *)ctx = d->session->session;
}

int tg_device_command(tg_runtime *rt, const tg_command *cmd, tg_done_fn *done, void *ctx)
{
    tg_session session = {0};
    tg_devices_find(rt, cmd->device, take_session, &session);
    tg_line *l = session.id != 0 ? tg_line_of(session) : NULL;
    if (l == NULL || (l->flags & (TG_LINE_CLOSING | TG_LINE_GONE)))
        return TG_E_CLOSED;
    if (l->offer->adapter.on_command == NULL)
        return TG_E_UNSUPPORTED;
    const tg_op_spec spec = {.done = done,
                             .ctx = ctx,
                             .provider = l->offer->self,
                             .timeout_ms = cmd->timeout_ms,
                             .callback = "command done"};
    tg_op op = tg_op_new(&spec);
    if (op.id == 0)
        return TG_E_NOMEM;
    tg_call_begin(l->offer->self, "on_command");
    int rc =
        l->offer->adapter.on_command(tg_line_conn(l), tg_line_state(l), session, cmd, op);
    tg_call_end();
    if (rc >= 0 || tg_op_cancel(op) < 0) // completed and failed: the completion counts
        return 0;
    return rc;
}

void tg_devices_away(void *runtime, tg_slice client_id, const tg_value *attributes,
                     tg_msg m, int reason)
{
    tg_runtime *rt = runtime;
    const tg_session_info i = {.client_id = client_id, .attributes = attributes};
    showing s = {0};
    bool down = tg_slice_eq(down_of(&s, &i), m->topic);
    tg_buf_free(&s.down);
    tg_slice adapter = tg_value_str(attributes, "$adapter", (tg_slice){0});
    tg_offer *o = down ? tg_seat_hold(rt, TG_OFFER_ADAPTER, adapter) : NULL;
    if (o == NULL)
        return;
    if (o->adapter.on_away != NULL) {
        tg_call_begin(o->self, "on_away");
        o->adapter.on_away(o->given, client_id, m, reason);
        tg_call_end();
    }
    tg_version_drop(o->self);
}
