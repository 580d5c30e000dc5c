-- SPDX-License-Identifier: Apache-2.0
-- Names of EMQX's gateway beside ours, message by message: { theirs, ours, form }. A list in the
-- place of a form is for the elements of a list.
local params = require "params"

local M = {}

local SEQ = { "seq", "reply_serial" }
local MEDIA = { "id", "media_id" }

M.up = {
  [0x0001] = { SEQ, { "id", "reply_id", "number" }, { "result", "result" } },
  [0x0100] = {
    { "manufacturer", "manufacturer_id" }, { "dev_id", "terminal_id" },
    { "color", "plate_color" }, { "license_number", "plate" },
  },
  [0x0102] = { { "code", "auth_code" } },
  [0x0104] = { SEQ, { "length", "count" }, { "params", "parameters", "parameters" } },
  [0x0107] = {
    { "type", "type" }, { "manufacturer", "manufacturer_id" }, { "id", "terminal_id" },
    { "gnss_prop", "gnss" }, { "comm_prop", "comm" },
  },
  [0x0108] = { { "result", "result" } },
  [0x0201] = { SEQ, { "params", "location", "position" } },
  [0x0301] = { { "id", "event_id" } },
  [0x0302] = { SEQ, { "id", "answer_id" } },
  [0x0303] = { { "id", "info_type" } },
  [0x0500] = { SEQ, { "location", "location", "position" } },
  [0x0700] = { SEQ, { "data", "data", "bytes" } },
  [0x0701] = { { "data", "data", "bytes" } },
  [0x0702] = {
    { "status", "status" }, { "time", "time", "time" }, { "ic_result", "read_result" },
    { "driver_name", "name" }, { "organization", "issuer" }, { "cert_expiry", "expiry" },
  },
  [0x0704] = { { "length", "count" }, { "location", "items", "positions" } },
  [0x0705] = {
    { "length", "count" },
    { "can_data", "items", {
      { "frame_type", "extended" }, { "data_method", "computed" }, { "id", "can_id" },
      { "data", "data", "bytes" },
    } },
  },
  [0x0800] = { MEDIA, { "type", "type" }, { "format", "format" }, { "event", "event" } },
  [0x0801] = {
    MEDIA, { "type", "type" }, { "format", "format" }, { "event", "event" },
    { "location", "location", "position" }, { "multimedia", "data", "bytes" },
  },
  [0x0802] = {
    SEQ, { "length", "count" },
    { "result", "items", { MEDIA, { "location", "location", "position" } } },
  },
  [0x0805] = { SEQ, { "result", "result" }, { "ids", "media_ids" } },
  [0x0900] = { { "data", "data", "bytes" } },
  [0x0901] = { { "data", "data", "bytes" } },
  [0x0A00] = { { "n", "n", "bytes" } },
}

local function same(...)
  local out = {}
  for i, name in ipairs { ... } do out[i] = { name, name } end
  return out
end

local TIMES = { { "start_time", "start_time", "time" }, { "end_time", "end_time", "time" } }
local LIMITS = same("max_speed", "overspeed_duration", "night_max_speed", "name")

