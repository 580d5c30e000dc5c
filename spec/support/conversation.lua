-- SPDX-License-Identifier: Apache-2.0
-- Plays a conversation (spec/data/conversations/*/*.vec; docs/vectors.md has the form) to an
-- adapter without a host, with a clock that stands still until the conversation moves it, and
-- says where what happened is not what the file has.
local cjson = require "cjson"
local offline = require "support.offline"

local M = {}

local SECONDS = { ms = 0.001, s = 1, m = 60, h = 3600 }

local function milliseconds(text)
  local n, unit = text:match "^([%d.]+)(%a+)$"
  return math.tointeger(tonumber(n) * SECONDS[unit] * 1000 // 1)
end

local function plain_hex(text) return (text:gsub("[%s:]", ""):lower()) end

--- Lines as steps: what the device or an application does, and what must come of it.
---@return table[] steps { command, line, sends, publishes }
local function parse(path)
  local steps, conn, n = {}, 0, 0
  local function step(command)
    steps[#steps + 1] = { command = command, line = n, sends = {}, publishes = {} }
  end
  local function expect()
    return assert(steps[#steps], ("%s:%d: nothing happened before"):format(path, n))
  end
  local function act(mark, rest)
    if mark == "config" then
      step("open " .. rest)
    elseif mark == "connect" then
      conn = conn + 1
      step "connect 192.0.2.1:5000"
    elseif mark == "hangup" then
      step("hangup " .. conn)
    elseif mark == ">" then
      step(("feed %d %s"):format(conn, plain_hex(rest)))
    elseif mark == "!" then
      local device, message = rest:match "^(%S+) (.+)$"
      step(("deliver %s down/%s 1 %s"):format(device, device, message))
    elseif mark == "+" then
      step("advance " .. milliseconds(rest))
    elseif mark == "<" then
      table.insert(expect().sends, plain_hex(rest))
    elseif mark == "=" then
      local topic, payload = rest:match "^(%S+) ?(.*)$"
      table.insert(expect().publishes, { topic, payload })
    else
      error(("%s:%d: what is '%s'?"):format(path, n, mark))
    end
  end
  for line in io.lines(path) do
    n = n + 1
    local mark, rest = line:match "^(%S+)%s*(.-)%s*$"
    if mark and not mark:find "^#" then act(mark, rest) end
  end
  return steps
end

--- Is all of `want` in `got`? Members that are not listed may be anything.
local function within(want, got)
  if type(want) ~= "table" or type(got) ~= "table" then
    return want == got or type(want) == "number" and type(got) == "number"
      and math.abs(want - got) < 1e-9
  end
  if #want ~= #got then return false end
  for key, value in pairs(want) do
    if not within(value, got[key]) then return false end
  end
  return true
end

local function same_payload(want, got)
  local ok, w = pcall(cjson.decode, want)
  local fine, g = pcall(cjson.decode, got)
  if ok and type(w) == "table" then return fine and within(w, g) end
  return want == got
end

local function show(list) return #list > 0 and table.concat(list, "\n    ") or "(nothing)" end

local function compare(path, step, events)
  local sends, publishes = {}, {}
  for _, e in ipairs(events) do
    if e.event == "send" and e.hex and e.hex ~= "" then sends[#sends + 1] = e.hex end
    if e.event == "publish" then publishes[#publishes + 1] = e.topic .. " " .. e.payload end
    if e.event == "log" and e.level == "error" then
      return ("%s:%d: %s"):format(path, step.line, e.text)
    end
  end
  if show(sends) ~= show(step.sends) then
    return ("%s:%d: it sends\n    %s\n  and should send\n    %s"):format(path, step.line,
      show(sends), show(step.sends))
  end
  if #publishes ~= #step.publishes then
    return ("%s:%d: it publishes\n    %s"):format(path, step.line, show(publishes))
  end
  for i, want in ipairs(step.publishes) do
    local topic, payload = publishes[i]:match "^(%S+) ?(.*)$"
    if topic ~= want[1] or want[2] ~= "" and not same_payload(want[2], payload) then
      return ("%s:%d: it publishes\n    %s\n  and should publish\n    %s %s"):format(path,
        step.line, publishes[i], want[1], want[2])
    end
  end
end

--- @param plugin string folder
--- @param path string the conversation
--- @return string? wrong nil: all went as written
--- @return integer steps
function M.play(plugin, path)
  local steps, commands = parse(path), {}
  for i, step in ipairs(steps) do commands[i] = step.command end
  local blocks = offline.run(plugin, commands)
  for i, step in ipairs(steps) do
    local wrong = compare(path, step, blocks[i])
    if wrong then return wrong, #steps end
  end
  return nil, #steps
end

return M
