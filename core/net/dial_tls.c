// SPDX-License-Identifier: Apache-2.0
// TLS contexts of outgoing connections. Reading the system's authorities takes milliseconds
// and a megabyte, so dials of one worker with the same files share a context for a minute;
// after that the files are read again, because certificates are replaced.
#include <stdlib.h>

#include "net/conn_impl.h"
#include "net/tls_impl.h"

#define KEPT 8
#define FRESH_MS 60000

typedef struct entry {
    tg_list node; // of the worker's `dial_tls`, oldest first
    uint64_t read_at;
    tg_tls *tls;
    tg_buf key;
} entry;

static void add_name(tg_buf *key, tg_slice name)
{
    tg_buf_put(key, name.at, name.len);
    tg_buf_putc(key, '\0');
}

static tg_buf key_of(const tg_dial *where)
{
    tg_buf key = {0};
    tg_buf_putc(&key, where->insecure ? '1' : '0');
    add_name(&key, where->ca_file);
    add_name(&key, where->cert_file);
    add_name(&key, where->key_file);
    return key;
}

static void drop(entry *n)
{
    tg_list_del(&n->node);
    tg_tls_unref(n->tls);
    tg_buf_free(&n->key);
    free(n);
}

void tg_dial_tls_free(tg_worker *w)
{
    while (!tg_list_empty(&w->dial_tls))
        drop(TG_OWNER(w->dial_tls.next, entry, node));
}

static entry *find(tg_worker *w, tg_slice key)
{
    for (tg_list *n = w->dial_tls.next; n != &w->dial_tls; n = n->next) {
        entry *at = TG_OWNER(n, entry, node);
        if (tg_slice_eq(tg_buf_slice(&at->key), key))
            return at;
    }
    return NULL;
}

static int add(tg_worker *w, const tg_dial *where, tg_buf *key, entry **out, tg_error *e)
{
    const tg_tls_spec spec = {.verify_peer = !where->insecure,
                              .ca_file = where->ca_file,
                              .cert_file = where->cert_file,
                              .key_file = where->key_file};
    entry *n = key->failed ? NULL : calloc(1, sizeof(*n));
    if (n == NULL)
        return tg_error_set(e, TG_E_NOMEM, "TLS: out of memory");
    int rc = tg_tls_new(&spec, &n->tls, e);
    if (rc != 0) {
        free(n);
        return rc;
    }
    n->key = *key;
    *key = (tg_buf){0};
    n->read_at = tg_worker_now(w);
    unsigned kept = 0;
    for (tg_list *i = w->dial_tls.next; i != &w->dial_tls; i = i->next)
        kept++;
    if (kept >= KEPT)
        drop(TG_OWNER(w->dial_tls.next, entry, node));
    tg_list_add(&w->dial_tls, &n->node);
    *out = n;
    return 0;
}

// A refresh that fails leaves the context as it was: it may still serve.
static void refresh(tg_worker *w, entry *n)
{
    if (tg_worker_now(w) - n->read_at < FRESH_MS)
        return;
    n->read_at = tg_worker_now(w);
    tg_tls_reload(n->tls, NULL);
}

int tg_dial_tls(tg_worker *w, const tg_dial *where, tg_tls **out, tg_error *e)
{
    tg_buf key = key_of(where);
    entry *n = find(w, tg_buf_slice(&key));
    int rc = 0;
    if (n != NULL)
        refresh(w, n);
    else
        rc = add(w, where, &key, &n, e);
    tg_buf_free(&key);
    if (rc != 0)
        return rc;
    tg_tls_ref(n->tls);
    *out = n->tls;
    return 0;
}

void tg_dial_tls_refresh(tg_worker *w, const tg_tls *t)
{
    for (tg_list *i = w->dial_tls.next; i != &w->dial_tls; i = i->next)
        if (TG_OWNER(i, entry, node)->tls == t) {
            refresh(w, TG_OWNER(i, entry, node));
            return;
        }
}
