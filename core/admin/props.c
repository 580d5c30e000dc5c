// SPDX-License-Identifier: Apache-2.0
// The bytes were written by the adapter of whoever published them: read here as untrusted.
#include "admin/props.h"

#include "admin/write.h"

static bool put_string(tg_buf *b, tg_slice text)
{
    if (text.len > 65535)
        return false;
    tg_buf_putc(b, (char)(text.len >> 8));
    tg_buf_putc(b, (char)text.len);
    tg_buf_put(b, text.at, text.len);
    return true;
}

bool tg_prop_put(tg_buf *b, uint8_t id, tg_slice text)
{
    if (text.len == 0)
        return true;
    tg_buf_putc(b, (char)id);
    return put_string(b, text);
}

bool tg_prop_put_user(tg_buf *b, const tg_value *map)
{
    for (size_t i = 0; map != NULL && i < map->map.count; i++) {
        const tg_pair *p = &map->map.pairs[i];
        tg_buf_putc(b, TG_PROP_USER);
        if (p->value.kind != TG_STR || !put_string(b, p->key) ||
            !put_string(b, p->value.string))
            return false;
    }
    return true;
}

static bool take_string(tg_slice *in, tg_slice *out)
{
    if (in->len < 2)
        return false;
    size_t len = (size_t)(unsigned char)in->at[0] << 8 | (unsigned char)in->at[1];
    if (in->len - 2 < len)
        return false;
    *out = (tg_slice){in->at + 2, len};
    *in = (tg_slice){in->at + 2 + len, in->len - 2 - len};
    return true;
}

static const char *key_of(uint8_t id)
{
    switch (id) {
    case TG_PROP_CONTENT_TYPE:
        return "content_type";
    case TG_PROP_RESPONSE_TOPIC:
        return "response_topic";
    case TG_PROP_CORRELATION:
        return "correlation";
    default:
        return NULL;
    }
}

/// One property off `in`: user properties are collected, the others written.
static bool take_one(tg_slice *in, tg_buf *out, tg_buf *users)
{
    tg_slice name, value;
    uint8_t id = (uint8_t)in->at[0];
    *in = (tg_slice){in->at + 1, in->len - 1};
    if (id == TG_PROP_FORMAT && in->len > 0) { // says UTF-8 or not: the payload shows it
        *in = (tg_slice){in->at + 1, in->len - 1};
        return true;
    }
    if (id == TG_PROP_USER) {
        if (!take_string(in, &name) || !take_string(in, &value))
            return false;
        tg_put_open(users, NULL, '[');
        tg_put_slice(users, NULL, name);
        tg_put_slice(users, NULL, value);
        tg_put_close(users, ']');
        return true;
    }
    if (key_of(id) == NULL || !take_string(in, &value))
        return false;
    tg_put_bytes(out, key_of(id), value);
    return true;
}

void tg_props_json(tg_buf *b, tg_slice props)
{
    tg_buf users = {0};
    while (props.len > 0 && take_one(&props, b, &users))
        ;
    if (users.len > 0) {
        tg_put_open(b, "user_properties", '[');
        tg_buf_put(b, users.at, users.len);
        tg_put_close(b, ']');
    }
    b->failed |= users.failed;
    tg_buf_free(&users);
}
