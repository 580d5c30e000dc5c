-- SPDX-License-Identifier: Apache-2.0
-- JT/T 808 terminals, editions 2011, 2013 and 2019 on one port: the adapter. What bytes mean is
-- in registry.lua and the layouts that it names, bytes to messages and back in decode.lua and
-- encode.lua, what a connection does in session.lua, commands down in commands.lua.
local tg = require "tidegate"
local options = require "options"
local stream = require "stream"

--- The same adapter five times: for most listeners, those of concentrators, those of terminals
--- whose checksums are wrong, and those that alarms' attachments come to, in either form.
local function declare(id, checked, many, block)
  local frame = stream.frame(checked and "xor8" or nil)
  local M = tg.adapter {
    id = id, version = "1.0.0", api = 1, transports = { "tcp", "tls", "udp" },
    frame = block and { frame, block } or frame,
    topic = "jt808/${device}/${type}", down = "jt808/${device}/down",
    sessions = many and "many" or "one", order = many and "device" or "connection",
    config = options,
  }
  local decode = require "decode"
  decode.prepare(M.config)
  M.decode = block == stream.counted_block and decode.decode_counted or decode.decode
  M.encode = require("encode").encode
  require("session").add(M, many, block ~= nil)
  require("commands").add(M, many)
  return M
end

local M = declare("jt808", true, false)
declare("jt808-concentrator", true, true)
declare("jt808-unchecked", false, false)
declare("jt808-attachments", true, false, stream.block)
declare("jt808-attachments-heilongjiang", true, false, stream.counted_block)

return M
