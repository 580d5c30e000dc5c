// SPDX-License-Identifier: Apache-2.0
// A client id or a topic may have 65,535 bytes, a key of LMDB 511. So keys are a tree of levels,
// as paths are a tree of folders: a level's records begin with its id, and what is longer than
// PART bytes goes on in a level of its own, to which a link leads. The order stays that of the
// bytes: a link ends with a zero that no record has room for, so it stands right behind the
// record of the same PART bytes and before all that are greater.
//
//   record   id-length, id, rest of the key (0 to PART bytes)        → value
//   link     id-length, id, PART bytes, 0                            → id of the level below
//
// The first level has the empty id, so what everybody stores costs one byte more.
#include "tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PART 495
#define ID_MAX 8
#define KEY_MAX (1 + ID_MAX + PART + 1)
#define LEVELS_MAX 256 // a file that has more is damaged: a link leads back up

typedef struct level {
    unsigned char head[1 + ID_MAX]; // as records begin
    size_t len;
} level;

static const level ROOT = {{0}, 1};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static tg_slice rest_of(tg_slice s, size_t from)
{
    return from < s.len ? (tg_slice){s.at + from, s.len - from} : (tg_slice){"", 0};
}

/// The record's key for `part`, or the link's for its first PART bytes.
static MDB_val key_of(const level *l, tg_slice part, bool link, unsigned char *room)
{
    size_t n = link ? PART : part.len;
    assert(n <= PART && n <= part.len);
    memcpy(room, l->head, l->len);
    if (n > 0)
        memcpy(room + l->len, part.at, n);
    if (link)
        room[l->len + n] = 0;
    return (MDB_val){l->len + n + (link ? 1 : 0), room};
}

static bool of_level(const level *l, const MDB_val *key)
{
    return key->mv_size >= l->len && memcmp(key->mv_data, l->head, l->len) == 0;
}

static bool is_link(const level *l, const MDB_val *key)
{
    return key->mv_size == l->len + PART + 1;
}

static int level_of(const MDB_val *value, level *out)
{
    if (value->mv_size < 2 || value->mv_size > sizeof(out->head))
        return MDB_CORRUPTED;
    memcpy(out->head, value->mv_data, value->mv_size);
    out->len = value->mv_size;
    return out->head[0] == out->len - 1 ? 0 : MDB_CORRUPTED;
}

static uint64_t id_in(const unsigned char *head, size_t len)
{
    uint64_t id = 0;
    for (size_t i = 1; i <= head[0] && i < len; i++)
        id = id << 8 | head[i];
    return id;
}

/// An id is its length and then the number, so the last key has the greatest one; but for
/// `above`, which may have been made just now and have no key yet.
static int next_level(tree t, const level *above, level *out)
{
    MDB_cursor *c;
    MDB_val key, value;
    uint64_t id = id_in(above->head, above->len);
    int rc = mdb_cursor_open(t.txn, t.dbi, &c);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(c, &key, &value, MDB_LAST);
    if (rc == 0 && id_in(key.mv_data, key.mv_size) > id)
        id = id_in(key.mv_data, key.mv_size);
    mdb_cursor_close(c);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if (++id == 0) // no number of ours: the next would be the first level's
        return MDB_CORRUPTED;
    out->len = 1;
    for (int shift = 56; shift >= 0; shift -= 8)
        if (id >> shift != 0)
            out->head[out->len++] = (unsigned char)(id >> shift);
    out->head[0] = (unsigned char)(out->len - 1);
    return 0;
}

/// Follows the link for the first PART bytes of `rest`. @return MDB_NOTFOUND.
static int follow(tree t, const level *l, tg_slice rest, level *out)
{
    unsigned char room[KEY_MAX];
    MDB_val key = key_of(l, rest, true, room), value;
    int rc = mdb_get(t.txn, t.dbi, &key, &value);
    return rc == 0 ? level_of(&value, out) : rc;
}

static int follow_or_make(tree t, const level *l, tg_slice rest, level *out)
{
    int rc = follow(t, l, rest, out);
    if (rc != MDB_NOTFOUND)
        return rc;
    rc = next_level(t, l, out);
    if (rc != 0)
        return rc;
    unsigned char room[KEY_MAX];
    MDB_val key = key_of(l, rest, true, room), value = {out->len, out->head};
    return mdb_put(t.txn, t.dbi, &key, &value, 0);
}

