-- SPDX-License-Identifier: Apache-2.0
-- The unit of reports: a time, then blocks that say what they are and not how long they
-- are. So an unknown block, or one that ends too early, ends the reading; what was read
-- stays, and the rest is kept as it is. Custom blocks alone have a length.
local tg = require "tidegate"
local cells = require "cells"
local marks = require "marks"
local notation = require "notation"

local M = {}

local byte, unpack, sub, find = string.byte, string.unpack, string.sub, string.find
local concat = table.concat

local function compile(list)
  local out = {}
  for code, block in pairs(list) do
    if type(code) == "number" then
      local scaled, raw, text = notation.struct(block[2])
      out[code] = { name = block[1], layout = scaled, raw = raw, text = text }
    end
  end
  return out
end

M.blocks = { [2016] = compile(require "blocks16"), [2025] = compile(require "blocks25") }

M.by_name = {}
for edition, blocks in pairs(M.blocks) do
  local names = {}
  for code, block in pairs(blocks) do names[block.name] = code end
  M.by_name[edition] = names
end

local HEAD_TEXT = [[
  _start:hex[2] _command:u8 _flag:u8 vin:ascii[17] _encryption:u8 _length:u16be
  time:time6@+08:00
]]
local HEAD = tg.struct(HEAD_TEXT)
M.head = HEAD
local UNIT = 25 -- where the unit begins, and its time

--- A custom block (80..FE). @return where the next one is; nil: its length does not fit
local function custom_end(frame, pos, stop)
  if pos + 3 > stop then return nil end
  local after = pos + 3 + unpack(">I2", frame, pos + 1)
  return after <= stop and after or nil
end

--- What stops the reading at `pos`. `structure`: an error of the device, not a vendor's
--- block.
local function rest(frame, pos, stop, why, structure)
  return {
    type = ("0x%02x"):format(byte(frame, pos)), hex = tg.hex.encode(sub(frame, pos, stop - 1)),
    why = why, structure = structure,
  }
end

local function why_not(code, err)
  if err then return ("block 0x%02x: %s"):format(code, err) end
  if code >= 0x80 and code < 0xFF then
    return ("block 0x%02x: its length is more than is left"):format(code)
  end
  return ("block 0x%02x has no known length"):format(code)
end

--- Reads one block of a known type. @return what `method` gives, where it ends, flaws
local function known(layout, method, frame, pos, stop)
  local value, next_at, flaws = layout[method](layout, frame, pos + 1)
  if not value then return nil, next_at.message end
  if next_at > stop then return nil, "it ends behind the unit" end
  return value, next_at, flaws
end

