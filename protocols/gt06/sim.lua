-- SPDX-License-Identifier: Apache-2.0
-- Trackers that are none: `tidegate sim gt06`. They log in, report positions along a route and
-- answer commands, with the adapter's own layouts. Servers acknowledge no position, so a
-- heartbeat goes behind each, and its answer tells that both were handled.
local tg = require "tidegate"
local sim = require "tidegate.sim"
local encode = require "encode"
local layouts = require "layouts"

local M = tg.adapter {
  id = "gt06-sim", version = "1.0.0", api = 1, transports = { "tcp", "tls" },
  frame = require "stream", down = false, config = sim.options(5023),
}

function M.decode(frame)
  local kind, rest = frame:byte(4), frame:sub(5, -7)
  return { kind = kind, serial = string.unpack(">I2", frame, #frame - 5), body = rest }
end

local device = {}

local function imei(n)
  return ("86000000%07d"):format(n)
end

function device.device(n)
  return { id = imei(n), serial = 0 }
end

local function build(d, kind, layout, record)
  record._type = ("%02x"):format(kind)
  d.serial = (d.serial + 1) & 0xFFFF
  local bytes, err = layout:encode(record)
  if not bytes then error(err.message) end
  return encode.frame(false, bytes:sub(4, -7), d.serial), d.serial
end

function device.login(conn, d)
  local bytes, serial = build(d, 0x01, layouts.login, { terminal_id = "0" .. d.id })
  local ok, err = conn:request(bytes, { key = "login/" .. serial })
  return ok, err and err.message
end

local function beat(d)
  return build(d, 0x13, layouts.heartbeat, {
    acc = true, gps_tracking = true, terminal_alarm = "normal", voltage_level = "full",
    gsm_level = "strong", alarm_code = 0, language = "en",
  })
end

function device.report(d, fix)
  local position = build(d, 0x12, layouts.gps_lbs, {
    time = fix.time, satellites = 9, latitude = fix.latitude, longitude = fix.longitude,
    speed_kmh = math.min(fix.speed_kmh, 255) // 1, course_deg = fix.course_deg,
    _north = fix.latitude >= 0, _west = fix.longitude < 0,
    gps_fixed = true, _acc_known = true, acc = true, mcc = 460, mnc = 0, lac = 1, cell_id = d.n,
  })
  local heartbeat, serial = beat(d)
  return position .. heartbeat, serial
end

function device.message(conn, d, msg)
  if msg.kind == 0x01 then
    conn:answer("login/" .. msg.serial)
    return nil
  elseif msg.kind == 0x13 then
    return "ack", msg.serial
  elseif msg.kind ~= 0x80 then
    return nil
  end
  if not d.mute then
    local flag = msg.body:sub(2, 5)
    conn:send((build(d, 0x15, layouts.command, {
      server_flag = tg.hex.encode(flag), text = "OK", language = "en",
    })))
  end
  return "command"
end

sim.run(M, device)

return M
