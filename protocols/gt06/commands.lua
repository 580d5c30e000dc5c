-- SPDX-License-Identifier: Apache-2.0
-- Commands down: text of the model's SMS commands, one at a time per device, each with a server
-- flag that comes back in its reply. What became of each is published on the command topic, with
-- the command's name and the text that it is: queued, sent, replied, timed_out, failed, refused,
-- or expired while the device was away.
local tg = require "tidegate"

local M = {}

local format = string.format

local function topic_of(device, config)
  local parts = { device = device, type = "command", adapter = "gt06" }
  return (config.topic:gsub("%${(%w+)}", parts))
end

--- A device that has gone cannot publish any more; what became of its commands is told for it.
local function tell(conn, job, config, state, more)
  local time = tg.time.format(tg.time.now())
  local data = {
    id = job.id, command = job.name, text = job.text, state = state,
    correlation_id = job.correlation_id, time = time,
  }
  for key, value in pairs(more or {}) do data[key] = value end
  if conn.open then
    conn:publish { type = "command", data = data }
  else
    tg.publish { topic = topic_of(job.device, config), data = data }
  end
  return data
end

--- Flags start at a random-looking place, so that a late reply to an earlier connection's
--- command is not taken for one of this.
local function next_flag(state)
  state.flag = ((state.flag or tg.time.now()) + 1) & 0x7FFFFFFF
  return state.flag
end

--- Sends one command and waits for its reply; frames of the device are handled meanwhile.
local function execute(conn, job, config)
  if not conn.open then
    return tell(conn, job, config, "failed", { error = "the device has gone" })
  end
  tell(conn, job, config, "sent")
  local reply, err = conn:request({ type = "command", flag = job.flag, text = job.text },
    { key = format("%08x", job.flag), timeout = config.command_timeout / 1000 })
  if reply then return tell(conn, job, config, "replied", { reply = reply }) end
  local fate = err.code == "TIMEOUT" and "timed_out" or "failed"
  tell(conn, job, config, fate, { error = err.message })
  return nil, err
end

local function drain(conn, config)
  local state = conn.state
  while state.queue and #state.queue > 0 do
    execute(conn, table.remove(state.queue, 1), config)
  end
  state.busy = nil
end

--- What never flew is told, too: a message down has no other answer.
local function refuse(conn, job, config, err)
  tell(conn, job, config, "refused", { error = err.message })
  return nil, err
end

local QUEUE_MAX = 32
local FULL = { code = "FULL", message = "32 commands wait for this device already" }

--- The first command in line waits for its reply; those behind it are queued and told of later.
local function submit(conn, job, config)
  local state = conn.state
  job.flag = next_flag(state)
  job.id = format("%08x", job.flag)
  if state.busy then
    state.queue = state.queue or {}
    if #state.queue >= QUEUE_MAX then return refuse(conn, job, config, FULL) end
    state.queue[#state.queue + 1] = job
    return tell(conn, job, config, "queued")
  end
  state.busy = true
  local done, err = execute(conn, job, config)
  if state.queue and #state.queue > 0 then
    tg.timer.after(0, function() drain(conn, config) end)
  else
    state.busy = nil
  end
  return done, err
end

--- Cutting the engine is safety-relevant: off unless the config lists the device.
local function may_cut(conn, config)
  for _, device in ipairs(config.allow_cut) do
    if device == "*" or device == conn.device then return true end
  end
  return false
end

local function cuts(text)
  local upper = text:upper()
  return upper:find "^%s*RELAY%s*,%s*1" ~= nil or upper:find "^%s*DYD" ~= nil
end

local REFUSED = {
  code = "DENIED", message = "cutting the engine is off for this device: see the option allow_cut",
}

local NO_TEXT = { code = "INVAL", message = "a command needs its 'text'" }

local CUT = { relay = { "Relay,1#", "Relay,0#" }, dyd = { "DYD,000000#", "HFYD,000000#" } }

--- The text that each command is; nil: none, or no text.
local TEXTS = {
  --- { text = "STATUS#" }
  send = function(args) return type(args.text) == "string" and args.text or nil end,
  --- { cut = true } stops the engine, false releases it.
  relay = function(args, config) return CUT[config.cut_dialect][args.cut and 1 or 2] end,
  status = function() return "STATUS#" end,
  where = function() return "WHERE#" end,
  reboot = function() return "RESET#" end,
}

local function send(conn, name, args, config)
  local text = TEXTS[name](args, config)
  local job = {
    name = name, text = text, device = conn.device, correlation_id = args.correlation_id,
  }
  if not text or text == "" then
    job.text = nil
    return refuse(conn, job, config, NO_TEXT)
  end
  if cuts(text) and not may_cut(conn, config) then return refuse(conn, job, config, REFUSED) end
  return submit(conn, job, config)
end

--- { text, phone, keyword = "ADDRESS" or "ALARMSMS", chinese }: what the device hands on as SMS.
--- It answers nothing, so that it was sent is the last that is told.
local function address(conn, args, config)
  local state = conn.state
  local job = { name = "address", device = conn.device, correlation_id = args.correlation_id }
  for _, name in ipairs { "text", "phone", "keyword" } do
    if type(args[name] or "") ~= "string" then
      return refuse(conn, job, config, { code = "INVAL", message = name .. ": expected a text" })
    end
  end
  job.text = args.text
  local ok, err = conn:send {
    type = "address", text = args.text or "", phone = args.phone or state.phone or "",
    keyword = args.keyword, chinese = args.chinese, serial = state.address_serial or 0,
  }
  if not ok then return refuse(conn, job, config, err) end
  return tell(conn, job, config, "sent")
end

local AWAY = {
  expired = "the device did not come in time",
  refused = "the device is away, and no more is kept for it",
}

--- Adds the adapter's commands.
---@param adapter tg.Adapter
function M.add(adapter)
  local config = adapter.config

  for name in pairs(TEXTS) do
    adapter.commands[name] = function(conn, args) return send(conn, name, args, config) end
  end
  function adapter.commands.address(conn, args) return address(conn, args, config) end

  --- A message for a device that is away: what becomes of it until the device comes.
  function adapter.on_away(msg, state)
    local request = msg:json()
    if type(request) ~= "table" or not adapter.commands[request.command] then return end
    local args = type(request.args) == "table" and request.args or {}
    local text = (TEXTS[request.command] or TEXTS.send)(args, config)
    tg.publish { topic = topic_of(msg.device, config), data = {
      command = request.command, text = text, state = state, error = AWAY[state],
      correlation_id = args.correlation_id or request.id, time = tg.time.format(tg.time.now()),
    } }
  end
end

return M
