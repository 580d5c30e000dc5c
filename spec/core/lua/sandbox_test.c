// SPDX-License-Identifier: Apache-2.0
// What a script may reach, and that our string and table functions answer as the system's
// do.
#include "rig.h"

#include <lualib.h>

#define BUDGET_US 2000000u

static void holds(rig *r, const char *text)
{
    int rc = rig_run(r, text, BUDGET_US);
    if (rc != LUA_OK)
        fail_msg("%s\n%s", text, r->error);
}

static void only_the_allowed_is_there(void **state)
{
    rig *r = *state;
    holds(
        r,
        "for _, name in ipairs { 'io', 'debug', 'package', 'dofile', 'loadfile', 'warn',\n"
        "  'loadstring', 'setfenv', 'module' } do assert(_G[name] == nil, name) end");
    holds(r,
          "assert(not string.dump and not os.execute and not os.getenv and not os.remove)\n"
          "assert(not os.exit and not os.rename and not os.tmpname and not os.setlocale)");
    holds(r, "assert(os.time() > 0 and os.clock() >= 0 and os.date('!%Y', 0) == '1970')");
    holds(r,
          "assert(type(collectgarbage('count')) == 'number')\n"
          "for _, w in ipairs { 'collect', 'stop', 'step', 'incremental', 'generational' } "
          "do\n"
          "  assert(not pcall(collectgarbage, w)) end assert(not pcall(collectgarbage))");
}

static void globals_and_libraries_are_read_only(void **state)
{
    rig *r = *state;
    holds(
        r,
        "for _, f in ipairs {\n"
        "  function() x = 1 end, function() string = nil end, function() _G.y = 1 end,\n"
        "  function() string.format = nil end, function() math.pi = 3 end,\n"
        "  function() rawset(_G, 'x', 1) end, function() rawset(string, 'rep', 1) end,\n"
        "  function() setmetatable(_G, {}) end, function() setmetatable(string, nil) end,\n"
        "  function() table.insert(table, 1) end, function() table.move({ 1 }, 1, 1, 1, "
        "os) end,\n"
        "  function() getmetatable('').__index = {} end,\n"
        "} do assert(not pcall(f)) end assert(x == nil and y == nil)");
    holds(r, "assert(getmetatable(_G) == false and getmetatable('') == false)\n"
             "assert(getmetatable(string) == false and next(_G) == nil)");
    holds(r,
          "local seen = {} for k in pairs(_G) do seen[k] = true end\n"
          "assert(seen.print and seen.string and seen._G)\n"
          "local n = 0 for k, v in pairs(string) do n = n + 1 end assert(n > 10)\n"
          "local f, t = pairs(_G) assert(t == _G and rawequal(rawget(t, 'print'), nil))");
    holds(r, "local e = {} local f = load('a = 1 return a', 'x', 't', e) assert(f() == 1 "
             "and e.a == 1)");
}

static void only_text_is_loaded(void **state)
{
    rig *r = *state;
    holds(r,
          "assert(load('return 1')() == 1)\n"
          "local f, err = load('\\27Lua') assert(not f and err:find('binary'))\n"
          "assert(not pcall(load, 'return 1', 'x', 'b'))\n"
          "assert(not pcall(load, function() return 'x' end))\n"
          "local f, err = load('return ]', '@name') assert(not f and err:find('name:1:'))");
}

static void there_are_no_finalizers(void **state)
{
    rig *r = *state;
    holds(r, "assert(not pcall(setmetatable, {}, { __gc = function() end }))\n"
             "assert(not pcall(setmetatable, {}, { __gc = true }))\n"
             "local mt = {} setmetatable({}, mt) mt.__gc = error");
}

static void protected_calls_and_coroutines_behave(void **state)
{
    rig *r = *state;
    holds(r, "local ok, a, b = pcall(function(...) return ... end, 1, 2) assert(ok and a "
             "== 1 and b == 2)\n"
             "local ok, e = pcall(error, 'x', 0) assert(not ok and e == 'x')\n"
             "local ok, e = xpcall(error, function(m) return m .. '!' end, 'x', 0) "
             "assert(e == 'x!')\n"
             "local ok, a = xpcall(function(...) return select('#', ...) end, print, 1, "
             "nil, 3) assert(a == 3)\n"
             "assert(not pcall(xpcall, print))");
    holds(
        r,
        "local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) "
        "error('e' .. b, 0) end)\n"
        "assert(coroutine.status(co) == 'suspended')\n"
        "local ok, x = coroutine.resume(co, 1) assert(ok and x == 2)\n"
        "local ok, x = coroutine.resume(co, 2) assert(not ok and x == 'e2')\n"
        "assert(coroutine.status(co) == 'dead' and not coroutine.resume(co))\n"
        "local w = coroutine.wrap(function() return coroutine.running() end)\n"
        "local c, main = w() assert(type(c) == 'thread' and main == false)\n"
        "local closed co = coroutine.create(function()\n"
        "  local x <close> = setmetatable({}, { __close = function() closed = true end })\n"
        "  coroutine.yield() end) coroutine.resume(co) assert(coroutine.close(co) and "
        "closed)\n"
        "assert(not pcall(coroutine.yield)) local _, top = coroutine.running() "
        "assert(top)");
}

// ---- ours against the system's --------------------------------------------------------

