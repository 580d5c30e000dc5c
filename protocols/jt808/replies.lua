-- SPDX-License-Identifier: Apache-2.0
-- What a terminal is answered with, and how its answers find the command that waits for them.
local tg = require "tidegate"
local encode = require "encode"
local registry = require "registry"
local rsa = require "rsa"
local wire = require "wire"

local M = {}

local KEPT = 64 -- packets of the last long message down, for a terminal that asks again

local function send(conn, dev, id, data, config, edition)
  local m = {
    id = id, data = data, header = dev.header, version = dev.version, phone = dev.phone,
    serial = dev.serial, edition = edition or dev.edition or dev.header,
    terminated = dev.terminated,
  }
  local frames, serial = encode.frames(m, config)
  if not frames then return nil, serial end
  dev.serial = m.serial
  for _, frame in ipairs(frames) do
    local ok, err = conn:send(frame)
    if not ok then return nil, err end
  end
  return frames, serial
end

--- Sends a message that waits for nothing.
---@return string[]? frames
---@return integer|string|tg.Error serial of the first, or why not
M.send = send

--- Remembers a split message in case packets of it are asked for.
function M.keep(dev, frames, serial)
  if #frames > 1 and #frames <= KEPT then dev.sent = { serial = serial, frames = frames } end
end

-- ---- answers down ------------------------------------------------------------------------------

function M.new(config)
  local say = {}

  --- 0x8001
  function say.answer(conn, dev, msg, result)
    conn:send(wire.answer(dev, msg.serial, msg.id, result))
  end

  function say.register(conn, dev, serial, result, code)
    local data = { reply_serial = serial, result = result, auth_code = code }
    if not code then data.auth_code = "" end
    send(conn, dev, 0x8100, data, config)
  end

  local by_reply = {}

  by_reply[0x8004] = function(conn, dev)
    send(conn, dev, 0x8004, { time = tg.time.now() }, config) -- the layout knows the zone
  end

  by_reply[0x8109] = function(conn, dev)
    send(conn, dev, 0x8109, { time = tg.time.now() }, config)
  end

  --- Complete, so the id alone: a zero behind it makes terminals fail.
  by_reply[0x8800] = function(conn, dev, msg)
    local id = msg.media_id or msg.data and msg.data.media_id
    if not id then return say.answer(conn, dev, msg, 2) end
    send(conn, dev, 0x8800, { media_id = id }, config)
  end

  by_reply[0x8A00] = function(conn, dev, msg)
    local key = rsa.own(config)
    if not key then return say.answer(conn, dev, msg, 3) end
    send(conn, dev, 0x8A00, key, config)
  end

  by_reply[0x9212] = function(conn, dev, msg)
    send(conn, dev, 0x9212, {
      name = msg.data.name or "", type = msg.data.type_raw or 0, result = 0, missing = {},
    }, config)
  end

  --- What a message up is answered with, if with anything.
  function say.reply(conn, dev, msg, entry, result)
    if entry.reply == false or entry.dir == "down" then return end
    if msg.encrypted then return say.answer(conn, dev, msg, 0) end
    local special = by_reply[entry.reply]
    if special and result == 0 then return special(conn, dev, msg) end
    if entry.unknown then result = config.unknown == "refuse" and 3 or result end
    say.answer(conn, dev, msg, result)
  end

  --- Packets that the terminal misses, as they were sent.
  function say.packets(conn, dev, data)
    local sent = dev.sent
    if not sent or sent.serial ~= data.original_serial then
      return conn:complain "asked again for a message that is not kept"
    end
    for _, n in ipairs(data.packet_numbers or {}) do
      if sent.frames[n] then conn:send(sent.frames[n]) end
    end
  end

  --- Asks for missing packets of a message up.
  function say.request(conn, dev, serial, numbers)
    send(conn, dev, 0x8003, { original_serial = serial, packet_numbers = numbers }, config)
  end

  return say
end

-- ---- answers up --------------------------------------------------------------------------------

local function waiting(dev, serial) return dev.waiting and dev.waiting[serial] end

--- 0x0001: the answer to a command, or only its receipt where another answer follows.
function M.general(conn, dev, data)
  local w = waiting(dev, data.reply_serial)
  if not w or tonumber(data.reply_id) ~= w.id then return false end
  if data.result_raw == 0 and w.answer and not w.early then
    w.received = true
    return true
  end
  return conn:answer(w.key, { result = data.result_raw })
end

--- The oldest command that waits for this kind of answer, for answers without a serial.
local function oldest(dev, id)
  local best
  for _, w in pairs(dev.waiting or {}) do
    if w.answer == id and (not best or w.order < best.order) then best = w end
  end
  return best
end

--- An answer of its own kind: by its serial, or the oldest that waits for such.
function M.specific(conn, dev, msg)
  local data = msg.data
  if not data or not dev.waiting then return false end
  local w
  if data.reply_serial then
    w = waiting(dev, data.reply_serial)
    if w and w.answer ~= msg.id then w = nil end
  else
    w = oldest(dev, msg.id)
  end
  if not w then return false end
  return conn:answer(w.key, { message = registry.entry(msg.id).name, data = data }) and w.quiet
end

return M
