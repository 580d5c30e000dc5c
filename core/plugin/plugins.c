// SPDX-License-Identifier: Apache-2.0
// Loading and reloading, both the same steps on a version: open, check the config, load, start
// on all workers, commit. Whatever fails, the new version is undone and the one that runs has
// not been touched.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/kept.h"
#include "plugin/listeners.h"
#include "plugin/loader.h"
#include "plugin/plugins.h"

static tg_plug *plug_new(tg_runtime *rt)
{
    tg_plug *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->rt = rt;
    tg_list_init(&p->versions);
    tg_list_add(&rt->plugs, &p->node);
    return p;
}

static void plug_free(tg_plug *p)
{
    assert(tg_list_empty(&p->versions));
    tg_list_del(&p->node);
    tg_value_free(p->config);
    free(p->path);
    free(p->file);
    free(p->where);
    free(p);
}

static char *copy_of(const char *text, const char *otherwise)
{
    return strdup(text != NULL ? text : otherwise);
}

static tg_plug *find(const tg_runtime *rt, const char *id)
{
    for (tg_list *n = rt->plugs.next; n != &rt->plugs; n = n->next) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        if (strcmp(p->id, id) == 0)
            return p;
    }
    return NULL;
}

static bool another_has(const tg_plug *mine)
{
    for (tg_list *n = mine->rt->plugs.next; n != &mine->rt->plugs; n = n->next) {
        const tg_plug *p = TG_OWNER(n, tg_plug, node);
        if (p != mine && strcmp(p->id, mine->id) == 0)
            return true;
    }
    return false;
}

static int open_code(tg_version *v, tg_error *e)
{
    tg_plug *p = v->plug;
    if (p->linked == NULL)
        return tg_loader_open(v, p->path, e);
    v->object = p->linked;
    v->engine = "static";
    snprintf(v->version, sizeof(v->version), "%s", p->linked->version);
    v->capabilities = p->linked->capabilities;
    return 0;
}

// A listener of the running version must find its adapter in the new one.
static int keeps_adapters(const tg_version *v, const tg_version *old, tg_error *e)
{
    for (tg_list *n = old->offers.next; n != &old->offers; n = n->next) {
        const tg_offer *o = TG_OWNER(n, tg_offer, node);
        bool kept = false;
        for (tg_list *m = v->offers.next; m != &v->offers; m = m->next)
            kept |= TG_OWNER(m, tg_offer, node)->seat == o->seat;
        const tg_listening *g = kept ? NULL : tg_listening_of(v->rt, o->seat);
        if (g != NULL)
            return tg_error_set(e, TG_E_INVAL,
                                "plugin '%s' %s no longer has adapter '%s', "
                                "which listener '%s' needs",
                                v->plug->id, v->version, o->id, g->name);
    }
    return 0;
}

static int stage(tg_version *v, tg_error *e)
{
    tg_runtime *rt = v->rt;
    int rc = open_code(v, e);
    if (rc == 0 && another_has(v->plug))
        rc = tg_error_set(e, TG_E_EXISTS, "plugin '%s' is loaded already", v->plug->id);
    if (rc == 0)
        rc = tg_version_configure(v, e);
    if (rc == 0)
        rc = tg_version_load(v, e);
    if (rc == 0 && v->plug->live != NULL)
        rc = keeps_adapters(v, v->plug->live, e);
    if (rc == 0 && rt->running)
        rc = tg_version_start(v, e);
    return rc;
}

static void log_live(const tg_version *v)
{
    tg_field fields[] = {TG_F("plugin", v->plug->id), TG_F("version", v->version),
                         TG_FN("number", v->number), TG_F("engine", v->engine),
                         TG_F("hash", v->hash)};
    tg_log_with(PLUGIN, INFO, fields, 5, "plugin in service");
}