static const char corpus[] =
    "local S = { '', 'a', 'hello world', 'key = value', '  trim me  ', 'aaa', 'a.b.c', "
    "'(a(b)c)',\n"
    "  'THE (quick) fox', 'x\\0y\\0z', '2026-11-24', ']]', '%d', 'abcabc', 'caf\\xe9', "
    "'--x--' }\n"
    "local P = { '', 'a', 'a*', 'a+', 'a-', 'a?', '.', '.*', '.-', '%a+', '%w*', '%s*$', "
    "'^%s*(.-)%s*$',\n"
    "  '(%w+) = (%w+)', '[abc]+', '[^abc]+', '[]]', '[^]]+', '[a-c]', '[%a_]+', '%b()', "
    "'%f[%a]%a+',\n"
    "  '(a)(b)(c)', '()a()', '(.)%1', '(%d+)-(%d+)-(%d+)', '%%', '%.', '^a', 'a$', '^$', "
    "'[%z]', '%z',\n"
    "  '(', ')', '%', '[', '[a', '%b', '%f', '(()', 'a**', '[a-]', '[-a]', '[%]', '(%1)', "
    "'%9', '$a', 'b$c' }\n"
    "local R = { '', 'x', '%0%0', '<%1>', '%', '%2', '%%' }\n"
    "local out = {}\n"
    "local function put(...)\n"
    "  local t = { ... } for i = 1, select('#', ...) do t[i] = tostring(t[i]) end\n"
    "  out[#out + 1] = table.concat(t, '\\1') end\n"
    "for _, s in ipairs(S) do for _, p in ipairs(P) do\n"
    "  for init = -2, 3 do put(pcall(string.find, s, p, init)) put(pcall(string.match, s, "
    "p, init)) end\n"
    "  put(pcall(string.find, s, p, 1, true))\n"
    "  for _, r in ipairs(R) do put(pcall(string.gsub, s, p, r)) put(pcall(string.gsub, s, "
    "p, r, 1)) end\n"
    "  put(pcall(string.gsub, s, p, { a = 'A', hello = false }))\n"
    "  put(pcall(string.gsub, s, p, function(a, b) return b or (#a > 1 and a:upper()) "
    "end))\n"
    "  put(pcall(function() local n, t = 0, {} for a, b in s:gmatch(p) do n = n + 1\n"
    "    t[n] = tostring(a) .. tostring(b) if n > 50 then break end end return "
    "table.concat(t, ',') end))\n"
    "end put(pcall(string.rep, s, 3, '-')) put(pcall(string.rep, s, 0)) "
    "put(pcall(string.rep, s, 1, ',')) end\n"
    "local function list(t) local o = {} for i = 1, #t do o[i] = tostring(t[i]) end return "
    "table.concat(o, ',') end\n"
    "for n = 0, 6 do for at = -1, 8 do\n"
    "  local t = {} for i = 1, n do t[i] = i end put(pcall(table.insert, t, at, 'x')) "
    "put(list(t))\n"
    "  t = {} for i = 1, n do t[i] = i end put(pcall(table.remove, t, at)) put(list(t))\n"
    "  for to = 0, 5 do t = {} for i = 1, n do t[i] = i end\n"
    "    put(pcall(function() return list(table.move(t, 1, n, to + 1)) end))\n"
    "    put(pcall(function() return list(table.move(t, at, to, 2, {})) end))\n"
    "    put(pcall(table.concat, t, ';', at, to)) end\n"
    "end end\n"
    "for n = 0, 40 do local t = {} for i = 1, n do t[i] = (i * 7919) % 101 end\n"
    "  table.sort(t) put(list(t)) table.sort(t, function(a, b) return a > b end) "
    "put(list(t)) end\n"
    "put(pcall(table.sort, { 1, 'x' })) put(pcall(table.concat, { {} }))\n"
    "put(pcall(table.insert, {}, 1, 2, 3) and 'bad' or 'good') put((table.remove({})))\n"
    "return out\n";

/// @return the corpus' answers, as a table on the top of `L`.
static void run_corpus(lua_State *L)
{
    if (luaL_loadbufferx(L, corpus, strlen(corpus), "=corpus", "t") != LUA_OK ||
        lua_pcall(L, 0, 1, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
}

static void our_functions_answer_as_the_systems_do(void **state)
{
    rig *r = *state;
    lua_State *plain = luaL_newstate();
    luaL_openlibs(plain);
    run_corpus(plain);
    lua_State *ours = lua_newthread(r->vm.L);
    int nres = 0;
    assert_int_equal(luaL_loadbufferx(ours, corpus, strlen(corpus), "=corpus", "t"),
                     LUA_OK);
    assert_int_equal(tg_vm_run(&r->vm, ours, "corpus", 60000000u, 0, &nres), LUA_OK);
    lua_Integer n = (lua_Integer)lua_rawlen(plain, -1);
    assert_int_equal(n, lua_rawlen(ours, -1));
    int wrong = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        size_t a, b;
        lua_rawgeti(plain, -1, i);
        lua_rawgeti(ours, -1, i);
        const char *want = lua_tolstring(plain, -1, &a), *got = lua_tolstring(ours, -1, &b);
        bool failed = strncmp(want, "false", 5) == 0; // the words of an error may differ
        if (failed ? strncmp(got, "false", 5) != 0 : a != b || memcmp(want, got, a) != 0)
            wrong++ == 0 ? print_error("%d: system '%s', ours '%s'\n", (int)i, want, got)
                         : (void)0;
        lua_pop(plain, 1);
        lua_pop(ours, 1);
    }
    assert_int_equal(wrong, 0);
    lua_close(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_allowed_is_there, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(globals_and_libraries_are_read_only, rig_open,
                                        rig_close),
        cmocka_unit_test_setup_teardown(only_text_is_loaded, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(there_are_no_finalizers, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(protected_calls_and_coroutines_behave, rig_open,
                                        rig_close),
        cmocka_unit_test_setup_teardown(our_functions_answer_as_the_systems_do, rig_open,
                                        rig_close),
    };
    return cmocka_run_group_tests(tests, rig_group_open, rig_group_close);
}
