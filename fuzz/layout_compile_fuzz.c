// SPDX-License-Identifier: Apache-2.0
// Any text is a layout or is refused with a place; what compiles decodes some bytes and has a
// reference.
// covers: core/codec/layout_lex.c core/codec/layout_parse.c core/codec/layout_type.c core/codec/layout_suffix.c core/codec/layout_note.c
#include <assert.h>
#include <string.h>

#include "codec/layout.h"
#include "planted.h"

static void row(void *ctx, const tg_layout_row *r)
{
    *(size_t *)ctx += r->name.len + r->type.len + r->unit.len + r->note.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char bytes[64] =
        "\1\2\3\4\5\6\7\10\1\1\1\1\0\0\0\0abcdefghijklmnop\xff\xff\xff\xff";
    tg_layout *l = NULL;
    tg_error e = {0};
    if (size > 2000)
        return 0;
    int rc = tg_layout_compile((tg_slice){(const char *)data, size}, &l, &e);
    if (rc < 0) {
        assert(rc != TG_E_INVAL || strncmp(e.message, "line ", 5) == 0);
        return 0;
    }
    size_t next = 0, sum = 0;
    tg_tape *t = tg_tape_new();
    tg_buf json = {0};
    tg_layout_decode(l, (tg_slice){bytes, sizeof(bytes)}, 0, NULL, t, &next, &e);
    assert(next <= sizeof(bytes));
    assert(tg_tape_json(l, t, (tg_slice){bytes, sizeof(bytes)}, &json) == 0);
    tg_layout_rows(l, row, &sum);
    PLANTED(sum > 12);
    tg_buf_free(&json);
    tg_tape_free(t);
    tg_layout_unref(l);
    return 0;
}
