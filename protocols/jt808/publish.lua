-- SPDX-License-Identifier: Apache-2.0
-- Messages to topics. Positions come as JSON members from C and get the few that only the
-- session knows; the others are records. With payload = "emqx" all of them take the shape of
-- that product's gateway instead.
local tg = require "tidegate"
local choice = require "choice"
local emqx = require "emqx"

local M = {}

local now, format = tg.time.now, tg.time.format
local ZONE = 480

--- ISO time of now, made once a millisecond, and the ends of positions with it.
local at, text = -1, ""
local endings = {}

local function renew(ms)
  at, text = ms, format(ms, ZONE)
  for number, edition in pairs(choice.editions) do
    endings[number] = '"edition":"' .. edition .. '","received":"' .. text .. '"'
  end
end

local function clock_text()
  local ms = now()
  if ms ~= at then renew(ms) end
  return text
end

function M.new(config)
  local out = {}

  --- A message as a record.
  function out.message(conn, dev, msg)
    if config.payload == "emqx" then return conn:publish(emqx.message(dev, msg, config)) end
    local data = msg.data or {}
    data.serial, data.edition, data.received = msg.serial, msg.edition, clock_text()
    data.message_id = ("0x%04x"):format(msg.id)
    return conn:publish { type = msg.type, device = dev.device, data = data }
  end

  local members = {}
  local one, publish = { type = "location", members = members }, nil

  --- A position of the common kind. The tables are used again: publishing copies them.
  function out.position(conn, dev, msg)
    local ms = now()
    if ms ~= at then renew(ms) end
    publish = publish or conn.publish
    members[1], members[2] = msg.members, endings[msg.key >> 40]
    one.device = dev.device
    return publish(conn, one)
  end

  --- An event of the adapter's own.
  function out.event(conn, dev, type, data)
    data.time = clock_text()
    return conn:publish { type = type, device = dev.device, data = data }
  end

  return out
end

return M
