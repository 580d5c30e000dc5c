-- SPDX-License-Identifier: Apache-2.0
-- One frame to one message. The start mark chooses the edition, frame by frame. A message
-- has the header's parts; `members` (JSON without braces) or `data`; `refused` when nothing
-- may be done with it; and `error` when its unit cannot be read: "structure" or
-- "encrypted".
local tg = require "tidegate"
local control = require "control"
local emqx = require "emqx"
local keys = require "keys"
local parameters = require "parameters"
local report = require "report"
local units = require "units"

local M = {}

local byte, sub, find = string.byte, string.sub, string.find
local hex = tg.hex.encode

local TYPES = {
  [0x01] = "login", [0x02] = "report", [0x03] = "reissue", [0x04] = "logout",
  [0x05] = "platform_login", [0x06] = "platform_logout", [0x07] = "heartbeat",
  [0x08] = "time_sync", [0x09] = "activation", [0x0A] = "activation_result",
  [0x0B] = "key_exchange", [0x80] = "parameters", [0x81] = "parameters", [0x82] = "control",
}
local FLAGS = {
  [0x01] = "ok", [0x02] = "error", [0x03] = "vin_duplicate", [0x04] = "vin_unknown",
  [0x05] = "signature", [0x06] = "structure", [0x07] = "decryption",
}
local CIPHERS = {
  [0x02] = "RSA", [0x03] = "AES", [0x04] = "SM2", [0x05] = "SM4", [0xFE] = "abnormal",
  [0xFF] = "invalid",
}
-- What comes before auth has been asked, and so before any key is known.
local ENTERS = { [0x01] = true, [0x05] = true, [0x09] = true }
-- What upper platforms are told: logins, reports, reissues and logouts of vehicles.
local FORWARDED = { [0x01] = true, [0x02] = true, [0x03] = true, [0x04] = true }
M.COMMAND = 0xFE

--- A VIN becomes a topic level and a client id. @return nil: it may not
local function device_of(id, command, config)
  if command == 0x05 or command == 0x06 or config.vin == "padded" then
    id = id:gsub("[%z ]+$", "")
    return find(id, "^[%w_.-]+$") and id or nil
  end
  return find(id, "^%w+$") and id or nil
end

local function base(msg)
  return { vin = msg.device, edition = msg.edition }
end

