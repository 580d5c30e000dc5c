// SPDX-License-Identifier: Apache-2.0
// Registrations are copied into structs of this host's size: a plugin of an older minor gave a
// shorter one, whose missing members are zero. `given` is kept too, since callbacks get back
// the pointer that the plugin knows.
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/line.h"
#include "plugin/registry.h"

bool tg_id_valid(tg_slice id, size_t max)
{
    if (id.at == NULL || id.len == 0 || id.len >= max)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!isalnum((unsigned char)id.at[i]) && strchr("-_.", id.at[i]) == NULL)
            return false;
    return id.at[0] != '.';
}

static tg_slice seat_key(char key[72], tg_offer_kind kind, tg_slice id)
{
    size_t n = id.len < 64 ? id.len : 64;
    key[0] = (char)kind;
    memcpy(key + 1, id.at, n);
    key[n + 1] = '\0';
    return (tg_slice){key, n + 1};
}

static tg_seat *seat_make(tg_runtime *rt, tg_slice key)
{
    tg_seat *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    memcpy(s->key, key.at, key.len);
    if (tg_map_add(&rt->seats, (tg_slice){s->key, key.len}, s) == 0)
        return s;
    free(s);
    return NULL;
}

tg_seat *tg_seat_get(tg_runtime *rt, tg_offer_kind kind, tg_slice id)
{
    char text[72];
    tg_slice key = seat_key(text, kind, id);
    pthread_mutex_lock(&rt->lock);
    tg_seat *s = tg_map_find(&rt->seats, key);
    if (s == NULL)
        s = seat_make(rt, key);
    pthread_mutex_unlock(&rt->lock);
    return s;
}

// One that nothing holds any more waits for its end: the host stops.
static bool hold(tg_version *v)
{
    int64_t n = atomic_load(&v->holds);
    while (n > 0 && !atomic_compare_exchange_weak(&v->holds, &n, n + 1))
        ;
    return n > 0;
}

tg_offer *tg_seat_hold(tg_runtime *rt, tg_offer_kind kind, tg_slice id)
{
    char text[72];
    tg_slice key = seat_key(text, kind, id);
    pthread_mutex_lock(&rt->lock);
    const tg_seat *s = tg_map_find(&rt->seats, key);
    tg_offer *o = s != NULL ? s->control : NULL;
    if (o != NULL && !hold(o->self))
        o = NULL;
    pthread_mutex_unlock(&rt->lock);
    return o;
}

tg_seat *tg_seat_find(tg_local *here, tg_offer_kind kind, tg_slice id)
{
    char text[72];
    tg_slice key = seat_key(text, kind, id);
    tg_seat *s = tg_map_find(&here->seats, key);
    if (s != NULL)
        return s;
    pthread_mutex_lock(&here->rt->lock);
    s = tg_map_find(&here->rt->seats, key);
    pthread_mutex_unlock(&here->rt->lock);
    if (s != NULL)
        tg_map_add(&here->seats, (tg_slice){s->key, key.len}, s); // without it: asked again
    return s;
}

void tg_seats_free(tg_runtime *rt)
{
    uint32_t at = 0;
    for (tg_seat *s; (s = tg_map_next(&rt->seats, &at)) != NULL;)
        free(s);
    tg_map_free(&rt->seats);
}

/// A framer for listeners that take smaller frames than the adapter declares.
typedef struct clip {
    tg_list node; // in offer.clipped, under the version's lock
    uint32_t max;
    tg_framer *framer;
} clip;

static void offer_free(tg_offer *o)
{
    for (tg_list *n = o->clipped.next, *next; n != &o->clipped; n = next) {
        next = n->next;
        tg_framer_free(TG_OWNER(n, clip, node)->framer);
        free(TG_OWNER(n, clip, node));
    }
    if (o->framer != NULL)
        tg_framer_free(o->framer);
    free(o->frames);
    tg_list_del(&o->node);
    o->magic = 0;
    free(o);
}

