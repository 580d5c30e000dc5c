// SPDX-License-Identifier: Apache-2.0
// Tapes as Lua tables. The strings of keys and words were made once and wait in a table of the
// layout, so a member costs an array access and a set into a table that has the right size.
#include <lauxlib.h>

#include "codec/layout_tape.h"
#include "lua/mod_layout.h"

#define DEEP 40
#define KEY(field) ((lua_Integer)(field)*2 + 1)
#define RAW_KEY(field) ((lua_Integer)(field)*2 + 2)

typedef struct builder {
    lua_State *L;
    const tg_layout *l;
    int keys;
    lua_Integer words; ///< where they begin in `keys`
    tg_slice bytes;
    tg_buf *scratch;
    unsigned depth;
    int table[DEEP]; ///< stack index of the open tables
    lua_Integer count[DEEP]; ///< elements so far; -1: a map
} builder;

void tg_lua_keys_push(lua_State *L, const tg_layout *l)
{
    uint32_t n;
    const tg_layout_field *f = tg_layout_fields(l, &n);
    uint32_t words = tg_layout_words(l);
    lua_createtable(L, (int)(2 * n + words), 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushlstring(L, f[i].name.at != NULL ? f[i].name.at : "", f[i].name.len);
        lua_rawseti(L, -2, KEY(i));
        lua_pushfstring(
            L, "%s_raw",
            lua_pushlstring(L, f[i].name.at ? f[i].name.at : "", f[i].name.len));
        lua_rawseti(L, -3, RAW_KEY(i));
        lua_pop(L, 1);
    }
    for (uint32_t w = 0; w < words; w++) {
        tg_slice word = tg_layout_word(l, w);
        lua_pushlstring(L, word.at != NULL ? word.at : "", word.len);
        lua_rawseti(L, -2, KEY(n) + w);
    }
}

static void push_hex(builder *b, const tg_item *it)
{
    char small[256];
    char *to = small;
    if (2 * (size_t)it->len > sizeof(small)) {
        tg_buf_clear(b->scratch);
        to = tg_buf_reserve(b->scratch, 2 * (size_t)it->len);
        tg_lua_check_buf(b->L, b->scratch);
    }
    size_t n = tg_hex_write((const uint8_t *)b->bytes.at + it->at, it->len, to);
    lua_pushlstring(b->L, to, n);
}

static bool plain(tg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.at[i] >= 0x80)
            return false;
    return true;
}

/// @return how many bytes were bad.
static int push_text(builder *b, const tg_item *it)
{
    tg_slice s = tg_item_text(b->l, it, b->bytes);
    uint8_t cs = b->l->field[it->field].charset;
    if (cs != TG_CHARSET_UTF16BE && cs != TG_CHARSET_UTF16LE && plain(s)) {
        lua_pushlstring(b->L, s.at, s.len);
        return 0;
    }
    tg_buf_clear(b->scratch);
    int bad = tg_charset_decode((tg_charset)cs, s, b->scratch);
    if (bad < 0)
        luaL_error(b->L, "out of memory");
    lua_pushlstring(b->L, b->scratch->at, b->scratch->len);
    return bad;
}

static void push_set(builder *b, const tg_item *it)
{
    lua_State *L = b->L;
    lua_Integer n = 0;
    lua_createtable(L, __builtin_popcountll((uint64_t)it->raw), 0);
    for (uint64_t bits = (uint64_t)it->raw; bits != 0; bits &= bits - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(bits);
        tg_slice word = tg_layout_bit(b->l, it->field, bit);
        if (word.len > 0)
            lua_pushlstring(L, word.at, word.len);
        else
            lua_pushfstring(L, "bit%d", (int)bit);
        lua_rawseti(L, -2, ++n);
    }
    if (n == 0)
        tg_lua_json_markarray(L);
}

