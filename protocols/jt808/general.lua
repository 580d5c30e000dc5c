-- SPDX-License-Identifier: Apache-2.0
-- Answers, registration, authentication, attributes, upgrade, control. What a body's edition is
-- is told from its size where the sizes differ: a terminal may have the header of one edition
-- and the bodies of another.
local body = require "body"
local tg = require "tidegate"

local M = {}

M.answer = body.same [[
  reply_serial:u16be reply_id:u16be
  result:u8{0=ok 1=failed 2=wrong 3=unsupported 4=alarm_confirmed}!raw
]]
M.time = body.same "time:bcdtime@utc"
M.time_local = body.same "time:bcdtime@+08:00"
M.registered = body.same [[
  reply_serial:u16be
  result:u8{0=ok 1=vehicle_registered 2=no_such_vehicle 3=terminal_registered
            4=no_such_terminal}!raw
  auth_code:gbk[*]
]]

-- The count of packet numbers is a byte in 2013 and a word in 2019; the body's length tells.
M.resend_byte = body.same "original_serial:u16be packet_numbers:[u8]u16be"
M.resend_word = body.same "original_serial:u16be packet_numbers:[u16be]u16be"

local function register(manufacturer, model, id)
  return body.layout(([[
    province:u16be city:u16be
    manufacturer_id:gbk[%d]!trim model:gbk[%d]!trim terminal_id:gbk[%d]!trim
    plate_color:u8{0=none 1=blue 2=yellow 3=black 4=white 5=green 9=other}!raw plate:gbk[*]
  ]]):format(manufacturer, model, id))
end
M.register = {
  ["2011"] = register(5, 8, 7), ["2013"] = register(5, 20, 7), ["2019"] = register(11, 30, 30),
}

M.auth = body.split("auth_code:gbk[*]",
  "auth_code:gbk[u8] imei:ascii[15] software_version:gbk[20]")

local function attributes(manufacturer, model, id)
  return body.layout(([[
    type:u16be set{0=passenger 1=dangerous_goods 2=freight 3=taxi 6=hard_disk_recorder 7=split
                   8=trailer}!raw
    manufacturer_id:gbk[%d]!trim model:gbk[%d]!trim terminal_id:gbk[%d]!trim iccid:hex[10]
    hardware_version:gbk[u8] firmware_version:gbk[u8]
    gnss:u8 set{0=gps 1=beidou 2=glonass 3=galileo}!raw
    comm:u8 set{0=gprs 1=cdma 2=td_scdma 3=wcdma 4=cdma2000 5=td_lte 7=other}!raw
  ]]):format(manufacturer, model, id))
end
M.attributes = {
  ["2011"] = attributes(5, 20, 7), ["2013"] = attributes(5, 20, 7),
  ["2019"] = attributes(5, 30, 30), wide = attributes(11, 30, 30),
}

-- 0x64 to 0x67 are Guangdong's.
local PART = "0=terminal 12=ic_card_reader 52=beidou_module 100=adas 101=dsm 102=tpms 103=bsd"

local function upgrade(manufacturer)
  return body.layout(([[
    type:u8{]] .. PART .. [[}!raw manufacturer_id:gbk[%d]!trim version:gbk[u8]
    package_length:u32be data:hex[*]
  ]]):format(manufacturer))
end
M.upgrade = { ["2011"] = upgrade(5), ["2013"] = upgrade(5), ["2019"] = upgrade(5),
  wide = upgrade(11) }
M.upgraded = body.same("type:u8{" .. PART .. [[}!raw
  result:u8{0=ok 1=failed 2=cancelled}!raw
]])
M.control = body.same [[
  command:u8{1=upgrade 2=connect 3=shut_down 4=reset 5=factory_reset 6=close_data 7=close_radio}!raw
  parameter:bytes[*]
]]
M.key = body.same "e:u32be n:hex[128]"

-- ---- editions by the body -------------------------------------------------------------------

function M.register_edition(_, size)
  if size < 37 then return "2011" end
  return size < 76 and "2013" or "2019"
end

--- The 2019 form is exactly its length byte, the code, and 35 bytes.
function M.auth_edition(header, size, frame, at)
  local n = header == "2019" and frame:byte(at) or nil
  if n and size == n + 36 then return "2019" end
  return "2013"
end

--- Where both version strings end just before the last two bytes, the layout is right.
local function fits(frame, at, size, manufacturer, model, id)
  local first = 2 + manufacturer + model + id + 10
  local n = first < size and frame:byte(at + first)
  local second = n and first + 1 + n
  local k = second and second < size and frame:byte(at + second)
  return k and second + 1 + k + 2 == size
end

function M.attributes_edition(header, size, frame, at)
  if header == "2019" and fits(frame, at, size, 5, 30, 30) then return "2019" end
  if fits(frame, at, size, 11, 30, 30) then return "wide" end
  if fits(frame, at, size, 5, 20, 7) then return "2013" end
  return header
end

function M.upgrade_edition(header, size, frame, at)
  local function whole(manufacturer)
    local n = frame:byte(at + 1 + manufacturer)
    local from = n and at + 2 + manufacturer + n
    if not from or from + 4 - at > size then return false end
    return size - (from + 4 - at) == string.unpack(">I4", frame, from)
  end
  if header == "2019" and not whole(5) and whole(11) then return "wide" end
  return header
end

-- ---- forms -------------------------------------------------------------------------------------

local function hex_id(id) return ("0x%04X"):format(id) end

function M.read_answer(data)
  if data.reply_id then data.reply_id = hex_id(data.reply_id) end
  return data
end

function M.write_answer(data)
  local copy = {}
  for key, value in pairs(data) do copy[key] = value end
  copy.reply_id = tonumber(data.reply_id)
  return copy
end

--- Parameters of a control command are joined with `;`; numbers among them are text in most
--- implementations and binary in some, whose bytes are kept.
function M.read_control(data)
  local bytes = data.parameter or ""
  local text, bad = tg.charset.decode("gbk", bytes)
  if bad > 0 or text:find "%c" then
    data.parameter, data.parameter_hex = nil, tg.hex.encode(bytes)
  else
    data.parameter = text
  end
  return data
end

function M.write_control(data)
  local bytes = data.parameter_hex and tg.hex.decode(data.parameter_hex)
  if not bytes then
    local text = data.parameter or ""
    if type(text) == "table" then text = table.concat(text, ";") end
    bytes = tg.charset.encode("gbk", text)
  end
  return { command = data.command, parameter = bytes }
end

function M.resend_layouts(_, size) return size % 2 == 1 and "byte" or "word" end

return M