void tg_offers_free(tg_version *v)
{
    for (tg_list *n = v->offers.prev, *prev; n != &v->offers; n = prev) {
        prev = n->prev;
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        tg_call_begin(v, "destroy");
        if (o->destroy != NULL)
            o->destroy(o->arg);
        tg_call_end();
        offer_free(o);
    }
    for (tg_list *n = v->privates.prev, *prev; n != &v->privates; n = prev) {
        prev = n->prev;
        offer_free(TG_OWNER(n, tg_offer, node));
    }
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int framer_clipped(const tg_adapter *a, uint32_t max, tg_framer **out)
{
    tg_frame frames[TG_FRAMES_MAX];
    if (a->nframes > TG_FRAMES_MAX)
        return TG_E_LIMIT;
    for (uint32_t i = 0; i < a->nframes; i++) {
        frames[i] = a->frames[i];
        if (frames[i].kind != TG_FRAME_FIXED) {
            frames[i].max = smaller(frames[i].max, max);
            frames[i].min = smaller(frames[i].min, frames[i].max);
        }
    }
    return tg_framer_new(frames, a->nframes, out, NULL);
}

static tg_framer *clip_for(tg_offer *o, uint32_t max)
{
    for (tg_list *n = o->clipped.next; n != &o->clipped; n = n->next)
        if (TG_OWNER(n, clip, node)->max == max)
            return TG_OWNER(n, clip, node)->framer;
    clip *c = calloc(1, sizeof(*c));
    if (c == NULL || framer_clipped(&o->adapter, max, &c->framer) < 0) {
        free(c);
        return NULL;
    }
    c->max = max;
    tg_list_add(&o->clipped, &c->node);
    return c->framer;
}

tg_framer *tg_offer_framer(tg_offer *o, uint32_t max)
{
    if (o->framer == NULL || max == 0 || max >= tg_framer_max(o->framer))
        return o->framer;
    pthread_mutex_lock(&o->self->lock);
    tg_framer *f = clip_for(o, max);
    pthread_mutex_unlock(&o->self->lock);
    return f != NULL ? f : o->framer;
}

/// The size that a struct has at least: it grew behind `member`, the last of its first form.
#define UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

// The members of `given` that its size covers; the rest stays zero.
static void take(void *to, size_t size, const void *given)
{
    uint32_t theirs = *(const uint32_t *)given;
    memcpy(to, given, theirs < size ? theirs : size);
}

TG_PRINTF(3, 4) static int refuse(tg_version *v, int code, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tg_version_error(v, tg_str(text));
    return code;
}

static tg_offer *offer_new(tg_version *v, tg_offer_kind kind, const void *given)
{
    tg_offer *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return NULL;
    o->magic = TG_OFFER_MAGIC;
    o->kind = (uint8_t)kind;
    o->self = v;
    o->given = given;
    tg_list_init(&o->node);
    tg_list_init(&o->clipped);
    return o;
}

static const char *const kind_names[] = {
    ['a'] = "adapter", ['u'] = "auth backend", ['s'] = "store", ['d'] = "driver"};

static int seat_take(tg_offer *o)
{
    tg_version *v = o->self;
    for (tg_list *n = v->offers.next; n != &v->offers; n = n->next) {
        const tg_offer *other = TG_OWNER(n, tg_offer, node);
        if (other->kind == o->kind && strcmp(other->id, o->id) == 0)
            return refuse(v, TG_E_EXISTS, "'%s' was registered before", o->id);
    }
    o->seat = tg_seat_get(v->rt, (tg_offer_kind)o->kind, tg_str(o->id));
    if (o->seat == NULL)
        return TG_E_NOMEM;
    pthread_mutex_lock(&v->rt->lock);
    bool foreign = o->seat->control != NULL && o->seat->control->self->plug != v->plug;
    pthread_mutex_unlock(&v->rt->lock);
    return foreign ? refuse(v, TG_E_EXISTS, "'%s' belongs to another plugin", o->id) : 0;
}

/// What every kind has in common. @param id may be NULL: the plugin's mistake.
static int offer_add(tg_offer *o, const char *id)
{
    tg_version *v = o->self;
    if (!tg_id_valid(tg_str(id), sizeof(o->id)))
        return refuse(v, TG_E_INVAL, "a registered %s has no valid id",
                      kind_names[o->kind]);
    snprintf(o->id, sizeof(o->id), "%s", id);
    int rc = seat_take(o);
    if (rc == 0)
        tg_list_add(&v->offers, &o->node);
    return rc;
}

/// @param least the size up to the last member that must be there.
static int offer_begin(tg_self *self, tg_offer_kind kind, const void *given, size_t least,
                       tg_offer **out)
{
    tg_version *v = tg_version_check(self);
    if (!v->loading) {
        refuse(v, TG_E_THREAD, "a %s is registered from load() only", kind_names[kind]);
        return TG_E_THREAD;
    }
    if (given == NULL || *(const uint32_t *)given < least) {
        refuse(v, TG_E_INVAL, "a registered %s has no size, or one too small",
               kind_names[kind]);
        return TG_E_INVAL;
    }
    *out = offer_new(v, kind, given);
    return *out != NULL ? 0 : TG_E_NOMEM;
}

static int offer_end(tg_offer *o, int rc, void (*destroy)(void *arg), void *arg)
{
    if (rc < 0) {
        offer_free(o); // a call that failed never runs its destructor
        return rc;
    }
    o->destroy = destroy;
    o->arg = arg;
    return 0;
}

// An array of structs that may have been shorter: each says its size, the first one's is the
// step from one to the next. What was padding in the first form may hold anything.
int tg_frames_take(const tg_frame *first, uint32_t n, tg_frame *out)
{
    if (first == NULL || first->size < UP_TO(tg_frame, stall_ms))
        return TG_E_INVAL;
    memset(out, 0, n * sizeof(*out));
    for (uint32_t i = 0; i < n; i++) {
        take(&out[i], sizeof(tg_frame), (const char *)first + i * (size_t)first->size);
        if (first->size < UP_TO(tg_frame, guard))
            out[i].guard_at = 0;
        out[i].size = sizeof(tg_frame);
    }
    return 0;
}

static int take_frames(tg_offer *o)
{
    o->frames = calloc(o->adapter.nframes, sizeof(tg_frame));
    if (o->frames == NULL)
        return TG_E_NOMEM;
    if (tg_frames_take(o->adapter.frames, o->adapter.nframes, o->frames) < 0)
        return refuse(o->self, TG_E_INVAL, "an adapter's frames have no size");
    o->adapter.frames = o->frames;
    return 0;
}

static int adapter_check(tg_offer *o)
{
    const tg_adapter *a = &o->adapter;
    const char *id = a->id != NULL ? a->id : "";
    tg_version *v = o->self;
    const uint32_t known = TG_TCP | TG_TLS | TG_UDP | TG_DTLS | TG_WS;
    if (a->transports == 0 || (a->transports & ~known) != 0)
        return refuse(v, TG_E_INVAL, "adapter '%s' names no known transport", id);
    if ((a->commands == NULL) != (a->on_command == NULL))
        return refuse(v, TG_E_INVAL, "adapter '%s': commands and on_command go together",
                      id);
    if (a->state_size > UINT16_MAX)
        return refuse(v, TG_E_TOOBIG, "adapter '%s' wants too much state", id);
    if (a->nframes == 0)
        return a->on_data != NULL
                   ? 0
                   : refuse(v, TG_E_INVAL, "adapter '%s' has no on_data", id);
    if (a->on_frame == NULL)
        return refuse(v, TG_E_INVAL, "adapter '%s' has no on_frame", id);
    int rc = take_frames(o);
    if (rc < 0)
        return rc;
    tg_error e = {0};
    rc = tg_framer_new(a->frames, a->nframes, &o->framer, &e);
    return rc < 0 ? refuse(v, rc, "%s", e.message) : 0;
}

static int adapter_prepare(tg_offer *o, const tg_adapter *a)
{
    take(&o->adapter, sizeof(o->adapter), a);
    int rc = adapter_check(o);
    if (rc == 0)
        tg_line_events(&o->dial, o->adapter.state_size);
    return rc;
}

static int add_adapter(tg_self *self, const tg_adapter *a, void (*destroy)(void *arg),
                       void *arg)
{
    tg_offer *o;
    int rc = offer_begin(self, TG_OFFER_ADAPTER, a, offsetof(tg_adapter, on_open), &o);
    if (rc < 0)
        return rc;
    rc = adapter_prepare(o, a);
    if (rc == 0)
        rc = offer_add(o, o->adapter.id);
    return offer_end(o, rc, destroy, arg);
}

static int add_auth(tg_self *self, const tg_auth_backend *b, void (*destroy)(void *arg),
                    void *arg)
{
    tg_offer *o;
    int rc = offer_begin(self, TG_OFFER_AUTH, b, UP_TO(tg_auth_backend, check), &o);
    if (rc < 0)
        return rc;
    take(&o->auth, sizeof(o->auth), b);
    if (o->auth.check == NULL)
        rc = refuse(o->self, TG_E_INVAL, "a registered auth backend has no check");
    if (rc == 0)
        rc = offer_add(o, b->id);
    return offer_end(o, rc, destroy, arg);
}

static int add_store(tg_self *self, const tg_store *s, void (*destroy)(void *arg),
                     void *arg)
{
    tg_offer *o;
    int rc = offer_begin(self, TG_OFFER_STORE, s, UP_TO(tg_store, scan), &o);
    if (rc < 0)
        return rc;
    take(&o->store, sizeof(o->store), s);
    if (o->store.commit == NULL || o->store.scan == NULL)
        rc = refuse(o->self, TG_E_INVAL, "a registered store lacks commit or scan");
    if (rc == 0)
        rc = offer_add(o, s->id);
    return offer_end(o, rc, destroy, arg);
}

static int add_driver(tg_self *self, const tg_driver *d, void (*destroy)(void *arg),
                      void *arg)
{
    tg_offer *o;
    int rc = offer_begin(self, TG_OFFER_DRIVER, d, UP_TO(tg_driver, call), &o);
    if (rc < 0)
        return rc;
    take(&o->driver, sizeof(o->driver), d);
    if (o->driver.call == NULL)
        rc = refuse(o->self, TG_E_INVAL, "a registered driver has no call");
    if (rc == 0)
        rc = offer_add(o, d->id);
    return offer_end(o, rc, destroy, arg);
}

const tg_register_api tg_register_table = {
    .size = sizeof(tg_register_api),
    .adapter = add_adapter,
    .auth = add_auth,
    .store = add_store,
    .driver = add_driver,
};

static tg_offer *offer_in(const tg_list *list, const tg_adapter *a)
{
    for (tg_list *n = list->next; n != list; n = n->next) {
        tg_offer *o = TG_OWNER(n, tg_offer, node);
        if (o->given == a && o->kind == TG_OFFER_ADAPTER)
            return o;
    }
    return NULL;
}

static tg_offer *private_find(tg_version *v, const tg_adapter *a)
{
    pthread_mutex_lock(&v->lock);
    tg_offer *o = offer_in(&v->privates, a);
    pthread_mutex_unlock(&v->lock);
    return o;
}

// Two workers may meet here: the second one's offer is a duplicate that does no harm.
static tg_offer *private_make(tg_version *v, const tg_adapter *a)
{
    tg_offer *o = offer_new(v, TG_OFFER_ADAPTER, a);
    if (o == NULL)
        return NULL;
    if (adapter_prepare(o, a) < 0) {
        offer_free(o);
        return NULL;
    }
    snprintf(o->id, sizeof(o->id), "%s", a->id != NULL ? a->id : "dialed");
    pthread_mutex_lock(&v->lock);
    tg_list_add(&v->privates, &o->node);
    pthread_mutex_unlock(&v->lock);
    return o;
}

tg_offer *tg_offer_of(tg_version *v, const tg_adapter *a)
{
    if (a == NULL || a->size < offsetof(tg_adapter, on_open))
        return NULL;
    tg_offer *o = offer_in(&v->offers, a);
    if (o == NULL)
        o = private_find(v, a);
    return o != NULL ? o : private_make(v, a);
}
