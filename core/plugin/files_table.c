// SPDX-License-Identifier: Apache-2.0
// The table "files": a write becomes a job of the pool of blocking threads and an op that
// brings its answer back. What waits there is bounded. The sweep is a job, too, started now and
// then from the first worker.
#include <stdlib.h>

#include "base/metric.h"
#include "plugin/files.h"
#include "plugin/line.h"
#include "plugin/op.h"

#define WAITING_MAX (64u << 20) // bytes that are not written yet
#define SWEEP_FIRST_MS 1000
#define SWEEP_MS (15 * 60 * 1000)

typedef struct job {
    tg_runtime *rt;
    size_t reserved; // of what may wait
    tg_op op;
    tg_buf path;
    tg_buf bytes;
    tg_stored stored;
    tg_error error;
    int code;
} job;

static void show_used(tg_runtime *rt)
{
    uint64_t now = tg_files_used(rt->files);
    uint64_t before = atomic_exchange(&rt->files_shown, now);
    tg_metric_add(rt->files_metrics.bytes, (int64_t)(now - before));
}

static void job_free(job *j)
{
    atomic_fetch_sub(&j->rt->files_waiting, j->reserved);
    tg_buf_free(&j->path);
    tg_buf_free(&j->bytes);
    tg_buf_free(&j->stored.path);
    free(j);
}

static void run(void *ctx) // on a thread of the pool
{
    job *j = ctx;
    j->code = tg_files_write(j->rt->files, j->path.at, tg_buf_slice(&j->bytes), &j->stored,
                             &j->error);
}

static void answer(const job *j)
{
    tg_slice path = tg_buf_slice(&j->stored.path);
    const char *slash = memrchr(path.at, '/', path.len);
    size_t from = (size_t)(slash - path.at) + 1;
    const tg_pair pairs[] = {
        {TG_LIT("path"), {.kind = TG_STR, .string = path}},
        {TG_LIT("name"), {.kind = TG_STR, .string = {path.at + from, path.len - from}}},
        {TG_LIT("size"), {.kind = TG_INT, .integer = (int64_t)j->bytes.len}},
        {TG_LIT("sha256"), {.kind = TG_STR, .string = tg_str(j->stored.sha256)}},
    };
    const tg_value map = {.kind = TG_MAP, .map = {pairs, 4}};
    tg_op_complete(j->op, 0, &map);
}

static void answer_error(const job *j)
{
    const tg_pair pair = {TG_LIT("message"),
                          {.kind = TG_STR, .string = tg_str(j->error.message)}};
    const tg_value map = {.kind = TG_MAP, .map = {&pair, 1}};
    tg_op_complete(j->op, j->code, j->error.message[0] != '\0' ? &map : NULL);
}

static void after(void *ctx, int code)
{
    job *j = ctx;
    const tg_files_metrics *m = &j->rt->files_metrics;
    if (code != 0)
        j->code = code == TG_E_CANCELLED ? TG_E_SHUTDOWN : code; // it never ran
    tg_metric_add(j->code == 0 ? m->written : m->refused, 1);
    tg_metric_add(m->dropped, j->stored.dropped);
    show_used(j->rt);
    if (j->code == 0)
        answer(j);
    else
        answer_error(j);
    job_free(j);
}

static int begin(tg_version *v, job *j, tg_done_fn *done, void *ctx)
{
    const tg_op_spec spec = {
        .done = done, .ctx = ctx, .owner = v, .callback = "file written"};
    j->op = tg_op_new(&spec);
    if (j->op.id == 0)
        return TG_E_NOMEM;
    int rc = tg_pool_submit(tg_here()->worker, run, after, j);
    if (rc != 0)
        tg_op_cancel(j->op);
    return rc;
}

