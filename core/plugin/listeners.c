// SPDX-License-Identifier: Apache-2.0
// A listener's spec is one table of options; the network's struct is filled from what it read.
// A closed listening stays until the runtime ends: devices that the kernel had already
// accepted still come in through it, and its lines name it.
#include "plugin/listeners.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rule.h"

typedef struct tls_spec {
    tg_slice cert, key, ca, ciphers;
    int64_t verify, min_version;
} tls_spec;

typedef struct limits_spec {
    int64_t connections, per_address, accept_rate, bytes_rate, messages_rate;
    int64_t first_frame, handshake, quiet, write_stall, frame, junk, bad_frames,
        write_queue;
} limits_spec;

typedef struct listener_spec {
    tg_slice name, adapter, bind;
    int64_t backlog, transport;
    bool anonymous;
    const tg_value *tls_given, *options;
    tls_spec tls;
    limits_spec limits;
} listener_spec;

enum { AUTO, TCP, TLS, UDP };
static const char *const transport_words[] = {"auto", "tcp", "tls", "udp", NULL};
static const char *const verify_words[] = {"none", "optional", "required", NULL};
static const char *const version_words[] = {"1.2", "1.3", NULL};

#define TLS(member) offsetof(tls_spec, member)
static const tg_option tls_options[] = {
    {.name = "cert",
     .type = TG_OPT_STR,
     .required = true,
     .offset = TLS(cert),
     .help = "PEM file of the certificate and its chain"},
    {.name = "key",
     .type = TG_OPT_STR,
     .required = true,
     .offset = TLS(key),
     .help = "PEM file of its private key"},
    {.name = "ca",
     .type = TG_OPT_STR,
     .offset = TLS(ca),
     .help = "PEM file of the authorities that sign clients' certificates"},
    {.name = "verify",
     .type = TG_OPT_ENUM,
     .offset = TLS(verify),
     .fallback = "none",
     .choices = verify_words,
     .help = "client certificates"},
    {.name = "min_version",
     .type = TG_OPT_ENUM,
     .offset = TLS(min_version),
     .fallback = "1.2",
     .choices = version_words,
     .help = "oldest TLS"},
    {.name = "ciphers",
     .type = TG_OPT_STR,
     .offset = TLS(ciphers),
     .help = "as OpenSSL writes them; empty: its defaults"},
    {0},
};

#define LIMIT(member) offsetof(limits_spec, member)
static const tg_option limit_options[] = {
    {.name = "connections",
     .type = TG_OPT_INT,
     .offset = LIMIT(connections),
     .max = UINT32_MAX,
     .help = "in all; 0 no limit"},
    {.name = "per_address",
     .type = TG_OPT_INT,
     .offset = LIMIT(per_address),
     .max = UINT32_MAX,
     .help = "from one address; an IPv6 /64 counts as one"},
    {.name = "accept_rate",
     .type = TG_OPT_INT,
     .offset = LIMIT(accept_rate),
     .max = UINT32_MAX,
     .help = "new connections a second"},
    {.name = "bytes_rate",
     .type = TG_OPT_SIZE,
     .offset = LIMIT(bytes_rate),
     .max = UINT32_MAX,
     .help = "a second and connection; the read pauses"},
    {.name = "messages_rate",
     .type = TG_OPT_INT,
     .offset = LIMIT(messages_rate),
     .max = UINT32_MAX,
     .help = "a second and connection; the read pauses"},
    {.name = "first_frame",
     .type = TG_OPT_DURATION,
     .offset = LIMIT(first_frame),
     .fallback = "30s",
     .max = UINT32_MAX,
     .help = "until the first good frame"},
    {.name = "handshake",
     .type = TG_OPT_DURATION,
     .offset = LIMIT(handshake),
     .fallback = "10s",
     .max = UINT32_MAX,
     .help = "of TLS"},
    {.name = "quiet",
     .type = TG_OPT_DURATION,
     .offset = LIMIT(quiet),
     .fallback = "3m",
     .min = 1,
     .max = INT32_MAX,
     .help = "udp: a peer that says nothing for so long is forgotten, unless its adapter "
             "sets a time of its own"},
    {.name = "write_stall",
     .type = TG_OPT_DURATION,
     .offset = LIMIT(write_stall),
     .fallback = "60s",
     .max = UINT32_MAX,
     .help = "a peer that takes nothing for so long"},
    {.name = "frame",
     .type = TG_OPT_SIZE,
     .offset = LIMIT(frame),
     .max = 256 << 20,
     .help = "largest frame; 0: as the adapter declares it"},
    {.name = "junk",
     .type = TG_OPT_SIZE,
     .offset = LIMIT(junk),
     .fallback = "16KiB",
     .max = UINT32_MAX,
     .help = "bytes without a good frame; 0 no limit"},
    {.name = "bad_frames",
     .type = TG_OPT_INT,
     .offset = LIMIT(bad_frames),
     .max = UINT32_MAX,
     .help = "in a row that end a connection; 0 no limit"},
    {.name = "write_queue",
     .type = TG_OPT_SIZE,
     .offset = LIMIT(write_queue),
     .fallback = "1MiB",
     .max = UINT32_MAX,
     .help = "bytes waiting to leave"},
    {0},
};

