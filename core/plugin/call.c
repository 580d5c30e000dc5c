// SPDX-License-Identifier: Apache-2.0
// QoS 1 asks for one of these with every publish: so freed ones are kept for the next.
#include <stdlib.h>

#include "plugin/call.h"

tg_call *tg_call_new(const char *name, void *ctx)
{
    tg_local *here = tg_here();
    tg_call *c;
    if (tg_list_empty(&here->spare_calls)) {
        c = calloc(1, sizeof(*c));
        if (c == NULL)
            return NULL;
    } else {
        c = TG_OWNER(here->spare_calls.next, tg_call, node);
        tg_list_del(&c->node);
    }
    tg_version *v = tg_current();
    c->self = v;
    c->line = 0;
    c->ctx = ctx;
    c->name = name;
    tg_list_init(&c->node);
    if (v != NULL) {
        tg_list_add(&tg_part_here(v)->calls, &c->node);
        tg_part_here(v)->waits++;
    }
    return c;
}

void tg_call_free(tg_call *c)
{
    tg_list_del(&c->node);
    if (c->self != NULL) {
        tg_part_here(c->self)->waits--;
        tg_version_touch(c->self);
        c->self = NULL;
    }
    tg_list_add(&tg_here()->spare_calls, &c->node);
}

void tg_calls_end_version(tg_version *v)
{
    tg_part *p = tg_part_here(v);
    while (!tg_list_empty(&p->calls)) {
        tg_call *c = TG_OWNER(p->calls.next, tg_call, node);
        tg_list_del(&c->node);
        c->self = NULL;
        p->waits--;
    }
}

void tg_calls_close(tg_local *here)
{
    for (tg_list *n = here->spare_calls.next, *next; n != &here->spare_calls; n = next) {
        next = n->next;
        free(TG_OWNER(n, tg_call, node));
    }
    tg_list_init(&here->spare_calls);
}

void tg_call_done(void *ctx, int code, const tg_value *value)
{
    tg_call *c = ctx;
    if (c->self != NULL) {
        tg_call_begin(c->self, c->name);
        c->done(c->ctx, code, value);
        tg_call_end();
    }
    tg_call_free(c);
}
