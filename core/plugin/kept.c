// SPDX-License-Identifier: Apache-2.0
// Keys that survive a restart. Worker 0 alone writes them, and writes what a key holds when it
// looks: so the store ends with the last value, whatever workers the changes came from.
//
//   "k" plugin's length:u8, plugin, key   → expires:u64 (ms since the epoch; 0 never), value
#include <stdlib.h>

#include "base/buf.h"
#include "plugin/kept.h"
#include "plugin/kv.h"
#include "plugin/op.h"
#include "plugin/plugins.h"

typedef struct request {
    tg_runtime *rt;
    tg_kv *kv;
    tg_op op; ///< whose answer it is; {0} nobody's
    size_t plugin_len, key_len;
    char bytes[]; // plugin, key
} request;

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void put_u64(tg_buf *b, uint64_t n)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        tg_buf_putc(b, (char)(n >> shift));
}

static void finish(request *r, int code)
{
    if (r->op.id != 0)
        tg_op_complete(r->op, code == TG_E_FULL ? TG_E_NOSPACE : code, NULL);
    else if (code < 0 && code != TG_E_SHUTDOWN)
        tg_log(PLUGIN, ERROR, "a change of a durable key of plugin %.*s is not stored: %s",
               (int)r->plugin_len, r->bytes, tg_error_text(code));
    free(r);
}

static void on_committed(void *ctx, int code, const tg_value *value)
{
    (void)value;
    finish(ctx, code);
}

static void take(void *ctx, tg_slice value)
{
    tg_buf_put(ctx, value.at, value.len);
}

static int write_now(request *r, tg_buf *b)
{
    if (!r->rt->store_set) { // all ends with the process: a copy would outlive nothing
        finish(r, 0);
        return 0;
    }
    uint64_t left = 0;
    tg_slice key = {r->bytes + r->plugin_len, r->key_len};
    tg_buf_putc(b, 'k');
    tg_buf_putc(b, (char)r->plugin_len);
    tg_buf_put(b, r->bytes, r->plugin_len + r->key_len);
    size_t at = b->len;
    put_u64(b, 0);
    bool there = tg_kv_get_left(r->kv, key, now_ms(), take, b, &left) == 0;
    if (b->failed)
        return TG_E_NOMEM;
    for (int i = 0; left > 0 && i < 8; i++)
        b->at[at + (size_t)i] = (char)((tg_clock_ms() + left) >> (56 - 8 * i));
    tg_write w = {.kind = there ? TG_WRITE_PUT : TG_WRITE_DEL, .key = {b->at, at}};
    if (there)
        w.value = (tg_slice){b->at + at, b->len - at};
    tg_op op = tg_op_new(&(tg_op_spec){.done = on_committed, .ctx = r});
    if (op.id == 0)
        return TG_E_NOMEM;
    int rc = tg_store_commit(r->rt, &w, 1, op);
    if (rc < 0)
        tg_op_cancel(op);
    return rc;
}

static void run(void *ctx) // on worker 0
{
    tg_buf b = {0};
    int rc = write_now(ctx, &b);
    tg_buf_free(&b);
    if (rc < 0)
        finish(ctx, rc);
}

int tg_kept_write(tg_runtime *rt, const char *plugin, tg_kv *kv, tg_slice key, tg_op op)
{
    size_t n = strlen(plugin);
    request *r = malloc(sizeof(*r) + n + key.len);
    if (r == NULL)
        return TG_E_NOMEM;
    *r = (request){.rt = rt, .kv = kv, .op = op, .plugin_len = n, .key_len = key.len};
    memcpy(r->bytes, plugin, n); // NOLINT: a length, not a zero, ends it
    memcpy(r->bytes + n, key.at, key.len);
    int rc = tg_worker_run(tg_workers_at(rt->workers, 0), run, r);
    if (rc < 0)
        free(r);
    return rc;
}

static uint64_t get_u64(const char *at)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | (unsigned char)at[i];
    return n;
}

static int restore_one(void *ctx, tg_slice key, tg_slice value)
{
    tg_runtime *rt = ctx;
    char plugin[64] = "";
    size_t n = key.len > 2 ? (unsigned char)key.at[1] : 0;
    if (n == 0 || n >= sizeof(plugin) || key.len <= 2 + n || value.len < 8)
        return 0;
    memcpy(plugin, key.at + 2, n);
    tg_kv *kv = tg_kv_space(rt, plugin);
    tg_slice name = {key.at + 2 + n, key.len - 2 - n};
    uint64_t expires = get_u64(value.at), now = tg_clock_ms();
    if (kv == NULL)
        return TG_E_NOMEM;
    if (expires != 0 && expires <= now)
        tg_kept_write(rt, plugin, kv, name,
                      (tg_op){0}); // it is gone: so the store forgets it
    else
        tg_kv_restore(kv, name, (tg_slice){value.at + 8, value.len - 8},
                      expires != 0 ? expires - now : 0, now_ms());
    return 0;
}

int tg_kept_restore(tg_runtime *rt)
{
    return tg_store_scan(rt, TG_LIT("k"), restore_one, rt);
}
