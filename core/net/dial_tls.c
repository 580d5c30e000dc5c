// SPDX-License-Identifier: Apache-2.0
// TLS contexts of outgoing connections. Reading the system's authorities takes milliseconds
// and a megabyte, so dials of one worker with the same files share a context for a minute;
// after that the files are read again, because certificates are replaced.
#include <stdlib.h>

#include "net/conn_impl.h"
#include "net/tls_impl.h"

#define FRESH_MS 60000

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

static void drop(tg_dial_tls_kept *n)
{
    tg_tls_unref(n->tls);
    tg_buf_free(&n->key);
    n->tls = NULL;
}

void tg_dial_tls_free(tg_worker *w)
{
    for (int i = 0; i < TG_DIAL_TLS; i++)
        drop(&w->dial_tls[i]);
}

static tg_dial_tls_kept *find(tg_worker *w, tg_slice key)
{
    for (tg_dial_tls_kept *n = w->dial_tls; n < w->dial_tls + TG_DIAL_TLS; n++)
        if (n->tls != NULL && tg_slice_eq(tg_buf_slice(&n->key), key))
            return n;
    return NULL;
}

// A free place, or that of what was read the longest ago.
static tg_dial_tls_kept *place(tg_worker *w)
{
    tg_dial_tls_kept *oldest = w->dial_tls;
    for (tg_dial_tls_kept *n = w->dial_tls; n < w->dial_tls + TG_DIAL_TLS; n++) {
        if (n->tls == NULL)
            return n;
        if (n->read_at < oldest->read_at)
            oldest = n;
    }
    drop(oldest);
    return oldest;
}

// @return NULL and why in *rc.
static tg_dial_tls_kept *add(tg_worker *w, const tg_dial *where, tg_buf *key, int *rc,
                             tg_error *e)
{
    const tg_tls_spec spec = {.verify_peer = !where->insecure,
                              .ca_file = where->ca_file,
                              .cert_file = where->cert_file,
                              .key_file = where->key_file};
    tg_tls *tls;
    *rc = key->failed ? tg_error_set(e, TG_E_NOMEM, "TLS: out of memory")
                      : tg_tls_new(&spec, &tls, e);
    if (*rc != 0)
        return NULL;
    tg_dial_tls_kept *n = place(w);
    *n = (tg_dial_tls_kept){tg_worker_now(w), tls, *key};
    *key = (tg_buf){0};
    return n;
}

// A refresh that fails leaves the context as it was: it may still serve.
static void refresh(tg_worker *w, tg_dial_tls_kept *n)
{
    if (tg_worker_now(w) - n->read_at < FRESH_MS)
        return;
    n->read_at = tg_worker_now(w);
    tg_tls_reload(n->tls, NULL);
}

int tg_dial_tls(tg_worker *w, const tg_dial *where, tg_tls **out, tg_error *e)
{
    tg_buf key = key_of(where);
    tg_dial_tls_kept *n = find(w, tg_buf_slice(&key));
    int rc = 0;
    if (n != NULL)
        refresh(w, n);
    else
        n = add(w, where, &key, &rc, e);
    tg_buf_free(&key);
    if (n == NULL)
        return rc;
    tg_tls_ref(n->tls);
    *out = n->tls;
    return 0;
}

void tg_dial_tls_refresh(tg_worker *w, const tg_tls *t)
{
    for (int i = 0; i < TG_DIAL_TLS; i++)
        if (w->dial_tls[i].tls == t)
            refresh(w, &w->dial_tls[i]);
}
