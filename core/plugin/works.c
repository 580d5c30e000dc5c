// SPDX-License-Identifier: Apache-2.0
// Blocking jobs of plugins. A job that runs uses what its version has set up, so a version is
// not stopped before its jobs have come home: who ends one cancels those that have not begun,
// and waits for the others. The code is held until then as well.
#include <stdlib.h>

#include "plugin/line.h"

typedef struct job {
    tg_list node; // in part.works, until the version ends
    tg_version *self;
    void (*run)(void *ctx);
    void (*after)(void *ctx, int code);
    void *ctx;
    atomic_int state; ///< of QUEUED, RUNNING, CANCELLED
} job;

enum { QUEUED, RUNNING, CANCELLED };

static void run(void *ctx) // on a thread of the pool
{
    job *j = ctx;
    int queued = QUEUED;
    if (!atomic_compare_exchange_strong(&j->state, &queued, RUNNING))
        return;
    tg_call_begin(j->self, "work");
    j->run(j->ctx);
    tg_call_end();
}

static void tell(job *j, int code)
{
    if (j->after == NULL)
        return;
    tg_call_begin(j->self, "work after");
    j->after(j->ctx, code);
    tg_call_end();
    j->after = NULL;
}

static void after(void *ctx, int code)
{
    job *j = ctx;
    tg_version *v = j->self;
    if (!tg_list_empty(&j->node)) { // else it was cancelled, and told so
        tg_list_del(&j->node);
        tell(j, code);
        tg_part_here(v)->waits--;
        tg_version_touch(v);
    }
    free(j);
    tg_version_drop(v);
}

static int submit(void (*fn)(void *ctx), void (*done)(void *ctx, int code), void *ctx)
{
    tg_local *here = tg_here();
    tg_version *v = tg_current();
    if (here == NULL)
        return TG_E_THREAD;
    if (v == NULL || fn == NULL)
        return TG_E_INVAL;
    if (here->no_works)
        return TG_E_SHUTDOWN;
    job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return TG_E_NOMEM;
    j->self = v;
    j->run = fn;
    j->after = done;
    j->ctx = ctx;
    tg_version_hold(v);
    tg_list_add(&tg_part_here(v)->works, &j->node);
    tg_part_here(v)->waits++;
    int rc = tg_pool_submit(here->worker, run, after, j);
    if (rc == 0)
        return 0;
    tg_list_del(&j->node);
    tg_part_here(v)->waits--;
    tg_version_drop(v);
    free(j);
    return rc;
}

// What `after` submits on being told stands behind `last`, for the next call.
bool tg_works_cancel(tg_version *v, tg_local *here)
{
    tg_part *p = &v->part[here->index];
    const tg_list *last = p->works.prev;
    bool more = last != &p->works;
    for (tg_list *n = p->works.next, *next; more; n = next) {
        job *j = TG_OWNER(n, job, node);
        int queued = QUEUED;
        next = n->next;
        more = n != last;
        if (!atomic_compare_exchange_strong(&j->state, &queued, CANCELLED))
            continue;
        tg_list_del(&j->node);
        p->waits--;
        tell(j, TG_E_CANCELLED);
    }
    return tg_list_empty(&p->works);
}

const tg_work_api tg_work_table = {
    .size = sizeof(tg_work_api),
    .submit = submit,
};
