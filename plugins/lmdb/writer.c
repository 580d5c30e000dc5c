// SPDX-License-Identifier: Apache-2.0
// A commit costs the disk's time, whatever is in it. So the thread takes all commits that have
// queued up and makes one transaction of them: the more clients wait, the more of them one
// fsync serves. Each of them stays all or nothing: if one fails, the transaction is given up
// and they are tried one by one.
//
// Reads run here as well, between the transactions. So a read sees what its worker asked to be
// committed before it, and no reader keeps LMDB from using free pages again.
#include "writer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define GROUP_JOBS 4096
#define GROUP_BYTES ((size_t)16 << 20)
#define COMPLAIN_MS 10000
#define READ_MAX 10000 // pairs of one answer

struct job {
    job *next;
    bool read;
    bool answered; ///< relaxed: nobody waits
    bool refused; ///< only its deletions are carried out
    int code;
    tg_op op;
    size_t n; ///< writes
    size_t bytes; ///< of memory that it takes, if it puts something
    size_t deletes; ///< the same, if it only deletes
    tg_range range;
    tg_write writes[]; ///< behind them their bytes
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

TG_PRINTF(2, 3) static void complain(writer *w, const char *fmt, ...)
{
    char text[512];
    uint64_t now = now_ms();
    if (w->told != 0 && now - w->told < COMPLAIN_MS)
        return;
    w->told = now;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tg_logf(TG_LOG_ERROR, "%s: %s", w->db->path, text);
}

// ---- asking ---------------------------------------------------------------------------

static tg_slice copy(char **at, tg_slice s)
{
    tg_slice mine = {*at, s.len};
    if (s.len > 0)
        memcpy(*at, s.at, s.len);
    *at += s.len;
    return mine;
}

static job *commit_new(const tg_write *writes, size_t n)
{
    size_t size = sizeof(job) + n * sizeof(tg_write);
    bool puts = false;
    for (size_t i = 0; i < n; i++) {
        size += writes[i].key.len + writes[i].value.len;
        puts |= writes[i].kind == TG_WRITE_PUT;
    }
    job *j = malloc(size);
    if (j == NULL)
        return NULL;
    *j = (job){.n = n, .bytes = puts ? size : 0, .deletes = puts ? 0 : size};
    char *at = (char *)&j->writes[n];
    for (size_t i = 0; i < n; i++) {
        j->writes[i] = (tg_write){.kind = writes[i].kind};
        j->writes[i].key = copy(&at, writes[i].key);
        j->writes[i].value = copy(&at, writes[i].value);
    }
    return j;
}

static job *read_new(const tg_range *range)
{
    job *j = malloc(sizeof(*j) + range->prefix.len + range->from.len);
    if (j == NULL)
        return NULL;
    *j = (job){.read = true, .range = *range};
    char *at = (char *)j->writes;
    j->range.prefix = copy(&at, range->prefix);
    j->range.from = copy(&at, range->from);
    return j;
}

/// What it puts is not kept while it waits: there would be no bound to that.
static job *only_deletions(job *j)
{
    size_t n = 0;
    for (size_t i = 0; i < j->n; i++)
        if (j->writes[i].kind != TG_WRITE_PUT)
            j->writes[n++] = j->writes[i];
    j->n = n;
    job *less = commit_new(j->writes, n);
    if (less == NULL) {
        j->deletes = j->bytes;
        j->bytes = 0;
        return j;
    }
    less->op = j->op;
    free(j);
    return less;
}

/// Under the lock. Too much waits already: then it may only delete, and is told so in its turn;
/// when too much of that waits as well, it fails. One that is alone may be of any size, or it
/// could never be stored. @return it as it waits, or NULL: it does not.
static const job *append(writer *w, job **at)
{
    job *j = *at;
    bool refused = w->queued > 0 && j->bytes > 0 && w->queued + j->bytes > w->queue_max;
    if (refused)
        *at = j = only_deletions(j);
    if (w->deletes > 0 && j->deletes > 0 && w->deletes + j->deletes > w->queue_max) {
        w->turned_away++;
        return NULL;
    }
    w->queued += j->bytes;
    w->deletes += j->deletes;
    j->refused = refused;
    j->answered = !j->read && !j->refused && w->interval_ms > 0;
    w->hurry |= j->read || j->refused || w->queued > GROUP_BYTES / 2;
    if (w->first == NULL || w->hurry)
        pthread_cond_signal(&w->news);
    *w->last = j;
    w->last = &j->next;
    return j;
}

/// @return 0; TG_E_SHUTDOWN, TG_E_BUSY. *answered: nobody else will answer it.
static int queue(writer *w, job *j, bool *answered)
{
    int rc = TG_E_SHUTDOWN;
    *answered = false;
    pthread_mutex_lock(&w->lock);
    if (!w->closing) {
        const job *waits = append(w, &j);
        rc = waits != NULL ? 0 : TG_E_BUSY;
        // Asked now: the thread frees it as soon as the lock is gone.
        *answered = waits != NULL && waits->answered;
    }
    pthread_mutex_unlock(&w->lock);
    if (rc < 0)
        free(j);
    return rc;
}

int writer_commit(writer *w, const tg_write *writes, size_t n, tg_op op)
{
    job *j = commit_new(writes, n);
    if (j == NULL)
        return TG_E_NOMEM;
    bool answered;
    j->op = op;
    int rc = queue(w, j, &answered);
    if (answered)
        tg.host->complete(op, 0, NULL);
    return rc;
}

int writer_read(writer *w, const tg_range *range, tg_op op)
{
    job *j = read_new(range);
    if (j == NULL)
        return TG_E_NOMEM;
    bool answered;
    j->op = op;
    return queue(w, j, &answered);
}

// ---- reading --------------------------------------------------------------------------

typedef struct page { // key, value, key, value, …
    tg_value *items;
    size_t n, cap, bytes;
    const tg_range *range;
    bool failed;
} page;

static bool page_add(page *p, tg_slice s, bool borrow)
{
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : p->cap * 2;
        tg_value *items = realloc(p->items, cap * sizeof(*items));
        if (items == NULL)
            return false;
        p->items = items;
        p->cap = cap;
    }
    char *mine = borrow || s.len == 0 ? (char *)s.at : malloc(s.len);
    if (mine == NULL)
        return false;
    if (mine != s.at)
        memcpy(mine, s.at, s.len);
    p->items[p->n++] = (tg_value){.kind = TG_STR, .string = {mine, s.len}};
    p->bytes += s.len;
    return true;
}