static void push_fixed(builder *b, const tg_item *it)
{
    static const double tens[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    unsigned digits = b->l->field[it->field].digits;
    if (digits == 0)
        lua_pushinteger(b->L, it->value);
    else
        lua_pushnumber(b->L, (double)it->value / tens[digits]);
}

static void push_time(builder *b, const tg_item *it)
{
    char text[40];
    lua_pushlstring(b->L, text, tg_iso_write(it->value, it->zone, text));
}

/// @return bad bytes of a text.
static int push_item(builder *b, const tg_item *it)
{
    lua_State *L = b->L;
    switch ((tg_item_kind)it->kind) {
    case TG_ITEM_INT:
        push_fixed(b, it);
        return 0;
    case TG_ITEM_UINT:
        lua_pushnumber(L, (double)(uint64_t)it->raw);
        return 0;
    case TG_ITEM_NUM:
        lua_pushnumber(L, it->number);
        return 0;
    case TG_ITEM_BOOL:
        lua_pushboolean(L, it->value != 0);
        return 0;
    case TG_ITEM_WORD:
        lua_rawgeti(L, b->keys, b->words + it->value);
        return 0;
    case TG_ITEM_SET:
        push_set(b, it);
        return 0;
    case TG_ITEM_TEXT:
        return push_text(b, it);
    case TG_ITEM_HEX:
    case TG_ITEM_BCD:
        push_hex(b, it);
        return 0;
    case TG_ITEM_BYTES:
        lua_pushlstring(L, b->bytes.at + it->at, it->len);
        return 0;
    case TG_ITEM_TIME:
        push_time(b, it);
        return 0;
    default:
        tg_lua_json_pushnull(L);
        return 0;
    }
}

static void push_key(builder *b, const tg_item *it, bool raw)
{
    if ((it->flags & (TG_ITEM_UNKNOWN | TG_ITEM_TAIL)) == 0 && it->repeat == 0) {
        lua_rawgeti(b->L, b->keys, raw ? RAW_KEY(it->field) : KEY(it->field));
        return;
    }
    char text[300];
    tg_slice key = tg_item_key(b->l, it, raw, text);
    lua_pushlstring(b->L, key.at, key.len);
}

static void set_raw(builder *b, const tg_item *it)
{
    push_key(b, it, true);
    if (tg_item_raw_is_hex(b->l, it))
        push_hex(b, it);
    else
        lua_pushinteger(b->L, it->raw);
    lua_rawset(b->L, b->table[b->depth]);
}

static void set_member(builder *b, const tg_item *it)
{
    int bad = 0;
    if (tg_item_only_raw(it)) {
        set_raw(b, it);
        return;
    }
    if (it->kind != TG_ITEM_NONE) {
        push_key(b, it, false);
        bad = push_item(b, it);
        lua_rawset(b->L, b->table[b->depth]);
    }
    if ((it->flags & TG_ITEM_RAW) || bad > 0)
        set_raw(b, it);
}

static void open_table(builder *b, const tg_item *it)
{
    bool in_list = b->count[b->depth] >= 0, list = it->kind == TG_ITEM_LIST;
    int size = it->raw > 1024 ? 1024 : (int)it->raw;
    if (!in_list && (it->flags & TG_ITEM_RAW)) {
        set_raw(b, it);
        size = 0;
    }
    if (!in_list)
        push_key(b, it, false);
    lua_createtable(b->L, list ? size : 0, list ? 0 : size);
    b->depth++;
    b->table[b->depth] = lua_gettop(b->L);
    b->count[b->depth] = list ? 0 : -1;
}

static void close_table(builder *b)
{
    if (b->count[b->depth] == 0)
        tg_lua_json_markarray(b->L);
    b->depth--;
    if (b->count[b->depth] >= 0)
        lua_rawseti(b->L, b->table[b->depth], ++b->count[b->depth]);
    else
        lua_rawset(b->L, b->table[b->depth]);
}

void tg_lua_tape_push(lua_State *L, const tg_layout *l, int keys, const tg_tape *t,
                      tg_slice bytes, tg_buf *scratch)
{
    uint32_t n;
    const tg_item *items = tg_tape_items(t, &n);
    luaL_checkstack(L, 2 * DEEP + 8, "a layout too deep");
    lua_createtable(L, 0,
                    l->op[0].op == OP_TLV ? (int)(n > 64 ? 64 : n) : l->field[0].members);
    builder b = {.L = L,
                 .l = l,
                 .keys = keys,
                 .words = KEY(l->n),
                 .bytes = bytes,
                 .scratch = scratch};
    b.table[0] = lua_gettop(L);
    b.count[0] = -1;
    for (uint32_t k = 0; k < n; k++) {
        const tg_item *it = &items[k];
        bool opens = it->kind == TG_ITEM_MAP || it->kind == TG_ITEM_LIST;
        if (it->kind == TG_ITEM_CLOSE) {
            close_table(&b);
        } else if (it->flags & TG_ITEM_HIDDEN) {
            k = opens ? (uint32_t)it->value : k;
        } else if (opens) {
            open_table(&b, it);
        } else if (b.count[b.depth] < 0) {
            set_member(&b, it);
        } else {
            push_item(&b, it);
            lua_rawseti(L, b.table[b.depth], ++b.count[b.depth]);
        }
    }
}
