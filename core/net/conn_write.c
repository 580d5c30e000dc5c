// SPDX-License-Identifier: Apache-2.0
// The write queue of a connection exists only while something waits to leave. Small sends
// are copied next to each other into its first block, payloads by reference lie between
// them as pieces of their own, and the turn's last step hands all of it to one sendmsg().
// Queues and blocks come from the worker's free lists, so a turn of many small answers
// allocates nothing.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/udp.h"

#define OUT_SIZE 1024 // a queue with its first block
#define OUT_PIECES 8 // that it has room for
#define BLOCK_SIZE 8192 // the blocks that follow
#define KEEP_OUTS 1024 // on a worker's free list
#define KEEP_BLOCKS 64
#define COPY_BELOW 256 // a shorter payload is cheaper copied than by reference
#define WRITE_PIECES 64 // of one sendmsg()

typedef struct piece {
    const char *at;
    size_t len;
    void (*release)(void *owner); // NULL: copied, and `owner` is its block
    void *owner;
} piece;

struct tg_block {
    tg_block *next; // on a free list
    uint32_t used, cap;
    uint32_t pieces; // that lie in it
    char data[];
};

struct tg_out {
    tg_out *next; // on a free list
    size_t bytes;
    uint32_t head, count, cap; // pieces [head, head + count)
    piece *pieces;
    tg_block *block; // takes the next copy; those before it live by their pieces
    piece first_pieces[OUT_PIECES];
    _Alignas(tg_block) char first_block[];
};

static tg_block *first_block(tg_out *o)
{
    return (tg_block *)(void *)o->first_block;
}

static tg_out *out_new(tg_worker *w)
{
    tg_out *o = w->outs;
    if (o != NULL) {
        w->outs = o->next;
        w->nouts--;
    } else if ((o = malloc(OUT_SIZE)) == NULL) {
        return NULL;
    }
    memset(o, 0, offsetof(tg_out, first_pieces));
    o->pieces = o->first_pieces;
    o->cap = OUT_PIECES;
    o->block = first_block(o);
    memset(o->block, 0, sizeof(tg_block));
    o->block->cap = OUT_SIZE - offsetof(tg_out, first_block) - sizeof(tg_block);
    return o;
}

static tg_block *block_new(tg_worker *w, size_t need)
{
    tg_block *b = w->blocks;
    size_t cap = BLOCK_SIZE - sizeof(*b);
    if (need <= cap && b != NULL) {
        w->blocks = b->next;
        w->nblocks--;
    } else {
        cap = need > cap ? need : cap;
        if (cap > UINT32_MAX || (b = malloc(sizeof(*b) + cap)) == NULL)
            return NULL;
        b->cap = (uint32_t)cap;
    }
    b->used = b->pieces = 0;
    return b;
}

static void block_free(tg_worker *w, tg_out *o, tg_block *b)
{
    if (b == first_block(o))
        return;
    if (b->cap != BLOCK_SIZE - sizeof(*b) || w->nblocks >= KEEP_BLOCKS) {
        free(b);
        return;
    }
    b->next = w->blocks;
    w->blocks = b;
    w->nblocks++;
}

static void out_free(tg_net_conn *c)
{
    tg_out *o = c->out;
    tg_worker *w = c->origin->worker;
    c->out = NULL;
    block_free(w, o, o->block);
    if (o->pieces != o->first_pieces)
        free(o->pieces);
    if (w->nouts >= KEEP_OUTS) {
        free(o);
        return;
    }
    o->next = w->outs;
    w->outs = o;
    w->nouts++;
}

void tg_conns_free(tg_worker *w)
{
    for (tg_out *o; (o = w->outs) != NULL;) {
        w->outs = o->next;
        free(o);
    }
    for (tg_block *b; (b = w->blocks) != NULL;) {
        w->blocks = b->next;
        free(b);
    }
}

static void piece_done(tg_net_conn *c, piece *p)
{
    tg_out *o = c->out;
    if (p->release != NULL) {
        p->release(p->owner);
        return;
    }
    tg_block *b = p->owner;
    if (--b->pieces > 0)
        return;
    if (b != o->block)
        block_free(c->origin->worker, o, b);
    else
        b->used = 0;
}

void tg_out_drop(tg_net_conn *c)
{
    tg_out *o = c->out;
    if (o == NULL)
        return;
    while (o->count > 0) {
        piece p = o->pieces[o->head++];
        o->count--;
        piece_done(c, &p);
    }
    out_free(c);
}

