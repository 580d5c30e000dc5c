// SPDX-License-Identifier: Apache-2.0
// Small tools for bytes: bits, BCD, hex, charsets, checksums. What a device sent is answered
// with nil and a reason when it makes no sense; what the script got wrong raises.
#include <lauxlib.h>

#include "codec/charset.h"
#include "codec/frame.h"
#include "codec/layout_tape.h"
#include "lua/mod_util.h"

static int malformed(lua_State *L, const char *why)
{
    tg_error e = {0};
    tg_error_set(&e, TG_E_MALFORMED, "%s", why);
    return tg_lua_fail(L, &e);
}

static int push_buf(lua_State *L, const tg_buf *b)
{
    tg_lua_check_buf(L, b);
    lua_pushlstring(L, b->at != NULL ? b->at : "", b->len);
    return 1;
}

// ---- bits ---------------------------------------------------------------------------------

static unsigned check_bits(lua_State *L, int index, lua_Integer low, lua_Integer high)
{
    lua_Integer n = luaL_checkinteger(L, index);
    luaL_argcheck(L, n >= low && n <= high, index, "no such bit");
    return (unsigned)n;
}

static uint64_t mask_of(unsigned width)
{
    return width < 64 ? (UINT64_C(1) << width) - 1 : UINT64_MAX;
}

static int bits_get(lua_State *L) // (-0 +1): number, first bit, width
{
    uint64_t n = (uint64_t)luaL_checkinteger(L, 1);
    unsigned from = check_bits(L, 2, 0, 63);
    unsigned width = lua_isnoneornil(L, 3) ? 1 : check_bits(L, 3, 1, 64 - from);
    lua_pushinteger(L, (lua_Integer)((n >> from) & mask_of(width)));
    return 1;
}

