-- SPDX-License-Identifier: Apache-2.0
-- Runs the C tests and the Busted specs of one or more builds and adds up what they say, so
-- that the last line of a run is one count, and the lines above it name what failed: of a long
-- log the end is what is read. Usage: run.lua BUILD [path | BUILD:path]…
local cjson = require "cjson"

local passed, failed = 0, 0
local broken = {} -- what failed, by name

local function count(good, bad)
  passed, failed = passed + good, failed + bad
end

local function lines(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read("a")
  local ok = pipe:close()
  return text, ok
end

local function list(command)
  local out = {}
  for line in (lines(command)):gmatch("[^\n]+") do out[#out + 1] = line end
  table.sort(out)
  return out
end

--- A C test speaks TAP on stdout; a crash shows as fewer results than its plan.
local function run_c(build, path)
  local binary = build .. "/" .. path:gsub("%.c$", "")
  local text, ok = lines("CMOCKA_MESSAGE_OUTPUT=TAP " .. binary .. " 2>&1")
  local good, bad, skipped = 0, 0, 0
  for word, rest in ("\n" .. text):gmatch "\n(n?o?t? ?ok) %d+([^\n]*)" do
    if rest:find "# SKIP" then skipped = skipped + 1
    elseif word == "ok" then good = good + 1
    else
      bad = bad + 1
      broken[#broken + 1] = binary .. ":" .. rest:gsub("^ %-", "")
    end
  end
  if (not ok and bad == 0) or good + bad + skipped == 0 then
    bad = bad + 1
    broken[#broken + 1] = binary .. ": ended before its last test"
  end
  if bad > 0 then io.write(text) end
  print(("%s: %d passed, %d failed"):format(binary, good, bad))
  count(good, bad)
end

local BUSTED = "TG_BUILD=%s lua5.4 /usr/bin/busted --lpath='./spec/?.lua'"
  .. " -o spec/support/report.lua -Xoutput %s %s"

local function run_busted(build, path)
  local report = os.tmpname()
  local ok = os.execute(BUSTED:format(build, report, path))
  local file = io.open(report)
  local good, counts = pcall(cjson.decode, file and file:read("a") or "")
  if file then file:close() end
  os.remove(report)
  if not good then counts = { passed = 0, failed = 0, names = {} } end
  if not ok and counts.failed == 0 then
    counts.failed, counts.names = 1, { "the specs ended before their last test" }
  end
  for _, name in ipairs(counts.names) do
    broken[#broken + 1] = ("%s (%s)"):format(name, build)
  end
  count(counts.passed, counts.failed)
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
for _, name in ipairs(broken) do print("failed: " .. name) end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
