-- SPDX-License-Identifier: Apache-2.0
-- Frames, of either side: answers and commands of the platform, and what vehicles say, for
-- simulators, for links that forward, and for proofs that nothing is lost on the way.
local tg = require "tidegate"
local control = require "control"
local marks = require "marks"
local parameters = require "parameters"
local report = require "report"
local units = require "units"

local M = {}

local pack = string.pack
local xor8 = tg.check.xor8

local START = { [2016] = "##", [2025] = "$$" }
local MAX_UNIT = 65531
local BEIJING = 480

--- A whole frame. @param id string 17 bytes
---@return string? frame
---@return string? why
function M.frame(edition, command, flag, id, encryption, unit)
  if #unit > MAX_UNIT then return nil, "more than 65531 bytes in a unit" end
  local summed = pack(">BBc17Bs2", command, flag, id, encryption, unit)
  return START[edition] .. summed .. string.char(xor8(summed))
end

--- Beijing's time, wherever the host is.
function M.time(ms)
  return tg.time.to_bytes(ms, BEIJING)
end

-- The years that a byte has room for: 2000 to 2099 in Beijing.
local FIRST = tg.time.parse "2000-01-01T00:00:00+08:00"
local LAST = tg.time.parse "2100-01-01T00:00:00+08:00"

--- The time of `m`: ISO 8601, ms since 1970, or the six bytes as they came; else that of
--- now.
local function time_of(m)
  if m.time_raw then
    local bytes = tg.hex.decode(m.time_raw)
    if bytes and #bytes == 6 then return bytes end
    return nil, "time_raw: expected six bytes in hex"
  end
  local value = m.time or m.now
  if type(value) == "string" then value = tg.time.parse(value, BEIJING) end
  if math.type(value) ~= "integer" or value < FIRST or value >= LAST then
    return nil, "time: expected ISO 8601, from 2000 to 2099"
  end
  return M.time(value)
end

-- ---- reports ----------------------------------------------------------------------------------

local function with_signs(record, name)
  if name ~= "position" then return record end
  record._south = record._south or (tonumber(record.latitude) or 0) < 0
  record._west = record._west or (tonumber(record.longitude) or 0) < 0
  return record
end

local function custom(block)
  local bytes = tg.hex.decode(block.hex or "")
  if not bytes then return nil, "custom: no hex" end
  return pack(">Bs2", block.code, bytes)
end

local function one_block(block, edition)
  if block.hex then return custom(block) end
  local code = block.code or report.by_name[edition][block.name]
  local how = report.blocks[edition][code]
  if not how then return nil, "no such block: " .. tostring(block.name) end
  if block.raw then
    local bytes, err = how.raw:encode(block.raw)
    return bytes and string.char(code) .. bytes, err
  end
  local record, why = marks.together(block.record)
  if not record then return nil, why end
  if record.brake_on then record.brake_pct = "on" end
  local bytes, err = how.layout:encode(with_signs(record, how.name))
  if not bytes then return nil, ("%s: %s"):format(how.name, err.message) end
  return string.char(code) .. bytes
end

--- blocks: { { name = "vehicle", record = { … } }, { code = 0x80, hex = "…" } }
local function report_unit(m)
  local time, why = time_of(m)
  if not time then return nil, why end
  local parts = { time }
  for _, block in ipairs(m.blocks) do
    local bytes, err = one_block(block, m.edition)
    if not bytes then return nil, err end
    parts[#parts + 1] = bytes
  end
  if m.rest_hex then parts[#parts + 1] = tg.hex.decode(m.rest_hex) end
  return table.concat(parts)
end

-- ---- commands -----------------------------------------------------------------------------------

local unit = {}

unit[0x80] = function(m, time)
  if not m.ids then
    local bytes, why = parameters.write(m.parameters, m.edition, true)
    return bytes and time .. bytes, why
  end
  local list = {}
  for i, what in ipairs(m.ids) do
    if type(what) == "table" then return nil, "ids: expected names or numbers" end
    list[i] = parameters.id(what, m.edition)
    if not list[i] then return nil, "no such parameter: " .. tostring(what) end
  end
  if #list == 0 or #list > 252 then return nil, "1 to 252 parameters can be asked for" end
  return time .. string.char(#list, table.unpack(list))
end

unit[0x81] = function(m, time)
  local bytes, why = parameters.write(m.parameters, m.edition)
  return bytes and time .. bytes, why
end

unit[0x82] = function(m, time, config)
  local how = {
    edition = m.edition, order = m.order or config.upgrade_order,
    binary = (m.numbers or config.upgrade_numbers) == "binary",
  }
  if not (how.order == "table" or how.order == "url_first") then return nil, "no such order" end
  local bytes, why = control.write(m, how)
  return bytes and time .. bytes, why
end

local function by_layout(m)
  local how = units.of(m.cmd, m.edition)
  if not how then return nil, ("no layout for command 0x%02x"):format(m.cmd) end
  return how.encode(m.data)
end

local function unit_of(m, config)
  if m.unit then return m.unit end
  if m.blocks then return report_unit(m) end
  if not unit[m.cmd] then return by_layout(m) end
  local time, why = time_of(m)
  if not time then return nil, why end
  return unit[m.cmd](m, time, config)
end

--- m: cmd, edition, id (17 bytes), flag (default FE), and what its unit is made of.
---@return string? frame
---@return string? why
function M.encode(m, ctx)
  if not START[m.edition] then return nil, "edition: 2016 or 2025" end
  local bytes, why = unit_of(m, ctx.config)
  if not bytes then return nil, type(why) == "table" and why.message or why end
  return M.frame(m.edition, m.cmd, m.flag or 0xFE, m.id, m.encryption or 1, bytes)
end

return M