local function join(...)
  local out = {}
  for _, list in ipairs { ... } do
    for _, item in ipairs(list) do out[#out + 1] = item end
  end
  return out
end

local AREA = { { "id", "area_id" }, { "flag", "attributes" } }
local IDS = { { "ids", "area_ids" } }
local WINDOW = join(same("type", "channel", "event"), TIMES)

M.down = {
  [0x8001] = { SEQ, { "id", "reply_id" }, { "result", "result" } },
  [0x8103] = { { "params", "parameters", "parameters" } },
  [0x8105] = { { "command", "command" }, { "param", "parameter" } },
  [0x8106] = { { "ids", "parameter_ids" } },
  [0x8108] = {
    { "type", "type" }, { "manufacturer", "manufacturer_id" }, { "version", "version" },
    { "fw_len", "package_length" }, { "firmware", "data", "bytes" },
  },
  [0x8202] = { { "period", "interval" }, { "expiry", "validity" } },
  [0x8203] = { { "seq", "alarm_serial" }, { "type", "alarm_types" } },
  [0x8300] = same("flag", "text", "text_type"),
  [0x8301] = { { "type", "type" },
    { "events", "events", { { "id", "event_id" }, { "content", "text" } } } },
  [0x8302] = { { "flag", "flag" }, { "question", "question" },
    { "answers", "answers", { { "id", "answer_id" }, { "answer", "text" } } } },
  [0x8303] = { { "type", "type" },
    { "menus", "items", { { "type", "info_type" }, { "info", "name" } } } },
  [0x8304] = { { "type", "info_type" }, { "info", "text" } },
  [0x8400] = { { "type", "flag" }, { "phone", "phone_number" } },
  [0x8401] = { { "type", "type" }, { "contacts", "contacts",
    { { "type", "flag" }, { "phone", "phone_number" }, { "name", "name" } } } },
  [0x8500] = same("flag", "controls"),
  [0x8600] = { { "type", "action" }, { "areas", "areas", join(AREA, TIMES, LIMITS, {
    { "center_latitude", "latitude", "micro" }, { "center_longitude", "longitude", "micro" },
    { "radius", "radius" },
  }) } },
  [0x8601] = IDS, [0x8603] = IDS, [0x8605] = IDS,
  [0x8602] = { { "type", "action" }, { "areas", "areas", join(AREA, TIMES, LIMITS, {
    { "lt_lat", "upper_left_latitude", "micro" }, { "lt_lng", "upper_left_longitude", "micro" },
    { "rb_lat", "lower_right_latitude", "micro" }, { "rb_lng", "lower_right_longitude", "micro" },
  }) } },
  [0x8604] = join(AREA, TIMES, LIMITS, { { "points", "vertices",
    { { "lat", "latitude", "micro" }, { "lng", "longitude", "micro" } } } }),
  [0x8606] = join({ { "id", "route_id" }, { "flag", "attributes" }, { "name", "name" } }, TIMES,
    { { "points", "corners", {
      { "point_id", "corner_id" }, { "path_id", "section_id" },
      { "point_lat", "latitude", "micro" }, { "point_lng", "longitude", "micro" },
      { "width", "width" }, { "attrib", "attributes" }, { "passed", "too_long" },
      { "uncovered", "too_short" }, { "max_speed", "max_speed" },
      { "overspeed_duration", "overspeed_duration" }, { "night_max_speed", "night_max_speed" },
    } } }),
  [0x8607] = { { "ids", "route_ids" } },
  [0x8700] = { { "command", "command" }, { "param", "data", "bytes" } },
  [0x8701] = { { "command", "command" }, { "param", "data", "bytes" } },
  [0x8800] = { { "mm_id", "media_id" }, { "retx_ids", "packet_numbers" } },
  [0x8801] = join({ { "channel_id", "channel" }, { "period", "interval" },
    { "bright", "brightness" }, { "saturate", "saturation" }, { "chromaticity", "chroma" } },
    same("command", "save", "resolution", "quality", "contrast")),
  [0x8802] = WINDOW,
  [0x8803] = join(WINDOW, same "delete"),
  [0x8804] = { { "command", "command" }, { "time", "duration" }, { "save", "save" },
    { "rate", "sample_rate" } },
  [0x8805] = { { "id", "media_id" }, { "flag", "delete" } },
  [0x8900] = { { "type", "type" }, { "data", "data", "bytes" } },
  [0x8A00] = { { "e", "e" }, { "n", "n", "bytes" } },
}

-- ---- parameters --------------------------------------------------------------------------------

local TENTHS = { odometer_km = true, overspeed_prewarning_kmh = true }

local name_of = {}
for name, id in pairs(params.ids) do name_of[id] = name end

--- The id of a member of the list; nil where another member says the same better.
function M.parameter_id(name, list)
  if name:find "_hex$" or name == "tail" then return nil end
  local raw = name:match "^(.*)_raw$"
  if not raw and list[name .. "_raw"] ~= nil then return nil end
  return params.ids[raw or name] or math.tointeger(tonumber(name))
end

--- The number or the text as it is on the wire, or the bytes of what has fields.
function M.parameter_up(name, value, list)
  if TENTHS[name] then return math.floor(value * 10 + 0.5) end
  if name == "forbidden_period" then return list.forbidden_period_hex end
  if type(value) == "table" then return params.bytes_of(name, value) end
  return value
end

function M.parameter_down(id, value)
  local number = math.tointeger(tonumber(id))
  local name = number and name_of[number]
  if not name then return number and ("0x%04x"):format(number), value end
  if TENTHS[name] then value = value / 10 end
  return name, value
end

return M