/// Keys are put together in the walk's memory, values stay where LMDB has them.
static int take(void *ctx, tg_slice key, tg_slice value)
{
    page *p = ctx;
    if (p->n / 2 >= p->range->limit || p->n / 2 >= READ_MAX ||
        (p->n > 0 && p->bytes + key.len + value.len > p->range->bytes))
        return 1;
    if (page_add(p, key, false) && page_add(p, value, true))
        return 0;
    p->failed = true;
    return 1;
}

static void read_range(writer *w, job *j)
{
    page p = {.range = &j->range};
    MDB_txn *txn = NULL;
    int rc =
        w->db->env != NULL ? mdb_txn_begin(w->db->env, NULL, MDB_RDONLY, &txn) : MDB_PANIC;
    if (rc == 0)
        rc = tree_walk((tree){txn, w->db->records}, j->range.prefix, j->range.from, take,
                       &p);
    int code = p.failed ? TG_E_NOMEM : rc == 1 ? 0 : db_error(rc);
    tg_value list = {.kind = TG_LIST};
    list.list.items = p.items;
    list.list.count = p.n;
    tg.host->complete(j->op, code, code == 0 ? &list : NULL);
    if (code < 0)
        complain(w, "reading failed: %s", mdb_strerror(rc));
    if (txn != NULL)
        mdb_txn_abort(txn);
    for (size_t i = 0; i < p.n; i += 2)
        free((char *)p.items[i].string.at);
    free(p.items);
}

// ---- writing --------------------------------------------------------------------------

static int apply_write(tree t, const tg_write *write)
{
    switch (write->kind) {
    case TG_WRITE_PUT:
        return tree_put(t, write->key, write->value);
    case TG_WRITE_DEL:
        return tree_del(t, write->key);
    default:
        return tree_del_prefix(t, write->key);
    }
}

static size_t cost(const writer *w, const job *j)
{
    size_t sum = 0;
    for (size_t i = 0; i < j->n; i++)
        if (j->writes[i].kind == TG_WRITE_PUT)
            sum += db_cost(w->db, j->writes[i].key, j->writes[i].value);
    return sum;
}

