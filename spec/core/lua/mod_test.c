// SPDX-License-Identifier: Apache-2.0
// The pure modules, from a script's side: each case is a chunk that asserts.
#include "lua/mod.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/json.h"
#include "../../support/check.h"

static const struct {
    const char *name;
    lua_CFunction open;
} MODULES[] = {{"struct", tg_lua_open_struct}, {"tlv", tg_lua_open_tlv},
               {"bits", tg_lua_open_bits},     {"bcd", tg_lua_open_bcd},
               {"hex", tg_lua_open_hex},       {"charset", tg_lua_open_charset},
               {"check", tg_lua_open_check},   {"json", tg_lua_open_json},
               {"time", tg_lua_open_time},     {"crypto", tg_lua_open_crypto},
               {"gzip", tg_lua_open_gzip}};

static const char HELPERS[] =
    "function same(a, b, at) at = at or '' \n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"
    "    if a ~= b or math.type(a) ~= math.type(b) then\n"
    "      error(at .. ': ' .. tostring(a) .. ' is not ' .. tostring(b), 0) end\n"
    "    return end\n"
    "  for k, v in pairs(a) do same(v, b[k], at .. '.' .. k) end\n"
    "  for k, v in pairs(b) do if a[k] == nil then error(at .. '.' .. k .. ' is missing', "
    "0) end end\n"
    "end\n"
    "function raises(what, f, ...)\n"
    "  local ok, why = pcall(f, ...)\n"
    "  assert(not ok, 'nothing raised')\n"
    "  assert(why:find(what, 1, true), why)\n"
    "end\n"
    "H = function(s) return tg.hex.decode(s) end\n";

static lua_State *state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(MODULES) / sizeof(MODULES[0]); i++) {
        lua_pushcfunction(L, MODULES[i].open);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, MODULES[i].name);
    }
    lua_setglobal(L, "tg");
    assert_int_equal(luaL_dostring(L, HELPERS), LUA_OK);
    return L;
}

