-- SPDX-License-Identifier: Apache-2.0
-- Vehicles that are none: `tidegate sim gbt32960`. They log in, report along a route, answer
-- queries and settings, with the adapter's own layouts. Right reports of a vehicle get no
-- answer, so a heartbeat goes behind each, and its answer tells that both were handled.
local tg = require "tidegate"
local sim = require "tidegate.sim"
local encode = require "encode"
local parameters = require "parameters"

local M = tg.adapter {
  id = "gbt32960-sim", version = "1.0.0", api = 1, transports = { "tcp", "tls" },
  frame = require "stream", down = false,
  config = sim.options(32960, {
    edition = { type = "enum", choices = { "2016", "2025" }, default = "2016" },
    upgrade_order = { type = "string", default = "table" },
    upgrade_numbers = { type = "string", default = "binary" },
  }),
}
local config = M.config
local edition = tonumber(config.edition)
local CTX = { config = config }
local COMMAND, OK = 0xFE, 1

function M.decode(frame)
  local _, _, cmd, flag = frame:byte(1, 4)
  return { cmd = cmd, flag = flag, unit = frame:sub(25, -2) }
end

local device = {}

function device.device(n)
  local vin = ("LSIM%013d"):format(n)
  return {
    id = vin, beats = 0, awaited = 0, metres = 0,
    parameters = { report_period_s = 10, heartbeat_period_s = 60, port = 32960 },
  }
end

local function build(d, m)
  m.edition, m.id = edition, d.id
  local bytes, why = encode.encode(m, CTX)
  if not bytes then error(why) end
  return bytes
end

--- The day's logins are counted by the clock, so that a simulator that starts again goes on.
local function login_serial(time)
  return (time // 2000) % 43200 + 1
end

function device.login(conn, d)
  local time = tg.time.now()
  d.beats, d.awaited = 0, 0
  local answer, err = conn:request(build(d, { cmd = 0x01, data = {
    time = time, serial = login_serial(time), iccid = ("89860000000%09d"):format(d.n),
    codes = {}, pack_counts = {}, subsystem_count = 0, code_length = 0,
  } }), { key = "login" })
  if not answer then return nil, err.message end
  return answer.flag == OK, "flag " .. answer.flag
end

local function vehicle(d, fix)
  local record = {
    state = "started", charging = "none", mode = "electric", speed_kmh = fix.speed_kmh,
    mileage_km = d.metres // 100 / 10, voltage_v = 380, current_a = 12.5, soc_pct = 80,
    dcdc = "working", gear = "D", drive_force = true, brake_force = false,
    insulation_kohm = 5000,
  }
  if edition == 2016 then record.accelerator_pct, record.brake_pct = 20, 0 end
  return record
end

local function position(fix)
  return {
    fix = "valid", latitude = fix.latitude, longitude = fix.longitude,
    datum = edition == 2025 and "WGS84" or nil,
  }
end

function device.report(d, fix)
  d.metres, d.beats = d.metres + fix.speed_kmh / 3.6, d.beats + 1
  local report = build(d, { cmd = 0x02, time = fix.time, blocks = {
    { name = "vehicle", record = vehicle(d, fix) }, { name = "position", record = position(fix) },
  } })
  return report .. build(d, { cmd = 0x07, unit = "" }), d.beats
end

-- ---- commands --------------------------------------------------------------------------------

local function answer(conn, d, cmd, unit)
  conn:send(build(d, { cmd = cmd, flag = OK, unit = unit }))
end

local function answer_query(conn, d, unit)
  local asked = {}
  for i = 8, 7 + (unit:byte(7) or 0) do
    local name = parameters.name(unit:byte(i) or 0, edition)
    if name and d.parameters[name] then asked[name] = d.parameters[name] end
  end
  conn:send(build(d, { cmd = 0x80, flag = OK, time = tg.time.now(), parameters = asked }))
end

local function answer_set(conn, d, unit)
  local values = parameters.read(unit:sub(7), edition)
  for name, value in pairs(values or {}) do d.parameters[name] = value end
  answer(conn, d, 0x81, unit:sub(1, 6))
end

function device.message(conn, d, msg)
  if msg.flag ~= COMMAND then
    if msg.cmd == 0x01 then
      conn:answer("login", msg)
    elseif msg.cmd == 0x07 then
      d.awaited = d.awaited + 1
      return "ack", d.awaited
    end
    return nil
  end
  if d.mute then return "command" end
  if msg.cmd == 0x80 then
    answer_query(conn, d, msg.unit)
  elseif msg.cmd == 0x81 then
    answer_set(conn, d, msg.unit)
  else
    answer(conn, d, msg.cmd, msg.unit:sub(1, 6))
  end
  return "command"
end

sim.run(M, device)

return M
