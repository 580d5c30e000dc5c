// SPDX-License-Identifier: Apache-2.0
// A message is one block: its fields, and behind them topic, payload, properties and publisher.
// Receivers on one worker share an envelope whose count is plain; the block's own count is
// atomic and moves once per worker. The maker's envelope lives inside the block, so that a
// message that stays on its worker costs one allocation. The public part comes first in an
// envelope: a tg_msg is a pointer to it.
#include "hub/message.h"

#include <assert.h>
#include <stdlib.h>

#include "hub/hub.h"

#define ENVELOPE_MAGIC 0xe27e10feu
#define VARIANTS 8
#define FORMS_MAX 32 // kept encoded forms of one envelope, all owners together

// What an adapter encoded once for all receivers of this worker.
struct form {
    struct form *next;
    const void *owner;
    uint32_t variant, len;
    char bytes[];
};

typedef struct envelope {
    tg_message pub;
    uint32_t magic;
    uint32_t refs; // this worker's
    tg_block *block;
    struct form *forms;
} envelope;

struct tg_block {
    atomic_uint refs;
    uint32_t expiry_s;
    uint32_t size;
    bool published;
    uint64_t retained_seq;
    tg_origin *origin; // NULL: a message that may come twice, or cannot
    envelope first; // the maker's
    char bytes[];
};

static envelope *check(tg_msg m)
{
    envelope *e = (envelope *)(void *)(uintptr_t)m;
    assert(e != NULL && e->magic == ENVELOPE_MAGIC && e->refs > 0);
    return e;
}

static tg_slice put(char **at, tg_slice from)
{
    tg_slice to = {*at, from.len};
    if (from.len > 0)
        memcpy(*at, from.at, from.len);
    *at += from.len;
    return to;
}

// Times are those of its publishing: until then it has none.
static tg_msg block_new(const tg_msg_spec *s, tg_slice publisher)
{
    size_t size =
        sizeof(tg_block) + s->topic.len + s->payload.len + s->props.len + publisher.len;
    tg_block *b = size <= UINT32_MAX ? malloc(size) : NULL;
    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    b->expiry_s = s->expiry_s;
    b->published = false;
    b->size = (uint32_t)size;
    b->retained_seq = 0;
    b->origin = NULL;
    b->first = (envelope){.magic = ENVELOPE_MAGIC, .refs = 1, .block = b};
    char *at = b->bytes;
    b->first.pub = (tg_message){
        .size = sizeof(tg_message),
        .qos = s->qos,
        .retain = s->retain,
        .flags = s->flags,
        .topic = put(&at, s->topic),
        .payload = put(&at, s->payload),
        .props = put(&at, s->props),
        .publisher = put(&at, publisher),
    };
    return &b->first.pub;
}

tg_msg tg_msg_new(const tg_msg_spec *spec)
{
    return block_new(spec, spec->publisher);
}

tg_msg tg_msg_ref(tg_msg m)
{
    check(m)->refs++;
    return m;
}

static void forms_free(envelope *e)
{
    while (e->forms != NULL) {
        struct form *f = e->forms;
        e->forms = f->next;
        free(f);
    }
}

void tg_msg_unref(tg_msg m)
{
    if (m == NULL)
        return;
    envelope *e = check(m);
    if (--e->refs > 0)
        return;
    forms_free(e);
    e->magic = 0;
    tg_block *b = e->block;
    if (e != &b->first)
        free(e);
    tg_block_unref(b);
}

