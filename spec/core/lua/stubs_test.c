// SPDX-License-Identifier: Apache-2.0
// Every name that a script finds is in docs/stubs, and every name there is one. Run from
// the root of the tree.
#include "rig.h"

#include "lua/conn.h"

/// Tells each name as a line: "tg.kv.get", "conn:send", "conn.peer", …
static const char lister[] =
    "local tg = require 'tidegate'\n"
    "local function tell(name) tg.log.info('name ' .. name) end\n"
    "local seen = {}\n"
    "for k, v in pairs(tg) do tell('tg.' .. k)\n"
    "  if type(v) == 'table' then for m in pairs(v) do tell('tg.' .. k .. '.' .. m) end "
    "end end\n"
    "local function methods(prefix, object, names)\n"
    "  for name in names:gmatch('%a[%w_]*') do\n"
    "    if object[name] then tell(prefix .. ':' .. name) end end end\n"
    "methods('timer', tg.timer.after('1s', print), ALL)\n"
    "methods('layout', tg.tlv { tag = 'u8', length = 'u8', items = '1 x:u8' }, ALL)\n"
    "local M = tg.adapter { id = 'a', api = 1, frame = { kind = 'line' } }\n"
    "function M.decode() return { data = {} } end\n"
    "function M.on_message(conn) conn.codec = {} conn:bind('d')\n"
    "  for name in ALL:gmatch('%a[%w_]*') do local v = conn[name]\n"
    "    if type(v) == 'function' then tell('conn:' .. name)\n"
    "    elseif v ~= nil then tell('conn.' .. name) end end end\n"
    "function M.on_downlink(conn, m) methods('downlink', { json = m.json }, ALL)\n"
    "  for k in pairs(m) do tell('downlink.' .. k) end end\n"
    "return M\n";

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 65536);
    if (f == NULL || text == NULL)
        fail_msg("%s: run the tests from the root of the tree", path);
    size_t n = fread(text, 1, 65535, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

/// Every word of the stubs, as a list for the script: what is registered but in no stub at
/// all cannot be asked for by name, so the tables of the module are also walked.
static void put_words(FILE *f, const char *text)
{
    fputs("local ALL = [==[", f);
    for (const char *c = text; *c != '\0'; c++)
        fputc((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' ? *c : ' ',
              f);
    fputs("]==]\n", f);
}

static bool documented(const char *stubs, const char *name)
{
    char function[96], table[96], field[96];
    const char *last = strrchr(name, '.');
    snprintf(function, sizeof(function), "\nfunction %s(", name);
    snprintf(table, sizeof(table), "\n%s = ", name);
    snprintf(field, sizeof(field), "\n---@field %s", last != NULL ? last + 1 : name);
    return strstr(stubs, function) != NULL || strstr(stubs, table) != NULL ||
           (strncmp(name, "tg.", 3) != 0 && strstr(stubs, field) != NULL);
}

static void registered_names_are_documented(stage *s, const char *stubs)
{
    static const char mark[] = "\"text\":\"name ";
    int names = 0;
    for (const char *at = s->lines.at; (at = strstr(at, mark)) != NULL; names++) {
        char name[96];
        at += sizeof(mark) - 1;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\""), at);
        if (!documented(stubs, name))
            fail_msg("%s is registered, but docs/stubs does not have it", name);
    }
    assert_true(names > 60);
}

static void documented_functions_are_registered(stage *s, const char *stubs)
{
    for (const char *at = stubs; (at = strstr(at, "\nfunction ")) != NULL;) {
        char name[96], line[128];
        at += 10;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "("), at);
        snprintf(line, sizeof(line), "\"text\":\"name %s\"", name);
        if (!stage_told(s, line))
            fail_msg("docs/stubs has %s, but it is not registered", name);
    }
}

static void stubs_and_registered_names_are_the_same(void **state)
{
    (void)state;
    stage s;
    char *host = read_all("docs/stubs/tidegate.lua"),
         *bytes = read_all("docs/stubs/bytes.lua");
    char *both = calloc(1, strlen(host) + strlen(bytes) + 1);
    strcat(strcpy(both, host), bytes);
    stage_new(&s, "");
    char path[256];
    snprintf(path, sizeof(path), "%s/init.lua", s.path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    put_words(f, both);
    fputs(lister, f);
    fclose(f);
    if (stage_open(&s) != 0)
        fail_msg("%s", s.error.message);
    int c = tg_offline_connect(s.offline, NULL);
    tg_offline_feed(s.offline, c, TG_LIT("x\n"));
    tg_offline_deliver(s.offline, "d", TG_LIT("t"), TG_LIT("{}"), 0);
    tg_buf_putc(&s.lines, '\0');
    registered_names_are_documented(&s, both);
    documented_functions_are_registered(&s, both);
    stage_end(&s);
    free(host);
    free(bytes);
    free(both);
}

static void members_of_a_connection_are_documented(void **state)
{
    rig *r = *state;
    lua_State *L = r->vm.L;
    char *stubs = read_all("docs/stubs/tidegate.lua");
    tg_lua_open_conn(L);
    assert_int_equal(lua_getfield(L, LUA_REGISTRYINDEX, "tidegate.conn.members"),
                     LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        char name[96];
        snprintf(name, sizeof(name), "conn%c%s", lua_isnumber(L, -1) ? '.' : ':',
                 lua_tostring(L, -2));
        if (!documented(stubs, name))
            fail_msg("%s is registered, but docs/stubs does not have it", name);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    free(stubs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_of_a_connection_are_documented, rig_open,
                                        rig_close),
        cmocka_unit_test(stubs_and_registered_names_are_the_same),
    };
    return cmocka_run_group_tests(tests, rig_group_open, rig_group_close);
}
