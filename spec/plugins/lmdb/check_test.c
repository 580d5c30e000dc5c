// SPDX-License-Identifier: Apache-2.0
// A file is refused with its reason, or LMDB can bear it: whatever byte of it is another one, and
// wherever it ends. And none that LMDB has written is refused.
#include "../../../plugins/lmdb/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../plugins/lmdb/db.h"
#include "../../support/check.h"

#define MAP ((size_t)64 << 20)

tg_env tg;

typedef struct lab {
    char dir[64], file[96], owner[96], lock[96];
    unsigned char *bytes; // of a sound file
    size_t len;
    uint32_t random;
} lab;

static uint32_t dice(lab *l, uint32_t sides)
{
    l->random = l->random * 1664525u + 1013904223u;
    return (l->random >> 8) % sides;
}

static int up(void **state)
{
    lab *l = calloc(1, sizeof(*l));
    snprintf(l->dir, sizeof(l->dir), "/dev/shm/lmdb-check-XXXXXX");
    if (mkdtemp(l->dir) == NULL) { // no such folder here
        snprintf(l->dir, sizeof(l->dir), "/tmp/lmdb-check-XXXXXX");
        assert_non_null(mkdtemp(l->dir));
    }
    snprintf(l->file, sizeof(l->file), "%s/data.mdb", l->dir);
    snprintf(l->owner, sizeof(l->owner), "%s/owner", l->dir);
    snprintf(l->lock, sizeof(l->lock), "%s/lock.mdb", l->dir);
    *state = l;
    return 0;
}

static int down(void **state)
{
    lab *l = *state;
    unlink(l->file);
    unlink(l->owner);
    unlink(l->lock);
    int rc = rmdir(l->dir);
    free(l->bytes);
    free(l);
    return rc;
}

static int open_it(const lab *l, db *d, char why[480])
{
    why[0] = '\0';
    return db_open(d, tg_str(l->dir), MAP, why, 480);
}

