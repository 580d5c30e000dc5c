-- SPDX-License-Identifier: Apache-2.0
-- JT/T 808 terminals, editions 2011, 2013 and 2019 on one port: the adapter. What bytes mean is
-- in registry.lua and the layouts that it names, bytes to messages and back in decode.lua and
-- encode.lua, what a connection does in session.lua, commands down in commands.lua.
local tg = require "tidegate"
local options = require "options"
local stream = require "stream"

--- The same adapter four times: for most listeners, those of concentrators, those of terminals
--- whose checksums are wrong, and those that alarms' attachments come to.
local function declare(id, checked, many, blocks)
  local frame = stream.frame(checked and "xor8" or nil)
  local M = tg.adapter {
    id = id, version = "1.0.0", api = 1, transports = { "tcp", "tls", "udp" },
    frame = blocks and { frame, stream.block } or frame,
    topic = "jt808/${device}/${type}", down = "jt808/${device}/down",
    sessions = many and "many" or "one", order = many and "device" or "connection",
    config = options,
  }
  local decode = require "decode"
  decode.prepare(M.config)
  M.decode = decode.decode
  M.encode = require("encode").encode
  require("session").add(M, many, blocks)
  require("commands").add(M, many)
  return M
end

local M = declare("jt808", true, false)
declare("jt808-concentrator", true, true)
declare("jt808-unchecked", false, false)
declare("jt808-attachments", true, false, true)

return M
