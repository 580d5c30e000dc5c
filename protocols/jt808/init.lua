-- SPDX-License-Identifier: Apache-2.0
-- JT/T 808 terminals, editions 2011, 2013 and 2019 on one port: the adapter. What bytes mean is
-- in registry.lua and the layouts that it names, bytes to messages and back in decode.lua and
-- encode.lua, what a connection does in session.lua, commands down in commands.lua.
local tg = require "tidegate"
local options = require "options"

local FRAME = {
  kind = "escaped", magic = "~", escape = "}", escapes = { { "\1", "}" }, { "\2", "~" } },
  min = 15, max = 2100, lenient = true,
}

--- The same adapter three times: most listeners, those of concentrators, and those of terminals
--- whose checksums are wrong.
local function declare(id, checked, many)
  local frame = {}
  for key, value in pairs(FRAME) do frame[key] = value end
  frame.check = checked and "xor8" or nil
  local M = tg.adapter {
    id = id, version = "1.0.0", api = 1, transports = { "tcp", "tls", "udp" }, frame = frame,
    topic = "jt808/${device}/${type}", down = "jt808/${device}/down",
    sessions = many and "many" or "one", order = many and "device" or "connection",
    config = options,
  }
  M.decode = require("decode").decode
  M.encode = require("encode").encode
  require("session").add(M, many)
  require("commands").add(M, many)
  return M
end

local M = declare("jt808", true, false)
declare("jt808-concentrator", true, true)
declare("jt808-unchecked", false, false)

return M
