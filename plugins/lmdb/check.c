// SPDX-License-Identifier: Apache-2.0
// LMDB believes what it maps: a page number that leads nowhere ends the process with a signal, a
// tree that is deeper than it says with an assertion. Nothing in its file is a checksum. So the
// whole structure is read once before LMDB sees it, with the file's own calls, which fail instead
// of signalling: both heads, each page that a tree leads to, and the lists of free pages. Every
// page belongs to one of them at most, every entry lies in its page, every key in its order.
//
// What stands in keys and values is not judged here: who reads those checks them.
#include "check.h"

#include <errno.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tidegate.h"

// Format 1 of the file, in the byte order of the machine.
#define MAGIC 0xBEEFC0DEu
#define VERSION 1u
#define PAGE_MIN 512u
#define PAGE_MAX 32768u
#define HEAD 16u // of a page: number 8, pad 2, flags 2, lower 2, upper 2
#define ENTRY 8u // of an entry: size or page 4, flags 2, length of the key 2
#define KEY_MAX 511u
#define DEPTH_MAX 32u
#define TREE_SIZE 48u // pad 4, flags 2, depth 2, four counts of 8, root 8
#define META_SIZE                                                                          \
    136u // magic 4, version 4, address 8, size 8, two trees, last page 8, txn 8
#define NO_PAGE UINT64_MAX

enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum { E_BIG = 1, E_TREE = 2 };
enum { T_KINDS = 0x7f, T_INTEGER = 8 }; // of a tree's flags: those that change its form

typedef enum tree_kind { FREE, MAIN, RECORDS } tree_kind;

typedef struct tree_head {
    uint16_t flags, depth;
    uint64_t root;
} tree_head;

typedef struct file {
    int fd;
    size_t page;
    uint64_t pages; // of the database
    uint64_t there; // of the file
    uint64_t txn;
    unsigned char *taken; // a bit for each page
    unsigned char *at[DEPTH_MAX]; // the pages on the way down
    unsigned char *big; // the first page of a large value
    uint16_t *sizes; // of entries, by where they begin
    tree_head trees[2];
    tree_head subs[2]; // of the main tree
    size_t nsubs;
    char *what;
    size_t len;
} file;

typedef struct walk {
    file *f;
    tree_kind kind;
    unsigned char last[KEY_MAX]; // the key before
    size_t last_len;
    bool any, equal; // there was one; the next may be equal to it
} walk;

static uint16_t u16(const unsigned char *at)
{
    uint16_t n;
    memcpy(&n, at, sizeof(n));
    return n;
}

static uint32_t u32(const unsigned char *at)
{
    uint32_t n;
    memcpy(&n, at, sizeof(n));
    return n;
}

static uint64_t u64(const unsigned char *at)
{
    uint64_t n;
    memcpy(&n, at, sizeof(n));
    return n;
}

TG_PRINTF(3, 4) static int bad(file *f, uint64_t page, const char *fmt, ...)
{
    int n = snprintf(f->what, f->len, "page %llu: ", (unsigned long long)page);
    va_list args;
    va_start(args, fmt);
    if (n > 0 && (size_t)n < f->len)
        vsnprintf(f->what + n, f->len - (size_t)n, fmt, args);
    va_end(args);
    return MDB_CORRUPTED;
}

