// SPDX-License-Identifier: Apache-2.0
// The writer on a disk that takes nothing: what waits for it is bounded.
#include "../../../plugins/lmdb/writer.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../support/check.h"

#define QUEUE ((size_t)1 << 20)
#define ASKED 5000 // commits; a fifth of them fits

tg_env tg;

static _Atomic int codes[ASKED + 1]; // by op, once completed; 1 before
static _Atomic int64_t failed;

static int complete(tg_op op, int code, const tg_value *value)
{
    (void)value;
    assert_int_equal(atomic_exchange(&codes[op.id], code), 1);
    return 0;
}

static void quiet(tg_self *self, tg_level level, tg_slice text)
{
    (void)self, (void)level, (void)text;
}

static void add(uint32_t id, int64_t by)
{
    if (id == 4)
        atomic_fetch_add(&failed, by);
}

static tg_host host = {.size = sizeof(host), .complete = complete, .log = quiet};
static tg_metric_api metric = {.size = sizeof(metric), .add = add};

typedef struct lab {
    char dir[64];
    db d;
    writer w;
    MDB_txn *held; // the disk's only one: while it is open nobody else writes
} lab;

/// The thread has one commit in its hands, and cannot carry it out: all others wait.
static void occupy(lab *l)
{
    const tg_write del = {.kind = TG_WRITE_DEL, .key = TG_LIT("key")};
    assert_int_equal(mdb_txn_begin(l->d.env, NULL, 0, &l->held), 0);
    assert_int_equal(writer_commit(&l->w, &del, 1, (tg_op){ASKED}), 0);
    for (bool taken = false; !taken; sched_yield()) {
        pthread_mutex_lock(&l->w.lock);
        taken = l->w.first == NULL;
        pthread_mutex_unlock(&l->w.lock);
    }
}

static int up(void **state)
{
    lab *l = calloc(1, sizeof(*l));
    char why[480];
    tg.host = &host;
    tg.metric = &metric;
    snprintf(l->dir, sizeof(l->dir), "/tmp/lmdb-writer-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    assert_int_equal(db_open(&l->d, tg_str(l->dir), (size_t)64 << 20, why, sizeof(why)), 0);
    l->w = (writer){.db = &l->d, .queue_max = QUEUE, .metrics = {1, 2, 3, 4, 5}};
    assert_int_equal(writer_start(&l->w), 0);
    for (int i = 0; i <= ASKED; i++)
        codes[i] = 1;
    failed = 0;
    occupy(l);
    *state = l;
    return 0;
}

static int down(void **state)
{
    lab *l = *state;
    static const char *const files[] = {"data.mdb", "lock.mdb", "owner"};
    char path[128];
    db_close(&l->d);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", l->dir, files[i]);
        unlink(path);
    }
    int rc = rmdir(l->dir);
    free(l);
    return rc;
}

static void go_on(lab *l)
{
    mdb_txn_abort(l->held);
    writer_stop(&l->w);
}

/// @return how many completions say `code`.
static int said(int code)
{
    int n = 0;
    for (int i = 0; i < ASKED; i++)
        n += codes[i] == code;
    return n;
}

static void deletions_are_bounded(void **state)
{
    lab *l = *state;
    char key[1000];
    memset(key, 'k', sizeof(key));
    const tg_write del = {.kind = TG_WRITE_DEL, .key = {key, sizeof(key)}};
    int busy = 0;
    for (uint64_t i = 0; i < ASKED; i++) {
        int rc = writer_commit(&l->w, &del, 1, (tg_op){i});
        assert_true(rc == 0 || rc == TG_E_BUSY);
        busy += rc == TG_E_BUSY;
    }
    int fit = ASKED - busy;
    assert_in_range(fit, QUEUE / 1300, QUEUE / 1000 + 1);
    go_on(l);
    assert_int_equal(said(0), fit);
    assert_int_equal(failed, busy); // counted once
}

static void what_puts_is_refused_first_and_its_deletions_wait(void **state)
{
    lab *l = *state;
    char key[500], value[2000] = {0};
    memset(key, 'k', sizeof(key));
    const tg_write both[] = {
        {.kind = TG_WRITE_PUT, .key = {key, 400}, .value = {value, sizeof(value)}},
        {.kind = TG_WRITE_DEL, .key = {key, sizeof(key)}}};
    int busy = 0, n = 1500;
    for (int i = 0; i < n; i++)
        busy += writer_commit(&l->w, both, 2, (tg_op){(uint64_t)i}) == TG_E_BUSY;
    assert_int_equal(busy, 0); // a third is put, of the rest the deletions fit
    for (int i = n; i < ASKED; i++)
        busy += writer_commit(&l->w, both, 2, (tg_op){(uint64_t)i}) == TG_E_BUSY;
    assert_true(busy > 0);
    go_on(l);
    assert_in_range(said(0), QUEUE / 3200, QUEUE / 2900 + 1);
    assert_int_equal(said(TG_E_FULL), ASKED - busy - said(0));
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(deletions_are_bounded),
        T(what_puts_is_refused_first_and_its_deletions_wait),
    };
    return RUN(tests);
}