static void run(const char *code)
{
    lua_State *L = state();
    if (luaL_dostring(L, code) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    lua_close(L);
}

static void a_struct_decodes_to_a_table(void **s)
{
    (void)s;
    run("local S = tg.struct [[ cmd:u8 seq:u16be sn:bcd[6] v:u16be*0.01 m:u8{0=off 1=on} "
        "  pos:{ lat:i32be/1000000 t:time6 } cells:[2]{ id:u8 } w:u8 set{0=sos} r:rest ]]\n"
        "local b = H '01 0203 112233445566 019f 01 01dc8830 1a06010c0200 05 06 81 ff00'\n"
        "local t, next, flaws = S:decode(b)\n"
        "same(t, { cmd = 1, seq = 515, sn = '112233445566', v = 4.15, m = 'on',\n"
        "  pos = { lat = 31.23, t = '2026-06-01T12:02:00Z' }, cells = { { id = 5 }, { id = "
        "6 } },\n"
        "  w = { 'sos', 'bit7' }, r = 'ff00' })\n"
        "same(next, #b + 1) same(flaws, nil)\n"
        "same(S:encode(t), b)\n"
        "same((S:json(b)), "
        "'{\"cmd\":1,\"seq\":515,\"sn\":\"112233445566\",\"v\":4.15,\"m\":\"on\",'\n"
        "  .. "
        "'\"pos\":{\"lat\":31.23,\"t\":\"2026-06-01T12:02:00Z\"},\"cells\":[{\"id\":5},{"
        "\"id\":6}],'\n"
        "  .. '\"w\":[\"sos\",\"bit7\"],\"r\":\"ff00\"}')\n"
        "same(tostring(S), 'layout of 13 fields')\n");
}

static void positions_zones_and_partial_decodes(void **s)
{
    (void)s;
    run("local S = tg.struct 't:time6 n:u8 l:[n]{ a:u16be }'\n"
        "local b = H 'ff 1a0601140200 02 0001 00'\n"
        "local t, err = S:decode(b, 2)\n"
        "same(t, nil) same(err.code, 'MALFORMED')\n"
        "same(err.message, 'l.a: needs 2 bytes at 10, 1 are left')\n"
        "local p, next, flaws = S:decode(b, 2, { partial = true, zone = 480 })\n"
        "same(p, { t = '2026-06-01T20:02:00+08:00', n = 2, l = { { a = 1 }, {} } })\n"
        "same(flaws, { 'l.a: needs 2 bytes at 10, 1 are left' }) same(next, 11)\n"
        "raises('no such option \\'zome\\'; did you mean \\'zone\\'?', S.decode, S, b, 1, "
        "{ zome = 1 })\n"
        "raises('no such position', S.decode, S, b, 13)\n"
        "raises('string expected', S.decode, S, 5)\n"
        "local _, _, bad = tg.struct('t:time6 x:u8 in 0..5'):decode(H '1a0d01000000 06')\n"
        "same(bad, { 't: no such date or time', 'x: 6 is out of range' })\n"
        "same((tg.struct('e:[u8]u8'):json(H '00')), '{\"e\":[]}')\n"
        "same(tg.json.encode((tg.struct('e:[u8]u8'):decode(H '00'))), '{\"e\":[]}')\n");
}

static void wrong_layouts_raise_with_their_place(void **s)
{
    (void)s;
    run("raises('tg.struct: line 1, column 3: expected a type', tg.struct, 'a:x')\n"
        "raises('tg.tlv: no such option \\'lenght\\'; did you mean \\'length\\'?', "
        "tg.tlv,\n"
        "  { lenght = 'u8', items = '' })\n"
        "raises('tg.tlv: items: line 1, column 1: expected a tag', tg.tlv, { items = "
        "'a:u8' })\n"
        "raises('is none of u8, u16be', tg.tlv, { tag = 'u64be', items = '' })\n"
        "local S = tg.struct 'speed:u8'\n"
        "local b, err = S:encode { speed = 300 }\n"
        "same(b, nil) same(err.message, 'speed: 300 is outside 0..255 on the wire')\n"
        "raises('table expected', S.encode, S, 5)\n"
        "raises('no tag list', S.overlay, S, '')\n");
}

static void tag_lists_keep_what_they_do_not_know(void **s)
{
    (void)s;
    run("local T = tg.tlv { tag = 'u8', length = 'u8', items = [[\n"
        "  0x01 mileage:u32be*0.1 \"km\" -- since the factory\n"
        "  0x02 fuel:u16be*0.1\n"
        "  0x14 alarms:u32be set{0=lost} ]] }\n"
        "local b = H '01 04 00000064 02 02 0032 e1 01 ff 14 04 00000001'\n"
        "local t, next, flaws = T:decode(b)\n"
        "same(t, { mileage = 10.0, fuel = 5.0, ['0xe1'] = 'ff', alarms = { 'lost' } })\n"
        "same(flaws, nil) same(next, #b + 1)\n"
        "same(T:encode(t), H '01 04 00000064 02 02 0032 14 04 00000001 e1 01 ff')\n"
        // a wrong length is the item's own trouble
        "t, next, flaws = T:decode(H '02 03 003200 02 02 0032 02 02 0033 01 09 00')\n"
        "same(t, { fuel_raw = '003200', fuel_2 = 5.0, fuel_3 = 5.1, tail = '010900' })\n"
        "same(flaws, { 'fuel: a length of 3 does not fit', 'the list: 3 bytes left over' "
        "})\n"
        "same((T:json(H '02 02 0032 02 02 0033')), '{\"fuel\":5,\"fuel_2\":5.1}')\n"
        "local V = T:overlay '0x02 fuel:{ level:u8 kind:u8 } 0xE1 battery:u8'\n"
        "same((V:decode(b)), { mileage = 10.0, fuel = { level = 0, kind = 50 }, battery = "
        "255,\n"
        "  alarms = { 'lost' } })\n"
        "same((T:decode(b)).fuel, 5.0)\n"
        "local N = tg.struct [[ a:u8 x:tlv(u16be u8 length_first counts_tag){\n"
        "  0x0023 fuel:u8  0x00D8 in_it:tlv(u8 u16be){ 0x01 v:u8 } } ]]\n"
        "same((N:decode(H '07 03 0023 09 06 00d8 01 0001 05')),\n"
        "  { a = 7, x = { fuel = 9, in_it = { v = 5 } } })\n"
        "same(N:encode { a = 7, x = { fuel = 9, in_it = { v = 5 } } },\n"
        "  H '07 03 0023 09 06 00d8 01 0001 05')\n");
}

static void fields_and_notes_describe_the_bytes(void **s)
{
    (void)s;
    run("local S = tg.struct [[\n"
        "  speed:u8 \"km/h\"  -- over ground\n"
        "  _n:u8\n"
        "  cells:[_n]{ -- neighbours\n"
        "    lac:u16be\n"
        "  }\n"
        "  w:u8(a:1 b:7)\n"
        "]]\n"
        "local notes = S:annotate(H '3c 01 0102 03')\n"
        "local lines = {}\n"
        "for _, n in ipairs(notes) do lines[#lines + 1] = ('%d %d+%d %s %s "
        "%s'):format(n.depth,\n"
        "  n.offset, n.length, n.name, n.raw, n.value) end\n"
        "same(table.concat(lines, '\\n'), [[\n"
        "0 0+1 speed 3c 60 km/h\n0 1+1 _n 01 1\n0 2+2 cells  \n1 2+2   \n2 2+2 lac 0102 "
        "258\n"
        "0 4+1 w  \n1 4+1 a 03 1\n1 4+1 b 03 1]])\n"
        "local f = S:fields()\n"
        "same(f[1], { depth = 0, offset = 0, name = 'speed', type = 'u8', unit = 'km/h',\n"
        "  note = 'over ground', scale = '', values = '', optional = false })\n"
        "same(f[3].note, 'neighbours') same(f[3].offset, 2) same(f[6].offset, nil)\n"
        "f = tg.tlv { items = '0x05 t?:u8*0.5-40{1=on 2=off} 0x06 l:u32be/1000000' "
        "}:fields()\n"
        "same(f[1].tag, 5) same(f[1].scale, '×0.5 −40') same(f[1].values, '1 on, 2 off')\n"
        "same(f[1].optional, true) same(f[2].scale, '÷1000000') same(f[2].offset, nil)\n");
}

static void json_is_deterministic_both_ways(void **s)
{
    (void)s;
    run("local J = tg.json\n"
        "same(J.encode { b = 1, a = { true, false }, c = { x = J.null }, d = 'é\\n', e = "
        "1.5 },\n"
        "  '{\"a\":[true,false],\"b\":1,\"c\":{\"x\":null},\"d\":\"é\\\\n\",\"e\":1.5}')\n"
        "same(J.encode {}, '{}') same(J.encode(J.array {}), '[]') same(J.encode(J.null), "
        "'null')\n"
        "same(J.encode(31.2304), '31.2304') same(J.encode(math.mininteger), "
        "'-9223372036854775808')\n"
        "local t = J.decode '{\"a\":[1,2.5,null],\"b\":[],\"c\":{}}'\n"
        "same(t.a[1], 1) same(t.a[2], 2.5) same(t.a[3], J.null)\n"
        "same(J.encode(t), '{\"a\":[1,2.5,null],\"b\":[],\"c\":{}}')\n"
        "local v, err = J.decode '[1,'\n"
        "same(v, nil) same(err.code, 'MALFORMED')\n"
        "v, err = J.encode { data = { cells = { 1, print } } }\n"
        "same(err.message, 'data.cells[2]: a function has no form in JSON')\n"
        "local loop = {} loop.x = { loop }\n"
        "v, err = J.encode(loop) assert(err.message:find 'in a circle', err.message)\n"
        "v, err = J.encode { [1] = 1, x = 2 } same(err.message, 'a key that is no "
        "string')\n"
        "v, err = J.encode { [1] = 1, [3] = 2 } same(err.message, 'a key that is no "
        "string')\n"
        "local big = {} for i = 1, 300 do big['k' .. i] = i end\n"
        "same(J.decode(J.encode(big)), big)\n"
        "local list = {} for i = 1, 3000 do list[i] = { i } end\n"
        "same(J.decode(J.encode(list)), list)\n");
}

static void a_table_that_holds_itself_twice_has_a_bound(void **s)
{
    (void)s;
    run("local t, s = {}, ('x'):rep(1 << 16)\n"
        "for i = 1, 30 do t = { t, t } end\n"
        "for _, v in ipairs { { t }, { a = t } } do\n"
        "  local text, err = tg.json.encode(v)\n"
        "  assert(not text and err.code == 'TOOBIG', err)\n"
        "end\n"
        "for i = 1, 1000 do t[i] = s end\n"
        "assert(not tg.json.encode(t))\n");
}

static void bits_bcd_and_hex(void **s)
{
    (void)s;
    run("same(tg.bits.get(0xABCD, 4, 8), 0xBC) same(tg.bits.get(5, 2), 1)\n"
        "same(tg.bits.set(0xFFFF, 4, 8, 0), 0xF00F) same(tg.bits.signed(0xFF, 8), -1)\n"
        "same(tg.bits.test(4, 2), true)\n"
        "same(tg.bits.names(5, { [0] = 'sos' }), { 'sos', 'bit2' })\n"
        "raises('no such bit', tg.bits.get, 1, 64) raises('more bits', tg.bits.set, 0, 0, "
        "2, 4)\n"
        "same(tg.hex.encode 'a\\xFF', '61ff') same(tg.hex.decode '61 FF', 'a\\xFF')\n"
        "local v, err = tg.hex.decode '6' same(v, nil) same(err.code, 'MALFORMED')\n"
        "same(tg.bcd.decode(H '0123'), '0123') same(tg.bcd.encode('123'), H '0123')\n"
        "same(tg.bcd.encode('13800138000', 6), H '013800138000')\n"
        "v, err = tg.bcd.decode(H '0a') same(v, nil)\n"
        "raises('more digits than room', tg.bcd.encode, '123', 1)\n"
        "raises('decimal digits', tg.bcd.encode, '1x')\n");
}

static void charsets_and_checksums(void **s)
{
    (void)s;
    run("local text, bad = tg.charset.decode('gbk', H 'bea941') same(text, '京A') "
        "same(bad, 0)\n"
        "text, bad = tg.charset.decode('utf16be', H '4e2d65') same(text, '中\\u{FFFD}') "
        "same(bad, 1)\n"
        "local b, lost = tg.charset.encode('gbk', '京💩') same(b, H 'bea93f') same(lost, "
        "1)\n"
        "raises('none of ascii', tg.charset.decode, 'big5', '')\n"
        "same(tg.charset.valid '\\xff', false)\n"
        "same(tg.check.crc16_x25 '123456789', 0x906E) same(tg.check.crc32 '123456789', "
        "0xCBF43926)\n"
        "same(tg.check.xor8('x123456789y', 2, -2), 0x31) same(tg.check.sum8('', 1, 0), 0)\n"
        "raises('no such position', tg.check.xor8, 'abc', 5)\n");
}

/// The key, the signature and the ciphertext were made with the openssl command.
static void signatures_and_ciphers(void **s)
{
    (void)s;
    run("local C, key = tg.crypto, [[-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEV8BqZixtj+3norWF7v8iXXLC6ySN\n"
        "JgDymXKrT1Qr2nP/ynHdk41BwnWWSdWEgBL22rwsTY8Q77FVXfUlSwTfBA==\n"
        "-----END PUBLIC KEY-----]]\n"
        "local rs = H 'ac69f9f71ca2e517be508b7b884d3f7b26eb6461d5ee24e15fe30c392292ed19"
        "61222d5ab557c44abaf46eff99dac95887a2c6e7fbeb2d7d9d07c9847b6b27f1'\n"
        "same(C.verify('sm2', key, 'hello', rs), true)\n"
        "same(C.verify('sm2', key, 'hellp', rs), false)\n"
        "same(C.verify('sm2', key, 'hello', rs, 'another id'), false)\n"
        "same(C.verify('sm2', key, 'hello', rs:sub(2)), false)\n"
        "local ok, err = C.verify('rsa-sha256', key, 'hello', rs)\n"
        "same(ok, nil) same(err.message, 'the key is of another kind')\n"
        "ok, err = C.verify('sm2', 'no key', 'hello', rs)\n"
        "same(err.message, 'no public key in PEM')\n"
        "raises('invalid option', C.verify, 'md5', key, '', '')\n"
        "local k = H '00112233445566778899aabbccddeeff'\n"
        "local secret = H '660268d5bd33b1e978d9029a1082e097'\n"
        "same(C.decrypt('SM4-CBC', k, secret, k), 'hello')\n"
        "same(C.decrypt('SM4-CBC', k, secret:sub(2), k), nil)\n"
        "same(C.decrypt('SM4-CBC', k, secret, 'short'), nil)\n"
        "same(C.decrypt('SM4-CBC', 'short', secret, k), nil)\n"
        "same(C.decrypt('ROT13', k, secret, k), nil)\n"
        "ok, err = C.decrypt('RSA', 'no key', secret)\n"
        "same(err.message, 'the bytes and the key do not fit')\n"
        "ok, err = C.public_key 'no key' same(err.message, 'no RSA key in PEM')\n"
        "ok, err = C.rsa_encrypt(('\\0'):rep(128), 65537, 'x') same(err.code, 'INVAL')\n"
        "local packed = C.rsa_encrypt(('\\xFF'):rep(128), 3, 'x') same(#packed, 128)\n");
}

static void compressed_bytes(void **s)
{
    (void)s;
    run("local z = H '1f8b08000000000002ffcb48cdc9c957c880930084fd5c2310000000'\n"
        "local text, err = tg.gzip.decode(z) same(err, nil) same(#text, 16)\n"
        "text, err = tg.gzip.decode(z, 15) same(text, nil) same(err.code, 'TOOBIG')\n"
        "text, err = tg.gzip.decode(z:sub(1, -2)) same(err.code, 'MALFORMED')\n"
        "raises('at most 1 MiB', tg.gzip.decode, z, 1 << 30)\n");
}

static void clocks(void **s)
{
    (void)s;
    run("local T = tg.time\n"
        "same(T.parse '2026-06-01T12:02:00Z', 1780315320000)\n"
        "local ms, zone = T.parse('2026-06-01T20:02:00.250+08:00')\n"
        "same(ms, 1780315320250) same(zone, 480)\n"
        "same(T.parse('2026-06-01 20:02:00', 480), 1780315320000)\n"
        "same(T.format(1780315320250, 480), '2026-06-01T20:02:00.250+08:00')\n"
        "same(T.format(0), '1970-01-01T00:00:00Z') same(T.format(-1000), "
        "'1969-12-31T23:59:59Z')\n"
        "same(T.zone '-04:30', -270) same(T.zone 'Z', 0) same(T.zone '0800', nil)\n"
        "same(T.from_bcd(H '260601200200', 480), 1780315320000)\n"
        "same(T.to_bcd(1780315320000, 480), H '260601200200')\n"
        "same(T.from_bytes(H '1a06010c0200'), 1780315320000)\n"
        "same(T.to_bytes(1780315320000), H '1a06010c0200')\n"
        "local v, err = T.from_bytes(H '1a0d01000000') same(v, nil) same(err.code, "
        "'MALFORMED')\n"
        "v, err = T.parse '2026-02-30T00:00:00Z' same(v, nil)\n"
        "same(T.parse '2024-02-29T00:00:00Z', 1709164800000)\n");
}

static void notes_follow_a_decode(void **s);

static void count_note(void *ctx, const tg_field_note *n)
{
    tg_buf_printf(ctx, "%u:%.*s ", n->offset, (int)n->name.len, n->name.at);
}

static void notes_follow_a_decode(void **s)
{
    (void)s;
    lua_State *L = state();
    tg_buf out = {0};
    assert_int_equal(
        luaL_dostring(
            L, "S = tg.struct 'b:u8 c:u16be'\n"
               "return function(f) S:decode(f, 2) S:json(f, 2) S:decode(f:sub(3)) end"),
        LUA_OK);
    lua_pushliteral(L, "\1\2\3\4\5");
    tg_slice frame;
    frame.at = lua_tolstring(L, -1, &frame.len);
    tg_lua_notes_begin(L, frame, count_note, &out);
    lua_call(L, 1, 0);
    tg_lua_notes_end(L);
    tg_buf_putc(&out, 0);
    assert_string_equal(out.at, "1:b 2:c 2:b 3:c ");
    tg_buf_free(&out);
    lua_close(L);
}

/// An allocator that refuses at the nth request: nothing may leak or crash at any of them.
typedef struct meter {
    long left;
} meter;

static void *limited(void *ud, void *ptr, size_t osize, size_t nsize)
{
    meter *m = ud;
    (void)osize;
    if (nsize == 0) {
        free(ptr);
        return NULL;
    }
    if ((ptr == NULL || nsize > osize) && m->left-- <= 0)
        return NULL;
    return realloc(ptr, nsize);
}

static int exercise(lua_State *L)
{
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(MODULES) / sizeof(MODULES[0]); i++) {
        lua_pushcfunction(L, MODULES[i].open);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, MODULES[i].name);
    }
    lua_setglobal(L, "tg");
    if (luaL_dostring(L, "local S = tg.struct 'a:u8 g:gbk[2] l:[*]{ b:u8 h:hex[2] }'\n"
                         "local T = tg.tlv { items = '0x01 a:u8' }\n"
                         "T = T:overlay '0x02 b:u16be'\n"
                         "local t = S:decode('\\1\\xbe\\xa9\\3\\4\\5\\6\\7\\8')\n"
                         "T:decode('\\1\\1\\5\\7\\0')\n"
                         "tg.json.decode(tg.json.encode(t)) S:annotate('\\1\\2\\3')\n"
                         "S:encode(t) tg.charset.encode('gbk', '京')\n") != LUA_OK)
        return lua_error(L);
    return 0;
}