#define SPEC(member) offsetof(listener_spec, member)
static const tg_option spec_options[] = {
    {.name = "name", .type = TG_OPT_STR, .required = true, .offset = SPEC(name)},
    {.name = "adapter", .type = TG_OPT_STR, .required = true, .offset = SPEC(adapter)},
    {.name = "bind", .type = TG_OPT_STR, .required = true, .offset = SPEC(bind)},
    {.name = "backlog",
     .type = TG_OPT_INT,
     .offset = SPEC(backlog),
     .fallback = "1024",
     .min = 1,
     .max = 65535},
    {.name = "transport",
     .type = TG_OPT_ENUM,
     .offset = SPEC(transport),
     .fallback = "auto",
     .choices = transport_words,
     .help = "auto: tls where `tls` is given, else tcp"},
    {.name = "tls", .type = TG_OPT_MAP, .offset = SPEC(tls_given)},
    {.name = "anonymous", .type = TG_OPT_BOOL, .offset = SPEC(anonymous)},
    {.name = "limits",
     .type = TG_OPT_GROUP,
     .offset = SPEC(limits),
     .group = limit_options},
    {.name = "options", .type = TG_OPT_MAP, .offset = SPEC(options)},
    {0},
};

/// Where member `name` of `map` stands.
static tg_spot spot(const tg_value *map, const char *file, const char *where,
                    const char *name)
{
    const tg_value *v = tg_value_get(map, name);
    return (tg_spot){file, v != NULL ? v->line : map->line, where, tg_str(name)};
}

static int settle_transport(listener_spec *s, const tg_value *v, const char *file,
                            const char *where, tg_error *e)
{
    bool tls = s->tls_given != NULL;
    if (s->transport == AUTO)
        s->transport = tls ? TLS : TCP;
    if (tls == (s->transport == TLS))
        return 0;
    tg_spot at = spot(v, file, where, tls ? "tls" : "transport");
    return tg_spot_error(
        &at, e, tls ? "%s carries no TLS" : "%s needs a certificate: tls = { cert, key }",
        transport_words[s->transport]);
}

/// What a table of options cannot say of names and addresses.
static int check_words(const listener_spec *s, const tg_value *v, const char *file,
                       const char *where, tg_error *e)
{
    tg_error wrong;
    tg_spot name = spot(v, file, where, "name"), adapter = spot(v, file, where, "adapter"),
            bind = spot(v, file, where, "bind");
    if (!tg_id_valid(s->name, sizeof(((tg_listening *)0)->name)))
        return tg_spot_error(&name, e, "letters, digits, - _ . and at most 63 of them");
    if (!tg_id_valid(s->adapter, sizeof(((tg_listening *)0)->adapter)))
        return tg_spot_error(&adapter, e, "no valid id");
    if (tg_listener_check_bind(s->bind, &wrong) != 0)
        return tg_spot_error(&bind, e, "%s", wrong.message);
    return 0;
}

static int read_spec(const tg_value *v, const char *file, const char *where,
                     listener_spec *out, tg_error *e)
{
    memset(out, 0, sizeof(*out));
    int rc = tg_options_read(spec_options, v, out, file, where, e);
    if (rc == 0 && out->tls_given != NULL) {
        char inner[256];
        snprintf(inner, sizeof(inner), "%s.tls", where);
        rc = tg_options_read(tls_options, out->tls_given, &out->tls, file, inner, e);
    }
    if (rc == 0)
        rc = settle_transport(out, v, file, where, e);
    if (rc == 0)
        rc = check_words(out, v, file, where, e);
    return rc;
}

