-- SPDX-License-Identifier: Apache-2.0
-- Child processes whose output is awaited line by line: the host itself, mosquitto_sub,
-- Python clients. Every child is known here, so that a failed test leaves none behind.
local uv = require "luv"
local loop = require "support.loop"

local Process = {}
Process.__index = Process

local alive = {}
local known = {} -- all since the last cleanup(), for tail()

-- How a sanitizer begins to say what it found, and the children in which it did: a child that
-- is killed, or that is expected to fail, ends with a code that does not tell.
local REPORTS = { "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:" }
local reported = {}

local function has_report(line)
  for _, word in ipairs(REPORTS) do
    if line:find(word, 1, true) then return true end
  end
end

local function collect(lines, pipe, on_line)
  local rest = ""
  pipe:read_start(function(err, chunk)
    if err or not chunk then
      if rest ~= "" then lines[#lines + 1] = rest end
      lines.ended = true
      return
    end
    rest = rest .. chunk
    -- No pattern: it would look at a long line once for each of its bytes.
    local from, at = 1, rest:find("\n", 1, true)
    while at do
      lines[#lines + 1] = rest:sub(from, at - 1)
      if on_line then on_line(lines[#lines]) end
      from, at = at + 1, rest:find("\n", at + 1, true)
    end
    rest = rest:sub(from)
  end)
end

local function environment(extra)
  if not extra then return nil end
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if extra[name] == nil then list[#list + 1] = name .. "=" .. value end
  end
  for name, value in pairs(extra) do
    if value then list[#list + 1] = name .. "=" .. value end
  end
  return list
end

--- Starts `command`. options: env (map; false removes), cwd, on_out, on_err (each line).
--- Without a stdin of its own it reads end of file.
function Process.spawn(command, args, options)
  options = options or {}
  local self = setmetatable({ name = command, args = args or {}, out = {}, err = {} }, Process)
  local stdin, stdout, stderr = uv.new_pipe(), uv.new_pipe(), uv.new_pipe()
  local text = {}
  for i, arg in ipairs(args or {}) do text[i] = tostring(arg) end
  local handle, pid = uv.spawn(command, {
    args = text, stdio = { stdin, stdout, stderr },
    env = environment(options.env), cwd = options.cwd,
  }, function(code, signal)
    self.code, self.signal = code, signal
    self.handle:close()
    alive[self] = nil
  end)
  if not handle then
    -- Left to the collector, the pipes of a child that never was end this process, too.
    for _, pipe in ipairs { stdin, stdout, stderr } do pipe:close() end
    uv.run "nowait"
    error(("cannot start %s: %s"):format(command, pid), 2)
  end
  self.handle, self.pid, self.stdin = handle, pid, stdin
  self.pipes = { stdin, stdout, stderr }
  collect(self.out, stdout, options.on_out)
  collect(self.err, stderr, function(line)
    if has_report(line) then reported[#reported + 1] = self end
    if options.on_err then options.on_err(line) end
  end)
  alive[self] = true
  known[#known + 1] = self
  return self
end

local function last_of(lines, n, out)
  for i = math.max(1, #lines - n + 1), #lines do
    local line = lines[i]:gsub('"ts":"[^"]+T([^"]+)Z","level":', '"%1":') -- log lines are long
    out[#out + 1] = "  " .. (#line > 200 and line:sub(1, 197) .. "..." or line)
  end
end

--- What the last processes of a test said last: for a report of its failure.
function Process.tail()
  local out = {}
  uv.run "nowait"
  for i = math.max(1, #known - 2), #known do
    local child = known[i]
    local fate = child.code and ("ended with code %d, signal %d"):format(child.code, child.signal)
    out[#out + 1] = ("%s %s (%s):"):format(child.name, tostring(child.args[1] or ""),
      fate or "runs")
    last_of(child.out, 2, out)
    last_of(child.err, 5, out)
  end
  return table.concat(out, "\n")
end

function Process:write(bytes) self.stdin:write(bytes) end

--- Ends the child's input behind what was written.
function Process:close_stdin()
  if self.shut or self.stdin:is_closing() then return end
  self.shut = true
  self.stdin:shutdown(function()
    if not self.stdin:is_closing() then self.stdin:close() end
  end)
end

--- Stops taking the child's output, as a slow reader does, and goes on again.
function Process:pause_output() self.pipes[2]:read_stop() end

function Process:resume_output() collect(self.out, self.pipes[2]) end

function Process:kill(signal)
  if not self.code then self.handle:kill(signal or "sigterm") end
end

--- The next line of stdout (or of `from`) that has `pattern` in it, from the last one on.
function Process:line(pattern, ms, from)
  local lines = from or self.out
  lines.seen = lines.seen or 0
  return loop.await(function()
    while lines.seen < #lines do
      lines.seen = lines.seen + 1
      if not pattern or lines[lines.seen]:find(pattern) then return lines[lines.seen] end
    end
    if lines.ended and self.code then
      error(("%s ended with %d before a line with %q:\n%s"):format(
        self.name, self.code, pattern or "", table.concat(self.err, "\n")), 0)
    end
  end, function()
    return ("a line with %q of %s; stdout:\n%s\nstderr:\n%s"):format(pattern or "", self.name,
      table.concat(self.out, "\n"), table.concat(self.err, "\n"))
  end, ms)
end

function Process:err_line(pattern, ms) return self:line(pattern, ms, self.err) end

--- Waits for its end. @return exit code, signal; both outputs are complete then
function Process:wait(ms)
  self:close_stdin()
  loop.await(function() return self.code and self.out.ended and self.err.ended end,
    function()
      return ("the end of %s; stderr:\n%s"):format(self.name, table.concat(self.err, "\n"))
    end, ms)
  for _, pipe in ipairs(self.pipes) do
    if not pipe:is_closing() then pipe:close() end
  end
  uv.run "nowait"
  return self.code, self.signal
end

--- Runs a command to its end. @return exit code, stdout, stderr
function Process.run(command, args, options)
  local child = Process.spawn(command, args, options)
  local code = child:wait(options and options.ms)
  local function text(lines) return #lines > 0 and table.concat(lines, "\n") .. "\n" or "" end
  return code, text(child.out), text(child.err)
end

--- Kills what a failed test left running.
function Process.cleanup()
  local left = {}
  for child in pairs(alive) do left[#left + 1] = child end
  for _, child in ipairs(left) do child:kill "sigkill" end
  for _, child in ipairs(left) do child:wait() end
  known = {}
end

--- Raises if a sanitizer has found something in a child since the last call.
function Process.assert_no_report()
  local child = reported[1]
  if not child then return end
  reported = {}
  if not child.code then child:wait() end -- the report is whole then
  error("sanitizer report:\n" .. table.concat(child.err, "\n"), 3)
end

return Process
