-- SPDX-License-Identifier: Apache-2.0
-- Information frames (0x94 with the long start): a sub type, then one of a dozen contents, half
-- of them text that differs by model. What is not known stays `data_hex`.
local tg = require "tidegate"

local M = {}

local VOLTAGE = tg.struct 'external_voltage_v:u16be*0.01 "V"'
local IO = "_:u8(door_open:flag trigger_high:flag io_high:flag _:5)"
local DOOR = tg.struct(IO)
local DOOR_TIME = tg.struct("time:time6!raw!utc " .. IO)
local CARDS = tg.struct "imei:bcd[8] imsi:bcd[8] iccid:hex[10]"
local NETWORK = tg.struct "network:u8"
local CLIMATE = tg.struct 'temperature_c:i32be*0.1 "C" humidity_pct:i32be*0.1 "%"'
local TIMED = tg.struct "time:time6!raw!utc text:ascii[*]"
local CARD = tg.struct "_mark:u8=2 _kind:u8=8 card_hex:hex[4] check:u8 _end:u8=3"

--- KEY=value;KEY=value
local function values(text)
  local out = {}
  for key, value in text:gmatch "([^=;]+)=([^;]*)" do out[key] = value end
  return out
end

--- !AIOIL,02,008.290,029.600,519J,0400,008.430,0,00,AB
local function fuel(text)
  local part = {}
  for word in text:gmatch "[^,]+" do part[#part + 1] = word end
  if part[1] ~= "!AIOIL" or #part < 10 then return nil end
  return {
    address = part[2], level_output_cm = tonumber(part[3]), temperature_c = tonumber(part[4]),
    level_measured_cm = tonumber(part[7]), checksum = part[#part],
  }
end

local function text_of(bytes)
  return (tg.charset.decode("utf8", bytes))
end

local sub = {}

sub[0x00] = function(bytes) return VOLTAGE:decode(bytes) end
sub[0x04] = function(bytes)
  local text = text_of(bytes)
  return { text = text, values = values(text) }
end
sub[0x05] = function(bytes, how)
  return (#bytes >= 7 and DOOR_TIME or DOOR):decode(bytes, 1, how)
end
sub[0x0A] = function(bytes)
  local data, err = CARDS:decode(bytes)
  if not data then return nil, err end
  data.imei, data.imsi = data.imei:gsub("^0", "", 1), data.imsi:gsub("^0", "", 1)
  data.iccid = data.iccid:gsub("f+$", "")
  return data
end
sub[0x0B] = function(bytes)
  if #bytes >= 2 then return VOLTAGE:decode(bytes) end
  local data, err = NETWORK:decode(bytes)
  if not data then return nil, err end
  return { network = data.network == 0 and "2G" or "4G" }
end
sub[0x0D] = function(bytes, how)
  if bytes:byte(1) == 0x21 then return { text = text_of(bytes), fuel = fuel(bytes) } end
  local data, err = TIMED:decode(bytes, 1, how)
  if not data then return nil, err end
  data.fuel = fuel(data.text)
  return data
end
sub[0x1B] = function(bytes)
  if bytes:byte(1) == 2 then return CARD:decode(bytes) end
  return { text = text_of(bytes) }
end
sub[0x1E] = function(bytes) return CLIMATE:decode(bytes) end

--- @param data table info_type and data_hex, as the layout of the frame gave them
---@return table data with what the sub type says in place of data_hex
function M.refine(data, how)
  local refine = sub[data.info_type]
  local more = refine and refine(tg.hex.decode(data.data_hex), how)
  if not more then return data end
  data.data_hex = nil
  for key, value in pairs(more) do data[key] = value end
  return data
end

return M