static tg_tls_spec tls_spec_of(const tls_spec *s)
{
    return (tg_tls_spec){
        .server = true,
        .verify_peer = s->verify == 2,
        .optional_peer = s->verify == 1,
        .min_version = s->min_version == 1 ? 13 : 12,
        .cert_file = s->cert,
        .key_file = s->key,
        .ca_file = s->ca,
        .ciphers = s->ciphers,
    };
}

int tg_listeners_check(const tg_value *spec, const char *file, const char *where,
                       tg_error *e)
{
    listener_spec s;
    return read_spec(spec, file, where, &s, e);
}

int tg_listeners_check_files(const tg_value *spec, const char *file, const char *where,
                             tg_error *e)
{
    listener_spec s;
    tg_tls *tls;
    tg_error why = {0};
    int rc = read_spec(spec, file, where, &s, e);
    if (rc != 0 || s.tls_given == NULL)
        return rc;
    tg_tls_spec files = tls_spec_of(&s.tls);
    tg_spot at = spot(spec, file, where, "tls");
    if (tg_tls_new(&files, &tls, &why) != 0)
        return tg_spot_error(&at, e, "%s", why.message);
    tg_tls_unref(tls);
    return 0;
}

static tg_listening *find(const tg_runtime *rt, tg_slice name)
{
    for (tg_list *n = rt->listenings.next; n != &rt->listenings; n = n->next) {
        tg_listening *g = TG_OWNER(n, tg_listening, node);
        if (g->net != NULL && tg_slice_eq(tg_str(g->name), name))
            return g;
    }
    return NULL;
}

const tg_listening *tg_listening_of(const tg_runtime *rt, const tg_seat *seat)
{
    for (tg_list *n = rt->listenings.next; n != &rt->listenings; n = n->next) {
        const tg_listening *g = TG_OWNER(n, tg_listening, node);
        if (g->net != NULL && g->seat == seat)
            return g;
    }
    return NULL;
}

static void listening_free(tg_listening *g)
{
    tg_list_del(&g->node);
    tg_value_free(g->options);
    free(g->address);
    g->magic = 0;
    free(g);
}

static tg_listening *listening_new(tg_runtime *rt, const listener_spec *s, tg_plug *owner)
{
    tg_listening *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    g->magic = TG_LISTENING_MAGIC;
    g->rt = rt;
    g->owner = owner;
    memcpy(g->name, s->name.at, s->name.len);
    memcpy(g->adapter, s->adapter.at, s->adapter.len);
    g->anonymous = s->anonymous;
    g->frame_max = (uint32_t)s->limits.frame;
    g->junk_max = (uint32_t)s->limits.junk;
    g->bad_max = (uint32_t)s->limits.bad_frames;
    g->udp = s->transport == UDP;
    g->transport = transport_words[s->transport];
    g->seat = tg_seat_get(rt, TG_OFFER_ADAPTER, s->adapter);
    if (s->options != NULL)
        g->options = tg_value_copy(s->options);
    tg_list_init(&g->node);
    tg_auth_count(g);
    if (g->seat != NULL && (s->options == NULL || g->options != NULL))
        return g;
    listening_free(g);
    return NULL;
}

