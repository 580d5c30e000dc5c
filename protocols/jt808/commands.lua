-- SPDX-License-Identifier: Apache-2.0
-- Commands down: one for every message from the platform that a terminal acts on, from the down
-- topic or the REST API. Each gets a serial, is sent again after T, 2T and 6T, and ends with the
-- terminal's answer. What becomes of it is published: queued, sent, acked, refused or expired.
local tg = require "tidegate"
local choice = require "choice"
local encode = require "encode"
local registry = require "registry"
local replies = require "replies"
local requests = require "requests"
local shapes = require "shapes"

local M = {}

local function invalid(message) return { code = "INVAL", message = message } end

local REASONS = { [1] = "failed", [2] = "message wrong", [3] = "not supported" }

local NOT_ALLOWED = { code = "DENIED",
  message = "this can disable a vehicle and is off for this device: see the option allow" }

-- ---- fates -------------------------------------------------------------------------------------

local function tell(conn, dev, job, state, more)
  local fate = {
    id = job.id, command = job.name, message_id = ("0x%04x"):format(job.message),
    serial = job.serial, state = state, time = tg.time.format(tg.time.now(), 480),
  }
  for key, value in pairs(more or {}) do fate[key] = value end
  if conn.open then
    conn:publish { type = "command", device = dev.device, data = fate }
  else
    local topic = job.topic:gsub("%${(%w+)}", { device = dev.device, type = "command" })
    tg.publish { topic = topic, data = fate }
  end
  return fate
end

local function outcome(conn, dev, job, answer)
  local data = answer.data
  local result = answer.result or data and (data.result_raw or data.result)
  if type(result) == "number" and result ~= 0 then
    local reason = answer.result and REASONS[result] or data and data.result
    return tell(conn, dev, job, "refused", { result = result, reason = reason, answer = data })
  end
  return tell(conn, dev, job, "acked", { result = result, answer = data })
end

-- ---- sending ----------------------------------------------------------------------------------

local function remember(dev, job, count, config)
  dev.waiting = dev.waiting or {}
  dev.order = (dev.order or 0) + 1
  local entry = registry.entry(job.message)
  local w = {
    id = job.message, answer = entry.answer or nil, early = entry.early, order = dev.order,
    key = dev.device .. ":" .. job.serial, first = job.serial, count = count,
    until_ms = config.answer_timeout,
  }
  for n = 0, count - 1 do dev.waiting[(job.serial + n) & 0xFFFF] = w end
  return w
end

local function forget(dev, w)
  for n = 0, w.count - 1 do
    local serial = (w.first + n) & 0xFFFF
    if dev.waiting[serial] == w then dev.waiting[serial] = nil end
  end
  if not next(dev.waiting) then dev.waiting = nil end
end

