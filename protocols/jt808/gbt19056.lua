-- SPDX-License-Identifier: Apache-2.0
-- Packets of a driving recorder (GB/T 19056-2012), which messages 0x0700, 0x8700 and 0x8701
-- carry: mark, command, length, a reserved byte, content, checksum. A packet that is none, or
-- whose content has another form, stays hex: recorders of 2003 have other commands.
local tg = require "tidegate"

local M = {}

local UP, DOWN = 0x557A, 0xAA75
local TIME = "time:bcdtime@+08:00 "
local POSITION = [[
  longitude:i32be/600000 in -108000000..108000000 "deg"
  latitude:i32be/600000 in -54000000..54000000 "deg" altitude_m:i16be "m"
]]
local SPEED = 'speed_kmh:u8?0xFF "km/h" '
local SIGNALS = "signals:u8 "
local VEHICLE = "vin:ascii[17] plate:gbk[12] plate_type:gbk[12]"
local MILEAGE = TIME .. [[
  installed:bcdtime@+08:00 first_km:dec[4]*0.1 "km" total_km:dec[4]*0.1 "km"
]]
local NAMES = TIME .. SIGNALS .. "names:[8]gbk[10]"
local PULSES = TIME .. "pulses_per_km:u16be"
local LICENCE = "licence:ascii[18] "

local CONTENT = {
  [0x00] = "year:bcd[1] modification:u8",
  [0x01] = LICENCE,
  [0x02] = TIME,
  [0x03] = MILEAGE,
  [0x04] = PULSES,
  [0x05] = VEHICLE,
  [0x06] = NAMES,
  [0x07] = "ccc:ascii[7] model:ascii[16] produced:bcd[3] serial:hex[4] reserved:hex[5]",
  [0x08] = "blocks:[*]{ " .. TIME .. "seconds:[60]{ " .. SPEED .. SIGNALS .. "} }",
  [0x09] = "blocks:[*]{ " .. TIME .. "minutes:[60]{ " .. POSITION .. SPEED .. "} }",
  [0x10] = "blocks:[*]{ end_time:bcdtime@+08:00 " .. LICENCE .. "samples:[100]{ " .. SPEED
    .. SIGNALS .. "} " .. POSITION .. "}",
  [0x11] = "blocks:[*]{ " .. LICENCE .. "start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 "
    .. "start:{ " .. POSITION .. "} stop:{ " .. POSITION .. "} }",
  [0x12] = "blocks:[*]{ " .. TIME .. LICENCE .. "event:u8{1=in 2=out}!raw }",
  [0x13] = "blocks:[*]{ " .. TIME .. "event:u8{1=on 2=off}!raw }",
  [0x14] = "blocks:[*]{ " .. TIME .. "parameter:u8 }",
  [0x15] = "blocks:[*]{ state:u8{1=normal 2=abnormal}!raw start_time:bcdtime@+08:00 "
    .. 'end_time:bcdtime@+08:00 samples:[60]{ speed_kmh:u8?0xFF "km/h" '
    .. 'reference_kmh:u8?0xFF "km/h" } }',
  [0x82] = VEHICLE, [0x83] = TIME, [0x84] = NAMES,
  [0xC2] = TIME, [0xC3] = PULSES, [0xC4] = MILEAGE,
}
local WINDOW = "start_time:bcdtime@+08:00 end_time:bcdtime@+08:00 max_blocks:u16be"

M.content = {}
for command, text in pairs(CONTENT) do M.content[command] = tg.struct(text) end
M.window = tg.struct(WINDOW)

local NAME = {
  [0x00] = "version", [0x01] = "driver", [0x02] = "clock", [0x03] = "mileage",
  [0x04] = "pulses", [0x05] = "vehicle", [0x06] = "signals", [0x07] = "unique_number",
  [0x08] = "speeds", [0x09] = "positions", [0x10] = "accidents", [0x11] = "overtime",
  [0x12] = "driver_log", [0x13] = "power_log", [0x14] = "parameter_log", [0x15] = "speed_log",
  [0x82] = "set_vehicle", [0x83] = "set_installed", [0x84] = "set_signals",
  [0xC2] = "set_clock", [0xC3] = "set_pulses", [0xC4] = "set_mileage",
  [0xE0] = "inspection", [0xE1] = "inspection_mileage", [0xE2] = "inspection_pulses",
  [0xE3] = "inspection_clock", [0xE4] = "inspection_end",
  [0xFA] = "collect_failed", [0xFB] = "set_failed",
}
M.names = NAME

local function is_log(command) return command >= 0x08 and command <= 0x15 end

--- What the packet says of itself. Commands to a recorder and its answers differ for logs only.
---@return table? record command, name, checksum_ok, and values or content
function M.read(bytes)
  if #bytes < 5 then return nil end
  local mark, command = string.unpack(">I2B", bytes)
  if mark ~= UP and mark ~= DOWN then return nil end
  local record = {
    command = command, name = NAME[command],
    checksum_ok = tg.check.xor8(bytes, 1, -2) == bytes:byte(-1),
  }
  if #bytes < 7 then return record end -- errors may have no length
  local length = string.unpack(">I2", bytes, 4)
  if #bytes ~= length + 7 then return nil end
  local content = bytes:sub(7, -2)
  local layout = mark == DOWN and is_log(command) and M.window or M.content[command]
  local values, next_at = nil, nil
  if layout and length > 0 then values, next_at = layout:decode(content) end
  if values and next_at == length + 1 then
    record.values = values
  elseif length > 0 then
    record.content = tg.hex.encode(content)
  end
  return record
end

--- A packet for the recorder.
---@param command integer
---@param values table? of the content; nil: none
---@return string? bytes
---@return string|tg.Error? why
function M.write(command, values)
  local content = ""
  if values then
    local layout = is_log(command) and M.window or M.content[command]
    if not layout then return nil, "this command has no content" end
    local err
    content, err = layout:encode(values)
    if not content then return nil, err end
  end
  local bytes = string.pack(">I2BI2B", DOWN, command, #content, 0) .. content
  return bytes .. string.char(tg.check.xor8(bytes))
end

return M
