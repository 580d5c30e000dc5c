-- SPDX-License-Identifier: Apache-2.0
-- Waiting without sleeping: a spec names what it waits for, the libuv loop runs until that is
-- so, and a deadline turns a hang into a failure that says what was missing.
local uv = require "luv"

local M = {}

-- To write to a peer that is gone is an error, and not the end of all specs: libuv leaves that
-- signal to its programs.
local gone = uv.new_signal()
gone:start("sigpipe", function() end)
gone:unref()

--- Sanitized builds on a shared machine are slow; a deadline is for hangs, not for speed.
M.deadline = 60000

--- A deadline is counted in turns of this many milliseconds in which the loop ran and nothing
--- came: what a machine stands still, or gives to others, is nobody's delay. And libuv runs due
--- timers before it waits for I/O, so one that was due as the loop began, and did not repeat,
--- would leave it waiting for ever.
M.again = 20

--- Runs the loop until `ready()` is true. @return what it returned
--- `what` names the wait in the error: a string, or a function that makes one.
function M.await(ready, what, ms)
  local result = ready()
  if result then return result end
  ms = ms or M.deadline
  local left = ms // M.again + 1
  local timer = uv.new_timer()
  timer:start(math.min(ms, M.again), M.again, function() left = left - 1 end)
  repeat
    uv.run "once"
    result = ready()
  until result or left <= 0
  timer:stop()
  timer:close()
  if not result then
    local text = type(what) == "function" and what() or what
    error(("waited %d ms for %s"):format(ms, text), 2)
  end
  return result
end

--- As await, for what no event tells of because it happens in another process: asks again
--- and again.
function M.eventually(ready, what, ms)
  local again = uv.new_timer()
  again:start(25, 25, function() end)
  local result = { pcall(M.await, ready, what, ms) }
  again:close()
  if not result[1] then error(result[2], 2) end
  return result[2]
end

--- Lets the loop run for `ms`: only to prove that something does not happen.
function M.pass(ms)
  local over = false
  local timer = uv.new_timer()
  timer:start(ms, M.again, function() over = true end)
  while not over do uv.run "once" end
  timer:close()
end

-- The workers of a host share a port, and the kernel lets two hosts of one user share it as
-- well: one would get what was meant for the other, and no error would say so. So a port that is
-- given is claimed, against other runs on this machine too, until this process ends: by a
-- datagram socket on another loopback address, which is in nobody's way.
local claims = {}

local function claim(port)
  local mark = uv.new_udp()
  if mark:bind("127.0.0.2", port) then
    claims[#claims + 1] = mark
    return true
  end
  mark:close()
end

local function is_free(port)
  local tcp, udp = uv.new_tcp(), uv.new_udp()
  local free = tcp:bind("127.0.0.1", port) and tcp:listen(1, function() end)
    and udp:bind("127.0.0.1", port)
  tcp:close()
  udp:close()
  uv.run "nowait"
  return free
end

--- Where the system takes the ports of outgoing connections from.
local function outgoing()
  local file = io.open "/proc/sys/net/ipv4/ip_local_port_range"
  local first, last = (file and file:read "a" or ""):match "(%d+)%s+(%d+)"
  if file then file:close() end
  return tonumber(first) or 32768, tonumber(last) or 60999
end

--- Ports that nobody listens on, outside of the range from which the system serves outgoing
--- connections where that leaves any, so that none of those takes one before the host does.
function M.free_port()
  local first, last = outgoing()
  for n = 1, 1000 do
    local port = math.random(10000, 32000)
    local apart = port < first or port > last or n > 500
    if apart and claim(port) and is_free(port) then return port end
  end
  error "no free port"
end

math.randomseed(os.time(), uv.hrtime() // 1000 + uv.os_getpid())

return M
