-- SPDX-License-Identifier: Apache-2.0
-- The JSON of EMQX's gateway, for applications that were written for it: a header and a body
-- with numbers as they are on the wire, times as digits, bytes in Base64. Each message is a list
-- of its names and ours; what a list does not name keeps our name.
local tg = require "tidegate"
local base64 = require "base64"
local maps = require "emqx_maps"

local M = {}

-- ---- values ------------------------------------------------------------------------------------

local function micro(value, raw)
  if not value then return raw or 0 end
  return math.floor((value < 0 and -value or value) * 1000000 + 0.5)
end

--- Twelve digits of an ISO time; zeros where a clock does not run.
local function digits(time, raw)
  if not time then return raw or "000000000000" end
  local y, mo, d, h, mi, s = time:match "^%d%d(%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)"
  if not y then
    h, mi, s = time:match "^daily (%d%d):(%d%d):(%d%d)$"
    return h and "000000" .. h .. mi .. s or time
  end
  return y .. mo .. d .. h .. mi .. s
end

local function iso(text)
  local y, mo, d, h, mi, s = tostring(text):match "^(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)$"
  if not y then return text end
  if y .. mo .. d == "000000" then return "daily " .. h .. ":" .. mi .. ":" .. s end
  return "20" .. y .. "-" .. mo .. "-" .. d .. "T" .. h .. ":" .. mi .. ":" .. s .. "+08:00"
end

local function tenth(value) return value and math.floor(value * 10 + 0.5) end

local SIGNALS = { "low_beam", "high_beam" }
local OTHER_SIGNALS = {
  [2] = "right_turn", [3] = "left_turn", [4] = "brake", [5] = "reverse", [6] = "fog",
  [7] = "side_marker", [8] = "horn", [9] = "air_conditioner", [10] = "neutral",
  [11] = "retarder", [12] = "abs", [13] = "heater", [14] = "cluth",
}

local function put_signals(extra, word)
  extra.signal = {}
  for i, name in ipairs(SIGNALS) do extra.signal[name] = word >> (i - 1) & 1 end
  for bit, name in pairs(OTHER_SIGNALS) do extra[name] = word >> bit & 1 end
end

local function extra_of(e)
  local out = {
    mileage = tenth(e.mileage_km), fuel_meter = tenth(e.fuel_l),
    speed = tenth(e.recorder_speed_kmh), alarm_id = e.alarm_event_id, rssi = e.signal_strength,
    gnss_sat_num = e.satellites, analog = e.analog, carriage_temp = e.carriage_temperature_c,
  }
  local o, a, p = e.overspeed_alarm, e.area_alarm, e.section_time_alarm
  out.overspeed_alarm = o and { type = o.location_type_raw, id = o.area_id }
  out.in_out_alarm = a and { type = a.location_type_raw, id = a.area_id,
    direction = a.direction_raw }
  out.path_time_alarm = p and { id = p.section_id, time = p.seconds, result = p.result_raw }
  local io, word = math.tointeger(e.io_raw), math.tointeger(e.vehicle_signals_raw)
  out.io_status = io and { deep_sleep = io & 1, sleep = io >> 1 & 1 }
  if word then put_signals(out, word) end
  for key, hex in pairs(e) do
    if key:find "^0x" then out[key] = base64.encode(tg.hex.decode(hex) or "") end
  end
  return out
end

local function position(p)
  local out = {
    alarm = p.alarms_raw, status = p.status_raw, latitude = micro(p.latitude, p.latitude_raw),
    longitude = micro(p.longitude, p.longitude_raw), altitude = p.altitude_m,
    speed = tenth(p.speed_kmh), direction = p.course_deg, time = digits(p.time, p.time_raw),
  }
  if p.extras and next(p.extras) then out.extra = extra_of(p.extras) end
  return out
end

local FORM = {}
function FORM.bytes(hex) return base64.encode(tg.hex.decode(hex or "") or "") end
function FORM.number(text) return tonumber(text) end
FORM.position, FORM.time = position, digits

function FORM.positions(items)
  local out = tg.json.array {}
  for i, item in ipairs(items or {}) do out[i] = position(item) end
  return out
end

--- Parameters by number, values as they are on the wire.
function FORM.parameters(list)
  local out = tg.json.array {}
  for name, value in pairs(list or {}) do
    local id = maps.parameter_id(name, list)
    if id then out[#out + 1] = { id = id, value = maps.parameter_up(name, value, list) } end
  end
  table.sort(out, function(a, b) return a.id < b.id end)
  return out
end

local function form(kind, value, item)
  if type(kind) == "table" then
    local out = tg.json.array {}
    for i, one in ipairs(value or {}) do out[i] = M.rename(kind, one) end
    return out
  end
  return FORM[kind](value, item)
end

--- Theirs from ours: `names` has { theirs, ours, form }.
function M.rename(names, data)
  local out, named = {}, {}
  for _, n in ipairs(names) do
    local theirs, ours, kind = n[1], n[2], n[3]
    named[ours], named[ours .. "_raw"] = true, true
    local value = data[ours .. "_raw"]
    if type(value) ~= "number" then value = data[ours] end
    if kind and value ~= nil then value = form(kind, value, data[ours .. "_raw"]) end
    out[theirs] = value
  end
  for key, value in pairs(data) do
    if not named[key] and out[key] == nil and not key:find "_raw$" then out[key] = value end
  end
  return out
end

-- ---- up ----------------------------------------------------------------------------------------

local function header(dev, id, serial, length, encrypted)
  return {
    msg_id = id, encrypt = encrypted and 1 or 0, len = length, msg_sn = serial,
    phone = tg.hex.encode(dev.phone), proto_ver = dev.header == "2019" and dev.version or nil,
  }
end

function M.message(dev, msg)
  local data, names = msg.data or {}, maps.up[msg.id]
  local body = data
  if msg.id == 0x0200 then
    body = position(data)
  elseif names then
    body = M.rename(names, data)
  end
  local length = msg.head and msg.head.body_length or nil
  local head = header(dev, msg.id, msg.serial, length, msg.encrypted)
  return { type = "up", device = dev.device, data = { header = head, body = body } }
end

-- ---- down --------------------------------------------------------------------------------------

local BACK = {}
function BACK.bytes(text) return tg.hex.encode(base64.decode(tostring(text)) or "") end
BACK.time = iso
function BACK.parameters(list)
  local out = {}
  for _, p in ipairs(list) do
    local name, value = maps.parameter_down(p.id, p.value)
    if name then out[name] = value end
  end
  return out
end
function BACK.micro(value) return value / 1000000 end

local function restore(names, body)
  local out = {}
  for _, n in ipairs(names) do
    local theirs, ours, kind = n[1], n[2], n[3]
    local value = body[theirs]
    if value ~= nil and type(kind) == "table" then
      local list = {}
      for i, one in ipairs(value) do list[i] = restore(kind, one) end
      value = list
    elseif value ~= nil and kind then
      value = BACK[kind](value)
    end
    out[ours] = value
  end
  return out
end

--- @return integer? id
--- @return table|string args, or what is wrong
function M.down(request)
  local id = math.tointeger(tonumber(request.header.msg_id))
  if not id or id < 0 or id > 0xFFFF then return nil, "the header has no msg_id" end
  local body = request.body or {}
  if type(body) ~= "table" then return nil, "the body must be an object" end
  local names = maps.down[id]
  if not names then return id, body end
  local ok, args = pcall(restore, names, body)
  if not ok then return nil, "a member of the body has the wrong type" end
  return id, args
end

return M
