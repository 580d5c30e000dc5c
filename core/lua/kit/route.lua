-- SPDX-License-Identifier: Apache-2.0
-- require "tidegate.route": a line on the map that simulated devices go along, there and back
-- again. From a file of "latitude,longitude" lines, a GPX track or a GeoJSON line.
local tg = require "tidegate"

local M = {}
M.__index = M

local EARTH_M = 6371000
local GOLDEN = 0.6180339887 -- spreads any number of starts evenly

--- Metres from a to b, to the east and to the north: the earth is flat between two points.
local function apart(a, b)
  local east = math.rad(b.lon - a.lon) * math.cos(math.rad((a.lat + b.lat) / 2)) * EARTH_M
  return east, math.rad(b.lat - a.lat) * EARTH_M
end

local function point(lat, lon, where)
  lat, lon = tonumber(lat), tonumber(lon)
  if not lat or not lon or math.abs(lat) > 90 or math.abs(lon) > 180 then
    error(where .. ": expected latitude,longitude in degrees", 0)
  end
  return { lat = lat, lon = lon }
end

local function from_lines(text)
  local points, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    if line:find "%S" and not line:find "^%s*#" then
      local lat, lon = line:match "^%s*([^,;%s]+)[,;%s]+([^,;%s]+)"
      points[#points + 1] = point(lat, lon, ("route:%d"):format(number))
    end
  end
  return points
end

local function from_gpx(text)
  local points = {}
  for tag in text:gmatch "<%a+pt%s[^>]*>" do
    local lat, lon = tag:match 'lat="([^"]*)"', tag:match 'lon="([^"]*)"'
    points[#points + 1] = point(lat, lon, ("route: point %d"):format(#points + 1))
  end
  return points
end

--- The first line in a GeoJSON text, whatever it is wrapped in.
local function coordinates(value)
  if type(value) ~= "table" then return nil end
  if value.type == "LineString" then return value.coordinates end
  for _, inside in ipairs(value.features or { value.geometry }) do
    local found = coordinates(inside)
    if found then return found end
  end
end

local function from_geojson(text)
  local value, err = tg.json.decode(text)
  if value == nil then error("route: " .. err.message, 0) end
  local points = {}
  for i, pair in ipairs(coordinates(value) or {}) do
    points[i] = point(pair[2], pair[1], ("route: coordinates[%d]"):format(i - 1))
  end
  return points
end

--- Without a file: a square of two kilometres.
local SQUARE = "31.2300,121.4700\n31.2300,121.4910\n31.2480,121.4910\n31.2480,121.4700\n"

local function read(text)
  if not text:find "%S" then return from_lines(SQUARE) end
  if text:find "^%s*<" then return from_gpx(text) end
  if text:find "^%s*{" then return from_geojson(text) end
  return from_lines(text)
end

---@param text string what the file has; "" a small square
---@return table route
function M.new(text)
  local points = read(text)
  if #points < 2 then error("route: expected two points or more", 0) end
  local length = 0
  points[1].from = 0
  for i = 2, #points do
    local east, north = apart(points[i - 1], points[i])
    length = length + math.sqrt(east * east + north * north)
    points[i].from = length
  end
  if length == 0 then error("route: its points are all the same", 0) end
  return setmetatable({ points = points, length = length }, M)
end

--- Where device `n` begins, in metres.
function M:start(n)
  return n * GOLDEN % 1 * 2 * self.length
end

--- The last point that is not behind `metres`.
local function find(points, metres)
  local low, high = 1, #points - 1
  while low < high do
    local middle = (low + high + 1) // 2
    if points[middle].from <= metres then low = middle else high = middle - 1 end
  end
  return low
end

--- Where somebody is who has gone so far.
---@param metres number
---@return { latitude: number, longitude: number, course_deg: integer }
function M:at(metres)
  local gone = metres % (2 * self.length)
  local back = gone > self.length
  if back then gone = 2 * self.length - gone end
  local i = find(self.points, gone)
  local a, b = self.points[i], self.points[i + 1]
  local part = b.from > a.from and (gone - a.from) / (b.from - a.from) or 0
  local east, north = apart(a, b)
  local course = math.deg(math.atan(east, north)) + (back and 180 or 0)
  return {
    latitude = a.lat + (b.lat - a.lat) * part, longitude = a.lon + (b.lon - a.lon) * part,
    course_deg = math.floor(course) % 360,
  }
end

return M
