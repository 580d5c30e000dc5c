// SPDX-License-Identifier: Apache-2.0
// The map of long keys against a plain sorted list that does the same: whatever is put and
// deleted, both must walk alike, from any key and below any prefix.
#include "../../../plugins/lmdb/tree.h"

#include <stdlib.h>
#include <unistd.h>

#include "../../support/check.h"

tg_env tg;

typedef struct lab {
    char dir[64];
    MDB_env *env;
    tree t;
} lab;

static void open_lab(lab *l)
{
    snprintf(l->dir, sizeof(l->dir), "/tmp/lmdb-tree-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    assert_int_equal(mdb_env_create(&l->env), 0);
    mdb_env_set_maxdbs(l->env, 1);
    mdb_env_set_mapsize(l->env, (size_t)64 << 20);
    assert_int_equal(mdb_env_open(l->env, l->dir, MDB_NOTLS | MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_txn_begin(l->env, NULL, 0, &l->t.txn), 0);
    assert_int_equal(mdb_dbi_open(l->t.txn, "records", MDB_CREATE, &l->t.dbi), 0);
}

static void close_lab(lab *l)
{
    char path[96];
    mdb_txn_abort(l->t.txn);
    mdb_env_close(l->env);
    snprintf(path, sizeof(path), "%s/data.mdb", l->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", l->dir);
    unlink(path);
    rmdir(l->dir);
}

// ---- the plain list -------------------------------------------------------------------

#define KEYS 64
#define NONE TG_LIT("")

typedef struct list { // of keys by number, see make_key()
    char *at[KEYS];
    size_t len[KEYS];
    bool there[KEYS];
    int order[KEYS];
} list;

/// Keys that share long beginnings and end around the places where levels begin.
static void make_key(list *l, int i)
{
    static const size_t lengths[] = {1, 494, 495, 496, 497, 990, 991, 1486, 70000, 495};
    size_t n = lengths[i % 10];
    l->at[i] = malloc(n);
    memset(l->at[i], 'a', n);
    l->len[i] = n;
    if (i >= 10) // another byte somewhere, zero and 0xff among them
        l->at[i][(size_t)i * 37 % n] = (char)(i % 3 == 0 ? 0 : i % 3 == 1 ? 0xff : i);
}

static int compare(tg_slice a, tg_slice b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static tg_slice key_at(const list *l, int i)
{
    return (tg_slice){l->at[i], l->len[i]};
}

static void sort(list *l)
{
    for (int i = 0; i < KEYS; i++) {
        int at = i;
        for (; at > 0 && compare(key_at(l, l->order[at - 1]), key_at(l, i)) > 0; at--)
            l->order[at] = l->order[at - 1];
        l->order[at] = i;
    }
}

static void make_list(list *l)
{
    *l = (list){0};
    for (int i = 0; i < KEYS; i++)
        make_key(l, i);
    sort(l);
}

static void free_list(list *l)
{
    for (int i = 0; i < KEYS; i++)
        free(l->at[i]);
}

static bool begins(tg_slice s, tg_slice with)
{
    return s.len >= with.len && memcmp(s.at, with.at, with.len) == 0;
}

static bool same(const list *l, int i, int j)
{
    return compare(key_at(l, i), key_at(l, j)) == 0;
}

static void mark(list *l, int i, bool there) // equal keys are one
{
    for (int j = 0; j < KEYS; j++)
        if (same(l, i, j))
            l->there[j] = false;
    l->there[i] = there;
}

// ---- comparing ------------------------------------------------------------------------

typedef struct check {
    const list *l;
    tg_slice prefix, from;
    int next; // in l->order
} check;

static void to_next(check *c)
{
    for (; c->next < KEYS; c->next++) {
        int i = c->l->order[c->next];
        if (c->l->there[i] && begins(key_at(c->l, i), c->prefix) &&
            compare(key_at(c->l, i), c->from) >= 0)
            return;
    }
}

static int each(void *ctx, tg_slice key, tg_slice value)
{
    check *c = ctx;
    to_next(c);
    assert_true(c->next < KEYS);
    int i = c->l->order[c->next++];
    assert_int_equal(compare(key, key_at(c->l, i)), 0);
    assert_int_equal(value.len, sizeof(int));
    assert_int_equal(memcmp(value.at, &i, sizeof(i)), 0);
    return 0;
}

static void walks_alike(const lab *db, const list *l, tg_slice prefix, tg_slice from)
{
    check c = {.l = l, .prefix = prefix, .from = from};
    assert_int_equal(tree_walk(db->t, prefix, from, each, &c), 0);
    to_next(&c);
    assert_int_equal(c.next, KEYS); // nothing was left out
}

static void walks_alike_everywhere(const lab *db, const list *l)
{
    static const size_t cuts[] = {0, 1, 400, 495, 496, 600, 990, 1000, 69999};
    walks_alike(db, l, NONE, NONE);
    for (int i = 0; i < KEYS; i += 3) {
        walks_alike(db, l, NONE, key_at(l, i));
        for (size_t k = 0; k < sizeof(cuts) / sizeof(cuts[0]); k++) {
            tg_slice cut = key_at(l, i);
            cut.len = cut.len < cuts[k] ? cut.len : cuts[k];
            walks_alike(db, l, cut, key_at(l, (i * 7 + 5) % KEYS));
            walks_alike(db, l, NONE, cut);
        }
    }
}

static void put(const lab *db, list *l, int i)
{
    tg_slice value = {(const char *)&i, sizeof(i)};
    assert_int_equal(tree_put(db->t, key_at(l, i), value), 0);
    mark(l, i, true);
}

static void walks_in_the_order_of_the_bytes(void **state)
{
    (void)state;
    lab db;
    list l;
    open_lab(&db);
    make_list(&l);
    for (int i = 0; i < KEYS; i++)
        put(&db, &l, i * 29 % KEYS);
    walks_alike_everywhere(&db, &l);
    for (int i = 0; i < KEYS; i += 2) {
        assert_int_equal(tree_del(db.t, key_at(&l, i)), 0);
        mark(&l, i, false);
        assert_int_equal(tree_del(db.t, key_at(&l, i)), 0); // gone: no complaint
    }
    walks_alike_everywhere(&db, &l);
    free_list(&l);
    close_lab(&db);
}

static void deletes_below_a_prefix_and_nothing_else(void **state)
{
    (void)state;
    static const size_t cuts[] = {0, 1, 494, 495, 496, 500, 990, 991, 1200};
    lab db;
    list l;
    open_lab(&db);
    make_list(&l);
    for (size_t k = 0; k < sizeof(cuts) / sizeof(cuts[0]); k++) {
        for (int i = 0; i < KEYS; i++)
            put(&db, &l, i);
        tg_slice prefix = key_at(&l, (int)(8 + 10 * (k % 5))); // the long ones
        prefix.len = cuts[k];
        assert_int_equal(tree_del_prefix(db.t, prefix), 0);
        for (int i = 0; i < KEYS; i++)
            if (begins(key_at(&l, i), prefix))
                mark(&l, i, false);
        walks_alike(&db, &l, NONE, NONE);
    }
    free_list(&l);
    close_lab(&db);
}

static void leaves_no_level_behind(void **state)
{
    (void)state;
    lab db;
    list l;
    MDB_stat stat;
    open_lab(&db);
    make_list(&l);
    for (int i = 0; i < KEYS; i++)
        put(&db, &l, i);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(tree_del(db.t, key_at(&l, i)), 0);
    mdb_stat(db.t.txn, db.t.dbi, &stat);
    assert_int_equal(stat.ms_entries, 0);
    put(&db, &l, 8);
    assert_int_equal(tree_del_prefix(db.t, (tg_slice){l.at[8], 60000}), 0);
    mdb_stat(db.t.txn, db.t.dbi, &stat);
    assert_int_equal(stat.ms_entries, 0);
    free_list(&l);
    close_lab(&db);
}

static int stop_at_two(void *ctx, tg_slice key, tg_slice value)
{
    (void)key;
    (void)value;
    return ++*(int *)ctx == 2 ? 7 : 0;
}

static void stops_when_told(void **state)
{
    (void)state;
    lab db;
    list l;
    int n = 0;
    open_lab(&db);
    make_list(&l);
    for (int i = 0; i < KEYS; i++)
        put(&db, &l, i);
    assert_int_equal(tree_walk(db.t, TG_LIT(""), TG_LIT(""), stop_at_two, &n), 7);
    assert_int_equal(n, 2);
    free_list(&l);
    close_lab(&db);
}

static int count(void *ctx, tg_slice key, tg_slice value)
{
    (void)key;
    (void)value;
    ++*(int *)ctx;
    return 0;
}

/// A record as no tree writes it: `head`, `n` times 'p', and `tail`.
static void put_raw(const lab *db, tg_slice head, size_t n, tg_slice tail, tg_slice value)
{
    char room[600];
    memcpy(room, head.at, head.len);
    memset(room + head.len, 'p', n);
    memcpy(room + head.len + n, tail.at, tail.len);
    MDB_val k = {head.len + n + tail.len, room}, v = {value.len, (void *)value.at};
    assert_int_equal(mdb_put(db->t.txn, db->t.dbi, &k, &v, 0), 0);
}

static void a_damaged_tree_is_an_error(void **state)
{
    (void)state;
    char key[1500];
    memset(key, 'p', sizeof(key));
    for (int kind = 0; kind < 5; kind++) {
        lab db;
        int n = 0;
        open_lab(&db);
        if (kind == 0) { // a level that leads to itself
            put_raw(&db, TG_LIT("\0"), 495, TG_LIT("\0"), TG_LIT("\1\1"));
            put_raw(&db, TG_LIT("\1\1"), 495, TG_LIT("\0"), TG_LIT("\1\1"));
        } else if (kind == 1) { // a key that is longer than any
            put_raw(&db, TG_LIT("\0"), 510, TG_LIT(""), TG_LIT("x"));
        } else if (kind == 2) { // the last number that a level can have
            put_raw(&db, TG_LIT("\x8\xff\xff\xff\xff\xff\xff\xff\xff"), 9, TG_LIT(""),
                    TG_LIT("x"));
        } else { // a link to no level
            put_raw(&db, TG_LIT("\0"), 495, TG_LIT("\0"),
                    kind == 3 ? TG_LIT("\7\1") : TG_LIT(""));
        }
        int walked = tree_walk(db.t, TG_LIT(""), TG_LIT(""), count, &n);
        assert_int_equal(walked, kind == 1 || kind == 2 ? 0 : MDB_CORRUPTED);
        if (kind != 0 && kind != 1)
            assert_int_equal(tree_put(db.t, (tg_slice){key, 1500}, TG_LIT("v")),
                             MDB_CORRUPTED);
        if (kind != 2)
            assert_int_equal(tree_del_prefix(db.t, TG_LIT("")), MDB_CORRUPTED);
        close_lab(&db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_in_the_order_of_the_bytes),
        cmocka_unit_test(deletes_below_a_prefix_and_nothing_else),
        cmocka_unit_test(leaves_no_level_behind),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(a_damaged_tree_is_an_error),
    };
    return RUN(tests);
}
