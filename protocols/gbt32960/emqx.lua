-- SPDX-License-Identifier: Apache-2.0
-- The option payload = "emqx": topics and JSON as EMQX's gateway has them, so that what was
-- written for it keeps working. Numbers are those of the wire. Fault codes have eight
-- digits in both editions, and the password of a platform is not in it.
local tg = require "tidegate"
local parameters = require "parameters"
local report = require "report"
local names = require "emqx_names"

local M = {}

local byte, sub = string.byte, string.sub

local function time_of(bytes)
  local year, month, day, hour, minute, second = byte(bytes, 1, 6)
  return {
    Year = year, Month = month, Day = day, Hour = hour, Minute = minute, Second = second,
  }
end

local convert

local function list_of(list, item)
  local out = tg.json.array {}
  for i, value in ipairs(list) do
    if item == "hex" then out[i] = value:upper()
    elseif type(item) == "table" then out[i] = convert(value, item)
    else out[i] = value end
  end
  return out
end

--- A record with EMQX's names. A name with a list behind it is a list of such.
function convert(record, map)
  local out = {}
  for ours, theirs in pairs(map) do
    local value = record[ours] -- nil: of the other edition
    if value ~= nil and type(theirs) == "table" then
      out[theirs[1]] = list_of(value, theirs[2])
    elseif value ~= nil then
      out[theirs] = value
    end
  end
  return out
end

local function infos(frame, edition)
  local blocks, left = report.read(frame, edition, "raw")
  local out, custom = tg.json.array {}, nil
  local pos = 31
  for _, block in ipairs(blocks) do
    local kind = names.types[block.name]
    if not kind then
      custom = custom or pos
      break
    end
    local info = convert(block.record, names[block.name])
    info.Type = kind
    if block.name == "signature" then
      info.RValue, info.SValue = block.record.r:upper(), block.record.s:upper()
      info.RLength, info.SLength = #block.record.r // 2, #block.record.s // 2
    end
    out[#out + 1] = info
    pos = pos + 1 + #report.blocks[edition][block.code].raw:encode(block.record)
  end
  if custom or left then
    out[#out + 1] = { Type = "CustomData", Data = M.base64(sub(frame, pos, -2)) }
  end
  return out
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

function M.base64(bytes)
  local parts = {}
  for i = 1, #bytes, 3 do
    local a, b, c = byte(bytes, i, i + 2)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 1, 4 do
      local at = (n >> (24 - 6 * k) & 63) + 1
      local beyond = (k == 3 and not b) or (k == 4 and not c)
      parts[#parts + 1] = beyond and "=" or ALPHABET:sub(at, at)
    end
  end
  return table.concat(parts)
end

local data = {}

function data.report(msg, frame) return { Infos = infos(frame, msg.edition) } end
data.reissue = data.report

function data.login(msg)
  local d = msg.data
  if msg.edition == 2016 then
    return {
      Seq = d.serial, ICCID = d.iccid, Num = d.subsystem_count, Length = d.code_length,
      Id = table.concat(d.codes),
    }
  end
  local codes, at = tg.json.array {}, 0
  for i, count in ipairs(d.pack_counts) do
    codes[i] = tg.json.array(table.move(d.codes, at + 1, at + count, 1, {}))
    at = at + count
  end
  return {
    Seq = d.serial, ICCID = d.iccid, BmsNum = d.bms_count, BatteryPackCounts = d.pack_counts,
    BatteryPackEncodings = codes,
  }
end

function data.logout(msg) return { Seq = msg.data.serial } end
data.platform_logout = data.logout

function data.platform_login(msg, frame)
  return { Seq = msg.data.serial, Username = sub(frame, 33, 44), Encrypt = byte(frame, 65) }
end

function data.activation(msg)
  local d = msg.data
  return {
    ChipID = d.chip_id, PubKeyLen = #d.key // 2, PubKey = d.key:upper(), VIN = d.unit_vin or d.vin,
    Signature = {
      SignatureType = names.algorithms[d.signature.algorithm], RValue = d.signature.r:upper(),
      SValue = d.signature.s:upper(), RLength = #d.signature.r // 2,
      SLength = #d.signature.s // 2,
    },
  }
end

function data.parameters(msg)
  if not msg.data.parameters then return {} end
  local list = tg.json.array {}
  for i, id in ipairs(msg.order or {}) do
    list[i] = { [("0x%02X"):format(id)] = msg.data.parameters[names.parameter(id, msg.edition)] }
  end
  return { Total = #list, Params = list }
end

function data.control(msg)
  local d = msg.data
  local param = ""
  if d.upgrade then param = convert(d.upgrade, names.upgrade) end
  if d.message then param = { Level = d.level, Message = d.message } end
  return { Command = d.control, Param = param }
end

--- @return table? suffix and payload; nil: EMQX publishes nothing for it
function M.of(msg, frame)
  local suffix = names.suffixes[msg.type]
  if msg.flag ~= 0xFE then suffix = "upstream/response" end
  if not suffix or msg.refused or msg.error == "encrypted" then return nil end
  local fill = data[msg.type]
  local answer = msg.flag ~= 0xFE and msg.cmd < 0x80 -- has a time alone, whatever it repeats
  local known = (fill or answer) and (msg.members or not msg.error)
  local body = known and (answer and {} or fill(msg, frame))
    or { Raw = tg.hex.encode(sub(frame, 25, -2)) }
  if known and #frame >= 31 then body.Time = time_of(sub(frame, 25, 30)) end
  local payload = { Cmd = msg.cmd, Encrypt = byte(frame, 22), Vin = msg.device, Data = body }
  return { suffix = suffix, payload = tg.json.encode(payload) }
end

--- A list, as long as "Total" says where it says so.
local function list_in(json, name)
  local list = json[name]
  if type(list) ~= "table" then return nil, name .. ": expected a list" end
  if json.Total ~= nil and json.Total ~= #list then return nil, "Total: not as many " .. name end
  return list
end

-- Host names and their lengths are parameters of their own there.
local LENGTHS = { [0x05] = 0x04, [0x0E] = 0x0D }

local function settings(json)
  local list, why = list_in(json, "Params")
  if not list then return nil, why end
  local values, by_id = {}, {}
  for _, item in ipairs(list) do
    if type(item) ~= "table" then return nil, "Params: expected objects" end
    for name, value in pairs(item) do
      values[name], by_id[parameters.id(name, 2016) or name] = value, value
    end
  end
  for text, length in pairs(LENGTHS) do
    local bytes = by_id[text]
    if by_id[length] ~= (type(bytes) == "string" and #bytes or bytes) then
      return nil, ("Params: 0x%02X is not the length of 0x%02X"):format(length, text)
    end
  end
  return { parameters = values }
end

--- A command in EMQX's form. @return string? name, table|string args or why
function M.command(json)
  if json.Action == "Query" then
    local ids, why = list_in(json, "Ids")
    return ids and "query", ids and { ids = ids } or why
  end
  if json.Action == "Setting" then
    local args, why = settings(json)
    return args and "set", args or why
  end
  if json.Action ~= "Control" then return nil, "Action: Query, Setting or Control" end
  local args = { control = json.Command }
  local given = type(json.Param) == "table" and json.Param or {}
  for ours, theirs in pairs(names.upgrade) do args[ours] = given[theirs] end
  args.level, args.message = given.Level, given.Message
  return "control", args
end

return M
