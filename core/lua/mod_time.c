// SPDX-License-Identifier: Apache-2.0
// Clocks of devices to instants and back. An instant is an integer, ms since 1970 UTC; a zone
// is minutes east of UTC. No clock of the host is here: these functions are pure.
#include <lauxlib.h>

#include "codec/layout_program.h"
#include "lua/mod_util.h"

static int no_time(lua_State *L, const char *why)
{
    tg_error e = {0};
    tg_error_set(&e, TG_E_MALFORMED, "%s", why);
    return tg_lua_fail(L, &e);
}

static int check_zone(lua_State *L, int index)
{
    lua_Integer zone = luaL_optinteger(L, index, 0);
    luaL_argcheck(L, zone >= -900 && zone <= 900, index, "a zone is in minutes from UTC");
    return (int)zone;
}

/// ISO 8601; a text that names no zone is in `zone`.
static int time_parse(lua_State *L) // (-0 +2): text, zone
{
    int64_t ms;
    int zone = check_zone(L, 2);
    if (tg_iso_read(tg_lua_check_slice(L, 1), &ms, &zone) < 0)
        return no_time(L, "not a date and time as 2026-06-01T12:00:00Z");
    lua_pushinteger(L, ms);
    lua_pushinteger(L, zone);
    return 2;
}

void tg_lua_push_time(lua_State *L, int64_t ms)
{
    char text[40];
    lua_pushlstring(L, text, tg_iso_write(ms, 0, text));
}

static int time_format(lua_State *L) // (-0 +1): ms, zone
{
    char text[40];
    lua_Integer ms = luaL_checkinteger(L, 1);
    lua_pushlstring(L, text, tg_iso_write(ms, check_zone(L, 2), text));
    return 1;
}

/// "+08:00", "-0430", "Z" as minutes.
static int time_zone(lua_State *L) // (-0 +1..2): text
{
    tg_slice s = tg_lua_check_slice(L, 1);
    char text[40] = "2000-01-01T00:00:00";
    int64_t ms;
    int zone = INT16_MIN;
    if (s.len == 0 || s.len > 6)
        return no_time(L, "not an offset as +08:00");
    memcpy(text + 19, s.at, s.len);
    if (tg_iso_read((tg_slice){text, 19 + s.len}, &ms, &zone) < 0 || zone == INT16_MIN)
        return no_time(L, "not an offset as +08:00");
    lua_pushinteger(L, zone);
    return 1;
}

static int from_clock(lua_State *L, bool bcd)
{
    tg_slice s = tg_lua_check_slice(L, 1);
    int zone = check_zone(L, 2);
    unsigned v[6];
    int64_t ms;
    luaL_argcheck(L, s.len == 6, 1, "six bytes are needed");
    for (int i = 0; i < 6; i++) {
        unsigned byte = (uint8_t)s.at[i];
        if (bcd && (byte >> 4 > 9 || (byte & 15) > 9))
            return no_time(L, "not all are decimal digits");
        v[i] = bcd ? (byte >> 4) * 10 + (byte & 15) : byte;
    }
    if (v[0] > 99 ||
        !tg_ms_from_clock(2000 + (int)v[0], v[1], v[2], v[3], v[4], v[5], zone, &ms))
        return no_time(L, "no such date or time");
    lua_pushinteger(L, ms);
    return 1;
}

static int to_clock(lua_State *L, bool bcd)
{
    lua_Integer ms = luaL_checkinteger(L, 1);
    int64_t local = ms / 1000 + check_zone(L, 2) * 60, year;
    int64_t days = (local >= 0 ? local : local - 86399) / 86400;
    unsigned month, day, s = (unsigned)(local - days * 86400);
    tg_date_from_days(days, &year, &month, &day);
    luaL_argcheck(L, year >= 2000 && year <= 2099, 1, "a year outside 2000..2099");
    const unsigned v[6] = {
        (unsigned)(year - 2000), month, day, s / 3600, s / 60 % 60, s % 60};
    char bytes[6];
    for (int i = 0; i < 6; i++)
        bytes[i] = (char)(bcd ? v[i] / 10 << 4 | v[i] % 10 : v[i]);
    lua_pushlstring(L, bytes, 6);
    return 1;
}

static int time_from_bcd(lua_State *L) // (-0 +1..2): YYMMDDhhmmss in six bytes, zone
{
    return from_clock(L, true);
}

static int time_from_bytes(lua_State *L) // (-0 +1..2): year - 2000 … second, zone
{
    return from_clock(L, false);
}

static int time_to_bcd(lua_State *L) // (-0 +1): ms, zone
{
    return to_clock(L, true);
}

static int time_to_bytes(lua_State *L) // (-0 +1): ms, zone
{
    return to_clock(L, false);
}

int tg_lua_open_time(lua_State *L)
{
    static const luaL_Reg functions[] = {{"parse", time_parse},
                                         {"format", time_format},
                                         {"zone", time_zone},
                                         {"from_bcd", time_from_bcd},
                                         {"from_bytes", time_from_bytes},
                                         {"to_bcd", time_to_bcd},
                                         {"to_bytes", time_to_bytes},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