/// Without room for all that it puts, a commit only deletes.
static int apply(const writer *w, tree t, job *j, size_t *room)
{
    size_t need = j->refused ? 0 : cost(w, j);
    if (j->refused || need > *room)
        j->code = TG_E_FULL;
    else
        *room -= need;
    for (size_t i = 0; i < j->n; i++) {
        const tg_write *write = &j->writes[i];
        if (j->code == TG_E_FULL && write->kind == TG_WRITE_PUT)
            continue;
        int rc = apply_write(t, write);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/// One transaction of `n` jobs. @return an error of LMDB: nothing of them happened.
static int try_group(writer *w, job *first, size_t n)
{
    size_t room;
    tree t = {.dbi = w->db->records};
    int rc = w->db->env != NULL ? db_room(w->db, &room) : MDB_PANIC;
    if (rc == 0)
        rc = mdb_txn_begin(w->db->env, NULL, 0, &t.txn);
    if (rc != 0)
        return rc;
    job *j = first;
    for (size_t i = 0; rc == 0 && i < n; i++, j = j->next) {
        j->code = 0;
        rc = apply(w, t, j, &room);
    }
    if (rc == 0)
        return mdb_txn_commit(t.txn);
    mdb_txn_abort(t.txn);
    return rc;
}

/// LMDB gives up an environment whose first pages it could not write: a new one may do.
static int try_again_after_panic(writer *w, job *first, size_t n, int rc)
{
    if (rc != MDB_PANIC || db_reopen(w->db) != 0)
        return rc;
    tg_logf(TG_LOG_WARN, "%s: opened again after an error of the disk", w->db->path);
    return try_group(w, first, n);
}

static void one_by_one(writer *w, job *first, size_t n)
{
    for (size_t i = 0; i < n; i++, first = first->next) {
        int rc = try_group(w, first, 1);
        rc = try_again_after_panic(w, first, 1, rc);
        if (rc != 0 && db_error(rc) == TG_E_FULL) { // the disk's own end
            first->refused = true;
            rc = try_group(w, first, 1);
            first->code = TG_E_FULL;
        }
        if (rc == 0)
            continue;
        first->code = db_error(rc);
        complain(w, "a commit failed: %s", mdb_strerror(rc));
    }
}

static void report(writer *w, const job *first, size_t n)
{
    int64_t refused = 0, failed = (int64_t)(w->lost - w->lost_told),
            used = w->db->env != NULL ? (int64_t)db_used(w->db) : 0;
    for (size_t i = 0; i < n; i++, first = first->next) {
        refused += first->code == TG_E_FULL;
        failed += first->code < 0 && first->code != TG_E_FULL;
    }
    tg.metric->add(w->metrics.groups, 1);
    tg.metric->add(w->metrics.commits, (int64_t)n);
    tg.metric->add(w->metrics.refused, refused);
    tg.metric->add(w->metrics.failed, failed);
    tg.metric->add(w->metrics.used, used - w->used);
    w->used = used;
    if (w->lost > w->lost_told)
        complain(w,
                 "too slow: %llu commits that delete did not even wait, and failed; what "
                 "they were to delete may come back after a restart; look at the disk",
                 (unsigned long long)(w->lost - w->lost_told));
    w->lost_told = w->lost;
    if (refused > 0)
        complain(
            w,
            "full: %lld commits could only delete; nothing that was acknowledged is "
            "lost, but what they were to keep is refused; raise map_size (now %zu MiB) "
            "or free the disk",
            (long long)refused, w->db->map_size >> 20);
}

static void commit_group(writer *w, job *first, size_t n)
{
    int rc = try_group(w, first, n);
    if (rc != 0)
        one_by_one(w, first, n);
    report(w, first, n);
    job *j = first;
    for (size_t i = 0; i < n; i++, j = j->next)
        if (!j->answered)
            tg.host->complete(j->op, j->code, NULL);
}

// ---- the thread -----------------------------------------------------------------------

/// Relaxed: more may come until the interval is over, or somebody waits.
static void gather(writer *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += w->interval_ms / 1000;
    until.tv_nsec += (long)(w->interval_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!w->hurry && !w->closing)
        if (pthread_cond_timedwait(&w->news, &w->lock, &until) == ETIMEDOUT)
            return;
}

/// Waits for jobs, and takes a read or as many commits as one transaction should have.
static job *next_jobs(writer *w, size_t *n)
{
    pthread_mutex_lock(&w->lock);
    while (w->first == NULL && !w->closing)
        pthread_cond_wait(&w->news, &w->lock);
    if (w->first != NULL && w->interval_ms > 0)
        gather(w);
    job *first = w->first, *end = first;
    size_t bytes = 0;
    w->lost = w->turned_away;
    for (*n = 0; end != NULL && *n < GROUP_JOBS && bytes < GROUP_BYTES; end = end->next) {
        if (end->read && *n > 0)
            break;
        ++*n;
        bytes += end->bytes;
        w->queued -= end->bytes;
        w->deletes -= end->deletes;
        if (end->read) {
            end = end->next;
            break;
        }
    }
    w->first = end;
    if (end == NULL) {
        w->last = &w->first;
        w->hurry = false;
    }
    pthread_mutex_unlock(&w->lock);
    return first;
}

static void *run(void *ctx)
{
    writer *w = ctx;
    size_t n;
    for (job *first; (first = next_jobs(w, &n)) != NULL;) {
        if (first->read)
            read_range(w, first);
        else
            commit_group(w, first, n);
        for (; n > 0; n--) {
            job *next = first->next;
            free(first);
            first = next;
        }
    }
    return NULL;
}

int writer_start(writer *w)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->news, &attr);
    pthread_condattr_destroy(&attr);
    w->last = &w->first;
    return pthread_create(&w->thread, NULL, run, w) == 0 ? 0 : TG_E_NOMEM;
}

void writer_stop(writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    assert(w->first == NULL);
    pthread_cond_destroy(&w->news);
    pthread_mutex_destroy(&w->lock);
}
