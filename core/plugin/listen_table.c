// SPDX-License-Identifier: Apache-2.0
// The ABI's listeners. They are opened by the control thread, so the answer is an op of the
// worker (or a mail to the control thread itself) that asked.
#include <stdlib.h>

#include "plugin/listeners.h"
#include "plugin/op.h"

typedef struct request {
    tg_runtime *rt;
    tg_version *self;
    tg_value *spec;
    tg_op op; ///< {0}: asked by the control thread
    tg_done_fn *done;
    void *ctx;
} request;

static void answer(request *r, int code, const tg_value *value)
{
    if (r->op.id != 0) {
        tg_op_complete(r->op, code, value);
    } else if (r->done != NULL) {
        tg_call_begin(r->self, "listening");
        r->done(r->ctx, code, value);
        tg_call_end();
    }
}

static void answer_address(request *r, const char *address)
{
    tg_pair pair = {TG_LIT("address"), {.kind = TG_STR, .string = tg_str(address)}};
    tg_value map = {.kind = TG_MAP, .map = {&pair, 1}};
    answer(r, 0, &map);
}

static void answer_error(request *r, int code, const tg_error *e)
{
    tg_pair pair = {TG_LIT("message"), {.kind = TG_STR, .string = tg_str(e->message)}};
    tg_value map = {.kind = TG_MAP, .map = {&pair, 1}};
    answer(r, code, &map);
}

static void open_now(void *ctx) // control thread
{
    request *r = ctx;
    tg_version *v = r->self;
    tg_listening *g;
    tg_error e = {0};
    int rc = TG_E_SHUTDOWN;
    if (!atomic_load(&r->rt->stopping))
        rc = tg_listening_open(r->rt, r->spec, NULL, v->plug->id, v->plug, &g, &e);
    if (rc == 0)
        answer_address(r, g->address);
    else
        answer_error(r, rc, &e);
    tg_value_free(r->spec);
    free(r);
    tg_version_drop(v);
}

static int request_make(request *r, const tg_value *spec)
{
    r->spec = tg_value_copy(spec);
    if (r->spec == NULL)
        return TG_E_NOMEM;
    if (tg_here() == NULL || r->done == NULL)
        return 0;
    tg_op_spec op = {
        .done = r->done, .ctx = r->ctx, .owner = r->self, .callback = "listening"};
    r->op = tg_op_new(&op);
    return r->op.id != 0 ? 0 : TG_E_NOMEM;
}

static void request_free(request *r)
{
    if (r->op.id != 0)
        tg_op_cancel(r->op);
    tg_value_free(r->spec);
    free(r);
}

static int listen_open(const tg_value *spec, tg_done_fn *done, void *ctx)
{
    tg_version *v = tg_current();
    tg_error e = {0};
    if (v == NULL)
        return TG_E_INVAL;
    if (tg_listeners_check(spec, NULL, v->plug->id, &e) < 0) {
        tg_version_error(v, tg_str(e.message));
        return TG_E_INVAL;
    }
    request *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return TG_E_NOMEM;
    *r = (request){.rt = v->rt, .self = v, .done = done, .ctx = ctx};
    int rc = request_make(r, spec);
    if (rc == 0) {
        tg_version_hold(v);
        rc = tg_control_run(v->rt->workers, open_now, r);
        if (rc < 0)
            tg_version_drop(v);
    }
    if (rc < 0)
        request_free(r);
    return rc;
}

typedef struct farewell {
    tg_runtime *rt;
    char name[64];
} farewell;

static void close_now(void *ctx)
{
    farewell *f = ctx;
    tg_listeners_close(f->rt, f->name);
    free(f);
}

static int listen_close(tg_slice name)
{
    const tg_version *v = tg_current();
    if (v == NULL)
        return TG_E_INVAL;
    if (!tg_listening_known(v->rt, name))
        return TG_E_NOTFOUND;
    farewell *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return TG_E_NOMEM;
    f->rt = v->rt;
    memcpy(f->name, name.at, name.len);
    int rc = 0;
    if (tg_here() == NULL)
        rc = tg_listeners_close(v->rt, f->name);
    else if ((rc = tg_control_run(v->rt->workers, close_now, f)) == 0)
        return 0;
    free(f);
    return rc;
}

const tg_listen_api tg_listen_table = {
    .size = sizeof(tg_listen_api),
    .open = listen_open,
    .close = listen_close,
};
