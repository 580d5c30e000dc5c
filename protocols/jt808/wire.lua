-- SPDX-License-Identifier: Apache-2.0
-- Headers, checksums, packets. The two header forms differ in the phone's width and a protocol
-- byte; bit 14 tells them apart, and where it lies, the length does.
local tg = require "tidegate"

local M = {}

local pack, unpack, char, sub = string.pack, string.unpack, string.char, string.sub
local xor8 = tg.check.xor8

local HEAD = [[
  msg_id:hex[2]
  _:u16be(body_length:10 encryption:3 subpackage:flag version_flag:flag _:1)
  %s
  serial:u16be
  packet_total:u16be if subpackage=1
  packet_number:u16be if subpackage=1
]]
M.head = {
  ["2013"] = tg.struct(HEAD:format "phone:hex[6]"),
  ["2019"] = tg.struct(HEAD:format "protocol_version:u8 phone:hex[10]"),
}
-- Two private messages have a serial of one byte, and attribute bits of their own.
local ONE_BYTE = { [0x5501] = true, [0x5502] = true }
M.head.vendor = tg.struct [[ msg_id:hex[2] _:u16be(body_length:10 _:6) phone:hex[6] serial:u8 ]]
M.sum = tg.struct "checksum:hex[1]"

local SIZE = { ["2013"] = 12, ["2019"] = 17 }

