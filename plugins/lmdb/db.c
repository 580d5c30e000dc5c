// SPDX-License-Identifier: Apache-2.0
// LMDB copies each page that it changes, also to delete: a file that is full to the last page
// can never be emptied again. So puts end before that, and the rest is a reserve for
// deletions. How much is used is what the file's end says, less what its list of free pages
// holds; that list is read only when the end alone says that room is short.
//
// What can be known before LMDB opens it is checked before: whose folder it is, that the file is
// LMDB's and whole (check.c), and of this format.
#include "db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define FORMAT "1" // of the records and of how long keys are kept
#define FORMAT_KEY "format"
#define RESERVE_MIN ((size_t)256 << 10)
#define RESERVE_MAX ((size_t)64 << 20)

TG_PRINTF(4, 5)
static int fault(int code, char *why, size_t len, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, len, fmt, args);
    va_end(args);
    return code;
}

int db_error(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case ENOMEM:
        return TG_E_NOMEM;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return TG_E_FULL;
    default:
        return TG_E_IO;
    }
}

// ---- the folder -----------------------------------------------------------------------

static int take_folder(db *d, char *why, size_t len)
{
    char file[sizeof(d->path) + 8];
    if (mkdir(d->path, 0700) != 0 && errno != EEXIST)
        return fault(TG_E_IO, why, len,
                     "%s: cannot be made: %s; make its parent folder, owned by the user "
                     "that the host runs as (uid %u), or set `path` to another one",
                     d->path, strerror(errno), (unsigned)geteuid());
    snprintf(file, sizeof(file), "%s/owner", d->path);
    d->owner = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->owner < 0)
        return fault(errno == EACCES ? TG_E_DENIED : TG_E_IO, why, len,
                     "%s: %s; the folder must be writable for the user that the host runs "
                     "as (uid %u)",
                     file, strerror(errno), (unsigned)geteuid());
    if (flock(d->owner, LOCK_EX | LOCK_NB) != 0)
        return fault(TG_E_BUSY, why, len,
                     "%s: another host uses it; end that one, or give this one a `path` of "
                     "its own",
                     d->path);
    return 0;
}

// ---- the environment ------------------------------------------------------------------

static int open_env(db *d)
{
    int rc = mdb_env_create(&d->env);
    if (rc != 0)
        return rc;
    mdb_env_set_maxdbs(d->env, 2);
    mdb_env_set_mapsize(d->env, d->map_size);
    rc = mdb_env_open(d->env, d->path, MDB_NOTLS, 0600);
    if (rc == 0) {
        int dead;
        mdb_reader_check(d->env, &dead); // of processes that were killed
        return 0;
    }
    mdb_env_close(d->env);
    d->env = NULL;
    return rc;
}

