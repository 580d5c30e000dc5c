// SPDX-License-Identifier: Apache-2.0
// The store "lmdb": sessions, queues and retained messages on disk. The database is open and
// checked when load() ends, so what is wrong with it stops the start of the host; the thread
// that writes lives until unload(), when the workers have handed over their last.
#include "writer.h"

static db database; // one folder, one database: a second copy of the plugin finds it locked
static writer work;

static int commit(const tg_store *self, const tg_write *writes, size_t n, tg_op op)
{
    (void)self;
    return writer_commit(&work, writes, n, op);
}

static int read_range(const tg_store *self, const tg_range *range, tg_op op)
{
    (void)self;
    return writer_read(&work, range, op);
}

static int scan(const tg_store *self, tg_slice prefix,
                int (*each)(void *ctx, tg_slice key, tg_slice value), void *ctx)
{
    (void)self;
    MDB_txn *txn;
    int rc = mdb_txn_begin(database.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = tree_walk((tree){txn, database.records}, prefix, TG_LIT(""), each, ctx);
        mdb_txn_abort(txn);
    }
    return rc == 0 ? 0 : db_error(rc);
}

static tg_store store = {.size = sizeof(store),
                         .id = "lmdb",
                         .commit = commit,
                         .scan = scan,
                         .read = read_range};

static int define_metrics(writer_metrics *m)
{
    const struct {
        tg_slice name, help;
        uint32_t *id;
    } counters[] = {
        {TG_LIT("groups_total"), TG_LIT("Transactions, each with its fsync"), &m->groups},
        {TG_LIT("commits_total"), TG_LIT("Commits of workers in them"), &m->commits},
        {TG_LIT("refused_total"), TG_LIT("Commits for which there was no room"),
         &m->refused},
        {TG_LIT("failed_total"), TG_LIT("Commits that failed otherwise"), &m->failed},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        int rc = tg.metric->counter(counters[i].name, counters[i].help, counters[i].id);
        if (rc < 0)
            return rc;
    }
    return tg.metric->gauge(TG_LIT("file_bytes"), TG_LIT("The file's pages so far"),
                            &m->used);
}

static int load(const tg_host *host, tg_self *self)
{
    char why[480] = "";
    int rc = tg_env_init(&tg, host, self);
    if (rc < 0)
        return rc;
    const tg_value *config = host->config(self);
    bool relaxed = tg_slice_eq(tg_value_str(config, "durability", TG_LIT("commit")),
                               TG_LIT("relaxed"));
    rc = define_metrics(&work.metrics);
    if (rc == 0)
        rc = db_open(&database, tg_value_str(config, "path", TG_LIT("")),
                     (size_t)tg_value_int(config, "map_size", 0), why, sizeof(why));
    if (rc < 0)
        return tg_fail(rc, "%s", why);
    work.db = &database;
    work.queue_max = (size_t)tg_value_int(config, "queue", 0);
    work.interval_ms = relaxed ? (uint32_t)tg_value_int(config, "interval", 200) : 0;
    store.flags = relaxed ? 0 : TG_STORE_DURABLE;
    rc = tg.add->store(self, &store, NULL, NULL);
    if (rc == 0)
        rc = writer_start(&work);
    if (rc < 0)
        db_close(&database);
    return rc;
}

static void unload(void)
{
    writer_stop(&work);
    db_close(&database);
}

TG_PLUGIN_SCHEMA(
    "{\"path\": {\"type\": \"string\", \"required\": true,"
    "  \"help\": \"folder of the database; made when it is missing\"},"
    " \"map_size\": {\"type\": \"size\", \"default\": \"1GiB\", \"min\": \"1MiB\","
    "  \"max\": \"16TiB\", \"help\": \"the file grows to this and not further\"},"
    " \"durability\": {\"type\": \"enum\", \"choices\": [\"commit\", \"relaxed\"],"
    "  \"default\": \"commit\","
    "  \"help\": \"commit: acknowledgements wait for the disk; relaxed: they do not\"},"
    " \"interval\": {\"type\": \"duration\", \"default\": \"200ms\", \"min\": \"1ms\","
    "  \"max\": \"1m\", \"help\": \"relaxed: what a crash may cost at most\"},"
    " \"queue\": {\"type\": \"size\", \"default\": \"64MiB\", \"min\": \"1MiB\","
    "  \"help\": \"what may wait for a slow disk; more is refused\"}}");

TG_PLUGIN(.capabilities = TG_CAP_STORE, .id = "lmdb", .version = "1.0.0",
          .life = {.load = load, .unload = unload});
