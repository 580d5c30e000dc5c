// SPDX-License-Identifier: Apache-2.0
// Every value begins with the number of its form, so that a later form can be told apart. What
// comes back from a store is not trusted more than what comes from a socket.
#include "hub/codec.h"
#include "hub/origin.h"

#include <stdlib.h>

#define FORM 1
#define FORM_ORIGIN 2 // an entry that names its origin
#define FORM_ATTRIBUTES 2 // a session with attributes
#define DEPTH 16 // of lists and maps in each other

uint64_t tg_read_uint(tg_reader *r, unsigned width)
{
    uint64_t n = 0;
    if (tg_reader_left(r) < width)
        r->failed = true;
    if (r->failed)
        return 0;
    while (width-- > 0)
        n = n << 8 | *r->at++;
    return n;
}

tg_slice tg_read_bytes(tg_reader *r, size_t len)
{
    if (tg_reader_left(r) < len)
        r->failed = true;
    if (r->failed)
        return (tg_slice){0};
    tg_slice s = {(const char *)r->at, len};
    r->at += len;
    return s;
}

void tg_put_uint(tg_buf *b, uint64_t n, unsigned width)
{
    while (width-- > 0)
        tg_buf_putc(b, (char)(n >> (8 * width)));
}

void tg_put_id(tg_buf *b, char kind, const tg_sess *s)
{
    tg_buf_putc(b, kind);
    tg_put_uint(b, s->id_len, 2);
    tg_buf_put(b, s->id, s->id_len);
}

static void put_bytes(tg_buf *b, tg_slice s)
{
    tg_put_uint(b, s.len, 4);
    tg_buf_put(b, s.at, s.len);
}

static void put_value(tg_buf *b, const tg_value *v, unsigned depth);

static void put_map(tg_buf *b, const tg_value *v, unsigned depth)
{
    tg_put_uint(b, v->map.count, 4);
    for (size_t i = 0; i < v->map.count; i++) {
        put_bytes(b, v->map.pairs[i].key);
        put_value(b, &v->map.pairs[i].value, depth);
    }
}

// A secret is for the live connection, and what is deeper than any adapter's is left out.
static void put_value(tg_buf *b, const tg_value *v, unsigned depth)
{
    bool nested = v->kind == TG_LIST || v->kind == TG_MAP;
    uint8_t kind = v->secret || (nested && depth == 0) ? TG_NIL : v->kind;
    uint64_t bits;
    tg_put_uint(b, kind, 1);
    switch ((tg_kind)kind) {
    case TG_NIL:
        break;
    case TG_BOOL:
        tg_put_uint(b, v->boolean, 1);
        break;
    case TG_INT:
        tg_put_uint(b, (uint64_t)v->integer, 8);
        break;
    case TG_NUM:
        memcpy(&bits, &v->number, sizeof(bits));
        tg_put_uint(b, bits, 8);
        break;
    case TG_STR:
        put_bytes(b, v->string);
        break;
    case TG_LIST:
        tg_put_uint(b, v->list.count, 4);
        for (size_t i = 0; i < v->list.count; i++)
            put_value(b, &v->list.items[i], depth - 1);
        break;
    case TG_MAP:
        put_map(b, v, depth - 1);
        break;
    }
}

static tg_value get_value(tg_reader *r, tg_arena *arena, unsigned depth);

// Each member takes a byte at least, so what is claimed is bounded by what is there.
static tg_value get_members(tg_reader *r, tg_arena *arena, unsigned depth, bool map)
{
    tg_value_builder b = {.arena = arena};
    uint64_t n = tg_read_uint(r, 4);
    r->failed |= n > tg_reader_left(r) || depth == 0;
    for (uint64_t i = 0; i < n && !r->failed && !arena->failed; i++) {
        tg_slice key = map ? tg_read_bytes(r, tg_read_uint(r, 4)) : (tg_slice){0};
        tg_build(&b, "", get_value(r, arena, depth - 1));
        if (!arena->failed)
            b.pairs[b.count - 1].key = key;
    }
    return map ? tg_build_map(&b) : tg_build_list(&b);
}

static tg_value get_value(tg_reader *r, tg_arena *arena, unsigned depth)
{
    uint64_t kind = tg_read_uint(r, 1), bits;
    tg_value v = {0};
    switch (kind) {
    case TG_NIL:
        return v;
    case TG_BOOL:
        return tg_value_of_bool(tg_read_uint(r, 1) != 0);
    case TG_INT:
        return tg_value_of_int((int64_t)tg_read_uint(r, 8));
    case TG_NUM:
        bits = tg_read_uint(r, 8);
        v.kind = TG_NUM;
        memcpy(&v.number, &bits, sizeof(bits));
        return v;
    case TG_STR:
        return tg_value_of_slice(tg_read_bytes(r, tg_read_uint(r, 4)));
    case TG_LIST:
    case TG_MAP:
        return get_members(r, arena, depth, kind == TG_MAP);
    default:
        r->failed = true;
        return v;
    }
}

void tg_put_session(tg_buf *b, const tg_sess *s)
{
    const tg_value *attributes = tg_who_attributes(s->who);
    tg_put_uint(b, attributes != NULL ? FORM_ATTRIBUTES : FORM, 1);
    tg_put_uint(b, s->expiry_s, 4);
    tg_put_uint(b, s->since, 8);
    tg_put_uint(b, s->link != NULL, 1);
    tg_slice user = tg_who_user(s->who);
    tg_put_uint(b, user.len, 1);
    tg_buf_put(b, user.at, user.len);
    if (attributes != NULL)
        put_value(b, attributes, DEPTH);
}

