-- SPDX-License-Identifier: Apache-2.0
-- Topin / ZhongXun trackers (ZX303, ZX612 …): start and stop bytes of GT06 on the same ports, but
-- no serial, no checksum, and a length that counts loosely or counts access points. So they need
-- a listener of their own, `adapter = "gt06-topin"`, and are split by what their types need at
-- least: the stop bytes may occur in a position.
local tg = require "tidegate"

local M = {}

local LOGIN = tg.struct "skip[4] imei:bcd[8] software_version?:u8"
local GPS = tg.struct [[
  skip[4] time:time6@utc!raw
  _:u8(_:4 satellites:4)
  latitude:u32be/1800000~6 in 0..162000000 minus _north=0
  longitude:u32be/1800000~6 in 0..324000000 minus _west=1
  speed_kmh:u8
  _:u16be(course_deg:10 in 0..360 _north:flag _west:flag gps_fixed:flag _:3)
]]
local WIFI = tg.struct [[
  skip[2] _points:u8 skip[1] time:bcdtime@utc!raw
  wifi:[_points]{ mac:hex[6] rssi:u8 }
  _cells:u8 mcc:u16be mnc:u8
  cells:[_cells]{ lac:u16be cell_id:u16be rssi:u8 }
]]

--- Bytes in front of the stop bytes, at least; `n` is the length byte.
local LEAST = {
  [0x01] = function() return 12 end,
  [0x10] = function() return 22 end,
  [0x11] = function() return 22 end,
  [0x17] = function(n) return 10 + 7 * n end,
  [0x69] = function(n) return 10 + 7 * n end,
}
local MAX = 1024

--- Takes the first frame off `data`.
---@return integer used
---@return string? frame
function M.split(data)
  local start = data:find("xx", 1, true)
  if not start then return data:sub(-1) == "x" and #data - 1 or #data end
  if start > 1 then return start - 1 end
  if #data < 4 then return 0 end
  if data:byte(3) == 0x78 then return 1 end -- no frame has that length: a byte of junk in front
  local least = LEAST[data:byte(4)]
  local from = least and least(data:byte(3)) or 4
  local at, stop = data:find("\r\n", from + 1, true)
  if at then return stop, data:sub(1, at - 1) end
  return #data > MAX and 2 or 0
end

local read = {}

read[0x01] = function(frame)
  local data, err = LOGIN:decode(frame)
  if not data then return nil, err.message end
  data.imei = data.imei:gsub("^0", "", 1)
  if data.imei:find "[^0-9]" or not data.imei:find "[1-9]" then return nil, "imei_invalid" end
  return { type = "login", data = data, reply = "xx\1\1\r\n" }
end

local function position(frame)
  local data, err = GPS:decode(frame)
  if not data then return nil, err.message end
  if data.latitude_raw or data.longitude_raw or not data.gps_fixed and data.latitude == 0 then
    data.latitude, data.longitude = nil, nil
  end
  return { type = "location", data = data, reply = "xx\0" .. frame:sub(4, 10) .. "\r\n" }
end
read[0x10], read[0x11] = position, position

local function wifi(frame)
  local data, err = WIFI:decode(frame, 1, { partial = true })
  if not data then return nil, err.message end
  for _, point in ipairs(data.wifi or {}) do
    point.mac = point.mac and point.mac:gsub("..", "%0:"):sub(1, -2)
  end
  return { type = "wifi", data = data, reply = "xx\0" .. frame:sub(4, 10) .. "\r\n" }
end
read[0x17], read[0x69] = wifi, wifi

read[0x08] = function() return { type = "heartbeat", data = {} } end
read[0x30] = function() return { type = "time_request" } end

---@param frame string without its stop bytes
function M.decode(frame)
  local kind = frame:byte(4)
  local how = read[kind]
  if how then return how(frame) end
  local content = tg.hex.encode(frame:sub(5))
  return { type = "raw", data = { proto = ("0x%02x"):format(kind), content_hex = content } }
end

--- The year takes two bytes here.
local function time_answer()
  local b = tg.time.to_bytes(tg.time.now())
  return "xx\7\x30" .. string.pack(">I2", 2000 + b:byte(1)) .. b:sub(2) .. "\r\n"
end

---@param config table
function M.declare(config)
  local A = tg.adapter {
    id = "gt06-topin", version = "1.0.0", api = 1, transports = { "tcp", "tls" }, frame = "raw",
    topic = "gt06/${device}/${type}", down = false, config = config,
  }

  local function login(conn, msg)
    local imei = msg.data.imei
    if conn.device ~= imei then
      local who, err = tg.auth.check { device = imei, peer = conn.peer }
      if not who then
        conn:send "xx\1\x44\r\n"
        return conn:close("auth", err)
      end
      if not conn:bind(imei, { tenant = who.tenant }) then return conn:close "protocol" end
    end
    conn:ready()
    conn:idle(A.config.idle / 1000)
    return true
  end

  local function handle(conn, frame)
    local msg, why = M.decode(frame)
    if not msg then return conn:complain(why) end
    if msg.type == "login" and not login(conn, msg) then return end
    if not conn.device then return conn:complain "data before login" end
    if msg.type == "time_request" then return conn:send(time_answer()) end
    if msg.reply then conn:send(msg.reply) end
    msg.data.received = tg.time.format(tg.time.now())
    conn:publish(msg)
  end

  --- A login waits, and what a handler that waited leaves of its bytes is not kept by the
  --- host: so the rest is kept here.
  function A.on_data(conn, data)
    local state = conn.state
    state.rest = (state.rest or "") .. data
    repeat
      local used, frame = M.split(state.rest)
      if used > 0 then state.rest = state.rest:sub(used + 1) end
      if frame then handle(conn, frame) end
    until used == 0 or state.rest == "" or not conn.open
    if state.rest == "" then state.rest = nil end
  end

  function A.on_downlink() return nil, "there are no commands for these devices" end

  function A.on_idle(conn) conn:close "idle" end
  return A
end

return M