// Room for `n` more pieces behind the last.
static bool make_room(tg_out *o, uint32_t n)
{
    if (o->head + o->count + n <= o->cap)
        return true;
    if (o->head >= o->cap / 2 && o->count + n <= o->cap) {
        memmove(o->pieces, o->pieces + o->head, o->count * sizeof(piece));
        o->head = 0;
        return true;
    }
    uint32_t cap = o->cap * 2;
    piece *grown = malloc(cap * sizeof(piece));
    if (grown == NULL)
        return false;
    memcpy(grown, o->pieces + o->head, o->count * sizeof(piece));
    if (o->pieces != o->first_pieces)
        free(o->pieces);
    o->pieces = grown;
    o->cap = cap;
    o->head = 0;
    return true;
}

/// @param apart it begins a datagram, and is no part of what waits already
static void add_copy(tg_out *o, const char *at, size_t len, bool apart)
{
    if (len == 0)
        return;
    tg_block *b = o->block;
    char *to = b->data + b->used;
    memcpy(to, at, len);
    b->used += (uint32_t)len;
    o->bytes += len;
    piece *end = o->pieces + o->head + o->count;
    if (!apart && o->count > 0 && end[-1].owner == b && end[-1].at + end[-1].len == to) {
        end[-1].len += len;
        return;
    }
    *end = (piece){to, len, NULL, b};
    o->count++;
    b->pieces++;
}

// After it add_copy() of `len` bytes in all, and one piece by reference, cannot fail. The
// bytes lie together: what the last block has left over is not used.
static int reserve(tg_net_conn *c, size_t len)
{
    tg_out *o = c->out;
    if (!make_room(o, 2))
        return TG_E_NOMEM;
    tg_block *full = o->block;
    if (full->cap - full->used >= len)
        return 0;
    tg_block *more = block_new(c->origin->worker, len);
    if (more == NULL)
        return TG_E_NOMEM;
    o->block = more;
    if (full->pieces == 0)
        block_free(c->origin->worker, o, full);
    return 0;
}

// A message past the limit is taken when nothing else waits: it could never be sent
// otherwise.
static int admit(tg_net_conn *c, size_t len)
{
    size_t most = tg_conn_limit(c->origin->limits.write_max, TG_WRITE_MAX);
    size_t waiting = tg_net_pending(c);
    if (c->origin->datagrams && len > TG_DATAGRAM_MAX)
        return TG_E_TOOBIG;
    if (waiting > 0 && waiting + len > most && c->state == TG_ST_OPEN && !c->blocked) {
        int rc = tg_conn_flush(c);
        if (rc != 0) {
            tg_conn_abort(c, rc);
            return TG_E_CLOSED;
        }
        tg_conn_poll(c);
        waiting = tg_net_pending(c);
    }
    if (waiting > 0 && waiting + len > most) {
        c->was_full = true;
        return TG_E_FULL;
    }
    if (c->out == NULL && (c->out = out_new(c->origin->worker)) == NULL)
        return TG_E_NOMEM;
    return 0;
}

static int queued(tg_net_conn *c, int rc)
{
    if (c->out->count == 0)
        out_free(c);
    else if (!c->blocked && c->state == TG_ST_OPEN && !(c->todo & TG_TODO_FLUSH))
        tg_conn_todo(c, TG_TODO_FLUSH);
    return rc;
}

int tg_net_send(tg_net_conn *c, tg_slice bytes)
{
    assert(c->origin->worker == tg_worker_here());
    if (c->closing)
        return TG_E_CLOSED;
    if (c->more->udp != NULL)
        return tg_peer_send(c, bytes, (tg_slice){0});
    int rc = admit(c, bytes.len);
    if (rc != 0)
        return rc;
    if ((rc = reserve(c, bytes.len)) == 0)
        add_copy(c->out, bytes.at, bytes.len, c->origin->datagrams);
    return queued(c, rc);
}

static int send_datagram(tg_net_conn *c, tg_slice head, tg_slice tail,
                         void (*release)(void *owner), void *owner)
{
    int rc = tg_peer_send(c, head, tail);
    if (rc == 0)
        release(owner); // it was copied
    return rc;
}

