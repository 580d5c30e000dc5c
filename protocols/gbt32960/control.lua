-- SPDX-License-Identifier: Apache-2.0
-- Terminal control (command 82). The upgrade's fields stand in two orders in the standard
-- itself, and peers write its numbers as bytes or as text; both are options.
local tg = require "tidegate"

local M = {}

local pack, unpack = string.pack, string.unpack

M.codes = {
  upgrade = 0x01, power_off = 0x02, reset = 0x03, factory_reset = 0x04, disconnect = 0x05,
  alarm = 0x06, sampling = 0x07,
}
local names = {}
for name, code in pairs(M.codes) do names[code] = name end

local ORDER = {
  table = { "apn", "user", "password", "address", "port", "manufacturer", "hardware_version",
    "firmware_version", "url", "time_limit_min" },
  url_first = { "url", "apn", "user", "password", "address", "port", "manufacturer",
    "hardware_version", "firmware_version", "time_limit_min" },
}
--- What a command's arguments may say of the unit.
M.members = { "control", "parameter_hex", "level", "message", "order", "numbers" }
table.move(ORDER.table, 1, #ORDER.table, #M.members + 1, M.members)

local FIXED = { manufacturer = 4, hardware_version = 5, firmware_version = 5 }
local BINARY = { address = 6, port = 2, time_limit_min = 2 }

local function octets(text)
  local parts = { text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
  for i, part in ipairs(parts) do
    parts[i] = tonumber(part)
    if parts[i] > 255 then return nil end
  end
  return parts[4] and string.char(0, 0, table.unpack(parts)) or nil
end

local function number_of(name, value, most)
  if math.type(value) ~= "integer" or value < 0 or value > most then
    return nil, ("%s: expected a number from 0 to %d"):format(name, most)
  end
  return value
end

local write = {}

function write.address(value, binary)
  local bytes = type(value) == "string" and octets(value)
  if not bytes then return nil, "address: expected an IPv4 address" end
  return binary and bytes or value
end

local function write_number(name, most)
  return function(value, binary)
    local n, why = number_of(name, value, most)
    if not n then return nil, why end
    return binary and pack(">I2", n) or tostring(n)
  end
end

write.port = write_number("port", 65535)
write.time_limit_min = write_number("time_limit_min", 60000)

local function write_text(name, value)
  if type(value) ~= "string" then return nil, name .. ": expected a text" end
  local bytes, lost = tg.charset.encode("gb18030", value)
  if lost > 0 or bytes:find "[;%c]" then return nil, name .. ": a character that it cannot have" end
  if FIXED[name] and #bytes ~= FIXED[name] then
    return nil, ("%s: expected %d bytes"):format(name, FIXED[name])
  end
  return bytes
end

local function write_upgrade(args, how)
  local parts = {}
  for i, name in ipairs(ORDER[how.order]) do
    local value, why = args[name], nil
    if value == nil or value == "" then
      parts[i] = ""
    elseif write[name] then
      parts[i], why = write[name](value, how.binary)
    else
      parts[i], why = write_text(name, value)
    end
    if not parts[i] then return nil, why end
  end
  return table.concat(parts, ";")
end

local function write_alarm(args, how)
  local level = args.level == "invalid" and 0xFF or args.level
  local most = how.edition == 2025 and 4 or 3
  if level ~= 0xFF then
    local ok, why = number_of("level", level, most)
    if not ok then return nil, why end
  end
  local message = args.message or ""
  if type(message) ~= "string" then return nil, "message: expected a text" end
  local text, lost = tg.charset.encode("gb18030", message)
  if lost > 0 or #text > 4096 then return nil, "message: too long, or not in GB 18030" end
  return string.char(level) .. text
end

--- Command and parameters of a unit.
---@param args table control: a name or a number; what it needs beside it
---@param how table edition, order, binary
---@return string? bytes
---@return string? why
function M.write(args, how)
  local name = args.control
  if type(name) ~= "string" and type(name) ~= "number" then
    return nil, "control: expected a name or a number"
  end
  local code = M.codes[name] or tonumber(name)
  if math.type(code) ~= "integer" or code < 1 or code > 0xFE then
    return nil, "no such control: " .. name
  end
  local body, why = "", nil
  if args.parameter_hex ~= nil then
    body = type(args.parameter_hex) == "string" and tg.hex.decode(args.parameter_hex)
    why = not body and "parameter_hex: no hex"
  elseif code == 0x01 then
    body, why = write_upgrade(args, how)
  elseif code == 0x06 then
    body, why = write_alarm(args, how)
  end
  if not body then return nil, why end
  return string.char(code) .. body
end

-- ---- reading, as the device's side does -----------------------------------------------------

local read = {}

function read.address(bytes, binary)
  if not binary then return bytes end
  return ("%d.%d.%d.%d"):format(unpack("BBBB", bytes, 3))
end

local function read_number(bytes, binary)
  if not binary then return tonumber(bytes) or bytes end
  return (unpack(">I2", bytes))
end

read.port, read.time_limit_min = read_number, read_number

--- A field ends at the next ";", unless it has a size of its own: binary ones may hold one.
local function next_field(bytes, pos, name, how, last)
  local size = how.binary and BINARY[name]
  local at = last and #bytes + 1 or bytes:find(";", pos, true)
  if size and bytes:sub(pos, pos) ~= ";" and pos <= #bytes then at = pos + size end
  if not at or at > #bytes + 1 or not last and bytes:sub(at, at) ~= ";" then return nil end
  return bytes:sub(pos, at - 1), at + 1
end

local function read_upgrade(bytes, how)
  local data, pos, order = {}, 1, ORDER[how.order]
  for i, name in ipairs(order) do
    local field, next_at = next_field(bytes, pos, name, how, i == #order)
    if not field then return nil end
    if field ~= "" then
      local as = read[name]
      if as then data[name] = as(field, how.binary)
      else data[name] = (tg.charset.decode("gb18030", field)) end
    end
    pos = next_at
  end
  return pos > #bytes + 1 and data or nil
end

--- @return table data control and what it came with
function M.read(bytes, how)
  local code, body = bytes:byte(1), bytes:sub(2)
  if not code then return {} end
  local data = { control = names[code] or code }
  if code == 0x06 and #body > 0 then
    local level = body:byte(1)
    data.level = level == 0xFF and "invalid" or level
    data.message = tg.charset.decode("gb18030", body:sub(2))
  elseif #body > 0 then
    data.parameter_hex = tg.hex.encode(body)
    data.upgrade = code == 0x01 and read_upgrade(body, how) or nil
  end
  return data
end

return M
