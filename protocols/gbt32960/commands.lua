-- SPDX-License-Identifier: Apache-2.0
-- Commands down. The header has no serial, so an answer is known by its VIN and command
-- alone: of each command one is on its way to a vehicle, and those behind it wait. What
-- became of each is published on the topic `command`: queued, sent, acked, refused, expired
-- or failed.
local tg = require "tidegate"
local control = require "control"
local emqx = require "emqx"
local encode = require "encode"
local quality = require "quality"

local M = {}

local AWAY = {
  expired = "the vehicle did not come in time",
  refused = "the vehicle is away, and no more is kept for it",
}

local QUEUE_MAX = 32

local function bad(why) return nil, { code = "INVAL", message = why } end

---@param adapter tg.Adapter
function M.add(adapter)
  local config = adapter.config

  local function tell(conn, job, state, more)
    local data = {
      id = job.id, command = job.name, state = state, correlation_id = job.correlation_id,
      time = tg.time.format(tg.time.now()), vin = job.vin,
    }
    for key, value in pairs(more or {}) do data[key] = value end
    if conn.open then
      conn:publish { type = "command", device = job.vin, data = data }
    else -- the link has gone, and whoever sent the command still wants to know
      local parts = { device = job.vin, type = "command", adapter = adapter.id }
      tg.publish { topic = config.topic:gsub("%${(%w+)}", parts), data = data }
    end
    return data
  end

  --- @return string state
  --- @return table? more
  local function outcome(reply)
    local data = reply.data
    local more = { answer = data.answer, answer_time = data.time, parameters = data.parameters }
    return reply.ok and "acked" or "refused", more
  end

  --- Sends and waits, again if need be. Other messages of the link are handled meanwhile.
  local function execute(conn, job)
    local key = ("%s/%d"):format(job.vin, job.cmd)
    for try = 1, config.command_tries do
      tell(conn, job, "sent", { try = try })
      local reply, err = conn:request(job.frame,
        { key = key, timeout = config.command_timeout / 1000 })
      if reply then return tell(conn, job, outcome(reply)) end
      if err.code ~= "TIMEOUT" or not conn.open then
        tell(conn, job, "failed", { error = err.message })
        return nil, err
      end
    end
    tell(conn, job, "expired")
    return nil, { code = "TIMEOUT", message = "the vehicle did not answer" }
  end

  local function drain(conn, lane)
    while #lane.queue > 0 do
      local job = table.remove(lane.queue, 1)
      if conn.open then
        execute(conn, job)
      else
        tell(conn, job, "failed", { error = "the link has ended" })
      end
    end
    lane.busy = false
  end

  local function submit(conn, v, job)
    v.jobs = v.jobs or {}
    local lane = v.jobs[job.cmd]
    if not lane then
      lane = { busy = false, queue = {} }
      v.jobs[job.cmd] = lane
    end
    if lane.busy then
      if #lane.queue >= QUEUE_MAX then
        return nil, { code = "FULL", message = "32 such commands wait for this vehicle already" }
      end
      lane.queue[#lane.queue + 1] = job
      return tell(conn, job, "queued")
    end
    lane.busy = true
    local done, err = execute(conn, job)
    if #lane.queue > 0 then
      tg.timer.after(0, function() drain(conn, lane) end)
    else
      lane.busy = false
    end
    return done, err
  end

  local number = 0

  local function job_of(name, cmd, vin, args)
    number = number + 1
    return {
      name = name, cmd = cmd, vin = vin, correlation_id = args.correlation_id,
      id = ("%d-%d"):format(tg.time.now(), number),
    }
  end

  --- The vehicle that is meant: of the topic, of the arguments, or the link's only one.
  local function target(conn, args)
    local vin = args.device or conn.device
    local v = conn.state.vehicles and conn.state.vehicles[vin]
    if not v then return nil, nil, "no such vehicle on this link: " .. tostring(vin) end
    return v, vin
  end

  --- Builds the frame of a command and sends it. @param m table what encode needs
  local function send(conn, name, args, m)
    local v, vin, why = target(conn, args)
    if not v then return bad(why) end
    m.edition, m.id, m.now = v.edition, v.id, tg.time.now()
    local frame, err = encode.encode(m, adapter)
    if not frame then return bad(err) end
    local job = job_of(name, m.cmd, vin, args)
    job.frame = frame
    return submit(conn, v, job)
  end

  local commands = adapter.commands

  --- { ids = { "report_period_s", "0x06" } }
  function commands.query(conn, args)
    if type(args.ids) ~= "table" then return bad "ids: expected a list" end
    return send(conn, "query", args, { cmd = 0x80, ids = args.ids })
  end

  --- { parameters = { report_period_s = 10, host = "…" } }
  function commands.set(conn, args)
    if type(args.parameters) ~= "table" then return bad "parameters: expected an object" end
    return send(conn, "set", args, { cmd = 0x81, parameters = args.parameters })
  end

  local function controlled(conn, name, args)
    local m = { cmd = 0x82 }
    for _, member in ipairs(control.members) do m[member] = args[member] end
    return send(conn, name, args, m)
  end

  --- { control = "reset" } or { control = 0x80, parameter_hex = "…" }
  function commands.control(conn, args) return controlled(conn, "control", args) end

  for name in pairs(control.codes) do
    commands[name] = function(conn, args)
      args.control = name
      return controlled(conn, name, args)
    end
  end

  --- Commands without an answer that could be told from another's.
  local function one_way(name, cmd)
    commands[name] = function(conn, args)
      local v, vin, why = target(conn, args)
      if not v then return bad(why) end
      local m = { cmd = cmd, edition = 2025, id = v.id, data = args }
      local frame, err = encode.encode(m, adapter)
      if not frame then return bad(err) end
      local ok, failed = conn:send(frame)
      if not ok then return nil, failed end
      return tell(conn, job_of(name, cmd, vin, args), "sent")
    end
  end

  --- { status = "ok", info = "ok" }
  one_way("activation_result", 0x0A)
  --- { key_type = "SM4", key = "hex", enable_time, expiry_time }
  one_way("key_exchange", 0x0B)

  --- Publishes the counters of a vehicle.
  function commands.quality(conn, args)
    local v, vin, why = target(conn, args)
    if not v then return bad(why) end
    local data = quality.data(vin, v)
    conn:publish { type = "quality", device = vin, data = data }
    return data
  end

  -- ---- messages on the down topic --------------------------------------------------------------

  --- @return string? name nil: it is no command
  --- @return table|string args or why not
  local function read(json)
    if json.Action then return emqx.command(json) end
    if type(json.args or {}) ~= "table" then return nil, "args: expected an object" end
    if type(json.command) ~= "string" then return nil, "command: expected a name" end
    if not commands[json.command] then return nil, "no such command: " .. json.command end
    return json.command, json.args or {}
  end

  --- One for a vehicle that is away: its session keeps it, or it was not kept long enough.
  function adapter.on_away(message, state)
    local json = message:json()
    local name = type(json) == "table" and read(json)
    if not name then return end -- refused when the vehicle comes
    local given = type(json.args) == "table" and json.args.correlation_id
    tell({ open = false }, {
      name = name, vin = message.device, correlation_id = given or json.correlation_id or json.id,
    }, state, { error = AWAY[state] })
  end

  --- What cannot be done is told, and nothing happens to the link.
  function adapter.on_downlink(conn, message)
    local json, err = message:json()
    if type(json) ~= "table" then json = {} end
    local job = { name = json.command or json.Action, vin = message.device }
    local name, args = nil, err and err.message
    if not err then name, args = read(json) end
    job.correlation_id = json.correlation_id or json.id
    if not name then
      tell(conn, job, "refused", { error = args })
      return nil, args
    end
    args.device = job.vin
    if args.correlation_id == nil then args.correlation_id = job.correlation_id end
    local done, failed = commands[name](conn, args)
    if not done and (failed.code == "INVAL" or failed.code == "FULL") then
      job.name, job.correlation_id = name, args.correlation_id
      tell(conn, job, "refused", { error = failed.message })
    end
    return done, failed
  end
end

return M
