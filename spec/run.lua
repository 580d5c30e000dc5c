-- SPDX-License-Identifier: Apache-2.0
-- Runs the C tests and the Busted specs of one or more builds and adds up what they say, so
-- that the last line of a run is one count, and the lines above it name what failed: of a long
-- log the end is what is read. Usage: run.lua BUILD [path | BUILD:path]…
local cjson = require "cjson"

local passed, failed = 0, 0
local broken = {} -- what failed: name, and the words about it

io.stdout:setvbuf "line" -- in turn with what the programs under it say

local function count(good, bad)
  passed, failed = passed + good, failed + bad
end

local function lines(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read("a")
  return text, pipe:close()
end

--- Both ends of a text that is too long: what was wanted stands at the one, what came at the other.
local function excerpt(text, most)
  if #text <= most then return text end
  return text:sub(1, most * 2 // 3) .. "\n  [...]\n" .. text:sub(-(most // 3))
end

local function note(name, about) broken[#broken + 1] = { name = name, about = about } end

local function list(command)
  local out = {}
  for line in (lines(command)):gmatch("[^\n]+") do out[#out + 1] = line end
  table.sort(out)
  return out
end

--- Where a C test says what is wrong: at a sanitizer's report, at the first that failed, or last.
local function complaint(text)
  local at
  for _, mark in ipairs { "\nnot ok", "ERROR: ", "WARNING: Thread", "runtime error:",
    "Assertion" } do
    local here = text:find(mark, 1, true)
    if here and (not at or here < at) then at = here end
  end
  return at and text:sub(at) or text:sub(-600)
end

--- A C test speaks TAP on stdout; a crash shows as fewer results than its plan. One that hangs
--- is ended, and so has a name.
local function run_c(build, path)
  local binary = build .. "/" .. path:gsub("%.c$", "")
  local text, ok, how, code =
    lines("CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 1200 " .. binary .. " 2>&1 </dev/null")
  local good, bad, skipped = 0, 0, 0
  for word, rest in ("\n" .. text):gmatch "\n(n?o?t? ?ok) %d+([^\n]*)" do
    if rest:find "# SKIP" then skipped = skipped + 1
    elseif word == "ok" then good = good + 1
    else
      bad = bad + 1
      note(binary .. ":" .. rest:gsub("^ %-", ""), bad == 1 and complaint("\n" .. text))
    end
  end
  if (not ok and bad == 0) or good + bad + skipped == 0 then
    bad = bad + 1
    note(("%s: ended before its last test (%s %d)"):format(binary, how, code),
      complaint("\n" .. text))
  end
  if bad > 0 then io.write(text) end
  print(("%s: %d passed, %d failed"):format(binary, good, bad))
  count(good, bad)
end

-- A crowd of connections has both of its ends here, and a login may have a low soft limit.
local BUSTED = "ulimit -S -n 65536 2>/dev/null || ulimit -S -n $(ulimit -H -n)\n"
  .. "TG_BUILD=%s lua5.4 /usr/bin/busted --lpath='./spec/?.lua'"
  .. " -o spec/support/report.lua -Xoutput %s %s </dev/null" -- libuv takes no closed stdin

local function run_busted(build, path)
  local report = os.tmpname()
  local ok, how, code = os.execute(BUSTED:format(build, report, path))
  local file = io.open(report)
  local good, told = pcall(cjson.decode, file and file:read("a") or "")
  if file then file:close() end
  os.remove(report)
  if not good or not told.failures then
    ok = false
    told = { passed = good and told.passed or 0, failed = 0, failures = {},
      running = good and told.running }
  end
  if not ok and told.failed == 0 then
    told.failed = 1
    note(("%s (%s): the specs ended before their last test (%s %d)"):format(
      told.running or path, build, how, code))
  end
  for _, f in ipairs(told.failures) do
    note(("%s (%s)"):format(f.name, build),
      ("%s\n%s\n%s"):format(f.at or path, excerpt(f.message, 700), excerpt(f.log, 1000)))
  end
  count(told.passed, told.failed)
end

local function run(build, path)
  local tests = list(("find %s -path '*_test.c' 2>/dev/null"):format(path))
  for _, test in ipairs(tests) do run_c(build, test) end
  local specs = list(("find %s -name '*_spec.lua' 2>/dev/null"):format(path))
  if #specs > 0 then run_busted(build, path) end
end

local build = arg[1]
local did = false
for i = 2, #arg do
  local other, path = arg[i]:match("^(build/[^:]+):(.+)$")
  if path then
    if not did then run(build, "spec") end
    run(other, path)
  else
    run(build, arg[i])
  end
  did = true
end
if not did then run(build, "spec") end
-- Of a long log its last few kilobytes are what is kept: so the first failures are told in full,
-- briefly, and all have their name.
for i = 1, math.min(#broken, 2) do
  local f = broken[i]
  if f.about then print(("---- %s\n%s"):format(f.name, excerpt(f.about, 1500))) end
end
for _, f in ipairs(broken) do print("failed: " .. f.name) end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