--- Which header the frame has, from its flag or, where that does not fit, from its length.
---@return string? header "2013" or "2019"
---@return integer|string size of the header, or what is wrong
---@return integer? body bytes of the body
function M.header_of(frame, lenient)
  if #frame < 13 then return nil, "short: " .. #frame .. " bytes" end
  local attributes = unpack(">I2", frame, 3)
  local declared = attributes & 0x3FF
  local more = attributes & 0x2000 ~= 0 and 4 or 0
  local first = attributes & 0x4000 ~= 0 and "2019" or "2013"
  local second = first == "2013" and "2019" or "2013"
  if ONE_BYTE[unpack(">I2", frame)] and #frame == 12 + declared then
    return "vendor", 11, declared
  end
  for _, header in ipairs { first, second } do
    local size = SIZE[header] + more
    if #frame == size + declared + 1 then return header, size, declared end
  end
  local size = SIZE[first] + more
  if lenient and #frame > size then return first, size, #frame - size - 1 end
  return nil, ("length: declared %d, found %d"):format(declared, #frame - size - 1)
end

--- Digits of a phone; a device is the same under both headers, so it is known by its number
--- without the longer form's padding. A field that is no BCD is a binary number: its hex.
function M.identity(phone)
  local digits = tg.hex.encode(phone)
  if digits:find "%a" then return digits end
  if #digits == 12 then return digits end
  local number = digits:match "^0*(.*)$"
  return ("0"):rep(12 - #number) .. number
end

--- The number in a binary phone field: the first 14 digits of an IMEI.
function M.binary_number(phone)
  if #phone ~= 6 or not tg.hex.encode(phone):find "%a" then return nil end
  local n = unpack(">I6", phone)
  return n < 100000000000000 and n or nil
end

--- The phone field for digits, as long as the header has it.
function M.phone(digits, header)
  if digits:find "%a" then return tg.hex.decode(digits) end
  return tg.bcd.encode(digits, header == "2019" and 10 or 6)
end

--- Flags, escapes, checksum around a header and a body.
local ESCAPES = { ["}"] = "}\1", ["~"] = "}\2" }
function M.frame(bytes)
  bytes = bytes .. char(xor8(bytes))
  if bytes:find "[}~]" then bytes = bytes:gsub("[}~]", ESCAPES) end
  return "~" .. bytes .. "~"
end

local function head(to, id, length, serial, total, number)
  local attributes = length | (total and 0x2000 or 0) | (to.header == "2019" and 0x4000 or 0)
    | (to.encryption or 0) << 10
  local bytes = pack(">I2I2", id, attributes)
  if to.header == "2019" then bytes = bytes .. char(to.version or 1) end
  bytes = bytes .. to.phone .. pack(">I2", serial)
  if total then bytes = bytes .. pack(">I2I2", total, number) end
  return bytes
end

--- The next serial down; a message of n packets takes n of them.
function M.take_serial(to, n)
  local serial = to.serial or 0
  to.serial = (serial + (n or 1)) & 0xFFFF
  return serial
end

--- One message as whole frames. `to`: header, version, phone, serial.
---@return string[] frames
---@return integer serial of the first
function M.build(to, id, body, limit)
  limit = limit or 1023
  if #body <= limit then
    local serial = M.take_serial(to)
    return { M.frame(head(to, id, #body, serial) .. body) }, serial
  end
  local total = (#body + limit - 1) // limit
  if total > 0xFFFF then return {}, -1 end
  local first, frames = M.take_serial(to, total), {}
  for n = 1, total do
    local part = body:sub((n - 1) * limit + 1, n * limit)
    frames[n] = M.frame(head(to, id, #part, (first + n - 1) & 0xFFFF, total, n) .. part)
  end
  return frames, first
end

--- One packet with its checksum, before escapes and flags. `m` may have the header that it
--- came with, as `head`; else it gets one.
function M.packet(m, body)
  local bytes
  if m.head then
    local form = m.head.encryption == nil and "vendor" or #m.phone == 10 and "2019" or "2013"
    local fields = { body_length = form == "vendor" and #body - 1 or #body }
    for key, value in pairs(m.head) do fields[key] = fields[key] or value end
    if m.decrypted then fields.encryption = 0 end
    bytes = M.head[form]:encode(fields) .. body
  else
    bytes = head(m, m.id, #body, m.serial or 0) .. body
  end
  return bytes .. char(xor8(bytes))
end

-- ---- 0x8001 ------------------------------------------------------------------------------------

--- What general answers begin with, up to the phone: all devices have it in common.
local START <const>, FORM <const> = "~" .. pack(">I2I2", 0x8001, 5), ">c5c6I8B"
local FORM_2019 <const> = ">c6c10I8B"
local starts = {} -- by protocol version
local function start_2019(version)
  local start = starts[version]
  if not start then
    start = "~" .. pack(">I2I2B", 0x8001, 0x4000 | 5, version)
    starts[version] = start
  end
  return start
end

--- What the checksum of every general answer to this device begins with; none where the bytes
--- in front of the serial need an escape.
function M.prepare(to)
  local start = head(to, 0x8001, 5, 0):sub(1, -3)
  to.sum = not start:find "[}~]" and xor8(start) or nil
end

local ONES <const>, HIGHS <const> = 0x0101010101010101, ~0x7F7F7F7F7F7F7F7F
local SEVEN_D <const>, SEVEN_E <const> = 0x7D * ONES, 0x7E * ONES

--- The answer that each message up gets. Its eight changing bytes, of which the last is the
--- checksum, are one number: that is summed in three steps, and whether one of its bytes needs
--- an escape shows as a zero byte of a difference.
function M.answer(to, reply_serial, reply_id, result)
  local serial = to.serial
  to.serial = (serial + 1) & 0xFFFF
  local word = serial << 48 | reply_serial << 32 | reply_id << 16 | result << 8
  local sum = word ~ word >> 32
  sum = sum ~ sum >> 16
  word = word | (sum ~ sum >> 8 ~ (to.sum or 0)) & 0xFF
  local start, form = START, FORM
  if to.header == "2019" then start, form = start_2019(to.version or 1), FORM_2019 end
  local d, e = word ~ SEVEN_D, word ~ SEVEN_E
  if ((d - ONES & ~d | e - ONES & ~e) & HIGHS) == 0 and to.sum then
    return pack(form, start, to.phone, word, 0x7E)
  end
  return M.frame(sub(start, 2) .. to.phone .. sub(pack(">I8", word), 1, 7))
end

return M
