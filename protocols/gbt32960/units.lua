-- SPDX-License-Identifier: Apache-2.0
-- Units other than reports, up and down. The layouts cover the unit alone; what they cannot
-- say (counts that are sums, sizes from elsewhere) is read here.
local tg = require "tidegate"
local blocks25 = require "blocks25"

local M = {}

local TIME = "time:time6@+08:00 \n"
local LOGIN16 = tg.struct(TIME .. [[
  serial:u16be iccid:ascii[20] subsystem_count:u8 code_length:u8
  codes_hex:hex[*]
]])
local LOGIN25 = tg.struct(TIME .. [[
  serial:u16be iccid:ascii[20] bms_count:u8 pack_counts:[bms_count]u8
  codes_hex:hex[*]
]])
local LOGOUT = tg.struct(TIME .. "serial:u16be tail_hex:rest")
local PLATFORM = tg.struct(TIME .. [[
  serial:u16be user:ascii[12] password:ascii[20]
  encryption:u8{1=none 2=RSA 3=AES 4=SM2 5=SM4} tail_hex:rest
]])
local ACTIVATION = tg.struct(TIME .. "chip_id:ascii[16] key:hex[u16be] vin:ascii[17] signature:{"
  .. blocks25.SIGNATURE .. "} tail_hex:rest")
local RESULT = tg.struct [[
  status:u8{1=ok 2=failed} info:u8{0=ok 1=chip_already_active 2=vin_duplicate} tail_hex:rest
]]
local KEY = tg.struct [[
  key_type:u8{2=RSA 3=AES 4=SM2 5=SM4} key:hex[u16be] enable_time:time6@+08:00
  expiry_time:time6@+08:00 tail_hex:rest
]]

--- For the field reference.
M.layouts = {
  { command = 0x01, edition = "2016", name = "login", layout = LOGIN16 },
  { command = 0x01, edition = "2025", name = "login", layout = LOGIN25 },
  { command = 0x04, edition = "all", name = "logout", layout = LOGOUT },
  { command = 0x05, edition = "all", name = "platform_login", layout = PLATFORM },
  { command = 0x09, edition = "2025", name = "activation", layout = ACTIVATION },
  { command = 0x0A, edition = "2025", name = "activation_result", layout = RESULT },
  { command = 0x0B, edition = "2025", name = "key_exchange", layout = KEY },
}

--- The codes of subsystems: `n` of `length` bytes. @return nil: they are not all there
local function take_codes(data, n, length)
  local bytes = tg.hex.decode(data.codes_hex)
  local codes, at = tg.json.array {}, 1
  if n * length > #bytes then return nil, "the codes end too early" end
  for i = 1, length > 0 and n or 0 do
    local text = tg.charset.decode("ascii", bytes:sub(at, at + length - 1))
    codes[i] = text:gsub("%z+$", "")
    at = at + length
  end
  data.codes, data.codes_hex = codes, nil
  if at <= #bytes then data.tail_hex = tg.hex.encode(bytes:sub(at)) end
  return data
end

--- What is missing to be written goes back to bytes.
local function put_codes(data, length)
  local parts = {}
  for i, code in ipairs(data.codes or {}) do
    if #code > length then return nil, ("codes[%d]: more than %d bytes"):format(i - 1, length) end
    parts[i] = code .. ("\0"):rep(length - #code)
  end
  return tg.hex.encode(table.concat(parts)) .. (data.tail_hex or "")
end

local function with(data, more)
  local out = {}
  for k, v in pairs(data) do out[k] = v end
  for k, v in pairs(more) do out[k] = v end
  return out
end

local function plain(layout)
  return {
    decode = function(unit) return layout:decode(unit) end,
    encode = function(data) return layout:encode(data) end,
  }
end

local LOGIN = { [2016] = {}, [2025] = {} }
M.PACK_CODE = 24

LOGIN[2016].decode = function(unit)
  local data, err, flaws = LOGIN16:decode(unit)
  if not data then return nil, err end
  data.codes_hex = data.codes_hex or ""
  local done, why = take_codes(data, data.subsystem_count, data.code_length)
  return done, why, flaws
end

LOGIN[2016].encode = function(data)
  local codes = data.codes or {}
  local length = data.code_length or #(codes[1] or "")
  local hex, why = put_codes(data, length)
  if not hex then return nil, why end
  return LOGIN16:encode(with(data, {
    codes_hex = hex, code_length = length, subsystem_count = data.subsystem_count or #codes,
  }))
end

local function sum(list)
  local n = 0
  for _, count in ipairs(list) do n = n + count end
  return n
end

LOGIN[2025].decode = function(unit)
  local data, err, flaws = LOGIN25:decode(unit)
  if not data then return nil, err end
  data.codes_hex = data.codes_hex or ""
  local done, why = take_codes(data, sum(data.pack_counts), M.PACK_CODE)
  return done, why, flaws
end

LOGIN[2025].encode = function(data)
  local hex, why = put_codes(data, M.PACK_CODE)
  if not hex then return nil, why end
  local counts = data.pack_counts or {}
  if sum(counts) ~= #(data.codes or {}) then return nil, "pack_counts: not as many as codes" end
  return LOGIN25:encode(with(data, {
    codes_hex = hex, bms_count = #counts, pack_counts = counts,
  }))
end

--- Units by command: the same in both editions, or { [2016] = …, [2025] = … }.
M.by = {
  [0x01] = LOGIN,
  [0x04] = plain(LOGOUT), [0x05] = plain(PLATFORM), [0x06] = plain(LOGOUT),
  [0x09] = { [2025] = plain(ACTIVATION) }, [0x0A] = { [2025] = plain(RESULT) },
  [0x0B] = { [2025] = plain(KEY) },
}

--- @return table? unit decode(bytes), encode(data); nil: no layout
function M.of(command, edition)
  local unit = M.by[command]
  if unit and not unit.decode then return unit[edition] end
  return unit
end

return M
