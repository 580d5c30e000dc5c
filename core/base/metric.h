// SPDX-License-Identifier: Apache-2.0
/// Counters and gauges that cost no contended write: each worker adds to cells of its own,
/// readers sum them up. Registered at any time by name and labels; never removed.
#ifndef TG_BASE_METRIC_H
#define TG_BASE_METRIC_H

#include "base/buf.h"

typedef enum tg_metric_kind { TG_COUNTER, TG_GAUGE } tg_metric_kind;

/// Once, before threads start. `threads`: workers plus those that count themselves.
int tg_metrics_open(uint32_t threads);
void tg_metrics_close(void);
/// Which cells this thread adds to. 0 is shared by all that never said so.
void tg_metrics_thread(uint32_t index);

/// Any thread; takes a lock. The same name and labels give the same id again.
/// @param labels as in Prometheus, without braces: `listener="gt06",reason="crc"`; may be "".
/// @return id; TG_E_EXISTS: the name is of the other kind; TG_E_LIMIT, TG_E_NOMEM.
int tg_metric_add_def(tg_metric_kind kind, const char *name, const char *labels,
                      const char *help);
void tg_metric_add(int id, int64_t by); ///< negative ids are ignored
/// @return the cell of this thread alone, valid until tg_metrics_close(); NULL where the
/// thread shares its cells. To be read and written relaxed: the owner needs no locked add.
_Atomic int64_t *tg_metric_cell(int id);
int64_t tg_metric_sum(int id);
/// @return how many sets of labels there are under `name`.
uint32_t tg_metric_series(const char *name);
/// Appends `name="value"`, behind a comma where something stands there already. Escapes as the
/// exposition format wants it.
void tg_metric_put_label(tg_buf *b, const char *name, tg_slice value);
/// Finds by name and labels. @return id or TG_E_NOTFOUND.
int tg_metric_find(const char *name, const char *labels);
/// Every metric in the order of names, for /metrics and the REST API.
void tg_metrics_each(void (*each)(void *ctx, tg_metric_kind kind, const char *name,
                                  const char *labels, const char *help, int64_t sum),
                     void *ctx);

#endif
