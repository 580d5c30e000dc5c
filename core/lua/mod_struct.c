// SPDX-License-Identifier: Apache-2.0
// tg.struct and tg.tlv: layouts as objects with decode, json, annotate, fields and encode. The
// layout lives in a userdata, its key strings in that userdata's first uservalue; a tlv keeps
// its texts in the second, so that an overlay can be laid over it.
#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>

#include "codec/layout_program.h"
#include "codec/layout_tape.h"
#include "lua/mod_layout.h"

#define TYPE "tidegate.layout"
#define LAYOUT_OBJECT 0x1a90b1ecu
#define KEYS 1
#define TEXTS 2
#define RAW_MAX 64 ///< bytes of a field that annotate shows

// ---- the object ---------------------------------------------------------------------------

/// Its size and magic tell a layout at less cost than its metatable's name.
static tg_lua_layout *check(lua_State *L, int index)
{
    tg_lua_layout *o =
        lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
    if (o == NULL || lua_rawlen(L, index) != sizeof(*o) || o->magic != LAYOUT_OBJECT)
        o = luaL_checkudata(L, index, TYPE);
    assert(o->magic == LAYOUT_OBJECT);
    return o;
}

static tg_lua_layout *new_object(lua_State *L)
{
    tg_lua_layout *o = lua_newuserdatauv(L, sizeof(*o), 2);
    *o = (tg_lua_layout){.magic = LAYOUT_OBJECT};
    luaL_setmetatable(L, TYPE);
    return o;
}

static void fill_object(lua_State *L, tg_lua_layout *o, tg_layout *l)
{
    o->l = l; // from here on the userdata owns it
    tg_lua_keys_push(L, l);
    lua_setiuservalue(L, -2, KEYS);
}

static int layout_gc(lua_State *L)
{
    tg_lua_layout *o = check(L, 1);
    tg_layout_unref(o->l);
    o->l = NULL;
    return 0;
}

static int layout_tostring(lua_State *L)
{
    uint32_t n;
    tg_layout_fields(check(L, 1)->l, &n);
    lua_pushfstring(L, "layout of %d fields", (int)n - 1);
    return 1;
}

// ---- decode -------------------------------------------------------------------------------

typedef struct call {
    const tg_layout *l;
    tg_lua_scratch *s;
    tg_slice bytes;
    size_t pos, next;
    tg_decode_how how;
    bool partial;
} call;

/// Options of a decode or encode: zone, in minutes east of UTC; partial.
static void read_options(lua_State *L, int index, const char *what, call *c)
{
    static const char *const names[] = {"zone", "partial"};
    if (lua_isnoneornil(L, index))
        return;
    tg_lua_check_keys(L, index, what, names, 2);
    if (lua_getfield(L, index, "zone") != LUA_TNIL) {
        lua_Integer zone = luaL_checkinteger(L, -1);
        luaL_argcheck(L, zone >= -900 && zone <= 900, index, "zone is in minutes from UTC");
        c->how.zone = (int16_t)zone;
    }
    lua_getfield(L, index, "partial");
    c->partial = lua_toboolean(L, -1);
    lua_pop(L, 2);
}

/// Where the decoded bytes lie in the frame that is being explained; -1: nowhere.
static int64_t place_in(tg_slice frame, tg_slice bytes)
{
    if (bytes.at >= frame.at && bytes.at + bytes.len <= frame.at + frame.len)
        return bytes.at - frame.at;
    const char *at =
        bytes.len > 0 ? memmem(frame.at, frame.len, bytes.at, bytes.len) : NULL;
    return at != NULL ? at - frame.at : -1;
}

/// A layout that reads the same bytes again tells nothing new: first as JSON, then as a table.
static bool told(tg_lua_scratch *s, const tg_layout *l, int64_t at)
{
    uint32_t n = s->ntold < TG_LUA_TOLD ? s->ntold : TG_LUA_TOLD;
    for (uint32_t i = 0; at >= 0 && i < n; i++)
        if (s->told[i] == l && s->told_at[i] == at)
            return true;
    s->told[s->ntold % TG_LUA_TOLD] = l;
    s->told_at[s->ntold++ % TG_LUA_TOLD] = (uint32_t)at;
    return false;
}

static void tell_notes(const call *c)
{
    int64_t at = place_in(c->s->note_frame, c->bytes);
    if (told(c->s, c->l, at < 0 ? at : at + (int64_t)c->pos))
        return;
    tg_tape_notes(c->l, c->s->tape, c->bytes, at >= 0 ? (uint32_t)at : 0, at >= 0 ? 0 : 1,
                  c->s->note, c->s->note_ctx);
}

