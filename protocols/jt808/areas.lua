-- SPDX-License-Identifier: Apache-2.0
-- Areas, routes and vehicle control. Times of areas may have a zero date, which means every day,
-- so they are digits here and become text in read().
local body = require "body"
local tg = require "tidegate"

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

local ACTION = "action:u8{0=replace 1=append 2=modify}!raw "

local function lists(shape)
  local tail = TIMES .. LIMIT
  return { ACTION .. "areas:[u8]{ " .. shape .. tail .. " }",
    ACTION .. "areas:[u8]{ " .. shape .. tail .. NIGHT .. NAME .. " }" }
end

-- Each kind in the form of 2011 and 2013, and in that of 2019.
local CIRCLES, RECTANGLES = lists(CIRCLE), lists(RECTANGLE)
local POLYGON = {
  "area_id:u32be attributes:u16be " .. TIMES .. LIMIT .. VERTICES,
  "area_id:u32be attributes:u16be " .. TIMES .. LIMIT .. VERTICES .. NIGHT .. NAME,
}
local ROUTE = {
  "route_id:u32be attributes:u16be " .. TIMES .. "corners:[u16be]{ " .. CORNER .. " }",
  "route_id:u32be attributes:u16be " .. TIMES .. "corners:[u16be]{ " .. CORNER .. NIGHT .. " } "
    .. NAME,
}
local KIND = "type:u8{1=circle 2=rectangle 3=polygon 4=route}!raw "

M.circles = body.split(CIRCLES[1], CIRCLES[2])
M.rectangles = body.split(RECTANGLES[1], RECTANGLES[2])
M.polygon = body.split(POLYGON[1], POLYGON[2])
M.route = body.split(ROUTE[1], ROUTE[2])
M.delete_areas = body.same "area_ids:[u8]u32be"
M.delete_routes = body.same "route_ids:[u8]u32be"
M.query = body.same(KIND .. "area_ids:[u32be]u32be")
M.answer = body.same(KIND .. "count:u32be data:hex[*]")

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

-- ---- what 0x0608 holds -------------------------------------------------------------------------

local STORED = { CIRCLES, RECTANGLES, POLYGON, ROUTE }
local stored = {} -- [type][1: 2013, 2: 2019]
for kind, texts in ipairs(STORED) do
  stored[kind] = { tg.struct(texts[1]), tg.struct(texts[2]) }
end

--- Whole bodies of what sets such areas, one behind the other, up to the end exactly.
local function bodies(bytes, layout, count)
  local out, at = {}, 1
  while at <= #bytes and #out < count do
    local area, next_at, flaws = layout:decode(bytes, at)
    if not area or flaws then return nil end
    out[#out + 1], at = M.read(area), next_at
  end
  return at == #bytes + 1 and #out > 0 and out or nil
end

--- The text has ids in one place and whole areas in another; what fits exactly is shown beside
--- the bytes.
function M.read_answer(data, _, edition)
  local bytes = tg.hex.decode(data.data or "") or ""
  local count = data.count or 0
  if #bytes == 4 * count and count > 0 then
    data.area_ids = {}
    for i = 1, count do data.area_ids[i] = string.unpack(">I4", bytes, 4 * i - 3) end
    return data
  end
  local both = stored[data.type_raw]
  local first = edition == "2019" and 2 or 1
  data.bodies = both
    and (bodies(bytes, both[first], count) or bodies(bytes, both[3 - first], count)) or nil
  return data
end

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