local function flaw(data, what)
  data.flaws = data.flaws or {}
  data.flaws[#data.flaws + 1] = what
end

local function add_flaws(data, flaws)
  for _, what in ipairs(flaws or {}) do flaw(data, what) end
end

-- ---- units ----------------------------------------------------------------------------------

local function login_flaws(data)
  if data.serial == 0 or data.serial > 65531 then flaw(data, "serial_out_of_range") end
  if data.tail_hex then flaw(data, "bytes behind the unit") end
end

--- Keys and passwords are for the session's eyes.
local function keep_secret(msg, data, config)
  msg.user, msg.password, data.password = data.user, data.password, nil
  if msg.type == "key_exchange" and not config.publish_keys then
    data.key_length, data.key = #data.key // 2, nil
  end
end

--- The signature is the last thing in the unit, behind its kind and two lengths.
local function check_activation(msg, data, bytes, ctx)
  local s = data.signature
  local size = 5 + (#s.r + #s.s + #(data.tail_hex or "")) // 2
  local good, why = keys.verify(s, ("\0"):rep(24) .. bytes, 24 + #bytes - size, msg.device, ctx)
  if good == nil then return end
  data.signature_valid = good
  if not good then
    msg.error, msg.why = "signature", "signature: " .. (why or "it does not fit")
    flaw(data, msg.why)
  end
end

local function by_layout(msg, unit, bytes, ctx)
  local got, err, flaws = unit.decode(bytes)
  local data = base(msg)
  if not got then
    msg.error, msg.why = "structure", type(err) == "table" and err.message or err
    data.unit_hex = hex(bytes)
    flaw(data, msg.why)
    return data
  end
  for key, value in pairs(got) do data[key] = value end
  if data.signature then check_activation(msg, data, bytes, ctx) end
  add_flaws(data, type(flaws) == "table" and flaws or nil)
  if msg.cmd ~= 0x0A and msg.cmd ~= 0x0B and not data.time then flaw(data, "time_invalid") end
  if data.serial then login_flaws(data) end
  keep_secret(msg, data, ctx.config)
  if data.vin ~= msg.device then
    flaw(data, "another VIN in the unit than in the header")
    data.unit_vin, data.vin = data.vin, msg.device
  end
  return data
end

local TIME = tg.struct "time:time6@+08:00!raw"

local function put_time(msg, data, bytes)
  local got = TIME:decode(bytes)
  if not got then
    msg.error, msg.why = "structure", "the unit is too short for its time"
    return false
  end
  data.time = got.time
  if not got.time then
    data.time_raw = got.time_raw
    flaw(data, "time_invalid")
  end
  return true
end

--- A query has ids, its answer and a set have values; both begin with a count.
local function put_parameters(msg, data, bytes)
  local list = sub(bytes, 7)
  if msg.ids then
    data.ids = tg.json.array { byte(list, 2, -1) }
    return
  end
  local values, order, why, left = parameters.read(list, msg.edition)
  data.parameters, msg.order = values, order
  if why then
    flaw(data, why)
    data.rest_hex = left
    msg.error, msg.why = "structure", why
  end
end

--- Whether what a platform sent down, a query, is before us: its ids fill the unit.
local function is_query(msg, bytes)
  local count = byte(bytes, 7)
  if msg.cmd ~= 0x80 or msg.flag ~= M.COMMAND or #bytes ~= 7 + count then return false end
  local values, _, why = parameters.read(sub(bytes, 7), msg.edition)
  return why ~= nil or next(values) == nil
end

local function downlink(msg, bytes, ctx)
  local data = base(msg)
  if not put_time(msg, data, bytes) then
    data.unit_hex = hex(bytes)
    return data
  end
  if msg.cmd == 0x82 then
    local how = {
      edition = msg.edition, order = ctx.config.upgrade_order,
      binary = ctx.config.upgrade_numbers == "binary",
    }
    for key, value in pairs(control.read(sub(bytes, 7), how)) do data[key] = value end
  elseif #bytes > 6 then
    msg.ids = is_query(msg, bytes)
    put_parameters(msg, data, bytes)
  end
  if msg.flag ~= M.COMMAND then data.answer = FLAGS[msg.flag] or msg.flag end
  return data
end

local function raw(msg, bytes)
  local data = base(msg)
  data.command, data.flag = ("0x%02x"):format(msg.cmd), ("0x%02x"):format(msg.flag)
  data.unit_hex = hex(bytes)
  return data
end

--- An answer has a time, or repeats the unit. What it answers is known by its command.
local function answer(msg, bytes)
  local data = raw(msg, bytes)
  msg.type, data.answer = "raw", FLAGS[msg.flag] or msg.flag
  if #bytes >= 6 and msg.cmd ~= 0x0B then put_time(msg, data, bytes) end
  if #bytes <= 6 then data.unit_hex = nil end
  msg.error = nil
  return data
end

--- A signature that does not fit: what is signed may be anybody's.
local function check_signature(msg, frame, more, flaws, ctx)
  if msg.edition ~= 2025 or not keys.wanted(msg.device, ctx) then return flaws end
  local block = more.signature
  local good, why = nil, "there is none"
  if block then good, why = keys.verify(block.record, frame, block.at - 1, msg.device, ctx) end
  msg.signature_valid = good or false
  if good then return flaws end
  flaws = flaws or {}
  flaws[#flaws + 1] = "signature: " .. (why or "it does not fit")
  msg.error, msg.why = "signature", flaws[#flaws]
  return flaws
end

local function read_report(msg, frame, ctx)
  if #frame < 31 then
    local data = raw(msg, sub(frame, 25, -2))
    msg.error, msg.why = "structure", "the unit is too short for its time"
    flaw(data, msg.why)
    msg.data = data
    return
  end
  local members, flaws, more = report.members(frame, msg.edition, ctx.config.cells == "merge")
  if more.structure then msg.error, msg.why = "structure", flaws[#flaws] end
  flaws = check_signature(msg, frame, more, flaws, ctx)
  if msg.signature_valid ~= nil then
    members = ('%s,"signature_valid":%s'):format(members, msg.signature_valid)
  end
  if flaws then
    members = members .. ',"flaws":' .. tg.json.encode(flaws)
    msg.flaws = flaws
  end
  msg.members, msg.marks, msg.cells = members, more.marks, more.cells
end

local function encrypted(msg, bytes)
  local data = raw(msg, bytes)
  msg.type, data.encryption = "raw", CIPHERS[msg.encryption] or msg.encryption
  msg.error, msg.why = "encrypted", "encryption " .. tostring(data.encryption) .. ", no key"
  flaw(data, msg.why)
  return data
end

--- The frame as if its unit were not encrypted, if there is a key.
local function decrypted(msg, frame, ctx)
  if msg.encryption == 1 or #frame == 25 then return frame end
  local unit = keys.decrypt(msg.encryption, sub(frame, 25, -2), msg.device, ctx)
  if not unit then return frame end
  msg.decrypted, msg.encryption = CIPHERS[msg.encryption], 1
  return keys.plain(frame, unit)
end

local function read_unit(msg, frame, ctx)
  msg.time6 = #frame >= 31 and msg.encryption == 1 and sub(frame, 25, 30) or nil -- decrypted
  if msg.flag == M.COMMAND and (msg.cmd == 0x02 or msg.cmd == 0x03) and msg.encryption == 1 then
    return read_report(msg, frame, ctx)
  end
  local bytes = sub(frame, 25, -2)
  if msg.encryption ~= 1 and #bytes > 0 then
    msg.data = encrypted(msg, bytes)
    return
  end
  if msg.cmd >= 0x80 and msg.cmd <= 0x82 then
    msg.data = downlink(msg, bytes, ctx)
    return
  end
  local unit = units.of(msg.cmd, msg.edition)
  if msg.flag ~= M.COMMAND then
    msg.data = answer(msg, bytes)
  elseif unit then
    msg.data = by_layout(msg, unit, bytes, ctx)
  elseif msg.type == "heartbeat" or msg.type == "time_sync" then
    msg.data = base(msg)
  else
    msg.type, msg.data = "raw", raw(msg, bytes)
  end
end

--- What stands in front of the unit, and its time.
---@param frame string
---@return table message
function M.head(frame, config)
  local start, _, cmd, flag = byte(frame, 1, 4)
  local id = sub(frame, 5, 21)
  return {
    type = TYPES[cmd] or "raw", cmd = cmd, flag = flag, id = id,
    device = device_of(id, cmd, config), edition = start == 0x23 and 2016 or 2025,
    encryption = byte(frame, 22), time6 = #frame >= 31 and sub(frame, 25, 30) or nil,
  }
end

---@param frame string
---@param ctx tg.Ctx
---@return table message
function M.decode(frame, ctx)
  local config = ctx.config
  local msg = M.head(frame, config)
  if not msg.device then
    msg.refused = "the VIN may not be a name: " .. hex(msg.id)
    return msg
  end
  if FORWARDED[msg.cmd] and msg.flag == M.COMMAND and #(config.forward or {}) > 0 then
    msg.frame = frame
  end
  local plain = decrypted(msg, frame, ctx)
  read_unit(msg, plain, ctx)
  if msg.error == "encrypted" and ENTERS[msg.cmd] then msg.sealed = frame end
  frame = plain
  if config.ack == "echo" then msg.unit = sub(frame, 25, -2) end
  if config.payload == "emqx" then msg.emqx = emqx.of(msg, frame) end
  return msg
end

return M