bool tg_get_session(tg_reader *r, tg_whos *whos, tg_sess *s)
{
    uint64_t form = tg_read_uint(r, 1);
    if (form != FORM && form != FORM_ATTRIBUTES)
        return false;
    s->expiry_s = (uint32_t)tg_read_uint(r, 4);
    s->since = tg_read_uint(r, 8);
    atomic_init(&s->online, tg_read_uint(r, 1) != 0);
    tg_slice user = tg_read_bytes(r, tg_read_uint(r, 1));
    tg_arena arena = {0};
    tg_value attributes = {0};
    bool given = form == FORM_ATTRIBUTES;
    if (given)
        attributes = get_value(r, &arena, DEPTH);
    bool good = !r->failed && !arena.failed;
    if (good && (user.len > 0 || given)) {
        s->who = tg_who_get(whos, user, given ? &attributes : NULL);
        good = s->who != NULL;
    }
    tg_arena_free(&arena);
    return good;
}

void tg_put_sub(tg_buf *b, const tg_route *r)
{
    tg_put_uint(b, FORM, 1);
    tg_put_uint(b, r->qos, 1);
    tg_put_uint(b, r->flags, 1);
    tg_put_uint(b, r->sub_id, 4);
}

bool tg_get_sub(tg_reader *r, tg_sub *out)
{
    if (tg_read_uint(r, 1) != FORM)
        return false;
    *out = (tg_sub){.size = sizeof(*out)};
    out->qos = (uint8_t)tg_read_uint(r, 1);
    out->flags = (uint8_t)tg_read_uint(r, 1);
    out->sub_id = (uint32_t)tg_read_uint(r, 4);
    return !r->failed && out->qos <= 2;
}

void tg_put_message(tg_buf *b, const tg_message *m)
{
    tg_put_uint(b, FORM, 1);
    tg_put_uint(b, m->qos, 1);
    tg_put_uint(b, m->retain, 1);
    tg_put_uint(b, m->flags, 2);
    tg_put_uint(b, m->created, 8);
    tg_put_uint(b, m->expires, 8);
    const tg_slice parts[] = {m->topic, m->publisher, m->props, m->payload};
    for (unsigned i = 0; i < 4; i++) {
        tg_put_uint(b, parts[i].len, 4);
        tg_buf_put(b, parts[i].at, parts[i].len);
    }
}

tg_msg tg_get_message(tg_reader *r)
{
    tg_msg_spec s = {.size = sizeof(s)};
    if (tg_read_uint(r, 1) != FORM)
        return NULL;
    s.qos = (uint8_t)tg_read_uint(r, 1);
    s.retain = (uint8_t)tg_read_uint(r, 1);
    s.flags = (uint16_t)tg_read_uint(r, 2);
    uint64_t created = tg_read_uint(r, 8), expires = tg_read_uint(r, 8);
    tg_slice *parts[] = {&s.topic, &s.publisher, &s.props, &s.payload};
    for (unsigned i = 0; i < 4; i++)
        *parts[i] = tg_read_bytes(r, tg_read_uint(r, 4));
    if (r->failed || s.qos > 2 || !tg_topic_valid(s.topic))
        return NULL;
    return tg_msg_restore(&s, created, expires);
}

void tg_put_had(tg_buf *b, const tg_origin *o)
{
    tg_put_uint(b, FORM, 1);
    tg_put_uint(b, o->packet_id, 2);
}

bool tg_get_had(tg_reader *r, uint16_t *packet_id)
{
    if (tg_read_uint(r, 1) != FORM)
        return false;
    *packet_id = (uint16_t)tg_read_uint(r, 2);
    return !r->failed;
}

void tg_put_entry(tg_buf *b, const tg_entry *e)
{
    const tg_origin *o = tg_msg_origin(e->msg);
    tg_put_uint(b, o != NULL ? FORM_ORIGIN : FORM, 1);
    if (o != NULL) {
        tg_put_uint(b, o->packet_id, 2);
        tg_put_uint(b, o->seq, 8);
    }
    tg_put_uint(b, e->qos, 1);
    tg_put_uint(b, e->flags, 1);
    tg_put_uint(b, e->nids, 2);
    for (unsigned i = 0; i < e->nids; i++)
        tg_put_uint(b, tg_entry_ids(e)[i], 4);
    tg_put_message(b, e->msg);
}

static bool get_ids(tg_reader *r, tg_entry *e, uint16_t n)
{
    if (tg_reader_left(r) < n * 4u)
        return false;
    uint32_t *ids = n > 1 ? malloc(n * sizeof(*ids)) : &e->id;
    if (ids == NULL)
        return false;
    for (unsigned i = 0; i < n; i++)
        ids[i] = (uint32_t)tg_read_uint(r, 4);
    if (n > 1)
        e->ids = ids;
    e->nids = n;
    return true;
}

bool tg_get_entry(tg_reader *r, tg_entry *e, tg_publish_id *from)
{
    *e = (tg_entry){0};
    *from = (tg_publish_id){0};
    uint64_t form = tg_read_uint(r, 1);
    if (form == FORM_ORIGIN) {
        from->packet_id = (uint16_t)tg_read_uint(r, 2);
        from->seq = tg_read_uint(r, 8);
    } else if (form != FORM) {
        return false;
    }
    e->qos = (uint8_t)tg_read_uint(r, 1);
    e->flags =
        (uint8_t)((tg_read_uint(r, 1) & ~(unsigned)TG_ENTRY_UNSAFE) | TG_ENTRY_STORED);
    if (!get_ids(r, e, (uint16_t)tg_read_uint(r, 2)))
        return false;
    e->msg = e->qos == 1 || e->qos == 2 ? tg_get_message(r) : NULL;
    if (e->msg == NULL && e->nids > 1)
        free(e->ids);
    return e->msg != NULL;
}