static void no_memory_at_any_point_is_survived(void **s)
{
    (void)s;
    for (long n = 0;; n++) {
        meter m = {n};
        lua_State *L = lua_newstate(limited, &m);
        if (L == NULL)
            continue;
        lua_pushcfunction(L, exercise);
        int rc = lua_pcall(L, 0, 0, 0);
        assert_true(rc == LUA_OK || rc == LUA_ERRMEM || rc == LUA_ERRRUN);
        lua_close(L);
        if (rc == LUA_OK)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_struct_decodes_to_a_table),
        cmocka_unit_test(positions_zones_and_partial_decodes),
        cmocka_unit_test(wrong_layouts_raise_with_their_place),
        cmocka_unit_test(tag_lists_keep_what_they_do_not_know),
        cmocka_unit_test(fields_and_notes_describe_the_bytes),
        cmocka_unit_test(json_is_deterministic_both_ways),
        cmocka_unit_test(a_table_that_holds_itself_twice_has_a_bound),
        cmocka_unit_test(bits_bcd_and_hex),
        cmocka_unit_test(charsets_and_checksums),
        cmocka_unit_test(signatures_and_ciphers),
        cmocka_unit_test(compressed_bytes),
        cmocka_unit_test(clocks),
        cmocka_unit_test(notes_follow_a_decode),
        cmocka_unit_test(no_memory_at_any_point_is_survived),
    };
    return RUN(tests);
}