/// @return 0; -1: the file ends before; errno.
static int read_at(const file *f, void *to, size_t n, uint64_t at)
{
    for (char *p = to; n > 0;) {
        ssize_t got = pread(f->fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? -1 : errno;
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

// ---- pages ----------------------------------------------------------------------------

/// `n` pages from `first` on belong to who asks, and to nobody else.
static int take(file *f, uint64_t first, uint64_t n, uint64_t by)
{
    if (first < 2 || first >= f->pages || n == 0 || n > f->pages - first)
        return bad(f, by, "it leads to pages that there are not (%llu)",
                   (unsigned long long)first);
    for (uint64_t p = first; p < first + n; p++) {
        if (f->taken[p / 8] & 1u << p % 8)
            return bad(f, by, "it leads to page %llu, which belongs to somebody else",
                       (unsigned long long)p);
        f->taken[p / 8] |= (unsigned char)(1u << p % 8);
    }
    return 0;
}

static int take_and_read(file *f, uint64_t page, uint64_t by, unsigned char *to)
{
    int rc = take(f, page, 1, by);
    if (rc == 0 && page >= f->there)
        rc = bad(f, page, "the file ends before it");
    if (rc == 0 && (rc = read_at(f, to, f->page, page * f->page)) < 0)
        rc = bad(f, page, "the file ends inside of it");
    if (rc == 0 && u64(to) != page)
        rc = bad(f, page, "it says that it is page %llu", (unsigned long long)u64(to));
    return rc;
}

/// A value of `size` bytes in pages of its own.
static int check_big(file *f, uint64_t first, uint64_t size, uint64_t by)
{
    int rc = take_and_read(f, first, by, f->big);
    if (rc != 0)
        return rc;
    uint64_t n = u32(f->big + 12);
    if (u16(f->big + 10) != P_OVERFLOW || n < (HEAD - 1 + size) / f->page + 1 ||
        n > f->there - first)
        return bad(f, first, "it does not hold the value of %llu bytes that it should",
                   (unsigned long long)size);
    return n > 1 ? take(f, first + 1, n - 1, by) : 0;
}

// ---- entries --------------------------------------------------------------------------

typedef struct entry {
    const unsigned char *key, *value;
    size_t key_len, size; // of the value
    uint16_t flags;
    uint64_t page; // of a branch: where it leads
    size_t bytes; // that it takes
} entry;

static bool entry_at(const file *f, const unsigned char *p, unsigned i, bool leaf,
                     entry *out)
{
    size_t at = u16(p + HEAD + 2 * (size_t)i), upper = u16(p + 14);
    if (at < upper || at % 2 != 0 || at + ENTRY > f->page)
        return false;
    const unsigned char *e = p + at;
    *out = (entry){.key = e + ENTRY, .key_len = u16(e + 6)};
    out->flags = leaf ? u16(e + 4) : 0;
    out->size = leaf ? u32(e) : 0;
    out->page = leaf ? 0 : u32(e) | (uint64_t)u16(e + 4) << 32;
    out->value = out->key + out->key_len;
    size_t inside = (out->flags & E_BIG) != 0 ? sizeof(uint64_t) : out->size;
    out->bytes = (ENTRY + out->key_len + inside + 1) & ~(size_t)1;
    return out->bytes <= f->page - at;
}

/// Entries lie one behind the other from `upper` to the page's end, in any order.
static int check_layout(file *f, const unsigned char *p, unsigned n, bool leaf)
{
    size_t at = u16(p + 14);
    memset(f->sizes, 0, f->page / 2 * sizeof(*f->sizes));
    for (unsigned i = 0; i < n; i++) {
        entry e;
        if (!entry_at(f, p, i, leaf, &e))
            return bad(f, u64(p), "entry %u is not inside of it", i);
        f->sizes[u16(p + HEAD + 2 * (size_t)i) / 2] = (uint16_t)e.bytes;
    }
    unsigned seen = 0;
    for (; at < f->page && f->sizes[at / 2] != 0; at += f->sizes[at / 2])
        seen++;
    return at == f->page && seen == n ? 0 : bad(f, u64(p), "its entries overlap");
}

static int compare(const walk *w, const unsigned char *key, size_t len)
{
    if (w->kind == FREE)
        return u64(key) < u64(w->last) ? -1 : u64(key) > u64(w->last);
    int order = memcmp(key, w->last, len < w->last_len ? len : w->last_len);
    return order != 0 ? order : len < w->last_len ? -1 : len > w->last_len;
}

/// @param divides it stands in a branch: what follows may be equal to it
static int check_key(walk *w, const entry *e, uint64_t page, bool divides)
{
    if (e->key_len == 0 || e->key_len > KEY_MAX ||
        (w->kind == FREE && e->key_len != sizeof(uint64_t)))
        return bad(w->f, page, "a key has %zu bytes", e->key_len);
    int order = w->any ? compare(w, e->key, e->key_len) : 1;
    if (order < 0 || (order == 0 && !w->equal))
        return bad(w->f, page, "a key is out of order");
    memcpy(w->last, e->key, e->key_len);
    w->last_len = e->key_len;
    w->any = true;
    w->equal = divides;
    return 0;
}

// ---- what a leaf holds ----------------------------------------------------------------

/// How many, then the numbers of pages that were free since transaction `key`, descending. There
/// may be room behind them.
static int check_free(file *f, const entry *e, uint64_t page)
{
    bool big = (e->flags & E_BIG) != 0;
    uint64_t at = big ? u64(e->value) * f->page + HEAD : 0, id = u64(e->key);
    uint64_t list[512], n = 0, before = NO_PAGE, room = e->size / sizeof(uint64_t);
    if (id == 0 || id > f->txn || e->size % sizeof(uint64_t) != 0 || room == 0)
        return bad(f, page, "a list of free pages is none");
    for (uint64_t i = 0; i <= n; i++) {
        size_t some = room - i < 512 ? (size_t)(room - i) : 512;
        if (i % 512 == 0 && !big)
            memcpy(list, e->value + i * sizeof(uint64_t), some * sizeof(uint64_t));
        else if (i % 512 == 0 &&
                 read_at(f, list, some * sizeof(uint64_t), at + i * sizeof(uint64_t)) != 0)
            return bad(f, page, "a list of free pages cannot be read");
        uint64_t number = list[i % 512];
        if (i == 0) {
            n = number;
            if (n >= room)
                return bad(f, page, "a list of free pages is shorter than it says");
            continue;
        }
        int rc = take(f, number, 1, page);
        if (rc != 0)
            return rc;
        if (number >= before)
            return bad(f, page, "a list of free pages is out of order");
        before = number;
    }
    return 0;
}

static int read_tree(file *f, const unsigned char *at, uint16_t flags, uint64_t page,
                     tree_head *out)
{
    *out = (tree_head){.flags = u16(at + 4), .depth = u16(at + 6), .root = u64(at + 40)};
    if ((out->flags & T_KINDS) != flags)
        return bad(f, page, "a tree is of another kind (%#x)", out->flags);
    if (out->depth > DEPTH_MAX || (out->depth == 0) != (out->root == NO_PAGE))
        return bad(f, page, "a tree has %u levels", out->depth);
    return 0;
}

static int check_sub(file *f, const entry *e, uint64_t page)
{
    tg_slice name = {(const char *)e->key, e->key_len};
    if (e->flags != E_TREE || e->size != TREE_SIZE || f->nsubs == 2 ||
        !(tg_slice_eq(name, TG_LIT("about")) || tg_slice_eq(name, TG_LIT("records"))))
        return bad(f, page, "something else than this store's tables is in it");
    return read_tree(f, e->value, 0, page, &f->subs[f->nsubs++]);
}

static int check_value(walk *w, const entry *e, uint64_t page)
{
    if (w->kind == MAIN)
        return check_sub(w->f, e, page);
    if ((e->flags & ~E_BIG) != 0)
        return bad(w->f, page, "an entry is of another kind (%#x)", e->flags);
    int rc = e->flags == E_BIG ? check_big(w->f, u64(e->value), e->size, page) : 0;
    return rc == 0 && w->kind == FREE ? check_free(w->f, e, page) : rc;
}

// ---- trees ----------------------------------------------------------------------------

static int check_page(walk *w, uint64_t page, uint64_t by, unsigned depth);

static int check_entries(walk *w, const unsigned char *p, unsigned n, unsigned depth)
{
    bool leaf = depth == 1;
    uint64_t page = u64(p);
    for (unsigned i = 0; i < n; i++) {
        entry e;
        int rc = 0;
        entry_at(w->f, p, i, leaf, &e);
        if (leaf || i > 0) // what is left of the first divider does not count
            rc = check_key(w, &e, page, !leaf);
        if (rc == 0)
            rc = leaf ? check_value(w, &e, page) : check_page(w, e.page, page, depth - 1);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/// @param depth levels from here on down; 1 is a leaf
static int check_page(walk *w, uint64_t page, uint64_t by, unsigned depth)
{
    file *f = w->f;
    unsigned char **mine = &f->at[depth - 1], *p;
    if (*mine == NULL && (*mine = malloc(f->page)) == NULL)
        return ENOMEM;
    p = *mine;
    int rc = take_and_read(f, page, by, p);
    if (rc != 0)
        return rc;
    unsigned lower = u16(p + 12), upper = u16(p + 14), n = (lower - HEAD) / 2;
    if (u16(p + 10) != (depth == 1 ? P_LEAF : P_BRANCH))
        return bad(f, page, "it is of another kind (%#x)", u16(p + 10));
    if (lower < HEAD || lower % 2 != 0 || lower > upper || upper > f->page)
        return bad(f, page, "its bounds are %u and %u", lower, upper);
    if (n == 0 || (n == 1 && depth > 1 && w->kind != FREE))
        return bad(f, page, "it has too few entries (%u)", n);
    rc = check_layout(f, p, n, depth == 1);
    return rc == 0 ? check_entries(w, p, n, depth) : rc;
}

static int check_tree(file *f, tree_kind kind, const tree_head *t, uint64_t page)
{
    walk w = {.f = f, .kind = kind};
    return t->depth > 0 ? check_page(&w, t->root, page, t->depth) : 0;
}

// ---- the file -------------------------------------------------------------------------

/// The two heads; the newer one counts. *f gets what it says.
static int read_heads(file *f)
{
    unsigned char m[2][HEAD + META_SIZE];
    for (unsigned i = 0; i < 2; i++) {
        const unsigned char *at = m[i] + HEAD;
        int rc = read_at(f, m[i], sizeof(m[i]), i * f->page);
        if (rc > 0)
            return rc;
        if (rc < 0 || u16(m[i] + 10) != P_META || u32(at) != MAGIC)
            return MDB_INVALID;
        if (u32(at + 4) != VERSION)
            return MDB_VERSION_MISMATCH;
        size_t page = u32(at + 24), txn = u64(at + 128);
        if (page < PAGE_MIN || page > PAGE_MAX || (page & (page - 1)) != 0 ||
            (i > 0 && page != f->page))
            return bad(f, i, "pages of %zu bytes", page);
        if (txn != 0 && txn % 2 != i)
            return bad(f, i, "transaction %zu does not belong here", txn);
        f->page = page;
    }
    unsigned newer = u64(m[1] + HEAD + 128) > u64(m[0] + HEAD + 128);
    const unsigned char *at = m[newer] + HEAD;
    f->pages = u64(at + 120) + 1;
    f->txn = u64(at + 128);
    int rc = read_tree(f, at + 24, T_INTEGER, newer, &f->trees[FREE]);
    return rc == 0 ? read_tree(f, at + 24 + TREE_SIZE, 0, newer, &f->trees[MAIN]) : rc;
}

static int get_memory(file *f, uint64_t bytes)
{
    f->there = bytes / f->page;
    // What is missing at the end is free, so a list in the file has its number.
    if (f->pages < 2 || f->pages > f->there + bytes / sizeof(uint64_t))
        return bad(f, 0, "the file ends long before page %llu",
                   (unsigned long long)f->pages - 1);
    f->taken = calloc(1, (size_t)(f->pages / 8 + 1));
    f->big = malloc(f->page);
    f->sizes = malloc(f->page / 2 * sizeof(*f->sizes));
    return f->taken != NULL && f->big != NULL && f->sizes != NULL ? 0 : ENOMEM;
}

static int check_all(file *f)
{
    int rc = check_tree(f, FREE, &f->trees[FREE], 0);
    if (rc == 0)
        rc = check_tree(f, MAIN, &f->trees[MAIN], 0);
    for (size_t i = 0; rc == 0 && i < f->nsubs; i++)
        rc = check_tree(f, RECORDS, &f->subs[i], 0);
    for (uint64_t p = f->there; rc == 0 && p < f->pages; p++)
        if ((f->taken[p / 8] & 1u << p % 8) == 0)
            rc = bad(f, p, "the file ends before it");
    return rc;
}

int check_file(int fd, uint64_t *size, char *what, size_t len)
{
    file f = {.fd = fd, .what = what, .len = len};
    struct stat st;
    *size = 0;
    if (fstat(fd, &st) != 0)
        return errno;
    if (st.st_size == 0)
        return 0;
    snprintf(what, len, "its head is none of LMDB's");
    int rc = read_heads(&f);
    if (rc == 0)
        rc = get_memory(&f, (uint64_t)st.st_size);
    if (rc == 0)
        rc = check_all(&f);
    if (rc == 0)
        *size = f.pages * f.page;
    for (size_t i = 0; i < DEPTH_MAX; i++)
        free(f.at[i]);
    free(f.taken);
    free(f.big);
    free(f.sizes);
    return rc;
}
