// SPDX-License-Identifier: Apache-2.0
// A frame that breaks off is explained as far as it goes: that is when people ask.
#include "admin/decode.h"

#include "admin/write.h"

static void put_note(void *ctx, const tg_field_note *n)
{
    tg_buf *b = ctx;
    tg_put_open(b, NULL, '{');
    tg_put_int(b, "depth", n->depth);
    tg_put_int(b, "offset", n->offset);
    tg_put_int(b, "length", n->length);
    tg_put_slice(b, "name", n->name);
    tg_put_hex(b, "raw", n->raw);
    tg_put_slice(b, "value", n->value);
    tg_put_close(b, '}');
}

int tg_decode_json(tg_runtime *rt, const char *adapter, tg_slice frame, tg_buf *out,
                   tg_error *e)
{
    tg_put_open(out, NULL, '{');
    tg_put_str(out, "adapter", adapter);
    tg_put_open(out, "fields", '[');
    int rc = tg_runtime_annotate(rt, adapter, frame, put_note, out, e);
    tg_put_close(out, ']');
    if (rc == TG_E_MALFORMED || rc == TG_E_CHECKSUM) {
        tg_put_str(out, "error", e->message[0] != '\0' ? e->message : tg_error_text(rc));
        rc = 0;
    }
    tg_put_close(out, '}');
    return rc;
}
