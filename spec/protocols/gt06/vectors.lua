-- SPDX-License-Identifier: Apache-2.0
-- The vectors, and how the names of their fields correspond to those that are published.
local cjson = require "cjson"

local M = {}

function M.load()
  local all = {}
  for line in io.lines "spec/data/gt06.jsonl" do all[#all + 1] = cjson.decode(line) end
  return all
end

-- Raw forms of what is compared as a value, and what a message does not carry.
local SKIP = {
  gps_info_len = true, lat_raw = true, lon_raw = true, course_status_raw = true, clock = true,
  mnc_len = true, cell_slots = true, language_bits = true, timezone_raw = true,
  terminal_info_raw = true, terminal_alarm_raw = true, voltage_raw = true,
  external_voltage_raw = true, radio_raw = true, command_len = true, phone_field_len = true,
  io_raw = true, known = true, time_invalid = true, acc_course_bit = true,
}

local RENAMED = {
  terminal_id_raw = "terminal_id", upload_mode = "upload_mode_raw", mileage_raw = "mileage_m",
  voltage_level = "voltage_level_raw", gsm_level = "gsm_level_raw", server_flag_hex = "server_flag",
  rssi_raw = "rssi", index = "index", input_raw = "inputs", mileage_raw_hex = "mileage_hex",
}

local NAMES = { voltage_level_name = "voltage_level", gsm_level_name = "gsm_level" }

local MODULES = {
  ["0x0000"] = "transfer", ["0x0001"] = "imei", ["0x0002"] = "imsi", ["0x0003"] = "iccid",
  ["0x0009"] = "satellites", ["0x000a"] = "satellites_visible", ["0x0011"] = "cell",
  ["0x0018"] = "battery_v", ["0x0028"] = "hdop", ["0x0029"] = "index", ["0x002a"] = "inputs",
  ["0x002b"] = "boot_reason", ["0x002c"] = "time", ["0x002e"] = "mileage_hex",
  ["0x0033"] = "position", ["0x0034"] = "event", ["0x0043"] = "cell_lte",
}

local EPOCH = "1970-01-01T00:00:00Z" -- a Unix time of 0: the device has none

local function near(a, b, tolerance)
  return type(a) == "number" and type(b) == "number" and math.abs(a - b) <= tolerance
end

local compare

local function compare_list(want, got, at, wrong)
  for i, item in ipairs(want) do
    compare(item, got and got[i] or {}, at .. "[" .. i .. "]", wrong)
  end
  if got and #got ~= #want then wrong[#wrong + 1] = at .. ": " .. #got .. " of " .. #want end
end

local function compare_modules(want, got, wrong)
  local seen = {}
  for _, m in ipairs(want) do
    local name = MODULES[m.id] or m.id
    seen[name] = (seen[name] or 0) + 1
    local key = seen[name] > 1 and name .. "_" .. seen[name] or name
    local value = got[key]
    m.id, m.len = nil, nil
    if m.event then m.code, m.event = m.event, nil end
    if type(value) ~= "table" then value = { [next(m)] = value } end
    local renamed = {}
    for k, v in pairs(value) do renamed[RENAMED[k] or k] = v end
    compare(m, renamed, "modules." .. key, wrong)
  end
end

local function same(key, want, got)
  if want == cjson.null or want == "" then return got == nil or got == want end
  if key == "latitude" or key == "longitude" then return near(want, got, 1e-6) end
  if type(want) == "number" then return near(want, got, 0.0051) end
  if key == "time" and want == EPOCH then return got == nil end
  return want == got
end

local function compare_one(key, want, data, at, wrong)
  local got = data[RENAMED[key] or key]
  if NAMES[key] then
    got = data[NAMES[key]]
    if type(got) == "number" then got = nil end
  end
  if key == "lat_hemisphere" then
    want, got = want == "S", (data.latitude or 0) < 0
    if data.latitude == 0 or not data.latitude then return end
  elseif key == "lon_hemisphere" then
    want, got = want == "W", (data.longitude or 0) < 0
    if data.longitude == 0 or not data.longitude then return end
  elseif type(want) == "table" then
    if key == "modules" then return compare_modules(want, got or {}, wrong) end
    if #want > 0 then return compare_list(want, got, at .. key, wrong) end
    return compare(want, got or {}, at .. key .. ".", wrong)
  end
  if not same(key, want, got) then
    wrong[#wrong + 1] = ("%s%s: %s, expected %s"):format(at, key, tostring(got), tostring(want))
  end
end

--- Adds to `wrong` a line for each field of `want` that `data` has otherwise.
function compare(want, data, at, wrong)
  for key, value in pairs(want) do
    if not SKIP[key] then compare_one(key, value, data, at, wrong) end
  end
end

--- What `data` has otherwise than the vector's fields say; empty when all is right.
---@param no_position boolean positions that are no position are not published
function M.differences(fields, data, no_position)
  local wrong, want = {}, {}
  for key, value in pairs(fields) do want[key] = value end
  local zero = not data.gps_fixed and want.lat_raw == 0 and want.lon_raw == 0
  if no_position or zero then
    want.latitude, want.longitude, want.lat_hemisphere, want.lon_hemisphere = nil, nil, nil, nil
    if data.latitude or data.longitude then wrong[1] = "a position that is none" end
  end
  compare(want, data, "", wrong)
  return wrong
end

--- The data of a decoded message, however it came.
function M.data_of(message)
  return message.data or cjson.decode("{" .. message.members .. "}")
end

return M
