-- SPDX-License-Identifier: Apache-2.0
-- Terminals that are none: `tidegate sim jt808`. They register, authenticate, report positions
-- along a route and answer commands, with the bodies and headers of the adapter's own layouts.
local tg = require "tidegate"
local sim = require "tidegate.sim"
local decode = require "decode"
local encode = require "encode"
local options = require "options"
local stream = require "stream"
local wire = require "wire"

local own = sim.options(7611, {
  edition = { type = "enum", choices = { "2013", "2019" }, default = "2013", help = "of headers" },
  transport = { type = "enum", choices = { "tcp", "udp" }, default = "tcp" },
  extras = { type = "integer", default = 5, min = 0, max = 5, help = "extra items of a position" },
})
for name, option in pairs(options) do own[name] = own[name] or option end

local M = tg.adapter {
  id = "jt808-sim", version = "1.0.0", api = 1, transports = { "tcp", "tls", "udp" },
  frame = stream.frame "xor8", down = false, config = own,
}
local config = M.config
local edition = config.edition

M.decode = decode.decode

local device = {}

function device.device(n)
  local phone = ("0139%08d"):format(n)
  return {
    id = phone, header = edition, version = 1, phone = wire.phone(phone, edition), serial = 1,
    metres = 0, parameters = { heartbeat_interval = 60 },
  }
end

local function build(d, id, data)
  local bytes, why = encode.body(id, data, edition, nil, config)
  if not bytes then error(why.message or why) end
  local frames, serial = wire.build(d, id, bytes)
  return frames[1], serial
end

local function send(d, id, data) return d.conn:send((build(d, id, data))) end

local function request(conn, d, id, data, key)
  local bytes, serial = build(d, id, data)
  return conn:request(bytes, { key = key or "answer/" .. serial })
end

function device.login(conn, d)
  local answer, err = request(conn, d, 0x0100, {
    province = 31, city = 100, manufacturer_id = "SIM", model = "sim-1",
    terminal_id = ("%07d"):format(d.n % 10000000), plate_color = 2, plate = "SIM" .. d.n,
  }, "registered")
  if not answer then return nil, err.message end
  if answer.result ~= "ok" then return nil, "registration: " .. tostring(answer.result) end
  answer, err = request(conn, d, 0x0102, {
    auth_code = answer.auth_code or "", imei = "000000000000000", software_version = "sim",
  })
  if not answer then return nil, err.message end
  return answer.result == "ok", "authentication: " .. tostring(answer.result)
end

local function items(d, fix)
  local all = {
    { "mileage_km", d.metres / 1000 }, { "fuel_l", 40.5 },
    { "recorder_speed_kmh", fix.speed_kmh }, { "signal_strength", 25 }, { "satellites", 11 },
  }
  local extras = {}
  for i = 1, config.extras do extras[all[i][1]] = all[i][2] end
  return extras
end

local function position(d, fix)
  local status = { "acc", "positioned" }
  if fix.latitude < 0 then status[#status + 1] = "south" end
  if fix.longitude < 0 then status[#status + 1] = "west" end
  return {
    alarms = {}, status = status, latitude = fix.latitude, longitude = fix.longitude,
    altitude_m = 10, speed_kmh = fix.speed_kmh, course_deg = fix.course_deg, time = fix.time,
    extras = items(d, fix),
  }
end

function device.report(d, fix)
  d.fix, d.metres = fix, d.metres + fix.speed_kmh / 3.6
  return build(d, 0x0200, position(d, fix))
end

-- ---- commands --------------------------------------------------------------------------------

local answer = {}

answer[0x8104] = function(d, serial)
  send(d, 0x0104, { reply_serial = serial, parameters = d.parameters })
end

answer[0x8201] = function(d, serial)
  local body = d.fix and position(d, d.fix)
  if body then send(d, 0x0201, { reply_serial = serial, location = body }) end
end

answer[0x8103] = function(d, serial, data)
  for name, value in pairs(data.parameters or {}) do d.parameters[name] = value end
  send(d, 0x0001, { reply_serial = serial, reply_id = 0x8103, result = "ok" })
end

local function general(d, serial, _, id)
  send(d, 0x0001, { reply_serial = serial, reply_id = id, result = "ok" })
end

function device.message(conn, d, msg)
  local data = msg.data or {}
  if msg.id == 0x8001 then
    if conn:answer("answer/" .. data.reply_serial, data) then return nil end
    return "ack", data.reply_serial
  elseif msg.id == 0x8100 then
    conn:answer("registered", data)
    return nil
  end
  if not d.mute then (answer[msg.id] or general)(d, msg.serial, data, msg.id) end
  return "command"
end

sim.run(M, device)

return M