tg_block *tg_block_ref(tg_block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

static void block_free(tg_block *b)
{
    if (b->origin != NULL)
        tg_origin_unref(b->origin);
    free(b);
}

// The last holder must see what all others did with the block before it frees it. Who finds
// itself alone needs no write to know.
void tg_block_unref(tg_block *b)
{
    if (atomic_load_explicit(&b->refs, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        block_free(b);
}

tg_block *tg_msg_block(tg_msg m)
{
    return tg_block_ref(check(m)->block);
}

tg_msg tg_msg_from_block(tg_block *b)
{
    envelope *e = malloc(sizeof(*e));
    if (e == NULL) {
        tg_block_unref(b);
        return NULL;
    }
    *e = (envelope){.pub = b->first.pub, .magic = ENVELOPE_MAGIC, .refs = 1, .block = b};
    return &e->pub;
}

const tg_message *tg_block_message(const tg_block *b)
{
    return &b->first.pub;
}

size_t tg_block_bytes(const tg_block *b)
{
    return b->size;
}

uint64_t tg_block_retained_seq(const tg_block *b)
{
    return b->retained_seq;
}

void tg_block_set_retained_seq(tg_block *b, uint64_t seq)
{
    b->retained_seq = seq;
}

static tg_msg copy(const envelope *e)
{
    const tg_message *m = &e->pub;
    tg_msg_spec s = {.size = sizeof(s),
                     .qos = m->qos,
                     .retain = m->retain,
                     .flags = m->flags,
                     .topic = m->topic,
                     .payload = m->payload,
                     .props = m->props,
                     .expiry_s = e->block->expiry_s};
    return block_new(&s, m->publisher);
}

tg_msg tg_msg_publish(tg_msg m, uint64_t now, uint64_t origin)
{
    envelope *e = check(m);
    if (e->block->published) {
        tg_msg fresh = copy(e);
        if (fresh == NULL)
            return NULL;
        e = check(fresh);
    } else {
        e->refs++;
    }
    tg_block *b = e->block;
    b->published = true;
    e->pub.created = now;
    e->pub.expires = b->expiry_s == 0 ? 0 : now + (uint64_t)b->expiry_s * 1000;
    e->pub.origin = origin;
    return &e->pub;
}

void tg_msg_set_origin(tg_msg m, tg_origin *o)
{
    tg_block *b = check(m)->block;
    assert(b->origin == NULL);
    b->origin = tg_origin_ref(o);
}

tg_origin *tg_msg_origin(tg_msg m)
{
    return check(m)->block->origin;
}

tg_msg tg_msg_restore(const tg_msg_spec *spec, uint64_t created, uint64_t expires)
{
    tg_msg m = block_new(spec, spec->publisher);
    if (m == NULL)
        return NULL;
    envelope *e = check(m);
    e->block->published = true;
    e->pub.created = created;
    e->pub.expires = expires;
    return m;
}

static tg_slice encoded(tg_msg m, const void *owner, unsigned variant)
{
    for (struct form *f = check(m)->forms; f != NULL; f = f->next)
        if (f->owner == owner && f->variant == variant)
            return (tg_slice){f->bytes, f->len};
    return (tg_slice){NULL, 0};
}

static tg_slice set_encoded(tg_msg m, const void *owner, unsigned variant, tg_slice bytes)
{
    envelope *e = check(m);
    tg_slice old = encoded(m, owner, variant);
    if (old.at != NULL || variant >= VARIANTS || bytes.len > UINT32_MAX)
        return old; // receivers may still read it: the first form stays
    unsigned n = 0;
    for (struct form *f = e->forms; f != NULL; f = f->next)
        n++;
    struct form *f = n < FORMS_MAX ? malloc(sizeof(*f) + bytes.len) : NULL;
    if (f == NULL)
        return (tg_slice){NULL, 0};
    f->next = e->forms;
    f->owner = owner;
    f->variant = variant;
    f->len = (uint32_t)bytes.len;
    if (bytes.len > 0)
        memcpy(f->bytes, bytes.at, bytes.len);
    e->forms = f;
    return (tg_slice){f->bytes, f->len};
}

const tg_msg_api *tg_msg_table(void)
{
    static const tg_msg_api table = {
        .size = sizeof(table),
        .new = tg_msg_new,
        .ref = tg_msg_ref,
        .unref = tg_msg_unref,
        .encoded = encoded,
        .set_encoded = set_encoded,
    };
    return &table;
}