/// @return the version that serves new connections now, or NULL and nothing has changed.
static int bring_up(tg_plug *p, tg_error *e)
{
    tg_version *v = tg_version_new(p);
    if (v == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    bool had = p->rt->store_set;
    int rc = stage(v, e);
    if (rc == 0 && (rc = tg_store_take(v, e)) < 0)
        tg_version_unstart(v);
    if (rc < 0) {
        tg_version_abandon(v);
        return rc;
    }
    tg_version_commit(v, p->live);
    atomic_store(&p->rt->store_coming, NULL);
    if (!had && p->rt->store_set && tg_kept_restore(p->rt) < 0)
        tg_log(PLUGIN, ERROR, "durable keys could not be read from the store");
    log_live(v);
    return 0;
}

static int bring_up_new(tg_plug *p, tg_error *e)
{
    int rc = bring_up(p, e);
    if (rc < 0 && tg_list_empty(&p->versions))
        plug_free(p);
    return rc;
}

int tg_plugins_add_static(tg_runtime *rt, const tg_plugin *plugin, tg_error *e)
{
    assert(!rt->running);
    if (find(rt, plugin->id) != NULL)
        return tg_error_set(e, TG_E_EXISTS, "plugin '%s' is there already", plugin->id);
    tg_plug *p = plug_new(rt);
    if (p == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    p->linked = plugin;
    memcpy(p->id, plugin->id, sizeof(p->id));
    p->path = strdup("");
    p->file = strdup("");
    p->where = copy_of(plugin->id, "");
    return bring_up_new(p, e);
}

/// @return NULL: it was not found, or there is no memory; `e` says which.
static tg_plug *plug_open(tg_runtime *rt, const char *name, const tg_value *config,
                          const char *file, const char *where, tg_error *e)
{
    char *path = tg_loader_find(rt, name, e);
    if (path == NULL)
        return NULL;
    tg_plug *p = plug_new(rt);
    if (p == NULL) {
        free(path);
        tg_error_set(e, TG_E_NOMEM, "out of memory");
        return NULL;
    }
    p->path = path;
    p->file = file != NULL ? strdup(file) : NULL;
    p->where = copy_of(where, name);
    p->config = config != NULL ? tg_value_copy(config) : NULL;
    if (p->where == NULL || (file != NULL && p->file == NULL) ||
        (config != NULL && p->config == NULL)) {
        plug_free(p);
        tg_error_set(e, TG_E_NOMEM, "out of memory");
        return NULL;
    }
    return p;
}

int tg_plugins_load(tg_runtime *rt, const char *name, const tg_value *config,
                    const char *file, const char *where, tg_error *e)
{
    assert(rt->running);
    tg_plug *p = plug_open(rt, name, config, file, where, e);
    return p != NULL ? bring_up_new(p, e) : e->code;
}

int tg_plugins_check(tg_runtime *rt, const char *name, const tg_value *config,
                     const char *file, const char *where, bool *opened, tg_error *e)
{
    *opened = false;
    tg_plug *p = plug_open(rt, name, config, file, where, e);
    if (p == NULL)
        return e->code;
    tg_version *v = tg_version_new(p);
    int rc = v != NULL ? open_code(v, e) : tg_error_set(e, TG_E_NOMEM, "out of memory");
    *opened = rc == 0;
    if (rc == 0)
        rc = tg_version_configure(v, e);
    if (v != NULL)
        tg_version_abandon(v);
    plug_free(p);
    return rc;
}

static uint32_t alive(const tg_plug *p)
{
    uint32_t n = 0;
    for (tg_list *l = p->versions.next; l != &p->versions; l = l->next)
        n++;
    return n;
}

int tg_plugins_reload(tg_runtime *rt, const char *id, tg_error *e)
{
    tg_plug *p = find(rt, id);
    if (p == NULL)
        return tg_error_set(e, TG_E_NOTFOUND, "no plugin '%s' is loaded", id);
    if (p->linked != NULL)
        return tg_error_set(e, TG_E_UNSUPPORTED, "plugin '%s' is part of the host", id);
    if (rt->store_set && p->live != NULL && rt->store_seat->control->self->plug == p)
        return tg_error_set(e, TG_E_UNSUPPORTED,
                            "plugin '%s' holds the store in use: restart "
                            "the host to replace it",
                            id);
    tg_versions_reap(rt);
    if (alive(p) >= TG_VERSIONS_MAX)
        return tg_error_set(e, TG_E_BUSY,
                            "plugin '%s' has %u versions alive: wait until the "
                            "connections of an old one have ended",
                            id, alive(p));
    tg_error unread;
    if (e == NULL)
        e = &unread;
    int rc = bring_up(p, e);
    tg_field fields[] = {TG_F("plugin", id), TG_F("reason", e->message)};
    if (rc < 0)
        tg_log_with(PLUGIN, WARN, fields, 2, "not reloaded: the running version goes on");
    return rc;
}

static const char *const state_names[] = {
    [TG_VERSION_STAGED] = "staged",
    [TG_VERSION_LIVE] = "live",
    [TG_VERSION_DRAINING] = "draining",
    [TG_VERSION_RETIRED] = "retired",
};

static void describe(tg_version *v, tg_version_info *i, char error[512])
{
    tg_version_last_error(v, error, 512);
    *i = (tg_version_info){
        .plugin = v->plug->id,
        .engine = v->engine != NULL ? v->engine : "",
        .path = v->plug->path,
        .version = v->version,
        .hash = v->hash,
        .state = state_names[atomic_load(&v->state)],
        .number = v->number,
        .capabilities = v->capabilities,
        .since = v->since,
        .last_error = error,
    };
    for (uint32_t w = 0; w < v->rt->nworkers; w++) {
        const tg_part *p = &v->part[w];
        i->connections += atomic_load_explicit(&p->conns, memory_order_relaxed);
        i->frames += atomic_load_explicit(&p->frames, memory_order_relaxed);
        i->errors += atomic_load_explicit(&p->errors, memory_order_relaxed);
    }
}

void tg_plugins_each(tg_runtime *rt, void (*each)(void *ctx, const tg_version_info *i),
                     void *ctx)
{
    for (tg_list *n = rt->plugs.next; n != &rt->plugs; n = n->next) {
        tg_plug *p = TG_OWNER(n, tg_plug, node);
        for (tg_list *m = p->versions.next; m != &p->versions; m = m->next) {
            tg_version_info info;
            char error[512];
            describe(TG_OWNER(m, tg_version, node), &info, error);
            each(ctx, &info);
        }
    }
}

void tg_plugins_free(tg_runtime *rt)
{
    for (tg_list *n = rt->plugs.prev, *prev; n != &rt->plugs; n = prev) {
        prev = n->prev;
        plug_free(TG_OWNER(n, tg_plug, node));
    }
}
