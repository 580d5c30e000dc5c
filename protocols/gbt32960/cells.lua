-- SPDX-License-Identifier: Apache-2.0
-- Cell voltages of 2016 come 200 at most in a frame; larger packs are told in parts, each
-- with the number of its first cell. Here the parts of a pack become one list. They are
-- kept as bytes, few and not for long: a pack that is never whole costs little.
local tg = require "tidegate"
local marks = require "marks"
local notation = require "notation"

local M = {}

local byte, sub, unpack = string.byte, string.sub, string.unpack

local MAX_CELLS, MAX_PARTS, MAX_PACKS, STALE_MS = 4000, 64, 16, 5000

local VOLTAGES = notation.struct "cell_voltages_v:[*]W*0.001 in 0..60000"

--- Calls `each(number, total, first, from, to)` for the packs of the block (type 08) at
--- `pos` that are there in part; `from` and `to` are their bytes.
local function each_part(frame, pos, each)
  local count, at = byte(frame, pos + 1), pos + 2
  if count >= 254 then return end
  for i = 1, count do
    if at + 9 > #frame then return end
    local number, total, first, n = unpack(">B xxxx I2I2B", frame, at)
    if n < 254 and n ~= total then each(i, number, total, first, at + 10, at + 9 + 2 * n) end
    at = at + 10 + (n < 254 and 2 * n or 0)
  end
end

--- Whether the block at `pos` has packs in part.
function M.partial(frame, pos)
  local found = false
  each_part(frame, pos, function() found = true end)
  return found
end

--- Takes the voltages of packs in part out of the block's record.
---@param parts table[] gets what was taken
function M.take(frame, pos, record, parts)
  each_part(frame, pos, function(i, number, total, first, from, to)
    local item = record.items[i]
    if total > MAX_CELLS or to >= #frame then return end
    item.cell_voltages_v = nil
    parts[#parts + 1] = {
      number = number, total = total, first = first, bytes = sub(frame, from, to),
      voltage_v = item.voltage_v, current_a = item.current_a,
    }
  end)
end

local function begin(packs, part)
  local n = 0
  for _ in pairs(packs) do n = n + 1 end
  if n >= MAX_PACKS then
    for number in pairs(packs) do packs[number] = nil end
  end
  packs[part.number] = { total = part.total, have = 0, parts = {} }
  return packs[part.number]
end

local function is_new(pack, part, now)
  if not pack or pack.total ~= part.total or now - pack.at > STALE_MS then return true end
  if #pack.parts >= MAX_PARTS then return true end
  for _, other in ipairs(pack.parts) do
    if other.first == part.first then return true end
  end
  return false
end

local function whole(pack, part)
  table.sort(pack.parts, function(a, b) return a.first < b.first end)
  local bytes, expect = {}, pack.parts[1].first
  for i, one in ipairs(pack.parts) do
    if one.first ~= expect then return nil end
    bytes[i], expect = one.bytes, expect + #one.bytes // 2
  end
  local record = VOLTAGES:decode(table.concat(bytes))
  record.number, record.cells_total = part.number, part.total
  record.voltage_v, record.current_a = part.voltage_v, part.current_a
  marks.apart(record)
  return record
end

--- Adds a part. @return table? the pack, once it is whole
function M.add(packs, part)
  local now = tg.time.ticks()
  local pack = packs[part.number]
  if is_new(pack, part, now) then pack = begin(packs, part) end
  pack.at = now
  pack.parts[#pack.parts + 1] = { first = part.first, bytes = part.bytes }
  pack.have = pack.have + #part.bytes // 2
  if pack.have < pack.total then return nil end
  packs[part.number] = nil
  return whole(pack, part)
end

return M