static int open_records(db *d)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(d->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, "records", MDB_CREATE, &d->records);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/// Writes the format into a new database. @return another format than ours: MDB_INCOMPATIBLE.
static int check_format(const db *d)
{
    MDB_txn *txn;
    MDB_dbi about;
    MDB_val key = {sizeof(FORMAT_KEY) - 1, (void *)FORMAT_KEY}, value;
    int rc = mdb_txn_begin(d->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, "about", MDB_CREATE, &about);
    if (rc == 0 && (rc = mdb_get(txn, about, &key, &value)) == MDB_NOTFOUND) {
        value = (MDB_val){sizeof(FORMAT) - 1, (void *)FORMAT};
        rc = mdb_put(txn, about, &key, &value, 0);
    } else if (rc == 0 &&
               !tg_slice_eq((tg_slice){value.mv_data, value.mv_size}, TG_LIT(FORMAT))) {
        rc = MDB_INCOMPATIBLE;
    }
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

// ---- free pages -----------------------------------------------------------------------

/// Each record of LMDB's own table 0 is a list: how many, then their numbers.
static int count_free(MDB_txn *txn, size_t *out)
{
    MDB_cursor *c;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, 0, &c);
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        size_t n = 0;
        if (value.mv_size >= sizeof(n)) // it may be written to while it is looked at
            memcpy(&n, value.mv_data, sizeof(n));
        if (n >= value.mv_size / sizeof(n)) {
            rc = MDB_CORRUPTED;
            break;
        }
        *out += n;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int find_free(const db *d, size_t *out)
{
    MDB_txn *txn; // LMDB shows that table to readers alone
    int rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = count_free(txn, out);
    mdb_txn_abort(txn);
    return rc;
}

// ---- what is there --------------------------------------------------------------------

static int check_open_file(int fd, char *what, size_t len)
{
    uint64_t size;
    struct stat st;
    int rc = check_file(fd, &size, what, len);
    if (rc == 0 && fstat(fd, &st) != 0)
        return errno;
    // Whoever reads the file to its last page must find it: zeros instead of a signal.
    if (rc == 0 && (uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) != 0)
        return errno;
    return rc;
}

/// Before LMDB sees it. @param what gets what is wrong with the file itself
static int check_data(const db *d, char *what, size_t len)
{
    char path[sizeof(d->path) + 16];
    snprintf(path, sizeof(path), "%s/data.mdb", d->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    int rc = check_open_file(fd, what, len);
    close(fd);
    return rc;
}

static int open_checked(db *d, char *what, size_t len)
{
    what[0] = '\0';
    int rc = check_data(d, what, len);
    if (rc == 0)
        rc = open_env(d);
    if (rc != 0)
        return rc;
    MDB_stat stat;
    mdb_env_stat(d->env, &stat);
    d->page = stat.ms_psize;
    rc = check_format(d);
    return rc == 0 ? open_records(d) : rc;
}

static int explain(const db *d, int rc, const char *what, char *why, size_t len)
{
    switch (rc) {
    case MDB_INCOMPATIBLE:
        return fault(TG_E_VERSION, why, len,
                     "%s: its format is not %s, which this host reads; start the host that "
                     "wrote it, or set `path` to an empty folder and begin anew",
                     d->path, FORMAT);
    case MDB_VERSION_MISMATCH:
        return fault(TG_E_VERSION, why, len,
                     "%s: another version of LMDB wrote it; copy it over with that "
                     "version's mdb_dump and this one's mdb_load",
                     d->path);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
        return fault(TG_E_MALFORMED, why, len,
                     "%s/data.mdb: damaged, or no file of LMDB's (%s); restore a copy of "
                     "the folder, or move it away to begin with an empty store",
                     d->path, what[0] != '\0' ? what : mdb_strerror(rc));
    default:
        return fault(rc == EACCES ? TG_E_DENIED : db_error(rc), why, len,
                     "%s: %s; the folder and its files must be writable for the user that "
                     "the host runs as (uid %u), with room for %zu MiB",
                     d->path, mdb_strerror(rc), (unsigned)geteuid(), d->map_size >> 20);
    }
}

int db_open(db *d, tg_slice path, size_t map_size, char *why, size_t len)
{
    *d = (db){.owner = -1, .map_size = map_size};
    if (path.len == 0 || path.len >= sizeof(d->path) - 16)
        return fault(TG_E_INVAL, why, len, "`path` is empty or too long");
    memcpy(d->path, path.at, path.len);
    d->reserve = map_size / 8;
    if (d->reserve < RESERVE_MIN)
        d->reserve = RESERVE_MIN;
    if (d->reserve > RESERVE_MAX)
        d->reserve = RESERVE_MAX;
    int rc = take_folder(d, why, len);
    char what[160];
    if (rc == 0 && (rc = open_checked(d, what, sizeof(what))) != 0)
        rc = explain(d, rc, what, why, len);
    if (rc < 0)
        db_close(d);
    return rc;
}

int db_reopen(db *d)
{
    if (d->env != NULL)
        mdb_env_close(d->env);
    d->env = NULL;
    char what[160];
    int rc = open_checked(d, what, sizeof(what));
    if (rc != 0 && d->env != NULL) {
        mdb_env_close(d->env);
        d->env = NULL;
    }
    return rc;
}

void db_close(db *d)
{
    if (d->env != NULL)
        mdb_env_close(d->env);
    if (d->owner >= 0)
        close(d->owner); // and with it the lock
    d->env = NULL;
    d->owner = -1;
}

// ---- room -----------------------------------------------------------------------------

size_t db_used(const db *d)
{
    MDB_envinfo info;
    mdb_env_info(d->env, &info);
    return (info.me_last_pgno + 1) * d->page;
}

int db_room(const db *d, size_t *out)
{
    size_t limit = d->map_size - d->reserve, used = db_used(d);
    if (used >= limit / 2) {
        size_t unused = 0;
        int rc = find_free(d, &unused);
        if (rc != 0)
            return rc;
        used -= unused <= used / d->page ? unused * d->page : used;
    }
    *out = used < limit ? limit - used : 0;
    return 0;
}

size_t db_cost(const db *d, tg_slice key, tg_slice value)
{
    size_t n = key.len + value.len + 32;
    if (n >= d->page / 2) // the value gets pages of its own
        return (value.len / d->page + 2) * d->page + key.len;
    return 2 * n; // pages are half full at worst
}
