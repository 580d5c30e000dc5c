-- SPDX-License-Identifier: Apache-2.0
-- The vectors, and how their expectations correspond to what is published: theirs have every
-- number as it is on the wire, ours have values with units and the raw form where a value has a
-- name or none.
local cjson = require "cjson"

local M = {}

function M.load(name)
  local all = {}
  for line in io.lines("spec/data/" .. name) do all[#all + 1] = cjson.decode(line) end
  return all
end

-- What ours are called.
local NAMES = {
  flags = "behaviour_raw",
  alarm_flags = "alarms_raw", status_flags = "status_raw", altitude = "altitude_m",
  speed = "speed_kmh", direction = "course_deg", front_speed = "front_speed_kmh",
  vehicle_status = "vehicle_status_raw",
}
local IN_TYRES = {
  pressure = "pressure_kpa", temperature = "temperature_c", battery = "battery_pct",
}

local ITEMS = {
  mileage = "mileage_km", fuel = "fuel_l", recorder_speed = "recorder_speed_kmh",
  carriage_temperature = "carriage_temperature_c", io_flags = "io_raw",
  video_alarm_flags = "video_alarms_raw", vehicle_signal_flags = "vehicle_signals_raw",
  storage_fault_flags = "storage_faults", odometer = "odometer_km",
  overspeed_prewarning = "overspeed_prewarning_kmh", collision = "collision_raw",
  analog = "analog_raw",
}

-- What says how the vector was read, and what follows from the rest.
local SKIP = {
  identification_layout = true, layout = true, truncated = true, id = true, length = true,
  name = false, unexpected_length = true,
}

local function near(a, b) return type(a) == "number" and math.abs(a - b) < 1e-6 end

local compare

local function say(wrong, at, got, want)
  wrong[#wrong + 1] = ("%s: %s, expected %s"):format(at,
    type(got) == "table" and cjson.encode(got) or tostring(got),
    type(want) == "table" and cjson.encode(want) or tostring(want))
end

--- { raw, value }: a time, or a scaled number.
local function compare_pair(want, got, raw, at, wrong)
  if want.value == cjson.null then
    if type(want.raw) == "string" and want.raw:match "^0+$" and got == nil and raw == nil then
      return
    end
    if tostring(raw) ~= tostring(want.raw) and got ~= want.raw then say(wrong, at, raw, want) end
  elseif type(want.value) == "number" then
    if not near(got, want.value) then say(wrong, at, got, want.value) end
  elseif got ~= want.value and got ~= want.raw then
    say(wrong, at, got, want.value)
  end
end

--- Data of which the vector has the length and its beginning, or all.
local function compare_hex(want, got, at, wrong)
  if want.hex then
    if got ~= want.hex and not (got == nil and want.hex == "") then
      say(wrong, at, got, want.hex)
    end
  elseif type(got) ~= "string" or #got ~= 2 * want.length
    or got:sub(1, #want.head) ~= want.head then
    say(wrong, at, got, want)
  end
end

--- Parameters that the vectors have as bytes.
M.taken_apart = {
  video_parameters = true, channel_table = true, channel_video_parameters = true,
  special_alarm_recording = true, analysis_alarm = true, sleep_wake = true, bsd = true,
}

local function compare_item(w, list, key, at, wrong)
  local got, raw = list[key], list[key .. "_raw"]
  if w.truncated then
    if not (list.tail or ""):find(w.truncated .. "$") then say(wrong, at, list.tail, w) end
  elseif w.hex and type(got) == "table" and M.taken_apart[key] then
    return -- roundtrip_spec.lua shows that no byte of it is lost
  elseif w.hex then
    if type(got) == "table" or got ~= w.hex then got = raw end
    if got == nil and w.name == "tyre_pressure" then got = list[key] end
    if type(got) == "number" then got = nil end
    if type(list[key]) == "table" and w.name == "tyre_pressure" then
      local bytes = {}
      for i, n in ipairs(list[key]) do
        bytes[i] = ("%02x"):format(n == cjson.null and 255 or n)
      end
      got = table.concat(bytes)
    end
    if got == nil and type(list[key .. "_hex"]) == "string" then got = list[key .. "_hex"] end
    if got ~= w.hex then say(wrong, at, got, w.hex) end
  elseif w.raw ~= nil and type(got) ~= "table" then
    if type(w.value) == "number" then
      if near(got, w.value) then return end
    elseif w.value == nil and (got == w.raw or raw == w.raw) then
      return
    end
    if type(w.value) == "string" and got == w.value then return end
    local hex = type(raw) == "string" and tonumber(raw, 16)
    if hex and hex == w.raw then return end
    if type(raw) == "string" and raw == w.raw then return end
    if list[key .. "_hex"] == w.raw then return end
    say(wrong, at, got == nil and raw or got, w)
  elseif type(got) == "table" then
    if w.raw ~= nil and raw == w.raw then return end
    local fields = {}
    for name, value in pairs(w) do fields[name] = value end
    fields.name, fields.raw = nil, nil
    compare(fields, got, at .. ".", wrong)
  else
    say(wrong, at, got or raw, w)
  end
end

--- A list of tags with values, where ours is a map.
local function compare_tags(want, got, width, at, wrong)
  local seen = {}
  for _, w in ipairs(want) do
    if w.trailing then
      if not (got.tail or ""):find(w.trailing .. "$") then say(wrong, at, got.tail, w) end
    else
      local hex = ("0x%0" .. width .. "x"):format(tonumber(w.id))
      local key = w.name and (ITEMS[w.name] or w.name) or hex
      if w.name == "can_id_sampling" then key = ("can_id_%04x"):format(tonumber(w.id)) end
      local named = M.tags[tonumber(w.id)]
      if not w.name and got[hex] == nil and named and width == 2 then key = named end
      seen[key] = (seen[key] or 0) + 1
      if seen[key] > 1 then key = key .. "_" .. seen[key] end
      compare_item(w, got, key, at .. "." .. key, wrong)
    end
  end
end

--- Names of the standard's items by tag: the vectors leave the name out where the length is odd.
M.tags = {
  [0x01] = "mileage_km", [0x02] = "fuel_l", [0x03] = "recorder_speed_kmh",
  [0x04] = "alarm_event_id",
  [0x05] = "tyre_pressure", [0x06] = "carriage_temperature_c", [0x11] = "overspeed_alarm",
  [0x12] = "area_alarm", [0x13] = "section_time_alarm", [0x14] = "video_alarms",
  [0x15] = "video_lost_channels", [0x16] = "video_covered_channels", [0x17] = "storage_faults",
  [0x18] = "abnormal_driving", [0x25] = "vehicle_signals", [0x2A] = "io", [0x2B] = "analog",
  [0x30] = "signal_strength", [0x31] = "satellites", [0x64] = "adas_alarm", [0x65] = "dsm_alarm",
  [0x66] = "tpms_alarm", [0x67] = "bsd_alarm",
}

local function compare_list(want, got, at, wrong)
  got = got or {}
  if #got ~= #want then say(wrong, at, #got, #want) end
  for i, w in ipairs(want) do
    if type(w) == "table" then
      compare(w, got[i] or {}, at .. "[" .. i .. "].", wrong)
    elseif got[i] ~= w then
      say(wrong, at .. "[" .. i .. "]", got[i], w)
    end
  end
end

local function our_name(key, got, at)
  if at:find "tyres" and IN_TYRES[key] then return IN_TYRES[key] end
  local name = NAMES[key]
  if name and got[name] ~= nil then return name end
  if name and got[name .. "_raw"] ~= nil then return name end
  return key
end

local function compare_table(key, w, got, at, wrong)
  if key == "extras" then return compare_tags(w, got.extras or {}, 2, at .. key, wrong) end
  if key == "parameters" then return compare_tags(w, got.parameters or {}, 4, at .. key, wrong) end
  if key == "upper_left" or key == "lower_right" then
    local flat = { [key .. "_latitude"] = w.latitude, [key .. "_longitude"] = w.longitude }
    return compare(flat, got, at, wrong)
  end
  local name = our_name(key, got, at)
  local value, raw = got[name], got[name .. "_raw"]
  if w.hex or w.sha1 then
    return compare_hex(w, value or raw or got[name .. "_hex"], at .. key, wrong)
  end
  if w.raw ~= nil then return compare_pair(w, value, raw, at .. key, wrong) end
  if #w > 0 or next(w) == nil then return compare_list(w, value, at .. key, wrong) end
  compare(w, value or {}, at .. key .. ".", wrong)
end

--- Adds to `wrong` a line for each field of `want` that `got` has otherwise.
function compare(want, got, at, wrong)
  for key, w in pairs(want) do
    if SKIP[key] and not (key == "length" and at == "") then
      goto done
    elseif type(w) == "table" then
      compare_table(key, w, got, at, wrong)
    else
      local name = our_name(key, got, at)
      local value, raw = got[name], got[name .. "_raw"]
      if key == "tail" and value == nil and got.parameters then value = got.parameters.tail end
      if type(w) == "number" and type(raw) == "number" then value = raw end
      if type(value) == "boolean" then value = value and 1 or 0 end
      local same = value == w or w == "" and value == nil
      if not same and not (type(w) == "number" and near(value, w)) then
        say(wrong, at .. key, value, w)
      end
    end
    ::done::
  end
end

--- What `data` has otherwise than the vector's body says; empty when all is right.
function M.differences(body, data)
  local wrong = {}
  compare(body, data, "", wrong)
  return wrong
end

--- The data of a decoded message, however it came.
function M.data_of(message)
  if message.fragment then return {} end
  return message.data or cjson.decode("{" .. message.members .. "}")
end

return M