/// Arguments: self, bytes, pos, options. `notes`: hidden fields are wanted, too.
/// @return as tg_layout_decode; 1: a partial decode that ended early.
static int decode_call(lua_State *L, const char *what, bool notes, call *c, tg_error *e)
{
    *c = (call){.l = check(L, 1)->l, .bytes = tg_lua_check_slice(L, 2)};
    c->pos = tg_lua_check_pos(L, 3, c->bytes.len);
    read_options(L, 4, what, c);
    c->s = tg_lua_scratch_of(L);
    c->how.hidden = notes || c->s->note != NULL;
    int rc = tg_layout_decode(c->l, c->bytes, c->pos, &c->how, c->s->tape, &c->next, e);
    if (c->s->note != NULL)
        tell_notes(c);
    return rc == TG_E_MALFORMED && c->partial ? 1 : rc;
}

static void add_flaw(void *ctx, tg_slice text)
{
    lua_State *L = ctx;
    lua_pushlstring(L, text.at, text.len);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/// Pushes nil, or the list of what makes no value and, of a partial decode, why it ended.
static void push_flaws(lua_State *L, const call *c, int rc, const tg_error *e)
{
    if (tg_tape_flaws(c->s->tape) == 0 && rc <= 0) {
        lua_pushnil(L);
        return;
    }
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    tg_tape_each_flaw(c->l, c->s->tape, add_flaw, L);
    if (rc > 0)
        add_flaw(L, tg_str(e->message));
}

static int layout_decode(lua_State *L) // (-0 +2..3): self, bytes, pos, options
{
    tg_error e;
    call c;
    e.message[0] = '\0';
    e.retry = false;
    int rc = decode_call(L, "decode", false, &c, &e);
    if (rc < 0)
        return tg_lua_fail(L, &e);
    lua_getiuservalue(L, 1, KEYS);
    tg_lua_tape_push(L, c.l, lua_gettop(L), c.s->tape, c.bytes, &c.s->buf);
    lua_pushinteger(L, (lua_Integer)c.next + 1);
    push_flaws(L, &c, rc, &e);
    return 3;
}

typedef int tg_tape_writer(const tg_layout *, const tg_tape *, tg_slice, tg_buf *);

static int layout_text(lua_State *L, const char *what, tg_tape_writer *write)
{
    tg_error e;
    call c;
    e.message[0] = '\0';
    e.retry = false;
    int rc = decode_call(L, what, false, &c, &e);
    if (rc < 0)
        return tg_lua_fail(L, &e);
    if (write(c.l, c.s->tape, c.bytes, &c.s->buf) < 0)
        return luaL_error(L, "out of memory");
    lua_pushlstring(L, c.s->buf.at, c.s->buf.len);
    lua_pushinteger(L, (lua_Integer)c.next + 1);
    push_flaws(L, &c, rc, &e);
    return 3;
}

static int layout_json(lua_State *L) // (-0 +2..3): self, bytes, pos, options
{
    return layout_text(L, "json", tg_tape_json);
}

static int layout_members(lua_State *L) // (-0 +2..3): self, bytes, pos, options
{
    return layout_text(L, "members", tg_tape_members);
}

static void set_slice(lua_State *L, const char *key, tg_slice s)
{
    lua_pushlstring(L, s.at != NULL ? s.at : "", s.len);
    lua_setfield(L, -2, key);
}

static void set_integer(lua_State *L, const char *key, lua_Integer n)
{
    lua_pushinteger(L, n);
    lua_setfield(L, -2, key);
}

static void collect_note(void *ctx, const tg_field_note *n)
{
    // into JSON first: a Lua error must not pass through the tape's reader
    tg_buf *out = ctx;
    tg_buf_put(out, n, sizeof(*n));
    char hex[2 * RAW_MAX + 4];
    size_t raw = n->raw.len < RAW_MAX ? n->raw.len : RAW_MAX;
    size_t shown = tg_hex_write((const uint8_t *)n->raw.at, raw, hex);
    if (raw < n->raw.len)
        shown += (size_t)snprintf(hex + shown, sizeof(hex) - shown, "...");
    uint32_t len[3] = {(uint32_t)n->name.len, (uint32_t)shown, (uint32_t)n->value.len};
    tg_buf_put(out, len, sizeof(len));
    tg_buf_put(out, n->name.at, n->name.len);
    tg_buf_put(out, hex, shown);
    tg_buf_put(out, n->value.at, n->value.len);
}

static void push_notes(lua_State *L, const tg_buf *notes)
{
    size_t at = 0;
    lua_newtable(L);
    while (at < notes->len) {
        tg_field_note n;
        uint32_t len[3];
        memcpy(&n, notes->at + at, sizeof(n));
        memcpy(len, notes->at + at + sizeof(n), sizeof(len));
        const char *text = notes->at + at + sizeof(n) + sizeof(len);
        lua_createtable(L, 0, 6);
        set_integer(L, "depth", n.depth);
        set_integer(L, "offset", n.offset);
        set_integer(L, "length", n.length);
        set_slice(L, "name", (tg_slice){text, len[0]});
        set_slice(L, "raw", (tg_slice){text + len[0], len[1]});
        set_slice(L, "value", (tg_slice){text + len[0] + len[1], len[2]});
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        at += sizeof(n) + sizeof(len) + len[0] + len[1] + len[2];
    }
}

static int layout_annotate(lua_State *L) // (-0 +2..3): self, bytes, pos, options
{
    tg_error e = {0};
    call c;
    int rc = decode_call(L, "annotate", true, &c, &e);
    if (rc < 0)
        return tg_lua_fail(L, &e);
    if (tg_tape_notes(c.l, c.s->tape, c.bytes, 0, 0, collect_note, &c.s->buf) < 0 ||
        c.s->buf.failed)
        return luaL_error(L, "out of memory");
    push_notes(L, &c.s->buf);
    lua_pushinteger(L, (lua_Integer)c.next + 1);
    push_flaws(L, &c, rc, &e);
    return 3;
}

// ---- encode and reference -------------------------------------------------------------------

static int layout_encode(lua_State *L) // (-0 +1..2): self, table, options
{
    tg_error e = {0};
    call c = {.l = check(L, 1)->l};
    luaL_checktype(L, 2, LUA_TTABLE);
    read_options(L, 3, "encode", &c);
    c.s = tg_lua_scratch_of(L);
    lua_getiuservalue(L, 1, KEYS);
    int keys = lua_gettop(L);
    if (tg_lua_layout_encode(L, c.l, keys, 2, &c.how, &c.s->buf, &e) < 0)
        return tg_lua_fail(L, &e);
    lua_pushlstring(L, c.s->buf.at != NULL ? c.s->buf.at : "", c.s->buf.len);
    return 1;
}

static void collect_row(void *ctx, const tg_layout_row *row)
{
    tg_buf_put(ctx, row, sizeof(*row));
}

typedef void row_text(const tg_layout *l, uint32_t field, tg_buf *out);

static void set_text(lua_State *L, const char *key, row_text *text, const tg_layout *l,
                     uint32_t field)
{
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    text(l, field, b);
    tg_lua_check_buf(L, b);
    set_slice(L, key, tg_buf_slice(b));
}

static void push_row(lua_State *L, const tg_layout *l, const tg_layout_row *r)
{
    uint32_t tag = 0;
    lua_createtable(L, 0, 10);
    set_integer(L, "depth", r->depth);
    if (r->offset >= 0)
        set_integer(L, "offset", r->offset);
    if (tg_layout_tag(l, r->field, &tag))
        set_integer(L, "tag", tag);
    set_slice(L, "name", r->name);
    set_slice(L, "type", r->type);
    set_slice(L, "unit", r->unit);
    set_slice(L, "note", r->note);
    set_text(L, "scale", tg_layout_scale, l, r->field);
    set_text(L, "values", tg_layout_values, l, r->field);
    lua_pushboolean(L, tg_layout_may_miss(l, r->field));
    lua_setfield(L, -2, "optional");
}

static int layout_fields(lua_State *L) // (-0 +1): self
{
    const tg_layout *l = check(L, 1)->l;
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    tg_layout_rows(l, collect_row, b);
    tg_lua_check_buf(L, b);
    // a string keeps the rows: the scratch is used again for each of them
    lua_pushlstring(L, b->at != NULL ? b->at : "", b->len);
    const char *rows = lua_tostring(L, -1);
    size_t n = b->len / sizeof(tg_layout_row);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        tg_layout_row r;
        memcpy(&r, rows + i * sizeof(r), sizeof(r));
        push_row(L, l, &r);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

// ---- tg.struct ----------------------------------------------------------------------------

static int tlv_overlay(lua_State *L);

static const luaL_Reg methods[] = {{"decode", layout_decode},     {"json", layout_json},
                                   {"annotate", layout_annotate}, {"encode", layout_encode},
                                   {"members", layout_members},   {"fields", layout_fields},
                                   {"overlay", tlv_overlay},      {NULL, NULL}};

static void open_type(lua_State *L)
{
    if (luaL_newmetatable(L, TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, layout_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, layout_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static int struct_new(lua_State *L) // (-0 +1): text
{
    tg_error e = {0};
    tg_slice text = tg_lua_check_slice(L, 1);
    tg_layout *l = NULL;
    tg_lua_layout *o = new_object(L);
    if (tg_layout_compile(text, &l, &e) < 0)
        return luaL_error(L, "tg.struct: %s", e.message);
    fill_object(L, o, l);
    return 1;
}

int tg_lua_open_struct(lua_State *L)
{
    open_type(L);
    lua_pushcfunction(L, struct_new);
    return 1;
}

// ---- tg.tlv -------------------------------------------------------------------------------

#define TEXTS_MAX 16

static void read_width(lua_State *L, const char *key, uint8_t *width, uint8_t *be)
{
    static const char *const words[] = {"u8",    "u16be", "u16le", "u24be",
                                        "u24le", "u32be", "u32le", NULL};
    static const uint8_t widths[] = {1, 2, 2, 3, 3, 4, 4};
    lua_getfield(L, 1, key);
    const char *word = luaL_optstring(L, -1, "u8");
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(word, words[i]) == 0) {
            *width = widths[i];
            *be = (uint8_t)(strlen(word) > 2 && strcmp(word + strlen(word) - 2, "be") == 0);
            lua_pop(L, 1);
            return;
        }
    luaL_error(L,
               "tg.tlv: %s: '%s' is none of u8, u16be, u16le, u24be, u24le, u32be, u32le",
               key, word);
}

static bool read_flag(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

/// Compiles the texts in the table on the top, which becomes the object's, into a new object.
static int make_tlv(lua_State *L, const tg_tlv_head *head)
{
    tg_error e = {0};
    tg_slice texts[TEXTS_MAX];
    size_t n = lua_rawlen(L, -1);
    int list = lua_gettop(L);
    if (n > TEXTS_MAX)
        return luaL_error(L, "tg.tlv: more than %d overlays", TEXTS_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        texts[i].at = luaL_checklstring(L, -1, &texts[i].len);
        lua_pop(L, 1); // the list keeps it
    }
    tg_layout *l = NULL;
    tg_lua_layout *o = new_object(L);
    lua_pushvalue(L, list);
    lua_setiuservalue(L, -2, TEXTS);
    if (tg_layout_compile_tlv(head, texts, n, &l, &e) < 0)
        return luaL_error(L, "tg.tlv: %s", e.message);
    fill_object(L, o, l);
    return 1;
}

static int tlv_new(lua_State *L) // (-0 +1): options
{
    static const char *const names[] = {"tag",          "length",     "items",
                                        "length_first", "counts_tag", "counts_length"};
    tg_tlv_head head = {0};
    tg_lua_check_keys(L, 1, "tg.tlv", names, 6);
    read_width(L, "tag", &head.tag_width, &head.tag_be);
    read_width(L, "length", &head.length_width, &head.length_be);
    head.length_first = read_flag(L, "length_first");
    head.counts_tag = read_flag(L, "counts_tag");
    head.counts_length = read_flag(L, "counts_length");
    lua_createtable(L, 1, 0);
    lua_getfield(L, 1, "items");
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "items is the text of the tags");
    lua_rawseti(L, -2, 1);
    return make_tlv(L, &head);
}

static int tlv_overlay(lua_State *L) // (-0 +1): self, text
{
    const tg_layout *l = check(L, 1)->l;
    tg_lua_check_slice(L, 2);
    if (l->op[0].op != OP_TLV)
        return luaL_error(L, "overlay: this is no tag list");
    lua_getiuservalue(L, 1, TEXTS);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    lua_createtable(L, (int)n + 1, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -2, i);
        lua_rawseti(L, -2, i);
    }
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, n + 1);
    tg_tlv_head head = l->tlvs[l->op[0].head].head;
    return make_tlv(L, &head);
}

int tg_lua_open_tlv(lua_State *L)
{
    open_type(L);
    lua_pushcfunction(L, tlv_new);
    return 1;
}
