-- SPDX-License-Identifier: Apache-2.0
-- Parameters of a terminal (commands 80 and 81). Items have no length, so an unknown id
-- ends the list. A host name is two of them: its length, and itself.
local tg = require "tidegate"

local M = {}

local pack, unpack = string.pack, string.unpack

-- What differs between the editions is [2016] and [2025]. Numbers: bytes, least, most.
local WORD_MS, SECONDS = { 2, 0, 60000 }, { 2, 1, 600 }
local items = {
  [0x01] = { "storage_period_ms", WORD_MS },
  [0x02] = { "report_period_s", [2016] = SECONDS, [2025] = { 1, 1, 30 } },
  [0x03] = { nil, [2016] = WORD_MS, [2025] = { 1, 0, 1 } },
  [0x04] = { "host_length", { 1, 0, 253 } },
  [0x05] = { "host", text = 0x04 },
  [0x06] = { "port", { 2, 0, 65531 } },
  [0x07] = { "hardware_version", text = 5, fixed = true },
  [0x08] = { "firmware_version", text = 5, fixed = true },
  [0x09] = { "heartbeat_period_s", { 1, 1, 240 } },
  [0x0A] = { "terminal_timeout_s", SECONDS },
  [0x0B] = { "platform_timeout_s", SECONDS },
  [0x0C] = { "login_wait_min", { 1, 1, 240 } },
  [0x0D] = { "public_host_length", { 1, 0, 253 } },
  [0x0E] = { "public_host", text = 0x0D },
  [0x0F] = { "public_port", { 2, 0, 65531 } },
  [0x10] = { "sampling", { 1, 1, 2 }, words = { "yes", "no" } },
}
local ALARM_PERIOD = { [2016] = "alarm_report_period_ms", [2025] = "alarm_report_period_s" }

function M.name(id, edition)
  if id == 0x03 then return ALARM_PERIOD[edition] end
  return items[id] and items[id][1]
end

local ids = { [2016] = {}, [2025] = {} }
for edition, by_name in pairs(ids) do
  for id in pairs(items) do by_name[M.name(id, edition)] = id end
end

--- The id of a name, or of a number: 2, "0x02", "2".
function M.id(what, edition)
  local id = ids[edition][what] or tonumber(what)
  if math.type(id) ~= "integer" or id < 0 or id > 255 then return nil end
  return id
end

local MARKS = { { [0xFE] = "abnormal", [0xFF] = "invalid" },
  { [0xFFFE] = "abnormal", [0xFFFF] = "invalid" } }

local function read_number(item, kind, bytes, pos)
  if pos + kind[1] - 1 > #bytes then return nil, "ends too early" end
  local raw = unpack(kind[1] == 1 and ">I1" or ">I2", bytes, pos)
  local value = MARKS[kind[1]][raw] or item.words and item.words[raw] or raw
  return value, pos + kind[1]
end

local function read_text(item, data, bytes, pos, edition)
  local length = item.text
  if not item.fixed then
    length = data[M.name(item.text, edition)]
    if math.type(length) ~= "integer" then return nil, "comes without its length" end
  end
  if pos + length - 1 > #bytes then return nil, "ends too early" end
  local text = tg.charset.decode("ascii", bytes:sub(pos, pos + length - 1))
  return text:gsub("%z+$", ""), pos + length
end

local function read_item(data, bytes, pos, edition)
  local id = bytes:byte(pos)
  local item = items[id]
  if not item then return nil, ("parameter 0x%02x has no known length"):format(id) end
  local value, next_at
  if item.text then
    value, next_at = read_text(item, data, bytes, pos + 1, edition)
  else
    value, next_at = read_number(item, item[2] or item[edition], bytes, pos + 1)
  end
  if value == nil then return nil, ("parameter 0x%02x %s"):format(id, next_at) end
  data[M.name(id, edition)] = value
  return next_at
end

--- Items behind their count. @return table data; rest_hex and why if they cannot all be
--- read
function M.read(bytes, edition)
  local count, data, pos = bytes:byte(1), {}, 2
  if not count then return data, nil, "the count is missing" end
  local order = {}
  for i = 1, count < 254 and count or 0 do
    if pos > #bytes then return data, order, "fewer parameters than counted", "" end
    local next_at, why = read_item(data, bytes, pos, edition)
    if not next_at then return data, order, why, tg.hex.encode(bytes:sub(pos)) end
    order[i] = bytes:byte(pos)
    pos = next_at
  end
  if pos <= #bytes then
    return data, order, "bytes behind the parameters", tg.hex.encode(bytes:sub(pos))
  end
  return data, order
end

-- ---- writing --------------------------------------------------------------------------------

local READ_ONLY = { [0x07] = true, [0x08] = true }

local function number_bytes(item, kind, name, value)
  if item.words then
    for raw, word in ipairs(item.words) do
      if word == value then value = raw end
    end
  end
  for raw, word in pairs(MARKS[kind[1]]) do
    if value == word then return pack(kind[1] == 1 and ">I1" or ">I2", raw) end
  end
  if math.type(value) ~= "integer" or value < kind[2] or value > kind[3] then
    return nil, ("%s: expected a number from %d to %d"):format(name, kind[2], kind[3])
  end
  return pack(kind[1] == 1 and ">I1" or ">I2", value)
end

local function text_bytes(item, name, value)
  if type(value) ~= "string" then return nil, name .. ": expected a text" end
  if value:find "[^\32-\126]" then return nil, name .. ": not ASCII" end
  local most = item.fixed and item.text or 253
  if #value > most then return nil, ("%s: at most %d bytes"):format(name, most) end
  return item.fixed and value .. ("\0"):rep(most - #value) or value
end

local function write_item(id, value, edition)
  local item, name = items[id], M.name(id, edition)
  if not item then return nil, ("parameter 0x%02x is unknown"):format(id) end
  local bytes, why
  if item.text then
    bytes, why = text_bytes(item, name, value)
  else
    bytes, why = number_bytes(item, item[2] or item[edition], name, value)
  end
  if not bytes then return nil, why end
  if item.text and not item.fixed then
    return pack(">BBB", item.text, #bytes, id) .. bytes, 2
  end
  return string.char(id) .. bytes, 1
end

--- The ids that `values` name, in their order; lengths follow from their texts.
local function ids_of(values, edition)
  local list = {}
  for name in pairs(values) do
    local id = type(name) == "string" and M.id(name, edition)
    if not id then return nil, "no such parameter: " .. tostring(name) end
    if id ~= 0x04 and id ~= 0x0D then list[#list + 1] = { id, name } end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- Count and items. @param answer boolean read-only ones may be in it
---@return string? bytes
---@return string? why
function M.write(values, edition, answer)
  local list, why = ids_of(values, edition)
  if not list then return nil, why end
  local parts, count = {}, 0
  for _, item in ipairs(list) do
    if READ_ONLY[item[1]] and not answer then return nil, item[2] .. " cannot be set" end
    local bytes, n = write_item(item[1], values[item[2]], edition)
    if not bytes then return nil, n end
    parts[#parts + 1], count = bytes, count + n
  end
  if count == 0 then return nil, "no parameters" end
  return string.char(count) .. table.concat(parts)
end

return M
