// SPDX-License-Identifier: Apache-2.0
// Uploaded files. Every step into a folder is taken from the folder above, never through a
// link. A file is written under a name that no device can have, synced, and then linked to
// its own, which fails where that is taken: nothing is replaced and nothing is half there.
// What is answered survives a crash with all the names that lead to it. So each folder on the
// way is synced, whoever made the one below: another writer may have, a moment ago.
//
// Bounds. All bytes are counted in one number, set right by each sweep; a device's are few
// enough to be looked up where its files lie, under the one lock of writers. Nothing makes
// room while a sweep counts; what is written meanwhile may count twice until the next one.
#include "plugin/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"

#define FILES_MAGIC 0xf17e5000u
#define BLOCK 4096u
#define NUMBERS 10000 // of files that would have the same name
#define LEFT_OVER_S 3600 // a temporary file or an empty folder of that age is nobody's
#define ALL_LEVELS (TG_FILE_PARTS + 1)
#define TRIES 3 // a sweep may remove an empty folder under a writer's hands

struct tg_files {
    uint32_t magic;
    tg_files_config config;
    int root;
    pthread_mutex_t writing; // a device's bounds and the file's name, in one go
    pthread_mutex_t sweeping;
    bool counted; // under `sweeping`
    pthread_mutex_t numbers; // of the two below
    uint64_t used, reserved; // of files that are there, and that are being written
};

static void account(tg_files *f, uint64_t more, uint64_t less, uint64_t unreserve)
{
    pthread_mutex_lock(&f->numbers);
    f->used += more;
    f->used -= less < f->used ? less : f->used; // somebody else may have added files
    f->reserved -= unreserve;
    pthread_mutex_unlock(&f->numbers);
}

// Folders.

static tg_files *check(const tg_files *f)
{
    assert(f != NULL && f->magic == FILES_MAGIC);
    return (tg_files *)f;
}

/// Its names reach the disk. Some file systems have nothing to sync for a folder.
static bool sync_folder(int at)
{
    return fsync(at) == 0 || errno == EINVAL;
}

/// The folder `name` in `at`, made if need be. @return a descriptor, -1.
static int enter(int at, const char *name)
{
    bool made = mkdirat(at, name, 0750) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && made && fchmod(fd, 0750) != 0) { // whatever the umask
        close(fd);
        return -1;
    }
    return fd;
}

/// For all `levels` there are, those it passes are synced. @return a descriptor, -1.
static int descend(const tg_files *f, const char *path, int levels)
{
    char name[256];
    int at = fcntl(f->root, F_DUPFD_CLOEXEC, 0);
    for (int n = 0; at >= 0 && n < levels; n++) {
        size_t len = strcspn(path, "/");
        if (path[len] == '\0')
            break;
        assert(len < sizeof(name));
        memcpy(name, path, len);
        name[len] = '\0';
        int next = enter(at, name), error;
        if (next >= 0 && levels == ALL_LEVELS && !sync_folder(at)) {
            error = errno;
            close(next);
            errno = error;
            next = -1;
        }
        error = errno;
        close(at);
        errno = error;
        at = next;
        path += len + 1;
    }
    return at;
}

typedef void visit_fn(void *ctx, int at, const char *name, const struct stat *st);

static void walk(int at, int depth, visit_fn *visit, void *ctx);

static void visit_entry(int at, const char *name, int depth, visit_fn *visit, void *ctx)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (S_ISDIR(st.st_mode) && depth > 0) {
        int inner = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0)
            walk(inner, depth - 1, visit, ctx);
    }
    visit(ctx, at, name, &st);
}

/// Shows files and folders, what is in a folder before it. @owner closes `at`.
static void walk(int at, int depth, visit_fn *visit, void *ctx)
{
    DIR *dir = fdopendir(at);
    if (dir == NULL) {
        close(at);
        return;
    }
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        visit_entry(dirfd(dir), d->d_name, depth, visit, ctx);
    closedir(dir);
}

