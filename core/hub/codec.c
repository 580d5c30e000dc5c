// SPDX-License-Identifier: Apache-2.0
// Every value begins with the number of its form, so that a later form can be told apart. What
// comes back from a store is not trusted more than what comes from a socket.
#include "hub/codec.h"
#include "hub/origin.h"

#include <stdlib.h>

#define FORM 1
#define FORM_ORIGIN 2 // an entry that names its origin

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

void tg_put_session(tg_buf *b, const tg_sess *s)
{
    tg_put_uint(b, FORM, 1);
    tg_put_uint(b, s->expiry_s, 4);
    tg_put_uint(b, s->since, 8);
    tg_put_uint(b, s->link != NULL, 1);
    tg_slice user = tg_who_user(s->who);
    tg_put_uint(b, user.len, 1);
    tg_buf_put(b, user.at, user.len);
}

bool tg_get_session(tg_reader *r, tg_whos *whos, tg_sess *s)
{
    if (tg_read_uint(r, 1) != FORM)
        return false;
    s->expiry_s = (uint32_t)tg_read_uint(r, 4);
    s->since = tg_read_uint(r, 8);
    atomic_init(&s->online, tg_read_uint(r, 1) != 0);
    tg_slice user = tg_read_bytes(r, tg_read_uint(r, 1));
    if (r->failed || user.len == 0)
        return !r->failed;
    s->who = tg_who_get(whos, user, NULL);
    return s->who != NULL;
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