int tree_put(tree t, tg_slice key, tg_slice value)
{
    level at = ROOT;
    if (key.len > (size_t)PART * LEVELS_MAX)
        return MDB_BAD_VALSIZE;
    for (; key.len > PART; key = rest_of(key, PART)) {
        level below;
        int rc = follow_or_make(t, &at, key, &below);
        if (rc != 0)
            return rc;
        at = below;
    }
    unsigned char room[KEY_MAX];
    MDB_val k = key_of(&at, key, false, room), v = {value.len, (void *)value.at};
    return mdb_put(t.txn, t.dbi, &k, &v, 0);
}

/// The first key of level `l` that is not below `part`. @return MDB_NOTFOUND: none.
static int seek(MDB_cursor *c, const level *l, tg_slice part, MDB_val *key, MDB_val *value)
{
    unsigned char room[KEY_MAX];
    *key = key_of(l, part, part.len > PART, room);
    int rc = mdb_cursor_get(c, key, value, MDB_SET_RANGE);
    if (rc == 0 && !of_level(l, key))
        return MDB_NOTFOUND;
    return rc;
}

static int first_of(tree t, const level *l, tg_slice part, MDB_val *key, MDB_val *value)
{
    MDB_cursor *c;
    int rc = mdb_cursor_open(t.txn, t.dbi, &c);
    if (rc != 0)
        return rc;
    rc = seek(c, l, part, key, value);
    mdb_cursor_close(c);
    return rc;
}

static int del_key(tree t, MDB_val key) // LMDB's memory: a copy survives the change
{
    unsigned char room[KEY_MAX];
    if (key.mv_size > sizeof(room))
        return MDB_CORRUPTED;
    memcpy(room, key.mv_data, key.mv_size);
    key.mv_data = room;
    return mdb_del(t.txn, t.dbi, &key, NULL);
}

/// Deletes the link for `rest` once nothing is left behind it.
static int prune(tree t, const level *l, tg_slice rest, const level *below)
{
    unsigned char room[KEY_MAX];
    MDB_val key, value;
    int rc = first_of(t, below, (tg_slice){"", 0}, &key, &value);
    if (rc != MDB_NOTFOUND)
        return rc;
    return del_key(t, key_of(l, rest, true, room));
}

static int del_below(tree t, const level *l, tg_slice key)
{
    level below;
    if (key.len > PART) {
        int rc = follow(t, l, key, &below);
        if (rc == 0)
            rc = del_below(t, &below, rest_of(key, PART));
        return rc == 0 ? prune(t, l, key, &below) : rc;
    }
    unsigned char room[KEY_MAX];
    return del_key(t, key_of(l, key, false, room));
}

