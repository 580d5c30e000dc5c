// SPDX-License-Identifier: Apache-2.0
// One way to call a version's code, whatever it is: a shared object, a linked-in plugin, or the
// unit of an engine. A plugin built for an older minor has a shorter object: what lies beyond
// its size is not there.
#include <dlfcn.h>

#include "plugin/version.h"

#define HAS(v, member)                                                                     \
    ((v)->object->size >=                                                                  \
         offsetof(tg_plugin, life.member) + sizeof((v)->object->life.member) &&            \
     (v)->object->life.member != NULL)

int tg_code_load(tg_version *v)
{
    tg_call_begin(v, "load");
    int rc = v->unit != NULL ? v->runner->load(v->unit, &v->rt->host, v)
                             : v->object->life.load(&v->rt->host, v);
    tg_call_end();
    return rc;
}

int tg_code_start(tg_version *v, uint32_t worker)
{
    int rc = 0;
    tg_call_begin(v, "start");
    if (v->unit != NULL)
        rc = v->runner->start(v->unit, worker);
    else if (HAS(v, start))
        rc = v->object->life.start(worker);
    tg_call_end();
    return rc;
}

void tg_code_drain(tg_version *v, uint32_t worker)
{
    tg_call_begin(v, "drain");
    if (v->unit != NULL)
        v->runner->drain(v->unit, worker);
    else if (HAS(v, drain))
        v->object->life.drain(worker);
    tg_call_end();
}

void tg_code_stop(tg_version *v, uint32_t worker)
{
    tg_call_begin(v, "stop");
    if (v->unit != NULL)
        v->runner->stop(v->unit, worker);
    else if (HAS(v, stop))
        v->object->life.stop(worker);
    tg_call_end();
}

void tg_code_unload(tg_version *v)
{
    tg_call_begin(v, "unload");
    if (v->unit != NULL)
        v->runner->unload(v->unit);
    else if (HAS(v, unload))
        v->object->life.unload();
    tg_call_end();
}

// Unmapping is safe only when the plugin says so: a library that it brought may have a thread,
// or a destructor registered with atexit().
void tg_code_close(tg_version *v)
{
    if (v->unit != NULL)
        v->runner->free(v->unit);
    if (v->handle != NULL && (v->flags & TG_PLUGIN_UNMAP_SAFE) != 0)
        dlclose(v->handle);
    v->unit = NULL;
    v->handle = NULL;
    v->object = NULL;
}