--- All packets but the last go out at once; with the last one the wait begins.
local function attempt(conn, frames, w, ms)
  for n = 1, #frames - 1 do
    local ok, err = conn:send(frames[n])
    if not ok then return nil, err end
  end
  return conn:request(frames[#frames], { key = w.key, timeout = ms / 1000 })
end

--- T, then 2T, then 6T. Once the terminal has confirmed, only its own answer is waited for.
local function converse(conn, frames, w, config)
  local ms, answer, err = config.command_timeout, nil, nil
  for n = 1, config.command_tries do
    answer, err = attempt(conn, frames, w, ms)
    if answer or err.code ~= "TIMEOUT" or w.received then break end
    ms = ms * (n + 1)
  end
  if not answer and err.code == "TIMEOUT" and w.received then
    return conn:request("", { key = w.key, timeout = w.until_ms / 1000 })
  end
  return answer, err
end

local AGAIN = 3
local TOO_OLD = "older than its ttl"

local function too_old(job) return job.deadline and tg.time.now() > job.deadline end

--- A command whose terminal left goes back to where it came from: its session holds it until
--- the terminal is there again. Its ttl counts on.
local function queue_again(job)
  local request = job.request
  local times = request and (tonumber(request.again) or 0) + 1
  if not times or times > AGAIN or too_old(job) then return false end
  request.again = times
  request.ttl = job.deadline and (job.deadline - tg.time.now()) / 1000 or nil
  return tg.publish { topic = job.from, data = request, qos = 1 } ~= nil
end

local function execute(conn, dev, job, config)
  if too_old(job) then
    tell(conn, dev, job, "expired", { reason = TOO_OLD })
    return nil, { code = "TIMEOUT", message = TOO_OLD }
  end
  local frames, serial = encode.frames({
    id = job.message, data = job.data, header = dev.header, version = dev.version,
    phone = dev.phone, serial = dev.serial, edition = dev.edition or dev.header,
    terminated = dev.terminated,
    key = config.encrypt_down and job.message ~= 0x8A00 and dev.key or nil,
  }, config)
  if not frames then
    local why = type(serial) == "table" and serial.message or serial
    tell(conn, dev, job, "refused", { reason = why })
    return nil, invalid(why)
  end
  job.serial, dev.serial = serial, (dev.serial + #frames) & 0xFFFF
  replies.keep(dev, frames, serial)
  local entry = registry.entry(job.message)
  if entry.answer == false then
    for _, frame in ipairs(frames) do conn:send(frame) end
    return tell(conn, dev, job, "sent")
  end
  local w = remember(dev, job, #frames, config)
  tell(conn, dev, job, "sent")
  local answer, err = converse(conn, frames, w, config)
  forget(dev, w)
  if answer then return outcome(conn, dev, job, answer) end
  if err.code == "CLOSED" and queue_again(job) then
    return tell(conn, dev, job, "queued", { reason = "the terminal left" })
  end
  tell(conn, dev, job, "expired", { reason = err.message })
  return nil, err
end

--- A command that waited in line when its terminal left.
local function left_behind(conn, dev, job)
  local state = queue_again(job) and "queued" or "expired"
  tell(conn, dev, job, state, { reason = "the terminal left" })
end

--- The next in line has the place of the one that is done.
local function run_next(conn, dev, config)
  local job = dev.queue and table.remove(dev.queue, 1)
  if not job then
    dev.queue, dev.flying = nil, dev.flying - 1
    return
  end
  tg.timer.after(0, function()
    if conn.open then execute(conn, dev, job, config) else left_behind(conn, dev, job) end
    run_next(conn, dev, config)
  end)
end

--- Up to `commands_in_flight` at once; the others wait in line.
local function submit(conn, dev, job, config)
  local flying = dev.flying or 0
  if flying >= config.commands_in_flight then
    local queue = dev.queue or {}
    if #queue >= config.commands_queued then
      tell(conn, dev, job, "refused", { reason = "too many commands wait" })
      return nil, { code = "FULL", message = "too many commands wait for this device" }
    end
    dev.queue = queue
    queue[#queue + 1] = job
    return tell(conn, dev, job, "queued")
  end
  dev.flying = flying + 1
  local done, err = execute(conn, dev, job, config)
  run_next(conn, dev, config)
  return done, err
end

-- ---- the doors ---------------------------------------------------------------------------------

local function terminal(conn, device)
  local only, n
  for _, dev in pairs(conn.state) do
    if dev.ready and (not device or dev.device == device) then only, n = dev, (n or 0) + 1 end
  end
  if n == 1 then return only end
  return nil, invalid(n and "a concentrator's command must name its 'device'"
    or "no such terminal on this connection")
end

--- @param down table? { request, from, deadline } of one that came as a message
local function command(conn, id, name, args, config, down)
  if type(args) ~= "table" then return nil, invalid "'args' must be an object" end
  local dev, err = terminal(conn, args.device)
  if not dev then return nil, err end
  down = down or {}
  local job = {
    id = args.correlation_id, name = name, message = id, topic = config.topic,
    request = down.request, from = down.from, deadline = down.deadline,
  }
  if registry.entry(id).risky and not choice.listed(config.allow, dev.device) then
    tell(conn, dev, job, "refused", { reason = NOT_ALLOWED.message })
    return nil, NOT_ALLOWED
  end
  job.data = shapes.data(id, args, dev, config)
  return submit(conn, dev, job, config)
end

--- A message down that cannot be carried out is told on the command topic, too.
local function refuse(conn, msg, request, err)
  local id = type(request) == "table" and request.id or nil
  local name = type(request) == "table" and request.command or nil
  conn:publish { type = "command", device = msg.device or conn.device, data = {
    id = id, command = name, state = "refused", reason = err.message,
    time = tg.time.format(tg.time.now(), 480),
  } }
  return nil, err
end

local AWAY = {
  queued = "the terminal is away", expired = "the terminal did not come in time",
  refused = "the terminal is away, and no more is kept for it",
}

--- One for a terminal that is away: its session keeps it, or it was not kept long enough.
local function away(config, msg, state)
  local request, what = requests.read(msg)
  if not what then return end -- refused when the terminal comes
  if request.again and state == "queued" then return end -- told when it was left behind
  local topic = config.topic:gsub("%${(%w+)}", { device = msg.device, type = "command" })
  tg.publish { topic = topic, data = {
    id = request.id, command = what.name, message_id = ("0x%04x"):format(what.id), state = state,
    reason = AWAY[state], time = tg.time.format(tg.time.now(), 480),
  } }
end

---@param adapter tg.Adapter
function M.add(adapter)
  local config = adapter.config
  for name, id in pairs(requests.ids) do
    adapter.commands[name] = function(conn, args)
      return command(conn, id, name, args, config)
    end
  end

  --- { id = "0x8f01", data = "hex" }: messages that are not known here.
  function adapter.commands.send(conn, args)
    local id = requests.message_id(args)
    if not id then return nil, invalid "no such message id" end
    return command(conn, id, "send", { data = args.data, device = args.device,
      correlation_id = args.correlation_id }, config)
  end

  function adapter.on_away(msg, state) away(config, msg, state) end

  function adapter.on_downlink(conn, msg)
    local request, what, err = requests.read(msg)
    if not what then return refuse(conn, msg, request, err) end
    local args = {}
    for key, value in pairs(what.args) do args[key] = value end
    args.device, args.correlation_id = msg.device, request.id
    return command(conn, what.id, what.name, args, config,
      { request = request, from = msg.topic, deadline = requests.deadline(msg, request) })
  end
end

return M
