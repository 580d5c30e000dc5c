-- SPDX-License-Identifier: Apache-2.0
-- Areas, routes and vehicle control. Times of areas may have a zero date, which means every day,
-- so they are digits here and become text in read().
local body = require "body"

local M = {}

-- Some send the night speed of 2019 whether bit 1 is set or not; the text has it with the bit.
local TIMES = "start_time:bcd[6] if attributes&1 end_time:bcd[6] if attributes&1 "
local LIMIT = [[
  max_speed:u16be if attributes&2 "km/h" overspeed_duration:u8 if attributes&2 "s"
]]
local NIGHT = 'night_max_speed:u16be if attributes&2 "km/h" '
local NAME = "name:gbk[u16be] "

local function point(prefix)
  return ([[
    %slatitude:u32be/1000000 minus attributes&64 "deg"
    %slongitude:u32be/1000000 minus attributes&128 "deg"
  ]]):format(prefix, prefix)
end

local CIRCLE = "area_id:u32be attributes:u16be " .. point "" .. 'radius:u32be "m" '
local RECTANGLE = "area_id:u32be attributes:u16be " .. point "upper_left_"
  .. point "lower_right_"
local VERTICES = [[
  vertices:[u16be]{ latitude:u32be/1000000 "deg" longitude:u32be/1000000 "deg" }
]]
local CORNER = [[
  corner_id:u32be section_id:u32be
  latitude:u32be/1000000 minus attributes&4 "deg"
  longitude:u32be/1000000 minus attributes&8 "deg"
  width:u8 "m" attributes:u8
  too_long:u16be if attributes&1 "s" too_short:u16be if attributes&1 "s"
]] .. LIMIT

local function areas(shape)
  local tail = TIMES .. LIMIT
  return body.split("action:u8{0=replace 1=append 2=modify}!raw areas:[u8]{ " .. shape .. tail .. " }",
    "action:u8{0=replace 1=append 2=modify}!raw areas:[u8]{ " .. shape .. tail .. NIGHT .. NAME .. " }")
end

local KIND = "1=circle 2=rectangle 3=polygon 4=route"

M.circles = areas(CIRCLE)
M.rectangles = areas(RECTANGLE)
M.polygon = body.split(
  "area_id:u32be attributes:u16be " .. TIMES .. LIMIT .. VERTICES,
  "area_id:u32be attributes:u16be " .. TIMES .. LIMIT .. VERTICES .. NIGHT .. NAME)
M.route = body.split(
  "route_id:u32be attributes:u16be " .. TIMES .. "corners:[u16be]{ " .. CORNER .. " }",
  "route_id:u32be attributes:u16be " .. TIMES .. "corners:[u16be]{ " .. CORNER .. NIGHT
    .. " } " .. NAME)
M.delete_areas = body.same "area_ids:[u8]u32be"
M.delete_routes = body.same "route_ids:[u8]u32be"
M.query = body.same("type:u8{" .. KIND .. "}!raw area_ids:[u32be]u32be")
M.answer = body.same("type:u8{" .. KIND .. "}!raw count:u32be data:hex[*]")

M.control = body.split("flag:u8", "controls:[u16be]{ id:u16be parameter:u8 }")

-- ---- times -------------------------------------------------------------------------------------

local function read_time(digits)
  local y, mo, d, h, mi, s = digits:match "^(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)$"
  if not y then return digits end
  local clock = h .. ":" .. mi .. ":" .. s
  if y .. mo .. d == "000000" then return "daily " .. clock end
  return "20" .. y .. "-" .. mo .. "-" .. d .. "T" .. clock .. "+08:00"
end

local function write_time(text)
  if type(text) ~= "string" then return text end
  local h, m, s = text:match "^daily (%d%d):(%d%d):(%d%d)$"
  if h then return "000000" .. h .. m .. s end
  local y, mo, d, hour, mi, sec = text:match "^20(%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)%+08:00$"
  if y then return y .. mo .. d .. hour .. mi .. sec end
  return text
end

local function each(data, convert)
  for _, area in ipairs(data.areas or { data }) do
    for _, key in ipairs { "start_time", "end_time" } do
      if area[key] then area[key] = convert(area[key]) end
    end
  end
  return data
end

--- Vertices have no bits of their own: the area's attributes say the hemisphere.
local function mirror(data)
  local word = data.vertices and data.attributes or 0
  for _, v in ipairs(data.vertices or {}) do
    if word & 64 ~= 0 and v.latitude then v.latitude = -v.latitude end
    if word & 128 ~= 0 and v.longitude then v.longitude = -v.longitude end
  end
  return data
end

function M.read(data) return mirror(each(data, read_time)) end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, item in pairs(value) do out[key] = copy(item) end
  return out
end

local function absolute(data)
  for _, v in ipairs(data.vertices or {}) do
    for _, key in ipairs { "latitude", "longitude" } do
      if type(v[key]) == "number" and v[key] < 0 then v[key] = -v[key] end
    end
  end
  return data
end

function M.write(data) return absolute(each(copy(data), write_time)) end

-- ---- doors -------------------------------------------------------------------------------------

-- The text of 2019 has 0 for locked and 1 for open, the reverse of the flag of 2013. Terminals
-- tested against platforms that kept the old sense follow those: `door_sense` chooses, and the
-- number itself may always be given.
function M.door(lock, edition, sense)
  local old = edition ~= "2019" or sense == "2013"
  if old then return lock and 1 or 0 end
  return lock and 0 or 1
end

return M