local function add_flaws(all, name, flaws)
  if not flaws then return all end
  all = all or {}
  for _, flaw in ipairs(flaws) do all[#all + 1] = name .. "." .. flaw end
  return all
end

--- All blocks as tables, in the order of the wire.
---@param which "layout"|"raw"
---@return table[] blocks code, name and record; custom ones have hex
---@return table? rest what could not be read
---@return string[]? flaws
function M.read(frame, edition, which)
  local blocks, stop, pos = {}, #frame, UNIT + 6
  local types, flaws = M.blocks[edition], nil
  while pos < stop do
    local code = byte(frame, pos)
    local block = types[code]
    if block then
      local record, next_at, wrong = known(block[which], "decode", frame, pos, stop)
      if not record then
        return blocks, rest(frame, pos, stop, why_not(code, next_at), true), flaws
      end
      flaws = add_flaws(flaws, block.name, wrong)
      blocks[#blocks + 1] = { code = code, name = block.name, record = record, at = pos }
      pos = next_at
    else
      local after = code >= 0x80 and code < 0xFF and custom_end(frame, pos, stop)
      if not after then return blocks, rest(frame, pos, stop, why_not(code)), flaws end
      blocks[#blocks + 1] = {
        code = code, name = "custom", hex = tg.hex.encode(sub(frame, pos + 3, after - 1)),
      }
      pos = after
    end
  end
  return blocks, nil, flaws
end

-- ---- JSON -----------------------------------------------------------------------------------

local function custom_json(list)
  for i, block in ipairs(list) do
    list[i] = ('{"data_hex":"%s","type":"0x%02x"}'):format(block.hex, block.code)
  end
  return '"custom":[' .. concat(list, ",") .. "]"
end

--- A pedal that is pressed by nobody knows how much.
local function brake(record)
  if record.brake_pct == "on" then record.brake_pct, record.brake_on = nil, true end
end

local function record_json(record, counts)
  brake(record)
  marks.apart(record, counts)
  return tg.json.encode(record)
end

local function add_custom(parts, list)
  if #list > 0 then parts[#parts + 1] = custom_json(list) end
end

--- A type that comes again is another member: alarm_2.
local function name_of(block, seen)
  local times = (seen[block.name] or 0) + 1
  seen[block.name] = times
  return times > 1 and ("%s_%d"):format(block.name, times) or block.name
end

--- With marks in it, or anything else that is not plain: by way of tables.
local function careful(frame, edition, cell_parts)
  local blocks, left, flaws = M.read(frame, edition, "layout")
  local parts, custom, seen, signature = {}, {}, {}, nil
  local counts = { abnormal = 0, invalid = 0 }
  for i, block in ipairs(blocks) do
    if block.hex then
      custom[#custom + 1] = block
    else
      if cell_parts and block.code == 0x08 then
        cells.take(frame, block.at, block.record, cell_parts)
      end
      parts[#parts + 1] = ('"%s":%s'):format(name_of(block, seen),
        record_json(block.record, counts))
    end
    if block.name == "signature" then
      signature = block
      if blocks[i + 1] or left then
        flaws = add_flaws(flaws, "signature", { "there are bytes behind it" })
      end
    end
  end
  add_custom(parts, custom)
  if left then
    parts[#parts + 1] = ('"rest":{"data_hex":"%s","type":"%s"}'):format(left.hex, left.type)
    flaws = flaws or {}
    flaws[#flaws + 1] = left.why
  end
  return concat(parts, ","), flaws, { marks = counts, structure = left and left.structure,
    signature = signature }
end

--- Looked for from letters that are rare in the names: this runs over all that is reported.
local function marked(text)
  return find(text, 'bnormal"', 1, true) or find(text, 'invalid"', 1, true)
    or find(text, 'pct":"on"', 1, true)
end

-- Vehicles send the same blocks in the same order again and again. What a length was made
-- of last is one layout, from the head to the last block: from bytes to JSON in one call.
-- The sequences that are known are few, so that nobody makes us compile for ever.
local SEQUENCES_MAX = 64
local known_lengths = { [2016] = {}, [2025] = {} }
local sequences, nsequences = {}, 0

local function learn(frame, edition, codes)
  local key = edition .. string.char(table.unpack(codes))
  if not sequences[key] then
    if nsequences == SEQUENCES_MAX then return end
    local parts = { HEAD_TEXT }
    for i, code in ipairs(codes) do
      local block = M.blocks[edition][code]
      parts[i + 1] = ("_type%d:u8=%d %s:{ %s }\n"):format(i, code, block.name, block.text)
    end
    nsequences, sequences[key] = nsequences + 1, tg.struct(concat(parts))
  end
  known_lengths[edition][#frame] = sequences[key]
end

--- @return string? nil: the frame is not what its length was last, or is not plain
local function at_once(frame, edition)
  local layout = known_lengths[edition][#frame]
  if not layout then return nil end
  local text, next_at, flaws = layout:members(frame)
  if not text or flaws or next_at ~= #frame or marked(text) then return nil end
  return text
end

--- Blocks of known types, each once, without marks and flaws: the same text block by block.
local function plain(frame, edition, merge)
  local head, _, late = HEAD:members(frame)
  if late then return nil end
  local parts, codes, stop, pos = { head }, {}, #frame, UNIT + 6
  local types, seen = M.blocks[edition], 0
  while pos < stop do
    local code = byte(frame, pos)
    local block = code < 0x40 and types[code]
    if not block or seen & (1 << code) ~= 0 then return nil end
    if merge and code == 0x08 and cells.partial(frame, pos) then return nil end
    seen = seen | 1 << code
    local text, next_at, flaws = known(block.layout, "json", frame, pos, stop)
    if not text or flaws then return nil end
    codes[#codes + 1], pos = code, next_at
    parts[#parts + 1] = ('"%s":%s'):format(block.name, text)
  end
  local text = concat(parts, ",")
  if marked(text) then return nil end
  if not (merge and seen & (1 << 0x08) ~= 0) then learn(frame, edition, codes) end
  return text
end

local PLAIN = {}
-- Nothing that is plain is signed.
local ENDS = { [2016] = ',"edition":2016', [2025] = ',"edition":2025,"signed":false' }
local SIGNED = ',"edition":2025,"signed":true'

--- The members of a report's JSON, without its braces.
---@return string members
---@return string[]? flaws
---@return table more marks: how many values were abnormal and invalid, nil: none; structure: the
--- unit could not be read to its end; cells: parts of packs, taken out; signature: its block
function M.members(frame, edition, merge)
  merge = merge and edition == 2016
  local text = at_once(frame, edition) or plain(frame, edition, merge)
  if text then return text .. ENDS[edition], nil, PLAIN end
  local head, _, late = HEAD:members(frame)
  local parts = merge and {} or nil
  local flaws, more
  text, flaws, more = careful(frame, edition, parts)
  if late then
    flaws = flaws or {}
    table.insert(flaws, 1, "time_invalid")
  end
  if parts and #parts > 0 then more.cells = parts end
  text = text ~= "" and head .. "," .. text or head
  return text .. (more.signature and SIGNED or ENDS[edition]), flaws, more
end

return M
