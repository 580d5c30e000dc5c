// SPDX-License-Identifier: Apache-2.0
// What a turn routes to another worker leaves in one mail: a row of records, each a block and
// its receivers there. Its order is the order of the publishes. Answers to those who wait for a
// store go the other way in the control lane, so they never stand behind data.
#include <stdlib.h>

#include "hub/internal.h"

#define OUT_MIN 1024
#define OUT_FLUSH                                                                          \
    (128u << 10) // a mail is sent early when its records or their payloads reach it

enum { RECORD_PUBLISH, RECORD_RETAIN };

struct tg_record {
    tg_block *block;
    tg_wait *pub; // on the sending worker; NULL: nobody waits
    uint32_t places;
    uint32_t kind;
};

struct ack {
    tg_wait *pub;
    int code;
};

struct ack_mail {
    tg_hub_mail head;
    uint32_t n;
    struct ack acks[];
};

#define PLACE_IDS 6 // subscription identifiers in a place
_Static_assert(sizeof(tg_target) == PLACE_IDS * sizeof(uint32_t) &&
                   sizeof(tg_record) % 8 == 0,
               "places are of a target's size");

static void out_run(tg_mail *mail, void *receiver);

static tg_out *out_reserve(tg_shard *sh, uint32_t to, uint32_t more)
{
    tg_outbox *b = &sh->box[to];
    tg_out *o = b->out;
    if (o != NULL && o->len + more <= o->cap)
        return o;
    uint32_t cap = o == NULL ? OUT_MIN : o->cap * 2;
    while (cap < (o == NULL ? 0 : o->len) + more)
        cap *= 2;
    o = realloc(o, sizeof(*o) + cap);
    if (o == NULL)
        return NULL;
    if (b->out == NULL) {
        *o = (tg_out){.head.mail.run = out_run};
        sh->self_mails += to == sh->index;
    }
    o->cap = cap;
    b->out = o;
    return o;
}

static bool record_open(tg_shard *sh, uint32_t to, tg_msg m, tg_wait *pub, uint32_t kind)
{
    tg_outbox *b = &sh->box[to];
    if (b->out != NULL && (b->out->len > OUT_FLUSH || b->out->head.mail.bytes > OUT_FLUSH))
        tg_outbox_flush(sh, to);
    tg_out *o = out_reserve(sh, to, sizeof(tg_record));
    if (o == NULL)
        return false;
    tg_record r = {.block = tg_msg_block(m), .pub = pub, .kind = kind};
    b->record = o->len;
    memcpy(o->bytes + o->len, &r, sizeof(r));
    o->len += sizeof(r);
    o->head.mail.bytes += (uint32_t)(sizeof(r) + m->payload.len + m->topic.len);
    if (pub != NULL)
        pub->left++;
    return true;
}

bool tg_outbox_open(tg_shard *sh, uint32_t to, tg_msg m, tg_wait *pub)
{
    return record_open(sh, to, m, pub, RECORD_PUBLISH);
}

bool tg_outbox_retain(tg_shard *sh, tg_msg m, tg_wait *pub)
{
    return record_open(sh, 0, m, pub, RECORD_RETAIN);
}

static uint32_t id_places(uint32_t nids)
{
    return nids > 1 ? (nids + PLACE_IDS - 1) / PLACE_IDS : 0;
}

bool tg_outbox_target(tg_shard *sh, uint32_t to, const tg_target *t, const uint32_t *ids)
{
    uint32_t places = 1 + id_places(t->nids), more = places * (uint32_t)sizeof(*t);
    tg_out *o = out_reserve(sh, to, more);
    if (o == NULL)
        return false;
    char *at = o->bytes + o->len;
    memset(at, 0, more);
    memcpy(at, t, sizeof(*t));
    if (t->nids > 1)
        memcpy(at + sizeof(*t), ids, t->nids * sizeof(*ids));
    o->len += more;
    o->head.mail.bytes += more;
    tg_record *r = (tg_record *)(void *)(o->bytes + sh->box[to].record);
    r->places += places;
    return true;
}

void tg_outbox_ack(tg_shard *sh, uint32_t to, tg_wait *pub, int code)
{
    struct ack a = {pub, code};
    tg_buf_put(&sh->box[to].acks, &a, sizeof(a));
}

tg_ack_ref *tg_ack_ref_new(uint32_t from, tg_wait *pub)
{
    tg_ack_ref *a = malloc(sizeof(*a));
    if (a != NULL)
        *a = (tg_ack_ref){.left = 1, .from = from, .pub = pub};
    return a;
}

