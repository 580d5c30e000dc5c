-- SPDX-License-Identifier: Apache-2.0
-- What a caller says, as the record that a message is made of: most commands are one already.
local areas = require "areas"
local rsa = require "rsa"

local M = {}

local shape = {}

--- { lock = true } in the form of the terminal's edition; numbers go as they are.
shape[0x8500] = function(args, dev, config)
  local edition = dev.edition or dev.header
  if args.lock == nil then return args end
  local door = areas.door(args.lock, edition, config.door_sense)
  if edition == "2019" then return { controls = { { id = 1, parameter = door } } } end
  return { flag = door }
end

--- Texts are shown and spoken unless flags say otherwise.
shape[0x8300] = function(args)
  local out = { flag = args.flag or 12, text_type = args.text_type or 1, text = args.text }
  return out
end

shape[0x8202] = function(args)
  return { interval = args.interval, validity = args.interval ~= 0 and args.validity or nil }
end

--- Our own key where no other is given.
shape[0x8A00] = function(args, _, config)
  return args.n == nil and rsa.own(config) or args
end

local RESERVED = { correlation_id = true, device = true, ttl = true }

--- The record of a command: its args without what is for us.
function M.data(id, args, dev, config)
  local data = {}
  for key, value in pairs(args) do
    if not RESERVED[key] then data[key] = value end
  end
  return shape[id] and shape[id](data, dev, config) or data
end

return M
