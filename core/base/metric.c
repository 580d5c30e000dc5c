// SPDX-License-Identifier: Apache-2.0
// A thread adds to cells of its own with a load and a store, not with a locked instruction;
// row 0, which many threads may share, adds atomically. Cells come in chunks that are
// published once and never move, so adding takes no lock and registering may go on meanwhile.
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/map.h"

#define LINE 64
#define CHUNK 256 // metrics per chunk: a row of cells is 2 KiB
#define CHUNKS 256

typedef struct metric {
    tg_metric_kind kind;
    int id;
    char *key; // name, '{', labels
    char *name, *help;
    const char *labels; // in key
} metric;

typedef _Atomic int64_t cell;

typedef struct chunk {
    cell *cells; // a row per thread
    metric metrics[CHUNK];
} chunk;

static struct {
    pthread_mutex_t lock;
    uint32_t rows; // 0: not opened yet
    int count;
    tg_map by_key;
    _Atomic(chunk *) chunks[CHUNKS];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local uint32_t own_row;

static chunk *chunk_of(int id)
{
    return atomic_load_explicit(&all.chunks[id / CHUNK], memory_order_acquire);
}

static cell *cell_of(int id, uint32_t row)
{
    return &chunk_of(id)->cells[(size_t)row * CHUNK + (unsigned)id % CHUNK];
}

static metric *metric_of(int id)
{
    return &chunk_of(id)->metrics[id % CHUNK];
}

int tg_metrics_open(uint32_t threads)
{
    pthread_mutex_lock(&all.lock);
    uint32_t rows = threads + 1; // row 0 is everybody's
    int rc = all.count > 0 && all.rows < rows ? TG_E_BUSY : 0;
    if (all.count == 0)
        all.rows = rows;
    pthread_mutex_unlock(&all.lock);
    return rc;
}

static void free_metric(metric *m)
{
    free(m->key);
    free(m->name);
    free(m->help);
}

void tg_metrics_close(void)
{
    for (int id = 0; id < all.count; id++)
        free_metric(metric_of(id));
    for (int i = 0; i < CHUNKS; i++) {
        chunk *c = atomic_exchange(&all.chunks[i], NULL);
        if (c != NULL)
            free(c->cells);
        free(c);
    }
    tg_map_free(&all.by_key);
    all.count = 0;
    all.rows = 0;
}

void tg_metrics_thread(uint32_t index)
{
    own_row = index;
}

static int new_chunk(int index)
{
    if (all.rows == 0)
        all.rows = 1;
    size_t size = (size_t)all.rows * CHUNK * sizeof(cell);
    chunk *c = calloc(1, sizeof(*c));
    cell *cells = c == NULL ? NULL : aligned_alloc(LINE, size);
    if (cells == NULL) {
        free(c);
        return TG_E_NOMEM;
    }
    memset(cells, 0, size);
    c->cells = cells;
    atomic_store_explicit(&all.chunks[index], c, memory_order_release);
    return 0;
}

static char *key_of(const char *name, const char *labels)
{
    tg_buf b = {0};
    tg_buf_printf(&b, "%s{%s", name, labels);
    tg_buf_putc(&b, '\0');
    if (b.failed)
        tg_buf_free(&b);
    return b.at;
}

// Takes `key`.
static int add_new(tg_metric_kind kind, const char *name, char *key, const char *help)
{
    int id = all.count;
    if (id >= CHUNK * CHUNKS)
        return TG_E_LIMIT;
    if (id % CHUNK == 0 && chunk_of(id) == NULL && new_chunk(id / CHUNK) < 0)
        return TG_E_NOMEM;
    metric *m = metric_of(id);
    *m = (metric){
        .kind = kind, .id = id, .key = key, .name = strdup(name), .help = strdup(help)};
    m->labels = key + strlen(name) + 1;
    if (m->name == NULL || m->help == NULL || tg_map_add(&all.by_key, tg_str(key), m) < 0) {
        m->key = NULL; // the caller's again
        free_metric(m);
        return TG_E_NOMEM;
    }
    all.count++;
    return id;
}

int tg_metric_add_def(tg_metric_kind kind, const char *name, const char *labels,
                      const char *help)
{
    char *key = key_of(name, labels);
    if (key == NULL)
        return TG_E_NOMEM;
    pthread_mutex_lock(&all.lock);
    metric *m = tg_map_find(&all.by_key, tg_str(key));
    int id = m != NULL ? m->id : add_new(kind, name, key, help);
    pthread_mutex_unlock(&all.lock);
    if (m != NULL || id < 0)
        free(key);
    return id;
}

int tg_metric_find(const char *name, const char *labels)
{
    char *key = key_of(name, labels);
    if (key == NULL)
        return TG_E_NOTFOUND;
    pthread_mutex_lock(&all.lock);
    metric *m = tg_map_find(&all.by_key, tg_str(key));
    int id = m != NULL ? m->id : TG_E_NOTFOUND;
    pthread_mutex_unlock(&all.lock);
    free(key);
    return id;
}

void tg_metric_add(int id, int64_t by)
{
    if (id < 0)
        return;
    uint32_t row = own_row;
    if (row == 0 || row >= all.rows) {
        atomic_fetch_add_explicit(cell_of(id, 0), by, memory_order_relaxed);
        return;
    }
    cell *c = cell_of(id, row);
    int64_t n = atomic_load_explicit(c, memory_order_relaxed);
    atomic_store_explicit(c, n + by, memory_order_relaxed);
}

int64_t tg_metric_sum(int id)
{
    int64_t sum = 0;
    for (uint32_t row = 0; id >= 0 && row < all.rows; row++)
        sum += atomic_load_explicit(cell_of(id, row), memory_order_relaxed);
    return sum;
}

static int by_name(const void *a, const void *b)
{
    const metric *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order != 0 ? order : strcmp((*x)->labels, (*y)->labels);
}

// Metrics stay where they are: so `each` runs without the lock, and may register itself.
void tg_metrics_each(void (*each)(void *ctx, tg_metric_kind kind, const char *name,
                                  const char *labels, const char *help, int64_t sum),
                     void *ctx)
{
    pthread_mutex_lock(&all.lock);
    int count = all.count;
    pthread_mutex_unlock(&all.lock);
    const metric **list = calloc((size_t)count + 1, sizeof(void *));
    if (list == NULL)
        return;
    for (int id = 0; id < count; id++)
        list[id] = metric_of(id);
    qsort(list, (size_t)count, sizeof(void *), by_name);
    for (int i = 0; i < count; i++)
        each(ctx, list[i]->kind, list[i]->name, list[i]->labels, list[i]->help,
             tg_metric_sum(list[i]->id));
    free(list);
}
