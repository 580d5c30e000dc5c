// SPDX-License-Identifier: Apache-2.0
// A thread adds to cells of its own with a load and a store, not with a locked instruction;
// row 0, which many threads may share, adds atomically. Cells come in chunks that are
// published once and never move, so adding takes no lock and registering may go on meanwhile.
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/utf8.h"

#define LINE 64
#define CHUNK 256 // metrics per chunk: a row of cells is 2 KiB
#define CHUNKS 256

typedef struct family { // one name, whatever labels are under it
    tg_metric_kind kind;
    uint32_t series;
    char *name, *help;
} family;

typedef struct metric {
    int id;
    char *key; // name, '{', labels
    const char *labels; // in key
    family *family;
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
    tg_map by_key, families;
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

static void free_family(family *f)
{
    free(f->name);
    free(f->help);
    free(f);
}

static void free_families(void)
{
    uint32_t at = 0;
    for (family *f; (f = tg_map_next(&all.families, &at)) != NULL;)
        free_family(f);
    tg_map_free(&all.families);
}

void tg_metrics_close(void)
{
    for (int id = 0; id < all.count; id++)
        free(metric_of(id)->key);
    free_families();
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

static family *family_find(const char *name)
{
    return tg_map_find(&all.families, tg_str(name));
}

static family *family_get(tg_metric_kind kind, const char *name, const char *help)
{
    family *f = family_find(name);
    if (f != NULL)
        return f;
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    *f = (family){.kind = kind, .name = strdup(name), .help = strdup(help)};
    if (f->name != NULL && f->help != NULL &&
        tg_map_add(&all.families, tg_str(f->name), f) == 0)
        return f;
    free_family(f);
    return NULL;
}

// Takes `key`.
static int add_new(tg_metric_kind kind, const char *name, char *key, const char *help)
{
    int id = all.count;
    if (id >= CHUNK * CHUNKS)
        return TG_E_LIMIT;
    if (id % CHUNK == 0 && chunk_of(id) == NULL && new_chunk(id / CHUNK) < 0)
        return TG_E_NOMEM;
    family *f = family_get(kind, name, help);
    if (f == NULL)
        return TG_E_NOMEM;
    if (f->kind != kind)
        return TG_E_EXISTS;
    metric *m = metric_of(id);
    *m = (metric){.id = id, .key = key, .family = f};
    m->labels = key + strlen(name) + 1;
    if (tg_map_add(&all.by_key, tg_str(key), m) < 0)
        return TG_E_NOMEM;
    f->series++;
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
    int id = m == NULL                 ? add_new(kind, name, key, help)
             : m->family->kind != kind ? TG_E_EXISTS
                                       : m->id;
    pthread_mutex_unlock(&all.lock);
    if (m != NULL || id < 0)
        free(key);
    return id;
}

uint32_t tg_metric_series(const char *name)
{
    pthread_mutex_lock(&all.lock);
    const family *f = family_find(name);
    uint32_t n = f != NULL ? f->series : 0;
    pthread_mutex_unlock(&all.lock);
    return n;
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

_Atomic int64_t *tg_metric_cell(int id)
{
    uint32_t row = own_row;
    return id >= 0 && row != 0 && row < all.rows ? cell_of(id, row) : NULL;
}

int64_t tg_metric_sum(int id)
{
    int64_t sum = 0;
    for (uint32_t row = 0; id >= 0 && row < all.rows; row++)
        sum += atomic_load_explicit(cell_of(id, row), memory_order_relaxed);
    return sum;
}

// What is no UTF-8 would make the whole page unreadable.
void tg_metric_put_label(tg_buf *b, const char *name, tg_slice value)
{
    tg_buf_puts(b, b->len > 0 ? "," : "");
    tg_buf_puts(b, name);
    tg_buf_puts(b, "=\"");
    for (size_t i = 0, len; i<value.len; i += len> 0 ? len : 1) {
        const char *p = value.at + i;
        len = tg_utf8_len(p, value.len - i);
        if (len > 0 && (unsigned char)*p < ' ')
            tg_buf_puts(b, *p == '\n' ? "\\n" : "_");
        else if (len == 0)
            tg_buf_putc(b, '_');
        else if (*p == '"' || *p == '\\')
            tg_buf_printf(b, "\\%c", *p);
        else
            tg_buf_put(b, p, len);
    }
    tg_buf_putc(b, '"');
}

static int by_name(const void *a, const void *b)
{
    const metric *const *x = a, *const *y = b;
    int order = strcmp((*x)->family->name, (*y)->family->name);
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
        each(ctx, list[i]->family->kind, list[i]->family->name, list[i]->labels,
             list[i]->family->help, tg_metric_sum(list[i]->id));
    free(list);
}