int tg_net_send_ref(tg_net_conn *c, tg_slice head, tg_slice tail,
                    void (*release)(void *owner), void *owner)
{
    assert(c->origin->worker == tg_worker_here() && release != NULL);
    if (c->closing)
        return TG_E_CLOSED;
    if (c->more->udp != NULL)
        return send_datagram(c, head, tail, release, owner);
    bool apart = c->origin->datagrams, copy = apart || tail.len < COPY_BELOW;
    int rc = admit(c, head.len + tail.len);
    if (rc != 0)
        return rc;
    if ((rc = reserve(c, head.len + (copy ? tail.len : 0))) != 0)
        return queued(c, rc);
    tg_out *o = c->out;
    add_copy(o, head.at, head.len, apart);
    if (copy) {
        add_copy(o, tail.at, tail.len, apart && head.len == 0);
        release(owner);
    } else {
        o->pieces[o->head + o->count++] = (piece){tail.at, tail.len, release, owner};
        o->bytes += tail.len;
    }
    return queued(c, 0);
}

size_t tg_out_bytes(const tg_net_conn *c)
{
    return c->out != NULL ? c->out->bytes : 0;
}

tg_slice tg_out_peek(const tg_net_conn *c, size_t from, char *scratch, size_t most)
{
    const tg_out *o = c->out;
    const piece *p = &o->pieces[o->head], *end = p + o->count;
    assert(from < o->bytes);
    for (; from >= p->len; p++)
        from -= p->len;
    if (p + 1 == end || p->len - from >= most)
        return (tg_slice){p->at + from, p->len - from < most ? p->len - from : most};
    size_t got = 0;
    for (; p < end && got < most; p++, from = 0) {
        size_t n = p->len - from < most - got ? p->len - from : most - got;
        memcpy(scratch + got, p->at + from, n);
        got += n;
    }
    return (tg_slice){scratch, got};
}

// What a release sees is the queue without it; the queue itself stays under it (see
// tg_conn_abort()).
void tg_out_advance(tg_net_conn *c, size_t n)
{
    tg_out *o = c->out;
    o->bytes -= n;
    while (o->count > 0 && n >= o->pieces[o->head].len) {
        piece p = o->pieces[o->head++];
        o->count--;
        n -= p.len;
        piece_done(c, &p);
    }
    if (n > 0) {
        o->pieces[o->head].at += n;
        o->pieces[o->head].len -= n;
    } else if (o->count == 0) {
        out_free(c);
    }
}

static ssize_t sent(tg_net_conn *c, ssize_t n)
{
    c->moved = tg_worker_ms(c->origin->worker);
    tg_conn_count_out(c, (size_t)n);
    c->origin->worker->bytes_out += (size_t)n;
    return n;
}

static void block(tg_net_conn *c)
{
    if (c->blocked)
        return;
    c->blocked = true;
    c->moved = tg_worker_ms(c->origin->worker);
    tg_conn_wake_in(c, tg_conn_stall_ms(c));
}

static ssize_t write_once(int fd, const struct iovec *iov, int n)
{
    if (n == 1)
        return send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

ssize_t tg_conn_write(tg_net_conn *c, const struct iovec *iov, int n)
{
    size_t want = 0;
    for (int i = 0; i < n; i++)
        want += iov[i].iov_len;
    ssize_t got;
    do
        got = write_once(c->fd, iov, n);
    while (got < 0 && errno == EINTR);
    c->origin->worker->writes++;
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
        return tg_conn_errno(errno);
    if (got < (ssize_t)want)
        block(c);
    return got > 0 ? sent(c, got) : 0;
}

static int flush_plain(tg_net_conn *c)
{
    struct iovec iov[WRITE_PIECES];
    while (c->out != NULL && !c->blocked && c->fd >= 0) {
        const tg_out *o = c->out;
        int n = 0, most = c->origin->datagrams ? 1 : WRITE_PIECES;
        for (; n < most && n < (int)o->count; n++) {
            const piece *p = &o->pieces[o->head + (uint32_t)n];
            iov[n] = (struct iovec){(void *)(uintptr_t)p->at, p->len};
        }
        ssize_t got = tg_conn_write(c, iov, n);
        if (got < 0)
            return (int)got;
        if (got > 0)
            tg_out_advance(c, (size_t)got);
    }
    return 0;
}

int tg_conn_flush(tg_net_conn *c)
{
    if (c->more->udp != NULL) {
        tg_port_flush(c->more->udp->port);
        return 0;
    }
    if (c->blocked || c->flushing || c->fd < 0 || c->state < TG_ST_HANDSHAKE)
        return 0;
    c->flushing = true; // a release may send: it must not flush what is being counted off
    int rc = c->more->secure != NULL ? tg_secure_flush(c) : flush_plain(c);
    c->flushing = false;
    if (c->state == TG_ST_DEAD) // a release has ended it
        tg_out_drop(c);
    return rc;
}