static int bits_set(lua_State *L) // (-0 +1): number, first bit, width, value
{
    uint64_t n = (uint64_t)luaL_checkinteger(L, 1);
    unsigned from = check_bits(L, 2, 0, 63), width = check_bits(L, 3, 1, 64 - from);
    uint64_t value = (uint64_t)luaL_checkinteger(L, 4);
    luaL_argcheck(L, (value & ~mask_of(width)) == 0, 4, "more bits than its width");
    n = (n & ~(mask_of(width) << from)) | value << from;
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

static int bits_signed(lua_State *L) // (-0 +1): number, width
{
    uint64_t n = (uint64_t)luaL_checkinteger(L, 1);
    unsigned up = 64 - check_bits(L, 2, 1, 64);
    lua_pushinteger(L, (lua_Integer)((int64_t)(n << up) >> up));
    return 1;
}

static int bits_test(lua_State *L) // (-0 +1): number, bit
{
    uint64_t n = (uint64_t)luaL_checkinteger(L, 1);
    lua_pushboolean(L, n >> check_bits(L, 2, 0, 63) & 1);
    return 1;
}

/// The names of the set bits: names[bit], or "bit<n>".
static int bits_names(lua_State *L) // (-0 +1): number, table
{
    uint64_t n = (uint64_t)luaL_checkinteger(L, 1);
    lua_Integer at = 0;
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_newtable(L);
    for (int bit = 0; bit < 64; bit++) {
        if ((n >> bit & 1) == 0)
            continue;
        if (lua_rawgeti(L, 2, bit) != LUA_TSTRING) {
            lua_pop(L, 1);
            lua_pushfstring(L, "bit%d", bit);
        }
        lua_rawseti(L, -2, ++at);
    }
    if (at == 0)
        tg_lua_json_markarray(L);
    return 1;
}

int tg_lua_open_bits(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", bits_get},       {"set", bits_set},
                                         {"signed", bits_signed}, {"test", bits_test},
                                         {"names", bits_names},   {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

// ---- hex and BCD --------------------------------------------------------------------------

static int hex_encode(lua_State *L) // (-0 +1): bytes
{
    tg_slice s = tg_lua_check_slice(L, 1);
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    char *to = tg_buf_reserve(b, 2 * s.len);
    tg_lua_check_buf(L, b);
    b->len = tg_hex_write((const uint8_t *)s.at, s.len, to);
    return push_buf(L, b);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_decode(lua_State *L) // (-0 +1..2): text; blanks between bytes are skipped
{
    tg_slice s = tg_lua_check_slice(L, 1);
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    for (size_t i = 0; i < s.len;) {
        if (s.at[i] == ' ' || s.at[i] == '\n' || s.at[i] == '\t' || s.at[i] == '\r') {
            i++;
            continue;
        }
        int high = nibble(s.at[i]), low = i + 1 < s.len ? nibble(s.at[i + 1]) : -1;
        if (high < 0 || low < 0)
            return malformed(L, "no pair of hex digits");
        tg_buf_putc(b, (char)(high << 4 | low));
        i += 2;
    }
    return push_buf(L, b);
}

int tg_lua_open_hex(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", hex_encode}, {"decode", hex_decode}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

static int bcd_decode(lua_State *L) // (-0 +1..2): bytes
{
    tg_slice s = tg_lua_check_slice(L, 1);
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.at[i] >> 4 > 9 || (s.at[i] & 15) > 9)
            return malformed(L, "not all are decimal digits");
    return hex_encode(L);
}

/// Zeros fill up in front, to `width` bytes or to whole bytes.
static int bcd_encode(lua_State *L) // (-0 +1): digits, width
{
    tg_slice s;
    s.at = luaL_checklstring(L, 1, &s.len);
    lua_Integer width = luaL_optinteger(L, 2, (lua_Integer)((s.len + 1) / 2));
    luaL_argcheck(L, width >= 0 && width <= 1024 && s.len <= 2 * (size_t)width, 2,
                  "more digits than room");
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    size_t skip = 2 * (size_t)width - s.len;
    for (size_t i = 0; i < 2 * (size_t)width; i += 2) {
        char high = i < skip ? '0' : s.at[i - skip];
        char low = i + 1 < skip ? '0' : s.at[i + 1 - skip];
        luaL_argcheck(L, high >= '0' && high <= '9' && low >= '0' && low <= '9', 1,
                      "not all are decimal digits");
        tg_buf_putc(b, (char)((high - '0') << 4 | (low - '0')));
    }
    return push_buf(L, b);
}

int tg_lua_open_bcd(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", bcd_decode}, {"encode", bcd_encode}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

// ---- charsets -----------------------------------------------------------------------------

static tg_charset check_charset(lua_State *L, int index)
{
    int cs = tg_charset_from(tg_lua_check_slice(L, index));
    luaL_argcheck(L, cs >= 0, index,
                  "none of ascii, utf8, latin1, gbk, gb18030, utf16be, utf16le");
    return (tg_charset)cs;
}

static tg_slice check_text(lua_State *L, int index)
{
    tg_slice s = tg_lua_check_slice(L, index);
    luaL_argcheck(L, s.len <= TG_LUA_TEXT_MAX, index, "more than 4 MiB");
    return s;
}

/// The text, and how many bytes were bad.
static int charset_decode(lua_State *L) // (-0 +2): charset, bytes
{
    tg_charset cs = check_charset(L, 1);
    tg_slice s = check_text(L, 2);
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    int bad = tg_charset_decode(cs, s, b);
    if (bad < 0)
        return luaL_error(L, "out of memory");
    push_buf(L, b);
    lua_pushinteger(L, bad);
    return 2;
}

/// The bytes, and how many characters had no form.
static int charset_encode(lua_State *L) // (-0 +2): charset, text
{
    tg_charset cs = check_charset(L, 1);
    tg_slice s = check_text(L, 2);
    tg_buf *b = &tg_lua_scratch_of(L)->buf;
    int lost = tg_charset_encode(cs, s, b);
    if (lost < 0)
        return luaL_error(L, "out of memory");
    push_buf(L, b);
    lua_pushinteger(L, lost);
    return 2;
}

static int charset_valid(lua_State *L) // (-0 +1): text
{
    lua_pushboolean(L, tg_utf8_valid(tg_lua_check_slice(L, 1)));
    return 1;
}

int tg_lua_open_charset(lua_State *L)
{
    static const luaL_Reg functions[] = {{"decode", charset_decode},
                                         {"encode", charset_encode},
                                         {"valid", charset_valid},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

// ---- checksums ----------------------------------------------------------------------------

/// The checksum that upvalue 1 names, over bytes `from` to `to`, both counted from 1.
static int check_sum(lua_State *L) // (-0 +1): bytes, from, to
{
    tg_check check = (tg_check)lua_tointeger(L, lua_upvalueindex(1));
    tg_slice s = tg_lua_check_slice(L, 1);
    size_t from = tg_lua_check_pos(L, 2, s.len);
    lua_Integer to = luaL_optinteger(L, 3, (lua_Integer)s.len);
    if (to < 0)
        to += (lua_Integer)s.len + 1;
    luaL_argcheck(L, to >= (lua_Integer)from && to <= (lua_Integer)s.len, 3,
                  "no such position");
    lua_pushinteger(L, tg_checksum(check, (tg_slice){s.at + from, (size_t)to - from}));
    return 1;
}

int tg_lua_open_check(lua_State *L)
{
    static const char *const names[] = {"xor8",        "sum8",      "crc16_modbus",
                                        "crc16_ccitt", "crc16_x25", "crc32"};
    lua_createtable(L, 0, 6);
    for (int i = 0; i < 6; i++) {
        lua_pushinteger(L, i + 1);
        lua_pushcclosure(L, check_sum, 1);
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}