static int check_it(const lab *l, char what[160])
{
    uint64_t size;
    int fd = open(l->file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    int rc = check_file(fd, &size, what, 160);
    close(fd);
    return rc;
}

static tg_slice key_of(uint32_t n, char room[4096])
{
    static const size_t lengths[] = {12, 20, 60, 494, 496, 1200, 3000};
    size_t len = lengths[n % 7];
    memset(room, 'k', len);
    snprintf(room, 12, "%010u", n % 40 * 1000003u);
    room[10] = (char)('a' + n % 7);
    room[len - 1] = (char)('0' + n % 10);
    return (tg_slice){room, len};
}

/// A transaction of puts and deletions, values from none to many pages.
static void change(lab *l, db *d, uint32_t keys)
{
    static char value[40000];
    char room[4096];
    tree t = {.dbi = d->records};
    assert_int_equal(mdb_txn_begin(d->env, NULL, 0, &t.txn), 0);
    for (int i = 0; i < 20; i++) {
        uint32_t n = dice(l, keys), what = dice(l, 10);
        size_t len = what < 5          ? dice(l, 200)
                     : dice(l, 3) == 0 ? dice(l, 40000)
                                       : dice(l, 4000);
        int rc = what < 6   ? tree_put(t, key_of(n, room), (tg_slice){value, len})
                 : what < 9 ? tree_del(t, key_of(n, room))
                            : tree_del_prefix(t, (tg_slice){key_of(n, room).at, 9});
        assert_int_equal(rc, 0);
    }
    assert_int_equal(mdb_txn_commit(t.txn), 0);
}

static void what_lmdb_writes_is_sound(void **state)
{
    lab *l = *state;
    db d;
    char why[480], what[160] = "";
    assert_int_equal(open_it(l, &d, why), 0);
    assert_int_equal(check_it(l, what), 0);
    for (int i = 0; i < 300; i++) {
        change(l, &d, i < 200 ? 2000 : 300); // it grows, then much of it is free
        if (check_it(l, what) != 0)
            fail_msg("after %d transactions: %s", i + 1, what);
    }
    db_close(&d);
    assert_int_equal(open_it(l, &d, why), 0);
    tree t = {.dbi = d.records};
    assert_int_equal(mdb_txn_begin(d.env, NULL, 0, &t.txn), 0);
    assert_int_equal(tree_del_prefix(t, TG_LIT("")), 0);
    assert_int_equal(mdb_txn_commit(t.txn), 0);
    assert_int_equal(check_it(l, what), 0); // empty again
    db_close(&d);
}

static void put_file(const lab *l, const void *bytes, size_t len)
{
    int fd = open(l->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void make_sound(lab *l)
{
    db d;
    char why[480];
    struct stat st;
    assert_int_equal(open_it(l, &d, why), 0);
    for (int i = 0; i < 12; i++)
        change(l, &d, 100);
    db_close(&d);
    int fd = open(l->file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    l->len = (size_t)st.st_size;
    l->bytes = malloc(l->len);
    assert_int_equal(read(fd, l->bytes, l->len), (ssize_t)l->len);
    close(fd);
}

static int see(void *ctx, tg_slice key, tg_slice value)
{
    size_t *sum = ctx;
    for (size_t i = 0; i < key.len; i++)
        *sum += (unsigned char)key.at[i];
    for (size_t i = 0; i < value.len; i++)
        *sum += (unsigned char)value.at[i];
    return 0;
}

/// Uses all of the database, as a host would.
static void use(lab *l, db *d)
{
    size_t sum = 0, room;
    char key[4096];
    tree t = {.dbi = d->records};
    assert_int_equal(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &t.txn), 0);
    tree_walk(t, TG_LIT(""), TG_LIT(""), see, &sum);
    mdb_txn_abort(t.txn);
    db_room(d, &room);
    assert_int_equal(mdb_txn_begin(d->env, NULL, 0, &t.txn), 0);
    int rc = 0;
    for (uint32_t i = 0; i < 10 && rc == 0; i++)
        rc = tree_put(t, key_of(dice(l, 100), key), (tg_slice){key, 4000});
    for (uint32_t i = 0; i < 5 && rc == 0; i++)
        rc = tree_del_prefix(t, (tg_slice){key_of(dice(l, 100), key).at, 9});
    if (rc == 0)
        rc = tree_del_prefix(t, TG_LIT(""));
    rc == 0 ? (void)mdb_txn_commit(t.txn) : mdb_txn_abort(t.txn);
}

/// @return it was refused
static bool try_file(lab *l)
{
    db d;
    char why[480];
    int rc = open_it(l, &d, why);
    if (rc == 0) {
        use(l, &d);
        db_close(&d);
        return false;
    }
    if (strstr(why, l->dir) == NULL ||
        (strstr(why, "restore a copy of the folder") == NULL &&
         strstr(why, "another version of LMDB") == NULL &&
         strstr(why, "its format is not") == NULL))
        fail_msg("no next step: %s", why);
    return true;
}

/// All that says something: of the heads each byte, of trees' pages the beginning and some of the
/// rest, of large values' pages the beginning.
static bool is_tried(const lab *l, size_t at)
{
    size_t in = at % 4096;
    if (at < 2 * 4096)
        return in < 160;
    unsigned char kind = l->bytes[at - in + 10];
    return in < 16 || (kind <= 2 && (in < 24 || at % 211 == 0));
}

static void any_other_byte_is_refused_or_borne(void **state)
{
    lab *l = *state;
    make_sound(l);
    unsigned tried = 0, refused = 0;
    for (size_t at = 0; at < l->len; at++) {
        if (!is_tried(l, at))
            continue;
        unsigned char was = l->bytes[at];
        l->bytes[at] ^= (unsigned char)(1u << dice(l, 8));
        put_file(l, l->bytes, l->len);
        l->bytes[at] = was;
        refused += try_file(l);
        tried++;
    }
    print_message("# %u of %u flips refused, %zu bytes\n", refused, tried, l->len);
    assert_true(tried > 2000 && refused > 300 && refused < tried);
}

static void any_end_is_refused_or_borne(void **state)
{
    lab *l = *state;
    make_sound(l);
    unsigned refused = 0, tried = 0;
    for (size_t len = 1; len < l->len; len += len < 300 ? 7 : 1000) {
        put_file(l, l->bytes, len);
        refused += try_file(l);
        tried++;
    }
    assert_true(refused > tried / 2 &&
                refused < tried); // free pages at its end may be missing
    put_file(l, l->bytes, 0);
    assert_false(try_file(l)); // a new one
}

static void garbage_is_refused(void **state)
{
    lab *l = *state;
    unsigned char noise[20000];
    for (int i = 0; i < 50; i++) {
        for (size_t at = 0; at < sizeof(noise); at++)
            noise[at] = (unsigned char)dice(l, 256);
        put_file(l, noise, sizeof(noise));
        assert_true(try_file(l));
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_lmdb_writes_is_sound),
        T(any_other_byte_is_refused_or_borne),
        T(any_end_is_refused_or_borne),
        T(garbage_is_refused),
    };
    return RUN(tests);
}