/// What may not wait is not copied either.
static int fill(job *j, const char *plugin, const tg_file_spec *spec)
{
    j->reserved = spec->bytes.len;
    if (atomic_fetch_add(&j->rt->files_waiting, j->reserved) + j->reserved > WAITING_MAX)
        return TG_E_FULL;
    int rc = tg_files_path(plugin, spec, &j->path);
    tg_buf_putc(&j->path, '\0');
    tg_buf_put(&j->bytes, spec->bytes.at, spec->bytes.len);
    return rc == 0 && (j->bytes.failed || j->path.failed) ? TG_E_NOMEM : rc;
}

static int table_write(const tg_file_spec *spec, tg_done_fn *done, void *ctx)
{
    tg_version *v = tg_current();
    if (tg_here() == NULL)
        return TG_E_THREAD;
    if (v == NULL || spec == NULL || done == NULL ||
        spec->size < offsetof(tg_file_spec, bytes) + sizeof(spec->bytes))
        return TG_E_INVAL;
    tg_runtime *rt = v->rt;
    if (rt->files == NULL)
        return TG_E_UNSUPPORTED;
    uint64_t most = tg_files_max(rt->files);
    if (most != 0 && spec->bytes.len > most)
        return TG_E_TOOBIG;
    if (tg_here()->no_works)
        return TG_E_SHUTDOWN;
    job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return TG_E_NOMEM;
    j->rt = rt;
    int rc = fill(j, v->plug->id, spec);
    if (rc == 0)
        rc = begin(v, j, done, ctx);
    if (rc != 0)
        job_free(j);
    return rc;
}

const tg_files_api tg_files_table = {
    .size = sizeof(tg_files_api),
    .write = table_write,
};

// The sweep.

static void sweep_run(void *ctx) // on a thread of the pool
{
    tg_runtime *rt = ctx;
    rt->files_swept = tg_files_sweep(rt->files);
}

static void on_sweep(tg_alarm *a);

static void sweep_after(void *ctx, int code)
{
    tg_runtime *rt = ctx;
    tg_local *here = tg_here();
    if (code == 0) {
        tg_metric_add(rt->files_metrics.expired, rt->files_swept);
        show_used(rt);
    }
    if (!here->no_works && !here->closing)
        tg_wheel_add(here->wheel, &rt->files_alarm, SWEEP_MS, on_sweep);
}

static void on_sweep(tg_alarm *a)
{
    tg_runtime *rt = TG_OWNER(a, tg_runtime, files_alarm);
    tg_local *here = tg_here();
    if (tg_pool_submit(here->worker, sweep_run, sweep_after, rt) != 0)
        tg_wheel_add(here->wheel, &rt->files_alarm, SWEEP_MS, on_sweep);
}

void tg_files_begin(tg_local *here)
{
    if (here->rt->files != NULL && here->index == 0)
        tg_wheel_add(here->wheel, &here->rt->files_alarm, SWEEP_FIRST_MS, on_sweep);
}

void tg_files_end(tg_local *here)
{
    if (here->rt->files != NULL && here->index == 0)
        tg_wheel_del(here->wheel, &here->rt->files_alarm);
}

int tg_files_open(tg_runtime *rt, const tg_files_config *config, tg_error *e)
{
    tg_files_metrics *m = &rt->files_metrics;
    if (config == NULL)
        return 0;
    m->written = tg_metric_add_def(TG_COUNTER, "tidegate_files_written_total", "",
                                   "Files of devices that were stored.");
    m->refused = tg_metric_add_def(TG_COUNTER, "tidegate_files_refused_total", "",
                                   "Files that were not, for a bound or an error.");
    m->dropped =
        tg_metric_add_def(TG_COUNTER, "tidegate_files_dropped_total", "reason=\"device\"",
                          "Files that were removed: for newer ones, for their age.");
    m->expired =
        tg_metric_add_def(TG_COUNTER, "tidegate_files_dropped_total", "reason=\"age\"",
                          "Files that were removed: for newer ones, for their age.");
    m->bytes =
        tg_metric_add_def(TG_GAUGE, "tidegate_files_bytes", "", "What stored files take.");
    return tg_files_new(config, &rt->files, e);
}
