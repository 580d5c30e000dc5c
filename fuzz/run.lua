-- SPDX-License-Identifier: Apache-2.0
-- Fuzzes one target and says what the run is worth: what of the decoder it covered, and whether
-- it finds the bug planted behind a good decode. A driver names its decoder in a comment,
-- `// covers: core/codec/frame.c`. Usage: run.lua DIR SECONDS TARGET
local dir, seconds, target = arg[1], tonumber(arg[2]), arg[3]

local function run(command, ...)
  local ok, _, code = os.execute(command:format(...))
  return ok == true, code
end

local function read(command, ...)
  local pipe = assert(io.popen(command:format(...)))
  local text = pipe:read "a"
  pipe:close()
  return text
end

local function covers()
  for line in io.lines(("fuzz/%s_fuzz.c"):format(target)) do
    local files = line:match "^// covers: (.+)$"
    if files then return files end
  end
  error(("fuzz/%s_fuzz.c has no '// covers:' line"):format(target))
end

--- "lines 80.0 %" of an adapter in Lua: those that its driver told of those in functions. What
--- runs while the plugin loads is not the decoder.
local function lua_coverage(work)
  local reached, with_code = {}, 0
  for place in io.lines(work .. "/lines") do reached[place] = true end
  local hit = 0
  local files = read("ls %s | grep -v -e /reference.lua -e /names.lua -e /sim.lua", covers())
  for path in files:gmatch "%S+" do
    local name, seen = path:match "protocols/(.+)$", {}
    local listing, inside = read("luac5.4 -l -p %s", path), false
    for text in listing:gmatch "[^\n]+" do
      if text:find "^main <" or text:find "^function <" then inside = text:find "^f" ~= nil end
      local line = inside and text:match "\t%[(%d+)%]\t"
      if line and not seen[line] then
        seen[line], with_code = true, with_code + 1
        if reached[name .. ":" .. line] then hit = hit + 1 end
      end
    end
  end
  return ("lines %.1f %%"):format(100 * hit / math.max(with_code, 1))
end

--- "regions 93.1%, lines 95.0%" of the decoder's own files.
local function coverage(binary, work)
  if covers():find "%.lua" then return lua_coverage(work) end
  run("llvm-profdata-14 merge -sparse %s/*.profraw -o %s/all.profdata", work, work)
  local total = read("llvm-cov-14 report %s -instr-profile=%s/all.profdata %s 2>/dev/null",
    binary, work, covers()):match "TOTAL[^\n]*"
  local percents = {}
  for percent in (total or ""):gmatch "([%d.]+)%%" do percents[#percents + 1] = percent end
  return ("regions %s %%, functions %s %%, lines %s %%"):format(
    percents[1] or "?", percents[2] or "?", percents[3] or "?")
end

local function main()
  local work = read("mktemp -d"):gsub("%s+$", "")
  local binary = ("%s/%s"):format(dir, target)
  local seeds = ("spec/data/fuzz/%s"):format(target)
  run("mkdir -p %s/corpus %s/planted", work, work)
  local flags = "-max_len=4096 -timeout=30 -rss_limit_mb=2048"
  local fine = run("TG_LUA_LINES=%s/lines LLVM_PROFILE_FILE=%s/%%p.profraw %s %s"
    .. " -max_total_time=%d -artifact_prefix=%s/ %s/corpus %s >%s/log 2>&1", work, work, binary,
    flags, seconds, work, work, seeds, work)
  if not fine then
    print(read("tail -n 40 %s/log", work))
    print(("%s: FOUND SOMETHING; the input is in %s"):format(target, work))
    return false
  end
  local execs = read("grep -oE 'stat::number_of_executed_units: *[0-9]+|^Done [0-9]+' %s/log", work)
    :match "%d+" or "?"
  local reached = coverage(binary, work)
  local missed = run("LLVM_PROFILE_FILE=/dev/null %s-planted %s -max_total_time=60"
    .. " -artifact_prefix=%s/planted/ %s/corpus %s >%s/planted.log 2>&1", binary, flags, work,
    work, seeds, work)
  print(("%s: nothing new in %d s and %s runs; decoder covered: %s; planted bug %s"):format(
    target, seconds, execs, reached, missed and "NOT FOUND" or "found"))
  run("rm -rf %s", work)
  return not missed
end

os.exit(main())