int tree_del(tree t, tg_slice key)
{
    int rc = del_below(t, &ROOT, key);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/// All of level `l` whose part begins with `part`, and what hangs below it.
/// @param deep how many levels are above
static int del_level(tree t, const level *l, tg_slice part, unsigned deep)
{
    if (deep > LEVELS_MAX)
        return MDB_CORRUPTED;
    MDB_val key, value;
    for (;;) {
        int rc = first_of(t, l, part, &key, &value);
        if (rc == MDB_NOTFOUND)
            return 0;
        if (rc == 0 && (key.mv_size < l->len + part.len ||
                        memcmp((char *)key.mv_data + l->len, part.at, part.len) != 0))
            return 0;
        level below;
        if (rc == 0 && is_link(l, &key)) {
            rc = level_of(&value, &below);
            if (rc == 0)
                rc = del_level(t, &below, (tg_slice){"", 0}, deep + 1);
            if (rc == 0) // the pages have moved
                rc = first_of(t, l, part, &key, &value);
        }
        if (rc == 0)
            rc = del_key(t, key);
        if (rc != 0)
            return rc;
    }
}

static int del_prefix_below(tree t, const level *l, tg_slice prefix)
{
    if (prefix.len <= PART)
        return del_level(t, l, prefix, 0);
    level below;
    int rc = follow(t, l, prefix, &below);
    if (rc == 0)
        rc = del_prefix_below(t, &below, rest_of(prefix, PART));
    return rc == 0 ? prune(t, l, prefix, &below) : rc;
}

int tree_del_prefix(tree t, tg_slice prefix)
{
    int rc = del_prefix_below(t, &ROOT, rest_of(prefix, 0));
    return rc == MDB_NOTFOUND ? 0 : rc;
}

// ---- walking --------------------------------------------------------------------------

typedef struct walker {
    tree t;
    tree_each *each;
    void *ctx;
    char *key; // the whole key so far
    size_t len, size;
    unsigned deep; // levels above
} walker;

static int push(walker *w, const void *at, size_t n)
{
    if (w->len + n > w->size) {
        size_t size = (w->len + n) * 2;
        char *key = realloc(w->key, size);
        if (key == NULL)
            return ENOMEM;
        w->key = key;
        w->size = size;
    }
    if (n > 0)
        memcpy(w->key + w->len, at, n);
    w->len += n;
    return 0;
}

/// What of `from` is left behind PART bytes. @return false: it is past all that begins with
/// them.
static bool from_below(tg_slice from, const char *part, tg_slice *out)
{
    int order = memcmp(from.at, part, least(from.len, PART));
    *out = order == 0 ? rest_of(from, PART) : (tg_slice){"", 0};
    return order <= 0;
}

static int walk_level(walker *w, const level *l, tg_slice prefix, tg_slice from);

static int visit(walker *w, const level *l, const MDB_val *key, const MDB_val *value,
                 tg_slice from)
{
    const char *part = (const char *)key->mv_data + l->len;
    bool link = is_link(l, key);
    size_t len = link ? PART : key->mv_size - l->len, before = w->len;
    tg_slice rest = {"", 0};
    level below;
    if (link && !from_below(from, part, &rest))
        return 0;
    int rc = push(w, part, len);
    if (rc == 0 && link)
        rc = level_of(value, &below);
    w->deep++;
    if (rc == 0)
        rc = link ? walk_level(w, &below, (tg_slice){"", 0}, rest)
                  : w->each(w->ctx, (tg_slice){w->key, w->len},
                            (tg_slice){value->mv_data, value->mv_size});
    w->deep--;
    w->len = before;
    return rc;
}

static int walk_keys(walker *w, const level *l, MDB_cursor *c, tg_slice prefix,
                     tg_slice from)
{
    MDB_val key, value;
    int order = memcmp(from.at, prefix.at, least(prefix.len, from.len));
    tg_slice start = order > 0 || (order == 0 && from.len > prefix.len) ? from : prefix;
    int rc = seek(c, l, start, &key, &value);
    while (rc == 0 && of_level(l, &key) && key.mv_size >= l->len + prefix.len &&
           memcmp((char *)key.mv_data + l->len, prefix.at, prefix.len) == 0) {
        rc = visit(w, l, &key, &value, from);
        if (rc == 0)
            rc = mdb_cursor_get(c, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int walk_level(walker *w, const level *l, tg_slice prefix, tg_slice from)
{
    if (w->deep > LEVELS_MAX)
        return MDB_CORRUPTED;
    if (prefix.len > PART) {
        level below;
        tg_slice rest;
        if (!from_below(from, prefix.at, &rest))
            return 0;
        int rc = follow(w->t, l, prefix, &below);
        if (rc == 0)
            rc = push(w, prefix.at, PART);
        return rc == 0 ? walk_level(w, &below, rest_of(prefix, PART), rest) : rc;
    }
    MDB_cursor *c;
    int rc = mdb_cursor_open(w->t.txn, w->t.dbi, &c);
    if (rc != 0)
        return rc;
    rc = walk_keys(w, l, c, prefix, from);
    mdb_cursor_close(c);
    return rc;
}

int tree_walk(tree t, tg_slice prefix, tg_slice from, tree_each *each, void *ctx)
{
    walker w = {.t = t, .each = each, .ctx = ctx};
    int rc = walk_level(&w, &ROOT, rest_of(prefix, 0), rest_of(from, 0));
    free(w.key);
    return rc == MDB_NOTFOUND ? 0 : rc;
}
