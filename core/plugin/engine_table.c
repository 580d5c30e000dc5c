// SPDX-License-Identifier: Apache-2.0
// What script engines need besides: to be known, to call drivers, and to say for whom they run.
#include <assert.h>

#include "plugin/line.h"
#include "plugin/loader.h"
#include "plugin/op.h"

static int engine_add(tg_self *self, const tg_engine *engine)
{
    tg_version *v = tg_version_check(self);
    if (!v->loading || v->plug->linked == NULL)
        return TG_E_DENIED;
    if (engine == NULL || engine->size < sizeof(tg_engine) || engine->id == NULL)
        return TG_E_INVAL;
    return tg_engine_register(v->rt, engine);
}

static int engine_call(tg_self *self, tg_slice id, tg_slice method, const tg_value *args,
                       tg_done_fn *done, void *ctx)
{
    tg_version *v = tg_version_check(self);
    tg_local *here = tg_here();
    if (here == NULL)
        return TG_E_THREAD;
    if (done == NULL || !tg_id_valid(id, 64))
        return TG_E_INVAL;
    const tg_seat *seat = tg_seat_find(here, TG_OFFER_DRIVER, id);
    tg_offer *o = seat != NULL ? seat->at[here->index] : NULL;
    if (o == NULL)
        return TG_E_NOTFOUND;
    tg_op_spec spec = {.done = done,
                       .ctx = ctx,
                       .owner = v,
                       .provider = o->self,
                       .callback = "driver done"};
    tg_op op = tg_op_new(&spec);
    if (op.id == 0)
        return TG_E_NOMEM;
    tg_call_begin(o->self, "driver call");
    int rc = o->driver.call(o->given, method, args, op);
    tg_call_end();
    if (rc >= 0 || tg_op_cancel(op) < 0) // completed and failed: the completion counts
        return 0;
    return rc;
}

static void engine_enter(tg_self *self, const char *callback)
{
    tg_call_begin(tg_version_check(self), callback);
}

static void engine_leave(tg_self *self)
{
    assert(tg_running_here()->depth > 0);
    (void)self;
    tg_call_end();
}

const tg_engine_api tg_engine_table = {
    .size = sizeof(tg_engine_api),
    .add = engine_add,
    .call = engine_call,
    .enter = engine_enter,
    .leave = engine_leave,
};
