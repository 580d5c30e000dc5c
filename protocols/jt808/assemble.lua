-- SPDX-License-Identifier: Apache-2.0
-- Packets of long messages, per phone, message id and total. Terminals send other messages
-- between the packets, so serials say nothing; numbers do. What is held is bounded per
-- connection and per worker. The tables are plain data: a connection takes them along when the
-- adapter is replaced.
local M = {}

--- Bytes that this worker holds in unfinished messages.
local held = 0

function M.held() return held end

--- A connection leaves, or comes from another version with what it holds.
function M.adjust(bytes) held = held + bytes end

local function drop(dev, key)
  local a = dev.parts[key]
  dev.parts[key] = nil
  dev.holding = dev.holding - a.bytes
  held = held - a.bytes
  if not next(dev.parts) then dev.parts = nil end
end
M.drop = drop

--- Of a terminal that is gone, or that is not known any more.
function M.forget(dev)
  M.adjust(-(dev.holding or 0))
  dev.parts, dev.holding = nil, nil
end

local function open(dev, key, msg, now)
  dev.parts = dev.parts or {}
  dev.holding = dev.holding or 0
  local a = {
    id = msg.id, total = msg.total, got = 0, bytes = 0, packets = {}, serials = {}, asked = 0,
    began = now, at = now,
  }
  dev.parts[key] = a
  return a
end

local function count(parts)
  local n = 0
  for _ in pairs(parts or {}) do n = n + 1 end
  return n
end

local function room(dev, key, msg, limits)
  if msg.total > limits.packets then return nil, "a message of too many packets" end
  if not (dev.parts and dev.parts[key]) and count(dev.parts) >= limits.open then
    return nil, "too many unfinished messages"
  end
  local more = #msg.fragment
  if (dev.holding or 0) + more > limits.bytes or held + more > limits.total then
    return nil, "no room for another packet"
  end
  return true
end

--- Takes a packet in.
---@return table? assembly the message's, whole when `done`
---@return string? why it was not taken
function M.add(dev, msg, limits, now)
  if msg.number < 1 or msg.number > msg.total then
    return nil, "a packet number outside 1..total"
  end
  local key = msg.id << 16 | msg.total
  local a = dev.parts and dev.parts[key]
  local old = a and a.packets[msg.number]
  if old == msg.fragment then
    a.at = now
    return a -- sent again: once is enough
  end
  local fine, why = room(dev, key, msg, limits)
  if not fine then return nil, why end
  if old then
    drop(dev, key) -- another message of the same kind
    a = nil
  end
  a = a or open(dev, key, msg, now)
  a.packets[msg.number], a.serials[msg.number] = msg.fragment, msg.serial
  a.got, a.bytes, a.at = a.got + 1, a.bytes + #msg.fragment, now
  dev.holding, held = dev.holding + #msg.fragment, held + #msg.fragment
  a.done = a.got == a.total
  return a
end

--- Is a message of which this is a packet being put together?
function M.under_way(dev, msg)
  return dev.parts ~= nil and dev.parts[msg.id << 16 | msg.total] ~= nil
end

local MEDIA, HEAD <const> = 0x0801, 36 -- number, codes, position

--- Some terminals put the head of a medium into each of its packets: its number and codes in all
--- of them are no accident.
local function cut_heads(a)
  if a.id ~= MEDIA then return end
  local head = a.packets[1]:sub(1, 8)
  for n = 2, a.total do
    local packet = a.packets[n]
    if #packet <= HEAD or packet:sub(1, 8) ~= head then return end
  end
  for n = 2, a.total do a.packets[n] = a.packets[n]:sub(HEAD + 1) end
end

--- The whole body; the message is forgotten.
function M.take(dev, a)
  cut_heads(a)
  local body = table.concat(a.packets)
  drop(dev, a.id << 16 | a.total)
  return body
end

--- Numbers of packets that are missing, at most `limit`.
function M.missing(a, limit)
  local out = {}
  for n = 1, a.total do
    if not a.packets[n] then out[#out + 1] = n end
    if #out == limit then break end
  end
  return out
end

--- Serial of the first packet: seen, or counted back from the first that was.
function M.first_serial(a)
  for n = 1, a.total do
    if a.serials[n] then return (a.serials[n] - n + 1) & 0xFFFF end
  end
end

return M
