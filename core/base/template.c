// SPDX-License-Identifier: Apache-2.0
// A template is a list of parts, so that filling one in is a walk without a search.
#include "base/template.h"

static int add(tg_template *t, tg_slice text, bool name, tg_arena *arena, tg_error *e)
{
    if (text.len == 0 && !name)
        return 0;
    if (t->count == TG_TEMPLATE_PARTS)
        return tg_error_set(e, TG_E_INVAL, "more than %d parts in a topic",
                            TG_TEMPLATE_PARTS);
    if (text.len == 0)
        return tg_error_set(e, TG_E_INVAL, "'${}' names nothing");
    t->part[t->count++] = (tg_template_part){tg_arena_copy(arena, text), name};
    return arena->failed ? tg_error_set(e, TG_E_NOMEM, "out of memory") : 0;
}

int tg_template_parse(tg_slice text, tg_arena *arena, tg_template *out, tg_error *e)
{
    const char *end = text.at + text.len;
    int rc = 0;
    out->count = 0;
    while (rc == 0 && text.at < end) {
        const char *open = memmem(text.at, (size_t)(end - text.at), "${", 2);
        if (open == NULL)
            return add(out, (tg_slice){text.at, (size_t)(end - text.at)}, false, arena, e);
        const char *close = memchr(open, '}', (size_t)(end - open));
        if (close == NULL)
            return tg_error_set(e, TG_E_INVAL, "'${' without '}'");
        rc = add(out, (tg_slice){text.at, (size_t)(open - text.at)}, false, arena, e);
        if (rc == 0)
            rc = add(out, (tg_slice){open + 2, (size_t)(close - open - 2)}, true, arena, e);
        text.at = close + 1;
    }
    return rc;
}

void tg_template_put(tg_buf *out, tg_slice value)
{
    char *to = tg_buf_reserve(out, value.len);
    if (to == NULL)
        return;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        to[i] = c == '/' || c == '+' || c == '#' || c == '\0' ? '_' : c;
    }
    out->len += value.len;
}

void tg_template_device(tg_buf *out, tg_slice text, tg_slice device)
{
    const tg_slice name = TG_LIT(TG_TEMPLATE_DEVICE);
    const char *end = text.at + text.len, *at;
    while (text.len > 0 && (at = memmem(text.at, text.len, name.at, name.len)) != NULL) {
        tg_buf_put(out, text.at, (size_t)(at - text.at));
        tg_template_put(out, device);
        text = (tg_slice){at + name.len, (size_t)(end - at) - name.len};
    }
    tg_buf_put(out, text.at, text.len);
}
