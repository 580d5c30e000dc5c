-- SPDX-License-Identifier: Apache-2.0
-- One frame to one message, without a clock and without memory: what a session knows of a
-- device (its zone from the login) comes in ctx.codec. The frame's own length byte is not used:
-- the framer has found the end, and devices are known that count wrong.
local tg = require "tidegate"
local alarms = require "alarms"
local info = require "info"
local types = require "types"
local layouts = require "layouts"

local M = {}

local byte, unpack = string.byte, string.unpack
local SHORT, LONG = types.short, types.long

--- Minutes from UTC of the clock of this type.
local function zone_of(entry, ctx)
  local clock, codec = ctx.config.clock, ctx.codec
  local login = codec and codec.zone or 0
  if clock == "auto" then return entry.clock == "device" and login or 0 end
  if clock == "login" then return login end
  if clock == "utc" or entry.clock ~= "device" then return 0 end
  return (tg.time.zone(clock)) or 0
end

local function flaw(data, what)
  data.flaws = data.flaws or {}
  data.flaws[#data.flaws + 1] = what
end

--- Positions that cannot be, and clocks that do not run: said, never passed on as if real.
local function check_position(data)
  if data.latitude_raw or data.longitude_raw then
    flaw(data, "position_out_of_range")
    data.latitude, data.longitude = nil, nil
  elseif not data.gps_fixed and data.latitude == 0 and data.longitude == 0 then
    data.latitude, data.longitude = nil, nil
  end
  if data.course_deg_raw then flaw(data, "course_out_of_range") end
  if data.time or not data.time_raw then return end
  flaw(data, data.time_raw == "000000000000" and "time_missing" or "time_invalid")
end

--- Slots of neighbour cells that are not in use are zero.
local function used_cells(cells)
  local used = tg.json.array {}
  for _, cell in ipairs(cells) do
    if cell.lac ~= 0 or cell.cell_id ~= 0 then used[#used + 1] = cell end
  end
  return used
end

local refine = {}

function refine.login(data)
  local id = data.terminal_id
  if not id or #id ~= 16 or id:find "[^0-9]" or not id:find "[1-9]" then
    return nil, "imei_invalid: " .. tostring(id)
  end
  data.imei = id:sub(1, 1) == "0" and id:sub(2) or id
  local word = data.zone_word
  if word then
    local off = word >> 4
    local minutes = off // 100 * 60 + off % 100
    data.tz_offset_minutes = word & 8 ~= 0 and -minutes or minutes
    data.zone_word = nil
  end
  return data
end

function refine.alarm(data, ctx)
  if data.alarm_code then data.alarm = alarms.name(data.alarm_code, ctx.config.alarms) end
  data.event = data.lock_status or alarms.event(data)
  return data
end

--- Byte 4 of a heartbeat belongs to the alarm packet; devices leave the last alarm in it.
function refine.heartbeat(data, ctx)
  if data.alarm_code then data.alarm = alarms.name(data.alarm_code, ctx.config.alarms) end
  return data
end

function refine.cells(data)
  data.cells = data.cells and used_cells(data.cells)
  return data
end

function refine.wifi(data)
  data.cells = data.cells and used_cells(data.cells)
  for _, point in ipairs(data.wifi or {}) do
    point.mac = point.mac and point.mac:gsub("..", "%0:"):sub(1, -2)
  end
  return data
end

function refine.address_request(data, ctx)
  if data.alarm_code then data.alarm = alarms.name(data.alarm_code, ctx.config.alarms) end
  return data
end

--- ADDRESS&&<UTF-16BE>&&<phone>## down to a device; seen only in tests and captures.
function refine.address_answer(data)
  local bytes = tg.hex.decode(data.content or "")
  local keyword, rest = bytes:match "^(%u+)&&(.*)##$"
  if not keyword then return data end
  data.content, data.keyword = nil, keyword
  data.address = tg.charset.decode("utf16be", rest:sub(1, -24))
  data.phone = rest:sub(-21):gsub("\0+$", "")
  return data
end

--- The text of 0x21 says its own charset; bytes that are none of it stay beside it.
function refine.reply(data)
  if not data.content then return data end
  local charset = data.encoding == "utf16be" and "utf16be" or "utf8"
  local text, bad = tg.charset.decode(charset, tg.hex.decode(data.content))
  data.text = text:gsub("\0+$", "")
  if bad > 0 then
    data.text_hex = data.content
    flaw(data, "bad_text")
  end
  data.content = nil
  return data
end

function refine.information(data, _, how) return info.refine(data, how) end

function refine.transparent(data)
  local bytes = data.data_hex and tg.hex.decode(data.data_hex)
  if bytes and bytes:find "%g" and tg.charset.valid(bytes) then data.data_text = bytes end
  return data
end

function refine.modules(data)
  local modules = data.modules or {}
  for _, id in ipairs { "imei", "imsi" } do
    if modules[id] then modules[id] = modules[id]:gsub("^0", "", 1) end
  end
  return data
end

local HEARTBEATS = {
  r11 = layouts.heartbeat_r11, seeworld = layouts.heartbeat_seeworld, safe = layouts.heartbeat_info,
}

local function layout_of(entry, kind, length, frame, ctx)
  if kind == 0x13 and length == 0x0A and HEARTBEATS[ctx.config.model] then
    return HEARTBEATS[ctx.config.model]
  end
  if kind == 0x15 and byte(frame, 5) == 0 then return layouts.command_padded end
  if entry.other and not entry.by[length] then return layouts.address_short, entry.other end
  return entry.by and entry.by[length] or entry.layout, entry.type
end

local EMPTY = "truncated_content: no content"

local function message(entry, kind, long, serial)
  return {
    type = entry.type, proto = kind, long = long, serial = serial, answer = entry.answer,
    long_answer = entry.long_answer,
  }
end

--- Devices that send a heartbeat without its content still wait for the answer.
local function without_content(msg, entry)
  if entry.type == "heartbeat" then
    msg.data = { flaws = { "truncated_content" } }
    return msg
  end
  if entry.type == "login" then
    msg.refused = EMPTY
    return msg
  end
  return nil, EMPTY
end

local function slow(frame, ctx, entry, msg, length)
  local layout, kind = layout_of(entry, msg.proto, length, frame, ctx)
  local how = { zone = zone_of(entry, ctx), partial = entry.partial ~= nil }
  local data, next_at, flaws = layout:decode(frame, 1, how)
  msg.type = kind or msg.type
  if not data and entry.type == "login" then
    msg.refused = "truncated_content: " .. next_at.message
    return msg
  elseif not data then
    return nil, "truncated_content: " .. next_at.message
  end
  if flaws and entry.partial then flaw(data, entry.partial) end
  if data.modules and data.modules.tail then flaw(data, "truncated_content") end
  check_position(data)
  local fine = refine[msg.type]
  if fine then
    local done, why = fine(data, ctx, how)
    if not done then msg.refused = why end
  end
  if entry.unknown then data.proto = ("0x%02x"):format(msg.proto) end
  if data.language_raw == 0 and entry.type == "alarm" then msg.answer = "no" end
  msg.data = data
  return msg
end

--- The common case, a live position with a fix: from bytes to JSON in C. Anything odd takes the
--- way above. `members` is the JSON without its braces, as the session has members to add;
--- `clock` is the six bytes of the time as one number. Not more than eight fields, with the
--- payload to come: a ninth would double the table.
local function fast(frame, ctx, entry, kind, length)
  local way = entry.fast[length]
  local clock, _, _, course, _, serial, after = unpack(way.look, frame, 5)
  if length == 0x22 then serial = after end
  if clock < 0x10000000000 or course & 0x1000 == 0 then return nil end
  local zone = entry.clock == "utc" and ctx.config.clock ~= "login" and 0 or zone_of(entry, ctx)
  local how = zone ~= 0 and { zone = zone } or nil
  local members, _, flaws = way.layout:members(frame, 1, how)
  if not members or flaws then return nil end
  return {
    type = "location", proto = kind, serial = serial, answer = "optional", members = members,
    clock = clock, zone = zone ~= 0 and zone or nil, acc_known = course & 0x4000 ~= 0 or nil,
  }
end

---@param frame string
---@param ctx tg.Ctx
---@return table? message type, proto, serial, answer and data; `refused` when it must not be taken
---@return string? why
function M.decode(frame, ctx)
  local start, _, _, kind, long_kind = byte(frame, 1, 5)
  local long = start == 0x79
  local length = #frame - (long and 6 or 5)
  local entry = long and (LONG[long_kind] or types.unknown_long) or SHORT[kind]
    or types.unknown_short
  if entry.fast and entry.fast[length] then
    local msg = fast(frame, ctx, entry, kind, length)
    if msg then return msg end
  end
  local msg = message(entry, long and long_kind or kind, long, unpack(">I2", frame, #frame - 5))
  if length == 5 and not entry.empty then return without_content(msg, entry) end
  return slow(frame, ctx, entry, msg, length)
end

return M