static uint64_t cost_of(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static bool is_file(const char *name, const struct stat *st)
{
    return S_ISREG(st->st_mode) && name[0] != '.';
}

// The sweep.

typedef struct sweep {
    const tg_files *files;
    time_t now;
    uint64_t used;
    uint32_t old;
} sweep;

static bool is_older(const sweep *s, const struct stat *st, uint64_t seconds)
{
    return st->st_mtime < s->now && (uint64_t)(s->now - st->st_mtime) > seconds;
}

static void sweep_entry(void *ctx, int at, const char *name, const struct stat *st)
{
    sweep *s = ctx;
    uint64_t age = s->files->config.max_age_s;
    if (S_ISDIR(st->st_mode)) {
        if (is_older(s, st, LEFT_OVER_S))
            unlinkat(at, name, AT_REMOVEDIR); // only an empty one goes
    } else if (!is_file(name, st)) {
        if (S_ISREG(st->st_mode) && is_older(s, st, LEFT_OVER_S))
            unlinkat(at, name, 0);
    } else if (age != 0 && is_older(s, st, age) && unlinkat(at, name, 0) == 0) {
        s->old++;
    } else {
        s->used += cost_of((uint64_t)st->st_size);
    }
}

static uint32_t sweep_all(tg_files *f)
{
    sweep s = {.files = f, .now = time(NULL)};
    uint64_t before = tg_files_used(f);
    int at = fcntl(f->root, F_DUPFD_CLOEXEC, 0);
    if (at < 0)
        return 0;
    lseek(at, 0, SEEK_SET); // the position is shared with the root's
    walk(at, ALL_LEVELS, sweep_entry, &s);
    account(f, s.used, before, 0);
    f->counted = true;
    return s.old;
}

uint32_t tg_files_sweep(tg_files *f)
{
    pthread_mutex_lock(&check(f)->sweeping);
    uint32_t old = sweep_all(f);
    pthread_mutex_unlock(&f->sweeping);
    return old;
}

static void count_once(tg_files *f)
{
    pthread_mutex_lock(&f->sweeping);
    if (!f->counted)
        sweep_all(f);
    pthread_mutex_unlock(&f->sweeping);
}

// A device's bounds.

typedef struct kept {
    struct timespec at;
    uint64_t cost;
} kept;

typedef struct device {
    kept *files;
    size_t count, cap;
    uint64_t bytes;
    size_t excess; // how many go, and
    struct timespec until; // those up to here are they, but for
    ino_t newest; // the one that they go for
    uint64_t freed;
    uint32_t dropped;
    bool failed;
} device;

static int compare_times(const struct timespec *a, const struct timespec *b)
{
    if (a->tv_sec != b->tv_sec)
        return a->tv_sec < b->tv_sec ? -1 : 1;
    return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

static int compare_kept(const void *a, const void *b)
{
    return compare_times(&((const kept *)a)->at, &((const kept *)b)->at);
}

static void add_kept(void *ctx, int at, const char *name, const struct stat *st)
{
    (void)at;
    device *d = ctx;
    if (!is_file(name, st) || d->failed)
        return;
    if (d->count == d->cap) {
        size_t cap = d->cap == 0 ? 64 : d->cap * 2;
        kept *grown = realloc(d->files, cap * sizeof(*grown));
        d->failed = grown == NULL;
        if (d->failed)
            return;
        d->files = grown;
        d->cap = cap;
    }
    d->files[d->count++] = (kept){st->st_mtim, cost_of((uint64_t)st->st_size)};
    d->bytes += cost_of((uint64_t)st->st_size);
}

static void drop_old(void *ctx, int at, const char *name, const struct stat *st)
{
    device *d = ctx;
    if (!is_file(name, st) || st->st_ino == d->newest ||
        compare_times(&st->st_mtim, &d->until) > 0 || unlinkat(at, name, 0) != 0)
        return;
    d->freed += cost_of((uint64_t)st->st_size);
    d->dropped++;
}

static void look(const tg_files *f, const char *path, visit_fn *visit, device *d)
{
    int at = descend(f, path, 2);
    if (at >= 0)
        walk(at, TG_FILE_PARTS, visit, d);
}

/// How many of its oldest files must go for another of `cost`.
static size_t too_many(const tg_files *f, const device *d, uint64_t cost)
{
    const tg_files_config *c = &f->config;
    uint64_t bytes = d->bytes + cost;
    size_t n = 0;
    while (n < d->count && ((c->device_bytes != 0 && bytes > c->device_bytes) ||
                            (c->device_files != 0 && d->count - n >= c->device_files)))
        bytes -= d->files[n++].cost;
    return n;
}

/// Under the lock: finds what must go for another of `cost`.
static int plan_room(const tg_files *f, const char *path, uint64_t cost, device *d,
                     tg_error *e)
{
    *d = (device){0};
    if (f->config.device_bytes == 0 && f->config.device_files == 0)
        return 0;
    look(f, path, add_kept, d);
    if (d->count > 0)
        qsort(d->files, d->count, sizeof(*d->files), compare_kept);
    d->excess = too_many(f, d, cost);
    if (d->files != NULL && d->excess > 0)
        d->until = d->files[d->excess - 1].at;
    free(d->files);
    if (d->failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    if (d->excess > 0 && !f->config.drop)
        return tg_error_set(e, TG_E_FULL, "the device's files are too many");
    return 0;
}

/// Under the lock, once `d->newest` is there for good.
static void make_room(tg_files *f, const char *path, device *d)
{
    pthread_mutex_lock(&f->sweeping);
    look(f, path, drop_old, d);
    account(f, 0, d->freed, 0);
    pthread_mutex_unlock(&f->sweeping);
}

// Writing.

static int os_error(tg_error *e, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return tg_error_set(e, full ? TG_E_NOSPACE : TG_E_IO, "%s: %s", path, strerror(errno));
}

static bool write_all(int fd, tg_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.at, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.at += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

/// A file with `bytes` in folder `at` that nobody else sees yet.
static bool write_temporary(int at, const char *name, tg_slice bytes)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    bool good = write_all(fd, bytes) && fchmod(fd, 0640) == 0 && fsync(fd) == 0;
    int error = errno;
    close(fd);
    if (!good)
        unlinkat(at, name, 0);
    errno = error;
    return good;
}

/// Gives it its name, with a number where that is taken. @return the name in `out`.
static bool give_name(int at, const char *temporary, const char *name, char out[256])
{
    tg_slice end = tg_file_extension(tg_str(name));
    int stem = (int)(strlen(name) - end.len);
    snprintf(out, 256, "%s", name);
    for (int n = 2; n < NUMBERS; n++) {
        if (linkat(at, temporary, at, out, 0) == 0)
            return true;
        if (errno != EEXIST)
            return false;
        snprintf(out, 256, "%.*s-%d%.*s", stem, name, n, (int)end.len,
                 end.len > 0 ? end.at : "");
    }
    return false;
}

static int settle(int at, const char *temporary, const char *path, char final[256],
                  device *d, tg_stored *out, tg_error *e)
{
    struct stat st;
    const char *name = strrchr(path, '/') + 1;
    tg_buf_put(&out->path, path, (size_t)(name - path));
    if (fstatat(at, temporary, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !give_name(at, temporary, name, final))
        return os_error(e, path);
    d->newest = st.st_ino;
    tg_buf_puts(&out->path, final);
    if (!out->path.failed)
        return 0;
    unlinkat(at, final, 0);
    return tg_error_set(e, TG_E_NOMEM, "out of memory");
}

/// Its name reaches the disk, or it goes.
static int keep(int at, const char *final, const char *path, tg_error *e)
{
    if (sync_folder(at))
        return 0;
    int rc = os_error(e, path);
    unlinkat(at, final, 0);
    return rc;
}

// A file for which others go is kept before they do, under the lock: so that none has gone for
// one that is refused after all. Others take their time on the disk without the lock.
static int write_in(tg_files *f, int at, const char *path, tg_slice bytes, tg_stored *out,
                    tg_error *e)
{
    device d;
    char temporary[32], final[256];
    snprintf(temporary, sizeof(temporary), ".%016llx", (unsigned long long)tg_random());
    if (!write_temporary(at, temporary, bytes))
        return os_error(e, path);
    pthread_mutex_lock(&f->writing);
    int rc = plan_room(f, path, cost_of(bytes.len), &d, e);
    if (rc == 0)
        rc = settle(at, temporary, path, final, &d, out, e);
    if (rc == 0 && d.excess > 0 && (rc = keep(at, final, path, e)) == 0)
        make_room(f, path, &d);
    pthread_mutex_unlock(&f->writing);
    int error = errno; // what the caller goes by
    unlinkat(at, temporary, 0);
    errno = error;
    out->dropped = d.dropped;
    return rc != 0 || d.excess > 0 ? rc : keep(at, final, path, e);
}

static int write_file(tg_files *f, const char *path, tg_slice bytes, tg_stored *out,
                      tg_error *e)
{
    int rc = TG_E_IO;
    for (int i = 0; i < TRIES; i++) {
        tg_buf_clear(&out->path);
        int at = descend(f, path, ALL_LEVELS);
        if (at >= 0) {
            errno = 0;
            rc = write_in(f, at, path, bytes, out, e);
            close(at);
        } else {
            rc = os_error(e, path);
        }
        if (rc != TG_E_IO || errno != ENOENT)
            break;
    }
    return rc;
}

/// @return false: all bytes are used up.
static bool reserve(tg_files *f, uint64_t cost)
{
    pthread_mutex_lock(&f->numbers);
    bool room = f->config.total == 0 || f->used + f->reserved + cost <= f->config.total;
    if (room)
        f->reserved += cost;
    pthread_mutex_unlock(&f->numbers);
    return room;
}

static void put_hex(char *out, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

int tg_files_write(tg_files *f, const char *path, tg_slice bytes, tg_stored *out,
                   tg_error *e)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    uint64_t cost = cost_of(bytes.len), device_bytes = check(f)->config.device_bytes;
    *out = (tg_stored){0};
    if (device_bytes != 0 && cost > device_bytes)
        return tg_error_set(e, TG_E_TOOBIG, "larger than a device may have in all");
    count_once(f);
    if (!reserve(f, cost))
        return tg_error_set(e, TG_E_FULL, "the folder of files is full");
    SHA256((const unsigned char *)bytes.at, bytes.len, hash);
    put_hex(out->sha256, hash, sizeof(hash));
    int rc = write_file(f, path, bytes, out, e);
    account(f, rc == 0 ? cost : 0, 0, cost);
    if (rc != 0)
        tg_buf_free(&out->path);
    return rc;
}

// Life.

static int open_root(const char *path)
{
    bool made = mkdir(path, 0750) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int above =
        root >= 0 && made ? openat(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (above < 0) // nothing was made, or it may not be read: then it is not ours to sync
        return root;
    if (!sync_folder(above)) {
        close(root);
        root = -1;
    }
    int error = errno;
    close(above);
    errno = error;
    return root;
}

int tg_files_new(const tg_files_config *config, tg_files **out, tg_error *e)
{
    int root = open_root(config->path);
    if (root < 0) {
        bool no_parent = errno == ENOENT;
        os_error(e, config->path);
        return tg_error_prefix(e, no_parent ? "files.path: its parent folder must exist"
                                            : "files.path");
    }
    tg_files *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        close(root);
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    }
    f->magic = FILES_MAGIC;
    f->config = *config;
    f->config.path = NULL; // of the caller
    f->root = root;
    pthread_mutex_init(&f->writing, NULL);
    pthread_mutex_init(&f->sweeping, NULL);
    pthread_mutex_init(&f->numbers, NULL);
    *out = f;
    return 0;
}

void tg_files_free(tg_files *f)
{
    if (f == NULL)
        return;
    close(check(f)->root);
    pthread_mutex_destroy(&f->writing);
    pthread_mutex_destroy(&f->sweeping);
    pthread_mutex_destroy(&f->numbers);
    f->magic = 0;
    free(f);
}

uint64_t tg_files_used(tg_files *f)
{
    pthread_mutex_lock(&check(f)->numbers);
    uint64_t used = f->used;
    pthread_mutex_unlock(&f->numbers);
    return used;
}

uint64_t tg_files_max(const tg_files *f)
{
    return check(f)->config.max_bytes;
}
