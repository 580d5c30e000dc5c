-- SPDX-License-Identifier: Apache-2.0
-- Messages to topics. Positions come as JSON members from C and get the few that only the
-- session knows; the others are records. With payload = "emqx" all of them take the shape of
-- that product's gateway instead.
local tg = require "tidegate"
local emqx = require "emqx"

local M = {}

local now, format = tg.time.now, tg.time.format
local ZONE = 480

--- ISO time of now, made once a millisecond.
local clock = { at = -1, text = "" }
local function clock_text()
  local ms = now()
  if ms ~= clock.at then clock.at, clock.text = ms, format(ms, ZONE) end
  return clock.text
end
M.clock = clock_text

function M.new(config)
  local out = {}
  local like_emqx = config.payload == "emqx"

  --- A message as a record.
  function out.message(conn, dev, msg)
    if like_emqx then return conn:publish(emqx.message(dev, msg, config)) end
    local data = msg.data or {}
    data.serial, data.edition, data.received = msg.serial, msg.edition, clock_text()
    data.message_id = ("0x%04x"):format(msg.id)
    return conn:publish { type = msg.type, device = dev.device, data = data }
  end

  --- A position of the common kind.
  function out.position(conn, dev, msg)
    if like_emqx then return conn:publish(emqx.position(dev, msg, config)) end
    msg.payload = "{" .. msg.payload .. ',"serial":' .. msg.serial .. ',"edition":"'
      .. msg.edition .. '","received":"' .. clock_text() .. '"}'
    msg.device = dev.device
    return conn:publish(msg)
  end

  --- An event of the adapter's own.
  function out.event(conn, dev, type, data)
    data.time = clock_text()
    return conn:publish { type = type, device = dev.device, data = data }
  end

  return out
end

return M
