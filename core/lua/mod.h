// SPDX-License-Identifier: Apache-2.0
/// The pure modules of the Lua API: bytes, numbers and text, no I/O and no host. Each open
/// function pushes the one value that `tidegate.<name>` is (a table, or a function for struct
/// and tlv) and returns 1; call it once per state, while C errors may still be raised.
#ifndef TG_LUA_MOD_H
#define TG_LUA_MOD_H

#include <lua.h>

#include "base/buf.h"
#include "base/error.h"
#include "tidegate/adapter.h"

int tg_lua_open_struct(lua_State *L); ///< tg.struct [[ … ]]
int tg_lua_open_tlv(lua_State *L); ///< tg.tlv { tag = …, length = …, items = [[ … ]] }
int tg_lua_open_bits(lua_State *L); ///< tg.bits.get, set, signed, names
int tg_lua_open_bcd(lua_State *L); ///< tg.bcd.decode, encode
int tg_lua_open_hex(lua_State *L); ///< tg.hex.encode, decode
int tg_lua_open_charset(lua_State *L); ///< tg.charset.decode, encode, valid
int tg_lua_open_check(lua_State *L); ///< tg.check.crc16_x25, …
int tg_lua_open_crypto(
    lua_State *L); ///< tg.crypto.verify, decrypt, public_key, rsa_encrypt
int tg_lua_open_gzip(lua_State *L); ///< tg.gzip.decode
int tg_lua_open_json(lua_State *L); ///< tg.json.encode, decode, null, array
/// tg.time without a clock: parse, format, zone, from_bcd, to_bcd, from_bytes, to_bytes.
/// Instants are integers, ms since 1970 UTC; who has a clock adds `now` to the table.
int tg_lua_open_time(lua_State *L);
/// Pushes an instant as ISO 8601 in UTC.
void tg_lua_push_time(lua_State *L, int64_t ms);

/// Appends the value at `index` as JSON, maps by sorted keys: equal values give equal bytes.
/// Never raises, so `out` may be any C memory. What cannot be written (a function, a cycle, a
/// key that is no string) is an error that names where: "data.cells[2]: a function".
/// @return 0; TG_E_INVAL, TG_E_NOMEM, TG_E_LIMIT (depth) with `out` as long as it was.
int tg_lua_json_write(lua_State *L, int index, tg_buf *out, tg_error *e);
/// Pushes the value of a JSON text. May raise for memory only: it owns nothing then.
/// @return 0 with one value pushed; TG_E_MALFORMED with nothing pushed.
int tg_lua_json_read(lua_State *L, tg_slice text, tg_error *e);
/// What JSON's null is in Lua (tg.json.null): push, compare.
void tg_lua_json_pushnull(lua_State *L);
bool tg_lua_json_isnull(lua_State *L, int index);

/// Between begin and end every decode by a struct or tlv of this state also tells its fields
/// to `emit`, offsets counted from the start of `frame`: what an adapter's decode(frame, ctx)
/// reads with layouts is what `tidegate decode` shows. `frame` must be the Lua string that
/// decode was given.
typedef void tg_lua_note_fn(void *ctx, const tg_field_note *note);
void tg_lua_notes_begin(lua_State *L, tg_slice frame, tg_lua_note_fn *emit, void *ctx);
void tg_lua_notes_end(lua_State *L);

/// Raises for a key of the table at `index` that is not in `names`, with the nearest right one:
/// "tg.tlv: no such option 'lenght'; did you mean 'length'?"
void tg_lua_check_keys(lua_State *L, int index, const char *what, const char *const *names,
                       size_t n);
/// Pushes nil and {code, message, retry}. @return 2, for `return tg_lua_fail(L, &e)`.
int tg_lua_fail(lua_State *L, const tg_error *e);

#endif