void tg_ack_ref_put(tg_shard *sh, tg_ack_ref *a, int code)
{
    if (a == NULL)
        return;
    if (a->code == 0)
        a->code = code;
    if (--a->left > 0)
        return;
    if (a->from == sh->index)
        tg_wait_put(sh, a->pub, a->code);
    else
        tg_outbox_ack(sh, a->from, a->pub, a->code);
    free(a);
}

void tg_ack_ref_drop(tg_ack_ref *a)
{
    if (--a->left == 0)
        free(a);
}

static void committed(tg_shard *sh, void *ctx, int code)
{
    tg_ack_ref_put(sh, ctx, code);
}

// @return the worst that happened at one of the receivers.
static int deliver_all(tg_shard *sh, const tg_record *r, tg_msg m, tg_ack_ref *ack)
{
    const tg_target *t = (const tg_target *)(const void *)(r + 1);
    int worst = 0;
    for (uint32_t i = 0; i < r->places; i += 1 + id_places(t[i].nids)) {
        const uint32_t *ids =
            t[i].nids > 1 ? (const uint32_t *)(const void *)&t[i + 1] : &t[i].sub_id;
        int rc = tg_deliver_to_seat(sh, m, &t[i], ids, ack);
        if (rc != 0)
            worst = rc;
    }
    return worst;
}

static int record_apply(tg_shard *sh, const tg_record *r, tg_ack_ref *ack)
{
    if (r->kind == RECORD_RETAIN) {
        tg_persist_retained(sh, tg_block_message(r->block)->topic);
        tg_block_unref(r->block);
        return 0;
    }
    tg_msg m = tg_msg_from_block(r->block);
    if (m == NULL)
        return TG_E_NOMEM;
    int rc = deliver_all(sh, r, m, ack);
    tg_msg_unref(m);
    return rc;
}

// With somebody waiting, what this record brought to the store decides when he is answered.
static void record_run(tg_shard *sh, const tg_record *r, uint32_t from)
{
    tg_ack_ref *ack = r->pub != NULL ? tg_ack_ref_new(from, r->pub) : NULL;
    uint32_t before = tg_persist_count(sh);
    int rc = record_apply(sh, r, ack);
    if (r->pub == NULL)
        return;
    if (ack == NULL) {
        tg_outbox_ack(sh, from, r->pub, TG_E_NOMEM);
        return;
    }
    ack->code = rc;
    if (tg_persist_count(sh) == before || tg_persist_after(sh, committed, ack) < 0)
        tg_ack_ref_put(sh, ack, 0);
}

static void out_free(tg_out *o)
{
    for (uint32_t at = 0; o != NULL && at < o->len;) {
        const tg_record *r = (const tg_record *)(const void *)(o->bytes + at);
        at += (uint32_t)(sizeof(*r) + r->places * sizeof(tg_target));
        tg_block_unref(r->block);
    }
    free(o);
}

static void out_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    tg_out *o = (tg_out *)(void *)mail;
    tg_shard *sh = tg_mail_shard(&o->head);
    if (sh == NULL) {
        out_free(o);
        return;
    }
    for (uint32_t at = 0; at < o->len;) {
        const tg_record *r = (const tg_record *)(const void *)(o->bytes + at);
        at += (uint32_t)(sizeof(*r) + r->places * sizeof(tg_target));
        record_run(sh, r, o->head.from);
    }
    sh->self_mails -= o->head.from == sh->index;
    free(o);
}

static void acks_run(tg_mail *mail, void *receiver)
{
    (void)receiver;
    struct ack_mail *a = (struct ack_mail *)(void *)mail;
    tg_shard *sh = tg_mail_shard(&a->head);
    for (uint32_t i = 0; sh != NULL && i < a->n; i++)
        tg_wait_put(sh, a->acks[i].pub, a->acks[i].code);
    free(a);
}

static void flush_acks(tg_shard *sh, uint32_t to)
{
    tg_buf *b = &sh->box[to].acks;
    if (b->len == 0)
        return;
    struct ack_mail *a = malloc(sizeof(*a) + b->len);
    if (a == NULL)
        return; // they stay for the next turn
    a->head = (tg_hub_mail){.mail.run = acks_run};
    a->n = (uint32_t)(b->len / sizeof(struct ack));
    memcpy(a->acks, b->at, b->len);
    tg_buf_free(b);
    tg_shard_control(sh, to, &a->head);
}

void tg_outbox_flush(tg_shard *sh, uint32_t to)
{
    tg_out *o = sh->box[to].out;
    sh->box[to].out = NULL;
    if (o != NULL)
        tg_shard_data(sh, to, &o->head);
    flush_acks(sh, to);
}

void tg_outbox_free(tg_outbox *b)
{
    out_free(b->out);
    tg_buf_free(&b->acks);
}