static uint32_t unread_max(const tg_offer *o, const listener_spec *s)
{
    uint64_t frame = o->framer != NULL ? tg_framer_max(o->framer) : 0;
    if (s->limits.frame != 0 && (frame == 0 || (uint64_t)s->limits.frame < frame))
        frame = (uint64_t)s->limits.frame;
    if (frame == 0)
        return 0; // the network's own limit
    uint64_t bytes = frame + frame / 8 + 65536; // one frame, and what came behind it
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static tg_net_limits net_limits(const tg_offer *o, const listener_spec *s)
{
    const limits_spec *l = &s->limits;
    return (tg_net_limits){
        .connections = (uint32_t)l->connections,
        .per_address = (uint32_t)l->per_address,
        .accept_rate = (uint32_t)l->accept_rate,
        .bytes_rate = (uint32_t)l->bytes_rate,
        .messages_rate = (uint32_t)l->messages_rate,
        .first_frame_ms = (uint32_t)l->first_frame,
        .handshake_ms = (uint32_t)l->handshake,
        .quiet_ms = (uint32_t)l->quiet,
        .unread_max = unread_max(o, s),
        .write_max = (uint32_t)l->write_queue,
        .write_stall_ms = (uint32_t)l->write_stall,
    };
}

static tg_listener_spec net_spec(const listener_spec *s, const tg_offer *o, tg_listening *g)
{
    tg_listener_spec out = {
        .name = s->name,
        .bind = s->bind,
        .backlog = (uint32_t)s->backlog,
        .udp = g->udp,
        .limits = net_limits(o, s),
        .user_init = tg_line_accept,
        .arg = g,
    };
    g->room = tg_line_events(&out.events, o->adapter.state_size);
    if (s->tls_given == NULL)
        return out;
    out.tls = true;
    out.tls_spec = tls_spec_of(&s->tls);
    return out;
}

static bool starts_with(tg_slice text, const char *front)
{
    return text.len >= strlen(front) && memcmp(text.at, front, strlen(front)) == 0;
}

static void warn_if_open(const tg_listening *g)
{
    tg_slice at = tg_str(g->address);
    if (!g->anonymous || starts_with(at, "127.") || starts_with(at, "[::1]"))
        return;
    tg_field fields[] = {TG_F("listener", g->name), TG_F("address", g->address)};
    tg_log_with(HOST, WARN, fields, 2,
                "anyone who reaches this address is let in: anonymous access on an address "
                "other than loopback");
}

// The adapter must be there: it says which transports it speaks and how long its frames are.
static const tg_offer *adapter_for(const tg_listening *g, const listener_spec *s,
                                   const char *where, tg_error *e)
{
    const tg_offer *o = g->seat->control;
    static const uint32_t bits[] = {[TCP] = TG_TCP, [TLS] = TG_TLS, [UDP] = TG_UDP};
    uint32_t transport = bits[s->transport];
    if (o == NULL)
        tg_error_set(e, TG_E_NOTFOUND,
                     "%s.adapter: no plugin offers adapter '%s'; those that are to be "
                     "loaded stand in `plugins`",
                     where, g->adapter);
    else if ((o->adapter.transports & transport) == 0)
        tg_error_set(e, TG_E_UNSUPPORTED, "%s: adapter '%s' does not speak %s", where,
                     g->adapter, g->transport);
    else
        return o;
    return NULL;
}

/// The config's options for an adapter are its plugin's, for this listener. What a plugin that
/// opens a listener says to itself is its own business.
static int check_own(const tg_listening *g, const tg_offer *o, const listener_spec *s,
                     const char *where, tg_error *e)
{
    char inner[300];
    snprintf(inner, sizeof(inner), "%s.options", where);
    if (s->options == NULL || o->self->schema == NULL || g->owner != NULL)
        return 0;
    return tg_schema_check(o->self->schema, s->options, NULL, inner, e);
}

static int begin(tg_listening *g, const listener_spec *s, const char *where, tg_error *e)
{
    tg_runtime *rt = g->rt;
    if (rt->store_id[0] != '\0' && !rt->store_set)
        return tg_error_set(e, TG_E_NOTFOUND, "store '%s' is not loaded: nothing is let in",
                            rt->store_id);
    const tg_offer *o = adapter_for(g, s, where, e);
    if (o == NULL)
        return e->code;
    if (check_own(g, o, s, where, e) < 0)
        return e->code;
    tg_listener_spec net = net_spec(s, o, g);
    int rc = tg_listener_open(rt->workers, &net, &g->net, e);
    if (rc < 0) {
        g->net = NULL;
        tg_error_prefix(e, "%s", where);
        return rc;
    }
    g->address = strdup(tg_listener_address(g->net));
    return g->address != NULL ? 0 : tg_error_set(e, TG_E_NOMEM, "out of memory");
}

// Workers look names up: see tg_listening_known().
static void listening_close(tg_listening *g)
{
    tg_listener *net = g->net;
    pthread_mutex_lock(&g->rt->lock);
    g->net = NULL;
    pthread_mutex_unlock(&g->rt->lock);
    tg_listener_close(net);
}

bool tg_listening_known(tg_runtime *rt, tg_slice name)
{
    pthread_mutex_lock(&rt->lock);
    bool known = find(rt, name) != NULL;
    pthread_mutex_unlock(&rt->lock);
    return known;
}

// Where memory was short on one worker, others may have let devices in already: then it stays
// as a closed one does.
static int open_new(tg_listening *g, const listener_spec *s, const char *where, tg_error *e)
{
    tg_runtime *rt = g->rt;
    int rc = begin(g, s, where, e);
    if (g->net == NULL && rc != TG_E_NOMEM) {
        listening_free(g);
        return rc < 0 ? rc : TG_E_IO;
    }
    pthread_mutex_lock(&rt->lock);
    tg_list_add(&rt->listenings, &g->node);
    pthread_mutex_unlock(&rt->lock);
    if (rc == 0)
        warn_if_open(g);
    else if (g->net != NULL)
        listening_close(g);
    return rc;
}

int tg_listening_open(tg_runtime *rt, const tg_value *spec, const char *file,
                      const char *where, tg_plug *owner, tg_listening **out, tg_error *e)
{
    listener_spec s;
    tg_error unread;
    if (e == NULL)
        e = &unread;
    int rc = read_spec(spec, file, where, &s, e);
    if (rc < 0)
        return rc;
    tg_listening *g = find(rt, s.name);
    if (g != NULL && owner != NULL && g->owner == owner) { // a newer version asks again
        *out = g;
        return 0;
    }
    if (g != NULL)
        return tg_error_set(e, TG_E_EXISTS, "%s: there is a listener '%s'", where, g->name);
    g = listening_new(rt, &s, owner);
    if (g == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    char place[256];
    if (file != NULL && spec->line > 0)
        snprintf(place, sizeof(place), "%s:%u: %s", file, spec->line, where);
    else
        snprintf(place, sizeof(place), "%s", where);
    rc = open_new(g, &s, place, e);
    if (rc == 0)
        *out = g;
    return rc;
}

int tg_listeners_open(tg_runtime *rt, const tg_value *spec, const char *file,
                      const char *where, char *address, size_t len, tg_error *e)
{
    tg_listening *g = NULL;
    int rc = tg_listening_open(rt, spec, file, where, NULL, &g, e);
    if (rc == 0 && g != NULL && address != NULL)
        snprintf(address, len, "%s", g->address);
    return rc;
}

int tg_listeners_close(tg_runtime *rt, const char *name)
{
    tg_listening *g = find(rt, tg_str(name));
    if (g == NULL)
        return TG_E_NOTFOUND;
    listening_close(g);
    return 0;
}

int tg_listeners_reload_tls(tg_runtime *rt)
{
    int failed = 0;
    for (tg_list *n = rt->listenings.next; n != &rt->listenings; n = n->next) {
        tg_listening *g = TG_OWNER(n, tg_listening, node);
        tg_error e = {0};
        if (g->net == NULL || strcmp(g->transport, "tls") != 0)
            continue;
        if (tg_listener_reload_tls(g->net, &e) == 0)
            continue;
        failed++;
        tg_field fields[] = {TG_F("listener", g->name), TG_F("reason", e.message)};
        tg_log_with(TLS, ERROR, fields, 2, "the old certificate stays in use");
    }
    return failed;
}

void tg_listeners_each(tg_runtime *rt, void (*each)(void *ctx, const tg_listener_info *i),
                       void *ctx)
{
    for (tg_list *n = rt->listenings.next; n != &rt->listenings; n = n->next) {
        const tg_listening *g = TG_OWNER(n, tg_listening, node);
        if (g->net == NULL)
            continue;
        tg_listener_info info = {g->name, g->adapter, g->address, g->transport,
                                 tg_listener_connections(g->net)};
        each(ctx, &info);
    }
}

void tg_listenings_close(tg_runtime *rt)
{
    for (tg_list *n = rt->listenings.next; n != &rt->listenings; n = n->next) {
        tg_listening *g = TG_OWNER(n, tg_listening, node);
        if (g->net != NULL)
            listening_close(g);
    }
}

void tg_listenings_free(tg_runtime *rt)
{
    for (tg_list *n = rt->listenings.next, *next; n != &rt->listenings; n = next) {
        next = n->next;
        listening_free(TG_OWNER(n, tg_listening, node));
    }
}
